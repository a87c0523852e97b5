"""AmsterTime: old photos of an archive ask for photos of the same scenes today."""

from pathlib import Path

import numpy as np

from sameplace.datasets.archive import Archive, records
from sameplace.datasets.dataset import Dataset
from sameplace.datasets.known import KnownDataset
from sameplace.datasets.truth import Listed
from sameplace.datasets.utm_folder import name_fields, split_folder, utm_folders

SPELLINGS = ("amstertime", "AmsterTime-v1.0")
PAIR_FIELD = 7
OBTAIN = "AmsterTime-v1.0.zip of the AmsterTime dataset (data.4tu.nl), which holds the folders new and old"


def load_amstertime(root: Path) -> Dataset:
    """Right is the one photo of the same scene, which has the same number.

    Layouts: the authors' `new/<number>.png` and `old/<number>.jpg`, or `amstertime/images/test/{database,queries}` with the number
    where a panorama stands else and coordinates that are none; both are known from download_amstertime.py of the public repository
    gmberton/VPR-datasets-downloader. Source: Yildiz et al., arXiv 2203.16291, 2022. The count is the paper's as remembered.
    """
    archive = Archive("amstertime", root, OBTAIN)
    if split_folder(root, SPELLINGS, "test") is None:
        archive = archive.inside("new", *SPELLINGS)
        new, old = archive.frames("new"), archive.frames("old")
    else:
        new, old = (_by_pair(archive, folder) for folder in utm_folders(archive, SPELLINGS, "test"))
    if new.keys() != old.keys():
        alone = min(new.keys() ^ old.keys())
        raise archive.error("a new photo for each old one", f"only {'a new' if alone in new else 'an old'} one of number {alone}")
    return Dataset(
        name=archive.name,
        database=records(new.values()),
        queries=records(old[number] for number in new),
        truth=Listed(tuple(np.array([row], np.int64) for row in range(len(new))), "where it has the same number"),
    )


def _by_pair(archive: Archive, folder: Path) -> dict[int, Path]:
    pairs = {}
    for path in archive.images(folder.relative_to(archive.root).as_posix()):
        try:
            pairs[int(name_fields(path, PAIR_FIELD)[-1])] = path
        except ValueError as error:
            raise archive.error("names like @0@17000@@@@@17@...@.jpg", path.name) from error
    return pairs


ENTRIES = (
    KnownDataset(
        name="amstertime",
        protocol="old photos ask for new ones; right is the one of the same number",
        database=1_231,
        queries=1_231,
        reference="Yildiz et al., AmsterTime: A Visual Place Recognition Benchmark Dataset for Severe Domain Shift, ICPR 2022",
        obtain=OBTAIN,
        load=load_amstertime,
    ),
)
