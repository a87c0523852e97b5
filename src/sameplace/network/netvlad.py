"""The NetVLAD layer: a vector of locally aggregated descriptors that trains by backpropagation (section 3 of the paper)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sameplace.network.vocabulary import Vocabulary
from sameplace.shapes import Float

EPSILON = 1e-12


class NetVLAD(nn.Module):
    """Aggregates local features into one descriptor of clusters * dim numbers, of unit length.

    The default is the layer of the authors' experiments: no assignment bias, valid for normalised local features. With
    `assignment_bias=True` it is equation (4) to the letter. The descriptor holds the residuals of cluster 0 first, then of
    cluster 1, and so on. A layer without a vocabulary refuses to work: see `initialise`.

    Source: Arandjelovic et al., NetVLAD, CVPR 2016, equations (1) to (4).

    >>> layer = NetVLAD(dim=8, clusters=4)
    >>> layer.initialise(Vocabulary.learn(torch.randn(200, 8), clusters=4))
    >>> layer(torch.randn(2, 8, 5, 6)).shape
    torch.Size([2, 32])
    """

    def __init__(
        self,
        dim: int,
        clusters: int = 64,
        *,
        assignment_bias: bool = False,
        normalise_features: bool = True,
        intra_normalisation: bool = True,
    ) -> None:
        super().__init__()
        if not assignment_bias and not normalise_features:
            raise ValueError("Without an assignment bias NetVLAD is only valid for unit local features; set one of the two.")
        self.dim = dim
        self.clusters = clusters
        self.normalise_features = normalise_features
        self.intra_normalisation = intra_normalisation
        self.assignment = nn.Parameter(torch.zeros(clusters, dim))
        self.bias = nn.Parameter(torch.zeros(clusters)) if assignment_bias else None
        self.centroids = nn.Parameter(torch.zeros(clusters, dim))
        self._initialised = False
        self.register_load_state_dict_post_hook(_mark_initialised)  # type: ignore[no-untyped-call]

    @property
    def output_dim(self) -> int:
        """Numbers in the descriptor."""
        return self.clusters * self.dim

    @property
    def initialised(self) -> bool:
        """Whether the layer has a vocabulary, learnt or loaded."""
        return self._initialised

    @torch.no_grad()
    def initialise(self, vocabulary: Vocabulary) -> None:
        """Take centroids and the softness of the assignment from a vocabulary, as in appendix A of the paper."""
        if tuple(vocabulary.centroids.shape) != (self.clusters, self.dim):
            wanted, got = (self.clusters, self.dim), tuple(vocabulary.centroids.shape)
            raise ValueError(f"A vocabulary of shape {wanted} was wanted, got {got}; learn it on this network's local features.")
        centroids = vocabulary.centroids.to(self.centroids)
        self.centroids.copy_(centroids)
        if self.bias is None:
            self.assignment.copy_(vocabulary.alpha_of_products * F.normalize(centroids, dim=1, eps=EPSILON))
        else:
            self.assignment.copy_(2 * vocabulary.alpha_of_distances * centroids)
            self.bias.copy_(-vocabulary.alpha_of_distances * centroids.square().sum(dim=1))
        self._initialised = True

    def forward(self, features: Float[Tensor, "batch dim *grid"]) -> Float[Tensor, "batch vlad"]:
        """One descriptor for each map of local features; half-precision maps are aggregated in float32."""
        if not self._initialised:
            raise RuntimeError("This NetVLAD layer has no vocabulary yet; call initialise(Vocabulary.learn(features)) first.")
        with torch.autocast(features.device.type, enabled=False):
            dtype = torch.promote_types(features.dtype, torch.float32)
            local = features.to(dtype).flatten(2)
            if self.normalise_features:
                local = F.normalize(local, dim=1, eps=EPSILON)
            residuals = vlad(local, self.assign(local), self.centroids.to(dtype))
            if self.intra_normalisation:
                residuals = F.normalize(residuals, dim=2, eps=EPSILON)
            return F.normalize(residuals.flatten(1), dim=1, eps=EPSILON)

    def assign(self, local: Float[Tensor, "batch dim locations"]) -> Float[Tensor, "batch clusters locations"]:
        """How much of each local feature belongs to each cluster: equation (3), or (4) without its bias."""
        scores = torch.matmul(self.assignment.to(local.dtype), local)
        if self.bias is not None:
            scores = scores + self.bias.to(local.dtype)[:, None]
        return scores.softmax(dim=1)

    def extra_repr(self) -> str:
        """The arguments that make this layer."""
        return (
            f"dim={self.dim}, clusters={self.clusters}, assignment_bias={self.bias is not None}, "
            f"intra_normalisation={self.intra_normalisation}"
        )


def vlad(
    features: Float[Tensor, "batch dim locations"],
    assignment: Float[Tensor, "batch clusters locations"],
    centroids: Float[Tensor, "clusters dim"],
) -> Float[Tensor, "batch clusters dim"]:
    """Sum the residuals to each centroid, weighted by the assignment: equation (1)."""
    weighted_sum = torch.matmul(assignment, features.transpose(1, 2))  # sum a(x - c) = sum ax - c sum a: no loop
    return weighted_sum - assignment.sum(dim=2, keepdim=True) * centroids


def _mark_initialised(layer: nn.Module, _incompatible_keys: object) -> None:
    """Loaded weights are a vocabulary, unless they are the zeros of a layer that never had one."""
    if isinstance(layer, NetVLAD):
        layer._initialised = bool(layer.assignment.any())
