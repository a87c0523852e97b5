"""Bringing an atlas up to date with a set of photos: what is new, changed, moved or gone, committed step by step."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sameplace.atlas.impostors import measure
from sameplace.atlas.leave_out import calibrate
from sameplace.atlas.manifest import Manifest, Model, check_describer, joined, recorded_precision
from sameplace.atlas.segment import Entry, Rows, content_key
from sameplace.atlas.snapshot import FRAMES
from sameplace.atlas.writer import Writer, renumbered
from sameplace.describer import Describer
from sameplace.description import Cluster, Described, DescriptorCache, describe, is_cluster
from sameplace.errors import AtlasError, SameplaceError
from sameplace.geo import Position, Positions
from sameplace.images import ImageFile, ImageSet, Problem
from sameplace.threads import usable_cores

UNCHANGED = 50
"""A calibration is made anew once one in so many photos was added or removed: learning it takes a second or two."""


@runtime_checkable
class Progress(Protocol):
    """Hears how far the work is."""

    def __call__(self, done: int, total: int, committed: int) -> None:
        """Of `total` new or changed photos `done` are looked after; `committed` of them are safe whatever happens now."""


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What bringing an atlas up to date has changed."""

    added: int
    updated: int
    """Photos that changed, moved, or whose row in positions.csv changed."""
    removed: int
    skipped: tuple[Problem, ...]
    """Photos that could not be indexed, each with its reason."""
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Options:
    """How an atlas is brought up to date."""

    commit_every: int = 1000
    """Photos between two commits: what a power cut can cost, and what is in memory at a time."""
    prune: bool = False
    """Drop photos that are gone from the indexed folder."""
    verify: bool = False
    """Look at the content of every file, even where its size and time of change say that it is the same."""
    workers: int | str | None = None
    """Threads that read files, as many as there are cores by default; or a Ray cluster (`Cluster`), which describes them."""
    cache: DescriptorCache | None = None
    """Where descriptors are kept for other work with the same photos and model; none where None."""
    progress: Progress | None = None

    def __post_init__(self) -> None:
        if isinstance(self.workers, str) and not is_cluster(self.workers):
            raise ValueError(f"A number of threads or ray://HOST:PORT was wanted, got workers={self.workers!r}; give one of these.")
        if self.commit_every < 1:
            raise ValueError(f"At least one photo a commit was wanted, got commit_every={self.commit_every}; use 1 or more.")


@dataclass(frozen=True, kw_only=True)
class Looked:
    """A new or changed photo, once its content and its position are known."""

    entry: Entry
    position: Position


@dataclass(kw_only=True, eq=False)
class Descriptors:
    """The descriptors of some photos by the hash of their content, from the atlas or fresh."""

    by_content: dict[str, NDArray[np.float16]]
    runtimes: set[str]
    precision: str
    moved_from: dict[str, list[int]]
    """Rows of photos with this content whose file is no longer there."""
    model: Model | None = None
    """The model that an empty atlas takes on with them."""


class Update:
    """One run of `Atlas.add` under the writer's lock; afterwards it tells what it did."""

    def __init__(self, writer: Writer, photos: ImageSet, describer: Callable[[], Describer], source: str, options: Options) -> None:
        """`describer` is called only if something must be described; `source` is the name or file that it is known by."""
        self.writer = writer
        self._prepare(photos, describer, source, options)

    def _prepare(self, photos: ImageSet, describer: Callable[[], Describer], source: str, options: Options) -> None:
        self.photos = photos
        self.describer = describer
        self.source = source
        self.options = options
        self.standing: dict[str, int] = {}
        """The rows of photos that may have changed, by path."""
        self.added = self.updated = self.removed = 0
        self.skipped = list(photos.problems)
        self.done = self.total = self.committed = 0
        self._machines = ExitStack()
        self._cluster: Cluster | None = None

    def changes(self, seconds: float) -> Changes:
        """What it has changed, once it has run for so long."""
        return Changes(added=self.added, updated=self.updated, removed=self.removed, skipped=tuple(self.skipped), seconds=seconds)

    def run(self) -> None:
        """Do it all."""
        pending = self._pending()
        self.total = len(pending)
        if pending:
            threads = self.options.workers if isinstance(self.options.workers, int) else usable_cores()
            pool = ThreadPoolExecutor(threads, thread_name_prefix="look")
            try:
                for first in range(0, len(pending), self.options.commit_every):
                    self._settle(pool, pending[first : first + self.options.commit_every])
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
                self._machines.close()
        if self.options.prune:
            self._prune()
        self._finish()

    @property
    def manifest(self) -> Manifest:
        """What the atlas says of itself by now."""
        return self.writer.snapshot.manifest

    @property
    def called(self) -> Path | str:
        """What users call the atlas."""
        return self.writer.snapshot.folder

    def _known(self, path: str) -> Entry | None:
        """What the atlas knows of a photo that may have changed."""
        row = self.standing.get(path)
        return None if row is None else self.writer.snapshot.entry_at(row)

    def _pending(self) -> list[ImageFile]:
        """The files that are not known to be unchanged, told without opening one of them."""
        wanted = {file.path: file for file in self.photos.files}
        for row, entry in self.writer.snapshot.entries():
            file = wanted.get(entry.path)
            if file is None:
                continue
            if entry.is_still(file) and not self.options.verify:
                del wanted[entry.path]
            else:
                self.standing[entry.path] = row
        return list(wanted.values())

    def _settle(self, pool: ThreadPoolExecutor, files: Sequence[ImageFile]) -> None:
        """Look at some files, describe what is new, and commit."""
        looked = self._look_at(pool, files)
        descriptors = self._from_atlas(looked)
        # Copies of one photo are described once.
        new = list({one.entry.content: one for one in looked if one.entry.content not in descriptors.by_content}.values())
        settled = self.committed + len(files)
        self._tell(done=settled - len(new))
        if new:
            self._describe(new, looked, descriptors)
        self._commit([one for one in looked if one.entry.content in descriptors.by_content], descriptors)
        self.committed = settled
        self._tell(done=settled)

    def _look_at(self, pool: ThreadPoolExecutor, files: Sequence[ImageFile]) -> list[Looked]:
        """Take the content hash and the record of each file; what cannot be indexed is skipped with its reason."""
        usable = []
        answers = list(pool.map(self._look, files))
        # An empty atlas takes the frame of most of its first photos: a stray one that comes first must not decide.
        frames = Counter(answer.position.frame for answer in answers if isinstance(answer, Looked))
        frame = self.manifest.frame or max(frames, key=frames.__getitem__, default="")
        for file, answer in zip(files, answers, strict=True):
            if isinstance(answer, Looked):
                if answer.position.frame == frame:
                    usable.append(answer)
                    continue
                own = FRAMES[answer.position.frame]
                answer = f"its position is in {own}, and the atlas holds {FRAMES[frame]}; index it into another atlas"
            if answer is not None:
                kept = "; the atlas keeps what it knew of it" if file.path in self.standing else ""
                self.skipped.append(Problem(path=file.path, reason=answer + kept))
        return usable

    def _look(self, file: ImageFile) -> Looked | str | None:
        """What there is to know of a file, or why it cannot be indexed, or None where a closer look shows no change at all."""
        try:
            record = self.photos.record(file)
            if record.position is None:  # before the whole file is read: this may happen on every run
                return record.why_unplaced
            with open(file.path, "rb") as stream:  # noqa: PTH123
                content = hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
        except OSError as error:
            return f"it cannot be read ({error.strerror}); check its path and permissions"
        except SameplaceError as error:
            return str(error)
        standing = self._known(file.path)
        if standing is not None and standing.is_still(file) and standing.content == content:
            return None
        return Looked(entry=Entry.of(file, content, record), position=record.position)

    def _from_atlas(self, looked: Sequence[Looked]) -> Descriptors:
        """The descriptors of content that the atlas holds already, under the same or another path."""
        snapshot = self.writer.snapshot
        wanted = {one.entry.content for one in looked}
        rows: dict[str, int] = {}
        moved_from: dict[str, list[int]] = {}
        for row in snapshot.rows_with(np.array([content_key(content) for content in wanted], np.int64)).tolist():
            entry = snapshot.entry_at(row)
            if entry.content in wanted:
                rows.setdefault(entry.content, row)
                if not os.path.lexists(entry.path):
                    moved_from.setdefault(entry.content, []).append(row)
        taken = snapshot.descriptors(np.array(list(rows.values()), np.int64))
        return Descriptors(
            by_content=dict(zip(rows, taken, strict=True)),
            runtimes={runtime for row in rows.values() for runtime in snapshot.segment_of(row).runtime.split("+")},
            precision=joined(snapshot.segment_of(row).precision for row in rows.values()),
            moved_from=moved_from,
        )

    def _describe(self, new: Sequence[Looked], looked: Sequence[Looked], descriptors: Descriptors) -> None:
        """Describe new content; photos that cannot be described are skipped with their copies."""
        describer = self.describer()
        check_describer(self.called, self.manifest, describer)
        if not self.manifest.segments:
            descriptors.model = Model.of(describer, self.source)
        descriptors.precision = joined([descriptors.precision, recorded_precision(describer)])
        reasons = {}
        for described in self._computed([one.entry.path for one in new], describer):
            for row, descriptor in zip(described.rows.tolist(), described.descriptors.astype(np.float16), strict=True):
                descriptors.by_content[new[row].entry.content] = descriptor
            reasons.update({problem.path: problem.reason for problem in described.failures})
            self._tell(done=self.done + len(described.rows) + len(described.failures))
        descriptors.runtimes |= self._cluster.runtimes if self._cluster else {describer.runtime}
        why = {one.entry.content: reasons[one.entry.path] for one in new if one.entry.path in reasons}
        failed = [one for one in looked if one.entry.content in why]
        self.skipped += [Problem(path=one.entry.path, reason=why[one.entry.content]) for one in failed]

    def _computed(self, paths: Sequence[str], describer: Describer) -> Iterator[Described]:
        """Descriptors from this machine and its cache, or from a cluster, which is joined for the first of them."""
        workers = self.options.workers
        if not isinstance(workers, str):
            computed = describe if self.options.cache is None else self.options.cache.describe
            return computed(paths, describer, workers=workers)
        if self._cluster is None:
            self._cluster = self._machines.enter_context(Cluster(workers, describer, self.source))
        return self._cluster.describe(paths)

    def _commit(self, settled: Sequence[Looked], descriptors: Descriptors) -> None:
        """Make photos part of the atlas, in place of what stood at their path or of the file that they were."""
        if not settled:
            return
        replaced: list[int] = []
        for one in settled:
            rows = [self.standing.pop(one.entry.path)] if one.entry.path in self.standing else []
            if origins := descriptors.moved_from.get(one.entry.content):
                rows.append(origins.pop(0))
            replaced += rows
            self.updated += bool(rows)
            self.added += not rows
        positions = Positions.of([one.position for one in settled])
        rows_to_add = Rows.of(
            [one.entry for one in settled],
            positions.coordinates,
            np.stack([descriptors.by_content[one.entry.content] for one in settled]),
        )
        self.writer.commit(
            added=rows_to_add,
            removed=np.array(replaced, np.int64),
            runtime="+".join(sorted(descriptors.runtimes)),
            precision=descriptors.precision,
            frame=positions.frame,
            model=descriptors.model,
        )
        dropped = self.writer.tidy()
        rows_now = renumbered(np.array(list(self.standing.values()), np.int64), dropped)
        self.standing = dict(zip(self.standing, rows_now.tolist(), strict=True))

    def _prune(self) -> None:
        """Drop photos whose files are gone from the indexed folder, or from the folder of a photo that is there."""
        self._refuse_to_prune_all()
        there = {file.path for file in self.photos.files}
        below = outermost({str(self.photos.root), *(os.path.dirname(path) for path in there)})  # noqa: PTH120
        gone = [
            row
            for row, entry in self.writer.snapshot.entries()
            if entry.path.startswith(below) and entry.path not in there and not os.path.lexists(entry.path)
        ]
        if gone:
            self.writer.commit(removed=np.array(gone, np.int64))
            self.removed = len(gone)

    def _refuse_to_prune_all(self) -> None:
        if not self.photos.files:
            raise AtlasError(
                f"There are no photos below {self.photos.root} any more, so pruning would drop all that came from there; "
                f"is a disk missing? If not, remove that folder from the atlas."
            )

    def _finish(self) -> None:
        finish(self.writer)

    def _tell(self, done: int) -> None:
        self.done = done
        if self.options.progress is not None:
            self.options.progress(done, self.total, self.committed)


def outermost(folders: Iterable[str]) -> tuple[str, ...]:
    """What the paths below some folders start with, folders within others left out."""
    starts: list[str] = []
    for start in sorted(os.path.join(folder, "") for folder in folders):  # noqa: PTH118
        if not starts or not start.startswith(starts[-1]):
            starts.append(start)
    return tuple(starts)


def finish(writer: Writer) -> None:
    """Tidy up, and learn what the atlas tells of itself, if it changed since that was last done."""
    manifest = writer.snapshot.manifest
    impostors, calibration = manifest.impostors, manifest.calibration
    if impostors is not None and calibration is not None and impostors.generation == manifest.generation:
        return
    writer.tidy()
    changed = calibration is None or calibration.changed * UNCHANGED > manifest.images
    writer.commit(impostors=measure(writer.snapshot), calibration=calibrate(writer.snapshot) if changed else None)
