"""Average precision of a ranking, as the retrieval benchmarks measure it."""

import numpy as np

from sameplace.shapes import Array, Int64


def average_precision(
    ranking: Int64[Array, " _ranked"], good: Int64[Array, " _good"], junk: Int64[Array, " _junk"] | None = None
) -> float:
    """The area under precision over recall of one ranking, in 0..1, with straight lines between the points (trapezoid).

    Junk is taken out of the ranking first; for Holidays that is the query itself. A good row that was not retrieved is never
    reached. Precision before the first row is 1. Sources: compute_ap of the Oxford and Paris benchmarks (Philbin et al., CVPR 2007
    and 2008), holidays_map of the Holidays benchmark (Jegou et al., ECCV 2008): one formula.

    >>> average_precision(np.array([7, 4, 9]), good=np.array([4, 9]), junk=np.array([7]))
    1.0
    >>> average_precision(np.array([7, 4]), good=np.array([4]))  # halfway between precision 0 at rank 1 and 1/2 at rank 2
    0.25
    """
    good = np.unique(good)
    if not len(good):
        raise ValueError("Average precision of a query without a right image is not defined; leave the query out.")
    if junk is not None and len(junk):
        ranking = ranking[~np.isin(ranking, junk)]
    ranks = np.flatnonzero(np.isin(ranking, good))
    found = np.arange(len(ranks))
    # Up to a hit, precision falls from hit to hit: the trapezoid lies between the precision just before and the one at the hit.
    before = np.divide(found, ranks, out=np.ones(len(ranks)), where=ranks > 0)
    at = (found + 1) / (ranks + 1)
    return float(np.sum((before + at) / 2) / len(good))
