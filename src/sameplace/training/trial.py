"""What a few images cost in the network, there and back: the measured part of a plan."""

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from sameplace.errors import ImageError, TrainingError
from sameplace.network.netvlad import NetVLAD
from sameplace.network.vocabulary import Vocabulary
from sameplace.shapes import Array, Float, UInt8
from sameplace.training.augmentation import PRESETS
from sameplace.training.config import TrainConfig
from sameplace.training.inputs import Pixels, Source
from sameplace.training.learner import Learner, arithmetic

TRIED = 8
"""Images of a trial."""
DECOMPOSED = 512
"""Rows of the matrix that is decomposed to learn how long a whitening takes."""
Made = TypeVar("Made")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What a few images cost."""

    map_numbers: int
    """Numbers that the learning part takes of an image."""
    activations: int
    """Bytes that the learning part keeps of an image for its gradients."""
    decoding: float
    """Seconds, as all that follow, for an image, side by side with others."""
    altering: float
    frozen: float
    describing: float
    learning: float
    """Forward and backward."""
    decomposing: float
    """A square matrix of DECOMPOSED rows."""


def trial(learner: Learner, sources: Sequence[Source], config: TrainConfig, *, workers: int | None = None) -> Trial:
    """Send a few of these images through the network and back, on a copy of it; TrainingError where none can be read."""
    augmentation = PRESETS[config.augment]
    pixels = Pixels(sources, learner, augmentation=augmentation, precision=config.precision, workers=workers)
    rows = np.random.default_rng(config.seed).permutation(len(sources)).tolist()[: 2 * TRIED]
    images, decoding = _timed(lambda: _readable(pixels, rows))
    altering = _timed(lambda: list(pixels.variants(rows, [0])))[1] - decoding if config.augment != "none" else 0.0
    copied = _initialised(copy.deepcopy(learner))
    maps = pixels.through(images)
    _learn(copied, maps, config)  # the first time costs what never comes again
    _, frozen = _timed(lambda: pixels.through(images))
    _, describing = _timed(lambda: _describe(copied, maps, config))
    activations, learning = _timed(lambda: _learn(copied, maps, config))
    symmetric = torch.rand(DECOMPOSED, DECOMPOSED, dtype=torch.float64)
    _, decomposing = _timed(lambda: torch.linalg.eigh(symmetric + symmetric.T))
    count = len(images)
    return Trial(
        map_numbers=prod(maps.shape[1:]),
        activations=activations // count,
        decoding=decoding / len(rows),
        altering=max(altering, 0.0) / len(rows),
        frozen=frozen / count,
        describing=describing / count,
        learning=learning / count,
        decomposing=decomposing,
    )


def _readable(pixels: Pixels, rows: Sequence[int]) -> UInt8[Array, "_ height width 3"]:
    """Those of some images that can be read, TRIED at most."""
    found = [variants[0] for variants in pixels.variants(rows, []) if not isinstance(variants, ImageError)]
    if not found:
        raise TrainingError(f"None of {len(rows)} images that were tried can be read; look at {pixels.sources[rows[0]]}.")
    return np.stack(found[:TRIED])


def _initialised(learner: Learner) -> Learner:
    """With some vocabulary: which one does not change what it costs."""
    layer = learner.aggregator
    if isinstance(layer, NetVLAD) and not layer.initialised:
        centroids = torch.eye(layer.clusters, layer.dim)
        layer.initialise(Vocabulary(centroids=centroids, alpha_of_products=1.0, alpha_of_distances=1.0))
    return learner


@torch.no_grad()
def _describe(learner: Learner, maps: Float[Tensor, "batch ..."], config: TrainConfig) -> float:
    with arithmetic(config.precision, learner.device):
        return float(learner(maps).sum())  # to be read, it must have been computed, on another device too


def _learn(learner: Learner, maps: Float[Tensor, "batch ..."], config: TrainConfig) -> int:
    """Forward and backward; the bytes that were kept in between."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    weights = {weight.untyped_storage().data_ptr() for weight in learner.parameters()}
    with arithmetic(config.precision, learner.device), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        descriptors = learner(maps)
    (descriptors[0] * descriptors).sum().backward()
    gradients = [weight.grad for weight in learner.parameters() if weight.grad is not None]
    float(sum((gradient.sum() for gradient in gradients), torch.zeros((), device=maps.device)))
    return sum(count for place, count in kept.items() if place not in weights)


def _timed(work: Callable[[], Made]) -> tuple[Made, float]:
    start = time.perf_counter()
    made = work()
    return made, time.perf_counter() - start
