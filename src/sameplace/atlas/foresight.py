"""When what will be seen on a walk was taken, as far as headers tell it, so that a wrong clock is told before the work."""

from collections.abc import Sequence
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Final

from sameplace.atlas.sights import Film, films, moments
from sameplace.atlas.track import Moment, Track
from sameplace.errors import ImageError
from sameplace.images.header import upright_size
from sameplace.images.video import check_video, length

MOST: Final = 100_000
"""Moments that are looked at: a video that says it has more, a day at one a second, is likely broken."""


def check(track: Track, frame: str | None, sources: Sequence[str | Path | bytes], film: Film) -> None:
    """PositionError where a track and the photos and videos of a walk cannot be compared, by what their headers tell.

    What cannot be opened is passed over: of it there is more to say than that it tells no time.
    """
    foreseen, whole = list[Moment | None](), True
    for source, moment in zip(sources, moments(sources, film), strict=True):
        if (moment is None or moment.within) and not _opens(source):
            continue
        foreseen.append(moment)
        if moment is not None and not moment.within and films(source):
            count = ceil(length(source) / film.every)
            whole = whole and 0 < count <= MOST - len(foreseen)
            foreseen += [replace(moment, seconds=moment.seconds + film.every * later) for later in range(1, count if whole else 1)]
    if foreseen:
        track.check(frame, foreseen)
        if whole:  # else one frame would stand for who knows how many
            track.told(foreseen)


def _opens(source: str | Path | bytes) -> bool:
    """Whether a file looks like a photo or a video."""
    try:
        if films(source):
            check_video(source)
        else:
            upright_size(source)
    except ImageError:
        return False
    return True
