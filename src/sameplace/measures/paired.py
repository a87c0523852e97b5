"""Whether two models that answered the same queries differ by more than chance."""

import numpy as np

from sameplace.shapes import Array, Bool


def mcnemar(first: Bool[Array, " queries"], second: Bool[Array, " queries"]) -> float:
    """The exact two-sided p-value of the hits of two models on the same queries.

    Only queries that one of them answers and the other does not can tell: were the models equally good, either would win each of
    these with probability 1/2. Source: McNemar, Note on the sampling error of the difference between correlated proportions, 1947,
    with the binomial distribution itself in place of the approximation.

    >>> mcnemar(np.array([True] * 5 + [False]), np.array([False] * 5 + [True]))
    0.21875
    """
    disagreed = int(np.sum(first != second))
    fewer = min(int(np.sum(first & ~second)), int(np.sum(second & ~first)))
    # Integers of any length: no rounding until the last division.
    ways = tail = 1
    for wins in range(fewer):
        ways = ways * (disagreed - wins) // (wins + 1)
        tail += ways
    return float(min(1.0, 2 * tail / 2**disagreed))
