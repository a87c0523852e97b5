"""The vocabulary of NetVLAD: centroids by k-means, and how soft the assignment to them starts (appendix A of the paper)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import log
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from sameplace.shapes import Float, Int

# The runner-up of a local feature starts with a hundredth of the winner's weight [authors' code].
RUNNER_UP = 0.01
ROWS = 16_384
SEEDED_FROM = 100_000
"""Of more local features than these, so many are drawn to seed k-means from; every one of them takes part in its rounds."""

Parts: TypeAlias = Iterable[Float[Tensor, "_ dim"]]
"""Local features in parts that fit into memory, in a fixed order; it is gone through many times."""


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
        return cls._of_unit(_parts(samples), clusters, iterations, generator)

    @classmethod
    def learn_from_parts(
        cls, parts: Parts, *, clusters: int = 64, iterations: int = 100, generator: torch.Generator | None = None
    ) -> "Vocabulary":
        """Learn the same from any number of local features: one part of them is in memory at a time.

        Every round goes through all parts again, so that they should lie on a disk, not in a network's future.
        """
        return cls._of_unit(_Unit(parts), clusters, iterations, generator)

    @classmethod
    def _of_unit(cls, parts: Parts, clusters: int, iterations: int, generator: torch.Generator | None) -> "Vocabulary":
        centroids = k_means(parts, clusters=clusters, iterations=iterations, generator=generator)
        return cls(
            centroids=centroids,
            alpha_of_products=alpha_of_products(parts, centroids),
            alpha_of_distances=alpha_of_distances(parts, centroids),
        )


@dataclass(frozen=True)
class _Unit:
    """Local features in parts, brought to unit length."""

    parts: Parts

    def __iter__(self) -> Iterator[Float[Tensor, "_ dim"]]:
        return (F.normalize(part.float(), dim=1) for part in self.parts)


def _parts(features: Float[Tensor, "samples dim"] | Parts) -> Parts:
    return torch.split(features, ROWS) if isinstance(features, Tensor) else features


def sampled_locations(
    maps: Float[Tensor, "batch dim *grid"], count: int, *, generator: torch.Generator
) -> Float[Tensor, "samples dim"]:
    """Local features at random locations of each map, as many of each as asked for or as it has, no location twice."""
    local = maps.flatten(2)
    chosen = [torch.randperm(local.shape[2], generator=generator)[:count].to(maps.device) for _ in local]
    return torch.cat([features[:, locations].T for features, locations in zip(local, chosen, strict=True)])


def alpha_of_products(features: Float[Tensor, "samples dim"] | Parts, centroids: Float[Tensor, "clusters dim"]) -> float:
    """The alpha at which, on average, the second-best cluster by scalar product gets a hundredth of the best one's weight."""
    unit = F.normalize(centroids, dim=1)
    return _alpha((rows @ unit.T).topk(2, dim=1).values for rows in _parts(features))


def alpha_of_distances(features: Float[Tensor, "samples dim"] | Parts, centroids: Float[Tensor, "clusters dim"]) -> float:
    """The alpha at which, on average, the second-nearest cluster gets a hundredth of the nearest one's weight."""
    return _alpha(squared_distances(rows, centroids).topk(2, dim=1, largest=False).values for rows in _parts(features))


def _alpha(best: Iterable[Float[Tensor, "_ 2"]]) -> float:
    """-ln(0.01) over the mean gap between winner and runner-up."""
    gaps, samples = 0.0, 0
    for pairs in best:
        gaps += float((pairs[:, 0] - pairs[:, 1]).abs().double().sum())
        samples += len(pairs)
    gap = gaps / samples
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
    points: Float[Tensor, "points dim"] | Parts,
    *,
    clusters: int,
    iterations: int = 100,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "clusters dim"]:
    """Lloyd's algorithm from k-means++ seeds; a cluster that runs empty restarts at the point farthest from its centroid.

    Ends when no centroid moves, or after `iterations`. Points in parts are gone through once a round.
    """
    parts = _parts(points)
    generator = generator or torch.Generator().manual_seed(0)
    sample = _sample(parts, generator)
    if len(sample) < clusters:
        raise ValueError(f"{clusters} clusters need at least as many local features, got {len(sample)}; sample more images.")
    centroids = _seeds(sample, clusters, generator)
    for _ in range(iterations):
        moved = _round(parts, centroids)
        if torch.equal(moved, centroids):
            break
        centroids = moved
    return centroids


def _sample(parts: Parts, generator: torch.Generator) -> Float[Tensor, "sample dim"]:
    """All points where they are few, else so many drawn at random."""
    counts = [len(part) for part in parts]
    if sum(counts) <= SEEDED_FROM:
        return torch.cat(list(parts))
    drawn = torch.randperm(sum(counts), generator=generator)[:SEEDED_FROM].sort().values
    first, found = 0, []
    for part in parts:
        found.append(part[drawn[(drawn >= first) & (drawn < first + len(part))].to(part.device) - first])
        first += len(part)
    return torch.cat(found)


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


def _round(parts: Parts, centroids: Float[Tensor, "clusters dim"]) -> Float[Tensor, "clusters dim"]:
    """The mean of the points that are nearest to each centroid."""
    sums = torch.zeros_like(centroids, dtype=torch.float64)
    counts = torch.zeros(len(centroids), dtype=torch.int64, device=centroids.device)
    farthest = _Farthest(len(centroids))
    for rows in parts:
        distances, nearest = squared_distances(rows, centroids).min(dim=1)
        # In single precision within a part only, so that millions of points lose no digits.
        sums += torch.zeros_like(centroids).index_add_(0, nearest, rows)
        counts += torch.bincount(nearest, minlength=len(centroids))
        farthest.see(rows, distances, nearest)
    for empty in (counts == 0).nonzero()[:, 0].tolist():
        point, former = farthest.take()
        sums[former] -= point
        counts[former] -= 1
        sums[empty], counts[empty] = point.double(), 1
    # A point that restarts a cluster may have been the last of its own, which stays where it is then.
    return torch.where(counts[:, None] > 0, sums / counts.clamp_min(1)[:, None], centroids).to(centroids.dtype)


class _Farthest:
    """The points that lie farthest from their centroids, of those seen so far."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.seen: list[tuple[float, int, Tensor]] = []

    def see(self, rows: Float[Tensor, "_ dim"], distances: Float[Tensor, " _"], nearest: Int[Tensor, " _"]) -> None:
        """Look at some points with their squared distances and the clusters they belong to."""
        top = distances.topk(min(self.count, len(distances)))
        far = zip(top.values.tolist(), nearest[top.indices].tolist(), rows[top.indices], strict=True)
        self.seen = sorted([*self.seen, *far], key=lambda point: -point[0])[: self.count]

    def take(self) -> tuple[Float[Tensor, " dim"], int]:
        """The farthest point that is not taken yet, and the cluster that it belonged to."""
        _, cluster, point = self.seen.pop(0)
        return point, cluster
