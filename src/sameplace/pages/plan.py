"""A flat drawing of positions: metres east and north of a centre, thinned to what an eye can tell apart."""

from dataclasses import dataclass

import numpy as np

from sameplace.geo import EARTH, RADIUS_M, LatLon, LocalPoint, Position, Positions, point
from sameplace.shapes import Array, Float64, Int64

NORTH_STEP_DEG = 1e-4


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A plane that touches the earth at its centre, or that of a local frame: distances and bearings from the centre are true.

    >>> plan = Plan(centre=LatLon(52.5, 13.4))
    >>> plan.flat(Positions.of([LatLon(52.5, 13.4), LatLon(52.501, 13.401)])).round().tolist()
    [[0.0, 0.0], [68.0, 111.0]]
    """

    centre: Position

    @classmethod
    def around(cls, positions: Positions) -> "Plan":
        """The plan whose centre lies in the middle of these positions."""
        metric = positions.metric()
        middle = (metric.min(axis=0) + metric.max(axis=0)) / 2
        if positions.frame == EARTH and np.linalg.norm(middle) < RADIUS_M / 4:  # spread over the whole globe: it has no middle
            middle = metric[0]
        return cls(centre=point(positions.frame, middle))

    def flat(self, positions: Positions) -> Float64[Array, "points 2"]:
        """Metres east and north of the centre; over the whole earth this is the azimuthal equidistant projection."""
        origin = Positions.of([self.centre]).metric()[0]
        offsets: Float64[Array, "points 3"] = positions.metric() - origin
        if isinstance(self.centre, LocalPoint):
            return np.ascontiguousarray(offsets[:, :2])
        east, north, up = _axes(self.centre)
        eastward, northward, upward = offsets @ east, offsets @ north, offsets @ up
        chord = np.sqrt(eastward**2 + northward**2 + upward**2)
        along_the_ground = 2 * RADIUS_M * np.arcsin(np.minimum(chord / (2 * RADIUS_M), 1))
        level = np.hypot(eastward, northward)
        stretch = np.divide(along_the_ground, level, out=np.ones_like(level), where=level > 0)
        return np.stack([eastward * stretch, northward * stretch], axis=1)

    def north(self, position: Position) -> float:
        """Degrees clockwise from up on the plan to north at a position: zero at the centre, and nearly so in one city."""
        if isinstance(position, LocalPoint):
            return 0.0
        step = NORTH_STEP_DEG if position.lat + NORTH_STEP_DEG <= 90 else 0.0
        here, there = self.flat(Positions.of([position, LatLon(position.lat + step, position.lon)]))
        eastward, northward = there - here
        return float(np.degrees(np.arctan2(eastward, northward)))


def _axes(centre: LatLon) -> tuple[Float64[Array, " 3"], Float64[Array, " 3"], Float64[Array, " 3"]]:
    """East, north and up at a position, as unit vectors of the earth-centred frame."""
    lat, lon = np.radians(centre.lat), np.radians(centre.lon)
    east = np.array([-np.sin(lon), np.cos(lon), 0.0])
    north = np.array([-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)])
    return east, north, np.cross(east, north)


def thinned(points: Float64[Array, "points 2"], limit: int) -> Int64[Array, " kept"]:
    """Rows of at most `limit` points that still show the same shape: the first point in each cell of a grid.

    >>> thinned(np.array([[0.0, 0.0], [0.1, 0.0], [9.0, 9.0]]), limit=2).tolist()
    [0, 2]
    """
    if len(points) <= limit:
        return np.arange(len(points), dtype=np.int64)
    extent = float(np.ptp(points, axis=0).max())
    cells_a_side = 4096
    while True:
        cell = max(extent, 1e-9) / cells_a_side
        cells = np.floor((points - points.min(axis=0)) / cell).astype(np.int64)
        _, first = np.unique(cells @ np.array([cells_a_side + 1, 1]), return_index=True)
        if len(first) <= limit or cells_a_side == 1:
            return np.sort(first[:limit])
        cells_a_side //= 2
