"""Why two photos are similar: what their locations contribute adds up to the similarity, whichever runtime tells it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sameplace import models
from sameplace.atlas import Atlas
from sameplace.atlas.estimate import Match
from sameplace.atlas.why import why, write_why
from sameplace.cli.app import run
from sameplace.errors import ImageError, MissingExtra, ModelError
from sameplace.geo import LocalPoint
from sameplace.images import read_image
from sameplace.models.why import Explainer, Vocabulary, contributions, seen
from sameplace.network.backbones import mobilenet_v2
from sameplace.network.encoder import Encoder
from sameplace.network.export import export_onnx
from sameplace.network.netvlad import NetVLAD
from sameplace.network.pooling import GeM
from sameplace.network.vocabulary import Vocabulary as Learnt
from sameplace.pages.panel import GAP, HEIGHT, glowing, panel
from sameplace.runtime.trunk import OnnxTrunk
from test_encoder import images, small_encoder

PINNED = Path(__file__).parent / "pinned"
FLOAT = 2e-5


def vocabulary(rng: np.random.Generator, *, whitened: bool, intra: bool, unit: bool = False) -> Vocabulary:
    clusters, dim = 3, 5
    return Vocabulary(
        assignment=3 * rng.normal(size=(clusters, dim)),
        bias=rng.normal(size=clusters),
        centroids=rng.normal(size=(clusters, dim)),
        whitening=rng.normal(size=(7, clusters * dim)) if whitened else None,
        shift=rng.normal(size=7) if whitened else None,
        normalise_features=unit,
        intra_normalisation=intra,
    )


@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 12), st.booleans(), st.booleans(), st.booleans())
@settings(deadline=None, max_examples=60)
def test_what_locations_contribute_adds_up_to_the_similarity(
    seed: int, here: int, there: int, whitened: bool, intra: bool, unit: bool
) -> None:
    rng = np.random.default_rng(seed)
    words = vocabulary(rng, whitened=whitened, intra=intra, unit=unit)
    first, second = (seen(rng.normal(size=(5, count)), words) for count in (here, there))
    for photo, other in ((first, second), (second, first)):
        parts, elsewhere = contributions(photo, other.descriptor, words)
        assert parts.sum() + elsewhere == pytest.approx(first.descriptor @ second.descriptor, abs=1e-9)
        assert whitened or elsewhere == 0


@pytest.mark.parametrize("whitened", [True, False])
def test_the_part_of_a_location_is_what_its_own_residuals_are_worth(whitened: bool) -> None:
    rng = np.random.default_rng(0)
    words = vocabulary(rng, whitened=whitened, intra=True)
    photo, other = (seen(rng.normal(size=(5, 6)), words) for _ in range(2))
    parts, _ = contributions(photo, other.descriptor, words)
    for location in range(6):
        alone = np.stack(
            [
                photo.assigned[cluster, location] * (photo.local[:, location] - words.centroids[cluster]) * photo.scales[cluster]
                for cluster in range(3)
            ]
        ).ravel()
        vector = alone if words.whitening is None else words.whitening @ alone
        assert parts[location] == pytest.approx(other.descriptor @ vector / photo.length, abs=1e-12)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = small_encoder(assignment_bias=True).save(tmp_path_factory.mktemp("models") / "small.safetensors")
    export_onnx(path)
    return path


def bare(folder: Path) -> Path:
    """A model without whitening and without a graph beside it."""
    torch.manual_seed(1)
    layer = NetVLAD(24, 4)
    layer.initialise(Learnt.learn(torch.randn(200, 24), clusters=4))
    return Encoder(mobilenet_v2(cut="3"), layer, size=(48, 64), name="bare").save(folder / "bare.safetensors")


def test_a_graph_without_torch_explains_as_torch_does(model: Path, tmp_path: Path) -> None:
    alone = tmp_path / model.name
    alone.write_bytes(model.read_bytes())
    pictures, descriptors = images(2), Encoder.load(model).describe(images(2))
    maps = []
    for file in (model, alone):
        explainer = Explainer(file)
        first, second = (explainer.see(picture) for picture in pictures)
        maps.append(explainer.why(first, second))
        assert maps[-1].similarity == pytest.approx(float(descriptors[0] @ descriptors[1]), abs=FLOAT)
        assert explainer.why(second, first).similarity == pytest.approx(maps[-1].similarity, abs=1e-9)
    assert maps[0].locations.shape == (12, 16)
    np.testing.assert_allclose(maps[0].locations, maps[1].locations, atol=FLOAT)


def test_a_model_without_whitening_is_explained_too(tmp_path: Path) -> None:
    file = bare(tmp_path)
    explainer, descriptors = Explainer(file), Encoder.load(file).describe(images(2))
    told = explainer.why(*(explainer.see(picture) for picture in images(2)))
    assert told.similarity == pytest.approx(float(descriptors[0] @ descriptors[1]), abs=FLOAT)


def test_the_published_model_is_explained_and_photos_that_share_a_half_are_similar_for_that_half() -> None:
    explainer = Explainer()
    first, second = (read_image(PINNED / f"database-000{number}.jpg", explainer.size) for number in (0, 5))
    mixed = np.concatenate([first[:, :112], second[:, 112:]], axis=1)
    sights = [explainer.see(picture) for picture in (first, mixed)]
    for told in (explainer.why(*sights), explainer.why(*reversed(sights))):
        assert told.locations.shape == (14, 14)
        left, right = told.locations[:, :7].sum(), told.locations[:, 7:].sum()
        assert left > 1.5 * abs(right)
    descriptors = models.describer(runtime="onnxruntime").describe(np.stack([first, mixed]))
    assert told.similarity == pytest.approx(float(descriptors[0] @ descriptors[1]), abs=FLOAT)


def test_a_model_that_pools_has_nothing_to_explain(tmp_path: Path) -> None:
    file = Encoder(mobilenet_v2(cut="3"), GeM(24), size=(32, 32), name="pooled").save(tmp_path / "pooled.safetensors")
    with pytest.raises(ModelError, match="NetVLAD layer was wanted"):
        Explainer(file)
    graph = export_onnx(file)
    with pytest.raises(ModelError, match="no NetVLAD layer"):
        OnnxTrunk(file, (32, 32))
    with pytest.raises(ModelError, match="only the model it was made from"):
        Explainer(graph)


def test_without_a_graph_and_without_torch_the_extra_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name}", name="torch")

    file = bare(tmp_path)
    monkeypatch.setattr("sameplace.models.loading.import_module", missing)
    with pytest.raises(MissingExtra, match=r"pip install 'sameplace\[train\]'"):
        Explainer(file)


def test_what_contributes_more_glows_brighter_and_what_speaks_against_stays_dark() -> None:
    photo = np.full((80, 120, 3), 100, np.uint8)
    lit = glowing(photo, np.array([[-1.0, 0.0, 0.5, 1.0]]), 1.0).astype(float).sum(axis=2)
    dark, nothing, half, most = (lit[40, column] for column in (5, 40, 75, 115))
    assert dark == pytest.approx(nothing, abs=30)
    assert nothing < half < most


def test_a_panel_shows_its_photos_and_lines_leave_their_places() -> None:
    left, right = (np.full((240, 320, 3), shade, np.uint8) for shade in (40, 200))
    plain = np.asarray(panel([left, right], [("left", ""), ("a name that is by far too long " * 9, "")]))
    joined = np.asarray(panel([left, right], [("left", ""), ("right", "")], [((0.5, 0.5), (0.5, 0.5))]))
    assert plain.shape == joined.shape == (56 + HEIGHT + GAP, 3 * GAP + 2 * 640, 3)
    middle = 56 + HEIGHT // 2
    assert (plain[middle, GAP + 100] == 40).all()
    assert (plain[middle, 2 * GAP + 640 + 100] == 200).all()
    assert (plain[middle, GAP + 645] != joined[middle, GAP + 645]).any()
    assert (plain[middle + 40] == joined[middle + 40]).all()


def place(folder: Path, seeds: range) -> Path:
    """Photos of different noise, 100 m apart."""
    folder.mkdir(parents=True)
    for number in seeds:
        pixels = np.random.default_rng(number).integers(0, 255, (12, 16, 3), np.uint8)
        Image.fromarray(pixels).resize((160, 120), Image.Resampling.NEAREST).save(folder / f"{number}.png")
    rows = "".join(f"{number}.png,{100 * number},0\n" for number in seeds)
    (folder / "positions.csv").write_text(f"file,x_m,y_m\n{rows}")
    return folder


def test_pictures_are_written_for_the_matches_that_are_still_there(tmp_path: Path, model: Path) -> None:
    photos = place(tmp_path / "photos", range(6))
    atlas = Atlas.build(photos, at=tmp_path / "a.atlas", model=model)
    estimate = atlas.locate(photos / "2.png", top=3)
    explainer = Explainer(model)
    Path(estimate.matches[1].path).unlink()
    written = write_why(tmp_path / "why", explainer, photos / "2.png", estimate)
    assert [path.name for path in written] == ["2-1.jpg", "2-3.jpg"]
    assert {path.name for path in (tmp_path / "why").iterdir()} == {"2-1.jpg", "2-3.jpg"}
    gone = Match(path=estimate.matches[1].path, similarity=0.5, position=LocalPoint(0.0, 0.0))
    with pytest.raises(ImageError, match="check the path"):
        why(explainer, photos / "2.png", gone)
    one, same = (why(explainer, photo, estimate.matches[0]) for photo in (photos / "2.png", (photos / "2.png").read_bytes()))
    assert one.size == same.size == (3 * GAP + 2 * 640, 56 + HEIGHT + GAP)


def test_locate_writes_the_pictures_and_names_photos_apart_that_are_called_alike(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, other = place(tmp_path / "photos", range(3)), place(tmp_path / "other", range(2))
    Atlas.build(photos, at=tmp_path / "a.atlas", model=model)
    asked = [str(photos / "1.png"), str(other / "1.png"), str(other / "0.png")]
    assert (
        run(["locate", *asked, "--atlas", str(tmp_path / "a.atlas"), "--why", str(tmp_path / "why"), "--json", "--top", "1"]) == 0
    )
    printed = capsys.readouterr()
    assert len([json.loads(line) for line in printed.out.splitlines()]) == 3
    assert sorted(path.name for path in (tmp_path / "why").iterdir()) == ["0-1.jpg", "1-of-1-1.jpg", "1-of-2-1.jpg"]
    assert "3 pictures" in printed.err
