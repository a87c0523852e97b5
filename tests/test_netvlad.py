"""The layer against the triple loop of its equations."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from torch import nn

from sameplace.network.netvlad import NetVLAD, vlad
from sameplace.network.vocabulary import Vocabulary, alpha_of_distances, alpha_of_products, k_means


def local_features(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def layer_of(features: torch.Tensor, clusters: int = 5, **arguments: bool) -> NetVLAD:
    dim = features.shape[1]
    layer = NetVLAD(dim, clusters, **arguments).double()
    samples = features.transpose(1, -1).reshape(-1, dim)
    layer.initialise(Vocabulary.learn(samples, clusters=clusters))
    return layer


@torch.no_grad()
def triple_loop(layer: NetVLAD, features: torch.Tensor) -> torch.Tensor:
    """Equations (1) and (4), word for word, over one image's local features (dim, locations)."""
    dim, locations = features.shape
    residuals = torch.zeros(layer.clusters, dim, dtype=torch.float64)
    for i in range(locations):
        x = features[:, i] / features[:, i].norm() if layer.normalise_features else features[:, i]
        exponents = [
            float(layer.assignment[k] @ x) + (0.0 if layer.bias is None else float(layer.bias[k])) for k in range(layer.clusters)
        ]
        largest = max(exponents)
        total = sum(math.exp(value - largest) for value in exponents)
        for k in range(layer.clusters):
            a = math.exp(exponents[k] - largest) / total
            for j in range(dim):
                residuals[k, j] += a * (x[j] - layer.centroids[k, j]).detach()
    if layer.intra_normalisation:
        for k in range(layer.clusters):
            residuals[k] /= residuals[k].norm()
    return residuals.flatten() / residuals.norm()


@pytest.mark.parametrize("assignment_bias", [False, True])
@pytest.mark.parametrize("intra_normalisation", [False, True])
def test_the_layer_equals_the_triple_loop_of_the_equation(assignment_bias: bool, intra_normalisation: bool) -> None:
    features = local_features(2, 6, 3, 4)
    layer = layer_of(features, assignment_bias=assignment_bias, intra_normalisation=intra_normalisation)
    expected = torch.stack([triple_loop(layer, image.flatten(1)) for image in features])
    assert (layer(features) - expected).abs().max() < 1e-10


def test_the_layer_to_the_letter_also_takes_features_of_any_length() -> None:
    features = 3 * local_features(1, 6, 7)
    layer = layer_of(features, assignment_bias=True, normalise_features=False)
    assert (layer(features)[0] - triple_loop(layer, features[0])).abs().max() < 1e-10


@pytest.mark.parametrize("assignment_bias", [False, True])
def test_a_hard_assignment_is_reached_as_alpha_grows(assignment_bias: bool) -> None:
    features = F.normalize(local_features(3, 8, 50), dim=1)
    layer = layer_of(features, assignment_bias=assignment_bias)
    unit = F.normalize(layer.centroids, dim=1)
    samples = features.transpose(1, 2)
    nearest = torch.cdist(samples, layer.centroids[None]).argmin(2) if assignment_bias else (samples @ unit.T).argmax(2)
    hard = torch.zeros(3, layer.clusters, 50, dtype=torch.float64).scatter_(1, nearest[:, None], 1.0)
    expected = F.normalize(F.normalize(vlad(features, hard, layer.centroids), dim=2).flatten(1), dim=1)
    with torch.no_grad():
        differences = []
        for _ in range(5):
            differences.append(float((layer(features) - expected).abs().max().detach()))
            layer.assignment.mul_(30)
            if layer.bias is not None:
                layer.bias.mul_(30)
    assert differences[-1] < 1e-10 < differences[0]


@pytest.mark.parametrize("assignment_bias", [False, True])
def test_the_gradients_are_those_of_finite_differences(assignment_bias: bool) -> None:
    features = local_features(2, 4, 2, 3).requires_grad_()
    layer = layer_of(features.detach(), clusters=3, assignment_bias=assignment_bias)
    parameters = tuple(layer.parameters())

    def forward(features: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = layer(features)
        return result

    assert torch.autograd.gradcheck(forward, (features, *parameters))


@given(seed=st.integers(0, 1000), batch=st.integers(1, 4), grid=st.lists(st.integers(1, 4), min_size=1, max_size=3))
@settings(deadline=None, max_examples=30)
def test_descriptors_have_unit_length_and_forget_the_order_of_locations(seed: int, batch: int, grid: list[int]) -> None:
    layer = layer_of(local_features(1, 6, 40))
    features = local_features(batch, 6, *grid, seed=seed)
    descriptors = layer(features)
    assert torch.allclose(descriptors.norm(dim=1), torch.ones(batch, dtype=torch.float64))
    locations = features.flatten(2)
    shuffled = locations[:, :, torch.randperm(locations.shape[2], generator=torch.Generator().manual_seed(seed))]
    assert torch.allclose(layer(shuffled), descriptors, atol=1e-12)


def test_the_assignments_of_a_location_add_up_to_one() -> None:
    features = F.normalize(local_features(2, 6, 9), dim=1)
    assert torch.allclose(layer_of(features).assign(features).sum(1), torch.ones(2, 9, dtype=torch.float64))


def test_a_layer_without_a_vocabulary_refuses_to_work() -> None:
    with pytest.raises(RuntimeError, match="initialise"):
        NetVLAD(4, 2)(torch.zeros(1, 4, 2, 2))


def test_a_vocabulary_of_another_network_is_refused() -> None:
    with pytest.raises(ValueError, match="learn it on this network"):
        NetVLAD(4, 2).initialise(Vocabulary.learn(torch.randn(50, 5), clusters=2))


def test_loaded_weights_are_a_vocabulary_but_zeros_are_none() -> None:
    trained, fresh = layer_of(local_features(1, 6, 40)), NetVLAD(6, 5).double()
    fresh.load_state_dict(trained.state_dict())
    assert fresh.initialised
    fresh.load_state_dict(NetVLAD(6, 5).state_dict())
    assert not fresh.initialised


def test_the_first_variant_refuses_features_that_are_not_normalised() -> None:
    with pytest.raises(ValueError, match="unit local features"):
        NetVLAD(4, 2, normalise_features=False)


def test_half_precision_maps_are_aggregated_in_float32() -> None:
    layer = layer_of(local_features(1, 6, 40)).float()
    features = torch.randn(2, 6, 5, 5)
    with torch.autocast("cpu", torch.bfloat16):
        descriptors = layer(features.bfloat16())
    assert descriptors.dtype == torch.float32
    assert torch.allclose(descriptors, layer(features.bfloat16().float()), atol=1e-6)


def test_the_layer_plugs_into_any_network_and_trains() -> None:
    torch.manual_seed(0)
    layer = NetVLAD(4, 3)
    layer.initialise(Vocabulary.learn(torch.randn(100, 4), clusters=3))
    network = nn.Sequential(nn.Conv2d(3, 4, 3), layer, nn.Linear(12, 2))
    images, labels = torch.randn(8, 3, 6, 6), torch.arange(8) % 2
    optimiser = torch.optim.SGD(network.parameters(), lr=0.5)
    losses = []
    for _ in range(60):
        loss = F.cross_entropy(network(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert all(parameter.grad is not None and bool(parameter.grad.any()) for parameter in layer.parameters())


def test_alpha_of_products_gives_the_runner_up_a_hundredth_on_the_mean_gap() -> None:
    features, centroids = F.normalize(local_features(500, 8), dim=1), local_features(6, 8, seed=1)
    products = np.sort((features @ F.normalize(centroids, dim=1).T).numpy(), axis=1)
    gap = np.mean(products[:, -1] - products[:, -2])
    assert alpha_of_products(features, centroids) == pytest.approx(-math.log(0.01) / gap)
    assert math.exp(-alpha_of_products(features, centroids) * gap) == pytest.approx(0.01)


def test_alpha_of_distances_takes_squared_distances_from_features_to_centroids() -> None:
    features, centroids = local_features(500, 8), local_features(6, 8, seed=1)
    squared = np.sort(np.linalg.norm(features.numpy()[:, None] - centroids.numpy()[None], axis=2) ** 2, axis=1)
    assert alpha_of_distances(features, centroids) == pytest.approx(-math.log(0.01) / np.mean(squared[:, 1] - squared[:, 0]))


def test_the_two_alphas_are_different_quantities() -> None:
    vocabulary = Vocabulary.learn(local_features(400, 8).float(), clusters=6)
    assert vocabulary.alpha_of_products != pytest.approx(vocabulary.alpha_of_distances, rel=0.05)


def test_the_layer_starts_as_the_authors_say() -> None:
    vocabulary = Vocabulary.learn(local_features(400, 8).float(), clusters=6)
    first, second = NetVLAD(8, 6), NetVLAD(8, 6, assignment_bias=True)
    first.initialise(vocabulary)
    second.initialise(vocabulary)
    c = vocabulary.centroids
    assert torch.allclose(first.assignment, vocabulary.alpha_of_products * c / c.norm(dim=1, keepdim=True))
    assert torch.allclose(second.assignment, 2 * vocabulary.alpha_of_distances * c)
    assert second.bias is not None
    assert torch.allclose(second.bias, -vocabulary.alpha_of_distances * c.norm(dim=1) ** 2)
    assert torch.equal(first.centroids, c)


def test_k_means_is_as_good_as_scikit_learns() -> None:
    centres = 4 * local_features(7, 5, seed=2)
    points = (centres[torch.arange(700) % 7] + local_features(700, 5, seed=3)).float()
    ours = k_means(points, clusters=7)
    inertia = float(torch.cdist(points, ours).min(1).values.square().sum())
    assert inertia <= 1.02 * KMeans(7, n_init=5, random_state=0).fit(points.numpy()).inertia_


def test_k_means_leaves_no_cluster_empty_and_is_repeatable() -> None:
    points = torch.cat([torch.zeros(50, 3), torch.randn(14, 3, generator=torch.Generator().manual_seed(0))])
    first, second = k_means(points, clusters=10), k_means(points, clusters=10)
    assert torch.equal(first, second)
    assert len(torch.unique(torch.cdist(points, first).argmin(1))) == 10


def test_too_few_local_features_for_the_clusters_are_refused() -> None:
    with pytest.raises(ValueError, match="sample more images"):
        k_means(torch.randn(3, 2), clusters=4)


def test_local_features_that_are_all_alike_have_no_alpha() -> None:
    with pytest.raises(ValueError, match="more varied"):
        alpha_of_products(torch.ones(10, 3), torch.ones(2, 3))


@pytest.mark.parametrize(("assignment_bias", "normalise_features"), [(False, True), (True, True), (True, False)])
def test_a_layer_that_learns_gives_what_equation_1_gives_however_its_maps_lie(assignment_bias, normalise_features) -> None:
    layer = NetVLAD(8, 4, assignment_bias=assignment_bias, normalise_features=normalise_features, intra_normalisation=False)
    layer.initialise(Vocabulary.learn(local_features(60, 8).float(), clusters=4))
    features = local_features(3, 8, 5, 6, seed=1).float()
    features[0, :, 0, 0] = 0  # a place where the trunk sees nothing
    local = F.normalize(features.flatten(2), dim=1) if normalise_features else features.flatten(2)
    expected = F.normalize(vlad(local, layer.assign(local), layer.centroids).flatten(1), dim=1).detach()
    slopes = []
    for maps in (features, features.contiguous(memory_format=torch.channels_last)):
        given = maps.clone().requires_grad_()
        with torch.no_grad():
            torch.testing.assert_close(layer(given), expected, atol=1e-6, rtol=0)
        learning = layer(given)
        torch.testing.assert_close(learning.detach(), expected, atol=1e-6, rtol=0)
        learning[:, ::3].sum().backward()
        assert given.grad is not None
        slopes.append(given.grad[1:])
    assert bool(slopes[0].any())
    torch.testing.assert_close(*slopes, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("grid", [(40, 60), (30, 40), (3, 5)])
def test_maps_of_any_size_are_described_alike_alone_together_and_while_learning(grid: tuple[int, int]) -> None:
    layer = NetVLAD(8, 4)
    layer.initialise(Vocabulary.learn(local_features(60, 8).float(), clusters=4))
    features = local_features(5, 8, *grid, seed=1).float()
    with torch.no_grad():
        together, alone = layer(features), torch.cat([layer(features[place : place + 1]) for place in range(5)])
        nothing = layer(features[:0])
    assert nothing.shape == (0, 32)
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)
    torch.testing.assert_close(together, layer(features).detach(), atol=1e-6, rtol=0)
