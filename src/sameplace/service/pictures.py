"""Pictures as they are stored and served: upright, of a bounded size, and without anything but their pixels."""

import threading
from collections import OrderedDict
from http import HTTPStatus
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from sameplace.errors import ImageError
from sameplace.images import read_image
from sameplace.images.header import fitted, upright_size
from sameplace.images.reading import opened
from sameplace.service.problems import Refusal

SIZES = (160, 320, 640, 1280)
"""Pixels on the longer side that a client may ask for: few, so that they are made once."""
STORED_PIXELS = 2048
BLURRED_PIXELS = 24
"""What is left of the longer side of a blurred picture: a street is still a street, and no face is anybody's."""
KEPT_BYTES = 64_000_000
GONE = "The file of this photo is gone or broken; those who run the service may index it again."


def stripped(source: str | Path | bytes, longest: int, *, blurred: bool = False, quality: int = 82) -> bytes:
    """A picture as a JPEG of its pixels alone, no larger than asked; ImageError where it cannot be read."""
    size = upright_size(source)
    shown = fitted(size, longest)
    pixels = read_image(source, fitted(size, min(BLURRED_PIXELS, longest)) if blurred else shown)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if blurred:
        image = image.resize((shown[1], shown[0]), Image.Resampling.BICUBIC)
    stored = BytesIO()
    image.save(stored, "JPEG", quality=quality)
    return stored.getvalue()


def check_size(photo: bytes, limit: int) -> None:
    """Refuse what would unpack to too many pixels, by its header alone; ImageError where it is no image."""
    with opened(photo) as image:
        width, height = image.size
    if width * height > limit:
        raise Refusal(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"A photo of at most {limit:,} pixels was wanted, got {width:,} x {height:,}; make it smaller.",
        )


class Pictures:
    """Pictures of photos, made when they are first asked for and kept while there is room."""

    def __init__(self, *, blurred: bool, kept_bytes: int = KEPT_BYTES) -> None:
        self._blurred = blurred
        self._room = kept_bytes
        self._kept: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def picture(self, name: str, path: str, longest: int) -> bytes:
        """The picture of a photo; FileNotFoundError where its file has gone, or is broken."""
        asked = (name, longest)
        with self._lock:
            if asked in self._kept:
                self._kept.move_to_end(asked)
                return self._kept[asked]
        made = self._made(path, longest)
        with self._lock:
            self._kept[asked] = made
            while sum(map(len, self._kept.values())) > self._room:
                self._kept.popitem(last=False)
        return made

    def forget(self, name: str) -> None:
        """Drop what is kept of a photo."""
        with self._lock:
            for longest in SIZES:
                self._kept.pop((name, longest), None)

    def _made(self, path: str, longest: int) -> bytes:
        try:
            return stripped(path, longest, blurred=self._blurred)
        except ImageError:  # whose sentence names the file
            raise FileNotFoundError(GONE) from None
