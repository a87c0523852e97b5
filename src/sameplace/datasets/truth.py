"""Ground truth as values: which database images are right for a query, and which it may not find at all."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from sameplace.geo import Positions
from sameplace.images import ImageRecord, seconds_between
from sameplace.shapes import Array, Float64, Int64

PAIRS_AT_ONCE = 4_000_000
BURST_M = 1.0
BURST_S = 60.0

Rows = tuple[Int64[Array, " _rows"], ...]
"""For each query, rows of the database, ascending."""


@runtime_checkable
class Truth(Protocol):
    """What makes a database image right."""

    def positives(self, queries: Sequence[ImageRecord], database: Sequence[ImageRecord]) -> Rows:
        """The right rows of the database for each query."""

    def __str__(self) -> str: ...


@dataclass(frozen=True)
class WithinMetres:
    """Right is what was taken at most so many metres away."""

    radius: float

    def positives(self, queries: Sequence[ImageRecord], database: Sequence[ImageRecord]) -> Rows:
        """The right rows of the database for each query."""
        return near(_points(queries, database, len(queries)), _points(database, queries, len(database)), self.radius)

    def __str__(self) -> str:
        return f"right within {self.radius:g} m"


@dataclass(frozen=True)
class WithinFrames:
    """Right is what has the same number in its sequence, give or take so many frames."""

    frames: int

    def positives(self, queries: Sequence[ImageRecord], database: Sequence[ImageRecord]) -> Rows:
        """The right rows of the database for each query."""
        last = len(database)
        return tuple(
            np.arange(max(number - self.frames, 0), min(number + self.frames + 1, last), dtype=np.int64)
            for number in range(len(queries))
        )

    def __str__(self) -> str:
        return f"right within {self.frames} frames"


@dataclass(frozen=True, kw_only=True)
class LeaveOut:
    """What a query may not find, because it would be no proof: itself, its own panorama, its own burst."""

    content: bool = False
    """Leave out images with the very content of the query, itself among them."""
    panorama: bool = False
    """Leave out images of the query's panorama."""
    burst: bool = False
    """Leave out images taken within 1 m or within 60 s of the query."""

    def rows(self, queries: Sequence[ImageRecord], database: Sequence[ImageRecord]) -> Rows:
        """The rows of the database that each query must do without."""
        out: list[set[int]] = [set() for _ in queries]
        if self.content:
            _same(out, _contents(queries, database), _contents(database, queries))
        if self.panorama:
            _same(out, [query.panorama for query in queries], [image.panorama for image in database])
        if self.burst:
            close = near(_points(queries, database, len(queries)), _points(database, queries, len(database)), BURST_M)
            for number, rows in enumerate(close):
                out[number].update(rows.tolist())
            _same_minute(out, queries, database)
        return tuple(np.array(sorted(rows), np.int64) for rows in out)

    def __str__(self) -> str:
        parts = {
            "itself and identical files": self.content,
            "its panorama": self.panorama,
            f"what was taken within {BURST_M:g} m or {BURST_S:g} s": self.burst,
        }
        named = [part for part, is_left_out in parts.items() if is_left_out]
        return f"each query does without {', '.join(named)}" if named else "nothing left out"


NOTHING = LeaveOut()


def near(queries: Float64[Array, "queries 3"], database: Float64[Array, "database 3"], radius: float) -> Rows:
    """The database points within a radius of each query point, in metres, the radius itself included."""
    found: list[Int64[Array, " _rows"]] = []
    chunk = max(1, PAIRS_AT_ONCE // max(len(database), 1))
    for first in range(0, len(queries), chunk):
        squared = np.zeros((len(queries[first : first + chunk]), len(database)))
        for axis in range(3):
            squared += (queries[first : first + chunk, axis, None] - database[None, :, axis]) ** 2
        found.extend(np.flatnonzero(row) for row in squared <= radius**2)
    return tuple(found)


def _points(images: Sequence[ImageRecord], others: Sequence[ImageRecord], count: int) -> Float64[Array, "count 3"]:
    """Where the images were taken, in metres; together with the others, so that frames are never mixed."""
    positions = [image.position for image in (*images, *others)]
    return Positions.of([position for position in positions if position is not None]).metric()[:count]


def _same(out: list[set[int]], queries: Sequence[str | None], database: Sequence[str | None]) -> None:
    """Leave out what has the query's key; None is nobody's."""
    rows = defaultdict(list)
    for row, key in enumerate(database):
        rows[key].append(row)
    for number, key in enumerate(queries):
        if key is not None:
            out[number].update(rows.get(key, ()))


def _same_minute(out: list[set[int]], queries: Sequence[ImageRecord], database: Sequence[ImageRecord]) -> None:
    timed = [(row, image.time) for row, image in enumerate(database) if image.time is not None]
    for number, query in enumerate(queries):
        if query.time is None:
            continue
        for row, time in timed:
            apart = seconds_between(query.time, time)
            if apart is not None and abs(apart) <= BURST_S:
                out[number].add(row)


def _contents(images: Sequence[ImageRecord], others: Sequence[ImageRecord]) -> list[str | None]:
    """A hash of each file that has a twin in size on the other side; None for the rest, which can have no twin in content."""
    sizes = {other.path.stat().st_size for other in others}
    return [_content(image.path) if image.path.stat().st_size in sizes else None for image in images]


def _content(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()
