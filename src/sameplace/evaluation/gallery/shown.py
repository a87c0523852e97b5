"""Which queries a gallery shows, and what is shown of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sameplace.datasets import Dataset, WithinMetresOf
from sameplace.evaluation.scoring import Outcome
from sameplace.geo import distance
from sameplace.measures import NEVER
from sameplace.shapes import Array, Float64, Int64

KINDS: Mapping[str, tuple[str, str]] = {
    "wrong": ("error", "failures"),
    "none": ("unsure", "queries without a right image"),
    "right": ("yes", "successes"),
}
"""What may become of a query: the look of its verdict, and what several such queries are called."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One query: what it found first, and the right image that lies nearest."""

    query: int
    kind: str
    first: int | None
    """The row that was retrieved first; None where nothing was."""
    similarity: float
    truth: int | None
    """A row that is right: the one taken nearest, or the middle one where metres are not known; None where there is none."""
    rank: int | None
    """The rank, from 1, of the first right image; None where none was retrieved."""
    first_m: float | None
    """Metres from the query to what it found first."""
    truth_m: float | None


def chosen(outcome: Outcome, cards: int) -> list[Shown]:
    """At most so many queries: failures first, the surest on top, and in the last quarter successes, the least sure on top.

    Where there are more of a kind, those shown are taken evenly from the surest to the least sure.
    """
    kinds = kinds_of(outcome)
    return [_shown(outcome, query, kinds[query]) for query in _rows(kinds, outcome, cards)]


def kinds_of(outcome: Outcome) -> list[str]:
    """What became of each query."""
    answers = outcome.report.answers
    return [
        "right" if first == 0 else "wrong" if answerable else "none"
        for first, answerable in zip(answers.first.tolist(), answers.answerable.tolist(), strict=True)
    ]


def _rows(kinds: Sequence[str], outcome: Outcome, cards: int) -> list[int]:
    confidence = np.nan_to_num(outcome.report.answers.confidence, nan=-np.inf)
    order = np.argsort(-confidence, kind="stable").tolist()
    rows = {kind: [row for row in order if kinds[row] == kind] for kind in KINDS}
    right = min(len(rows["right"]), max(cards // 4, cards - len(rows["wrong"]) - len(rows["none"])))
    none = min(len(rows["none"]), max((cards - right) // 4, cards - right - len(rows["wrong"])))
    some = {"wrong": _evenly(rows["wrong"], cards - right - none), "none": _evenly(rows["none"], none)}
    return [*some["wrong"], *some["none"], *reversed(_evenly(rows["right"], right))]


def _evenly(rows: Sequence[int], count: int) -> list[int]:
    """Some of the rows, at even distances from the first to the last.

    >>> _evenly([3, 1, 4, 1, 5], 3)
    [3, 4, 5]
    """
    places = np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(np.int64))
    return [rows[place] for place in places.tolist()]


def _shown(outcome: Outcome, query: int, kind: str) -> Shown:
    retrieved, right = outcome.retrieved[query], outcome.positives[query]
    away = _away(outcome.dataset, query, right)
    truth = None if not len(right) else int(right[len(right) // 2] if away is None else right[np.argmin(away)])
    first = int(retrieved[0]) if len(retrieved) else None
    if kind == "right":
        truth = first if away is None or truth is None else truth
    rank = int(outcome.first[query])
    return Shown(
        query=query,
        kind=kind,
        first=first,
        similarity=float(outcome.similarities[query][0]) if len(retrieved) else float("nan"),
        truth=truth,
        rank=None if rank == NEVER else rank + 1,
        first_m=_one_away(outcome.dataset, query, first),
        truth_m=_one_away(outcome.dataset, query, truth),
    )


def _away(dataset: Dataset, query: int, rows: Int64[Array, " rows"]) -> Float64[Array, " rows"] | None:
    """Metres from a query to some rows of the database; None where they are not known."""
    if isinstance(dataset.truth, WithinMetresOf):
        return np.asarray(np.linalg.norm(dataset.truth.database[rows] - dataset.truth.queries[query], axis=1), np.float64)
    here, there = dataset.queries[query].position, [dataset.database[row].position for row in rows.tolist()]
    known = [position for position in there if position is not None]
    if here is None or len(known) < len(there) or any(position.frame != here.frame for position in known):
        return None
    return np.array([distance(here, position) for position in known], np.float64)


def _one_away(dataset: Dataset, query: int, row: int | None) -> float | None:
    away = None if row is None else _away(dataset, query, np.array([row], np.int64))
    return None if away is None else float(away[0])
