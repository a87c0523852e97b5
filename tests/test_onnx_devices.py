"""ONNX Runtime on CUDA and Core ML, of which no machine of ours has one: what it is asked, and what is refused."""

from typing import ClassVar

import numpy as np
import onnxruntime
import pytest

from sameplace import models
from sameplace.errors import ModelError
from sameplace.runtime.onnx import OnnxDescriber

CUDA, CORE_ML, CPU = "CUDAExecutionProvider", "CoreMLExecutionProvider", "CPUExecutionProvider"
IMAGES = np.random.default_rng(1).integers(0, 256, (2, 224, 224, 3), np.uint8)
RealSession = onnxruntime.InferenceSession


class OtherDevice(RealSession):
    """Computes on the CPU, and says that it was on the device that was asked for."""

    asked: ClassVar[list[list[tuple[str, dict[str, str]]]]] = []
    starts = True
    wrong = 0.0

    def __init__(
        self, graph: str | bytes, options: onnxruntime.SessionOptions, providers: list[tuple[str, dict[str, str]]]
    ) -> None:
        super().__init__(graph, options, providers=[CPU])
        self.asked.append(providers)
        self.names = [name for name, _ in providers]

    def get_providers(self) -> list[str]:
        return self.names if self.starts else [CPU]

    def run(self, outputs: None, given: dict[str, np.ndarray]) -> list[np.ndarray]:
        (found,) = super().run(outputs, given)
        if self.names != [CPU] and self.wrong:
            found = found + self.wrong * np.roll(found, 1, axis=1)
            found = found / np.linalg.norm(found, axis=1, keepdims=True)
        return [found]


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> type[OtherDevice]:
    """A machine with both devices."""
    device = type("Device", (OtherDevice,), {"asked": []})
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CORE_ML, CPU])
    monkeypatch.setattr(onnxruntime, "InferenceSession", device)
    return device


@pytest.mark.parametrize(("runtime", "provider"), [("onnxruntime-cuda", CUDA), ("onnxruntime-coreml", CORE_ML)])
def test_a_device_that_agrees_with_the_cpu_describes(devices: type[OtherDevice], runtime, provider) -> None:
    describer = models.describer(runtime=runtime)
    assert (describer.runtime, describer.precision) == (runtime, "float32")
    assert [[name for name, _ in providers] for providers in devices.asked] == [[provider, CPU], [CPU]]
    np.testing.assert_array_equal(describer.describe(IMAGES), models.describer(runtime="onnxruntime").describe(IMAGES))


def test_cuda_is_asked_for_whole_single_precision(devices: type[OtherDevice]) -> None:
    models.describer(runtime="onnxruntime-cuda")
    assert devices.asked[0][0] == (CUDA, {"use_tf32": "0"})


def test_a_device_that_describes_otherwise_is_refused(devices: type[OtherDevice]) -> None:
    devices.wrong = 0.2
    with pytest.raises(ModelError, match=r"agree with the CPU's by a cosine of 0\.999, but only 0\.9"):
        models.describer(runtime="onnxruntime-cuda")


def test_a_device_that_does_not_start_is_told_and_nothing_is_done_without_it(devices: type[OtherDevice]) -> None:
    devices.starts = False
    with pytest.raises(ModelError, match=r'could not start CUDAExecutionProvider; .* runtime="onnxruntime"'):
        models.describer(runtime="onnxruntime-cuda")


def test_auto_takes_no_device_that_does_not_start(devices: type[OtherDevice]) -> None:
    devices.starts = False
    assert "cuda" not in models.choose(models.DEFAULT_MODEL, photos=1000).runtime


def test_many_photos_go_to_cuda_and_few_stay(devices: type[OtherDevice]) -> None:
    assert models.choose(models.DEFAULT_MODEL, photos=1000).runtime == "onnxruntime-cuda"
    assert models.choose(models.DEFAULT_MODEL, photos=3).runtime == "onnxruntime"


@pytest.mark.skipif(CUDA in onnxruntime.get_available_providers(), reason="this ONNX Runtime was built for CUDA")
def test_a_build_without_the_device_says_so() -> None:
    with pytest.raises(ModelError, match=r"has no CUDAExecutionProvider; install the build of it that has"):
        OnnxDescriber(models.find(models.DEFAULT_MODEL), device="cuda")
