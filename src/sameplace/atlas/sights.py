"""What was seen on a walk, in order: photos, and frames of videos, each with what the search found and when it was taken."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import groupby, islice
from math import ceil
from pathlib import Path
from typing import TypeGuard

from sameplace.atlas.answering import FoundPhoto
from sameplace.atlas.segment import seconds
from sameplace.atlas.track import Moment
from sameplace.errors import ImageError
from sameplace.images import Problem
from sameplace.images.exif import Clocks, clocks
from sameplace.images.video import EVERY, Frame, began, frames, is_video, length

TOGETHER = 64
"""Frames that are described together: 60 MB of pixels at 480 x 640."""

Photos = Sequence[str | Path | bytes]
"""Files, or what is in one that is a photo."""
Find = Callable[[Sequence[str | Path | bytes]], Iterator[FoundPhoto | Problem]]
"""Searches for photos, in order."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sight:
    """A photo of a walk, or a frame of a video."""

    found: FoundPhoto
    moment: Moment | None


@dataclass(frozen=True, kw_only=True)
class Film:
    """How the videos among the sources are read."""

    size: tuple[int, int]
    """Height and width that the model wants."""
    every: float = EVERY
    """Seconds from one frame to the next."""
    began: datetime | None = None
    """When the video began, by the camera's clock, in place of what its header says; a time without a zone is UTC."""

    def beginning(self, video: str | Path) -> Moment:
        """When a video began."""
        stated = self.began
        start = began(video) if stated is None else (stated if stated.tzinfo else stated.replace(tzinfo=UTC)).timestamp()
        return Moment(seconds=0.0, within=str(video)) if start is None else Moment(seconds=start)


def films(source: str | Path | bytes) -> TypeGuard[str | Path]:
    """Whether a source is a video."""
    return not isinstance(source, bytes) and is_video(source)


def moments(sources: Photos, film: Film) -> Iterator[Moment | None]:
    """When photos were taken and videos began, so that what cannot work is told before the work."""
    times = iter(taken([source for source in sources if not films(source)]))
    for source in sources:
        yield film.beginning(source) if films(source) else next(times)


def expected(sources: Photos, film: Film) -> int:
    """About how many sights there will be."""
    return len(sources) + sum(max(ceil(length(source) / film.every) - 1, 0) for source in sources if films(source))


def sights(sources: Photos, film: Film, find: Find) -> Iterator[Sight | Problem]:
    """What was seen, in order; a Problem for a photo that cannot be read, and for a video after the frames that can."""
    pairs = zip(sources, moments(sources, film), strict=True)
    for filmed, group in groupby(pairs, lambda pair: films(pair[0])):
        if filmed:
            for source, start in group:
                if films(source) and start is not None:
                    yield from _filmed(source, start, film, find)
        else:
            some = list(group)
            for found, (_, time) in zip(find([source for source, _ in some]), some, strict=True):
                yield found if isinstance(found, Problem) else Sight(found=found, moment=time)


def taken(photos: Photos) -> list[Moment | None]:
    """When the photos of one walk were taken, by one clock; None where a photo does not tell that clock's time, or is none.

    Satellites and cameras are apart by a time zone or by a fix that is minutes old, so that two clocks on one walk would tell a
    wrong order. It is the clock that most of the photos tell; of those, the satellites' before one that names its time zone.
    """
    told = [_clocks(photo) for photo in photos]
    by_clock = [[one.satellites for one in told], [one.zoned for one in told], [one.shown for one in told]]
    times = max(by_clock, key=lambda times: sum(time is not None for time in times))
    return [None if time is None else Moment(seconds=seconds(time.isoformat())) for time in times]


def _clocks(photo: str | Path | bytes) -> Clocks:
    try:
        return clocks(photo)
    except ImageError:
        return Clocks()


def _filmed(video: str | Path, start: Moment, film: Film, find: Find) -> Iterator[Sight | Problem]:
    broken = list[ImageError]()

    def readable() -> Iterator[Frame]:
        try:
            yield from frames(video, film.size, every=film.every)
        except ImageError as error:
            broken.append(error)

    following = readable()
    while batch := list(islice(following, TOGETHER)):
        for frame, found in zip(batch, find([frame.content for frame in batch]), strict=True):
            if isinstance(found, Problem):
                yield replace(found, path=frame.name)
            else:
                moment = replace(start, seconds=start.seconds + frame.seconds)
                yield Sight(found=replace(found, photo=frame.name), moment=moment)
    for error in broken:
        yield Problem(path=str(video), reason=str(error))
