"""How one view became another: a homography or a fundamental matrix that most pairs of points agree on."""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from sameplace.shapes import Array, Bool, Float32, Float64
from sameplace.verification.features import opencv

Geometry: TypeAlias = Literal["homography", "fundamental"]
FEWEST = {"homography": 4, "fundamental": 8}


@dataclass(frozen=True, kw_only=True)
class Ransac:
    """Finds what most pairs agree on, the same each time; needs OpenCV.

    A homography holds for planes such as facades, and for a camera that only turned; it is hard to meet by chance. A fundamental
    matrix holds for everything that stands still, and is met by chance more often, for it asks a point to lie on a line.
    """

    geometry: Geometry = "homography"
    threshold: float = 6.0
    """Pixels that a point may lie beside where it should."""
    confidence: float = 0.999
    iterations: int = 2000
    seed: int = 0

    @property
    def identity(self) -> str:
        """Equal where equal pairs are judged alike."""
        return f"{self.geometry} {self.threshold:g} {self.confidence:g} {self.iterations} {self.seed}"

    def fit(
        self, first: Float32[Array, "pairs 2"], second: Float32[Array, "pairs 2"]
    ) -> tuple[Float64[Array, "3 3"] | None, Bool[Array, " pairs"]]:
        """The matrix that takes the first points to the second (or to their lines), and the pairs that agree; None where none do.

        Pairs that agree on a mirrored view do not agree: no camera sees one.
        """
        nobody = np.zeros(len(first), bool)
        if len(first) < FEWEST[self.geometry]:
            return None, nobody
        library = opencv()
        fit = library.findHomography if self.geometry == "homography" else library.findFundamentalMat
        try:
            matrix, mask = fit(first, second, self._parameters(library))
        except library.error:  # OpenCV 5.0 fails where it found no matrix at all, instead of saying so
            return None, nobody
        if matrix is None or mask is None or matrix.shape != (3, 3) or not np.isfinite(matrix).all():
            return None, nobody
        agree = mask.ravel().astype(bool)
        if self.geometry == "homography":
            agree &= _unmirrored(matrix, first)
        return (matrix, agree) if agree.sum() >= FEWEST[self.geometry] else (None, nobody)

    def best(
        self, first: Float32[Array, "pairs 2"], second: Float32[Array, "pairs 2"]
    ) -> tuple[Geometry, Float64[Array, "3 3"] | None, Bool[Array, " pairs"]]:
        """The geometry with what `fit` tells."""
        return self.geometry, *self.fit(first, second)

    def _parameters(self, library: Any) -> Any:
        parameters = library.UsacParams()
        parameters.randomGeneratorState = self.seed
        parameters.threshold = self.threshold
        parameters.confidence = self.confidence
        parameters.maxIterations = self.iterations
        parameters.isParallel = False  # several threads would give another answer each time
        parameters.sampler = library.SAMPLING_UNIFORM
        parameters.score = library.SCORE_METHOD_MSAC
        parameters.loMethod = library.LOCAL_OPTIM_INNER_LO
        parameters.loIterations = 10
        parameters.loSampleSize = 14
        return parameters


@dataclass(frozen=True, kw_only=True)
class Either:
    """A homography or a fundamental matrix, whichever more pairs agree on: a facade, or a street with depth.

    The fundamental matrix has to be met more closely, for it is met by chance more often; where both hold for as many pairs, the
    homography says more.
    """

    homography: Ransac = Ransac()
    fundamental: Ransac = Ransac(geometry="fundamental", threshold=2.0)

    @property
    def identity(self) -> str:
        """Equal where equal pairs are judged alike."""
        return f"either {self.homography.identity} or {self.fundamental.identity}"

    def best(
        self, first: Float32[Array, "pairs 2"], second: Float32[Array, "pairs 2"]
    ) -> tuple[Geometry, Float64[Array, "3 3"] | None, Bool[Array, " pairs"]]:
        """The geometry that more pairs agree on, its matrix (None where no pairs agree), and the pairs that agree."""
        plane, depth = self.homography.best(first, second), self.fundamental.best(first, second)
        return depth if depth[2].sum() > plane[2].sum() else plane


def _unmirrored(homography: Float64[Array, "3 3"], points: Float32[Array, "pairs 2"]) -> Bool[Array, " pairs"]:
    """Where the homography keeps left and right: its Jacobian's determinant, det / w^3, is positive."""
    depth = points @ homography[2, :2] + homography[2, 2]
    return np.asarray(np.linalg.det(homography) * depth > 0)
