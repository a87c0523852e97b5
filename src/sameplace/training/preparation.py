"""What a training takes beside the weights that move: inputs, streets, a validation, and the models at both its ends."""

from collections.abc import Callable, Sequence
from pathlib import Path

from safetensors.torch import load_file

from sameplace.datasets import Dataset
from sameplace.errors import DatasetError
from sameplace.network.encoder import Encoder
from sameplace.network.whitening import PCAWhitening
from sameplace.training.beginning import check, inputs_of, learn_words, whitened, without
from sameplace.training.config import TrainConfig
from sameplace.training.descriptors import Progress
from sameplace.training.diary import Diary
from sameplace.training.inputs import Inputs, Source
from sameplace.training.learner import Learner
from sameplace.training.parallel import Ranks
from sameplace.training.progress import Stage
from sameplace.training.run import BEST, MODEL, START
from sameplace.training.streets import Streets
from sameplace.training.validation import Validation, sources
from sameplace.training.verified import verified
from sameplace.verification import Verifier

VERDICTS = "verdicts"
"""The folder with what was found when positives were verified."""


class Preparation:
    """Made of streets to learn from and a dataset to validate on: what can be read of them, and what is known about it."""

    def __init__(
        self,
        network: Encoder,
        learner: Learner,
        config: TrainConfig,
        diary: Diary,
        ranks: Ranks,
        *,
        images: tuple[Streets, Dataset],
        maps: Path,
        workers: int | None,
        progress: Callable[[Stage], Progress],
    ) -> None:
        self.network = network
        self.learner = learner
        self.config = config
        self.diary = diary
        self.ranks = ranks
        self.workers = workers
        self._progress = progress
        streets, validate_on = images
        self.inputs = self._inputs([image.path for image in streets.images], maps, altered=True)
        unreadable = self.inputs.unreadable()
        self.diary.left_out(unreadable)
        self.streets = without(streets, unreadable)
        if config.verified:
            self.streets = self._verified(self.streets)
        check(network, self.streets, config, ranks)
        self.validation = self._validation(validate_on, maps)

    def learn_words(self) -> None:
        """Give NetVLAD a vocabulary where it has none; all processes have the same."""
        learn_words(self.learner, self.inputs, self.streets, self.config, self.diary.scratch)
        self.ranks.agree(*self.network.state_dict().values())

    def save_start(self) -> None:
        """Keep the network before training, whitened, unless it has been kept."""
        if self.ranks.first and not (self.diary.folder / START).exists():
            self._whitened().save(self.diary.folder / START)

    def save_model(self) -> None:
        """Keep the network that was the best, whitened: by the whitening that it learnt through, where there was one."""
        state = load_file(self.diary.folder / BEST)
        self.network.load_state_dict({name: tensor.to(self.network.state_dict()[name]) for name, tensor in state.items()})
        if self.config.through_whitening:
            network, whitening = self.network, self._kept_whitening()
            model = Encoder(network.backbone, network.aggregator, whitening, size=network.size, name=network.name)
        else:
            model = self._whitened()
        model.save(self.diary.folder / MODEL)

    def fixed_whitening(self) -> PCAWhitening | None:
        """The whitening of the model before training, where it is learnt through; a run that is gone on with has the same one."""
        if not self.config.through_whitening:
            return None
        self.save_start()
        self.ranks.wait()
        return self._kept_whitening()

    def _kept_whitening(self) -> PCAWhitening:
        # Not by Encoder.load, which knows no backbone of its author's own.
        kept = load_file(self.diary.folder / START)
        output_dim, input_dim = kept["whitening.weight"].shape
        whitening = PCAWhitening(input_dim, output_dim)
        whitening.load_state_dict({name: kept[f"whitening.{name}"].float() for name in ("weight", "bias")})
        return whitening.to(self.ranks.device).requires_grad_(False)

    def _whitened(self) -> Encoder:
        return whitened(
            self.network,
            self.learner,
            self.inputs,
            self.streets,
            self.config,
            scratch=self.diary.scratch,
            workers=self.workers,
            report=self._progress("whitening"),
        )

    def _inputs(self, images: Sequence[Source], maps: Path, *, altered: bool) -> Inputs:
        return inputs_of(
            images,
            self.learner,
            self.config,
            maps=maps,
            altered=altered,
            workers=self.workers,
            report=self._progress("maps"),
        )

    def _verified(self, streets: Streets) -> Streets:
        """The streets with those positives alone that match geometrically; the first process compares, the others read."""
        verdicts = self.diary.folder / VERDICTS
        report = self._progress("verification")
        for turn in (self.ranks.first, not self.ranks.first):
            if turn:
                taught = verified(streets, Verifier(), keep=verdicts, workers=self.workers, progress=report)
            self.ranks.wait()
        return taught

    def _validation(self, dataset: Dataset, maps: Path) -> Validation:
        inputs = self._inputs(sources(dataset), maps, altered=False)
        if unreadable := inputs.unreadable():
            first = next(iter(unreadable.values()))
            raise DatasetError(
                f"{len(unreadable)} of {len(inputs)} images of {dataset.name} cannot be read ({first.path}: {first.reason}); a "
                f"figure without them would be another figure: get them again, or leave them out of the dataset."
            )
        return Validation(dataset, inputs)
