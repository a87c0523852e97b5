"""The vocabulary of NetVLAD: centroids by k-means, and how soft the assignment to them starts (appendix A of the paper)."""

from dataclasses import dataclass
from math import log

import torch
import torch.nn.functional as F
from torch import Tensor

from sameplace.shapes import Float, Int

# The runner-up of a local feature starts with a hundredth of the winner's weight [authors' code].
RUNNER_UP = 0.01
ROWS = 16_384


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """Centroids of local features, with the two alphas that the two variants of the layer start from.

    The alphas are different quantities and never interchangeable: one is a scale of scalar products with unit centroids, the
    other of squared distances.
    """

    centroids: Float[Tensor, "clusters dim"]
    alpha_of_products: float
    """For the layer without a bias: -ln(0.01) over the mean gap between the two largest scalar products with unit centroids."""
    alpha_of_distances: float
    """For the layer with a bias: -ln(0.01) over the mean gap between the two smallest squared distances."""

    @classmethod
    def learn(
        cls,
        features: Float[Tensor, "samples dim"],
        *,
        clusters: int = 64,
        iterations: int = 100,
        generator: torch.Generator | None = None,
    ) -> "Vocabulary":
        """Learn a vocabulary from sampled local features, which are brought to unit length first.

        The authors sample 50,000: 100 random locations of each of 500 random database images of the training set.
        """
        samples = F.normalize(features.float(), dim=1)
        centroids = k_means(samples, clusters=clusters, iterations=iterations, generator=generator)
        return cls(
            centroids=centroids,
            alpha_of_products=alpha_of_products(samples, centroids),
            alpha_of_distances=alpha_of_distances(samples, centroids),
        )


def alpha_of_products(features: Float[Tensor, "samples dim"], centroids: Float[Tensor, "clusters dim"]) -> float:
    """The alpha at which, on average, the second-best cluster by scalar product gets a hundredth of the best one's weight."""
    unit = F.normalize(centroids, dim=1)
    best = torch.cat([(rows @ unit.T).topk(2, dim=1).values for rows in torch.split(features, ROWS)])
    return _alpha(best[:, 0] - best[:, 1])


def alpha_of_distances(features: Float[Tensor, "samples dim"], centroids: Float[Tensor, "clusters dim"]) -> float:
    """The alpha at which, on average, the second-nearest cluster gets a hundredth of the nearest one's weight."""
    nearest = torch.cat(
        [squared_distances(rows, centroids).topk(2, dim=1, largest=False).values for rows in torch.split(features, ROWS)]
    )
    return _alpha(nearest[:, 1] - nearest[:, 0])


def _alpha(gaps: Float[Tensor, " samples"]) -> float:
    """-ln(0.01) over the mean gap between winner and runner-up."""
    gap = float(gaps.double().mean())
    if not gap > 0:
        raise ValueError("The local features do not tell the clusters apart (are they all alike?); sample more varied images.")
    return -log(RUNNER_UP) / gap


def squared_distances(
    points: Float[Tensor, "points dim"], centroids: Float[Tensor, "clusters dim"]
) -> Float[Tensor, "points clusters"]:
    """|x|^2 - 2 x.c + |c|^2, one matrix product."""
    products = points @ centroids.T
    return (points.square().sum(1, keepdim=True) - 2 * products + centroids.square().sum(1)).clamp_min(0)


def k_means(
    points: Float[Tensor, "points dim"],
    *,
    clusters: int,
    iterations: int = 100,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "clusters dim"]:
    """Lloyd's algorithm from k-means++ seeds; a cluster that runs empty restarts at the point farthest from its centroid.

    Ends when no point changes its cluster, or after `iterations`.
    """
    if len(points) < clusters:
        raise ValueError(f"{clusters} clusters need at least as many local features, got {len(points)}; sample more images.")
    generator = generator or torch.Generator().manual_seed(0)
    centroids = _seeds(points, clusters, generator)
    nearest, _ = _nearest(points, centroids)
    for _ in range(iterations):
        centroids = _means(points, nearest, centroids)
        moved, distances = _nearest(points, centroids)
        counts = torch.bincount(moved, minlength=clusters)
        for empty in (counts == 0).nonzero()[:, 0]:
            farthest = distances.argmax()
            centroids[empty], moved[farthest], distances[farthest] = points[farthest], empty, 0
        if torch.equal(moved, nearest):
            break
        nearest = moved
    return centroids


def _seeds(points: Float[Tensor, "points dim"], clusters: int, generator: torch.Generator) -> Float[Tensor, "clusters dim"]:
    """k-means++: every further seed is drawn with probability proportional to its squared distance from the nearest one."""
    chosen = [int(torch.randint(len(points), (1,), generator=generator))]
    distances = squared_distances(points, points[chosen])[:, 0]
    while len(chosen) < clusters:
        cumulated = distances.double().cumsum(0)
        drawn = torch.rand((), generator=generator, dtype=torch.float64).to(points.device) * cumulated[-1]
        chosen.append(min(int(torch.searchsorted(cumulated, drawn, right=True)), len(points) - 1))
        distances = torch.minimum(distances, squared_distances(points, points[chosen[-1:]])[:, 0])
    return points[chosen]


def _nearest(
    points: Float[Tensor, "points dim"], centroids: Float[Tensor, "clusters dim"]
) -> tuple[Int[Tensor, " points"], Float[Tensor, " points"]]:
    """The nearest centroid of each point, and its squared distance."""
    found = [squared_distances(rows, centroids).min(dim=1) for rows in torch.split(points, ROWS)]
    return torch.cat([part.indices for part in found]), torch.cat([part.values for part in found])


def _means(
    points: Float[Tensor, "points dim"], nearest: Int[Tensor, " points"], centroids: Float[Tensor, "clusters dim"]
) -> Float[Tensor, "clusters dim"]:
    """The mean of each cluster's points; a cluster without points stays where it is."""
    sums = torch.zeros_like(centroids).index_add_(0, nearest, points)
    counts = torch.bincount(nearest, minlength=len(centroids))[:, None]
    return torch.where(counts > 0, sums / counts.clamp_min(1), centroids)
