"""Precision over recall where only the first match counts, and is believed if it is similar enough."""

from dataclasses import dataclass

import numpy as np

from sameplace.shapes import Array, Bool, Float, Float64


@dataclass(frozen=True, kw_only=True, eq=False)
class PrecisionRecall:
    """A curve with one point for each confidence, from the highest to the lowest at which matches are believed."""

    threshold: Float64[Array, " points"]
    """Matches of at least this confidence are believed."""
    precision: Float64[Array, " points"]
    """The share of the believed matches that is right."""
    recall: Float64[Array, " points"]
    """The share of the answerable queries whose match is believed and right."""

    @property
    def area(self) -> float:
        """Precision averaged over recall, step by step: no straight lines between points, which would flatter.

        It ends where the curve does: a model whose first matches are right for half of the queries reaches 0.5 at most.
        """
        return float(np.sum(np.diff(self.recall, prepend=0.0) * self.precision))

    @property
    def recall_at_full_precision(self) -> float:
        """The largest recall at which every believed match is right; 0 where the most confident ones are not."""
        return float(np.max(self.recall[self.precision == 1], initial=0.0))


def precision_recall(confidence: Float[Array, " queries"], correct: Bool[Array, " queries"], answerable: int) -> PrecisionRecall:
    """The curve of first matches, given how confident each one is and whether it is right.

    The denominator of recall is `answerable`, the number of queries that have a right answer at all, not that of right matches:
    a query whose first match is wrong is missed at any confidence. Matches of equal confidence are believed together.

    >>> curve = precision_recall(np.array([0.9, 0.8, 0.7]), np.array([True, False, True]), answerable=4)
    >>> curve.recall.tolist(), curve.precision.round(2).tolist(), curve.recall_at_full_precision
    ([0.25, 0.25, 0.5], [1.0, 0.5, 0.67], 0.25)
    """
    if answerable < max(1, int(correct.sum())):
        raise ValueError(
            f"At least as many answerable queries as right matches, and one, were wanted, got {answerable} for {correct.sum()}."
        )
    if not np.isfinite(confidence).all():
        raise ValueError("Confidences that are finite were wanted; leave out queries that found nothing.")
    order = np.argsort(-confidence, kind="stable")
    ranked = confidence[order].astype(np.float64)
    last = np.flatnonzero(np.append(np.diff(ranked) != 0, True)) if len(ranked) else np.empty(0, np.int64)
    right = np.cumsum(correct[order])[last]
    return PrecisionRecall(threshold=ranked[last], precision=right / (last + 1), recall=right / answerable)
