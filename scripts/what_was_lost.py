"""What an independent vocabulary and a short descriptor cost on Gardens Point, against a vocabulary of the database itself.

    python scripts/what_was_lost.py MODEL --root GARDENS_POINT

Reported after the models were final; nothing was chosen by it.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sameplace import datasets, models
from sameplace.images import ImageRecord, read_image
from sameplace.measures import first_hits, recall, wilson
from sameplace.network.encoder import Encoder
from sameplace.network.netvlad import NetVLAD, vlad
from sameplace.network.vocabulary import Vocabulary


@torch.no_grad()
def maps(encoder: Encoder, images: Sequence[ImageRecord]) -> Tensor:
    """Local features, normalised: (images, dim, locations)."""
    pixels = [torch.from_numpy(read_image(image.path, encoder.size)).permute(2, 0, 1).float() for image in images]
    local = torch.cat([encoder.backbone(one[None]).flatten(2) for one in pixels])
    return F.normalize(local, dim=1)


def hard(local: Tensor, centroids: Tensor) -> Tensor:
    """VLAD with every local feature assigned to its nearest centroid alone."""
    nearest = torch.stack([torch.cdist(one.T, centroids).argmin(1) for one in local])
    assignment = F.one_hot(nearest, len(centroids)).transpose(1, 2).float()
    return F.normalize(F.normalize(vlad(local, assignment, centroids), dim=2).flatten(1), dim=1)


@torch.no_grad()
def main() -> None:
    """Print recall@1/5/10 by night for each step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--root", type=Path, required=True)
    arguments = parser.parse_args()
    dataset = datasets.load("gardens-point", root=arguments.root)
    encoder = Encoder.load(models.find(arguments.model))
    layer, whitening = encoder.aggregator, encoder.whitening
    assert isinstance(layer, NetVLAD)
    assert isinstance(whitening, nn.Module)
    queries, database = maps(encoder, dataset.queries), maps(encoder, dataset.database)
    rng = np.random.default_rng(0)
    samples = torch.cat([one[:, rng.choice(one.shape[1], 100, replace=False)].T for one in database])
    own = NetVLAD(layer.dim, layer.clusters)
    vocabulary = Vocabulary.learn(samples, clusters=layer.clusters)
    own.initialise(vocabulary)
    steps = {
        "vocabulary of the database, hard assignment, raw": [hard(part, vocabulary.centroids) for part in (queries, database)],
        "vocabulary of the database, soft assignment, raw": [own(part) for part in (queries, database)],
        "independent vocabulary, raw": [layer(part) for part in (queries, database)],
        f"independent vocabulary, whitened to {encoder.dim}": [whitening(layer(part)) for part in (queries, database)],
    }
    for name, (asking, known) in steps.items():
        order = (asking @ known.T).argsort(1, descending=True).numpy()
        shares = recall(first_hits(list(order), dataset.positives()), (1, 5, 10))
        low, high = wilson(shares[1], len(order))
        figures = " / ".join(f"{100 * share:.1f}" for share in shares.values())
        print(f"| {arguments.model} | {name} | {figures} | {100 * low:.1f} - {100 * high:.1f} |", flush=True)


if __name__ == "__main__":
    main()
