"""Which positive and which negatives of a query to learn from, by the descriptors of the moment (section 4, the authors' code)."""

import numpy as np

from sameplace.shapes import Array, Float32, Int64


def best_positive(
    query: Float32[Array, " descriptor"], positives: Int64[Array, " positives"], database: Float32[Array, "database descriptor"]
) -> int:
    """The potential positive that looks most like the query: the one likely to show the same thing, equation (5).

    >>> best_positive(np.float32([1, 0]), np.array([0, 2]), np.float32([[0, 1], [1, 0], [0.6, 0.8]]))
    2
    """
    return int(positives[np.argmax(database[positives] @ query)])


def sampled_negatives(
    near: Int64[Array, " near"], database: int, *, count: int, rng: np.random.Generator
) -> Int64[Array, " sampled"]:
    """Random definite negatives of a query, without repetition: rows that are not among those near it.

    >>> sampled_negatives(np.array([1, 2]), 5, count=9, rng=np.random.default_rng(0)).tolist()
    [0, 3, 4]
    """
    far = database - len(near)
    chosen = np.sort(rng.choice(far, min(count, far), replace=False))
    # The n-th row that is not near has as many near rows before it as lie at or below it once these are skipped.
    skipped = np.searchsorted(near - np.arange(len(near)), chosen, side="right")
    return (chosen + skipped).astype(np.int64)


def hardest_negatives(
    query: Float32[Array, " descriptor"],
    best: int,
    candidates: Int64[Array, " candidates"],
    database: Float32[Array, "database descriptor"],
    *,
    count: int = 10,
    margin: float = 0.1,
) -> Int64[Array, " hardest"]:
    """The candidates nearest to the query that violate the margin, the nearest first, `count` at most.

    A negative violates where its squared distance is below that of the best positive plus the margin; descriptors are unit vectors.
    """
    squared = 2 - 2 * (database[candidates] @ query)
    positive = 2 - 2 * float(database[best] @ query)
    order = np.argsort(squared, kind="stable")[:count]
    hardest: Int64[Array, " hardest"] = candidates[order[squared[order] < positive + margin]]
    return hardest


def candidates(sampled: Int64[Array, " sampled"], remembered: Int64[Array, " remembered"]) -> Int64[Array, " candidates"]:
    """What is searched for hard negatives: the fresh sample and those that were hardest last time.

    >>> candidates(np.array([5, 2]), np.array([2, 9])).tolist()
    [2, 5, 9]
    """
    return np.union1d(sampled, remembered)
