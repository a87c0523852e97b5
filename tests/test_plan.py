"""What a training says that it will need, before it starts."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from sameplace.errors import TrainingError
from sameplace.geo import LocalPoint
from sameplace.images import ImageRecord
from sameplace.network.backbones import efficientnet_lite0
from sameplace.network.encoder import Encoder
from sameplace.network.netvlad import NetVLAD
from sameplace.training import plan as plans
from sameplace.training.augmentation import MILD
from sameplace.training.config import TrainConfig
from sameplace.training.descriptors import described
from sameplace.training.featuremaps import FeatureMaps
from sameplace.training.inputs import Pixels
from sameplace.training.learner import Learner
from sameplace.training.plan import Plan, plan
from sameplace.training.streets import Streets

SIZE = (32, 32)
CONFIG = TrainConfig(whitening=8, vocabulary_images=5, vocabulary_locations=10, epochs=3)


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Streets:
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    images = []
    for number in range(20):
        path = folder / f"{number}.png"
        Image.fromarray(rng.integers(0, 255, (48, 48, 3), np.uint8)).save(path)
        images.append(ImageRecord(path=path, position=LocalPoint(5.0 * number, 0.0)))
    return Streets.of(images)


def learner(trainable_from: str = "block1") -> Learner:
    torch.manual_seed(0)
    backbone = efficientnet_lite0(cut="block1", trainable_from=trainable_from)
    return Learner(Encoder(backbone, NetVLAD(backbone.channels, 4), size=SIZE))


def test_a_plan_tells_memory_disk_and_time(streets: Streets, tmp_path: Path) -> None:
    planned = plan(learner(), streets, CONFIG, folder=tmp_path / "run")
    assert planned.memory > 100e6
    assert planned.disk > 0
    assert planned.seconds > planned.epochs * planned.seconds_per_epoch > 0
    assert [line.split(":")[0] for line in str(planned).splitlines()] == ["Memory", "Disk", "Time"]


def test_a_plan_changes_nothing(streets: Streets, tmp_path: Path) -> None:
    own = learner()
    before = {name: value.clone() for name, value in own.state_dict().items()}
    plan(own, streets, CONFIG, folder=tmp_path)
    assert all(torch.equal(value, before[name]) for name, value in own.state_dict().items())
    assert all(weight.grad is None for weight in own.parameters())
    assert not own.aggregator.initialised
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("views", [0, 2])
def test_the_maps_take_the_disk_that_was_told(views: int, streets: Streets, tmp_path: Path) -> None:
    own = learner()
    told = plan(own, streets, TrainConfig(views=views, augment="mild"), folder=tmp_path, validation=[Path("x.png")] * 3).maps
    sources = [image.path for image in streets.images]
    maps = FeatureMaps.build(sources, own, folder=tmp_path, augmentation=MILD, views=views)
    others = FeatureMaps.build(sources[:3], own, folder=tmp_path)
    headers = 2 * 128
    assert told == maps.path.stat().st_size + others.path.stat().st_size - headers


def test_the_descriptors_take_the_disk_that_was_told(streets: Streets, tmp_path: Path) -> None:
    own = learner()
    told = plan(own, streets, TrainConfig(whitening=None), folder=tmp_path).descriptors
    own.aggregator._initialised = True
    described(own, Pixels([image.path for image in streets.images], own), np.arange(20), into=tmp_path / "now.npy")
    assert told == (tmp_path / "now.npy").stat().st_size - 128


def test_nothing_is_kept_of_a_network_that_learns_whole_or_if_not_asked_for(streets: Streets, tmp_path: Path) -> None:
    assert plan(learner("all"), streets, CONFIG, folder=tmp_path).maps == 0
    assert plan(learner(), streets, TrainConfig(cache_maps=False), folder=tmp_path).maps == 0


def with_room(free: int) -> Callable[[Path], SimpleNamespace]:
    return lambda folder: SimpleNamespace(total=10**12, used=0, free=free)


def test_a_disk_without_room_is_refused_in_one_sentence(streets: Streets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = plan(learner(), streets, CONFIG, folder=tmp_path).disk
    monkeypatch.setattr(plans.shutil, "disk_usage", with_room(needed - 1))
    with pytest.raises(TrainingError, match=r"^The training needs about \d+ MB in .*free some space, write elsewhere.*\.$"):
        plan(learner(), streets, CONFIG, folder=tmp_path)
    (tmp_path / "checkpoint.safetensors").write_bytes(b"0")  # what lies there already needs no room
    assert plan(learner(), streets, CONFIG, folder=tmp_path).free == needed - 1


def needs(streets: Streets, **fields: object) -> Plan:
    tried = plans.Trial(
        map_numbers=1000, activations=10_000, decoding=1.0, altering=2.0, frozen=4.0, describing=0.5, learning=8.0, decomposing=1e-9
    )
    config = TrainConfig(**{"whitening": None, "epochs": 1, **fields})
    own = plans._Needs(learner=learner(), streets=streets, config=config, tried=tried, validation=0)
    before, epoch, after = own.seconds()
    return Plan(
        memory=own.memory(1),
        maps=own.maps(),
        descriptors=own.descriptors(),
        models=own.models(),
        free=0,
        seconds_before=before,
        seconds_per_epoch=epoch,
        epochs=config.epochs,
        seconds_after=after,
    )


def test_kept_maps_are_paid_once_and_fresh_ones_every_time(streets: Streets) -> None:
    assert len(streets.queries) == 20
    kept, fresh = needs(streets), needs(streets, cache_maps=False)
    assert kept.seconds_before == pytest.approx(20 * (1 + 4) + 20 * 0.5)
    tuples, refresh = 20 * 12, 20
    assert kept.seconds_per_epoch == pytest.approx(tuples * 8 + refresh * 0.5, rel=1e-4)
    assert fresh.seconds_per_epoch == pytest.approx(tuples * (8 + 1 + 4) + refresh * (0.5 + 1 + 4), rel=1e-4)


def test_variants_are_paid_once_if_they_are_kept_and_every_time_if_not(streets: Streets) -> None:
    kept, fresh = needs(streets, augment="mild", views=2), needs(streets, augment="mild")
    assert kept.seconds_before - fresh.seconds_before == pytest.approx(20 * 2 * (2 + 4))
    assert fresh.seconds_per_epoch - kept.seconds_per_epoch == pytest.approx(20 * 12 * (2 + 4))


def test_batches_of_places_mine_nothing(streets: Streets) -> None:
    planned = needs(streets, loss="multi-similarity")
    assert planned.seconds_per_epoch == pytest.approx(20 * 8)
    assert planned.descriptors == 0


def test_fewer_refreshes_take_less_time(streets: Streets) -> None:
    often, rarely = needs(streets, refresh=4), needs(streets, refresh=20)
    assert often.seconds_per_epoch - rarely.seconds_per_epoch == pytest.approx(4 * 20 * 0.5)


def test_a_pool_bounds_what_is_described(streets: Streets) -> None:
    assert needs(streets, pool=1, refresh=1).descriptors < needs(streets).descriptors


def test_a_whitening_needs_memory_for_the_smaller_of_its_matrices() -> None:
    many = Streets.of([ImageRecord(path=Path("x.jpg"), position=LocalPoint(30.0 * number, 0.0)) for number in range(9_000)])
    of_images, of_numbers = 8 * 9_000**2, 8 * 96**2
    assert of_numbers < needs(many, whitening=8).memory - needs(many).memory + 10e6 < of_images / 2


def test_the_optimisers_memory_counts(streets: Streets) -> None:
    assert needs(streets, optimiser="adamw").models > needs(streets).models
    assert needs(streets, average=0.9).models > needs(streets).models


def test_photos_that_cannot_be_read_are_told_before_anything_starts(tmp_path: Path) -> None:
    images = [ImageRecord(path=tmp_path / f"{number}.jpg", position=LocalPoint(5.0 * number, 0.0)) for number in range(3)]
    with pytest.raises(TrainingError, match="None of 3 images that were tried can be read"):
        plan(learner(), Streets.of(images), CONFIG, folder=tmp_path)
