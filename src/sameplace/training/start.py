"""What a training starts from: a pretrained trunk, the layers of it that learn, and a NetVLAD layer on top."""

from dataclasses import dataclass, replace
from pathlib import Path

from sameplace.errors import TrainingError
from sameplace.models import DEFAULT_MODEL, find
from sameplace.network.backbones import Backbone, rebuild
from sameplace.network.encoder import Encoder
from sameplace.network.netvlad import NetVLAD

LEARNS_FROM = {
    "efficientnet_lite0": "block9",
    "efficientnet_lite2": "block13",
    "mobilenet_v2": "12",
    "resnet18": "conv4",
    "resnet50": "conv4",
    "vgg16": "conv5_1",
}
"""The first layer that learns, by backbone: the last tenth or so of the trunk; the paper's for VGG-16."""
ONLY_NETVLAD, EVERYTHING = "netvlad", "all"
CLUSTERS = 64


@dataclass(frozen=True, kw_only=True)
class Start:
    """What is made of a model before it learns."""

    learn_from: str | None = None
    """The first layer of the trunk that learns: "netvlad" for none of them, "all" for all; the last few by default."""
    clusters: int | None = None
    """Of the NetVLAD layer; 64 by default, or the model's own where its vocabulary is kept."""
    assignment_bias: bool = False
    """Of a new NetVLAD layer: equation (4) to the letter, instead of the layer of the authors' experiments."""
    size: tuple[int, int] | None = None
    """Height and width of the images; the model's own by default."""
    keep_vocabulary: bool = False
    """Go on from the model's own NetVLAD layer; else a new one gets a vocabulary from the photos."""

    def small(self) -> "Start":
        """Small and quick, as much as drawn towns need, where nothing else is said."""
        return replace(
            self,
            clusters=self.clusters or (None if self.keep_vocabulary else 4),
            size=self.size or (192, 192),
        )


AS_IT_COMES = Start()


def starting_encoder(model: str | Path = DEFAULT_MODEL, start: Start = AS_IT_COMES) -> Encoder:
    """The trunk of a model with a NetVLAD layer: without a vocabulary, which is learnt before training, or with the model's own.

    Raises ModelError where there is no such model, TrainingError where it has no such layer, or no vocabulary to keep.
    """
    whole = Encoder.load(find(model))
    backbone = whole.backbone
    assert isinstance(backbone, Backbone)  # a model with another one is refused by Encoder.load
    let_learn(backbone, start.learn_from)
    aggregator = _kept(whole, start) if start.keep_vocabulary else _new(backbone.channels, start)
    return Encoder(backbone, aggregator, size=start.size or whole.size, name=whole.name)


def _new(channels: int, start: Start) -> NetVLAD:
    """A NetVLAD layer that has no vocabulary yet."""
    return NetVLAD(channels, start.clusters or CLUSTERS, assignment_bias=start.assignment_bias)


def _kept(whole: Encoder, start: Start) -> NetVLAD:
    """The model's own NetVLAD layer."""
    own = whole.aggregator
    if not isinstance(own, NetVLAD):
        raise TrainingError(f"A vocabulary to keep was wanted, but {whole.name} has a {type(own).__name__}; let one be learnt.")
    if start.clusters not in (None, own.clusters):
        raise TrainingError(
            f"The vocabulary of {whole.name} has {own.clusters} clusters, {start.clusters} were wanted; keep it as it is, or let a "
            f"new one be learnt."
        )
    return own


def let_learn(backbone: Backbone, learn_from: str | None = None) -> None:
    """Let a layer of the trunk and those above it learn, and no other; by default those that `LEARNS_FROM` names."""
    known = str(backbone.recipe["backbone"])
    first = learn_from or LEARNS_FROM.get(known, ONLY_NETVLAD)
    try:
        twin = rebuild({**backbone.recipe, "trainable_from": None if first == ONLY_NETVLAD else first})
    except (ValueError, TypeError) as error:
        raise TrainingError(f"{known} cannot learn from the layer {first!r}: {error}") from error
    learning = {name for name, parameter in twin.named_parameters() if parameter.requires_grad}
    for name, parameter in backbone.named_parameters():
        parameter.requires_grad_(name in learning)
