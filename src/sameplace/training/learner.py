"""The part of an encoder that learns, and the frozen part below it, whose maps need be computed only once."""

from collections import OrderedDict
from contextlib import AbstractContextManager
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sameplace.network.backbones import Backbone
from sameplace.network.encoder import Encoder
from sameplace.shapes import Float, Num
from sameplace.training.depthwise import QuickDepthwise

Precision: TypeAlias = Literal["float32", "bfloat16", "float16"]


class Learner(nn.Module):
    """An encoder without its whitening, cut in two where its first layer learns; the parameters are the encoder's own.

    `frozen` takes RGB images in 0..255 and is None where nothing is frozen; `learning` takes what `frozen` gives. Bring the encoder
    to its device first. Batch normalisation keeps its pretrained statistics: a batch is a tuple of look-alikes, and the statistics
    of a few such images would tell the network what else is in the tuple. Its scale and shift learn.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        encoder.eval()  # or it would bring its batch normalisation back to training whenever it has described something
        encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # as maps lie, lest each use copies a kernel
        below, above = _halves(encoder.backbone)
        self.frozen = None if below is None else below.eval()
        self.trunk = above
        self.aggregator = encoder.aggregator
        self.size = encoder.size
        self.train()

    @property
    def learning(self) -> nn.Module:
        """Trunk and aggregator above the frozen layers."""
        return nn.Sequential(OrderedDict(trunk=self.trunk, aggregator=self.aggregator))

    @property
    def dim(self) -> int:
        """Numbers in a descriptor, not whitened."""
        return int(getattr(self.aggregator, "output_dim"))  # noqa: B009  (an attribute of any module)

    @property
    def device(self) -> torch.device:
        """Where the network lies; one without parameters is on the CPU."""
        return next(self.parameters(), torch.zeros(())).device

    def train(self, mode: bool = True) -> "Learner":
        """Let it learn, or not; neither the frozen layers nor any batch normalisation's statistics follow."""
        super().train(mode)
        if self.frozen is not None:
            self.frozen.eval()
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    @torch.no_grad()
    def below(self, images: Num[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch ..."]:
        """What the learning part takes, of RGB images in 0..255: the frozen layers' maps, or the images where none is frozen."""
        pixels = _rows_of_channels(images.to(torch.promote_types(images.dtype, torch.float32)))
        maps: Tensor = pixels if self.frozen is None else self.frozen(pixels)
        return maps

    def local_features(self, inputs: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch channels *grid"]:
        """The map that is aggregated."""
        with QuickDepthwise():
            maps: Tensor = self.trunk(_rows_of_channels(inputs))
        return maps

    def forward(self, inputs: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch descriptor"]:
        """Descriptors of unit length, not whitened, of what `Inputs.load` gives."""
        return F.normalize(self.aggregator(self.local_features(inputs)), dim=1)


def _rows_of_channels(inputs: Tensor) -> Tensor:
    """Maps with the channels of a location side by side, with which convolutions are fastest."""
    return inputs.contiguous(memory_format=torch.channels_last) if inputs.dim() == 4 else inputs


def arithmetic(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """The context in which a network computes in that precision; NetVLAD and whitening stay in float32."""
    dtype = torch.bfloat16 if precision == "float32" else getattr(torch, precision)
    return torch.autocast(device.type, dtype=dtype, enabled=precision != "float32")


class _Normalisation(nn.Module):
    """What a backbone of ours does to pixels before its first layer."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.register_buffer("mean", backbone.mean, persistent=False)
        self.register_buffer("deviation", backbone.deviation, persistent=False)
        self.mean: Tensor
        self.deviation: Tensor

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
        """Images as the first layer wants them."""
        return (images - self.mean) / self.deviation


def _halves(backbone: nn.Module) -> tuple[nn.Module | None, nn.Module]:
    """What lies below the first layer that learns, and the rest."""
    if not any(parameter.requires_grad for parameter in backbone.parameters()):
        return backbone, nn.Identity()
    if not isinstance(backbone, Backbone) or not isinstance(backbone.features, nn.Sequential):
        return None, backbone
    layers = list(backbone.features.named_children())
    first = next(place for place, (_, layer) in enumerate(layers) if any(p.requires_grad for p in layer.parameters()))
    if first == 0:
        return None, backbone
    frozen = OrderedDict([("normalisation", _Normalisation(backbone)), *layers[:first]])
    return nn.Sequential(frozen), nn.Sequential(OrderedDict(layers[first:]))
