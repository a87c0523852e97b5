"""Datasets that a MATLAB file lists: both shapes of dbStruct, Pittsburgh and Tokyo, on miniatures of the layouts they come in."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from sameplace import datasets
from sameplace.datasets import catalogue, pittsburgh, tokyo
from sameplace.datasets.dataset import Dataset
from sameplace.datasets.matlab import read_image_lists
from sameplace.errors import DatasetError, MissingExtra
from sameplace.geo import to_utm

PUBLISHED = {
    "pitts30k-train": (10_000, 7_416, 25),
    "pitts30k-val": (10_000, 7_608, 25),
    "pitts30k-test": (10_000, 6_816, 25),
    "pitts250k-train": (91_464, 7_824, 25),
    "pitts250k-val": (78_648, 7_608, 25),
    "pitts250k-test": (83_952, 8_280, 25),
    "tokyo-247": (75_984, 315, 25),
    "tokyo-247-all": (75_984, 315, 25),
    "tokyo-247-day": (75_984, 105, 25),
    "tokyo-247-sunset": (75_984, 105, 25),
    "tokyo-247-night": (75_984, 105, 25),
    "tokyo-time-machine-train": (49_104, 7_277, 25),
    "tokyo-time-machine-val": (49_056, 7_186, 25),
}
"""Database, queries and metres, as published."""

ENTRIES = {entry.name: entry for entry in (*pittsburgh.ENTRIES, *tokyo.ENTRIES)}
METRES = (0.0, 24.0, 24.99, 25.0, 25.01, 26.0)
"""How far the database images of each miniature are from its queries, to the east."""
PITTSBURGH = (584_578.5, 4_477_000.25)
TOKYO = (386_000.5, 3_950_000.25)
TOKYO_QUERIES = (448, 449, 450, 685, 686, 687, 730, 731, 732)
"""Original numbers of queries: what light they were taken in does not follow from their place in this list."""

Places = Sequence[tuple[float, float]]


def cells(names: Sequence[str]) -> np.ndarray:
    array = np.empty((len(names), 1), object)
    array[:, 0] = names
    return array


def struct(
    path: Path, database: dict, queries: dict, times: tuple[list[float], list[float]] | None = None, **changed: object
) -> Path:
    """NetVLAD's shape: a struct, coordinates 2 x N; with two fields more in the middle where there are times."""
    fields: dict[str, object] = {"whichSet": "test"}
    fields |= {"dbImageFns": cells(list(database)), "utmDb": np.array(list(database.values())).T}
    fields |= {"dbTimeStamp": np.array([times[0]])} if times else {}
    fields |= {"qImageFns": cells(list(queries)), "utmQ": np.array(list(queries.values())).T}
    fields |= {"qTimeStamp": np.array([times[1]])} if times else {}
    fields |= {"numImages": len(database), "numQueries": len(queries)}
    fields |= {"posDistThr": 25, "posDistSqThr": 625, "nonTrivPosDistSqThr": 100}
    fields = {name: value for name, value in (fields | changed).items() if value is not None}
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"dbStruct": fields}, do_compression=True)
    return path


def row_of_cells(path: Path, database: dict, queries: dict, radius: float = 50.0) -> Path:
    """HEAPUtil's shape: eight cells without names, letters padded with blanks, coordinates N x 2."""
    row = np.empty((1, 8), object)
    parts = [part for side in (database, queries) for part in (np.array(list(side)), np.array(list(side.values())))]
    for place, part in enumerate([*parts, len(database), len(queries), radius, radius**2]):
        row[0, place] = part
    savemat(path, {"dbStruct": row})
    return path


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def east_of(origin: tuple[float, float], metres: float) -> tuple[float, float]:
    return origin[0] + metres, origin[1]


def load(monkeypatch: pytest.MonkeyPatch, name: str, root: Path, *counts: int) -> Dataset:
    """A known dataset by name, its counts those of a miniature."""
    entry = replace(ENTRIES[name], database=counts[0], queries=counts[1])
    monkeypatch.setattr(catalogue, "KNOWN", (entry,))
    return datasets.load(name, root=root)


def as_lists(rows: tuple[np.ndarray, ...]) -> list[list[int]]:
    return [row.tolist() for row in rows]


def pitts(
    root: Path, name: str, images: str = "", queries: str = "queries_real", mats: str = "datasets", **changed: object
) -> Path:
    """Six tiles of two panoramas, and two queries; the second is far from everything."""
    size, split = name.split("-")
    tiles = {
        f"00{tile % 2}/00{tile % 2}01{tile % 2}_pitch1_yaw{tile + 1}.jpg": east_of(PITTSBURGH, at) for tile, at in enumerate(METRES)
    }
    asked = {"008/008021_pitch1_yaw1.jpg": PITTSBURGH, "008/008021_pitch2_yaw12.jpg": east_of(PITTSBURGH, 5000.0)}
    touch(*(root / images / tile for tile in tiles), *(root / queries / query for query in asked))
    struct(root / mats / f"{size}_{split}.mat", tiles, asked, **changed)
    return root


def tokyo_247(root: Path, images: str = "images", queries: str = "query", mats: str = "") -> Path:
    """Panoramas of 12 tiles, whose files are PNG though the list says JPEG; the first image of each metre is near."""
    tiles = {
        f"0381{panorama}/381404/panorama{panorama:014d}_012_{yaw:03d}.jpg": east_of(TOKYO, metres)
        for panorama, metres in enumerate(METRES)
        for yaw in range(0, 360, 30)
    }
    asked = {f"{number:05d}.jpg": TOKYO for number in TOKYO_QUERIES[1:]}
    asked |= {f"{TOKYO_QUERIES[0]:05d}.jpg": TOKYO}
    touch(*((root / images / tile).with_suffix(".png") for tile in tiles), *(root / queries / query for query in asked))
    struct(root / mats / "tokyo247.mat", tiles, asked)
    return root


def time_machine(root: Path, name: str, **changed: object) -> Path:
    """A place seen in two years, from which queries are taken, too."""
    split = name.rpartition("-")[2]
    tiles = {
        f"00/place{place}/{year}/tile_000.jpg": east_of(TOKYO, metres)
        for place, metres in enumerate(METRES)
        for year in (2009, 2013)
    }
    asked = {"00/place0/2009/tile_000.jpg": TOKYO, "00/place0/2013/tile_000.jpg": TOKYO}
    touch(*(root / "images" / tile for tile in tiles))
    times = [734_000.5 if "2009" in tile else 735_500.5 for tile in tiles], [734_000.5, 735_500.5]
    struct(root / f"tokyoTM_{split}.mat", tiles, asked, times, **changed)
    return root


def miniature(root: Path, name: str) -> tuple[Path, int, int]:
    """A miniature of a dataset, with how many database images and queries it has."""
    if name.startswith("pitts"):
        return pitts(root, name), len(METRES), 2
    if "time-machine" in name:
        return time_machine(root, name), 2 * len(METRES), 2
    return tokyo_247(root), 12 * len(METRES), PUBLISHED[name][1] * len(TOKYO_QUERIES) // 315


def test_every_dataset_has_its_published_counts() -> None:
    assert {name: (entry.database, entry.queries) for name, entry in ENTRIES.items()} == {
        name: counts[:2] for name, counts in PUBLISHED.items()
    }
    assert not any(entry.counts_vary for entry in ENTRIES.values())


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_dataset_is_in_the_catalogue(name: str) -> None:
    assert ENTRIES[name] in datasets.known()


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_radius_is_right_to_the_centimetre(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = load(monkeypatch, name, *miniature(tmp_path, name))
    radius = PUBLISHED[name][2]
    east = np.array([to_utm(image.position)[0] for image in dataset.database])
    asked = np.array([to_utm(image.position)[0] for image in dataset.queries])
    for query, rows in enumerate(dataset.positives()):
        assert rows.tolist() == np.flatnonzero(np.abs(east - asked[query]) < radius + 1e-4).tolist()
    assert f"right within {radius} m on the UTM grid" in dataset.protocol
    assert f"right within {radius} m on the UTM grid" in ENTRIES[name].protocol


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("change", [(1, 0), (-1, 0), (0, 1), (0, -1)])
def test_a_count_that_is_off_by_one_is_met_with_both_numbers(
    name: str, change: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, *found = miniature(tmp_path, name)
    expected = [count + more for count, more in zip(found, change, strict=True)]
    what = "database images" if change[0] else "queries"
    side = 0 if change[0] else 1
    with pytest.raises(DatasetError, match=f"expected {expected[side]} {what}, found {found[side]}; get the images"):
        load(monkeypatch, name, root, *expected)


@pytest.mark.parametrize(
    ("images", "queries", "mats"),
    [
        ("", "queries_real", "datasets"),
        ("images", "queries", ""),
        ("raw/Pittsburgh/images", "raw/Pittsburgh/queries", "raw"),
        ("raw_data", "raw_data/queries_real", "raw_data/datasets"),
    ],
    ids=["authors", "NetVLAD", "OpenIBL", "downloader"],
)
@pytest.mark.parametrize("above", [False, True], ids=["itself", "the folder above"])
def test_pittsburgh_is_found_in_every_layout(
    images: str, queries: str, mats: str, above: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = pitts(tmp_path / "Pittsburgh250k" if above else tmp_path, "pitts30k-val", images, queries, mats)
    dataset = load(monkeypatch, "pitts30k-val", tmp_path, 6, 2)
    assert dataset.database[1].path == root / images / "001/001011_pitch1_yaw2.jpg"
    assert dataset.queries[0].path == root / queries / "008/008021_pitch1_yaw1.jpg"
    assert as_lists(dataset.positives()) == [[0, 1, 2, 3], []]


def test_pittsburgh_knows_the_panorama_of_a_tile_and_leaves_nothing_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = load(monkeypatch, "pitts30k-test", pitts(tmp_path, "pitts30k-test"), 6, 2)
    assert [image.panorama for image in dataset.database] == ["000010", "001011"] * 3
    assert {image.panorama for image in dataset.queries} == {"008021"}
    assert as_lists(dataset.excluded()) == [[], []]
    assert not dataset.one_per_panorama
    assert round(dataset.database[0].position.lat, 1) == 40.4


def utm_tokyo(root: Path) -> Path:
    """The miniature of Tokyo 24/7 with its places in the names, where files are sorted by coordinates."""
    for panorama, metres in enumerate(METRES):
        east, north = east_of(TOKYO, metres)
        for tile in range(12):
            name = f"@{east:010.2f}@{north:010.2f}@54@S@035.68000@0139.70000@panorama{panorama:014d}@{tile:02d}@@@@@@@.jpg"
            touch(root / "tokyo247/images/test/database" / name)
    for place, number in enumerate(TOKYO_QUERIES):  # against the order of their numbers
        east, north = east_of(TOKYO, -place * 1000.0)
        name = f"@{east:010.2f}@{north:010.2f}@54@S@035.68000@0139.70000@{number:05d}.jpg@@@@@@@@.jpg"
        touch(root / "tokyo247/images/test/queries" / name)
    return root


@pytest.mark.parametrize("layout", [tokyo_247, utm_tokyo], ids=["mat", "names"])
@pytest.mark.parametrize(("light", "numbers"), [("day", [448, 685, 730]), ("sunset", [449, 686, 731]), ("night", [450, 687, 732])])
def test_the_light_of_a_tokyo_query_follows_from_its_number(
    layout: Callable[[Path], Path], light: str, numbers: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = load(monkeypatch, f"tokyo-247-{light}", layout(tmp_path), 72, 3)
    names = [image.panorama or image.path.name for image in dataset.queries]
    assert sorted(int(name[:5]) for name in names) == numbers
    assert f"queries by {light}" in dataset.protocol


@pytest.mark.parametrize("layout", [tokyo_247, utm_tokyo], ids=["mat", "names"])
def test_of_each_tokyo_panorama_one_image_counts_or_all_do(
    layout: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout(tmp_path)
    one = load(monkeypatch, "tokyo-247", tmp_path, 72, 9)
    every = load(monkeypatch, "tokyo-247-all", tmp_path, 72, 9)
    assert (one.one_per_panorama, every.one_per_panorama) == (True, False)
    assert "the best image of each panorama counts" in one.protocol
    assert "all tiles of a panorama count" in every.protocol
    panoramas = [image.panorama for image in one.database]
    assert panoramas == [f"panorama{row // 12:014d}" for row in range(72)]


@pytest.mark.parametrize(
    ("images", "queries", "mats"),
    [
        ("images", "query", ""),
        ("raw/Tokyo247/images", "raw/Tokyo247/query", "raw"),
        ("raw_data/tokyo247", "raw_data/tokyo247/247query_subset_v2", "raw_data/datasets"),
        ("", "247query_subset_v2", "datasets"),
    ],
    ids=["NetVLAD", "OpenIBL", "downloader", "as unpacked"],
)
def test_tokyo_is_found_in_every_layout(
    images: str, queries: str, mats: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokyo_247(tmp_path / "tokyo247", images, queries, mats)
    dataset = load(monkeypatch, "tokyo-247", tmp_path, 72, 9)
    assert dataset.database[0].path == tmp_path / "tokyo247" / images / "03810/381404/panorama00000000000000_012_000.png"
    assert dataset.queries[-1].path == tmp_path / "tokyo247" / queries / "00448.jpg"
    assert as_lists(dataset.positives())[0] == list(range(48))


def test_a_time_machine_query_does_without_its_own_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "tokyo-time-machine-val"
    dataset = load(monkeypatch, name, time_machine(tmp_path, name), 12, 2)
    assert as_lists(dataset.excluded()) == [[0, 2, 4, 6, 8, 10], [1, 3, 5, 7, 9, 11]]
    assert "does without images of its own time stamp" in dataset.protocol
    assert dataset.database[0].panorama == dataset.queries[0].panorama != dataset.database[1].panorama


@pytest.mark.parametrize("lost", ["dbTimeStamp", "qTimeStamp"])
def test_a_time_machine_without_times_is_refused(lost: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "tokyo-time-machine-train"
    with pytest.raises(
        DatasetError, match=r"expected the fields dbTimeStamp and qTimeStamp in tokyoTM_train\.mat, found none; get"
    ):
        load(monkeypatch, name, time_machine(tmp_path, name, **{lost: None}), 12, 2)


@pytest.mark.parametrize(
    ("break_it", "cure"),
    [
        (lambda root: (root / "datasets/pitts30k_test.mat").unlink(), "expected a file pitts30k_test.mat beside the images, or"),
        (lambda root: [path.unlink() for path in (root / "001").iterdir()], r"expected 6 database images .*found 3 \(001/001011"),
        (
            lambda root: (root / "queries_real").rename(root / "other"),
            "expected 2 queries in queries_real or queries, such as 008/",
        ),
        (
            lambda root: (root / "queries_real/008/008021_pitch2_yaw12.jpg").unlink(),
            r"found 1 \(008/008021_pitch2_yaw12.jpg is missing\)",
        ),
    ],
    ids=["no mat", "half-unpacked", "no queries", "one missing query"],
)
def test_what_is_missing_of_pittsburgh_is_named(
    break_it: Callable[[Path], object], cure: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_it(pitts(tmp_path, "pitts30k-test"))
    with pytest.raises(DatasetError, match=cure) as caught:
        load(monkeypatch, "pitts30k-test", tmp_path, 6, 2)
    assert str(tmp_path) in str(caught.value)
    assert "get the images from A. Torii" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_root_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DatasetError, match=r"pitts30k-test .*nowhere.* no such folder; get the images"):
        load(monkeypatch, "pitts30k-test", tmp_path / "nowhere", 6, 2)


@pytest.mark.parametrize(
    ("changed", "cure"),
    [
        ({"utmDb": np.zeros((6, 2))}, r"shape \(2, 6\) were expected for 6 names, found \(6, 2\)"),
        ({"utmQ": np.zeros((2, 3))}, r"shape \(2, 2\) were expected for 2 names, found \(2, 3\)"),
        ({"utmDb": np.full((2, 6), np.nan)}, "no numbers"),
        ({"utmDb": np.full((2, 6), -7.0)}, "UTM coordinates in zone 17 for 000010_pitch1_yaw1.jpg, found -7.0 east"),
        ({"qImageFns": None}, "expected to have qImageFns, and has whichSet, dbImageFns"),
        ({"qImageFns": cells(["", ""])}, "names are empty"),
        ({"posDistThr": "far"}, "not whole"),
    ],
    ids=["transposed", "too many", "no numbers", "off the grid", "no queries", "no names", "no radius"],
)
def test_a_struct_that_is_not_whole_is_met_with_what_was_expected(
    changed: dict[str, object], cure: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DatasetError, match=cure) as caught:
        load(monkeypatch, "pitts30k-test", pitts(tmp_path, "pitts30k-test", **changed), 6, 2)
    assert "get the images from A. Torii" in str(caught.value)


names = st.lists(st.from_regex(r"[a-z]{1,3}/[A-Za-z0-9_-]{1,12}\.jpg", fullmatch=True), min_size=1, max_size=6, unique=True)
metre = st.floats(-1e7, 1e7, allow_subnormal=False)


@given(names, names, st.data())
@settings(deadline=None, max_examples=25)
def test_both_shapes_say_the_same(
    tmp_path_factory: pytest.TempPathFactory, database: list[str], queries: list[str], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("shapes")
    sides = [{name: (data.draw(metre), data.draw(metre)) for name in side} for side in (database, queries)]
    first = read_image_lists(struct(folder / "struct.mat", *sides), "it")
    second = read_image_lists(row_of_cells(folder / "cells.mat", *sides), "it")
    for lists in (first, second):
        assert lists.database == tuple(database)
        assert lists.queries == tuple(queries)
        assert lists.database_at.tolist() == [list(at) for at in sides[0].values()]
        assert lists.queries_at.tolist() == [list(at) for at in sides[1].values()]
    assert (first.radius, second.radius) == (25.0, 50.0)


def test_the_times_of_the_time_machine_do_not_shift_its_other_fields(tmp_path: Path) -> None:
    sides = {"a.jpg": (1.0, 2.0), "b.jpg": (3.0, 4.0)}, {"q.jpg": (5.0, 6.0)}
    lists = read_image_lists(struct(tmp_path / "times.mat", *sides, ([7.0, 8.0], [9.0])), "it")
    assert lists.queries == ("q.jpg",)
    assert lists.queries_at.tolist() == [[5.0, 6.0]]
    assert (lists.database_times.tolist(), lists.queries_times.tolist()) == ([7.0, 8.0], [9.0])


def test_a_mat_file_that_is_damaged_is_refused_wherever_it_was_cut_off(tmp_path: Path) -> None:
    whole = struct(tmp_path / "whole.mat", {"a.jpg": (1.0, 2.0)}, {"q.jpg": (5.0, 6.0)}).read_bytes()
    for length in range(0, len(whole) - 1, 7):
        (tmp_path / "cut.mat").write_bytes(whole[:length])
        with pytest.raises(DatasetError, match=r"cut\.mat.*get it\."):
            read_image_lists(tmp_path / "cut.mat", "it")


@pytest.mark.parametrize(
    ("variables", "cure"),
    [
        ({"other": 1.0}, "expected to hold dbStruct"),
        ({"dbStruct": np.zeros((2, 3))}, "expected as a struct, or as a row of 8 cells"),
        ({"dbStruct": np.empty((1, 7), object)}, "expected as a struct, or as a row of 8 cells"),
    ],
)
def test_a_mat_file_of_something_else_is_refused(variables: dict[str, object], cure: str, tmp_path: Path) -> None:
    for value in variables.values():
        if isinstance(value, np.ndarray) and value.dtype == object:
            value[:] = 1.0
    savemat(tmp_path / "other.mat", variables)
    with pytest.raises(DatasetError, match=cure):
        read_image_lists(tmp_path / "other.mat", "it")


def test_a_mat_file_of_matlab_7_3_is_refused_in_one_sentence(tmp_path: Path) -> None:
    header = b"MATLAB 7.3 MAT-file".ljust(116) + bytes(8) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n" + bytes(512)
    (tmp_path / "new.mat").write_bytes(header)
    with pytest.raises(DatasetError, match=r"expected to be a MATLAB file.*get it\."):
        read_image_lists(tmp_path / "new.mat", "it")


def test_without_scipy_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = struct(tmp_path / "a.mat", {"a.jpg": (1.0, 2.0)}, {"q.jpg": (5.0, 6.0)})
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(MissingExtra, match=r"pip install 'sameplace\[benchmarks\]'"):
        read_image_lists(path, "it")
