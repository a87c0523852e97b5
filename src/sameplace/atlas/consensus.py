"""Where photos were taken, from where their best matches were: the place that most of their evidence agrees on.

Mode seeking and not an average (mean shift: D. Comaniciu and P. Meer, "Mean shift: a robust approach toward feature space
analysis", PAMI 2002): two matches in one street and one across the town mean the street, never a point between. The constants were
chosen on the part of a museum that models had seen, and confirmed elsewhere (docs/trust.md); how far to trust an answer is learnt
from each atlas itself (see `calibration`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sameplace.shapes import Array, Bool, Float32, Float64, Int64

DEPTH = 20
"""Matches that are heard. Fixed, so that the position does not depend on how many matches somebody wants to see."""
FEWEST = 10
"""Where fewer matches than DEPTH can be found, the last of more than these stands for chance."""
SAME_PLACE_M = 25.0
"""The distance up to which the field counts two photos as one place: such matches support each other."""
KERNEL_M = 12.0
"""The width of the bell by which matches support each other: at SAME_PLACE_M a tenth is left of it."""
SAME_STANDPOINT_M = 1.0
"""Photos nearer than this are one witness: their views or their errors are the same."""
RADIUS_FLOOR_M = 5.0
"""No spread is smaller: the positions themselves come from phones, which are right to about 5 m under an open sky."""
STEPS = 30
"""Rounds of mean shift: enough for a centimetre wherever two places are not nearly one."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Consensus:
    """The agreed place, as a point in metres, the spread of those who agree, and their part of all evidence."""

    point: Float64[Array, " 3"]
    radius: float
    share: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Agreements:
    """The `Consensus` of many photos."""

    points: Float64[Array, "photos 3"]
    radii: Float64[Array, " photos"]
    shares: Float64[Array, " photos"]


def consensus(
    similarities: Float64[Array, " matches"],
    points: Float64[Array, "matches 3"],
    panoramas: Sequence[str | None],
    *,
    chance: float = 0.0,
) -> Consensus:
    """The place that the matches of one photo support, best first (see `agreements`)."""
    agreed = agreements(similarities[None], points[None], coded(panoramas)[None], np.array([chance]))
    return Consensus(point=agreed.points[0], radius=float(agreed.radii[0]), share=float(agreed.shares[0]))


def agreements(
    similarities: Float64[Array, "photos matches"],
    points: Float64[Array, "photos matches 3"],
    panoramas: Int64[Array, "photos matches"],
    chance: Float64[Array, " photos"],
) -> Agreements:
    """The places that the matches of each photo support, best first: the densest point of the evidence around the best supported.

    `chance` is the similarity of a match too far down the list to mean anything; panoramas are numbered, -1 stands for none.
    """
    return densest(points, evidence(similarities, chance) * witnesses(points, panoramas))


def densest(points: Float64[Array, "photos matches 3"], heard: Float64[Array, "photos matches"]) -> Agreements:
    """For each photo the densest point of what is heard of it; some must be heard.

    The radius is the root mean square distance of the matches of the same place from that point, weighted alike.
    """
    heard = heard / heard.max(axis=1, keepdims=True)  # cubes of what is next to nothing would be nothing at all
    offsets = points - points[:, :1]  # near the origin, where digits are not lost to the radius of the earth
    between = np.square(offsets[:, :, None] - offsets[:, None]).sum(axis=3)
    support = np.einsum("pij,pj->pi", _bell(between), heard)
    # A match that does not speak for itself gives no place to agree on, either.
    best = np.argmax(np.where(heard > 0, support, -1.0), axis=1)
    here = offsets[np.arange(len(offsets)), best]
    # Cubed and not squared: which place it is the many tell, but where in it the nearest tell best.
    loud = heard**1.5
    for _ in range(STEPS):
        pull = loud * _bell(np.square(offsets - here[:, None]).sum(axis=2))
        here = np.einsum("pi,pid->pd", pull, offsets) / pull.sum(axis=1, keepdims=True)
    away = np.square(offsets - here[:, None]).sum(axis=2)
    agreeing = heard * (away <= SAME_PLACE_M**2)
    agreed = agreeing.sum(axis=1)
    spread = np.sqrt((agreeing * away).sum(axis=1) / agreed)
    return Agreements(points=points[:, 0] + here, radii=np.maximum(spread, RADIUS_FLOOR_M), shares=agreed / heard.sum(axis=1))


def chance_level(similarities: Float32[Array, "photos found"]) -> Float64[Array, " photos"]:
    """The similarity of a match too far down each list to mean anything; 0 for short lists, which -inf fills up.

    >>> chance_level(np.array([[0.9, 0.1] + 10 * [0.05], [0.9, 0.8] + 10 * [-np.inf]], np.float32)).round(3).tolist()
    [0.05, 0.0]
    """
    found = np.isfinite(similarities).sum(axis=1)
    last = np.minimum(DEPTH, np.maximum(found, 1) - 1)
    level = np.take_along_axis(similarities, last[:, None], axis=1)[:, 0]
    return np.where(found > FEWEST, np.clip(level, -1, 1), 0.0).astype(np.float64)


def evidence(
    similarities: Float64[Array, "*photos matches"], chance: Float64[Array, "*photos"]
) -> Float64[Array, "*photos matches"]:
    """How much each match says: the square of what its similarity is above chance; all to the best where none is above.

    Above chance, so that nothing depends on where a model's similarities lie, only on how they stand apart; squared, so that many
    matches a little above chance do not outvote one that is far above it.
    """
    beyond: Float64[Array, "*photos matches"] = np.square(np.maximum(similarities - chance[..., None], 0))
    best = np.arange(similarities.shape[-1]) == np.argmax(similarities, axis=-1)[..., None]
    return np.where(beyond.any(axis=-1, keepdims=True), beyond, best)


def witnesses(
    points: Float64[Array, "photos matches 3"], panoramas: Int64[Array, "photos matches"]
) -> Bool[Array, "photos matches"]:
    """Which matches speak for themselves: the best of each panorama, and of each standpoint."""
    speaks = np.zeros(panoramas.shape, np.bool_)
    for match in range(panoramas.shape[1]):
        repeats = (panoramas[:, :match] == panoramas[:, match : match + 1]) & (panoramas[:, match : match + 1] >= 0)
        nearby = np.linalg.norm(points[:, :match] - points[:, match : match + 1], axis=2) < SAME_STANDPOINT_M
        speaks[:, match] = ~(speaks[:, :match] & (repeats | nearby)).any(axis=1)
    return speaks


def coded(panoramas: Sequence[str | None]) -> Int64[Array, " matches"]:
    """Panoramas as numbers, -1 for none.

    >>> coded(["a", None, "b", "a"]).tolist()
    [0, -1, 1, 0]
    """
    numbers: dict[str, int] = {}
    return np.array([-1 if name is None else numbers.setdefault(name, len(numbers)) for name in panoramas], np.int64)


def _bell(squared: Float64[Array, "*any"]) -> Float64[Array, "*any"]:
    # A photo on the other side of the earth weighs next to nothing, but not nothing, and no sum of weights is ever zero.
    bell: Float64[Array, "*any"] = np.exp(-np.minimum(squared / (2 * KERNEL_M**2), 600.0))
    return bell
