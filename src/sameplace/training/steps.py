"""What every way to learn has in common: what a batch takes, and what it costs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from sameplace.network.whitening import PCAWhitening
from sameplace.shapes import Array, Float, Int64
from sameplace.training.config import TrainConfig
from sameplace.training.descriptors import Descriptors, Progress, described
from sameplace.training.inputs import Inputs
from sameplace.training.learner import Learner, arithmetic
from sameplace.training.optimisation import Optimisation
from sameplace.training.parallel import Ranks
from sameplace.training.streets import Streets

ORDER, NEGATIVES, POOL, VARIANTS, PLAIN, COMPANIONS = range(1, 7)
"""What a random number is for: each purpose has a generator of its own, so that none depends on how often others are asked."""
SEEDS = 1 << 31
AS_IT_IS = -1
"""The seed of an image that is not altered."""


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """What a batch cost, over all processes; its gradients have been added up."""

    loss: float = 0.0
    """The sum of the losses of its parts."""
    parts: int = 0
    """Tuples whose images were looked at, or batches of places."""
    asked: int = 0
    """Queries."""
    violating: int = 0
    """Those of them with a negative that is too near."""
    divisor: int = 0
    """What the sum of gradients is to be divided by: violating triplets, or batches of places; 0 where nothing was learnt."""
    refreshed: bool = False
    """Whether descriptors had to be made anew before it: what took long is worth a checkpoint."""

    def __add__(self, other: "Learnt") -> "Learnt":
        return Learnt(
            loss=self.loss + other.loss,
            parts=self.parts + other.parts,
            asked=self.asked + other.asked,
            violating=self.violating + other.violating,
            divisor=self.divisor + other.divisor,
            refreshed=self.refreshed or other.refreshed,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Lesson:
    """All that learning from a batch takes."""

    learner: Learner
    inputs: Inputs
    streets: Streets
    config: TrainConfig
    optimisation: Optimisation
    ranks: Ranks
    folder: Path
    """Where descriptors may lie for a while."""
    whitening: PCAWhitening | None
    """What descriptors go through before the loss sees them."""
    report: Progress | None
    """Is told how many of the images that mining needs are described."""

    @property
    def dim(self) -> int:
        """Numbers in a descriptor that the loss sees."""
        return self.learner.dim if self.whitening is None else self.whitening.output_dim

    def rng(self, purpose: int, *counters: int) -> np.random.Generator:
        """The generator of one purpose at one place of the training."""
        return np.random.default_rng([self.config.seed, purpose, *counters])

    def seeds(self, epoch: int, batch: int, shape: tuple[int, ...]) -> Int64[Array, "*shape"] | None:
        """How the images of a batch are altered; None where they are learnt as they are."""
        return None if self.config.augment == "none" else self.rng(VARIANTS, epoch, batch).integers(0, SEEDS, shape)

    def described(self, name: str, rows: Int64[Array, " rows"], seeds: Int64[Array, " rows"] | None = None) -> Descriptors:
        """Fresh descriptors of some images (ascending, each once), as they are or altered; each process makes a part of them."""
        parts = np.array_split(np.arange(len(rows)), self.ranks.count)
        paths = [self.folder / f"{name}-{rank}.npy" for rank in range(self.ranks.count)]
        own = parts[self.ranks.rank]
        described(
            self.learner,
            self.inputs,
            rows[own],
            into=paths[self.ranks.rank],
            seeds=None if seeds is None else seeds[own],
            precision=self.config.precision,
            whitening=self.whitening,
            progress=self.report,
        )
        self.ranks.wait()
        return Descriptors.joined(*(Descriptors.open(path, rows[part]) for path, part in zip(paths, parts, strict=True)))

    def forget(self, descriptors: Descriptors) -> None:
        """Remove the files of descriptors, once no process reads them any more."""
        self.ranks.wait()
        if self.ranks.first:
            for path, _ in descriptors.parts:
                path.unlink()

    def descriptors(self, maps: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch descriptor"]:
        """What the network makes of its inputs, to be learnt from."""
        with arithmetic(self.config.precision, self.learner.device):
            made: Tensor = self.learner(maps)
        return made.float() if self.whitening is None else self.whitening(made.float())


@runtime_checkable
class Course(Protocol):
    """An epoch as batches to learn from, one after the other."""

    def batches(self, epoch: int) -> int:
        """Batches in an epoch, which counts from 0."""
        ...

    def learn(self, epoch: int, batch: int) -> Learnt:
        """Add the gradients of a batch."""
        ...

    def state(self) -> dict[str, Tensor]:
        """What must be kept to go on after this batch, beside the weights."""
        ...

    def resume(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave."""
        ...
