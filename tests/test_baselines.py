"""The baselines of the results table: against the definitions, and honest about what they learn from."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from sameplace import Describer, datasets, evaluate, models
from sameplace.datasets import Dataset, WithinFrames
from sameplace.errors import DatasetError, ImageError, MissingExtra, ModelError
from sameplace.evaluation import rootsift
from sameplace.evaluation.baselines import NAMES, Thumbnails, contender
from sameplace.evaluation.rootsift import RootSiftVlad, k_means, root_sift, vlad, whiten
from sameplace.images import ImageRecord, View
from sameplace.models.loading import baselines, describer
from sameplace.network.encoder import Encoder

NOISE = np.random.default_rng(0)


@pytest.fixture(scope="module", autouse=True)
def _coarse_grid() -> Iterator[None]:
    """A sixteenth of the local features: enough for photos as plain as these."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rootsift, "STEP", 64)
        yield


def scene(seed: int) -> Image.Image:
    """Coarse random blocks: every scene differs from every other, and looks like itself when darker."""
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8)).resize((160, 120), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Forty places, each by day and darker."""
    folder = tmp_path_factory.mktemp("walk")
    for number in range(40):
        scene(number).save(folder / f"day {number:02}.png")
        scene(number).point(lambda level: level // 2 + 20).save(folder / f"night {number:02}.png")
    parts = [tuple(ImageRecord(path=path) for path in sorted(folder.glob(f"{part} *"))) for part in ("day", "night")]
    return Dataset(name="walk", database=parts[0], queries=parts[1], truth=WithinFrames(0))


@pytest.fixture(scope="module")
def learnt(walk: Dataset) -> RootSiftVlad:
    made = contender("rootsift-vlad", walk)
    assert isinstance(made, RootSiftVlad)
    return made


@pytest.mark.parametrize("name", NAMES)
def test_a_baseline_is_a_describer_that_finds_a_darker_photo_again(name: str, walk: Dataset, learnt: RootSiftVlad) -> None:
    made = learnt if name == "rootsift-vlad" else contender(name, walk)
    assert isinstance(made, Describer)
    assert made.name == name
    report = evaluate(made, walk, recall_at=(1, 5))
    assert report.recall[1] > 0.9
    assert (report.model, report.descriptor) == (name, made.dim)


def test_every_other_name_is_a_models(walk: Dataset) -> None:
    assert contender(models.DEFAULT_MODEL, walk).name == models.DEFAULT_MODEL
    with pytest.raises(ModelError, match="efficientnet-lite0-vlad"):
        contender("efficientnet-lite0-vald", walk)


@settings(max_examples=20, deadline=None)
@given(arrays(np.uint8, (2, 32, 32, 3)))
def test_a_thumbnail_has_unit_length_whatever_it_shows(images) -> None:
    descriptors = Thumbnails().describe(images)
    np.testing.assert_allclose(np.linalg.norm(descriptors, axis=1), 1, rtol=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 50), st.floats(0.3, 0.9))
def test_a_thumbnail_does_not_mind_light_and_contrast(lift: int, contrast: float) -> None:
    image = NOISE.integers(0, 200, (1, 32, 32, 3)).astype(np.uint8)
    lit = (image * contrast + lift).round().astype(np.uint8)
    assert float(Thumbnails().describe(image)[0] @ Thumbnails().describe(lit)[0]) > 0.999


def test_vlad_is_the_sum_of_residuals_to_the_nearest_centroid() -> None:
    features, centroids = (NOISE.normal(size=(count, 5)).astype(np.float32) for count in (30, 4))
    sums = np.zeros((4, 5))
    for feature in features:
        nearest = min(range(4), key=lambda cluster: np.linalg.norm(feature - centroids[cluster]))
        sums[nearest] += feature - centroids[nearest]
    normalised = [row / np.linalg.norm(row) if row.any() else row for row in sums]
    expected = np.concatenate(normalised) / np.linalg.norm(np.concatenate(normalised))
    np.testing.assert_allclose(vlad(features, centroids), expected, atol=1e-5)


def test_a_root_sift_squared_sums_to_one() -> None:
    features = root_sift(np.asarray(scene(3).resize((96, 80))))
    assert features.shape[1] == 128
    np.testing.assert_allclose(np.square(features).sum(axis=1), 1, atol=1e-3)


def test_a_photo_without_any_structure_has_a_descriptor_all_the_same(learnt: RootSiftVlad) -> None:
    descriptors = learnt.describe(np.zeros((1, 480, 640, 3), np.uint8))
    np.testing.assert_allclose(np.linalg.norm(descriptors, axis=1), 1, rtol=1e-5)


def test_k_means_is_as_good_as_scikit_learns() -> None:
    centres = NOISE.normal(size=(8, 6)) * 5
    features = (centres[NOISE.integers(0, 8, 2000)] + NOISE.normal(size=(2000, 6))).astype(np.float32)

    def spread(centroids) -> float:
        return float(np.square(features[:, None] - centroids[None]).sum(axis=2).min(axis=1).mean())

    ours = min(spread(k_means(features, 8, np.random.default_rng(seed))) for seed in range(3))
    theirs = KMeans(8, n_init=3, random_state=0).fit(features).cluster_centers_
    assert ours < spread(theirs) * 1.02


def test_more_clusters_than_features_is_told() -> None:
    with pytest.raises(ValueError, match="64 clusters need at least as many local features, got 3"):
        k_means(np.eye(3, dtype=np.float32), 64, NOISE)


def test_whitening_is_scikit_learns_up_to_signs() -> None:
    descriptors = (NOISE.normal(size=(50, 80)) @ NOISE.normal(size=(80, 80))).astype(np.float32)
    ours = whiten(descriptors, 10)
    projected = (descriptors - ours.mean) @ ours.projection.T
    theirs = PCA(10, whiten=True, svd_solver="full").fit_transform(descriptors)
    np.testing.assert_allclose(np.abs(projected), np.abs(theirs), rtol=1e-2, atol=1e-3)


def test_the_same_photos_teach_the_same_and_others_something_else(walk: Dataset, learnt: RootSiftVlad) -> None:
    assert contender("rootsift-vlad", walk).identity == learnt.identity
    others = contender("rootsift-vlad", walk, learn_from=[image.path for image in walk.database[:20]])
    assert others.identity != learnt.identity
    assert isinstance(others, RootSiftVlad)
    assert (learnt.learnt_on, others.learnt_on) == ("the 40 database images of walk", "20 photos that were given")
    assert (learnt.dim, others.dim) == (20, 10)


def test_the_vocabulary_never_sees_a_query(walk: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(rootsift.RootSiftVlad, "learn", lambda photos, **_: seen.extend(photos) or Thumbnails())
    views = tuple(View(path=image.path, turns=1) for image in walk.database)
    mixed = Dataset(
        name="mixed",
        database=(*walk.database, *walk.queries[:5]),
        queries=walk.queries,
        truth=WithinFrames(0),
        database_views=(*views, *(View(path=image.path) for image in walk.queries[:5])),
    )
    contender("rootsift-vlad", mixed)
    assert seen == list(views)
    alone = Dataset(name="alone", database=walk.database, queries=walk.database, truth=WithinFrames(0))
    with pytest.raises(DatasetError, match="at least 40 database images that are no queries, and alone has 0"):
        contender("rootsift-vlad", alone)


def test_a_photo_to_learn_from_that_cannot_be_read_is_told(tmp_path: Path, walk: Dataset) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    photos = [*(image.path for image in walk.database[:20]), tmp_path / "broken.png"]
    with pytest.raises(ImageError, match=r"broken\.png"):
        RootSiftVlad.learn(photos)
    with pytest.raises(ValueError, match="A whitening needs 4 photos at least, got 3"):
        RootSiftVlad.learn(photos[:3])


def test_without_opencv_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    with pytest.raises(MissingExtra, match=r"sameplace\[verify\]"):
        root_sift(np.zeros((32, 32, 3), np.uint8))


def test_each_published_trunk_has_its_three_baselines() -> None:
    assert set(baselines()) == {
        f"{trunk}-{kind}" for trunk in ("efficientnet-lite0", "vgg16") for kind in ("max", "average", "vlad-raw")
    }
    assert not set(baselines()) & {model.name for model in models.published()}


@pytest.fixture(scope="module")
def small_trunk() -> tuple[Encoder, np.ndarray, torch.Tensor]:
    encoder = Encoder.load(models.find("efficientnet-lite0-vlad"))
    images = NOISE.integers(0, 256, (2, *encoder.size, 3), np.uint8)
    with torch.no_grad():
        local = encoder.backbone(torch.from_numpy(images).permute(0, 3, 1, 2).float())
    return encoder, images, local


@pytest.mark.parametrize("kind", ["max", "average", "vlad-raw"])
def test_a_baseline_is_its_aggregation_of_the_models_local_features(kind: str, small_trunk) -> None:
    encoder, images, local = small_trunk
    with torch.no_grad():
        expected = {
            "max": F.normalize(local.amax(dim=(2, 3)), dim=1),
            "average": F.normalize(local.mean(dim=(2, 3)), dim=1),
            "vlad-raw": encoder.aggregator(local),
        }[kind]
    made = describer(f"efficientnet-lite0-{kind}")
    assert (made.name, made.runtime, made.size) == (f"efficientnet-lite0-{kind}", "torch", encoder.size)
    assert made.dim == (64 * 112 if kind == "vlad-raw" else 112)
    np.testing.assert_allclose(made.describe(images), expected.numpy(), atol=1e-5)
    assert made.identity != encoder.identity


def test_a_baseline_has_no_graph() -> None:
    with pytest.raises(ModelError, match="let torch compute it"):
        describer("vgg16-max", runtime="onnxruntime")


def test_a_baseline_without_torch_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name}", name="torch")

    monkeypatch.setattr("sameplace.models.loading.import_module", missing)
    with pytest.raises(MissingExtra, match=r"The baseline vgg16-max needs .*sameplace\[train\]"):
        describer("vgg16-max")


@pytest.mark.data
def test_a_trunk_is_better_than_thumbnails_at_night(data_folder: Path) -> None:
    dataset = datasets.load("gardens-point", root=data_folder / "gardens_point")
    floor = evaluate(contender("thumbnails", dataset), dataset).recall[1]
    assert floor < evaluate(contender("efficientnet-lite0-max", dataset), dataset).recall[1]
