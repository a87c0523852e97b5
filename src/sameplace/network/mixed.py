"""An encoder whose trunk computes in a lower precision, on a CPU or a GPU; aggregation and whitening stay in float32."""

from contextlib import nullcontext
from typing import Literal, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F

from sameplace.errors import ModelError
from sameplace.network.encoder import Encoder
from sameplace.shapes import Array, Float32, UInt8

Precision: TypeAlias = Literal["float32", "bfloat16", "float16"]


class MixedDescriber:
    """A `Describer` that computes an encoder with channels-last maps, by torch's automatic mixed precision where that is asked for.

    The encoder is moved to `device` and put into evaluation. `agreement` is the cosine with float32 at the 5th percentile of
    photos, None until it is measured. Raises ModelError for what the device cannot compute, or computes slowly.
    """

    runtime = "torch"

    def __init__(self, encoder: Encoder, *, precision: Precision = "float32", device: str = "cpu") -> None:
        self._device = torch.device(device)
        if self._device.type == "cuda" and not torch.cuda.is_available():
            raise ModelError("A CUDA device was asked for, and torch finds none; compute on device='cpu'.")
        if precision == "float16" and self._device.type == "cpu":
            raise ModelError("float16 is slower than float32 on a CPU; ask for bfloat16 there.")
        self._encoder = encoder.to(self._device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self.name, self.identity, self.dim, self.size = encoder.name, encoder.identity, encoder.dim, encoder.size
        self.precision: str = precision
        self.agreement: float | None = 1.0 if precision == "float32" else None

    @torch.inference_mode()
    def describe(self, images: UInt8[Array, "batch height width 3"]) -> Float32[Array, "batch dim"]:
        """Descriptors of upright RGB images of the model's size, each of unit length."""
        pixels = torch.from_numpy(np.ascontiguousarray(images)).to(self._device).permute(0, 3, 1, 2).float()
        lower = self.precision != "float32"
        mixed = torch.autocast(self._device.type, getattr(torch, self.precision)) if lower else nullcontext()
        with mixed:
            features = self._encoder.backbone(pixels)
        descriptors = self._encoder.aggregator(features.float())
        whitening = self._encoder.whitening
        found = F.normalize(descriptors, dim=1) if whitening is None else whitening(descriptors)
        return found.cpu().numpy()
