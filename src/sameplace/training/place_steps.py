"""Learning from batches of places, in which all that is far from an anchor is its negative."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from sameplace.shapes import Array, Bool, Float, Int64
from sameplace.training.inputs import ahead
from sameplace.training.losses import multi_similarity, sare
from sameplace.training.places import PlaceBatch, place_batches
from sameplace.training.steps import AS_IT_IS, ORDER, PLAIN, Learnt, Lesson


class Places:
    """The course of batches of places: every query of a batch is an anchor."""

    def __init__(self, lesson: Lesson) -> None:
        self.lesson = lesson
        self._epoch = -1
        self._dealt: tuple[PlaceBatch, ...] = ()
        self._next = -1
        self._loading: Iterator[Tensor] = iter(())

    def batches(self, epoch: int) -> int:
        """As many as it takes for every query to be an anchor once."""
        if epoch != self._epoch:
            self._dealt = self._deal(epoch)
            self._epoch, self._next = epoch, -1
        return len(self._dealt)

    def _deal(self, epoch: int) -> tuple[PlaceBatch, ...]:
        """The batches of an epoch."""
        config = self.lesson.config
        return place_batches(
            self.lesson.streets,
            places=config.batch - self._pairs,
            images_per_place=config.images_per_place,
            pairs=self._pairs,
            rng=self.lesson.rng(ORDER, epoch),
        )

    @property
    def _pairs(self) -> int:
        """Pairs of views in a batch."""
        return round(self.lesson.config.self_supervised * self.lesson.config.batch)

    def learn(self, epoch: int, batch: int) -> Learnt:
        """Add the gradients of the loss over a batch."""
        lesson, batches = self.lesson, self.batches(epoch)
        if batch != self._next:
            self._loading = ahead(lesson.inputs, (self._wanted(number) for number in range(batch, batches) if self._part(number)))
        self._next = batch + 1
        images = self._dealt[batch]
        device = lesson.ranks.device
        own = lesson.descriptors(next(self._loading)) if self._part(batch) else torch.zeros(0, lesson.dim, device=device)
        made = lesson.ranks.gathered(own, len(images.rows))
        anchors, positives, negatives = (
            torch.from_numpy(array).to(device) for array in (images.anchors, images.positives, images.negatives)
        )
        similarities = made[anchors] @ made.T
        loss = self._loss(similarities, positives, negatives)
        if loss.requires_grad:
            lesson.optimisation.backward(loss)
        asks = positives.any(dim=1) & negatives.any(dim=1)
        return Learnt(
            loss=float(loss.detach()),
            parts=1,
            asked=int(asks.sum()),
            violating=int((_wrong(similarities.detach(), positives, negatives) & asks).sum()),
            divisor=1,
        )

    def state(self) -> dict[str, Tensor]:
        """Nothing: every epoch is dealt anew, always in the same way."""
        return {}

    def resume(self, state: Mapping[str, Tensor]) -> None:  # noqa: ARG002  (there is none)
        """Go on from what `state` gave."""
        self._epoch = self._next = -1

    def _loss(
        self,
        similarities: Float[Tensor, "anchors images"],
        positives: Bool[Tensor, "anchors images"],
        negatives: Bool[Tensor, "anchors images"],
    ) -> Float[Tensor, ""]:
        config = self.lesson.config
        if config.loss == "sare":
            return sare(similarities, positives, negatives, sharpness=config.sharpness)
        return multi_similarity(similarities, positives, negatives)

    def _part(self, batch: int) -> range:
        """Which images of a batch this process describes."""
        images = len(self._dealt[batch].rows)
        return range(images)[self.lesson.ranks.part(images)]

    def _wanted(self, batch: int) -> tuple[Int64[Array, " images"], Int64[Array, " images"] | None]:
        """The rows of those images, and how they are altered: the two views of a pair by seeds that differ by one."""
        made = self._dealt[batch]
        seeds = self.lesson.seeds(self._epoch, batch, made.rows.shape)
        if seeds is not None:
            plain = self.lesson.rng(PLAIN, self._epoch, batch).random(len(seeds)) < self.lesson.config.plain
            views = seeds[len(seeds) - 2 * made.pairs :]
            views[1::2] = views[::2] + 1
            seeds = np.where(plain & (np.arange(len(seeds)) < len(seeds) - 2 * made.pairs), AS_IT_IS, seeds)
        own = np.array(self._part(batch))
        return made.rows[own], None if seeds is None else seeds[own]


def _wrong(
    similarities: Float[Tensor, "anchors images"],
    positives: Bool[Tensor, "anchors images"],
    negatives: Bool[Tensor, "anchors images"],
) -> Bool[Tensor, " anchors"]:
    """Which anchors have a negative that is more similar than all their positives."""
    best = similarities.masked_fill(~positives, -torch.inf).amax(dim=1)
    return similarities.masked_fill(~negatives, -torch.inf).amax(dim=1) > best
