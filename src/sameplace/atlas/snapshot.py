"""One generation of an atlas, mapped from disk and never changing: what readers search and writers start from."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sameplace.atlas.manifest import Manifest, SegmentEntry, read_manifest
from sameplace.atlas.segment import Entry, Rows, Segment
from sameplace.errors import AtlasError
from sameplace.geo import EARTH, Positions
from sameplace.search import Exact
from sameplace.shapes import Array, Bool, Float16, Int64

SEGMENTS = "segments"
TOMBSTONES = "tombstones"
ROWS_AT_ONCE = 4096


@dataclass(frozen=True, kw_only=True, eq=False)
class Snapshot:
    """The segments of a manifest; rows are counted through them in the manifest's order."""

    folder: Path
    manifest: Manifest
    segments: tuple[Segment, ...]
    present: Bool[Array, " rows"] | None
    """False for removed rows; None where none is removed."""

    @classmethod
    def load(cls, folder: Path) -> "Snapshot":
        """Map the newest generation.

        Readers take no lock: a writer may remove merged segments between our look at the manifest and at its files. Then there is a
        newer manifest to follow; a file that is missing without one is lost.
        """
        manifest = read_manifest(folder)
        while True:
            try:
                return cls.of(folder, manifest)
            except FileNotFoundError as error:
                newer = read_manifest(folder)
                if newer.generation == manifest.generation:
                    raise AtlasError(
                        f"{error.filename} is missing; restore it from a copy, or index the photos again into a new atlas."
                    ) from None
                manifest = newer

    @classmethod
    def of(cls, folder: Path, manifest: Manifest) -> "Snapshot":
        """Map the files of this very manifest; FileNotFoundError where one is gone."""
        segments = tuple(Segment.open(folder / SEGMENTS / entry.name, entry, manifest.model.dim) for entry in manifest.segments)
        return cls(folder=folder, manifest=manifest, segments=segments, present=_present(folder, manifest))

    def __len__(self) -> int:
        return self.manifest.images

    @property
    def starts(self) -> Int64[Array, " segments"]:
        """The row where each segment starts."""
        return np.cumsum([0, *(segment.entry.rows for segment in self.segments)], dtype=np.int64)[:-1]

    def index(self) -> Exact:
        """Searches the rows that are present."""
        return Exact(blocks=tuple(segment.descriptors for segment in self.segments), present=self.present)

    def rows(self) -> Int64[Array, " rows"]:
        """The rows that are present, ascending."""
        return np.arange(self.manifest.rows) if self.present is None else np.flatnonzero(self.present)

    def entry_at(self, row: int) -> Entry:
        """What is known of the image at a row."""
        segment, inside = self._find(row)
        return segment.entries(inside, inside + 1)[0]

    def segment_of(self, row: int) -> SegmentEntry:
        """The segment that holds a row."""
        return self._find(row)[0].entry

    def entries(self) -> Iterator[tuple[int, Entry]]:
        """All images that are present, with their rows."""
        for segment, start in zip(self.segments, self.starts.tolist(), strict=True):
            for first in range(0, segment.entry.rows, ROWS_AT_ONCE):
                known = segment.entries(first, min(first + ROWS_AT_ONCE, segment.entry.rows))
                for row, entry in enumerate(known, start + first):
                    if self.present is None or self.present[row]:
                        yield row, entry

    def positions(self, rows: Int64[Array, " taken"]) -> Positions:
        """The positions at some rows."""
        coordinates = np.empty((len(rows), 2))
        for segment, start in zip(self.segments, self.starts, strict=True):
            here = (rows >= start) & (rows < start + segment.entry.rows)
            coordinates[here] = segment.positions[rows[here] - start]
        return Positions(self.manifest.frame or EARTH, coordinates)

    def descriptors(self, rows: Int64[Array, " taken"]) -> Float16[Array, "taken dim"]:
        """The descriptors at some rows."""
        taken = np.empty((len(rows), self.manifest.model.dim), np.float16)
        for segment, start in zip(self.segments, self.starts, strict=True):
            here = (rows >= start) & (rows < start + segment.entry.rows)
            taken[here] = segment.descriptors[rows[here] - start]
        return taken

    def rows_with(self, contents: Int64[Array, " keys"]) -> Int64[Array, " rows"]:
        """The rows that are present and whose content has one of these keys, ascending."""
        parts = [
            start + np.flatnonzero(np.isin(segment.contents, contents))
            for segment, start in zip(self.segments, self.starts, strict=True)
        ]
        rows = np.concatenate([np.empty(0, np.int64), *parts])
        return rows if self.present is None else rows[self.present[rows]]

    def take(self, first: int, last: int) -> Iterator[Rows]:
        """The present rows of the segments from first up to but without last, in parts that fit in memory."""
        for segment, start in zip(self.segments[first:last], self.starts[first:last].tolist(), strict=True):
            for begin in range(0, segment.entry.rows, ROWS_AT_ONCE):
                rows = np.arange(begin, min(begin + ROWS_AT_ONCE, segment.entry.rows))
                if self.present is not None:
                    rows = rows[self.present[start + rows]]
                if len(rows):
                    yield segment.take(rows)

    def _find(self, row: int) -> tuple[Segment, int]:
        number = int(np.searchsorted(self.starts, row, side="right")) - 1
        return self.segments[number], row - int(self.starts[number])


def _present(folder: Path, manifest: Manifest) -> Bool[Array, " rows"] | None:
    if manifest.tombstones is None:
        return None
    path = folder / TOMBSTONES / manifest.tombstones.file
    present = np.ones(manifest.rows, np.bool_)
    try:
        present[np.load(path, allow_pickle=False)] = False
    except (ValueError, IndexError, EOFError):
        present[:] = True
    if np.count_nonzero(~present) != manifest.tombstones.rows:
        raise AtlasError(f"{path} is damaged; restore it from a copy, or index the photos again into a new atlas.")
    return present
