"""Geometrically verified positives: a potential positive whose local features do not match the query's is not taught."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from sameplace.datasets.truth import Rows
from sameplace.shapes import Array, Float32, Int64
from sameplace.threads import usable_cores
from sameplace.training.streets import Streets
from sameplace.verification import Verifier

WRITTEN_EVERY = 256
"""Queries after which the verdicts are written, where they are kept."""


@runtime_checkable
class Descriptors(Protocol):
    """Descriptors of images by their rows."""

    def of(self, rows: Int64[Array, " wanted"]) -> Float32[Array, "wanted descriptor"]:
        """The descriptors of these rows of images, in their order."""
        ...


def verified(
    streets: Streets,
    verifier: Verifier,
    *,
    descriptors: Descriptors | None = None,
    tries: int = 20,
    enough: int = 5,
    keep: Path | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Streets:
    """The same streets, with those potential positives alone whose local features match the query's.

    Of each query at most `tries` positives are compared, those first that look most like it where descriptors tell, until
    `enough` of them match; a query of which none does asks no more. What is near stays near: nothing becomes a negative. `keep` is
    a folder for the verdicts, so that a training that goes on, or another one on the same images, compares nothing twice.
    """
    verdicts = Verdicts.read(streets, verifier, keep)
    kept: list[Int64[Array, " _rows"]] = []
    with ThreadPoolExecutor(workers or usable_cores(), thread_name_prefix="verify") as pool:

        def matching(number: int) -> Int64[Array, " _rows"]:
            return _matching(streets, number, verdicts, descriptors, tries=tries, enough=enough)

        for done, rows in enumerate(pool.map(matching, range(len(streets.queries))), start=1):
            kept.append(rows)
            if done % WRITTEN_EVERY == 0:
                verdicts.write()
            if progress is not None:
                progress(done, len(streets.queries))
    verdicts.write()
    asking = [number for number, rows in enumerate(kept) if len(rows)]
    near: Rows = tuple(streets.near[number] for number in asking)
    return replace(streets, queries=streets.queries[asking], positives=tuple(kept[number] for number in asking), near=near)


@dataclass(kw_only=True, eq=False)
class Verdicts:
    """How many local features of two images agree, for pairs of rows of images that were compared, on disk if wanted."""

    streets: Streets
    verifier: Verifier
    path: Path | None
    counts: dict[tuple[int, int], int] = field(default_factory=dict)
    written: int = 0

    @classmethod
    def read(cls, streets: Streets, verifier: Verifier, folder: Path | None) -> "Verdicts":
        """What is known from before of the same files, compared the same way."""
        if folder is None:
            return cls(streets=streets, verifier=verifier, path=None)
        path = folder / f"verdicts-{_fingerprint(streets, verifier)}.npy"
        known = np.load(path).tolist() if path.is_file() else []
        counts = {(first, second): count for first, second, count in known}
        return cls(streets=streets, verifier=verifier, path=path, counts=counts, written=len(counts))

    def match(self, first: int, second: int) -> bool:
        """Whether two images match; the same whichever comes first."""
        pair = (first, second) if first < second else (second, first)
        if pair not in self.counts:
            images = self.streets.images
            self.counts[pair] = self.verifier.match(images[pair[0]].path, images[pair[1]].path).count
        return self.counts[pair] >= self.verifier.least

    def write(self) -> None:
        """Put on disk what is new, in a file that is there whole or not at all."""
        counts = dict(self.counts)  # other threads go on
        if self.path is None or len(counts) == self.written:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            with unfinished.open("wb") as file:
                np.save(file, np.array([(*pair, count) for pair, count in sorted(counts.items())], np.int64))
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(self.path)
        finally:
            unfinished.unlink(missing_ok=True)
        self.written = len(counts)


def _matching(
    streets: Streets, number: int, verdicts: Verdicts, descriptors: Descriptors | None, *, tries: int, enough: int
) -> Int64[Array, " _rows"]:
    """The positives of one query that match it, ascending."""
    query, rows = int(streets.queries[number]), streets.positives[number]
    images = streets.database[rows]
    if descriptors is not None:
        order = np.argsort(-(descriptors.of(images) @ descriptors.of(np.array([query]))[0]), kind="stable")
        rows, images = rows[order], images[order]
    found: list[int] = []
    for row, image in zip(rows[:tries].tolist(), images[:tries].tolist(), strict=True):
        if len(found) == enough:
            break
        if verdicts.match(query, image):
            found.append(row)
    return np.array(sorted(found), np.int64)


def _fingerprint(streets: Streets, verifier: Verifier) -> str:
    """Another one wherever the verdicts could be others: other files, or another way to compare."""
    told = blake2b(verifier.identity.encode(), digest_size=12)
    for image in streets.images:
        status = image.path.stat()
        told.update(f"\n{image.path}\0{status.st_size}\0{status.st_mtime_ns}".encode())
    return told.hexdigest()
