"""Which photos of an atlas were taken together: what must be left out when one is located among the others."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sameplace.atlas.calibration import FEWEST
from sameplace.atlas.consensus import SAME_PLACE_M, SAME_STANDPOINT_M, coded
from sameplace.atlas.snapshot import Snapshot
from sameplace.shapes import Array, Bool, Float64, Int64

ANSWERABLE_M = 10.0
"""A photo is asked for its place only if another was taken this near: the distance up to which the paper expects common sights."""
SAME_VIEW_DEG = 60.0
"""... and in about the same direction, where directions are known."""
BURST_S = 300.0
"""Photos taken within five minutes share parked cars, clouds and faces, which no other day's query has."""
ANOTHER_TIME_S = 6 * 3600.0
"""Photos taken further apart than this are of different passes: the light is another."""
GLITCH_S = 10.0
"""Photos taken this close together show one place, whatever their positions say."""
PHOTOS_AT_ONCE = 64
ROWS_AT_ONCE = 8192


@dataclass(frozen=True, kw_only=True, eq=False)
class Columns:
    """What the rules ask of each photo of an atlas, in the order of its rows."""

    rows: Int64[Array, " rows"]
    points: Float64[Array, "rows 3"]
    times: Float64[Array, " rows"]
    headings: Float64[Array, " rows"]
    folders: Int64[Array, " rows"]
    """Numbered; asked for only where no photo has a time, as all paths must be read."""

    @classmethod
    def of(cls, snapshot: Snapshot) -> "Columns":
        """Those of all photos that are present, positions in metres from their middle."""
        rows = snapshot.rows()
        points = snapshot.positions(rows).metric()
        times = [np.asarray(segment.times) for segment in snapshot.segments]
        headings = [np.asarray(segment.headings) for segment in snapshot.segments]
        taken = np.concatenate([np.empty(0), *times])[rows]
        return cls(
            rows=rows,
            points=points - points.mean(axis=0) if len(points) else points,
            times=taken,
            headings=np.concatenate([np.empty(0), *headings])[rows],
            folders=_folders(snapshot) if np.isnan(taken).all() else np.zeros(len(rows), np.int64),
        )

    def squared_away(self, photos: Int64[Array, " photos"], where: slice) -> Float64[Array, "photos _rows"]:
        """Squared metres from some photos to others, right to 0.01 even across the earth."""
        across = self.points[photos] @ self.points[where].T
        away: Float64[Array, "photos _rows"] = np.maximum(self._squares[photos, None] + self._squares[where] - 2 * across, 0)
        return away

    def chunks(self) -> Iterator[slice]:
        """All rows, some at a time."""
        for first in range(0, len(self.rows), ROWS_AT_ONCE):
            yield slice(first, min(first + ROWS_AT_ONCE, len(self.rows)))

    @cached_property
    def _squares(self) -> Float64[Array, " rows"]:
        squares: Float64[Array, " rows"] = np.square(self.points).sum(axis=1)
        return squares


class Passes:
    """Which photos were taken on the pass of one that asks, and who can be asked at all.

    Where enough places were photographed at several times, a pass is all that was taken within ANOTHER_TIME_S. Else it is a burst:
    what was taken within BURST_S, or without times at one standpoint, or in one folder where folders cross.
    """

    def __init__(self, columns: Columns, asking: Int64[Array, " photos"]) -> None:
        self._columns = columns
        timeless = bool(np.isnan(columns.times).all())
        self._moments = columns.folders * 2 * ANOTHER_TIME_S if timeless else columns.times
        self._apart_s = ANOTHER_TIME_S
        self.answerable = self._seen(asking)
        crossing = bool(np.count_nonzero(self.answerable) >= max(FEWEST, len(asking) / 10))
        self.several: bool | None = None if timeless else crossing
        if not crossing:
            self._moments, self._apart_s = columns.times, BURST_S
            self.answerable = self._seen(asking)

    def together(self, photos: Int64[Array, " photos"], where: slice) -> Bool[Array, "photos _rows"]:
        """Whether some photos were taken on the pass of those that ask, themselves included."""
        apart = np.abs(self._moments[photos, None] - self._moments[where])
        # Two visits to one standpoint are what is wanted; without times they cannot be told from one.
        standpoint = self._columns.squared_away(photos, where) < SAME_STANDPOINT_M**2
        itself = photos[:, None] == np.arange(len(self._columns.rows))[where]
        taken: Bool[Array, "photos _rows"] = np.where(np.isnan(apart), standpoint, apart <= self._apart_s) | itself
        return taken

    def place(self, photos: Int64[Array, " photos"], where: slice) -> Bool[Array, "photos _rows"]:
        """Whether some photos show the place of those that ask. Others of their pass stay: else too much would be let in."""
        columns = self._columns
        at_once = np.abs(columns.times[photos, None] - columns.times[where]) <= GLITCH_S
        there: Bool[Array, "photos _rows"] = at_once | (columns.squared_away(photos, where) <= SAME_PLACE_M**2)
        return there

    def _seen(self, asking: Int64[Array, " photos"]) -> Bool[Array, " photos"]:
        """For which photos another one shows the same, not taken on the same pass."""
        columns = self._columns
        seen = np.zeros(len(asking), np.bool_)
        for first in range(0, len(asking), PHOTOS_AT_ONCE):
            photos = asking[first : first + PHOTOS_AT_ONCE]
            for where in columns.chunks():
                near = columns.squared_away(photos, where) <= ANSWERABLE_M**2
                turned = np.abs((columns.headings[photos, None] - columns.headings[where] + 180) % 360 - 180)
                found = near & ~(turned > SAME_VIEW_DEG) & ~self.together(photos, where)
                seen[first : first + PHOTOS_AT_ONCE] |= found.any(axis=1)
        return seen


def _folders(snapshot: Snapshot) -> Int64[Array, " rows"]:
    """The folders of all photos, numbered."""
    return coded([os.path.dirname(entry.path) for _, entry in snapshot.entries()])  # noqa: PTH120
