"""The ranges that a trunk's maps take on photos: a file of a thousand bytes beside a model, from which int8 is made on loading.

Weights need no photos: each output channel of a convolution is rounded to 127 steps of its largest weight, either way. So a model
that ships its ranges need not ship its weights again.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sameplace.errors import ModelError
from sameplace.modelfile import Agreement
from sameplace.runtime.cuts import ASIDE, CONVOLUTIONS
from sameplace.shapes import Array, Float32

SUFFIX = ".int8.json"
"""The end of the file's name, beside the model of the same name."""
FORMAT_VERSION = 1
ROUNDING = 1
"""To be counted on whenever the same ranges give another network, so that none that was compiled before is used."""
MAP_LEVELS, WEIGHT_STEPS = 256, 127.0
TINY = 1e-30  # weights that are all smaller count as zeros
FIRST_WEIGHT_STEPS = 63.5
"""Of the first convolution, half as many: its inputs are large, and processors without VNNI add two products in 16 bits."""


@dataclass(frozen=True, kw_only=True)
class Ranges:
    """What a trunk needs to be computed in int8, and how well it agreed with float32 when that was measured."""

    identity: str
    """Of the model, whose weights the ranges belong to."""
    ranges: Mapping[str, tuple[float, float]]
    """The least and the largest number of a map, by the name of its tensor in the graph."""
    agreement: Agreement
    learnt_on: int
    """Photos."""
    photos: str
    """Which photos they were, and which others the agreement was measured on."""

    def to_json(self) -> str:
        """As it is kept beside a model."""
        return json.dumps({"format_version": FORMAT_VERSION, **asdict(self)}, indent=2, sort_keys=True) + "\n"

    @classmethod
    def beside(cls, model: Path) -> "Ranges | None":
        """The ranges beside a model file, or None where it has none; ModelError where they cannot be read."""
        file = ranges_file(model)
        if model.suffix != ".safetensors" or not file.is_file():
            return None
        try:
            said = json.loads(file.read_text("utf-8"))
            version = int(said.pop("format_version"))
            if version > FORMAT_VERSION:
                raise ModelError(f"{file} has format {version}, this sameplace reads up to {FORMAT_VERSION}; upgrade sameplace.")
            ranges = {name: (float(low), float(high)) for name, (low, high) in said.pop("ranges").items()}
            cosine, photos = float(said["agreement"]["cosine"]), int(said["agreement"]["images"])
            return cls(**said | {"ranges": ranges, "agreement": Agreement(cosine=cosine, images=photos)})
        except (KeyError, TypeError, ValueError, AttributeError) as broken:
            raise ModelError(f"{file} does not hold the ranges of a model; remove it, or get it again.") from broken


def ranges_file(model: Path) -> Path:
    """Where the ranges of a model lie."""
    return model.with_name(model.stem + SUFFIX)


def ranges_of(quantised: Any) -> dict[str, tuple[float, float]]:
    """The ranges in a network that was quantised with photos, of the maps and not of the weights."""
    found = {}
    for node in quantised.get_ordered_ops():
        names = node.input_value(0).get_names() if node.get_type_name() == "FakeQuantize" else ()
        if names:  # weights have none
            low, high = (float(node.input_value(number).get_node().get_data().item()) for number in (1, 2))
            found[min(names)] = (low, high)
    return found


def with_int8(network: Any, ranges: Mapping[str, tuple[float, float]]) -> Any:
    """The same network with the maps in 256 levels of their ranges, and the convolutions that take these in int8.

    Raises ModelError where the network has no such maps.
    """
    outputs = {name: output for node in network.get_ordered_ops() for output in node.outputs() for name in output.get_names()}
    missing = sorted(set(ranges) - set(outputs))
    if missing:
        raise ModelError(f"The graph has no tensor {missing[0]} to be computed in int8; get the model's files again, all of them.")
    convolutions = [node for node in network.get_ordered_ops() if node.get_type_name() in CONVOLUTIONS]
    for name, (low, high) in ranges.items():
        _round_map(outputs[name], low, high)
    for number, node in enumerate(convolutions):
        if node.input_value(0).get_node().get_type_name() in ("FakeQuantize", "MaxPool"):
            _round_weights(node, WEIGHT_STEPS if number else FIRST_WEIGHT_STEPS)
    return network


def rounded(weights: Float32[Array, "..."], axes: int, steps: float) -> tuple[NDArray[np.int8], Float32[Array, "..."]]:
    """Weights as whole numbers of at most so many steps, and the size of a step for each output channel, the first `axes` axes.

    >>> whole, step = rounded(np.array([[5, -127], [0, 0]], np.float32), axes=1, steps=127.0)
    >>> whole.tolist(), step.tolist()
    ([[5, -127], [0, 0]], [[1.0], [1.0]])
    """
    largest = np.abs(weights).max(axis=tuple(range(axes, weights.ndim)), keepdims=True)
    step = np.where(largest > TINY, largest / np.float32(steps), np.float32(1)).astype(np.float32)
    steps_taken = weights / step
    # A half goes towards zero, so that 63.5 steps are 63, and as `nncf` rounds.
    return (np.sign(steps_taken) * np.ceil(np.abs(steps_taken) - 0.5)).clip(-int(steps), int(steps)).astype(np.int8), step


def _round_map(output: Any, low: float, high: float) -> None:
    """Let everything that takes a map take it rounded; who asks for its shape is left alone."""
    from openvino import opset13

    takers = [taker for taker in output.get_target_inputs() if taker.get_node().get_type_name() not in ASIDE]
    limits = [opset13.constant(np.float32(value)) for value in (low, high, low, high)]
    map_rounded = opset13.fake_quantize(output, *limits, MAP_LEVELS)
    for taker in takers:
        taker.replace_source_output(map_rounded.output(0))


def _round_weights(convolution: Any, steps: float) -> None:
    """Keep a convolution's weights as whole numbers, which OpenVINO recognises by what makes float32 of them."""
    from openvino import opset13

    stored = convolution.input_value(1).get_node()
    while stored.get_type_name() != "Constant":  # cast from half precision
        stored = stored.input_value(0).get_node()
    axes = 2 if convolution.get_type_name() == "GroupConvolution" else 1
    whole, step = rounded(np.asarray(stored.get_data(), np.float32), axes, steps)
    weights = opset13.multiply(opset13.convert(opset13.constant(whole), "f32"), opset13.constant(step))
    convolution.input(1).replace_source_output(weights.output(0))
