"""What every backbone is: a trunk cut at some layer that turns normalised images into a map of local features."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from sameplace.errors import ModelError
from sameplace.shapes import Float

Normalisation: TypeAlias = tuple[tuple[float, float, float], tuple[float, float, float]]
"""Mean and standard deviation of RGB values in 0..255."""
IMAGENET: Normalisation = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


class Backbone(nn.Module):
    """A trunk that gives a map of `channels` local features, one every `stride` pixels.

    It takes RGB images in 0..255 and normalises them itself. `recipe` is the call that builds it again, so that a model file
    can name its backbone.
    """

    def __init__(
        self,
        features: nn.Module,
        *,
        channels: int,
        stride: int,
        normalisation: Normalisation,
        recipe: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.features = features
        self.channels = channels
        self.stride = stride
        self.recipe = dict(recipe)
        self.normalisation = normalisation
        mean, deviation = normalisation
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation)[:, None, None], persistent=False)
        self.mean: Tensor
        self.deviation: Tensor

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch channels rows columns"]:
        """A map of local features of RGB images in 0..255."""
        maps: Tensor = self.features((images - self.mean) / self.deviation)
        return maps

    def train(self, mode: bool = True) -> "Backbone":
        """Frozen layers stay as they are: their batch normalisation keeps its statistics."""
        super().train(mode)
        for module in self.features.modules():
            if isinstance(module, nn.BatchNorm2d) and not any(parameter.requires_grad for parameter in module.parameters()):
                module.eval()
        return self


def load_weights(trunk: nn.Module, weights: str | Path | Mapping[str, Tensor] | None, *, prefix: str = "") -> None:
    """Fill a trunk from a checkpoint of the whole network; layers behind the cut are left out, a missing one is an error.

    A checkpoint is a mapping, a .safetensors file, or a torch file holding a plain state dict (read without unpickling code). Its
    keys may carry `prefix`, which the whole network puts before the trunk's own names.
    """
    if weights is None:
        return
    state = read_checkpoint(weights)
    name = "the checkpoint" if isinstance(weights, Mapping) else str(weights)
    prefix = prefix if any(key.startswith(prefix) for key in state) else ""
    wanted = trunk.state_dict()
    found = {key: state[prefix + key] for key in wanted if prefix + key in state}
    missing = [key for key in wanted if key not in found and not key.endswith("num_batches_tracked")]
    if missing:
        raise ModelError(
            f"{name} holds no weights for {prefix}{missing[0]} ({len(missing)} are missing): is it of another network?"
        )
    for key, tensor in found.items():
        if tensor.shape != wanted[key].shape:
            got = f"{tuple(tensor.shape)}, wanted {tuple(wanted[key].shape)}"
            raise ModelError(f"{prefix}{key} in {name} is {got}: it belongs to a network of another width.")
    trunk.load_state_dict(found, strict=False)


def read_checkpoint(weights: str | Path | Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The parameters in a checkpoint."""
    if isinstance(weights, Mapping):
        return weights
    path = Path(weights)
    if not path.is_file():
        raise ModelError(f"No checkpoint lies at {path}; give the file of the pretrained trunk.")
    if path.suffix == ".safetensors":
        return load_file(path)
    state: Mapping[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def freeze_below(layers: nn.Sequential, names: list[str], trainable_from: str | None) -> None:
    """Let only the layer called `trainable_from` and those above it learn; None freezes the trunk, "all" frees it.

    `names[i]` is the name of `layers[i]`'s stage; consecutive layers may share one.
    """
    if trainable_from not in (None, "all", *names):
        raise ValueError(f"trainable_from={trainable_from!r} is no layer; choose one of {', '.join(dict.fromkeys(names))}, or all.")
    learning = trainable_from == "all"
    for layer, name in zip(layers, names, strict=True):
        learning = learning or name == trainable_from
        layer.requires_grad_(learning)


def stages_up_to(names: list[str], cut: str) -> int:
    """How many layers lie at or below the last one called `cut`."""
    if cut not in names:
        raise ValueError(f"cut={cut!r} is no layer of this network; choose one of {', '.join(dict.fromkeys(names))}.")
    return len(names) - names[::-1].index(cut)
