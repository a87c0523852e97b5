"""XFeat and LighterGlue as they come with sameplace-xfeat: what they find, and what is told where they are missing."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sameplace.errors import ModelError
from sameplace.verification import Either, LighterGlue, LocalFeatures, Matcher, RootSift, Verifier, XFeat, best_verifier, match
from sameplace.verification import xfeat as networks
from sameplace.verification.reranking import LEAST
from test_verification import LEANING, facade, moved, seen

HERE = Path(__file__).parent
needed = pytest.mark.skipif(not networks.installed(), reason="sameplace-xfeat is not installed")
EITHER = Either()


def features(image: Image.Image, most: int = 512):
    return XFeat(most=most).extract(np.asarray(image))


@needed
def test_two_views_of_a_facade_agree_on_how_one_became_the_other() -> None:
    wall = facade(0).resize((640, 480))
    matched = match(features(wall), features(seen(wall, LEANING)), matcher=LighterGlue())
    assert matched.count > 100
    assert matched.matrix is not None
    corners = np.array([[80.0, 80], [560, 80], [560, 400], [80, 400]])
    assert np.abs(moved(corners, matched.matrix) - (moved(corners + 0.5, LEANING) - 0.5)).max() < 3


@needed
def test_other_facades_are_no_proof() -> None:
    found = [features(facade(number).resize((640, 480))) for number in range(4)]
    counts = [match(found[0], other, matcher=LighterGlue(), ransac=EITHER).count for other in found[1:]]
    assert max(counts) < LEAST["xfeat"]


@needed
def test_photos_of_one_place_by_day_and_in_other_weather_are_proved_and_of_another_place_not() -> None:
    verifier = best_verifier()
    assert "xfeat" in verifier.identity
    pinned = [HERE / "pinned" / f"{name}.jpg" for name in ("queries-0000", "database-0000", "database-0007")]
    same, other = (verifier.match(pinned[0], photo).count for photo in pinned[1:])
    assert same > 2 * other


@needed
def test_the_networks_find_and_pair_what_they_did_when_they_were_compared_with_the_original() -> None:
    verifier = best_verifier()
    first, second = (HERE / "pinned" / f"{name}-0000.jpg" for name in ("queries", "database"))
    found = verifier.features(first)
    assert found.points[:5].tolist() == [[59, 38], [97, 66], [100, 74], [93, 77], [70, 20]]
    np.testing.assert_allclose(found.descriptors[0, :4], [0.14018, -0.11026, 0.03506, -0.06219], atol=1e-3)
    assert len(verifier.match(first, second).pairs) == pytest.approx(140, abs=3)


@needed
def test_a_picture_moved_by_whole_cells_has_its_points_moved_as_far_and_described_alike() -> None:
    wall = facade(3, 480, 640)
    shifted = Image.new("RGB", wall.size, (128, 128, 128))
    shifted.paste(wall, (32, 64))
    first, second = features(wall, 300), features(shifted, 300)
    there = {tuple(point): row for row, point in enumerate(second.points.tolist())}
    rows = [(row, there[x + 32, y + 64]) for row, (x, y) in enumerate(first.points.tolist()) if (x + 32, y + 64) in there]
    assert len(rows) > 150
    cosines = [first.descriptors[one] @ second.descriptors[other] for one, other in rows]
    assert np.median(cosines) > 0.9


@needed
def test_points_lie_in_the_picture_whatever_its_size_and_are_the_same_every_time() -> None:
    for size in ((333, 250), (640, 480), (40, 500), (31, 20)):
        picture = facade(1).resize(size)
        found, again = features(picture, 200), features(picture, 200)
        assert found.size == (size[1], size[0])
        assert len(found) <= 200
        assert (found.points >= -0.5).all()
        assert (found.points <= np.array(size) - 0.5).all()
        np.testing.assert_allclose(np.linalg.norm(found.descriptors, axis=1), 1, atol=1e-5)
        assert found.points.tobytes() == again.points.tobytes()
        assert found.descriptors.tobytes() == again.descriptors.tobytes()


@needed
def test_a_picture_of_nothing_matches_nothing() -> None:
    blank = features(Image.new("RGB", (320, 240), (90, 90, 90)))
    assert LighterGlue().pairs(blank, features(facade(0))).shape[1] == 2
    assert match(blank, features(facade(0)), matcher=LighterGlue(), ransac=EITHER).count == 0


@needed
def test_pairs_are_the_same_whichever_picture_comes_first() -> None:
    first, second = features(facade(0)), features(seen(facade(0), LEANING))
    pairs, swapped = LighterGlue().pairs(first, second), LighterGlue().pairs(second, first)
    assert len(pairs) > 20
    assert {tuple(pair) for pair in pairs.tolist()} == {tuple(pair) for pair in swapped[:, ::-1].tolist()}
    surer = LighterGlue(probability=0.9).pairs(first, second)
    assert len(surer) < len(pairs)
    assert {tuple(pair) for pair in surer.tolist()} < {tuple(pair) for pair in pairs.tolist()}


@needed
def test_features_of_another_kind_are_refused() -> None:
    sift = RootSift().extract(np.asarray(facade(0)))
    with pytest.raises(ValueError, match="use MutualNearest"):
        LighterGlue().pairs(sift, sift)


def test_they_join_by_the_protocols() -> None:
    assert isinstance(XFeat(), LocalFeatures)
    assert isinstance(LighterGlue(), Matcher)
    assert Verifier(XFeat(), matcher=LighterGlue()).identity != Verifier(XFeat(most=100), matcher=LighterGlue()).identity


def test_where_they_are_missing_sift_is_taken_and_asking_for_them_tells_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "find_spec", lambda name: None)
    networks._session.cache_clear()
    assert best_verifier().identity.startswith("rootsift")
    with pytest.raises(ModelError, match=r"pip install \./distributions/sameplace-xfeat"):
        XFeat().extract(np.zeros((64, 64, 3), np.uint8))


def test_broken_networks_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "sameplace_xfeat").mkdir()
    (tmp_path / "sameplace_xfeat" / "__init__.py").touch()
    (tmp_path / "sameplace_xfeat" / "xfeat.onnx").write_bytes(b"no graph")
    spec = importlib.util.spec_from_file_location("sameplace_xfeat", tmp_path / "sameplace_xfeat" / "__init__.py")
    monkeypatch.setattr(networks, "find_spec", lambda name: spec)
    networks._session.cache_clear()
    with pytest.raises(ModelError, match="install sameplace-xfeat again"):
        XFeat().extract(np.zeros((64, 64, 3), np.uint8))
    networks._session.cache_clear()
