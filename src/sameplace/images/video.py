"""Frames of a video, taken at a steady rate and turned upright, one after the other, so that its length costs no memory."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from sameplace.errors import ImageError, MissingExtra
from sameplace.images.header import fitted
from sameplace.images.mp4 import film_header
from sameplace.images.reading import PIXEL_LIMIT, RESAMPLING
from sameplace.shapes import Array, UInt8
from sameplace.threads import usable_cores

EVERY = 1.0
"""Seconds from one frame that is taken to the next: a step or two on foot."""
VIDEO_SUFFIXES: Final = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".mts", ".m2ts", ".3gp", ".wmv", ".flv", ".ogv", ".insv"}
)
"""Names of videos; whether such a file is one its first bytes tell."""
SIGNATURE: Final = re.compile(
    # MP4, MOV and their kin, but no HEIC and no raw photo of Canon's.
    rb"....(ftyp(?!hei[cxms]|hev[cxms]|mif1|msf1|avif|crx )|moov|mdat|wide|free|skip)"
    rb"|\x1a\x45\xdf\xa3|RIFF....AVI |\x00\x00\x01[\xba\xb3]|FLV\x01|OggS|\x30\x26\xb2\x75"
    # Packets of MPEG-TS begin with nothing but a G, which photos (GIF, JPEG, TIFF, WebP) may have there by chance.
    rb"|(?!GIF8[79]a|\xff\xd8\xff|II\*\0|MM\0\*|RIFF)(G.{187}G.{187}G|....G.{191}G.{191}G)",
    re.DOTALL,
)
"""How containers begin that hold pixels themselves: a playlist, which ffmpeg would follow to other files and hosts, is none."""
START: Final = 400
"""Bytes that it needs."""
NAME: Final = re.compile(r"(?P<video>.+) @ (?:(?P<hours>\d+):)?(?P<minutes>\d\d):(?P<seconds>\d\d\.\d+)", re.DOTALL)
"""What a `Frame` is called."""
CUT_SECONDS = 1.0
CUT_PART = 0.05
"""A video that ends by more than both before its header says was cut off; less may be sound that outlasts the picture."""
LONGEST: Final = 1e7
"""Seconds, four months: what says more of a video is broken."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """A frame of a video."""

    name: str
    """The video and the time, like `walk.mp4 @ 00:12.0`."""
    seconds: float
    """After the beginning of the video, by its own time stamps."""
    pixels: UInt8[Array, "height width 3"]

    @property
    def content(self) -> bytes:
        """The frame as an image file (PPM), as exact as its pixels."""
        height, width, _ = self.pixels.shape
        return b"P6 %d %d 255\n" % (width, height) + self.pixels.tobytes()


def is_video(path: str | Path) -> bool:
    """Whether a file is a video by its first bytes, or is called one.

    >>> is_video("walk.mp4"), is_video("walk.jpg")
    (True, False)
    """
    if Path(path).suffix.lower() in VIDEO_SUFFIXES:
        return True
    try:
        with Path(path).open("rb") as file:
            return SIGNATURE.match(file.read(START)) is not None
    except OSError:
        return False


def frames(video: str | Path, size: tuple[int, int], *, every: float = EVERY, pixel_limit: int = PIXEL_LIMIT) -> Iterator[Frame]:
    """A frame every so many seconds, the first one included, upright, as RGB of the given height and width.

    The whole frame is squashed to that size, as `read_image` does it with photos; one at a time is in memory. ImageError where it
    is no video, MissingExtra without OpenCV. Of a video that was cut off all frames come that are there, and then ImageError.
    """
    if not every > 0:
        raise ValueError(f"More than 0 seconds between frames were wanted, got every={every:g}; 1 is usual.")
    name = Path(video).name
    check_video(video)
    digits = 1 if every >= 0.5 else 3
    with _capture(Path(video)) as capture:
        _limit(capture, name, pixel_limit)
        last, due = None, 0.0
        while capture.grab():
            last = _seconds(capture, last)
            if last < due:
                continue
            due = (last // every + 1) * every
            found, pixels = capture.retrieve()
            if found:  # else this one is broken, and the next one may do
                upright = Image.fromarray(np.ascontiguousarray(pixels[..., ::-1])).resize((size[1], size[0]), RESAMPLING)
                yield Frame(name=f"{video} @ {clock(last, digits)}", seconds=last, pixels=np.array(upright))
            else:
                due = last
        if last is None:
            raise ImageError(f"{name} holds no frame that can be decoded; copy it again from where it came from.")
        _whole(capture, Path(video), last)


def frame_named(name: str) -> tuple[Path, float] | None:
    """The video and the seconds that the name of a frame tells; None where it is no such name, or there is no such file.

    >>> frame_named("gate.jpg") is None
    True
    """
    if not (found := NAME.fullmatch(name)) or not (video := Path(found["video"])).is_file():
        return None
    return video, int(found["hours"] or 0) * 3600 + int(found["minutes"]) * 60 + float(found["seconds"])


def still(video: str | Path, seconds: float, longest: int, *, pixel_limit: int = PIXEL_LIMIT) -> UInt8[Array, "height width 3"]:
    """The frame at a time, upright, in its own shape and at most so large; ImageError where there is none."""
    check_video(video)
    with _capture(Path(video)) as capture:
        _limit(capture, Path(video).name, pixel_limit)
        # A little earlier, for names are rounded; ffmpeg decodes from the key frame before.
        capture.set(_MILLISECONDS, max(seconds * 1000 - 500 / _rate(capture), 0.0))
        found, pixels = capture.read()
        if not found:
            raise ImageError(f"{Path(video).name} has no frame at {clock(seconds)}; was it replaced by another video?")
        upright = Image.fromarray(np.ascontiguousarray(pixels[..., ::-1]))
    height, width = fitted((upright.height, upright.width), longest)
    return np.array(upright.resize((width, height), RESAMPLING))


def clock(seconds: float, digits: int = 1) -> str:
    """A time within a video.

    >>> clock(12.04), clock(3723.5), clock(59.99)
    ('00:12.0', '1:02:03.5', '01:00.0')
    """
    whole, part = divmod(round(seconds * 10**digits), 10**digits)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{f'{hours}:' if hours else ''}{minutes:02d}:{rest:02d}.{part:0{digits}d}"


def began(video: str | Path) -> float | None:
    """When a video began by the header of an MP4 or MOV file, in seconds since 1970; None where it does not say.

    The header is in UTC, and there are cameras that write their local time nevertheless.
    """
    header = film_header(video)
    return None if header is None else header.created


def length(video: str | Path) -> float:
    """Seconds that a video lasts by its header; 0 where it cannot be read or does not say."""
    try:
        check_video(video)
        with _capture(Path(video)) as capture:
            return _promised(capture, Path(video))
    except ImageError:
        return 0.0


def check_video(path: str | Path) -> None:
    """ImageError where a file is no video by its first bytes."""
    video = Path(path)
    try:
        with video.open("rb") as file:
            start = file.read(START)
    except FileNotFoundError:
        raise ImageError(f"There is no video at {video}; check the path.") from None
    except IsADirectoryError:
        raise ImageError(f"A video was wanted, but {video} is a folder; name a video in it.") from None
    except OSError as error:
        raise ImageError(f"{video.name} cannot be opened ({error.strerror}); check its name and permissions.") from error
    if not start:
        raise ImageError(f"{video.name} is empty; copy it again from where it came from.")
    if not SIGNATURE.match(start):
        raise ImageError(
            f"{video.name} is no video that can be read (MP4, MOV, MKV, WebM, AVI or MPEG): it starts with {start[:12]!r}; "
            f"copy it again, or convert it to MP4."
        )


@contextmanager
def _capture(video: Path) -> Iterator[Any]:
    """OpenCV with the video open."""
    path = str(video.absolute())
    try:
        path.encode()
    except UnicodeEncodeError:  # OpenCV would end the whole process
        raise ImageError(
            f"The path {path!r} is not written in UTF-8, as OpenCV needs it; rename the video or its folder."
        ) from None
    # What ffmpeg has to say it writes to stderr, past Python; OpenCV reads this once, when it first opens a video.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    library = _opencv()
    logging = library.utils.logging
    level = logging.getLogLevel()
    logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    try:
        # The whole path, and ffmpeg alone: other names are taken for patterns of image files, cameras or hosts.
        capture = library.VideoCapture(path, library.CAP_FFMPEG, [library.CAP_PROP_N_THREADS, usable_cores()])
    finally:
        logging.setLogLevel(level)
    try:
        if not capture.isOpened():
            raise ImageError(
                f"{video.name} is broken or cut off, or of a kind that OpenCV does not know; copy it again from where it came "
                f"from, or convert it to MP4."
            )
        capture.set(library.CAP_PROP_ORIENTATION_AUTO, 1)
        yield capture
    except library.error as error:
        raise ImageError(f"{video.name} is broken ({str(error).splitlines()[0]}); convert it to MP4.") from error
    finally:
        capture.release()


def _opencv() -> Any:
    try:
        return import_module("cv2")
    except ModuleNotFoundError as missing:
        if missing.name != "cv2":
            raise
        raise MissingExtra("Reading videos", "video") from missing


# OpenCV's numbers for what is asked of a video, the same since its second version.
_MILLISECONDS, _WIDTH, _HEIGHT, _RATE, _COUNT = 0, 3, 4, 5, 7


def _limit(capture: Any, name: str, pixel_limit: int) -> None:
    width, height = int(capture.get(_WIDTH)), int(capture.get(_HEIGHT))
    if width * height > pixel_limit:
        raise ImageError(
            f"The frames of {name} have {width:,} x {height:,} pixels, but at most {pixel_limit:,} are read; convert it to a "
            f"smaller size."
        )


def _seconds(capture: Any, last: float | None) -> float:
    """The time of the frame just read; where the file has none, its place in line says it."""
    stamp = float(capture.get(_MILLISECONDS)) / 1000
    if last is None:
        return stamp if 0 < stamp < LONGEST else 0.0
    return stamp if last < stamp < LONGEST else last + 1 / _rate(capture)


def _rate(capture: Any) -> float:
    rate = float(capture.get(_RATE))
    return rate if 1e-3 < rate < 1e4 else 25.0


def _promised(capture: Any, video: Path) -> float:
    """Seconds by the header; 0 where it does not say."""
    promised = float(capture.get(_COUNT)) / _rate(capture)
    header = film_header(video)
    if header is not None and header.seconds is not None:
        # OpenCV counts what is stored, a trimmed beginning included; the header what is shown, sound after the picture included.
        promised = min(promised, header.seconds)
    return promised if 0 < promised < LONGEST else 0.0


def _whole(capture: Any, video: Path, last: float) -> None:
    """ImageError where the header promises more than came."""
    promised, came = _promised(capture, video), last + 1 / _rate(capture)
    if promised - came > max(CUT_SECONDS, CUT_PART * promised):
        raise ImageError(
            f"{video.name} was cut off: it ends after {clock(came)} of {clock(promised)}; the frames before are located, copy it "
            f"again from where it came from to have the rest."
        )
