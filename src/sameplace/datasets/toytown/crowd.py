"""Who and what is in a street during one pass, here today and gone tomorrow: cars, people, market stalls, garlands."""

from collections.abc import Iterator

import numpy as np

from sameplace.datasets.toytown.clutter import PAINTS
from sameplace.datasets.toytown.materials import ACCENTS
from sameplace.datasets.toytown.street import BLOCK_M, Standing

FOR_CARS_M = 6.0
CLEAR_M = 8.0
"""Nobody parks this near to a crossing's middle."""
GARLAND_M = 22.0


def crowd(length: float, half_width: float, stalls: float, garland: str, rng: np.random.Generator) -> tuple[Standing, ...]:
    """All that a pass meets in a street of a length and half width in metres; `stalls` is how much of a market there is."""
    return (*_garlands(length, garland, rng), *_cars(length, half_width, rng), *_pavements(length, half_width, stalls, rng))


def _garlands(length: float, kind: str, rng: np.random.Generator) -> Iterator[Standing]:
    for step in range(int(length / GARLAND_M)):
        along, height = GARLAND_M * step + float(rng.uniform(0, 18)), float(rng.uniform(4.2, 6.0))
        yield Standing(kind=kind, along_m=along, across_m=0.0, height_m=height, variant=int(rng.integers(len(ACCENTS))))


def _cars(length: float, half_width: float, rng: np.random.Generator) -> Iterator[Standing]:
    for side in (-1, 1):
        parked = float(rng.uniform(0.3, 0.9))
        for lot in range(int((length - 5) / FOR_CARS_M)):
            along = 2.0 + lot * FOR_CARS_M
            off_crossing = abs((along + BLOCK_M / 2) % BLOCK_M - BLOCK_M / 2)
            if rng.random() < parked and off_crossing > CLEAR_M:
                kind, height = ("van", 2.3) if rng.random() < 0.2 else ("car", 1.5)
                variant = int(rng.integers(len(PAINTS)))
                yield Standing(kind=kind, along_m=along, across_m=side * (half_width - 3.6), height_m=height, variant=variant)


def _pavements(length: float, half_width: float, stalls: float, rng: np.random.Generator) -> Iterator[Standing]:
    for side in (-1, 1):
        for _ in range(int(length / 12 * stalls)):
            along, across = float(rng.uniform(0, length)), side * (half_width - float(rng.uniform(1.2, 1.8)))
            yield Standing(kind="stall", along_m=along, across_m=across, height_m=2.7, variant=int(rng.integers(8)))
        for _ in range(int(length / 6)):
            along, across = float(rng.uniform(0, length)), side * (half_width - float(rng.uniform(0.6, 2.0)))
            height, variant = float(rng.uniform(1.5, 1.85)), int(rng.integers(12))
            yield Standing(kind="person", along_m=along, across_m=across, height_m=height, variant=variant)
