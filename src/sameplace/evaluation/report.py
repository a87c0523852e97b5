"""What an evaluation found, never without the protocol it was found by."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Report:
    """Recall of one model on one dataset, in 0..1; `recall` counts all queries, those without an answer as misses."""

    model: str
    dataset: str
    protocol: str
    database: int
    queries: int
    answerable: int
    """Queries that have a right answer in the database at all."""
    recall: Mapping[int, float]
    recall_answerable: Mapping[int, float] | None
    """The same over answerable queries only; None where there are none."""
    interval: Mapping[int, tuple[float, float]]
    """The 95 % interval (Wilson) of `recall`, as if queries were independent."""
    median_error_m: float | None
    """Metres from query to first match, in the median; None where the dataset has no positions."""
    descriptor: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Plain values; the N of recall@N are strings, as JSON wants its names."""
        return {
            "model": self.model,
            "dataset": self.dataset,
            "protocol": self.protocol,
            "database": self.database,
            "queries": self.queries,
            "answerable": self.answerable,
            "recall": _named(self.recall),
            "recall_answerable": None if self.recall_answerable is None else _named(self.recall_answerable),
            "recall_interval_95": {str(top): list(interval) for top, interval in self.interval.items()},
            "median_error_m": self.median_error_m,
            "descriptor": self.descriptor,
            "seconds": self.seconds,
        }

    def save(self, path: str | Path) -> None:
        """Write it as JSON."""
        Path(path).write_text(json.dumps(self.to_json(), indent=2) + "\n", encoding="utf-8")

    def __str__(self) -> str:
        """A table for people."""
        lines = [
            f"{self.model} ({self.descriptor} numbers) on {self.dataset}",
            f"{self.queries:,} queries, {self.answerable:,} of them answerable, {self.database:,} database images; {self.protocol}",
            "",
            "            all queries   95 % interval    answerable",
        ]
        for top, share in self.recall.items():
            low, high = self.interval[top]
            answerable = f"{100 * self.recall_answerable[top]:.1f} %" if self.recall_answerable else "-"
            lines.append(f"recall@{top:<4} {f'{100 * share:.1f} %':>11}   {100 * low:5.1f} - {100 * high:5.1f} %  {answerable:>11}")
        if self.median_error_m is not None:
            lines.append(f"\nFirst match in the median {self.median_error_m:.1f} m from the query.")
        return "\n".join(lines)


def _named(shares: Mapping[int, float]) -> dict[str, float]:
    return {str(top): share for top, share in shares.items()}
