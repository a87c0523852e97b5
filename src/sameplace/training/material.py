"""What a training is given: photos to learn from, a dataset that chooses its best epoch, and one that says whether it helped."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sameplace import datasets
from sameplace.datasets import Dataset
from sameplace.errors import DatasetError, TrainingError
from sameplace.images import ImageSet, Problem
from sameplace.training.config import TrainConfig
from sameplace.training.reach import PAPERS, Reach
from sameplace.training.split import clear_of, held_out, split
from sameplace.training.streets import Streets
from sameplace.training.time_machine import time_machine
from sameplace.training.toytowns import (
    PLACES,
    TOWNS,
    TOYTOWN,
    VALIDATION_PLACES,
    draw_towns,
    toytown_streets,
    toytown_validation,
)

TRAIN, VALIDATE = "-train", "-val"
SAMPLES_PER_DIMENSION = 4
"""A whitening of so many dimensions is learnt from so many times as many images, where nobody asks for another."""
LEAST_DIMENSIONS = 32


@dataclass(frozen=True, kw_only=True, eq=False)
class Material:
    """Photos to learn from, and places that they do not show."""

    streets: Streets
    validation: Dataset
    """Chooses the best epoch."""
    judged_on: Dataset
    """Says whether training helped: the same one, unless there is a third part of the world."""
    said: str
    """How it was divided, in a sentence."""
    problems: tuple[Problem, ...] = field(default=())
    """Photos that could not be used."""


@dataclass(frozen=True, kw_only=True)
class KeptBack:
    """Which photos are kept back to validate on."""

    folder: str | Path | None = None
    """Other photos; by default a part of the map of those that are given."""
    share: float = 0.2
    """About so many of them."""
    gap: float = 25.0
    """Metres at least from what is learnt from."""
    radius: float = 25.0
    """Metres up to which a photo counts as right."""


A_SIDE = KeptBack()


def from_photos(
    photos: str | Path, reach: Reach = PAPERS, *, positions: str | Path | None = None, kept_back: KeptBack = A_SIDE
) -> Material:
    """One's own photos, of which a side of their map is kept back, or those near other photos that are given to validate on.

    Raises TrainingError where they cannot be divided.
    """
    opened = ImageSet.open(photos, positions)
    images = opened.records()
    name, gap = Path(photos).resolve().name, kept_back.gap
    if kept_back.folder is None:
        parts = split(images, share=kept_back.share, gap=gap, reach=reach.positive)
        training, said = parts.training, str(parts)
        validation = held_out(parts.validation, radius=kept_back.radius, name=f"{name}, held out")
    else:
        validation = datasets.load(kept_back.folder, radius=kept_back.radius)
        training = clear_of(images, (*validation.database, *validation.queries), gap)
        near = len(images) - len(training)
        said = f"{len(training):,} photos to learn from; {near:,} within {gap:g} m of {validation.name} in neither"
    streets = (time_machine if reach.another_time else Streets.of)(training, reach, name=name)
    return Material(streets=streets, validation=validation, judged_on=validation, said=f"{said}.", problems=opened.problems)


def from_benchmark(name: str, reach: Reach = PAPERS, *, root: str | Path | None = None) -> Material:
    """The training part of a benchmark, with its validation part; DatasetError where it has no such parts."""
    known = {entry.name for entry in datasets.known()}
    partner = name.removesuffix(TRAIN) + VALIDATE
    if not name.endswith(TRAIN) or partner not in known:
        learnt_from = ", ".join(sorted(entry for entry in known if entry.endswith(TRAIN)))
        raise DatasetError(
            f"{name} is there to be asked about, not to be learnt from: a figure on it would mean nothing; train on {learnt_from}, "
            f"toytown, or a folder of photos."
        )
    streets, validation = Streets.from_dataset(datasets.load(name, root=root), reach), datasets.load(partner, root=root)
    said = f"{len(streets.images):,} images of {name} to learn from, {partner} to validate on."
    return Material(streets=streets, validation=validation, judged_on=validation, said=said)


def from_toytowns(
    folder: str | Path,
    reach: Reach = TOYTOWN.reach,
    *,
    towns: int = TOWNS,
    places: int = PLACES,
    validation_places: int = VALIDATION_PLACES,
    progress: Callable[[int, int], None] | None = None,
) -> Material:
    """Drawn towns to learn from, one to validate on, and the benchmark `toytown`, which is none of them, to be judged on."""
    *learnt, kept_back = draw_towns(folder, towns=towns, places=places, validation_places=validation_places, progress=progress)
    streets = toytown_streets(learnt, reach)
    said = f"{len(streets.images):,} photos of {len(learnt)} drawn towns to learn from, one to validate on, toytown to judge on."
    return Material(streets=streets, validation=toytown_validation(kept_back), judged_on=datasets.load("toytown"), said=said)


def fitting_whitening(config: TrainConfig, streets: Streets, numbers: int) -> int | None:
    """The dimensions that so many photos can be whitened to: those of the configuration, halved until there are photos enough.

    Raises TrainingError where there are too few for any whitening.
    """
    dimensions = config.whitening
    if dimensions is None:
        return None
    samples = min(config.whitening_images, len(streets.database) + len(streets.alone))
    while dimensions > numbers or dimensions * SAMPLES_PER_DIMENSION > samples:
        dimensions //= 2
    if dimensions < LEAST_DIMENSIONS:
        raise TrainingError(
            f"A whitening to {LEAST_DIMENSIONS} dimensions or more needs {LEAST_DIMENSIONS * SAMPLES_PER_DIMENSION} photos, got "
            f"{samples}; give more photos, or train without a whitening."
        )
    return dimensions
