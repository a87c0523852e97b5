"""Describing images with an exported model on ONNX Runtime, without torch."""

from pathlib import Path

import numpy as np
import onnxruntime

from sameplace.errors import ModelError
from sameplace.runtime.graph import about, check_size, graph_of
from sameplace.shapes import Array, Float32, UInt8
from sameplace.threads import usable_cores


class OnnxDescriber:
    """An exported model computed in float32 on the CPU: a `Describer`.

    `model` is the .safetensors file with the .onnx graph of the same name beside it, which takes its weights from it, or a
    self-contained .onnx file that `sameplace export` wrote.
    """

    runtime = "onnxruntime"
    precision = "float32"

    def __init__(self, model: str | Path, *, threads: int | None = None) -> None:
        model = Path(model)
        graph = graph_of(model)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or usable_cores()
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what goes wrong is told by the error
        try:
            self._session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        except Exception as failure:  # the runtime's exceptions share no base class but this
            raise ModelError(
                f"ONNX Runtime cannot load {graph}; get the model's files again, or export it anew. ({failure})"
            ) from failure
        self.about = about(model, self._session.get_modelmeta().custom_metadata_map)
        self.name, self.identity, self.size = self.about.name, self.about.identity, self.about.size
        self.dim = int(self._session.get_outputs()[0].shape[1])

    def describe(self, images: UInt8[Array, "batch height width 3"]) -> Float32[Array, "batch dim"]:
        """Descriptors of upright RGB images of the model's size, each of unit length."""
        check_size(self.name, self.size, images)
        descriptors: np.ndarray = self._session.run(None, {"images": np.ascontiguousarray(images)})[0]
        return descriptors
