"""The generator and the discriminator of one scale."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from singan_toolkit.pyramid.architecture import channels_at
from singan_toolkit.pyramid.networks import Discriminator, Generator, fold, initialize, pad, with_noise


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def network(kind: type[Generator] | type[Discriminator], normalize: bool, seed: int = 0) -> Generator | Discriminator:
    """Weights large enough, and statistics odd enough, that every input pixel is felt."""
    made = kind(8, normalize)
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in made.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.copy_(torch.randn(module.weight.shape, generator=random) * 0.15)
                assert module.bias is not None
                module.bias.copy_(torch.randn(module.bias.shape, generator=random) * 0.1)
            elif isinstance(module, nn.BatchNorm2d):
                assert module.running_mean is not None
                assert module.running_var is not None
                module.weight.copy_(1 + 0.5 * torch.randn(module.weight.shape, generator=random))
                module.bias.copy_(torch.randn(module.bias.shape, generator=random))
                module.running_mean.copy_(torch.randn(module.running_mean.shape, generator=random))
                module.running_var.copy_(0.2 + 3 * torch.rand(module.running_var.shape, generator=random))
    return made.eval()


both_kinds = pytest.mark.parametrize("kind", [Generator, Discriminator])
with_and_without_norm = pytest.mark.parametrize("normalize", [True, False], ids=["norm", "plain"])


@both_kinds
@with_and_without_norm
def test_gradients_reach_exactly_11_by_11_pixels(kind: type[Generator], normalize: bool) -> None:
    probed = network(kind, normalize).double()
    picture = normal(1, 3, 25, 25, dtype=torch.float64).requires_grad_()
    output = probed(picture)
    assert output.shape[-2:] == (15, 15)
    for row, column in [(7, 7), (0, 0), (14, 3)]:
        (slope,) = torch.autograd.grad(output[0, :, row, column].sum(), picture, retain_graph=True)
        felt = (slope != 0).all(dim=1)[0]
        untouched = (slope == 0).all(dim=1)[0]
        seen = torch.zeros(25, 25, dtype=torch.bool)
        seen[row : row + 11, column : column + 11] = True
        assert torch.equal(felt, seen)
        assert torch.equal(untouched, ~seen)


@both_kinds
def test_a_changed_pixel_changes_what_lies_within_5_pixels(kind: type[Generator]) -> None:
    probed = network(kind, normalize=True).double()
    picture = normal(1, 3, 25, 25, dtype=torch.float64)
    changed = picture.clone()
    changed[0, 1, 12, 10] += 1
    with torch.no_grad():
        differs = (probed(picture) != probed(changed)).any(dim=1)[0]
    expected = torch.zeros(15, 15, dtype=torch.bool)
    expected[12 - 10 : 12 + 1, 10 - 10 : 10 + 1] = True
    assert torch.equal(differs, expected)


@pytest.mark.parametrize(("height", "width"), [(12, 12), (11, 40), (33, 17)])
@with_and_without_norm
def test_shapes(height: int, width: int, normalize: bool) -> None:
    picture = normal(2, 3, height, width)
    assert Generator(4, normalize)(pad(picture)).shape == (2, 3, height, width)
    assert Discriminator(4, normalize)(picture).shape == (2, 1, height - 10, width - 10)


def test_pad_lays_five_zeros_around() -> None:
    picture = normal(2, 3, 7, 9)
    padded = pad(picture)
    assert padded.shape == (2, 3, 17, 19)
    assert torch.equal(padded[..., 5:-5, 5:-5], picture)
    assert padded.abs().sum() == picture.abs().sum()


def reflected(picture: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(np.pad(picture.numpy(), ((0, 0), (0, 0), (5, 5), (5, 5)), mode="reflect"))


@settings(deadline=None)
@given(height=st.integers(1, 30), width=st.integers(1, 30), batch=st.integers(1, 2))
@example(1, 1, 1)
@example(2, 6, 1)
@example(3, 40, 2)
@example(5, 1, 1)
def test_pad_continues_pictures_of_any_size_by_reflection(height: int, width: int, batch: int) -> None:
    picture = normal(batch, 3, height, width)
    assert torch.equal(pad(picture, reflect=True), reflected(picture))


@pytest.mark.parametrize("reflect", [False, True], ids=["zeros", "reflected"])
@pytest.mark.parametrize("size", [(9, 7), (3, 12)])
def test_noise_is_continued_as_its_picture_unless_it_reaches_over_the_sides(
    reflect: bool, size: tuple[int, int]
) -> None:
    picture, shared = normal(2, 3, *size), normal(2, 3, *size, seed=1)
    own = normal(2, 3, size[0] + 10, size[1] + 10, seed=2)
    continued = reflected if reflect else nn.ZeroPad2d(5)
    expected = continued(picture) + 0.5 * continued(shared)
    torch.testing.assert_close(with_noise(picture, shared, 0.5, reflect), expected)
    torch.testing.assert_close(with_noise(picture, own, 0.5, reflect), continued(picture) + 0.5 * own)


@both_kinds
def test_five_convolutions_of_3_by_3_and_leaky_relus_of_a_fifth(kind: type[Generator]) -> None:
    modules = list(kind(16).modules())
    convolutions = [module for module in modules if isinstance(module, nn.Conv2d)]
    assert [c.kernel_size for c in convolutions] == [(3, 3)] * 5
    assert [c.padding for c in convolutions] == [(0, 0)] * 5
    assert [c.in_channels for c in convolutions] == [3, 16, 16, 16, 16]
    assert [c.out_channels for c in convolutions] == [16, 16, 16, 16, 3 if kind is Generator else 1]
    assert [m.negative_slope for m in modules if isinstance(m, nn.LeakyReLU)] == [0.2] * 4
    assert sum(isinstance(m, nn.BatchNorm2d) for m in modules) == 4


def test_the_residual_stays_within_one() -> None:
    generator = network(Generator, normalize=True)
    residual = generator(1000 * normal(2, 3, 20, 20)).detach()
    assert residual.abs().max() <= 1
    assert residual.abs().max() > 0.99


def test_the_discriminators_scores_are_not_bounded() -> None:
    assert network(Discriminator, normalize=False)(1000 * normal(2, 3, 20, 20)).abs().max() > 10


@pytest.mark.parametrize("seed", range(4))
def test_a_folded_generator_gives_what_the_trained_one_gives(seed: int) -> None:
    trained = network(Generator, normalize=True, seed=seed)
    assert isinstance(trained, Generator)
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    folded = fold(trained)
    picture = normal(2, 3, 24, 31, seed=seed)
    torch.testing.assert_close(folded(picture), trained(picture).detach(), atol=1e-5, rtol=0)
    assert all(torch.equal(value, before[name]) for name, value in trained.state_dict().items())


def test_a_folded_generator_has_no_batch_norm_and_no_gradients() -> None:
    trained = network(Generator, normalize=True)
    assert isinstance(trained, Generator)
    folded = fold(trained.train())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert not any(parameter.requires_grad for parameter in folded.parameters())
    assert not folded.training
    assert trained.training


def test_folding_a_plain_generator_copies_it() -> None:
    plain = network(Generator, normalize=False)
    assert isinstance(plain, Generator)
    folded = fold(plain)
    picture = normal(1, 3, 20, 20)
    expected = plain(picture).detach()
    torch.testing.assert_close(folded(picture), expected, atol=0, rtol=0)
    with torch.no_grad():
        next(iter(plain.parameters())).zero_()
    torch.testing.assert_close(folded(picture), expected, atol=0, rtol=0)


def test_channels_double_every_four_scales_up_to_the_maximum() -> None:
    assert [channels_at(n) for n in range(13)] == [32] * 4 + [64] * 4 + [128] * 5
    assert [channels_at(n, 8, 20) for n in range(10)] == [8] * 4 + [16] * 4 + [20] * 2
    assert channels_at(0, 64, 16) == 16


@both_kinds
def test_fresh_weights_with_batch_norm_are_the_official_ones(kind: type[Generator]) -> None:
    fresh = kind(64)
    initialize(fresh, torch.Generator().manual_seed(0))
    for module in fresh.modules():
        if isinstance(module, nn.Conv2d):
            weights = module.weight.detach()
            assert weights.std().item() == pytest.approx(0.02, rel=0.15)
            assert abs(weights.mean().item()) < 0.002
        elif isinstance(module, nn.BatchNorm2d):
            assert module.weight.detach().mean().item() == pytest.approx(1, abs=0.02)
            assert module.weight.detach().std().item() == pytest.approx(0.02, rel=0.5)
            assert not module.bias.detach().any()


@both_kinds
@with_and_without_norm
def test_fresh_weights_follow_the_generator_of_random_numbers_alone(kind: type[Generator], normalize: bool) -> None:
    first, same, other = kind(8, normalize), kind(8, normalize), kind(8, normalize)
    initialize(first, torch.Generator().manual_seed(3))
    torch.manual_seed(99)
    initialize(same, torch.Generator().manual_seed(3))
    initialize(other, torch.Generator().manual_seed(4))
    pairs = list(zip(first.parameters(), same.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


def test_a_fresh_plain_generator_lets_the_picture_through() -> None:
    fresh = Generator(32, normalize=False)
    initialize(fresh, torch.Generator().manual_seed(0))
    residual = fresh(normal(4, 3, 40, 40)).detach()
    assert 0.005 < residual.std() < 0.3
