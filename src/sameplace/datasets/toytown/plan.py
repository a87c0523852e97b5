"""The plan of toytown: its streets, the places along them, and where a pass really stood and looked."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from sameplace.datasets.toytown.street import BLOCK_M
from sameplace.geo import LatLon, from_utm

STEP_M = 15.0
"""From one place to the next along a street."""
FIRST_M = 22.5
"""From a crossing to the first place: places of crossing streets are more than 25 m apart."""
PLACES_PER_BLOCK = 5
UTM_ZONE = 31
"""Toytown lies in the North Sea, where no map has anything to say against it."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Somewhere on a street, looking somewhere: how far along it is, and how far to the right of its direction it looks."""

    street: int
    along_m: float
    look_deg: float


@dataclass(frozen=True, kw_only=True)
class View:
    """Where a photo of a place was really taken from, and how."""

    along_m: float
    across_m: float
    look_deg: float
    tilt: float
    roll: float
    zoom: float
    exposure: tuple[float, float, float]
    """How bright the camera took red, green and blue."""
    position: LatLon
    heading_deg: float
    time: datetime


@dataclass(frozen=True, kw_only=True)
class Town:
    """A grid of streets; the first half runs east, the second north."""

    blocks: int
    places: tuple[Place, ...]
    seed: int

    @property
    def streets(self) -> int:
        """How many streets have a place to photograph."""
        return self.places[-1].street + 1

    def block(self, place: Place) -> int:
        """Which block a place is in, counted from the first street's first."""
        return place.street * self.blocks + int(place.along_m / BLOCK_M)

    def grid(self, street: int, along_m: float, across_m: float) -> tuple[float, float]:
        """Metres east and north of the town's south-western crossing."""
        if street <= self.blocks:
            return along_m, street * BLOCK_M - across_m
        return (street - self.blocks - 1) * BLOCK_M + across_m, along_m

    def position(self, street: int, along_m: float, across_m: float) -> LatLon:
        """Latitude and longitude; every seed builds its town elsewhere."""
        east, north = self.grid(street, along_m, across_m)
        return from_utm(
            500_000 + 2_000 * (self.seed % 50) + east, 6_000_000 + 2_000 * (self.seed // 50 % 50) + north, UTM_ZONE, True
        )

    def direction_deg(self, street: int) -> float:
        """Where a street leads to, clockwise from north."""
        return 90.0 if street <= self.blocks else 0.0


def plan(places: int, seed: int, rng: np.random.Generator) -> Town:
    """The smallest town with as many places as asked for."""
    blocks = 1
    while 2 * (blocks + 1) * blocks * PLACES_PER_BLOCK < places:
        blocks += 1
    spots = [
        (street, block * BLOCK_M + FIRST_M + step * STEP_M)
        for street in range(2 * (blocks + 1))
        for block in range(blocks)
        for step in range(PLACES_PER_BLOCK)
    ]
    looks = rng.uniform(16, 42, size=len(spots)) * rng.choice([-1, 1], size=len(spots))
    chosen = tuple(
        Place(street=street, along_m=along, look_deg=float(look))
        for (street, along), look in zip(spots[:places], looks[:places], strict=True)
    )
    return Town(blocks=blocks, places=chosen, seed=seed)


def stand(town: Town, place: Place, start: datetime, jitter: float, rng: np.random.Generator) -> View:
    """Where a pass stood at a place: exactly there with no jitter, up to 2 m and some degrees off with a jitter of 1."""
    along, across = place.along_m + 2.0 * jitter * rng.uniform(-1, 1), 1.5 * jitter * rng.uniform(-1, 1)
    look = place.look_deg + 8 * jitter * rng.uniform(-1, 1)
    bright, tint = float(np.exp(0.2 * jitter * rng.uniform(-1, 1))), np.exp(0.08 * jitter * rng.uniform(-1, 1, size=2))
    return View(
        along_m=float(along),
        across_m=float(across),
        look_deg=float(look),
        tilt=float(0.03 * jitter * rng.uniform(-1, 1)),
        roll=float(0.025 * jitter * rng.uniform(-1, 1)),
        zoom=float(1 + 0.14 * jitter * rng.uniform(-1, 1)),
        exposure=(bright * float(tint[0]), bright, bright * float(tint[1])),
        position=town.position(place.street, float(along), float(across)),
        heading_deg=float((town.direction_deg(place.street) + look) % 360),
        time=start + timedelta(seconds=5 * float(place.along_m) / STEP_M),
    )
