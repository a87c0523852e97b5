"""Geometric verification of an answer: its best matches put in a new order by local features, within a stated time."""

import time
from dataclasses import replace
from pathlib import Path

from sameplace.atlas.estimate import Estimate, Match, Verification
from sameplace.errors import ImageError
from sameplace.verification import Features, Matched, Verifier, rerank
from sameplace.verification.bearing import bearing, focal_length


def verified(answer: Estimate, photo: str | Path | bytes, verifier: Verifier, *, count: int, top: int, seconds: float) -> Estimate:
    """The answer with its `count` best matches compared with the photo, and the best `top` of the new order kept.

    Position, radius and `known` stay as they were told without it: what an atlas learnt about its answers holds for those.
    """
    if count < 1:
        raise ValueError(f"At least one match to verify was wanted, got verify={count}; leave it out to verify none.")
    start = time.perf_counter()
    query: Path | bytes = photo if isinstance(photo, bytes) else Path(photo)
    candidates = answer.matches[:count]
    done = rerank(verifier, query, [Path(match.path) for match in candidates], seconds=seconds)
    told = [replace(match, inliers=inliers) for match, inliers in zip(candidates, done.inliers, strict=True)]
    best = done.order[0]
    told[best] = _seen(told[best], query, done.matched[best], verifier, done.query)
    matches = [*(told[number] for number in done.order), *answer.matches[count:]]
    return replace(
        answer,
        matches=tuple(matches[:top]),
        verification=Verification(
            by=verifier.identity,
            least=verifier.least,
            wanted=len(candidates),
            compared=done.compared,
            stopped=done.stopped,
            seconds=time.perf_counter() - start,
            budget=seconds,
        ),
    )


def _seen(match: Match, query: Path | bytes, matched: Matched | None, verifier: Verifier, features: Features) -> Match:
    """A match that is proved, with how the query's camera stood to its own."""
    if matched is None or matched.count < verifier.least:
        return match
    path = Path(match.path)
    try:
        seen = bearing(features, verifier.features(path), matched, query_mm=focal_length(query), match_mm=focal_length(path))
    except ImageError:  # it has gone since it was compared
        return match
    return match if seen is None else replace(match, turned=seen.turned, towards=seen.towards)
