"""Describing images with an exported model on ONNX Runtime, without torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import onnxruntime

from sameplace.errors import ModelError
from sameplace.runtime.graph import about, check_size, graph_of
from sameplace.shapes import Array, Float32, UInt8
from sameplace.threads import usable_cores

Device: TypeAlias = Literal["cpu", "cuda", "coreml"]
CPU = "CPUExecutionProvider"
PROVIDERS: Mapping[Device, tuple[str, Mapping[str, str]]] = {
    "cpu": (CPU, {}),
    "cuda": ("CUDAExecutionProvider", {"use_tf32": "0"}),  # TF32 would keep 10 bits of 23
    "coreml": ("CoreMLExecutionProvider", {"ModelFormat": "MLProgram"}),
}
"""What ONNX Runtime calls a device, and what is asked of it."""
SAME = 0.999
"""The cosine by which each of a few drawn images must agree with the CPU before another device is used."""


NOTHING = bytes.fromhex(
    "08083a370a100a016112016222084964656e746974791201675a0f0a0161120a0a08080112040a020801620f0a0162120a0a08080112040a0208014204"
    "0a001011"
)
"""The smallest graph: a number that stays as it is."""


def available(device: Device) -> bool:
    """Whether the ONNX Runtime that is installed was built for a device."""
    return PROVIDERS[device][0] in onnxruntime.get_available_providers()


def starts(device: Device) -> bool:
    """Whether a device is there and works as far as a graph that computes nothing can tell; that takes a second."""
    if not available(device):
        return False
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        return PROVIDERS[device][0] in _session(NOTHING, options, device).get_providers()
    except Exception:  # the runtime's exceptions share no base class but this
        return False


class OnnxDescriber:
    """An exported model computed in float32 on the CPU, or on a CUDA or Core ML device: a `Describer`.

    `model` is the .safetensors file with the .onnx graph of the same name beside it, which takes its weights from it, or a
    self-contained .onnx file that `sameplace export` wrote. ModelError where the device is missing, or does not agree with the CPU.
    """

    precision = "float32"

    def __init__(self, model: str | Path, *, threads: int | None = None, device: Device = "cpu") -> None:
        model = Path(model)
        self.runtime = "onnxruntime" if device == "cpu" else f"onnxruntime-{device}"
        if not available(device):
            raise ModelError(
                f"The ONNX Runtime that is installed has no {PROVIDERS[device][0]}; install the build of it that has, or compute "
                'with runtime="onnxruntime".'
            )
        graph = graph_of(model)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or usable_cores()
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what goes wrong is told by the error
        try:
            self._session = _session(str(graph), options, device)
        except Exception as failure:  # the runtime's exceptions share no base class but this
            raise ModelError(
                f"ONNX Runtime cannot load {graph}; get the model's files again, or export it anew. ({failure})"
            ) from failure
        self.about = about(model, self._session.get_modelmeta().custom_metadata_map)
        self.name, self.identity, self.size = self.about.name, self.about.identity, self.about.size
        self.dim = int(self._session.get_outputs()[0].shape[1])
        if device != "cpu":
            self._check_beside_the_cpu(_session(str(graph), options, "cpu"), device)

    def describe(self, images: UInt8[Array, "batch height width 3"]) -> Float32[Array, "batch dim"]:
        """Descriptors of upright RGB images of the model's size, each of unit length."""
        check_size(self.name, self.size, images)
        descriptors: np.ndarray = self._session.run(None, {"images": np.ascontiguousarray(images)})[0]
        return descriptors

    def _check_beside_the_cpu(self, cpu: onnxruntime.InferenceSession, device: Device) -> None:
        """ModelError where the device was not started, which ONNX Runtime does not tell, or describes otherwise than the CPU."""
        provider = PROVIDERS[device][0]
        if provider not in self._session.get_providers():
            raise ModelError(f'ONNX Runtime could not start {provider}; see to its driver, or compute with runtime="onnxruntime".')
        coarse = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
        height, width = self.size
        drawn = coarse.repeat(-(-height // 8), axis=1).repeat(-(-width // 8), axis=2)[:, :height, :width]
        cosines = (self.describe(drawn) * cpu.run(None, {"images": np.ascontiguousarray(drawn)})[0]).sum(axis=1)
        if not cosines.min() >= SAME:
            raise ModelError(
                f"{self.name} was to be computed by {provider}, whose descriptors must agree with the CPU's by a cosine of {SAME}, "
                f'but only {cosines.min():.4f} was measured; compute with runtime="onnxruntime".'
            )


def _session(graph: str | bytes, options: onnxruntime.SessionOptions, device: Device) -> onnxruntime.InferenceSession:
    providers = [PROVIDERS[device]] if device == "cpu" else [PROVIDERS[device], PROVIDERS["cpu"]]
    return onnxruntime.InferenceSession(graph, options, providers=[(name, dict(asked)) for name, asked in providers])
