"""Did it help? A paired test of the model after training against the one before, on places that neither has seen."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from sameplace.datasets import Dataset
from sameplace.describer import Describer
from sameplace.evaluation import Comparison, compare, evaluate

SURE = 0.05
"""Below this probability of equal models a difference is called one."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What training has changed."""

    comparison: Comparison
    """After training against before: the same trunk, vocabulary and whitening from the same photos, without the training."""

    @property
    def helped(self) -> bool | None:
        """Whether recall@1 rose, or fell, by more than chance; None where nobody can tell."""
        low, high = self.comparison.interval["recall@1"]
        if self.comparison.p_value >= SURE or low <= 0 <= high:
            return None
        return low > 0

    def to_json(self) -> dict[str, Any]:
        """Plain values, without those of single queries."""
        facts = self.comparison.to_json()
        return {
            "helped": self.helped,
            "said": str(self),
            "dataset": facts["dataset"],
            "protocol": facts["protocol"],
            "queries": facts["queries"],
            "database": facts["database"],
            "recall_before": facts["against"]["recall"],
            "recall_after": facts["recall"],
            **facts["comparison"],
        }

    def __str__(self) -> str:
        after, before = self.comparison.report, self.comparison.against
        low, high = (100 * end for end in self.comparison.interval["recall@1"])
        opening = {True: "It helped", False: "It got worse", None: "No difference beyond chance"}[self.helped]
        return (
            f"{opening}: recall@1 on {after.dataset} {100 * before.recall[1]:.1f} % before training, {100 * after.recall[1]:.1f} % "
            f"after ({100 * self.comparison.difference['recall@1']:+.1f}, 95 % interval {low:+.1f} to {high:+.1f}; "
            f"{self.comparison.only_first:,} of {after.queries:,} queries are right only now, {self.comparison.only_second:,} were "
            f"right only before; p = {self.comparison.p_value:.2g}, exact McNemar test)."
        )


def judge(
    after: Describer,
    before: Describer,
    dataset: Dataset,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Verdict:
    """Whether a model does better on a dataset than the one before its training, by a paired test over the queries."""
    reports = [evaluate(model, dataset, progress=progress) for model in (after, before)]
    return Verdict(comparison=compare(replace(reports[0], model="after training"), replace(reports[1], model="before training")))
