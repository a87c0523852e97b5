"""Nordland: one railway of 728 km in summer and in winter, frame by frame; three protocols that print unlike figures.

A fourth, of VPR-Bench, asks with 2,760 summer frames: see `vpr_bench`.
"""

from pathlib import Path

import numpy as np

from sameplace.datasets.archive import Archive, records
from sameplace.datasets.dataset import Dataset
from sameplace.datasets.known import KnownDataset
from sameplace.datasets.listing import resolve
from sameplace.datasets.truth import Listed, WithinFrames
from sameplace.datasets.utm_folder import name_fields, split_folder, utm_folders

FRAMES = 27_592
EVERY = 10
PARTITIONED_FRAMES = 3_450
FRAME_FIELD = 7
NAMES = "cleanImageNames.txt"
OBTAIN = "summer, winter and cleanImageNames.txt that the authors of Patch-NetVLAD share (github.com/QVPR/Patch-NetVLAD, Nordland)"
OBTAIN_PARTITIONED = (
    "the partitioned, downsampled Nordland dataset of Olid, Facil and Civera (webdiis.unizar.es/~jmfacil/pr-nordland)"
)
PATCH_NETVLAD = "Suenderhauf et al., Are We There Yet?, ICRA Workshop 2013; frames of Hausler et al., Patch-NetVLAD, CVPR 2021"


def load_nordland(root: Path) -> Dataset:
    """Each winter frame asks all summer frames; right within 10 frames.

    Layouts: `summer` and `winter` with images such as images-00202.png, of which those in cleanImageNames.txt count (the numbers of
    winter have gaps: without the list, frames are not of the same place), as QVPR/Patch-NetVLAD's authors share it; or
    `nordland/images/test/{database,queries}`, as download_nordland.py of gmberton/VPR-datasets-downloader writes it, whose names
    hold the frame where a panorama stands else, and coordinates that are none.
    """
    archive = Archive("nordland", root, OBTAIN)
    if split_folder(root, ("nordland",), "test") is None:
        database, queries = _seasons(archive)
    else:
        database, queries = (_by_frame(archive, folder) for folder in utm_folders(archive, ("nordland",), "test"))
    _require(archive, "database", database, range(len(database)))
    _require(archive, "queries", queries, range(len(database)))
    return Dataset(
        name=archive.name,
        database=records(database.values()),
        queries=records(queries.values()),
        truth=WithinFrames(10),
        remark="queries winter, database summer",
    )


def load_nordland_subset(root: Path) -> Dataset:
    """Every tenth winter frame asks all summer frames; right within one frame.

    Layouts: `nordland_subset/images/test/{database,queries}`, as download_nordland_subset.py of gmberton/VPR-datasets-downloader
    writes it, or the two seasons that `load_nordland` reads, of which it keeps every tenth query.
    """
    archive = Archive("nordland-subset", root, OBTAIN)
    if split_folder(root, ("nordland_subset",), "test") is None:
        database, queries = _seasons(archive)
        queries = {frame: path for frame, path in queries.items() if frame % EVERY == 0}
    else:
        database, queries = (_by_frame(archive, folder) for folder in utm_folders(archive, ("nordland_subset",), "test"))
    _require(archive, "database", database, range(len(database)))
    _require(archive, "queries", queries, range(0, len(database), EVERY))
    last = len(database) - 1
    rows = tuple(np.arange(max(frame - 1, 0), min(frame + 1, last) + 1, dtype=np.int64) for frame in queries)
    return Dataset(
        name=archive.name,
        database=records(database.values()),
        queries=records(queries.values()),
        truth=Listed(rows, "within 1 frame"),
        remark="queries every tenth of winter, database summer",
    )


def load_nordland_partitioned(root: Path) -> Dataset:
    """The test part of the partitioned Nordland dataset, winter asking summer; right within 2 frames in the order of their numbers.

    Layout: `test/summer_images_test/section1/<number>.png`, likewise section2 and winter, as public readers have it (Nordlands of
    O. Grainge's PlaceRec). Lu-Feng/SelaVPR (issue 6) gives the counts and the tolerance; that winter asks is not said there.
    """
    archive = Archive("nordland-partitioned", root, OBTAIN_PARTITIONED).inside("test", "nordland", "partitioned_nordland")
    database, queries = (_sections(archive, f"test/{season}_images_test") for season in ("summer", "winter"))
    return Dataset(
        name=archive.name,
        database=records(database),
        queries=records(queries),
        truth=WithinFrames(2),
        remark="queries winter, database summer",
    )


def _seasons(archive: Archive) -> tuple[dict[int, Path], dict[int, Path]]:
    """The listed frames of summer and winter, numbered from 0 in the order of their names."""
    archive = archive.inside(NAMES, "nordland")
    names = sorted({line.strip() for line in archive.text(NAMES).splitlines()} - {""})
    summer, winter = (
        resolve(archive.folder(season), names, what=f"frames listed in {NAMES}", obtain=archive.obtain)
        for season in ("summer", "winter")
    )
    return dict(enumerate(summer)), dict(enumerate(winter))


def _by_frame(archive: Archive, folder: Path) -> dict[int, Path]:
    """The images of a folder by the frame in their names, ascending: their coordinates sort otherwise, and are rounded."""
    frames = {}
    for path in archive.images(folder.relative_to(archive.root).as_posix()):
        try:
            frames[int(name_fields(path, FRAME_FIELD)[-1])] = path
        except ValueError as error:
            raise archive.error("names like @0@00023.8@@@@@10@...@.jpg", path.name) from error
    return dict(sorted(frames.items()))


def _require(archive: Archive, what: str, frames: dict[int, Path], numbers: range) -> None:
    missing = [number for number in numbers if number not in frames]
    if missing:
        raise archive.error(f"{len(numbers):,} frames as {what}", f"{len(frames):,} (frame {missing[0]} is missing)")


def _sections(archive: Archive, folder: str) -> list[Path]:
    """The images of a season, section by section, each in order of their numbers."""
    sections = sorted(path.name for path in archive.folder(folder).iterdir() if path.is_dir())
    if not sections:
        raise archive.error(f"folders section1 and section2 in {folder}", "none")
    return [path for section in sections for path in archive.frames(f"{folder}/{section}").values()]


ENTRIES = (
    KnownDataset(
        name="nordland",
        protocol="winter asks, summer is the database; right within 10 frames",
        database=FRAMES,
        queries=FRAMES,
        reference=PATCH_NETVLAD,
        obtain=OBTAIN,
        load=load_nordland,
    ),
    KnownDataset(
        name="nordland-subset",
        protocol="every tenth frame of winter asks, summer is the database; right within 1 frame",
        database=FRAMES,
        queries=len(range(0, FRAMES, EVERY)),
        reference=PATCH_NETVLAD,
        obtain=OBTAIN,
        load=load_nordland_subset,
    ),
    KnownDataset(
        name="nordland-partitioned",
        protocol="the test part, winter asks, summer is the database; right within 2 frames",
        database=PARTITIONED_FRAMES,
        queries=PARTITIONED_FRAMES,
        reference="Olid, Facil and Civera, Single-View Place Recognition under Seasonal Changes, 2018",
        obtain=OBTAIN_PARTITIONED,
        load=load_nordland_partitioned,
    ),
)
