"""The one process that may change an atlas: it adds segments and tombstones, merges, and sweeps what no manifest names.

A commit writes new files and makes them durable, then renames a new manifest over the old one and makes the rename durable. Only
after that are files removed that the new manifest does not name. So whatever instant the power fails, the manifest on disk, old or
new, names files that are whole.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from sameplace.atlas import disk, indexing
from sameplace.atlas.calibration import Calibration
from sameplace.atlas.indexfiles import INDEX
from sameplace.atlas.manifest import (
    MANIFEST,
    CalibrationFile,
    Impostors,
    Manifest,
    Model,
    SegmentEntry,
    Tombstones,
    joined,
    read_manifest,
)
from sameplace.atlas.segment import Rows, write_segment
from sameplace.atlas.snapshot import SEGMENTS, TOMBSTONES, Snapshot
from sameplace.errors import AtlasError
from sameplace.shapes import Array, Int64

LOCK = "writer.lock"
NEW_MANIFEST = "manifest.json.new"
CALIBRATION = "calibration-{}.json"
OURS = frozenset({LOCK, SEGMENTS, TOMBSTONES, INDEX, MANIFEST, NEW_MANIFEST})


@contextmanager
def writing(folder: Path) -> Iterator["Writer"]:
    """Be the atlas' one writer: AtlasError where another process is, or where the disk gives way."""
    read_manifest(folder)  # before the lock, which would make the folder of an atlas that is gone
    with _lock(folder):
        with _telling(folder):
            disk.sync_folder(folder)  # a writer that was killed may have renamed a manifest that is not durable yet
        writer = Writer(Snapshot.load(folder))
        writer.sweep()
        yield writer


def create(folder: Path, model: Model) -> None:
    """Make an empty atlas; one that is there already stays as it is."""
    with _telling(folder):
        _refuse_other_folders(folder)
        _make_folders(folder)
    with _lock(folder), _telling(folder):
        if (folder / MANIFEST).exists():
            return
        for name in (SEGMENTS, TOMBSTONES):
            if not (folder / name).is_dir():
                disk.make_folder(folder / name)
        disk.sync_folder(folder)
        _publish(folder, Manifest(generation=0, model=model, frame=None))


class Writer:
    """Changes an atlas, commit by commit; `snapshot` is what is committed."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot

    def commit(
        self,
        *,
        added: Rows | None = None,
        runtime: str = "",
        precision: str = "",
        frame: str | None = None,
        model: Model | None = None,
        removed: Int64[Array, " removed"] | None = None,
        impostors: Impostors | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        """Add rows, remove rows, and note what else is new, all or nothing; durable on return."""
        old = self.snapshot.manifest
        generation = old.generation + 1
        segments = old.segments
        if added is not None:
            entry = SegmentEntry(name=f"{generation:08d}", rows=len(added.lines), runtime=runtime, precision=precision)
            self._write_segment(entry, [added])
            segments = (*segments, entry)
        gone = np.flatnonzero(~self.snapshot.present) if self.snapshot.present is not None else np.empty(0, np.int64)
        tombstones = old.tombstones
        if removed is not None and len(removed):
            tombstones = self._write_tombstones(generation, np.union1d(gone, removed))
        changed = (0 if added is None else len(added.lines)) + (0 if removed is None else len(removed))
        images = sum(segment.rows for segment in segments) - (tombstones.rows if tombstones else 0)
        self._publish(
            replace(
                old,
                generation=generation,
                model=model or old.model,
                frame=(frame or old.frame) if images else None,
                segments=segments,
                tombstones=tombstones,
                impostors=impostors or old.impostors,
                calibration=self._write_calibration(generation, calibration) if calibration else _aged(old.calibration, changed),
            )
        )

    def tidy(self) -> Int64[Array, " dropped"]:
        """Merge small segments, rewrite those that are mostly removed, and bring the index up to date.

        Returns the removed rows that are dropped for good. The order of rows is kept, so that a row's new number is the old one
        less the dropped rows before it.
        """
        dropped = self._merge()
        old = self.snapshot.manifest
        name = f"{old.generation + 1:08d}"
        index = indexing.renewed(self.snapshot, name, self._write_index)
        if index != old.index:
            self._publish(replace(old, generation=old.generation + 1, index=index))
        return dropped

    def _merge(self) -> Int64[Array, " dropped"]:
        old, present = self.snapshot.manifest, self.snapshot.present
        starts = [*self.snapshot.starts.tolist(), old.rows]
        is_present = np.ones(old.rows, np.bool_) if present is None else present
        alive = [int(is_present[start:end].sum()) for start, end in pairwise(starts)]
        runs = merges(alive, [segment.rows for segment in old.segments])
        if not runs:
            return np.empty(0, np.int64)
        generation = old.generation + 1
        segments = list(old.segments)
        for run in reversed(runs):  # from the back, so that the places of those before stay right
            segments[run.start : run.stop] = self._merged(run, sum(alive[run.start : run.stop]), f"{generation:08d}-{run.start}")
        rewritten = np.zeros(old.rows, np.bool_)
        for run in runs:
            rewritten[starts[run.start] : starts[run.stop]] = True
        dropped = np.flatnonzero(rewritten & ~is_present)
        kept = renumbered(np.flatnonzero(~rewritten & ~is_present), dropped)
        tombstones = self._write_tombstones(generation, kept) if len(kept) else None
        index = indexing.with_dropped(self.snapshot, dropped, f"{generation:08d}", self._write_index)
        self._publish(replace(old, generation=generation, segments=tuple(segments), tombstones=tombstones, index=index))
        return dropped

    def sweep(self) -> None:
        """Remove what the manifest does not name: the leftovers of a crash, and of what was merged."""
        folder, manifest = self.snapshot.folder, self.snapshot.manifest
        named = {segment.name for segment in manifest.segments}
        for segment in (folder / SEGMENTS).iterdir():
            if segment.name not in named:
                _discard(segment)
        for tombstones in (folder / TOMBSTONES).iterdir():
            if not manifest.tombstones or tombstones.name != manifest.tombstones.file:
                _discard(tombstones)
        for calibration in folder.glob(CALIBRATION.format("*")):
            if not manifest.calibration or calibration.name != manifest.calibration.file:
                _discard(calibration)
        index = manifest.index.files if manifest.index else ()
        for file in (folder / INDEX).iterdir() if (folder / INDEX).is_dir() else ():
            if file.name not in index:
                _discard(file)
        if (folder / NEW_MANIFEST).exists():
            _discard(folder / NEW_MANIFEST)

    def _merged(self, run: range, rows: int, name: str) -> list[SegmentEntry]:
        """Write the present rows of a run of segments as one segment, or as none where none is present."""
        if not rows:
            return []
        merged = self.snapshot.manifest.segments[run.start : run.stop]
        runtime = "+".join(sorted({part for segment in merged for part in segment.runtime.split("+")}))
        entry = SegmentEntry(name=name, rows=rows, runtime=runtime, precision=joined(segment.precision for segment in merged))
        self._write_segment(entry, self.snapshot.take(run.start, run.stop))
        return [entry]

    def _write_segment(self, entry: SegmentEntry, parts: Sequence[Rows] | Iterator[Rows]) -> None:
        segments = self.snapshot.folder / SEGMENTS
        with _whole_or_gone(segments / entry.name, self.snapshot.folder):
            write_segment(segments / entry.name, entry.rows, self.snapshot.manifest.model.dim, parts)
            disk.sync_folder(segments)

    def _write_tombstones(self, generation: int, rows: Int64[Array, " gone"]) -> Tombstones:
        path = self.snapshot.folder / TOMBSTONES / f"{generation:08d}.npy"
        content = BytesIO()
        np.save(content, rows.astype("<i8"))
        with _whole_or_gone(path, self.snapshot.folder):
            with disk.NewFile(path) as file:
                file.write(content.getvalue())
            disk.sync_folder(path.parent)
        return Tombstones(file=path.name, rows=len(rows))

    def _write_calibration(self, generation: int, calibration: Calibration) -> CalibrationFile:
        folder = self.snapshot.folder
        path = folder / CALIBRATION.format(f"{generation:08d}")
        with _whole_or_gone(path, folder):
            with disk.NewFile(path) as file:
                file.write(calibration.to_bytes())
            disk.sync_folder(folder)
        return CalibrationFile(file=path.name, changed=0)

    def _write_index(self, name: str, fill: Callable[[Callable[[bytes], int]], None]) -> int:
        """Make a file of the index, durable; returns its size."""
        folder = self.snapshot.folder / INDEX
        with _telling(self.snapshot.folder):
            if not folder.is_dir():
                disk.make_folder(folder)
                disk.sync_folder(self.snapshot.folder)
        with _whole_or_gone(folder / name, self.snapshot.folder):
            with disk.NewFile(folder / name) as file:
                fill(file.write)
            disk.sync_folder(folder)
            size: int = (folder / name).stat().st_size
        return size

    def _publish(self, manifest: Manifest) -> None:
        _publish(self.snapshot.folder, manifest)
        self.snapshot = Snapshot.of(self.snapshot.folder, manifest)
        self.sweep()


def merges(alive: Sequence[int], rows: Sequence[int]) -> list[range]:
    """Which runs of neighbouring segments to rewrite as one, given how many rows of each are present and how many there are.

    Afterwards every segment holds more present rows than all younger ones together: n rows lie in at most log2(n) + 1 segments,
    and each was rewritten about log2(n) times. A segment with more removed than present rows is rewritten alone.

    >>> merges([1000, 100, 90, 10], [1000, 100, 90, 10]), merges([1000, 100], [1000, 400])
    ([range(1, 4)], [range(1, 2)])
    """
    younger = 0
    start = len(rows)
    for number in reversed(range(len(rows))):
        if number < len(rows) - 1 and alive[number] <= younger:
            start = number
        younger += alive[number]
    sparse = [range(number, number + 1) for number in range(start) if 2 * alive[number] < rows[number]]
    return sparse + ([range(start, len(rows))] if start < len(rows) else [])


def renumbered(rows: Int64[Array, " rows"], dropped: Int64[Array, " dropped"]) -> Int64[Array, " rows"]:
    """The numbers of rows after others were dropped.

    >>> renumbered(np.array([0, 3, 9]), np.array([1, 2, 5])).tolist()
    [0, 1, 6]
    """
    return rows - np.searchsorted(dropped, rows)


def _aged(calibration: CalibrationFile | None, changed: int) -> CalibrationFile | None:
    return calibration and replace(calibration, changed=calibration.changed + changed)


def _publish(folder: Path, manifest: Manifest) -> None:
    with _whole_or_gone(folder / NEW_MANIFEST, folder):
        with disk.NewFile(folder / NEW_MANIFEST) as file:
            file.write(manifest.to_bytes())
        disk.replace(folder / NEW_MANIFEST, folder / MANIFEST)
    with _telling(folder):
        disk.sync_folder(folder)


def _discard(path: Path) -> None:
    # A leftover costs nothing but room, and the next writer tries again; Windows keeps files that somebody has mapped.
    with suppress(OSError):
        if path.is_dir():
            for file in path.iterdir():
                disk.remove(file)
            disk.remove_folder(path)
        else:
            disk.remove(path)


@contextmanager
def _whole_or_gone(path: Path, folder: Path) -> Iterator[None]:
    """A full disk gets back the room of what was half-written at once, and the user a sentence."""
    try:
        yield
    except BaseException as error:
        _discard(path)
        if isinstance(error, OSError):
            raise disk.told(error, folder) from error
        raise


@contextmanager
def _telling(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise disk.told(error, folder) from error


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    lock = FileLock(folder / LOCK, timeout=0)
    with _telling(folder):
        try:
            lock.acquire()
        except Timeout:
            raise AtlasError(
                f"The atlas {folder} is being written by another process; wait until it has finished (reading needs no wait)."
            ) from None
    try:
        yield
    finally:
        lock.release()


def _make_folders(folder: Path) -> None:
    """Make a folder and those above it that are missing, each durable."""
    if not folder.is_dir():
        _make_folders(folder.parent)
        with suppress(FileExistsError):  # another process makes it, too
            disk.make_folder(folder)
        disk.sync_folder(folder.parent)


def _refuse_other_folders(folder: Path) -> None:
    try:
        others = [path.name for path in folder.iterdir() if path.name not in OURS]
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise AtlasError(f"An atlas is a folder, but {folder} is a file; choose another place for it.") from None
    if others and not (folder / MANIFEST).exists():
        raise AtlasError(f"{folder} is no atlas and holds other files ({min(others)}); choose a new folder for the atlas.")
