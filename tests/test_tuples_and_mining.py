"""The rules of the weak supervision, one by one: who may be a positive, who a negative, and what they cost."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sameplace.geo import LocalPoint
from sameplace.images import ImageRecord
from sameplace.training.losses import ranking_loss, violates
from sameplace.training.mining import best_positive, candidates, hardest_negatives, sampled_negatives
from sameplace.training.reach import Reach
from sameplace.training.tuples import degrees_between, weak_labels

NOON = datetime(2024, 6, 1, 12, tzinfo=UTC)


def at(x: float, **known: object) -> ImageRecord:
    return ImageRecord(path=Path("photo.jpg"), position=LocalPoint(x, 0.0), **known)  # type: ignore[arg-type]


def unit(*shape: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def test_a_positive_is_beyond_a_metre_and_within_ten() -> None:
    labels = weak_labels([at(0.0)], [at(0.0), at(1.0), at(1.01), at(10.0), at(10.01)])
    assert [rows.tolist() for rows in labels.positives] == [[2, 3]]


def test_a_definite_negative_is_beyond_twenty_five_metres() -> None:
    labels = weak_labels([at(0.0)], [at(5.0), at(25.0), at(25.01), at(-30.0)])
    assert [rows.tolist() for rows in labels.near] == [[0, 1]]


def test_a_query_without_a_positive_is_skipped() -> None:
    labels = weak_labels([at(0.0), at(500.0), at(3.0)], [at(5.0)])
    assert labels.queries.tolist() == [0, 2]
    assert len(labels) == 2


def test_a_tile_of_the_querys_own_panorama_is_no_positive() -> None:
    labels = weak_labels([at(0.0, panorama="a")], [at(2.0, panorama="a"), at(2.0, panorama="b"), at(2.0)])
    assert [rows.tolist() for rows in labels.positives] == [[1, 2]]


def test_street_view_over_time_wants_another_pass() -> None:
    query = at(0.0, time=NOON)
    database = [at(2.0, time=NOON + timedelta(seconds=600)), at(2.0, time=NOON + timedelta(seconds=601)), at(2.0)]
    labels = weak_labels([query], database, Reach(another_time=True))
    assert [rows.tolist() for rows in labels.positives] == [[1]]


def test_a_positive_may_have_to_look_the_same_way_round_north_too() -> None:
    database = [at(2.0, heading_deg=degrees) for degrees in (20.0, 20.1, 320.0, 319.9, 170.0)] + [at(2.0)]
    labels = weak_labels([at(0.0, heading_deg=350.0)], database, Reach(heading=30.0))
    assert [rows.tolist() for rows in labels.positives] == [[0, 2]]
    assert [rows.tolist() for rows in labels.near] == [[0, 1, 2, 3, 4, 5]]


def test_a_query_that_does_not_know_where_it_looks_has_no_positive_that_must_look_there_too() -> None:
    assert len(weak_labels([at(0.0)], [at(2.0, heading_deg=0.0), at(2.0)], Reach(heading=180.0))) == 0


@given(st.floats(-720, 720), st.floats(-720, 720))
@settings(deadline=None)
def test_headings_lie_apart_by_the_angle_between_their_directions(first: float, second: float) -> None:
    one, other = (np.exp(1j * np.deg2rad(heading)) for heading in (first, second))
    assert degrees_between(first, second) == pytest.approx(abs(np.rad2deg(np.angle(one / other))), abs=1e-6)


def test_an_image_without_a_position_is_refused() -> None:
    with pytest.raises(ValueError, match="leave out those without one"):
        weak_labels([at(0.0)], [ImageRecord(path=Path("photo.jpg"))])


def test_the_best_positive_is_the_one_that_looks_most_like_the_query() -> None:
    database, query = unit(20, 8), unit(8, seed=1)
    positives = np.array([3, 7, 11])
    nearest = min(positives, key=lambda row: float(((database[row] - query) ** 2).sum()))
    assert best_positive(query, positives, database) == nearest


@given(st.sets(st.integers(0, 29)), st.integers(0, 40), st.integers(0, 9))
@settings(deadline=None)
def test_sampled_negatives_are_far_distinct_and_as_many_as_there_can_be(near: set[int], count: int, seed: int) -> None:
    rows = sampled_negatives(np.array(sorted(near), np.int64), 30, count=count, rng=np.random.default_rng(seed)).tolist()
    assert len(rows) == len(set(rows)) == min(count, 30 - len(near))
    assert not set(rows) & near
    assert all(0 <= row < 30 for row in rows)


def test_every_far_row_is_sampled_alike() -> None:
    rng = np.random.default_rng(0)
    near = np.array([0, 3, 4, 9])
    drawn = np.concatenate([sampled_negatives(near, 10, count=2, rng=rng) for _ in range(3000)])
    counts = np.bincount(drawn, minlength=10)
    assert counts[near].sum() == 0
    assert np.ptp(counts[[1, 2, 5, 6, 7, 8]]) < 150  # a thousand each, give or take five standard deviations


@given(st.integers(0, 1000), st.integers(1, 12))
@settings(deadline=None, max_examples=50)
def test_hard_negatives_are_the_nearest_that_violate_the_margin(seed: int, count: int) -> None:
    database, query = unit(40, 4, seed=seed), unit(4, seed=seed + 1)
    pool, best = np.arange(1, 40), 0
    squared = ((database - query) ** 2).sum(axis=1)
    expected = [row for row in sorted(pool, key=lambda row: squared[row])[:count] if squared[row] < squared[best] + 0.1]
    assert hardest_negatives(query, best, pool, database, count=count).tolist() == expected


def test_the_sample_and_the_remembered_are_searched_together_each_once() -> None:
    assert candidates(np.array([4, 1]), np.array([1, 8])).tolist() == [1, 4, 8]


def test_a_negative_as_near_as_the_positive_costs_the_margin() -> None:
    query, positive = torch.tensor([1.0, 0.0]), torch.tensor([[0.6, 0.8]])
    assert ranking_loss(query, positive, torch.tensor([[0.6, -0.8]])).item() == pytest.approx(0.1)


def test_a_negative_beyond_the_margin_costs_nothing_and_teaches_nothing() -> None:
    query = torch.tensor([1.0, 0.0], requires_grad=True)
    loss = ranking_loss(query, torch.tensor([[1.0, 0.0]]), torch.tensor([[-1.0, 0.0]]))
    loss.backward()
    assert loss.item() == 0
    assert query.grad is not None
    assert not query.grad.any()


def test_the_loss_is_the_sum_over_violating_negatives_on_squared_distances() -> None:
    query, positives, negatives = (torch.from_numpy(part) for part in (unit(6), unit(3, 6, seed=1), unit(9, 6, seed=2)))
    best = min(float(((positive - query) ** 2).sum()) for positive in positives)
    terms = [max(best + 0.1 - float(((negative - query) ** 2).sum()), 0.0) for negative in negatives]
    assert ranking_loss(query, positives, negatives).item() == pytest.approx(sum(terms), abs=1e-5)
    assert violates(query, positives, negatives).tolist() == [term > 0 for term in terms]


def test_only_the_best_positive_is_pulled() -> None:
    query = torch.from_numpy(unit(6))
    positives = torch.from_numpy(unit(3, 6, seed=1)).requires_grad_()
    ranking_loss(query, positives, query[None]).backward()
    assert positives.grad is not None
    pulled = positives.grad.abs().sum(dim=1) > 0
    assert pulled.sum() == 1
    assert bool(pulled[(positives - query).square().sum(dim=1).argmin()])


def test_the_gradients_of_the_loss_are_those_of_finite_differences() -> None:
    parts = [torch.from_numpy(part).double().requires_grad_() for part in (unit(4), unit(2, 4, seed=1), unit(3, 4, seed=2))]
    assert torch.autograd.gradcheck(lambda *inputs: ranking_loss(*inputs, margin=3.0), parts)
