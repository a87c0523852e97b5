"""A map that stands still: a picture of a part of a plan, which needs no script and fits where only a picture may be."""

from dataclasses import dataclass
from math import floor, log10

import numpy as np

from sameplace.pages.markup import text
from sameplace.shapes import Array, Float64

WIDTH, HEIGHT = 460, 300
EDGE = 28
"""Pixels around what is to be seen."""
LEAST_M = 40.0
"""A map shows at least so many metres, so that one place is not all of it."""
SQUARE = 70
"""About so many pixels lie between two lines of the grid."""


@dataclass(frozen=True, kw_only=True)
class Still:
    """Which part of a plan is shown, and how large.

    >>> Still.holding(np.array([[0.0, 0.0], [2020.0, 0.0]])).metres
    5.0
    """

    middle: tuple[float, float]
    """Metres east and north on the plan."""
    metres: float
    """Metres that a pixel spans."""

    @classmethod
    def holding(cls, points: Float64[Array, "points 2"]) -> "Still":
        """The part of the plan that holds these points, at least one, and not much more."""
        least, most = points.min(axis=0), points.max(axis=0)
        width, height = np.maximum(most - least, LEAST_M)
        east, north = (least + most) / 2
        return cls(middle=(float(east), float(north)), metres=float(max(width / (WIDTH - 2 * EDGE), height / (HEIGHT - 2 * EDGE))))

    def pixels(self, points: Float64[Array, "points 2"]) -> Float64[Array, "points 2"]:
        """Where points of the plan lie in the picture, right and down from its corner."""
        return (points - self.middle) / self.metres * (1, -1) + (WIDTH / 2, HEIGHT / 2)

    def dots(self, points: Float64[Array, "points 2"]) -> str:
        """Places as dots."""
        marks = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in self.pixels(points))
        return f'<path class="dots" d="{marks}"/>'

    def svg(self, layers: str, label: str) -> str:
        """The picture: a grid, the layers on it, and a scale; north is up."""
        step = _round(SQUARE * self.metres)
        apart = step / self.metres
        across = "".join(f"M{x:.1f} 0V{HEIGHT}" for x in np.arange(WIDTH / 2 % apart, WIDTH, apart))
        down = "".join(f"M0 {y:.1f}H{WIDTH}" for y in np.arange(HEIGHT / 2 % apart, HEIGHT, apart))
        told = f"{step / 1000:g} km" if step >= 1000 else f"{step:g} m"
        return (
            f'<svg class="map" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{text(label)}">'
            f'<path class="grid" d="{across}{down}"/>{layers}<path class="scale" d="M14 {HEIGHT - 20}v7h{apart:.1f}v-7"/>'
            f'<text class="scale" x="18" y="{HEIGHT - 19}">{told}</text></svg>'
        )


def _round(metres: float) -> float:
    """The largest 1, 2 or 5 times a power of ten that is no longer.

    >>> _round(90.0), _round(0.3), _round(1000.0)
    (50.0, 0.2, 1000.0)
    """
    power = 10.0 ** floor(log10(metres) + 1e-9)
    return next(digit * power for digit in (5, 2, 1) if digit * power <= metres * (1 + 1e-9))
