"""A rough track of a receiver as a witness of where photos of a walk were taken.

Its errors drift: between high houses a receiver is tens of metres off, and a second later all but as much the same way. They are
taken for a Gauss-Markov process, as in navigation (A. Gelb (ed.), "Applied optimal estimation", 1974, section 3.6): the track
says little about where somebody is and much about how he moved, and no error counts as a new one at every photo. Its tails are
those of Student's t with four degrees of freedom, for a reflected signal may be off by any distance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TypeGuard

import numpy as np

from sameplace.errors import PositionError
from sameplace.geo import EARTH, Positions
from sameplace.images.gpx import read_gpx
from sameplace.shapes import Array, Bool, Float64

DEVIATION_M = 30.0
"""The standard deviation of a phone's position between houses."""
DRIFT_SECONDS = 60.0
"""After so long, a third of an error is left."""
GAP_SECONDS = 60.0
"""Between two fixes farther apart than this, nothing is known; a straight line would be a guess."""
ROUNDING_SECONDS = 1.0
"""EXIF counts whole seconds: a photo so near a fix was taken there."""
LEAST_M = 10.0
"""No place can be told from another that is nearer: the atlas' own positions are no better."""
TOLD_PART = 0.5
"""Where the track speaks of fewer of the photos, a clock is wrong, or it is another walk's track."""
QUARTER = 900.0
"""Time zones differ by a multiple of these seconds."""
LEAST_AHEAD = 30.0
"""A clock that is off by fewer seconds is right, as far as a flag in hours and minutes can say."""


@dataclass(frozen=True, kw_only=True)
class Moment:
    """When a photo was taken."""

    seconds: float
    """Since 1970, or since the beginning of a video that does not say when that was."""
    within: str = ""
    """That video; empty for any other."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Track:
    """Where a receiver thinks that it was during a walk.

    Photos and track are brought together by time: GPX is in UTC, and so is taken to be a photo's EXIF time that names no time
    zone, less the time that the camera's clock was `ahead`.
    """

    times: Float64[Array, " fixes"]
    """Seconds since 1970, rising."""
    positions: Positions
    deviation: float = DEVIATION_M
    """Metres, the standard deviation of its errors; infinity for a track that says nothing."""
    ahead: float = 0.0
    """Seconds that the cameras' clocks were ahead of UTC: 7200 for one that shows the summer time of Berlin."""
    name: str = "The track"

    def __post_init__(self) -> None:
        if not self.deviation > 0:
            raise ValueError(f"A standard deviation above 0 metres was wanted, got deviation={self.deviation:g}; 30 is usual.")
        if not len(self.times) or len(self.times) != len(self.positions) or not (np.diff(self.times) > 0).all():
            raise ValueError(
                f"A position at each of some rising times was wanted, got {len(self.positions)} positions and {len(self.times)} "
                f"times; sort them, and leave one of each time."
            )
        if not np.isfinite(self.ahead):
            raise ValueError(f"Seconds that a clock was ahead were wanted, got ahead={self.ahead}; 0 where it was right.")

    @classmethod
    def read(cls, path: str | Path, *, deviation: float = DEVIATION_M, ahead: float = 0.0) -> "Track":
        """Read a GPX file; PositionError where it holds no track with times."""
        fixes = read_gpx(path)
        return cls(times=fixes.times, positions=fixes.positions, deviation=deviation, ahead=ahead, name=Path(path).name)

    def check(self, frame: str | None, moments: Sequence[Moment | None]) -> None:
        """PositionError where no photo's time is known, or the atlas has no latitudes and longitudes."""
        if frame not in (EARTH, None):
            raise PositionError(
                f"{self.name} tells latitudes and longitudes, but the atlas holds local metres, and nobody knows where they are; "
                f"leave out the track, or index the photos with lat and lon."
            )
        if not any(map(_known, moments)):
            raise PositionError(
                f"{self.name} can be compared by time alone, but no photo that can be read says when it was taken; give the "
                f"originals with their EXIF, and for a video that does not say when it began, the time (began, --began)."
            )

    def told(self, moments: Sequence[Moment | None]) -> Float64[Array, "photos 3"]:
        """The points in metres (see `Positions.metric`) that it names for photos, NaN where it does not know.

        PositionError where it speaks of less than half of those whose time is known, or none is.
        """
        self.check(None, moments)
        known = list(map(_known, moments))
        asked = np.array([moment.seconds - self.ahead for moment in moments if _known(moment)])
        after = np.clip(np.searchsorted(self.times, asked), 1, max(len(self.times) - 1, 1))
        before, after = after - 1, np.minimum(after, len(self.times) - 1)
        first, last = self.times[before], self.times[after]
        near = np.minimum(np.abs(asked - first), np.abs(asked - last)) <= ROUNDING_SECONDS
        there = near | ((asked > first) & (asked < last) & (last - first <= GAP_SECONDS))
        if there.mean() < TOLD_PART:
            raise PositionError(self._strange(asked, int(there.sum())))
        part = np.divide(asked - first, last - first, out=np.zeros_like(asked), where=last > first)
        points = self.positions.metric()
        between = points[before] + np.clip(part, 0, 1)[:, None] * (points[after] - points[before])
        told = np.full((len(moments), 3), np.nan)
        told[known] = np.where(there[:, None], between, np.nan)
        return told

    def _strange(self, asked: Float64[Array, " photos"], there: int) -> str:
        """What is wrong with the times, and what may help."""
        ahead = self.ahead + self._zone(asked)
        if ahead == self.ahead:
            cure = "give the track of this walk, or say by how much the camera's clock was ahead of UTC (ahead, --camera-ahead)"
        elif abs(ahead) < LEAST_AHEAD:
            cure = f"if the camera's clock showed UTC, leave out ahead={self.ahead:.0f} (--camera-ahead {_hours(self.ahead)})"
        else:
            side = "ahead of" if ahead > 0 else "behind"
            cure = (
                f"if the camera's clock was {side} UTC by a time zone, say so (ahead={ahead:.0f}, --camera-ahead {_hours(ahead)})"
            )
        return (
            f"{self.name} goes from {_said(self.times[0])} to {_said(self.times[-1])} UTC and the photos from {_said(asked.min())} "
            f"to {_said(asked.max())}, so that it tells of {there} of {len(asked)}; {cure}."
        )

    def _zone(self, asked: Float64[Array, " photos"]) -> float:
        """The difference between two time zones that would bring most photos to the track, in seconds; 0 where none does."""
        middle = float(np.median(asked) - np.median(self.times))
        shifts = [quarters * QUARTER for quarters in range(-56, 57)]
        first, last = float(self.times[0]), float(self.times[-1])
        within = {shift: float(np.mean((asked - shift >= first) & (asked - shift <= last))) for shift in shifts}
        # Most zones are whole hours from each other, and most who photograph do so from beginning to end.
        best = max(shifts, key=lambda shift: (within[shift], shift % 3600 == 0, -abs(shift - middle)))
        return best if within[best] >= TOLD_PART else 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Drift:
    """How likely the errors are that a track would have, were the photos taken here or there."""

    told: Float64[Array, "photos 3"]
    """Where the track says that the photos were taken; NaN where it does not know."""
    left: Float64[Array, " _steps"]
    """What is left of a photo's error at the next one, from 0 to 1."""
    anew: Bool[Array, " photos"]
    """Photos whose error counts as a new one, as no step leads to them from another that the track knows."""
    deviation: float

    @classmethod
    def of(cls, track: Track, moments: Sequence[Moment | None], origin: Float64[Array, " 3"]) -> "Drift":
        """What a track says of photos, in metres from an origin."""
        lapses = [lapse(one, other) for one, other in pairwise(moments)]
        left = np.exp(-np.array([np.inf if seconds is None else seconds for seconds in lapses], np.float64) / DRIFT_SECONDS)
        told = track.told(moments) - origin
        return cls(told=told, left=left, anew=_anew(told, moments), deviation=track.deviation)

    def alone(self, photo: int, points: Float64[Array, "_ 3"]) -> Float64[Array, " _"]:
        """Logarithms of the odds of a photo's places, where the step before does not say them."""
        if not self.anew[photo]:
            return np.zeros(len(points))
        return _odds(np.square(points - self.told[photo]).sum(axis=1), self.deviation**2 + LEAST_M**2)

    def step(self, photo: int, here: Float64[Array, "here 3"], there: Float64[Array, "there 3"]) -> Float64[Array, "here there"]:
        """Logarithms of the odds of the steps from a photo's places to those of the next."""
        # Of infinity a second later nothing can be computed, and such a track says nothing.
        if np.isnan(self.told[photo : photo + 2, 0]).any() or np.isinf(self.deviation):
            return np.zeros((len(here), len(there)))
        left = self.left[photo]
        expected = left * (here - self.told[photo])
        away = np.square(expected[:, None] - (there - self.told[photo + 1])[None]).sum(axis=2)
        return _odds(away, self.deviation**2 * (1 - left**2) + LEAST_M**2)


def lapse(one: Moment | None, other: Moment | None) -> float | None:
    """Seconds between two photos; None where they cannot be told.

    >>> lapse(Moment(seconds=9.0), Moment(seconds=7.0)), lapse(Moment(seconds=9.0), Moment(seconds=7.0, within="walk.mp4"))
    (2.0, None)
    """
    return None if one is None or other is None or one.within != other.within else abs(other.seconds - one.seconds)


def _known(moment: Moment | None) -> TypeGuard[Moment]:
    """Whether it is known when that was, and not only how long after the beginning of a video."""
    return moment is not None and not moment.within


def _anew(told: Float64[Array, "photos 3"], moments: Sequence[Moment | None]) -> Bool[Array, " photos"]:
    """Photos whose error counts as a new one: the first that the track knows, and after a gap those DRIFT_SECONDS later.

    Sooner, it is the error that has counted before the gap. Were it to count again, a steady offset would outvote the photos as
    soon as every second one had no time.
    """
    anew, last = np.zeros(len(told), np.bool_), -np.inf
    for photo, moment in enumerate(moments):
        if moment is None or np.isnan(told[photo, 0]):
            continue
        step = photo > 0 and not np.isnan(told[photo - 1, 0])
        anew[photo] = not step and abs(moment.seconds - last) >= DRIFT_SECONDS
        if step or anew[photo]:
            last = moment.seconds
    return anew


def _odds(squared: Float64[Array, "*any"], variance: float) -> Float64[Array, "*any"]:
    """Student's t with four degrees of freedom in the plane, of this variance in each direction, up to a constant."""
    odds: Float64[Array, "*any"] = -3 * np.log1p(squared / (2 * variance))
    return odds


def _hours(seconds: float) -> str:
    """A time as one writes it in a flag."""
    minutes = round(abs(seconds) / 60)
    return f"{'-' if seconds < 0 else ''}{minutes // 60}:{minutes % 60:02d}"


def _said(seconds: float) -> str:
    return f"{datetime.fromtimestamp(float(seconds), UTC):%Y-%m-%d %H:%M:%S}"
