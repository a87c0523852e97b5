"""Which parts of an atlas are weak, told by locating its own photos among the others: where to take more."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sameplace.atlas.consensus import SAME_PLACE_M
from sameplace.atlas.estimate import coordinates
from sameplace.atlas.impostors import sample
from sameplace.atlas.leave_out import Asked, leave_out
from sameplace.atlas.passes import ANOTHER_TIME_S, ANSWERABLE_M, Columns
from sameplace.atlas.snapshot import Snapshot
from sameplace.errors import AtlasError
from sameplace.geo import Position, Positions, point
from sameplace.shapes import Array, Float64, Int64

CELL_M = 50.0
"""The side of a part: about a house front and the street before it."""
SAMPLE = 5000
"""Photos that are located among the others at most: half a minute's work."""
FOUND = 0.5
"""A part is weak where fewer than so many of its photos are found again."""
REASONS = {
    "sparse": "no photos of another moment are near enough to recognise it from",
    "look-alike": "its photos are taken for another place",
    "one light": "all its photos were taken at one time, other parts were photographed at several",
}

CURES = {
    "sparse": f"take photos there on another day, at most {ANSWERABLE_M:g} m apart",
    "look-alike": "take photos of what no other place has, from several sides",
    "one light": "go there again at another time of day, or in another season",
}
"""What would help, for each of the REASONS."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of the map."""

    position: Position
    """The middle of its photos."""
    photos: int
    asked: int
    """How many of them were located among the others."""
    found: int
    """How many of those were located within 25 m."""
    weakness: str | None
    """Why it is weak, one of REASONS; None where it is not."""
    example: str
    """The path of one of its photos."""
    taken_for: str | None
    """The path of a photo elsewhere that looks like one of it, where that is its weakness."""

    def to_json(self) -> dict[str, Any]:
        """Plain values for scripts."""
        return {
            **coordinates(self.position),
            "photos": self.photos,
            "asked": self.asked,
            "found": self.found,
            "weakness": self.weakness,
            "example": self.example,
            "taken_for": self.taken_for,
        }


def coverage(snapshot: Snapshot) -> tuple[Part, ...]:
    """The parts of an atlas, weak ones first, those with most photos first among them; a part is a square of CELL_M.

    AtlasError for one on a server, whose photos do not come here.
    """
    if len(snapshot) != len(snapshot.rows()):
        raise AtlasError(
            "Coverage compares all photos of an atlas with each other, which is done for atlases in folders, and this one is on a "
            "server; index the photos into a folder to see it."
        )
    columns = Columns.of(snapshot)
    if not len(columns.rows):
        return ()
    every = np.arange(len(columns.rows))
    asked, sampled = leave_out(snapshot, SAMPLE).answerable, sample(every, SAMPLE)
    several = _times(columns, every) > 1
    parts = [_part(snapshot, columns, inside, sampled, asked, several) for inside in _cells(columns)]
    return tuple(sorted(parts, key=lambda part: (part.weakness is None, -part.photos)))


def _cells(columns: Columns) -> Iterator[Int64[Array, " _inside"]]:
    """The photos of each square in which there are some."""
    squares = np.floor(columns.points / CELL_M).astype(np.int64)
    _, cell = np.unique(squares, axis=0, return_inverse=True)
    order = np.argsort(cell.ravel(), kind="stable")
    yield from np.split(order, np.flatnonzero(np.diff(cell.ravel()[order])) + 1)


def _part(
    snapshot: Snapshot,
    columns: Columns,
    inside: Int64[Array, " inside"],
    sampled: Int64[Array, " sampled"],
    asked: Asked,
    several: bool,
) -> Part:
    here = np.isin(asked.photos, inside)
    right = asked.errors[here] <= SAME_PLACE_M
    middle = columns.points[inside].mean(axis=0)
    nearest = int(inside[np.argmin(np.linalg.norm(columns.points[inside] - middle, axis=1))])
    weakness, taken_for = None, None
    one_light = several and _times(columns, inside) == 1
    if not here.any():
        # Of a large atlas a sample is asked; a part of which nothing was asked tells nothing.
        weakness = ("one light" if one_light else "sparse") if np.isin(sampled, inside).any() else None
    elif right.mean() < FOUND:
        weakness = "look-alike"
        wrong = np.flatnonzero(here)[~right]
        nearest = int(asked.photos[wrong[0]])
        taken_for = snapshot.entry_at(int(columns.rows[asked.best[wrong[0]]])).path
    elif one_light:
        weakness = "one light"
    return Part(
        position=_position(snapshot, columns, inside),
        photos=len(inside),
        asked=len(right),
        found=int(right.sum()),
        weakness=weakness,
        example=snapshot.entry_at(int(columns.rows[nearest])).path,
        taken_for=taken_for,
    )


def _times(columns: Columns, photos: Int64[Array, " photos"]) -> int:
    """At how many times photos were taken, as far as that is known: what lies ANOTHER_TIME_S apart is two."""
    times = np.sort(columns.times[photos])
    times = times[~np.isnan(times)]
    return int(np.count_nonzero(np.diff(times) > ANOTHER_TIME_S)) + 1 if len(times) else 0


def _position(snapshot: Snapshot, columns: Columns, photos: Int64[Array, " photos"]) -> Position:
    positions: Positions = snapshot.positions(columns.rows[photos])
    middle: Float64[Array, " 3"] = positions.metric().mean(axis=0)
    return point(positions.frame, middle)
