"""The layout that says in each file name where the photo was taken: `images/test/database/@east@north@zone@...@.jpg`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sameplace.datasets.archive import Archive
from sameplace.datasets.dataset import Dataset
from sameplace.datasets.grid import Placed, within_metres
from sameplace.datasets.listing import homes, images_below
from sameplace.errors import PositionError
from sameplace.images import ImageRecord
from sameplace.images.positions import from_name

DATABASE = ("database", "gallery")
"""SVOX, and St Lucia as an older script wrote it, call their database a gallery."""
ZONES_APART_M = 1e7
NAME = "@east@north@zone@...@.jpg"


def load_utm_folder(root: Path, *, name: str, names: Sequence[str], split: str, obtain: str, queries: str = "queries") -> Dataset:
    """A split of a dataset in the layout of the public repository gmberton/VPR-datasets-downloader (README.md, util.py).

    `<dataset>/images/<split>/database` and `queries`, at times without `images` or with `gallery`, hold files whose names say
    `@east@north@zone@letter@lat@lon@panorama@tile@heading@pitch@roll@height@time@note@.jpg`; anything after north may be empty.
    Right within 25 m of the coordinates in the names, over all queries, nothing left out: as that repository's benchmark counts.
    """
    database, asked = utm_images(Archive(name, root, obtain), names, split, queries)
    return within_metres(name, database, asked, remark="positions from file names")


def utm_images(archive: Archive, names: Sequence[str], split: str, queries: str = "queries") -> tuple[Placed, Placed]:
    """Database and queries of a split in that layout, each image placed by its name alone."""
    database, asked = utm_folders(archive, names, split, queries)
    return _placed(archive, database), _placed(archive, asked)


def utm_folders(archive: Archive, names: Sequence[str], split: str, queries: str = "queries") -> tuple[Path, Path]:
    """The folders of database and queries of a split in that layout; DatasetError where one is missing."""
    folder = split_folder(archive.root, names, split)
    if folder is None:
        raise archive.error(f"a folder images/{split}/database", "none")
    if not (folder / queries).is_dir():
        there = sorted(path.name for path in folder.iterdir() if path.is_dir())
        raise archive.error(f"a folder {queries} in {folder.relative_to(archive.root).as_posix()}", ", ".join(there))
    return next(folder / database for database in DATABASE if (folder / database).is_dir()), folder / queries


def split_folder(root: Path, names: Sequence[str], split: str) -> Path | None:
    """The folder of a split below the root or a folder in it with one of the dataset's names; None where there is none."""
    for home in homes(root, names):
        for folder in (home / "images" / split, home / "processed" / split, home / split):
            if any((folder / database).is_dir() for database in DATABASE):
                return folder
    return None


def name_fields(path: Path, count: int) -> tuple[str, ...]:
    """The first fields of a name that starts with @; ValueError where it has fewer.

    >>> name_fields(Path("@0391545.0@5818254.0@33@U@.jpg"), 2)
    ('0391545.0', '5818254.0')
    """
    before, *fields = path.name.split("@")
    if before or len(fields) <= count:
        raise ValueError(f"too few signs @, {len(fields)}")
    return tuple(fields[:count])


def _placed(archive: Archive, folder: Path) -> Placed:
    records: list[ImageRecord] = []
    points: list[tuple[float, float, float]] = []
    below = folder.relative_to(archive.root).as_posix()
    for path in images_below(folder):
        try:
            east, north, zone = name_fields(path, 3)
            points.append((float(east), float(north), int(zone or 0) * ZONES_APART_M))
            record = from_name(path)
        except (PositionError, ValueError) as error:
            raise archive.error(f"names like {NAME} in {below}", f"{path.name} ({error})") from error
        if record is None:
            raise archive.error(f"names like {NAME} in {below}", path.name)
        records.append(record)
    if not records:
        raise archive.error(f"images in {below}", "none")
    return Placed(records=tuple(records), points=np.array(points, dtype=np.float64))
