"""The losses against numpy, finite differences and autograd."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from singan_toolkit.pyramid.networks import Discriminator, initialize
from singan_toolkit.training.losses import adversarial_loss, critic_loss, gradient_penalty, reconstruction_loss
from singan_toolkit.training.slope import input_slope

RANDOM = np.random.default_rng(5)


def test_critic_loss_is_the_difference_of_the_mean_scores() -> None:
    real, fake = RANDOM.normal(2, 3, (1, 1, 7, 9)), RANDOM.normal(-1, 2, (4, 1, 7, 9))
    loss = critic_loss(torch.tensor(real), torch.tensor(fake))
    assert loss.item() == pytest.approx(fake.mean() - real.mean(), rel=1e-5)


def test_adversarial_loss_is_the_negated_mean_score() -> None:
    fake = RANDOM.normal(-1, 2, (4, 1, 7, 9))
    assert adversarial_loss(torch.tensor(fake)).item() == pytest.approx(-fake.mean(), rel=1e-5)


def test_reconstruction_loss_is_the_mean_square() -> None:
    ours, real = RANDOM.normal(0, 1, (2, 2, 3, 8, 5)).astype(np.float32)
    loss = reconstruction_loss(torch.tensor(ours), torch.tensor(real))
    assert loss.item() == pytest.approx(np.square(ours - real).mean(), rel=1e-5)
    assert reconstruction_loss(torch.tensor(real), torch.tensor(real)).item() == 0


def test_scores_in_half_precision_are_averaged_in_full() -> None:
    scores = torch.full((1, 1, 64, 64), 1.0, dtype=torch.bfloat16)
    scores[0, 0, 0, 0] = 0.0
    expected = 4095 / 4096
    assert adversarial_loss(scores).item() == pytest.approx(-expected, abs=1e-6)
    assert critic_loss(scores, torch.zeros_like(scores)).item() == pytest.approx(-expected, abs=1e-6)


def discriminator(normalize: bool, scale: float = 0.12) -> Discriminator:
    """In float64 and in training mode, so that batch norm ties the pixels of a batch together."""
    network = Discriminator(4, normalize).double()
    random = torch.Generator().manual_seed(8)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.copy_(torch.randn(module.weight.shape, generator=random, dtype=torch.float64) * scale)
    return network.train()


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(9)
    real = torch.randn(1, 3, 13, 12, generator=random, dtype=torch.float64)
    fake = torch.randn(2, 3, 13, 12, generator=random, dtype=torch.float64)
    return real, fake, torch.rand(2, 1, 1, 1, generator=random, dtype=torch.float64)


def penalty_by_differences(score: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor) -> float:
    """The mean over pixels of (the slope's norm over the channels - 1)^2, from pairs of scores alone."""
    between = (mix * real + (1 - mix) * fake).numpy()
    slopes = np.zeros_like(between)
    step = 1e-6
    with torch.no_grad():
        for place in np.ndindex(*between.shape):
            ends = []
            for sign in (1, -1):
                moved = between.copy()
                moved[place] += sign * step
                ends.append(score(torch.from_numpy(moved)).sum().item())
            slopes[place] = (ends[0] - ends[1]) / (2 * step)
    return float(np.square(np.sqrt(np.square(slopes).sum(axis=1)) - 1).mean())


@pytest.mark.parametrize("normalize", [False, True], ids=["plain", "norm"])
def test_gradient_penalty_agrees_with_finite_differences(normalize: bool) -> None:
    network = discriminator(normalize)
    real, fake, mix = inputs()
    penalty = gradient_penalty(partial(input_slope, network), real, fake, mix).item()
    assert penalty == pytest.approx(penalty_by_differences(network, real, fake, mix), rel=1e-5)


def test_gradient_penalty_of_a_linear_critic_is_known() -> None:
    weights = torch.tensor([2.0, -1.0, 2.0]).view(1, 3, 1, 1)
    real, fake, mix = inputs()
    penalty = gradient_penalty(weights.expand_as, real, fake, mix)
    assert penalty.item() == pytest.approx((3 - 1) ** 2)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_mix_is_the_share_of_the_real_picture(share: float) -> None:
    seen: list[Tensor] = []

    def slope_at(picture: Tensor) -> Tensor:
        seen.append(picture.detach().clone())
        return 2 * picture

    real, fake, _ = inputs()
    gradient_penalty(slope_at, real, fake, torch.full((2, 1, 1, 1), share, dtype=torch.float64))
    torch.testing.assert_close(seen[0], share * real + (1 - share) * fake)


@pytest.mark.parametrize("normalize", [False, True], ids=["plain", "norm"])
def test_gradient_penalty_can_be_differentiated_by_the_weights(normalize: bool) -> None:
    network = discriminator(normalize)
    real, fake, mix = inputs()
    weights = [module.weight for module in network.modules() if isinstance(module, nn.Conv2d)]
    slopes = torch.autograd.grad(gradient_penalty(partial(input_slope, network), real, fake, mix), weights)
    chosen = np.random.default_rng(1)
    for weight, slope in zip(weights, slopes, strict=True):
        for place in chosen.integers(0, weight.numel(), 3):
            ends = []
            for step in (1e-6, -1e-6):
                with torch.no_grad():
                    weight.view(-1)[place] += step
                ends.append(gradient_penalty(partial(input_slope, network), real, fake, mix).item())
                with torch.no_grad():
                    weight.view(-1)[place] -= step
            expected = (ends[0] - ends[1]) / 2e-6
            assert slope.reshape(-1)[place].item() == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_gradient_penalty_leaves_the_generator_alone() -> None:
    real, fake, mix = inputs()
    fake.requires_grad_()
    network = discriminator(normalize=False)
    torch.autograd.backward(gradient_penalty(partial(input_slope, network), real, fake, mix))
    assert fake.grad is None
    assert all(module.weight.grad is not None for module in network.modules() if isinstance(module, nn.Conv2d))


def test_gradient_penalty_of_a_flat_critic_has_finite_slopes() -> None:
    network = discriminator(normalize=False, scale=0.0)
    real, fake, mix = inputs()
    penalty = gradient_penalty(partial(input_slope, network), real, fake, mix)
    torch.autograd.backward(penalty)
    assert penalty.item() == pytest.approx(1)
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


# The slope


def slope_by_autograd(network: Discriminator, picture: Tensor) -> Tensor:
    picture = picture.detach().requires_grad_()
    (slope,) = torch.autograd.grad(network(picture).sum(), picture, create_graph=True)
    return slope


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    batch=st.integers(1, 3),
    height=st.integers(11, 16),
    width=st.integers(11, 16),
    channels=st.integers(4, 6),
    normalize=st.booleans(),
)
@example(seed=0, batch=1, height=12, width=11, channels=4, normalize=True)
@example(seed=0, batch=1, height=11, width=11, channels=4, normalize=False)
def test_the_slope_and_what_flows_back_through_it_are_autograds(
    seed: int, batch: int, height: int, width: int, channels: int, normalize: bool
) -> None:
    random = torch.Generator().manual_seed(seed)
    network = Discriminator(channels, normalize)
    initialize(network, random)
    network.double().train()
    real, fake = torch.randn(2, batch, 3, height, width, generator=random, dtype=torch.float64)
    mix = torch.rand(batch, 1, 1, 1, generator=random, dtype=torch.float64)
    parameters = list(network.parameters())
    found = []
    for slope_at in (input_slope, slope_by_autograd):
        penalty = gradient_penalty(partial(slope_at, network), real, fake, mix)
        by_weights = torch.autograd.grad(penalty, parameters, materialize_grads=True, allow_unused=True)
        found.append((slope_at(network, fake).detach(), penalty.detach(), by_weights))
    torch.testing.assert_close(*found, atol=1e-9, rtol=1e-6)
    assert sum(gradient.abs().max() > 1e-6 for gradient in found[0][2]) >= 5


def test_the_slope_is_every_pictures_own_without_batch_norm() -> None:
    network, (_, pictures, _) = discriminator(normalize=False), inputs()
    together = input_slope(network, pictures)
    assert together.shape == pictures.shape
    for picture, slope in zip(pictures, together, strict=True):
        torch.testing.assert_close(input_slope(network, picture[None])[0], slope)


@pytest.mark.parametrize("normalize", [False, True], ids=["plain", "norm"])
def test_the_slope_in_half_precision_is_autograds_but_for_rounding(normalize: bool) -> None:
    network = discriminator(normalize).float()
    picture = inputs()[1].float()
    with torch.autocast("cpu", torch.bfloat16):
        ours, expected = input_slope(network, picture).float(), slope_by_autograd(network, picture).float()
    assert (ours - expected).norm() < 0.03 * expected.norm()
