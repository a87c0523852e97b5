"""Describing images with an exported model on ONNX Runtime, without torch."""

from pathlib import Path

import numpy as np
import onnxruntime

from sameplace.errors import ModelError
from sameplace.modelfile import GRAPH_IDENTITY, GRAPH_WEIGHTS_START, read_header, tensor_places
from sameplace.shapes import Array, Float32, UInt8
from sameplace.threads import usable_cores


class OnnxDescriber:
    """A model file and the graph beside it, computed in float32 on the CPU: a `Describer`.

    `model` is the .safetensors file; the .onnx graph of the same name lies in the same folder and takes its weights from it.
    """

    runtime = "onnxruntime"
    precision = "float32"

    def __init__(self, model: str | Path, *, threads: int | None = None) -> None:
        model = Path(model)
        graph = model.with_suffix(".onnx")
        self.header = read_header(model)
        if not graph.is_file():
            raise ModelError(
                f"{model} has no graph {graph.name} beside it; let torch describe with it, or write it with export_onnx."
            )
        self.name: str = self.header["card"]["name"]
        self.identity: str = self.header["identity"]
        height, width = self.header["architecture"]["size"]
        self.size: tuple[int, int] = (height, width)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or usable_cores()
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what goes wrong is told by the error
        try:
            self._session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        except Exception as failure:  # the runtime's exceptions share no base class but this
            raise ModelError(
                f"ONNX Runtime cannot load {graph}; get the model's two files again, or export it anew. ({failure})"
            ) from failure
        said = self._session.get_modelmeta().custom_metadata_map
        _, start = tensor_places(model)
        if (said.get(GRAPH_IDENTITY), said.get(GRAPH_WEIGHTS_START)) != (self.identity, str(start)):
            raise ModelError(f"The graph {graph} belongs to another file than {model}; export it again with export_onnx.")
        self.dim = int(self._session.get_outputs()[0].shape[1])

    def describe(self, images: UInt8[Array, "batch height width 3"]) -> Float32[Array, "batch dim"]:
        """Descriptors of upright RGB images of the model's size, each of unit length."""
        if images.shape[1:3] != self.size:
            raise ValueError(
                f"{self.name} takes images of {self.size[0]} x {self.size[1]} pixels, got {images.shape[1]} x {images.shape[2]}."
            )
        descriptors: np.ndarray = self._session.run(None, {"images": np.ascontiguousarray(images)})[0]
        return descriptors
