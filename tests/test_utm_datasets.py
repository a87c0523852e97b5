"""Datasets whose file names say where, or which frame, a photo is: each on a miniature of the layouts that it comes in."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sameplace import datasets
from sameplace.datasets import amstertime, catalogue, nordland, pittsburgh, utm_sets
from sameplace.datasets.archive import Archive
from sameplace.datasets.dataset import Dataset
from sameplace.datasets.grid import WithinMetresOnGrid
from sameplace.datasets.listing import resolve
from sameplace.datasets.utm_folder import utm_images
from sameplace.errors import DatasetError
from sameplace.geo import LatLon, to_utm

PUBLISHED = {
    "st-lucia": (1_549, 1_464, "25 m"),
    "eynsham": (23_935, 23_935, "25 m"),
    "svox": (17_166, 14_278, "25 m"),
    "svox-night": (17_166, 823, "25 m"),
    "svox-overcast": (17_166, 872, "25 m"),
    "svox-rain": (17_166, 937, "25 m"),
    "svox-snow": (17_166, 870, "25 m"),
    "svox-sun": (17_166, 854, "25 m"),
    "sf-xl-test-v1": (2_805_840, 1_000, "25 m"),
    "sf-xl-test-v2": (2_805_840, 598, "25 m"),
    "sf-xl-test-night": (2_805_840, 466, "25 m"),
    "sf-xl-test-occlusion": (2_805_840, 76, "25 m"),
    "sf-xl-val": (8_015, 7_993, "25 m"),
    "nordland": (27_592, 27_592, "10 frames"),
    "nordland-subset": (27_592, 2_760, "1 frame"),
    "nordland-partitioned": (3_450, 3_450, "2 frames"),
    "amstertime": (1_231, 1_231, "same number"),
}
"""Database, queries and what is right, as published."""

ENTRIES = {entry.name: entry for entry in (*utm_sets.ENTRIES, *nordland.ENTRIES, *amstertime.ENTRIES)}
METRES = (0.0, 24.0, 24.99, 25.0, 25.01, 26.0)
FOLDERS = {
    "st-lucia": ("st_lucia/images/test", "database", "queries"),
    "eynsham": ("eynsham/images/test", "database", "queries"),
    "svox": ("svox/images/test", "gallery", "queries"),
    **{f"svox-{weather}": ("svox/images/test", "gallery", f"queries_{weather}") for weather in utm_sets.WEATHER},
    **{f"sf-xl-test-{kind}": ("sf_xl/processed/test", "database", f"queries_{kind}") for kind in utm_sets.SF_XL},
    "sf-xl-val": ("sf_xl/processed/val", "database", "queries"),
}
"""Where each set that is placed by its names lies."""

FRAMES = 25
"""Of the miniature of Nordland."""


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def named(east: float, north: float, zone: int = 56, letter: str = "J", panorama: str = "100909_0845_00001", tile: str = "") -> str:
    """A name as gmberton/VPR-datasets-downloader writes it: coordinates cut, not rounded."""
    cut_east, cut_north = (f"{int(value * 100 + 1e-6) / 100:010.2f}" for value in (east, north))
    lat = "-27.53000" if letter == "J" else "051.80000"
    return f"@{cut_east}@{cut_north}@{zone:02d}@{letter}@{lat}@0152.98000@{panorama}@{tile}@@@@@@@.jpg"


def placed(root: Path, name: str, metres: tuple[float, ...] = METRES) -> Path:
    folder, database, queries = FOLDERS[name]
    east, north = 496_000.5, 6_954_000.25
    touch(*(root / folder / database / named(east + at, north, panorama=f"p{place}") for place, at in enumerate(metres)))
    touch(
        root / folder / queries / named(east, north, panorama="q0"),
        root / folder / queries / named(east, north + 9000, panorama="q1"),
    )
    touch(root / folder / "queries_of_another_kind" / named(1.0, 1.0))
    return root


def frame_name(frame: int, every: int) -> str:
    """A name whose coordinates are none; its north has five digits, which is too few for the last frames of the subset."""
    return f"@0@{int(frame * 25 / (every + 0.5) * 10) / 10:07.1f}@@@@@{frame}@@@@@@@@.jpg"


def nordland_folders(root: Path, name: str = "nordland") -> Path:
    step, every = (10, 1) if name == "nordland" else (1, 10)
    folder = root / name.replace("-", "_") / "images/test"
    touch(*(folder / "database" / frame_name(frame, step) for frame in range(FRAMES)))
    touch(*(folder / "queries" / frame_name(frame, step) for frame in range(0, FRAMES, every)))
    return root


def nordland_seasons(root: Path) -> Path:
    """Frames whose numbers have gaps, with others that the list does not name, more of them in summer."""
    listed = [f"images-{number:05d}.png" for number in range(202, 202 + 3 * FRAMES, 3)]
    touch(*(root / season / image for season in ("summer", "winter") for image in listed))
    touch(*(root / "summer" / f"images-{number:05d}.png" for number in range(1, 90)), root / "winter" / "images-00003.png")
    (root / "cleanImageNames.txt").write_text("\n".join(listed) + "\n")
    return root


def nordland_partitioned(root: Path) -> Path:
    for season in ("summer", "winter"):
        for section, numbers in (("section1", range(90, 90 + FRAMES - 10)), ("section2", range(7, 17))):
            touch(*(root / f"test/{season}_images_test/{section}/{number}.png" for number in numbers))
    return root


def amstertime_pairs(root: Path) -> Path:
    touch(
        *(root / "new" / f"{number}.png" for number in (2, 10, 100)), *(root / "old" / f"{number}.jpg" for number in (2, 10, 100))
    )
    return root


def amstertime_folders(root: Path) -> Path:
    for side in ("database", "queries"):
        touch(*(root / "amstertime/images/test" / side / f"@0@{number * 1000}@@@@@{number}@@@@@@@@.jpg" for number in (2, 10, 100)))
    return root


def miniature(root: Path, name: str) -> tuple[Path, int, int]:
    """A miniature of a dataset, with how many database images and queries it has."""
    if name in FOLDERS:
        return placed(root, name), len(METRES), 2
    if name == "amstertime":
        return amstertime_pairs(root), 3, 3
    if name == "nordland-partitioned":
        return nordland_partitioned(root), FRAMES, FRAMES
    return nordland_folders(root, name), FRAMES, FRAMES if name == "nordland" else 3


def load(monkeypatch: pytest.MonkeyPatch, name: str, root: Path, *counts: int) -> Dataset:
    """A known dataset by name, its counts those of a miniature."""
    monkeypatch.setattr(catalogue, "KNOWN", (replace(ENTRIES[name], database=counts[0], queries=counts[1]),))
    return datasets.load(name, root=root)


def as_lists(rows: tuple[np.ndarray, ...]) -> list[list[int]]:
    return [row.tolist() for row in rows]


def within(frames: int, every: int = 1) -> list[list[int]]:
    """By brute force, which frames are near those that ask."""
    return [[frame for frame in range(FRAMES) if abs(frame - asked) <= frames] for asked in range(0, FRAMES, every)]


def test_every_dataset_has_its_published_counts_and_tolerance() -> None:
    assert {name: (entry.database, entry.queries) for name, entry in ENTRIES.items()} == {
        name: said[:2] for name, said in PUBLISHED.items()
    }
    for name, entry in ENTRIES.items():
        assert not entry.counts_vary
        assert PUBLISHED[name][2] in entry.protocol


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_dataset_is_in_the_catalogue(name: str) -> None:
    assert ENTRIES[name] in datasets.known()


def test_no_name_is_taken_twice() -> None:
    names = [entry.name for entry in datasets.known()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("change", [(1, 0), (-1, 0), (0, 1), (0, -1)])
def test_a_count_that_is_off_by_one_is_met_with_both_numbers(
    name: str, change: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, *found = miniature(tmp_path, name)
    expected = [count + more for count, more in zip(found, change, strict=True)]
    side = 0 if change[0] else 1
    with pytest.raises(
        DatasetError, match=f"expected {expected[side]} {('database images', 'queries')[side]}, found {found[side]}; get"
    ):
        load(monkeypatch, name, root, *expected)


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize("above", [False, True], ids=["itself", "the folder above"])
def test_right_is_what_is_within_25_metres_to_the_centimetre(
    name: str, above: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed(tmp_path, name)
    dataset = load(monkeypatch, name, tmp_path if above else tmp_path / FOLDERS[name][0].split("/")[0], len(METRES), 2)
    assert as_lists(dataset.positives()) == [[0, 1, 2, 3], []]
    assert as_lists(dataset.excluded()) == [[], []]
    assert {image.path.parent.name for image in dataset.queries} == {FOLDERS[name][2]}
    assert "right within 25 m on the UTM grid" in dataset.protocol
    assert [image.panorama for image in dataset.queries] == ["q0", "q1"]


def test_places_in_names_are_places_on_earth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = load(monkeypatch, "st-lucia", placed(tmp_path, "st-lucia"), len(METRES), 2)
    assert to_utm(dataset.queries[0].position)[:3] == pytest.approx((496_000.5, 6_954_000.25, 56), abs=1e-6)
    assert dataset.queries[0].position.lat < 0


coordinates = st.lists(st.tuples(st.integers(0, 9000), st.integers(0, 9000)), min_size=1, max_size=6, unique=True)


@given(coordinates, coordinates)
@settings(deadline=None, max_examples=25)
def test_what_is_right_on_the_grid_is_what_brute_force_finds(
    tmp_path_factory: pytest.TempPathFactory, database: list[tuple[int, int]], queries: list[tuple[int, int]]
) -> None:
    root = tmp_path_factory.mktemp("grid")
    for side, places in (("database", database), ("queries", queries)):
        for place, (east, north) in enumerate(places):  # whole centimetres, so that the oracle is exact
            touch(
                root / "val" / side / f"@06{east:05d}.{east % 100:02d}@57{north:05d}.{north % 100:02d}@30@U@@@{place}@@@@@@@@.jpg"
            )
    images, asked = utm_images(Archive("grid", root, "it"), (), "val")
    truth = WithinMetresOnGrid(25.0, asked.points, images.points)
    found = as_lists(truth.positives(asked.records, images.records))
    cents = [
        [tuple(int(cell.replace(".", "")) for cell in image.path.name.split("@")[1:3]) for image in side.records]
        for side in (asked, images)
    ]
    assert found == [
        [row for row, there in enumerate(cents[1]) if (here[0] - there[0]) ** 2 + (here[1] - there[1]) ** 2 <= 2500**2]
        for here in cents[0]
    ]


def test_the_same_coordinates_in_another_zone_are_another_place(tmp_path: Path) -> None:
    touch(tmp_path / "val/queries" / named(500_000.0, 5_700_000.0, 30, "U"))
    touch(*(tmp_path / "val/database" / named(500_000.0, 5_700_000.0, zone, "U") for zone in (30, 31)))
    database, queries = utm_images(Archive("zones", tmp_path, "it"), (), "val")
    truth = WithinMetresOnGrid(25.0, queries.points, database.points)
    assert as_lists(truth.positives(queries.records, database.records)) == [[0]]


def test_metres_on_the_grid_are_not_those_on_the_ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = load(monkeypatch, "st-lucia", placed(tmp_path, "st-lucia", (0.0, 25.0)), 2, 2)
    on_the_ground = datasets.WithinMetres(25.0).positives(dataset.queries, dataset.database)
    assert as_lists(dataset.positives())[0] == [0, 1]
    assert as_lists(on_the_ground)[0] == [0]


def test_pittsburgh_by_name_is_pittsburgh_by_list(tmp_path: Path) -> None:
    (entry,) = (entry for entry in pittsburgh.ENTRIES if entry.name == "pitts30k-test")
    folder = tmp_path / "pitts30k/images/test"
    for place, metres in enumerate(METRES):
        at = f"@{584_578.5 + metres:010.2f}@4477000.25@17@T@040.44000@-080.00000"
        touch(folder / "database" / f"{at}@{place:06d}@{place:02d}@@@@@@pitch1_yaw{place + 1}@.jpg")
    touch(folder / "queries" / "@0584578.50@4477000.25@17@T@040.44000@-080.00000@008021@00@@@@@@pitch1_yaw1@.jpg")
    dataset = entry.load(tmp_path)
    assert as_lists(dataset.positives()) == [[0, 1, 2, 3]]
    assert [image.panorama for image in dataset.database] == [f"{place:06d}" for place in range(len(METRES))]
    assert isinstance(dataset.queries[0].position, LatLon)


def test_msls_in_this_layout_is_the_list_of_11_thousand(tmp_path: Path) -> None:
    for place, (east, zone, letter) in enumerate(((346_000.5, 33, "U"), (551_000.5, 10, "S"))):
        touch(tmp_path / "msls/val/queries" / named(east, 4_180_000.5, zone, letter, panorama=f"key{place}"))
        touch(tmp_path / "msls/val/database" / named(east + 25, 4_180_000.5, zone, letter, panorama=f"other{place}"))
    dataset = utm_sets.load_msls_folder(tmp_path)
    assert dataset.name == "msls-val-11k"
    assert as_lists(dataset.positives()) == [[0], [1]]


@pytest.mark.parametrize("layout", [nordland_folders, nordland_seasons], ids=["names", "seasons"])
def test_nordland_is_right_within_ten_frames(
    layout: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = load(monkeypatch, "nordland", layout(tmp_path), FRAMES, FRAMES)
    assert as_lists(dataset.positives()) == within(10)
    assert "right within 10 frames" in dataset.protocol
    assert "queries winter, database summer" in dataset.protocol
    assert {image.path.parent.name for image in dataset.queries} <= {"winter", "queries"}


@pytest.mark.parametrize(
    "layout", [lambda root: nordland_folders(root, "nordland-subset"), nordland_seasons], ids=["names", "seasons"]
)
def test_the_subset_of_nordland_asks_with_every_tenth_frame(
    layout: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = load(monkeypatch, "nordland-subset", layout(tmp_path), FRAMES, 3)
    assert as_lists(dataset.positives()) == within(1, every=10)
    assert "within 1 frame" in dataset.protocol


def test_nordland_partitioned_counts_frames_over_its_sections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = load(monkeypatch, "nordland-partitioned", nordland_partitioned(tmp_path), FRAMES, FRAMES)
    assert as_lists(dataset.positives()) == within(2)
    assert dataset.queries[0].path == tmp_path / "test/winter_images_test/section1/90.png"
    assert dataset.database[-1].path == tmp_path / "test/summer_images_test/section2/16.png"


def test_frames_are_ordered_by_their_number_not_by_coordinates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for side in ("database", "queries"):
        touch(*(tmp_path / "nordland/images/test" / side / f"@0@{99 - frame}@@@@@{frame}@@@@@@@@.jpg" for frame in range(FRAMES)))
    dataset = load(monkeypatch, "nordland", tmp_path, FRAMES, FRAMES)
    for images in (dataset.database, dataset.queries):
        assert [int(image.path.name.split("@")[7]) for image in images] == list(range(FRAMES))


def test_frames_of_a_season_are_those_listed_in_order_of_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = load(monkeypatch, "nordland", nordland_seasons(tmp_path), FRAMES, FRAMES)
    for images in (dataset.database, dataset.queries):
        assert [int(image.path.stem[-5:]) for image in images] == list(range(202, 202 + 3 * FRAMES, 3))


@pytest.mark.parametrize("layout", [amstertime_pairs, amstertime_folders], ids=["pairs", "names"])
def test_amstertime_pairs_photos_by_number(layout: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = load(monkeypatch, "amstertime", layout(tmp_path), 3, 3)
    assert as_lists(dataset.positives()) == [[0], [1], [2]]
    for database, query in zip(dataset.database, dataset.queries, strict=True):
        assert database.path.stem == query.path.stem
        assert query.path.parent.name in ("old", "queries")


def away(path: str) -> Callable[[Path], object]:
    return lambda root: (root / path).rename(root / "put_away")


def empty(path: str) -> Callable[[Path], object]:
    return lambda root: [file.unlink() for file in (root / path).iterdir()]


def more(path: str) -> Callable[[Path], object]:
    return lambda root: touch(root / path)


WINTER = "nordland/images/test/queries"


@pytest.mark.parametrize(
    ("name", "make", "break_it", "cure"),
    [
        ("st-lucia", placed, away("st_lucia"), "expected a folder images/test/database, found none"),
        (
            "svox-rain",
            placed,
            away("svox/images/test/queries_rain"),
            "expected a folder queries_rain in svox/images/test, found gallery",
        ),
        ("eynsham", placed, more("eynsham/images/test/database/plain.jpg"), r"names like @east.*found plain\.jpg"),
        ("eynsham", placed, more("eynsham/images/test/database/@9@9@99@U@.jpg"), r"names like @east.*found @9@9"),
        ("sf-xl-val", placed, empty("sf_xl/processed/val/queries"), r"expected images in .*queries, found none"),
        ("nordland", nordland_folders, away(f"{WINTER}/{frame_name(7, 10)}"), r"\(frame 7 is missing\)"),
        ("nordland", nordland_folders, more(f"{WINTER}/winter.jpg"), r"found winter\.jpg"),
        ("nordland", nordland_seasons, away("winter/images-00205.png"), r"found 24 \(images-00205\.png is missing\)"),
        ("nordland", nordland_seasons, away("cleanImageNames.txt"), r"expected cleanImageNames\.txt, found none"),
        ("nordland", nordland_seasons, away("winter"), "expected a folder winter, found none"),
        (
            "nordland-partitioned",
            nordland_partitioned,
            away("test/winter_images_test"),
            "a folder test/winter_images_test, found none",
        ),
        ("amstertime", amstertime_pairs, away("old/10.jpg"), "a new photo for each old one, found only a new one of number 10"),
        ("amstertime", amstertime_folders, more("amstertime/images/test/queries/a.jpg"), r"found a\.jpg"),
    ],
)
def test_what_is_missing_is_named_in_one_sentence(
    name: str,
    make: Callable[..., Path],
    break_it: Callable[[Path], object],
    cure: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    break_it(make(tmp_path, name) if make is placed else make(tmp_path))
    with pytest.raises(DatasetError, match=cure) as caught:
        load(monkeypatch, name, tmp_path, 1, 1)
    assert str(tmp_path) in str(caught.value)
    assert f"get {ENTRIES[name].obtain}." in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_may_have_another_suffix_only_where_that_is_allowed(tmp_path: Path) -> None:
    touch(tmp_path / "000/a.png", tmp_path / "b.jpg")
    assert resolve(tmp_path, ["000/a.jpg", "b.jpg"], what="images", obtain="it", suffixes=(".png",)) == (
        tmp_path / "000/a.png",
        tmp_path / "b.jpg",
    )
    with pytest.raises(DatasetError, match=r"expected 2 images, found 1 \(000/a.jpg is missing\); get it\."):
        resolve(tmp_path, ["000/a.jpg", "b.jpg"], what="images", obtain="it")


def test_a_damaged_list_of_frames_is_told_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (nordland_seasons(tmp_path) / "cleanImageNames.txt").write_bytes(b"images-\xff")
    with pytest.raises(DatasetError, match=r"expected text in cleanImageNames\.txt, found a byte that is none, number 7 .*; get "):
        load(monkeypatch, "nordland", tmp_path, FRAMES, FRAMES)
