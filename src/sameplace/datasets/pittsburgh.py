"""Pittsburgh: Street View panoramas of a city, cut into 24 tiles each; 30k and 250k, each with a train, val and test split."""

from functools import partial
from pathlib import Path

from sameplace.datasets.archive import Archive
from sameplace.datasets.dataset import Dataset
from sameplace.datasets.grid import RADIUS_M, placed_images, within_metres
from sameplace.datasets.known import KnownDataset
from sameplace.datasets.listing import beside_images, listed_images
from sameplace.datasets.matlab import read_image_lists
from sameplace.datasets.utm_folder import load_utm_folder, split_folder

ZONE = 17
# The splits of 250k are as the paper prints them: the .mat files themselves were not at hand.
COUNTS = {
    "30k": {"train": (10_000, 7_416), "val": (10_000, 7_608), "test": (10_000, 6_816)},
    "250k": {"train": (91_464, 7_824), "val": (78_648, 7_608), "test": (83_952, 8_280)},
}
REFERENCE = "Torii et al., Visual Place Recognition with Repetitive Structures, CVPR 2013; split by Arandjelovic et al., CVPR 2016"
OBTAIN = "the images from A. Torii, who sends them on request, and the .mat files of the splits from the project page of NetVLAD"
IMAGES = ("", "images", "Pittsburgh/images", "raw/Pittsburgh/images", "raw_data")
QUERIES = ("queries_real", "queries", "Pittsburgh/queries", "raw/Pittsburgh/queries", "raw_data/queries_real")


def load_pittsburgh(root: Path, *, size: str, split: str) -> Dataset:
    """Right within 25 m; nothing is left out, not even the query's panorama, for the queries were taken in another year.

    Layouts: the authors' images with the .mat of a split, as in the public repositories Nanne/pytorch-NetVlad (pittsburgh.py:
    `000/000000_pitch1_yaw1.jpg`, `queries_real/008/...`, `datasets/pitts30k_test.mat`), Relja/netvlad (datasets/dbPitts.m: `images`
    and `queries`) and yxgeee/OpenIBL (`raw/Pittsburgh`); or names with coordinates, as gmberton/VPR-datasets-downloader
    (format_pitts30k.py) writes them. The panorama of a tile is the six digits that its name starts with; a database of 30k holds
    cut ones. Source: Torii et al., CVPR 2013; splits by Arandjelovic et al., CVPR 2016.
    """
    archive = Archive(f"pitts{size}-{split}", root, OBTAIN)
    spellings = (f"pitts{size}", f"pittsburgh{size}")
    if split_folder(root, spellings, split) is not None:
        return load_utm_folder(root, name=archive.name, names=spellings, split=split, obtain=OBTAIN)
    file = f"pitts{size}_{split}.mat"
    archive, mat = beside_images(archive, file, (*spellings, "pittsburgh", "pittsburgh250k", "pitts250k"), split)
    lists = read_image_lists(mat, OBTAIN)
    database = listed_images(archive, IMAGES, lists.database, "database images")
    queries = listed_images(archive, QUERIES, lists.queries, "queries")
    return within_metres(
        archive.name,
        placed_images(archive, database, lists.database_at, [_panorama(path) for path in database], ZONE),
        placed_images(archive, queries, lists.queries_at, [_panorama(path) for path in queries], ZONE),
        remark=f"images and positions of {file}",
    )


def _panorama(path: Path) -> str:
    return path.name.split("_")[0]


def _entry(size: str, split: str) -> KnownDataset:
    database, queries = COUNTS[size][split]
    return KnownDataset(
        name=f"pitts{size}-{split}",
        protocol=f"right within {RADIUS_M:g} m on the UTM grid; nothing left out",
        database=database,
        queries=queries,
        reference=REFERENCE,
        obtain=OBTAIN,
        load=partial(load_pittsburgh, size=size, split=split),
    )


ENTRIES = tuple(_entry(size, split) for size, splits in COUNTS.items() for split in splits)
