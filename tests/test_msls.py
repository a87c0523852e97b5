"""Mapillary Street-level Sequences in the layouts of its authors and of those who share its lists, written here small."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sameplace import datasets
from sameplace.datasets import catalogue
from sameplace.errors import DatasetError
from sameplace.geo import LatLon

# Per city: database images stand at 0, 10, 20 ... m; one is a panorama. Queries: (name, metres, panorama, in the subtask).
EAST = {"cph": 3.4e5, "sf": 5.5e5}
NORTH = {"cph": 6.17e6, "sf": 4.18e6}
QUERIES = (
    ("at", 0.0, False, True),
    ("edge", -25.0, False, True),
    ("far", -25.5, False, True),
    ("round", 0.0, True, True),
    ("other", 0.0, False, False),
)


def write_table(path: Path, rows: list[dict[str, object]]) -> None:
    """As pandas writes it: a nameless index first."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["", *rows[0]])
        writer.writeheader()
        for number, row in enumerate(rows):
            writer.writerow({"": number, **row})


def side(folder: Path, city: str, images: list[tuple[str, float, bool, bool]]) -> None:
    (folder / "images").mkdir(parents=True)
    keys = [f"{city}_{name}" for name, *_ in images]
    for key in keys:
        (folder / "images" / f"{key}.jpg").touch()
    subtasks = ("s2w", "w2s", "o2n", "n2o", "d2n", "n2d")
    tables = {
        "raw": [
            {"key": key, "lon": 12.5, "lat": 55.6, "ca": "271.5", "captured_at": "2018-06-01", "pano": pano}
            for key, (_, _, pano, _) in zip(keys, images, strict=True)
        ],
        "postprocessed": [
            {
                "key": key,
                "easting": EAST[city] + at,
                "northing": NORTH[city],
                "unique_cluster": 3,
                "control_panel": False,
                "night": False,
                "view_direction": "Forward",
            }
            for key, (_, at, _, _) in zip(keys, images, strict=True)
        ],
        "subtask_index": [
            {"key": key, "all": official, **dict.fromkeys(subtasks, False)}
            for key, (_, _, _, official) in zip(keys, images, strict=True)
        ],
        "seq_info": [{"key": key, "sequence_key": "one", "frame_number": number} for number, key in enumerate(keys)],
    }
    for name, rows in tables.items():
        write_table(folder / f"{name}.csv", rows)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for city in ("cph", "sf"):
        database = [(f"d{number}", 10.0 * number, number == 5, True) for number in range(10)]
        side(tmp_path / "train_val" / city / "database", city, database)
        side(tmp_path / "train_val" / city / "query", city, list(QUERIES))
    return tmp_path


@pytest.fixture(autouse=True)
def smaller_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [replace(entry, database=18, queries=4) if entry.name == "msls-val" else entry for entry in catalogue.KNOWN]
    monkeypatch.setattr(catalogue, "KNOWN", tuple(entries))


def test_counts_are_the_published_ones() -> None:
    entries = {entry.name: entry for family in catalogue.FAMILIES for entry in family}
    assert (entries["msls-val"].database, entries["msls-val"].queries) == (18_871, 740)
    assert (entries["msls-val-11k"].database, entries["msls-val-11k"].queries) == (18_871, 11_084)
    assert not entries["msls-val"].counts_vary
    assert entries["msls-val-11k"].counts_vary


def test_official_queries_are_answerable_and_no_panoramas(root: Path) -> None:
    dataset = datasets.load("msls-val", root=root)
    assert [record.path.stem for record in dataset.queries] == ["cph_at", "cph_edge", "sf_at", "sf_edge"]
    assert len(dataset.database) == 18
    assert "cph_d5" not in {record.path.stem for record in dataset.database}
    assert [rows.tolist() for rows in dataset.positives()] == [[0, 1, 2], [0], [9, 10, 11], [9]]
    assert "right within 25 m" in dataset.protocol
    assert "both cities are searched together" in dataset.protocol


def test_the_other_list_has_every_query_that_is_no_panorama(root: Path) -> None:
    dataset = datasets.load("msls-val-11k", root=root)
    assert [record.path.stem for record in dataset.queries[:4]] == ["cph_at", "cph_edge", "cph_far", "cph_other"]
    assert [rows.tolist() for rows in dataset.positives()[:4]] == [[0, 1, 2], [0], [], [0, 1, 2]]
    assert "every query that is no panorama" in dataset.protocol


def test_images_know_where_they_were_taken_and_where_they_looked(root: Path) -> None:
    record = datasets.load("msls-val", root=root).queries[0]
    assert record.position == LatLon(55.6, 12.5)
    assert record.heading_deg == 271.5


@pytest.mark.parametrize("name", ["msls-val", "msls-val-11k"])
@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ("train_val/sf/query/images/sf_edge.jpg", "5 images.*found 4.*sf_edge.jpg is missing"),
        ("train_val/cph/database/images/cph_d9.jpg", "10 images.*found 9.*cph_d9.jpg is missing"),
        ("train_val/sf/database/raw.csv", "expected a file train_val/sf/database/raw.csv, found none"),
        ("train_val/cph/query/postprocessed.csv", "expected train_val/cph/query/postprocessed.csv, found none"),
    ],
)
def test_what_is_missing_is_named(name: str, gone: str, said: str, root: Path) -> None:
    (root / gone).unlink()
    with pytest.raises(DatasetError, match=f"{said}.*; get Mapillary"):
        datasets.load(name, root=root)


def test_tables_that_do_not_belong_together_are_refused(root: Path) -> None:
    folder = root / "train_val" / "cph" / "query"
    table = (folder / "raw.csv").read_text()
    (folder / "raw.csv").write_text(table.replace("cph_far", "cph_near"))
    with pytest.raises(DatasetError, match="cph_far beside cph_near"):
        datasets.load("msls-val", root=root)
    (folder / "raw.csv").write_text(table[: table.index("4,cph_other")])
    with pytest.raises(DatasetError, match="tables of one length in train_val/cph/query, found 5 and 4 and 5"):
        datasets.load("msls-val", root=root)
    (folder / "raw.csv").write_text(table.replace("pano", "panorama"))
    with pytest.raises(DatasetError, match="expected columns of Mapillary's tables in train_val/cph/query, found 'pano'"):
        datasets.load("msls-val", root=root)


def test_other_counts_than_the_official_ones_are_refused(root: Path) -> None:
    folder = root / "train_val" / "cph" / "query"
    table = (folder / "subtask_index.csv").read_text()
    (folder / "subtask_index.csv").write_text(table.replace("4,cph_other,False", "4,cph_other,True"))
    with pytest.raises(DatasetError, match="expected 4 queries, found 5; get Mapillary"):
        datasets.load("msls-val", root=root)


@pytest.mark.parametrize("names", [("dbImages", "qImages", "pIdx"), ("ref_image_names", "query_image_names", "ground_truth_25m")])
def test_shared_lists_say_the_same_as_the_tables(names: tuple[str, str, str], root: Path) -> None:
    expected = datasets.load("msls-val", root=root)
    queries = expected.queries
    if names[1] == "qImages":  # this form lists queries that are not asked, too
        queries = (expected.database[0], *queries)
        np.save(root / "msls_val_qIdx.npy", np.arange(1, 5))
    for name, records in zip(names, (expected.database, queries), strict=False):
        np.save(root / f"msls_val_{name}.npy", np.array([record.path.relative_to(root).as_posix() for record in records]))
    lists = np.empty(4, object)
    lists[:] = expected.positives()
    np.save(root / f"msls_val_{names[2]}.npy", lists, allow_pickle=True)
    for table in root.glob("train_val/*/*/*.csv"):
        table.unlink()
    dataset = datasets.load("msls-val", root=root)
    assert [record.path for record in dataset.queries] == [record.path for record in expected.queries]
    assert [record.path for record in dataset.database] == [record.path for record in expected.database]
    assert [rows.tolist() for rows in dataset.positives()] == [rows.tolist() for rows in expected.positives()]
    (root / "train_val" / "sf" / "query" / "images" / "sf_at.jpg").unlink()
    with pytest.raises(DatasetError, match=r"found 3 \(train_val/sf/query/images/sf_at\.jpg is missing\)"):
        datasets.load("msls-val", root=root)


def test_the_other_list_is_also_read_from_names_with_coordinates(tmp_path: Path) -> None:
    for folder, east in (("database", 339_900), ("queries", 339_920)):
        (tmp_path / "msls" / "val" / folder).mkdir(parents=True)
        name = f"@0{east}.00@6170000.00@33@U@055.67000@0012.50000@key{east}@@@@@@20180601@day_forward_cph@.jpg"
        (tmp_path / "msls" / "val" / folder / name).touch()
    dataset = datasets.load("msls-val-11k", root=tmp_path)
    assert [rows.tolist() for rows in dataset.positives()] == [[0]]


def test_an_empty_root_is_told_in_one_sentence(tmp_path: Path) -> None:
    for name in ("msls-val", "msls-val-11k"):
        with pytest.raises(DatasetError, match=r"expected train_val/cph/query/postprocessed\.csv, found none.*; get Mapillary"):
            datasets.load(name, root=tmp_path)


def test_empty_tables_are_refused(root: Path) -> None:
    for table in (root / "train_val" / "cph" / "query").glob("*.csv"):
        table.write_text("")
    with pytest.raises(DatasetError, match="expected rows in the tables of train_val/cph/query, found none; get Mapillary"):
        datasets.load("msls-val", root=root)


@pytest.mark.parametrize("table", ["postprocessed", "raw", "subtask_index"])
def test_a_row_that_is_cut_is_refused(table: str, root: Path) -> None:
    path = root / "train_val" / "sf" / "query" / f"{table}.csv"
    text = path.read_text().rstrip()
    path.write_text(text[: text.rindex(",")])
    with pytest.raises(DatasetError, match=rf"expected whole rows in train_val/sf/query/{table}\.csv, found row 5 cut short; get "):
        datasets.load("msls-val", root=root)


def test_tables_without_keys_or_of_damaged_bytes_are_refused(root: Path) -> None:
    path = root / "train_val" / "cph" / "query" / "postprocessed.csv"
    text = path.read_text()
    path.write_text(text.replace("key", "name", 1))
    with pytest.raises(DatasetError, match="expected columns of Mapillary's tables in train_val/cph/query, found 'key'; get "):
        datasets.load("msls-val", root=root)
    path.write_bytes(b"\xff" + text.encode())
    with pytest.raises(DatasetError, match=r"expected text in train_val/cph/query/postprocessed\.csv, found a byte .*; get "):
        datasets.load("msls-val", root=root)


def test_shared_lists_that_are_empty_are_refused(tmp_path: Path) -> None:
    for name in ("dbImages", "qImages"):
        np.save(tmp_path / f"msls_val_{name}.npy", np.array([], dtype=str))
    np.save(tmp_path / "msls_val_qIdx.npy", np.arange(0))
    with pytest.raises(DatasetError, match="expected a list of database images, found an empty one; get Mapillary"):
        datasets.load("msls-val", root=tmp_path)
