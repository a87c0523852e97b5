"""One file from any model: it says what torch says, in whatever precision it passes for."""

import json
import re
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sameplace import datasets, models
from sameplace.cli.app import run
from sameplace.describer import Describer
from sameplace.errors import DatasetError, ModelError
from sameplace.evaluation import precision
from sameplace.evaluation.precision import without_loss
from sameplace.modelfile import About, Agreement
from sameplace.models import exporting
from sameplace.models.exporting import drawn, export, measure_bfloat16
from sameplace.network.backbones import resnet18
from sameplace.network.encoder import Encoder
from sameplace.network.export import export_onnx
from sameplace.runtime.openvino import OpenVINODescriber, chosen_precision, spans_of
from sameplace.runtime.quantisation import written
from test_encoder import images, small_encoder

pytest.importorskip("openvino")
FLOAT = 2e-5
SCHEMAS = {
    verb: json.loads((Path(__file__).parents[1] / "docs" / "schema" / f"{verb}.json").read_text("utf-8"))
    for verb in ("export", "show")
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = small_encoder().save(tmp_path_factory.mktemp("models") / "small.safetensors")
    export_onnx(path)
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number, pixels in enumerate(drawn((60, 80), 24)):
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    return folder


def check_describes_as_torch_does(file: Path, model: Path) -> None:
    torch, describer = Encoder.load(model), models.describer(file)
    np.testing.assert_allclose(describer.describe(images(5)), torch.describe(images(5)), atol=FLOAT)
    for said in ("name", "identity", "size", "dim"):
        assert getattr(describer, said) == getattr(torch, said)


def test_an_onnx_export_is_one_file_and_bfloat16_is_measured_on_photos(model: Path, photos: Path, tmp_path: Path) -> None:
    exported = export(model, at=tmp_path / "one.onnx", calibration=photos)
    assert [path.name for path in tmp_path.iterdir()] == ["one.onnx"]
    assert exported.bytes == exported.path.stat().st_size
    assert exported.difference is not None
    assert exported.difference < 1e-4
    check_describes_as_torch_does(exported.path, model)
    measured = exported.agreement["bfloat16"]
    assert measured.images == 24
    assert measured.passed
    describer = models.describer(exported.path, runtime="openvino")
    if describer.precision == "bfloat16":  # this processor has it
        assert describer.agreement == measured.cosine
        cosines = (describer.describe(drawn((48, 64), 9)) * Encoder.load(model).describe(drawn((48, 64), 9))).sum(axis=1)
        assert 0.98 < cosines.min() < 1 - 1e-6, "near, and not float32 under another name"


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
def test_an_export_shows_what_it_says_of_itself(
    model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    exported = export(
        model, to="onnx" if suffix == ".onnx" else "openvino", at=tmp_path / f"one{suffix}", calibration=sorted(photos.iterdir())
    )
    assert run(["show", str(exported.path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    jsonschema.validate(told, SCHEMAS["show"])
    torch, describer = Encoder.load(model), models.describer(exported.path)
    assert (told["model"], told["identity"], told["size"], told["dim"]) == (torch.name, torch.identity, [48, 64], torch.dim)
    assert (told["runtime"], told["precision"]) == (describer.runtime, describer.precision)
    measured = exported.agreement["bfloat16"]
    assert told["agreement"] == {"bfloat16": {"cosine": measured.cosine, "images": 24}}
    assert run(["show", str(exported.path)]) == 0
    assert f"{measured.cosine:.6g}" in capsys.readouterr().out


def test_a_graph_that_says_nothing_is_told_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, content in (("none.onnx", None), ("broken.onnx", b"nothing"), ("broken.xml", b"<net/>")):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        assert run(["show", str(tmp_path / name)]) == 1
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert str(tmp_path / name) in line


def test_the_verb_exports_for_openvino_and_tells_what_it_measured(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at = tmp_path / "one.xml"
    assert run(["export", str(model), "--to", "openvino", "--at", str(at), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["path"], told["precision"], told["agreement"]) == (str(at), "float32", {})
    assert told["difference"] < 1e-4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.bin", "one.xml"]
    assert told["bytes"] == sum(path.stat().st_size for path in tmp_path.iterdir())
    assert models.describer(at).runtime == "openvino"
    check_describes_as_torch_does(at, model)
    assert run(["export", str(model), "--to", "onnx", "--int8", "--at", str(tmp_path / "two.onnx")]) == 1
    assert "--to openvino" in capsys.readouterr().err


@pytest.mark.parametrize("threads", [1, 3])
def test_openvino_says_what_onnx_runtime_says_whatever_the_batch_and_the_threads(model: Path, threads: int) -> None:
    pixels = images(15)
    expected = models.describer(model, runtime="onnxruntime").describe(pixels)
    describer = OpenVINODescriber(model, threads=threads)
    np.testing.assert_allclose(describer.describe(pixels), expected, atol=FLOAT)
    np.testing.assert_allclose(np.concatenate([describer.describe(one[None]) for one in pixels]), expected, atol=FLOAT)
    assert describer.describe(pixels[:0]).shape == (0, describer.dim)
    with pytest.raises(ValueError, match="48 x 64"):
        describer.describe(images(1, (32, 32)))


@given(count=st.integers(0, 100), threads=st.integers(1, 9), most=st.sampled_from([(4, 1), (16, 4, 1)]))
@settings(deadline=None)
def test_requests_are_all_images_in_order_and_of_few_shapes(count: int, threads: int, most: tuple[int, ...]) -> None:
    spans = list(spans_of(count, threads, most))
    assert [row for span in spans for row in range(span.start, span.stop)] == list(range(count))
    sizes = [span.stop - span.start for span in spans]
    assert set(sizes) <= set(most)
    assert sizes == sorted(sizes, reverse=True)
    for size in set(sizes) - {1}:
        assert sizes.count(size) >= threads, "no core stands idle while others have many"


def test_what_was_compiled_is_kept_and_a_broken_copy_changes_nothing(model: Path, tmp_path: Path) -> None:
    pixels = images(1)
    expected = OpenVINODescriber(model, cache=tmp_path).describe(pixels)
    (kept,) = (tmp_path / "compiled").iterdir()
    whole = kept.read_bytes()
    np.testing.assert_array_equal(OpenVINODescriber(model, cache=tmp_path).describe(pixels), expected)
    assert kept.read_bytes() == whole
    for broken in (b"", whole[:100], whole[: len(whole) // 2] + b"\0\1\2\3" + whole[len(whole) // 2 + 4 :]):
        kept.write_bytes(broken)
        np.testing.assert_array_equal(OpenVINODescriber(model, cache=tmp_path).describe(pixels), expected)
        assert len(kept.read_bytes()) == len(whole), "it was compiled again, and kept"


def test_a_folder_that_cannot_be_written_costs_only_time(model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    expected = OpenVINODescriber(model).describe(images(1))
    np.testing.assert_array_equal(OpenVINODescriber(model, cache=tmp_path / "file").describe(images(1)), expected)


@pytest.mark.slow
def test_int8_is_calibrated_on_some_photos_and_measured_on_others(photos: Path, tmp_path: Path) -> None:
    import torch

    from sameplace.network.pooling import AveragePooling

    torch.manual_seed(0)
    encoder = Encoder(resnet18(cut="conv3"), AveragePooling(128), size=(48, 64), name="small").eval()
    path = encoder.save(tmp_path / "small.safetensors")
    export_onnx(path)
    exported = export(path, to="openvino", int8=True, calibration=photos, at=tmp_path / "small.int8.xml")
    assert exported.agreement["int8"].passed
    assert exported.agreement["int8"].images == 12
    describer = models.describer(path, runtime="openvino")
    assert (describer.precision, describer.identity) == ("int8", encoder.identity)
    cosines = (describer.describe(drawn((48, 64), 9)) * encoder.describe(drawn((48, 64), 9))).sum(axis=1)
    assert 0.98 < cosines.min() < 1 - 1e-6
    encoder.whitening = None
    torch.nn.init.normal_(next(encoder.parameters()))
    encoder.save(path)
    export_onnx(path)
    with pytest.raises(ModelError, match="made from another model"):
        models.describer(path, runtime="openvino")


def said(precision: str = "float32", **cosines: float) -> About:
    agreement = {name: Agreement(cosine=cosine, images=100) for name, cosine in cosines.items()}
    return About(name="m", identity="i", size=(8, 8), precision=precision, agreement=agreement)


def test_a_lower_precision_is_computed_only_where_its_agreement_was_measured_and_passed() -> None:
    assert chosen_precision(said(bfloat16=0.995), "auto", has_bfloat16=True) == "bfloat16"
    assert chosen_precision(said(bfloat16=0.995), "auto", has_bfloat16=False) == "float32"
    assert chosen_precision(said(bfloat16=0.98), "auto", has_bfloat16=True) == "float32"
    assert chosen_precision(said(), "auto", has_bfloat16=True) == "float32"
    assert chosen_precision(said("int8", int8=0.991), "auto", has_bfloat16=True) == "int8"
    with pytest.raises(ModelError, match=r"only 0\.9800 was measured"):
        chosen_precision(said(bfloat16=0.98), "bfloat16", has_bfloat16=True)
    with pytest.raises(ModelError, match="never measured; compute it in float32"):
        chosen_precision(said(), "bfloat16", has_bfloat16=True)
    with pytest.raises(ModelError, match=r"only 0\.9000 was measured"):
        chosen_precision(said("int8", int8=0.9), "auto", has_bfloat16=True)
    with pytest.raises(ModelError, match="--int8"):
        chosen_precision(said(), "int8", has_bfloat16=True)
    with pytest.raises(ModelError, match="exported in int8, not float32"):
        chosen_precision(said("int8", int8=0.999), "float32", has_bfloat16=True)


def test_what_an_export_says_survives_its_writing() -> None:
    about = said("int8", int8=0.99, bfloat16=0.98)
    assert About.from_json(about.to_json(), "m.onnx") == about
    for text in (None, "", "{}", "[]", '{"format_version": 1}', "notjson"):
        with pytest.raises(ModelError, match="no model that sameplace exported"):
            About.from_json(text, "m.onnx")
    with pytest.raises(ModelError, match="upgrade sameplace"):
        About.from_json(about.to_json().replace('"format_version": 1', '"format_version": 9'), "m.onnx")


def test_an_export_that_cannot_be_made_leaves_nothing_behind(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="--calibration"):
        export(model, to="openvino", int8=True, at=tmp_path / "m.xml")
    with pytest.raises(ModelError, match="--to openvino"):
        export(model, int8=True, at=tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=r"ends in \.onnx"):
        export(model, at=tmp_path / "m.xml")
    with pytest.raises(ModelError, match="the graph that belongs to"):
        export(model, at=model.with_suffix(".onnx"))
    with pytest.raises(ModelError, match="There is no folder"):
        export(model, at=tmp_path / "nowhere" / "m.onnx")
    with pytest.raises(ModelError, match="20 photos are needed"):
        export(model, at=tmp_path / "m.onnx", calibration=[])
    assert not list(tmp_path.iterdir())


class Blinder:
    """A describer whose descriptors say as much less as they are noisier, under the name of another precision."""

    runtime, precision = "fake", "int8"

    def __init__(self, describer: Describer, noise: float) -> None:
        self.describer, self.noise, self.rng = describer, noise, np.random.default_rng(0)
        self.name, self.identity, self.dim, self.size = describer.name, describer.identity, describer.dim, describer.size

    def describe(self, images: np.ndarray) -> np.ndarray:
        noisy = self.describer.describe(images) + self.rng.normal(0, self.noise, (len(images), self.dim))
        return (noisy / np.linalg.norm(noisy, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fifty places, photographed twice, a step apart."""
    folder = tmp_path_factory.mktemp("streets")
    rows = ["file,x_m,y_m"]
    for number, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (50, 6, 8, 3), np.uint8)):
        for step in (0, 3):
            name = f"{number:02}-{step}.png"
            Image.fromarray(pixels).resize((64 + step, 48), Image.Resampling.BICUBIC).save(folder / name)
            rows.append(f"{name},{100 * number + step},0")
    (folder / "positions.csv").write_text("\n".join(rows))
    return folder


def test_a_lower_precision_that_finds_fewer_places_is_told_from_one_that_does_not(streets: Path, tiny_describer) -> None:
    dataset = datasets.load(streets)
    comparison = without_loss(Blinder(tiny_describer, 1e-6), tiny_describer, dataset)
    assert comparison.difference["recall@1"] == 0
    assert comparison.report.precision == "int8"
    assert without_loss(tiny_describer, Blinder(tiny_describer, 1.0), dataset).difference["recall@1"] > 0, "more is no loss"
    with pytest.raises(ModelError, match=r"in int8 loses \d+\.\d percentage points of recall@1 on 100 queries .*; use it in"):
        without_loss(Blinder(tiny_describer, 1.0), tiny_describer, dataset)


def test_too_few_photos_cannot_speak_for_a_lower_precision(tmp_path: Path, streets: Path, tiny_describer) -> None:
    (tmp_path / "positions.csv").write_text("\n".join((streets / "positions.csv").read_text().splitlines()[:21]))
    for photo in sorted(streets.glob("*.png"))[:20]:
        (tmp_path / photo.name).write_bytes(photo.read_bytes())
    with pytest.raises(DatasetError, match=r"At least 100 queries .* has 20; validate on more photos"):
        without_loss(tiny_describer, tiny_describer, datasets.load(tmp_path))


@pytest.fixture
def said_to_be_int8(monkeypatch: pytest.MonkeyPatch) -> None:
    """The quantisation itself takes half a minute: `test_int8_is_calibrated_on_some_photos_and_measured_on_others`."""
    monkeypatch.setattr(exporting, "quantise", lambda graph, file, photos, about: written(graph, file, about))


@pytest.mark.usefixtures("said_to_be_int8")
def test_int8_is_validated_by_its_recall_before_it_is_kept(
    model: Path, photos: Path, streets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    at = tmp_path / "m.int8.xml"
    verb = ["export", str(model), "--to", "openvino", "--calibration", str(photos), "--at", str(at), "--validation", str(streets)]
    assert run([*verb, "--int8", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    jsonschema.validate(told, SCHEMAS["export"])
    assert told["validation"]["queries"] == 100
    assert told["validation"]["recall_at_1"] == told["validation"]["recall_at_1_float32"]
    assert run([*verb, "--int8"]) == 0
    assert "recall@1 differs by +0.0 percentage points from that in float32 on 100 queries" in capsys.readouterr().err
    before = at.read_bytes()

    blinded = precision.evaluate
    monkeypatch.setattr(
        precision,
        "evaluate",
        lambda describer, *rest, **named: blinded(
            Blinder(describer, 1.0) if describer.precision == "int8" else describer, *rest, **named
        ),
    )
    assert run([*verb, "--int8"]) == 1
    refused = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.search(r"small in int8 loses .* no significant loss is allowed; use it in float32\.$", refused)
    assert at.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.int8.bin", "m.int8.xml"]
    assert run(verb) == 2
    assert "add --int8" in capsys.readouterr().err
    with pytest.raises(ModelError, match="--int8"):
        export(model, at=tmp_path / "m.onnx", validate=lambda lower, precise: None)


def test_auto_takes_what_is_quickest_for_the_job_and_says_why(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few, many = models.choose(model, photos=1), models.choose(model, photos=1000)
    assert (few.runtime, many.runtime) == ("onnxruntime", "openvino")
    assert "few photos" in few.why
    assert "many photos" in many.why
    assert models.choose(model, photos=20).runtime == "onnxruntime"
    models.describer(model, runtime="openvino").describe(images(1))  # which keeps what it compiled
    assert models.choose(model, photos=20).runtime == "openvino"
    monkeypatch.setattr("sameplace.models.loading.find_spec", lambda name: None)
    without = models.choose(model, photos=1000)
    assert without.runtime == "onnxruntime"
    assert "sameplace[fast]" in without.why


def test_a_graph_beside_its_model_can_say_what_bfloat16_costs(model: Path, photos: Path, tmp_path: Path) -> None:
    for suffix in (".safetensors", ".onnx"):
        (tmp_path / f"small{suffix}").write_bytes(model.with_suffix(suffix).read_bytes())
    before = models.describer(tmp_path / "small.safetensors", runtime="openvino")
    assert before.precision == "float32"
    measured = measure_bfloat16(tmp_path / "small.safetensors", sorted(photos.iterdir()))
    assert measured.images == 24
    after = OpenVINODescriber(tmp_path / "small.safetensors")
    assert after.about.agreement["bfloat16"] == measured
    np.testing.assert_array_equal(
        models.describer(tmp_path / "small.safetensors", runtime="onnxruntime").describe(images(2)),
        models.describer(model, runtime="onnxruntime").describe(images(2)),
    )


def test_index_says_what_computes_and_other_precisions_find_their_places_in_the_atlas(
    model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for suffix in (".safetensors", ".onnx"):
        (tmp_path / f"small{suffix}").write_bytes(model.with_suffix(suffix).read_bytes())
    small = tmp_path / "small.safetensors"
    measure_bfloat16(small, sorted(photos.iterdir()))
    rows = [f"{photo.name},{number * 100},0" for number, photo in enumerate(sorted(photos.iterdir()))]
    table = tmp_path / "positions.csv"
    table.write_text("\n".join(["file,x_m,y_m", *[f"{photos / row}" for row in rows]]))
    atlas = str(tmp_path / "atlas")
    assert run(["index", str(table), "--to", atlas, "--model", str(small), "--runtime", "openvino"]) == 0
    precision = OpenVINODescriber(small).precision
    assert f"small is computed by openvino in {precision}: as asked." in capsys.readouterr().err
    photo = sorted(photos.iterdir())[7]
    assert run(["locate", str(photo), "--atlas", atlas, "--json"]) == 0  # by ONNX Runtime in float32
    told = json.loads(capsys.readouterr().out)
    assert told["matches"][0]["path"] == str(photo)
    assert told["matches"][0]["similarity"] > 0.98
