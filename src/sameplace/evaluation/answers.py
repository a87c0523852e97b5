"""What became of each query: all that figures, intervals, curves and comparisons are computed from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sameplace.measures import NEVER, PrecisionRecall, located, median_error, precision_recall, recall
from sameplace.shapes import Array, Bool, Float64, Int64

WITHIN_M = (5.0, 10.0, 25.0)
DIGITS = 7
"""Significant digits in a file: those of single precision."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """Query by query: when the first right image came, how similar and how far away the first match was."""

    depth: int
    """Images that were retrieved for each query; fewer where the database has no more."""
    first: Int64[Array, " queries"]
    """The rank, from 0, of the first right image; NEVER where none was retrieved."""
    answerable: Bool[Array, " queries"]
    """Whether there is a right image at all."""
    confidence: Float64[Array, " queries"]
    """The similarity of the first match; NaN where nothing was retrieved."""
    error_m: Float64[Array, " queries"] | None
    """Metres from the query to the first match, infinite where nothing was retrieved; None where positions are not known."""
    average_precision: Float64[Array, " queries"] | None
    """NaN for queries that are not answerable; None where the protocol asks for recall alone."""

    def __len__(self) -> int:
        return len(self.first)

    def of(self, rows: Int64[Array, " _rows"] | Bool[Array, " queries"]) -> "Answers":
        """Those to some of the queries; a row may come several times."""
        return Answers(
            depth=self.depth,
            first=self.first[rows],
            answerable=self.answerable[rows],
            confidence=self.confidence[rows],
            error_m=None if self.error_m is None else self.error_m[rows],
            average_precision=None if self.average_precision is None else self.average_precision[rows],
        )

    def curve(self) -> PrecisionRecall | None:
        """Precision over recall of the first matches by their similarity; None where no query is answerable."""
        found = np.isfinite(self.confidence)
        if not self.answerable.any():
            return None
        return precision_recall(self.confidence[found], self.first[found] == 0, int(self.answerable.sum()))

    def figures(self, recall_at: Sequence[int]) -> dict[str, float]:
        """Every figure by its name; NaN where it is not defined for these queries."""
        named = {f"recall@{top}": share for top, share in recall(self.first, recall_at).items()}
        curve = self.curve()
        named["precision_recall_area"] = curve.area if curve else np.nan
        named["recall_at_full_precision"] = curve.recall_at_full_precision if curve else np.nan
        if self.error_m is not None:
            named["median_error_m"] = median_error(self.error_m)
            named |= {f"located_within_{metres:g}_m": share for metres, share in located(self.error_m, WITHIN_M).items()}
        if self.average_precision is not None:
            some = self.average_precision[self.answerable]
            named["mean_average_precision"] = float(np.mean(some)) if len(some) else np.nan
        return named

    def to_json(self) -> dict[str, Any]:
        """Plain values, a list a fact; ranks count from 1, and None stands for what did not come."""
        return {
            "depth": self.depth,
            "ranks": [None if rank == NEVER else rank + 1 for rank in self.first.tolist()],
            "answerable": self.answerable.tolist(),
            "similarities": _plain(self.confidence),
            "errors_m": None if self.error_m is None else _plain(self.error_m),
            "average_precisions": None if self.average_precision is None else _plain(self.average_precision),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Answers":
        """The inverse of `to_json`."""
        errors, precisions = value["errors_m"], value["average_precisions"]
        return cls(
            depth=value["depth"],
            first=np.array([NEVER if rank is None else rank - 1 for rank in value["ranks"]], np.int64),
            answerable=np.array(value["answerable"], np.bool_),
            confidence=_array(value["similarities"], np.nan),
            error_m=None if errors is None else _array(errors, np.inf),
            average_precision=None if precisions is None else _array(precisions, np.nan),
        )


def _plain(values: Float64[Array, " queries"]) -> list[float | None]:
    return [float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None for value in values.tolist()]


def _array(values: Sequence[float | None], missing: float) -> Float64[Array, " queries"]:
    return np.array([missing if value is None else value for value in values], np.float64)
