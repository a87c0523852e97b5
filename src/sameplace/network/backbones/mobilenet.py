"""MobileNetV2 (Sandler et al. 2018), cut at any block; parameters are named as in torchvision's `mobilenet_v2().features`."""

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from sameplace.network.backbones.backbone import IMAGENET, Backbone, freeze_below, load_weights, read_checkpoint, stages_up_to
from sameplace.shapes import Float

# Expansion, width, repeats and first stride of each group of blocks: table 2 of the paper.
GROUPS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


class InvertedResidual(nn.Module):
    """Expand, convolve each channel by itself, project; a shortcut where the shape stays."""

    def __init__(self, width_below: int, width: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = width_below * expansion
        layers: list[nn.Module] = [] if expansion == 1 else [_convolution(width_below, hidden, 1)]
        layers += [
            _convolution(hidden, hidden, 3, stride=stride, groups=hidden),
            nn.Conv2d(hidden, width, 1, bias=False),
            nn.BatchNorm2d(width),
        ]
        self.conv = nn.Sequential(*layers)
        self.has_shortcut = stride == 1 and width_below == width

    def forward(self, maps: Float[Tensor, "batch below rows columns"]) -> Float[Tensor, "batch above rows_above columns_above"]:
        """The projection, with the input added where there is a shortcut."""
        projected: Tensor = self.conv(maps)
        return maps + projected if self.has_shortcut else projected


def _convolution(width_below: int, width: int, size: int, *, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU6."""
    return nn.Sequential(
        nn.Conv2d(width_below, width, size, stride=stride, padding=size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU6(inplace=True),
    )


def mobilenet_v2(
    *, cut: str = "13", trainable_from: str | None = None, weights: str | Path | Mapping[str, Tensor] | None = None
) -> Backbone:
    """MobileNetV2 up to `features[cut]`: 96 channels and stride 16 at 13.

    The layers are "0" to "18", as in torchvision. A checkpoint in which groups of convolution, normalisation and activation are not
    nested (torchvision before 0.12 wrote such ones) is read as well.
    """
    layers: list[nn.Module] = [_convolution(3, 32, 3, stride=2)]
    widths, strides = [32], [2]
    for expansion, width, repeats, first_stride in GROUPS:
        for place in range(repeats):
            stride = first_stride if place == 0 else 1
            layers.append(InvertedResidual(widths[-1], width, stride, expansion))
            widths.append(width)
            strides.append(strides[-1] * stride)
    layers.append(_convolution(320, 1280, 1))
    widths.append(1280)
    strides.append(strides[-1])
    names = [str(index) for index in range(len(layers))]
    kept = stages_up_to(names, cut)
    trunk = nn.Sequential(*layers[:kept])
    if weights is not None:
        load_weights(trunk, _nested(read_checkpoint(weights)), prefix="features.")
    freeze_below(trunk, names[:kept], trainable_from)
    return Backbone(
        trunk,
        channels=widths[kept - 1],
        stride=strides[kept - 1],
        normalisation=IMAGENET,
        recipe={"backbone": "mobilenet_v2", "cut": cut},
    )


def _nested(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """A checkpoint under torchvision's present names; its old ones counted convolution, normalisation and activation in one row."""
    if not any(re.fullmatch(r"(features\.)?1\.conv\.3\.weight", key) for key in state):
        return state
    return {re.sub(r"(\d+)\.conv\.(\d+)\.", _nested_name, key): tensor for key, tensor in state.items()}


def _nested_name(old: re.Match[str]) -> str:
    """Three old places (convolution, normalisation, activation) are one nested layer, but for the projection at the end."""
    block, place = int(old[1]), int(old[2])
    layer, part = divmod(place, 3)
    layers = 1 if block == 1 else 2
    return f"{block}.conv.{layer}.{part}." if layer < layers else f"{block}.conv.{layers + part}."
