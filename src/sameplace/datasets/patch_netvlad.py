"""Nordland as Patch-NetVLAD lists it: names of images in text files, and an npz file that says where each was taken."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sameplace.datasets.archive import Archive, records
from sameplace.datasets.arrays import read_arrays
from sameplace.datasets.dataset import Dataset
from sameplace.datasets.known import KnownDataset
from sameplace.datasets.listing import listed_images
from sameplace.datasets.truth import Listed, near
from sameplace.datasets.vpr_bench import check_reach
from sameplace.shapes import Array, Float64

TOLERANCE = 10
OBTAIN = "the Nordland frames and lists of Patch-NetVLAD (github.com/QVPR/Patch-NetVLAD)"


def load_nordland_lists(root: Path) -> Dataset:
    """Each of 27,592 winter frames asks all summer frames, right within 10.

    The layout is that of the public repository QVPR/Patch-NetVLAD (README.md, patchnetvlad/tools/datasets.py):
    nordland_imageNames_index.txt and _query.txt with one path a line, relative to the root, and nordland.npz with utmDb, utmQ and
    posDistThr; they may lie in the folders dataset_imagenames and dataset_gt_files. What the coordinates are is not said; that
    they reach 10 frames is checked.
    """
    archive = Archive("nordland-patch-netvlad", root, OBTAIN)
    names = {side: _lines(archive, f"nordland_imageNames_{side}.txt") for side in ("index", "query")}
    arrays = read_arrays(archive.file(_beside(archive, "dataset_gt_files", "nordland.npz")))
    missing = [name for name in ("utmDb", "utmQ", "posDistThr") if name not in arrays]
    if missing:
        raise archive.error(f"{missing[0]} in nordland.npz", ", ".join(arrays))
    points, query_points = (
        _in_space(archive, arrays[name], len(names[side])) for name, side in (("utmDb", "index"), ("utmQ", "query"))
    )
    rows = near(query_points, points, float(arrays["posDistThr"]))
    check_reach(archive, rows, TOLERANCE)
    return Dataset(
        name=archive.name,
        database=records(listed_images(archive, ("",), names["index"], "database images")),
        queries=records(listed_images(archive, ("",), names["query"], "queries")),
        truth=Listed(rows, f"within {TOLERANCE} frames"),
    )


def _lines(archive: Archive, name: str) -> list[str]:
    lines = archive.text(_beside(archive, "dataset_imagenames", name)).splitlines()
    return [line.strip() for line in lines if line.strip()]


def _beside(archive: Archive, folder: str, name: str) -> str:
    """A file of the repository, with or without the folder that it has there."""
    return f"{folder}/{name}" if (archive.root / folder / name).exists() else name


def _in_space(archive: Archive, points: NDArray[Any], count: int) -> Float64[Array, "points 3"]:
    if points.ndim != 2 or len(points) != count or points.shape[1] > 3:
        raise archive.error(f"{count:,} points in nordland.npz, one for each name", f"an array of shape {points.shape}")
    return np.pad(points.astype(np.float64), ((0, 0), (0, 3 - points.shape[1])))


ENTRIES = (
    KnownDataset(
        name="nordland-patch-netvlad",
        protocol="winter asks, summer is the database; right within 10 frames",
        database=27_592,
        queries=27_592,
        reference="Skrede, Nordland Dataset, 2013; Hausler et al., Patch-NetVLAD, CVPR 2021",
        obtain=OBTAIN,
        load=load_nordland_lists,
    ),
)
