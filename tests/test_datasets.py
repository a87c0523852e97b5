"""Folders and benchmarks as datasets: what is right, what is left out, and what is wrong with a set that is not whole."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sameplace import datasets
from sameplace.datasets import LeaveOut, WithinFrames, WithinMetres
from sameplace.datasets.truth import near
from sameplace.errors import DatasetError, PositionError
from sameplace.geo import LatLon, LocalPoint
from sameplace.images import ImageRecord


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
