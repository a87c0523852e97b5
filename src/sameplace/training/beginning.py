"""What comes before the first step of a training and after its last: inputs, vocabulary, whitening."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

import numpy as np

from sameplace.datasets.truth import Rows
from sameplace.errors import TrainingError
from sameplace.images import Problem
from sameplace.network.encoder import Encoder
from sameplace.network.netvlad import NetVLAD
from sameplace.shapes import Array, Int64
from sameplace.training.augmentation import NONE, PRESETS, Augmentation
from sameplace.training.config import TrainConfig
from sameplace.training.featuremaps import FeatureMaps
from sameplace.training.inputs import Inputs, Pixels, Source
from sameplace.training.learner import Learner
from sameplace.training.parallel import Ranks
from sameplace.training.statistics import learn_vocabulary, learn_whitening
from sameplace.training.streets import Streets

VOCABULARY, WHITENING = 11, 12
"""What a random number is for; see `sameplace.training.steps`."""
KEPT_BYTES = 1 << 30
"""Decoded images are kept in memory up to here, where no maps are kept."""

Report = Callable[[int, int], None]


def network_of(encoder: Encoder, ranks: Ranks) -> Encoder:
    """A copy of the encoder to be trained, without its whitening; TrainingError where nothing of it learns."""
    aggregator = deepcopy(encoder.aggregator)
    network = Encoder(deepcopy(encoder.backbone), aggregator, None, size=encoder.size, name=encoder.name).to(ranks.device)
    if not any(weight.requires_grad for weight in network.parameters()):
        raise TrainingError(
            f"Something of {encoder.name} must learn, and nothing does; give it a NetVLAD layer, or its backbone trainable_from."
        )
    if not isinstance(aggregator, NetVLAD) and not getattr(aggregator, "initialised", True):
        raise TrainingError(
            f"A {type(aggregator).__name__} without its initial values cannot be trained, and only those of NetVLAD can be learnt "
            f"here; initialise it first."
        )
    return network.eval()


def check(network: Encoder, streets: Streets, config: TrainConfig, ranks: Ranks) -> None:
    """TrainingError where a training would fail after hours."""
    if config.precision == "float16" and ranks.device.type != "cuda":
        raise TrainingError(f"float16 needs CUDA, and the device is {ranks.device.type}; choose bfloat16 or float32.")
    if not len(streets.queries) and not config.self_supervised:
        raise TrainingError(
            f"No image of {streets.name} has another one {config.trivial:g} to {config.positive:g} m away to learn from; give more "
            f"images, a larger `positive`, or a share of self_supervised pairs."
        )
    if config.whitening is None:
        return
    samples, dim = min(config.whitening_images, len(statistical(streets))), int(getattr(network.aggregator, "output_dim"))  # noqa: B009
    if config.whitening >= samples or config.whitening > dim:
        raise TrainingError(
            f"A whitening to {config.whitening} dimensions needs descriptors of at least as many numbers, and several times as "
            f"many images; there are {dim} numbers and {samples} images: choose a smaller `whitening`, or none."
        )


def statistical(streets: Streets) -> Int64[Array, " rows"]:
    """The images that vocabulary and whitening are learnt from: the database, and those that nothing is known about."""
    return np.union1d(streets.database, streets.alone)


def inputs_of(
    images: Sequence[Source],
    learner: Learner,
    config: TrainConfig,
    *,
    maps: Path,
    altered: bool,
    workers: int | None,
    report: Report | None,
) -> Inputs:
    """What the learning part takes of images: kept maps of the frozen layers, or pixels."""
    augmentation: Augmentation = PRESETS[config.augment] if altered else NONE
    if not config.cache_maps or learner.frozen is None:
        return Pixels(
            images, learner, augmentation=augmentation, precision=config.precision, workers=workers, keep_bytes=KEPT_BYTES
        )
    return FeatureMaps.build(
        images,
        learner,
        folder=maps,
        augmentation=augmentation,
        views=config.views if altered else 0,
        precision=config.precision,
        seed=config.seed,
        workers=workers,
        progress=report,
    )


def without(streets: Streets, unreadable: Mapping[int, Problem]) -> Streets:
    """The streets without some images, which keep their rows; queries that lose all their positives ask no more."""
    if not unreadable:
        return streets
    gone = np.array(sorted(unreadable), np.int64)
    kept = ~np.isin(streets.database, gone)
    place = np.cumsum(kept) - 1

    def left(rows: Iterable[Int64[Array, " _rows"]]) -> Rows:
        return tuple(place[some[kept[some]]] for some in rows)

    positives, near = left(streets.positives), left(streets.near)
    asks = [number for number, row in enumerate(streets.queries.tolist()) if row not in unreadable and len(positives[number])]
    return replace(
        streets,
        queries=streets.queries[asks],
        database=streets.database[kept],
        positives=tuple(positives[number] for number in asks),
        near=tuple(near[number] for number in asks),
        alone=np.setdiff1d(streets.alone, gone),
    )


def fingerprint(streets: Streets) -> str:
    """A hash of the names of the images and of what is known about them: a run is gone on with on the same streets only."""
    digest = blake2b("\n".join(image.path.name for image in streets.images).encode(), digest_size=16)
    for rows in (streets.queries, streets.database, streets.alone, *streets.positives, *streets.near):
        digest.update(np.array([len(rows), *rows], "<i8").tobytes())
    return digest.hexdigest()


def learn_words(learner: Learner, inputs: Inputs, streets: Streets, config: TrainConfig, scratch: Path) -> None:
    """Give a NetVLAD layer that has no vocabulary one of its own."""
    layer = learner.aggregator
    if not isinstance(layer, NetVLAD) or layer.initialised:
        return
    vocabulary = learn_vocabulary(
        learner,
        inputs,
        statistical(streets),
        clusters=layer.clusters,
        rng=np.random.default_rng([config.seed, VOCABULARY]),
        images=config.vocabulary_images,
        locations=config.vocabulary_locations,
        iterations=config.vocabulary_iterations,
        precision=config.precision,
        scratch=scratch,
    )
    layer.initialise(vocabulary)


def whitened(
    network: Encoder,
    learner: Learner,
    inputs: Inputs,
    streets: Streets,
    config: TrainConfig,
    *,
    scratch: Path,
    workers: int | None,
    report: Report | None,
) -> Encoder:
    """The network as it is now, with a whitening learnt from the images that it was trained on."""
    if config.whitening is None:
        return network
    images = [image.path for image in streets.images]
    night = Pixels(images, learner, augmentation=PRESETS["night"], precision=config.precision, workers=workers)
    whitening = learn_whitening(
        learner,
        inputs,
        statistical(streets),
        dim=config.whitening,
        rng=np.random.default_rng([config.seed, WHITENING]),
        images=config.whitening_images,
        power=config.whitening_power,
        night=night if config.whiten_night else None,
        precision=config.precision,
        scratch=scratch,
        progress=report,
    )
    return Encoder(network.backbone, network.aggregator, whitening, size=network.size, name=network.name)
