"""Batches of places that look alike: each meets its hardest negatives, by descriptors of the epoch's beginning."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from sameplace.shapes import Array, Int64
from sameplace.training.descriptors import Descriptors
from sameplace.training.place_steps import Places
from sameplace.training.places import PlaceBatch
from sameplace.training.steps import COMPANIONS, ORDER, Lesson
from sameplace.training.window import NO_ROW

POOL = 20
"""Companions are drawn among so many hardest negatives: the very hardest are often places that look the same to anyone."""
ROWS_AT_ONCE, BLOCK = 1024, 4096
"""Queries, and images of the database, whose descriptors are in memory together."""


class MinedPlaces(Places):
    """The course of batches of places, each with companions; the positives of a place are its most similar ones."""

    def __init__(self, lesson: Lesson) -> None:
        super().__init__(lesson)
        self._lines: Int64[Array, "lines places"] = np.empty((0, 0), np.int64)
        self._lines_of = -1

    def state(self) -> dict[str, Tensor]:
        """The places of this epoch, batch by batch: the weights that they were mined with are gone."""
        return {"lines": torch.from_numpy(self._lines).clone(), "lines_of": torch.tensor(self._lines_of)}

    def resume(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave."""
        super().resume(state)
        self._lines, self._lines_of = state["lines"].numpy().copy(), int(state["lines_of"])

    def _deal(self, epoch: int) -> tuple[PlaceBatch, ...]:
        """Mine, unless a checkpoint has told what was mined; the images of a batch are a line, those of a place side by side."""
        if self._lines_of != epoch:
            self._lines, self._lines_of = self._mined(epoch), epoch
        lesson, streets = self.lesson, self.lesson.streets
        known = np.unique(np.concatenate([streets.database, streets.queries, streets.alone]))
        views = known[lesson.rng(ORDER, epoch, 1).permutation(len(known))]
        dealt = []
        for number, line in enumerate(self._lines):
            groups = np.repeat(np.arange(len(line) // lesson.config.images_per_place), lesson.config.images_per_place)
            there = line != NO_ROW
            pairs = views[np.arange(number * self._pairs, (number + 1) * self._pairs) % len(views)]
            dealt.append(PlaceBatch.of(streets, line[there], pairs, groups[there]))
        return tuple(batch for batch in dealt if batch.teaches)

    def _mined(self, epoch: int) -> Int64[Array, "lines places"]:
        """Rows of images: in each line places of `images_per_place` images; `NO_ROW` where there are fewer."""
        lesson = self.lesson
        descriptors = lesson.described("mining", np.union1d(lesson.streets.queries, lesson.streets.database))
        best, hardest = _nearest(descriptors, lesson, lesson.config.images_per_place - 1)
        lesson.forget(descriptors)
        places = lesson.config.batch - self._pairs
        lines = [np.concatenate([best[number] for number in numbers]) for numbers in self._together(hardest, places, epoch)]
        filled = np.full((len(lines), places * lesson.config.images_per_place), NO_ROW, np.int64)
        for line, rows in zip(filled, lines, strict=True):
            line[: len(rows)] = rows
        return filled

    def _together(self, hardest: Int64[Array, "queries pool"], places: int, epoch: int) -> list[list[int]]:
        """The numbers of the queries of each batch: every query once, behind each of those drawn its companions."""
        lesson = self.lesson
        rng = lesson.rng(COMPANIONS, epoch)
        seen = np.zeros(len(hardest), bool)
        together: list[list[int]] = [[]]
        for query in lesson.rng(ORDER, epoch).permutation(len(hardest)).tolist():
            if seen[query]:
                continue
            drawn = rng.permutation(hardest[query][hardest[query] != NO_ROW]).tolist()
            companions = [other for other in drawn if not seen[other]][: lesson.config.companions]
            for number in (query, *companions):
                seen[number] = True
                if len(together[-1]) == places:
                    together.append([])
                together[-1].append(number)
        return together


def _nearest(
    descriptors: Descriptors, lesson: Lesson, positives: int
) -> tuple[Int64[Array, "queries place"], Int64[Array, "queries pool"]]:
    """For each query the rows of its place, itself and its most similar positives, and the numbers of its hardest negatives.

    Negatives are queries, too: only a place has something to be told from.
    """
    streets = lesson.streets
    place = np.full((len(streets.queries), 1 + positives), NO_ROW, np.int64)
    place[:, 0] = streets.queries
    hardest = np.full((len(streets.queries), POOL), NO_ROW, np.int64)
    number = np.full(len(streets.images), NO_ROW, np.int64)
    number[streets.queries] = np.arange(len(streets.queries))
    asks = number[streets.database]
    blocks = np.split(streets.database, range(BLOCK, len(streets.database), BLOCK))
    for first in range(0, len(streets.queries), ROWS_AT_ONCE):
        asking = torch.from_numpy(descriptors.of(streets.queries[first : first + ROWS_AT_ONCE]))
        found = [(asking @ torch.from_numpy(descriptors.of(block)).T).numpy() for block in blocks]
        for query, similar in enumerate(np.concatenate(found, axis=1), first):
            around = streets.positives[query]
            best = around[np.argsort(-similar[around], kind="stable")[:positives]]
            place[query, 1 : 1 + len(best)] = streets.database[best]
            far = np.where(asks == NO_ROW, -np.inf, similar)
            far[streets.near[query]] = -np.inf
            order = np.argsort(-far, kind="stable")[:POOL]
            order = order[np.isfinite(far[order])]
            hardest[query, : len(order)] = asks[order]
    return place, hardest
