"""PCA whitening as a linear layer: short descriptors whose numbers are uncorrelated and of equal weight (section 2 of paper.md)."""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sameplace.shapes import Float, Float64

# Added to the eigenvalues, as the authors do.
EPSILON = 1e-9
# Eigenvalues below this share of the largest are rounding: whitening them would blow noise up to full weight.
DEGENERATE = 1e-10
TINY = 1e-12  # the length of a direction in which nothing varies
NUMBERS_AT_ONCE = 1 << 24
"""Numbers of the samples that are in double precision at a time."""


class PCAWhitening(nn.Module):
    """y = diag(1 / sqrt(eigenvalue + 1e-9)) U' (x - mean), then unit length, as one linear layer of the model.

    With a power p below 1/2 the factor is 1 / (eigenvalue + 1e-9)^p: strong directions keep more of their weight.

    Source: Jegou and Chum, Negative evidences and co-occurences in image retrieval, ECCV 2012; Arandjelovic et al. 2016, 5.1.
    """

    def __init__(self, input_dim: int, output_dim: int) -> None:
        super().__init__()
        self.input_dim = input_dim
        self.output_dim = output_dim
        self.weight = nn.Parameter(torch.zeros(output_dim, input_dim))
        self.bias = nn.Parameter(torch.zeros(output_dim))

    @classmethod
    @torch.no_grad()
    def fit(cls, descriptors: Float[Tensor, "samples dim"], *, output_dim: int, power: float = 0.5) -> "PCAWhitening":
        """Learn the whitening from descriptors of training database images, several times more of them than dimensions.

        The power is 1/2 for a whitening, 0 for a rotation that only shortens, or anything between.
        The descriptors may be in half precision and memory-mapped: they are read in parts and never copied whole. Raises
        ValueError where there are no more samples than output dimensions: the last ones would be noise; and for other powers.
        """
        samples, dim = descriptors.shape
        if not 0 <= power <= 0.5:
            raise ValueError(f"The power of a whitening lies in 0..0.5, got {power:g}; give 0.5 for a full one.")
        if output_dim > dim:
            raise ValueError(f"A whitening to {output_dim} dimensions was wanted, but the descriptors have {dim}; ask for fewer.")
        if samples <= output_dim:
            raise ValueError(
                f"A whitening to {output_dim} dimensions needs several times as many descriptors, got {samples}; "
                f"use more images or fewer dimensions."
            )
        mean = torch.zeros(dim, dtype=torch.float64, device=descriptors.device)
        for rows in _parts(descriptors):
            mean += rows.double().sum(dim=0)
        mean /= samples
        eigenvalues, eigenvectors = principal_components(descriptors, mean, output_dim)
        if eigenvalues[-1] <= DEGENERATE * eigenvalues[0]:
            rank = int((eigenvalues > DEGENERATE * eigenvalues[0]).sum())
            raise ValueError(
                f"A whitening to {output_dim} dimensions was wanted, but these descriptors vary in {rank} only (are many of them "
                f"alike?); use more varied images or fewer dimensions."
            )
        eigenvectors /= (eigenvalues + EPSILON) ** power
        layer = cls(dim, output_dim).to(descriptors.device)
        layer.weight.copy_(eigenvectors.T)
        layer.bias.copy_(-torch.cat([rows.double() @ mean for rows in _parts(layer.weight)]))
        return layer

    def cropped(self, output_dim: int) -> "PCAWhitening":
        """The whitening to a shorter descriptor: the first dimensions, then unit length again."""
        if not 0 < output_dim <= self.output_dim:
            raise ValueError(f"Between 1 and {self.output_dim} dimensions can be kept, not {output_dim}.")
        shorter = PCAWhitening(self.input_dim, output_dim)
        shorter.load_state_dict({"weight": self.weight[:output_dim], "bias": self.bias[:output_dim]})
        return shorter

    def forward(self, descriptors: Float[Tensor, "batch input"]) -> Float[Tensor, "batch output"]:
        """Whitened descriptors of unit length, computed in float32 at least."""
        with torch.autocast(descriptors.device.type, enabled=False):
            dtype = torch.promote_types(descriptors.dtype, torch.float32)
            whitened = F.linear(descriptors.to(dtype), self.weight.to(dtype), self.bias.to(dtype))
            return F.normalize(whitened, dim=1)


def principal_components(
    descriptors: Float[Tensor, "samples dim"], mean: Float64[Tensor, " dim"], count: int
) -> tuple[Float64[Tensor, " count"], Float64[Tensor, "dim count"]]:
    """The largest eigenvalues of the covariance and their unit eigenvectors, in float64.

    With fewer samples than dimensions the samples x samples Gram matrix is decomposed instead: it has the same eigenvalues.
    """
    samples, dim = descriptors.shape
    if samples >= dim:
        covariance = torch.zeros(dim, dim, dtype=torch.float64, device=descriptors.device)
        for rows in _parts(descriptors):
            centred = rows.double().sub_(mean)
            covariance.addmm_(centred.T, centred)
        # In place throughout: these matrices are the largest things that a training holds.
        eigenvalues, eigenvectors = torch.linalg.eigh(covariance.div_(samples - 1))
        return eigenvalues[-count:].flip(0).clamp_min(0), eigenvectors[:, -count:].flip(1)
    gram = torch.zeros(samples, samples, dtype=torch.float64, device=descriptors.device)
    for columns in _columns(descriptors):
        centred = descriptors[:, columns].double().sub_(mean[columns])
        gram.addmm_(centred, centred.T)
    eigenvalues, eigenvectors = torch.linalg.eigh(gram.div_(samples - 1))
    del gram
    dual = eigenvectors[:, -count:].flip(1)
    del eigenvectors
    components = torch.empty(dim, count, dtype=torch.float64, device=descriptors.device)
    for columns in _columns(descriptors):
        torch.mm(descriptors[:, columns].double().sub_(mean[columns]).T, dual, out=components[columns])
    components /= components.norm(dim=0).clamp_min(TINY)
    return eigenvalues[-count:].flip(0).clamp_min(0), components


def _parts(matrix: Float[Tensor, "rows columns"]) -> Sequence[Float[Tensor, "_ columns"]]:
    """Some rows at a time."""
    return torch.split(matrix, max(1, NUMBERS_AT_ONCE // matrix.shape[1]))


def _columns(matrix: Float[Tensor, "rows columns"]) -> Iterator[slice]:
    """Which columns to take at a time."""
    rows, columns = matrix.shape
    step = max(1, NUMBERS_AT_ONCE // rows)
    return (slice(start, min(start + step, columns)) for start in range(0, columns, step))
