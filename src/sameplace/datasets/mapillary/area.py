"""Areas on earth, a rectangle of degrees or a circle, and the small boxes that they are cut into for a search."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, cos, isfinite, radians

import numpy as np

from sameplace.errors import PositionError
from sameplace.geo import LatLon, distance, earth_centred

METRES_A_DEGREE = 110_500.0
"""Less than any degree of latitude has, so that a circle lies within its rectangle."""


@dataclass(frozen=True, order=True)
class Box:
    """A rectangle of degrees whose west is west of its east."""

    west: float
    south: float
    east: float
    north: float

    def __str__(self) -> str:
        """As Mapillary's parameter `bbox` is written, to the centimetre."""
        return f"{self.west:.7f},{self.south:.7f},{self.east:.7f},{self.north:.7f}"

    @property
    def side(self) -> float:
        """Degrees of the longer side."""
        return max(self.east - self.west, self.north - self.south)

    def quarters(self) -> tuple["Box", ...]:
        """The four boxes that it consists of.

        >>> [str(quarter) for quarter in Box(0.0, 0.0, 2.0, 2.0).quarters()][:1]
        ['0.0000000,0.0000000,1.0000000,1.0000000']
        """
        return tuple(_cut(self, 2, 2))


@dataclass(frozen=True, kw_only=True)
class Area:
    """A part of the earth, with a middle; one whose west is greater than its east reaches over the antimeridian."""

    south: float
    west: float
    north: float
    east: float
    centre: LatLon
    radius: float | None = None
    """Metres around the centre, or None where the whole rectangle is meant."""

    @classmethod
    def between(cls, south: float, west: float, north: float, east: float) -> "Area":
        """The rectangle between two latitudes and two longitudes, in degrees; PositionError where they are none.

        >>> Area.between(52.5, 13.3, 52.6, 13.5).centre
        LatLon(lat=52.55, lon=13.4)
        """
        numbers = (south, west, north, east)
        sane = all(isfinite(number) for number in numbers) and abs(west) <= 180 and abs(east) <= 180
        if not sane or not -90 <= south < north <= 90 or (west >= east and (west - east) % 360 == 0):
            raise PositionError(
                f"An area was wanted as south, west, north, east (latitudes in -90..90, the first below the second, longitudes in "
                f"-180..180), got {', '.join(f'{number:g}' for number in numbers)}; are latitudes and longitudes swapped?"
            )
        width = east - west if west < east else east - west + 360
        return cls(south=south, west=west, north=north, east=east, centre=LatLon((south + north) / 2, west + width / 2))

    @classmethod
    def around(cls, centre: LatLon, radius: float) -> "Area":
        """The circle of a radius in metres around a position; PositionError where the radius is none.

        >>> round(Area.around(LatLon(0.0, 13.4), 1105.0).north, 6)
        0.01
        """
        if not (isfinite(radius) and 0 < radius < 10_000_000):
            raise PositionError(f"A radius in metres was wanted, got {radius:g}; give one like 500.")
        height = radius / METRES_A_DEGREE
        south, north = max(centre.lat - height, -90.0), min(centre.lat + height, 90.0)
        highest = max(abs(south), abs(north))
        width = radius / (METRES_A_DEGREE * cos(radians(highest))) if highest < 89.99 else 180.0
        west, east = (-180.0, 180.0) if width >= 180 else (_wrapped(centre.lon - width), _wrapped(centre.lon + width))
        return cls(south=south, west=west, north=north, east=east, centre=centre, radius=radius)

    def __str__(self) -> str:
        if self.radius is not None:
            return f"{self.radius:g} m around {self.centre.lat:g}, {self.centre.lon:g}"
        return f"{self.south:g}, {self.west:g} to {self.north:g}, {self.east:g}"

    def contains(self, position: LatLon) -> bool:
        """Whether a position lies in it; its edges belong to it."""
        if self.radius is not None:
            return distance(self.centre, position) <= self.radius
        inside = any(box.west <= position.lon <= box.east for box in self._parts()) or (position.lon == -180 and self.east == 180)
        return inside and self.south <= position.lat <= self.north

    def boxes_of(self, side: float) -> int:
        """How many boxes `cut` has to look at."""
        return sum(rows * columns for rows, columns in (_counts(part, side) for part in self._parts()))

    def cut(self, side: float) -> list[Box]:
        """The boxes that cover it, each at most so many degrees wide and high; neighbours share an edge."""
        boxes = [box for part in self._parts() for box in _cut(part, *_counts(part, side))]
        if self.radius is None:
            return boxes
        return [box for box, metres in zip(boxes, self.distances(boxes), strict=True) if metres <= self.radius]

    def distances(self, boxes: Sequence[Box]) -> list[float]:
        """Metres from the middle to the nearest point of each box, and 0 where it lies inside; a metre less, to be safe."""
        if not boxes:
            return []
        edges = np.array([(box.south, box.west, box.north, box.east) for box in boxes], dtype=np.float64)
        # The middle as seen from the box: the turn of the earth that lies nearest to it.
        longitude = self.centre.lon + 360 * np.round(((edges[:, 1] + edges[:, 3]) / 2 - self.centre.lon) / 360)
        nearest = np.column_stack(
            [np.clip(self.centre.lat, edges[:, 0], edges[:, 2]), np.clip(longitude, edges[:, 1], edges[:, 3])]
        )
        middle = earth_centred(np.array([[self.centre.lat, self.centre.lon]], dtype=np.float64))
        metres = np.linalg.norm(earth_centred(nearest) - middle, axis=1) - 1
        return [float(number) for number in np.maximum(metres, 0)]

    def _parts(self) -> tuple[Box, ...]:
        """One rectangle, or the two on both sides of the antimeridian."""
        if self.west < self.east:
            return (Box(self.west, self.south, self.east, self.north),)
        sides = (Box(self.west, self.south, 180.0, self.north), Box(-180.0, self.south, self.east, self.north))
        return tuple(box for box in sides if box.west < box.east)


def _counts(box: Box, side: float) -> tuple[int, int]:
    # A side of 0.1 degrees holds 20 of 0.005, not 21, whatever the last digit of a float says.
    return ceil((box.north - box.south) / side - 1e-6) or 1, ceil((box.east - box.west) / side - 1e-6) or 1


def _cut(box: Box, rows: int, columns: int) -> list[Box]:
    south = np.linspace(box.south, box.north, rows + 1).tolist()
    west = np.linspace(box.west, box.east, columns + 1).tolist()
    return [Box(west[x], south[y], west[x + 1], south[y + 1]) for y in range(rows) for x in range(columns)]


def _wrapped(longitude: float) -> float:
    return (longitude + 180) % 360 - 180
