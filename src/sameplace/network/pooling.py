"""The baselines that NetVLAD is measured against: one number a channel."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sameplace.shapes import Float


class MaxPooling(nn.Module):
    """The largest value of each channel, then unit length: the paper's f_max."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = self.output_dim = dim

    def forward(self, features: Float[Tensor, "batch dim *grid"]) -> Float[Tensor, "batch dim"]:
        """One descriptor for each map of local features."""
        return F.normalize(_precise(features).amax(dim=2), dim=1)


class AveragePooling(nn.Module):
    """The mean of each channel, then unit length."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = self.output_dim = dim

    def forward(self, features: Float[Tensor, "batch dim *grid"]) -> Float[Tensor, "batch dim"]:
        """One descriptor for each map of local features."""
        return F.normalize(_precise(features).mean(dim=2), dim=1)


class GeM(nn.Module):
    """The generalised mean of each channel with a trainable exponent (1 = average, large = max), then unit length.

    Source: Radenovic et al., Fine-tuning CNN Image Retrieval with No Human Annotation, TPAMI 2018.
    """

    def __init__(self, dim: int, *, power: float = 3.0, floor: float = 1e-6) -> None:
        super().__init__()
        self.dim = self.output_dim = dim
        self.power = nn.Parameter(torch.tensor([power]))
        self.floor = floor

    def forward(self, features: Float[Tensor, "batch dim *grid"]) -> Float[Tensor, "batch dim"]:
        """One descriptor for each map of local features; values below the floor count as the floor."""
        local = _precise(features).clamp_min(self.floor)
        largest = local.amax(dim=2, keepdim=True)  # divided out, or a large power under- or overflows
        means = (local / largest).pow(self.power).mean(dim=2).pow(1 / self.power) * largest[:, :, 0]
        return F.normalize(means, dim=1)


def _precise(features: Float[Tensor, "batch dim *grid"]) -> Float[Tensor, "batch dim locations"]:
    """One row of locations a channel, in float32 at least."""
    return features.to(torch.promote_types(features.dtype, torch.float32)).flatten(2)
