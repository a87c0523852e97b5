"""Where a photo was taken, from where its best matches were: the place that most of their evidence agrees on.

Mode seeking and not an average: two matches in one street and one across the town mean the street, never a point between. Nothing
here is calibrated on data; each constant has a reason of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sameplace.shapes import Array, Bool, Float64

DEPTH = 10
"""Matches that are heard. Fixed, so that the position does not depend on how many matches somebody wants to see."""
SAME_PLACE_M = 25.0
"""The distance up to which the field counts two photos as one place: such matches support each other."""
SAME_STANDPOINT_M = 1.0
"""Photos nearer than this are one witness: their views or their errors are the same."""
RADIUS_FLOOR_M = 5.0
"""No radius is smaller: the positions themselves come from phones, which are right to about 5 m under an open sky."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Consensus:
    """The agreed place, as a point in metres, and the spread of those who agree."""

    point: Float64[Array, " 3"]
    radius: float


def consensus(
    similarities: Float64[Array, " matches"],
    points: Float64[Array, "matches 3"],
    panoramas: Sequence[str | None],
    *,
    chance: float = 0.0,
) -> Consensus:
    """The place that the matches support, best first: the mean of those around the best supported one, weighted by evidence.

    `chance` is the similarity of a match too far down the list to mean anything. The radius is the root mean square distance of the
    agreeing matches from their mean, weighted alike.
    """
    heard = evidence(similarities, chance) * witnesses(points, panoramas)
    offsets = points - points[0]  # near the origin, where digits are not lost to the radius of the earth
    near = np.linalg.norm(offsets[:, None] - offsets[None], axis=2) <= SAME_PLACE_M
    # A match that does not speak for itself gives no place to agree on, either.
    agreeing = heard * near[np.argmax(np.where(heard > 0, near @ heard, -1.0))]
    mean = agreeing @ offsets / agreeing.sum()
    spread = np.sqrt(agreeing @ np.square(offsets - mean).sum(axis=1) / agreeing.sum())
    return Consensus(point=points[0] + mean, radius=max(float(spread), RADIUS_FLOOR_M))


def evidence(similarities: Float64[Array, " matches"], chance: float) -> Float64[Array, " matches"]:
    """How much each match says: the square of what its similarity is above chance; all to the best where none is above.

    Above chance, so that nothing depends on where a model's similarities lie, only on how they stand apart; squared, so that many
    matches a little above chance do not outvote one that is far above it.
    """
    beyond: Float64[Array, " matches"] = np.square(np.maximum(similarities - chance, 0))
    if not beyond.any():
        beyond[np.argmax(similarities)] = 1
    return beyond


def witnesses(points: Float64[Array, "matches 3"], panoramas: Sequence[str | None]) -> Bool[Array, " matches"]:
    """Which matches speak for themselves: the best of each panorama, and of each standpoint."""
    speaks = np.zeros(len(points), np.bool_)
    for match, panorama in enumerate(panoramas):
        heard = np.flatnonzero(speaks)
        repeats = panorama is not None and any(panoramas[other] == panorama for other in heard.tolist())
        nearby = np.linalg.norm(points[heard] - points[match], axis=1) < SAME_STANDPOINT_M
        speaks[match] = not repeats and not nearby.any()
    return speaks
