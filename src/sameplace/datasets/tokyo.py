"""Tokyo 24/7: telephones by day, at sunset and at night against Street View; Tokyo Time Machine: Street View of several years."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from sameplace.datasets.archive import Archive
from sameplace.datasets.dataset import Dataset
from sameplace.datasets.grid import RADIUS_M, Placed, placed_images, within_metres
from sameplace.datasets.known import KnownDataset
from sameplace.datasets.listing import beside_images, listed_images
from sameplace.datasets.matlab import read_image_lists
from sameplace.datasets.truth import LeaveOut, Rows
from sameplace.datasets.utm_folder import split_folder, utm_images
from sameplace.images import ImageRecord
from sameplace.shapes import Array, Float64

ZONE = 54
PANORAMA_LETTERS = 22
STAMP = "time_stamp"
LIGHTS = {"day": 1, "sunset": 2, "night": 0}
"""The remainder of a query's number by 3: each place was photographed three times in a row."""
# As the paper prints them: the .mat files themselves were not at hand.
COUNTS_TIME_MACHINE = {"train": (49_104, 7_277), "val": (49_056, 7_186)}
REFERENCE = "Torii et al., 24/7 Place Recognition by View Synthesis, CVPR 2015"
REFERENCE_TIME_MACHINE = "Arandjelovic et al., NetVLAD, CVPR 2016"
OBTAIN = "the images from A. Torii, who sends them on request, and tokyo247.mat from the project page of NetVLAD"
OBTAIN_TIME_MACHINE = "the images and tokyoTM_train.mat and tokyoTM_val.mat from the authors of NetVLAD, who send them on request"
SPELLINGS = ("tokyo247", "tokyo")
SPELLINGS_TIME_MACHINE = ("tokyotm", "tokyotimemachine", "tokyo")
IMAGES = ("", "images", "Tokyo247/images", "raw/Tokyo247/images", "raw_data/tokyo247", "raw_data")
QUERIES = (
    *("query", "247query_subset_v2", "247query_v3", "", "Tokyo247/query", "raw/Tokyo247/query", "raw_data/247query_subset_v2"),
    "raw_data/tokyo247/247query_subset_v2",
)
IMAGES_TIME_MACHINE = ("images", "", "TokyoTM/images", "raw/TokyoTM/images")


@dataclass(frozen=True, kw_only=True)
class LeaveOutSamePass(LeaveOut):
    """A query does without everything of its own time stamp: its panorama, and all else of that drive."""

    def rows(self, queries: Sequence[ImageRecord], database: Sequence[ImageRecord]) -> Rows:
        """The rows of the database that each query must do without."""
        rows = defaultdict(list)
        for row, image in enumerate(database):
            rows[image.extra[STAMP]].append(row)
        of_stamp = {stamp: np.array(same, np.int64) for stamp, same in rows.items()}
        return tuple(of_stamp.get(query.extra[STAMP], np.empty(0, np.int64)) for query in queries)

    def __str__(self) -> str:
        return "each query does without images of its own time stamp"


def load_tokyo247(root: Path, *, name: str, light: str | None, one_per_panorama: bool) -> Dataset:
    """Right within 25 m; of each panorama the best of its 12 tiles counts, or else all tiles, under another name.

    Layouts: the authors' images with tokyo247.mat, as in the public repositories Relja/netvlad (datasets/dbTokyo247.m: `images`,
    `query`) and yxgeee/OpenIBL (`raw/Tokyo247`), where the .mat says .jpg and the files are .png; or names with coordinates, as
    gmberton/VPR-datasets-downloader (format_tokyo247.py) writes them: there the queries are shrunk to 480 pixels and placed by
    their own GPS. A panorama is the 22 letters that a tile's name starts with, as do twelve in a row in the .mat. A query's
    original number, not its place in a list, tells day, sunset and night. Source: Torii et al., CVPR 2015 and TPAMI 2018.
    """
    archive = Archive(name, root, OBTAIN)
    if split_folder(root, SPELLINGS, "test") is not None:
        database, queries = utm_images(archive, SPELLINGS, "test")
        numbers = [_number(archive, image.panorama or image.path.name) for image in queries.records]
        remark = "positions from file names, queries of 480 pixels"
    else:
        database, queries = _listed(archive)
        numbers = [_number(archive, image.path.name) for image in queries.records]
        remark = "images and positions of tokyo247.mat"
    if light is not None:
        queries = queries.chosen([row for row, number in enumerate(numbers) if number % 3 == LIGHTS[light]])
        remark = f"queries by {light}; {remark}"
    if not one_per_panorama:
        remark = f"all tiles of a panorama count; {remark}"
    return within_metres(name, database, queries, remark=remark, one_per_panorama=one_per_panorama)


def _listed(archive: Archive) -> tuple[Placed, Placed]:
    """Database and queries of tokyo247.mat."""
    archive, mat = beside_images(archive, "tokyo247.mat", SPELLINGS, "test")
    lists = read_image_lists(mat, OBTAIN)
    database = listed_images(archive, IMAGES, lists.database, "database images", (".png",))
    queries = listed_images(archive, QUERIES, lists.queries, "queries")
    return (
        placed_images(archive, database, lists.database_at, [path.name[:PANORAMA_LETTERS] for path in database], ZONE),
        placed_images(archive, queries, lists.queries_at, [None] * len(queries), ZONE),
    )


def _number(archive: Archive, name: str) -> int:
    """The number of a query, such as 00448.jpg."""
    found = re.match(r"\d+", name)
    if found is None:
        raise archive.error("queries with their original numbers", name)
    return int(found[0])


def load_tokyo_time_machine(root: Path, *, split: str) -> Dataset:
    """Right within 25 m and of another time stamp: images of the query's own are left out, for queries are database images too.

    Layout: `images` and tokyoTM_train.mat or tokyoTM_val.mat, whose struct has the two fields dbTimeStamp and qTimeStamp more, as
    in the public repositories Relja/netvlad (datasets/dbTokyoTimeMachine.m) and yxgeee/OpenIBL (ibl/datasets/tokyo.py: the folders
    of an image are its place and its time). The reference searches ten times deeper and drops those of the stamp, which leaves
    fewer where that is not deep enough; here all are left out. Source: Arandjelovic et al., CVPR 2016; there is no test split.
    """
    archive = Archive(f"tokyo-time-machine-{split}", root, OBTAIN_TIME_MACHINE)
    archive, mat = beside_images(archive, f"tokyoTM_{split}.mat", SPELLINGS_TIME_MACHINE, split)
    lists = read_image_lists(mat, OBTAIN_TIME_MACHINE)
    if lists.database_times is None or lists.queries_times is None:
        raise archive.error(f"the fields dbTimeStamp and qTimeStamp in {mat.name}", "none")
    return within_metres(
        archive.name,
        _stamped(archive, lists.database, lists.database_at, lists.database_times, "database images"),
        _stamped(archive, lists.queries, lists.queries_at, lists.queries_times, "queries"),
        remark=f"images and positions of {mat.name}",
        left_out=LeaveOutSamePass(),
    )


def _stamped(
    archive: Archive, names: tuple[str, ...], at: Float64[Array, "images 2"], times: Float64[Array, " images"], what: str
) -> Placed:
    """Images with their time stamps; those of one folder are of one panorama."""
    paths = listed_images(archive, IMAGES_TIME_MACHINE, names, what)
    placed = placed_images(archive, paths, at, [PurePosixPath(name).parent.as_posix() for name in names], ZONE)
    records = (replace(image, extra={STAMP: f"{time:.12g}"}) for image, time in zip(placed.records, times.tolist(), strict=True))
    return replace(placed, records=tuple(records))


def _entry(name: str, light: str | None, *, one_per_panorama: bool = True) -> KnownDataset:
    asked = "telephones ask" if light is None else f"telephones ask by {light}"
    tiles = "the best image of each panorama counts" if one_per_panorama else "all tiles of a panorama count"
    return KnownDataset(
        name=name,
        protocol=f"{asked}; right within {RADIUS_M:g} m on the UTM grid; {tiles}",
        database=75_984,
        queries=315 if light is None else 105,
        reference=REFERENCE,
        obtain=OBTAIN,
        load=partial(load_tokyo247, name=name, light=light, one_per_panorama=one_per_panorama),
    )


def _time_machine_entry(split: str) -> KnownDataset:
    database, queries = COUNTS_TIME_MACHINE[split]
    return KnownDataset(
        name=f"tokyo-time-machine-{split}",
        protocol=f"right within {RADIUS_M:g} m on the UTM grid; images of the query's own time stamp are left out",
        database=database,
        queries=queries,
        reference=REFERENCE_TIME_MACHINE,
        obtain=OBTAIN_TIME_MACHINE,
        load=partial(load_tokyo_time_machine, split=split),
    )


ENTRIES = (
    _entry("tokyo-247", None),
    _entry("tokyo-247-all", None, one_per_panorama=False),
    *(_entry(f"tokyo-247-{light}", light) for light in LIGHTS),
    *(_time_machine_entry(split) for split in COUNTS_TIME_MACHINE),
)
