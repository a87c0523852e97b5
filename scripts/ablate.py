"""Compare the switches of training on the part of getty that choices are made on, one changed at a time.

    python scripts/ablate.py --data PHOTOS --to FOLDER [--seeds 0,1,2] [--only NAME ...]

Every run is short (three epochs, 2,500 images for the whitening, no night-like crops for it): the differences are what counts.
A run that is there is not repeated; the table is printed from what is there.
"""

import argparse
import json
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import street_photos
from train_published import RECIPE

from sameplace.evaluation import evaluate
from sameplace.network.encoder import Encoder
from sameplace.training.config import TrainConfig
from sameplace.training.loop import train
from sameplace.training.start import Start, starting_encoder

BASE = replace(RECIPE, epochs=3, whiten_night=False, whitening_images=2500, views=2)
PAPER = TrainConfig(epochs=3, whitening=512, whitening_images=2500, precision="bfloat16", augment="none")
SWITCHES: dict[str, tuple[TrainConfig, str, bool]] = {
    "recipe": (BASE, "block6", False),
    "only NetVLAD learns": (BASE, "netvlad", False),
    "from block9": (BASE, "block9", False),
    "multi-similarity instead of SARE": (replace(BASE, loss="multi-similarity"), "block6", False),
    "SARE without sharpness": (replace(BASE, sharpness=1.0), "block6", False),
    "no companions": (replace(BASE, companions=0), "block6", False),
    "not through the whitening": (replace(BASE, through_whitening=False), "block6", False),
    "every image altered": (replace(BASE, plain=0.0), "block6", False),
    "no image of a place altered": (replace(BASE, plain=1.0), "block6", False),
    "no self-supervised pairs": (replace(BASE, self_supervised=0.0), "block6", False),
    "no moving average": (replace(BASE, average=0.0), "block6", False),
    "positives to 10 m, negatives from 25 m": (replace(BASE, positive=10.0, negative=25.0), "block6", False),
    "verified positives": (replace(BASE, verified=True), "block6", False),
    "assignment with a bias": (BASE, "block6", True),
    "float32": (replace(BASE, precision="float32"), "block6", False),
    "paper: tuples, SGD 1e-3": (PAPER, "block6", False),
    "paper, positives to 5 m, negatives from 7 m": (replace(PAPER, trivial=0.0, positive=5.0, negative=7.0), "block6", False),
    "paper with AdamW and a cosine": (
        replace(PAPER, optimiser="adamw", learning_rate=1e-4, assignment_rate=60.0, schedule="cosine", warm_up=20),
        "block6",
        False,
    ),
    "paper, altered images": (replace(PAPER, augment="strong", views=2), "block6", False),
    "paper, 10 epochs": (replace(PAPER, epochs=10), "block6", False),
    "paper, only NetVLAD learns": (PAPER, "netvlad", False),
    "paper with partial mining (pool of 500)": (replace(PAPER, pool=500), "block6", False),
}


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="efficientnet-lite0-vlad")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--only", nargs="*", default=list(SWITCHES))
    arguments = parser.parse_args()
    arguments.to.mkdir(parents=True, exist_ok=True)
    for seed in map(int, arguments.seeds.split(",")):
        for name in arguments.only:
            found = arguments.to / f"{name.replace(' ', '-').replace(':', '').replace(',', '')}-{seed}.json"
            if not found.exists():
                print(name, seed, file=sys.stderr, flush=True)
                found.write_text(json.dumps({"name": name, "seed": seed, **_run(name, seed, arguments)}))
    print(table(arguments.to))


def _run(name: str, seed: int, arguments: argparse.Namespace) -> dict[str, list[int]]:
    config, learn_from, bias = SWITCHES[name]
    config = replace(config, seed=seed, keep="last")
    streets = street_photos.learnt_from(arguments.data, street_photos.CHOOSING_LEARNS_FROM, config.reach)
    part = street_photos.getty_part(arguments.data, *street_photos.CHOSEN_ON, name="getty, the part chosen on")
    encoder = starting_encoder(arguments.model, Start(learn_from=learn_from, assignment_bias=bias))
    to = arguments.to / f"run-{os.getpid()}"
    run = train(encoder, streets, validate_on=part, to=to, config=config, maps=arguments.to / "maps")
    answers = {}
    for what, path in (("before", run.start), ("after", run.model)):
        for metres in (5.0, 10.0):
            judged = street_photos.getty_part(arguments.data, *street_photos.CHOSEN_ON, name="judged", metres=metres)
            right = evaluate(Encoder.load(path), judged).answers.first == 0
            answers[f"{what}, {metres:g} m"] = right.astype(int).tolist()
    shutil.rmtree(to)
    return answers


def table(folder: Path) -> str:
    """Recall@1 before and after, and the paired difference with its 95 % interval over queries and seeds."""
    found: dict[str, list[dict[str, list[int]]]] = {}
    for path in sorted(folder.glob("*.json")):
        facts = json.loads(path.read_text())
        found.setdefault(facts["name"], []).append(facts)
    lines = [
        "| switch | seeds | 5 m before | 5 m after | difference (95 % interval) | 10 m before | 10 m after |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in SWITCHES:
        if name in found:
            runs = found[name]
            share = {key: 100 * np.mean([run[key] for run in runs]) for key in runs[0] if key not in ("name", "seed")}
            gained = np.mean([np.subtract(run["after, 5 m"], run["before, 5 m"]) for run in runs], axis=0)
            drawn = np.random.default_rng(0).choice(gained, (2000, len(gained))).mean(axis=1)
            low, high = 100 * np.percentile(drawn, [2.5, 97.5])
            lines.append(
                f"| {name} | {len(runs)} | {share['before, 5 m']:.1f} | {share['after, 5 m']:.1f} | {100 * gained.mean():+.1f} "
                f"({low:+.1f} to {high:+.1f}) | {share['before, 10 m']:.1f} | {share['after, 10 m']:.1f} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
