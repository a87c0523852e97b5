"""What a photo's header tells before a pixel is decoded."""

from contextlib import suppress
from pathlib import Path

from PIL import ExifTags

from sameplace.images.reading import opened
from sameplace.images.view import View

LYING = (5, 6, 7, 8)
"""EXIF orientations of photos that are stored lying on their side."""


def upright_size(source: str | Path | bytes | View) -> tuple[int, int]:
    """Height and width in pixels of a photo turned upright, or of a view; ImageError where the file is no image."""
    path = source.path if isinstance(source, View) else source
    with opened(path) as image:
        width, height = image.size
        orientation = 1
        with suppress(Exception):  # broken EXIF says nothing against the picture
            orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    if orientation in LYING:
        height, width = width, height
    if isinstance(source, View):
        if source.box is not None:
            left, top = (max(round(edge), 0) for edge in source.box[:2])
            right, bottom = min(round(source.box[2]), width), min(round(source.box[3]), height)
            height, width = max(bottom - top, 1), max(right - left, 1)
        if source.turns % 2:
            height, width = width, height
    return height, width


def fitted(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """A height and width of the same shape, brought down to some pixels on the longer side.

    >>> fitted((1500, 3000), 560)
    (280, 560)
    """
    height, width = size
    scale = min(longest / max(height, width), 1)
    return max(round(height * scale), 1), max(round(width * scale), 1)
