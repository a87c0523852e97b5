"""Vocabulary and whitening from parts: the same as from everything at once, in memory that does not grow with what is seen."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from sameplace.errors import TrainingError
from sameplace.network import vocabulary, whitening
from sameplace.network.encoder import Encoder
from sameplace.network.netvlad import NetVLAD
from sameplace.network.vocabulary import Vocabulary, k_means, sampled_locations
from sameplace.network.whitening import PCAWhitening
from sameplace.training.learner import Learner
from sameplace.training.statistics import learn_vocabulary, learn_whitening


def local_features(count: int, dim: int, *, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    groups = 2 * torch.randn(9, dim, generator=generator)
    return groups[torch.randint(9, (count,), generator=generator)] + torch.randn(count, dim, generator=generator)


class Parts:
    """Points in parts, and how often they were gone through."""

    def __init__(self, points: Tensor, size: int) -> None:
        self.parts, self.rounds = torch.split(points, size), 0

    def __iter__(self) -> Iterator[Tensor]:
        self.rounds += 1
        return iter(self.parts)


@given(st.integers(1, 300), st.integers(2, 12), st.integers(0, 99))
@settings(deadline=None, max_examples=12)
def test_a_vocabulary_from_parts_is_that_of_everything_at_once(size: int, clusters: int, seed: int) -> None:
    features = local_features(240, 5, seed=seed)
    whole = Vocabulary.learn(features, clusters=clusters)
    parts = Vocabulary.learn_from_parts(Parts(features, size), clusters=clusters)
    assert torch.allclose(parts.centroids, whole.centroids, atol=1e-5)
    assert parts.alpha_of_products == pytest.approx(whole.alpha_of_products, rel=1e-4)
    assert parts.alpha_of_distances == pytest.approx(whole.alpha_of_distances, rel=1e-4)


def test_more_points_than_seeds_are_drawn_from_take_part_in_every_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "SEEDED_FROM", 50)
    points = local_features(2_000, 4)
    parts = Parts(points, 300)
    centroids = k_means(parts, clusters=5, iterations=60)
    assert 3 < parts.rounds < 60
    nearest = torch.cdist(points, centroids).argmin(dim=1)
    means = torch.stack([points[nearest == cluster].mean(dim=0) for cluster in range(5)])
    assert torch.allclose(centroids, means, atol=1e-4)


def test_a_cluster_without_points_restarts_at_the_farthest_one() -> None:
    # Two seeds must fall on equal points: there are only two kinds of them near, and one far away that no seed chose yet.
    near = torch.tensor([[0.0, 0.0]]).repeat(50, 1)
    points = torch.cat([near, torch.tensor([[1.0, 0.0], [9.0, 0.0]])])
    centroids = vocabulary._round(torch.split(points, 7), torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]]))
    assert sorted(centroids[:, 0].tolist()) == [0.0, 1.0, 9.0]


def test_two_empty_clusters_restart_at_two_points_and_the_others_go_on_without_them() -> None:
    points = torch.tensor([[0.0], [1.0], [2.0], [50.0], [90.0]])
    centroids = vocabulary._round([points[:2], points[2:]], torch.tensor([[0.0], [-5.0], [-9.0]]))
    assert centroids[:, 0].tolist() == [1.0, 90.0, 50.0]


@given(st.integers(1, 40), st.integers(0, 99))
@settings(deadline=None, max_examples=25)
def test_locations_are_sampled_from_each_map_without_repetition(count: int, seed: int) -> None:
    maps = torch.arange(2 * 3 * 4 * 5).view(2, 3, 4, 5).float()
    sampled = sampled_locations(maps, count, generator=torch.Generator().manual_seed(seed))
    each = min(count, 20)
    assert sampled.shape == (2 * each, 3)
    for number, local in enumerate(maps.flatten(2)):
        taken = sampled[number * each : (number + 1) * each]
        assert len({tuple(feature) for feature in taken.tolist()}) == each
        assert {tuple(feature) for feature in taken.tolist()} <= {tuple(feature) for feature in local.T.tolist()}


@pytest.mark.parametrize(("samples", "dim"), [(300, 40), (50, 120)], ids=["covariance", "Gram matrix"])
def test_a_whitening_is_the_same_whatever_the_parts(samples: int, dim: int, monkeypatch: pytest.MonkeyPatch) -> None:
    descriptors = F.normalize(torch.randn(samples, dim, generator=torch.Generator().manual_seed(0)) + 0.3, dim=1)
    whole = PCAWhitening.fit(descriptors, output_dim=10)
    monkeypatch.setattr(whitening, "NUMBERS_AT_ONCE", 333)
    parts = PCAWhitening.fit(descriptors, output_dim=10)
    assert torch.allclose(whole(descriptors) @ whole(descriptors).T, parts(descriptors) @ parts(descriptors).T, atol=1e-4)


@pytest.mark.parametrize(("samples", "dim"), [(300, 40), (50, 120)], ids=["covariance", "Gram matrix"])
def test_half_precision_descriptors_on_disk_whiten_as_in_memory(samples: int, dim: int, tmp_path: Path) -> None:
    descriptors = F.normalize(torch.randn(samples, dim, generator=torch.Generator().manual_seed(0)) + 0.3, dim=1)
    np.save(tmp_path / "descriptors.npy", descriptors.half().numpy())
    mapped = torch.from_numpy(np.load(tmp_path / "descriptors.npy", mmap_mode="c"))
    one, other = PCAWhitening.fit(descriptors.half().float(), output_dim=10), PCAWhitening.fit(mapped, output_dim=10)
    assert other.weight.dtype == torch.float32
    assert torch.allclose(one.weight, other.weight, atol=1e-3)
    assert torch.allclose(one.bias, other.bias, atol=1e-3)


MEASURED = """
import re, sys
import numpy as np, torch
from sameplace.network.whitening import PCAWhitening
samples, dim, kept = (int(number) for number in sys.argv[2:])
shape = (samples, dim)
file = np.memmap(sys.argv[1], np.float16, "w+", shape=shape)
rng = np.random.default_rng(0)
for row in range(0, samples, 500):
    file[row : row + 500] = rng.standard_normal((min(500, samples - row), dim), np.float32)
file.flush()
del file
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])  # ru_maxrss begins with that of pytest
before = peak()
PCAWhitening.fit(torch.from_numpy(np.memmap(sys.argv[1], np.float16, "c", shape=shape)), output_dim=kept)
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is told in other units elsewhere")
def test_a_whitening_holds_no_copy_of_the_descriptors(tmp_path: Path) -> None:
    samples, dim = 1_000, 60_000
    told = subprocess.run(
        [sys.executable, "-c", MEASURED, str(tmp_path / "file"), str(samples), str(dim), "16"],
        capture_output=True,
        text=True,
        check=True,
    )
    on_disk, as_floats = 2 * samples * dim, 8 * samples * dim
    assert on_disk < as_floats / 3
    # The pages of the file that was read count, a copy in any higher precision would be more.
    assert int(told.stdout) * 1024 < on_disk + 150e6


class Maps:
    """Inputs that are drawn: map number n is normal noise around n."""

    def __init__(self, shift: float = 0.0) -> None:
        self.shift = shift
        self.loaded: list[int] = []

    def __len__(self) -> int:
        return 60

    def load(self, rows: np.ndarray, seeds: np.ndarray | None = None) -> Tensor:
        self.loaded += rows.tolist()
        maps = [torch.randn(6, 3, 4, generator=torch.Generator().manual_seed(int(row))) + self.shift for row in rows]
        return torch.stack(maps) + (0 if seeds is None else 0.5)

    def unreadable(self) -> dict:
        return {}


def learner() -> Learner:
    layer = NetVLAD(6, 3)
    layer.initialise(Vocabulary.learn(local_features(100, 6), clusters=3))
    return Learner(Encoder(nn.Identity(), layer, size=(3, 4)))


def test_the_vocabulary_comes_from_random_images_of_those_allowed(tmp_path: Path) -> None:
    inputs, allowed = Maps(), np.arange(10, 60)
    made = learn_vocabulary(
        learner(), inputs, allowed, clusters=4, images=20, locations=5, rng=np.random.default_rng(0), scratch=tmp_path
    )
    assert made.centroids.shape == (4, 6)
    assert len(inputs.loaded) == len(set(inputs.loaded)) == 20
    assert set(inputs.loaded) <= set(allowed.tolist())
    assert not list(tmp_path.iterdir())


def test_a_vocabulary_of_no_images_is_refused() -> None:
    with pytest.raises(TrainingError, match="there are none"):
        learn_vocabulary(learner(), Maps(), np.arange(0), clusters=4, rng=np.random.default_rng(0))


def test_with_all_locations_of_all_images_the_vocabulary_is_that_of_all_local_features() -> None:
    inputs = Maps()
    rng = np.random.default_rng(0)
    made = learn_vocabulary(learner(), inputs, np.arange(60), clusters=4, images=999, locations=999, iterations=300, rng=rng)
    features = F.normalize(inputs.load(np.arange(60)).flatten(2).permute(0, 2, 1).reshape(-1, 6), dim=1)
    nearest = torch.cdist(features, made.centroids).argmin(dim=1)
    means = torch.stack([features[nearest == cluster].mean(dim=0) for cluster in range(4)])
    assert torch.allclose(made.centroids, means, atol=1e-5)


def test_the_same_seed_gives_the_same_vocabulary_and_another_one_another() -> None:
    first, same, other = (
        learn_vocabulary(learner(), Maps(), np.arange(60), clusters=4, images=20, rng=np.random.default_rng(seed)).centroids
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_a_trunk_that_learns_is_sampled_as_it_is_now() -> None:
    trunk = nn.Conv2d(6, 6, 1)
    layer = NetVLAD(6, 3)
    own = Learner(Encoder(trunk, layer, size=(3, 4)))
    first = learn_vocabulary(own, Maps(), np.arange(60), clusters=3, rng=np.random.default_rng(0))
    nn.init.normal_(trunk.weight)
    assert not torch.equal(
        first.centroids, learn_vocabulary(own, Maps(), np.arange(60), clusters=3, rng=np.random.default_rng(0)).centroids
    )


@pytest.mark.parametrize("power", [0.5, 0.25])
def test_the_whitening_is_that_of_the_learners_descriptors(power: float, tmp_path: Path) -> None:
    own, inputs = learner(), Maps()
    made = learn_whitening(own, inputs, np.arange(60), dim=5, power=power, rng=np.random.default_rng(0), scratch=tmp_path)
    with torch.no_grad():
        descriptors = own(inputs.load(np.arange(60)))
        expected = PCAWhitening.fit(descriptors, output_dim=5, power=power)(descriptors)
        assert torch.allclose(made(descriptors) @ made(descriptors).T, expected @ expected.T, atol=0.02)
    assert not list(tmp_path.iterdir())


def test_no_more_images_are_whitened_from_than_asked_for_and_by_night_half_as_many_twice() -> None:
    inputs, night = Maps(), Maps(shift=1.0)
    learn_whitening(learner(), inputs, np.arange(60), dim=5, images=40, rng=np.random.default_rng(0))
    assert len(set(inputs.loaded)) == 40
    inputs.loaded.clear()
    learn_whitening(learner(), inputs, np.arange(60), dim=5, images=40, rng=np.random.default_rng(0), night=night)
    assert inputs.loaded == night.loaded
    assert len(set(inputs.loaded)) == 20
