"""How many tuples a second a training learns from, beside the way that a competent user of torch would write it down.

    python benchmarks/training_speed.py --network efficientnet-lite0 --threads 2
    python benchmarks/training_speed.py --network vgg16 --threads 2

All ways learn from the same tuples (a query, a positive, ten negatives) of the same drawn photos on disk, from the same weights,
in batches of four, with the loss of the paper and SGD, in turn, with the same number of threads for the network and for decoding;
photos are decoded one batch ahead.

Ours is what `sameplace.train` does between two refreshes: the maps of the frozen layers come from disk, what learns computes in
bfloat16, NetVLAD is two products of matrices. The plain way is that of the public ports: every photo is decoded and goes through
the whole network in float32, the frozen layers under no_grad, and NetVLAD is a loop over clusters. Beside it stands the plain way
with photos that are decoded already, so that it can be seen what the network alone saves. Each repetition times every way; the
figures are medians over repetitions, the spread is that of the ratios. The same is told by the time of the processor, of all
threads together: what cores that are never idle would make of it, and what a busy machine disturbs less. Wanted: ten times as many
tuples on two cores.
"""
# ruff: noqa: T201

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from sameplace.evaluation.provenance import provenance
from sameplace.evaluation.report import write_json
from sameplace.models import find
from sameplace.network.backbones import efficientnet_lite0, vgg16
from sameplace.network.backbones.efficientnet import ConvolutionLayer
from sameplace.network.encoder import Encoder
from sameplace.network.netvlad import NetVLAD
from sameplace.network.vocabulary import Vocabulary
from sameplace.threads import usable_cores
from sameplace.training.config import TrainConfig
from sameplace.training.featuremaps import FeatureMaps
from sameplace.training.inputs import Inputs, Pixels, ahead
from sameplace.training.learner import Learner, arithmetic
from sameplace.training.losses import ranking_loss, violates
from sameplace.training.optimisation import Optimisation
from sameplace.training.start import LEARNS_FROM

WANTED = 10.0
CONFIG = TrainConfig(precision="bfloat16", learning_rate=1e-5, margin=4.0)
"""The margin is the largest squared distance there is: every tuple costs its backward pass."""
PHOTO = (480, 640)
IMAGES_A_TUPLE = 2 + CONFIG.negatives
NETWORKS = ("efficientnet-lite0", "vgg16")
ALIKE = 0.99
"""The least cosine between descriptors of the same photo by different ways: bfloat16 rounds."""
OURS, PLAIN, DECODED = "ours", "plain", "plain, photos decoded already"
TO = Path(__file__).parent.parent / "results" / "benchmarks"


def starting(network: str) -> tuple[Encoder, NetVLAD]:
    """A network and its NetVLAD layer, of which the usual layers learn; random weights cost as much as learnt ones."""
    torch.manual_seed(0)
    if network == "vgg16":
        backbone = vgg16(trainable_from=LEARNS_FROM["vgg16"])
        for module in backbone.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    else:
        weights = Encoder.load(find("efficientnet-lite0-vlad")).backbone.state_dict()
        backbone = efficientnet_lite0(trainable_from=LEARNS_FROM["efficientnet_lite0"])
        backbone.load_state_dict(weights)
    layer = NetVLAD(backbone.channels, 64)
    layer.initialise(Vocabulary.learn(torch.randn(1_000, layer.dim), clusters=layer.clusters, iterations=5))
    return Encoder(backbone, layer).eval(), layer


def photos(folder: Path, count: int) -> list[Path]:
    """Drawn JPEGs with the size and about the detail of photos."""
    rng = np.random.default_rng(0)
    paths = [folder / f"{number:05}.jpg" for number in range(count)]
    for path in paths:
        layers = [rng.integers(0, 256, (side * 3, side * 4, 3), np.uint8) for side in (4, 32, 160)]
        whole = [Image.fromarray(layer).resize((PHOTO[1], PHOTO[0]), Image.Resampling.BICUBIC) for layer in layers]
        Image.blend(Image.blend(whole[0], whole[1], 0.4), whole[2], 0.15).save(path, quality=90)
    return paths


class LoopNetVLAD(nn.Module):
    """NetVLAD with a loop over clusters, as in the public ports; the weights of a layer of ours."""

    def __init__(self, layer: NetVLAD) -> None:
        super().__init__()
        self.clusters = layer.clusters
        self.assignment = nn.Conv2d(layer.dim, layer.clusters, kernel_size=1, bias=False)
        self.assignment.weight = nn.Parameter(layer.assignment.detach().clone()[:, :, None, None])
        self.centroids = nn.Parameter(layer.centroids.detach().clone())

    def forward(self, features: Tensor) -> Tensor:
        """Descriptors."""
        features = F.normalize(features, dim=1)
        assignment = self.assignment(features).flatten(2).softmax(dim=1)
        local = features.flatten(2)
        vlad = torch.zeros(len(local), self.clusters, local.shape[1], dtype=local.dtype)
        for cluster in range(self.clusters):
            residual = local - self.centroids[cluster][None, :, None]
            vlad[:, cluster] = (residual * assignment[:, cluster, None]).sum(dim=2)
        return F.normalize(F.normalize(vlad, dim=2).flatten(1), dim=1)


def written_down(trunk: nn.Module) -> nn.Module:
    """The same layers one after the other; ours fold a normalisation into the convolution below it while they learn."""
    for name, module in trunk.named_children():
        if isinstance(module, ConvolutionLayer):
            activation = [nn.ReLU6()] if module.activated else []
            setattr(trunk, name, nn.Sequential(module.convolution, module.normalisation, *activation))
        else:
            written_down(module)
    return trunk


class Ours:
    """A batch of tuples at a time, as `sameplace.train` learns from them."""

    def __init__(self, encoder: Encoder, inputs: Callable[[Learner], Inputs], tuples: np.ndarray) -> None:
        self.learner = Learner(encoder)
        self.inputs = inputs(self.learner)
        self.optimisation = Optimisation(self.learner, CONFIG)
        self.learner.train()
        self.loading = ahead(self.inputs, ((rows, None) for rows in tuples))

    def describe(self, maps: Tensor) -> Tensor:
        """Descriptors."""
        with arithmetic("bfloat16", self.learner.device):
            descriptors: Tensor = self.learner(maps).float()
        return descriptors

    def step(self) -> float:
        """Learn from the next batch; its loss."""
        total, divisor = 0.0, 0
        for _ in range(CONFIG.batch):
            query, best, negatives = self.describe(next(self.loading)).tensor_split([1, 2])
            divisor += int(violates(query[0], best, negatives, margin=CONFIG.margin).sum())
            loss = ranking_loss(query[0], best, negatives, margin=CONFIG.margin)
            self.optimisation.backward(loss)
            total += float(loss.detach())
        self.optimisation.step(CONFIG.learning_rate, divisor=divisor)
        return total


class Plain:
    """A batch of tuples at a time, written down without thinking about its cost."""

    def __init__(self, encoder: Encoder, layer: NetVLAD, batches: Iterator[Tensor]) -> None:
        learner = Learner(encoder)
        self.frozen, self.trunk = learner.frozen or nn.Identity(), written_down(learner.trunk)
        self.layer = LoopNetVLAD(layer)
        weights = [weight for weight in (*self.trunk.parameters(), *self.layer.parameters()) if weight.requires_grad]
        self.optimiser = torch.optim.SGD(
            weights, lr=CONFIG.learning_rate, momentum=CONFIG.momentum, weight_decay=CONFIG.weight_decay
        )
        self.batches = batches

    def describe(self, images: Tensor) -> Tensor:
        """Descriptors."""
        with torch.no_grad():
            maps = self.frozen(images)
        descriptors: Tensor = self.layer(self.trunk(maps))
        return descriptors

    def step(self) -> float:
        """Learn from the next batch; its loss."""
        descriptors = self.describe(next(self.batches)).view(CONFIG.batch, IMAGES_A_TUPLE, -1)
        query, best, negatives = descriptors[:, :1], descriptors[:, 1:2], descriptors[:, 2:]
        apart = (query - best).square().sum(dim=2) + CONFIG.margin - (query - negatives).square().sum(dim=2)
        loss = apart.clamp_min(0).sum()
        self.optimiser.zero_grad()
        (loss / max(int((apart > 0).sum()), 1)).backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return float(loss.detach())


def ways(network: str, folder: Path, count: int, batches: int, threads: int) -> dict[str, Ours | Plain]:
    """Every way, all over the same tuples; RuntimeError where they do not compute the same descriptors."""
    paths = photos(folder, count)
    rng = np.random.default_rng(0)
    tuples = np.stack([rng.permutation(count)[:IMAGES_A_TUPLE] for _ in range(batches * CONFIG.batch)])
    encoder, layer = starting(network)
    raw = deepcopy(encoder)
    raw.backbone.requires_grad_(True)  # nothing is frozen, so that pixels are given as they are
    undecoded = Pixels(paths, Learner(raw), workers=threads)
    decoded = Pixels(paths, Learner(raw), workers=threads, keep_bytes=count * encoder.size[0] * encoder.size[1] * 3)
    if decoded.unreadable():  # reads all, and keeps them
        raise RuntimeError("The drawn photos cannot be read.")

    def maps(learner: Learner) -> Inputs:
        return FeatureMaps.build(paths, learner, folder=folder, precision="bfloat16", workers=threads)

    def pixels(inputs: Pixels) -> Iterator[Tensor]:
        return ahead(inputs, ((rows, None) for rows in tuples.reshape(batches, -1)))

    ours = Ours(deepcopy(encoder), maps, tuples)
    plain, quicker = (Plain(deepcopy(encoder), layer, pixels(inputs)) for inputs in (undecoded, decoded))
    with torch.no_grad():
        alike = (ours.describe(ours.inputs.load(tuples[0])) * plain.describe(decoded.load(tuples[0]))).sum(dim=1)
    if not float(alike.min()) > ALIKE:
        raise RuntimeError(
            f"The ways were to compute the same descriptors, but the cosine between them is {float(alike.min()):.4f}."
        )
    return {OURS: ours, PLAIN: plain, DECODED: quicker}


def measured(every: Mapping[str, Ours | Plain], repetitions: int, at_once: int) -> tuple[dict[str, list[float]], ...]:
    """Tuples a second of each way in each repetition, the ways in turn; and tuples in a second of the processor."""
    for way in every.values():
        way.step()  # the first time costs what never comes again
    rates: dict[str, list[float]] = {name: [] for name in every}
    of_processor: dict[str, list[float]] = {name: [] for name in every}
    for _ in range(repetitions):
        for name, way in every.items():
            start, start_of_processor = time.perf_counter(), time.process_time()
            for _ in range(at_once):
                way.step()
            rates[name].append(at_once * CONFIG.batch / (time.perf_counter() - start))
            of_processor[name].append(at_once * CONFIG.batch / (time.process_time() - start_of_processor))
    return rates, of_processor


def compared(rates: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """How many times as many tuples are learnt from as by the other ways, repetition by repetition."""
    return {way: [ours / other for ours, other in zip(rates[OURS], rates[way], strict=True)] for way in (PLAIN, DECODED)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write a JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=NETWORKS, default=NETWORKS[0])
    parser.add_argument("--threads", type=int, default=usable_cores(), help="for the network, and as many for decoding")
    parser.add_argument("--images", type=int, default=240)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--steps", type=int, default=3, help="batches of four tuples in each repetition")
    parser.add_argument("--to", type=Path, help="the JSON file")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(asked.threads)
    with tempfile.TemporaryDirectory() as folder:
        batches = 1 + asked.repetitions * asked.steps
        every = ways(asked.network, Path(folder), asked.images, batches, asked.threads)
        rates, of_processor = measured(every, asked.repetitions, asked.steps)
    ratios, ratios_of_processor = compared(rates), compared(of_processor)
    told = {
        "benchmark": f"learning from tuples with {asked.network}, beside the plain way",
        "network": asked.network,
        "threads": asked.threads,
        "tuples_per_second": {way: round(statistics.median(some), 3) for way, some in rates.items()},
        "times_as_fast": {way: round(statistics.median(some), 2) for way, some in ratios.items()},
        "spread": {way: [round(min(some), 2), round(max(some), 2)] for way, some in ratios.items()},
        "tuples_per_second_of_the_processor": {way: round(statistics.median(some), 3) for way, some in of_processor.items()},
        "times_as_fast_by_the_processor": {way: round(statistics.median(some), 2) for way, some in ratios_of_processor.items()},
        "spread_by_the_processor": {way: [round(min(some), 2), round(max(some), 2)] for way, some in ratios_of_processor.items()},
        "times_wanted": WANTED,
        "repetitions": asked.repetitions,
        "batches_a_repetition": asked.steps,
        "tuples_per_second_of_each_repetition": {way: [round(rate, 3) for rate in some] for way, some in rates.items()},
        **provenance(),
        "command": f"python benchmarks/training_speed.py --network {asked.network} --threads {asked.threads}",
    }
    path = asked.to or TO / f"training_speed_{asked.network}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, told)
    for way, some in rates.items():
        print(f"{statistics.median(some):8.2f} tuples a second: {way}")
    for way, some in ratios.items():
        print(f"{statistics.median(some):8.1f} times as many ({min(some):.1f} to {max(some):.1f}) as {way}")
    for way, some in ratios_of_processor.items():
        print(f"{statistics.median(some):8.1f} times as many in a second of the processor as {way}")
    return int(statistics.median(ratios[PLAIN]) < WANTED)


if __name__ == "__main__":
    sys.exit(main())
