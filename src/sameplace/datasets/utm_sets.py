"""Benchmarks that are distributed, or are usually kept, with the places of the photos in their names: right within 25 m.

Each is in the layout that `load_utm_folder` describes; the counts say which of the sets that bear a name is meant.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from sameplace.datasets.dataset import Dataset
from sameplace.datasets.grid import RADIUS_M
from sameplace.datasets.known import KnownDataset
from sameplace.datasets.utm_folder import load_utm_folder

DOWNLOADER = "github.com/gmberton/VPR-datasets-downloader"
OBTAIN_ST_LUCIA = f"St Lucia by download_st_lucia.py of {DOWNLOADER} (or st_lucia of the data that AnyLoc's authors share)"
OBTAIN_EYNSHAM = f"Eynsham by download_eynsham.py of {DOWNLOADER} (zenodo.org/record/1243106)"
OBTAIN_SVOX = f"SVOX by download_svox.py of {DOWNLOADER}"
OBTAIN_SF_XL = "San Francisco eXtra Large from its authors, who answer the form in the README of github.com/gmberton/CosPlace"
OBTAIN_MSLS = f"Mapillary Street-level Sequences from mapillary.com/dataset/places, then format_mapillary.py of {DOWNLOADER}"
SPELLINGS_MSLS = ("msls", "mapillary_sls")
WEATHER = {"night": 823, "overcast": 872, "rain": 937, "snow": 870, "sun": 854}
SF_XL = {"v1": 1_000, "v2": 598, "night": 466, "occlusion": 76}


def load_st_lucia(root: Path) -> Dataset:
    """St Lucia, a suburb of Brisbane: the last drive asks the first, a frame each 5 m.

    Layout: `st_lucia/images/test/{database,queries}`, as download_st_lucia.py of gmberton/VPR-datasets-downloader writes it (an
    older one wrote `gallery`). A smaller set of the same name, of TU Chemnitz, is another benchmark. Source: Glover et al., ICRA
    2010, and Milford and Wyeth, IEEE Transactions on Robotics 2008.
    """
    return load_utm_folder(root, name="st-lucia", names=("st_lucia",), split="test", obtain=OBTAIN_ST_LUCIA)


def load_eynsham(root: Path) -> Dataset:
    """Eynsham, near Oxford: the second lap of a car asks the first; grey panoramas, cut into five tiles each, nothing left out.

    Layout: `eynsham/images/test/{database,queries}`, as download_eynsham.py of gmberton/VPR-datasets-downloader writes it:
    panoramas 0 to 4786 are the database. Source: Cummins and Newman, RSS 2009. The count of queries is not in public code.
    """
    return load_utm_folder(root, name="eynsham", names=("eynsham",), split="test", obtain=OBTAIN_EYNSHAM)


def load_svox(root: Path, *, name: str, queries: str) -> Dataset:
    """SVOX: Street View of Oxford is the database; Street View of another year asks, or RobotCar in one kind of weather.

    Layout: `svox/images/test/gallery` and `queries`, `queries_night`, `queries_overcast`, `queries_rain`, `queries_snow`,
    `queries_sun`, as unpacked from the authors' archive; OliverGrainge/TeTRA-VPR (scripts/create_gt.sh) names the folders.
    Source: Berton et al., WACV 2021.
    """
    return load_utm_folder(root, name=name, names=("svox",), split="test", obtain=OBTAIN_SVOX, queries=queries)


def load_sf_xl(root: Path, *, name: str, split: str, queries: str) -> Dataset:
    """San Francisco eXtra Large: Street View of a whole city; photos of its visitors ask, by day (v1, v2), by night or occluded.

    Layout: `sf_xl/processed/test/database` and `queries_v1`, `queries_v2`, `queries_night`, `queries_occlusion`; `val/database` and
    `queries`: gmberton/CosPlace README.md, OliverGrainge/TeTRA-VPR scripts/create_gt.sh. The counts are those of the papers, Berton
    et al., CVPR 2022, and Barbarani et al., CVPRW 2023; public code does not hold them.
    """
    return load_utm_folder(root, name=name, names=("sf_xl", "sfxl"), split=split, obtain=OBTAIN_SF_XL, queries=queries)


def load_msls_folder(root: Path) -> Dataset:
    """The validation cities of MSLS with every query that is no panorama, searched together: the other list of that name.

    Layout: `msls/val/{database,queries}`, as format_mapillary.py of gmberton/VPR-datasets-downloader writes it. Those who report on
    the official 740 queries cannot be compared with it. Source: Warburg et al., CVPR 2020; Berton et al., CVPR 2022.
    """
    return load_utm_folder(root, name="msls-val-11k", names=SPELLINGS_MSLS, split="val", obtain=OBTAIN_MSLS)


def _svox() -> Iterator[KnownDataset]:
    for weather, count in ({"": 14_278} | WEATHER).items():
        name, queries = (f"svox-{weather}", f"queries_{weather}") if weather else ("svox", "queries")
        asked = f"RobotCar asks ({weather})" if weather else "Street View of another year asks"
        yield KnownDataset(
            name=name,
            protocol=f"{asked}; right within {RADIUS_M:g} m on the UTM grid",
            database=17_166,
            queries=count,
            reference="Berton et al., Adaptive-Attentive Geolocalization from Few Queries, WACV 2021",
            obtain=OBTAIN_SVOX,
            load=partial(load_svox, name=name, queries=queries),
        )


def _sf_xl() -> Iterator[KnownDataset]:
    tests = {f"test-{kind}": ("test", f"queries_{kind}", 2_805_840, count) for kind, count in SF_XL.items()}
    for end, (split, queries, database, count) in (tests | {"val": ("val", "queries", 8_015, 7_993)}).items():
        yield KnownDataset(
            name=f"sf-xl-{end}",
            protocol=f"{queries} of {split} ask; right within {RADIUS_M:g} m on the UTM grid",
            database=database,
            queries=count,
            reference="Berton et al., Rethinking Visual Geo-localization for Large-Scale Applications, CVPR 2022",
            obtain=OBTAIN_SF_XL,
            load=partial(load_sf_xl, name=f"sf-xl-{end}", split=split, queries=queries),
        )


ENTRIES = (
    KnownDataset(
        name="st-lucia",
        protocol=f"the last drive asks the first; right within {RADIUS_M:g} m on the UTM grid",
        database=1_549,
        queries=1_464,
        reference="Glover et al., FAB-MAP + RatSLAM: Appearance-Based SLAM for Multiple Times of Day, ICRA 2010",
        obtain=OBTAIN_ST_LUCIA,
        load=load_st_lucia,
    ),
    KnownDataset(
        name="eynsham",
        protocol=f"the second lap asks the first; right within {RADIUS_M:g} m on the UTM grid",
        database=23_935,
        queries=23_935,
        reference="Cummins and Newman, Highly Scalable Appearance-Only SLAM: FAB-MAP 2.0, RSS 2009",
        obtain=OBTAIN_EYNSHAM,
        load=load_eynsham,
    ),
    *_svox(),
    *_sf_xl(),
)
