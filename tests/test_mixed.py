"""torch in a lower precision: near to float32, never unmeasured, and never below what was agreed on."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sameplace import models
from sameplace.describer import Describer
from sameplace.errors import ModelError
from sameplace.models.exporting import drawn
from sameplace.network.encoder import Encoder
from test_encoder import images, small_encoder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_encoder().save(tmp_path_factory.mktemp("models") / "small.safetensors")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    for number, pixels in enumerate(drawn((48, 64), 20)):
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    return sorted(folder.iterdir())


def test_torch_computes_in_float32_unless_another_precision_is_asked_for(model: Path) -> None:
    describer = models.on_torch(model)
    assert isinstance(describer, Describer)
    assert (describer.runtime, describer.precision) == ("torch", "float32")
    np.testing.assert_allclose(describer.describe(images(3)), Encoder.load(model).describe(images(3)), atol=2e-5)
    assert models.describer(model, runtime="torch").precision == "float32"


def test_bfloat16_is_near_to_float32_and_says_how_near(model: Path, photos: list[Path]) -> None:
    exact, lower = models.on_torch(model), models.on_torch(model, precision="bfloat16", measured_on=photos)
    assert (lower.runtime, lower.precision, lower.identity) == ("torch", "bfloat16", exact.identity)
    assert 0.99 <= lower.agreement < 1
    found = lower.describe(drawn((48, 64), 20))
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    cosines = (found * exact.describe(drawn((48, 64), 20))).sum(axis=1)
    assert np.percentile(cosines, 5) == pytest.approx(lower.agreement, abs=1e-4)
    assert cosines.min() < 1 - 1e-6, "near, and not float32 under another name"


def test_the_aggregation_and_the_whitening_are_in_float32(model: Path, photos: list[Path]) -> None:
    seen: list[torch.dtype] = []
    lower = models.on_torch(model, precision="bfloat16", measured_on=photos)
    for part in (lower._encoder.backbone, lower._encoder.aggregator, lower._encoder.whitening):
        part.register_forward_hook(lambda module, given, found: seen.append(found.dtype))
    lower.describe(images(1))
    assert seen == [torch.bfloat16, torch.float32, torch.float32]


def test_a_lower_precision_is_refused_unmeasured_or_where_it_costs_too_much(
    model: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "small.onnx").write_bytes(b"")
    with pytest.raises(ModelError, match="must be measured first on at least 20 photos, got 19"):
        models.on_torch(model, precision="bfloat16", measured_on=photos[:19])
    with pytest.raises(ModelError, match="float16 is slower than float32 on a CPU; ask for bfloat16"):
        models.on_torch(model, precision="float16", measured_on=photos)
    with pytest.raises(ModelError, match="is an export"):
        models.on_torch(tmp_path / "small.onnx")
    monkeypatch.setattr("sameplace.modelfile.AGREEMENT_WANTED", 1.1)
    with pytest.raises(ModelError, match=r"but only \d\.\d{4} was measured; compute it in float32"):
        models.on_torch(model, precision="bfloat16", measured_on=photos)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_missing_cuda_device_is_told_in_a_sentence(model: Path) -> None:
    with pytest.raises(ModelError, match="torch finds none; compute on device='cpu'"):
        models.on_torch(model, device="cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision_on_cuda_is_near_to_float32_on_the_cpu(model: Path, photos: list[Path], precision: str) -> None:
    lower = models.on_torch(model, precision=precision, device="cuda", measured_on=photos)
    cosines = (lower.describe(drawn((48, 64), 20)) * models.on_torch(model).describe(drawn((48, 64), 20))).sum(axis=1)
    assert cosines.min() > 0.98
