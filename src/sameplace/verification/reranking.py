"""The best matches of a query put in a new order by how many local features agree, within a stated time."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from sameplace.errors import ImageError
from sameplace.verification.features import Features, RootSift
from sameplace.verification.geometry import Either
from sameplace.verification.matching import Matched, MutualNearest
from sameplace.verification.verifier import Source, Verifier
from sameplace.verification.xfeat import LighterGlue, XFeat, installed

SECONDS: Final = 5.0
"""Time for one query, unless another one is stated."""
LEAST: Final = {"xfeat": 50, "rootsift": 14}
"""Pairs that must agree before a match counts as proved: of the most similar photos of other places, 99 of 100 have fewer."""
RANKED_FROM: Final = 14
"""Pairs from which a match is put before others, proved or not: docs/verification.md says how that was chosen."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Reranked:
    """Candidates of one query in a new order."""

    order: tuple[int, ...]
    """Numbers of the candidates, best first."""
    query: Features
    matched: tuple[Matched | None, ...]
    """What each candidate, in the old order, has in common with the query; None where it was not compared."""
    compared: int
    stopped: bool
    """Whether the time was over before all were compared."""
    seconds: float
    """What it took."""
    budget: float
    """What it was to take at most."""

    @property
    def inliers(self) -> tuple[int | None, ...]:
        """Of each candidate in the old order, how many pairs agree; None where it was not compared."""
        return tuple(None if one is None else one.count for one in self.matched)

    @property
    def in_time(self) -> bool:
        """Whether the time sufficed for all candidates, and was kept."""
        return not self.stopped and self.seconds <= self.budget


def rerank(
    verifier: Verifier,
    query: Source | bytes,
    candidates: Sequence[Source],
    *,
    seconds: float = SECONDS,
    clock: Callable[[], float] = time.perf_counter,
) -> Reranked:
    """Put first, by how many pairs agree, those candidates of which RANKED_FROM do, or as many as are proof; the others follow.

    Candidates are compared in their order until the next one might take longer than is left of the seconds: it is expected to take
    as long as the slowest before. A candidate that cannot be read any more is left where it was. ImageError where the query
    cannot be read.
    """
    if not seconds > 0:
        raise ValueError(f"More than 0 seconds for a query were wanted, got {seconds:g}; 5 is usual.")
    start = clock()
    wanted = verifier.features(query)
    slowest, compared, stopped = 0.0, 0, False
    matched: list[Matched | None] = [None] * len(candidates)
    for number, candidate in enumerate(candidates):
        began = clock()
        if began - start + slowest > seconds:
            stopped = True
            break
        try:
            matched[number] = verifier.compare(wanted, verifier.features(candidate))
            compared += 1
        except ImageError:
            continue  # gone or broken since it was described: no reason against its place, only no proof
        slowest = max(slowest, clock() - began)
    counts = [-1 if one is None else one.count for one in matched]
    ahead = [number for number, count in enumerate(counts) if count >= min(RANKED_FROM, verifier.least)]
    ahead.sort(key=lambda number: -counts[number])
    rest = (number for number in range(len(candidates)) if number not in ahead)
    return Reranked(
        order=(*ahead, *rest),
        query=wanted,
        matched=tuple(matched),
        compared=compared,
        stopped=stopped,
        seconds=clock() - start,
        budget=seconds,
    )


def best_verifier() -> Verifier:
    """XFeat with LighterGlue where the distribution sameplace-xfeat is installed, SIFT with nearest neighbours otherwise.

    Its `identity` says which.
    """
    if installed():
        return Verifier(XFeat(), matcher=LighterGlue(), ransac=Either(), least=LEAST["xfeat"])
    return Verifier(RootSift(), matcher=MutualNearest(), ransac=Either(), least=LEAST["rootsift"])
