"""What the matches of photos say together: where each was taken, and how much it is like that place as a whole."""

from dataclasses import dataclass

import numpy as np

from sameplace.atlas.consensus import DEPTH, KERNEL_M, agreements, chance_level
from sameplace.shapes import Array, Bool, Float32, Float64, Int64

LOOKED = 40
"""Matches among which those of the place are looked for."""
VIEWS = 12
"""Matches of the place that are heard at most, the best ones."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Located:
    """Where photos were located, and what tells good answers from bad ones."""

    points: Float64[Array, "photos 3"]
    radii: Float64[Array, " photos"]
    """The spread of the matches that agree, in metres."""
    shares: Float64[Array, " photos"]
    """The part of all evidence that agrees."""
    likeness: Float64[Array, " photos"]

    def scores(self, scale: float) -> Float64[Array, " photos"]:
        """Likeness in units of its spread in the atlas plus the part of the evidence that agrees: both say how good answers are."""
        scores: Float64[Array, " photos"] = self.likeness / scale + self.shares
        return scores


def located(
    queries: Float32[Array, "photos dim"],
    similarities: Float32[Array, "photos found"],
    points: Float64[Array, "photos found 3"],
    panoramas: Int64[Array, "photos found"],
    descriptors: Float32[Array, "photos found dim"],
    centre: Float32[Array, " dim"] | None,
) -> Located:
    """What the matches of each photo say, best first; a similarity of -inf fills up the lists of those who have fewer.

    Of each list the first DEPTH are heard for the position, and LOOKED for the likeness; the next one tells the level of chance.
    The centre is that of the atlas (see `likeness`).
    """
    there = np.isfinite(similarities)
    clipped = np.clip(similarities, -1, 1).astype(np.float64)  # descriptors in half precision are not quite of unit length
    heard = (slice(None), slice(DEPTH))
    agreed = agreements(clipped[heard], points[heard], panoramas[heard], chance_level(similarities))
    seen = (slice(None), slice(LOOKED))
    away = np.linalg.norm(points[seen] - agreed.points[:, None], axis=2)
    return Located(
        points=agreed.points,
        radii=agreed.radii,
        shares=agreed.shares,
        likeness=likeness(queries, descriptors[seen], away, there[seen], centre),
    )


def likeness(
    queries: Float32[Array, "photos dim"],
    matches: Float32[Array, "photos matches dim"],
    away: Float64[Array, "photos matches"],
    there: Bool[Array, "photos matches"],
    centre: Float32[Array, " dim"] | None,
) -> Float64[Array, " photos"]:
    """The similarity of each photo to the mean descriptor of its matches at most KERNEL_M from where it was located.

    One match may look alike by chance; a dozen of one place do not, and their mean keeps what they share. Matches come best first,
    with their distances in metres; those that are not `there` do not count. Where none is so near, the nearest one is heard.

    The similarity is that of what sets both apart from the centre, the mean descriptor of the atlas: a photo by night is less like
    everything that was photographed by day, its own place included, and that says nothing about where it was taken.
    """
    heard = there & (away <= KERNEL_M)
    heard[np.arange(len(heard)), np.argmin(np.where(there, away, np.inf), axis=1)] = True
    heard &= np.cumsum(heard, axis=1) <= VIEWS
    views = _unit(np.einsum("pm,pmd->pd", heard.astype(np.float32), matches))
    if centre is not None:
        queries, views = _unit(queries - centre), _unit(views - centre)
    alike: Float64[Array, " photos"] = (views * queries).sum(axis=1).astype(np.float64)
    return alike


def _unit(rows: Float32[Array, "rows dim"]) -> Float32[Array, "rows dim"]:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Float32[Array, "rows dim"] = rows / np.maximum(lengths, 1e-6)
    return unit
