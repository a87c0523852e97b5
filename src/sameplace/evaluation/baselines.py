"""The baselines that no network is part of, and every contender of the results table by the name that users type."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sameplace import models
from sameplace.datasets import Dataset
from sameplace.describer import Describer
from sameplace.errors import DatasetError
from sameplace.evaluation.rootsift import RootSiftVlad
from sameplace.images import View
from sameplace.shapes import Array, Float32, UInt8

THUMBNAILS, ROOTSIFT = "thumbnails", "rootsift-vlad"
NAMES = (THUMBNAILS, ROOTSIFT)
SIDE = 32
LEAST_PHOTOS = 40
GREY = (0.299, 0.587, 0.114)


class Thumbnails:
    """The floor: a photo is its grey thumbnail of 32 x 32 pixels, less its mean, of unit length."""

    name = THUMBNAILS
    identity = "thumbnails-32-grey"
    dim = SIDE * SIDE
    size = (SIDE, SIDE)
    runtime = "numpy"
    precision = "float32"

    def describe(self, images: UInt8[Array, "batch height width 3"]) -> Float32[Array, "batch dim"]:
        """Descriptors of upright RGB images (0..255), each of unit length."""
        grey = (images @ np.array(GREY, np.float32)).reshape(len(images), -1)
        centred = np.asarray(grey - grey.mean(axis=1, keepdims=True), np.float32)
        centred[np.ptp(grey, axis=1) < 1] = 1  # a photo of one colour has no direction of its own
        return np.asarray(centred / np.linalg.norm(centred, axis=1, keepdims=True), np.float32)


def contender(name_or_file: str | Path, dataset: Dataset, *, learn_from: Sequence[str | Path | View] | None = None) -> Describer:
    """A model, a file or a baseline by name, ready for a dataset.

    `rootsift-vlad` learns its vocabulary and whitening from `learn_from`, or else from the dataset's database: never from queries.
    """
    name = str(name_or_file)
    if name == THUMBNAILS:
        return Thumbnails()
    if name != ROOTSIFT:
        return models.describer(name_or_file, photos=len(dataset.database) + len(dataset.queries))
    if learn_from is not None:
        return RootSiftVlad.learn(learn_from, learnt_on=f"{len(learn_from):,} photos that were given")
    photos = _database_without_queries(dataset)
    return RootSiftVlad.learn(photos, learnt_on=f"the {len(photos):,} database images of {dataset.name}")


def _database_without_queries(dataset: Dataset) -> Sequence[Path | View]:
    """What may be learnt from in a dataset itself."""
    asking = {image.path for image in dataset.queries}
    shown = zip(dataset.database_sources, dataset.database, strict=True)
    photos = [source for source, image in shown if image.path not in asking]
    if len(photos) < LEAST_PHOTOS:
        raise DatasetError(
            f"{ROOTSIFT} learns from at least {LEAST_PHOTOS} database images that are no queries, and {dataset.name} has "
            f"{len(photos)}; choose another model, or give photos to learn from."
        )
    return photos
