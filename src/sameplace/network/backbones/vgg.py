"""VGG-16 (Simonyan and Zisserman 2014), cut at any convolution; parameters are named as in torchvision's `vgg16().features`."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from sameplace.network.backbones.backbone import Backbone, freeze_below, load_weights, stages_up_to

WIDTHS = {1: (64, 64), 2: (128, 128), 3: (256, 256, 256), 4: (512, 512, 512), 5: (512, 512, 512)}
# The original weights take pixels of 0..255 less this mean, undivided; torchvision's own training divided by a deviation.
ORIGINAL = ((123.68, 116.779, 103.939), (1.0, 1.0, 1.0))
TORCHVISION = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


def vgg16(
    *,
    cut: str = "conv5_3",
    trainable_from: str | None = None,
    weights: str | Path | Mapping[str, Tensor] | None = None,
    original_weights: bool = True,
) -> Backbone:
    """VGG-16 up to the convolution `cut`, before its ReLU, as in the paper: 512 channels, stride 16 at conv5_3.

    `original_weights` says how the checkpoint wants its pixels: the authors' (0..255 less the mean) or torchvision's.
    """
    layers: list[nn.Module] = []
    names: list[str] = []
    width_below = 3
    for block, widths in WIDTHS.items():
        for place, width in enumerate(widths, start=1):
            name = f"conv{block}_{place}"
            layers += [nn.Conv2d(width_below, width, kernel_size=3, padding=1), nn.ReLU(inplace=True)]
            names += [name, f"relu{block}_{place}"]
            width_below = width
        layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
        names.append(f"pool{block}")
    if not cut.startswith("conv"):
        raise ValueError(f"VGG-16 is cut at a convolution, conv1_1 to conv5_3, not at {cut!r}.")
    kept = stages_up_to(names, cut)
    trunk = nn.Sequential(*layers[:kept])
    load_weights(trunk, weights, prefix="features.")
    freeze_below(trunk, names[:kept], trainable_from)
    block, place = int(cut[4]), int(cut[6])
    return Backbone(
        trunk,
        channels=WIDTHS[block][place - 1],
        stride=2 ** (block - 1),
        normalisation=ORIGINAL if original_weights else TORCHVISION,
        recipe={"backbone": "vgg16", "cut": cut, "original_weights": original_weights},
    )
