"""A drawing surface in metres: across a house front from its left edge, and up from the pavement."""

from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageDraw

from sameplace.datasets.toytown.materials import PIXELS_PER_METRE, Colour, ink, shade
from sameplace.shapes import Array, Bool, Num, UInt8

Metres: TypeAlias = float | int

TOP_M = 18.0
"""Height of a strip: hardly a chimney is higher."""
WINDOWS = 254
"""Every window has a number 1..254 of its own; which of them are lit is the evening's choice."""


@cache
def _ellipse(height: int, width: int) -> Bool[Array, "height width"]:
    """The pixels of the largest ellipse in a box."""
    down, right = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    inside: Bool[Array, "height width"] = down**2 + right**2 <= 1
    return inside


@dataclass(frozen=True)
class Panel:
    """Where one house is drawn: the street's colours, its windows, and the house's left edge along the street in metres."""

    colours: Num[Array, "rows columns"]
    windows: UInt8[Array, "rows columns"]
    start_m: float
    rng: np.random.Generator

    def area(self, left: Metres, top: Metres, right: Metres, bottom: Metres) -> tuple[slice, slice]:
        """A box in metres as rows and columns of the strip, cut off where the strip ends."""
        rows = slice(max(0, round((TOP_M - top) * PIXELS_PER_METRE)), max(0, round((TOP_M - bottom) * PIXELS_PER_METRE)))
        start, end = (round((self.start_m + across) * PIXELS_PER_METRE) for across in (left, right))
        return rows, slice(max(0, start), max(0, end))

    def box(self, left: Metres, top: Metres, right: Metres, bottom: Metres, colour: Colour) -> None:
        """A filled rectangle."""
        area = self.area(left, top, right, bottom)
        self.colours[area] = ink(colour)
        self.windows[area] = 0

    def pane(self, left: Metres, top: Metres, right: Metres, bottom: Metres, glass: Colour) -> None:
        """Glass behind which a light may be on."""
        number = int(self.rng.integers(1, WINDOWS + 1))
        area = self.area(left, top, right, bottom)
        self.colours[area] = ink(shade(glass, 0.85 + 0.3 * number / WINDOWS))
        self.windows[area] = number

    def disc(self, across: Metres, up: Metres, radius: Metres, colour: Colour) -> None:
        """A filled circle."""
        rows, columns = self.area(across - radius, up + radius, across + radius, up - radius)
        spot, hidden = self.colours[rows, columns], self.windows[rows, columns]
        inside = _ellipse(*spot.shape)
        spot[inside], hidden[inside] = ink(colour), 0

    def polygon(self, corners: list[tuple[Metres, Metres]], colour: Colour) -> None:
        """A filled polygon of (across, up) corners."""
        lefts, ups = zip(*corners, strict=True)
        rows, columns = self.area(min(lefts), max(ups), max(lefts), min(ups))
        spot = self.colours[rows, columns]
        if spot.size:
            stencil = Image.new("1", (spot.shape[1], spot.shape[0]))
            pixels = [
                ((self.start_m + across) * PIXELS_PER_METRE - columns.start, (TOP_M - up) * PIXELS_PER_METRE - rows.start)
                for across, up in corners
            ]
            ImageDraw.Draw(stencil).polygon(pixels, 1)
            spot[np.asarray(stencil)] = ink(colour)

    def beam(self, left: Metres, start: Metres, right: Metres, end: Metres, colour: Colour, width: Metres) -> None:
        """A straight beam from (left, start) to (right, end)."""
        length = float(np.hypot(right - left, end - start))
        aside, above = (end - start) / length * width / 2, (right - left) / length * width / 2
        corners = [
            (left - aside, start + above),
            (right - aside, end + above),
            (right + aside, end - above),
            (left + aside, start - above),
        ]
        self.polygon(corners, colour)

    def window(
        self,
        across: Metres,
        sill: Metres,
        width: Metres,
        height: Metres,
        frame: Colour,
        glass: Colour,
        *,
        bars: tuple[int, int] = (1, 1),
        arch: str = "",
    ) -> None:
        """A window with its frame and sill, divided by bars into columns and rows."""
        left, right, top = across - width / 2, across + width / 2, sill + height
        if arch:
            self._arch(across, top, width / 2 + 0.12, frame, arch)
        self.box(left - 0.12, top + 0.12, right + 0.12, sill - 0.05, frame)
        if arch:
            self._arch(across, top, width / 2, glass, arch)
        self.pane(left, top, right, sill, glass)
        for bar in range(1, bars[0]):
            middle = left + width * bar / bars[0]
            self.box(middle - 0.05, top, middle + 0.05, sill, frame)
        for bar in range(1, bars[1]):
            middle = sill + height * bar / bars[1]
            self.box(left, middle + 0.05, right, middle - 0.05, frame)
        self.box(left - 0.22, sill - 0.02, right + 0.22, sill - 0.16, shade(frame, 0.85))

    def _arch(self, across: Metres, base: float, radius: Metres, colour: Colour, kind: str) -> None:
        """The round or pointed head of a window."""
        if kind == "round":
            self.disc(across, base, radius, colour)
        else:
            self.polygon([(across - radius, base), (across, base + 3 * radius), (across + radius, base)], colour)

    def railing(self, across: Metres, floor: Metres, width: Metres, height: Metres, colour: Colour) -> None:
        """A balcony: its slab and its bars."""
        left, right = across - width / 2, across + width / 2
        self.box(left - 0.1, floor, right + 0.1, floor - 0.16, (150, 146, 140))
        self.box(left, floor + height, right, floor + height - 0.1, colour)
        for bar in range(int(width / 0.25) + 1):
            self.box(left + bar * 0.25, floor + height, left + bar * 0.25 + 0.06, floor, colour)

    def glyphs(self, left: Metres, top: Metres, width: Metres, height: Metres, colour: Colour, *, upright: bool = False) -> None:
        """Writing in toytown's own alphabet of seven strokes, no two signs alike."""
        size = width if upright else height
        letters = max(1, int((height if upright else width) / (size * 1.25)))
        stroke = max(0.08, size * 0.17)
        for letter in range(letters):
            x_left = left if upright else left + letter * size * 1.25
            y_top = top - letter * size * 1.25 if upright else top
            for segment in self.rng.choice(7, size=4, replace=False):
                along, down, flat = ((0, 0, 1), (0, 1, 1), (0, 2, 1), (0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0))[int(segment)]
                x_start, y_start = x_left + along * size * 0.8, y_top - down * size * 0.42
                end = (x_start + size * 0.8, y_start - stroke) if flat else (x_start + stroke, y_start - size * 0.5)
                self.box(x_start, y_start, *end, colour)
