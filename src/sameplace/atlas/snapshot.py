"""One generation of an atlas, mapped from disk and never changing: what readers search and writers start from."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from sameplace.atlas import indexfiles
from sameplace.atlas.calibration import Calibration
from sameplace.atlas.indexfiles import IndexFiles
from sameplace.atlas.manifest import Manifest, SegmentEntry, read_manifest
from sameplace.atlas.segment import Entry, Rows, Segment
from sameplace.atlas.where import Where
from sameplace.errors import AtlasError
from sameplace.geo import EARTH, LOCAL, Positions
from sameplace.search import Approximate, Exact, Index, installed
from sameplace.shapes import Array, Bool, Float16, Int64

SEGMENTS = "segments"
TOMBSTONES = "tombstones"
ROWS_AT_ONCE = 4096
FRAMES = {EARTH: "latitude and longitude", LOCAL: "local metres"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Snapshot:
    """The segments of a manifest; rows are counted through them in the manifest's order."""

    folder: Path
    manifest: Manifest
    segments: tuple[Segment, ...]
    present: Bool[Array, " rows"] | None
    """False for removed rows; None where none is removed."""
    files: IndexFiles | None
    """The index, where there is one."""
    calibration: Calibration | None
    """How far off its answers are, once that was learnt."""

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
        files = IndexFiles.open(folder, manifest.index) if manifest.index else None
        return cls(
            folder=folder,
            manifest=manifest,
            segments=segments,
            present=_present(folder, manifest),
            files=files,
            calibration=_calibration(folder, manifest),
        )

    def __len__(self) -> int:
        return self.manifest.images

    @property
    def starts(self) -> Int64[Array, " segments"]:
        """The row where each segment starts."""
        return np.cumsum([0, *(segment.entry.rows for segment in self.segments)], dtype=np.int64)[:-1]

    def searching(self, where: Where | None = None) -> Index:
        """Searches the photos that fit; AtlasError where none does."""
        return self.index(None if where is None else self.chosen(where))

    def index(self, chosen: Bool[Array, " rows"] | None = None) -> Exact | Approximate:
        """Searches the rows that are present, or those of them that were chosen; exactly where there is no index, or no FAISS."""
        whole = self._index
        if chosen is None:
            return whole
        return whole.only(chosen) if isinstance(whole, Approximate) else replace(whole, present=chosen)

    @cached_property
    def _index(self) -> Exact | Approximate:
        if self.files is None or not installed():
            return Exact(blocks=self.blocks, present=self.present)
        return self.files.load(self.blocks, self.present)

    @property
    def blocks(self) -> tuple[Float16[Array, "_ _"], ...]:
        """All descriptors, removed ones included."""
        return tuple(segment.descriptors for segment in self.segments)

    def chosen(self, where: Where) -> Bool[Array, " rows"]:
        """Which rows are present and fit; AtlasError where none does."""
        frame = self.manifest.frame or EARTH
        if where.near is not None and where.near.frame != frame:
            raise AtlasError(
                f"The photos of the atlas {self.folder} have positions in {FRAMES[frame]}, and the rough one is in "
                f"{FRAMES[where.near.frame]}; give it as they have it."
            )
        fit = [where.admits(Positions(frame, segment.positions), segment.headings, segment.times) for segment in self.segments]
        chosen = np.concatenate([np.empty(0, np.bool_), *fit])
        if self.present is not None:
            chosen &= self.present
        if not chosen.any():
            raise AtlasError(self._why_none(where))
        return chosen

    def _why_none(self, where: Where) -> str:
        """Why no photo fits, in one sentence."""
        timed = where.since is not None or where.until is not None
        for asked, column, name, told in (
            (
                where.heading is not None,
                "headings",
                "heading",
                "heading_deg in their positions.csv or GPSImgDirection in their EXIF",
            ),
            (timed, "times", "time", "times in their positions.csv or in their EXIF"),
        ):
            if asked and all(np.isnan(getattr(segment, column)).all() for segment in self.segments):
                return (
                    f"No photo of the atlas {self.folder} has a {name}, so none can be chosen by it; ask without it, or index the "
                    f"photos again with {told}."
                )
        return f"The atlas {self.folder} has no photos {where.told()}; ask for more, or leave the filter out."

    @property
    def advice(self) -> str | None:
        """What would make searching quicker on this machine; None where nothing would."""
        if self.manifest.images < indexfiles.EXACT_UP_TO or installed():
            return None
        then = "" if self.manifest.index else ", then `sameplace index` again"
        return (
            f"The atlas {self.folder} holds {self.manifest.images:,} photos, and every one is compared with each query; "
            f"an index finds nearly the same many times as fast: pip install 'sameplace[large]'{then}."
        )

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


def _calibration(folder: Path, manifest: Manifest) -> Calibration | None:
    if manifest.calibration is None:
        return None
    path = folder / manifest.calibration.file
    try:
        known, dim = Calibration.from_bytes(path.read_bytes()), manifest.model.dim
        if known.centre is not None and len(known.centre) != dim:
            raise ValueError(f"a centre of {dim} numbers was wanted, got {len(known.centre)}")
        return known
    except (KeyError, TypeError, ValueError) as error:
        raise AtlasError(
            f"{path} is damaged ({type(error).__name__}: {error}); restore it from a copy, or index the photos again into a new "
            f"atlas."
        ) from None
