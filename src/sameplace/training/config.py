"""Every rule of a training as a field with the paper's default, and named sets of them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from types import MappingProxyType
from typing import Any, Literal

from sameplace.errors import TrainingError
from sameplace.training.reach import Reach


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How to train; a field's docstring is its command-line help.

    >>> TrainConfig(margin=0.2).margin, TrainConfig().negatives
    (0.2, 10)
    """

    trivial: float = 1.0
    """Images up to so many metres from the query show what it shows: they teach nothing."""
    positive: float = 10.0
    """Images up to so many metres from the query may show the same place: its potential positives."""
    negative: float = 25.0
    """Images beyond so many metres from the query do not show its place: its definite negatives."""
    another_time: bool = False
    """A positive must come from another pass: its time must be known and differ by more than `same_pass`."""
    same_pass: float = 600.0
    """Seconds within which two images count as one pass."""
    heading: float | None = None
    """A positive may look at most so many degrees elsewhere than the query."""
    verified: bool = False
    """Teach only positives whose local features match the query's geometrically."""
    vocabulary_images: int = 500
    """So many random database images teach the vocabulary."""
    vocabulary_locations: int = 100
    """So many random local features of each of them."""
    vocabulary_iterations: int = 100
    """Rounds of k-means at most."""
    sampled_negatives: int = 1000
    """So many random definite negatives of each query are searched for hard ones."""
    remembered_negatives: int = 10
    """So many of the hardest negatives of a query are searched again next time."""
    negatives: int = 10
    """So many of the hardest negatives that violate the margin make a tuple."""
    margin: float = 0.1
    """m of equation (7), on squared distances."""
    refresh: int = 1000
    """The descriptors that mining searches are made anew every so many queries; the interval doubles when the rate is halved."""
    pool: int | None = None
    """Partial mining: only so many random database images are described at each refresh, beside the positives; all by default."""
    loss: Literal["ranking", "multi-similarity", "sare"] = "ranking"
    """The paper's loss over tuples (ranking), or one over batches of places."""
    sharpness: float = 1.0
    """The loss sare takes squared distances times this: the more, the more the nearest negatives count."""
    batch: int = 4
    """Tuples, or places, in a batch."""
    images_per_place: int = 4
    """Images of each place in a batch of places."""
    companions: int = 0
    """So many of the hardest negatives of a place share its batch, mined anew in every epoch; by default places meet by chance."""
    self_supervised: float = 0.0
    """This share of a batch of places are pairs of augmented views of one image, in 0..1."""
    accumulate: int = 1
    """Batches whose gradients are averaged before the weights move."""
    optimiser: Literal["sgd", "adamw"] = "sgd"
    """Stochastic gradient descent with momentum, or AdamW."""
    learning_rate: float = 1e-3
    """The learning rate at the start, or after the warm-up."""
    assignment_rate: float = 1.0
    """The assignment weights of the NetVLAD layer learn so many times as fast: they are about alpha times as large."""
    momentum: float = 0.9
    """Momentum of stochastic gradient descent."""
    weight_decay: float = 1e-3
    """Weight decay."""
    schedule: Literal["halving", "cosine"] = "halving"
    """Halve the learning rate every few epochs, or let it fall to zero along a cosine."""
    halve_every: int = 5
    """Epochs after which the learning rate is halved."""
    warm_up: int = 0
    """Steps over which the learning rate rises from zero."""
    epochs: int = 30
    """Rounds through all queries at most."""
    keep: Literal["best", "last"] = "best"
    """The final model is that of the best epoch by recall@5 on the validation set, or that of the last one."""
    patience: int | None = None
    """Stop after so many epochs without a better recall@5 on the validation set; never by default."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Arithmetic of the network; float16 scales its gradients and needs CUDA."""
    average: float = 0.0
    """Decay of a moving average of the weights, which is validated and kept instead of the last ones; 0 for none."""
    augment: Literal["none", "mild", "strong"] = "none"
    """How much the images that are learnt from are altered: crop, perspective, colour, blur, noise, night."""
    altered_queries: bool = False
    """Of a tuple the query alone is altered, and mined as it is altered; by default every image of it is altered."""
    plain: float = 0.0
    """This share of the images of places, or of `altered_queries`, is learnt from as it is; views of a pair are always altered."""
    views: int = 0
    """Altered variants of each image whose frozen maps are kept; 0 alters each image anew, which needs all layers every time."""
    cache_maps: bool = True
    """Compute the frozen lower layers once and keep their maps on disk."""
    through_whitening: bool = False
    """Learn through a whitening that is fixed before training, so that the loss sees descriptors as they will be used."""
    whitening: int | None = 4096
    """Dimensions of the whitened descriptor of the final model; none for a model without whitening."""
    whitening_images: int = 10_000
    """So many random database images teach the whitening, at most."""
    whitening_power: float = 0.5
    """Directions are divided by their variance to this power: 0.5 whitens fully, 0 only shortens."""
    whiten_night: bool = False
    """The whitening also sees a night-like variant of each image."""
    checkpoint_every: int = 100
    """Steps between two checkpoints."""
    seed: int = 0
    """Everything random follows from it."""

    def __post_init__(self) -> None:
        if found := self.problems():
            raise TrainingError(found[0])

    @property
    def reach(self) -> Reach:
        """How near is near and how far is far."""
        return Reach(
            trivial=self.trivial,
            positive=self.positive,
            negative=self.negative,
            another_time=self.another_time,
            same_pass=self.same_pass,
            heading=self.heading,
        )

    def problems(self) -> tuple[str, ...]:
        """What makes no sense, each in a sentence with its cure; nothing is wrong with a configuration that could be made."""
        return (*self._ranges(), *self._contradictions())

    def _ranges(self) -> list[str]:
        found = [
            f"{name} must be at least {least}, got {getattr(self, name)}; give a larger number."
            for name, least in _LEAST.items()
            if getattr(self, name) is not None and not getattr(self, name) >= least
        ]
        if not 0 <= self.whitening_power <= 0.5:
            found.append(f"whitening_power must lie in 0..0.5, got {self.whitening_power}; give 0.5 for a full whitening.")
        found += [
            f"{name} must be above 0, got {getattr(self, name)}; give a positive number."
            for name in _ABOVE_ZERO
            if getattr(self, name) is not None and not getattr(self, name) > 0
        ]
        return found + [
            f"{name} must lie in 0..1{' and below 1' if below else ''}, got {getattr(self, name)}; give such a share."
            for name, below in _SHARES.items()
            if not 0 <= getattr(self, name) <= 1 or (below and getattr(self, name) == 1)
        ]

    def _contradictions(self) -> list[str]:
        found = [
            f"{what} must be one of {', '.join(choices)}, got {getattr(self, what)!r}; choose one of them."
            for what, choices in _CHOICES.items()
            if getattr(self, what) not in choices
        ]
        if not self.trivial < self.positive <= self.negative:
            found.append(
                f"Trivial < positive <= negative was wanted, got {self.trivial:g}, {self.positive:g} and {self.negative:g} m; "
                f"change one of them."
            )
        if self.loss == "ranking" and self.self_supervised:
            found.append(
                "Pairs of views of one image need a batch of places; choose loss multi-similarity or sare, or self_supervised=0."
            )
        if self.self_supervised and self.augment == "none":
            found.append("Pairs of views of one image need views that differ; choose augment mild or strong, or self_supervised=0.")
        if self.self_supervised and self.views == 1:
            found.append(
                "Pairs of views of one image need two views; give views=2 or more, 0 to alter images anew, or self_supervised=0."
            )
        if self.views and self.augment == "none":
            found.append("Altered variants were asked for, but none of how to alter; choose augment mild or strong, or views=0.")
        if self.altered_queries and (self.loss != "ranking" or self.augment == "none"):
            found.append(
                "Altered queries belong to the ranking loss, and need an alteration; choose augment mild or strong, or "
                "altered_queries=False."
            )
        if self.companions and self.loss == "ranking":
            found.append("Tuples have their hard negatives already; choose loss multi-similarity or sare, or companions=0.")
        if self.through_whitening and self.whitening is None:
            found.append("Learning through a whitening needs one; give `whitening` its dimensions, or through_whitening=False.")
        if self.pool is not None and self.loss != "ranking":
            found.append("Batches of places mine within the batch: pool belongs to the ranking loss; leave it out.")
        return found


_LEAST: Mapping[str, float] = MappingProxyType(
    {
        "trivial": 0.0,
        "same_pass": 0.0,
        "vocabulary_images": 1,
        "vocabulary_locations": 1,
        "vocabulary_iterations": 1,
        "sampled_negatives": 1,
        "remembered_negatives": 0,
        "negatives": 1,
        "refresh": 1,
        "pool": 1,
        "batch": 1,
        "images_per_place": 2,
        "accumulate": 1,
        "weight_decay": 0.0,
        "halve_every": 1,
        "companions": 0,
        "warm_up": 0,
        "epochs": 1,
        "patience": 1,
        "views": 0,
        "whitening": 1,
        "whitening_images": 2,
        "checkpoint_every": 1,
        "seed": 0,
    }
)
_ABOVE_ZERO = ("positive", "negative", "heading", "margin", "sharpness", "learning_rate", "assignment_rate")
# The share, and whether 1 itself makes no sense.
_SHARES: Mapping[str, bool] = MappingProxyType({"self_supervised": False, "plain": False, "momentum": True, "average": True})
_CHOICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "keep": ("best", "last"),
        "loss": ("ranking", "multi-similarity", "sare"),
        "optimiser": ("sgd", "adamw"),
        "schedule": ("halving", "cosine"),
        "precision": ("float32", "bfloat16", "float16"),
        "augment": ("none", "mild", "strong"),
    }
)

PRESETS: Mapping[str, TrainConfig] = MappingProxyType(
    {
        "pitts30k": TrainConfig(learning_rate=1e-3),
        "pitts250k": TrainConfig(learning_rate=1e-4),
        "tokyo": TrainConfig(learning_rate=1e-4, another_time=True),
        "small": TrainConfig(
            loss="multi-similarity",
            batch=16,
            optimiser="adamw",
            learning_rate=1e-4,
            assignment_rate=100.0,
            schedule="cosine",
            warm_up=50,
            augment="mild",
            views=2,
            precision="bfloat16",
            epochs=10,
            whitening=512,
        ),
    }
)
"""The reference runs of the paper, and what suits some thousand photos of one's own."""


def config_to_json(config: TrainConfig) -> dict[str, Any]:
    """The fields by name."""
    return asdict(config)


def config_from_json(facts: Mapping[str, Any]) -> TrainConfig:
    """A configuration from its fields by name; raises TrainingError where one is unknown.

    >>> config_from_json({"margin": 0.2}) == TrainConfig(margin=0.2)
    True
    """
    known = {field.name for field in fields(TrainConfig)}
    if unknown := sorted(set(facts) - known):
        raise TrainingError(
            f"{unknown[0]} is no field of a training's configuration; leave it out, or use the sameplace that wrote it."
        )
    return replace(TrainConfig(), **facts)
