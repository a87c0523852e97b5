"""Positions by squares of a map: the tiles of web maps on earth, and the same squares in metres in a local frame."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sameplace.geo import EARTH, Positions
from sameplace.shapes import Array, Float64, Int64

DEPTH = 28
"""Times that the world is halved until all in one square counts as one point: 0.15 m at the equator."""
CELLS = 4
"""A tile shows one point for each of its cells, which are halved so many times more: 16 x 16."""
DEEPEST = DEPTH - CELLS
WORLD_M = 40_075_016.685578488
"""The side of the square that holds the world: the earth's equator."""


def world(positions: Positions) -> Float64[Array, "points 2"]:
    """Where positions lie in a square of side 1, x eastward and y southward: Web Mercator on earth, else metres from the middle.

    >>> from sameplace.geo import LatLon
    >>> world(Positions.of([LatLon(0.0, 0.0), LatLon(85.0511287798, 180.0)])).round(6).tolist()
    [[0.5, 0.5], [0.0, 0.0]]
    """
    first, second = positions.coordinates.T
    if positions.frame == EARTH:
        sine = np.sin(np.radians(np.clip(first, -85.05112877980659, 85.05112877980659)))
        across, down = second / 360 + 0.5, 0.5 - np.log((1 + sine) / (1 - sine)) / (4 * np.pi)
        across = across % 1
    else:
        across, down = 0.5 + first / WORLD_M, 0.5 - second / WORLD_M
    points: Float64[Array, "points 2"] = np.clip(np.stack([across, down], axis=1), 0, np.nextafter(1, 0))
    return points


@dataclass(frozen=True, kw_only=True, eq=False)
class Squares:
    """Points by the square that they lie in; a square's points lie side by side in `order`."""

    points: Float64[Array, "points 2"]

    @cached_property
    def _sorted(self) -> tuple[Int64[Array, " points"], Int64[Array, " points"]]:
        codes = _codes(np.floor(self.points * 2**DEPTH).astype(np.int64))
        order = np.argsort(codes, kind="stable")
        return codes[order], order

    def tile(self, zoom: int, across: int, down: int) -> tuple[Int64[Array, " shown"], Int64[Array, " shown"]]:
        """The points that stand for all in a tile, one for each cell that is not empty, and how many each stands for."""
        codes, order = self._sorted
        side = 2 * (DEPTH - zoom)
        code = int(_codes(np.array([[across, down]], np.int64))[0])
        first, last = np.searchsorted(codes, [code << side, (code + 1) << side])
        cells = codes[first:last] >> (side - 2 * CELLS)
        _, starts, counts = np.unique(cells, return_index=True, return_counts=True)
        return order[first + starts], counts.astype(np.int64)


def _codes(corners: Int64[Array, "points 2"]) -> Int64[Array, " points"]:
    """The bits of x and y, interleaved: squares within one square have neighbouring numbers (Morton's order)."""
    codes = np.zeros(len(corners), np.int64)
    for bit in range(DEPTH):
        codes |= ((corners[:, 0] >> bit) & 1) << (2 * bit)
        codes |= ((corners[:, 1] >> bit) & 1) << (2 * bit + 1)
    return codes
