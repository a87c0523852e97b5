"""The encoder, its file, its graph, and the runtimes that must agree."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from sameplace import models
from sameplace.describer import Describer
from sameplace.errors import MissingExtra, ModelError
from sameplace.modelfile import read_header, tensor_places
from sameplace.network.backbones import efficientnet_lite0, mobilenet_v2, resnet18, vgg16
from sameplace.network.encoder import Encoder
from sameplace.network.export import export_onnx
from sameplace.network.netvlad import NetVLAD
from sameplace.network.pooling import AveragePooling, GeM, MaxPooling
from sameplace.network.vocabulary import Vocabulary
from sameplace.network.whitening import PCAWhitening
from sameplace.runtime.onnx import OnnxDescriber


def small_encoder(assignment_bias: bool = False, name: str = "small") -> Encoder:
    torch.manual_seed(0)
    backbone = mobilenet_v2(cut="3")
    layer = NetVLAD(24, 4, assignment_bias=assignment_bias)
    layer.initialise(Vocabulary.learn(torch.randn(200, 24), clusters=4))
    whitening = PCAWhitening.fit(torch.randn(60, 96), output_dim=16)
    return Encoder(backbone, layer, whitening, size=(48, 64), name=name).eval()


def images(count: int, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *size, 3), dtype=np.uint8)


def test_descriptors_are_unit_vectors_of_the_promised_length() -> None:
    encoder = small_encoder()
    assert isinstance(encoder, Describer)
    descriptors = encoder.describe(images(3))
    assert descriptors.shape == (3, encoder.dim) == (3, 16)
    np.testing.assert_allclose(np.linalg.norm(descriptors, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("aggregator", [MaxPooling(24), AveragePooling(24), GeM(24)])
def test_baselines_make_encoders_too(aggregator: nn.Module, tmp_path: Path) -> None:
    encoder = Encoder(mobilenet_v2(cut="3"), aggregator, size=(32, 32)).eval()
    again = Encoder.load(encoder.save(tmp_path / "pooled.safetensors"))
    np.testing.assert_allclose(again.describe(images(2, (32, 32))), encoder.describe(images(2, (32, 32))), atol=2e-3)


def test_describing_leaves_a_network_in_training_as_it_was() -> None:
    encoder = small_encoder().train()
    encoder.describe(images(1))
    assert encoder.training


@pytest.mark.parametrize("assignment_bias", [False, True])
def test_a_model_file_rebuilds_the_encoder_and_keeps_its_identity(assignment_bias: bool, tmp_path: Path) -> None:
    encoder = small_encoder(assignment_bias)
    path = encoder.save(tmp_path / "model.safetensors", card={"licence": "MIT"})
    loaded = Encoder.load(path)
    np.testing.assert_allclose(loaded.describe(images(4)), encoder.describe(images(4)), atol=5e-3)
    assert read_header(path)["identity"] == loaded.identity == encoder.identity
    assert read_header(path)["card"] == {"name": "small", "licence": "MIT"}
    again = loaded.save(tmp_path / "again.safetensors", card={"licence": "MIT"})
    assert again.read_bytes() == path.read_bytes()


def test_matrices_are_stored_in_half_precision_and_vectors_in_full(tmp_path: Path) -> None:
    places, _ = tensor_places(small_encoder().save(tmp_path / "model.safetensors"))
    for name, place in places.items():
        if not name.endswith("num_batches_tracked"):
            assert place["dtype"] == ("F16" if len(place["shape"]) > 1 else "F32"), name


def test_another_weight_is_another_identity() -> None:
    one, other = small_encoder(), small_encoder()
    assert one.identity == other.identity
    with torch.no_grad():
        next(other.parameters()).view(-1)[0] += 0.5
    assert one.identity != other.identity


def test_a_diverged_model_is_not_written(tmp_path: Path) -> None:
    encoder = small_encoder()
    with torch.no_grad():
        next(encoder.parameters()).view(-1)[0] = float("nan")
    with pytest.raises(ModelError, match="diverged"):
        encoder.save(tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_backbone_of_ones_own_plugs_in_and_must_be_given_again(tmp_path: Path) -> None:
    layer = NetVLAD(6, 3)
    layer.initialise(Vocabulary.learn(torch.randn(50, 6), clusters=3))
    own = nn.Conv2d(3, 6, 4, 4)
    encoder = Encoder(own, layer, size=(16, 16)).eval()
    path = encoder.save(tmp_path / "own.safetensors")
    with pytest.raises(ModelError, match=r"backbone=\.\.\."):
        Encoder.load(path)
    loaded = Encoder.load(path, backbone=nn.Conv2d(3, 6, 4, 4))
    np.testing.assert_allclose(loaded.describe(images(2, (16, 16))), encoder.describe(images(2, (16, 16))), atol=5e-3)


def test_parts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="make it with dim=24"):
        Encoder(mobilenet_v2(cut="3"), NetVLAD(25, 4))
    with pytest.raises(ValueError, match="output_dim"):
        Encoder(mobilenet_v2(cut="3"), nn.Flatten())


@pytest.mark.parametrize("content", [b"", b"no model", b"\xff" * 100])
def test_a_broken_model_file_is_one_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "broken.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match="get the file again"):
        models.describer(tmp_path / "broken.safetensors")


def test_a_model_file_cut_short_is_one_sentence(tmp_path: Path) -> None:
    path = small_encoder().save(tmp_path / "model.safetensors")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match="cut short"):
        Encoder.load(path)


@pytest.mark.parametrize(
    "encoder",
    [
        small_encoder,
        lambda: small_encoder(assignment_bias=True),
        lambda: Encoder(efficientnet_lite0(cut="block3"), AveragePooling(40), size=(33, 47)),
        lambda: Encoder(resnet18(cut="conv2"), GeM(64), size=(32, 32)),
        lambda: Encoder(vgg16(cut="conv2_1"), MaxPooling(128), size=(32, 40)),
    ],
    ids=["netvlad", "netvlad with bias", "efficientnet, odd size", "resnet", "vgg"],
)
def test_the_graph_equals_the_network(encoder, tmp_path: Path) -> None:
    path = encoder().save(tmp_path / "model.safetensors")
    export_onnx(path)
    loaded, exported = Encoder.load(path), OnnxDescriber(path, threads=1)
    pixels = images(3, loaded.size)
    np.testing.assert_allclose(exported.describe(pixels), loaded.describe(pixels), atol=2e-5)
    assert (exported.name, exported.identity, exported.dim, exported.size) == (
        loaded.name,
        loaded.identity,
        loaded.dim,
        loaded.size,
    )


def test_the_graphs_weights_are_the_model_files_own_bytes(tmp_path: Path) -> None:
    path = small_encoder().save(tmp_path / "model.safetensors")
    graph = onnx.load(export_onnx(path), load_external_data=False)
    places, start = tensor_places(path)
    referred = set()
    for weight in graph.graph.initializer:
        if weight.data_location == onnx.TensorProto.EXTERNAL:
            place = {entry.key: entry.value for entry in weight.external_data}
            referred.add((place["location"], int(place["offset"]) - start))
        else:
            assert weight.ByteSize() < 200, weight.name
    wanted = {(path.name, place["data_offsets"][0]) for name, place in places.items() if not name.endswith("num_batches_tracked")}
    assert referred == wanted


def test_a_graph_of_another_file_is_refused(tmp_path: Path) -> None:
    """A longer card moves every weight in the file; a graph of the old file would read nonsense under the right name."""
    path = small_encoder().save(tmp_path / "model.safetensors")
    stale = export_onnx(path).read_bytes()
    loaded = Encoder.load(path)
    loaded.save(path, card={"note": "x" * 5000})
    assert not path.with_suffix(".onnx").exists()
    path.with_suffix(".onnx").write_bytes(stale)
    with pytest.raises(ModelError, match="export it a"):
        models.describer(path)


@pytest.mark.parametrize("header", ["notjson", "{}", "[]", '{"format_version": 1}', '{"format_version": "new"}'])
def test_a_malformed_header_is_one_sentence(header: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(2)}, tmp_path / "model.safetensors", metadata={"sameplace": header})
    with pytest.raises(ModelError, match="get the file again"):
        models.describer(tmp_path / "model.safetensors")


def test_a_network_without_parameters_describes_too() -> None:
    class Plain(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return nn.functional.avg_pool2d(images, 4)

    encoder = Encoder(Plain(), AveragePooling(3), size=(8, 8))
    assert encoder.precision == "float32"
    assert encoder.describe(images(2, (8, 8))).shape == (2, 3)


def test_a_file_keeps_every_argument_of_the_generalised_mean(tmp_path: Path) -> None:
    loaded = Encoder.load(Encoder(mobilenet_v2(cut="3"), GeM(24, floor=1e-3), size=(32, 32)).save(tmp_path / "gem.safetensors"))
    assert isinstance(loaded.aggregator, GeM)
    assert loaded.aggregator.floor == 1e-3


def test_a_graph_has_no_resize() -> None:
    """Photos are brought to size by sameplace.images alone; runtimes differ in how they resize."""
    import sameplace.network.export as export

    operators = {node.op_type for node in export._traced(small_encoder()).graph.node}
    assert "Conv" in operators
    assert not operators & {"Resize", "Upsample"}


def test_images_of_another_size_are_refused(tmp_path: Path) -> None:
    path = small_encoder().save(tmp_path / "model.safetensors")
    export_onnx(path)
    with pytest.raises(ValueError, match="48 x 64"):
        OnnxDescriber(path).describe(images(1, (32, 32)))


def test_a_model_without_a_graph_runs_in_torch(tmp_path: Path) -> None:
    path = small_encoder().save(tmp_path / "model.safetensors")
    assert models.describer(path).runtime == "torch"
    with pytest.raises(ModelError, match=r"no graph model\.onnx beside it"):
        models.describer(path, runtime="onnxruntime")
    export_onnx(path)
    assert models.describer(path).runtime == "onnxruntime"


def test_a_model_that_needs_torch_says_so_where_torch_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = small_encoder().save(tmp_path / "model.safetensors")
    for module in [name for name in sys.modules if name.startswith("sameplace.network")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match=r"sameplace\[train\]"):
        models.describer(path)


def test_a_misspelt_model_is_met_with_the_right_name() -> None:
    with pytest.raises(ModelError, match="did you mean efficientnet-lite0-vlad"):
        models.describer("efficientnet-lite-vlad")


def test_a_missing_model_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nothing\.safetensors"):
        models.describer(tmp_path / "nothing.safetensors")


def test_the_newer_format_of_a_model_asks_for_a_newer_sameplace(tmp_path: Path) -> None:
    path = small_encoder().save(tmp_path / "model.safetensors")
    content = path.read_bytes().replace(b'format_version\\": 1', b'format_version\\": 9')
    path.write_bytes(content)
    with pytest.raises(ModelError, match="upgrade sameplace"):
        models.describer(path)


def test_a_runtime_loads_no_torch(tmp_path: Path) -> None:
    path = small_encoder().save(tmp_path / "model.safetensors")
    export_onnx(path)
    script = (
        "import sys, json; sys.modules['torch'] = None; import numpy as np; from sameplace import models;"
        f"model = models.describer({str(path)!r}); print(json.dumps(model.describe(np.zeros((1, 48, 64, 3), np.uint8)).tolist()))"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    expected = Encoder.load(path).describe(np.zeros((1, 48, 64, 3), np.uint8))
    np.testing.assert_allclose(np.array(json.loads(printed)), expected, atol=2e-5)
