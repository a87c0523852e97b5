"""A tiny street of tiny photos, and a tiny network that learns from them: what the tests of training share."""

import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from sameplace.datasets import Dataset, WithinMetres
from sameplace.geo import LocalPoint
from sameplace.images import ImageRecord
from sameplace.network.backbones.backbone import Backbone
from sameplace.network.encoder import Encoder
from sameplace.network.netvlad import NetVLAD
from sameplace.training.beginning import learn_words
from sameplace.training.config import TrainConfig
from sameplace.training.inputs import Pixels
from sameplace.training.learner import Learner
from sameplace.training.optimisation import Optimisation
from sameplace.training.parallel import Ranks
from sameplace.training.steps import Lesson
from sameplace.training.streets import Streets

SIZE = (16, 16)
TINY = TrainConfig(
    vocabulary_images=20,
    vocabulary_locations=20,
    sampled_negatives=30,
    negatives=4,
    remembered_negatives=3,
    refresh=24,
    batch=4,
    learning_rate=0.01,
    epochs=2,
    whitening=8,
    checkpoint_every=3,
)


def photos(folder: Path, *, places: int = 24, seed: int = 0, noise: float = 25.0) -> tuple[ImageRecord, ...]:
    """Two photos of each place, 3 m apart, a place every 30 m; those of a place look alike but for light and noise."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    records = []
    for place in range(places):
        scene = np.kron(rng.integers(0, 256, (4, 4, 3)), np.ones((4, 4, 1)))
        for drive in range(2):
            path = folder / f"{place:03d}-{drive}.png"
            seen = scene * rng.uniform(0.5, 1.0) + rng.normal(0, noise, scene.shape) if noise else scene
            if not path.exists():  # processes that train side by side draw the same street
                drawn = path.with_name(f"{path.stem}.{os.getpid()}.png.new")
                Image.fromarray(seen.clip(0, 255).astype(np.uint8)).save(drawn, "PNG")
                with suppress(FileExistsError):
                    path.hardlink_to(drawn)
                drawn.unlink()
            records.append(ImageRecord(path=path, position=LocalPoint(30.0 * place + 3.0 * drive, 0.0)))
    return tuple(records)


def streets(folder: Path, *, places: int = 24, noise: float = 25.0) -> Streets:
    return Streets.of(photos(folder, places=places, noise=noise), name="tiny street")


def validation(folder: Path, *, places: int = 12) -> Dataset:
    seen = photos(folder, places=places, seed=1)
    return Dataset(name="other street", database=seen[::2], queries=seen[1::2], truth=WithinMetres(5.0))


def encoder(*, seed: int = 0, clusters: int = 4, learns: str = "second") -> Encoder:
    """Two convolutions, the first of them frozen unless all is to learn, and NetVLAD without a vocabulary."""
    generator = torch.Generator().manual_seed(seed)
    layers = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(6, 8, 3, padding=1))
    with torch.no_grad():
        for weight in layers.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) / 5)
    if learns != "all":
        layers[0].requires_grad_(False)
    if learns == "netvlad":
        layers[2].requires_grad_(False)
    backbone = Backbone(layers, channels=8, stride=2, normalisation=((127.0,) * 3, (60.0,) * 3), recipe={"backbone": "tiny"})
    return Encoder(backbone, NetVLAD(8, clusters), size=SIZE, name="tiny")


def lesson(folder: Path, learnt_from: Streets, config: TrainConfig, *, network: Encoder | None = None) -> Lesson:
    """All that a course takes, for a network with a vocabulary."""
    learner = Learner(network or encoder()).eval()
    inputs = Pixels([image.path for image in learnt_from.images], learner)
    learn_words(learner, inputs, learnt_from, config, folder)
    return Lesson(
        learner=learner,
        inputs=inputs,
        streets=learnt_from,
        config=config,
        optimisation=Optimisation(learner, config),
        ranks=Ranks(),
        folder=folder,
        whitening=None,
        report=None,
    )
