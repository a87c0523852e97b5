"""Tuples whose queries alone are altered, and mining through a whitening."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sameplace.errors import TrainingError
from sameplace.network.whitening import PCAWhitening
from sameplace.training.config import TrainConfig
from sameplace.training.descriptors import described
from sameplace.training.steps import AS_IT_IS, Lesson
from sameplace.training.streets import Streets
from sameplace.training.tuple_steps import Tuples
from sameplace.training.window import NO_ROW
from tiny_training import TINY, lesson, streets

ALTERED = replace(TINY, augment="strong", altered_queries=True, refresh=1000, margin=0.6)


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Streets:
    return streets(tmp_path_factory.mktemp("street"))


class Turned:
    """Shows an altered image upside down, and remembers what it was asked for."""

    def __init__(self, taught: Lesson) -> None:
        self.inputs = taught.inputs
        self.asked: list[tuple[list[int], list[int]]] = []

    def __len__(self) -> int:
        return len(self.inputs)

    def load(self, rows, seeds=None):
        self.asked.append((rows.tolist(), [AS_IT_IS] * len(rows) if seeds is None else seeds.tolist()))
        images = self.inputs.load(rows)
        altered = torch.zeros(len(rows), dtype=torch.bool) if seeds is None else torch.from_numpy(seeds) >= 0
        return torch.where(altered[:, None, None, None], images.flip(2), images)

    def unreadable(self):
        return {}


def test_of_a_tuple_the_query_alone_is_altered_and_differently_in_every_epoch(street: Streets, tmp_path: Path) -> None:
    inputs = Turned(taught := lesson(tmp_path, street, ALTERED))
    course = Tuples(replace(taught, inputs=inputs))
    seen = []
    for epoch in (0, 1, 0):
        inputs.asked.clear()
        course.learn(epoch, 0)
        learnt = [seeds for rows, seeds in inputs.asked if len(rows) <= 6]  # mining looks at more
        assert learnt
        for first, *rest in learnt:
            assert first >= 0
            assert set(rest) == {AS_IT_IS}
        seen.append([first for first, *_ in learnt])
    surely = min(map(len, seen))  # the next ones are loaded ahead
    assert seen[0][:surely] == seen[2][:surely]
    assert not set(seen[0]) & set(seen[1])


def test_queries_are_mined_as_they_are_altered(street: Streets, tmp_path: Path) -> None:
    taught = lesson(tmp_path, street, ALTERED)
    course = Tuples(replace(taught, inputs=(inputs := Turned(taught))))
    course.learn(0, 0)
    rows = np.arange(len(street.images))
    with torch.no_grad():
        plain = taught.learner(inputs.load(rows)).numpy()
        turned = taught.learner(inputs.load(rows, rows)).numpy()
    order = np.random.default_rng([taught.config.seed, 1, 0]).permutation(len(street.queries))
    state = course.state()
    found = 0
    for query, best, hardest in zip(order.tolist(), state["best"].tolist(), state["hardest"].tolist(), strict=True):
        asks = turned[street.queries[query]]
        negatives = [row for row in hardest if row != NO_ROW]
        distances = [float(((asks - plain[street.database[row]]) ** 2).sum()) for row in (best, *negatives)]
        assert all(distance < distances[0] + 0.6 + 5e-3 for distance in distances[1:])
        found += len(negatives)
    assert found > len(order)


def test_a_share_of_the_queries_stays_as_it_is(street: Streets, tmp_path: Path) -> None:
    taught = lesson(tmp_path, street, replace(ALTERED, plain=0.5))
    seeds = Tuples(taught)._query_seeds(0)
    assert seeds is not None
    assert 10 < (seeds == AS_IT_IS).sum() < 38  # of 48
    assert Tuples(lesson(tmp_path, street, TINY))._query_seeds(0) is None


@pytest.mark.parametrize("change", [{"augment": "none"}, {"loss": "sare", "augment": "mild"}])
def test_altered_queries_need_tuples_and_to_be_told_how(change: dict[str, object]) -> None:
    with pytest.raises(TrainingError, match="choose augment mild or strong, or altered_queries=False"):
        TrainConfig(altered_queries=True, **change)  # type: ignore[arg-type]


def test_what_is_learnt_through_a_whitening_is_mined_through_it(street: Streets, tmp_path: Path) -> None:
    taught = lesson(tmp_path, street, replace(TINY, refresh=1000, margin=0.6))
    raw = described(taught.learner, taught.inputs, np.arange(len(street.images)), into=tmp_path / "raw.npy").tensor()
    whitening = PCAWhitening.fit(raw.float(), output_dim=6).requires_grad_(False)
    course = Tuples(replace(taught, whitening=whitening))
    course.learn(0, 0)
    made = whitening(raw.float()).numpy()
    order = np.random.default_rng([taught.config.seed, 1, 0]).permutation(len(street.queries))
    state, found = course.state(), 0
    for query, best, hardest in zip(order.tolist(), state["best"].tolist(), state["hardest"].tolist(), strict=True):
        asks = made[street.queries[query]]
        negatives = [row for row in hardest if row != NO_ROW]
        distances = [float(((asks - made[street.database[row]]) ** 2).sum()) for row in (best, *negatives)]
        assert all(distance < distances[0] + 0.6 + 2e-2 for distance in distances[1:])
        found += len(negatives)
    assert found > len(order) // 2
