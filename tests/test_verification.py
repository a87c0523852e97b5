"""Geometric verification: local features that agree on one geometry, and positives that are taught only where they do."""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sameplace.errors import ImageError, MissingExtra
from sameplace.geo import LocalPoint
from sameplace.images import ImageRecord, View
from sameplace.training.streets import Streets
from sameplace.training.verified import verified
from sameplace.verification import Features, LocalFeatures, Matcher, MutualNearest, Ransac, RootSift, Verifier, match

SIFT = RootSift(most=300)
LEANING = np.array([[0.9, 0.06, 14.0], [-0.05, 0.95, 12.0], [1e-4, -2e-4, 1.0]])
"""A homography from one view of a facade to another."""


def facade(seed: int, height: int = 240, width: int = 320) -> Image.Image:
    """A wall of 70 blocks of all sizes and colours."""
    rng = np.random.default_rng(seed)
    pixels = np.full((height, width, 3), 128, np.uint8)
    for _ in range(70):
        top, left = rng.integers(0, height - 8), rng.integers(0, width - 8)
        pixels[top : top + rng.integers(6, 40), left : left + rng.integers(6, 40)] = rng.integers(0, 256, 3)
    return Image.fromarray(pixels)


def seen(image: Image.Image, homography: np.ndarray) -> Image.Image:
    """The view to which the homography leads."""
    inverse = np.linalg.inv(homography)
    return image.transform(image.size, Image.Transform.PERSPECTIVE, (inverse / inverse[2, 2]).ravel()[:8], Image.Resampling.BICUBIC)


def features(image: Image.Image) -> Features:
    return SIFT.extract(np.asarray(image))


def moved(points: np.ndarray, homography: np.ndarray) -> np.ndarray:
    there = np.column_stack([points, np.ones(len(points))]) @ homography.T
    return there[:, :2] / there[:, 2:]


def unit(rng: np.random.Generator, rows: int, dim: int = 6) -> np.ndarray:
    vectors = rng.normal(size=(rows, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def given_by(descriptors: np.ndarray, points: np.ndarray | None = None) -> Features:
    placed = np.zeros((len(descriptors), 2)) if points is None else points
    return Features(points=placed.astype(np.float32), descriptors=descriptors, size=(240, 320))


def test_two_views_of_a_facade_agree_on_how_one_became_the_other() -> None:
    first, second = features(facade(0)), features(seen(facade(0), LEANING))
    matched = match(first, second)
    assert matched.count > 60
    assert matched.matrix is not None
    corners = np.array([[40.0, 40], [280, 40], [280, 200], [40, 200]])
    # Pillow's pixels start at their edges, OpenCV's at their middles: half a pixel lies between.
    there = moved(corners + 0.5, LEANING) - 0.5
    assert np.abs(moved(corners, matched.matrix) - there).max() < 1.5
    pairs = matched.pairs[matched.inliers]
    assert np.linalg.norm(moved(first.points[pairs[:, 0]] + 0.5, LEANING) - 0.5 - second.points[pairs[:, 1]], axis=1).max() < 8


@pytest.mark.parametrize("geometry", ["homography", "fundamental"])
def test_two_facades_do_not_agree(geometry) -> None:
    facades = [features(facade(seed)) for seed in range(6)]
    counts = [match(facades[0], other, ransac=Ransac(geometry=geometry, threshold=3.0)).count for other in facades[1:]]
    assert max(counts) < 12 if geometry == "fundamental" else max(counts) < 8


def test_a_mirrored_facade_is_another_one() -> None:
    points = np.random.default_rng(0).uniform(0, 300, (50, 2)).astype(np.float32)
    matrix, agree = Ransac().fit(points, points * np.float32([-1, 1]) + np.float32([320, 0]))
    assert matrix is None
    assert not agree.any()
    matrix, agree = Ransac().fit(points, points * np.float32([-1, -1]) + np.float32([320, 240]))  # on its head
    assert agree.all()


@pytest.mark.parametrize("seed", range(5))
def test_what_stands_still_before_a_camera_that_moves_agrees_on_a_fundamental_matrix(seed: int) -> None:
    rng = np.random.default_rng(seed)
    world = rng.uniform([-4, -3, 5], [4, 3, 20], (80, 3))
    turned, shift = np.array([[0.995, 0, 0.0998], [0, 1, 0], [-0.0998, 0, 0.995]]), np.array([1.0, 0.1, 0.2])
    first, second = (200 * part[:, :2] / part[:, 2:] + [160, 120] for part in (world, world @ turned.T + shift))
    second[60:] = rng.uniform([0, 0], [320, 240], (20, 2))  # a quarter of the pairs is wrong
    matrix, agree = Ransac(geometry="fundamental", threshold=1.0).fit(first.astype(np.float32), second.astype(np.float32))
    assert agree[:60].mean() > 0.95
    assert agree[60:].mean() < 0.3
    assert matrix is not None
    ends = [np.column_stack([part[:60], np.ones(60)]) for part in (first, second)]
    lines = ends[0] @ matrix.T
    assert np.median(np.abs((lines * ends[1]).sum(axis=1)) / np.linalg.norm(lines[:, :2], axis=1)) < 0.3
    assert Ransac(threshold=1.0).fit(first.astype(np.float32), second.astype(np.float32))[1].sum() < 40  # no plane holds them all


@given(st.integers(0, 10_000), st.integers(0, 12), st.integers(0, 12), st.floats(0.5, 1.0))
@settings(deadline=None, max_examples=60)
def test_pairs_are_mutual_nearest_neighbours_that_pass_lowes_test_on_both_sides(
    seed: int, rows: int, others: int, ratio: float
) -> None:
    rng = np.random.default_rng(seed)
    first, second = unit(rng, rows), unit(rng, others)
    second[: rows // 2] = first[: min(rows // 2, others)] if others >= rows // 2 else second[: rows // 2]
    distances = np.linalg.norm(first[:, None].astype(float) - second[None], axis=2)
    expected = []
    for row in range(rows):
        for column in range(others):
            nearest, beside = distances[row, column], [*np.delete(distances[row], column), *np.delete(distances[:, column], row)]
            if all(nearest <= ratio * other for other in beside) and all(nearest < other for other in beside):
                expected.append([row, column])
    found = MutualNearest(ratio=ratio).pairs(given_by(first), given_by(second))
    assert found.tolist() == expected
    swapped = MutualNearest(ratio=ratio).pairs(given_by(second), given_by(first))
    assert sorted(swapped[:, ::-1].tolist()) == expected


def test_a_single_feature_on_each_side_is_a_pair() -> None:
    alone = given_by(np.float32([[1, 0]]))
    assert MutualNearest().pairs(alone, alone).tolist() == [[0, 0]]


def test_the_same_photos_agree_alike_every_time() -> None:
    first, second = facade(0), seen(facade(0), LEANING)
    once, again = (match(features(first), features(second)) for _ in range(2))
    assert (once.pairs == again.pairs).all()
    assert (once.inliers == again.inliers).all()
    assert once.matrix is not None
    assert again.matrix is not None
    assert once.matrix.tobytes() == again.matrix.tobytes()


def test_root_sift_gives_at_most_so_many_features_of_unit_length() -> None:
    found = RootSift(most=50).extract(np.asarray(facade(0)))
    assert len(found) == 50
    assert found.size == (240, 320)
    assert np.allclose(np.linalg.norm(found.descriptors, axis=1), 1, atol=1e-5)
    assert (found.points >= 0).all()
    assert (found.points < [320, 240]).all()


def test_a_picture_of_nothing_has_no_features_and_matches_nothing() -> None:
    blank = SIFT.extract(np.full((60, 80, 3), 90, np.uint8))
    assert len(blank) == 0
    matched = match(blank, features(facade(0)))
    assert matched.count == 0
    assert matched.matrix is None
    assert matched.pairs.shape == (0, 2)


def test_opencv_is_asked_for_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtra, match=r"pip install 'sameplace\[verify\]'"):
        SIFT.extract(np.zeros((9, 9, 3), np.uint8))


class Colours:
    """Local features as a network would give them: thirty points that look like the colour of the picture's first pixel."""

    longest = 64

    def __init__(self) -> None:
        self.identity = "colours"
        self.sizes: list[tuple[int, int]] = []

    def extract(self, image: np.ndarray) -> Features:
        self.sizes.append(image.shape[:2])
        points = np.random.default_rng(0).uniform(0, 60, (30, 2))
        return given_by(unit(np.random.default_rng(image[0, 0].tolist()), 30, dim=64), points)


@pytest.fixture
def colours() -> Colours:
    return Colours()


def photos(folder: Path, *shades: int) -> list[Path]:
    """Photos of one colour each, 40 x 100 pixels."""
    paths = [folder / f"{number}.png" for number in range(len(shades))]
    for path, shade in zip(paths, shades, strict=True):
        Image.new("RGB", (100, 40), (shade, 0, 0)).save(path)
    return paths


def test_other_local_features_and_matchers_join_by_the_protocol(tmp_path: Path, colours: Colours) -> None:
    class Everything:
        identity = "everything"

        def pairs(self, first: Features, second: Features) -> np.ndarray:
            return np.column_stack([np.arange(len(first)), np.arange(len(second))])

    assert isinstance(colours, LocalFeatures)
    assert isinstance(Everything(), Matcher)
    one, same, other = photos(tmp_path, 10, 10, 200)
    verifier = Verifier(colours)
    assert verifier.agree(one, same)
    assert not verifier.agree(one, other)
    assert Verifier(colours, matcher=Everything()).agree(one, other)
    assert Verifier(colours, matcher=Everything()).identity != verifier.identity
    assert not Verifier(colours, least=31).agree(one, same)


def test_the_features_of_a_photo_are_found_once_and_large_photos_made_smaller(tmp_path: Path, colours: Colours) -> None:
    one, same = photos(tmp_path, 10, 10)
    verifier = Verifier(colours)
    for _ in range(3):
        assert verifier.match(one, same).count == 30
    assert colours.sizes == [(26, 64)] * 2


def test_a_photo_without_features_is_searched_once_too(tmp_path: Path) -> None:
    class Nothing(Colours):
        def extract(self, image: np.ndarray) -> Features:
            super().extract(image)
            return given_by(np.zeros((0, 64), np.float32), np.zeros((0, 2)))

    nothing, (photo,) = Nothing(), photos(tmp_path, 10)
    verifier = Verifier(nothing)
    assert [len(verifier.features(photo)) for _ in range(3)] == [0, 0, 0]
    assert len(nothing.sizes) == 1


def test_threads_that_ask_for_one_photo_wait_for_one_search(tmp_path: Path) -> None:
    class Slow(Colours):
        def extract(self, image: np.ndarray) -> Features:
            time.sleep(0.05)
            return super().extract(image)

    slow, (photo,) = Slow(), photos(tmp_path, 10)
    verifier = Verifier(slow)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(verifier.features, [photo] * 8))
    assert len(slow.sizes) == 1
    assert all(features is found[0] for features in found)


def test_features_are_kept_within_memory_and_found_again_beyond(tmp_path: Path, colours: Colours) -> None:
    paths = photos(tmp_path, 10, 20, 30)
    size = colours.extract(np.zeros((40, 100, 3), np.uint8)).nbytes
    colours.sizes.clear()
    verifier = Verifier(colours, memory_bytes=2 * size)
    for path in (*paths, paths[2], paths[1], paths[0], paths[1]):
        verifier.features(path)
    assert len(colours.sizes) == 4  # the first had to go for the third, and was asked for again


def test_features_are_those_of_the_file_that_is_there_now(tmp_path: Path, colours: Colours) -> None:
    one, same, other = photos(tmp_path, 10, 10, 200)
    verifier = Verifier(colours)
    views = [View(path=path, turns=1) for path in (one, same)]
    assert verifier.agree(one, same)
    assert verifier.agree(*views)
    same.write_bytes(other.read_bytes())
    os.utime(same, ns=(1, 1))
    assert not verifier.agree(one, same)
    assert not verifier.agree(*views)
    same.unlink()
    for gone in (same, views[1], str(same)):
        with pytest.raises(ImageError, match="There is no photo at"):
            verifier.features(gone)


def test_views_of_photos_are_compared_too(tmp_path: Path) -> None:
    facade(0).save(tmp_path / "whole.png")
    view = View(path=tmp_path / "whole.png", box=(0.0, 0.0, 200.0, 240.0))
    assert Verifier(SIFT).agree(tmp_path / "whole.png", view)


def test_a_photo_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(ImageError, match=r"broken\.jpg"):
        Verifier(SIFT).features(tmp_path / "broken.jpg")


def street(folder: Path, *shades: int) -> Streets:
    """Photos of these colours 2 m apart, a street in which all are potential positives of each other, and one far away."""
    paths = photos(folder, *shades, 255)
    places = [2.0 * number for number in range(len(shades))] + [500.0]
    return Streets.of([ImageRecord(path=path, position=LocalPoint(x, 0.0)) for path, x in zip(paths, places, strict=True)])


def rows(streets: Streets) -> dict[int, list[int]]:
    """For each query the images among its positives."""
    return {
        query: streets.database[positives].tolist()
        for query, positives in zip(streets.queries.tolist(), streets.positives, strict=True)
    }


def test_positives_that_show_something_else_are_not_taught_and_never_become_negatives(tmp_path: Path, colours: Colours) -> None:
    streets = street(tmp_path, 10, 20, 10, 30)
    taught = verified(streets, Verifier(colours))
    assert rows(taught) == {0: [2], 2: [0]}
    assert [near.tolist() for near in taught.near] == [streets.near[0].tolist(), streets.near[2].tolist()]
    assert (taught.database == streets.database).all()
    assert taught.images == streets.images


def test_two_views_of_a_wall_are_taught_and_the_wall_behind_is_not(tmp_path: Path) -> None:
    pictures = [facade(0), seen(facade(0), LEANING), facade(1), facade(2)]
    for number, picture in enumerate(pictures):
        picture.save(tmp_path / f"{number}.png")
    images = [ImageRecord(path=tmp_path / f"{number}.png", position=LocalPoint(2.0 * number, 0.0)) for number in range(4)]
    assert rows(verified(Streets.of(images), Verifier(SIFT))) == {0: [1], 1: [0]}


class Ranking:
    """Descriptors in a plane, at the given angles."""

    def __init__(self, *angles: float) -> None:
        self.vectors = np.float32([[np.cos(angle), np.sin(angle)] for angle in angles])

    def of(self, wanted: np.ndarray) -> np.ndarray:
        return self.vectors[wanted]


def test_what_looks_most_like_the_query_is_compared_first_and_only_so_many(tmp_path: Path, colours: Colours) -> None:
    streets = street(tmp_path, 10, 10, 10, 10)
    looks = Ranking(0.0, 0.3, 0.2, 0.1, 3.0)
    assert rows(verified(streets, Verifier(colours), descriptors=looks, enough=2))[0] == [2, 3]
    assert rows(verified(streets, Verifier(colours), descriptors=looks, tries=1))[0] == [3]
    assert rows(verified(streets, Verifier(colours), enough=2))[0] == [1, 2]


def test_what_was_compared_before_is_not_compared_again_unless_a_file_or_the_way_has_changed(
    tmp_path: Path, colours: Colours
) -> None:
    streets, keep = street(tmp_path, 10, 20, 10), tmp_path / "verdicts"
    first = verified(streets, Verifier(colours), keep=keep)
    colours.sizes.clear()
    again = verified(streets, Verifier(colours), keep=keep)
    assert rows(again) == rows(first) == {0: [2], 2: [0]}
    assert colours.sizes == []
    assert rows(verified(streets, Verifier(colours, least=31), keep=keep)) == {}  # how many agree is kept, not what that means
    assert colours.sizes == []
    verified(streets, Verifier(colours, ransac=Ransac(seed=1)), keep=keep)
    assert len(colours.sizes) == 3
    Image.new("RGB", (100, 40), (20, 0, 0)).save(streets.images[2].path)
    os.utime(streets.images[2].path, ns=(0, 0))
    assert rows(verified(streets, Verifier(colours), keep=keep)) == {1: [2], 2: [1]}
    assert sorted(path.suffix for path in keep.iterdir()) == [".npy"] * 3


def test_progress_is_told_query_by_query_and_threads_change_nothing(tmp_path: Path, colours: Colours) -> None:
    streets = street(tmp_path, *[10, 20, 30] * 4)
    told: list[tuple[int, int]] = []
    alone = verified(streets, Verifier(colours), workers=1, progress=lambda done, total: told.append((done, total)))
    assert told == [(done, 12) for done in range(1, 13)]
    assert rows(verified(streets, Verifier(colours), workers=4)) == rows(alone)


def test_streets_without_queries_stay_as_they_are(tmp_path: Path, colours: Colours) -> None:
    streets = replace(street(tmp_path, 10, 10), queries=np.empty(0, np.int64), positives=(), near=())
    assert rows(verified(streets, Verifier(colours))) == {}
