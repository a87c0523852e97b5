"""The weakly supervised ranking loss on squared distances: equations (5) to (7) of the paper."""

from torch import Tensor

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
