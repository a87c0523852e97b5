"""What a training will need, told before it starts: memory and disk reckoned from its sizes, time from a short trial."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np

from sameplace.errors import TrainingError
from sameplace.network.vocabulary import SEEDED_FROM
from sameplace.network.whitening import NUMBERS_AT_ONCE
from sameplace.threads import usable_cores
from sameplace.training.beginning import KEPT_BYTES
from sameplace.training.config import TrainConfig
from sameplace.training.inputs import Source
from sameplace.training.learner import Learner
from sameplace.training.optimisation import queries_between_refreshes
from sameplace.training.streets import Streets
from sameplace.training.trial import DECOMPOSED, Trial, trial
from sameplace.training.window import QUERIES_AT_ONCE, ROWS_AT_ONCE

PROCESS_BYTES = 400_000_000
"""Python with torch, before there is a network."""
DECODING_BYTES = 60_000_000
"""A thread that decodes a photo of 20 million pixels."""
RECORD_BYTES = 1_500
"""What is known about an image."""
DECOMPOSITION = 4.3
"""A symmetric matrix, its eigenvectors, and the room that LAPACK takes to find them, in sizes of the matrix; measured."""
COMPARED_A_SECOND = 5e10
"""Numbers that are multiplied and added when descriptors are compared."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a training needs, about; bytes and seconds."""

    memory: int
    """Main memory at its peak; what the system keeps of files on top of it goes when others need it."""
    maps: int
    """Disk for the maps of the frozen layers."""
    descriptors: int
    """Disk for the descriptors that are mined and for those that the whitening is learnt from."""
    models: int
    """Disk for checkpoints and models."""
    free: int
    """Disk that is free where the training is written."""
    seconds_before: float
    """Until the first step: maps, vocabulary, and the whitening of the network that is to be trained."""
    seconds_per_epoch: float
    """An epoch in which every tuple has a negative that violates the margin; later ones are quicker."""
    epochs: int
    seconds_after: float
    """The whitening of the trained one."""

    @property
    def disk(self) -> int:
        """All that will be written."""
        return self.maps + self.descriptors + self.models

    @property
    def seconds(self) -> float:
        """From start to end, if no patience ends it."""
        return self.seconds_before + self.epochs * self.seconds_per_epoch + self.seconds_after

    def __str__(self) -> str:
        parts = {"maps of frozen layers": self.maps, "descriptors": self.descriptors, "models": self.models}
        listed = ", ".join(f"{what} {_size(count)}" for what, count in parts.items() if count)
        return (
            f"Memory: about {_size(self.memory)} at most.\n"
            f"Disk: about {_size(self.disk)} ({listed}); {_size(self.free)} are free.\n"
            f"Time: about {_duration(self.seconds)} at most ({_duration(self.seconds_before)} until the first step, {self.epochs} "
            f"epochs of {_duration(self.seconds_per_epoch)}, {_duration(self.seconds_after)} at the end)."
        )


def plan(
    learner: Learner,
    streets: Streets,
    config: TrainConfig,
    *,
    folder: str | Path,
    validation: Sequence[Source] = (),
    workers: int | None = None,
) -> Plan:
    """What this training will need in that folder; TrainingError where its disk has no room for it.

    A few images go through the network and back, on a copy that is thrown away.
    """
    tried = trial(learner, [image.path for image in streets.images], config, workers=workers)
    needs = _Needs(learner=learner, streets=streets, config=config, tried=tried, validation=len(validation))
    folder = Path(folder)
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    before, epoch, after = needs.seconds()
    planned = Plan(
        memory=needs.memory(workers or usable_cores()),
        maps=needs.maps(),
        descriptors=needs.descriptors(),
        models=needs.models(),
        free=shutil.disk_usage(there).free,
        seconds_before=before,
        seconds_per_epoch=epoch,
        epochs=config.epochs,
        seconds_after=after,
    )
    already = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) if folder.is_dir() else 0
    wanted = planned.disk - already
    if wanted > planned.free:
        raise TrainingError(
            f"The training needs about {_size(wanted)} in {folder}, but {_size(planned.free)} are free there; free some space, "
            f"write elsewhere, or choose fewer images, fewer views or a smaller size."
        )
    return planned


@dataclass(frozen=True, kw_only=True, eq=False)
class _Needs:
    """What follows from the sizes of a training and the costs of its trial."""

    learner: Learner
    streets: Streets
    config: TrainConfig
    tried: Trial
    validation: int

    def memory(self, workers: int) -> int:
        """Bytes at the peak: of learning, or of what is learnt without gradients before and after it."""
        network = 4 * sum(weight.numel() for weight in self.learner.parameters())
        labels = RECORD_BYTES * len(self.streets.images) + 8 * sum(map(len, (*self.streets.positives, *self.streets.near)))
        copies = {"sgd": 2, "adamw": 3}[self.config.optimiser] + bool(self.config.average)  # gradients, and what is remembered
        learning = 4 * copies * self._learning() + self._in_hand() * (self.tried.activations + 4 * self.tried.map_numbers)
        learning += 4 * self.learner.dim * (QUERIES_AT_ONCE + 2 * ROWS_AT_ONCE) if self.config.loss == "ranking" else 0
        sampled = self.config.vocabulary_images * self.config.vocabulary_locations
        vocabulary = 3 * 4 * min(sampled, SEEDED_FROM) * int(getattr(self.learner.aggregator, "dim", 0))
        height, width = self.learner.size
        decoded = 0 if self._kept() else min(KEPT_BYTES, len(self.streets.images) * height * width * 3)
        validation = 2 * 4 * self.learner.dim * self.validation
        # The encoder that was given stays beside the copy that learns.
        always = PROCESS_BYTES + workers * DECODING_BYTES + decoded + 2 * network + labels
        return always + max(learning, vocabulary, validation, self._whitening_bytes())

    def maps(self) -> int:
        """Bytes of the frozen layers' maps on disk."""
        numbers = (1 + self.config.views) * len(self.streets.images) + self.validation
        return 2 * self.tried.map_numbers * numbers if self._kept() else 0

    def descriptors(self) -> int:
        """Bytes of descriptors on disk at one time: those that are mined, of the whitening, or of the validation."""
        mined = self._described() if self.config.loss == "ranking" else 0
        return 2 * self.learner.dim * max(mined, self._whitened(), self.validation)

    def models(self) -> int:
        """Bytes of checkpoints, each written beside the old one, and of three models: the first, the best and the last one."""
        weights = sum(weight.numel() for weight in self.learner.parameters())
        states = 1 + {"sgd": 1, "adamw": 2}[self.config.optimiser] + bool(self.config.average)
        return 2 * 4 * states * self._learning() + 2 * 3 * weights + 2 * 2 * (self.config.whitening or 0) * self.learner.dim

    def seconds(self) -> tuple[float, float, float]:
        """Until the first step; of an epoch, on average; after the last one."""
        tried, images = self.tried, len(self.streets.images)
        read = tried.decoding + tried.frozen
        load = 0.0 if self._kept() else read
        altered = load if self.config.augment == "none" or (self._kept() and self.config.views) else tried.altering + tried.frozen
        rows = min(self._whitened(), self.learner.dim)
        whitening = self._whitened() * (read + tried.describing) + tried.decomposing * (rows / DECOMPOSED) ** 3
        before = whitening + min(self.config.vocabulary_images, images) * (load + tried.describing)
        if self._kept():
            before += images * (read + self.config.views * (tried.altering + tried.frozen)) + self.validation * read
        epoch = self._learnt() * (altered + tried.learning) + self.validation * (load + tried.describing)
        if self.config.loss == "ranking":
            queries = len(self.streets.queries)
            intervals = [queries_between_refreshes(self.config, float(number)) for number in range(self.config.epochs)]
            refreshes = sum(ceil(queries / interval) for interval in intervals) / self.config.epochs
            compared = queries * self.learner.dim * min(len(self.streets.database), QUERIES_AT_ONCE * self.config.sampled_negatives)
            epoch += refreshes * self._described() * (load + tried.describing) + compared / COMPARED_A_SECOND
        return before, epoch, whitening

    def _whitening_bytes(self) -> int:
        """The matrix that is decomposed, its eigenvectors and the room that takes; then the directions themselves."""
        samples, dim, kept = self._whitened(), self.learner.dim, self.config.whitening or 0
        side = min(samples, dim)
        directions = kept * (dim + samples) if samples < dim else kept * dim
        return 8 * max(int(DECOMPOSITION * side**2), directions) + 2 * 8 * min(NUMBERS_AT_ONCE, samples * dim) + 2 * samples * dim

    def _kept(self) -> bool:
        """Whether maps are kept on disk."""
        return self.config.cache_maps and self.learner.frozen is not None

    def _described(self) -> int:
        """Images that are described at a refresh, at most."""
        mined = len(np.union1d(self.streets.queries, self.streets.database))
        if self.config.pool is None:
            return mined
        asked = min(self.config.refresh, len(self.streets.queries))
        positives = sum(map(len, self.streets.positives)) // max(len(self.streets.queries), 1)
        return min(mined, self.config.pool + asked * (1 + positives))

    def _whitened(self) -> int:
        """Descriptors that the whitening is learnt from."""
        known = (len(self.streets.database) + len(self.streets.alone)) * (1 + self.config.whiten_night)
        return min(self.config.whitening_images, known) if self.config.whitening else 0

    def _learning(self) -> int:
        """Weights that learn."""
        return sum(weight.numel() for weight in self.learner.parameters() if weight.requires_grad)

    def _in_hand(self) -> int:
        """Images that a step holds at once, with their activations."""
        if self.config.loss == "ranking":
            return 2 + self.config.negatives
        return self.config.batch * self.config.images_per_place

    def _learnt(self) -> float:
        """Images that an epoch learns from, each as often as it does."""
        if self.config.loss == "ranking":
            return float(len(self.streets.queries) * self._in_hand())
        share = min(self.config.self_supervised, 0.9)
        return len(self.streets.queries) / (1 - share)


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{ceil(count / 1e6)} MB"


def _duration(seconds: float) -> str:
    for limit, part, name in ((5400, 3600, "hours"), (90, 60, "minutes")):
        if seconds >= limit:
            return f"{seconds / part:.1f} {name}"
    return f"{ceil(seconds)} seconds"
