"""Photos of one walk located together: a hidden Markov model over the places that their matches name.

Each photo may have been taken where any of the best matches of it or of its neighbours was; how likely, its similarity to that very
photo tells. From one photo to the next nobody goes far, though now and then somebody does: the odds fall with the distance like a
power (L. Rabiner, "A tutorial on hidden Markov models", Proceedings of the IEEE 1989, sections III.A and III.B: forward-backward).
A track of a receiver adds how likely its errors would be (see `track`).
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TypedDict

import numpy as np

from sameplace.atlas.answering import FoundPhoto
from sameplace.atlas.consensus import densest
from sameplace.atlas.snapshot import Snapshot
from sameplace.atlas.track import Drift, Moment, Track, lapse
from sameplace.geo import Position, point
from sameplace.shapes import Array, Float64

CANDIDATES = 20
"""The best matches of a photo that it may have been taken at."""
NEIGHBOURS = 3
"""Photos before and after whose best matches count as well: where one alone finds nothing, they know the street."""
CONTRAST = 0.2
"""Standard deviations of similarity that make one place e times as likely as another; all were chosen on toytown."""
FALL = 1.5
"""The odds of a step fall with the square of its length to this power, once it is longer than one could have gone."""
SPEED = 5.0
"""Metres a second that one seldom exceeds: a runner, a cyclist, a car in a narrow street."""
STEP_M = 25.0
"""How far one goes between two photos whose times are not known."""
LEAST_STEP_M = 10.0
"""No step is taken for shorter: positions are no better."""


class Step(TypedDict):
    """Where one photo of a walk was taken: the parts of its `Estimate` that its neighbours have a say in."""

    position: Position
    radius: float


def walked(
    snapshot: Snapshot, photos: Sequence[FoundPhoto], moments: Sequence[Moment | None], speed: float, track: Track | None = None
) -> Iterator[Step]:
    """Where the photos of a walk were taken, in order, at a speed in metres a second."""
    if not photos:
        return
    near = [photos[max(photo - NEIGHBOURS, 0) : photo + NEIGHBOURS + 1] for photo in range(len(photos))]
    rows = [np.unique(np.concatenate([one.rows[:CANDIDATES] for one in some])) for some in near]
    origin = snapshot.positions(rows[0]).metric()[0]  # near the origin digits are not lost to the radius of the earth
    points = [snapshot.positions(candidates).metric() - origin for candidates in rows]
    alike = [
        (snapshot.descriptors(candidates).astype(np.float32) @ one.descriptor).astype(np.float64)
        for candidates, one in zip(rows, photos, strict=True)
    ]
    contrast = CONTRAST * max(float(np.concatenate(alike).std()), 1e-6)
    drift = None if track is None else Drift.of(track, moments, origin)
    likely = posteriors(points, [similarities / contrast for similarities in alike], reaches(moments, speed), drift)
    frame = snapshot.positions(rows[0]).frame
    for there, odds in zip(points, likely, strict=True):
        place = densest(there[None], odds[None])
        yield Step(position=point(frame, place.points[0] + origin), radius=float(place.radii[0]))


def posteriors(
    points: Sequence[Float64[Array, "_ 3"]],
    seen: Sequence[Float64[Array, " _"]],
    reach: Float64[Array, " _steps"],
    drift: Drift | None = None,
) -> list[Float64[Array, " _"]]:
    """How likely each photo was taken at each of its places, given all photos: `seen` are logarithms of odds, up to a constant."""

    def move(photo: int) -> Float64[Array, "here there"]:
        # Made anew for the way back: an hour of video has more steps than fit into memory.
        here, there = points[photo], points[photo + 1]
        odds: Float64[Array, "here there"] = -FALL * np.log1p(
            np.square(here[:, None] - there[None]).sum(axis=2) / reach[photo] ** 2
        )
        return odds if drift is None else odds + drift.step(photo, here, there)

    if drift is not None:
        seen = [odds + drift.alone(photo, there) for photo, (odds, there) in enumerate(zip(seen, points, strict=True))]
    forward = [seen[0]]
    for photo in range(len(seen) - 1):
        forward.append(_summed(forward[-1][:, None] + move(photo)) + seen[photo + 1])
    backward = [np.zeros(len(seen[-1]))]
    for photo in reversed(range(len(seen) - 1)):
        backward.append(_summed((move(photo) + (seen[photo + 1] + backward[-1])[None]).T))
    together = [before + after for before, after in zip(forward, reversed(backward), strict=True)]
    likely = [np.exp(odds - odds.max()) for odds in together]
    return [odds / odds.sum() for odds in likely]


def reaches(moments: Sequence[Moment | None], speed: float) -> Float64[Array, " _steps"]:
    """How far one gets between photos, in metres, at a speed in metres a second; a moment is None where it is unknown.

    >>> reaches([Moment(seconds=0.0), Moment(seconds=60.0), None, Moment(seconds=61.0)], speed=1.5).tolist()
    [90.0, 25.0, 25.0]
    """
    lapses = [lapse(one, other) for one, other in pairwise(moments)]
    far = [STEP_M if seconds is None else seconds * speed for seconds in lapses]
    return np.maximum(np.array(far, np.float64), LEAST_STEP_M)


def _summed(logarithms: Float64[Array, "here there"]) -> Float64[Array, " there"]:
    """The logarithm of the sum over the first axis, up to a constant that keeps the numbers small."""
    most = logarithms.max()
    summed: Float64[Array, " there"] = np.log(np.exp(logarithms - most).sum(axis=0) + 1e-300)
    return summed
