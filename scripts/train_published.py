"""Train a model on the research photographs, and keep the run.

    python scripts/train_published.py MODEL --data PHOTOS --to RUN [--learn-from LAYER] [--hold-out] [--maps FOLDER] [FIELD=VALUE]

MODEL is the untrained model to start from. It learns from all of getty and from the campuses, and the last epoch is kept; what the
same way gains on places never seen is measured by scripts/folds.py. With --hold-out the part of getty that choices are made on, and
25 m around it, are not learnt from, so that the very model can be asked there. FIELD=VALUE changes the configuration.
"""

import argparse
import ast
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import street_photos

from sameplace.training.config import TrainConfig
from sameplace.training.loop import train
from sameplace.training.progress import Moment
from sameplace.training.start import Start, starting_encoder

RECIPE = TrainConfig(
    trivial=0.0,
    positive=5.0,
    negative=10.0,
    augment="strong",
    altered_queries=True,
    plain=0.5,
    views=2,
    margin=0.2,
    learning_rate=3e-3,
    halve_every=3,
    epochs=6,
    keep="last",
    average=0.998,
    precision="bfloat16",
    whitening=512,
    whitening_images=8000,
    whitening_power=0.25,
    whiten_night=True,
)
"""The paper's tuples and loss with a closer reach; half of the queries are altered, so that the night is not unlearnt by day."""


def main() -> None:
    """Train, saying on one line where it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--maps", type=Path)
    parser.add_argument("--learn-from", default="block6")
    parser.add_argument("--hold-out", action="store_true")
    parser.add_argument("fields", nargs="*")
    arguments = parser.parse_intermixed_args()
    changed = {name: value(text) for name, _, text in (field.partition("=") for field in arguments.fields)}
    config = replace(RECIPE, **changed)
    parts = street_photos.away_from(street_photos.CHOSEN_ON) if arguments.hold_out else [street_photos.EVERYWHERE]
    streets = street_photos.learnt_from(arguments.data, parts, config.reach, campuses=True)
    # Without --hold-out it is learnt from, too: the last epoch counts, and this only shows that nothing collapses.
    validation = street_photos.getty_part(arguments.data, *street_photos.CHOSEN_ON, name="getty, the part chosen on")
    encoder = starting_encoder(arguments.model, Start(learn_from=arguments.learn_from, keep_vocabulary=False))
    print(streets.facts(), config, file=sys.stderr)
    run = train(encoder, streets, validate_on=validation, to=arguments.to, config=config, maps=arguments.maps, progress=shown())
    print(run.model)


def shown() -> Callable[[Moment], None]:
    """Says on one line where a training is, a few times a minute."""
    began, told = time.monotonic(), [0.0]

    def show(moment: Moment) -> None:
        now = time.monotonic()
        if now - told[0] > 15 or (moment.figures and moment.stage == "validation"):
            told[0] = now
            figures = " ".join(f"{name} {value:.4g}" for name, value in moment.figures.items())
            print(f"{now - began:6.0f} s  {moment.stage} {moment.epoch}: {moment.done}/{moment.total}  {figures}", file=sys.stderr)

    return show


def value(text: str) -> object:
    """What a FIELD is changed to."""
    try:
        return ast.literal_eval(text)
    except ValueError:
        return text


if __name__ == "__main__":
    main()
