"""The optimizers of one network: who steps what, and Muon against a calculation with singular values."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from singan_toolkit.pyramid.networks import Discriminator, Generator, initialize
from singan_toolkit.training.optimizer import Muon, optimizers_of, orthogonalize
from singan_toolkit.training.settings import settings_of


def by_singular_values(matrix: np.ndarray, steps: int = 5) -> np.ndarray:
    """Newton-Schulz acts on each singular value alone, by a scalar polynomial."""
    u, values, v = np.linalg.svd(matrix.astype(np.float64), full_matrices=False)
    values = values / np.sqrt((values**2).sum())
    for _ in range(steps):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    product: np.ndarray = (u * values) @ v
    return product


@pytest.mark.parametrize(("rows", "columns"), [(8, 72), (64, 576), (5, 5), (1, 9)])
def test_orthogonalize_acts_on_the_singular_values_alone(rows: int, columns: int) -> None:
    matrices = np.random.default_rng(1).normal(size=(3, rows, columns)) * np.array([1e-3, 1, 50])[:, None, None]
    ours = orthogonalize(torch.from_numpy(matrices)).numpy()
    np.testing.assert_allclose(ours, [by_singular_values(m) for m in matrices], atol=1e-9)


def test_orthogonalize_gives_singular_values_about_one() -> None:
    """Even where the strongest direction is a hundred times the weakest."""
    u, _, v = np.linalg.svd(np.random.default_rng(2).normal(size=(16, 144)), full_matrices=False)
    matrix = (u * np.geomspace(1, 0.01, 16)) @ v
    values = np.linalg.svd(orthogonalize(torch.from_numpy(matrix)[None])[0].numpy(), compute_uv=False)
    assert 0.6 < values.min() <= values.max() < 1.3


def test_orthogonalize_leaves_zeros_zero() -> None:
    assert (orthogonalize(torch.zeros(2, 4, 36)) == 0).all()


def test_a_muon_step_is_the_orthogonalized_momentum_at_the_learning_rate() -> None:
    random = np.random.default_rng(3)
    kernels = [nn.Parameter(torch.from_numpy(random.normal(size=(6, 6, 3, 3)))) for _ in range(2)]
    muon = Muon(kernels, lr=0.01, momentum=0.5)
    expected = [kernel.detach().numpy().copy() for kernel in kernels]
    averages = [np.zeros((6, 54)) for _ in kernels]
    for _ in range(3):
        for k, kernel in enumerate(kernels):
            gradient = random.normal(size=(6, 54))
            kernel.grad = torch.from_numpy(gradient.reshape(6, 6, 3, 3))
            averages[k] = 0.5 * averages[k] + 0.5 * gradient
            direction = by_singular_values(0.5 * gradient + 0.5 * averages[k])
            expected[k] -= 0.01 * np.sqrt(54) * direction.reshape(6, 6, 3, 3)
        muon.step()
    for kernel, wanted in zip(kernels, expected, strict=True):
        np.testing.assert_allclose(kernel.detach().numpy(), wanted, atol=1e-9)


def test_a_muon_step_is_as_long_as_the_learning_rate() -> None:
    kernel = nn.Parameter(torch.zeros(32, 32, 3, 3))
    kernel.grad = torch.randn(kernel.shape, generator=torch.Generator().manual_seed(4)) * 1e-5
    Muon([kernel], lr=1e-3, momentum=0.9).step()
    assert kernel.square().mean().sqrt().item() == pytest.approx(1e-3, rel=0.2)


@pytest.mark.parametrize("preset", ["paper", "fast"])
@pytest.mark.parametrize("kind", [Generator, Discriminator])
def test_every_parameter_is_stepped_once(preset: str, kind: type[Generator | Discriminator]) -> None:
    settings = settings_of(preset)
    network = kind(8, settings.normalize_generator)
    initialize(network, torch.Generator().manual_seed(0))
    optimizers = optimizers_of(network, settings, 1e-3)
    owned = Counter(id(p) for optimizer in optimizers for group in optimizer.param_groups for p in group["params"])
    assert owned == {id(parameter): 1 for parameter in network.parameters()}
    kernels = [parameter for parameter in network.parameters() if parameter.ndim == 4]
    before = [kernel.detach().clone() for kernel in kernels]
    network(torch.randn(1, 3, 16, 16)).square().sum().backward()
    for optimizer in optimizers:
        optimizer.step()
    assert not any(torch.equal(old, new) for old, new in zip(before, kernels, strict=True))


def test_adam_steps_all_where_it_is_asked_for() -> None:
    optimizers = optimizers_of(Generator(8), settings_of("fast", optimizer="adam"), 1e-3)
    assert [type(optimizer) for optimizer in optimizers] == [torch.optim.Adam]


def test_muon_takes_the_kernels_of_the_hidden_layers() -> None:
    generator = Generator(8, normalize=False)
    muon, adam = optimizers_of(generator, settings_of("fast", optimizer="muon"), 1e-3)
    assert isinstance(muon, Muon)
    assert isinstance(adam, torch.optim.Adam)
    assert [tuple(p.shape) for p in muon.param_groups[0]["params"]] == [(8, 8, 3, 3)] * 3
