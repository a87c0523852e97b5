"""The folder of a run as training writes it: begun once, gone on with after a kill, one writer at a time."""

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from torch import Tensor

from sameplace.errors import TrainingError
from sameplace.images import Problem
from sameplace.training import checkpoint
from sameplace.training.beginning import fingerprint
from sameplace.training.checkpoint import Checkpoint, write_json
from sameplace.training.config import TrainConfig, config_to_json
from sameplace.training.events import EVENTS, add_event
from sameplace.training.parallel import Ranks
from sameplace.training.run import CONFIG, HISTORY, MODEL, STREETS, is_run
from sameplace.training.steps import Learnt
from sameplace.training.streets import Streets

SCRATCH = "scratch"
"""What lies there is of no use to the next start."""
MAPS = "maps"
CURVES = ("loss", "violating", "rate", "recall@1", "recall@5", "recall@10", "similarity")
"""What TensorBoard shows of a line of the history."""
FREE_TO_CHANGE = ("checkpoint_every",)
"""Fields that decide nothing about the outcome."""


@dataclass(kw_only=True)
class At:
    """Where a training is."""

    epoch: int = 0
    """Epochs that are done."""
    step: int = 0
    """Steps of this epoch that are done."""
    steps: int = 0
    """Steps of all epochs."""
    best_epoch: int = 0
    best: tuple[float, ...] = ()
    """The merit of the best epoch."""
    similarity: float = 0.0
    """The mean similarity of descriptors before training."""
    seconds: float = 0.0
    """Spent so far."""
    since: Learnt = field(default_factory=Learnt)
    """What was learnt since the last line of the history."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> "At":
        """The inverse of `to_json`."""
        return cls(**{**facts, "best": tuple(facts["best"]), "since": Learnt(**facts["since"])})


@contextmanager
def claimed(folder: Path, ranks: Ranks) -> Iterator[None]:
    """Keep the folder to this training; TrainingError where another one writes there, or where other things lie."""
    if not ranks.first:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    if not is_run(folder) and any(not path.name.startswith(".") and path.name != CONFIG for path in folder.iterdir()):
        raise TrainingError(f"{folder} holds other things than a training; name a new folder, or one with a run to go on with.")
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(blocking=False)
    except Timeout as taken:
        raise TrainingError(f"Another training writes to {folder}; wait for its end, or name another folder.") from taken
    try:
        yield
    finally:
        lock.release()


class Diary:
    """What a training writes down; processes other than the first only read."""

    def __init__(self, folder: Path, ranks: Ranks) -> None:
        self.folder = folder
        self.scratch = folder / SCRATCH
        self._ranks = ranks
        self._number = 0

    @classmethod
    def begun(cls, folder: Path, identity: str, streets: Streets, config: TrainConfig, ranks: Ranks) -> "Diary":
        """The diary of a new run, or of one that is gone on with: TrainingError where that one was asked for something else."""
        diary = cls(folder, ranks)
        if ranks.first:
            facts = {**streets.facts(), "fingerprint": fingerprint(streets), "starts_from": identity}
            if is_run(folder):
                diary._check(config, facts)
            else:
                write_json(folder / CONFIG, config_to_json(config))
                write_json(folder / STREETS, facts)
            shutil.rmtree(diary.scratch, ignore_errors=True)
            diary.scratch.mkdir()
        ranks.wait()
        return diary

    @property
    def finished(self) -> bool:
        """Whether the final model is there."""
        return (self.folder / MODEL).is_file()

    def left_out(self, unreadable: Mapping[int, Problem]) -> None:
        """Note which images could not be read."""
        if self._ranks.first and unreadable:
            facts = json.loads((self.folder / STREETS).read_text("utf-8"))
            facts["left_out"] = [{"path": problem.path, "reason": problem.reason} for problem in unreadable.values()]
            write_json(self.folder / STREETS, facts)

    def line(self, facts: Mapping[str, Any]) -> None:
        """Add a line to the history."""
        if self._ranks.first:
            with (self.folder / HISTORY).open("ab") as file:
                file.write((json.dumps(facts, allow_nan=False) + "\n").encode())
            curves = {name: float(facts[name]) for name in CURVES if name in facts}
            add_event(self.folder / EVENTS, int(facts["step"]), curves, seconds=time.time())

    def keep(self, at: At, tensors: Mapping[str, Tensor]) -> None:
        """Make a checkpoint."""
        self._number += 1
        if self._ranks.first:
            with (self.folder / HISTORY).open("ab") as file:
                os.fsync(file.fileno())
                written = os.fstat(file.fileno()).st_size
            facts = {"at": at.to_json(), "history": written}
            checkpoint.save(self.folder, Checkpoint(number=self._number, tensors=tensors, facts=facts))

    def resume(self) -> tuple[At, Mapping[str, Tensor]] | None:
        """The last checkpoint, with the history cut to what had been written then; None before the first."""
        kept = checkpoint.load(self.folder)
        self._ranks.wait()
        if kept is None:
            if self._ranks.first:
                (self.folder / HISTORY).unlink(missing_ok=True)
            return None
        if self._ranks.first:
            os.truncate(self.folder / HISTORY, kept.facts["history"])
        self._number = kept.number
        return At.from_json(kept.facts["at"]), kept.tensors

    def _check(self, config: TrainConfig, facts: Mapping[str, Any]) -> None:
        """TrainingError where the run in the folder is another one."""
        was, before = (json.loads((self.folder / name).read_text("utf-8")) for name in (CONFIG, STREETS))
        for name, value in config_to_json(config).items():
            if name not in FREE_TO_CHANGE and was.get(name) != value:
                raise TrainingError(
                    f"The run in {self.folder} was started with {name}={was.get(name)}, and {value} is asked for; ask for the same "
                    f"to go on with it, or name a new folder."
                )
        for name, what in (("fingerprint", "other images, or others near to each other"), ("starts_from", "another encoder")):
            if before.get(name) != facts[name]:
                raise TrainingError(f"The run in {self.folder} was started with {what}; give the same ones, or name a new folder.")
