"""The research photographs that published models learn from, divided by geography; none of them belongs to the repository."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sameplace.datasets import Dataset, LeaveOut, WithinMetres
from sameplace.geo import LocalPoint
from sameplace.images import ImageRecord
from sameplace.training.reach import Reach
from sameplace.training.streets import Streets

OUTDOORS = (float("-inf"), -110.0)
"""Courtyards and gardens, a panorama every 3 m, that no untrained model has seen: many a first match shows the right wall from 5 to
10 m away."""
EVERYWHERE = (float("-inf"), float("inf"))
"""Published models learn from all of getty: what their way of training gains elsewhere is measured on FOLDS."""
CHOSEN_ON = (-85.0, -35.0)
CHOOSING_LEARNS_FROM = (-10.0, float("inf"))
"""While choices were made, this part of getty was learnt from, and the one above validated on."""
FOLDS: Mapping[str, tuple[float, float]] = {
    "west": (float("-inf"), -85.0),
    "chosen on": CHOSEN_ON,
    "middle": (-35.0, 10.0),
    "east": (10.0, float("inf")),
}
"""Getty in four, each to be asked for by a model that learnt from the others; "chosen on" is where choices were made."""
GAP = 25.0
"""Metres between what is asked for and what is learnt from."""
SEEN_FROM_ONE_SIDE = 40.0
"""Degrees between the headings of two photos of iiit_campus that may show the same place."""


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


def outdoors(data: Path, metres: float = 5.0) -> Dataset:
    """The part of getty that no untrained model has seen."""
    return getty_part(data, *OUTDOORS, name=f"getty outdoors, {metres:g} m", metres=metres)


def away_from(fold: tuple[float, float]) -> tuple[tuple[float, float], ...]:
    """The parts of getty that lie a gap away from a fold, on both of its sides.

    >>> away_from((-35.0, 10.0))
    ((-inf, -60.0), (35.0, inf))
    """
    sides = ((float("-inf"), fold[0] - GAP), (fold[1] + GAP, float("inf")))
    return tuple(side for side in sides if side[0] < side[1])


def learnt_from(data: Path, parts: Sequence[tuple[float, float]], reach: Reach, *, campuses: bool = False) -> Streets:
    """Parts of getty by position, campus_buildings by building, facades without anything known.

    With `campuses` also iiit_campus by position and heading, and koe_indoor by place, where the same place means another session:
    another day, or day and night.
    """
    with (data / "campus_buildings" / "places.csv").open() as file:
        buildings = [
            ImageRecord(path=data / "campus_buildings" / row["file"], place=row["building"]) for row in csv.DictReader(file)
        ]
    facades = [ImageRecord(path=path) for path in sorted((data / "facades" / "images").rglob("*.jpg"))]
    sites = [
        Streets.of([image for part in parts for image in getty(data, *part)], reach, name="getty"),
        Streets.of_places(buildings, name="campus_buildings"),
        Streets.of(facades, reach, name="facades"),
    ]
    if campuses:
        sites += [
            Streets.of(iiit_campus(data), replace(reach, heading=SEEN_FROM_ONE_SIDE), name="iiit_campus"),
            Streets.of_places(koe_indoor(data), name="koe_indoor"),
        ]
    names = ", ".join(site.name for site in sites[1:])
    where = " or ".join(f"{part[0]:g} <= x_m < {part[1]:g}" for part in parts)
    return replace(Streets.joined(*sites), name=f"getty ({where}), {names}")


def iiit_campus(data: Path) -> list[ImageRecord]:
    """Those photos of iiit_campus whose positions are right."""
    with (data / "iiit_campus" / "positions.csv").open() as file:
        return [
            ImageRecord(
                path=data / "iiit_campus" / row["file"],
                position=LocalPoint(float(row["x_m"]), float(row["y_m"])),
                heading_deg=float(row["heading_deg"]) if row["heading_deg"] else None,
            )
            for row in csv.DictReader(file)
            if row["position_ok"] == "1"
        ]


def koe_indoor(data: Path) -> list[ImageRecord]:
    """The photos of koe_indoor; those of one session count as one panorama: they teach nothing about each other."""
    with (data / "koe_indoor" / "places.csv").open() as file:
        return [
            ImageRecord(
                path=data / "koe_indoor" / row["file"],
                place=row["place"],
                panorama=f"{row['place']} {row['condition']} {row['date'][:10]}",
            )
            for row in csv.DictReader(file)
        ]
