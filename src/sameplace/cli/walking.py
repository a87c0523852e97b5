"""The flags of a walk: photos or videos that are located together, with the track of a receiver or without."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from cyclopts.types import PositiveFloat

from sameplace.cli.names import UsageError
from sameplace.cli.output import note

if TYPE_CHECKING:
    from sameplace.atlas import Track

DEVIATION_M = 30.0
EVERY = 1.0


@dataclass(frozen=True, kw_only=True)
class Walk:
    """What is known of a walk."""

    walk: Annotated[
        bool,
        Parameter(
            help="The photos, or the frames of videos, are of one walk, in order: locate them together.",
            negative="",
            show_default=False,
        ),
    ] = False
    every: Annotated[
        PositiveFloat | None, Parameter(help="Seconds from one frame of a video that is looked at to the next; 1 if not given.")
    ] = None
    began: Annotated[
        str | None, Parameter(help="When the video began, like 2024-06-12T14:03:00, where it does not say or is wrong.")
    ] = None
    gpx: Annotated[Path | None, Parameter(help="The track of a receiver on that walk, however rough, as a GPX file.")] = None
    gpx_deviation: Annotated[
        PositiveFloat | None, Parameter(help="Metres that the track is off, as a standard deviation; 30 if not given.")
    ] = None
    camera_ahead: Annotated[
        str | None,
        Parameter(
            help="How far the camera's clock is ahead of UTC, as H:MM or H:MM:SS: 2:00 for summer time in Berlin.",
            allow_leading_hyphen=True,
        ),
    ] = None

    def options(self, videos: Sequence[str]) -> dict[str, Any]:
        """What `Atlas.locate_walk` is to be told; UsageError where flags do not fit together."""
        self._check(videos)
        return {"every": self.every or EVERY, "began": self._beginning(), "track": self._track()}

    def _check(self, videos: Sequence[str]) -> None:
        flags = {"--every": self.every, "--began": self.began, "--gpx": self.gpx}
        given = [flag for flag, value in flags.items() if value is not None]
        if not self.walk and videos:
            raise UsageError(f"{Path(videos[0]).name} is a video: add --walk, and its frames are located together.")
        if not self.walk and given:
            raise UsageError(f"{given[0]} goes with --walk: say that the photos are of one walk, in order.")
        if self.gpx is None and (self.gpx_deviation is not None or self.camera_ahead is not None):
            raise UsageError("--gpx-deviation and --camera-ahead go with --gpx: give the track, or neither of the two.")
        if self.began is not None and len(videos) != 1:
            raise UsageError(f"--began says when the one video began, but {len(videos)} videos were given; locate each alone.")

    def _beginning(self) -> datetime | None:
        from sameplace.images.positions import parsed_time

        if self.began is None:
            return None
        if (time := parsed_time(self.began)) is None:
            raise UsageError(f"--began wants a time like 2024-06-12T14:03:00 or 2024-06-12T14:03:00+02:00, got {self.began!r}.")
        return time

    def _track(self) -> "Track | None":
        from sameplace.atlas import Track

        if self.gpx is None:
            return None
        ahead = 0.0 if self.camera_ahead is None else _seconds(self.camera_ahead)
        deviation = self.gpx_deviation or DEVIATION_M
        track = Track.read(self.gpx, deviation=deviation, ahead=ahead)
        clock = (
            "to be right in UTC, or to name its time zone"
            if self.camera_ahead is None
            else f"to be {self.camera_ahead} ahead of UTC"
        )
        note(
            f"{self.gpx.name} is taken to be off by {deviation:g} m (--gpx-deviation), "
            f"and the camera's clock {clock} (--camera-ahead)."
        )
        return track


def _seconds(text: str) -> float:
    """A span of time from a flag.

    >>> _seconds("2:00"), _seconds("-0:00:12.5")
    (7200.0, -12.5)
    """
    found = re.fullmatch(r"([-+]?)(\d{1,3}):([0-5]\d)(?::([0-5]\d(?:\.\d+)?))?", text.strip())
    if not found:
        raise UsageError(f"--camera-ahead wants hours and minutes like 2:00, -5:30 or 0:00:12, got {text!r}.")
    sign, hours, minutes, seconds = found.groups()
    return (-1 if sign == "-" else 1) * (int(hours) * 3600 + int(minutes) * 60 + float(seconds or 0))
