"""EfficientNet-Lite (Tan and Le 2019, without squeeze-excitation and with ReLU6), cut at any block: small and quick."""

import re
from collections import OrderedDict
from collections.abc import Mapping
from math import ceil
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sameplace.network.backbones.backbone import Backbone, freeze_below, load_weights, read_checkpoint, stages_up_to
from sameplace.shapes import Float

# Expansion, width, repeats, first stride and kernel size of each group of blocks of the Lite0 network.
GROUPS = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
# The Lite networks were trained on (x - 127) / 128; the usual ImageNet statistics cost seven points of recall@1.
NORMALISATION = ((127.0, 127.0, 127.0), (128.0, 128.0, 128.0))
# What the layers are called in the checkpoints converted from TensorFlow that circulate for PyTorch.
CIRCULATING_NAMES = (
    (r"^_conv_stem\.", "stem.convolution."),
    (r"^_bn0\.", "stem.normalisation."),
    (r"^_blocks\.(\d+)\._expand_conv\.", r"block\1.expand.convolution."),
    (r"^_blocks\.(\d+)\._bn0\.", r"block\1.expand.normalisation."),
    (r"^_blocks\.(\d+)\._depthwise_conv\.", r"block\1.depthwise.convolution."),
    (r"^_blocks\.(\d+)\._bn1\.", r"block\1.depthwise.normalisation."),
    (r"^_blocks\.(\d+)\._project_conv\.", r"block\1.project.convolution."),
    (r"^_blocks\.(\d+)\._bn2\.", r"block\1.project.normalisation."),
)


class SameConvolution(nn.Conv2d):
    """A convolution padded as TensorFlow does: output = input / stride, rounded up; odd padding goes right and below."""

    def forward(self, input: Float[Tensor, "batch below rows columns"]) -> Float[Tensor, "batch above rows_above columns_above"]:
        """The convolved map."""
        return self.convolved(input, self.weight, self.bias)

    def convolved(
        self,
        input: Float[Tensor, "batch below rows columns"],
        weight: Float[Tensor, "above below_of_group kernel_rows kernel_columns"],
        bias: Float[Tensor, " above"] | None,
    ) -> Float[Tensor, "batch above rows_above columns_above"]:
        """The map convolved by other weights of the same form."""
        height, width = input.shape[-2:]
        vertical = _padding(height, self.kernel_size[0], self.stride[0])
        horizontal = _padding(width, self.kernel_size[1], self.stride[1])
        top, left = vertical // 2, horizontal // 2
        if vertical % 2 or horizontal % 2:
            padded = F.pad(input, (left, horizontal - left, top, vertical - top))
            return F.conv2d(padded, weight, bias, self.stride, groups=self.groups)
        return F.conv2d(input, weight, bias, self.stride, (top, left), groups=self.groups)  # writes no padded copy


def _padding(length: int, kernel: int, stride: int) -> int:
    """All the padding that one axis needs."""
    return max((ceil(length / stride) - 1) * stride + kernel - length, 0)


class ConvolutionLayer(nn.Module):
    """Convolution, batch normalisation and, unless it is a projection, ReLU6."""

    def __init__(
        self, width_below: int, width: int, kernel: int, *, stride: int = 1, groups: int = 1, activated: bool = True
    ) -> None:
        super().__init__()
        self.convolution = SameConvolution(width_below, width, kernel, stride=stride, groups=groups, bias=False)
        self.normalisation = nn.BatchNorm2d(width, eps=1e-3, momentum=0.01)
        self.activated = activated

    def forward(self, maps: Float[Tensor, "batch below rows columns"]) -> Float[Tensor, "batch above rows_above columns_above"]:
        """The layer's map."""
        if torch.is_grad_enabled() and not self.normalisation.training and not torch.compiler.is_compiling():
            return self._folded(maps)
        normalised: Tensor = self.normalisation(self.convolution(maps))
        return F.relu6(normalised) if self.activated else normalised

    def _folded(self, maps: Float[Tensor, "batch below rows columns"]) -> Float[Tensor, "batch above rows_above columns_above"]:
        """The same, the statistics of the normalisation being fixed: it scales few weights instead of large maps and slopes."""
        norm = self.normalisation
        assert norm.running_mean is not None  # neither of them is, by the constructor's default
        assert norm.running_var is not None
        scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
        shift = norm.bias - norm.running_mean * scale
        convolved = self.convolution.convolved(maps, self.convolution.weight * scale[:, None, None, None], shift)
        return F.relu6(convolved, inplace=True) if self.activated else convolved


class Block(nn.Module):
    """Expand, convolve each channel by itself, project; a shortcut where the shape stays."""

    def __init__(self, width_below: int, width: int, *, expansion: int, stride: int, kernel: int) -> None:
        super().__init__()
        hidden = width_below * expansion
        self.expand = ConvolutionLayer(width_below, hidden, 1) if expansion > 1 else nn.Identity()
        self.depthwise = ConvolutionLayer(hidden, hidden, kernel, stride=stride, groups=hidden)
        self.project = ConvolutionLayer(hidden, width, 1, activated=False)
        self.has_shortcut = stride == 1 and width_below == width

    def forward(self, maps: Float[Tensor, "batch below rows columns"]) -> Float[Tensor, "batch above rows_above columns_above"]:
        """The projection, with the input added where there is a shortcut."""
        projected: Tensor = self.project(self.depthwise(self.expand(maps)))
        return maps + projected if self.has_shortcut else projected


def efficientnet_lite0(
    *, cut: str = "block10", trainable_from: str | None = None, weights: str | Path | Mapping[str, Tensor] | None = None
) -> Backbone:
    """EfficientNet-Lite0 up to the block `cut`: 112 channels and stride 16 at block10, the last of that stride."""
    return _efficientnet_lite("efficientnet_lite0", 1.0, 1.0, cut, trainable_from, weights)


def efficientnet_lite2(
    *, cut: str = "block14", trainable_from: str | None = None, weights: str | Path | Mapping[str, Tensor] | None = None
) -> Backbone:
    """EfficientNet-Lite2 up to the block `cut`: 120 channels and stride 16 at block14, the last of that stride."""
    return _efficientnet_lite("efficientnet_lite2", 1.1, 1.2, cut, trainable_from, weights)


def _efficientnet_lite(
    name: str,
    wider: float,
    deeper: float,
    cut: str,
    trainable_from: str | None,
    weights: str | Path | Mapping[str, Tensor] | None,
) -> Backbone:
    """Stem and blocks, of which those up to the cut are kept; stem, first and last group are not scaled in depth."""
    layers: OrderedDict[str, nn.Module] = OrderedDict(stem=ConvolutionLayer(3, 32, 3, stride=2))
    widths, strides = [32], [2]
    for group, (expansion, width, repeats, first_stride, kernel) in enumerate(GROUPS):
        repeated = repeats if group in (0, len(GROUPS) - 1) else ceil(deeper * repeats)
        for place in range(repeated):
            stride = first_stride if place == 0 else 1
            scaled = _divisible(width * wider)
            layers[f"block{len(layers) - 1}"] = Block(widths[-1], scaled, expansion=expansion, stride=stride, kernel=kernel)
            widths.append(scaled)
            strides.append(strides[-1] * stride)
    names = list(layers)
    kept = stages_up_to(names, cut)
    trunk = nn.Sequential(OrderedDict(list(layers.items())[:kept]))
    if weights is not None:
        load_weights(trunk, {_renamed(key): tensor for key, tensor in read_checkpoint(weights).items()})
    freeze_below(trunk, names[:kept], trainable_from)
    return Backbone(
        trunk,
        channels=widths[kept - 1],
        stride=strides[kept - 1],
        normalisation=NORMALISATION,
        recipe={"backbone": name, "cut": cut},
    )


def _divisible(width: float, by: int = 8) -> int:
    """The nearest multiple of 8, never more than a tenth below."""
    rounded = max(by, int(width + by / 2) // by * by)
    return rounded + by if rounded < 0.9 * width else rounded


def _renamed(key: str) -> str:
    """The name of a circulating checkpoint's parameter in this module."""
    for pattern, replacement in CIRCULATING_NAMES:
        key = re.sub(pattern, replacement, key)
    return key
