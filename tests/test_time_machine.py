"""The time machine: passes, what shifts them, and the tuples "same place, another time". Toytown's two passes are its fixture."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sameplace.datasets.toytown import draw
from sameplace.datasets.toytown.album import PASSES
from sameplace.datasets.toytown.plan import plan, stand
from sameplace.errors import DatasetError, PositionError
from sameplace.geo import LatLon, LocalPoint, Positions, from_utm, to_utm
from sameplace.images import ImageRecord, ImageSet
from sameplace.training.offsets import shifts
from sameplace.training.passes import moments, passes
from sameplace.training.reach import Reach
from sameplace.training.streets import Streets
from sameplace.training.time_machine import Passes, time_machine

NOON = datetime(2024, 6, 1, 12)


def at(x, y=0.0, **known):
    return ImageRecord(path=Path("photo.jpg"), position=LocalPoint(float(x), float(y)), **known)


def later(seconds, **known):
    return at(0.0, time=NOON + timedelta(seconds=seconds), **known)


def said(word, **known):
    return at(0.0, extra={"time": word}, **known)


def town(places=100, seed=0):
    """Where and when the two passes of toytown take their photos; nothing is drawn."""
    drawn = plan(places, seed, np.random.default_rng((seed, 0)))
    taken = []
    for number, drive in enumerate(PASSES):
        rng = np.random.default_rng((seed, 1, number))
        for place, spot in enumerate(drawn.places):
            view = stand(drawn, spot, drive.start + timedelta(hours=12, minutes=3 * spot.street), drive.jitter, rng)
            taken.append(
                ImageRecord(
                    path=Path(drive.folder, f"{place:04}.jpg"),
                    position=view.position,
                    heading_deg=view.heading_deg,
                    time=view.time,
                    place=f"{place:04}",
                )
            )
    return taken


def moved(images, east, north, noise=0.0, seed=0):
    """The same photos by a receiver that is off by so many metres, and by some more each time."""
    rng, found = np.random.default_rng(seed), []
    for image in images:
        grid = to_utm(image.position)
        off = rng.normal(0, noise, 2) if noise else (0.0, 0.0)
        found.append(replace(image, position=from_utm(grid[0] + east + off[0], grid[1] + north + off[1], *grid[2:])))
    return found


def places_met(streets):
    """How many queries have their own place among the potential positives."""
    database = [streets.images[row] for row in streets.database]
    asked = zip(streets.queries.tolist(), streets.positives, strict=True)
    return sum(any(database[row].place == streets.images[query].place for row in rows) for query, rows in asked)


def differ(first, second, same_pass=600.0):
    both = moments([first, second])
    forth, back = both.differ(np.array([0, 1]), np.array([1, 0]), same_pass)
    assert forth == back
    return bool(forth)


# When


def test_another_time_is_more_than_a_pass_apart():
    assert not differ(later(0), later(600))
    assert differ(later(0), later(601))
    assert not differ(later(0), at(0.0))


def test_months_and_years_tell_passes_apart_as_far_as_they_can():
    assert differ(said("2014-06"), said("2014-07"))
    assert not differ(said("2014-06"), said("2014-06"))
    assert not differ(said("2014-06"), said("2014"))
    assert differ(said("2013"), said("2014-01"))
    assert differ(said("2013-12"), said("2014-01"))
    assert not differ(said("2024-06"), later(0))
    assert differ(said("2024-05"), later(0))
    assert differ(said("202407"), later(0))


def test_stamps_that_are_no_time_only_differ():
    tokyo = [at(0.0, extra={"time_stamp": stamp}) for stamp in ("7.3e5", "7.31e5", "7.3e5")]
    assert differ(tokyo[0], tokyo[1])
    assert not differ(tokyo[0], tokyo[2])
    assert not differ(tokyo[0], later(0))
    assert not differ(said("last summer"), said("2014-06"))


def test_a_clock_without_a_zone_may_be_anywhere_on_earth():
    zoned = at(0.0, time=NOON.replace(tzinfo=UTC))
    assert not differ(zoned, later(13 * 3600))
    assert differ(zoned, later(15 * 3600))
    assert not differ(zoned, at(0.0, time=(NOON + timedelta(hours=9)).replace(tzinfo=timezone(timedelta(hours=9)))))


# Passes


def numbers(images, same_pass=600.0):
    return passes(images, moments(images), same_pass).tolist()


def test_a_break_ends_a_pass():
    assert numbers([later(0), later(1500), later(500), later(1000), later(2101)]) == [0, 0, 0, 0, 1]


def test_cameras_and_contributors_drive_passes_of_their_own():
    assert numbers([later(0, camera="a"), later(1, camera="b"), later(2, camera="a")]) == [0, 1, 0]
    ann, bob = ({"creator": name} for name in ("ann", "bob"))
    assert numbers([later(0, extra=ann), later(1, extra=bob), later(2, extra=ann)]) == [0, 1, 0]


def test_a_sequence_and_a_panorama_are_never_torn():
    north = {"sequence": "north"}
    assert numbers([later(0, extra=north), later(9000, extra=north), later(20_000)]) == [0, 0, 1]
    assert numbers([later(0, panorama="p", camera="a"), later(0, panorama="p", camera="b")]) == [0, 0]


def test_what_was_taken_in_one_month_or_bears_one_stamp_is_one_pass():
    assert numbers([said("2014-06"), said("2014-07"), said("2014-06")]) == [0, 1, 0]
    assert numbers([said("seventh"), said("eighth"), said("seventh")]) == [0, 1, 0]


def test_nobody_knows_the_pass_of_what_has_no_time():
    assert numbers([at(0.0), later(0), at(1.0)]) == [-1, 0, -1]
    assert numbers([at(0.0, extra={"sequence": "s"}), at(1.0, extra={"sequence": "s"})]) == [0, 0]


def test_the_two_passes_of_toytown_are_two():
    taken = town(40)
    assert numbers(taken) == [0] * 40 + [1] * 40


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=30))
@settings(deadline=None, max_examples=50)
def test_passes_are_the_runs_of_sorted_times(seconds):
    found = numbers([later(second) for second in seconds])
    for first in range(len(seconds)):
        for second in range(len(seconds)):
            between = sorted(
                time for time in seconds if min(seconds[first], seconds[second]) <= time <= max(seconds[first], seconds[second])
            )
            unbroken = all(after - before <= 600 for before, after in pairwise(between))
            assert (found[first] == found[second]) == unbroken


# What shifts a pass


@pytest.mark.parametrize("offset", [(0.0, 0.0), (4.0, 7.0), (-9.0, 3.0), (12.0, -9.0)])
@pytest.mark.parametrize("noise", [0.0, 1.5])
def test_what_shifts_one_pass_of_toytown_against_the_other_is_found(offset, noise):
    taken = town()
    one, other = moved(taken[:100], 0.0, 0.0, noise, seed=1), moved(taken[100:], *offset, noise, seed=2)
    known = Passes.of([*one, *other])
    truth = Positions.of([image.position for image in taken]).metric()
    said_by = Positions.of([image.position for image in (*one, *other)]).metric()
    back = known.shifts[100:].mean(axis=0) - known.shifts[:100].mean(axis=0)
    wanted = (truth - said_by)[100:].mean(axis=0) - (truth - said_by)[:100].mean(axis=0)
    assert np.linalg.norm(back - wanted) < 1.0
    assert np.linalg.norm(known.shifts, axis=1).max() <= np.hypot(*offset) / 2 + 1  # they meet in the middle


def track(east, north, steps, passes_by, spacing=10.0, start=0.0):
    """A straight drive from somewhere in some direction, a photo each few metres, never quite evenly."""
    rng = np.random.default_rng(passes_by)
    along = start + spacing * np.arange(steps) + rng.uniform(-3, 3, steps)
    length = np.hypot(east, north)
    return [(east / length * one, north / length * one) for one in along]


def local(points):
    return Positions.of([LocalPoint(float(x), float(y)) for x, y in points])


def test_in_one_street_only_the_shift_across_it_is_seen():
    first, second = track(1, 1, 40, 0), [(x + 3.0, y - 5.0) for x, y in track(1, 1, 40, 1)]
    found = shifts(local([*first, *second]), np.repeat([0, 1], 40))
    back = found[40] - found[0]
    across = np.array([1, -1, 0]) / np.sqrt(2)
    assert back @ across == pytest.approx(-8 / np.sqrt(2), abs=0.1)
    assert abs(back @ np.array([1, 1, 0])) < 0.1


def test_a_street_that_is_not_quite_straight_shows_no_shift_along_it():
    rng = np.random.default_rng(4)
    street = [np.array(track(1, 0, 60, number)) + rng.normal(0, 1.5, (60, 2)) for number in (0, 1)]
    found = shifts(local(np.concatenate([street[0], street[1] + np.array([6.0, 4.0])])), np.repeat([0, 1], 60))
    back = found[60] - found[0]
    assert back[1] == pytest.approx(-4.0, abs=0.8)
    assert abs(back[0]) < 0.3


def test_pictures_far_off_do_not_decide():
    first = [*track(1, 0, 40, 0), *track(0, 1, 40, 1)]
    second = np.array([*track(1, 0, 40, 2), *track(0, 1, 40, 3)]) + np.array([6.0, -4.0])
    second[::3] += np.random.default_rng(0).uniform(5, 20, (27, 2))
    found = shifts(local([*first, *second]), np.repeat([0, 1], 80))
    assert np.abs((found[80] - found[0])[:2] - (-6.0, 4.0)).max() < 0.3


def test_three_passes_fall_onto_each_other():
    parts, off = [], np.array([[0.0, 0.0], [7.0, -3.0], [-5.0, 6.0]])
    for number, one in enumerate(off):
        parts.append(np.array([*track(1, 0, 60, 10 + number), *track(0, 1, 60, 20 + number)]) + one)
    found = shifts(local(np.concatenate(parts)), np.repeat([0, 1, 2], 120))[[0, 120, 240], :2]
    left = found + off
    assert np.abs(left - left.mean(axis=0)).max() < 0.3


def test_far_away_streets_squares_and_lone_passes_are_left_alone():
    rng = np.random.default_rng(0)
    street, parallel = track(1, 0, 40, 0), [(x, y + 60.0) for x, y in track(1, 0, 40, 1)]
    assert not shifts(local([*street, *parallel]), np.repeat([0, 1], 40)).any()
    square = rng.uniform(0, 40, (120, 2))
    assert not shifts(local([*square, *(square + 5.0)]), np.repeat([0, 1], 120)).any()
    turning = [*track(1, 0, 40, 3, spacing=3.0)], track(0, 1, 80, 2, spacing=3.0, start=-120.0)
    assert not shifts(local([*turning[0], *turning[1]]), np.repeat([0, 1], [40, 80])).any()
    assert not shifts(local([*street, *street]), np.full(80, -1)).any()
    few = [(x, y + 5.0) for x, y in street[:5]]
    assert not shifts(local([*street[:5], *few]), np.repeat([0, 1], 5)).any()
    assert shifts(local([]), np.empty(0, np.int64)).shape == (0, 3)


def test_it_does_not_matter_where_on_earth_or_how_often_a_picture_is_repeated():
    """Tiles of a panorama do not weigh more than a photo, and metres are metres at the antimeridian near the pole, too."""
    first = np.array([*track(1, 0, 40, 0), *track(0, 1, 40, 1)])
    second = np.array([*track(1, 0, 40, 2), *track(0, 1, 40, 3)]) + np.array([6.0, -4.0])
    plain = shifts(local([*first, *second]), np.repeat([0, 1], 80))
    repeated = shifts(local(np.repeat([*first, *second], 12, axis=0)), np.repeat([0, 1], 960))
    assert np.allclose(repeated[::12], plain)
    latitude, longitude = 71.0, 180.0
    metre = 1 / 111_586.0  # of a degree of latitude there
    wide = metre / np.cos(np.radians(latitude)) * 0.9987
    on_earth = Positions.of([LatLon(latitude + y * metre, longitude + x * wide) for x, y in (*first, *second)])
    turned = shifts(on_earth, np.repeat([0, 1], 80))
    assert np.linalg.norm(turned[80] - turned[0]) == pytest.approx(np.linalg.norm(plain[80] - plain[0]), rel=0.03)


# Tuples


@given(
    st.lists(
        st.tuples(st.floats(0, 60), st.floats(0, 9), st.integers(0, 4000), st.integers(0, 3), st.integers(0, 359)),
        min_size=2,
        max_size=25,
    ),
    st.sampled_from([None, 60.0]),
)
@settings(deadline=None, max_examples=60)
def test_without_shifts_and_accuracies_the_tuples_are_those_of_reach(taken, heading):
    images = [
        at(x, y, time=NOON + timedelta(seconds=second), panorama=str(panorama) if panorama else None, heading_deg=float(degrees))
        for x, y, second, panorama, degrees in taken
    ]
    reach = Reach(another_time=True, heading=heading)
    plain = Streets.of(images, reach)
    if not len(plain.queries):
        with pytest.raises(DatasetError, match="another time"):
            time_machine(images, reach, align=False)
        return
    found = time_machine(images, reach, align=False)
    assert found.queries.tolist() == plain.queries.tolist()
    assert found.database.tolist() == plain.database.tolist()
    assert [rows.tolist() for rows in found.positives] == [rows.tolist() for rows in plain.positives]
    assert [rows.tolist() for rows in found.near] == [rows.tolist() for rows in plain.near]


def test_every_place_of_toytown_meets_its_other_pass_however_far_the_receiver_is_off():
    taken = town()
    off = [*taken[:100], *moved(taken[100:], 12.0, -9.0, 1.5)]
    streets = time_machine(off)
    assert len(streets.queries) == places_met(streets) == 200
    # Without the offset taken off, hardly anything is found, and most of that is wrong.
    assert places_met(time_machine(off, align=False)) < 20
    for query, rows in zip(streets.queries.tolist(), streets.positives, strict=True):
        assert {row < 100 for row in rows.tolist()} == {query >= 100}


def test_a_drawn_town_is_read_and_paired(tmp_path):
    draw(tmp_path, places=6)
    streets = time_machine(ImageSet.open(tmp_path).records())
    assert len(streets.queries) == places_met(streets) == 12


def test_a_definite_negative_is_far_in_truth_though_the_receiver_is_off():
    taken = town()
    streets = time_machine([*taken[:100], *moved(taken[100:], -9.0, 8.0, 1.0)])
    truth = Positions.of([image.position for image in taken]).metric()
    for query, rows in zip(streets.queries.tolist(), streets.near, strict=True):
        far = np.setdiff1d(np.arange(200), rows)
        assert np.linalg.norm(truth[far] - truth[query], axis=1).min() > 20
        assert query in rows


def test_dated_panoramas_become_tuples_whose_tiles_are_neither_torn_nor_paired():
    """Tiles as `sameplace cut` records them, dated to the month, of two panoramas at one spot."""
    tiles = [
        at(x, panorama=name, heading_deg=90.0 * turn, extra={"time": month})
        for x, name, month in ((0.0, "a", "2014-06"), (0.0, "b", "2016-05"), (3.0, "c", "2014-06"), (90.0, "d", "2016-05"))
        for turn in range(4)
    ]
    streets = time_machine(tiles)
    assert streets.queries.tolist() == list(range(12))
    for query, rows in zip(streets.queries.tolist(), streets.positives, strict=True):
        assert rows.tolist() == ([4, 5, 6, 7] if query // 4 != 1 else [0, 1, 2, 3, 8, 9, 10, 11])
    facing = time_machine(tiles, Reach(another_time=True, trivial=0.0, heading=45.0))
    assert [rows.tolist() for rows in facing.positives][:2] == [[4], [5]]


def test_the_very_same_spot_is_trivial_only_where_a_reach_says_so():
    tripod = [later(0), later(9000)]
    assert [rows.tolist() for rows in time_machine(tripod).positives] == [[1], [0]]
    with pytest.raises(DatasetError, match="add a second pass"):
        time_machine(tripod, Reach(another_time=True))


def test_a_worse_position_seeks_positives_nearer_and_negatives_farther():
    def pair(distance, accuracy):
        extra = {} if accuracy is None else {"accuracy_m": accuracy}
        return [
            later(0),
            at(distance, time=NOON + timedelta(days=1), extra=extra),
            at(300.0),
            at(1.0, time=NOON + timedelta(days=2)),
        ]

    def positive(distance, accuracy):
        streets = time_machine(pair(distance, accuracy))
        return 1 in streets.positives[0], 1 in streets.near[0]

    assert positive(9.5, None) == positive(9.5, "2") == positive(9.5, "5") == (True, True)
    # The square root of 5^2 + 12^2 is 13, 5.93 m more than twice the usual 5 m make.
    assert positive(4.0, "12") == (True, True)
    assert positive(4.2, "12") == (False, True)
    assert positive(36.8, "12") == (False, True)
    assert positive(36.9, "12") == (False, False)
    assert positive(25.1, None) == (False, False)
    assert positive(9.5, "unknown") == (True, True)


def test_what_is_not_placed_well_enough_or_at_all_stands_alone():
    images = [later(0), later(9000), ImageRecord(path=Path("nowhere.jpg"), time=NOON), later(0, extra={"accuracy": "26"}), at(5.0)]
    streets = time_machine(images)
    assert streets.alone.tolist() == [2, 3]
    assert streets.database.tolist() == [0, 1, 4]
    assert streets.queries.tolist() == [0, 1]
    assert [rows.tolist() for rows in streets.near] == [[0, 1, 2], [0, 1, 2]]  # rows of the database


def test_what_cannot_be_paired_is_told():
    with pytest.raises(DatasetError, match="none of 2 has a time"):
        time_machine([at(0.0), at(1.0)])
    with pytest.raises(DatasetError, match="none of 1 has a position"):
        time_machine([ImageRecord(path=Path("nowhere.jpg"), time=NOON)])
    with pytest.raises(PositionError, match="one frame"):
        time_machine([later(0), ImageRecord(path=Path("earth.jpg"), position=LatLon(1.0, 2.0), time=NOON)])
    with pytest.raises(DatasetError, match="leave out those without one"):
        Passes.of([ImageRecord(path=Path("nowhere.jpg"))])
