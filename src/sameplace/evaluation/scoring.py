"""From a describer and a dataset to a report: describe, search, leave out, compare with the truth."""

import time
from collections.abc import Callable, Sequence

import numpy as np

from sameplace.datasets import Dataset
from sameplace.describer import Describer
from sameplace.description import describe
from sameplace.errors import DatasetError
from sameplace.evaluation.report import Report
from sameplace.geo import distance
from sameplace.images import Problem
from sameplace.measures import first_hits, recall, wilson
from sameplace.search import exact
from sameplace.shapes import Array, Float32, Int64

SHOWN = 3


def evaluate(
    describer: Describer,
    dataset: Dataset,
    recall_at: Sequence[int] = (1, 5, 10, 20),
    *,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Measure how well a describer recognises the places of a dataset, under the dataset's own protocol.

    recall@N is over all queries; one without a right answer is a miss. Raises DatasetError where an image cannot be read: a figure
    without it would be another figure.
    """
    start = time.perf_counter()
    positives, excluded = dataset.positives(), dataset.excluded()
    positives = tuple(np.setdiff1d(right, out) for right, out in zip(positives, excluded, strict=True))
    queries, database = _descriptors(describer, dataset, workers, progress)
    retrieved = _retrieved(queries, database, excluded, max(recall_at))
    first = first_hits(retrieved, positives)
    answerable = np.array([len(right) > 0 for right in positives])
    shares = recall(first, recall_at)
    return Report(
        model=describer.name,
        dataset=dataset.name,
        protocol=dataset.protocol,
        database=len(dataset.database),
        queries=len(dataset.queries),
        answerable=int(answerable.sum()),
        recall=shares,
        recall_answerable=recall(first[answerable], recall_at) if answerable.any() else None,
        interval={top: wilson(share, len(first)) for top, share in shares.items()},
        median_error_m=_median_error(dataset, retrieved),
        descriptor=describer.dim,
        seconds=time.perf_counter() - start,
    )


def _descriptors(
    describer: Describer, dataset: Dataset, workers: int | None, progress: Callable[[int, int], None] | None
) -> tuple[Float32[Array, "queries descriptor"], Float32[Array, "database descriptor"]]:
    """Descriptors of queries and database; an image that is both is described once."""
    paths = list(dict.fromkeys(image.path for image in (*dataset.database, *dataset.queries)))
    place = {path: row for row, path in enumerate(paths)}
    descriptors = np.zeros((len(paths), describer.dim), np.float32)
    failures: list[Problem] = []
    for batch in describe(paths, describer, workers=workers, progress=progress):
        descriptors[batch.rows] = batch.descriptors
        failures.extend(batch.failures)
    if failures:
        named = "; ".join(f"{failure.path}: {failure.reason}" for failure in failures[:SHOWN])
        raise DatasetError(f"{len(failures)} of {len(paths)} images of {dataset.name} cannot be read, get them again: {named}")
    return (
        descriptors[[place[image.path] for image in dataset.queries]],
        descriptors[[place[image.path] for image in dataset.database]],
    )


def _retrieved(
    queries: Float32[Array, "queries descriptor"],
    database: Float32[Array, "database descriptor"],
    excluded: Sequence[Int64[Array, " _excluded"]],
    top: int,
) -> list[Int64[Array, " _top"]]:
    """The first rows for each query without those it must do without; fewer than `top` where the database has no more."""
    spare = max((len(out) for out in excluded), default=0)
    found = exact(queries, [database], min(top + spare, len(database)))
    return [rows[~np.isin(rows, out)][:top] for rows, out in zip(found.rows, excluded, strict=True)]


def _median_error(dataset: Dataset, retrieved: Sequence[Int64[Array, " _top"]]) -> float | None:
    """Metres from the query to the first image retrieved, half of the queries are nearer; None where positions are not known."""
    errors = []
    for query, rows in zip(dataset.queries, retrieved, strict=True):
        image = dataset.database[rows[0]] if len(rows) else None
        if query.position is None or image is None or image.position is None:
            return None
        errors.append(distance(query.position, image.position))
    return float(np.median(errors))
