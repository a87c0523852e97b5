"""Why two photos are similar: what each location of each of them contributes to the similarity, exactly and without gradients.

Similarity is linear in the local residuals once both descriptors are known. With residual sums V_k = sum_i a_ik (x_i - c_k), the
norms n_k of intra-normalisation, the length L of all of them, the whitening W, b and the length l of what it gives, a descriptor
is d = (W concat(V_k / n_k) / L + b) / l. Its product with another descriptor e is therefore

    e.d = sum_i sum_k a_ik (x_i - c_k) . (W'e)_k / (n_k L l)  +  e.b / l

whose terms belong to one location i each, but for the last one, which is the same wherever one looks.
Source: Arandjelovic et al., NetVLAD, CVPR 2016, equations (1) to (4), and the whitening of section 5.1.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from safetensors.numpy import load_file

from sameplace.errors import ModelError
from sameplace.modelfile import read_header
from sameplace.models.catalogue import DEFAULT_MODEL, find
from sameplace.models.loading import _network
from sameplace.shapes import Array, Float32, Float64, UInt8

EPSILON = 1e-12
"""As in the layer itself."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Contributions:
    """What the locations of one photo contribute to its similarity with another."""

    locations: Float64[Array, "rows columns"]
    """Parts of the similarity; what is below nothing speaks against it."""
    elsewhere: float
    """What no location contributes: the whitening's bias, which is what any photo would."""

    @property
    def similarity(self) -> float:
        """Of the two photos: the sum of all parts."""
        return float(self.locations.sum()) + self.elsewhere


@dataclass(frozen=True, kw_only=True, eq=False)
class Vocabulary:
    """The numbers of a model behind its trunk."""

    assignment: Float64[Array, "clusters dim"]
    bias: Float64[Array, " clusters"]
    centroids: Float64[Array, "clusters dim"]
    whitening: Float64[Array, "out vlad"] | None
    shift: Float64[Array, " out"] | None
    normalise_features: bool
    intra_normalisation: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """One photo as the model sees it."""

    local: Float64[Array, "dim locations"]
    assigned: Float64[Array, "clusters locations"]
    scales: Float64[Array, " clusters"]
    """What the residuals of each cluster are multiplied with on their way to the vector before whitening."""
    length: float
    """Of the vector before it is brought to unit length."""
    descriptor: Float64[Array, " out"]


@runtime_checkable
class Trunk(Protocol):
    """Whatever gives the local features that a model aggregates."""

    def local_features(self, images: UInt8[Array, "batch height width 3"]) -> Float32[Array, "batch dim locations"]:
        """Of upright RGB images of the model's size, row by row; of any length."""
        ...


class Explainer:
    """Tells why a model with a NetVLAD layer finds two photos similar; with its graph beside it without torch, else with torch.

    What it computes is in float32 from the weights as they are stored; descriptors in an atlas are in half precision, so that their
    similarity may differ in the third decimal place.
    """

    def __init__(self, model: str | Path = DEFAULT_MODEL, *, trunk: Trunk | None = None) -> None:
        file, architecture = explained(model)
        height, width = architecture["size"]
        self.size = int(height), int(width)
        self.vocabulary = _vocabulary(file, architecture)
        self._trunk = trunk or _trunk(file, self.size)

    def see(self, image: UInt8[Array, "height width 3"]) -> Seen:
        """One photo of the model's size, to be compared with any number of others."""
        local = self._trunk.local_features(image[None])[0].astype(np.float64)
        return seen(local, self.vocabulary)

    def why(self, photo: Seen, other: Seen) -> Contributions:
        """What the locations of a photo contribute to its similarity with the other one."""
        parts, elsewhere = contributions(photo, other.descriptor, self.vocabulary)
        return Contributions(locations=parts.reshape(_grid(len(parts), self.size)), elsewhere=elsewhere)


def explained(model: str | Path) -> tuple[Path, dict[str, Any]]:
    """The file of a model that can be explained, and its architecture, with no weight read; ModelError where it cannot be."""
    file = find(model)
    if file.suffix != ".safetensors":
        raise ModelError(f"{file.name} is an export, and only the model it was made from can be explained; give that.")
    architecture: dict[str, Any] = read_header(file)["architecture"]
    if (kind := architecture["aggregator"]["kind"]) != "NetVLAD":
        raise ModelError(
            f"A model with a NetVLAD layer was wanted, but {file.stem} ends with {kind}; ask one that has such a layer."
        )
    return file, architecture


def seen(local: Float64[Array, "dim locations"], vocabulary: Vocabulary) -> Seen:
    """What becomes of local features, up to the descriptor."""
    if vocabulary.normalise_features:
        local = local / np.maximum(np.linalg.norm(local, axis=0), EPSILON)
    scores = vocabulary.assignment @ local + vocabulary.bias[:, None]
    assigned = np.exp(scores - scores.max(axis=0))
    assigned /= assigned.sum(axis=0)
    sums = assigned @ local.T - assigned.sum(axis=1, keepdims=True) * vocabulary.centroids
    norms = np.maximum(np.linalg.norm(sums, axis=1), EPSILON) if vocabulary.intra_normalisation else np.ones(len(sums))
    scales = 1 / (norms * max(float(np.linalg.norm(sums / norms[:, None])), EPSILON))
    vector = (sums * scales[:, None]).ravel()
    if vocabulary.whitening is not None and vocabulary.shift is not None:
        vector = vocabulary.whitening @ vector + vocabulary.shift
    length = max(float(np.linalg.norm(vector)), EPSILON)
    return Seen(local=local, assigned=assigned, scales=scales, length=length, descriptor=vector / length)


def contributions(photo: Seen, other: Float64[Array, " out"], vocabulary: Vocabulary) -> tuple[Float64[Array, " locations"], float]:
    """The part of each location in the similarity to another descriptor, and the part of none."""
    whitening, shift = vocabulary.whitening, vocabulary.shift
    towards = (other if whitening is None else whitening.T @ other).reshape(vocabulary.centroids.shape)
    towards = towards * photo.scales[:, None] / photo.length
    residuals = towards @ photo.local - (towards * vocabulary.centroids).sum(axis=1, keepdims=True)
    elsewhere = 0.0 if shift is None else float(other @ shift) / photo.length
    return (photo.assigned * residuals).sum(axis=0), elsewhere


def _grid(locations: int, size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of so many locations on images of this height and width.

    >>> _grid(14 * 28, (224, 448))
    (14, 28)
    """
    height, width = size
    rows = min(
        (row for row in range(1, locations + 1) if locations % row == 0),
        key=lambda row: abs(row * row * width - height * locations),
    )
    return rows, locations // rows


def _vocabulary(file: Path, architecture: dict[str, Any]) -> Vocabulary:
    arguments = architecture["aggregator"]["arguments"]
    numbers = {name: value for name, value in load_file(file).items() if name.startswith(("aggregator.", "whitening."))}
    wide = {name: value.astype(np.float64) for name, value in numbers.items()}
    centroids = wide["aggregator.centroids"]
    return Vocabulary(
        assignment=wide["aggregator.assignment"],
        bias=wide.get("aggregator.bias", np.zeros(len(centroids))),
        centroids=centroids,
        whitening=wide.get("whitening.weight"),
        shift=wide.get("whitening.bias"),
        normalise_features=bool(arguments["normalise_features"]),
        intra_normalisation=bool(arguments["intra_normalisation"]),
    )


def _trunk(file: Path, size: tuple[int, int]) -> Trunk:
    if file.with_suffix(".onnx").is_file():
        from sameplace.runtime.trunk import OnnxTrunk

        return OnnxTrunk(file, size)
    locations = _network("locations", f"Explaining {file.name}, which has no ONNX graph beside it,")
    encoder = _network("encoder", f"Explaining {file.name}").Encoder
    made: Trunk = locations.TorchTrunk(encoder.load(file))
    return made
