"""Train a model four times, each time without a part of getty and 25 m around it, and ask for that part before and after.

    python scripts/folds.py MODEL --data PHOTOS --to FOLDER [--folds NAME ...] [--fields FIELD=VALUE ...]

The model before is the same trunk with the vocabulary and the full whitening of the very photos that are learnt from. Every tile of
the part asks for those of other panoramas. Told are recall@1 within 5 m and 10 m before and after, and by how many fewer queries
are missed, with 95 % intervals (paired bootstrap over queries, which takes them for independent), for each part and for those
together that no choice was made on. The last epoch counts. A part that FOLDER knows already is not trained again.
FIELD=VALUE changes the configuration.
"""

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import street_photos
import torch
from numpy.typing import NDArray
from train_published import RECIPE, shown, value

from sameplace.description import DescriptorCache
from sameplace.evaluation import evaluate
from sameplace.evaluation.provenance import provenance
from sameplace.evaluation.report import write_json
from sameplace.network.encoder import Encoder
from sameplace.network.whitening import PCAWhitening
from sameplace.training.config import TrainConfig
from sameplace.training.loop import train
from sameplace.training.start import Start, starting_encoder

METRES = (5.0, 10.0)
DRAWS = 10_000
CHOSEN_ON = "chosen on"


def main() -> None:
    """Train and ask, part by part, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--folds", nargs="+", choices=list(street_photos.FOLDS), default=list(street_photos.FOLDS))
    parser.add_argument("--maps", type=Path)
    parser.add_argument("--learn-from", default="block6")
    parser.add_argument("--fields", nargs="*", default=[], metavar="FIELD=VALUE")
    asked = parser.parse_args()
    config = replace(RECIPE, **{name: value(text) for name, _, text in (one.partition("=") for one in asked.fields)})
    for name in asked.folds:
        file = asked.to / f"{name.replace(' ', '-')}.json"
        if not file.exists():
            told = fold(asked.model, asked.data, name, asked.to / name.replace(" ", "-"), config, asked.learn_from, asked.maps)
            write_json(file, {**told, "command": f"python {' '.join(sys.argv)}", **provenance()})
    found = {
        name: json.loads(file.read_text())
        for name in street_photos.FOLDS
        if (file := asked.to / f"{name.replace(' ', '-')}.json").exists()
    }
    for metres in METRES:
        for name, told in found.items():
            print(line(f"{name}, {metres:g} m", *(np.array(told["right"][f"{metres:g}"][when]) for when in ("before", "after"))))
        others = [told for name, told in found.items() if name != CHOSEN_ON]
        if len(others) > 1:
            pooled = [np.concatenate([told["right"][f"{metres:g}"][when] for told in others]) for when in ("before", "after")]
            print(line(f"all but where choices were made, {metres:g} m", *pooled))


def fold(model: str, data: Path, name: str, to: Path, config: TrainConfig, learn_from: str, maps: Path | None) -> dict[str, object]:
    """One training without a part, and which queries of the part are right before and after."""
    bounds = street_photos.FOLDS[name]
    streets = street_photos.learnt_from(data, street_photos.away_from(bounds), config.reach)
    print(name, streets.facts(), config, file=sys.stderr)
    encoder = starting_encoder(model, Start(learn_from=learn_from, keep_vocabulary=False))
    # Choices are made there, so that it may be watched; the other parts are asked in the end alone.
    watched = street_photos.getty_part(data, *street_photos.CHOSEN_ON, name="getty, the part chosen on")
    run = train(encoder, streets, validate_on=watched, to=to, config=config, maps=maps, progress=shown())
    right: dict[str, dict[str, list[bool]]] = {f"{metres:g}": {} for metres in METRES}
    cache = DescriptorCache()
    for when, asked in (
        ("before", fully_whitened(Encoder.load(run.start), config.whitening_power)),
        ("after", Encoder.load(run.model)),
    ):
        for metres in METRES:
            dataset = street_photos.getty_part(data, *bounds, name=f"getty, {name}", metres=metres)
            right[f"{metres:g}"][when] = (evaluate(asked, dataset, cache=cache).answers.first == 0).tolist()
    return {"fold": name, "x_m": [str(bound) for bound in bounds], "config": asdict(config), "right": right}


def fully_whitened(encoder: Encoder, power: float) -> Encoder:
    """The encoder with a full whitening instead of that of a power: a row as long as variance^-power becomes variance^-1/2 long."""
    whitening = encoder.whitening
    assert isinstance(whitening, PCAWhitening)
    with torch.no_grad():
        longer = whitening.weight.double().norm(dim=1) ** (0.5 / power - 1)
        whitening.weight.mul_(longer[:, None].to(whitening.weight.dtype))
        whitening.bias.mul_(longer.to(whitening.bias.dtype))
    return encoder


def line(name: str, before: NDArray[np.bool_], after: NDArray[np.bool_]) -> str:
    """A row of the table."""
    rows = np.random.default_rng(0).integers(0, len(before), (DRAWS, len(before)))
    missed, still = 1 - before[rows].mean(axis=1), 1 - after[rows].mean(axis=1)
    gained = np.percentile(100 * (missed - still), (2.5, 97.5))
    fewer = np.percentile(100 * (1 - still / np.maximum(missed, 1e-9)), (2.5, 97.5))
    return (
        f"| {name} | {len(before)} | {100 * before.mean():.1f} | {100 * after.mean():.1f} | "
        f"{100 * (after.mean() - before.mean()):+.1f} ({gained[0]:+.1f} to {gained[1]:+.1f}) | "
        f"{100 * (1 - (1 - after.mean()) / (1 - before.mean())):.0f} % ({fewer[0]:.0f} to {fewer[1]:.0f}) |"
    )


if __name__ == "__main__":
    main()
