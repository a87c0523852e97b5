"""How well the network of the moment recognises the places of a validation set."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sameplace.datasets import Dataset
from sameplace.evaluation.retrieval import Rules, answer
from sameplace.measures import recall
from sameplace.shapes import Array, Float32
from sameplace.training.descriptors import Descriptors, described
from sameplace.training.inputs import Inputs, Source
from sameplace.training.learner import Learner, Precision
from sameplace.training.parallel import Ranks

RECALL_AT = (1, 5, 10)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What a validation has found."""

    recall: dict[int, float]
    """By the number of images retrieved, over all queries."""
    similarity: float
    """The mean cosine between descriptors of different images; near 1 where the network cannot tell images apart any more."""

    @property
    def merit(self) -> tuple[float, float]:
        """Of two epochs the one with more of it is better: recall@5, as in the paper, then recall@1."""
        return self.recall[5], self.recall[1]

    def to_json(self) -> dict[str, float]:
        """As lines of the history say it."""
        return {**{f"recall@{top}": share for top, share in self.recall.items()}, "similarity": self.similarity}


def sources(dataset: Dataset) -> tuple[Source, ...]:
    """What of a dataset must be described, each once."""
    return tuple(dict.fromkeys([*dataset.database_sources, *dataset.query_sources]))


class Validation:
    """A dataset under its own protocol, described by a learner from inputs made of `sources`."""

    def __init__(self, dataset: Dataset, inputs: Inputs) -> None:
        self.inputs = inputs
        self._rules = Rules.of(dataset)
        place = {source: row for row, source in enumerate(sources(dataset))}
        self._queries = np.array([place[source] for source in dataset.query_sources], np.int64)
        self._database = np.array([place[source] for source in dataset.database_sources], np.int64)

    def figures(
        self,
        learner: Learner,
        precision: Precision,
        *,
        ranks: Ranks,
        folder: Path,
        progress: Callable[[int, int], None] | None = None,
    ) -> Figures:
        """Recall of the network as it is now, without whitening; every process describes its part and finds the same."""
        paths = [folder / f"validation-{rank}.npy" for rank in range(ranks.count)]
        parts = np.array_split(np.arange(len(self.inputs), dtype=np.int64), ranks.count)
        described(learner, self.inputs, parts[ranks.rank], into=paths[ranks.rank], precision=precision, progress=progress)
        ranks.wait()
        made = Descriptors.joined(*(Descriptors.open(path, part) for path, part in zip(paths, parts, strict=True)))
        database = made.of(self._database)
        _, answers = answer(made.of(self._queries), database, self._rules, max(RECALL_AT))
        ranks.wait()
        if ranks.first:
            for path in paths:
                path.unlink()
        return Figures(recall=recall(answers.first, RECALL_AT), similarity=mean_similarity(database))


def mean_similarity(descriptors: Float32[Array, "images descriptor"]) -> float:
    """The mean scalar product of different descriptors of unit length.

    >>> mean_similarity(np.eye(3, dtype=np.float32))
    0.0
    """
    count = len(descriptors)
    if count < 2:
        return 0.0
    total = descriptors.sum(axis=0, dtype=np.float64)
    return float((total @ total - np.vdot(descriptors, descriptors)) / (count * (count - 1)))


def collapsed(similarity: float, at_the_start: float) -> bool:
    """Whether descriptors have come a hundred times as near to each other as they were: there is nothing left to tell apart.

    >>> collapsed(0.3, 0.2), collapsed(0.995, 0.2)
    (False, True)
    """
    return 1 - similarity < 0.01 * (1 - at_the_start)
