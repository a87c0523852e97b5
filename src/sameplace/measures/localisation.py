"""How far from the query the first match was taken."""

from collections.abc import Sequence

import numpy as np

from sameplace.shapes import Array, Float64


def median_error(errors_m: Float64[Array, " queries"]) -> float:
    """Metres that half of the queries stay below; infinite where half of them found nothing.

    >>> median_error(np.array([1.0, 4.0, 300.0]))
    4.0
    """
    _some(errors_m)
    middle = np.sort(errors_m)[[(len(errors_m) - 1) // 2, len(errors_m) // 2]]
    return float(np.mean(middle))


def located(errors_m: Float64[Array, " queries"], within_m: Sequence[float]) -> dict[float, float]:
    """The share of queries whose first match is at most so many metres away, in 0..1, by metres.

    >>> located(np.array([1.0, 5.0, 300.0, 7.0]), (5.0, 10.0))
    {5.0: 0.5, 10.0: 0.75}
    """
    _some(errors_m)
    return {metres: float(np.mean(errors_m <= metres)) for metres in within_m}


def _some(errors_m: Float64[Array, " queries"]) -> None:
    if not len(errors_m):
        raise ValueError("The error of no queries is not defined; give at least one.")
