"""Berlin Kudamm and Oxford RobotCar: streets whose images and positions a MATLAB file of HEAPUtil's shape lists."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from sameplace.datasets.archive import Archive
from sameplace.datasets.dataset import Dataset
from sameplace.datasets.known import KnownDataset
from sameplace.datasets.listing import listed_images
from sameplace.datasets.matlab import read_image_lists
from sameplace.datasets.truth import WithinMetres
from sameplace.geo import LocalPoint
from sameplace.images import ImageRecord
from sameplace.shapes import Array, Float64

OBTAIN_BERLIN = "the Berlin Kudamm images of HEAPUtil (github.com/Nik-V9/HEAPUtil) and its dataset-mat-files/berlin.mat"
OBTAIN_ROBOTCAR = "the folder Oxford_Robotcar of the data that AnyLoc's authors share (anyloc.github.io)"


def load_struct(root: Path, *, name: str, file: str, images: str, radius: float, obtain: str, folders: tuple[str, ...]) -> Dataset:
    """Right within a radius of the benchmark's own, between the places that the .mat file lists; its own radius is only printed.

    The shape of the file is that of the public repositories Nik-V9/HEAPUtil (NetVLAD/dataset.py: berlin.mat beside
    Reference_resized and Query_resized) and AnyLoc/AnyLoc (custom_datasets/oxford_dataloader.py: oxdatapart.mat beside
    oxDataPart). Berlin: 314 / 280, 50 m; the 38.21 % of its table are a VGG-16 with 16 clusters, another model than that of the
    other rows. RobotCar: 191 / 191, 25 m; AnyLoc's paper prints 213 / 251.
    """
    archive = Archive(name, root, obtain).inside(file, *folders)
    lists = read_image_lists(archive.file(file), obtain)
    database = listed_images(archive, (images,), lists.database, "database images")
    queries = listed_images(archive, (images,), lists.queries, "queries")
    return Dataset(
        name=name,
        database=_placed(database, lists.database_at),
        queries=_placed(queries, lists.queries_at),
        truth=WithinMetres(radius),
        remark="" if lists.radius == radius else f"{file} itself names {lists.radius:g} m",
    )


def _placed(paths: Sequence[Path], points: Float64[Array, "images 2"]) -> tuple[ImageRecord, ...]:
    return tuple(ImageRecord(path=path, position=LocalPoint(*point)) for path, point in zip(paths, points.tolist(), strict=True))


ENTRIES = (
    KnownDataset(
        name="berlin-kudamm",
        protocol="two traverses of a street by users of Mapillary; right within 50 m",
        database=314,
        queries=280,
        reference="Keetha, Milford and Garg, A Hierarchical Dual Model of Environment- and Place-Specific Utility, RA-L 2021",
        obtain=OBTAIN_BERLIN,
        load=partial(
            load_struct,
            name="berlin-kudamm",
            file="berlin.mat",
            images="",
            radius=50.0,
            obtain=OBTAIN_BERLIN,
            folders=("berlin", "berlin-kudamm"),
        ),
    ),
    KnownDataset(
        name="oxford-robotcar",
        protocol="a drive by day and one by night; right within 25 m",
        database=191,
        queries=191,
        reference="Maddern et al., 1 Year, 1000 km: The Oxford RobotCar Dataset, IJRR 2017; selection of AnyLoc",
        obtain=OBTAIN_ROBOTCAR,
        load=partial(
            load_struct,
            name="oxford-robotcar",
            file="oxdatapart.mat",
            images="oxDataPart",
            radius=25.0,
            obtain=OBTAIN_ROBOTCAR,
            folders=("Oxford_Robotcar",),
        ),
    ),
)
