"""From a describer and a dataset to a report: describe, search, leave out, compare with the truth."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from sameplace.datasets import Dataset, known
from sameplace.describer import Describer
from sameplace.description import Described, describe
from sameplace.errors import DatasetError
from sameplace.evaluation.answers import WITHIN_M, Answers
from sameplace.evaluation.provenance import fingerprint, provenance
from sameplace.evaluation.report import Report
from sameplace.evaluation.retrieval import Rows, Rules, answer
from sameplace.images import Problem, View
from sameplace.measures import bootstrap, recall, wilson
from sameplace.shapes import Array, Float32, Float64, Int64

SHOWN = 3
DEPTH = 100
"""Images retrieved for each query at least, for curves beyond the N that are asked for."""


@runtime_checkable
class Cache(Protocol):
    """Something that describes as `sameplace.describe` does, and may remember."""

    def describe(
        self,
        sources: Sequence[str | Path | bytes | View],
        describer: Describer,
        *,
        workers: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Iterator[Described]:
        """Descriptors of photos, or views of photos, in order."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """A report, and what was retrieved for each query."""

    dataset: Dataset
    report: Report
    positives: Rows
    """For each query, the rows of the database that are right."""
    retrieved: Rows
    """For each query, the rows of the database that it found, best first."""
    similarities: tuple[Float32[Array, " _rows"], ...]
    """How similar each of them is."""

    @property
    def first(self) -> Int64[Array, " queries"]:
        """The rank, from 0, of the first right image for each query; `measures.NEVER` where none was retrieved."""
        return self.report.answers.first


def evaluate(
    describer: Describer,
    dataset: Dataset,
    recall_at: Sequence[int] = (1, 5, 10, 20),
    *,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    cache: Cache | None = None,
    rng: np.random.Generator | None = None,
) -> Report:
    """Measure how well a describer recognises the places of a dataset, under the dataset's own protocol.

    recall@N is over all queries; one without a right answer is a miss. `cache` keeps descriptors for the next time; `rng` draws
    the resamples of the intervals, the same ones each time unless it is given. Raises DatasetError where an image cannot be read:
    a figure without it would be another figure.
    """
    return score(describer, dataset, recall_at, workers=workers, progress=progress, cache=cache, rng=rng).report


def score(
    describer: Describer,
    dataset: Dataset,
    recall_at: Sequence[int] = (1, 5, 10, 20),
    *,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    cache: Cache | None = None,
    rng: np.random.Generator | None = None,
) -> Outcome:
    """`evaluate`, with what each query retrieved."""
    start = time.perf_counter()
    _check(dataset, recall_at)
    rules = Rules.of(dataset)
    queries, database = _descriptors(describer, dataset, workers, progress, cache)
    retrieved, answers = answer(queries, database, rules, max(*recall_at, DEPTH))
    named = answers.figures(recall_at)
    draws = _intervals(answers, recall_at, np.random.default_rng(0) if rng is None else rng)
    report = Report(
        model=describer.name,
        dataset=dataset.name,
        protocol=dataset.protocol,
        database=len(dataset.database),
        queries=len(dataset.queries),
        answerable=int(answers.answerable.sum()),
        recall={top: named[f"recall@{top}"] for top in recall_at},
        recall_answerable=recall(answers.first[answers.answerable], recall_at) if answers.answerable.any() else None,
        interval={top: wilson(named[f"recall@{top}"], len(answers)) for top in recall_at},
        mean_average_precision=_known(named, "mean_average_precision"),
        precision_recall_area=_known(named, "precision_recall_area"),
        recall_at_full_precision=_known(named, "recall_at_full_precision"),
        median_error_m=_known(named, "median_error_m"),
        located=None if answers.error_m is None else {metres: named[f"located_within_{metres:g}_m"] for metres in WITHIN_M},
        bootstrap=draws,
        descriptor=describer.dim,
        size=describer.size,
        identity=describer.identity,
        runtime=describer.runtime,
        precision=describer.precision,
        fingerprint=fingerprint(dataset, rules),
        provenance=provenance(),
        seconds=time.perf_counter() - start,
        answers=answers,
    )
    return Outcome(
        dataset=dataset, report=report, positives=rules.positives, retrieved=retrieved.rows, similarities=retrieved.similarities
    )


def _check(dataset: Dataset, recall_at: Sequence[int]) -> None:
    if min(recall_at, default=0) < 1:
        raise ValueError(f"The N of recall@N are 1 or more, got {list(recall_at)}.")
    if not dataset.queries or not dataset.database:
        counts = f"{len(dataset.queries)} queries and {len(dataset.database)} database images"
        raise DatasetError(f"{dataset.name} has {counts}, one or more of each was wanted; get it again, or give another folder.")


def _known(named: dict[str, float], name: str) -> float | None:
    """A figure that is a number; None for one that is not asked for, or not defined here."""
    value = named.get(name, np.nan)
    return value if np.isfinite(value) else None


def _intervals(answers: Answers, recall_at: Sequence[int], rng: np.random.Generator) -> dict[str, tuple[float, float]]:
    """The bootstrap interval of every figure that is defined."""
    names = list(answers.figures(recall_at))

    def figures(rows: Int64[Array, " _queries"]) -> Float64[Array, " figures"]:
        return np.array(list(answers.of(rows).figures(recall_at).values()))

    drawn = bootstrap(figures, len(answers), rng)
    return {name: (low, high) for name, (low, high) in zip(names, drawn.tolist(), strict=True) if np.isfinite([low, high]).all()}


def _descriptors(
    describer: Describer,
    dataset: Dataset,
    workers: int | None,
    progress: Callable[[int, int], None] | None,
    cache: Cache | None,
) -> tuple[Float32[Array, "queries descriptor"], Float32[Array, "database descriptor"]]:
    """Descriptors of queries and database; an image that is both is described once."""
    sources = list(dict.fromkeys([*dataset.database_sources, *dataset.query_sources]))
    place = {source: row for row, source in enumerate(sources)}
    descriptors = np.zeros((len(sources), describer.dim), np.float32)
    failures: list[Problem] = []
    for batch in (describe if cache is None else cache.describe)(sources, describer, workers=workers, progress=progress):
        descriptors[batch.rows] = batch.descriptors
        failures.extend(batch.failures)
    if failures:
        raise DatasetError(_unreadable(dataset.name, len(sources), failures))
    return (
        _rows(descriptors, [place[source] for source in dataset.query_sources]),
        _rows(descriptors, [place[source] for source in dataset.database_sources]),
    )


def _unreadable(dataset: str, images: int, failures: Sequence[Problem]) -> str:
    """Which images, why, and where to get them."""
    named = "; ".join(f"{failure.path}: {failure.reason}" for failure in failures[:SHOWN])
    source = next((f"; get {entry.obtain}" for entry in known() if entry.name == dataset), ", get them again")
    return f"{len(failures):,} of {images:,} images of {dataset} cannot be read{source}: {named}"


def _rows(descriptors: Float32[Array, "images descriptor"], rows: list[int]) -> Float32[Array, "_ descriptor"]:
    """Some of the rows, without a copy where they stand together."""
    if rows == list(range(rows[0], rows[0] + len(rows))):
        return descriptors[rows[0] : rows[0] + len(rows)]
    return descriptors[rows]
