"""Int8 from a few numbers beside a model: as an export with photos would make it, and never for another model."""

import json
import shutil
from functools import cache
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from sameplace import models
from sameplace.cli.app import run
from sameplace.errors import ModelError
from sameplace.modelfile import Agreement, read_header
from sameplace.models.exporting import drawn, export, measure_bfloat16, measure_int8
from sameplace.network.backbones import vgg16
from sameplace.network.encoder import Encoder
from sameplace.network.export import export_onnx
from sameplace.network.pooling import AveragePooling
from sameplace.runtime.openvino import OpenVINODescriber
from sameplace.runtime.ranges import MAP_LEVELS, Ranges, ranges_file, rounded, with_int8

openvino = pytest.importorskip("openvino")
SIZE = (48, 64)
SHOW = json.loads((Path(__file__).parents[1] / "docs" / "schema" / "show.json").read_text("utf-8"))


def encoder(seed: int = 0) -> Encoder:
    torch.manual_seed(seed)
    return Encoder(vgg16(cut="conv2_2"), AveragePooling(128), size=SIZE, name="small").eval()


@cache
def taken(model: Path) -> dict[str, tuple[float, float]]:
    """The least and the largest number of every map that a convolution takes, on some images."""
    core = openvino.Core()
    network = core.read_model(str(model.with_suffix(".onnx")))
    names = ["div", "relu", "relu_1", "relu_2"]
    outputs = [
        next(one for node in network.get_ordered_ops() for one in node.outputs() if name in one.get_names()) for name in names
    ]
    shown = openvino.Model([openvino.opset13.result(one) for one in outputs], network.get_parameters(), "maps")
    shown.reshape([12, *SIZE, 3])
    maps = core.compile_model(shown, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([drawn(SIZE, 12)])
    return {name: (float(maps[row].min()), float(maps[row].max())) for row, name in enumerate(names)}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = encoder().save(tmp_path_factory.mktemp("plain") / "small.safetensors")
    export_onnx(path)
    return path


@pytest.fixture
def model(plain: Path, tmp_path: Path) -> Path:
    """A model with ranges beside it."""
    for suffix in (".safetensors", ".onnx"):
        shutil.copy(plain.with_suffix(suffix), tmp_path)
    path = tmp_path / plain.name
    write(path, ranges=taken(plain))
    return path


def write(model: Path, cosine: float = 0.995, **other: object) -> Ranges:
    before = Ranges.beside(model)
    said = {
        "identity": read_header(model)["identity"],
        "ranges": {} if before is None else before.ranges,
        "agreement": Agreement(cosine=cosine, images=12),
        "learnt_on": 12,
        "photos": "drawn ones",
    }
    ranges = Ranges(**said | other)
    ranges_file(model).write_text(ranges.to_json(), "utf-8")
    return ranges


def test_what_is_written_is_what_is_read(model: Path) -> None:
    assert Ranges.beside(model) == write(model)
    assert ranges_file(model).stat().st_size < 2000


def test_a_model_with_ranges_is_computed_in_int8_and_agrees_with_float32(model: Path, plain: Path) -> None:
    describer = models.describer(model, runtime="openvino", threads=1)
    assert (describer.precision, describer.identity) == ("int8", encoder().identity)
    assert describer.agreement == 0.995
    pixels = drawn(SIZE, 20)
    cosines = (describer.describe(pixels) * encoder().describe(pixels)).sum(axis=1)
    assert 0.99 < cosines.min() < 1 - 1e-7, "near, and not float32 under another name"
    assert any(node.get_type_name() == "FakeQuantize" for node in describer.network().get_ordered_ops())
    assert models.describer(plain, runtime="openvino", threads=1).precision != "int8"
    assert models.choose(model, photos=1000).runtime == "openvino"
    assert models.describer(model, photos=1).precision == "float32"


def test_every_map_has_few_levels_and_every_weight_few_steps(plain: Path) -> None:
    network = openvino.Core().read_model(str(plain.with_suffix(".onnx")))
    with_int8(network, taken(plain))
    convolutions = [node for node in network.get_ordered_ops() if node.get_type_name() == "Convolution"]
    assert len(convolutions) == 4
    for number, node in enumerate(convolutions):
        whole = node.input_value(1).get_node().input_value(0).get_node().input_value(0).get_node().get_data()
        assert whole.dtype == np.int8
        assert np.abs(whole).max(axis=(1, 2, 3)).tolist() == [127 if number else 63] * len(whole)
    given = [node for node in network.get_ordered_ops() if node.get_type_name() == "FakeQuantize"]
    assert [node.get_levels() for node in given] == [MAP_LEVELS] * 4


@given(arrays.arrays(np.float32, (3, 2, 2), elements=st.floats(-100, 100, width=32)), st.sampled_from([127.0, 63.5]))
@settings(deadline=None)
def test_a_weight_is_rounded_by_half_a_step_at_most(weights: np.ndarray, steps: float) -> None:
    whole, step = rounded(weights, 1, steps)
    assert np.abs(whole.astype(int)).max() <= int(steps)
    assert np.all(np.abs(whole * step - weights) <= step * 0.5001)


def test_a_single_photo_in_int8_is_compiled_anew_where_the_ranges_are_others(model: Path, plain: Path, tmp_path: Path) -> None:
    pixels = drawn(SIZE, 1)
    first = OpenVINODescriber(model, threads=1, cache=tmp_path / "cache").describe(pixels)
    np.testing.assert_array_equal(OpenVINODescriber(model, threads=1, cache=tmp_path / "cache").describe(pixels), first)
    write(model, ranges={name: (2 * low, 2 * high) for name, (low, high) in taken(plain).items()}, photos="brighter")
    other = OpenVINODescriber(model, threads=1, cache=tmp_path / "cache").describe(pixels)
    assert not np.array_equal(other, first)
    np.testing.assert_array_equal(other, OpenVINODescriber(model, threads=1).describe(pixels))


def test_ranges_that_agree_too_little_are_not_used(model: Path) -> None:
    write(model, cosine=0.98)
    assert OpenVINODescriber(model).precision != "int8"
    with pytest.raises(ModelError, match=r"only 0\.9800 was measured"):
        OpenVINODescriber(model, precision="int8")


def test_ranges_of_another_model_are_refused(model: Path) -> None:
    write(model, identity="0" * 32)
    with pytest.raises(ModelError, match=r"small\.int8\.json was made from another model than small\.safetensors; remove it"):
        OpenVINODescriber(model)


def test_ranges_of_maps_that_the_graph_has_not_are_refused(model: Path) -> None:
    write(model, ranges={"conv99": (0.0, 1.0)})
    with pytest.raises(ModelError, match=r"no tensor conv99 .*; get the model's files again"):
        OpenVINODescriber(model).describe(drawn(SIZE, 1))


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", '{"format_version": 1}', '{"format_version": 99}', '{"format_version": 1, "ranges": {"a": 3}}']
)
def test_ranges_that_cannot_be_read_are_told_in_a_sentence(content: str, model: Path) -> None:
    ranges_file(model).write_text(content)
    with pytest.raises(ModelError, match=r"small\.int8\.json .*(get it again|upgrade sameplace)"):
        OpenVINODescriber(model)


def test_measuring_bfloat16_leaves_the_word_on_int8_to_the_ranges(model: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number, pixels in enumerate(drawn((60, 80), 20)):
        Image.fromarray(pixels).save(photos / f"{number:02}.png")
    measure_bfloat16(model, sorted(photos.iterdir()))
    ranges_file(model).unlink()
    assert set(OpenVINODescriber(model).about.agreement) == {"bfloat16"}


def test_show_tells_how_well_a_model_agrees_in_int8(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["show", str(model), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    jsonschema.validate(told, SHOW)
    assert told["agreement"] == {"int8": {"cosine": 0.995, "images": 12}}


def test_the_published_ranges_belong_to_the_published_model() -> None:
    path = models.find("vgg16-vlad")
    ranges = Ranges.beside(path)
    assert ranges is not None
    assert ranges.identity == read_header(path)["identity"]
    assert ranges.agreement.passed
    assert ranges.agreement.images >= 100
    assert len(ranges.ranges) == 13, "one for each convolution"
    assert f"{ranges.agreement.cosine:.4f}" in (path.parent / "CARD.md").read_text("utf-8")


@pytest.mark.slow
def test_ranges_give_what_an_export_gives(plain: Path, tmp_path: Path) -> None:
    for suffix in (".safetensors", ".onnx"):
        shutil.copy(plain.with_suffix(suffix), tmp_path)
    path = tmp_path / plain.name
    photos = []
    for number, pixels in enumerate(drawn((60, 80), 24)):
        photos.append(tmp_path / f"{number:02}.png")
        Image.fromarray(pixels).save(photos[-1])
    measured = measure_int8(path, photos, described="drawn ones")
    assert measured.passed
    assert measured.images == 12
    exported = export(path, to="openvino", int8=True, calibration=photos, at=tmp_path / "export.xml")
    pixels = drawn(SIZE, 20)
    built = OpenVINODescriber(path, threads=1)
    assert built.precision == "int8"
    cosines = (built.describe(pixels) * OpenVINODescriber(exported.path, threads=1).describe(pixels)).sum(axis=1)
    assert cosines.min() > 0.9999
