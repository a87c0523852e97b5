"""An image that figures are put into, from the farthest to the nearest, with how far away everything in it is."""

from functools import lru_cache

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from sameplace.datasets.toytown.materials import Colour
from sameplace.shapes import Array, Float32

FARTHEST_M = 260.0
CODE = 255 / np.log1p(FARTHEST_M)
"""Depths are kept as 0..255, finer where they are near: Pillow draws and pastes them beside the colours."""

Corners = list[tuple[float, float]]


@lru_cache(maxsize=256)
def halo(radius: int, strength: int) -> Image.Image:
    """The light around a lamp, strength in per cent."""
    spot = Image.radial_gradient("L").resize((2 * radius, 2 * radius))
    fall = [int((255 - level) ** 3 / 255**2 * strength / 100) for level in range(256)]
    return Image.merge("RGB", [spot.point([int(level * share) for level in fall]) for share in (1.0, 0.8, 0.45)])


class Stage:
    """Colours, the light that figures give off, how far away each pixel is, and how much of it a figure covers."""

    def __init__(self, colour: Image.Image, depth: Float32[Array, "height width"]) -> None:
        self.colour = colour
        self.glow = Image.new("RGB", colour.size)
        self._depth = Image.fromarray(np.clip(np.log1p(depth) * CODE, 0, 255).astype(np.uint8))
        self._hidden = Image.new("L", colour.size)

    @property
    def depth(self) -> Float32[Array, "height width"]:
        """Distance in metres of whatever each pixel now shows."""
        metres: Float32[Array, " codes"] = np.expm1(np.arange(256) / CODE).astype(np.float32)
        return np.take(metres, np.asarray(self._depth))

    @property
    def hidden(self) -> Float32[Array, "height width"]:
        """How much of each pixel a figure covers."""
        return np.asarray(self._hidden, np.float32) / np.float32(255)

    def paste(self, image: Image.Image, left: float, top: float, depth_m: float) -> None:
        """Cover what stands behind a picture."""
        corner = round(left), round(top)
        area = (*corner, corner[0] + image.width, corner[1] + image.height)
        self.colour.paste(image, corner, image)
        self._depth.paste(_code(depth_m), area, image)
        self._hidden.paste(255, area, image)

    def line(self, points: Corners, colour: Colour, depth_m: float) -> None:
        """Draw a thin line."""
        ImageDraw.Draw(self.colour).line(points, colour)
        ImageDraw.Draw(self._depth).line(points, _code(depth_m))
        ImageDraw.Draw(self._hidden).line(points, 255)

    def polygon(self, corners: Corners, colour: Colour, depth_m: float) -> None:
        """Draw a filled polygon."""
        ImageDraw.Draw(self.colour).polygon(corners, colour)
        ImageDraw.Draw(self._depth).polygon(corners, _code(depth_m))
        ImageDraw.Draw(self._hidden).polygon(corners, 255)

    def shine(self, column: float, row: float, radius: int, strength: float) -> None:
        """Add the light of a lamp."""
        left, top = round(column) - radius, round(row) - radius
        area = left, top, left + 2 * radius, top + 2 * radius
        self.glow.paste(ImageChops.add(self.glow.crop(area), halo(radius, round(100 * strength))), (left, top))


def _code(depth_m: float) -> int:
    return min(255, int(np.log1p(depth_m) * CODE))
