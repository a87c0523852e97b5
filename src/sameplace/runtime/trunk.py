"""The local features that an exported model aggregates, taken out of the middle of its graph without torch."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime

from sameplace.errors import ModelError
from sameplace.runtime.graph import check_size, graph_of
from sameplace.shapes import Array, Float32, UInt8
from sameplace.threads import usable_cores

ASSIGNMENT: Final = "encoder.aggregator.assignment"
"""The weights that local features are multiplied with to be assigned: what they are multiplied with are the features."""
# Fields of ONNX's messages (onnx.proto3): a model's graph, a graph's nodes and outputs; a node's inputs, outputs and kind.
GRAPH, NODE, OUTPUT = 7, 1, 12
INPUTS, OUTPUTS, KIND = 1, 2, 4
NAME: Final = 1
"""The field of an output that is its name."""
LENGTH: Final = 2
"""The kind of a field that says how long it is."""


class OnnxTrunk:
    """The trunk of a model file with its graph beside it, computed in float32 on the CPU."""

    def __init__(self, model: Path, size: tuple[int, int], *, threads: int | None = None) -> None:
        graph = graph_of(model)
        content = graph.read_bytes()
        found = _features(content)
        if found is None:
            raise ModelError(f"{graph.name} has no NetVLAD layer with local features to show; use a model that has one.")
        self.name, self.size = model.stem, size
        self._features, self._by_location = found
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or usable_cores()
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what goes wrong is told by the error
        # The weights lie in the model file, and a graph in memory has no folder of its own.
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(graph.absolute().parent))
        try:
            self._session = onnxruntime.InferenceSession(
                with_output(content, self._features), options, providers=["CPUExecutionProvider"]
            )
        except Exception as failure:  # the runtime's exceptions share no base class but this
            raise ModelError(
                f"ONNX Runtime cannot show the local features of {graph}; upgrade onnxruntime, or get the model again. ({failure})"
            ) from failure

    def local_features(self, images: UInt8[Array, "batch height width 3"]) -> Float32[Array, "batch dim locations"]:
        """What the aggregator takes of upright RGB images of the model's size, row by row; of any length."""
        check_size(self.name, self.size, images)
        (local,) = self._session.run([self._features], {"images": np.ascontiguousarray(images)})
        return np.asarray(local.swapaxes(1, 2) if self._by_location else local, np.float32)


def with_output(graph: bytes, tensor: str) -> bytes:
    """The same ONNX model with one more of its tensors among its outputs.

    Messages put one behind the other are read as one, lists joined (protocol buffers, encoding: last one wins).
    """
    output = _field(NAME, tensor.encode())
    return graph + _field(GRAPH, _field(OUTPUT, output))


def _features(graph: bytes) -> tuple[str, bool] | None:
    """The tensor that the assignment's weights are multiplied with, and whether it has a row for each location (not a column)."""
    weights = {ASSIGNMENT}
    for number, content in _fields(graph):
        for kind, node in _fields(content) if number == GRAPH else ():
            if kind != NODE:
                continue
            told = [(field, text.decode()) for field, text in _fields(node) if field in (INPUTS, OUTPUTS, KIND)]
            inputs, outputs = ([text for field, text in told if field == wanted] for wanted in (INPUTS, OUTPUTS))
            if weights.isdisjoint(inputs):
                continue
            if (KIND, "MatMul") in told:
                first, second = inputs
                return (second, False) if first in weights else (first, True)
            weights.update(outputs)  # turned round before they are used
    return None


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The numbers and contents of a message's fields that have a length; the others are passed over."""
    place = 0
    while place < len(message):
        key, place = _number(message, place)
        kind = key & 7
        if kind == LENGTH:
            length, place = _number(message, place)
            yield key >> 3, message[place : place + length]
            place += length
        elif kind == 0:
            _, place = _number(message, place)
        else:
            place += {1: 8, 5: 4}[kind]


def _number(message: bytes, place: int) -> tuple[int, int]:
    """A number of seven bits a byte, least first, and the place behind it."""
    value, shift = 0, 0
    while True:
        byte = message[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
        shift += 7


def _field(number: int, content: bytes) -> bytes:
    """One field with a length."""
    return _bytes(number << 3 | LENGTH) + _bytes(len(content)) + content


def _bytes(number: int) -> bytes:
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])
