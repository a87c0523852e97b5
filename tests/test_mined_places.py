"""Batches of places that look alike, images that stay as they are, and learning through a whitening."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sameplace.errors import TrainingError
from sameplace.network.encoder import Encoder
from sameplace.training.augmentation import STRONG
from sameplace.training.config import TrainConfig
from sameplace.training.descriptors import described
from sameplace.training.featuremaps import FeatureMaps
from sameplace.training.inputs import Pixels
from sameplace.training.loop import train
from sameplace.training.mined_places import MinedPlaces
from sameplace.training.progress import Moment
from sameplace.training.run import MODEL
from tiny_training import TINY, encoder, lesson, streets, validation

MINED = replace(TINY, loss="sare", sharpness=5.0, batch=6, images_per_place=2, companions=2, epochs=3, checkpoint_every=2)


def test_every_query_is_dealt_and_those_behind_it_are_its_hardest_definite_negatives(tmp_path: Path) -> None:
    given = lesson(tmp_path, streets(tmp_path / "street"), MINED)
    course = MinedPlaces(given)
    course.batches(0)
    asked = [line[line != -1].reshape(-1, 2) for line in course.state()["lines"].numpy()]
    assert np.isin(given.streets.queries, np.concatenate(asked)).all()
    made = described(given.learner, given.inputs, given.streets.database, into=tmp_path / "all.npy").of(given.streets.database)
    alike = made @ made.T
    for batch in asked:
        first, second = batch[0, 0], batch[1, 0]
        far = np.setdiff1d(given.streets.database, given.streets.database[given.streets.near[first]])
        assert second in far
        # Each of the 20 hardest may be drawn, so the companion must be at least as similar as the 20th of the far ones.
        assert alike[first, second] >= np.sort(alike[first, far])[-20] - 1e-3


def test_the_positives_of_a_place_are_its_own_images_alone(tmp_path: Path) -> None:
    course = MinedPlaces(lesson(tmp_path, streets(tmp_path / "street"), MINED))
    course.batches(0)
    for batch in course._dealt:
        place = batch.rows // 2  # two photos of each place
        assert (batch.positives <= (place[batch.anchors, None] == place)).all()
        assert not (batch.positives & batch.negatives).any()


def test_a_run_of_mined_places_that_is_interrupted_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    street, others = streets(tmp_path / "street"), validation(tmp_path / "others")
    config = replace(MINED, through_whitening=True, augment="strong", plain=0.5, average=0.5)

    def interrupted(moment: Moment) -> None:
        if moment.stage == "training" and (moment.epoch, moment.done) == (2, 2):
            raise KeyboardInterrupt

    whole = train(encoder(), street, validate_on=others, to=tmp_path / "whole", config=config)
    with pytest.raises(KeyboardInterrupt):
        train(encoder(), street, validate_on=others, to=tmp_path / "cut", config=config, progress=interrupted)
    train(encoder(), street, validate_on=others, to=tmp_path / "cut", config=config)
    assert (tmp_path / "cut" / MODEL).read_bytes() == (whole.folder / MODEL).read_bytes()


def test_the_loss_sees_descriptors_as_the_model_before_training_whitens_them(tmp_path: Path) -> None:
    street, others = streets(tmp_path / "street"), validation(tmp_path / "others")
    config = replace(MINED, through_whitening=True, learning_rate=1e-9, epochs=1)
    run = train(encoder(), street, validate_on=others, to=tmp_path / "run", config=config)
    start = Encoder.load(run.start, backbone=encoder().backbone)
    assert start.whitening is not None
    given = lesson(tmp_path, street, config, network=encoder())
    raw = torch.randn(3, given.learner.dim)
    through = replace(given, whitening=start.whitening)
    assert through.dim == start.whitening.output_dim == 8
    given.learner.forward = lambda _maps: raw  # type: ignore[method-assign]
    torch.testing.assert_close(through.descriptors(torch.zeros(3, 1)), start.whitening(raw))


def test_an_image_with_a_negative_seed_stays_as_it_is(tmp_path: Path) -> None:
    given = lesson(tmp_path, streets(tmp_path / "street"), MINED)
    sources = [image.path for image in given.streets.images]
    rows, seeds = np.array([0, 0, 1]), np.array([-1, 7, -1])
    for inputs in (
        Pixels(sources, given.learner, augmentation=STRONG),
        FeatureMaps.build(sources, given.learner, folder=tmp_path, augmentation=STRONG, views=2),
    ):
        plain, mixed = inputs.load(rows), inputs.load(rows, seeds)
        assert torch.equal(plain[[0, 2]], mixed[[0, 2]])
        assert not torch.equal(plain[1], mixed[1])


def test_images_of_places_stay_as_they_are_and_both_views_of_a_pair_do_not(tmp_path: Path) -> None:
    config = replace(MINED, augment="strong", plain=1.0, self_supervised=0.5)
    course = MinedPlaces(lesson(tmp_path, streets(tmp_path / "street"), config))
    course.batches(0)
    _, seeds = course._wanted(0)
    assert seeds is not None
    assert (seeds[: -2 * course._dealt[0].pairs] == -1).all()
    assert (seeds[-2 * course._dealt[0].pairs :] >= 0).all()


def test_the_last_epoch_is_kept_where_that_is_asked_for(tmp_path: Path) -> None:
    street, others = streets(tmp_path / "street"), validation(tmp_path / "others")
    run = train(encoder(), street, validate_on=others, to=tmp_path / "run", config=replace(MINED, keep="last"))
    assert run.best_epoch is not None
    assert run.best_epoch["epoch"] == 3


@pytest.mark.parametrize(
    ("nonsense", "cure"),
    [
        ({"companions": 2}, "choose loss multi-similarity or sare"),
        ({"through_whitening": True, "whitening": None}, "give `whitening` its dimensions"),
    ],
)
def test_what_does_not_go_together_is_refused(nonsense: dict[str, object], cure: str) -> None:
    with pytest.raises(TrainingError, match=cure):
        TrainConfig(**nonsense)
