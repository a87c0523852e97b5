"""Which layer, resolution and whitening an untrained model should have: recall@1 on validation photos, never on a benchmark.

    python scripts/choose_untrained.py efficientnet-lite0-vlad --cut block10 --side 224 --donor UNPACKED_WHEEL --data PHOTOS

Vocabulary and whitening are learnt on half of getty's eastern part, campus_buildings and half of facades. Validation: getty's
middle part, where every second panorama asks and the others are the database (correct within 5 m, and 10 m); the same queries by
night; and iiit_campus, each photo against all others (correct within 10 m and 40 degrees of heading, photos with such a partner
only).
"""

import argparse
import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from donors import efficientnet_lite0_trunk, vgg16_trunk
from publish_untrained import Sight, described, sampled_features
from torch import Tensor

from sameplace.network.backbones import efficientnet_lite0, vgg16
from sameplace.network.encoder import Encoder
from sameplace.network.netvlad import NetVLAD
from sameplace.network.vocabulary import Vocabulary
from sameplace.network.whitening import PCAWhitening

TRUNKS = {"efficientnet-lite0-vlad": (efficientnet_lite0_trunk, efficientnet_lite0), "vgg16-vlad": (vgg16_trunk, vgg16)}
COLUMNS = ("5 m", "10 m", "night 5 m", "night 10 m", "iiit")
Scorer = Callable[[Callable[[Tensor], Tensor]], str]


def table(path: Path) -> list[dict[str, str]]:
    """The rows of a positions.csv."""
    with path.open() as file:
        return list(csv.DictReader(file))


def metres(rows: Sequence[dict[str, str]]) -> np.ndarray:
    """Their positions, (rows, 2)."""
    return np.array([(float(row["x_m"]), float(row["y_m"])) for row in rows])


def distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Metres from each point to each other."""
    return np.linalg.norm(one[:, None] - other[None], axis=2)


def first_is_right(queries: Tensor, database: Tensor, positives: np.ndarray) -> float:
    """Recall@1 in %, over all queries."""
    similarities = (queries @ database.T).numpy()
    return 100 * float(np.take_along_axis(positives, similarities.argmax(1)[:, None], axis=1).mean())


def validation(root: Path, describe: Callable[[list[Sight]], Tensor]) -> Scorer:
    """Describe the validation photos once; what comes back scores any whitening of them."""
    middle = [row for row in table(root / "getty" / "positions.csv") if -85 <= float(row["x_m"]) < -35]
    asking = set(sorted({row["panorama"] for row in middle})[::2])
    asked = [row for row in middle if row["panorama"] in asking]
    known = [row for row in middle if row["panorama"] not in asking]
    campus = [row for row in table(root / "iiit_campus" / "positions.csv") if row["position_ok"] == "1"]
    queries = describe([Sight(path=root / "getty" / row["file"]) for row in asked])
    by_night = describe([Sight(path=root / "getty" / row["file"], seed=seed) for seed, row in enumerate(asked)])
    database = describe([Sight(path=root / "getty" / row["file"]) for row in known])
    alone = describe([Sight(path=root / "iiit_campus" / row["file"]) for row in campus])
    far = distances(metres(asked), metres(known))
    heading = np.array([float(row["heading_deg"]) for row in campus])
    turned = np.abs((heading[:, None] - heading[None] + 180) % 360 - 180)
    partners = (distances(metres(campus), metres(campus)) <= 10) & (turned <= 40) & ~np.eye(len(campus), dtype=bool)
    answerable = partners.any(axis=1)

    def score(whiten: Callable[[Tensor], Tensor]) -> str:
        day, night, places, campus_places = (whiten(part) for part in (queries, by_night, database, alone))
        similarities = campus_places @ campus_places.T
        similarities.fill_diagonal_(-1)
        nearest = similarities.argmax(1).numpy()
        figures = [first_is_right(part, places, far <= radius) for part in (day, night) for radius in (5, 10)]
        figures.append(100 * float(partners[np.arange(len(campus)), nearest][answerable].mean()))
        return " | ".join(f"{figure:.1f}" for figure in figures)

    return score


@torch.no_grad()
def main() -> None:
    """Print one table row for each descriptor that was tried."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=TRUNKS)
    parser.add_argument("--cut", required=True)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--every", type=int, default=1, help="learn from every n-th photo only")
    parser.add_argument("--donor", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    arguments = parser.parse_args()
    root, size = arguments.data, (arguments.side, arguments.side)
    read, build = TRUNKS[arguments.name]
    weights = read(arguments.donor).features.state_dict()
    backbone = build(cut=arguments.cut, weights=weights).eval().to(memory_format=torch.channels_last)
    eastern = [root / "getty" / row["file"] for row in table(root / "getty" / "positions.csv") if float(row["x_m"]) >= -10]
    campus = sorted((root / "campus_buildings" / "images").rglob("*.jpg"))
    facades = sorted((root / "facades" / "images").rglob("*.jpg"))
    photos = [*eastern[::2], *campus, *facades[::2]][:: arguments.every]
    layer = NetVLAD(backbone.channels, 64)
    layer.initialise(Vocabulary.learn(sampled_features(backbone, photos, size, np.random.default_rng(0)), clusters=64))
    encoder = Encoder(backbone, layer, size=size)
    score = validation(root, lambda sights: described(encoder, sights, size))
    title = f"{arguments.name} {arguments.cut} {arguments.side}"
    print(f"| {title} | whitening saw | {' | '.join(COLUMNS)} |", flush=True)
    print(f"| {title} | raw | {score(lambda descriptors: descriptors)} |", flush=True)
    by_day = described(encoder, [Sight(path=path) for path in photos], size)
    by_night = described(encoder, [Sight(path=path, seed=seed) for seed, path in enumerate(photos)], size)
    for name, seen in (("photos", by_day), ("photos and night crops", torch.cat([by_day, by_night]))):
        print(f"| {title} | {name} | {score(PCAWhitening.fit(seen, output_dim=512))} |", flush=True)


if __name__ == "__main__":
    main()
