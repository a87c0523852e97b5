"""Ground truth as values: which database images are right for a query, and which it may not find at all."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from sameplace.errors import DatasetError
from sameplace.geo import Positions
from sameplace.images import ImageRecord
from sameplace.shapes import Array, Float64, Int64

BURST_M = 1.0
BURST_S = 60.0
ROUNDING_M = 1e-6
"""More than a coordinate on this planet can lose by rounding."""

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


@dataclass(frozen=True, eq=False)
class WithinMetresOf:
    """Right is what was taken at most so many metres away, between points in space that the dataset gives: camera centres."""

    radius: float
    queries: Float64[Array, "queries 3"]
    """Where each query was taken, in metres of one frame."""
    database: Float64[Array, "database 3"]
    """Where each database image was taken, in metres of the same frame."""

    def positives(self, queries: Sequence[ImageRecord], database: Sequence[ImageRecord]) -> Rows:
        """The right rows of the database for each query."""
        _one_each("query", len(queries), "points", len(self.queries))
        _one_each("database image", len(database), "points", len(self.database))
        return near(self.queries, self.database, self.radius)

    def __str__(self) -> str:
        return f"right within {self.radius:g} m in space"


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


@dataclass(frozen=True, eq=False)
class Listed:
    """Right is what a list of the dataset says, query by query."""

    rows: Rows
    """For each query, rows of the database, in any order."""
    said: str
    """Who says so, and what it means, as it follows the word "right"."""

    def positives(self, queries: Sequence[ImageRecord], database: Sequence[ImageRecord]) -> Rows:
        """The right rows of the database for each query."""
        return _checked(self.rows, len(queries), len(database))

    def __str__(self) -> str:
        return f"right {self.said}"


@dataclass(frozen=True, eq=False)
class Relevant:
    """Right is what a list says, and some is neither right nor wrong: retrieval, whose measure is mean average precision."""

    good: Rows
    """For each query, the rows of the database that are right."""
    junk: Rows
    """For each query, the rows that a ranking is scored without."""
    said: str
    """Who says so, and what it means, as it follows the word "right"."""

    def positives(self, queries: Sequence[ImageRecord], database: Sequence[ImageRecord]) -> Rows:
        """The right rows of the database for each query."""
        _checked(self.junk, len(queries), len(database))
        return _checked(self.good, len(queries), len(database))

    def __str__(self) -> str:
        return f"right {self.said}"


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
    if not len(database):
        return tuple(np.empty(0, np.int64) for _ in queries)
    # Along the axis on which the database spreads most, few points are within reach at all: no table of all pairs.
    axis = int(np.argmax(np.ptp(database, axis=0)))
    order = np.argsort(database[:, axis], kind="stable")
    points = np.ascontiguousarray(database[order].T)
    reach = radius + ROUNDING_M
    firsts = np.searchsorted(points[axis], queries[:, axis] - reach, side="left")
    lasts = np.searchsorted(points[axis], queries[:, axis] + reach, side="right")
    found: list[Int64[Array, " _rows"]] = []
    for query, first, last in zip(queries, firsts.tolist(), lasts.tolist(), strict=True):
        squared = np.zeros(last - first)
        for coordinate in range(3):
            squared += (query[coordinate] - points[coordinate, first:last]) ** 2
        found.append(np.sort(order[first:last][squared <= radius**2]))
    return tuple(found)


def _points(images: Sequence[ImageRecord], others: Sequence[ImageRecord], count: int) -> Float64[Array, "count 3"]:
    """Where the images were taken, in metres; together with the others, so that frames are never mixed."""
    positions = [image.position for image in (*images, *others) if image.position is not None]
    if missing := len(images) + len(others) - len(positions):
        raise DatasetError(
            f"Metres between {len(images) + len(others)} images were wanted, but {missing} of them have no position; give every "
            f"image one, or leave those out."
        )
    return Positions.of(positions).metric()[:count]


def _checked(rows: Rows, queries: int, database: int) -> Rows:
    """The rows in ascending order, each once; DatasetError where they are not of this dataset."""
    _one_each("query", queries, "lists of right images", len(rows))
    for query, listed in enumerate(rows):
        if len(listed) and (listed.min() < 0 or listed.max() >= database):
            raise DatasetError(
                f"Rows 0 to {database - 1} of the database were wanted, but the ground truth of query {query} lists rows "
                f"{listed.min()} to {listed.max()}; check that images and ground truth belong together."
            )
    return tuple(np.unique(listed) for listed in rows)


def _one_each(what: str, expected: int, given: str, found: int) -> None:
    if expected != found:
        raise DatasetError(
            f"The ground truth has {found} {given}, but one for each {what} was wanted, {expected}; check that images and ground "
            f"truth belong together."
        )


def _same(out: list[set[int]], queries: Sequence[str | None], database: Sequence[str | None]) -> None:
    """Leave out what has the query's key; None is nobody's."""
    rows = defaultdict(list)
    for row, key in enumerate(database):
        rows[key].append(row)
    for number, key in enumerate(queries):
        if key is not None:
            out[number].update(rows.get(key, ()))


def _same_minute(out: list[set[int]], queries: Sequence[ImageRecord], database: Sequence[ImageRecord]) -> None:
    """Leave out what was taken within a minute; a time with a zone and one without cannot be compared."""
    reach = round(BURST_S * 1e6)
    for zone in (UTC, None):
        numbers, asked = _clock(queries, zone)
        rows, times = _clock(database, zone)
        order = np.argsort(times, kind="stable")
        firsts = np.searchsorted(times[order], asked - reach, side="left")
        lasts = np.searchsorted(times[order], asked + reach, side="right")
        for number, first, last in zip(numbers.tolist(), firsts.tolist(), lasts.tolist(), strict=True):
            out[number].update(rows[order[first:last]].tolist())


def _clock(images: Sequence[ImageRecord], zone: tzinfo | None) -> tuple[Int64[Array, " timed"], Int64[Array, " timed"]]:
    """The rows of the images whose time has a zone, or of those whose time has none, and their microseconds since 1970."""
    start, microsecond = datetime(1970, 1, 1, tzinfo=zone), timedelta(microseconds=1)
    timed = [(row, image.time) for row, image in enumerate(images) if image.time is not None]
    alike = [(row, (time - start) // microsecond) for row, time in timed if (time.tzinfo is None) == (zone is None)]
    return np.array([row for row, _ in alike], np.int64), np.array([time for _, time in alike], np.int64)


def _contents(images: Sequence[ImageRecord], others: Sequence[ImageRecord]) -> list[str | None]:
    """A hash of each file that has a twin in size on the other side; None for the rest, which can have no twin in content."""
    sizes = {other.path.stat().st_size for other in others}
    return [_content(image.path) if image.path.stat().st_size in sizes else None for image in images]


def _content(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()
