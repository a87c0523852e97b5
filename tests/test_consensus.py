"""The consensus follows the evidence, not the number of matches, and moves with the map."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sameplace.atlas.consensus import KERNEL_M, RADIUS_FLOOR_M, SAME_PLACE_M, coded, consensus, evidence, witnesses
from sameplace.atlas.impostors import impostor_level, sample
from sameplace.geo import LatLon, Positions, distance, point


@st.composite
def matches(draw):
    count = draw(st.integers(1, 10))
    similarities = sorted(draw(st.lists(st.floats(-0.2, 1), min_size=count, max_size=count)), reverse=True)
    metres = st.integers(-200, 200).map(float)
    points = draw(st.lists(st.tuples(metres, metres), min_size=count, max_size=count))
    panoramas = draw(st.lists(st.sampled_from([None, "a", "b"]), min_size=count, max_size=count))
    return np.array(similarities), np.column_stack([np.array(points), np.zeros(count)]), panoramas


def many(*places):
    """Similarities, points and panoramas from (similarity, x, y)."""
    table = np.array(places, float)
    return table[:, 0], np.column_stack([table[:, 1:], np.zeros(len(table))]), [None] * len(table)


@settings(deadline=None)
@given(matches(), st.floats(0, 0.3))
def test_the_estimate_lies_among_the_matches_of_one_place(drawn, chance):
    similarities, points, panoramas = drawn
    agreed = consensus(similarities, points, panoramas, chance=chance)
    nearest = np.linalg.norm(points - agreed.point, axis=1).min()
    assert nearest <= SAME_PLACE_M
    assert (agreed.point >= points.min(axis=0) - 1e-9).all()
    assert (agreed.point <= points.max(axis=0) + 1e-9).all()
    assert RADIUS_FLOOR_M <= agreed.radius <= SAME_PLACE_M * 2


@settings(deadline=None)
@given(matches(), st.integers(-1000, 1000), st.integers(-1000, 1000))
def test_moving_or_mirroring_the_map_moves_or_mirrors_the_estimate(drawn, east, north):
    similarities, points, panoramas = drawn
    here = consensus(similarities, points, panoramas)
    moved = consensus(similarities, points * (-1, 1, 1) + (east, north, 0), panoramas)
    np.testing.assert_allclose(moved.point, here.point * (-1, 1, 1) + (east, north, 0), atol=1e-6)
    assert moved.radius == pytest.approx(here.radius)


@settings(deadline=None)
@given(matches(), st.floats(-0.5, 0.5), st.floats(0.1, 3))
def test_only_how_similarities_stand_apart_matters(drawn, shift, stretch):
    similarities, points, panoramas = drawn
    similarities = similarities.round(2)
    lowest = float(similarities.min())
    here = consensus(similarities, points, panoramas, chance=lowest)
    other = consensus(similarities * stretch + shift, points, panoramas, chance=lowest * stretch + shift)
    # Where two places have equal support, rounding may decide for either.
    heard = evidence(similarities, np.array(lowest)) * witnesses(points[None], coded(panoramas)[None])[0]
    support = np.sort(np.exp(-np.square(points[:, None] - points[None]).sum(axis=2) / (2 * KERNEL_M**2)) @ heard)
    assume(len(support) == 1 or support[-1] > support[-2] * 1.001 or support[-1] == heard.sum())
    np.testing.assert_allclose(other.point, here.point, atol=0.1)


@settings(deadline=None)
@given(matches())
def test_hearing_a_panorama_again_changes_nothing(drawn):
    similarities, points, panoramas = drawn
    panoramas = ["seen twice", *panoramas[1:]]
    once = consensus(similarities, points, panoramas)
    again = np.append(similarities, -0.3), np.vstack([points, points[0] + 3]), [*panoramas, "seen twice"]
    twice = consensus(*again)
    np.testing.assert_allclose(twice.point, once.point)
    assert twice.radius == pytest.approx(once.radius)


def test_a_repeated_view_between_two_places_is_no_place_to_agree_on():
    similarities, points = np.array([1.0, 1.0, 1.0]), np.array([[0.0, 0, 0], [26.0, 0, 0], [13.0, 0, 0]])
    agreed = consensus(similarities, points, ["seen twice", None, "seen twice"])
    assert agreed.point.tolist() == consensus(similarities[:2], points[:2], ["seen twice", None]).point.tolist()
    assert agreed.point[0] < 6


def test_two_good_matches_outweigh_a_better_one_across_the_town():
    agreed = consensus(*many((0.5, 1000, 0), (0.48, 0, 0), (0.47, 10, 0)))
    assert agreed.point[0] == pytest.approx(10 * 0.47**3 / (0.47**3 + 0.48**3), abs=0.2)
    assert agreed.radius == RADIUS_FLOOR_M
    assert agreed.share == pytest.approx((0.47**2 + 0.48**2) / (0.47**2 + 0.48**2 + 0.5**2))


def test_one_true_match_outweighs_nine_chance_ones_at_one_other_place():
    agreed = consensus(*many((0.5, 0, 0), *((0.15, 1000 + 2 * number, 0) for number in range(9))))
    assert agreed.point[0] == pytest.approx(0, abs=1e-9)


def test_where_all_similarities_are_high_the_level_of_chance_restores_the_contrast():
    crowd = many((0.9, 0, 0), *((0.81, 1000 + 2 * number, 0) for number in range(9)))
    assert consensus(*crowd).point[0] > 1000
    assert consensus(*crowd, chance=0.8).point[0] == pytest.approx(0, abs=1e-9)


def test_without_any_evidence_the_best_match_is_the_guess():
    assert evidence(np.array([-0.1, -0.3]), np.array(0.0)).tolist() == [1, 0]
    agreed = consensus(*many((0.3, 7, 7), (0.3, 500, 0), (0.3, 510, 0)), chance=0.3)
    assert agreed.point.tolist() == [7, 7, 0]


def test_views_of_one_panorama_or_one_standpoint_are_one_witness():
    _, points, _ = many((0, 0, 0), (0, 0.5, 0), (0, 50, 0), (0, 80, 0), (0, 0, 30))
    assert witnesses(points[None], coded([None, None, "a", "a", None])[None]).tolist() == [[True, False, True, False, True]]


def test_the_radius_is_the_weighted_spread_of_those_who_agree():
    agreed = consensus(*many((0.6, 0, 0), (0.6, 20, 0), (0.6, 1000, 0)))
    assert agreed.point[0] == pytest.approx(10, abs=0.01)
    assert agreed.radius == pytest.approx(10, abs=0.01)


@pytest.mark.parametrize("middle", [LatLon(0.0, 179.9999), LatLon(89.9999, 10.0), LatLon(-33.86, 151.21)])
def test_the_consensus_is_right_anywhere_on_earth(middle):
    around = [LatLon(middle.lat - 1e-4, middle.lon), middle, LatLon(middle.lat - 1e-4, middle.lon)]
    agreed = consensus(np.array([0.5, 0.5, 0.4]), Positions.of(around).metric(), [None, None, "other view"])
    estimate = point("earth", agreed.point)
    assert distance(estimate, middle) == pytest.approx(distance(estimate, around[0]), abs=1e-3)


def test_the_level_of_impostors_is_the_percentile_over_far_pairs_only():
    rng = np.random.default_rng(0)
    descriptors = rng.normal(size=(60, 8)).astype(np.float32)
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    points = np.column_stack([np.repeat(np.arange(30) * 101.0, 2), np.zeros((60, 2))])  # pairs of one place, places 101 m apart
    far = [descriptors[a] @ descriptors[b] for a in range(60) for b in range(a) if a // 2 != b // 2]
    pairs, level = impostor_level(descriptors, points)
    assert pairs == len(far)
    assert level == pytest.approx(np.percentile(far, 99), abs=1e-5)


def test_too_few_far_pairs_say_nothing():
    points = np.zeros((40, 3))
    points[:5, 0] = 500  # 5 x 35 pairs
    assert impostor_level(np.eye(40, dtype=np.float32), points) == (175, None)


def test_the_sample_is_bounded_and_always_the_same():
    rows = np.arange(100_000) * 2
    assert len(np.unique(sample(rows, 1000))) == 1000
    np.testing.assert_array_equal(sample(rows, 1000), sample(rows, 1000))
    assert set(sample(rows, 1000).tolist()) < set(rows.tolist())
    assert sample(rows[:10], 1000).tolist() == rows[:10].tolist()
