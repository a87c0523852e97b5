"""AnyLoc's own datasets: corridors, a cavern, a ridge under the sea and an airfield from above, as its authors pack them.

The layouts are those of the public repository AnyLoc/AnyLoc: the listing in README.md and custom_datasets/{hawkins,laurel,eiffel,
aerial}_dataloader.py. Reference: Keetha et al., AnyLoc, IEEE Robotics and Automation Letters 2024.
"""

import re
from functools import partial
from pathlib import Path

import numpy as np

from sameplace.datasets.archive import Archive, records
from sameplace.datasets.arrays import read_array, read_lists
from sameplace.datasets.dataset import Dataset
from sameplace.datasets.known import KnownDataset
from sameplace.datasets.truth import Listed, Rows, WithinMetres
from sameplace.geo import LocalPoint
from sameplace.images import ImageRecord
from sameplace.shapes import Array, Float64

REFERENCE = "Keetha et al., AnyLoc, IEEE Robotics and Automation Letters 2024"
OBTAIN = "the folder {} of the data that AnyLoc's authors share (anyloc.github.io)"
RADIUS = 8.0
BEST = 5
ROTATED = {"nardo-air": "test_40_midref_rot0", "nardo-air-r": "test_40_midref_rot90"}


def load_poses(root: Path, *, name: str, folder: str, database: range, queries: range) -> Dataset:
    """Hawkins and Laurel Caverns: right within 8 m, between the places in pose_topic_list.npy that belong to the images.

    The images, in natural order of their names, take a range of its rows each, as AnyLoc pairs them, whatever numbers the names
    carry. The array's first two columns are metres (the others, by public readers: height and a quaternion). Hawkins is the long
    corridor, 127 / 118; the paper prints 65 / 101, which is Mid-Atlantic Ridge's pair, and a folder `hawkins` of 76 / 75 exists,
    too. Laurel Caverns asks from row 229 on: those from 141 to 228 are not used.
    """
    archive = Archive(name, root, OBTAIN.format(folder)).inside("pose_topic_list.npy", folder)
    poses = read_array(archive.file("pose_topic_list.npy"))
    if poses.ndim != 2 or poses.shape[1] < 2 or len(poses) <= max(*database, *queries):
        raise archive.error(
            f"{max(*database, *queries) + 1} or more places in pose_topic_list.npy", f"an array of shape {poses.shape}"
        )
    places = poses[:, :2].astype(np.float64)
    return Dataset(
        name=name,
        database=_placed(archive, "db_images", database, places),
        queries=_placed(archive, "q_images", queries, places),
        truth=WithinMetres(RADIUS),
    )


def _placed(archive: Archive, folder: str, rows: range, places: Float64[Array, "frames 2"]) -> tuple[ImageRecord, ...]:
    paths = archive.images(folder)
    if len(paths) != len(rows):
        ends = [re.search(r"[0-9]+$", path.stem) for path in paths]
        missing = sorted(set(rows) - {int(end[0]) for end in ends if end})
        named = f" ({missing[0]} is missing)" if len(missing) == len(rows) - len(paths) else ""
        raise archive.error(f"{len(rows):,} images in {folder}", f"{len(paths):,}{named}")
    return tuple(ImageRecord(path=path, position=LocalPoint(*places[row].tolist())) for row, path in zip(rows, paths, strict=True))


def load_mid_atlantic_ridge(root: Path) -> Dataset:
    """Mid-Atlantic Ridge: right as listed in eiffel_gt.npy, within 0.3 m; its rows from the 102nd on are those of the queries.

    Runs of 2015 and 2020 over the hydrothermal vent Eiffel Tower; which is which is not said. The array's first 101 rows are
    skipped as AnyLoc skips them: what they hold is not known.
    """
    folder = "eiffel"
    archive = Archive("mid-atlantic-ridge", root, OBTAIN.format(folder)).inside("eiffel_gt.npy", folder)
    database, queries = archive.images("db_images"), archive.images("q_images")
    lists = read_lists(archive.file("eiffel_gt.npy"), column=1)
    if len(lists) != 2 * len(queries):
        raise archive.error(f"{2 * len(queries)} rows in eiffel_gt.npy, two for each query", f"{len(lists)}")
    return Dataset(
        name=archive.name,
        database=records(database),
        queries=records(queries),
        truth=Listed(lists[len(queries) :], "as listed in eiffel_gt.npy, within 0.3 m"),
    )


def load_nardo_air(root: Path, *, name: str) -> Dataset:
    """Nardo-Air, and R with one side turned by 90 degrees: the five references that gt_matches.csv lists for each query.

    Whether an image is right is the list's word; there is no tolerance in metres. Another public reader counts only the first of
    the five, and its figures are lower.
    """
    (other,) = (folder for dataset, folder in ROTATED.items() if dataset != name)
    archive = Archive(name, root, OBTAIN.format(ROTATED[name])).inside("gt_matches.csv", ROTATED[name])
    if archive.root.resolve().name == other:
        raise archive.error(f"the folder {ROTATED[name]}", f"{other}, which is the other of the two")
    database, queries = archive.images("reference_images"), archive.images("query_images")
    return Dataset(
        name=name,
        database=records(database),
        queries=records(queries),
        truth=Listed(_best(archive, len(queries)), f"as the best {BEST} listed in gt_matches.csv"),
    )


def _best(archive: Archive, queries: int) -> Rows:
    columns = [f"top_{rank}_ref_ind" for rank in range(1, BEST + 1)]
    rows = archive.table("gt_matches.csv")
    try:
        lists = {int(row["query_ind"] or ""): np.array([int(row[column] or "") for column in columns], np.int64) for row in rows}
    except (KeyError, ValueError) as error:
        raise archive.error(
            f"whole numbers in the columns query_ind, {columns[0]} to {columns[-1]} of gt_matches.csv", f"{error}"
        ) from None
    if len(rows) != queries or set(lists) != set(range(queries)):
        raise archive.error(f"one row in gt_matches.csv for each of {queries} queries", f"{len(rows)} rows for {len(lists)}")
    return tuple(lists[query] for query in range(queries))


def _nardo_air(name: str, turned: str) -> KnownDataset:
    return KnownDataset(
        name=name,
        protocol=f"an airfield from above{turned}; right are the {BEST} references listed for each query",
        database=102,
        queries=71,
        reference=REFERENCE,
        obtain=OBTAIN.format(ROTATED[name]),
        load=partial(load_nardo_air, name=name),
    )


def _poses(name: str, folder: str, where: str, database: range, queries: range) -> KnownDataset:
    return KnownDataset(
        name=name,
        protocol=f"{where}; right within {RADIUS:g} m",
        database=len(database),
        queries=len(queries),
        reference=REFERENCE,
        obtain=OBTAIN.format(folder),
        load=partial(load_poses, name=name, folder=folder, database=database, queries=queries),
    )


ENTRIES = (
    _poses("hawkins", "hawkins_long_corridor", "a long corridor full of smoke", range(127), range(127, 245)),
    _poses("laurel-caverns", "laurel_caverns", "a cavern", range(141), range(229, 341)),
    KnownDataset(
        name="mid-atlantic-ridge",
        protocol="a hydrothermal vent under the sea, 2015 and 2020; right within 0.3 m, as listed",
        database=65,
        queries=101,
        reference=REFERENCE,
        obtain=OBTAIN.format("eiffel"),
        load=load_mid_atlantic_ridge,
    ),
    _nardo_air("nardo-air", ""),
    _nardo_air("nardo-air-r", ", one side turned by 90 degrees"),
)
