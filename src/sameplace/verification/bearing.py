"""How the camera of a query was turned, and where it stood, as seen from a photo that shows the same thing."""

from contextlib import suppress
from dataclasses import dataclass
from math import atan2, degrees, hypot
from pathlib import Path
from typing import Final

import numpy as np
from PIL.ExifTags import IFD, Base

from sameplace.images import View
from sameplace.images.reading import opened
from sameplace.shapes import Array, Float64
from sameplace.verification.features import Features, opencv
from sameplace.verification.matching import Matched

ASSUMED_MM: Final = 28.0
"""Focal length of a camera that says nothing, for a frame of 36 x 24 mm: between those of phones and of compact cameras."""
DIAGONAL_MM: Final = 43.27
FEWEST: Final = 15
"""Pairs that must agree on how the camera moved."""
PARALLAX_DEG: Final = 1.0
"""What a mere turn of the camera must leave unexplained, for anybody to tell where the other camera stood."""
PIXELS: Final = 2.0


@dataclass(frozen=True, kw_only=True)
class Bearing:
    """The query's camera, seen from the camera of a match; degrees, clockwise from above.

    As right as the focal lengths are: one that is 10 % off makes angles about 10 % wrong. Both cameras are taken to be held level.
    """

    turned: float
    """How much farther to the right the query looks; added to the heading of the match it is that of the query."""
    towards: float | None
    """Where the query's camera stands, from where the match looks; None where both hardly stand apart, or all is far away."""
    agreeing: int
    """Pairs that agree on it."""


def bearing(
    query: Features, match: Features, matched: Matched, *, query_mm: float = ASSUMED_MM, match_mm: float = ASSUMED_MM
) -> Bearing | None:
    """From what a query (first) and a match (second) have in common; None where too few pairs agree on how the camera moved.

    Focal lengths are for a frame of 36 x 24 mm, see `focal_length`. A single plane, such as a bare wall, has two solutions, of
    which the one is given that more points lie in front of.
    """
    pairs = matched.pairs[matched.inliers]
    if len(pairs) < FEWEST:
        return None
    here, there = _rays(match, match_mm)[pairs[:, 1]], _rays(query, query_mm)[pairs[:, 0]]
    rotation, left_over = _turned(here, there)
    if left_over < PARALLAX_DEG:
        return Bearing(turned=_clockwise(rotation.T @ [0.0, 0.0, 1.0]), towards=None, agreeing=len(pairs))
    library = opencv()
    pixels = (_focal_pixels(query, query_mm) + _focal_pixels(match, match_mm)) / 2
    essential, mask = library.findEssentialMat(here, there, np.eye(3), library.RANSAC, 0.999, PIXELS / pixels)
    if essential is None or essential.shape != (3, 3):
        return None
    agreeing, rotation, shift, _ = library.recoverPose(essential, here, there, np.eye(3), mask=mask)
    if agreeing < FEWEST:
        return None
    stands = -rotation.T @ shift.ravel()
    return Bearing(turned=_clockwise(rotation.T @ [0.0, 0.0, 1.0]), towards=_clockwise(stands), agreeing=int(agreeing))


def focal_length(source: str | Path | bytes | View) -> float:
    """Millimetres, for a frame of 36 x 24 mm, as the photo's EXIF data say; what most phones have where they say nothing."""
    with suppress(Exception), opened(source.path if isinstance(source, View) else source) as image:
        # Whatever broken EXIF data raise, the photo has a focal length nevertheless.
        said = float(image.getexif().get_ifd(IFD.Exif).get(Base.FocalLengthIn35mmFilm, 0))
        if 5 <= said <= 1000:
            return said
    return ASSUMED_MM


def _rays(features: Features, millimetres: float) -> Float64[Array, "features 2"]:
    """The points on a screen one unit before the camera."""
    height, width = features.size
    rays: Float64[Array, "features 2"] = (features.points.astype(np.float64) + 0.5 - [width / 2, height / 2]) / _focal_pixels(
        features, millimetres
    )
    return rays


def _focal_pixels(features: Features, millimetres: float) -> float:
    return hypot(*features.size) * millimetres / DIAGONAL_MM


def _turned(here: Float64[Array, "pairs 2"], there: Float64[Array, "pairs 2"]) -> tuple[Float64[Array, "3 3"], float]:
    """The rotation from the first camera to the second that explains the rays best, and the degrees that it leaves unexplained.

    Those are of three quarters of the rays at most. Source: Kabsch, A solution for the best rotation to relate two sets of vectors,
    1976.
    """
    first, second = (np.column_stack([screen, np.ones(len(screen))]) for screen in (here, there))
    first, second = (rays / np.linalg.norm(rays, axis=1, keepdims=True) for rays in (first, second))
    left, _, right = np.linalg.svd(second.T @ first)
    rotation = left @ np.diag([1.0, 1.0, np.linalg.det(left @ right)]) @ right
    cosines = (first @ rotation.T * second).sum(axis=1)
    return rotation, float(np.degrees(np.arccos(np.clip(np.percentile(cosines, 25), -1, 1))))


def _clockwise(direction: Float64[Array, " 3"]) -> float:
    """Degrees to the right of straight ahead, from above."""
    return degrees(atan2(direction[0], direction[2]))
