"""By how much the positions of one pass are shifted against those of others: the error that a receiver carries along a whole drive.

Two drives along a street follow the same line, though they stop for pictures at different spots. So what counts is how far a
picture lies beside the other drive's track, never along it: in one street only the shift across it can be seen, and streets in two
directions show all of it. Pictures far off, round a corner or on a square without a line say nothing.
"""

import numpy as np

from sameplace.datasets.truth import near
from sameplace.geo import LOCAL, Positions
from sameplace.shapes import Array, Bool, Float64, Int64

REACH_M = 25.0
"""A larger shift is not found, and what is farther apart is taken for another street."""
TRACK_M = 35.0
"""Pictures of a pass within so far of one of them tell which way its track leads."""
STRAIGHT = 0.25
"""A track has a direction where it spreads at most by this share across of what it does along."""
PARALLEL = 0.9
"""Cosine of the angle up to which two tracks are along the same street."""
SCALES_M = (12.0, 8.0, 5.0, 3.0, 3.0, 3.0, 3.0, 3.0)
"""Residuals that count for half, round by round: from forgiving to strict, so that far-off pictures do not decide."""
LEAST = 8
"""With fewer pictures beside other tracks, a pass stays where it is."""
SEEN = 0.1
"""A direction of shift is seen where at least this share of the pictures' tracks leads across it."""
CELL_M = 2.0
BATCH = 4096


def shifts(positions: Positions, passes: Int64[Array, " images"]) -> Float64[Array, "images 3"]:
    """What to add to each image's metric point so that passes along the same streets fall onto each other.

    A pass numbered -1, or one that no other accompanies, is not moved; the passes of a street meet in their middle.
    """
    points, ground = positions.metric(), _ground(positions)
    thinned = _thinned(points, passes)
    found = np.zeros_like(points)
    if len(thinned):
        moved = _aligned(points[thinned], ground[thinned], passes[thinned], int(passes.max()) + 1)
        known = passes >= 0
        found[known] = np.einsum("iga,ig->ia", ground[known], moved[passes[known]])
    return found


def _thinned(points: Float64[Array, "images 3"], passes: Int64[Array, " images"]) -> Int64[Array, " thinned"]:
    """One image of each pass in every cube of space: tiles of a panorama, or frames of a film, say the same many times."""
    known = np.flatnonzero(passes >= 0)
    cells = np.column_stack([passes[known], np.floor(points[known] / CELL_M)]).astype(np.int64)
    kept: Int64[Array, " thinned"] = known[np.sort(np.unique(cells, axis=0, return_index=True)[1])]
    return kept


def _aligned(
    points: Float64[Array, "images 3"], ground: Float64[Array, "images 2 3"], own: Int64[Array, " images"], count: int
) -> Float64[Array, "passes 2"]:
    """The shift of each pass on the ground."""
    normals, straight = _tracks(points, ground, own)
    first, second = _beside(points, own, normals, straight)
    apart = _on_ground(ground[first], points[second] - points[first])
    moved = np.zeros((count, 2))
    for scale in SCALES_M:
        between = apart + moved[own[second]] - moved[own[first]]
        chosen = _nearest(first, own[second], (between**2).sum(axis=1))
        across = normals[second[chosen]]
        residual = (across * between[chosen]).sum(axis=1)
        weight = 1 / (1 + (residual / scale) ** 2) ** 2
        # Both passes go half the way, so that it does not matter which of them is looked at first.
        moved += 0.5 * _solved(own[first[chosen]], across, residual, weight, count)
    return moved


def _solved(
    own: Int64[Array, " pairs"],
    across: Float64[Array, "pairs 2"],
    residual: Float64[Array, " pairs"],
    weight: Float64[Array, " pairs"],
    count: int,
) -> Float64[Array, "count 2"]:
    """The least-squares shift of each pass, in the directions in which it can be seen."""
    squares = np.zeros((count, 2, 2))
    np.add.at(squares, own, weight[:, None, None] * across[:, :, None] * across[:, None, :])
    wanted = np.zeros((count, 2))
    np.add.at(wanted, own, weight[:, None] * across * residual[:, None])
    values, vectors = np.linalg.eigh(squares)
    total = values.sum(axis=1, keepdims=True)
    enough = np.bincount(own, minlength=count)[:, None] >= LEAST
    seen = enough & (values > SEEN * total) & (total > 0)
    along = np.einsum("pij,pi->pj", vectors, wanted)
    found: Float64[Array, "count 2"] = np.einsum("pij,pj->pi", vectors, np.where(seen, along / np.where(seen, values, 1.0), 0.0))
    return found


def _tracks(
    points: Float64[Array, "images 3"], ground: Float64[Array, "images 2 3"], own: Int64[Array, " images"]
) -> tuple[Float64[Array, "images 2"], Bool[Array, " images"]]:
    """The direction across the track of each image's pass there, and whether there is a track at all."""
    normals, straight = np.zeros((len(points), 2)), np.zeros(len(points), bool)
    order = np.argsort(own, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(own[order])) + 1):
        for start in range(0, len(rows), BATCH):
            part = rows[start : start + BATCH]
            which, others = _pairs(near(points[part], points[rows], TRACK_M))
            away = _on_ground(ground[part[which]], points[rows[others]] - points[part[which]])
            counts = np.bincount(which, minlength=len(part))[:, None]
            mean = np.stack([np.bincount(which, away[:, axis], len(part)) for axis in (0, 1)], axis=1) / counts
            spread = np.zeros((len(part), 2, 2))
            np.add.at(spread, which, away[:, :, None] * away[:, None, :])
            spread -= counts[:, :, None] * mean[:, :, None] * mean[:, None, :]
            values, vectors = np.linalg.eigh(spread)
            normals[part] = vectors[:, :, 0]
            lengths = np.sqrt(np.maximum(values, 0))
            straight[part] = (lengths[:, 1] > 0) & (lengths[:, 0] <= STRAIGHT * lengths[:, 1]) & (counts[:, 0] >= 3)
    return normals, straight


def _beside(
    points: Float64[Array, "images 3"],
    own: Int64[Array, " images"],
    normals: Float64[Array, "images 2"],
    straight: Bool[Array, " images"],
) -> tuple[Int64[Array, " pairs"], Int64[Array, " pairs"]]:
    """Pairs of images of different passes, within reach, whose tracks lead the same way or the opposite one."""
    rows = np.flatnonzero(straight)
    firsts, seconds = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        which, others = _pairs(near(points[part], points[rows], REACH_M))
        first, second = part[which], rows[others]
        parallel = np.abs((normals[first] * normals[second]).sum(axis=1)) >= PARALLEL
        kept = parallel & (own[first] != own[second])
        firsts.append(first[kept])
        seconds.append(second[kept])
    return np.concatenate(firsts), np.concatenate(seconds)


def _nearest(
    first: Int64[Array, " pairs"], other: Int64[Array, " pairs"], squared: Float64[Array, " pairs"]
) -> Int64[Array, " chosen"]:
    """Of all pairs of an image with images of one other pass, the nearest."""
    order = np.lexsort((squared, other, first))
    new = np.ones(len(order), bool)
    new[1:] = (np.diff(first[order]) != 0) | (np.diff(other[order]) != 0)
    chosen: Int64[Array, " chosen"] = order[new]
    return chosen


def _pairs(rows: tuple[Int64[Array, " _rows"], ...]) -> tuple[Int64[Array, " pairs"], Int64[Array, " pairs"]]:
    which = np.repeat(np.arange(len(rows)), [len(found) for found in rows])
    return which, np.concatenate([np.empty(0, np.int64), *rows])


def _on_ground(ground: Float64[Array, "pairs 2 3"], apart: Float64[Array, "pairs 3"]) -> Float64[Array, "pairs 2"]:
    """Differences in space as metres to the east and north."""
    found: Float64[Array, "pairs 2"] = np.einsum("iga,ia->ig", ground, apart)
    return found


def _ground(positions: Positions) -> Float64[Array, "images 2 3"]:
    """East and north at each position."""
    if positions.frame == LOCAL:
        return np.broadcast_to(np.eye(3)[:2], (len(positions), 2, 3))
    latitude, longitude = np.radians(positions.coordinates).T
    east = np.stack([-np.sin(longitude), np.cos(longitude), np.zeros(len(positions))], axis=1)
    north = np.stack([-np.sin(latitude) * np.cos(longitude), -np.sin(latitude) * np.sin(longitude), np.cos(latitude)], axis=1)
    return np.stack([east, north], axis=1)
