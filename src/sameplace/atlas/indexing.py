"""Keeping the index of a large atlas up to date: codes for what is new, and centroids anew when they no longer fit.

All of it is one writer's work on new files: readers go on with the index they have, and compare exactly what has no codes yet.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal, TypeAlias

import numpy as np

from sameplace.atlas import indexfiles
from sameplace.atlas.impostors import sample
from sameplace.atlas.manifest import CodesFile, Index, MeasuredRecall, Tombstones
from sameplace.atlas.snapshot import Snapshot
from sameplace.search import Approximate, Codes, Effort, Exact, installed, lists_for, random_rotation, sample_size, take
from sameplace.shapes import Array, Float32, Int64

UNCODED_UP_TO = 1024
"""Photos that may wait for their codes: comparing so many exactly takes about a millisecond."""
YOUNG_SHARE = 8
"""Young codes are scanned one and all, so they join the lists when they are more than one in so many."""
MOVED = 1.1
"""Centroids are learnt anew when they leave so many times as much of the variance unexplained as when they were learnt."""
SAMPLE = 4096
RECALL_QUERIES = 200
RECALL_AT_1, RECALL_AT_10 = 0.99, 0.95
"""What an index is to find of what exact search finds."""
EFFORTS = (Effort(), Effort(probes=128, depth=200), Effort(probes=256, depth=400), Effort(probes=512, depth=800))
"""What is tried for it: descriptors whose neighbours are hardly nearer than others need more."""
ROUNDING = 1e-5
ROWS_AT_ONCE = 16_384

Write: TypeAlias = Callable[[str, Callable[[Callable[[bytes], int]], None]], int]
"""Makes a file of this name, durable, of what the function writes; returns its size."""


def due(index: Index | None, images: int, rows: int) -> Literal["nothing", "forget", "learn", "extend"]:
    """What an atlas of so many photos in so many rows has to do about its index."""
    if index is None:
        return "learn" if images >= indexfiles.EXACT_UP_TO else "nothing"
    if images < indexfiles.EXACT_UP_TO // 2:
        return "forget"
    # Twice the photos leave the lists as they are, so that removing a few photos and adding them again learns nothing twice.
    if lists_for(images) > index.lists or lists_for(2 * images) < index.lists or 2 * index.rows < index.numbered:
        return "learn"
    return "extend" if rows - index.rows > UNCODED_UP_TO else "nothing"


def renewed(snapshot: Snapshot, name: str, write: Write) -> Index | None:
    """The index that the atlas should have, made under new names where it has to change; the same without FAISS."""
    index = snapshot.manifest.index
    what = due(index, snapshot.manifest.images, snapshot.manifest.rows)
    if what == "nothing" or (what != "forget" and not installed()):
        return index
    if what == "forget":
        return None
    if what == "extend" and index is not None and snapshot.files is not None:
        return _extended(snapshot, snapshot.files, index, name, write)
    return _learnt(snapshot, name, write)


def with_dropped(snapshot: Snapshot, dropped: Int64[Array, " dropped"], name: str, write: Write) -> Index | None:
    """The index after a merge for which these rows are gone; those behind them keep their numbers."""
    index = snapshot.manifest.index
    if index is None or snapshot.files is None or not (dropped < index.rows).any():
        return index
    gone = snapshot.files.numbers_dropped()
    there = np.ones(index.numbered, np.bool_)
    there[gone] = False
    numbers = np.union1d(gone, np.flatnonzero(there)[dropped[dropped < index.rows]]).astype("<i8")
    file = f"{name}-dropped.npy"
    write(file, lambda put: np.lib.format.write_array(_Sink(put), numbers, version=(1, 0)))
    return replace(index, dropped=Tombstones(file=file, rows=len(numbers)))


def measured(snapshot: Snapshot, index: Approximate) -> tuple[Effort, MeasuredRecall]:
    """The least effort that finds what is wanted, or the greatest, and what it finds of what exact search finds.

    Some photos of the atlas ask, each as if it were not in there itself: no query is a copy of what it finds.
    """
    rows = sample(snapshot.rows(), RECALL_QUERIES)
    count = min(10, len(snapshot) - 1)
    if count < 1:
        return EFFORTS[0], MeasuredRecall(queries=0, images=len(snapshot), at_1=1.0, at_10=1.0)
    right = _others(Exact(blocks=snapshot.blocks, present=snapshot.present), snapshot, rows, count)
    for effort in EFFORTS:
        found = _others(replace(index, effort=effort), snapshot, rows, count)
        at_1 = float(np.mean(found[:, 0] >= right[:, 0] - ROUNDING))
        at_10 = float(np.mean(found >= right[:, -1:] - ROUNDING))
        if at_1 >= RECALL_AT_1 and at_10 >= RECALL_AT_10:
            break
    return effort, MeasuredRecall(queries=len(rows), images=len(snapshot), at_1=at_1, at_10=at_10)


def _others(
    index: Approximate | Exact, snapshot: Snapshot, rows: Int64[Array, " queries"], count: int
) -> Float32[Array, "queries count"]:
    """The similarities of the photos that are found by the photos at some rows, without these themselves."""
    found = index.search(snapshot.descriptors(rows).astype(np.float32), count + 1)
    itself = found.rows == rows[:, None]
    itself[~itself.any(axis=1), -1] = True  # copies of the photo have taken its place: leave out the last one instead
    similarities: Float32[Array, "queries count"] = found.similarities[~itself].reshape(len(rows), count)
    return similarities


def _learnt(snapshot: Snapshot, name: str, write: Write) -> Index:
    """An index from the start: a rotation, centroids, and codes of all photos."""
    dim, lists = snapshot.manifest.model.dim, lists_for(len(snapshot))
    learnt_from = take(snapshot.blocks, sample(snapshot.rows(), sample_size(lists)))
    codes = Codes.learn(learnt_from, lists, rotation=random_rotation(dim))
    unexplained = codes.unexplained(take(snapshot.blocks, sample(snapshot.rows(), SAMPLE)))
    _code(codes, snapshot, snapshot.rows(), snapshot.rows())
    rotation = f"{name}-rotation.npy"
    write(rotation, lambda put: np.lib.format.write_array(_Sink(put), codes.rotation, version=(1, 0)))
    numbered = snapshot.manifest.rows
    whole = Approximate(blocks=snapshot.blocks, codes=(codes,), numbered=numbered, present=snapshot.present)
    effort, recall = measured(snapshot, whole)
    return Index(
        rotation=rotation,
        codes=(_written(codes, 0, f"{name}-codes.faiss", write),),
        numbered=numbered,
        dropped=None,
        lists=lists,
        unexplained=unexplained,
        probes=effort.probes,
        depth=effort.depth,
        recall=recall,
    )


def _extended(snapshot: Snapshot, files: indexfiles.IndexFiles, index: Index, name: str, write: Write) -> Index:
    """An index with codes for the rows that had none, among the young ones or, when these are many, in the lists."""
    gone = files.numbers_dropped()
    new = _since(snapshot, index.rows)
    numbered = index.numbered + snapshot.manifest.rows - index.rows
    main, *young = index.codes
    if not len(new):  # all that came since was removed again
        return replace(index, numbered=numbered)
    if YOUNG_SHARE * (sum(part.codes for part in young) + len(new)) <= main.codes:
        codes = files.part(1) if young else Codes.learn(take(snapshot.blocks, new), 1, rotation=files.turned_by())
        _code(codes, snapshot, new, new - index.rows + index.numbered)
        first = young[0].first if young else index.numbered
        late = _written(codes, first, f"{name}-young.faiss", write)
        return replace(index, codes=(main, late), numbered=numbered)
    codes = files.part(0)
    if codes.unexplained(take(snapshot.blocks, sample(snapshot.rows(), SAMPLE))) > MOVED * index.unexplained:
        return _learnt(snapshot, name, write)
    for part in young:
        numbers = np.delete(np.arange(part.first, index.numbered), gone[gone >= part.first] - part.first)
        rows = numbers - np.searchsorted(gone, numbers)
        there = slice(None) if snapshot.present is None else snapshot.present[rows]
        _code(codes, snapshot, rows[there], numbers[there])
    _code(codes, snapshot, new, new - index.rows + index.numbered)
    whole = Approximate(blocks=snapshot.blocks, codes=(codes,), numbered=numbered, dropped=gone, present=snapshot.present)
    effort, recall = measured(snapshot, whole)
    written = (_written(codes, 0, f"{name}-codes.faiss", write),)
    return replace(index, codes=written, numbered=numbered, probes=effort.probes, depth=effort.depth, recall=recall)


def _since(snapshot: Snapshot, row: int) -> Int64[Array, " rows"]:
    """The rows from this one on that are present."""
    rows = snapshot.rows()
    return rows[np.searchsorted(rows, row) :]


def _code(codes: Codes, snapshot: Snapshot, rows: Int64[Array, " rows"], numbers: Int64[Array, " rows"]) -> None:
    for first in range(0, len(rows), ROWS_AT_ONCE):
        part = slice(first, first + ROWS_AT_ONCE)
        codes.add(take(snapshot.blocks, rows[part]), numbers[part])


def _written(codes: Codes, first: int, name: str, write: Write) -> CodesFile:
    return CodesFile(file=name, bytes=write(name, codes.write), codes=len(codes), first=first)


class _Sink:
    """A file that numpy can write an array into."""

    def __init__(self, put: Callable[[bytes], int]) -> None:
        self.write = put
