"""The research photographs that published models learn from, divided by geography; none of them belongs to the repository."""

import csv
from dataclasses import replace
from pathlib import Path

from sameplace.datasets import Dataset, LeaveOut, WithinMetres
from sameplace.geo import LocalPoint
from sameplace.images import ImageRecord
from sameplace.training.reach import Reach
from sameplace.training.streets import Streets

HELD_OUT_BELOW = -110.0
"""getty x_m below this was never learnt from by any published model: neither weights, nor vocabulary, nor whitening."""
LEARNT_FROM = -85.0
"""Published models learn from getty x_m at or above this: the belt of 25 m between is in neither part."""
CHOSEN_ON = (-85.0, -35.0)
CHOOSING_LEARNS_FROM = -10.0
"""While choices were made, getty x_m at or above this was learnt from, and the part above validated on."""


def getty(data: Path, least: float, below: float = float("inf")) -> tuple[ImageRecord, ...]:
    """Tiles of getty's panoramas with least <= x_m < below."""
    with (data / "getty" / "positions.csv").open() as file:
        return tuple(
            ImageRecord(
                path=data / "getty" / row["file"],
                position=LocalPoint(float(row["x_m"]), float(row["y_m"])),
                panorama=row["panorama"],
            )
            for row in csv.DictReader(file)
            if least <= float(row["x_m"]) < below
        )


def getty_part(data: Path, least: float, below: float, *, name: str, metres: float = 5.0) -> Dataset:
    """A part of getty in which every tile asks for those of other panoramas."""
    images = getty(data, least, below)
    return Dataset(
        name=name, database=images, queries=images, truth=WithinMetres(metres), left_out=LeaveOut(content=True, panorama=True)
    )


def held_out(data: Path, metres: float = 5.0) -> Dataset:
    """The part of getty that no published model has seen."""
    return getty_part(data, float("-inf"), HELD_OUT_BELOW, name=f"getty held out, {metres:g} m", metres=metres)


def learnt_from(data: Path, least: float, reach: Reach) -> Streets:
    """Getty by position, campus_buildings by building, facades without anything known."""
    with (data / "campus_buildings" / "places.csv").open() as file:
        buildings = [
            ImageRecord(path=data / "campus_buildings" / row["file"], place=row["building"]) for row in csv.DictReader(file)
        ]
    facades = [ImageRecord(path=path) for path in sorted((data / "facades" / "images").rglob("*.jpg"))]
    sites = (
        Streets.of(getty(data, least), reach, name="getty"),
        Streets.of_places(buildings, name="campus_buildings"),
        Streets.of(facades, reach, name="facades"),
    )
    return replace(Streets.joined(*sites), name=f"getty (x_m >= {least:g}), campus_buildings, facades")
