"""Photos of one walk tell together what each alone does not."""

from itertools import pairwise, product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sameplace.atlas.answering import FoundPhoto
from sameplace.atlas.track import Moment
from sameplace.atlas.walk import FALL, LEAST_STEP_M, STEP_M, posteriors, reaches, walked
from test_calibration import DIM, unit, write


def at(seconds, within=""):
    return Moment(seconds=seconds, within=within)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 5))
def test_the_posteriors_are_those_of_every_way_there_is(seed, photos):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 4, photos)
    points = [rng.uniform(-50, 50, (size, 3)) for size in sizes]
    seen = [rng.normal(size=size) for size in sizes]
    reach = rng.uniform(5, 50, photos - 1)
    likely = [np.zeros(size) for size in sizes]
    for way in product(*map(range, sizes)):
        odds = np.exp(sum(seen[photo][place] for photo, place in enumerate(way)))
        for photo, (here, there) in enumerate(pairwise(way)):
            away = np.linalg.norm(points[photo][here] - points[photo + 1][there])
            odds *= (1 + (away / reach[photo]) ** 2) ** -FALL
        for photo, place in enumerate(way):
            likely[photo][place] += odds
    for found, wanted in zip(posteriors(points, seen, reach), likely, strict=True):
        np.testing.assert_allclose(found, wanted / wanted.sum(), rtol=1e-9)


def test_times_bound_the_steps_and_order_does_where_there_are_none():
    moments = [at(0.0), at(100.0), at(101.0), None, at(5.0), at(2.0, "walk.mp4"), at(60.0, "walk.mp4")]
    assert reaches(moments, 2.0).tolist() == [200.0, LEAST_STEP_M, STEP_M, STEP_M, STEP_M, 116.0]
    assert reaches([at(7.0)], 2.0).tolist() == []


def test_two_streets_that_look_alike_are_told_apart_by_the_way_that_led_there(tmp_path):
    rng = np.random.default_rng(0)
    shared, own = rng.normal(size=(20, DIM)), rng.normal(size=(2, 20, DIM))
    own[:, 8:] *= 0.02  # after the first houses, the two streets look all but the same
    looks = unit((shared + own).reshape(40, DIM))
    points = np.column_stack([np.tile(np.arange(20) * 10.0, 2), np.repeat([0.0, 500.0], 20)])
    snapshot = write(tmp_path / "atlas", looks, points)
    queries = unit(looks[20:] + 0.1 * rng.normal(size=(20, DIM)))
    found = snapshot.index().search(queries, 20)
    lines = zip(queries, found.similarities, found.rows, strict=True)
    photos = [FoundPhoto(photo="q", descriptor=q, similarities=s, rows=r) for q, s, r in lines]
    alone = np.mean(found.rows[:, 0] >= 20)
    steps = list(walked(snapshot, photos, [None] * 20, 5.0))
    away = [np.hypot(step["position"].x_m - x, step["position"].y_m - y) for step, (x, y) in zip(steps, points[20:], strict=True)]
    assert alone < 0.9
    assert max(away) < 15
    assert list(walked(snapshot, [], [], 5.0)) == []
