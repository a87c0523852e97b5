"""The paper's way to learn: a query, its best positive and its hardest negatives (section 4, appendix A)."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from sameplace.shapes import Array, Float, Int64
from sameplace.training.descriptors import Descriptors
from sameplace.training.inputs import ahead
from sameplace.training.losses import ranking_loss, violates
from sameplace.training.mining import candidates, sampled_negatives
from sameplace.training.optimisation import queries_between_refreshes
from sameplace.training.parallel import Ranks
from sameplace.training.steps import AS_IT_IS, NEGATIVES, ORDER, PLAIN, POOL, SEEDS, VARIANTS, Learnt, Lesson
from sameplace.training.window import NO_ROW, Mined, mined


class Tuples:
    """The paper's course: a query, its best positive and its hardest negatives that violate the margin (sections 4 and A).

    Loss and gradients are those of freshly described images; a tuple without a violating negative costs no backward pass.
    """

    def __init__(self, lesson: Lesson) -> None:
        self.lesson = lesson
        queries, config = len(lesson.streets.queries), lesson.config
        self._remembered = np.full((queries, config.remembered_negatives), NO_ROW, np.int64)
        # The epoch, first and last batch of the queries that have been mined.
        self._window = (-1, 0, 0)
        self._best = np.empty(0, np.int64)
        self._hardest = np.empty((0, config.negatives), np.int64)
        self._loading: Iterator[Tensor] | None = None

    def batches(self, epoch: int) -> int:  # noqa: ARG002  (every epoch has as many)
        """As many as it takes for every query to ask once."""
        return -(-len(self.lesson.streets.queries) // self.lesson.config.batch)

    def learn(self, epoch: int, batch: int) -> Learnt:
        """Add up the gradients of the sum over the violating triplets of the tuples of a batch."""
        known, first, last = self._window
        refreshed = known != epoch or not first <= batch < last
        if refreshed:
            self._mine(epoch, batch)
        if self._loading is None:
            self._loading = ahead(self.lesson.inputs, self._wanted(batch))
        learnt = Learnt()
        for place in self._own(batch):
            taught = int((self._hardest[place] != NO_ROW).sum())
            learnt += self._learn(next(self._loading)) if taught else Learnt(asked=1)
        if batch + 1 == self._window[2]:
            self._loading = None
        return replace(_everyones(learnt, self.lesson.ranks), refreshed=refreshed)

    def state(self) -> dict[str, Tensor]:
        """The negatives that are remembered, and the tuples up to the next refresh."""
        arrays = {"remembered": self._remembered, "best": self._best, "hardest": self._hardest, "window": np.array(self._window)}
        return {name: torch.from_numpy(array).clone() for name, array in arrays.items()}

    def resume(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave."""
        self._remembered, self._best, self._hardest = (state[name].numpy().copy() for name in ("remembered", "best", "hardest"))
        epoch, first, last = state["window"].tolist()
        self._window, self._loading = (epoch, first, last), None

    def _learn(self, maps: Float[Tensor, "images ..."]) -> Learnt:
        """One tuple: the query, its best positive, its negatives."""
        query, best, negatives = self.lesson.descriptors(maps).tensor_split([1, 2])
        violating = int(violates(query[0], best, negatives, margin=self.lesson.config.margin).sum())
        loss = ranking_loss(query[0], best, negatives, margin=self.lesson.config.margin)
        if violating:
            self.lesson.optimisation.backward(loss)
        return Learnt(loss=float(loss.detach()), parts=1, asked=1, violating=int(violating > 0), divisor=violating)

    def _own(self, batch: int) -> range:
        """Where the tuples of a batch that this process learns from stand in the window."""
        size, places = self.lesson.config.batch, len(self._best)
        first = (batch - self._window[1]) * size
        return range(first, min(first + size, places))[self.lesson.ranks.share]

    def _wanted(self, batch: int) -> Iterator[tuple[Int64[Array, " images"], Int64[Array, " images"] | None]]:
        """The images of all tuples of the window from a batch on, and how they are altered."""
        epoch, first, last = self._window
        size, streets = self.lesson.config.batch, self.lesson.streets
        order, asking = self._order(epoch), self._query_seeds(epoch)
        for number in range(batch, last):
            seeds = self.lesson.seeds(epoch, number, (size, 2 + self.lesson.config.negatives))
            for place in self._own(number):
                negatives = self._hardest[place][self._hardest[place] != NO_ROW]
                if len(negatives):
                    query = order[first * size + place]
                    rows = np.array([streets.queries[query], *streets.database[[self._best[place], *negatives]]])
                    if asking is not None:
                        yield rows, np.array([asking[query], *[AS_IT_IS] * (1 + len(negatives))])
                    else:
                        yield rows, None if seeds is None else seeds[place % size, : len(rows)]

    def _order(self, epoch: int) -> Int64[Array, " queries"]:
        return self.lesson.rng(ORDER, epoch).permutation(len(self.lesson.streets.queries))

    def _mine(self, epoch: int, batch: int) -> None:
        """Describe anew what may be needed, and mine the tuples of all queries up to the next refresh."""
        config, ranks = self.lesson.config, self.lesson.ranks
        batches = self.batches(epoch)
        refresh = -(-queries_between_refreshes(config, epoch + batch / batches) // config.batch)
        last = min(batch + refresh, batches)
        queries = self._order(epoch)[batch * config.batch : last * config.batch]
        pool = self._pool(epoch, batch)
        answering = self.lesson.described("answering", self._compared(queries, pool))
        rows = self.lesson.streets.queries[queries]
        seeds = self._query_seeds(epoch)
        asking = answering if seeds is None else self.lesson.described("asking", np.sort(rows), seeds[np.sort(queries)])
        found = self._mined(queries[ranks.share], asking, answering, pool, epoch)
        self.lesson.forget(answering)
        if asking is not answering:
            self.lesson.forget(asking)
        self._best = _spread(found.best[:, None], len(queries), ranks)[:, 0]
        self._hardest = _spread(found.hardest, len(queries), ranks)
        self._remembered[queries] = _spread(found.remembered, len(queries), ranks)
        self._window, self._loading = (epoch, batch, last), None

    def _pool(self, epoch: int, batch: int) -> Int64[Array, " pool"]:
        """The rows of the database that negatives are sampled from."""
        database, pool = len(self.lesson.streets.database), self.lesson.config.pool
        if pool is None or pool >= database:
            return np.arange(database, dtype=np.int64)
        return np.sort(self.lesson.rng(POOL, epoch, batch).choice(database, pool, replace=False))

    def _compared(self, queries: Int64[Array, " queries"], pool: Int64[Array, " pool"]) -> Int64[Array, " rows"]:
        """The images that mining looks at: the queries, the pool, and whatever else they are compared with."""
        streets = self.lesson.streets
        compared = [pool, *(streets.positives[query] for query in queries.tolist()), self._remembered[queries].ravel()]
        answers = np.unique(np.concatenate(compared))
        return np.unique(np.concatenate([streets.queries[queries], streets.database[answers[answers != NO_ROW]]]))

    def _query_seeds(self, epoch: int) -> Int64[Array, " queries"] | None:
        """How each query is altered in this epoch, where queries alone are altered: they are mined as they are learnt from."""
        lesson, queries = self.lesson, len(self.lesson.streets.queries)
        if lesson.config.augment == "none" or not lesson.config.altered_queries:
            return None
        plain = lesson.rng(PLAIN, epoch).random(queries) < lesson.config.plain
        return np.where(plain, AS_IT_IS, lesson.rng(VARIANTS, epoch).integers(0, SEEDS, queries))

    def _mined(
        self,
        queries: Int64[Array, " queries"],
        asking: Descriptors,
        answering: Descriptors,
        pool: Int64[Array, " pool"],
        epoch: int,
    ) -> Mined:
        """The best positives and the hardest negatives of queries."""
        streets, config = self.lesson.streets, self.lesson.config

        def searched(number: int) -> Int64[Array, " candidates"]:
            query = int(queries[number])
            near = np.searchsorted(pool, streets.near[query])
            near = near[pool[np.minimum(near, len(pool) - 1)] == streets.near[query]]
            rng = self.lesson.rng(NEGATIVES, epoch, query)
            sampled = pool[sampled_negatives(near, len(pool), count=config.sampled_negatives, rng=rng)]
            remembered = self._remembered[query]
            return candidates(sampled, remembered[remembered != NO_ROW])

        return mined(
            lambda numbers: asking.of(streets.queries[queries[numbers]]),
            lambda rows: answering.of(streets.database[rows]),
            tuple(streets.positives[query] for query in queries.tolist()),
            searched,
            config,
        )


def _everyones(learnt: Learnt, ranks: Ranks) -> Learnt:
    """The sum of what every process has learnt."""
    if ranks.count == 1:
        return learnt
    numbers = torch.tensor(
        [learnt.loss, learnt.parts, learnt.asked, learnt.violating, learnt.divisor], dtype=torch.float64, device=ranks.device
    )
    ranks.sum(numbers)
    loss, *counts = numbers.tolist()
    parts, asked, violating, divisor = (int(count) for count in counts)
    return Learnt(loss=loss, parts=parts, asked=asked, violating=violating, divisor=divisor)


def _spread(own: Int64[Array, "own columns"], lines: int, ranks: Ranks) -> Int64[Array, "lines columns"]:
    """What every process has found for its share of some lines, line by line."""
    everything = np.full((lines, own.shape[1]), NO_ROW, np.int64)
    everything[ranks.share] = own
    return ranks.merged(everything)
