"""Whether a model in a lower precision finds fewer places than in float32: the paired test that an export must pass."""

from collections.abc import Callable

from sameplace.datasets import Dataset
from sameplace.describer import Describer
from sameplace.errors import DatasetError, ModelError
from sameplace.evaluation.comparison import Comparison, compare
from sameplace.evaluation.scoring import evaluate

SIGNIFICANT = 0.05
"""The p-value of equal recall@1 below which fewer right answers are a loss."""
FEWEST = 100
"""Queries with a right answer below which hardly any loss would be told from chance."""


def without_loss(
    lower: Describer, precise: Describer, dataset: Dataset, *, progress: Callable[[int, int], None] | None = None
) -> Comparison:
    """Compare a lower precision with float32, query by query.

    Raises ModelError where the lower one has significantly fewer right first matches, DatasetError where too few could tell.
    """
    comparison = compare(*(evaluate(describer, dataset, (1,), progress=progress) for describer in (lower, precise)))
    if comparison.report.answerable < FEWEST:
        raise DatasetError(
            f"At least {FEWEST} queries with a right answer are wanted to tell a loss from chance, and {dataset.name} has "
            f"{comparison.report.answerable}; validate on more photos."
        )
    if comparison.difference["recall@1"] < 0 and comparison.p_value < SIGNIFICANT:
        raise ModelError(
            f"{lower.name} in {lower.precision} loses {-100 * comparison.difference['recall@1']:.1f} percentage points of recall@1 "
            f"on {comparison.report.queries:,} queries of {dataset.name} (p = {comparison.p_value:.2g}), and no significant loss "
            f"is allowed; use it in {precise.precision}."
        )
    return comparison
