"""What is learnt without gradients: the vocabulary before a training, the whitening after it; both in bounded memory."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from sameplace.errors import TrainingError
from sameplace.network.vocabulary import Vocabulary, sampled_locations
from sameplace.network.whitening import PCAWhitening
from sameplace.shapes import Array, Float, Int64
from sameplace.training.descriptors import Descriptors, descriptor_batches, write
from sameplace.training.inputs import Inputs, ahead
from sameplace.training.learner import Learner, Precision, arithmetic

BATCH = 32


@torch.no_grad()
def learn_vocabulary(
    learner: Learner,
    inputs: Inputs,
    rows: Int64[Array, " rows"],
    *,
    clusters: int,
    rng: np.random.Generator,
    images: int = 500,
    locations: int = 100,
    iterations: int = 100,
    precision: Precision = "float32",
    scratch: str | Path | None = None,
) -> Vocabulary:
    """The vocabulary of random local features of random images among these rows, for the learner's trunk as it is now.

    The features lie in `scratch` meanwhile (a temporary folder by default), so that any number of them takes little memory.
    """
    if not len(rows):
        raise TrainingError("A vocabulary is learnt from images, and there are none; give some that can be read.")
    chosen = np.sort(rng.choice(rows, min(images, len(rows)), replace=False))
    generator = torch.Generator().manual_seed(int(rng.integers(1 << 62)))
    was_training = learner.training
    learner.eval()
    try:
        with TemporaryDirectory(dir=scratch, prefix=".vocabulary.") as folder:
            features = _Features(Path(folder) / "features.bin")
            with features.path.open("wb") as file:
                for maps in ahead(inputs, ((chosen[at : at + BATCH], None) for at in range(0, len(chosen), BATCH))):
                    with arithmetic(precision, learner.device):
                        local = learner.local_features(maps).float().cpu()
                    file.write(sampled_locations(local, locations, generator=generator).numpy().tobytes())
            features.dim = local.shape[1]
            return Vocabulary.learn_from_parts(features, clusters=clusters, iterations=iterations, generator=generator)
    finally:
        learner.train(was_training)


@dataclass
class _Features:
    """Local features in a file, read in parts."""

    path: Path
    dim: int = 0

    def __iter__(self) -> Iterator[Float[Tensor, "_ dim"]]:
        with self.path.open("rb") as file:
            while part := file.read(4 * self.dim * 16_384):
                yield torch.frombuffer(bytearray(part), dtype=torch.float32).view(-1, self.dim)


def learn_whitening(
    learner: Learner,
    inputs: Inputs,
    rows: Int64[Array, " rows"],
    *,
    dim: int,
    rng: np.random.Generator,
    images: int = 10_000,
    power: float = 0.5,
    night: Inputs | None = None,
    precision: Precision = "float32",
    scratch: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> PCAWhitening:
    """The whitening of the learner's descriptors to so many dimensions, from random images among these rows, at most so many.

    Where inputs with a night-like augmentation are given, half as many images are drawn, and an altered variant of each is seen.
    """
    seen = images if night is None else images // 2
    chosen = np.sort(rng.choice(rows, min(seen, len(rows)), replace=False))
    batches = descriptor_batches(learner, inputs, chosen, precision=precision)
    if night is not None:
        seeds = rng.integers(1 << 31, size=len(chosen))
        batches = chain(batches, descriptor_batches(learner, night, chosen, seeds, precision=precision))
    samples = len(chosen) * (1 if night is None else 2)
    with TemporaryDirectory(dir=scratch, prefix=".whitening.") as folder:
        path = Path(folder) / "descriptors.npy"
        write(path, samples, learner.dim, batches, progress)
        descriptors = Descriptors.open(path, np.arange(samples)).tensor()
        whitening = PCAWhitening.fit(descriptors, output_dim=dim, power=power)
        del descriptors  # Windows removes no file that is mapped
    return whitening.to(learner.device)
