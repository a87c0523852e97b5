"""The NetVLAD layer: a vector of locally aggregated descriptors that trains by backpropagation (section 3 of the paper)."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from sameplace.network.vocabulary import Vocabulary
from sameplace.shapes import Float

EPSILON = 1e-12
LOCATIONS_AT_ONCE = 2048
"""Local features whose assignment stays in a processor's cache."""


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
            traced = torch.compiler.is_compiling()  # a graph would hold every part by itself
            if torch.is_grad_enabled() or traced or features.device.type != "cpu":
                return self._descriptors(features, learns=torch.is_grad_enabled() and not traced)
            images = max(1, LOCATIONS_AT_ONCE // max(1, features[0:1, 0].numel()))
            return torch.cat([self._descriptors(part, learns=False) for part in torch.split(features, images)])

    def _descriptors(self, features: Float[Tensor, "batch dim *grid"], *, learns: bool) -> Float[Tensor, "batch vlad"]:
        """The descriptors of some maps, with the quick derivative where the layer learns."""
        dtype = torch.promote_types(features.dtype, torch.float32)
        tokens = features.to(dtype).flatten(2).transpose(1, 2)  # of channels-last maps that is no copy
        weights = (self.assignment.to(dtype), None if self.bias is None else self.bias.to(dtype), self.centroids.to(dtype))
        if learns:
            residuals: Tensor = Residuals.apply(tokens, *weights, self.normalise_features)  # type: ignore[no-untyped-call]
        else:
            residuals, *_ = aggregated(tokens, *weights, self.normalise_features)
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


def aggregated(
    tokens: Float[Tensor, "batch locations dim"],
    assignment: Float[Tensor, "clusters dim"],
    bias: Float[Tensor, " clusters"] | None,
    centroids: Float[Tensor, "clusters dim"],
    normalise: bool,
) -> tuple[
    Float[Tensor, "batch clusters dim"],
    Float[Tensor, "batch locations clusters"],
    Float[Tensor, "batch locations clusters"],
    Float[Tensor, "batch locations 1"] | None,
]:
    """The sums of residuals of equations (1) and (4), the assignment, the products that it comes from, and inverse lengths.

    Normalised local features are never written down: their lengths are divided out of the products, which are far fewer numbers.
    """
    products = torch.matmul(tokens, assignment.T)
    inverse = torch.linalg.vector_norm(tokens, dim=2, keepdim=True).clamp_min(EPSILON).reciprocal() if normalise else None
    scores = products if inverse is None else products * inverse
    shares = (scores if bias is None else scores + bias).softmax(dim=2)
    weighted_sum = torch.matmul((shares if inverse is None else shares * inverse).transpose(1, 2), tokens)
    return weighted_sum - shares.sum(dim=1)[:, :, None] * centroids, shares, products, inverse


class Residuals(torch.autograd.Function):
    """`aggregated`, with its derivative in a few matrix products: autograd would write down ten tensors as large as the maps."""

    @staticmethod
    def forward(
        context: Any, tokens: Tensor, assignment: Tensor, bias: Tensor | None, centroids: Tensor, normalise: bool
    ) -> Tensor:
        """The sums of residuals."""
        residuals, shares, products, inverse = aggregated(tokens, assignment, bias, centroids, normalise)
        context.has_bias = bias is not None
        context.save_for_backward(tokens, assignment, centroids, shares, products, inverse)
        return residuals

    @staticmethod
    @once_differentiable
    def backward(context: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        """Slopes by tokens, assignment, bias and centroids."""
        tokens, assignment, centroids, shares, products, inverse = context.saved_tensors
        by_weights = torch.matmul(tokens, slope.transpose(1, 2))  # by the shares divided by length
        by_shares = (by_weights if inverse is None else by_weights * inverse) - (slope * centroids).sum(dim=2)[:, None]
        by_scores = shares * (by_shares - (shares * by_shares).sum(dim=2, keepdim=True))
        by_products = by_scores if inverse is None else by_scores * inverse
        by_tokens = None
        if context.needs_input_grad[0]:
            weights = shares if inverse is None else shares * inverse
            both = torch.cat([slope, assignment.expand(len(slope), -1, -1)], dim=1)
            by_tokens = torch.matmul(torch.cat([weights, by_products], dim=2), both)
            if inverse is not None:
                by_inverse = (by_weights * shares + by_scores * products).sum(dim=2, keepdim=True)
                moves = inverse < 1 / EPSILON  # the length of what is shorter counts as EPSILON
                by_tokens.addcmul_(tokens, torch.where(moves, by_inverse * inverse.pow(3), 0), value=-1)
        by_assignment = torch.matmul(by_products.flatten(0, 1).T, tokens.flatten(0, 1))
        by_bias = by_scores.sum(dim=(0, 1)) if context.has_bias else None
        by_centroids = -(shares.sum(dim=1)[:, :, None] * slope).sum(dim=0)
        return by_tokens, by_assignment, by_bias, by_centroids, None


def _mark_initialised(layer: nn.Module, _incompatible_keys: object) -> None:
    """Loaded weights are a vocabulary, unless they are the zeros of a layer that never had one."""
    if isinstance(layer, NetVLAD):
        layer._initialised = bool(layer.assignment.any())
