"""A run: the folder that a training keeps its state in, as one can read it at any time, without torch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sameplace.errors import TrainingError

CONFIG = "config.json"
STREETS = "streets.json"
HISTORY = "history.jsonl"
CHECKPOINT = "checkpoint.json"
BEST = "best.safetensors"
MODEL = "model.safetensors"
START = "start.safetensors"
VERDICT = "verdict.json"
RECALLS = ("recall@1", "recall@5", "recall@10")
CHOSEN_BY = "recall@5"
"""The figure on the validation set by which the best epoch is chosen, as in the paper."""
FACTS = ("name", "images", "queries", "database", "alone", "positives_per_query", "left_out")


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """A training as its folder tells it: what it was asked, what it learnt from, and how it went so far."""

    folder: Path
    config: Mapping[str, Any]
    streets: Mapping[str, Any]
    history: tuple[Mapping[str, Any], ...]
    """Lines in order: `loss`, `violating` and `rate` every few steps, `recall@1`, `recall@5` and `recall@10` after each epoch."""

    @classmethod
    def open(cls, folder: str | Path) -> "Run":
        """Read a run, finished or not; TrainingError where the folder is none."""
        folder = Path(folder)
        if not is_run(folder):
            raise TrainingError(f"{folder} holds no training; name the folder that `sameplace train --to` was given.")
        return cls(
            folder=folder, config=_read(folder / CONFIG), streets=_read(folder / STREETS), history=tuple(_lines(folder / HISTORY))
        )

    @property
    def model(self) -> Path:
        """The trained model, whitened: there once the training is finished."""
        return self.folder / MODEL

    @property
    def start(self) -> Path:
        """The model before training, with vocabulary and whitening learnt on the same photos."""
        return self.folder / START

    @property
    def best(self) -> Path:
        """The network of the best epoch so far, without whitening."""
        return self.folder / BEST

    @property
    def finished(self) -> bool:
        """Whether it came to its end."""
        return self.model.is_file()

    @property
    def epochs(self) -> tuple[Mapping[str, Any], ...]:
        """The lines with figures on the validation set."""
        return tuple(line for line in self.history if CHOSEN_BY in line)

    @property
    def steps(self) -> tuple[Mapping[str, Any], ...]:
        """The lines with a loss."""
        return tuple(line for line in self.history if line.get("loss") is not None)

    @property
    def best_epoch(self) -> Mapping[str, Any] | None:
        """The line of the epoch whose network is kept, 0 for the start; None before the first validation."""
        if self.config.get("keep") == "last":
            return self.epochs[-1] if self.epochs else None
        return next((line for line in reversed(self.epochs) if line.get("best")), None)

    @property
    def verdict(self) -> Mapping[str, Any] | None:
        """What the paired test on the validation set said, as plain values; None where none was made."""
        path = self.folder / VERDICT
        return _read(path) if path.is_file() else None

    def summary(self) -> dict[str, Any]:
        """What can be told about it, as plain values."""
        last = self.history[-1] if self.history else {}
        return {
            "run": str(self.folder),
            "state": "finished" if self.finished else "unfinished",
            "model": str(self.model) if self.finished else None,
            "learns_from": {name: fact for name, fact in self.streets.items() if name in FACTS},
            "epochs_done": max((int(line["epoch"]) for line in self.epochs), default=0),
            "epochs": self.config["epochs"],
            "steps": last.get("step", 0),
            "seconds": last.get("seconds", 0.0),
            "best_epoch": None if self.best_epoch is None else dict(self.best_epoch),
            "validations": [{"epoch": line["epoch"], **{name: line[name] for name in RECALLS}} for line in self.epochs],
            "losses": [{name: line[name] for name in ("step", "epoch", "loss", "violating", "rate")} for line in self.steps],
            "verdict": self.verdict,
            "config": dict(self.config),
        }


def is_run(folder: str | Path) -> bool:
    """Whether a folder holds a training."""
    return (Path(folder) / CONFIG).is_file() and (Path(folder) / STREETS).is_file()


def _read(path: Path) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"{path} was written by no sameplace, or is damaged ({error}); train again into a new folder."
        ) from error
    return facts


def _lines(path: Path) -> list[dict[str, Any]]:
    """The lines of the history; a last one that is being written, or was cut by a crash, is not there yet."""
    if not path.is_file():
        return []
    whole = path.read_text("utf-8").rpartition("\n")[0]
    try:
        return [json.loads(line) for line in whole.splitlines()]
    except ValueError as error:
        raise TrainingError(
            f"{path} was written by no sameplace, or is damaged ({error}); train again into a new folder."
        ) from error
