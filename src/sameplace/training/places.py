"""Batches of places: a query with some of its positives each, different places far apart, and pairs of views of one image."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat

import numpy as np

from sameplace.shapes import Array, Bool, Int64
from sameplace.training.streets import NONE, Streets

LOOK_AHEAD = 8
"""So many times as many queries as a batch has places are tried before places that are near each other share it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PlaceBatch:
    """Images that are learnt from together: those of places, then pairs of views of one image each."""

    rows: Int64[Array, " images"]
    """Rows of images; the two of a pair are the same and stand side by side."""
    pairs: int
    """So many pairs end the batch."""
    anchors: Int64[Array, " anchors"]
    """Who asks, by number in the batch: all queries, and all views of pairs."""
    positives: Bool[Array, "anchors images"]
    negatives: Bool[Array, "anchors images"]

    @classmethod
    def of(
        cls,
        streets: Streets,
        places: Int64[Array, " places"],
        pairs: Int64[Array, " pairs"],
        groups: Int64[Array, " places"] | None = None,
    ) -> "PlaceBatch":
        """Rows of images of places, and rows of which two views are taken, with all that is known of them.

        An anchor has all its potential positives in the batch, or those of its group where groups are given, and all its definite
        negatives. A view has its other view for a positive; an image that stands alone is a negative of every other one.
        """
        rows = np.concatenate([places, np.repeat(pairs, 2)])
        pair = np.concatenate([np.full(len(places), -1), np.repeat(np.arange(len(pairs)), 2)])
        anchors = np.flatnonzero(np.isin(rows, streets.queries) | (pair >= 0))
        asking = rows[anchors]
        positives, negatives = streets.relations(asking, rows)
        if groups is not None:
            group = np.concatenate([groups, np.full(2 * len(pairs), -1)])
            positives &= group[anchors, None] == group
        views = (pair[anchors, None] == pair) & (pair >= 0) & (anchors[:, None] != np.arange(len(rows)))
        alone = np.isin(asking, streets.alone)[:, None] | np.isin(rows, streets.alone)
        return cls(
            rows=rows,
            pairs=len(pairs),
            anchors=anchors,
            positives=positives | views,
            negatives=(negatives | alone) & (asking[:, None] != rows),
        )

    @property
    def teaches(self) -> bool:
        """Whether any anchor has both a positive and a negative."""
        return bool((self.positives.any(axis=1) & self.negatives.any(axis=1)).any())


def place_batches(
    streets: Streets, *, places: int, images_per_place: int, pairs: int, rng: np.random.Generator
) -> tuple[PlaceBatch, ...]:
    """The batches of an epoch: every query is in one of them, and takes those of its positives along that were not seen yet.

    Places of a batch are definite negatives of each other as far as such can be found; a batch that teaches nothing is left out.
    Without places, the views of every image come once.
    """
    known = np.unique(np.concatenate([streets.database, streets.queries, streets.alone]))
    views = known[rng.permutation(len(known))]
    dealt = _Dealer(streets, images_per_place, rng).batches(places) if places else repeat(NONE, -(-len(views) // pairs))
    batches = (
        PlaceBatch.of(streets, rows, views[np.arange(number * pairs, (number + 1) * pairs) % len(views)])
        for number, rows in enumerate(dealt)
    )
    return tuple(batch for batch in batches if batch.teaches)


class _Dealer:
    """Deals the queries of an epoch into batches of places that are far from each other."""

    def __init__(self, streets: Streets, images_per_place: int, rng: np.random.Generator) -> None:
        self.streets = streets
        self.images_per_place = images_per_place
        self.rng = rng
        self.number = np.full(len(streets.images), -1, np.int64)
        self.number[streets.queries] = np.arange(len(streets.queries))
        self.seen = np.zeros(len(streets.images), bool)
        # The last batch in which an image was, and the last with an image that it is near to.
        self.member = np.full(len(streets.images), -1, np.int64)
        self.blocked = np.full(len(streets.images), -1, np.int64)

    def batches(self, places: int) -> Iterator[Int64[Array, " images"]]:
        """Rows of images, batch by batch."""
        waiting = deque(self.streets.queries[self.rng.permutation(len(self.streets.queries))].tolist())
        batch = 0
        while waiting:
            taken: list[Int64[Array, " _images"]] = []
            near: list[int] = []
            for _ in range(min(LOOK_AHEAD * places, len(waiting))):
                if len(taken) == places:
                    break
                query = waiting.popleft()
                if self.seen[query]:
                    continue
                if (place := self._place(query, batch)) is None:
                    near.append(query)
                else:
                    taken.append(self._taken(place, batch))
            # Those that are near to others of this batch come first in the next one, or fill this one where nothing else does.
            while len(taken) < places and near:
                query = near.pop(0)
                if not self.seen[query]:
                    taken.append(self._taken(self._any_place(query), batch))
            waiting.extendleft(reversed(near))
            if taken:
                yield np.concatenate(taken)
            batch += 1

    def _place(self, query: int, batch: int) -> Int64[Array, " images"] | None:
        """The query with some of its positives, all of them far from what the batch holds; None where that cannot be."""
        if not self._far(query, batch):
            return None
        free = [row for row in self._positives(query).tolist() if self._far(row, batch)][: self.images_per_place - 1]
        return np.array([query, *free], np.int64) if free else None

    def _any_place(self, query: int) -> Int64[Array, " images"]:
        return np.array([query, *self._positives(query)[: self.images_per_place - 1].tolist()], np.int64)

    def _positives(self, query: int) -> Int64[Array, " positives"]:
        """Its positives in random order, those that were not seen yet first."""
        rows = self.streets.database[self.streets.positives[self.number[query]]]
        drawn: Int64[Array, " positives"] = rows[np.argsort(self.seen[rows] + self.rng.random(len(rows)))]
        return drawn

    def _far(self, row: int, batch: int) -> bool:
        """Whether an image is far from all that the batch holds, as far as is known."""
        number = self.number[row]
        if self.blocked[row] == batch or self.member[row] == batch:
            return False
        return number < 0 or not (self.member[self.streets.database[self.streets.near[number]]] == batch).any()

    def _taken(self, place: Int64[Array, " images"], batch: int) -> Int64[Array, " images"]:
        """Note who is in the batch, and who is near to it."""
        self.seen[place] = True
        self.member[place] = batch
        for number in self.number[place].tolist():
            if number >= 0:
                self.blocked[self.streets.database[self.streets.near[number]]] = batch
        return place
