"""ResNet-18 and ResNet-50 (He et al. 2016), cut at conv4 or conv5; parameters are named as in torchvision."""

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from sameplace.network.backbones.backbone import IMAGENET, Backbone, freeze_below, load_weights, stages_up_to
from sameplace.shapes import Float

# Every layer of the trunk and the stage of the paper's table 1 that it belongs to.
STAGES = {
    "conv1": "conv1",
    "bn1": "conv1",
    "relu": "conv1",
    "maxpool": "conv1",
    "layer1": "conv2",
    "layer2": "conv3",
    "layer3": "conv4",
    "layer4": "conv5",
}


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut."""

    expansion = 1

    def __init__(self, width_below: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_below, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(width_below, width, stride)

    def forward(self, maps: Float[Tensor, "batch below rows columns"]) -> Float[Tensor, "batch above rows_above columns_above"]:
        """The residual, added to the shortcut."""
        residual = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(maps)))))
        return F.relu(residual + (maps if self.downsample is None else self.downsample(maps)))


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions beside a shortcut; the stride lies on the 3 x 3, as in torchvision."""

    expansion = 4

    def __init__(self, width_below: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_below, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = _shortcut(width_below, 4 * width, stride)

    def forward(self, maps: Float[Tensor, "batch below rows columns"]) -> Float[Tensor, "batch above rows_above columns_above"]:
        """The residual, added to the shortcut."""
        residual = F.relu(self.bn1(self.conv1(maps)))
        residual = self.bn3(self.conv3(F.relu(self.bn2(self.conv2(residual)))))
        return F.relu(residual + (maps if self.downsample is None else self.downsample(maps)))


def _shortcut(width_below: int, width: int, stride: int) -> nn.Sequential | None:
    """A projection where the block changes the shape, nothing where it doesn't."""
    if stride == 1 and width_below == width:
        return None
    return nn.Sequential(nn.Conv2d(width_below, width, 1, stride=stride, bias=False), nn.BatchNorm2d(width))


def resnet18(
    *, cut: str = "conv4", trainable_from: str | None = None, weights: str | Path | Mapping[str, Tensor] | None = None
) -> Backbone:
    """ResNet-18 up to the end of the stage `cut`: 256 channels and stride 16 at conv4, 512 and 32 at conv5."""
    return _resnet("resnet18", BasicBlock, (2, 2, 2, 2), cut, trainable_from, weights)


def resnet50(
    *, cut: str = "conv4", trainable_from: str | None = None, weights: str | Path | Mapping[str, Tensor] | None = None
) -> Backbone:
    """ResNet-50 up to the end of the stage `cut`: 1024 channels and stride 16 at conv4, 2048 and 32 at conv5."""
    return _resnet("resnet50", Bottleneck, (3, 4, 6, 3), cut, trainable_from, weights)


def _resnet(
    name: str,
    block: type[BasicBlock] | type[Bottleneck],
    depths: tuple[int, int, int, int],
    cut: str,
    trainable_from: str | None,
    weights: str | Path | Mapping[str, Tensor] | None,
) -> Backbone:
    """Stem and four stages, of which those up to the cut are kept."""
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv1=nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False),
        bn1=nn.BatchNorm2d(64),
        relu=nn.ReLU(inplace=True),
        maxpool=nn.MaxPool2d(3, stride=2, padding=1),
    )
    width_below = 64
    for stage, depth in enumerate(depths):
        blocks = []
        for place in range(depth):
            blocks.append(block(width_below, 64 << stage, stride=2 if stage > 0 and place == 0 else 1))
            width_below = (64 << stage) * block.expansion
        layers[f"layer{stage + 1}"] = nn.Sequential(*blocks)
    names = list(STAGES.values())
    kept = stages_up_to(names, cut)
    trunk = nn.Sequential(OrderedDict(list(layers.items())[:kept]))
    load_weights(trunk, weights)
    freeze_below(trunk, names[:kept], trainable_from)
    stage = int(cut[4:]) - 2
    channels = (64 << stage) * block.expansion if stage >= 0 else 64
    return Backbone(
        trunk, channels=channels, stride=4 << max(stage, 0), normalisation=IMAGENET, recipe={"backbone": name, "cut": cut}
    )
