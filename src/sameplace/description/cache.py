"""A cache of descriptors: what was described once, by content and model, is not described again, whoever asks."""

import hashlib
import json
import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import numpy as np
import PIL

from sameplace.describer import Describer
from sameplace.description.batches import Described, describe
from sameplace.description.store import Stamp, Store
from sameplace.images import Problem, View
from sameplace.runtime.compiled import cache_folder
from sameplace.threads import usable_cores

LIMIT_BYTES = 5_000_000_000
SPAN = 1024
"""Images that are looked up at once, and whose descriptors are in memory at a time."""
WRITTEN_AT_ONCE = 8_000_000
SECONDS_BETWEEN_WRITES = 10.0
READING = 1
"""To be raised whenever `read_image` gives other pixels for the same photo."""

Source: TypeAlias = str | Path | bytes | View


class DescriptorCache:
    """Describes like `describe`, and computes only what was never described before.

    A descriptor is known by the content of its file (and the part of it that a view shows) and by the model: weights, runtime,
    precision, size. A figure with the cache is the figure without it, bit for bit. Several processes may share a folder. Where the
    folder cannot be written, the descriptors are computed and `notice` is told once; by default it warns.
    """

    def __init__(
        self, folder: str | Path | None = None, *, limit_bytes: int = LIMIT_BYTES, notice: Callable[[str], None] | None = None
    ) -> None:
        self.folder = cache_folder() if folder is None else Path(folder).absolute()
        self.limit_bytes = limit_bytes
        self._notice = notice
        self._told = False

    def describe(
        self,
        sources: Sequence[Source],
        describer: Describer,
        *,
        batch: int = 16,
        workers: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Iterator[Described]:
        """Descriptors of photos, or views of photos, in order, as `sameplace.describe` gives them, known ones from disk."""
        store = Store(self.folder, self.limit_bytes, self._tell)
        pending = Pending(store=store, model=_said(describer))
        try:
            for first in range(0, len(sources), SPAN):
                span = Span(sources=sources[first : first + SPAN], first=first, describer=describer, pending=pending)
                span.look(workers or usable_cores())

                def advance(done: int, first: int = first) -> None:
                    if progress is not None:
                        progress(first + done, len(sources))

                yield span.described(batch, workers, advance)
        finally:
            pending.flush()
            store.close()

    def _tell(self, sentence: str) -> None:
        if self._told:
            return
        self._told = True
        if self._notice is None:
            warnings.warn(sentence, RuntimeWarning, stacklevel=2)
        else:
            self._notice(sentence)


@dataclass(kw_only=True, eq=False)
class Pending:
    """Fresh descriptors on their way to disk: now and then together, for a write costs a turn of the disk."""

    store: Store
    model: str
    rows: list[tuple[bytes, bytes]] = field(default_factory=list)
    bytes_waiting: int = 0
    since: float = field(default_factory=time.monotonic)

    def add(self, content: bytes, descriptor: np.ndarray) -> None:
        """Keep a descriptor, soon."""
        numbers = descriptor.astype("<f4").tobytes()
        self.rows.append((content, numbers))
        self.bytes_waiting += len(numbers)
        if self.bytes_waiting >= WRITTEN_AT_ONCE or time.monotonic() - self.since >= SECONDS_BETWEEN_WRITES:
            self.flush()

    def flush(self) -> None:
        """Keep what waits."""
        self.store.write(self.model, self.rows)
        self.rows, self.bytes_waiting, self.since = [], 0, time.monotonic()


@dataclass(kw_only=True, eq=False)
class Span:
    """Some of the sources: looked up together, the unknown ones described."""

    sources: Sequence[Source]
    first: int
    describer: Describer
    pending: Pending
    contents: list[bytes | None] = field(default_factory=list)
    """A key for each source; None where its file cannot be read."""
    stamps: list[Stamp | None] = field(default_factory=list)

    def look(self, workers: int) -> None:
        """Find the content of each source, reading only files that are not known to be unchanged."""
        self.stamps = [None if isinstance(source, bytes) else _stamp(source) for source in self.sources]
        there = {stamp.path: stamp for stamp in self.stamps if stamp is not None}
        hashes = self.pending.store.contents(list(there.values()))
        unknown = [stamp for path, stamp in there.items() if path not in hashes]
        with ThreadPoolExecutor(workers, thread_name_prefix="hash") as pool:
            fresh = [(stamp, content) for stamp, content in zip(unknown, pool.map(_content, unknown), strict=True) if content]
        self.pending.store.remember(fresh)
        hashes |= {stamp.path: content for stamp, content in fresh}
        self.contents = [
            _key(source, _hash(source) if isinstance(source, bytes) else hashes.get(stamp.path if stamp else ""))
            for source, stamp in zip(self.sources, self.stamps, strict=True)
        ]

    def described(self, batch: int, workers: int | None, advance: Callable[[int], None]) -> Described:
        """Descriptors of all sources of the span; `advance` hears how many are done."""
        keys = [content or b"" for content in self.contents]
        descriptors, known = self.pending.store.read(self.pending.model, keys, self.describer.dim)
        origin = {content: row for row, content in reversed(list(enumerate(self.contents))) if content}
        missing = [row for row, key in enumerate(keys) if not known[row] and origin.get(key, row) == row]
        copies = [row for row, key in enumerate(keys) if not known[row] and origin.get(key, row) != row]
        reasons: dict[int, str] = {}
        done = len(keys) - len(missing)
        advance(done)
        waiting = iter(missing)
        for part in describe([self.sources[row] for row in missing], self.describer, batch=batch, workers=workers):
            rows = [missing[row] for row in part.rows.tolist()]
            descriptors[rows], known[rows] = part.descriptors, True
            asked = list(islice(waiting, len(part.rows) + len(part.failures)))
            failed = [row for row in asked if not known[row]]
            reasons.update(zip(failed, (problem.reason for problem in part.failures), strict=True))
            self._keep(rows, descriptors)
            done += len(asked)
            advance(done)
        for row in copies:  # of one photo: it was described once
            twin = origin[keys[row]]
            descriptors[row], known[row] = descriptors[twin], known[twin]
            if not known[twin]:
                reasons[row] = reasons[twin]
        return Described(
            rows=self.first + np.flatnonzero(known),
            descriptors=descriptors[known],
            failures=tuple(Problem(path=self._name(row), reason=reasons[row]) for row in sorted(reasons)),
        )

    def _keep(self, rows: Sequence[int], descriptors: np.ndarray) -> None:
        """Hand fresh descriptors on, but of files that have changed since their content was looked at."""
        for row in rows:
            source, content = self.sources[row], self.contents[row]
            if content and (isinstance(source, bytes) or _stamp(source) == self.stamps[row]):
                self.pending.add(content, descriptors[row])

    def _name(self, row: int) -> str:
        source = self.sources[row]
        return f"image {self.first + row}" if isinstance(source, bytes) else str(source)


def _said(describer: Describer) -> str:
    """All that a descriptor depends on besides the image."""
    depends_on = {
        "identity": describer.identity,
        "dim": describer.dim,
        "size": list(describer.size),
        "runtime": describer.runtime,
        "precision": describer.precision,
        "reading": READING,
        "pillow": PIL.__version__,
    }
    return json.dumps(depends_on, sort_keys=True)


def _stamp(source: str | Path | View) -> Stamp | None:
    path = os.path.abspath(source.path if isinstance(source, View) else source)  # noqa: PTH100  (Path.absolute is slow)
    try:
        status = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):
        return None
    return Stamp(path=path, size=status.st_size, mtime_ns=status.st_mtime_ns, ctime_ns=status.st_ctime_ns)


def _content(stamp: Stamp) -> bytes | None:
    """The hash of a file, or None where it cannot be read, which describing it will tell."""
    try:
        with open(stamp.path, "rb") as file:  # noqa: PTH123
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()
    except OSError:
        return None


def _hash(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()


def _key(source: Source, content: bytes | None) -> bytes | None:
    """The content hash, or for a part or a turn of a photo a hash of that and of what is shown."""
    if content is None or not isinstance(source, View) or (source.box is None and source.turns % 4 == 0):
        return content
    shown = [None if source.box is None else [float(edge) for edge in source.box], source.turns % 4]
    return _hash(content + json.dumps(shown).encode())
