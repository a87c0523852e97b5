"""An atlas on Milvus as answers see it: the server is searched, and the photos that it names are kept here for a while."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from sameplace.atlas.manifest import Manifest
from sameplace.atlas.remote_columns import TOLD, entry_of, matching, positions_of
from sameplace.atlas.segment import Entry, Rows, Segment
from sameplace.atlas.snapshot import FRAMES, Snapshot
from sameplace.atlas.where import Where
from sameplace.errors import AtlasError
from sameplace.geo import EARTH, Positions
from sameplace.search import Found, Index, exact
from sameplace.search.milvus import Collection, Row, numbers
from sameplace.shapes import Array, Float16, Float32, Int64

KEPT = 300_000
"""Photos that are kept, about 300 MB of descriptors: far more than the photos of one walk can name."""
MOST_FOUND = 16_384
"""Milvus gives no longer lists."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Kept:
    """Photos that searches have met, by the row that each was given then; the oldest go first."""

    rows: dict[int, tuple[Row, Float16[Array, " dim"]]] = field(default_factory=dict)
    known: dict[str, int] = field(default_factory=dict)

    def take(self, found: Sequence[Row], descriptors: Float16[Array, "found dim"]) -> Int64[Array, " found"]:
        """Keep photos; each has one row, however often it is met."""
        given = []
        for one, descriptor in zip(found, descriptors, strict=True):
            number = self.known.get(one["id"])
            if number is None:
                number = next(reversed(self.rows), -1) + 1
                self.known[one["id"]] = number
                self.rows[number] = (one, descriptor)
            given.append(number)
        return np.array(given, np.int64)

    def forget(self) -> None:
        """Drop the oldest beyond KEPT."""
        while len(self.rows) > KEPT:
            one, _ = self.rows.pop(next(iter(self.rows)))
            del self.known[one["id"]]


@dataclass(frozen=True, kw_only=True, eq=False)
class RemoteSnapshot(Snapshot):
    """The photos of a collection; unlike those of a folder, they are what they are at the moment of the question."""

    collection: Collection | None
    """None where it is not there yet."""
    called: str
    kept: Kept = field(default_factory=Kept)

    def __len__(self) -> int:
        return 0 if self.collection is None else self.collection.count()

    @property
    def advice(self) -> str | None:
        """The server's index is its own affair."""
        return None

    def searching(self, where: Where | None = None) -> Index:
        """Searches the photos that fit; AtlasError where none can."""
        if self.collection is None:
            raise AtlasError(f"The atlas {self.called} is not there.")
        if where is not None and where.near is not None and self.manifest.frame not in (None, where.near.frame):
            raise AtlasError(
                f"The photos of the atlas {self.called} have positions in {FRAMES[self.manifest.frame or EARTH]}, and the rough "
                f"one is in {FRAMES[where.near.frame]}; give it as they have it."
            )
        return RemoteIndex(snapshot=self, collection=self.collection, where=where)

    def entry_at(self, row: int) -> Entry:
        """What is known of the image at a row that a search gave."""
        return entry_of(self.kept.rows[row][0])

    def positions(self, rows: Int64[Array, " taken"]) -> Positions:
        """The positions at some rows that searches gave."""
        return positions_of([self.kept.rows[row][0] for row in rows.tolist()], self.manifest.frame or EARTH)

    def descriptors(self, rows: Int64[Array, " taken"]) -> Float16[Array, "taken dim"]:
        """The descriptors at some rows that searches gave."""
        return np.array([self.kept.rows[row][1] for row in rows.tolist()], np.float16).reshape(-1, self.manifest.model.dim)


@dataclass(frozen=True, kw_only=True, eq=False)
class RemoteIndex:
    """An `Index` on the server: it names candidates, and their descriptors decide here."""

    snapshot: RemoteSnapshot
    collection: Collection
    where: Where | None

    def __len__(self) -> int:
        return self.collection.count(matching(self.where))

    def search(self, queries: Float32[Array, "queries descriptor"], top: int) -> Found:
        """The `top` most similar photos for each query; AtlasError where none fits."""
        self.snapshot.kept.forget()
        candidates = self._candidates(queries, top)
        columns = min(top, *map(len, candidates))
        if self.where is not None and not columns:
            raise AtlasError(
                f"The atlas {self.snapshot.called} has no photos {self.where.told()}; ask for more, or leave the filter out."
            )
        found = Found(similarities=np.empty((len(queries), columns), np.float32), rows=np.empty((len(queries), columns), np.int64))
        for line, rows in enumerate(candidates):
            rows = sorted(rows, key=lambda row: str(entry_of(row).path))  # ties go to the first path, as in a folder
            descriptors = numbers(rows, self.snapshot.manifest.model.dim)
            best = exact(queries[line : line + 1], [descriptors], columns)
            found.similarities[line] = best.similarities[0]
            chosen = best.rows[0]
            found.rows[line] = self.snapshot.kept.take([rows[row] for row in chosen.tolist()], descriptors[chosen])
        return found

    def _candidates(self, queries: Float32[Array, "queries descriptor"], top: int) -> list[list[Row]]:
        """At least `top` photos that fit for each query, where there are so many: the server's filter lets a few more through."""
        filtered, asked = matching(self.where), min(top, MOST_FOUND)
        while True:
            answers = self.collection.search(queries, asked, filtered, (*TOLD, "heading_deg", "time_s"))
            fitting = [self._fitting(answer) for answer in answers]
            short = any(len(answer) == asked and len(fit) < top for answer, fit in zip(answers, fitting, strict=True))
            if not short or asked == MOST_FOUND:
                return fitting
            asked = min(2 * asked, MOST_FOUND)

    def _fitting(self, rows: list[Row]) -> list[Row]:
        if self.where is None or not rows:
            return rows
        headings, times = (
            np.array([np.nan if row[name] is None else row[name] for row in rows], np.float64) for name in ("heading_deg", "time_s")
        )
        fit = self.where.admits(positions_of(rows, self.snapshot.manifest.frame or EARTH), headings, times)
        return [row for row, fits in zip(rows, fit.tolist(), strict=True) if fits]


def in_memory(manifest: Manifest, found: Sequence[Row]) -> Snapshot:
    """Some photos with their descriptors as an atlas of their own, in the order of their paths: to learn from them."""
    found = sorted(found, key=lambda row: str(entry_of(row).path))
    positions = positions_of(found, manifest.frame or EARTH)
    rows = Rows.of([entry_of(row) for row in found], positions.coordinates, numbers(found, manifest.model.dim))
    entry = replace(manifest.segments[0], rows=len(found))
    segment = Segment(
        folder=Path(),
        entry=entry,
        offsets=np.cumsum([0, *map(len, rows.lines)], dtype=np.int64),
        text=np.frombuffer(b"".join(rows.lines), np.uint8),
        descriptors=rows.descriptors,
        positions=rows.positions,
        headings=rows.headings,
        times=rows.times,
        contents=rows.contents,
    )
    manifest = replace(manifest, segments=(entry,))
    return Snapshot(folder=Path(), manifest=manifest, segments=(segment,), present=None, files=None, calibration=None)
