"""Which images may serve as positives and negatives of a query, told by position, time and panorama alone (section 4)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sameplace.datasets.truth import Rows, near
from sameplace.geo import Positions
from sameplace.images import ImageRecord, seconds_between
from sameplace.shapes import Array, Int64
from sameplace.training.reach import PAPERS, Reach


@dataclass(frozen=True, kw_only=True, eq=False)
class Weak:
    """What positions say about some queries and a database, in rows of the latter."""

    queries: Int64[Array, " queries"]
    """The queries that have a potential positive; the others are skipped."""
    positives: Rows
    """The potential positives of each of them."""
    near: Rows
    """All that lies within the reach of negatives of each of them: everything else is a definite negative."""

    def __len__(self) -> int:
        return len(self.queries)


def weak_labels(queries: Sequence[ImageRecord], database: Sequence[ImageRecord], reach: Reach = PAPERS) -> Weak:
    """Potential positives (1 m < d <= 10 m, another panorama, and what else is asked for) and what is no definite negative.

    >>> from pathlib import Path; from sameplace.geo import LocalPoint
    >>> at = lambda x: ImageRecord(path=Path("photo.jpg"), position=LocalPoint(x, 0.0))
    >>> [rows.tolist() for rows in weak_labels([at(0.0)], [at(0.5), at(5.0), at(24.0), at(30.0)]).positives]
    [[1]]
    """
    points = Positions.of([image.position for image in (*queries, *database) if image.position is not None]).metric()
    if len(points) != len(queries) + len(database):
        raise ValueError("Weak supervision needs the position of every image; leave out those without one.")
    asking, known = points[: len(queries)], points[len(queries) :]
    trivial, close, around = (near(asking, known, radius) for radius in (reach.trivial, reach.positive, reach.negative))
    positives = [
        _taught(query, rows[~np.isin(rows, same)], database, reach)
        for query, rows, same in zip(queries, close, trivial, strict=True)
    ]
    kept = [number for number, rows in enumerate(positives) if len(rows)]
    return Weak(
        queries=np.array(kept, np.int64),
        positives=tuple(positives[number] for number in kept),
        near=tuple(around[number] for number in kept),
    )


def _taught(
    query: ImageRecord, rows: Int64[Array, " rows"], database: Sequence[ImageRecord], reach: Reach
) -> Int64[Array, " taught"]:
    """Those rows that are of another panorama than the query and, where asked for, of another time and a like heading."""
    return np.array([row for row in rows.tolist() if _differs(query, database[row], reach)], np.int64)


def _differs(query: ImageRecord, image: ImageRecord, reach: Reach) -> bool:
    if query.panorama is not None and query.panorama == image.panorama:
        return False
    if reach.heading is not None and not degrees_between(query.heading_deg, image.heading_deg) <= reach.heading:
        return False
    if not reach.another_time:
        return True
    if query.time is None or image.time is None:
        return False
    apart = seconds_between(query.time, image.time)
    return apart is not None and apart > reach.same_pass


def degrees_between(first: float | None, second: float | None) -> float:
    """How far two headings lie apart, in 0..180 degrees; infinitely far where one is not known.

    >>> degrees_between(350.0, 20.0)
    30.0
    """
    if first is None or second is None:
        return math.inf
    return abs((first - second + 180) % 360 - 180)
