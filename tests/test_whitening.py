"""PCA whitening and the pooling baselines, against scikit-learn and the definitions."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.decomposition import PCA

from sameplace.network.pooling import AveragePooling, GeM, MaxPooling
from sameplace.network.whitening import PCAWhitening


def descriptors(samples: int, dim: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(dim, dim, generator=generator) * torch.linspace(2, 0.05, dim)
    return F.normalize(torch.randn(samples, dim, generator=generator) @ mixing.T + 0.3, dim=1)


@pytest.mark.parametrize(("samples", "dim"), [(200, 20), (40, 60)], ids=["more samples than dimensions", "fewer: Gram matrix"])
def test_the_whitening_is_scikit_learns_before_the_last_normalisation(samples: int, dim: int) -> None:
    data = descriptors(samples, dim)
    layer = PCAWhitening.fit(data, output_dim=10)
    expected = PCA(10, whiten=True, svd_solver="full").fit_transform(data.double().numpy())
    ours = F.linear(data, layer.weight, layer.bias).detach().numpy()
    signs = np.sign((expected * ours).sum(axis=0))
    np.testing.assert_allclose(ours, expected * signs, atol=2e-3)


def test_whitened_training_descriptors_are_uncorrelated_and_of_equal_weight() -> None:
    data = descriptors(300, 30)
    whitened = F.linear(data, *PCAWhitening.fit(data, output_dim=12).parameters()).detach().double()
    assert torch.allclose(torch.cov(whitened.T), torch.eye(12, dtype=torch.float64), atol=1e-3)


def test_a_lower_power_keeps_some_weight_of_strong_directions_and_none_keeps_all() -> None:
    data = descriptors(300, 30)
    variances = PCA(12).fit(data.double().numpy()).explained_variance_
    for power in (0.0, 0.25, 0.5):
        layer = PCAWhitening.fit(data, output_dim=12, power=power)
        left = F.linear(data, *layer.parameters()).detach().double().var(dim=0).numpy()
        np.testing.assert_allclose(left, variances ** (1 - 2 * power), rtol=2e-3)


@pytest.mark.parametrize("power", [-0.1, 0.6, float("nan")])
def test_a_power_beyond_a_full_whitening_is_refused(power: float) -> None:
    with pytest.raises(ValueError, match=r"lies in 0\.\.0\.5"):
        PCAWhitening.fit(descriptors(100, 20), output_dim=10, power=power)


def test_both_ways_of_decomposing_agree() -> None:
    data = descriptors(50, 49)
    tall, wide = PCAWhitening.fit(data, output_dim=8), PCAWhitening.fit(torch.cat([data, torch.zeros(50, 20)], dim=1), output_dim=8)
    one, other = tall(data), wide(torch.cat([data, torch.zeros(50, 20)], dim=1))
    assert torch.allclose(one @ one.T, other @ other.T, atol=1e-4)


def test_a_cropped_whitening_gives_the_first_dimensions_at_unit_length() -> None:
    data = descriptors(100, 20)
    layer = PCAWhitening.fit(data, output_dim=10)
    assert torch.allclose(layer.cropped(4)(data), F.normalize(layer(data)[:, :4], dim=1), atol=1e-6)
    with pytest.raises(ValueError, match="Between 1 and 10"):
        layer.cropped(11)


def test_no_more_samples_than_dimensions_are_refused() -> None:
    with pytest.raises(ValueError, match="several times as many"):
        PCAWhitening.fit(torch.randn(10, 20), output_dim=10)


def test_more_dimensions_than_the_descriptors_have_are_refused() -> None:
    with pytest.raises(ValueError, match="ask for fewer"):
        PCAWhitening.fit(torch.randn(100, 20), output_dim=21)


def test_descriptors_that_vary_in_too_few_dimensions_are_refused() -> None:
    alike = descriptors(40, 100).repeat(3, 1)
    with pytest.raises(ValueError, match="vary in 39 only"):
        PCAWhitening.fit(alike, output_dim=64)


@pytest.mark.parametrize("layer", [MaxPooling(3), AveragePooling(3), GeM(3).double()])
def test_pooling_keeps_double_precision_and_has_its_gradients(layer: torch.nn.Module) -> None:
    maps = torch.rand(2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (maps,))


def test_pooling_is_what_its_name_says() -> None:
    maps = torch.rand(2, 4, 3, 5)
    flat = maps.flatten(2)
    assert torch.allclose(MaxPooling(4)(maps), F.normalize(flat.max(2).values, dim=1))
    assert torch.allclose(AveragePooling(4)(maps), F.normalize(flat.mean(2), dim=1))


def test_the_generalised_mean_lies_between_average_and_maximum() -> None:
    maps = torch.rand(2, 4, 3, 5, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(GeM(4, power=1.0)(maps), AveragePooling(4)(maps), atol=1e-6)
    assert torch.allclose(GeM(4, power=300.0)(maps), MaxPooling(4)(maps), atol=2e-2)


def test_the_power_of_the_generalised_mean_learns() -> None:
    layer = GeM(4)
    layer(torch.rand(2, 4, 3, 5)).square()[:, 0].sum().backward()
    assert layer.power.grad is not None
    assert float(layer.power.grad.abs()) > 0
