"""Backbones of other libraries by name: `timm` and `transformers`, both optional."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sameplace.errors import MissingExtra, ModelError
from sameplace.network.backbones.backbone import IMAGENET, Backbone, Normalisation
from sameplace.shapes import Float


def timm_backbone(name: str, *, layer: int = -1, pretrained: bool = True, **arguments: Any) -> Backbone:
    """Any `timm` model that gives feature maps, cut after its stage `layer` (-1 is the last).

    Further arguments go to `timm.create_model`; with `checkpoint_path` the weights are read from that file instead of the hub.
    """
    try:
        import timm
    except ImportError as missing:
        raise MissingExtra(f"The timm backbone {name!r}", "timm") from missing
    from_hub = pretrained and "checkpoint_path" not in arguments
    model = timm.create_model(name, pretrained=from_hub, features_only=True, **arguments)
    channels, strides = model.feature_info.channels(), model.feature_info.reduction()
    settings = timm.data.resolve_data_config({}, model=model)
    kept = {key: value for key, value in arguments.items() if key != "checkpoint_path"}
    return Backbone(
        _Stage(model, layer),
        channels=channels[layer],
        stride=strides[layer],
        normalisation=_of_bytes(settings["mean"], settings["std"]),
        recipe={"backbone": "timm", "name": name, "layer": layer, "pretrained": False, **kept},
    )


def _of_bytes(mean: Sequence[float], deviation: Sequence[float]) -> Normalisation:
    """Statistics of values in 0..1 as those of values in 0..255."""
    return (255 * mean[0], 255 * mean[1], 255 * mean[2]), (255 * deviation[0], 255 * deviation[1], 255 * deviation[2])


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


def transformers_backbone(
    name: str, *, layer: int = -1, pretrained: bool = True, config: Mapping[str, Any] | None = None, **arguments: Any
) -> Backbone:
    """Any `transformers` vision model by its hub name or local folder: ResNet, ConvNeXt, DINOv2, Swin, ViT ...

    `layer` chooses among the hidden states; class and register tokens of a vision transformer are left out. Pixels are normalised
    as the model's image processor says, or by ImageNet's statistics where it comes without one. Further arguments go to
    `from_pretrained`. With `pretrained=False` only the configuration is read, with `config` (a mapping of its values) nothing.
    """
    try:
        import transformers
    except ImportError as missing:
        raise MissingExtra(f"The transformers backbone {name!r}", "transformers") from missing
    library: Any = transformers
    normalisation = arguments.pop("normalisation", None)
    try:
        if config is not None:
            model = library.AutoModel.from_config(library.AutoConfig.for_model(**config))
        elif pretrained:
            model = library.AutoModel.from_pretrained(name, **arguments)
        else:
            model = library.AutoModel.from_config(library.AutoConfig.from_pretrained(name, **arguments))
    except OSError as missing:
        raise ModelError(f"The transformers model {name!r} is neither a local folder nor to be had from the hub.") from missing
    normalisation = _processed(library, name) if normalisation is None else (tuple(normalisation[0]), tuple(normalisation[1]))
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
        normalisation=normalisation,
        recipe={
            "backbone": "transformers",
            "name": name,
            "layer": layer,
            "config": json.loads(model.config.to_json_string(use_diff=False)),
            "normalisation": [list(part) for part in normalisation],
        },
    )


def _processed(library: Any, name: str) -> Normalisation:
    """What the image processor beside a model does to pixels; ImageNet's statistics where there is none."""
    try:
        said, _ = library.image_processing_base.ImageProcessingMixin.get_image_processor_dict(name)
    except OSError:
        return IMAGENET
    if not said.get("do_normalize", True):
        return (0.0, 0.0, 0.0), (255.0, 255.0, 255.0)
    return _of_bytes(said["image_mean"], said["image_std"]) if "image_mean" in said else IMAGENET


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
        output = self.model(images, output_hidden_states=True)
        states = getattr(output, "reshaped_hidden_states", None)  # hierarchical transformers lay their tokens out themselves
        state: Tensor = (states or output.hidden_states)[self.layer]
        if state.dim() == 4:
            return state
        rows, columns = images.shape[2] // self.patch, images.shape[3] // self.patch
        if rows * columns > state.shape[1]:
            raise ModelError(
                f"This transformers model gives {state.shape[1]} tokens for {rows} x {columns} patches: no map; use another one."
            )
        patches = state[:, state.shape[1] - rows * columns :]
        return patches.transpose(1, 2).reshape(len(images), -1, rows, columns)
