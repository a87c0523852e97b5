"""What each query retrieves under the rules of a dataset: search, leave out, compare with the truth, in bounded memory."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sameplace.datasets import Dataset, Relevant, WithinMetresOf
from sameplace.evaluation.answers import Answers
from sameplace.geo import Positions
from sameplace.measures import average_precision, first_hits
from sameplace.search import exact
from sameplace.shapes import Array, Float32, Float64, Int64

QUERIES_AT_ONCE = 1024
"""As many as a search takes at once, so that its long lists are shortened before the next ones come."""
SIMILARITIES_AT_ONCE = 1 << 23
"""Numbers of whole rankings, of which average precision needs to see every one."""

Rows = tuple[Int64[Array, " _rows"], ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Rules:
    """What a dataset demands of an answer, row by row."""

    positives: Rows
    """For each query, the rows of the database that are right and that it may find."""
    without: Rows
    """For each query, the rows that it must do without: those left out, and junk."""
    panoramas: Int64[Array, " database"] | None
    """The number of each image's panorama where only the best image of each counts."""
    errors_from: tuple[Float64[Array, "queries 3"], Float64[Array, "database 3"]] | None
    """Where queries and database images were taken, in metres; None where that is not known of all."""
    ranked: bool
    """Whether whole rankings are scored."""

    @classmethod
    def of(cls, dataset: Dataset) -> "Rules":
        """Work out the truth; what is wrong with it is told here, before anything is described."""
        pairs = zip(dataset.excluded(), dataset.junk(), strict=True)
        without = tuple(np.union1d(out, junk) if len(junk) else out for out, junk in pairs)
        positives = dataset.positives()
        return cls(
            positives=tuple(
                right[~np.isin(right, out)] if len(out) else right for right, out in zip(positives, without, strict=True)
            ),
            without=without,
            panoramas=_panoramas(dataset) if dataset.one_per_panorama else None,
            errors_from=_places(dataset),
            ranked=isinstance(dataset.truth, Relevant),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Retrieved:
    """The rows of the database that each query found, best first, with their similarities."""

    rows: Rows
    similarities: tuple[Float32[Array, " _rows"], ...]


def retrieve(
    queries: Float32[Array, "queries descriptor"], database: Float32[Array, "database descriptor"], rules: Rules, depth: int
) -> Retrieved:
    """The first `depth` rows for each query under the rules; fewer where the database has no more."""
    # To keep the best of each panorama, enough images are looked at that they belong to `depth` panoramas.
    deep = depth if rules.panoramas is None else depth * int(np.bincount(rules.panoramas).max())
    rows: list[Int64[Array, " _rows"]] = []
    similarities: list[Float32[Array, " _rows"]] = []
    for first in range(0, len(queries), QUERIES_AT_ONCE):
        without = rules.without[first : first + QUERIES_AT_ONCE]
        spare = max(len(out) for out in without)
        found = exact(queries[first : first + QUERIES_AT_ONCE], [database], min(deep + spare, len(database)))
        for ranking, similar, out in zip(found.rows, found.similarities, without, strict=True):
            kept = np.arange(len(ranking)) if not len(out) else np.flatnonzero(~np.isin(ranking, out))
            kept = kept[:deep]
            if rules.panoramas is not None:
                kept = kept[np.sort(np.unique(rules.panoramas[ranking[kept]], return_index=True)[1])]
            # A copy, or every short list would hold on to the long one.
            rows.append(ranking[kept[:depth]])
            similarities.append(similar[kept[:depth]])
    return Retrieved(rows=tuple(rows), similarities=tuple(similarities))


def answer(
    queries: Float32[Array, "queries descriptor"],
    database: Float32[Array, "database descriptor"],
    rules: Rules,
    depth: int,
) -> tuple[Retrieved, Answers]:
    """Search with every query, and compare what it found with the truth."""
    retrieved = retrieve(queries, database, rules, depth)
    answers = Answers(
        depth=depth,
        first=first_hits(retrieved.rows, rules.positives),
        answerable=np.array([len(right) > 0 for right in rules.positives]),
        confidence=np.array([float(similar[0]) if len(similar) else np.nan for similar in retrieved.similarities]),
        error_m=None if rules.errors_from is None else _errors(*rules.errors_from, retrieved.rows),
        average_precision=_average_precisions(queries, database, rules) if rules.ranked else None,
    )
    return retrieved, answers


def _average_precisions(
    queries: Float32[Array, "queries descriptor"], database: Float32[Array, "database descriptor"], rules: Rules
) -> Float64[Array, " queries"]:
    """Of the whole ranking of each query, ties to the lower row; NaN where nothing is right."""
    precisions = np.full(len(queries), np.nan)
    at_once = max(1, SIMILARITIES_AT_ONCE // len(database))
    for first in range(0, len(queries), at_once):
        for query, similar in enumerate(queries[first : first + at_once] @ database.T, first):
            if len(rules.positives[query]):
                ranking = np.argsort(-similar, kind="stable")
                precisions[query] = average_precision(ranking, rules.positives[query], rules.without[query])
    return precisions


def _panoramas(dataset: Dataset) -> Int64[Array, " database"]:
    """A number for each panorama; an image that belongs to none has one of its own."""
    numbers: dict[str | int, int] = {}
    keys = (image.panorama if image.panorama is not None else row for row, image in enumerate(dataset.database))
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)


def _places(dataset: Dataset) -> tuple[Float64[Array, "queries 3"], Float64[Array, "database 3"]] | None:
    if isinstance(dataset.truth, WithinMetresOf):
        return dataset.truth.queries, dataset.truth.database
    positions = [image.position for image in (*dataset.queries, *dataset.database)]
    known = [position for position in positions if position is not None]
    if len(known) < len(positions):
        return None
    points = Positions.of(known).metric()
    return points[: len(dataset.queries)], points[len(dataset.queries) :]


def _errors(
    queries: Float64[Array, "queries 3"], database: Float64[Array, "database 3"], retrieved: Sequence[Int64[Array, " _rows"]]
) -> Float64[Array, " queries"]:
    """Metres from each query to its first match; infinite where it has none."""
    found = np.array([len(rows) > 0 for rows in retrieved])
    errors = np.full(len(queries), np.inf)
    first = np.array([rows[0] for rows in retrieved if len(rows)], np.int64)
    errors[found] = np.linalg.norm(queries[found] - database[first], axis=1)
    return errors
