"""Panoramas that a user has, and a folder of tiles cut from them: layouts, names, a positions.csv; interrupted, it goes on.

A tile's name says its panorama and where in the layout it is; all else stands in the table, so that a position or a date that is
corrected later changes a row and no picture. A tile is written beside its place, made durable and renamed, and carries the time of
its panorama's file: what is there and is as old as its panorama is not cut again.
"""

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout
from PIL import Image

from sameplace.datasets.tile_layout import LAYOUTS, Layout
from sameplace.datasets.tile_table import TileTable, place
from sameplace.errors import DatasetError, ImageError
from sameplace.images import ImageRecord, ImageSet, Problem
from sameplace.images.panorama import Panorama, pose_heading
from sameplace.images.positions import parsed_heading, parsed_time
from sameplace.threads import usable_cores

QUALITY = 92
SETTINGS, LOCK = "cut.json", ".cut.lock"
NAMES_OF_YAW = ("yaw", "yaw_deg", "pano_yaw", "pano_yaw_deg")
NAMES_OF_DATE = ("date", "capture_date", "captured_at")
NAMES_OF_ID = ("pano_id", "panoid", "pano", "panorama_id")
SAME_AGE_NS = 2_000_000_000
"""Some disks keep the time of a file no finer than this."""


@dataclass(frozen=True, kw_only=True)
class Cut:
    """What has been cut."""

    panoramas: int
    """Panoramas whose tiles are all there."""
    cut: int
    """Those of them that were cut now."""
    tiles: int
    skipped: tuple[Problem, ...]
    """Files that could not be cut, or used at all."""


@dataclass(frozen=True, kw_only=True)
class Whole:
    """A panorama, what is known about it, and what its tiles are called."""

    image: ImageRecord
    stem: str

    def files(self, layout: Layout) -> list[str]:
        """The names of its tiles."""
        return [f"{self.stem}_{tile.name}.jpg" for tile in layout.tiles]


def cut(
    panoramas: ImageSet,
    to: str | Path,
    layout: Layout = LAYOUTS["pittsburgh"],
    *,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Cut:
    """Cut panoramas into tiles in a folder, which is made, or gone on with; what cannot be cut is told and costs nothing else.

    Files inside that folder are not taken for panoramas. DatasetError where the folder holds tiles of another layout.
    """
    to = Path(to)
    with _alone_in(to, layout):
        wholes, problems = _understood(panoramas, to)
        table = TileTable(to)
        usable = new = 0
        pool = ThreadPoolExecutor(workers or usable_cores(), thread_name_prefix="cut")
        try:
            outcomes = pool.map(partial(_cut_one, to=to, layout=layout), wholes)
            for number, (whole, outcome) in enumerate(zip(wholes, outcomes, strict=True), start=1):
                if isinstance(outcome, Problem):
                    problems.append(outcome)
                else:
                    usable += 1
                    new += outcome
                    table.add(whole.image, whole.files(layout), layout)
                if progress is not None:
                    progress(number, len(wholes))
        finally:
            pool.shutdown(cancel_futures=True)  # nobody writes here any more when the folder is let go
            table.save()
    return Cut(panoramas=usable, cut=new, tiles=usable * len(layout.tiles), skipped=tuple(problems))


def _understood(panoramas: ImageSet, to: Path) -> tuple[list[Whole], list[Problem]]:
    """The panoramas outside of a folder, each under a name of its own, and what cannot be used."""
    inside = os.path.join(os.path.abspath(to), "")  # noqa: PTH100, PTH118
    records = [image for image in panoramas.records() if not str(image.path).startswith(inside)]
    problems = [problem for problem in panoramas.problems if not problem.path.startswith(inside)]
    if not records and not problems:
        raise DatasetError(f"Panoramas outside of {to} were wanted, but there are none; name a folder or files that hold some.")
    wholes: dict[str, Whole] = {}
    for record in records:
        try:
            image = as_panorama(record, panoramas.root)
        except ImageError as error:
            problems.append(Problem(path=str(record.path), reason=str(error)))
            continue
        stem = image.panorama or ""
        other = wholes.setdefault(stem.casefold(), Whole(image=image, stem=stem))
        if other.image is not image:
            reason = f"Its tiles would be called {stem}_..., as those of {other.image.path} are; name each in a column panorama."
            problems.append(Problem(path=str(record.path), reason=reason))
    return list(wholes.values()), problems


def as_panorama(image: ImageRecord, root: Path) -> ImageRecord:
    """A record with the panorama's heading (in the table as `yaw`, too, or told by XMP), date and a name that can be a file's.

    >>> as_panorama(ImageRecord(path=Path("/a/b 1.jpg"), heading_deg=0.0, extra={"date": "2014-06-01"}), Path("/a")).panorama
    'b-1'
    """
    extra = dict(image.extra)
    yaw, date, name = (_first(extra, names) for names in (NAMES_OF_YAW, NAMES_OF_DATE, NAMES_OF_ID))
    heading = next((known for known in (image.heading_deg, parsed_heading(yaw)) if known is not None), None)
    time = image.time or parsed_time(date)
    if time is None and date:
        extra.setdefault("time", date)  # a month or a year tells one pass from another, too
    known_as = image.panorama or name or _path_as_name(image.path, root)
    return replace(
        image,
        heading_deg=pose_heading(image.path) if heading is None else heading,
        time=time,
        panorama=re.sub(r"[^\w.-]+", "-", known_as).strip(".-") or "panorama",
        extra=extra,
    )


def _first(extra: dict[str, str], names: Sequence[str]) -> str:
    """The first of some columns that says anything; all of them are taken out."""
    said = [extra.pop(name, "") for name in names]
    return next(filter(None, said), "")


def _path_as_name(path: Path, root: Path) -> str:
    below = path.relative_to(root) if path.is_relative_to(root) else Path(path.name)
    return "-".join(below.with_suffix("").parts)


def _cut_one(whole: Whole, *, to: Path, layout: Layout) -> bool | Problem:
    files, source = whole.files(layout), whole.image.path
    try:
        age = source.stat().st_mtime_ns
        missing = [number for number, file in enumerate(files) if not _is_of(to / file, age)]
        if not missing:
            return False
        panorama = Panorama.open(source, layout.lens)
    except ImageError as error:
        return Problem(path=str(source), reason=str(error))
    except FileNotFoundError:
        return Problem(path=str(source), reason="The file has gone; look for it and run the same command again.")
    directions = [(layout.tiles[number].yaw_deg, layout.tiles[number].pitch_deg) for number in missing]
    for number, tile in zip(missing, panorama.tiles(directions, layout.lens), strict=True):
        place(to / files[number], partial(Image.fromarray(tile).save, format="JPEG", quality=QUALITY), age)
    return True


def _is_of(tile: Path, age: int) -> bool:
    """Whether a tile is there and as old as its panorama's file."""
    try:
        return abs(tile.stat().st_mtime_ns - age) < SAME_AGE_NS
    except FileNotFoundError:
        return False


@contextmanager
def _alone_in(to: Path, layout: Layout) -> Iterator[None]:
    """Be the one who cuts into a folder, and into no other layout than whoever did before."""
    if to.exists() and not to.is_dir():
        raise DatasetError(f"A folder for tiles was wanted, but {to} is a file; name another one.")
    to.mkdir(parents=True, exist_ok=True)
    lock = FileLock(to / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise DatasetError(f"Another sameplace cuts panoramas into {to}; wait until it has finished.") from None
    try:
        settings = json.dumps(asdict(layout), indent=2)
        if _read(to / SETTINGS) not in (None, json.loads(settings)):
            raise DatasetError(
                f"{to} holds tiles of another layout than {layout} (see {SETTINGS} there); cut as before, or into another folder."
            )
        place(to / SETTINGS, lambda file: file.write(f"{settings}\n".encode()))
        yield
    finally:
        lock.release()


def _read(settings: Path) -> object:
    """What a folder's settings say, None where there are none."""
    try:
        return json.loads(settings.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        raise DatasetError(f"{settings} is no settings file of sameplace any more; cut into another folder.") from None
