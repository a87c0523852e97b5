"""Folders and benchmarks as datasets: what is right, what is left out, and what is wrong with a set that is not whole."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from time import process_time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sameplace import datasets
from sameplace.datasets import Dataset, LeaveOut, Listed, Relevant, WithinFrames, WithinMetres, WithinMetresOf, catalogue
from sameplace.datasets.truth import near
from sameplace.errors import DatasetError, PositionError
from sameplace.geo import LatLon, LocalPoint
from sameplace.images import ImageRecord, View, seconds_between


def photo(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, quality=100)
    return path


def folder(path: Path, rows: list[str], columns: str = "file,x_m,y_m") -> Path:
    for number, row in enumerate(rows):
        photo(path / row.split(",")[0], seed=sum(map(ord, str(path.name))) + number)
    (path / "positions.csv").write_text("\n".join([columns, *rows]) + "\n")
    return path


def at(x: float, y: float = 0.0, **known: object) -> ImageRecord:
    return ImageRecord(path=Path("photo.jpg"), position=LocalPoint(x, y), **known)  # type: ignore[arg-type]


def as_lists(rows: tuple[np.ndarray, ...]) -> list[list[int]]:
    return [row.tolist() for row in rows]


def test_the_radius_itself_is_still_right() -> None:
    queries, database = [at(0.0)], [at(24.9), at(25.0), at(25.001), at(-25.0)]
    assert as_lists(WithinMetres(25.0).positives(queries, database)) == [[0, 1, 3]]


def test_metres_are_right_across_the_antimeridian() -> None:
    queries = [ImageRecord(path=Path("q"), position=LatLon(0.0, 179.99995))]
    database = [ImageRecord(path=Path("d"), position=LatLon(0.0, -179.99995))]
    assert as_lists(WithinMetres(12.0).positives(queries, database)) == [[0]]
    assert as_lists(WithinMetres(11.0).positives(queries, database)) == [[]]


def test_positions_of_two_frames_are_never_compared() -> None:
    with pytest.raises(PositionError):
        WithinMetres(25.0).positives([at(0.0)], [ImageRecord(path=Path("d"), position=LatLon(0.0, 0.0))])


points = st.lists(st.tuples(st.floats(-50, 50), st.floats(-50, 50)), min_size=1, max_size=8)


@given(points, points, st.floats(0.5, 60))
@settings(deadline=None)
def test_what_is_near_is_what_brute_force_finds(queries, database, radius: float) -> None:
    one, other = (np.array([(x, y, 0.0) for x, y in part]) for part in (queries, database))
    found = as_lists(near(one, other, radius))
    squared = [[float(((a - b) ** 2).sum()) for b in other] for a in one]
    assert found == [[row for row, value in enumerate(values) if value <= radius**2] for values in squared]


def test_what_is_near_on_earth_is_not_lost_to_rounding() -> None:
    """At 6,400 km from the origin a coordinate has 9 decimals: points right at the radius must be kept or not by it alone."""
    rng = np.random.default_rng(0)
    origin = np.array([3.8e6, 9.0e5, 5.0e6])
    database, queries = (origin + rng.uniform(-300, 300, (200, 3)) for _ in range(2))
    squared = ((queries[:, None] - database[None]) ** 2).sum(axis=2)
    radius = float(np.sqrt(squared[7, 9]))
    assert [rows.tolist() for rows in near(queries, database, radius)] == [
        np.flatnonzero(row <= radius**2).tolist() for row in squared
    ]


def test_a_photo_without_a_position_is_not_passed_over_in_silence() -> None:
    with pytest.raises(DatasetError, match="1 of them have no position; give every image one"):
        WithinMetres(25.0).positives([at(0.0)], [ImageRecord(path=Path("d"))])


def test_metres_in_space_count_height() -> None:
    queries, database = np.array([[0.0, 0.0, 0.0]]), np.array([[6.0, 0.0, 8.0], [6.0, 0.0, 8.01], [0.0, -10.0, 0.0]])
    truth = WithinMetresOf(10.0, queries, database)
    images = [ImageRecord(path=Path("i"))] * 3
    assert as_lists(truth.positives(images[:1], images)) == [[0, 2]]
    assert "10 m in space" in str(truth)
    with pytest.raises(DatasetError, match="has 3 points, but one for each database image was wanted, 2"):
        truth.positives(images[:1], images[:2])


def rows_of(*lists: list[int]) -> tuple[np.ndarray, ...]:
    return tuple(np.array(some, np.int64) for some in lists)


def test_a_list_is_the_truth_in_order_and_each_row_once() -> None:
    images = [at(0.0)] * 3
    listed = Listed(rows_of([2, 0, 2], []), "as listed")
    assert as_lists(listed.positives(images[:2], images)) == [[0, 2], []]
    assert str(listed) == "right as listed"


@pytest.mark.parametrize("row", [-1, 3])
def test_a_list_that_names_what_is_not_there_is_refused(row: int) -> None:
    images = [at(0.0)] * 3
    with pytest.raises(DatasetError, match=r"Rows 0 to 2 of the database were wanted.*query 1 lists"):
        Listed(rows_of([0], [row]), "as listed").positives(images[:2], images)
    with pytest.raises(DatasetError, match=r"Rows 0 to 2 of the database were wanted.*query 0 lists"):
        Relevant(rows_of([0]), rows_of([row]), "as listed").positives(images[:1], images)


def test_a_list_of_other_queries_is_refused() -> None:
    with pytest.raises(DatasetError, match="has 1 lists of right images, but one for each query was wanted, 2"):
        Listed(rows_of([0]), "as listed").positives([at(0.0)] * 2, [at(0.0)])


def test_junk_is_told_apart_from_what_is_right() -> None:
    images = (at(0.0),) * 4
    truth = Relevant(rows_of([0, 1]), rows_of([3]), "as listed")
    dataset = Dataset(name="d", database=images, queries=images[:1], truth=truth, one_per_panorama=True, remark="queries cropped")
    assert (as_lists(dataset.positives()), as_lists(dataset.junk()), as_lists(dataset.excluded())) == ([[0, 1]], [[3]], [[]])
    assert dataset.protocol == "right as listed; nothing left out; the best image of each panorama counts; queries cropped"
    assert as_lists(Dataset(name="d", database=images, queries=images[:1], truth=WithinFrames(0)).junk()) == [[]]


def test_views_are_what_is_described() -> None:
    images = (at(0.0), at(1.0))
    views = (View(path=Path("photo.jpg"), turns=1), View(path=Path("photo.jpg"), turns=2))
    dataset = Dataset(name="d", database=images, queries=images, truth=WithinFrames(0), query_views=views)
    assert dataset.query_sources == views
    assert dataset.database_sources == [Path("photo.jpg")] * 2
    with pytest.raises(ValueError, match="One view for each of 2 queries was wanted, got 1"):
        Dataset(name="d", database=images, queries=images, truth=WithinFrames(0), query_views=views[:1])


def test_frames_are_right_give_or_take_the_tolerance() -> None:
    walk = [ImageRecord(path=Path(f"{number}.jpg")) for number in range(10)]
    positives = as_lists(WithinFrames(2).positives(walk, walk))
    assert positives[0] == [0, 1, 2]
    assert positives[5] == [3, 4, 5, 6, 7]
    assert positives[9] == [7, 8, 9]


def test_a_panorama_is_left_out_and_images_without_one_are_not() -> None:
    database = [at(0.0, panorama="a"), at(0.0, panorama="b"), at(0.0)]
    assert as_lists(LeaveOut(panorama=True).rows([at(0.0, panorama="a"), at(0.0)], database)) == [[0], []]


def test_a_burst_is_what_is_within_a_metre_or_a_minute() -> None:
    noon = datetime(2024, 1, 1, 12, tzinfo=UTC)
    database = [
        at(0.9),
        at(1.1),
        at(100.0, time=noon + timedelta(seconds=60)),
        at(100.0, time=noon - timedelta(seconds=61)),
        at(100.0, time=noon.replace(tzinfo=None)),
    ]
    assert as_lists(LeaveOut(burst=True).rows([at(0.0, time=noon)], database)) == [[0, 2]]


TIMES = st.one_of(
    st.none(),
    st.builds(
        lambda seconds, zone: datetime(2024, 1, 1, 12, tzinfo=zone) + timedelta(seconds=seconds),
        st.one_of(st.integers(-130, 130), st.floats(-130, 130, allow_subnormal=False), st.sampled_from([59.999999, 60.000001])),
        st.sampled_from([None, UTC, timezone(timedelta(minutes=1))]),
    ),
)


@settings(deadline=None)
@given(st.lists(TIMES, max_size=6), st.lists(TIMES, max_size=12))
def test_within_a_minute_is_what_comparing_each_with_each_finds(
    queries: list[datetime | None], database: list[datetime | None]
) -> None:
    asking = [at(1e6 * (1 + number), time=time) for number, time in enumerate(queries)]
    images = [at(-1e6 * number, time=time) for number, time in enumerate(database)]
    expected = [
        [
            row
            for row, theirs in enumerate(database)
            if own is not None and theirs is not None and (apart := seconds_between(own, theirs)) is not None and apart <= 60
        ]
        for own in queries
    ]
    assert as_lists(LeaveOut(burst=True).rows(asking, images)) == expected


def test_a_burst_among_thousands_of_photos_is_found_in_a_moment() -> None:
    noon = datetime(2024, 1, 1, 12, tzinfo=UTC)
    drive = [at(10.0 * number, time=noon + timedelta(seconds=10 * number)) for number in range(5000)]
    start = process_time()
    rows = LeaveOut(burst=True).rows(drive, drive)
    assert process_time() - start < 5
    assert [len(found) for found in rows[:8]] == [7, 8, 9, 10, 11, 12, 13, 13]


def test_a_positions_csv_that_is_none_is_told_with_the_dataset(tmp_path: Path) -> None:
    folder(tmp_path, ["a.jpg,0,0", "b.jpg,100,0"])
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "positions.csv").touch()
    assert str(tmp_path / "deep" / "positions.csv") in datasets.load(tmp_path).remark


def test_a_folder_with_queries_is_what_it_says(tmp_path: Path) -> None:
    folder(tmp_path / "database", ["a.jpg,0,0", "b.jpg,100,0", "c.jpg,110,0"])
    folder(tmp_path / "queries", ["q.jpg,105,0"])
    dataset = datasets.load(tmp_path, radius=10.0)
    assert as_lists(dataset.positives()) == [[1, 2]]
    assert as_lists(dataset.excluded()) == [[]]
    assert "right within 10 m" in dataset.protocol


def test_a_query_does_without_its_own_file_and_its_own_panorama(tmp_path: Path) -> None:
    columns = "file,x_m,y_m,panorama"
    folder(tmp_path / "database", ["a.jpg,0,0,one", "b.jpg,1,0,two", "c.jpg,2,0,three"], columns)
    folder(tmp_path / "queries", ["q.jpg,0,0,two"], columns)
    (tmp_path / "queries" / "q.jpg").write_bytes((tmp_path / "database" / "c.jpg").read_bytes())
    assert as_lists(datasets.load(tmp_path).excluded()) == [[1, 2]]


def test_in_a_single_folder_each_photo_asks_for_the_others(tmp_path: Path) -> None:
    folder(tmp_path, ["a.jpg,0,0", "b.jpg,0.5,0", "c.jpg,5,0"])
    dataset = datasets.load(tmp_path)
    assert as_lists(dataset.excluded()) == [[0], [1], [2]]
    assert as_lists(datasets.load(tmp_path, burst=True).excluded()) == [[0, 1], [0, 1], [2]]
    assert "each photo asks for the others" in dataset.protocol


def test_photos_without_a_position_are_left_out_and_counted(tmp_path: Path) -> None:
    folder(tmp_path, ["a.jpg,0,0", "b.jpg,0.5,0"])
    photo(tmp_path / "lost.jpg")
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    dataset = datasets.load(tmp_path)
    assert len(dataset.queries) == 2
    assert "2 photos without a position or unreadable were left out" in dataset.protocol


@pytest.mark.parametrize(
    ("make", "cure"),
    [
        (lambda root: None, "no dataset and no folder"),
        (lambda root: photo(root / "set" / "a.jpg"), "give it one in a positions.csv"),
        (lambda root: folder(root / "set", ["a.jpg,0,0"]), "two or more"),
        (lambda root: folder(root / "set" / "queries", ["a.jpg,0,0"]), "no folder database"),
        (lambda root: (root / "set").mkdir(), "(?i)no photo"),
    ],
    ids=["missing", "no positions", "one photo", "no database", "empty"],
)
def test_a_folder_that_cannot_be_evaluated_says_why(make, cure: str, tmp_path: Path) -> None:
    make(tmp_path)
    with pytest.raises(Exception, match=cure) as caught:
        datasets.load(tmp_path / "set")
    assert "\n" not in str(caught.value)


def gardens_point(root: Path, frames: int = 200) -> Path:
    picture = photo(root / "picture.jpg").read_bytes()
    (root / "picture.jpg").unlink()
    for walk in ("day_left", "day_right", "night_right"):
        (root / walk).mkdir()
        for number in range(frames):
            (root / walk / f"Image{number:03d}.jpg").write_bytes(picture)
    return root


def test_gardens_point_by_night_asks_the_day(tmp_path: Path) -> None:
    dataset = datasets.load("gardens-point", root=gardens_point(tmp_path))
    assert (len(dataset.database), len(dataset.queries)) == (200, 200)
    assert dataset.queries[7].path == tmp_path / "night_right" / "Image007.jpg"
    assert dataset.database[7].path == tmp_path / "day_right" / "Image007.jpg"
    assert as_lists(dataset.positives())[7] == [5, 6, 7, 8, 9]
    assert as_lists(dataset.excluded())[7] == []


def test_gardens_point_by_day_asks_from_the_left(tmp_path: Path) -> None:
    dataset = datasets.load("gardens-point-day", root=gardens_point(tmp_path / "gardens").parent)
    assert dataset.queries[0].path.parent.name == "day_left"


def test_a_missing_frame_is_named(tmp_path: Path) -> None:
    (gardens_point(tmp_path) / "night_right" / "Image042.jpg").unlink()
    with pytest.raises(DatasetError, match=r"expected 200 frames.*found 199 \(frame 42 is missing\); get day_left"):
        datasets.load("gardens-point", root=tmp_path)


def test_a_missing_walk_and_a_missing_root_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no folder day_right"):
        datasets.load("gardens-point", root=tmp_path)
    with pytest.raises(DatasetError, match="needs a root"):
        datasets.load("gardens-point")


def test_a_root_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"gardens-point was expected at .*nowhere, but there is no such folder; get "):
        datasets.load("gardens-point", root=tmp_path / "nowhere")


@pytest.mark.parametrize(("what", "counts"), [("database images", (201, 200)), ("queries", (200, 199))])
def test_counts_are_checked_to_the_last_image(what: str, counts: tuple[int, int], tmp_path: Path, monkeypatch) -> None:
    (entry,) = [entry for entry in datasets.known() if entry.name == "gardens-point"]
    database, queries = counts
    monkeypatch.setattr(catalogue, "KNOWN", (replace(entry, database=database, queries=queries),))
    expected = 201 if what == "database images" else 199
    with pytest.raises(DatasetError, match=rf"expected {expected} {what}, found 200; get "):
        datasets.load("gardens-point", root=gardens_point(tmp_path))
    monkeypatch.setattr(catalogue, "KNOWN", (replace(entry, database=database, queries=queries, counts_vary=True),))
    assert len(datasets.load("gardens-point", root=tmp_path).queries) == 200


def test_no_two_datasets_share_a_name() -> None:
    names = [entry.name for entry in datasets.known()]
    assert names == sorted(set(names))


def test_a_misspelt_dataset_is_met_with_the_right_name() -> None:
    with pytest.raises(DatasetError, match="did you mean gardens-point"):
        datasets.load("garden-point")


def test_a_protocol_of_its_own_is_not_changed(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="protocol of its own"):
        datasets.load("gardens-point", root=tmp_path, radius=10.0)


def test_every_known_dataset_says_what_it_is() -> None:
    for entry in datasets.known():
        assert entry.protocol
        assert entry.reference
        assert entry.obtain
        assert entry.database > 0
        assert entry.queries > 0
