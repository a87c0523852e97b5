"""Backbones of other libraries by name: `timm` and `transformers`, both optional."""

from typing import Any

import torch
from torch import Tensor, nn

from sameplace.errors import MissingExtra
from sameplace.network.backbones.backbone import IMAGENET, Backbone
from sameplace.shapes import Float


def timm_backbone(name: str, *, layer: int = -1, pretrained: bool = True, **arguments: Any) -> Backbone:
    """Any `timm` model that gives feature maps, cut after its stage `layer` (-1 is the last).

    Further arguments go to `timm.create_model`: `checkpoint_path` reads weights from a file instead of the hub.
    """
    try:
        import timm
    except ImportError as missing:
        raise MissingExtra(f"The timm backbone {name!r}", "timm") from missing
    model = timm.create_model(name, pretrained=pretrained, features_only=True, **arguments)
    channels, strides = model.feature_info.channels(), model.feature_info.reduction()
    settings = timm.data.resolve_data_config({}, model=model)
    mean = tuple(255 * value for value in settings["mean"])
    deviation = tuple(255 * value for value in settings["std"])
    return Backbone(
        _Stage(model, layer),
        channels=channels[layer],
        stride=strides[layer],
        normalisation=(mean, deviation),
        recipe={"backbone": "timm", "name": name, "layer": layer, "pretrained": False, **arguments},
    )


class _Stage(nn.Module):
    """One of the maps that a timm feature extractor gives."""

    def __init__(self, model: nn.Module, layer: int) -> None:
        super().__init__()
        self.model = model
        self.layer = layer

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch channels rows columns"]:
        """The chosen map."""
        maps: Tensor = self.model(images)[self.layer]
        return maps


def transformers_backbone(name: str, *, layer: int = -1, pretrained: bool = True, **arguments: Any) -> Backbone:
    """Any `transformers` vision model by its hub name or local folder: ResNet, ConvNeXt, DINOv2, Swin, ViT ...

    `layer` chooses among the hidden states; class and register tokens of a vision transformer are left out. Further arguments go
    to `from_pretrained`. With `pretrained=False` only the configuration is read.
    """
    try:
        import transformers
    except ImportError as missing:
        raise MissingExtra(f"The transformers backbone {name!r}", "transformers") from missing
    automatic: Any = transformers.AutoModel
    if pretrained:
        model = automatic.from_pretrained(name, **arguments)
    else:
        model = automatic.from_config(transformers.AutoConfig.from_pretrained(name, **arguments))
    trunk = _HiddenState(model, layer)
    size = getattr(model.config, "image_size", None) or 224
    side = size if isinstance(size, int) else size[0]
    was_training = trunk.training
    with torch.no_grad():
        trial = trunk.eval()(torch.zeros(1, 3, side, side))
    trunk.train(was_training)
    return Backbone(
        trunk,
        channels=trial.shape[1],
        stride=side // trial.shape[2],
        normalisation=IMAGENET,
        recipe={"backbone": "transformers", "name": name, "layer": layer, "pretrained": False, **arguments},
    )


class _HiddenState(nn.Module):
    """One hidden state of a transformers model, as a map."""

    def __init__(self, model: nn.Module, layer: int) -> None:
        super().__init__()
        self.model = model
        self.layer = layer
        patch: int = getattr(model.config, "patch_size", 1)  # models without patches give maps
        self.patch = patch

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch channels rows columns"]:
        """The chosen state: maps as they are, sequences of tokens laid out as the grid of their patches."""
        state: Tensor = self.model(images, output_hidden_states=True).hidden_states[self.layer]
        if state.dim() == 4:
            return state
        rows, columns = images.shape[2] // self.patch, images.shape[3] // self.patch
        patches = state[:, state.shape[1] - rows * columns :]
        return patches.transpose(1, 2).reshape(len(images), -1, rows, columns)
