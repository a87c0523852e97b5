"""Compare the switches of training on the part of getty that choices are made on, one changed at a time.

    python scripts/ablate.py --data PHOTOS --to FOLDER [--seeds 0,1,2] [--only NAME ...]

Every run is short (three epochs, 2,500 images for the whitening): the differences are what counts. Switches called "recipe, ..."
are the published models' way with one thing undone; the others are the paper's way with one thing changed. Judged by day, and with
queries made dark, noisy and often grey; "before" is always fully whitened. A run that is there is not repeated; the tables are
printed from what is there. Intervals are over panoramas, whose five tiles stand or fall together, of the mean over seeds.
"""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import street_photos
from folds import fully_whitened
from numpy.typing import NDArray
from PIL import Image
from train_published import RECIPE

from sameplace.description import DescriptorCache
from sameplace.evaluation import evaluate
from sameplace.evaluation.provenance import provenance
from sameplace.images import ImageRecord, read_image
from sameplace.network.encoder import Encoder
from sameplace.training.augmentation import NIGHT as NIGHT_LIKE
from sameplace.training.augmentation import augmented
from sameplace.training.config import TrainConfig
from sameplace.training.loop import train
from sameplace.training.start import Start, starting_encoder

PAPER = TrainConfig(epochs=3, whitening=512, whitening_images=2500, precision="bfloat16", keep="last")
NIGHT = {"augment": "strong", "views": 2, "altered_queries": True, "plain": 0.5, "whiten_night": True}
SHORT = replace(RECIPE, epochs=3, halve_every=2, whitening_images=2500)
PLACES = replace(
    PAPER,
    trivial=0.0,
    positive=5.0,
    negative=7.0,
    loss="sare",
    sharpness=10.0,
    batch=64,
    images_per_place=2,
    companions=3,
    self_supervised=0.1875,
    plain=0.85,
    augment="strong",
    views=2,
    through_whitening=True,
    optimiser="adamw",
    learning_rate=2e-4,
    assignment_rate=60.0,
    schedule="cosine",
    warm_up=20,
    average=0.98,
)
RECIPE_ITSELF = "recipe, from block6"
SWITCHES: dict[str, tuple[TrainConfig, str, bool]] = {
    RECIPE_ITSELF: (SHORT, "block6", False),
    "recipe, only NetVLAD learns": (SHORT, "netvlad", False),
    "recipe, from block9": (SHORT, "block9", False),
    "recipe, from block3": (SHORT, "block3", False),
    "recipe, the paper's reach": (replace(SHORT, trivial=1.0, positive=10.0, negative=25.0), "block6", False),
    "recipe, the paper's rate and margin": (replace(SHORT, learning_rate=1e-3, margin=0.1), "block6", False),
    "recipe, no query altered": (replace(SHORT, altered_queries=False, augment="none", views=0), "block6", False),
    "recipe, no moving average": (replace(SHORT, average=0.0), "block6", False),
    "recipe, a full whitening": (replace(SHORT, whitening_power=0.5), "block6", False),
    "paper: tuples, SGD 1e-3, from block6": (PAPER, "block6", False),
    "only NetVLAD learns": (PAPER, "netvlad", False),
    "from block9": (PAPER, "block9", False),
    "from block3": (PAPER, "block3", False),
    "10 epochs": (replace(PAPER, epochs=10), "block6", False),
    "margin 0.3": (replace(PAPER, margin=0.3), "block6", False),
    "positives to 5 m, negatives from 7 m": (replace(PAPER, trivial=0.0, positive=5.0, negative=7.0), "block6", False),
    "every image altered (strong, two views kept)": (replace(PAPER, augment="strong", views=2), "block6", False),
    "half of the queries altered, night-like whitening": (replace(PAPER, **NIGHT), "block6", False),
    "half of the queries altered, margin 0.3": (replace(PAPER, margin=0.3, **NIGHT), "block6", False),
    "through the whitening": (replace(PAPER, through_whitening=True), "block6", False),
    "learning rate 3e-3": (replace(PAPER, learning_rate=3e-3), "block6", False),
    "AdamW 1e-4 with a cosine": (
        replace(PAPER, optimiser="adamw", learning_rate=1e-4, assignment_rate=60.0, schedule="cosine", warm_up=20),
        "block6",
        False,
    ),
    "moving average of the weights": (replace(PAPER, average=0.99), "block6", False),
    "partial mining (pool of 500)": (replace(PAPER, pool=500), "block6", False),
    "verified positives": (replace(PAPER, verified=True), "block6", False),
    "assignment with a bias": (PAPER, "block6", True),
    "float32": (replace(PAPER, precision="float32"), "block6", False),
    "batches of places, SARE": (PLACES, "block6", False),
    "batches of places, multi-similarity": (replace(PLACES, loss="multi-similarity"), "block6", False),
}
JUDGED = (("5 m", 5.0, "as they are"), ("10 m", 10.0, "as they are"), ("dark, 10 m", 10.0, "dark"))


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
    arguments.data = arguments.data.resolve()
    for seed in map(int, arguments.seeds.split(",")):
        for name in arguments.only:
            found = arguments.to / f"{name.replace(' ', '-').replace(':', '').replace(',', '')}-{seed}.json"
            if not found.exists():
                print(name, seed, file=sys.stderr, flush=True)
                found.write_text(json.dumps({"name": name, "seed": seed, **_run(name, seed, arguments), **provenance()}))
    part = street_photos.getty_part(arguments.data, *street_photos.CHOSEN_ON, name="judged")
    print(table(arguments.to, [query.panorama for query in part.queries]))


def _run(name: str, seed: int, arguments: argparse.Namespace) -> dict[str, list[int]]:
    config, learn_from, bias = SWITCHES[name]
    config = replace(config, seed=seed, keep="last")
    streets = street_photos.learnt_from(arguments.data, [street_photos.CHOOSING_LEARNS_FROM], config.reach)
    part = street_photos.getty_part(arguments.data, *street_photos.CHOSEN_ON, name="getty, the part chosen on")
    encoder = starting_encoder(arguments.model, Start(learn_from=learn_from, assignment_bias=bias))
    to = arguments.to / f"run-{os.getpid()}"
    run = train(encoder, streets, validate_on=part, to=to, config=config, maps=arguments.to / "maps")
    answers = {}
    before = fully_whitened(Encoder.load(run.start), config.whitening_power)
    for what, asked in (("before", before), ("after", Encoder.load(run.model))):
        for how, metres, queries in JUDGED:
            judged = street_photos.getty_part(arguments.data, *street_photos.CHOSEN_ON, name="judged", metres=metres)
            if queries == "dark":
                judged = replace(judged, queries=darkened(judged.queries, arguments.to / "dark", encoder.size))
            report = evaluate(asked, judged, cache=DescriptorCache(arguments.to / "descriptors"))
            answers[f"{what}, {how}"] = (report.answers.first == 0).astype(int).tolist()
    shutil.rmtree(to)
    return answers


def darkened(images: Sequence[ImageRecord], folder: Path, size: tuple[int, int]) -> tuple[ImageRecord, ...]:
    """The images as they might look by night, always the same."""
    folder.mkdir(parents=True, exist_ok=True)
    larger = (round(1.25 * size[0]), round(1.25 * size[1]))
    records = []
    for number, image in enumerate(images):
        path = folder / f"{image.path.stem}.png"
        if not path.exists():
            night = augmented(read_image(image.path, larger), NIGHT_LIKE, size, np.random.default_rng([7, number]))
            Image.fromarray(night).save(path)
        records.append(replace(image, path=path))
    return tuple(records)


def table(folder: Path, panoramas: Sequence[str | None]) -> str:
    """Recall@1 before and after, and the paired differences with their 95 % intervals over panoramas: to before, to the recipe."""
    found: dict[str, list[dict[str, list[int]]]] = {}
    for path in sorted(folder.glob("*.json")):
        facts = json.loads(path.read_text())
        found.setdefault(facts["name"], []).append(facts)
    recipe = found.get(RECIPE_ITSELF)
    lines = []
    for how, _, _ in JUDGED:
        lines += [
            "",
            f"| switch, {how} | seeds | before | after | gained (95 %) | beside the recipe (95 %) |",
            "|---|---|---|---|---|---|",
        ]
        for name in SWITCHES:
            if name in found:
                before, after = (_mean(found[name], f"{when}, {how}") for when in ("before", "after"))
                beside = ""
                if recipe and name.startswith("recipe") and name != RECIPE_ITSELF:
                    beside = _difference(_mean(recipe, f"after, {how}"), after, panoramas)
                gained = _difference(before, after, panoramas)
                percents = f"{100 * before.mean():.1f} | {100 * after.mean():.1f}"
                lines.append(f"| {name} | {len(found[name])} | {percents} | {gained} | {beside} |")
    return "\n".join(lines)


def _mean(runs: Sequence[Mapping[str, list[int]]], what: str) -> NDArray[np.float64]:
    return np.mean([run[what] for run in runs], axis=0)


def _difference(one: NDArray[np.float64], other: NDArray[np.float64], panoramas: Sequence[str | None]) -> str:
    names, panorama = np.unique(np.array(panoramas, str), return_inverse=True)
    gained, tiles = np.bincount(panorama, other - one), np.bincount(panorama)
    drawn = np.random.default_rng(0).integers(0, len(names), (2000, len(names)))
    low, high = 100 * np.percentile(gained[drawn].sum(axis=1) / tiles[drawn].sum(axis=1), [2.5, 97.5])
    return f"{100 * (other - one).mean():+.1f} ({low:+.1f} to {high:+.1f})"


if __name__ == "__main__":
    main()
