"""What an atlas tells of itself: radii and verdicts that hold, bursts and places left out, and honesty where it is too small."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sameplace import Atlas
from sameplace.atlas import writer
from sameplace.atlas.answering import FoundPhoto, Wanted, estimate
from sameplace.atlas.calibration import FEWEST, LEVELS, Calibration, conformal_rank, doubt
from sameplace.atlas.consensus import SAME_PLACE_M
from sameplace.atlas.estimate import Estimate
from sameplace.atlas.leave_out import calibrate, leave_out
from sameplace.atlas.manifest import Model
from sameplace.atlas.segment import Entry
from sameplace.atlas.update import UNCHANGED, finish
from sameplace.errors import AtlasError
from sameplace.geo import LatLon

DIM = 24


def learnt(scores, errors, impostors=(), several=True):
    columns = [np.array(column, np.float64) for column in (scores, errors, np.sort(impostors))]
    return Calibration(scale=1.0, scores=columns[0], errors=columns[1], impostors=columns[2], several_passes=several)


def drawn(rng, photos):
    """Scores, and errors that are the smaller the better the score, with a tail of wrong places."""
    scores = rng.normal(size=photos)
    wrong = rng.uniform(size=photos) < 1 / (1 + np.exp(4 + 3 * scores))
    return scores, np.where(wrong, rng.uniform(50, 500, photos), rng.exponential(5, photos))


def write(folder, descriptors, points, times=None, panoramas=None):
    """An atlas of these photos, in local metres."""
    writer.create(folder, Model(name="drawn", identity="drawn", dim=DIM, size=(8, 8), source="drawn"))
    entries = [
        Entry(path=f"/photos/{row}.jpg", size=1, mtime_ns=1, content=f"{row:032x}", row="", heading_deg=None,
              time=None if times is None else times[row], panorama=None if panoramas is None else panoramas[row],
              place=None, camera=None, extra={})
        for row in range(len(points))
    ]  # fmt: skip
    with writer.writing(folder) as hand:
        rows = writer.Rows.of(entries, points, descriptors.astype(np.float16))
        hand.commit(added=rows, runtime="numpy", precision="float32", frame="local")
        return hand.snapshot


def streets(rng, places, noise=0.6):
    """Unit descriptors of photos at places 8 m apart on lines 60 m apart, neighbours alike; and where they are."""
    looks = rng.normal(size=(places + 2, DIM))
    looks = (looks[:-2] + looks[1:-1] + looks[2:]) / 3**0.5
    points = np.column_stack([np.arange(places) % 20 * 8.0, np.arange(places) // 20 * 60.0])
    return lambda: unit(looks + noise * rng.normal(size=looks.shape)), points


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


# Radii


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(FEWEST, 400), st.sampled_from(LEVELS))
def test_a_radius_holds_at_least_the_part_of_the_examples_that_it_promises(seed, photos, level):
    scores, errors = drawn(np.random.default_rng(seed), photos)
    calibration = learnt(scores, errors)
    radii = [calibration.radius(float(score), level) for score in scores]
    assert None not in radii
    assert np.mean(errors <= np.array(radii)) >= level


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(FEWEST, 400), st.floats(-4, 4), st.floats(0, 3))
def test_better_scores_never_get_larger_radii_and_higher_levels_never_smaller_ones(seed, photos, score, more):
    calibration = learnt(*drawn(np.random.default_rng(seed), photos))
    worse, better = calibration.radii(score), calibration.radii(score + more)
    assert [level for level, _ in worse] == list(LEVELS)
    assert sorted(radius for _, radius in worse) == [radius for _, radius in worse]
    assert all(large >= small for (_, large), (_, small) in zip(worse, better, strict=True))


def test_of_new_answers_of_the_same_kind_as_many_lie_inside_as_promised():
    rng = np.random.default_rng(1)
    calibration = learnt(*drawn(rng, 1000))
    scores, errors = drawn(rng, 20_000)
    for level in LEVELS:
        inside = np.mean(errors <= [calibration.radius(float(score), level) for score in scores])
        assert inside == pytest.approx(level, abs=0.035)


def test_with_too_few_examples_nothing_is_promised():
    few = learnt(*drawn(np.random.default_rng(0), FEWEST - 1))
    assert few.radius(0.0, 0.5) is None
    assert few.radii(0.0) == few.usual_radii == ()
    assert "first guess" in doubt(few, 0.05)
    enough = learnt(*drawn(np.random.default_rng(0), FEWEST))
    assert enough.radius(0.0, 0.9) is not None
    assert enough.radius(0.0, 0.99) is None, "one in a hundred cannot be told from thirty"


@given(st.integers(1, 2000), st.floats(0.01, 0.999))
def test_the_conformal_rank_is_the_smallest_that_promises_the_level(examples, level):
    rank = conformal_rank(examples, level)
    assert rank / (examples + 1) >= level - 1e-9
    assert rank == 1 or (rank - 1) / (examples + 1) < level


# Known


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(FEWEST, 500), st.floats(0.001, 0.5))
def test_no_more_photos_from_elsewhere_are_let_in_than_was_asked_for(seed, photos, rate):
    impostors = np.random.default_rng(seed).normal(size=photos)
    calibration = learnt([], [], impostors)
    let_in = sum(calibration.known(float(score), rate) for score in impostors)
    assert let_in <= rate * (photos + 1)
    assert calibration.known(float(impostors.max()) + 1e-6, rate) is True


def test_a_rate_that_so_few_photos_cannot_promise_is_said():
    calibration = learnt(*drawn(np.random.default_rng(0), 100), np.linspace(0, 1, 99))
    assert calibration.least_false_accept == 0.01
    assert doubt(calibration, 0.01) is None
    assert "no fewer false accepts than 1.00%" in doubt(calibration, 0.001)
    assert calibration.known(1.0, 0.001) is False
    assert learnt([], [], np.zeros(FEWEST - 1)).known(9.0, 0.05) is None


def test_one_pass_is_said():
    scores, errors = drawn(np.random.default_rng(0), 100)
    impostors = np.zeros(200)
    assert "one pass" in doubt(learnt(scores, errors, impostors, several=False), 0.05)
    assert "one pass" in doubt(learnt([], [], impostors, several=False), 0.05)
    assert doubt(learnt(scores, errors, impostors, several=True), 0.05) is None


# Leaving out


def test_an_atlas_of_two_passes_learns_from_the_other_pass_alone(tmp_path):
    rng = np.random.default_rng(0)
    look, points = streets(rng, 100)
    times = [f"2024-0{month}-01T10:{row // 60:02d}:{row % 60:02d}" for month in (3, 9) for row in range(100)]
    snapshot = write(tmp_path / "atlas", np.vstack([look(), look()]), np.vstack([points, points]), times)
    found = leave_out(snapshot)
    assert found.several_passes is True
    assert len(found.answerable.photos) == 200
    np.testing.assert_array_equal(found.answerable.best // 100, 1 - found.answerable.photos // 100)
    assert np.median(found.answerable.errors) < 8


def test_an_impostor_finds_nothing_of_its_place(tmp_path):
    rng = np.random.default_rng(0)
    look, points = streets(rng, 100)
    found = leave_out(write(tmp_path / "atlas", look(), points)).impostors
    assert len(found.photos) == 100
    assert (np.linalg.norm(points[found.photos] - points[found.best], axis=1) > SAME_PLACE_M).all()


def test_views_of_the_own_panorama_and_copies_do_not_answer(tmp_path):
    rng = np.random.default_rng(0)
    look, points = streets(rng, 100)
    rows = look()
    rows[1] = rows[0]
    panoramas = [f"{row // 2}" for row in range(100)]
    found = leave_out(write(tmp_path / "atlas", rows, points, None, panoramas)).answerable
    assert found.photos.tolist() == list(range(100))
    assert (found.photos // 2 != found.best // 2).all()


def test_photos_of_one_burst_leave_nothing_to_learn_a_radius_from(tmp_path):
    look, points = streets(np.random.default_rng(0), 60)
    times = [f"2024-03-01T10:00:{row:02d}" for row in range(60)]
    calibration = calibrate(write(tmp_path / "atlas", look(), points, times))
    assert calibration.several_passes is False
    assert len(calibration.scores) == 0


def test_many_photos_of_few_places_promise_nothing(tmp_path):
    rng = np.random.default_rng(0)
    look, points = streets(rng, 10)
    times = [f"2024-{month:02d}-01T10:00:{row:02d}" for month in range(1, 11) for row in range(10)]
    snapshot = write(tmp_path / "atlas", np.vstack([look() for _ in range(10)]), np.tile(points, (10, 1)), times)
    assert len(leave_out(snapshot).answerable.photos) == 100
    assert not calibrate(snapshot).tells_radii


def test_an_atlas_without_photos_tells_nothing(tmp_path):
    writer.create(tmp_path / "atlas", Model(name="drawn", identity="drawn", dim=DIM, size=(8, 8), source="drawn"))
    with writer.writing(tmp_path / "atlas") as hand:
        calibration = calibrate(hand.snapshot)
    assert (len(calibration.scores), len(calibration.impostors)) == (0, 0)


def test_what_was_learnt_holds_for_a_third_pass(tmp_path):
    rng = np.random.default_rng(3)
    look, points = streets(rng, 400, noise=1.0)
    times = [f"2024-0{month}-01T10:{row // 60:02d}:{row % 60:02d}" for month in (3, 9) for row in range(400)]
    snapshot = write(tmp_path / "atlas", np.vstack([look(), look()]), np.vstack([points, points]), times)
    calibration = calibrate(snapshot)
    with writer.writing(tmp_path / "atlas") as hand:
        hand.commit(calibration=calibration)
        snapshot = hand.snapshot
    queries, foreign = look(), unit(rng.normal(size=(400, DIM)))
    answers = ask(snapshot, queries)
    errors = [np.hypot(answer.position.x_m - x, answer.position.y_m - y) for answer, (x, y) in zip(answers, points, strict=True)]
    inside = np.mean([error <= answer.radius for error, answer in zip(errors, answers, strict=True)])
    assert 0.85 <= inside <= 0.96
    assert all(answer.calibrated and answer.several_passes for answer in answers)
    assert np.mean([answer.known for answer in ask(snapshot, foreign)]) <= 0.08
    assert calibrate(snapshot).to_bytes() == calibration.to_bytes()


def ask(snapshot, queries):
    found = snapshot.index().search(queries, 41)
    lines = zip(queries, found.similarities, found.rows, strict=True)
    return [estimate(snapshot, FoundPhoto(photo="q", descriptor=q, similarities=s, rows=r), Wanted()) for q, s, r in lines]


# Another light


def test_a_place_is_known_in_a_light_that_the_atlas_never_met_by_what_sets_it_apart(tmp_path):
    rng = np.random.default_rng(5)
    look, points = streets(rng, 300, noise=0.2)
    day, night = (0.5 * unit(rng.normal(size=(1, DIM))) for _ in range(2))
    snapshot = write(tmp_path / "atlas", unit(look() + day), points)
    calibration = calibrate(snapshot)
    np.testing.assert_allclose(calibration.centre, snapshot.descriptors(snapshot.rows()).astype(np.float32).mean(axis=0), atol=1e-6)
    with writer.writing(tmp_path / "atlas") as hand:
        hand.commit(calibration=calibration)
        snapshot = hand.snapshot
    answers = ask(snapshot, unit(look() + night))
    foreign = ask(snapshot, unit(unit(rng.normal(size=(300, DIM))) + night))
    assert np.mean([one.known for one in answers]) > 0.6, "without the centre it is a fifth"
    assert np.mean([one.known for one in foreign]) <= 0.08


def test_atlases_of_before_have_no_centre_and_keep_their_scores(tmp_path):
    look, points = streets(np.random.default_rng(0), 100)
    calibration = calibrate(write(tmp_path / "atlas", look(), points))
    known = json.loads(calibration.to_bytes())
    assert len(known.pop("centre")) == DIM
    before = Calibration.from_bytes(json.dumps(known).encode())
    assert before.centre is None
    assert Calibration.from_bytes(before.to_bytes()).centre is None


# On disk


def test_what_was_learnt_is_kept_beside_the_manifest_and_made_anew_after_real_changes(tmp_path):
    look, points = streets(np.random.default_rng(0), 100)
    write(tmp_path / "atlas", look(), points)
    with writer.writing(tmp_path / "atlas") as hand:
        finish(hand)
        first = hand.snapshot.manifest.calibration
        finish(hand)
        assert hand.snapshot.manifest.calibration == first
        hand.commit(removed=np.array([0], np.int64))
        finish(hand)
        assert hand.snapshot.manifest.calibration.changed == 1 < 100 / UNCHANGED
        hand.commit(removed=np.array([50], np.int64))
        finish(hand)
        second = hand.snapshot.manifest.calibration
    assert second.changed == 0
    assert second.file != first.file
    assert [path.name for path in (tmp_path / "atlas").glob("calibration-*")] == [second.file]
    kept = Atlas.open(tmp_path / "atlas")._snapshot.calibration
    assert kept.to_bytes() == Calibration.from_bytes(kept.to_bytes()).to_bytes()


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"scale": 1, "scores": [1], "errors_m": [], "impostors": [], "several_passes": null}']
)
def test_a_damaged_calibration_is_named(tmp_path, content):
    look, points = streets(np.random.default_rng(0), 40)
    write(tmp_path / "atlas", look(), points)
    with writer.writing(tmp_path / "atlas") as hand:
        finish(hand)
    next((tmp_path / "atlas").glob("calibration-*")).write_bytes(content)
    with pytest.raises(AtlasError, match=r"calibration-\d+.json is damaged"):
        Atlas.open(tmp_path / "atlas")


def test_a_radius_that_an_estimate_does_not_have_is_refused_with_those_it_has():
    known = {"photo": "a.jpg", "position": LatLon(0.0, 0.0), "radius": 9.0, "known": True, "matches": ()}
    with pytest.raises(ValueError, match=r"got 0\.7; it has 0\.5, 0\.9"):
        Estimate(radii=((0.5, 3.0), (0.9, 9.0)), **known).radius_at(0.7)
    with pytest.raises(ValueError, match="not calibrated"):
        Estimate(**known).radius_at(0.9)


@pytest.mark.parametrize("wrong", [{"level": 1.0}, {"false_accept": 0.0}, {"top": 0}])
def test_what_cannot_be_wanted_is_refused(wrong):
    with pytest.raises(ValueError, match="was wanted, got"):
        Wanted(**wrong)
