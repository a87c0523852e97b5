"""How far a share that was measured on some queries may be from the true one."""

from math import sqrt

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
