"""How far a share that was measured on some queries may be from the true one."""

from collections.abc import Callable
from math import sqrt

import numpy as np

from sameplace.shapes import Array, Float64, Int64

RESAMPLES = 1000
NORMAL_95 = 1.959963984540054


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share measured on `count` independent queries.

    Source: Wilson, Probable inference, the law of succession, and statistical inference, JASA 1927.

    >>> low, high = wilson(0.88, 200)
    >>> round(low, 3), round(high, 3)
    (0.828, 0.918)
    """
    if count < 1 or not 0 <= share <= 1:
        raise ValueError(f"A share in 0..1 of at least one query was wanted, got {share} of {count}.")
    squared = NORMAL_95**2
    centre = (share + squared / (2 * count)) / (1 + squared / count)
    reach = NORMAL_95 / (1 + squared / count) * sqrt(share * (1 - share) / count + squared / (4 * count**2))
    return max(0.0, centre - reach), min(1.0, centre + reach)


def bootstrap(
    statistics: Callable[[Int64[Array, " _queries"]], Float64[Array, " _figures"]],
    queries: int,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Float64[Array, "figures 2"]:
    """The 95 % intervals of figures that are computed from queries: low and high of each.

    `statistics` computes the figures of some queries, given as rows, in which a row may come several times; a figure that is not
    defined for them is NaN, and left out. Queries are drawn again as if they were independent; neighbours in a video are not, and
    the true interval is then wider. Source: Efron, Bootstrap methods, Annals of Statistics 1979; percentiles.

    >>> errors = np.array([1.0, 2.0, 3.0, 4.0])
    >>> bootstrap(lambda rows: np.array([errors[rows].mean()]), 4, np.random.default_rng(0)).tolist()
    [[1.5, 3.5]]
    """
    if queries < 1:
        raise ValueError("An interval over no queries is not defined; give at least one.")
    drawn = np.sort(np.stack([statistics(rng.integers(0, queries, queries)) for _ in range(resamples)]), axis=0)
    # No lines between the values drawn, some of which may be infinite; NaN comes last in the order.
    last = np.maximum(np.sum(~np.isnan(drawn), axis=0) - 1, 0)
    ends = np.stack([np.floor(0.025 * last), np.ceil(0.975 * last)]).astype(np.int64)
    return np.take_along_axis(drawn, ends, axis=0).T
