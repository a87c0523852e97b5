"""Small upright copies of photos inside a page, without any of their files' metadata."""

import base64
from io import BytesIO
from pathlib import Path

from PIL import Image

from sameplace.errors import SameplaceError
from sameplace.images import View, read_image
from sameplace.images.header import fitted, upright_size
from sameplace.images.video import frame_named, still
from sameplace.pages.markup import text


def picture(source: str | Path | View, longest: int) -> str:
    """An img element whose longer side has at most so many pixels, or a sentence where the file has gone or is broken."""
    path = Path(source.path if isinstance(source, View) else source)
    frame = None if isinstance(source, View) else frame_named(str(source))
    try:
        pixels = still(*frame, longest) if frame else read_image(source, fitted(upright_size(source), longest))
    except (SameplaceError, OSError):
        what = "cannot be read" if path.is_file() else "is no longer there"
        return f'<span class="missing">The picture {what}</span>'
    stored = BytesIO()
    Image.fromarray(pixels).save(stored, "JPEG", quality=80, optimize=True)
    data = base64.b64encode(stored.getvalue()).decode("ascii")
    height, width, _ = pixels.shape
    return f'<img src="data:image/jpeg;base64,{data}" alt="{text(path.name)}" width="{width}" height="{height}">'
