"""The losses over batches of places, against the naive loops of their papers."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sameplace.training.losses import multi_similarity, sare

SEEDS = st.integers(0, 10_000)
BOTH = pytest.mark.parametrize("loss", [multi_similarity, sare])


def batch(seed: int, anchors: int = 5, images: int = 9) -> tuple[Tensor, Tensor, Tensor]:
    """Similarities in -1..1, and what is known of each pair: positive, negative, or nothing."""
    rng = np.random.default_rng(seed)
    known = rng.integers(0, 3, (anchors, images))
    return torch.from_numpy(rng.uniform(-1, 1, (anchors, images))), torch.from_numpy(known == 1), torch.from_numpy(known == 2)


def naive_multi_similarity(similarities: Tensor, positives: Tensor, negatives: Tensor) -> float:
    """Equations (9) to (12) of the paper, pair by pair, with the defaults."""
    total = 0.0
    for row, close, far in zip(similarities.tolist(), positives.tolist(), negatives.tolist(), strict=True):
        near = [similarity for similarity, is_close in zip(row, close, strict=True) if is_close]
        away = [similarity for similarity, is_far in zip(row, far, strict=True) if is_far]
        if near and away:
            hard_near = [similarity for similarity in near if similarity < max(away) + 0.1]
            hard_away = [similarity for similarity in away if similarity > min(near) - 0.1]
            total += math.log(1 + sum(math.exp(-similarity) for similarity in hard_near))
            total += math.log(1 + sum(math.exp(50 * similarity) for similarity in hard_away)) / 50
    return total / len(similarities)


def naive_sare(similarities: Tensor, positives: Tensor, negatives: Tensor) -> float:
    """-log of how likely each positive is the neighbour, under a Gaussian of the distances, pair by pair."""
    total = 0.0
    for row, close, far in zip(similarities.tolist(), positives.tolist(), negatives.tolist(), strict=True):
        kernel = [math.exp(-(2 - 2 * similarity)) for similarity in row]
        near = [weight for weight, is_close in zip(kernel, close, strict=True) if is_close]
        away = [weight for weight, is_far in zip(kernel, far, strict=True) if is_far]
        if near and away:
            total += sum(-math.log(weight / (weight + sum(away))) for weight in near) / len(near)
    return total / len(similarities)


@given(SEEDS, st.integers(1, 6), st.integers(1, 12))
@settings(deadline=None, max_examples=60)
def test_multi_similarity_is_the_papers_loop_over_pairs(seed: int, anchors: int, images: int) -> None:
    pairs = batch(seed, anchors, images)
    assert multi_similarity(*pairs).item() == pytest.approx(naive_multi_similarity(*pairs), abs=1e-9)


@given(SEEDS, st.integers(1, 6), st.integers(1, 12))
@settings(deadline=None, max_examples=60)
def test_sare_is_the_likelihood_of_each_positive_pair_by_pair(seed: int, anchors: int, images: int) -> None:
    pairs = batch(seed, anchors, images)
    assert sare(*pairs).item() == pytest.approx(naive_sare(*pairs), abs=1e-9)


@BOTH
@given(SEEDS)
@settings(deadline=None, max_examples=20)
def test_gradients_are_those_of_finite_differences(loss, seed: int) -> None:
    similarities, positives, negatives = batch(seed)
    assert torch.autograd.gradcheck(lambda pairs: loss(pairs, positives, negatives), similarities.requires_grad_())


@BOTH
def test_anchors_without_a_positive_or_without_a_negative_cost_and_teach_nothing(loss) -> None:
    similarities, positives, negatives = batch(3)
    positives[0], negatives[0] = False, True
    positives[1], negatives[1] = True, False
    positives[2:], negatives[2:] = False, False
    similarities.requires_grad_()
    cost = loss(similarities, positives, negatives)
    cost.backward()
    assert cost.item() == 0
    assert similarities.grad is not None
    assert not similarities.grad.any()


@BOTH
def test_a_pair_of_which_nothing_is_known_is_not_taught(loss) -> None:
    similarities, positives, negatives = batch(4)
    similarities.requires_grad_()
    loss(similarities, positives, negatives).backward()
    assert similarities.grad is not None
    assert similarities.grad[~positives & ~negatives].eq(0).all()
    assert similarities.grad.any()


@BOTH
@given(SEEDS)
@settings(deadline=None, max_examples=30)
def test_positives_are_pulled_and_negatives_pushed(loss, seed: int) -> None:
    similarities, positives, negatives = batch(seed)
    similarities.requires_grad_()
    loss(similarities, positives, negatives).backward()
    assert similarities.grad is not None
    assert similarities.grad[positives].le(0).all()
    assert similarities.grad[negatives].ge(0).all()


@BOTH
@given(SEEDS)
@settings(deadline=None, max_examples=30)
def test_the_order_of_the_images_does_not_matter(loss, seed: int) -> None:
    pairs = batch(seed)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(pairs[0].shape[1]))
    assert loss(*(part[:, order] for part in pairs)).item() == pytest.approx(loss(*pairs).item(), abs=1e-9)


@BOTH
def test_two_halves_of_a_batch_cost_on_average_what_the_whole_costs(loss) -> None:
    pairs = batch(6, anchors=8)
    halves = [loss(*(part[rows] for part in pairs)).item() for rows in (slice(0, 4), slice(4, 8))]
    assert np.mean(halves) == pytest.approx(loss(*pairs).item())


def test_a_negative_as_near_as_the_positive_costs_sare_the_logarithm_of_two() -> None:
    loss = sare(torch.tensor([[0.3, 0.3]]), torch.tensor([[True, False]]), torch.tensor([[False, True]]))
    assert loss.item() == pytest.approx(math.log(2))


def test_multi_similarity_does_not_look_at_what_is_told_apart_by_more_than_epsilon() -> None:
    similarities = torch.tensor([[0.9, 0.79, 0.5]])
    positives, negatives = torch.tensor([[True, False, False]]), torch.tensor([[False, True, True]])
    assert multi_similarity(similarities, positives, negatives).item() == 0
    assert multi_similarity(similarities, positives, negatives, epsilon=0.12).item() > 0


@BOTH
@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_half_precision_is_summed_in_single(loss, precision: torch.dtype) -> None:
    similarities, positives, negatives = batch(7, anchors=4, images=200)
    half = (0.5 + 0.5 * similarities).to(precision)  # fifty times such a similarity is beyond e^11, the end of float16
    cost = loss(half, positives, negatives)
    assert cost.dtype == torch.float32
    assert cost.item() == pytest.approx(loss(half.double(), positives, negatives).item(), rel=1e-5)
