"""The one way from a photo to pixels: decode, turn upright, convert to RGB, resize; and the one place that limits their number."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from io import BufferedReader, BytesIO
from pathlib import Path
from threading import Lock
from typing import Any, Final, TypeAlias, cast

import numpy as np
from PIL import ExifTags, Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile as PillowFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from sameplace.errors import ImageError, MissingExtra
from sameplace.images.remarks import SILENCE
from sameplace.images.view import View
from sameplace.shapes import Array, Float32, UInt8

PIXEL_LIMIT: Final = 100_000_000
"""Pixels of the largest image that is decoded: 400 MB while it lasts, for one thread at a time."""

REDUCTION: Final = 10
"""A baseline JPEG may have this many times the limit, for it is decoded at a half, a quarter or an eighth of its sides."""

LARGE_PIXELS: Final = 25_000_000
"""Images of more pixels are decoded one at a time, so that memory does not grow with the threads that read."""

SMALL_BYTES: Final = 1_000_000
"""Files of fewer bytes are read at once."""

SUFFIXES: Final = frozenset(
    {".jpg", ".jpeg", ".jpe", ".png", ".webp", ".heic", ".heif", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".pgm", ".mpo"}
)
"""File names that a folder is searched for; what a file holds is told by its first bytes, never by its name."""

Stream: TypeAlias = BufferedReader | BytesIO
ONE_LARGE: Final = Lock()
RESAMPLING: Final = Image.Resampling.BICUBIC
BACKDROP: Final = (128, 128, 128)  # behind transparent pixels; black or white would draw edges that the photo does not have
UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_image(
    source: str | Path | bytes | View, size: tuple[int, int], *, pixel_limit: int = PIXEL_LIMIT
) -> UInt8[Array, "height width 3"]:
    """Read a photo, upright, as RGB of the given height and width; the whole photo is squashed to that shape, nothing is cut off.

    A view is squashed likewise: the part that it shows, turned as it says. Colour profiles are not applied. Raises ImageError for
    whatever is no readable image.
    """
    if not isinstance(source, View):
        return _read(source, size, pixel_limit)
    untwisted = size if source.turns % 2 == 0 else (size[1], size[0])
    if source.box is None:
        pixels = _read(source.path, untwisted, pixel_limit)
    else:
        pixels = _read_part(source.path, source.box, untwisted, pixel_limit)
    return np.ascontiguousarray(np.rot90(pixels, source.turns))


def _read(source: str | Path | bytes, size: tuple[int, int], pixel_limit: int) -> UInt8[Array, "height width 3"]:
    with opened(source, whole=True) as image:
        box = _reduce(image, size, pixel_limit, _name(source))
        with understood(_name(source)), _room(image):
            image.load()
            plain = _plain(image)
        # Only now, for Pillow turns a TIFF upright while it loads, and a PNG may hold its EXIF behind its pixels.
        orientation = _orientation(image)
    resized = plain.resize(_axes(size, orientation), RESAMPLING, box=box)
    if orientation in UPRIGHT:
        resized = resized.transpose(UPRIGHT[orientation])
    return _pixels(resized)


def _read_part(
    source: Path, box: tuple[float, float, float, float], size: tuple[int, int], pixel_limit: int
) -> UInt8[Array, "height width 3"]:
    """The pixels of a part, of which no pixel outside is mixed in: the photo is decoded whole, turned upright, and cut."""
    with opened(source) as image:
        _limit(image, pixel_limit, _name(source))
        with understood(_name(source)), _room(image):
            image.load()
            plain = _plain(image)
        orientation = _orientation(image)
    upright = plain.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else plain
    left, top = (max(round(edge), 0) for edge in box[:2])
    right, bottom = min(round(box[2]), upright.width), min(round(box[3]), upright.height)
    if left >= right or top >= bottom:
        raise ImageError(
            f"A part of {_name(source)} was wanted at {' '.join(f'{edge:g}' for edge in box)} (left, top, right, bottom), but the "
            f"photo has {upright.width:,} x {upright.height:,} pixels; check that list and photo belong together."
        )
    return _pixels(upright.crop((left, top, right, bottom)).resize((size[1], size[0]), RESAMPLING))


def _pixels(resized: Image.Image) -> UInt8[Array, "height width 3"]:
    if resized.mode == "F":
        resized = Image.fromarray(np.clip(np.rint(np.asarray(resized)), 0, 255).astype(np.uint8))
    return np.array(resized.convert("RGB"))


@contextmanager
def opened(source: str | Path | bytes, *, whole: bool = False) -> Iterator[PillowFile]:
    """Open an image of which the header is read and no pixel; ImageError where it is none. `whole` is for who wants its pixels."""
    try:
        stream = BytesIO(source) if isinstance(source, bytes) else _stream(Path(source), whole)
    except FileNotFoundError:
        raise ImageError(f"There is no photo at {source!s}; check the path.") from None
    except IsADirectoryError:
        raise ImageError(f"A photo was wanted, but {source!s} is a folder; name a photo in it.") from None
    except (OSError, ValueError) as error:
        raise ImageError(f"{_name(source)} cannot be opened ({_first_line(error)}); check its name and permissions.") from error
    with stream, SILENCE, _recognised(_name(source), stream) as image:
        yield image


def _stream(path: Path, whole: bool) -> Stream:
    """A file; a small one that is wanted whole is read at once, for asking the system for it bit by bit takes longer."""
    if whole:
        with path.open("rb") as file:
            content = file.read(SMALL_BYTES)
        if len(content) < SMALL_BYTES:
            return BytesIO(content)
    return path.open("rb")


@contextmanager
def understood(name: str) -> Iterator[None]:
    """Make an ImageError of whatever Pillow raises inside: its readers raise anything that a broken file makes them stumble on."""
    try:
        yield
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError(f"{name} needs more memory than there is; make the image smaller.") from error
    except Exception as error:
        raise ImageError(f"{name} is broken or cut off ({_first_line(error)}); copy it again from where it came from.") from error


def _room(image: PillowFile) -> AbstractContextManager[object]:
    """Waits for other large images to be done with."""
    return ONE_LARGE if image.width * image.height > LARGE_PIXELS else nullcontext()


def _recognised(name: str, stream: Stream) -> PillowFile:
    # Not Image.open: it warns above 89 and refuses above 179 million pixels by a global setting, before a JPEG could be reduced,
    # and it tries every format there is, some of which start other programs.
    start = stream.read(32)
    stream.seek(0)
    if not start:
        raise ImageError(f"{name} is empty; copy it again from where it came from.")
    for reader, signature in READERS:
        if signature.match(start):
            with understood(name):
                return reader(stream)
    raise ImageError(
        f"{name} is no image that can be read (JPEG, PNG, WebP, HEIC, TIFF, BMP, GIF or PPM): it starts with {start[:12]!r}; "
        f"export it as JPEG."
    )


def _heif(stream: Stream) -> PillowFile:
    try:
        import pillow_heif
    except ImportError:
        raise ImageError(str(MissingExtra("Reading HEIC photos", "heic"))) from None
    library: Any = pillow_heif
    return cast(PillowFile, library.HeifImageFile(stream))


READERS: Final[tuple[tuple[Callable[[Stream], PillowFile], re.Pattern[bytes]], ...]] = tuple(
    (reader, re.compile(signature, re.DOTALL))
    for reader, signature in (
        (JpegImageFile, rb"\xff\xd8\xff"),
        (PngImageFile, rb"\x89PNG\r\n\x1a\n"),
        (WebPImageFile, rb"RIFF....WEBP"),
        (_heif, rb"....ftyp(hei[cxms]|hev[cxms]|mif1|msf1)"),
        (TiffImageFile, rb"II[*+]\0|MM\0[*+]"),
        (GifImageFile, rb"GIF8[79]a"),
        (PpmImageFile, rb"P[1-6]\s"),
        (BmpImageFile, rb"BM"),
    )
)


def _reduce(image: PillowFile, size: tuple[int, int], pixel_limit: int, name: str) -> tuple[float, float, float, float] | None:
    """Let a large JPEG be decoded smaller, at least twice what is wanted; the box is where the photo then lies."""
    box = None
    if isinstance(image, JpegImageFile):
        # A progressive JPEG is unpacked whole, in memory, before it can be reduced.
        _limit(image, pixel_limit if "progressive" in image.info else pixel_limit * REDUCTION, name)
        across, down = _axes(size, _orientation(image))
        drafted = image.draft(None, (2 * across, 2 * down))
        box = (0.0, 0.0, *drafted[1][2:]) if drafted else None
    _limit(image, pixel_limit, name)
    return box


def _limit(image: PillowFile, pixel_limit: int, name: str) -> None:
    if image.width * image.height > pixel_limit:
        raise ImageError(
            f"{name} has {image.width:,} x {image.height:,} pixels, but at most {pixel_limit:,} are read; make it smaller, "
            f"or raise pixel_limit where you trust it."
        )


def _orientation(image: PillowFile) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # broken EXIF says nothing against the pixels
        return 1


def _axes(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Width and height to give to the stored photo so that, turned upright, it has the (height, width) wanted."""
    height, width = size
    return (height, width) if orientation in (5, 6, 7, 8) else (width, height)


def _plain(image: Image.Image) -> Image.Image:
    """Without palette, ink, transparency or depth: mode L or RGB, or F in 0..255."""
    if image.mode == "F" or image.mode.startswith("I"):
        return Image.fromarray(_eight_bits(np.asarray(image).astype(np.float32), whole=image.mode != "F"))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        backdrop = Image.new("RGB", image.size, BACKDROP)
        backdrop.paste(layer, mask=layer.getchannel("A"))
        return backdrop
    if image.mode in ("L", "RGB"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _eight_bits(levels: Float32[Array, "height width"], whole: bool) -> Float32[Array, "height width"]:
    """Levels as 0..255. Whole numbers have 16 bits, fractions go to 1, 255 or 65535; what does not fit is stretched to fit."""
    known = np.isfinite(levels)
    low, high = (float(levels[known].min()), float(levels[known].max())) if known.any() else (0.0, 1.0)
    for ceiling in (65535.0,) if whole else (1.0, 255.0, 65535.0):
        if low >= 0 and high <= ceiling:
            low, high = 0.0, ceiling
            break
    return np.where(known, (levels - low) * (255 / (high - low or 1.0)), 0).astype(np.float32)


def _name(source: str | Path | bytes) -> str:
    return "This image" if isinstance(source, bytes) else Path(source).name


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__
