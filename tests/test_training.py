"""Training, rule by rule: each is computed again in the naive way."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn

from sameplace.errors import DatasetError, TrainingError
from sameplace.evaluation import evaluate
from sameplace.geo import LocalPoint
from sameplace.images import ImageRecord
from sameplace.network.encoder import Encoder
from sameplace.network.pooling import AveragePooling
from sameplace.training.config import PRESETS, TrainConfig, config_from_json, config_to_json
from sameplace.training.learner import Learner
from sameplace.training.loop import train
from sameplace.training.losses import multi_similarity, sare
from sameplace.training.mining import best_positive, hardest_negatives
from sameplace.training.optimisation import Optimisation, queries_between_refreshes, rate, schedule
from sameplace.training.place_steps import Places
from sameplace.training.places import PlaceBatch, place_batches
from sameplace.training.run import Run
from sameplace.training.steps import Lesson
from sameplace.training.streets import Streets
from sameplace.training.tuple_steps import Tuples
from sameplace.training.validation import Figures, Validation, collapsed, mean_similarity
from sameplace.training.window import NO_ROW, mined
from tiny_training import TINY, encoder, lesson, photos, streets, validation

AT_ONCE = replace(TINY, refresh=1000, batch=4)


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Streets:
    return streets(tmp_path_factory.mktemp("street"))


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory):
    return validation(tmp_path_factory.mktemp("others"))


def along(*metres: float) -> tuple[ImageRecord, ...]:
    return tuple(ImageRecord(path=Path(f"{number}.jpg"), position=LocalPoint(x, 0.0)) for number, x in enumerate(metres))


def unit(*shape: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def network_of(taught: Lesson, rows: np.ndarray) -> torch.Tensor:
    """Descriptors of images, straight from the network."""
    return taught.learner(taught.inputs.load(np.asarray(rows)))


def tuples_of(course: Tuples, epoch: int = 0) -> list[tuple[int, int, list[int]]]:
    """Query, best positive and hardest negatives, as rows of images, of what has been mined."""
    state, known = course.state(), course.lesson.streets
    order = np.random.default_rng([course.lesson.config.seed, 1, epoch]).permutation(len(known.queries))
    first = int(state["window"][1]) * course.lesson.config.batch
    return [
        (
            int(known.queries[query]),
            int(known.database[best]),
            [int(known.database[row]) for row in hardest if row != NO_ROW],
        )
        for query, best, hardest in zip(order[first:], state["best"].tolist(), state["hardest"].tolist(), strict=False)
    ]


# What is asked for


def test_the_defaults_are_the_papers() -> None:
    paper = TrainConfig()
    assert (paper.trivial, paper.positive, paper.negative) == (1.0, 10.0, 25.0)
    assert (paper.sampled_negatives, paper.remembered_negatives, paper.negatives, paper.margin) == (1000, 10, 10, 0.1)
    assert (paper.refresh, paper.batch, paper.epochs, paper.halve_every) == (1000, 4, 30, 5)
    assert (paper.learning_rate, paper.momentum, paper.weight_decay, paper.assignment_rate) == (1e-3, 0.9, 1e-3, 1.0)
    assert (paper.loss, paper.optimiser, paper.schedule, paper.precision) == ("ranking", "sgd", "halving", "float32")
    assert (paper.vocabulary_images, paper.vocabulary_locations, paper.whitening) == (500, 100, 4096)
    assert PRESETS["pitts30k"] == paper
    assert PRESETS["pitts250k"] == replace(paper, learning_rate=1e-4)
    assert PRESETS["tokyo"] == replace(paper, learning_rate=1e-4, another_time=True)


@pytest.mark.parametrize(
    ("nonsense", "cure"),
    [
        ({"batch": 0}, "give a larger number"),
        ({"images_per_place": 1}, "give a larger number"),
        ({"margin": 0.0}, "give a positive number"),
        ({"learning_rate": math.nan}, "give a positive number"),
        ({"momentum": 1.0}, "give such a share"),
        ({"whitening_power": 0.6}, "give 0.5 for a full whitening"),
        ({"self_supervised": 1.5, "loss": "sare", "augment": "mild"}, "give such a share"),
        ({"positive": 30.0}, "change one of them"),
        ({"self_supervised": 0.5, "augment": "mild"}, "choose loss multi-similarity or sare"),
        ({"self_supervised": 0.5, "loss": "sare"}, "choose augment mild or strong"),
        ({"self_supervised": 0.5, "loss": "sare", "augment": "mild", "views": 1}, "views=2 or more"),
        ({"views": 2}, "choose augment mild or strong"),
        ({"pool": 10, "loss": "sare"}, "leave it out"),
    ],
)
def test_nonsense_is_refused_with_its_cure(nonsense: dict[str, object], cure: str) -> None:
    with pytest.raises(TrainingError, match=cure):
        TrainConfig(**nonsense)  # type: ignore[arg-type]


def test_a_choice_that_there_is_not_is_refused() -> None:
    config = TrainConfig()
    object.__setattr__(config, "loss", "triplet")  # past the checks of types, which users do not have
    assert config.problems() == ("loss must be one of ranking, multi-similarity, sare, got 'triplet'; choose one of them.",)


def test_a_configuration_survives_its_file() -> None:
    for config in PRESETS.values():
        assert config_from_json(json.loads(json.dumps(config_to_json(config)))) == config
    with pytest.raises(TrainingError, match="leave it out"):
        config_from_json({"margins": 0.2})


def test_the_rate_is_halved_every_five_epochs_and_refreshes_become_half_as_many() -> None:
    config = TrainConfig()
    for epoch in range(30):
        assert rate(config, epoch + 0.7, 10_000) == pytest.approx(1e-3 / 2 ** (epoch // 5), rel=1e-12)
        assert queries_between_refreshes(config, epoch + 0.7) == 1000 * 2 ** (epoch // 5)


@given(progress=st.floats(0, 10), later=st.floats(0, 10))
@settings(deadline=None)
def test_a_cosine_falls_from_all_to_nothing_and_refreshes_follow_it(progress: float, later: float) -> None:
    config = TrainConfig(schedule="cosine", epochs=10)
    first, second = sorted((progress, later))
    assert 0 <= schedule(config, second) <= schedule(config, first) <= 1
    assert schedule(config, 0.0) == 1
    assert schedule(config, 10.0) == 0
    assert queries_between_refreshes(config, 4.9) == 1000
    assert queries_between_refreshes(config, 5.0) == 2000


def test_the_warm_up_rises_step_by_step() -> None:
    config = TrainConfig(warm_up=4, learning_rate=1.0)
    assert [rate(config, 0.0, step) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


# Mining


@given(st.integers(1, 5), st.integers(0, 40), st.integers(0, 2**31))
@settings(deadline=None, max_examples=30)
def test_mining_many_queries_at_once_keeps_to_the_rules_for_one(queries: int, searched: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    asking, database = unit(queries, 8, seed=seed), unit(50, 8, seed=seed + 1)
    positives = tuple(np.sort(rng.choice(50, rng.integers(1, 4), replace=False)) for _ in range(queries))
    candidates = tuple(np.sort(rng.choice(50, searched, replace=False)) for _ in range(queries))
    config = TrainConfig(margin=0.3)
    found = mined(lambda rows: asking[rows], lambda rows: database[rows], positives, candidates.__getitem__, config)
    for query in range(queries):
        best = best_positive(asking[query], positives[query], database)
        assert found.best[query] == best
        hardest = hardest_negatives(asking[query], best, candidates[query], database, count=10, margin=0.3)
        assert found.hardest[query][found.hardest[query] != NO_ROW].tolist() == hardest.tolist()
        nearest = sorted(candidates[query].tolist(), key=lambda row: -float(database[row] @ asking[query]))[:10]
        assert found.remembered[query][found.remembered[query] != NO_ROW].tolist() == nearest


def test_every_query_asks_once_an_epoch_with_its_best_positive_and_hard_definite_negatives(street: Streets, tmp_path: Path) -> None:
    course = Tuples(lesson(tmp_path, street, AT_ONCE))
    for batch in range(course.batches(0)):
        course.learn(0, batch)
    asked = tuples_of(course)
    assert sorted(query for query, _, _ in asked) == street.queries.tolist()
    for query, best, hardest in asked:
        assert best == query ^ 1  # the other photo of the place
        for negative in hardest:
            apart = street.images[query].position.x_m - street.images[negative].position.x_m  # type: ignore[union-attr]
            assert abs(apart) > 25
    assert not list(tmp_path.glob("*.npy"))


def test_descriptors_are_made_anew_at_every_epoch_and_after_as_many_queries_as_are_asked_for(
    street: Streets, tmp_path: Path
) -> None:
    course = Tuples(lesson(tmp_path, street, replace(TINY, refresh=15, batch=4, halve_every=1)))
    for epoch, every in ((0, 4), (1, 8)):  # 15 queries are 4 batches of 4; the rate is halved after an epoch
        refreshed = [batch for batch in range(course.batches(epoch)) if course.learn(epoch, batch).refreshed]
        assert refreshed == list(range(0, 12, every))


def test_negatives_that_were_hard_are_remembered(street: Streets, tmp_path: Path) -> None:
    taught = lesson(tmp_path, street, replace(TINY, sampled_negatives=2, remembered_negatives=3, refresh=1000))
    course = Tuples(taught)
    made = network_of(taught, np.arange(len(street.images))).detach().numpy()
    before: list[set[int]] = [set() for _ in street.queries]
    for epoch in range(4):  # nothing moves the weights, so that every sample is compared by the same descriptors
        course.learn(epoch, 0)
        for query, rows in enumerate(course.state()["remembered"].tolist()):
            now = [row for row in rows if row != NO_ROW]
            similar = [float(made[street.database[row]] @ made[street.queries[query]]) for row in now]
            assert similar == sorted(similar, reverse=True)
            assert len(now) == min(3, 2 * (epoch + 1)) or len(set(now) | before[query]) <= 3
            if len(before[query]) == 3:
                worst = min(float(made[street.database[row]] @ made[street.queries[query]]) for row in before[query])
                assert min(similar) >= worst - 1e-3
            before[query] = set(now)


def test_a_pool_limits_what_is_described(street: Streets, tmp_path: Path) -> None:
    told: list[int] = []
    config = replace(TINY, pool=6, refresh=4, batch=4, remembered_negatives=0, margin=4.0)
    taught = replace(lesson(tmp_path, street, config), report=lambda done, total: told.append(total))
    course = Tuples(taught)
    course.learn(0, 0)
    assert told
    assert max(told) <= 6 + 2 * 4  # the pool, four queries, their positives
    pool = {row for _, _, hardest in tuples_of(course) for row in hardest}
    assert 0 < len(pool) <= 6


# Tuples


def test_the_loss_of_a_batch_is_the_literal_formula_and_its_gradient_the_mean_over_violating_triplets(
    street: Streets, tmp_path: Path
) -> None:
    taught = lesson(tmp_path, street, replace(AT_ONCE, margin=0.6))
    course = Tuples(taught)
    learnt = course.learn(0, 0)
    gradients = [gradient.clone() for gradient in taught.optimisation.gradients]
    total, triplets = torch.zeros(()), 0
    for query, best, hardest in tuples_of(course)[:4]:
        made = network_of(taught, np.array([query, best, *hardest]))
        for negative in made[2:]:
            excess = ((made[0] - made[1]) ** 2).sum() + 0.6 - ((made[0] - negative) ** 2).sum()
            if excess > 0:
                total, triplets = total + excess, triplets + 1
    assert triplets > 4
    assert learnt.divisor == triplets
    assert learnt.asked == 4
    assert learnt.loss == pytest.approx(float(total.detach()), rel=1e-5)
    naive = torch.autograd.grad(total / triplets, list(taught.optimisation.weights.values()))
    for gradient, expected in zip(gradients, naive, strict=True):
        torch.testing.assert_close(gradient / learnt.divisor, expected, rtol=1e-4, atol=1e-6)


def test_a_tuple_without_a_violating_negative_leaves_the_weights_alone(tmp_path: Path) -> None:
    """Both photos of a place are the same, and no other is as near: nothing is mined, and neither momentum nor decay act."""
    taught = lesson(tmp_path, streets(tmp_path / "photos", noise=0.0), replace(TINY, margin=1e-6))
    before = {name: weight.detach().clone() for name, weight in taught.optimisation.weights.items()}
    learnt = Tuples(taught).learn(0, 0)
    assert (learnt.divisor, learnt.parts, learnt.asked) == (0, 0, 4)
    taught.optimisation.step(0.1, divisor=learnt.divisor)
    for name, weight in taught.optimisation.weights.items():
        assert torch.equal(weight, before[name])


def test_a_negative_that_violates_no_more_when_described_anew_costs_no_backward_pass(street: Streets, tmp_path: Path) -> None:
    taught = lesson(tmp_path, street, replace(TINY, margin=1e-6, batch=1))
    course = Tuples(taught)
    course.learn(0, 0)
    query, best, _ = tuples_of(course)[0]
    made = network_of(taught, np.arange(len(street.images))).detach()
    farthest = int((made @ made[query]).argmin())
    state = course.state()
    state["hardest"][:] = NO_ROW
    state["hardest"][0, 0] = farthest  # as if an older network had thought it near
    assert float(made[query] @ made[best]) > float(made[query] @ made[farthest])
    course.resume(state)
    taught.optimisation.step(0.0, divisor=0)
    learnt = course.learn(0, 0)
    assert (learnt.parts, learnt.divisor, learnt.loss) == (1, 0, 0.0)
    assert all(weight.grad is None for weight in taught.optimisation.weights.values())


def test_two_batches_of_two_accumulated_are_one_of_four(street: Streets, others, tmp_path: Path) -> None:
    runs = [
        train(
            encoder(),
            street,
            validate_on=others,
            to=tmp_path / f"{batch}",
            config=replace(AT_ONCE, batch=batch, accumulate=4 // batch, epochs=1, whitening=None),
        )
        for batch in (2, 4)
    ]
    small, large = (load_file(next(run.folder.glob("checkpoint-*.safetensors"))) for run in runs)
    for name, tensor in large.items():
        if "weights." in name:
            torch.testing.assert_close(small[name], tensor, rtol=1e-3, atol=1e-5)


# Batches of places


@given(
    st.lists(st.integers(0, 60), min_size=2, max_size=40),
    st.integers(2, 4),
    st.integers(2, 4),
    st.integers(0, 2),
    st.integers(0, 99),
)
@settings(deadline=None, max_examples=40)
def test_every_query_is_dealt_into_a_batch_that_is_no_larger_than_asked_for(
    tens: list[int], places: int, images_per_place: int, pairs: int, seed: int
) -> None:
    # Every 100 m a group of photos within 10 m of each other: all that is near is of one group.
    metres = [100.0 * ten + 2.0 * number for ten in sorted(set(tens)) for number in range(min(tens.count(ten), 5))]
    known = Streets.of(along(*metres))
    batches = place_batches(known, places=places, images_per_place=images_per_place, pairs=pairs, rng=np.random.default_rng(seed))
    group = np.array([int(x // 100) for x in metres])
    for batch in batches:
        seen = batch.rows[: len(batch.rows) - 2 * pairs]
        assert len(np.unique(group[seen])) <= places
        assert len(seen) <= images_per_place * places
        twins = batch.rows[len(seen) :]
        assert (twins[::2] == twins[1::2]).all()
    # A batch teaches nothing, and is left out, only where all that is left is of one place.
    missing = {*known.queries.tolist()} - {row for batch in batches for row in batch.rows.tolist()}
    assert len({int(group[row]) for row in missing}) <= 1


def test_a_batch_holds_different_places_and_visits_every_query_once_an_epoch() -> None:
    known = Streets.of(along(*(100.0 * place + 3.0 * number for place in range(20) for number in range(4))))
    batches = place_batches(known, places=5, images_per_place=4, pairs=0, rng=np.random.default_rng(0))
    assert sorted(row for batch in batches for row in batch.rows.tolist()) == list(range(80))
    for batch in batches:
        assert len(np.unique(batch.rows // 4)) == len(batch.rows) / 4 == 5


def test_places_near_each_other_share_no_batch_while_others_are_left() -> None:
    known = Streets.of(along(*(12.0 * place + 3.0 * number for place in range(60) for number in range(2))))
    batches = place_batches(known, places=4, images_per_place=2, pairs=0, rng=np.random.default_rng(0))
    apart = []
    for batch in batches:
        x = np.array([known.images[row].position.x_m for row in batch.rows[::2].tolist()])  # type: ignore[union-attr]
        apart.append(np.abs(x[:, None] - x)[~np.eye(len(x), dtype=bool)].min())
    assert np.mean(np.array(apart) > 25) > 0.6
    assert len(batches) <= 20


@given(
    st.lists(st.floats(0, 80), min_size=1, max_size=12),
    st.lists(st.booleans(), min_size=12, max_size=12),
    st.integers(0, 3),
)
@settings(deadline=None, max_examples=60)
def test_positives_and_negatives_of_a_batch_are_what_positions_say(metres: list[float], placed: list[bool], pairs: int) -> None:
    images = tuple(image if known else ImageRecord(path=image.path) for image, known in zip(along(*metres), placed, strict=False))
    known = Streets.of(images)
    rows = np.arange(len(images))
    views = rows[: min(pairs, len(rows))]
    batch = PlaceBatch.of(known, rows[np.isin(rows, known.database)], views)
    first_view = len(batch.rows) - 2 * len(views)
    for anchor, positives, negatives in zip(batch.anchors.tolist(), batch.positives, batch.negatives, strict=True):
        for other, row in enumerate(batch.rows.tolist()):
            asker = int(batch.rows[anchor])
            of_pairs = min(anchor, other) >= first_view and anchor != other
            same_pair = of_pairs and (anchor - first_view) // 2 == (other - first_view) // 2
            a, b = images[asker].position, images[row].position
            if a is None or b is None:
                assert positives[other] == same_pair
                assert negatives[other] == (asker != row)
                continue
            apart = abs(a.x_m - b.x_m)  # type: ignore[union-attr]
            asks = asker in known.queries or row in known.queries
            assert positives[other] == (same_pair or (asks and 1 < apart <= 10))
            assert negatives[other] == (asks and apart > 25)


@pytest.mark.parametrize("loss", ["multi-similarity", "sare"])
def test_the_loss_of_a_batch_of_places_is_that_of_all_its_similarities(loss: str, street: Streets, tmp_path: Path) -> None:
    taught = lesson(tmp_path, street, replace(TINY, loss=loss, batch=6))  # type: ignore[arg-type]
    course = Places(taught)
    assert course.batches(0) == 4
    learnt = course.learn(0, 0)
    gradients = [gradient.clone() for gradient in taught.optimisation.gradients]
    batch = place_batches(street, places=6, images_per_place=4, pairs=0, rng=np.random.default_rng([0, 1, 0]))[0]
    made = network_of(taught, batch.rows)
    place = batch.rows // 2
    same = torch.from_numpy(place[:, None] == place)
    positives = same & ~torch.eye(len(place), dtype=torch.bool)
    cost = {"multi-similarity": multi_similarity, "sare": sare}[loss](made @ made.T, positives, ~same)
    assert learnt.loss == pytest.approx(float(cost.detach()), rel=1e-5)
    assert (learnt.divisor, learnt.parts, learnt.asked) == (1, 1, 12)
    for gradient, expected in zip(gradients, torch.autograd.grad(cost, list(taught.optimisation.weights.values())), strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-6)


def test_the_views_of_a_pair_are_two_variants_of_one_image(street: Streets, tmp_path: Path) -> None:
    loaded: list[tuple[list[int], list[int]]] = []
    taught = lesson(tmp_path, street, replace(TINY, loss="sare", augment="mild", self_supervised=0.5, batch=4, images_per_place=2))

    class Listening:
        def __len__(self) -> int:
            return len(taught.inputs)

        def load(self, rows, seeds=None):
            loaded.append((rows.tolist(), seeds.tolist()))
            return taught.inputs.load(rows, seeds)

        def unreadable(self):
            return {}

    Places(replace(taught, inputs=Listening())).learn(0, 0)
    Places(replace(taught, inputs=Listening())).learn(0, 0)
    Places(replace(taught, inputs=Listening())).learn(1, 0)
    rows, seeds = loaded[0]
    assert rows[4] == rows[5]
    assert rows[6] == rows[7]
    assert seeds[5] == seeds[4] + 1
    assert seeds[7] == seeds[6] + 1
    assert len(set(seeds)) == 8
    others = [some for some in loaded if some == loaded[0]]
    assert len(others) == 2  # the same batch again is altered in the same way, the next epoch in another


# How weights move


def test_weights_move_as_in_the_authors_code_and_those_of_the_assignment_faster() -> None:
    config = TrainConfig(learning_rate=0.1, assignment_rate=7.0)
    learner = Learner(encoder())
    optimisation = Optimisation(learner, config)
    naive = {name: (weight.detach().clone(), torch.zeros_like(weight)) for name, weight in optimisation.weights.items()}
    for step in range(3):
        loss = sum((weight * (step + 1)).sum() for weight in optimisation.weights.values())
        optimisation.backward(2 * loss)
        optimisation.step(0.1, divisor=2)
        for name, (weight, momentum) in naive.items():
            momentum = 0.9 * momentum - 0.001 * weight - (step + 1)
            faster = 7.0 if name == "aggregator.assignment" else 1.0
            naive[name] = (weight + faster * 0.1 * momentum, momentum)
    for name, weight in optimisation.weights.items():
        torch.testing.assert_close(weight.detach(), naive[name][0], rtol=1e-4, atol=1e-4)


def test_the_moving_average_is_what_its_formula_says_and_gives_the_weights_back() -> None:
    learner = Learner(encoder())
    optimisation = Optimisation(learner, TrainConfig(average=0.75, learning_rate=0.1))
    expected = {name: weight.detach().clone() for name, weight in optimisation.weights.items()}
    for _ in range(3):
        optimisation.backward(sum(weight.square().sum() for weight in optimisation.weights.values()))  # type: ignore[arg-type]
        optimisation.step(0.1, divisor=1)
        expected = {name: 0.75 * value + 0.25 * optimisation.weights[name].detach() for name, value in expected.items()}
    last = {name: weight.detach().clone() for name, weight in optimisation.weights.items()}
    with optimisation.averaged():
        for name, weight in optimisation.weights.items():
            torch.testing.assert_close(weight.detach(), expected[name])
            assert not weight.any() or not torch.equal(weight, last[name])
    for name, weight in optimisation.weights.items():
        assert torch.equal(weight, last[name])


@pytest.mark.parametrize(("optimiser", "precision"), [("sgd", "float32"), ("adamw", "float32"), ("adamw", "float16")])
def test_an_optimisation_goes_on_from_its_state(optimiser: str, precision: str) -> None:
    def moved(optimisation: Optimisation, steps: int) -> Optimisation:
        for _ in range(steps):
            optimisation.backward(sum(weight.pow(4).sum() for weight in optimisation.weights.values()))  # type: ignore[arg-type]
            optimisation.step(0.1, divisor=1)
        return optimisation

    config = TrainConfig(optimiser=optimiser, precision=precision, average=0.5)  # type: ignore[arg-type]
    whole = moved(Optimisation(Learner(encoder()), config), 5)
    first = moved(Optimisation(Learner(encoder()), config), 2)
    second = Optimisation(Learner(encoder(seed=1)), config)
    second.resume({name: tensor.clone() for name, tensor in first.state().items()})
    for name, tensor in moved(second, 3).state().items():
        assert torch.equal(tensor, whole.state()[name]), name


def test_gradients_that_half_precision_cannot_hold_move_nothing_and_are_scaled_down() -> None:
    optimisation = Optimisation(Learner(encoder()), TrainConfig(precision="float16", learning_rate=0.1))
    before = {name: weight.detach().clone() for name, weight in optimisation.weights.items()}
    scale = float(optimisation.state()["scaler.scale"])
    optimisation.backward(sum(weight.sum() for weight in optimisation.weights.values()) * torch.inf)  # type: ignore[operator]
    optimisation.step(0.1, divisor=1)
    assert all(torch.equal(weight, before[name]) for name, weight in optimisation.weights.items())
    assert float(optimisation.state()["scaler.scale"]) == scale / 2


# Validation


def test_the_similarity_of_descriptors_is_the_mean_over_pairs_and_collapse_is_told() -> None:
    made = unit(7, 5)
    pairs = [float(made[first] @ made[second]) for first in range(7) for second in range(7) if first != second]
    assert mean_similarity(made) == pytest.approx(np.mean(pairs), abs=1e-6)
    assert collapsed(0.9999, 0.9)
    assert not collapsed(0.95, 0.9)
    assert not collapsed(1.0, 1.0)  # it was so from the start: nothing has collapsed


def test_the_figures_of_a_run_are_those_of_an_evaluation(street: Streets, others, tmp_path: Path) -> None:
    run = train(encoder(), street, validate_on=others, to=tmp_path / "run", config=replace(TINY, epochs=1, whitening=None))
    model = encoder()
    model.load_state_dict({name: tensor.float() for name, tensor in load_file(run.best).items()})
    report = evaluate(model, others)
    best = next(line for line in reversed(run.epochs) if line["best"])
    assert [best[f"recall@{top}"] for top in (1, 5, 10)] == pytest.approx([report.recall[top] for top in (1, 5, 10)], abs=0.09)


# Whole runs


def test_training_teaches(street: Streets, others, tmp_path: Path) -> None:
    config = replace(TINY, loss="multi-similarity", batch=8, epochs=8, optimiser="adamw", learning_rate=0.01, whitening=None)
    given = encoder()
    before = {name: tensor.clone() for name, tensor in given.state_dict().items()}
    run = train(given, street, validate_on=others, to=tmp_path / "run", config=config)
    losses = [line["loss"] for line in run.steps]
    assert np.mean(losses[-3:]) < 0.7 * np.mean(losses[:2])
    assert run.finished
    assert all(torch.equal(tensor, before[name]) for name, tensor in given.state_dict().items())


def test_the_best_epoch_is_that_of_the_best_recall_at_five_and_patience_ends_a_run(
    street: Streets, others, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = iter([(0.9, 0.3), (0.2, 0.5), (0.1, 0.7), (0.9, 0.6), (0.8, 0.7), (1.0, 0.5), (1.0, 1.0)])
    weights: list[torch.Tensor] = []

    def prescribed(_self: object, learner: Learner, *_rest: object, **_more: object) -> Figures:
        weights.append(learner.aggregator.centroids.detach().clone())  # type: ignore[union-attr, operator]
        first, fifth = next(figures)
        return Figures(recall={1: first, 5: fifth, 10: 1.0}, similarity=0.1)

    monkeypatch.setattr(Validation, "figures", prescribed)
    config = replace(TINY, epochs=6, patience=2, whitening=None, average=0.5)
    run = train(encoder(), street, validate_on=others, to=tmp_path / "run", config=config)
    # Epoch 4 has the same recall@5 as epoch 2 and a better recall@1; two epochs later patience would be over.
    assert [line["best"] for line in run.epochs] == [True, True, True, False, True, False, True]
    assert torch.equal(load_file(run.best)["aggregator.centroids"], weights[6].half())
    assert torch.equal(load_file(run.model)["aggregator.centroids"], weights[6].half())


def test_patience_stops_a_run_that_gets_no_better(street: Streets, others, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Validation, "figures", lambda *_, **__: Figures(recall={1: 0.5, 5: 0.5, 10: 0.5}, similarity=0.1))
    config = replace(TINY, epochs=9, patience=2, whitening=None)
    run = train(encoder(), street, validate_on=others, to=tmp_path / "run", config=config)
    assert len(run.epochs) == 3
    assert run.finished


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_good_network(street: Streets, others, tmp_path: Path) -> None:
    config = replace(TINY, learning_rate=1e30, whitening=None)
    with pytest.raises(TrainingError, match="diverged"):
        train(encoder(), street, validate_on=others, to=tmp_path / "run", config=config)
    kept = load_file(tmp_path / "run" / "best.safetensors")
    assert all(tensor.isfinite().all() for tensor in kept.values())
    assert not Run.open(tmp_path / "run").finished


def test_descriptors_that_become_all_alike_stop_the_run(
    street: Streets, others, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alike = iter([0.3, 0.9995])
    monkeypatch.setattr(Validation, "figures", lambda *_, **__: Figures(recall={1: 0.5, 5: 0.5, 10: 0.5}, similarity=next(alike)))
    with pytest.raises(TrainingError, match="all alike"):
        train(encoder(), street, validate_on=others, to=tmp_path / "run", config=replace(TINY, whitening=None))


def test_an_image_that_cannot_be_read_is_left_out_and_told(others, tmp_path: Path) -> None:
    known = streets(tmp_path / "photos", places=14)
    known.images[5].path.write_bytes(b"no image")
    run = train(encoder(), known, validate_on=others, to=tmp_path / "run", config=replace(TINY, epochs=1, whitening=None))
    assert [left["path"] for left in run.streets["left_out"]] == [str(known.images[5].path)]
    assert run.finished


def test_an_unreadable_image_to_validate_on_is_refused(street: Streets, tmp_path: Path) -> None:
    asked = validation(tmp_path / "photos")
    asked.queries[3].path.write_bytes(b"no image")
    with pytest.raises(DatasetError, match="get them again"):
        train(encoder(), street, validate_on=asked, to=tmp_path / "run", config=TINY)


@pytest.mark.parametrize(
    ("network", "change", "cure"),
    [
        (Encoder(nn.Identity(), AveragePooling(3), size=(16, 16)), {}, "give it a NetVLAD layer"),
        (encoder(), {"whitening": 4096}, "choose a smaller `whitening`"),
        (encoder(), {"precision": "float16"}, "choose bfloat16 or float32"),
    ],
)
def test_what_would_fail_after_hours_is_refused_at_once(
    network: Encoder, change: dict[str, object], cure: str, street: Streets, others, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match=cure):
        train(network, street, validate_on=others, to=tmp_path / "run", config=replace(TINY, **change))  # type: ignore[arg-type]


def test_streets_without_any_positive_are_refused(others, tmp_path: Path) -> None:
    lonely = Streets.of(photos(tmp_path / "photos")[::2])
    with pytest.raises(TrainingError, match="give more images"):
        train(encoder(), lonely, validate_on=others, to=tmp_path / "run", config=TINY)


def test_a_folder_with_other_things_is_refused(street: Streets, others, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(TrainingError, match="name a new folder"):
        train(encoder(), street, validate_on=others, to=tmp_path, config=TINY)


def test_all_that_a_run_may_be_asked_for(street: Streets, others, tmp_path: Path) -> None:
    """Everything at once: pairs, augmentation from kept maps, bfloat16, AdamW, cosine, moving average, a shared folder of maps."""
    config = replace(
        TINY,
        loss="multi-similarity",
        batch=8,
        self_supervised=0.25,
        augment="strong",
        views=2,
        precision="bfloat16",
        optimiser="adamw",
        schedule="cosine",
        warm_up=3,
        average=0.9,
        whiten_night=True,
        whitening_power=0.0,
    )
    stages = []
    run = train(
        encoder(),
        street,
        validate_on=others,
        to=tmp_path / "run",
        config=config,
        maps=tmp_path / "maps",
        progress=lambda moment: stages.append(moment.stage),
    )
    assert {"plan", "maps", "vocabulary", "whitening", "training", "validation"} == set(stages)
    assert run.finished
    assert run.start.is_file()
    assert list((tmp_path / "maps").glob("*.npy"))
    described = load_file(run.model)
    assert tuple(described["whitening.weight"].shape) == (8, 32)
    assert torch.allclose(described["whitening.weight"].float().norm(dim=1), torch.ones(8), atol=1e-2)  # only shortened
    assert not (run.folder / "scratch").exists()
    epochs = [line["epoch"] for line in run.epochs]
    assert epochs == [0, 1, 2]
    again = train(encoder(), street, validate_on=others, to=run.folder, config=config, maps=tmp_path / "maps")
    assert again.history == run.history  # a finished run has nothing left to do


def test_everything_may_learn_and_then_no_maps_are_kept(street: Streets, others, tmp_path: Path) -> None:
    for learns in ("all", "netvlad"):
        config = replace(TINY, epochs=1, whitening=None, augment="mild")
        run = train(encoder(learns=learns), street, validate_on=others, to=tmp_path / learns, config=config)
        assert run.finished
        assert not (run.folder / "maps").exists()
