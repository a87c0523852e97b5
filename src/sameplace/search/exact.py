"""Exhaustive search: every query meets every descriptor, block by block, in bounded memory."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from sameplace.search.comparing import Comparing, Kept
from sameplace.search.index import Blocks, Found
from sameplace.shapes import Array, Bool, Float, Float32, Int64

BYTES_AT_ONCE = 1 << 25
"""Working memory of a search beyond its answer: a chunk of descriptors in single precision, its similarities, and the queries as
halves meet them.
"""
CACHED_BYTES = 1 << 22
"""A chunk in single precision that stays in the processor's cache between its making and its use."""
LEAST_ROWS = 256
"""A chunk of long descriptors has so many, cached or not: with fewer the loop takes the time and not the matrix product."""
QUERIES_AT_ONCE = 1024
QUERIES_SHARE = 4
"""Long queries are so few at once that they take no more than this part of the working memory."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Exact:
    """An `Index` that compares with every descriptor: no training, no loss, at home up to a few million photos.

    >>> index = Exact(blocks=[np.eye(3, dtype=np.float16)])
    >>> index.search(np.array([[0.6, 0.8, 0.0]], dtype=np.float32), top=2).rows.tolist()
    [[1, 0]]
    """

    blocks: Blocks
    present: Bool[Array, " rows"] | None = None
    """False for rows that must not be found (removed photos); None where all may be."""
    kept: Kept = field(default_factory=Kept)
    """The same blocks in single precision once that pays; indexes of other rows of them share it."""

    def __len__(self) -> int:
        return sum(len(block) for block in self.blocks) if self.present is None else int(self.present.sum())

    def search(self, queries: Float32[Array, "queries descriptor"], top: int) -> Found:
        """The `top` most similar rows for each query; fewer columns where the database holds fewer rows."""
        return exact(queries, self.kept.best(self.blocks, len(queries)), top, present=self.present)


def exact(
    queries: Float32[Array, "queries descriptor"],
    database: Blocks,
    top: int,
    *,
    present: Bool[Array, " rows"] | None = None,
    bytes_at_once: int = BYTES_AT_ONCE,
) -> Found:
    """The `top` most similar rows of the database for each query, best first, ties to the lower row.

    Similarity is the inner product, the cosine of descriptors of unit length. A database with fewer than `top` rows gives an answer
    of that many columns. Descriptors are read in half or single precision and compared in single precision.

    >>> exact(np.eye(2, dtype=np.float32), [np.eye(2, dtype=np.float32)], top=1).rows.tolist()
    [[0], [1]]
    """
    rows = sum(len(block) for block in database)
    check(queries, database, top, rows, present)
    columns = min(top, rows if present is None else int(present.sum()))
    slab = min(QUERIES_AT_ONCE, max(1, bytes_at_once // (QUERIES_SHARE * 4 * max(1, queries.shape[1]))))
    slabs = range(0, len(queries), slab)
    parts = [_search(queries[first : first + slab], database, columns, present, bytes_at_once) for first in slabs]
    empty = Found(similarities=np.empty((0, columns), np.float32), rows=np.empty((0, columns), np.int64))
    return Found(
        similarities=np.concatenate([empty.similarities, *(part.similarities for part in parts)]),
        rows=np.concatenate([empty.rows, *(part.rows for part in parts)]),
    )


def check(
    queries: Float32[Array, "queries descriptor"], database: Blocks, top: int, rows: int, present: Bool[Array, " rows"] | None
) -> None:
    """ValueError where a search cannot be right."""
    if top < 1:
        raise ValueError(f"At least one answer a query was wanted, got top={top}; search with top=1 or more.")
    if dims := {block.shape[1] for block in database} - {queries.shape[1]}:
        raise ValueError(
            f"Queries of {queries.shape[1]} numbers met a database of {max(dims)}; describe both with the same model and dim."
        )
    if present is not None and len(present) != rows:
        raise ValueError(f"`present` speaks of {len(present)} rows, but the database has {rows}; give one truth value a row.")
    if not (np.isfinite(queries.min(initial=0)) and np.isfinite(queries.max(initial=0))):  # no mask of them all is made
        raise ValueError("Some queries hold numbers that are not finite; leave out photos that their model could not describe.")


def _search(
    queries: Float32[Array, "queries descriptor"],
    database: Blocks,
    columns: int,
    present: Bool[Array, " rows"] | None,
    bytes_at_once: int,
) -> Found:
    similarities = np.full((len(queries), columns), -np.inf, np.float32)
    rows = np.full((len(queries), columns), -1, np.int64)
    if columns:
        dim = queries.shape[1]
        left = bytes_at_once - 4 * queries.size
        # A row stands there in single precision, in half where others beside it are left out, with its similarities and their test.
        at_once = min(max(LEAST_ROWS, CACHED_BYTES // (4 * dim)), max(1, left // (6 * dim + 5 * len(queries))))
        comparing = Comparing(queries, rows=at_once)
        for numbers, descriptors in _chunks(database, at_once, present):
            _keep_best(comparing.similarities(descriptors), numbers, similarities, rows)
        if rows.min(initial=0) < 0:
            raise ValueError("The database holds descriptors that are not finite; describe its photos again.")
    return Found(similarities=similarities, rows=rows)


def _chunks(
    database: Blocks, rows_at_once: int, present: Bool[Array, " rows"] | None
) -> Iterator[tuple[Int64[Array, " chunk"], Float[Array, "chunk descriptor"]]]:
    """Pieces of the database, each with its rows; what may not be found is not even read."""
    offset = 0
    for mapped in database:
        block = np.asarray(mapped)  # slices of a mapped array cost several times those of a plain one
        for first in range(0, len(block), rows_at_once):
            piece = block[first : first + rows_at_once]
            rows = np.arange(offset + first, offset + first + len(piece))
            if present is not None:
                inside = np.flatnonzero(present[rows])
                if len(inside) < len(rows):
                    rows, piece = rows[inside], piece[inside]
            if len(rows):
                yield rows, piece
        offset += len(block)


def _keep_best(
    scores: Float32[Array, "queries chunk"],
    chunk: Int64[Array, " chunk"],
    similarities: Float32[Array, "queries top"],
    rows: Int64[Array, "queries top"],
) -> None:
    """Merge a chunk into the best so far, in place.

    Chunks come in the order of their rows, so a later row must be better than the worst kept one: an equal one loses the tie. That
    leaves few candidates in all chunks but the first.
    """
    top = similarities.shape[1]
    better = scores > similarities[:, -1:]
    for query in np.flatnonzero(better.any(axis=1)):
        candidates = np.flatnonzero(better[query])
        values = np.concatenate([similarities[query], scores[query, candidates]])
        numbers = np.concatenate([rows[query], chunk[candidates]])
        if values.size > 4 * top:  # a full sort of a long list costs more than to find its threshold first
            reach = values >= np.partition(values, -top)[-top]
            values, numbers = values[reach], numbers[reach]
        order = np.argsort(-values, kind="stable")[:top]
        similarities[query], rows[query] = values[order], numbers[order]
