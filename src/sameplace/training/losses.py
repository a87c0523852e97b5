"""What wrong distances cost: the paper's ranking loss over tuples, equations (5) to (7), and two losses over batches of places."""

import torch
from torch import Tensor
from torch.nn import functional

from sameplace.shapes import Bool, Float


def ranking_loss(
    query: Float[Tensor, " descriptor"],
    positives: Float[Tensor, "positives descriptor"],
    negatives: Float[Tensor, "negatives descriptor"],
    *,
    margin: float = 0.1,
) -> Float[Tensor, ""]:
    """The sum over negatives of max(min over positives of d^2 + margin - d^2 to the negative, 0): equation (7).

    d^2 are squared Euclidean distances; torch's TripletMarginLoss takes the margin on plain distances, another loss. Of the
    potential positives only the nearest takes part, and of the negatives only those that violate the margin.
    """
    return _excess(query, positives, negatives, margin).clamp_min(0).sum()


def violates(
    query: Float[Tensor, " descriptor"],
    positives: Float[Tensor, "positives descriptor"],
    negatives: Float[Tensor, "negatives descriptor"],
    *,
    margin: float = 0.1,
) -> Bool[Tensor, " negatives"]:
    """Which negatives violate the margin: a tuple in which none does costs no backward pass."""
    return _excess(query, positives, negatives, margin) > 0


def _excess(
    query: Float[Tensor, " descriptor"],
    positives: Float[Tensor, "positives descriptor"],
    negatives: Float[Tensor, "negatives descriptor"],
    margin: float,
) -> Float[Tensor, " negatives"]:
    """How far each negative is too near, in squared distance."""
    best = (positives - query).square().sum(dim=1).amin()
    return best + margin - (negatives - query).square().sum(dim=1)


def multi_similarity(
    similarities: Float[Tensor, "anchors images"],
    positives: Bool[Tensor, "anchors images"],
    negatives: Bool[Tensor, "anchors images"],
    *,
    alpha: float = 1.0,
    beta: float = 50.0,
    base: float = 0.0,
    epsilon: float = 0.1,
) -> Float[Tensor, ""]:
    """The mean over anchors of log(1 + sum e^(-alpha (s - base))) / alpha + log(1 + sum e^(beta (s - base))) / beta.

    The first sum is over positives less similar than the most similar negative, the second over negatives more similar than the
    least similar positive, both give or take epsilon; an anchor without either costs nothing, and a pair that is neither positive
    nor negative is not looked at. Source: Wang et al., Multi-similarity loss, CVPR 2019; the defaults are those of GSV-Cities.
    """
    similarities = _precise(similarities)
    least = similarities.masked_fill(~positives, torch.inf).amin(dim=1, keepdim=True)
    most = similarities.masked_fill(~negatives, -torch.inf).amax(dim=1, keepdim=True)
    pulled = _log_one_plus_sum(-alpha * (similarities - base), positives & (similarities - epsilon < most))
    pushed = _log_one_plus_sum(beta * (similarities - base), negatives & (similarities + epsilon > least))
    return (pulled / alpha + pushed / beta).mean()


def sare(
    similarities: Float[Tensor, "anchors images"],
    positives: Bool[Tensor, "anchors images"],
    negatives: Bool[Tensor, "anchors images"],
    *,
    sharpness: float = 1.0,
) -> Float[Tensor, ""]:
    """The mean over anchors of -log e^(-d^2 to a positive) / (e^(-d^2 to it) + sum over negatives of e^(-d^2)).

    Of several positives the mean is taken; an anchor without a positive or a negative costs nothing. d^2 are squared distances of
    unit vectors, times `sharpness`: the more, the more the nearest negatives count. Source: Liu et al., Stochastic
    attraction-repulsion embedding, ICCV 2019, its joint form with a Gaussian kernel.
    """
    closeness = sharpness * (2 * _precise(similarities) - 2)
    asks = positives.any(dim=1) & negatives.any(dim=1)
    # Rows that ask nothing are left out first: a sum over no negative has no logarithm to differentiate.
    near, close, far = closeness[asks], positives[asks], negatives[asks]
    repulsion = near.masked_fill(~far, -torch.inf).logsumexp(dim=1, keepdim=True)
    costs = functional.softplus(repulsion - near).masked_fill(~close, 0.0).sum(dim=1) / close.sum(dim=1)
    return costs.sum() / max(len(similarities), 1)


def _log_one_plus_sum(
    exponents: Float[Tensor, "anchors images"], taken: Bool[Tensor, "anchors images"]
) -> Float[Tensor, " anchors"]:
    """The logarithm of one plus the sum of e to those exponents that are taken."""
    nothing = exponents.new_zeros(len(exponents), 1)
    return torch.cat([nothing, exponents.masked_fill(~taken, -torch.inf)], dim=1).logsumexp(dim=1)


def _precise(similarities: Float[Tensor, "anchors images"]) -> Float[Tensor, "anchors images"]:
    """In single precision at least: half a hundred times a similarity needs its digits."""
    return similarities.to(torch.promote_types(similarities.dtype, torch.float32))
