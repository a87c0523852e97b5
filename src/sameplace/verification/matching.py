"""Local features of two pictures that are each other's, and those among them that agree on one geometry."""

from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

import numpy as np

from sameplace.shapes import Array, Bool, Float32, Float64, Int64
from sameplace.verification.features import Features
from sameplace.verification.geometry import Either, Geometry, Ransac


@dataclass(frozen=True, kw_only=True, eq=False)
class Matched:
    """What two pictures have in common."""

    pairs: Int64[Array, "pairs 2"]
    """Rows of the first picture's features and of the second's that look alike."""
    inliers: Bool[Array, " pairs"]
    """Which pairs agree on the geometry."""
    geometry: Geometry
    matrix: Float64[Array, "3 3"] | None
    """From pixels of the first picture to pixels, or to lines, of the second; None where no pairs agree."""

    @property
    def count(self) -> int:
        """How many pairs agree: the more, the surer."""
        return int(self.inliers.sum())


@runtime_checkable
class Matcher(Protocol):
    """Whatever tells which features of two pictures are each other's: nearest neighbours, or a network."""

    @property
    def identity(self) -> str:
        """Equal where equal features are paired alike."""
        ...

    def pairs(self, first: Features, second: Features) -> Int64[Array, "pairs 2"]:
        """Rows of the first and rows of the second, each row once at most."""
        ...


@dataclass(frozen=True, kw_only=True)
class MutualNearest:
    """Features that are nearest to each other, and nearer than `ratio` times the next best on either side (Lowe's test)."""

    ratio: float = 0.85

    @property
    def identity(self) -> str:
        """Equal where equal features are paired alike."""
        return f"mutual {self.ratio:g}"

    def pairs(self, first: Features, second: Features) -> Int64[Array, "pairs 2"]:
        """Rows of the first, ascending, with their rows of the second; the same pairs whichever comes first."""
        if not len(first) or not len(second):
            return np.empty((0, 2), np.int64)
        similarities = first.descriptors @ second.descriptors.T
        rows, columns = np.arange(len(first)), similarities.argmax(axis=1)
        mutual = similarities.argmax(axis=0)[columns] == rows
        rows, columns = rows[mutual], columns[mutual]
        best = similarities[rows, columns]
        next_best = np.maximum(_second_best(similarities)[rows], _second_best(similarities.T)[columns])
        # Of unit vectors; a squared distance of rounding errors may come out below nothing.
        clear = (2 - 2 * best).clip(0) <= self.ratio**2 * (2 - 2 * next_best)
        return np.column_stack([rows[clear], columns[clear]]).astype(np.int64)


NEAREST: Final = MutualNearest()
RANSAC: Final = Ransac()


def match(first: Features, second: Features, *, matcher: Matcher = NEAREST, ransac: Ransac | Either = RANSAC) -> Matched:
    """Pair the features of two pictures, and tell which pairs agree on how one view became the other."""
    pairs = matcher.pairs(first, second)
    geometry, matrix, inliers = ransac.best(first.points[pairs[:, 0]], second.points[pairs[:, 1]])
    return Matched(pairs=pairs, inliers=inliers, geometry=geometry, matrix=matrix)


def _second_best(similarities: Float32[Array, "rows columns"]) -> Float32[Array, " rows"]:
    """The second highest similarity of each row; less than any where there is no second."""
    if similarities.shape[1] < 2:
        return np.full(len(similarities), -np.inf, np.float32)
    return np.partition(np.ascontiguousarray(similarities), -2, axis=1)[:, -2]
