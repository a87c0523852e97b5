"""Local features: points of a picture that can be found again in another one, and what each of them looks like."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, runtime_checkable

import numpy as np

from sameplace.errors import MissingExtra
from sameplace.shapes import Array, Float32, UInt8


@dataclass(frozen=True, kw_only=True, eq=False)
class Features:
    """The local features of one picture."""

    points: Float32[Array, "features 2"]
    """x and y in pixels of the picture, the middle of the first pixel being (0, 0)."""
    descriptors: Float32[Array, "features dim"]
    """Of unit length."""
    size: tuple[int, int]
    """Height and width of the picture in pixels."""

    def __len__(self) -> int:
        return len(self.points)

    @property
    def nbytes(self) -> int:
        """Memory that they take."""
        return self.points.nbytes + self.descriptors.nbytes


@runtime_checkable
class LocalFeatures(Protocol):
    """Whatever finds local features: hand-made ones or a network."""

    @property
    def identity(self) -> str:
        """Equal where the features of equal pictures are equal."""
        ...

    @property
    def longest(self) -> int:
        """Pixels of the longer side of the pictures it is meant for; a larger photo is made smaller."""
        ...

    def extract(self, image: UInt8[Array, "height width 3"]) -> Features:
        """The local features of an RGB picture, always the same for the same picture."""
        ...


@dataclass(frozen=True, kw_only=True)
class RootSift:
    """SIFT with square roots; needs OpenCV. Source: Arandjelovic and Zisserman, Three things everyone should know, CVPR 2012."""

    most: int = 800
    """So many features of a picture are kept, those that stand out most."""
    contrast: float = 0.02
    """How much a point must stand out; half of what is usual, for pictures by night."""
    longest: int = 640

    @property
    def identity(self) -> str:
        """Equal where the features of equal pictures are equal."""
        return f"rootsift {self.most} {self.contrast:g} {self.longest}"

    def extract(self, image: UInt8[Array, "height width 3"]) -> Features:
        """The local features of an RGB picture; none where nothing stands out."""
        library = opencv()
        grey = library.cvtColor(image, library.COLOR_RGB2GRAY)
        finder = library.SIFT_create(nfeatures=self.most, contrastThreshold=self.contrast)
        found, descriptors = finder.detectAndCompute(grey, None)
        points = np.array([keypoint.pt for keypoint in found], np.float32).reshape(-1, 2)
        # OpenCV keeps a few more than asked where several stand out alike.
        numbers = np.zeros((0, 128), np.float32) if descriptors is None else descriptors
        strength = -np.array([keypoint.response for keypoint in found], np.float32)
        order = np.argsort(strength, kind="stable")[: self.most]
        return Features(points=points[order], descriptors=_rooted(numbers[order]), size=image.shape[:2])


def _rooted(descriptors: Float32[Array, "features dim"]) -> Float32[Array, "features dim"]:
    """Square roots of the shares of the gradients: their Euclidean distance is Hellinger's."""
    sums = np.maximum(descriptors.sum(axis=1, keepdims=True), np.float32(1e-9))
    rooted: Float32[Array, "features dim"] = np.sqrt(descriptors / sums).astype(np.float32)
    return rooted


def opencv() -> Any:
    """OpenCV; MissingExtra where it is not installed."""
    try:
        return import_module("cv2")
    except ModuleNotFoundError as missing:
        if missing.name != "cv2":
            raise
        raise MissingExtra("Matching local features", "verify") from missing
