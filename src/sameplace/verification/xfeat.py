"""XFeat and LighterGlue: small networks that find local features and pair them, on ONNX Runtime."""

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from sameplace.errors import ModelError
from sameplace.shapes import Array, Float32, Int64, UInt8
from sameplace.threads import usable_cores
from sameplace.verification.features import Features

PACKAGE: Final = "sameplace_xfeat"
STEP: Final = 32
"""The network takes pictures whose sides are multiples of it."""


@dataclass(frozen=True, kw_only=True)
class XFeat:
    """Features of a network that was trained to find and to tell apart points in photos; needs the distribution sameplace-xfeat.

    Source: Potje et al., XFeat: Accelerated Features for Lightweight Image Matching, CVPR 2024.
    """

    most: int = 512
    """So many features of a picture are kept, those that score best; 1024 at most."""
    longest: int = 640

    @property
    def identity(self) -> str:
        """Equal where the features of equal pictures are equal."""
        return f"xfeat {self.most} {self.longest}"

    def extract(self, image: UInt8[Array, "height width 3"]) -> Features:
        """The local features of an RGB picture; none where nothing stands out."""
        height, width = image.shape[:2]
        size = max(width // STEP, 1) * STEP, max(height // STEP, 1) * STEP
        fitting = image if (width, height) == size else np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
        points, scores, descriptors = _session("xfeat.onnx").run(None, {"image": np.ascontiguousarray(fitting)})
        kept = np.flatnonzero(scores > 0)[: self.most]  # best first
        scale = np.array([width / size[0], height / size[1]], np.float32)
        there = (points[kept] + np.float32(0.5)) * scale - np.float32(0.5)
        return Features(points=there, descriptors=descriptors[kept], size=(height, width))


@dataclass(frozen=True, kw_only=True)
class LighterGlue:
    """Pairs the features of XFeat, each heard together with all others of both pictures; needs the distribution sameplace-xfeat.

    Source: Lindenberger et al., LightGlue: Local Feature Matching at Light Speed, ICCV 2023; trained by the authors of XFeat.
    """

    probability: float = 0.1
    """How likely a pair must be."""

    @property
    def identity(self) -> str:
        """Equal where equal features are paired alike."""
        return f"lighterglue {self.probability:g}"

    def pairs(self, first: Features, second: Features) -> Int64[Array, "pairs 2"]:
        """Rows of the first, ascending, with their rows of the second; ValueError where they are not the features of XFeat."""
        if first.descriptors.shape[1] != 64 or second.descriptors.shape[1] != 64:
            raise ValueError(
                f"LighterGlue pairs the features of XFeat, of 64 numbers, got {first.descriptors.shape[1]} and "
                f"{second.descriptors.shape[1]}; use MutualNearest for others."
            )
        if not len(first) or not len(second):
            return np.empty((0, 2), np.int64)
        asked = (_relative(first), first.descriptors, _relative(second), second.descriptors)
        session = _session("lighterglue.onnx")
        (likely,) = session.run(None, {given.name: numbers for given, numbers in zip(session.get_inputs(), asked, strict=True)})
        rows, columns = np.arange(len(first)), likely.argmax(axis=1)
        sure = (likely.argmax(axis=0)[columns] == rows) & (likely[rows, columns] > np.log(self.probability))
        return np.column_stack([rows[sure], columns[sure]]).astype(np.int64)


def installed() -> bool:
    """Whether the networks are there."""
    return find_spec(PACKAGE) is not None


def _relative(features: Features) -> Float32[Array, "features 2"]:
    """The points from the middle of the picture, in halves of its longer side."""
    height, width = features.size
    half = np.float32(max(height, width) / 2)
    return np.asarray((features.points - np.array([width / 2, height / 2], np.float32)) / half)


@cache
def _session(graph: str) -> Any:
    """A network ready to run; ModelError where it is not installed."""
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ModelError(
            "XFeat and LighterGlue are not installed; in a clone of sameplace's repository: "
            "pip install ./distributions/sameplace-xfeat."
        )
    import onnxruntime  # takes a while, and most who import this module verify nothing

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = usable_cores()
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what goes wrong is told by the error
    path = Path(spec.origin).parent / graph
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as failure:  # the runtime's exceptions share no base class but this
        raise ModelError(f"ONNX Runtime cannot load {path}; install sameplace-xfeat again. ({failure})") from failure
