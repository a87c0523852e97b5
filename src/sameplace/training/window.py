"""The tuples of all queries up to the next refresh, mined in one pass over the descriptors of the moment."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from sameplace.datasets.truth import Rows
from sameplace.shapes import Array, Float32, Int64
from sameplace.training.config import TrainConfig

NO_ROW = -1
"""Fills lines that hold fewer rows than they could."""
QUERIES_AT_ONCE = 1024
ROWS_AT_ONCE = 512

Read = Callable[[Int64[Array, " _rows"]], Float32[Array, "_rows descriptor"]]
"""The descriptors of rows, in their order."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Mined:
    """What some queries learn from, in rows of the database; `NO_ROW` where there are fewer."""

    best: Int64[Array, " queries"]
    """The best positive of each."""
    hardest: Int64[Array, "queries negatives"]
    """Its hardest negatives that violate the margin, the nearest first."""
    remembered: Int64[Array, "queries remembered"]
    """Its hardest negatives, whether they violate it or not: they are searched again next time."""


def mined(
    asking: Read, answering: Read, positives: Rows, candidates: Callable[[int], Int64[Array, " _candidates"]], config: TrainConfig
) -> Mined:
    """The rules of `sameplace.training.mining` for many queries at once.

    `asking` and `candidates` give the descriptors and what is searched by the number of a query, `answering` the descriptors of
    rows of the database. All that is read is read once, in ascending order, for every QUERIES_AT_ONCE queries.
    """
    best = np.full(len(positives), NO_ROW, np.int64)
    hardest = np.full((len(positives), config.negatives), NO_ROW, np.int64)
    remembered = np.full((len(positives), config.remembered_negatives), NO_ROW, np.int64)
    for first in range(0, len(positives), QUERIES_AT_ONCE):
        numbers = np.arange(first, min(first + QUERIES_AT_ONCE, len(positives)), dtype=np.int64)
        compared = [np.concatenate([positives[number], candidates(number)]) for number in numbers.tolist()]
        found = similarities(asking(numbers), compared, answering)
        for number, rows, similar in zip(numbers.tolist(), compared, found, strict=True):
            near, far = np.split(similar, [len(positives[number])])
            searched = rows[len(positives[number]) :]
            chosen = int(np.argmax(near))
            best[number] = positives[number][chosen]
            # Descriptors are unit vectors: their squared distance is 2 - 2 times their scalar product.
            squared = 2 - 2 * far
            order = np.argsort(squared, kind="stable")
            violating = order[: config.negatives][squared[order[: config.negatives]] < 2 - 2 * float(near[chosen]) + config.margin]
            hardest[number, : len(violating)] = searched[violating]
            kept = order[: config.remembered_negatives]
            remembered[number, : len(kept)] = searched[kept]
    return Mined(best=best, hardest=hardest, remembered=remembered)


def similarities(
    queries: Float32[Array, "queries descriptor"], rows: list[Int64[Array, " _rows"]], read: Read
) -> list[Float32[Array, " _rows"]]:
    """The scalar products of each query with rows of its own, in one pass over all rows that occur.

    A product of matrices computes many that nobody asked for, and is still faster than gathering the rows of each query.
    """
    flat = np.concatenate([np.empty(0, np.int64), *rows])
    owner = np.repeat(np.arange(len(rows)), [len(some) for some in rows])
    order = np.argsort(flat, kind="stable")
    ascending = flat[order]
    asked = np.unique(flat)
    products = np.empty(len(flat), np.float32)
    for first in range(0, len(asked), ROWS_AT_ONCE):
        block = asked[first : first + ROWS_AT_ONCE]
        # In torch, whose products are the same bits each time; numpy's may depend on where in memory an array begins.
        found = (torch.from_numpy(queries) @ torch.from_numpy(read(block)).T).numpy()
        here = order[slice(*np.searchsorted(ascending, [block[0], block[-1] + 1]))]
        products[here] = found[owner[here], np.searchsorted(block, flat[here])]
    return np.split(products, np.cumsum([len(some) for some in rows])[:-1])
