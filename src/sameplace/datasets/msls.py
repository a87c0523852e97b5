"""Mapillary Street-level Sequences: the validation cities Copenhagen and San Francisco, in the csv layout of its authors.

The layout is that of the public repository mapillary/mapillary_sls (README.md, mapillary_sls/datasets/msls.py), and of the name
lists that amaralibey/gsv-cities shares (dataloaders/val) and amaralibey/OpenVPRLab names otherwise.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sameplace.datasets.archive import Archive, records
from sameplace.datasets.arrays import read_array, read_lists
from sameplace.datasets.dataset import Dataset
from sameplace.datasets.known import KnownDataset
from sameplace.datasets.listing import listed_images
from sameplace.datasets.truth import Listed, WithinMetresOf, near
from sameplace.datasets.utm_folder import split_folder
from sameplace.datasets.utm_sets import SPELLINGS_MSLS, load_msls_folder
from sameplace.geo import LatLon
from sameplace.images import ImageRecord
from sameplace.images.positions import parsed_heading
from sameplace.shapes import Array, Float64

RADIUS = 25.0
CITIES = ("cph", "sf")
TABLES = "train_val/cph/query/postprocessed.csv"
SUBTASK = "all"
OBTAIN = (
    "Mapillary Street-level Sequences, its metadata and its images of cph and sf (mapillary.com/dataset/places), on registration"
)
LISTS = (
    ("msls_val_dbImages.npy", "msls_val_qImages.npy", "msls_val_pIdx.npy"),
    ("msls_val_ref_image_names.npy", "msls_val_query_image_names.npy", "msls_val_ground_truth_25m.npy"),
)
"""Names of database images, of queries, and what is right; the first form has a list of which queries ask, too."""
ASKING = "msls_val_qIdx.npy"
TOGETHER = "both cities are searched together"


@dataclass(frozen=True, kw_only=True)
class _Row:
    """What the tables of a city say of one image."""

    record: ImageRecord
    point: tuple[float, float, float]
    is_panorama: bool
    is_official: bool
    """Whether it is part of the subtask `all`."""


def load_msls_val(root: Path) -> Dataset:
    """The official 740 queries against 18,871 images: of the subtask `all`, no panorama, and with a right image within 25 m.

    750 queries are of the subtask, 747 of these no panoramas, 740 of those answerable. The distance is that between the eastings
    and northings of postprocessed.csv, as the authors measure it; their class defaults to 10 m, their evaluation to 25. Published
    code searches both cities together, or each alone. Where the tables are missing, the shared name lists of the same 740 are
    read.
    """
    archive = Archive("msls-val", root, OBTAIN)
    lists = next((names for names in LISTS if (root / names[0]).exists()), None)
    if lists is not None and not (root / TABLES).exists():
        return _load_lists(archive, lists)
    archive = archive.inside(TABLES, *SPELLINGS_MSLS)
    database = [row for row in _rows(archive, "database") if row.is_official and not row.is_panorama]
    queries = [row for row in _rows(archive, "query") if row.is_official and not row.is_panorama]
    right = near(_points(queries), _points(database), RADIUS)
    answerable = [row for row, rows in zip(queries, right, strict=True) if len(rows)]
    return _dataset(archive.name, database, answerable, f"the official queries; {TOGETHER}")


def load_msls_val_all(root: Path) -> Dataset:
    """The other list: every query of the two cities that is no panorama, about 11,000, those without a right image among them.

    It is that of gmberton/VPR-datasets-downloader (format_mapillary.py), which measures on positions made from degrees: its folders
    are read where they are, or else the authors' tables, with their eastings and northings. The count is that of published logs, as
    remembered.
    """
    if split_folder(root, SPELLINGS_MSLS, "val") is not None:
        return load_msls_folder(root)
    archive = Archive("msls-val-11k", root, OBTAIN).inside(TABLES, *SPELLINGS_MSLS)
    database, queries = ([row for row in _rows(archive, side) if not row.is_panorama] for side in ("database", "query"))
    return _dataset(archive.name, database, queries, f"every query that is no panorama; {TOGETHER}")


def _dataset(name: str, database: list[_Row], queries: list[_Row], remark: str) -> Dataset:
    return Dataset(
        name=name,
        database=tuple(row.record for row in database),
        queries=tuple(row.record for row in queries),
        truth=WithinMetresOf(RADIUS, _points(queries), _points(database)),
        remark=remark,
        licence="research use, on the terms of Mapillary's dataset page",
    )


def _rows(archive: Archive, side: str) -> list[_Row]:
    return [row for city in CITIES for row in _city_rows(archive, f"train_val/{city}/{side}")]


def _city_rows(archive: Archive, folder: str) -> Iterator[_Row]:
    """The images of one city: its tables have a row each, in the same order."""
    tables = [_table(archive, f"{folder}/{name}.csv") for name in ("postprocessed", "raw", "subtask_index")]
    if len({len(table) for table in tables}) != 1:
        raise archive.error(f"tables of one length in {folder}", " and ".join(str(len(table)) for table in tables))
    if not tables[0]:
        raise archive.error(f"rows in the tables of {folder}", "none")
    try:
        names = [f"{row['key']}.jpg" for row in tables[0]]
    except KeyError as error:
        raise archive.error(f"columns of Mapillary's tables in {folder}", str(error)) from None
    paths = listed_images(archive, (f"{folder}/images",), names, "images")
    for path, placed, raw, subtask in zip(paths, *tables, strict=True):
        try:
            if placed["key"] != raw["key"]:
                raise ValueError(f"{placed['key']} beside {raw['key']}")
            yield _Row(
                record=ImageRecord(
                    path=path, position=LatLon(float(raw["lat"]), float(raw["lon"])), heading_deg=parsed_heading(raw["ca"])
                ),
                point=(float(placed["easting"]), float(placed["northing"]), 0.0),
                is_panorama=raw["pano"] == "True",
                is_official=subtask[SUBTASK] == "True",
            )
        except (KeyError, TypeError, ValueError) as error:
            raise archive.error(f"columns of Mapillary's tables in {folder}", str(error)) from None


def _table(archive: Archive, name: str) -> list[dict[str, str]]:
    """The rows of a table; DatasetError for one that is cut short."""
    rows = []
    for number, row in enumerate(archive.table(name), start=1):
        whole = {column: cell for column, cell in row.items() if cell is not None}
        if len(whole) != len(row):
            raise archive.error(f"whole rows in {name}", f"row {number:,} cut short")
        rows.append(whole)
    return rows


def _points(rows: list[_Row]) -> Float64[Array, "rows 3"]:
    """East and north; the two cities lie in zones whose numbers are two million metres apart, so that none is near another."""
    return np.array([row.point for row in rows]).reshape(-1, 3)


def _load_lists(archive: Archive, names: tuple[str, str, str]) -> Dataset:
    database, queries = ([str(name) for name in read_array(archive.file(list_name))] for list_name in names[:2])
    if (archive.root / ASKING).exists():
        queries = [queries[row] for row in read_array(archive.root / ASKING).tolist()]
    return Dataset(
        name=archive.name,
        database=records(listed_images(archive, ("",), database, "database images")),
        queries=records(listed_images(archive, ("",), queries, "queries")),
        truth=Listed(read_lists(archive.file(names[2])), f"as listed, within {RADIUS:g} m"),
        remark=f"the official queries; {TOGETHER}",
        licence="research use, on the terms of Mapillary's dataset page",
    )


REFERENCE = "Warburg et al., Mapillary Street-Level Sequences, CVPR 2020"
ENTRIES = (
    KnownDataset(
        name="msls-val",
        protocol="Copenhagen and San Francisco, the official queries, all answerable; right within 25 m",
        database=18_871,
        queries=740,
        reference=REFERENCE,
        obtain=OBTAIN,
        load=load_msls_val,
    ),
    KnownDataset(
        name="msls-val-11k",
        protocol="Copenhagen and San Francisco, every query that is no panorama; right within 25 m",
        database=18_871,
        queries=11_084,
        counts_vary=True,
        reference=REFERENCE,
        obtain=OBTAIN,
        load=load_msls_val_all,
    ),
)
