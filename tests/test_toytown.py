"""Toytown: drawn the same every time, true positions, geometry that holds, and hard enough to mean something."""

import csv
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sameplace import datasets, evaluate, models
from sameplace.datasets.catalogue import TOYTOWN
from sameplace.datasets.toytown import PASSES, draw
from sameplace.datasets.toytown.camera import Camera
from sameplace.datasets.toytown.panel import Panel
from sameplace.datasets.toytown.plan import View, plan
from sameplace.datasets.toytown.street import Street, build_street
from sameplace.errors import DatasetError
from sameplace.geo import LatLon, Positions, distance
from sameplace.images import ImageSet
from sameplace.shapes import Array, Float32, UInt8


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("toytown"))


@pytest.fixture(scope="module")
def street() -> Street:
    return build_street(1, np.random.default_rng(0))


class Thumbnails:
    """The floor under every figure: 16 x 16 pixels, without their mean, compared by cosine."""

    name = "thumbnails"
    identity = "thumbnails"
    dim = 768
    size = (16, 16)
    runtime = "numpy"
    precision = "float32"

    def describe(self, images: UInt8[Array, "batch height width 3"]) -> Float32[Array, "batch dim"]:
        pixels = images.reshape(len(images), -1).astype(np.float32)
        pixels -= pixels.mean(axis=1, keepdims=True)
        return pixels / np.linalg.norm(pixels, axis=1, keepdims=True)


def test_the_same_seed_draws_the_same_photos_and_another_seed_another_town(tmp_path):
    first, second, other = (draw(tmp_path / str(turn), places=3, seed=seed) for turn, seed in enumerate((4, 4, 5)))
    photos = sorted(path.relative_to(first) for path in first.rglob("*.*"))
    assert len(photos) == 2 * (3 + 1) + 1
    for photo in photos:
        assert (first / photo).read_bytes() == (second / photo).read_bytes(), photo
        assert (first / photo).read_bytes() != (other / photo).read_bytes(), photo


def test_every_place_is_photographed_once_on_each_pass(town):
    for drive in PASSES:
        names = [path.name for path in sorted((town / drive.folder).glob("*.jpg"))]
        assert names == [f"{number:04d}.jpg" for number in range(100)]
        with Image.open(town / drive.folder / names[0]) as photo:
            assert photo.size == (256, 192)


def test_exif_and_positions_csv_tell_the_same_position_heading_and_time(tmp_path):
    folder = draw(tmp_path / "town", places=7, seed=3) / "queries"
    told = ImageSet.open(folder).records()
    (folder / "positions.csv").unlink()
    for row, exif in zip(told, ImageSet.open(folder).records(), strict=True):
        assert row.path == exif.path
        assert distance(row.position, exif.position) < 0.01
        assert row.heading_deg == pytest.approx(exif.heading_deg, abs=0.051)
        assert abs((row.time - exif.time).total_seconds()) <= 1


def test_the_second_pass_comes_months_later_in_other_weather_and_stands_a_few_metres_off(town):
    first, second = (ImageSet.open(town / drive.folder).records() for drive in PASSES)
    weathers = [{photo.extra["weather"] for photo in photos} for photos in (first, second)]
    assert not weathers[0] & weathers[1]
    assert weathers == [{weather.name for weather in drive.weathers} for drive in PASSES]
    off = [distance(one.position, other.position) for one, other in zip(first, second, strict=True)]
    assert 0.2 < float(np.median(off)) < 3
    assert max(off) < 5
    assert all(
        other.time - one.time > datetime(2024, 10, 1) - datetime(2024, 6, 20) for one, other in zip(first, second, strict=True)
    )


@given(places=st.integers(1, 400), seed=st.integers(0, 5000))
@settings(deadline=None, max_examples=25)
def test_places_within_25_metres_of_each_other_are_neighbours_in_one_street(places, seed):
    town = plan(places, seed, np.random.default_rng(seed))
    at = Positions.of([town.position(place.street, place.along_m, 0.0) for place in town.places]).metric()
    assert len(at) == places
    apart = np.linalg.norm(at[:, None] - at[None], axis=2) + 1000 * np.eye(places)
    for one, other in np.argwhere(apart < 25 + 4):
        assert town.places[one].street == town.places[other].street
        assert abs(one - other) <= 2
    if places > 1:
        assert apart.min() == pytest.approx(15, abs=0.05)


def test_towns_of_different_seeds_are_far_apart():
    corners = [plan(1, seed, np.random.default_rng(0)).position(0, 0.0, 0.0) for seed in range(120)]
    at = Positions.of(corners).metric()
    assert (np.linalg.norm(at[:, None] - at[None], axis=2) + 1e6 * np.eye(len(at))).min() > 1_500


@given(
    along=st.floats(20, 90),
    across=st.floats(-2, 2),
    look=st.floats(-50, 50),
    tilt=st.floats(-0.03, 0.03),
    roll=st.floats(-0.03, 0.03),
    zoom=st.floats(0.8, 1.2),
)
@settings(deadline=None, max_examples=50)
def test_the_foot_of_the_wall_that_a_column_meets_is_projected_back_into_that_column(street, along, across, look, tilt, roll, zoom):
    view = View(
        along_m=along,
        across_m=across,
        look_deg=look,
        tilt=tilt,
        roll=roll,
        zoom=zoom,
        exposure=(1.0, 1.0, 1.0),
        position=LatLon(54.0, 3.0),
        heading_deg=0.0,
        time=datetime(2024, 6, 1),
    )
    camera = Camera(view, street, 256, 192)
    met = camera.depth < 100
    sides = np.sign(camera.across) * street.half_width_m
    columns, rows, depths = camera.project(camera.wall_along.astype(np.float64), sides.astype(np.float64), 0.0)
    np.testing.assert_allclose(columns[met], np.arange(256)[met] + 0.5, atol=0.05)
    np.testing.assert_allclose(rows[met], camera.base[met], atol=0.05)
    np.testing.assert_allclose(depths[met], camera.depth[met], rtol=1e-3)


def test_a_box_of_a_metre_covers_as_many_pixels_as_a_metre_has():
    colours, windows = np.zeros((288, 160), np.uint32), np.full((288, 160), 9, np.uint8)
    Panel(colours, windows, 2.0, np.random.default_rng(0)).box(1.0, 3.0, 2.0, 2.0, (1, 2, 3))
    rows, columns = np.nonzero(colours)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (240, 255, 48, 63)
    assert set(colours[colours > 0].tolist()) == {1 | 2 << 8 | 3 << 16 | 255 << 24}
    assert (windows == 0).sum() == 256


@pytest.mark.parametrize("name", ["database/0000.jpg", "queries/holiday.jpg", "README.txt", "database/positions.csv", "diary.md"])
def test_a_folder_with_other_files_is_left_as_it_is(name, tmp_path):
    mine = tmp_path / name
    mine.parent.mkdir(exist_ok=True)
    mine.write_bytes(b"precious")
    with pytest.raises(DatasetError, match=rf"already holds {name.split('/')[0]}.*choose another folder"):
        draw(tmp_path, places=1)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [mine]
    assert mine.read_bytes() == b"precious"


def test_a_photo_in_a_drawn_town_that_is_none_of_it_is_left_as_it_is(tmp_path):
    draw(tmp_path, places=1)
    (tmp_path / "queries" / "holiday.jpg").write_bytes(b"precious")
    with pytest.raises(DatasetError, match=r"already holds holiday\.jpg.*choose another folder"):
        draw(tmp_path, places=1)
    assert (tmp_path / "queries" / "holiday.jpg").read_bytes() == b"precious"


def test_a_town_may_be_drawn_again(tmp_path):
    draw(tmp_path, places=1)
    (tmp_path / "database" / "0000.jpg").unlink()
    draw(tmp_path, places=1, seed=1)
    assert "(seed 1)" in (tmp_path / "README.txt").read_text("utf-8")
    assert (tmp_path / "database" / "0000.jpg").is_file()


def test_by_name_the_town_is_drawn_beside_what_is_there_and_found_again(tmp_path, monkeypatch):
    monkeypatch.setattr("sameplace.datasets.toytown.draw", lambda folder: draw(folder, places=2))
    town = replace(TOYTOWN, database=2, queries=2)
    monkeypatch.setattr("sameplace.datasets.catalogue.KNOWN", (town,))
    for name in ("database/0000.jpg", "README.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"precious")
    loaded = datasets.load("toytown", root=tmp_path)
    assert {record.path.parent.parent for record in loaded.database} == {tmp_path / "toytown"}
    assert (tmp_path / "database" / "0000.jpg").read_bytes() == b"precious"
    monkeypatch.setattr("sameplace.datasets.toytown.draw", lambda folder: pytest.fail("it was there already"))
    for root in (tmp_path, tmp_path / "toytown"):
        assert datasets.load("toytown", root=root).database == loaded.database


def test_a_smaller_town_does_not_mix_with_the_larger_one_that_was_there(tmp_path):
    draw(tmp_path, places=2)
    with pytest.raises(DatasetError, match=r"0001\.jpg"):
        draw(tmp_path, places=1)


def test_a_town_without_places_is_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one place"):
        draw(tmp_path, places=0)


def test_every_photo_has_a_row_that_says_which_place_it_shows(town):
    for drive in PASSES:
        with (town / drive.folder / "positions.csv").open(newline="") as file:
            assert [(row["file"], row["place"]) for row in csv.DictReader(file)] == [
                (f"{n:04d}.jpg", f"{n:04d}") for n in range(100)
            ]


def test_raw_thumbnails_find_under_40_per_cent(town):
    report = evaluate(Thumbnails(), datasets.load(town), recall_at=(1,))
    assert report.answerable == 100
    assert 0.05 < report.recall[1] < 0.4


def test_untrained_vlad_finds_under_60_per_cent_but_far_more_than_thumbnails(town):
    report = evaluate(models.describer(models.DEFAULT_MODEL), datasets.load(town), recall_at=(1,))
    assert 0.4 < report.recall[1] < 0.6
