"""Positions and distances: degrees at the border, metres inside.

A position on earth is a `LatLon`; a position in a building or on a site without GPS is a `LocalPoint`. Inside, both are points in
metres: earth-centred coordinates for the first, x, y, 0 for the second, so that one Euclidean distance is right across UTM zones,
at the poles and over the antimeridian, and positions of different frames are never compared.
"""

import cmath
from collections.abc import Sequence
from dataclasses import dataclass
from math import asinh, atan, atan2, atanh, cos, degrees, hypot, isfinite, radians, sin, sinh, sqrt, tan
from typing import TypeAlias

import numpy as np

from sameplace.errors import PositionError
from sameplace.shapes import Array, Float64

EARTH = "earth"
LOCAL = "local"
RADIUS_M = 6378137.0
FLATTENING = 1 / 298.257223563
ECCENTRICITY_SQUARED = FLATTENING * (2 - FLATTENING)


@dataclass(frozen=True)
class LatLon:
    """A position on the WGS84 ellipsoid, in degrees: latitude in [-90, 90], longitude wrapped to [-180, 180).

    >>> LatLon(52.5, 13.4).lon
    13.4
    """

    lat: float
    lon: float

    def __post_init__(self) -> None:
        if not (isfinite(self.lat) and isfinite(self.lon) and abs(self.lat) <= 90 and abs(self.lon) <= 360):
            raise PositionError(
                f"A latitude in -90..90 and a longitude in -180..180 were wanted, got {self.lat}, {self.lon}; "
                f"are the two swapped, or are these metres?"
            )
        if not -180 <= self.lon < 180:
            wrapped = (self.lon + 180) % 360 - 180
            object.__setattr__(self, "lon", wrapped if wrapped < 180 else -180.0)  # a hair west of -180 rounds up to 180

    @property
    def frame(self) -> str:
        """Every position on earth can be compared with every other."""
        return EARTH


@dataclass(frozen=True)
class LocalPoint:
    """A position in metres in a frame of its own: a building, a site, a UTM grid whose zone is unknown."""

    x_m: float
    y_m: float

    def __post_init__(self) -> None:
        if not (isfinite(self.x_m) and isfinite(self.y_m)):
            raise PositionError(f"Finite coordinates in metres were wanted, got {self.x_m}, {self.y_m}.")

    @property
    def frame(self) -> str:
        """Local points are comparable with local points alone."""
        return LOCAL


Position: TypeAlias = LatLon | LocalPoint


@dataclass(frozen=True, eq=False)
class Positions:
    """Many positions of one frame: rows of (lat, lon) in degrees or of (x, y) in metres.

    >>> Positions.of([LatLon(52.5, 13.4), LatLon(52.5, 13.5)])[1]
    LatLon(lat=52.5, lon=13.5)
    """

    frame: str
    coordinates: Float64[Array, "points 2"]

    def __post_init__(self) -> None:
        if self.frame not in (EARTH, LOCAL):
            raise PositionError(f"A frame is {EARTH!r} or {LOCAL!r}, got {self.frame!r}.")

    @classmethod
    def of(cls, positions: Sequence[Position]) -> "Positions":
        """Gather positions, which must share a frame; none at all count as positions on earth."""
        frames = {position.frame for position in positions}
        if len(frames) > 1:
            raise PositionError(
                "Positions of one frame were wanted, got latitudes and longitudes mixed with local metres; "
                "keep the two in separate collections, or give all of them one form in a positions.csv."
            )
        coordinates = [(at.lat, at.lon) if isinstance(at, LatLon) else (at.x_m, at.y_m) for at in positions]
        return cls(frames.pop() if frames else EARTH, np.array(coordinates, dtype=np.float64).reshape(-1, 2))

    def __len__(self) -> int:
        return len(self.coordinates)

    def __getitem__(self, row: int) -> Position:
        first, second = (float(number) for number in self.coordinates[row])
        return LatLon(first, second) if self.frame == EARTH else LocalPoint(first, second)

    def metric(self) -> Float64[Array, "points 3"]:
        """Points in metres between which the Euclidean distance is the distance on the ground (see `distance`)."""
        if self.frame == EARTH:
            return earth_centred(self.coordinates)
        return np.column_stack([self.coordinates, np.zeros(len(self))])


def point(frame: str, metric: Float64[Array, " 3"]) -> Position:
    """The position at a point in metres, the inverse of `Positions.metric`: on earth, the place right above or below it."""
    if frame == LOCAL:
        return LocalPoint(float(metric[0]), float(metric[1]))
    return Positions(frame, lat_lon(metric[None]))[0]


def distance(first: Position, second: Position) -> float:
    """Metres in a straight line, which is short of the way over the ground by 1 mm at 10 km and 1 m at 100 km.

    >>> round(distance(LatLon(0.0, 179.999), LatLon(0.0, -179.999)), 1)
    222.6
    """
    ends = Positions.of([first, second]).metric()
    return float(np.linalg.norm(ends[0] - ends[1]))


def earth_centred(lat_lon: Float64[Array, "points 2"]) -> Float64[Array, "points 3"]:
    """Metres from the earth's centre, x towards 0 N 0 E and z towards the north pole, of points on the WGS84 ellipsoid."""
    latitude, longitude = np.radians(lat_lon).T
    normal = RADIUS_M / np.sqrt(1 - ECCENTRICITY_SQUARED * np.sin(latitude) ** 2)
    across = normal * np.cos(latitude)
    up = normal * (1 - ECCENTRICITY_SQUARED) * np.sin(latitude)
    return np.column_stack([across * np.cos(longitude), across * np.sin(longitude), up])


def lat_lon(earth_centred: Float64[Array, "points 3"]) -> Float64[Array, "points 2"]:
    """Latitude and longitude in degrees of points in earth-centred metres, at any height and down to 5,000 km below the ground.

    Bowring's formula (1976), repeated: it is exact on the ellipsoid, and each round gains at least two digits anywhere else.
    """
    x, y, z = earth_centred.T
    if np.any(np.linalg.norm(earth_centred, axis=1) < RADIUS_M / 5):
        raise PositionError(
            "Points in earth-centred metres were wanted, got one near the earth's centre; are these degrees, "
            "or the mean of places on opposite sides of the earth?"
        )
    across = np.hypot(x, y)
    flat = 1 - FLATTENING
    parametric = np.arctan2(z, across * flat)
    for _ in range(6):
        latitude = np.arctan2(
            z + ECCENTRICITY_SQUARED / flat * RADIUS_M * np.sin(parametric) ** 3,
            across - ECCENTRICITY_SQUARED * RADIUS_M * np.cos(parametric) ** 3,
        )
        parametric = np.arctan2(flat * np.sin(latitude), np.cos(latitude))
    longitude = np.degrees(np.arctan2(y, x))
    return np.column_stack([np.degrees(latitude), np.where(longitude >= 180, -180.0, longitude)])


# UTM by Krueger's series to the sixth order: C. Karney, "Transverse Mercator with an accuracy of a few nanometers", Journal of
# Geodesy 85 (2011), equations 7 to 11 and 19 to 21, 35 and 36. n is the third flattening.
_N = FLATTENING / (2 - FLATTENING)
_MERIDIAN_M = 0.9996 * RADIUS_M / (1 + _N) * (1 + _N**2 / 4 + _N**4 / 64 + _N**6 / 256)
_TO_GRID = (
    _N / 2 - 2 / 3 * _N**2 + 5 / 16 * _N**3 + 41 / 180 * _N**4 - 127 / 288 * _N**5 + 7891 / 37800 * _N**6,
    13 / 48 * _N**2 - 3 / 5 * _N**3 + 557 / 1440 * _N**4 + 281 / 630 * _N**5 - 1983433 / 1935360 * _N**6,
    61 / 240 * _N**3 - 103 / 140 * _N**4 + 15061 / 26880 * _N**5 + 167603 / 181440 * _N**6,
    49561 / 161280 * _N**4 - 179 / 168 * _N**5 + 6601661 / 7257600 * _N**6,
    34729 / 80640 * _N**5 - 3418889 / 1995840 * _N**6,
    212378941 / 319334400 * _N**6,
)
_FROM_GRID = (
    _N / 2 - 2 / 3 * _N**2 + 37 / 96 * _N**3 - 1 / 360 * _N**4 - 81 / 512 * _N**5 + 96199 / 604800 * _N**6,
    1 / 48 * _N**2 + 1 / 15 * _N**3 - 437 / 1440 * _N**4 + 46 / 105 * _N**5 - 1118711 / 3870720 * _N**6,
    17 / 480 * _N**3 - 37 / 840 * _N**4 - 209 / 4480 * _N**5 + 5569 / 90720 * _N**6,
    4397 / 161280 * _N**4 - 11 / 504 * _N**5 - 830251 / 7257600 * _N**6,
    4583 / 161280 * _N**5 - 108847 / 3991680 * _N**6,
    20648693 / 638668800 * _N**6,
)


def from_utm(east: float, north: float, zone: int, northern: bool) -> LatLon:
    """The position at UTM coordinates in metres (WGS84).

    >>> from_utm(391545.0, 5818254.0, 33, northern=True)  # doctest: +ELLIPSIS
    LatLon(lat=52.50..., lon=13.40...)
    """
    if not (1 <= zone <= 60 and 0 <= east <= 1e6 and 0 <= north <= 1e7):
        raise PositionError(
            f"UTM coordinates (zone 1..60, east 0..1,000,000 m, north 0..10,000,000 m) were wanted, got zone {zone}, east {east}, "
            f"north {north}; are east and north swapped, or is this another grid (then give it as x_m, y_m)?"
        )
    along = (north if northern else north - 1e7) / _MERIDIAN_M
    aside = (east - 5e5) / _MERIDIAN_M
    bent = complex(along, aside)
    bent -= sum(term * cmath.sin(2 * order * complex(along, aside)) for order, term in enumerate(_FROM_GRID, start=1))
    conformal = sin(bent.real) / hypot(sinh(bent.imag), cos(bent.real))
    tangent = conformal
    for _ in range(4):  # Newton's method; two rounds reach machine precision nearly everywhere
        missing = (conformal - _conformal(tangent)) / sqrt(1 + _conformal(tangent) ** 2)
        tangent += missing * (1 + (1 - ECCENTRICITY_SQUARED) * tangent**2) / ((1 - ECCENTRICITY_SQUARED) * hypot(1, tangent))
    return LatLon(degrees(atan(tangent)), degrees(atan2(sinh(bent.imag), cos(bent.real))) + 6 * zone - 183)


def to_utm(position: LatLon) -> tuple[float, float, int, bool]:
    """East and north in metres, the zone, and whether it is a northern one.

    >>> east, north, zone, northern = to_utm(LatLon(-33.86, 151.21))
    >>> round(east), round(north), zone, northern
    (334416, 6251925, 56, False)
    """
    if not -80 <= position.lat <= 84:
        raise PositionError(f"UTM covers latitudes from -80 to 84 degrees, got {position.lat}; use latitude and longitude there.")
    zone = utm_zone(position)
    longitude = radians(position.lon - (6 * zone - 183))
    tangent = _conformal(tan(radians(position.lat)))
    sphere = complex(atan2(tangent, cos(longitude)), asinh(sin(longitude) / hypot(tangent, cos(longitude))))
    grid = sphere + sum(term * cmath.sin(2 * order * sphere) for order, term in enumerate(_TO_GRID, start=1))
    northern = position.lat >= 0
    return 5e5 + _MERIDIAN_M * grid.imag, _MERIDIAN_M * grid.real + (0 if northern else 1e7), zone, northern


def utm_zone(position: LatLon) -> int:
    """The zone 1..60 that holds a position, with the wider zones of Norway and Svalbard.

    >>> utm_zone(LatLon(60.39, 5.32))  # Bergen
    32
    """
    if 56 <= position.lat < 64 and 3 <= position.lon < 12:
        return 32
    if 72 <= position.lat <= 84 and 0 <= position.lon < 42:
        return 31 + 2 * int((position.lon + 3) // 12)
    return min(int((position.lon + 180) // 6) + 1, 60)  # just below 180 degrees the sum rounds up to 360


def _conformal(tangent: float) -> float:
    """The tangent of the conformal latitude, from that of the latitude: equations 7 and 9."""
    eccentricity = sqrt(ECCENTRICITY_SQUARED)
    stretch = sinh(eccentricity * atanh(eccentricity * tangent / hypot(1, tangent)))
    return tangent * hypot(1, stretch) - stretch * hypot(1, tangent)
