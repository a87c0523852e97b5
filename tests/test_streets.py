"""Streets: who asks, who answers and who is near; and the split of a map into two parts that never meet."""

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sameplace.datasets import Dataset, WithinMetres
from sameplace.errors import DatasetError, PositionError, TrainingError
from sameplace.geo import LatLon, LocalPoint, distance
from sameplace.images import ImageRecord, View
from sameplace.training.reach import Reach
from sameplace.training.split import clear_of, held_out, split
from sameplace.training.streets import Streets
from sameplace.training.tuples import weak_labels

SPOTS = st.lists(st.tuples(st.integers(0, 80), st.integers(0, 8)), max_size=25)


def at(x, y=0.0, **facts):
    return ImageRecord(path=Path(f"{x}-{y}.jpg"), position=LocalPoint(float(x), float(y)), **facts)


def nowhere(number=0, **facts):
    return ImageRecord(path=Path(f"nowhere-{number}.jpg"), **facts)


def listed(rows):
    return [row.tolist() for row in rows]


def on_earth(image):
    """The same street at 52 degrees north."""
    return replace(image, position=LatLon(52.0 + image.position.y_m / 111_250, 13.0 + image.position.x_m / 68_680))


# Streets


@settings(deadline=None, max_examples=40)
@given(SPOTS)
def test_every_placed_photo_answers_and_asks_where_it_has_a_positive_and_the_labels_are_those_of_the_distances(spots):
    images = [at(x, y) for x, y in spots]
    images.insert(len(images) // 2, nowhere())
    streets = Streets.of(images)
    placed = [row for row, image in enumerate(images) if image.position is not None]
    assert streets.database.tolist() == placed
    assert streets.alone.tolist() == [len(spots) // 2]
    metres = {(a, b): distance(images[a].position, images[b].position) for a, b in product(placed, placed)}
    positives = {a: [b for b in placed if 1 < metres[a, b] <= 10] for a in placed}
    assert streets.queries.tolist() == [row for row in placed if positives[row]]
    for query, taught, around in zip(streets.queries.tolist(), streets.positives, streets.near, strict=True):
        assert streets.database[taught].tolist() == positives[query]
        assert streets.database[around].tolist() == [row for row in placed if metres[query, row] <= 25]
        assert query in streets.database[around]


def test_photos_of_both_frames_in_one_street_are_an_error():
    with pytest.raises(PositionError, match="separate collections"):
        Streets.of([at(0), on_earth(at(5))])


def test_no_photos_make_empty_streets():
    streets = Streets.of([])
    assert streets.facts() == {"name": "photos", "images": 0, "queries": 0, "database": 0, "alone": 0, "positives_per_query": 0.0}


def test_in_a_benchmark_queries_ask_and_the_database_answers_as_weak_labels_say():
    database, queries = tuple(at(x) for x in (0, 30, 60, 61)), tuple(at(x) for x in (66, 500, 4))
    dataset = Dataset(name="street", database=database, queries=queries, truth=WithinMetres(25.0))
    streets = Streets.from_dataset(dataset)
    weak = weak_labels(queries, database)
    assert streets.images == (*database, *queries)
    assert streets.queries.tolist() == [4, 6]  # the query at 500 m has no positive
    assert [streets.images[row] for row in streets.queries.tolist()] == [queries[row] for row in weak.queries.tolist()]
    assert listed(streets.positives) == listed(weak.positives)
    assert listed(streets.near) == listed(weak.near)
    assert streets.database.tolist() == [0, 1, 2, 3]


def test_a_dataset_in_which_each_photo_asks_for_the_others_teaches_like_the_photos_themselves():
    images = tuple(at(5 * step) for step in range(6))
    streets = Streets.from_dataset(Dataset(name="walk", database=images, queries=images, truth=WithinMetres(25.0)))
    alike = Streets.of(images, name="walk")
    assert streets.facts() == alike.facts()
    assert listed(streets.positives) == listed(alike.positives)


def test_a_benchmark_without_positions_or_of_parts_of_images_is_refused_with_a_cure():
    frames = Dataset(name="ride", database=(nowhere(1), at(0)), queries=(at(5),), truth=WithinMetres(25.0))
    with pytest.raises(DatasetError, match=r"ride needs whole images with positions, but 1 of its 3 images have none; train on"):
        Streets.from_dataset(frames)
    view = View(path=Path("a.jpg"), box=(0.0, 0.0, 1.0, 0.5))
    halves = Dataset(name="sky", database=(at(0),), queries=(at(5),), truth=WithinMetres(25.0), query_views=(view,))
    with pytest.raises(DatasetError, match="shows parts of images"):
        Streets.from_dataset(halves)


def test_places_need_no_position_and_panoramas_are_not_their_own_positives():
    images = [nowhere(n, place=place, panorama=pano) for n, (place, pano) in enumerate(zip("ababc", [*"ppqr", None], strict=True))]
    streets = Streets.of_places([*images, nowhere(9)])
    assert streets.queries.tolist() == [0, 1, 2, 3]
    assert listed(streets.positives) == [[2], [3], [0], [1]]
    assert listed(streets.near) == [[0, 2], [1, 3], [0, 2], [1, 3]]
    assert streets.database.tolist() == [0, 1, 2, 3, 4]
    assert streets.alone.tolist() == [5]
    torn = Streets.of_places([nowhere(n, place="a", panorama="p") for n in range(2)])
    assert len(torn.queries) == 0


@settings(deadline=None, max_examples=30)
@given(st.lists(SPOTS, min_size=1, max_size=3))
def test_joined_streets_say_of_each_site_what_it_says_alone_and_that_all_others_are_far(sites):
    streets = [Streets.of([*(at(x, y) for x, y in spots), nowhere()], name=f"site {n}") for n, spots in enumerate(sites)]
    joined = Streets.joined(*streets)
    assert joined.images == tuple(image for site in streets for image in site.images)
    number = 0
    first = 0
    for site in streets:
        for query, positives, near in zip(site.queries, site.positives, site.near, strict=True):
            assert joined.queries[number] == query + first
            assert (joined.database[joined.positives[number]] == site.database[positives] + first).all()
            assert (joined.database[joined.near[number]] == site.database[near] + first).all()
            number += 1
        assert set((site.alone + first).tolist()) <= set(joined.alone.tolist())
        first += len(site.images)
    assert number == len(joined.queries)
    assert (np.diff(joined.database) > 0).all()
    assert (np.diff(joined.queries) > 0).all()


@settings(deadline=None, max_examples=30)
@given(SPOTS, SPOTS)
def test_the_relations_of_a_batch_are_those_of_its_pairs_seen_from_either_side(spots, others):
    asking = Dataset(
        name="d", database=tuple(at(*s) for s in spots), queries=tuple(at(*s) for s in others), truth=WithinMetres(25.0)
    )
    streets = Streets.joined(Streets.of([*(at(*spot) for spot in spots), nowhere()]), Streets.from_dataset(asking))
    rows = np.random.default_rng(0).permutation(len(streets.images))[:12].astype(np.int64)
    positive, negative = streets.relations(rows, rows)
    column = {row: place for place, row in enumerate(streets.database.tolist())}
    number = {row: place for place, row in enumerate(streets.queries.tolist())}

    def says(asker, other, what):
        if asker not in number or other not in column:
            return None
        return column[other] in {"positive": streets.positives, "near": streets.near}[what][number[asker]].tolist()

    for (i, first), (j, second) in product(enumerate(rows.tolist()), repeat=2):
        taught = [says(first, second, "positive"), says(second, first, "positive")]
        close = [says(first, second, "near"), says(second, first, "near")]
        assert positive[i, j] == any(taught)
        assert negative[i, j] == (False in close)
    assert not (positive & negative).any()


def test_labels_that_do_not_fit_the_queries_are_refused():
    with pytest.raises(ValueError, match="one array of rows for each query"):
        Streets(name="x", images=(), queries=np.array([0]), database=np.array([0]), positives=(), near=())


# The split


def town(count, seed=0, side=400.0, burst=1):
    """Photos all over a square town, as many as asked for at each spot, a panorama each where they are several."""
    spots = np.random.default_rng(seed).uniform(0, side, (count, 2))
    return [
        at(x + 0.2 * turn, y, panorama=f"{n}" if burst > 1 else None)
        for n, (x, y) in enumerate(spots.tolist())
        for turn in range(burst)
    ]


@settings(deadline=None, max_examples=25)
@given(
    st.integers(60, 160),
    st.integers(0, 10_000),
    st.sampled_from([0.1, 0.2, 0.4]),
    st.sampled_from([5.0, 25.0]),
    st.sampled_from([1, 3]),
    st.booleans(),
)
def test_the_two_parts_are_a_gap_apart_have_about_their_share_and_tear_no_panorama(count, seed, share, gap, burst, earth):
    images = town(count, seed, burst=burst)
    images = [on_earth(image) for image in images] if earth else images
    parts = split(images, share=share, gap=gap)
    assert sorted(image.path for part in (parts.training, parts.validation, parts.left_out) for image in part) == sorted(
        image.path for image in images
    )
    apart = min(distance(a.position, b.position) for a in parts.training[::3] for b in parts.validation)
    assert apart >= gap - 1e-6
    assert not {image.panorama for image in parts.training} & {image.panorama for image in parts.validation} - {None}
    assert abs(len(parts.validation) / len(images) - share) <= 0.25 * share + 3 * burst / len(images)
    assert len(parts.left_out) < len(images) / 2
    assert split(images, share=share, gap=gap).validation == parts.validation


def test_the_validation_part_is_one_side_of_the_map():
    parts = split(town(300))
    learnt, kept = (np.array([(i.position.x_m, i.position.y_m) for i in part]) for part in (parts.training, parts.validation))
    directions = [np.array([np.cos(turn), np.sin(turn)]) for turn in np.linspace(0, 2 * np.pi, 24, endpoint=False)]
    assert any((kept @ way).max() < (learnt @ way).min() for way in directions)


def test_a_cut_between_two_sites_is_preferred_to_one_through_a_site():
    parts = split(
        [*town(40, side=60.0), *(replace(image, position=LocalPoint(image.position.x_m + 200, 0.0)) for image in town(10))]
    )
    assert {image.position.y_m == 0 for image in parts.validation} == {True}
    assert parts.left_out == ()


def test_photos_without_a_position_are_in_neither_part():
    parts = split([*town(100), nowhere()])
    assert nowhere() in parts.left_out
    assert str(parts).startswith(
        f"{len(parts.training)} photos to learn from, {len(parts.validation)} to validate on, 25 m or more"
    )


@pytest.mark.parametrize("photos", [[], town(15), [at(n / 100) for n in range(200)], [nowhere(n) for n in range(50)]])
def test_too_few_photos_or_all_in_one_spot_are_refused_with_a_cure(photos):
    with pytest.raises(TrainingError, match=r"each of 10 photos or more and 25 m apart.*give more of them, a smaller gap"):
        split(photos)


@pytest.mark.parametrize(("share", "gap"), [(0.0, 25.0), (1.0, 25.0), (0.2, 0.0)])
def test_a_share_or_gap_that_makes_no_sense_is_refused(share, gap):
    with pytest.raises(TrainingError, match="share between 0 and 1 and a gap above 0 m"):
        split(town(100), share=share, gap=gap)


# What is validated on


def test_a_held_out_photo_finds_neither_its_own_drive_nor_its_panorama_where_another_drive_is_there():
    start = datetime(2024, 5, 1, 12)
    drives = [
        at(20 * step, 3 * drive, time=start + timedelta(days=drive, seconds=10 * step)) for drive in range(2) for step in range(10)
    ]
    dataset = held_out(drives, radius=5.0)
    assert "60 s" in dataset.protocol
    out = left_out_of(dataset)
    assert all(10 * (row < 10) + row % 10 not in without for row, without in enumerate(out))


def left_out_of(dataset):
    """What the burst rule leaves out, without asking the files for their contents."""
    return listed(replace(dataset.left_out, content=False).rows(dataset.queries, dataset.database))


def test_where_there_is_one_drive_alone_its_photos_may_find_each_other_and_the_protocol_says_so():
    start = datetime(2024, 5, 1, 12)
    walk = [at(4 * step, time=start + timedelta(seconds=2 * step)) for step in range(30)]
    dataset = held_out(walk, radius=10.0)
    assert not dataset.left_out.burst
    assert "those of its own burst count" in dataset.protocol


def test_photos_near_those_that_are_kept_back_are_left_out_on_earth_and_kept_where_no_metres_are_known():
    street = [on_earth(at(10 * step)) for step in range(10)]
    assert clear_of(street, street[:1], 25.0) == tuple(street[3:])
    assert clear_of([*street, nowhere()], [nowhere()], 25.0) == (*street, nowhere())
    hall = [at(10 * step) for step in range(10)]
    assert clear_of(hall, hall[:1], 25.0) == tuple(hall)


def test_a_reach_of_nothing_makes_the_same_spot_a_positive():
    images = [at(0), at(0.5)]
    assert len(Streets.of(images).queries) == 0
    assert listed(Streets.of(images, Reach(trivial=0.0)).positives) == [[1], [0]]
