"""Baidu Mall: a shopping mall photographed with good cameras, and asked for with telephones months later."""

from pathlib import Path

import numpy as np

from sameplace.datasets.archive import Archive, records
from sameplace.datasets.dataset import Dataset
from sameplace.datasets.known import KnownDataset
from sameplace.datasets.truth import WithinMetresOf
from sameplace.shapes import Array, Float64

RADIUS = 10.0
OBTAIN = "IDL_dataset_cvpr17_3852.zip from its authors (X. Sun and others, Baidu; linked by github.com/AnyLoc/AnyLoc)"
LINES = 9
CENTRE = 7


def load_baidu_mall(root: Path) -> Dataset:
    """Right within 10 m between the camera centres, in three dimensions; no angle between the cameras counts.

    The layout is that of the public repository AnyLoc/AnyLoc, custom_datasets/baidu_dataloader.py: beside each image a text file
    `.camera` of nine lines, of which the eighth is the centre. AnyLoc pairs images and cameras by their order, which is the same
    as by name where all are there. Its paper prints 682 / 2296 images; another split of 5,207 / 3,208 with 25 m in two dimensions
    is about.
    """
    archive = Archive("baidu-mall", root, OBTAIN).inside("training_gt", "baidu_datasets", "IDL_dataset_cvpr17_3852")
    database, queries = archive.images("training_images_undistort"), archive.images("query_images_undistort")
    return Dataset(
        name=archive.name,
        database=records(database),
        queries=records(queries),
        truth=WithinMetresOf(RADIUS, _centres(archive, "query_gt", queries), _centres(archive, "training_gt", database)),
    )


def _centres(archive: Archive, folder: str, images: list[Path]) -> Float64[Array, "images 3"]:
    return np.array([_centre(archive, f"{folder}/{image.stem}.camera") for image in images])


def _centre(archive: Archive, name: str) -> list[float]:
    lines = archive.file(name).read_text(encoding="utf-8", errors="replace").split("\n")
    lines = [line for line in lines if line.strip()]
    try:
        centre = [float(word) for word in lines[CENTRE].split()]
    except (IndexError, ValueError):
        centre = []
    if len(lines) != LINES or len(centre) != 3:
        raise archive.error(
            f"{LINES} lines in {name}, three numbers in the eighth", f"{len(lines)} lines and {len(centre)} numbers"
        )
    return centre


ENTRIES = (
    KnownDataset(
        name="baidu-mall",
        protocol="telephones ask, good cameras are the database; right within 10 m between the camera centres in space",
        database=689,
        queries=2292,
        reference="Sun et al., A Dataset for Benchmarking Image-Based Localization, CVPR 2017",
        obtain=OBTAIN,
        load=load_baidu_mall,
    ),
)
