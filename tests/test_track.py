"""A rough track is one more witness of a walk: it says how somebody moved, and about where, and never more than it knows."""

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sameplace.atlas.answering import FoundPhoto
from sameplace.atlas.track import DRIFT_SECONDS, GAP_SECONDS, LEAST_M, Drift, Moment, Track
from sameplace.atlas.walk import FALL, posteriors, walked
from sameplace.errors import PositionError
from sameplace.geo import LocalPoint, Positions
from test_calibration import DIM, unit, write

NOON = 1718193780.0  # 2024-06-12 12:03:00 UTC


def moments(seconds):
    return [None if one is None else Moment(seconds=NOON + one) for one in seconds]


def track(seconds, points, **options):
    return Track(times=NOON + np.array(seconds, float), positions=Positions("local", np.array(points, float)), **options)


def drifting(rng, points, deviation, lasting, lapse):
    """Points as a receiver would tell them, whose errors last for some seconds."""
    left, errors = np.exp(-lapse / lasting), [rng.normal(scale=deviation, size=2)]
    for _ in points[1:]:
        errors.append(left * errors[-1] + rng.normal(scale=deviation * (1 - left**2) ** 0.5, size=2))
    return points + np.array(errors)


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    """An atlas of two streets of 20 houses, 200 m apart, that look the same, and photos of one of them: one in 4 s."""
    rng = np.random.default_rng(3)
    street = rng.normal(size=(20, DIM))
    looks = unit(np.concatenate([street, street]))
    points = np.column_stack([np.tile(np.arange(20) * 12.0, 2), np.repeat([0.0, 200.0], 20)])
    snapshot = write(tmp_path_factory.mktemp("twins") / "atlas", looks, points)
    queries = unit(street + 0.7 * rng.normal(size=(20, DIM)))
    found = snapshot.index().search(queries, 20)
    lines = zip(queries, found.similarities, found.rows, strict=True)
    photos = [FoundPhoto(photo="q", descriptor=q, similarities=s, rows=r) for q, s, r in lines]
    return snapshot, photos, points.reshape(2, 20, 2), moments(range(0, 80, 4))


def errors(steps, truth):
    return np.array(
        [np.hypot(step["position"].x_m - x, step["position"].y_m - y) for step, (x, y) in zip(steps, truth, strict=True)]
    )


# What a track says


@settings(deadline=None)
@given(st.lists(st.floats(0, 59), min_size=1, max_size=9), st.floats(-3, 3))
def test_between_two_fixes_somebody_went_straight(asked, speed):
    told = track([0, 20, 59], [[0, 7], [20 * speed, 7], [59 * speed, 7]]).told(moments(asked))
    np.testing.assert_allclose(told, [(seconds * speed, 7, 0) for seconds in asked], atol=1e-4)


def test_beyond_its_ends_in_gaps_and_without_a_time_a_track_says_nothing():
    gap = GAP_SECONDS + 1
    known = track([0, 10, 10 + gap], [[0, 0], [10, 0], [20, 0]])
    told = known.told([*moments([0, 10, 5, 12, 10 + gap, -2, 10 + gap + 2, None]), Moment(seconds=NOON, within="walk.mp4")])
    assert np.isfinite(told[:, 0]).tolist() == [True, True, True, False, True, False, False, False, False]
    assert track([3], [[1, 2]]).told(moments([3])).tolist() == [[1, 2, 0]]


@settings(deadline=None)
@given(st.integers(0, 10**6), st.floats(-50_000, 50_000))
def test_a_track_shifted_in_time_and_a_clock_that_is_ahead_cancel_each_other(seed, ahead):
    rng = np.random.default_rng(seed)
    seconds, points = np.sort(rng.permutation(60)[:8]), rng.normal(size=(8, 2))
    photos = rng.uniform(seconds[0], seconds[-1], 5)
    plain = track(seconds, points).told(moments(photos))
    late = track(seconds, points, ahead=ahead).told(moments(photos + ahead))
    np.testing.assert_allclose(late, plain, atol=1e-3)
    np.testing.assert_allclose(track(seconds + 7, points).told(moments(photos + 7)), plain, atol=1e-3)


# What it adds to the photos


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 4))
def test_the_posteriors_are_those_of_every_way_there_is_and_of_the_errors_that_it_would_mean(seed, photos):
    rng = np.random.default_rng(seed)
    points = [rng.uniform(-80, 80, (rng.integers(1, 4), 3)) for _ in range(photos)]
    seen = [rng.normal(size=len(places)) for places in points]
    told, seconds = rng.uniform(-80, 80, (photos, 3)), np.cumsum(rng.uniform(1, 90, photos))
    told[rng.random(photos) < 0.3] = np.nan
    anew = np.isfinite(told[:, 0]) & np.r_[True, np.isnan(told[:-1, 0])] & (rng.random(photos) < 0.7)
    left, deviation, reach = np.exp(-np.diff(seconds) / DRIFT_SECONDS), 25.0, rng.uniform(5, 50, photos - 1)

    def density(error, expected, variance):
        return (1 + np.sum((error - expected) ** 2) / (2 * (variance + LEAST_M**2))) ** -3

    wanted = [np.zeros(len(places)) for places in points]
    for way in product(*(range(len(places)) for places in points)):
        here = [places[place] for places, place in zip(points, way, strict=True)]
        odds = np.exp(sum(one[place] for one, place in zip(seen, way, strict=True)))
        for far, (one, other) in zip(reach, pairwise(here), strict=True):
            odds *= (1 + np.sum((other - one) ** 2) / far**2) ** -FALL
        off = np.array(here) - told
        for photo in range(photos):
            if np.isnan(off[photo, 0]):
                continue
            if photo and np.isfinite(off[photo - 1, 0]):
                kept = left[photo - 1]
                odds *= density(off[photo], kept * off[photo - 1], deviation**2 * (1 - kept**2))
            elif anew[photo]:
                odds *= density(off[photo], 0, deviation**2)
        for photo, place in enumerate(way):
            wanted[photo][place] += odds
    found = posteriors(points, seen, reach, Drift(told=told, left=left, anew=anew, deviation=deviation))
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other / other.sum(), rtol=1e-8)


def test_a_track_that_may_be_off_by_anything_changes_nothing(twins):
    snapshot, photos, _, times = twins
    lost = track(range(0, 80, 4), np.random.default_rng(1).normal(scale=1e4, size=(20, 2)), deviation=np.inf)
    assert list(walked(snapshot, photos, times, 5.0, lost)) == list(walked(snapshot, photos, times, 5.0))


def steady(times, offset=40.0):
    """The odds of having stood still so many metres beside a track that stood still, over those of having stood on it."""
    there, here = np.zeros((1, 3)), np.array([[offset, 0.0, 0.0]])
    seconds = np.arange(-1000.0, 1000.0, 10)
    drift = Drift.of(track(seconds, np.zeros((len(seconds), 2))), times, np.zeros(3))
    logarithms = [
        sum(float(drift.alone(photo, point)[0]) for photo in range(len(times)))
        + sum(float(drift.step(photo, point, point)[0, 0]) for photo in range(len(times) - 1))
        for point in (here, there)
    ]
    return logarithms[0] - logarithms[1]


def test_photos_without_a_time_do_not_make_a_steady_offset_count_more_often():
    every = [Moment(seconds=NOON + second) for second in range(20)]
    gaps = [moment if second % 2 == 0 else None for second, moment in enumerate(every)]
    pairs = [moment if second % 3 else None for second, moment in enumerate(every)]
    once = steady(every[:1])
    assert once < -1
    for times in (every, gaps, pairs, [None, *every], [*gaps, None, Moment(seconds=NOON, within="walk.mp4"), *gaps]):
        assert steady(times) == pytest.approx(once, abs=0.2)


@settings(deadline=None)
@given(st.lists(st.integers(0, 900), min_size=1, max_size=30, unique=True).map(sorted))
def test_an_error_counts_anew_a_minute_later_and_no_sooner(seconds):
    counted, last = 0, -np.inf
    for second in seconds:
        if second - last >= DRIFT_SECONDS:
            counted, last = counted + 1, second
    alone = [time for second in seconds for time in (Moment(seconds=NOON + second), None)]
    assert steady(alone) == pytest.approx(counted * steady(alone[:1]))


def test_a_track_that_may_be_off_by_anything_says_nothing_of_two_photos_of_one_second(twins):
    snapshot, photos, _, times = twins
    lost = track(range(0, 80, 4), np.zeros((20, 2)), deviation=np.inf)
    together = [*times[:5], times[4], *times[6:]]
    assert list(walked(snapshot, photos, together, 5.0, lost)) == list(walked(snapshot, photos, together, 5.0))


def test_photos_and_a_drifting_track_together_beat_each_alone(twins):
    snapshot, photos, streets, times = twins
    right = []
    for seed, truth in product(range(4), streets):
        # Neither of the two numbers is what the model takes them for.
        rough = drifting(np.random.default_rng(seed), truth, 40.0, 90.0, 4.0)
        both = errors(walked(snapshot, photos, times, 5.0, track(range(0, 80, 4), rough)), truth)
        looks = errors(walked(snapshot, photos, times, 5.0), truth)
        right.append([np.mean(off < 15) for off in (both, looks, np.hypot(*(rough - truth).T))])
    both, looks, receiver = np.mean(right, axis=0)
    assert both >= 0.9
    assert looks == 0.5
    assert receiver < 0.4


def test_a_reflection_that_throws_the_track_off_for_a_while_is_outvoted(twins):
    snapshot, photos, streets, times = twins
    for truth in streets:
        rough = truth + np.array([20.0, 10.0])
        rough[8:12] += 400.0
        assert errors(walked(snapshot, photos, times, 5.0, track(range(0, 80, 4), rough)), truth).max() < 15


# What cannot be compared


def test_times_that_do_not_meet_are_one_sentence_with_the_time_zone_that_would_explain_it():
    one_hour = track(range(0, 3600, 30), np.zeros((120, 2)))
    with pytest.raises(PositionError, match=r"tells of 0 of 3; if the camera's clock was ahead of UTC .*--camera-ahead 2:00\)"):
        one_hour.told(moments([7300, 8000, 10_700]))
    with pytest.raises(PositionError, match=r"clock was behind UTC by a time zone, say so \(ahead=-19800, --camera-ahead -5:30\)"):
        one_hour.told(moments([-19_800 + 60, -19_800 + 3000]))
    with pytest.raises(PositionError, match=r"ahead of UTC .* \(ahead=7200, --camera-ahead 2:00\)"):
        track(range(0, 3600, 30), np.zeros((120, 2)), ahead=3600.0).told(moments([7300, 8000, 10_700]))
    wrong = track(range(0, 3600, 30), np.zeros((120, 2)), ahead=7200.0)
    with pytest.raises(PositionError, match=r"if the camera's clock showed UTC, leave out ahead=7200 \(--camera-ahead 2:00\)\.$"):
        wrong.told(moments([60, 800, 3000]))
    with pytest.raises(PositionError, match=r"clock showed UTC, leave out ahead=-5405 \(--camera-ahead -1:30\)\.$"):
        track(range(0, 3600, 30), np.zeros((120, 2)), ahead=-5405.0).told(moments([60, 800, 3000]))
    with pytest.raises(PositionError, match=r"goes from 2024-06-12 12:03:00 .*; give the track of this walk, or say by how much"):
        one_hour.told(moments([400_000, 400_030]))
    with pytest.raises(PositionError, match="tells of 1 of 3"):  # half a walk at the wrong hour would be worse than no track
        one_hour.told(moments([3000, 3700, 3800]))


def test_a_track_needs_times_and_latitudes():
    known = track([0], [[0, 0]])
    with pytest.raises(
        PositionError, match=r"no photo that can be read says when it was taken; give the originals .* \(began, --began\)"
    ):
        known.check("earth", [None, Moment(seconds=3.0, within="walk.mp4")])
    with pytest.raises(PositionError, match="no photo that can be read says when it was taken"):
        known.told([None, Moment(seconds=3.0, within="walk.mp4")])
    with pytest.raises(PositionError, match="the atlas holds local metres"):
        known.check("local", moments([0]))
    known.check("earth", moments([None, 0]))
    for seconds, points in (([], np.empty((0, 2))), ([0, 1], [[0, 0]]), ([1, 1], [[0, 0], [0, 1]]), ([1, 0], [[0, 0], [0, 1]])):
        with pytest.raises(ValueError, match="rising times was wanted"):
            track(seconds, points)
    for wrong in ({"deviation": 0.0}, {"deviation": np.nan}, {"ahead": np.inf}):
        with pytest.raises(ValueError, match=r"wanted, got"):
            track([0], [[0, 0]], **wrong)


def test_a_position_in_local_metres_is_what_a_local_track_tells():
    assert track([0], [[3, 4]]).positions[0] == LocalPoint(3.0, 4.0)
