"""VLAD on RootSIFT: the best that hand-made local features do, as the paper's baseline that no network is part of."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sameplace.description import describe
from sameplace.errors import ImageError, MissingExtra
from sameplace.images import View, read_image
from sameplace.shapes import Array, Float32, Float64, Int64, UInt8
from sameplace.threads import usable_cores

HEIGHT, WIDTH = 480, 640
PATCHES = (16, 24, 32, 40)  # sides in pixels, as in Torii et al.
STEP = 16
SIFT = 128
CLUSTERS = 64
DIM = 512
PHOTOS_A_DIMENSION = 2
"""Photos that each dimension of the whitening is learnt from, at least: with fewer, its last dimensions are noise."""
VOCABULARY_PHOTOS, FEATURES_A_PHOTO, ITERATIONS = 500, 100, 100
WHITENING_PHOTOS = 4_000
EPSILON = 1e-9


@dataclass(frozen=True, kw_only=True, eq=False)
class Whitening:
    """Short descriptors whose numbers are uncorrelated: y = projection (x - mean), then unit length."""

    mean: Float32[Array, " vlad"]
    projection: Float32[Array, "dim vlad"]


@dataclass(frozen=True, kw_only=True, eq=False)
class RootSiftVlad:
    """A describer without a network: dense upright RootSIFT, VLAD with intra-normalisation, whitening; needs OpenCV.

    Source: Arandjelovic and Zisserman, Three things everyone should know, CVPR 2012, and All about VLAD, CVPR 2013; dense as in
    Torii et al., 24/7 place recognition by view synthesis, CVPR 2015, which the NetVLAD paper compares with.
    """

    centroids: Float32[Array, "clusters 128"]
    whitening: Whitening | None = None
    learnt_on: str = ""
    """What vocabulary and whitening come from, in words."""
    name: str = "rootsift-vlad"
    size: tuple[int, int] = (HEIGHT, WIDTH)
    runtime: str = "opencv"
    precision: str = "float32"

    @classmethod
    def learn(
        cls,
        photos: Sequence[str | Path | View],
        *,
        clusters: int = CLUSTERS,
        dim: int = DIM,
        learnt_on: str = "",
        rng: np.random.Generator | None = None,
        workers: int | None = None,
    ) -> "RootSiftVlad":
        """Learn vocabulary and whitening from photos, which must not be the queries that it is then tested with.

        The descriptor has at most one dimension for every two photos. Raises ImageError where a photo cannot be read.
        """
        rng = rng or np.random.default_rng(0)
        if len(photos) < 2 * PHOTOS_A_DIMENSION:
            raise ValueError(f"A whitening needs {2 * PHOTOS_A_DIMENSION} photos at least, got {len(photos)}; give more.")
        samples = []
        for place in rng.permutation(len(photos))[:VOCABULARY_PHOTOS]:
            features = root_sift(read_image(photos[place], (HEIGHT, WIDTH)))
            samples.append(rng.choice(features, min(FEATURES_A_PHOTO, len(features)), replace=False))
        raw = cls(centroids=k_means(np.concatenate(samples), clusters, rng))
        chosen = [photos[place] for place in rng.permutation(len(photos))[:WHITENING_PHOTOS]]
        parts = []
        for described in describe(chosen, raw, workers=workers):
            for failure in described.failures:
                raise ImageError(failure.reason)
            parts.append(described.descriptors)
        whitening = whiten(np.concatenate(parts), min(dim, len(chosen) // PHOTOS_A_DIMENSION))
        said = learnt_on or f"{len(photos)} photos"
        return cls(centroids=raw.centroids, whitening=whitening, learnt_on=said)

    @property
    def dim(self) -> int:
        """Numbers in a descriptor."""
        return self.centroids.size if self.whitening is None else len(self.whitening.projection)

    @property
    def identity(self) -> str:
        """A hash of all that was learnt, of how the features are taken, and of the library that takes them."""
        taken = f"dense RootSIFT {self.size} {PATCHES} {STEP} OpenCV {_opencv().__version__}"
        digest = hashlib.blake2b(taken.encode(), digest_size=16)
        learnt = [self.centroids] + ([] if self.whitening is None else [self.whitening.mean, self.whitening.projection])
        for numbers in learnt:
            digest.update(numbers.tobytes())
        return digest.hexdigest()

    def describe(self, images: UInt8[Array, "batch height width 3"]) -> Float32[Array, "batch dim"]:
        """Descriptors of upright RGB images (0..255), each of unit length."""
        descriptors = np.stack([vlad(root_sift(image), self.centroids) for image in images])
        if self.whitening is None:
            return descriptors
        whitened = (descriptors - self.whitening.mean) @ self.whitening.projection.T
        return _unit(whitened)


def root_sift(image: UInt8[Array, "height width 3"]) -> Float32[Array, "features 128"]:
    """Square roots of SIFT vectors that sum to one, on a grid, upright, at four scales."""
    opencv = _opencv()
    opencv.setNumThreads(usable_cores())
    height, width = image.shape[:2]
    places = [
        # SIFT's patch is six times as wide as what OpenCV calls the size of a key point.
        opencv.KeyPoint(float(column), float(row), patch / 6, 0)
        for patch in PATCHES
        for row in range(patch // 2, height - patch // 2 + 1, STEP)
        for column in range(patch // 2, width - patch // 2 + 1, STEP)
    ]
    _, features = opencv.SIFT_create().compute(opencv.cvtColor(image, opencv.COLOR_RGB2GRAY), places)
    sums = np.abs(features).sum(axis=1, keepdims=True)
    return np.asarray(np.sqrt(features / np.maximum(sums, EPSILON)), np.float32)


def vlad(features: Float32[Array, "features dim"], centroids: Float32[Array, "clusters dim"]) -> Float32[Array, " vlad"]:
    """The residuals to the nearest centroids, summed for each cluster, each sum and the whole brought to unit length."""
    nearest = nearest_centroids(features, centroids)
    members = np.zeros((len(centroids), len(features)), np.float32)
    members[nearest, np.arange(len(features))] = 1
    residuals = members @ features - members.sum(axis=1, keepdims=True) * centroids
    descriptor: np.ndarray = _unit(_unit(residuals).reshape(1, -1))[0]
    return descriptor


def nearest_centroids(
    features: Float32[Array, "features dim"], centroids: Float32[Array, "clusters dim"]
) -> Int64[Array, " features"]:
    """The cluster of each feature: the nearest centroid by Euclidean distance."""
    nearest: np.ndarray = np.argmin(0.5 * np.square(centroids).sum(axis=1) - features @ centroids.T, axis=1)
    return nearest


def k_means(features: Float32[Array, "features dim"], clusters: int, rng: np.random.Generator) -> Float32[Array, "clusters dim"]:
    """Lloyd's algorithm from k-means++ seeds; a cluster that runs empty restarts at a random feature."""
    if len(features) < clusters:
        raise ValueError(f"{clusters} clusters need at least as many local features, got {len(features)}; give more photos.")
    centroids = _seeds(features, clusters, rng)
    nearest = nearest_centroids(features, centroids)
    for _ in range(ITERATIONS):
        members = np.zeros((clusters, len(features)), np.float32)
        members[nearest, np.arange(len(features))] = 1
        counts = members.sum(axis=1, keepdims=True)
        centroids = np.where(counts > 0, members @ features / np.maximum(counts, 1), rng.choice(features, clusters)).astype(
            np.float32
        )
        moved = nearest_centroids(features, centroids)
        if np.array_equal(moved, nearest):
            break
        nearest = moved
    return centroids


def _seeds(features: Float32[Array, "features dim"], clusters: int, rng: np.random.Generator) -> Float32[Array, "clusters dim"]:
    """Every further seed is drawn with probability proportional to its squared distance from the nearest one."""
    chosen = [int(rng.integers(len(features)))]
    distances = np.full(len(features), np.inf)
    while len(chosen) < clusters:
        distances = np.minimum(distances, np.square(features - features[chosen[-1]]).sum(axis=1))
        cumulated = np.cumsum(distances, dtype=np.float64)
        drawn = np.searchsorted(cumulated, rng.random() * cumulated[-1], side="right")
        chosen.append(min(int(drawn), len(features) - 1))
    return features[chosen]


def whiten(descriptors: Float32[Array, "photos vlad"], dim: int) -> Whitening:
    """Learn a whitening from descriptors; the photos x photos Gram matrix has the eigenvalues of the covariance."""
    mean = descriptors.mean(axis=0, dtype=np.float64)
    centred: Float64[Array, "photos vlad"] = descriptors - mean
    eigenvalues, dual = np.linalg.eigh(centred @ centred.T / (len(descriptors) - 1))
    eigenvalues, dual = eigenvalues[::-1][:dim].clip(0), dual[:, ::-1][:, :dim]
    components = centred.T @ dual
    components /= np.maximum(np.linalg.norm(components, axis=0), EPSILON)
    projection = (components / np.sqrt(eigenvalues + EPSILON)).T
    return Whitening(mean=mean.astype(np.float32), projection=np.ascontiguousarray(projection, np.float32))


def _unit(rows: Float32[Array, "rows numbers"]) -> Float32[Array, "rows numbers"]:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, EPSILON), np.float32)


def _opencv() -> Any:
    try:
        import cv2
    except ModuleNotFoundError as missing:
        raise MissingExtra("The baseline rootsift-vlad", "verify") from missing
    return cv2
