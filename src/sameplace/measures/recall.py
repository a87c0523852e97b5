"""recall@N: the share of queries with at least one positive among the first N retrieved (section 5.1 of the paper)."""

from collections.abc import Sequence

import numpy as np

from sameplace.shapes import Array, Int64

NEVER = np.iinfo(np.int64).max
"""The rank of a hit that does not come."""


def first_hits(
    retrieved: Sequence[Int64[Array, " _top"]], positives: Sequence[Int64[Array, " _positives"]]
) -> Int64[Array, " queries"]:
    """The rank, from 0, of the first positive among the rows retrieved for each query; NEVER where there is none.

    >>> first_hits([np.array([7, 3, 5])], [np.array([5, 9])]).tolist()
    [2]
    """
    if len(retrieved) != len(positives):
        raise ValueError(f"One list of positives a query was wanted, got {len(positives)} for {len(retrieved)} queries.")
    ranks = np.full(len(retrieved), NEVER)
    for query, (rows, right) in enumerate(zip(retrieved, positives, strict=True)):
        hits = np.flatnonzero(np.isin(rows, right))
        if len(hits):
            ranks[query] = hits[0]
    return ranks


def recall(first: Int64[Array, " queries"], recall_at: Sequence[int]) -> dict[int, float]:
    """recall@N in 0..1 over these queries, all of them: one that has no positive is a miss.

    For the other denominator in use, give the ranks of the answerable queries only.

    >>> recall(np.array([0, 3, NEVER, 0]), (1, 5))
    {1: 0.5, 5: 0.75}
    """
    if not len(first):
        raise ValueError("recall@N of no queries is not defined; give at least one.")
    if min(recall_at, default=0) < 1:
        raise ValueError(f"The N of recall@N are 1 or more, got {list(recall_at)}.")
    return {top: float(np.mean(first < top)) for top in recall_at}
