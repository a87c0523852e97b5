"""The encoder: backbone, aggregator and whitening as one network that describes images, and the one file it is kept in."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from sameplace.errors import ModelError
from sameplace.modelfile import FORMAT_VERSION, read_header
from sameplace.network.backbones import Backbone, rebuild
from sameplace.network.netvlad import NetVLAD
from sameplace.network.pooling import AveragePooling, GeM, MaxPooling
from sameplace.network.whitening import PCAWhitening
from sameplace.shapes import Array, Float, Float32, UInt8

AGGREGATORS = {"NetVLAD": NetVLAD, "MaxPooling": MaxPooling, "AveragePooling": AveragePooling, "GeM": GeM}


class Encoder(nn.Module):
    """Turns RGB images in 0..255 into descriptors of unit length: backbone -> aggregator -> whitening.

    The backbone is one of `sameplace.backbones` or any module of your own that takes a batch of RGB images (0..255) and gives a map
    of local features. `size` is the height and width that images are brought to before they are described.

    >>> from sameplace.network.backbones import mobilenet_v2
    >>> Encoder(mobilenet_v2(cut="2"), AveragePooling(24), size=(32, 32)).describe(np.zeros((1, 32, 32, 3), np.uint8)).shape
    (1, 24)
    """

    def __init__(
        self,
        backbone: nn.Module,
        aggregator: nn.Module,
        whitening: PCAWhitening | None = None,
        *,
        size: tuple[int, int] = (224, 224),
        name: str = "encoder",
    ) -> None:
        super().__init__()
        channels, dim = getattr(backbone, "channels", None), getattr(aggregator, "dim", None)
        if channels is not None and dim is not None and channels != dim:
            raise ValueError(f"The backbone gives {channels} channels, the aggregator takes {dim}; make it with dim={channels}.")
        if not isinstance(getattr(aggregator, "output_dim", None), int):
            raise ValueError("An aggregator says how many numbers it gives; set its attribute output_dim.")
        self.backbone = backbone
        self.aggregator = aggregator
        self.whitening = whitening
        self.size = size
        self.name = name

    @property
    def dim(self) -> int:
        """Numbers in a descriptor."""
        outermost = self.aggregator if self.whitening is None else self.whitening
        return int(getattr(outermost, "output_dim"))  # noqa: B009  (an attribute of any module)

    @property
    def runtime(self) -> str:
        """What computes it."""
        return "torch"

    @property
    def precision(self) -> str:
        """What it is computed in."""
        return str(self._reference().dtype).removeprefix("torch.")

    @property
    def identity(self) -> str:
        """A hash of architecture and weights, as a file would keep them."""
        return identity(self._architecture(), {name: _stored(tensor) for name, tensor in self.state_dict().items()})

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch descriptor"]:
        """Descriptors of RGB images in 0..255, of unit length."""
        descriptors: Tensor = self.aggregator(self.backbone(images))
        return F.normalize(descriptors, dim=1) if self.whitening is None else self.whitening(descriptors)

    @torch.no_grad()
    def describe(self, images: UInt8[Array, "batch height width 3"]) -> Float32[Array, "batch dim"]:
        """Descriptors of upright RGB images of the model's size, on the device where the encoder lies."""
        was_training = self.training
        self.eval()
        try:
            parameter = self._reference()
            pixels = torch.from_numpy(np.ascontiguousarray(images)).to(parameter.device).permute(0, 3, 1, 2)
            return self(pixels.to(parameter.dtype)).float().cpu().numpy()  # type: ignore[no-any-return]
        finally:
            self.train(was_training)

    def save(self, path: str | Path, *, card: Mapping[str, Any] | None = None) -> Path:
        """Write the model as one safetensors file whose header rebuilds it; weights in half precision, vectors in float32.

        `card` says where it comes from: name, licence, training data. The file is replaced whole or not at all, and a graph that
        was exported from the old one is removed.
        """
        path = Path(path)
        state = {name: _stored(tensor) for name, tensor in self.state_dict().items()}
        header = {
            "format_version": FORMAT_VERSION,
            "identity": identity(self._architecture(), state),
            "architecture": self._architecture(),
            "card": {"name": self.name, **(card or {})},
        }
        # The library writes the header's entries in no fixed order, so all lies in one: the same model is the same file.
        content = to_safetensors(state, metadata={"sameplace": json.dumps(header, sort_keys=True)})
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            unfinished.write_bytes(content)
            path.with_suffix(".onnx").unlink(missing_ok=True)  # a graph of the file that is about to be replaced
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
        return path

    @classmethod
    def load(cls, path: str | Path, *, backbone: nn.Module | None = None) -> "Encoder":
        """The encoder in a model file, computed in float32; a backbone of your own must be given again.

        Raises ModelError where the file is missing, broken, or none of ours.
        """
        header = read_header(path)
        state = load_file(path)
        architecture = header["architecture"]
        if backbone is None:
            if architecture["backbone"] is None:
                raise ModelError(
                    f"{path} was trained with a backbone of its author's own; give it: Encoder.load(path, backbone=...)."
                )
            backbone = rebuild(architecture["backbone"])
        aggregator = AGGREGATORS[architecture["aggregator"]["kind"]](**architecture["aggregator"]["arguments"])
        whitening = None if architecture["whitening"] is None else PCAWhitening(**architecture["whitening"])
        encoder = cls(backbone, aggregator, whitening, size=tuple(architecture["size"]), name=header["card"]["name"])
        try:
            encoder.load_state_dict(
                {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
            )
        except RuntimeError as mismatch:
            raise ModelError(f"The weights in {path} do not fit the architecture in its header; get the file again.") from mismatch
        return encoder.eval()

    def _reference(self) -> Tensor:
        """Where the encoder lies, and in which precision; a network without parameters computes in float32 on the CPU."""
        return next(self.parameters(), torch.zeros(()))

    def _architecture(self) -> dict[str, Any]:
        """What the header must say to build this encoder again."""
        recipe = self.backbone.recipe if isinstance(self.backbone, Backbone) else None
        whitening = self.whitening
        return {
            "backbone": recipe,
            "aggregator": {"kind": type(self.aggregator).__name__, "arguments": _arguments(self.aggregator)},
            "whitening": None if whitening is None else {"input_dim": whitening.input_dim, "output_dim": whitening.output_dim},
            "size": list(self.size),
        }


def identity(architecture: Mapping[str, Any], state: Mapping[str, Tensor]) -> str:
    """32 hexadecimal digits of BLAKE2 over architecture and float32 values, whatever precision they are stored in."""
    digest = hashlib.blake2b(json.dumps(architecture, sort_keys=True).encode(), digest_size=16)
    for name in sorted(state):
        if state[name].is_floating_point():
            digest.update(f"{name}{tuple(state[name].shape)}".encode())
            digest.update(state[name].detach().float().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _stored(tensor: Tensor) -> Tensor:
    """Matrices and kernels in half precision; vectors (biases, norms' statistics) in float32: they are few and may be tiny."""
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dim() < 2 or not tensor.is_floating_point():
        return tensor
    half = tensor.half()
    if not half.isfinite().all():
        raise ModelError("A weight is infinite, not a number, or too large for half precision; has the training diverged?")
    return half


def _arguments(aggregator: nn.Module) -> dict[str, Any]:
    """The arguments that build an aggregator again."""
    if isinstance(aggregator, NetVLAD):
        return {
            "dim": aggregator.dim,
            "clusters": aggregator.clusters,
            "assignment_bias": aggregator.bias is not None,
            "normalise_features": aggregator.normalise_features,
            "intra_normalisation": aggregator.intra_normalisation,
        }
    if isinstance(aggregator, GeM):
        return {"dim": aggregator.dim, "floor": aggregator.floor}
    if type(aggregator).__name__ in AGGREGATORS:
        return {"dim": aggregator.dim}
    raise ModelError(f"A {type(aggregator).__name__} cannot be kept in a model file; use one of {', '.join(AGGREGATORS)}.")
