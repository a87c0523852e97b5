"""A geographic split of photos: a part of the map to learn from, another to validate on, and a belt between them left out."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, radians, sin
from typing import Literal

import numpy as np

from sameplace.datasets import Dataset, LeaveOut, WithinMetres
from sameplace.datasets.truth import Rows, near
from sameplace.errors import TrainingError
from sameplace.geo import LOCAL, LatLon, Positions
from sameplace.images import ImageRecord
from sameplace.shapes import Array, Bool, Float64, Int64

VALIDATE, BELT, LEARN = -1, 0, 1
DIRECTIONS = 24
"""Ways to cut the map that are compared."""
LEAST = 10
"""Photos that each part must have."""
SLACK = 0.25
"""The share of validation may be missed by so much of itself, for the sake of a cut that few photos lie near."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """Photos to learn from, photos to validate on, and what is in neither."""

    training: tuple[ImageRecord, ...]
    validation: tuple[ImageRecord, ...]
    left_out: tuple[ImageRecord, ...]
    """Photos in the belt between the two parts, of panoramas on both sides of it, or without a position."""
    gap: float
    """Metres at least from every photo of one part to every photo of the other."""

    def __str__(self) -> str:
        return (
            f"{len(self.training):,} photos to learn from, {len(self.validation):,} to validate on, {self.gap:g} m or more apart; "
            f"{len(self.left_out):,} in neither"
        )


def split(images: Sequence[ImageRecord], *, share: float = 0.2, gap: float = 25.0, reach: float = 10.0) -> Split:
    """Cut a side of the map off for validation, about that share of the photos, and leave out a belt of `gap` metres.

    Of cuts in many directions the one is taken that leaves most photos another one within `reach` metres on their own side. The
    same photos are always split the same way; no panorama is torn. TrainingError where there are too few, or all in one spot.
    """
    if not 0 < share < 1 or gap <= 0:
        raise TrainingError(f"A share between 0 and 1 and a gap above 0 m were wanted, got {share:g} and {gap:g}; give such ones.")
    placed = [image for image in images if image.position is not None]
    spots = _Spots.of(placed)
    cuts = [cut for cut in (spots.cut(turn * 360 / DIRECTIONS, share, gap) for turn in range(DIRECTIONS)) if cut is not None]
    if not cuts:
        raise TrainingError(
            f"Two parts of a map, each of {LEAST} photos or more and {gap:g} m apart, were wanted, got {len(placed)} photos with a "
            f"position, spread over {spots.extent:.0f} m; give more of them, a smaller gap, or others to validate on."
        )
    first, second = spots.neighbours(reach)
    best = max(cuts, key=lambda cut: (-cut.excess, int(spots.sizes[np.unique(first[cut.together(first, second)])].sum())))
    sides = best.sides[spots.numbers].tolist()
    parts = {
        wanted: tuple(image for image, side in zip(placed, sides, strict=True) if side == wanted)
        for wanted in (LEARN, BELT, VALIDATE)
    }
    unplaced = tuple(image for image in images if image.position is None)
    return Split(training=parts[LEARN], validation=parts[VALIDATE], left_out=(*parts[BELT], *unplaced), gap=gap)


def held_out(images: Sequence[ImageRecord], *, radius: float = 25.0, name: str = "validation") -> Dataset:
    """Photos as a dataset to validate on: each asks for the others, but for its own panorama and its own burst.

    Where photos of one drive are all there is, those of the same minute are the only ones near: then the burst is not left out.
    """
    images = tuple(images)
    right = WithinMetres(radius).positives(images, images)
    burst = _answerable(right, LeaveOut(panorama=True, burst=True).rows(images, images))
    any_time = _answerable(right, LeaveOut(panorama=True).rows(images, images))
    leaves_burst = 2 * burst >= any_time
    told = "" if leaves_burst else "; those of its own burst count, as nearly all others are of it"
    return Dataset(
        name=name,
        database=images,
        queries=images,
        truth=WithinMetres(radius),
        left_out=LeaveOut(content=True, panorama=True, burst=leaves_burst),
        remark=f"each photo asks for the others{told}",
    )


def clear_of(images: Sequence[ImageRecord], others: Sequence[ImageRecord], gap: float) -> tuple[ImageRecord, ...]:
    """Those images that are more than `gap` metres from all others, as far as their positions on earth tell.

    Two local frames may be of two sites, between which there are no metres: then all images are clear.
    """
    placed = [image.position for image in images if isinstance(image.position, LatLon)]
    known = [image.position for image in others if isinstance(image.position, LatLon)]
    close = iter(near(Positions.of(placed).metric(), Positions.of(known).metric(), gap))
    return tuple(image for image in images if not isinstance(image.position, LatLon) or not len(next(close)))


def _answerable(right: Rows, left_out: Rows) -> int:
    """How many photos have a right one that they may find, themselves not counted."""
    pairs = enumerate(zip(right, left_out, strict=True))
    return sum(len(np.setdiff1d(rows, [*without, own])) > 0 for own, (rows, without) in pairs)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Cut:
    """Which side each spot lies on."""

    sides: Int64[Array, " spots"]
    excess: float
    """By how much the share of validation is missed beyond what is allowed."""

    def together(self, first: Int64[Array, " pairs"], second: Int64[Array, " pairs"]) -> Bool[Array, " pairs"]:
        """Which pairs of spots lie on one side, and not in the belt."""
        alike: Bool[Array, " pairs"] = (self.sides[first] == self.sides[second]) & (self.sides[first] != BELT)
        return alike


@dataclass(frozen=True, kw_only=True, eq=False)
class _Spots:
    """Panoramas, and photos of none: what stays together."""

    numbers: Int64[Array, " images"]
    """The spot of each image."""
    plane: Float64[Array, "images 2"]
    """Where each image lies, in metres east and north of the first."""
    sizes: Int64[Array, " spots"]
    """How many images each spot has."""

    @classmethod
    def of(cls, images: Sequence[ImageRecord]) -> "_Spots":
        keys: dict[tuple[str, str | int], int] = {}
        names = [("panorama", image.panorama) if image.panorama is not None else ("row", row) for row, image in enumerate(images)]
        numbers = np.array([keys.setdefault(name, len(keys)) for name in names], np.int64)
        positions = Positions.of([image.position for image in images if image.position is not None])
        return cls(numbers=numbers, plane=_plane(positions), sizes=np.bincount(numbers, minlength=len(keys)).astype(np.int64))

    @property
    def extent(self) -> float:
        """Metres from corner to corner of the box around all images."""
        return float(np.linalg.norm(np.ptp(self.plane, axis=0))) if len(self.plane) else 0.0

    def cut(self, degrees: float, share: float, gap: float) -> _Cut | None:
        """The best cut across a direction: near the share wanted, few images in the belt; None where a part would be too small."""
        across = self.plane @ np.array([cos(radians(degrees)), sin(radians(degrees))])
        low, high = np.full(len(self.sizes), np.inf), np.full(len(self.sizes), -np.inf)
        np.minimum.at(low, self.numbers, across)
        np.maximum.at(high, self.numbers, across)
        ends = np.unique(high)
        below, above = _counts(high, self.sizes, ends, "right"), self.sizes.sum() - _counts(low, self.sizes, ends + gap, "left")
        possible = np.flatnonzero((below >= LEAST) & (above >= LEAST))
        if not len(possible):
            return None
        missed = np.abs(below[possible] / len(self.numbers) - share)
        excess = np.maximum(missed - SLACK * share, 0.0)
        best = np.lexsort((missed, -(below + above)[possible], excess))[0]
        end = ends[possible[best]]
        sides = np.where(high <= end, VALIDATE, np.where(low >= end + gap, LEARN, BELT))
        return _Cut(sides=sides.astype(np.int64), excess=float(excess[best]))

    def neighbours(self, reach: float) -> tuple[Int64[Array, " pairs"], Int64[Array, " pairs"]]:
        """All pairs of different spots within reach of each other, both ways."""
        centre = np.column_stack(
            [np.bincount(self.numbers, axis) / self.sizes for axis in self.plane.T] + [np.zeros(len(self.sizes))]
        )
        rows = near(centre, centre, reach)
        first = np.repeat(np.arange(len(rows)), [len(some) for some in rows])
        second = np.concatenate([np.empty(0, np.int64), *rows])
        return first[first != second], second[first != second]


def _counts(
    ends: Float64[Array, " spots"], sizes: Int64[Array, " spots"], at: Float64[Array, " cuts"], side: Literal["left", "right"]
) -> Int64[Array, " cuts"]:
    """How many images are of spots that end before each of these places."""
    order = np.argsort(ends, kind="stable")
    totals = np.concatenate([[0], np.cumsum(sizes[order])])
    counts: Int64[Array, " cuts"] = totals[np.searchsorted(ends[order], at, side=side)]
    return counts


def _plane(positions: Positions) -> Float64[Array, "images 2"]:
    """Metres east and north of the first position; two points are at least as far apart as they are here."""
    metric = positions.metric()
    if positions.frame == LOCAL or not len(positions):
        return metric[:, :2]
    latitude, longitude = np.radians(positions.coordinates[0])
    east = np.array([-np.sin(longitude), np.cos(longitude), 0.0])
    north = np.array([-np.sin(latitude) * np.cos(longitude), -np.sin(latitude) * np.sin(longitude), np.cos(latitude)])
    flat: Float64[Array, "images 2"] = (metric - metric[0]) @ np.column_stack([east, north])
    return flat
