"""What the learning part of a network takes: the halves of an encoder, pixels, frozen maps, descriptors of the moment."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from sameplace.errors import ImageError, TrainingError
from sameplace.images import read_image
from sameplace.network.backbones import Backbone, efficientnet_lite0, mobilenet_v2, resnet18, vgg16
from sameplace.network.encoder import Encoder
from sameplace.network.netvlad import NetVLAD
from sameplace.network.pooling import AveragePooling
from sameplace.network.vocabulary import Vocabulary
from sameplace.network.whitening import PCAWhitening
from sameplace.training import featuremaps
from sameplace.training.augmentation import MILD
from sameplace.training.depthwise import QuickDepthwise
from sameplace.training.descriptors import Descriptors, described
from sameplace.training.featuremaps import FeatureMaps
from sameplace.training.inputs import Inputs, Pixels, ahead
from sameplace.training.learner import Learner, arithmetic

SIZE = (40, 48)


def encoder(trainable_from: str | None = "block1", *, seed: int = 0) -> Encoder:
    torch.manual_seed(seed)
    backbone = efficientnet_lite0(cut="block1", trainable_from=trainable_from)
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):  # statistics that are not those of a fresh layer
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.05, 0.2)
    layer = NetVLAD(backbone.channels, 4)
    layer.initialise(Vocabulary.learn(torch.randn(100, backbone.channels), clusters=4))
    return Encoder(backbone, layer, size=SIZE)


def rows(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    paths = [folder / f"{number}.png" for number in range(7)]
    for path in paths:
        coarse = rng.integers(0, 255, (6, 8, 3), np.uint8)
        Image.fromarray(coarse).resize((80, 60), Image.Resampling.BICUBIC).save(path)
    return paths


@pytest.fixture
def with_a_broken_one(photos: list[Path], tmp_path: Path) -> list[Path]:
    broken = tmp_path / "broken.png"
    broken.write_bytes(photos[0].read_bytes()[:60])
    return [*photos[:2], broken, *photos[2:4]]


@pytest.mark.parametrize(
    ("backbone", "lowest"),
    [
        (lambda: vgg16(cut="conv3_1", trainable_from="conv2_2"), "conv2_2"),
        (lambda: resnet18(cut="conv3", trainable_from="conv3"), "conv3"),
        (lambda: mobilenet_v2(cut="4", trainable_from="3"), "3"),
        (lambda: efficientnet_lite0(cut="block4", trainable_from="block3"), "block3"),
        (lambda: efficientnet_lite0(cut="block1", trainable_from="all"), "all"),
        (lambda: efficientnet_lite0(cut="block1"), "none"),
    ],
)
def test_the_frozen_and_the_learning_half_make_the_whole(backbone, lowest: str) -> None:
    torch.manual_seed(0)
    trunk = backbone()
    whole = Encoder(trunk, AveragePooling(trunk.channels), size=SIZE).eval()
    learner = Learner(whole)
    images = torch.rand(2, 3, *SIZE) * 255
    assert torch.allclose(learner(learner.below(images)), whole(images), atol=1e-6)
    assert (learner.frozen is None) == (lowest == "all")
    assert torch.allclose(learner.learning(learner.below(images)), whole.aggregator(trunk(images)), atol=1e-6)
    learnt = {id(parameter) for parameter in whole.parameters() if parameter.requires_grad}
    above = {id(parameter) for part in (learner.trunk, learner.aggregator) for parameter in part.parameters()}
    assert learnt <= above


def test_a_learner_gives_descriptors_without_the_whitening() -> None:
    whole = encoder()
    whole.whitening = PCAWhitening(whole.aggregator.output_dim, 3)
    learner = Learner(whole)
    assert learner.dim == 96
    assert learner(learner.below(torch.rand(2, 3, *SIZE))).shape == (2, 96)


def test_the_weights_that_learn_are_the_encoders_own() -> None:
    whole = encoder()
    before, learner = whole.identity, Learner(whole)
    (learner(learner.below(torch.rand(1, 3, *SIZE) * 255)) * torch.randn(96)).sum().backward()
    with torch.no_grad():
        for weight in learner.parameters():
            if weight.grad is not None:
                weight -= weight.grad
    assert whole.identity != before


def test_any_network_that_is_frozen_whole_is_frozen_and_one_of_a_users_own_learns_whole() -> None:
    own = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU())
    learning = Learner(Encoder(own, AveragePooling(5), size=SIZE))
    assert learning.frozen is None
    assert learning.trunk is own
    frozen = Learner(Encoder(own.requires_grad_(False), AveragePooling(5), size=SIZE))
    assert frozen.frozen is own
    images = torch.rand(1, 3, *SIZE)
    assert torch.equal(frozen(frozen.below(images)), learning(learning.below(images)))


def test_batch_normalisation_keeps_its_statistics_while_its_scale_learns() -> None:
    learner = Learner(encoder("all")).train()
    kept = {name: value.clone() for name, value in learner.named_buffers()}
    learner(learner.below(torch.rand(3, 3, *SIZE) * 255))[0].sum().backward()
    assert any("running_mean" in name for name in kept)
    assert all(torch.equal(value, kept[name]) for name, value in learner.named_buffers())
    norms = [module for module in learner.modules() if isinstance(module, nn.BatchNorm2d)]
    assert all(module.weight.grad is not None for module in norms)


def test_the_descriptor_of_an_image_does_not_depend_on_what_it_is_learnt_with() -> None:
    learner = Learner(encoder("all")).train()
    images = torch.rand(3, 3, *SIZE) * 255
    assert torch.allclose(learner(learner.below(images))[:1], learner(learner.below(images[:1])), atol=1e-6)


@pytest.mark.parametrize(("kernel", "padding", "bias"), [(5, 2, False), (5, 0, True), (7, (3, 1), False)])
def test_the_quick_gradient_of_a_depthwise_convolution_is_the_gradient(kernel: int, padding: object, bias: bool) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(6, 6, kernel, padding=padding, groups=6, bias=bias)
    maps = torch.randn(3, 6, 9, 11, requires_grad=True)
    direction = torch.randn_like(layer(maps))

    def gradients() -> list[Tensor]:
        with arithmetic("bfloat16", torch.device("cpu")):
            made = layer(maps)
        return [made, *torch.autograd.grad((made.float() * direction).sum(), [maps, *layer.parameters()])]

    plain = gradients()
    with QuickDepthwise():
        quick = gradients()
    for one, other in zip(quick, plain, strict=True):
        assert one.dtype == other.dtype
        assert torch.allclose(one.float(), other.float(), atol=0.01 * float(other.detach().abs().max()))


@pytest.mark.parametrize(
    "layer", [nn.Conv2d(6, 6, 5, stride=2, groups=6), nn.Conv2d(6, 12, 5, groups=6), nn.Conv2d(6, 6, 3, groups=6)]
)
def test_other_convolutions_are_left_alone(layer: nn.Conv2d) -> None:
    maps = torch.randn(2, 6, 9, 9)
    with arithmetic("bfloat16", torch.device("cpu")):
        expected = layer(maps)
        with QuickDepthwise():
            made = layer(maps)
    assert torch.equal(made, expected)
    assert made.grad_fn.name() == expected.grad_fn.name()


def test_no_gradient_reaches_the_frozen_layers() -> None:
    learner = Learner(encoder()).train()
    below = learner.below(torch.rand(1, 3, *SIZE))
    assert not below.requires_grad
    learner(below)[0, 0].backward()
    assert all(parameter.grad is None for parameter in learner.frozen.parameters())


def test_half_precision_is_a_context_and_single_precision_is_none() -> None:
    weight = torch.ones(2, 2)
    for precision, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        with arithmetic(precision, torch.device("cpu")):
            assert (weight @ weight).dtype == dtype


def test_pixels_are_those_that_describing_reads(photos: list[Path]) -> None:
    learner = Learner(encoder("all"))
    pixels = Pixels(photos, learner)
    assert isinstance(pixels, Inputs)
    expected = np.stack([read_image(photos[row], SIZE) for row in (3, 1)]).astype(np.float32)
    assert torch.equal(pixels.load(rows(3, 1)), torch.from_numpy(expected).permute(0, 3, 1, 2))


def test_descriptors_from_pixels_are_the_encoders(photos: list[Path]) -> None:
    whole = encoder()
    learner = Learner(whole.train())
    expected = whole.describe(np.stack([read_image(path, SIZE) for path in photos]))
    with torch.no_grad():  # still in evaluation mode as far as batch normalisation goes
        made = learner(Pixels(photos, learner).load(np.arange(len(photos)))).numpy()
    np.testing.assert_allclose(made, expected, atol=1e-6)


def test_a_seed_gives_the_same_variant_and_another_seed_another(photos: list[Path]) -> None:
    pixels = Pixels(photos, Learner(encoder("all")), augmentation=MILD)
    one, same, other = (pixels.load(rows(2), rows(seed)) for seed in (5, 5, 6))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert not torch.equal(one, pixels.load(rows(2)))
    assert torch.equal(one[0], pixels.load(rows(1, 2), rows(9, 5))[1])


def test_without_an_augmentation_a_variant_is_the_image_as_it_is(photos: list[Path]) -> None:
    pixels = Pixels(photos, Learner(encoder("all")))
    assert torch.equal(pixels.load(rows(2), rows(5)), pixels.load(rows(2)))


def test_decoded_images_are_kept_as_far_as_the_budget_goes(photos: list[Path], tmp_path: Path) -> None:
    copies = [tmp_path / path.name for path in photos]
    for path, copy in zip(photos, copies, strict=True):
        copy.write_bytes(path.read_bytes())
    pixels = Pixels(copies, Learner(encoder("all")), keep_bytes=3 * SIZE[0] * SIZE[1] * 3 + 5)
    first = [pixels.load(rows(row)) for row in range(4)]
    for copy in copies:
        copy.unlink()
    assert all(torch.equal(pixels.load(rows(row)), first[row]) for row in range(3))
    with pytest.raises(ImageError, match=r"no photo at .*3\.png"):
        pixels.load(rows(3))


def test_what_cannot_be_read_is_known_by_its_row(with_a_broken_one: list[Path]) -> None:
    pixels = Pixels(with_a_broken_one, Learner(encoder()))
    assert list(pixels.unreadable()) == [2]
    assert "broken.png" in pixels.unreadable()[2].path
    with pytest.raises(ImageError, match=r"broken\.png"):
        pixels.load(rows(1, 2))


class Counted:
    """Inputs that say what was loaded."""

    def __init__(self) -> None:
        self.loaded: list[list[int]] = []

    def __len__(self) -> int:
        return 10

    def load(self, rows: np.ndarray, seeds: np.ndarray | None = None) -> Tensor:
        self.loaded.append(rows.tolist())
        return torch.from_numpy(rows if seeds is None else rows + seeds).float()

    def unreadable(self) -> dict:
        return {}


def test_loading_ahead_keeps_the_order_and_is_one_batch_ahead() -> None:
    inputs = Counted()
    wanted = [(rows(1, 2), None), (rows(3), rows(100)), (rows(4), None), (rows(5), None)]
    loading = ahead(inputs, iter(wanted))
    assert next(loading).tolist() == [1, 2]
    assert len(inputs.loaded) <= 2
    assert [batch.tolist() for batch in loading] == [[103], [4], [5]]
    assert list(ahead(inputs, [])) == []


def test_who_leaves_what_loads_ahead_half_way_does_not_wait_for_it() -> None:
    """Python's collector of garbage may be who leaves, in the very thread on which loading waits: neither would ever go on."""
    go_on = threading.Event()

    class Slow(Counted):
        def load(self, rows: np.ndarray, seeds: np.ndarray | None = None) -> Tensor:
            if self.loaded:
                go_on.wait()
            return super().load(rows, seeds)

    loading = ahead(Slow(), [(rows(1), None), (rows(2), None)])
    next(loading)
    rescue = threading.Timer(10.0, go_on.set)  # so that a failure ends, too
    rescue.start()
    del loading
    waited = go_on.is_set()
    go_on.set()
    rescue.cancel()
    assert not waited


def test_what_goes_wrong_while_loading_ahead_is_told_when_it_is_asked_for(
    photos: list[Path], with_a_broken_one: list[Path]
) -> None:
    loading = ahead(Pixels(with_a_broken_one, Learner(encoder())), [(rows(0), None), (rows(2), None)])
    next(loading)
    with pytest.raises(ImageError, match="broken"):
        next(loading)


def test_kept_maps_are_those_of_the_frozen_layers(photos: list[Path], tmp_path: Path) -> None:
    learner = Learner(encoder())
    maps = FeatureMaps.build(photos, learner, folder=tmp_path, batch=3)
    assert isinstance(maps, Inputs)
    assert len(maps) == len(photos)
    expected = Pixels(photos, learner).load(rows(6, 0, 0))
    loaded = maps.load(rows(6, 0, 0))
    assert loaded.dtype == torch.float32
    assert torch.allclose(loaded, expected, rtol=2**-10, atol=1e-4)


def test_kept_variants_are_those_of_pixels_and_a_seed_picks_one(photos: list[Path], tmp_path: Path) -> None:
    learner = Learner(encoder())
    maps = FeatureMaps.build(photos, learner, folder=tmp_path, augmentation=MILD, views=2, batch=4)
    fresh = Pixels(photos, learner, augmentation=MILD)
    assert torch.allclose(maps.load(rows(1, 4)), fresh.load(rows(1, 4)), rtol=2**-10, atol=1e-4)
    for seed in (4, 7):
        assert torch.allclose(maps.load(rows(3), rows(seed)), fresh.load(rows(3), rows(seed % 2)), rtol=2**-10, atol=1e-4)
    assert not torch.equal(maps.load(rows(3), rows(4)), maps.load(rows(3), rows(7)))


def test_without_kept_variants_an_image_is_altered_afresh(photos: list[Path], tmp_path: Path) -> None:
    learner = Learner(encoder())
    maps = FeatureMaps.build(photos, learner, folder=tmp_path, augmentation=MILD)
    expected = Pixels(photos, learner, augmentation=MILD).load(rows(2, 3), rows(123, 4))
    assert torch.equal(maps.load(rows(2, 3), rows(123, 4)), expected)


def test_bfloat16_maps_lose_nothing_on_disk(photos: list[Path], tmp_path: Path) -> None:
    learner = Learner(encoder())
    maps = FeatureMaps.build(photos, learner, folder=tmp_path, precision="bfloat16", batch=len(photos))
    loaded, fresh = (inputs.load(np.arange(7)) for inputs in (maps, Pixels(photos, learner, precision="bfloat16")))
    assert loaded.dtype == fresh.dtype == torch.bfloat16
    # Below 2^-14 half precision has fewer digits; those numbers are as good as nothing.
    assert torch.equal(loaded.where(fresh.abs() >= 2**-14, 0), fresh.where(fresh.abs() >= 2**-14, 0))


def test_the_file_of_maps_is_open_data(photos: list[Path], tmp_path: Path) -> None:
    maps = FeatureMaps.build(photos, Learner(encoder()), folder=tmp_path, augmentation=MILD, views=1)
    array = np.load(maps.path)
    assert array.dtype == np.float16
    assert array.shape == (7, 2, 16, 20, 24)


def computed(learner: Learner, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of images of each batch that goes through the frozen layers from now on."""
    batches: list[int] = []
    below = learner.below

    def counted(images: Tensor) -> Tensor:
        batches.append(len(images))
        return below(images)

    monkeypatch.setattr(learner, "below", counted)
    return batches


def test_maps_that_are_there_are_not_computed_again(photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = Learner(encoder())
    first = FeatureMaps.build(photos, learner, folder=tmp_path)
    batches = computed(learner, monkeypatch)
    again = FeatureMaps.build(photos, learner, folder=tmp_path)
    assert (again.path, batches) == (first.path, [])
    assert torch.equal(again.load(rows(5)), first.load(rows(5)))


def other_weights(learner: Learner, photos: list[Path]) -> None:
    with torch.no_grad():
        next(learner.frozen.parameters()).add_(0.01)


def other_statistics(learner: Learner, photos: list[Path]) -> None:
    next(iter(learner.frozen.buffers())).add_(0.01)


def a_newer_file(learner: Learner, photos: list[Path]) -> None:
    os.utime(photos[3], ns=(1, 1))


def another_size(learner: Learner, photos: list[Path]) -> None:
    learner.size = (40, 40)


def one_fewer(learner: Learner, photos: list[Path]) -> None:
    photos.pop()


def other_head(learner: Learner, photos: list[Path]) -> None:
    with torch.no_grad():
        learner.aggregator.centroids.add_(1)
        next(learner.trunk.parameters()).add_(1)


@pytest.mark.parametrize(
    ("change", "known"),
    [
        (other_weights, False),
        (other_statistics, False),
        (a_newer_file, False),
        (another_size, False),
        (one_fewer, False),
        (other_head, True),
    ],
)
def test_maps_are_known_by_all_that_they_depend_on(change, known: bool, photos: list[Path], tmp_path: Path) -> None:
    copies = []
    for path in photos:
        copies.append(tmp_path / path.name)
        copies[-1].write_bytes(path.read_bytes())
    learner = Learner(encoder())
    before = FeatureMaps.build(copies, learner, folder=tmp_path)
    change(learner, copies)
    after = FeatureMaps.build(copies, learner, folder=tmp_path)
    assert (after.path == before.path) == known
    expected = Pixels(copies, learner).load(np.arange(len(copies)))
    assert torch.allclose(after.load(np.arange(len(copies))), expected, rtol=2**-10, atol=1e-4)


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("left", [b"", b"half a map"])
def test_a_build_that_was_killed_goes_on_where_it_was(
    left: bytes, photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = Learner(encoder())
    whole = FeatureMaps.build(photos, learner, folder=tmp_path / "whole", batch=2)
    monkeypatch.setattr(featuremaps, "SECONDS_BETWEEN_RECORDS", -1.0)

    def progress(done: int, total: int) -> None:
        if done >= 4:
            raise Killed

    with pytest.raises(Killed):
        FeatureMaps.build(photos, learner, folder=tmp_path / "killed", batch=2, progress=progress)
    (unfinished,) = (tmp_path / "killed").glob("*.npy")
    with unfinished.open("ab") as file:
        file.write(left)
    batches = computed(learner, monkeypatch)
    resumed = FeatureMaps.build(photos, learner, folder=tmp_path / "killed", batch=2)
    assert batches == [2, 1]
    assert resumed.path.read_bytes() == whole.path.read_bytes()


KILLED = """
import os, signal, sys
from sameplace.network.backbones import mobilenet_v2
from sameplace.network.encoder import Encoder
from sameplace.network.pooling import AveragePooling
from sameplace.training import featuremaps
from sameplace.training.learner import Learner
import torch

torch.manual_seed(0)
featuremaps.SECONDS_BETWEEN_RECORDS = -1.0
backbone = mobilenet_v2(cut="2", trainable_from="2")
learner = Learner(Encoder(backbone, AveragePooling(24), size=(40, 48)))

def progress(done, total):
    if done == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)

print(featuremaps.FeatureMaps.build(sys.argv[3:], learner, folder=sys.argv[2], batch=2, progress=progress).path)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no such signal")
def test_a_process_that_is_killed_while_it_computes_maps_loses_nothing_that_it_recorded(photos: list[Path], tmp_path: Path) -> None:
    def build(kill_at: int, folder: str) -> subprocess.CompletedProcess[str]:
        arguments = [sys.executable, "-c", KILLED, str(kill_at), str(tmp_path / folder), *map(str, photos)]
        return subprocess.run(arguments, capture_output=True, text=True, check=False)

    whole = Path(build(0, "whole").stdout.strip()).read_bytes()
    for done in (2, 4, 6):
        assert build(done, "killed").returncode == -signal.SIGKILL
        (record,) = (tmp_path / "killed").glob("*.json")
        assert json.loads(record.read_text())["done"] == done
    assert Path(build(0, "killed").stdout.strip()).read_bytes() == whole


@pytest.mark.parametrize("record", ["", "[]", '{"done": 7}', '{"done": 7, "shape": [9, 9, 9], "problems": {}}'])
def test_a_record_that_says_nothing_true_is_not_believed(record: str, photos: list[Path], tmp_path: Path) -> None:
    learner = Learner(encoder())
    maps = FeatureMaps.build(photos, learner, folder=tmp_path)
    content = maps.path.read_bytes()
    maps.path.with_suffix(".json").write_text(record)
    assert FeatureMaps.build(photos, learner, folder=tmp_path).path.read_bytes() == content


def test_an_image_that_cannot_be_read_is_left_out_and_reported(with_a_broken_one: list[Path], tmp_path: Path) -> None:
    learner = Learner(encoder())
    for _ in ("computed", "found again"):
        maps = FeatureMaps.build(with_a_broken_one, learner, folder=tmp_path, batch=2)
        assert [(row, problem.path) for row, problem in maps.unreadable().items()] == [(2, str(with_a_broken_one[2]))]
        assert maps.load(rows(1, 3)).shape == (2, 16, 20, 24)
        with pytest.raises(ImageError, match=r"broken\.png"):
            maps.load(rows(1, 2))


def test_maps_of_a_network_in_which_everything_learns_are_refused(photos: list[Path], tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="cache_maps"):
        FeatureMaps.build(photos, Learner(encoder("all")), folder=tmp_path)


def test_maps_that_half_precision_cannot_hold_are_refused(photos: list[Path], tmp_path: Path) -> None:
    learner = Learner(encoder())
    nn.init.constant_(learner.frozen.block0.project.normalisation.bias, 1e5)
    with pytest.raises(TrainingError, match="cache_maps=False"):
        FeatureMaps.build(photos, learner, folder=tmp_path)


@pytest.fixture
def moment(photos: list[Path], tmp_path: Path) -> tuple[Learner, Pixels, Descriptors]:
    learner = Learner(encoder()).train()
    pixels = Pixels(photos, learner)
    return learner, pixels, described(learner, pixels, rows(0, 2, 3, 6), into=tmp_path / "now.npy", batch=3)


def test_descriptors_of_the_moment_are_the_learners_in_half_precision(moment) -> None:
    learner, pixels, descriptors = moment
    with torch.no_grad():
        expected = learner(pixels.load(rows(3, 0, 3))).numpy()
    assert (len(descriptors), descriptors.dim, descriptors.rows.tolist()) == (4, 96, [0, 2, 3, 6])
    np.testing.assert_allclose(descriptors.of(rows(3, 0, 3)), expected, atol=2e-4)
    assert learner.trunk.training


def test_descriptors_in_several_files_are_read_as_one(moment, tmp_path: Path) -> None:
    learner, pixels, descriptors = moment
    others = described(learner, pixels, rows(1, 5), into=tmp_path / "more.npy")
    joined = Descriptors.joined(descriptors, others, described(learner, pixels, rows(), into=tmp_path / "none.npy"))
    assert joined.rows.tolist() == [0, 1, 2, 3, 5, 6]
    wanted = joined.of(rows(5, 3, 1, 6))
    np.testing.assert_array_equal(wanted[[0, 2]], others.of(rows(5, 1)))
    np.testing.assert_array_equal(wanted[[1, 3]], descriptors.of(rows(3, 6)))


def test_a_descriptor_that_was_not_made_is_an_error(moment) -> None:
    with pytest.raises(ValueError, match="Image 4 was not described"):
        moment[2].of(rows(3, 4))


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux tells what a process has mapped")
def test_no_file_of_descriptors_or_maps_stays_mapped(moment, photos: list[Path], tmp_path: Path) -> None:
    maps = FeatureMaps.build(photos, moment[0], folder=tmp_path)
    moment[2].of(rows(3))
    maps.load(rows(3))
    mapped = Path("/proc/self/maps").read_text()
    assert not any(str(path) in mapped for path in (maps.path, moment[2].parts[0][0]))


def test_rows_out_of_order_are_refused(moment, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"np\.unique"):
        described(moment[0], moment[1], rows(2, 1), into=tmp_path / "x.npy")


def test_a_network_that_has_diverged_describes_nothing(moment, tmp_path: Path) -> None:
    learner, pixels, _ = moment
    with torch.no_grad():
        learner.aggregator.centroids.fill_(torch.nan)
    with pytest.raises(TrainingError, match="diverged"):
        described(learner, pixels, rows(1), into=tmp_path / "lost.npy")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["now.npy"]


def test_a_file_of_other_descriptors_is_refused(moment, tmp_path: Path) -> None:
    path = moment[2].parts[0][0]
    with pytest.raises(TrainingError, match="describe them again"):
        Descriptors.open(path, rows(1, 2))
    with pytest.raises(TrainingError, match="describe them again"):
        Descriptors.open(tmp_path / "nothing.npy", rows(1, 2))


def test_raw_descriptors_are_of_unit_length_whatever_the_aggregator_gives(photos: list[Path]) -> None:
    class Sum(nn.Module):
        output_dim = 16

        def forward(self, maps: Tensor) -> Tensor:
            return maps.flatten(2).sum(dim=2)

    backbone = efficientnet_lite0(cut="block0", trainable_from="block0")
    assert isinstance(backbone, Backbone)
    learner = Learner(Encoder(backbone, Sum(), size=SIZE))
    made = learner(Pixels(photos, learner).load(rows(0, 1)))
    assert torch.allclose(made, F.normalize(made, dim=1), atol=1e-6)
