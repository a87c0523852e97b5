"""Two models on one benchmark: by how much they differ, and whether that is more than chance."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sameplace.errors import DatasetError
from sameplace.evaluation.report import Report, write_json
from sameplace.measures import bootstrap, mcnemar
from sameplace.shapes import Array, Float64, Int64


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A report against another one on the same benchmark; differences are those of the first to the second, shares in 0..1."""

    report: Report
    against: Report
    both: int
    """Queries that both models answer right with their first match."""
    only_first: int
    only_second: int
    neither: int
    difference: Mapping[str, float]
    """By the name of the figure: recall@1, and mean average precision where the protocol asks for it."""
    interval: Mapping[str, tuple[float, float]]
    """The 95 % interval (paired bootstrap over queries) of each difference."""
    p_value: float
    """Of equal recall@1: McNemar's test, exact and two-sided."""

    def to_json(self) -> dict[str, Any]:
        """The first report, with `against`, the other one, and `comparison`."""
        return {**self.report.to_json(), "against": self.against.to_json(), "comparison": self._facts()}

    def save(self, path: str | Path) -> None:
        """Write it as JSON, with what became of each query; `Report.open` reads the first report of it."""
        answers, others = self.report.answers.to_json(), self.against.answers.to_json()
        against = {**self.against.to_json(), "answers": others}
        write_json(path, {**self.report.to_json(), "answers": answers, "against": against, "comparison": self._facts()})

    def _facts(self) -> dict[str, Any]:
        return {
            "both": self.both,
            "only_first": self.only_first,
            "only_second": self.only_second,
            "neither": self.neither,
            "difference": dict(self.difference),
            "difference_interval_95": {name: list(interval) for name, interval in self.interval.items()},
            "p_value": self.p_value,
        }

    def verdict(self) -> str:
        """What the comparison says, in words."""
        parts = []
        for name, difference in self.difference.items():
            low, high = self.interval[name]
            called = name.replace("_", " ")
            parts.append(
                f"{called} {100 * difference:+.1f} percentage points (95 % interval {100 * low:+.1f} to {100 * high:+.1f})"
            )
        first, second = self.report.model, self.against.model
        return (
            f"{first} against {second} on {self.report.dataset}: {', '.join(parts)}. Of {self.report.queries:,} first matches "
            f"{self.both:,} are right for both, {self.only_first:,} for {first} alone, {self.only_second:,} for {second} alone; "
            f"p = {self.p_value:.2g} for equal recall@1 (exact McNemar test), as if queries were independent."
        )

    def __str__(self) -> str:
        """Both tables and the verdict."""
        return f"{self.report}\n\n{self.against}\n\n{self.verdict()}"


def compare(report: Report, against: Report, *, rng: np.random.Generator | None = None) -> Comparison:
    """Compare two models on one benchmark, query by query, from their reports.

    `rng` draws the resamples of the intervals, the same ones each time unless it is given. Raises DatasetError where the reports
    are not of the same images, truth and protocol.
    """
    if (report.fingerprint, report.protocol) != (against.fingerprint, against.protocol):
        told = [f"{one.dataset} ({one.protocol}, files {one.fingerprint})" for one in (report, against)]
        raise DatasetError(
            f"Two reports of one dataset under one protocol were wanted, got {told[0]} and {told[1]}; evaluate both models on the "
            f"same files."
        )
    first, second = report.answers.first == 0, against.answers.first == 0
    paired = {"recall@1": first.astype(np.float64) - second}
    if report.answers.average_precision is not None and against.answers.average_precision is not None:
        paired["mean_average_precision"] = report.answers.average_precision - against.answers.average_precision

    def means(rows: Int64[Array, " _queries"]) -> Float64[Array, " figures"]:
        return np.array([_mean(differences[rows]) for differences in paired.values()])

    drawn = bootstrap(means, len(first), np.random.default_rng(0) if rng is None else rng)
    means_of_all = means(np.arange(len(first)))
    return Comparison(
        report=report,
        against=against,
        both=int(np.sum(first & second)),
        only_first=int(np.sum(first & ~second)),
        only_second=int(np.sum(second & ~first)),
        neither=int(np.sum(~first & ~second)),
        difference=dict(zip(paired, means_of_all.tolist(), strict=True)),
        interval={name: (low, high) for name, (low, high) in zip(paired, drawn.tolist(), strict=True)},
        p_value=mcnemar(first, second),
    )


def _mean(differences: Float64[Array, " _queries"]) -> float:
    """The mean over the answerable queries among these; NaN where there are none."""
    known = differences[~np.isnan(differences)]
    return float(np.mean(known)) if len(known) else np.nan
