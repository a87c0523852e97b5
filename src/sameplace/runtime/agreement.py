"""How much of a descriptor a lower precision costs, measured on photos; and how much of a trunk may be in bfloat16."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from sameplace.describer import Describer
from sameplace.modelfile import About, Agreement
from sameplace.runtime.openvino import OpenVINODescriber
from sameplace.shapes import Array, Float32, UInt8

PERCENTILE = 5
COMFORTABLE = 0.995
"""An agreement that leaves room for other photos than those that it was measured on."""
TRIED = 3
"""Beginnings of the trunk that are tried in float32 before bfloat16 is given up."""


def agreement(descriptors: Float32[Array, "images dim"], precise: Float32[Array, "images dim"]) -> Agreement:
    """How near descriptors are to precise ones of the same photos.

    >>> precise = np.eye(2, dtype=np.float32)
    >>> agreement(precise, precise)
    Agreement(cosine=1.0, images=2)
    """
    cosines = np.sum(descriptors.astype(np.float64) * precise, axis=1)
    return Agreement(cosine=round(float(np.percentile(cosines, PERCENTILE)), 5), images=len(cosines))


def with_bfloat16(model: Path, images: UInt8[Array, "images height width 3"], precise: Float32[Array, "images dim"]) -> About:
    """What a graph can say of bfloat16: how well it agrees, and before which tensor the network should stay in float32.

    Depthwise layers at the start of a small network are where bfloat16 costs most, so ever longer beginnings are tried.
    """
    plain = OpenVINODescriber(model, precision="float32", threads=1)
    others = {lower: measured for lower, measured in plain.about.agreement.items() if lower != "int8"}  # is said beside the graph
    best: About | None = None
    for float_until in (None, *plain.beginnings(TRIED)):
        tried = replace(plain.about, float_until=float_until)
        measured = agreement(computed(OpenVINODescriber(model, trial=tried, threads=1), images), precise)
        found = replace(tried, agreement={**others, "bfloat16": measured})
        if best is None or measured.cosine > best.agreement["bfloat16"].cosine:
            best = found
        if measured.cosine >= COMFORTABLE:
            break
    assert best is not None
    return best


def computed(describer: Describer, images: UInt8[Array, "images height width 3"], at_once: int = 8) -> Float32[Array, "images dim"]:
    """Descriptors of many images, some at a time."""
    return np.concatenate([describer.describe(images[first : first + at_once]) for first in range(0, len(images), at_once)])
