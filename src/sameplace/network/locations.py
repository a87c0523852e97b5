"""The local features that an encoder's NetVLAD layer aggregates: what an explanation starts from."""

import numpy as np
import torch

from sameplace.errors import ModelError
from sameplace.network.encoder import Encoder
from sameplace.network.netvlad import NetVLAD
from sameplace.shapes import Array, Float32, UInt8


class TorchTrunk:
    """The trunk of an encoder, as it is; ModelError where it has no NetVLAD layer."""

    def __init__(self, encoder: Encoder) -> None:
        if not isinstance(encoder.aggregator, NetVLAD):
            raise ModelError(f"{encoder.name} has no NetVLAD layer with local features to show; use a model that has one.")
        self.encoder = encoder

    @torch.no_grad()
    def local_features(self, images: UInt8[Array, "batch height width 3"]) -> Float32[Array, "batch dim locations"]:
        """What the aggregator takes of upright RGB images of the model's size, row by row; of any length."""
        weight = next(self.encoder.parameters())
        pixels = torch.from_numpy(np.ascontiguousarray(images)).to(weight).permute(0, 3, 1, 2)
        local = self.encoder.eval().backbone(pixels).float().flatten(2)
        return np.asarray(local.cpu().numpy())
