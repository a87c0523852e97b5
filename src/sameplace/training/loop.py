"""Training from start to end: `train`."""

import math
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from sameplace.datasets import Dataset
from sameplace.errors import TrainingError
from sameplace.network.encoder import Encoder
from sameplace.training.beginning import check, network_of
from sameplace.training.config import TrainConfig
from sameplace.training.descriptors import Progress
from sameplace.training.diary import MAPS, At, Diary, claimed
from sameplace.training.learner import Learner
from sameplace.training.mined_places import MinedPlaces
from sameplace.training.optimisation import Optimisation, rate
from sameplace.training.parallel import Ranks, ranks
from sameplace.training.place_steps import Places
from sameplace.training.plan import plan
from sameplace.training.preparation import Preparation
from sameplace.training.progress import Moment, Stage, Watcher
from sameplace.training.run import BEST, Run
from sameplace.training.steps import Course, Learnt, Lesson
from sameplace.training.streets import Streets
from sameplace.training.tuple_steps import Tuples
from sameplace.training.validation import collapsed, sources

PAPERS = TrainConfig()
VERDICTS = "verdicts"
"""The folder with what was found when positives were verified."""
LINE_EVERY = 10
"""Steps in a line of the history."""


def train(
    encoder: Encoder,
    streets: Streets,
    *,
    validate_on: Dataset,
    to: str | Path,
    config: TrainConfig = PAPERS,
    device: str | torch.device = "cpu",
    maps: str | Path | None = None,
    workers: int | None = None,
    progress: Watcher | None = None,
) -> Run:
    """Teach a copy of an encoder to recognise places from images whose positions are known, and keep its best epoch in a folder.

    What is near was said when the streets were made: `Streets.of(images, config.reach)`. A NetVLAD layer without a vocabulary gets
    one. Where the folder holds an unfinished run of the same encoder, streets and
    configuration, it is gone on with: a training that was killed ends with the very weights of one that was not. `maps` is a folder
    for the maps of frozen layers, which several runs may share; without one they lie in the run and go when it is finished. Under
    torchrun the processes share the work, and the run's folder.

    Raises TrainingError where it cannot start, or where the loss is no number any more, or descriptors have become all alike; the
    best network until then is in best.safetensors.
    """
    folder = Path(to)
    with ranks(device) as processes, claimed(folder, processes):
        diary = Diary.begun(folder, encoder.identity, streets, config, processes)
        if not diary.finished:
            training = _Training(encoder, config, diary, processes, workers=workers, watch=progress or _nobody)
            training.prepare(streets, validate_on, folder / MAPS if maps is None else Path(maps))
            training.run()
            if processes.first and maps is None:
                shutil.rmtree(folder / MAPS, ignore_errors=True)
        processes.wait()
    return Run.open(folder)


class _Training:
    """One training: the network, where it is, and what it writes."""

    def __init__(
        self, encoder: Encoder, config: TrainConfig, diary: Diary, ranks: Ranks, *, workers: int | None, watch: Watcher
    ) -> None:
        self.config = config
        self.diary = diary
        self.ranks = ranks
        self.workers = workers
        self.watch = watch
        self.network = network_of(encoder, ranks)
        self.learner = Learner(self.network).eval()
        self.at = At()
        self.since = time.monotonic()

    def prepare(self, streets: Streets, validate_on: Dataset, maps: Path) -> None:
        """Whatever comes before the first step: the plan, maps, vocabulary; or what a checkpoint holds."""
        check(self.network, streets, self.config, self.ranks)
        kept = self.diary.resume()
        if kept is None and self.ranks.first:
            planned = plan(self.learner, streets, self.config, folder=maps, validation=sources(validate_on), workers=self.workers)
            self.watch(Moment(stage="plan", done=1, total=1, epochs=self.config.epochs, text=str(planned)))
        self.ranks.wait()
        self.ready = Preparation(
            self.network,
            self.learner,
            self.config,
            self.diary,
            self.ranks,
            images=(streets, validate_on),
            maps=maps,
            workers=self.workers,
            progress=self._progress,
        )
        if kept is None:
            self._tell("vocabulary", 0, 1, {})
            self.ready.learn_words()
        self.optimisation = Optimisation(self.learner, self.config)
        self.course = self._course()
        if kept is None:
            self._start()
        else:
            self.at, tensors = kept
            self._fill(tensors)

    def run(self) -> None:
        """Epoch after epoch, and the final model."""
        while self.at.epoch < self.config.epochs and not self._patience_is_over():
            batches = self.course.batches(self.at.epoch)
            if not batches:
                raise TrainingError(
                    f"No batch of places of {self.ready.streets.name} holds both a positive and a negative: all lie within "
                    f"{self.config.negative:g} m; give images of more places, or a smaller `negative`."
                )
            steps = math.ceil(batches / self.config.accumulate)
            while self.at.step < steps:
                self._step(batches, steps)
            self.at.epoch, self.at.step = self.at.epoch + 1, 0
            self._validate()
            self._keep()
        if self.ranks.first:
            self.ready.save_model()
            shutil.rmtree(self.diary.scratch)

    def _start(self) -> None:
        """What training starts from: the model beside which the trained one will stand, and its figures."""
        self.ready.save_start()
        self._validate()
        self._keep()

    def _step(self, batches: int, steps: int) -> None:
        """Learn from some batches, move the weights, and tell."""
        at, accumulate = self.at, self.config.accumulate
        learnt = Learnt()
        for batch in range(at.step * accumulate, min((at.step + 1) * accumulate, batches)):
            learnt += self.course.learn(at.epoch, batch)
        if not math.isfinite(learnt.loss):
            raise TrainingError(self._diverged(f"its loss is {learnt.loss}"))
        if learnt.divisor:
            self.ranks.sum(*self.optimisation.gradients)
        learning_rate = rate(self.config, at.epoch + at.step / steps, at.steps)
        self.optimisation.step(learning_rate, divisor=learnt.divisor)
        at.step, at.steps, at.since = at.step + 1, at.steps + 1, at.since + learnt
        figures = _figures(at.since) | {"rate": learning_rate}
        self._tell("training", at.step, steps, figures)
        if at.steps % LINE_EVERY == 0 or at.step == steps:
            self.diary.line({"epoch": at.epoch + 1, "step": at.steps, **figures, "seconds": self._seconds()})
            at.since = Learnt()
        if at.steps % self.config.checkpoint_every == 0 or learnt.refreshed:
            self._keep()

    def _validate(self) -> None:
        """Figures of the network of this epoch; the best one is kept."""
        at = self.at
        with self.optimisation.averaged():
            figures = self.ready.validation.figures(
                self.learner,
                self.config.precision,
                ranks=self.ranks,
                folder=self.diary.scratch,
                progress=self._progress("validation"),
            )
            if not at.best:
                at.similarity = figures.similarity
            elif collapsed(figures.similarity, at.similarity):
                raise TrainingError(self._diverged(f"its descriptors are all alike (mean similarity {figures.similarity:.3f})"))
            better = not at.best or figures.merit > at.best or self.config.keep == "last"
            if better:
                at.best, at.best_epoch = figures.merit, at.epoch
                if self.ranks.first:
                    self.network.save(self.diary.folder / BEST)
        self.diary.line({"epoch": at.epoch, "step": at.steps, **figures.to_json(), "best": better, "seconds": self._seconds()})
        self._tell("validation", 1, 1, figures.to_json())

    def _patience_is_over(self) -> bool:
        return self.config.patience is not None and self.at.epoch - self.at.best_epoch >= self.config.patience

    def _diverged(self, how: str) -> str:
        rates = f"{self.config.learning_rate:g}"
        return (
            f"The training has diverged in epoch {self.at.epoch + 1}: {how}; the network of epoch {self.at.best_epoch} is safe in "
            f"{self.diary.folder / BEST}: train into a new folder with a learning_rate below {rates}."
        )

    def _keep(self) -> None:
        """A checkpoint of everything that decides what comes next."""
        self.at.seconds = self._seconds()
        self.since = time.monotonic()
        fixed = self.learner.aggregator.state_dict()
        tensors = {f"aggregator.{name}": fixed[name] for name in fixed if f"aggregator.{name}" not in self.optimisation.weights}
        tensors |= {f"optimisation.{name}": tensor for name, tensor in self.optimisation.state().items()}
        self.diary.keep(self.at, tensors | {f"course.{name}": tensor for name, tensor in self.course.state().items()})

    def _fill(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from a checkpoint."""

        def part(prefix: str) -> dict[str, Tensor]:
            return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}

        self.optimisation.resume(part("optimisation."))
        # Loaded as a whole, the layer knows that it has a vocabulary.
        self.learner.aggregator.load_state_dict({**self.learner.aggregator.state_dict(), **part("aggregator.")})
        self.course.resume(part("course."))

    def _course(self) -> Course:
        config = self.config
        lesson = Lesson(
            learner=self.learner,
            inputs=self.ready.inputs,
            streets=self.ready.streets,
            config=config,
            optimisation=self.optimisation,
            ranks=self.ranks,
            folder=self.diary.scratch,
            whitening=self.ready.fixed_whitening(),
            report=self._progress("mining"),
        )
        if config.loss == "ranking":
            return Tuples(lesson)
        return MinedPlaces(lesson) if config.companions else Places(lesson)

    def _seconds(self) -> float:
        return self.at.seconds + time.monotonic() - self.since

    def _progress(self, stage: Stage) -> Progress:
        return lambda done, total: self._tell(stage, done, total, {})

    def _tell(self, stage: Stage, done: int, total: int, figures: dict[str, float]) -> None:
        if self.ranks.first:
            epoch = self.at.epoch + (stage in ("training", "mining"))
            self.watch(Moment(stage=stage, done=done, total=total, epoch=epoch, epochs=self.config.epochs, figures=figures))


def _figures(learnt: Learnt) -> dict[str, float]:
    """Means over what was learnt from."""
    return {"loss": learnt.loss / max(learnt.parts, 1), "violating": learnt.violating / max(learnt.asked, 1)}


def _nobody(_moment: Moment) -> None:
    """Nobody watches."""
