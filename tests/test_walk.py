"""The walk through a pyramid, its noise and its resizing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings, strategies
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

import singan_toolkit as st
from singan_toolkit.pyramid import walk as walk_module
from singan_toolkit.pyramid.geometry import Step
from singan_toolkit.pyramid.noise import Gaussian, Reconstruction, SwitchAt
from singan_toolkit.pyramid.resample import resize
from singan_toolkit.pyramid.walk import Pyramid, reconstruct, walk


@pytest.fixture(scope="module")
def pyramid(tiny_bundle: st.Bundle) -> Pyramid:
    return tiny_bundle.pyramid("cpu")


def continued(x: Tensor, reflect: bool = True) -> Tensor:
    """By 5 pixels on each side: by reflection, or with zeros."""
    return torch.from_numpy(
        np.pad(x.numpy(), ((0, 0), (0, 0), (5, 5), (5, 5)), mode="reflect" if reflect else "constant")
    )


@pytest.fixture(scope="module")
def by_hand(tiny_bundle: st.Bundle) -> Callable[..., Tensor]:
    """The paper's recursion written out over the bundle's arrays, sharing no code with the walk."""
    amplitudes = [scale.noise_amplitude for scale in tiny_bundle.manifest.scales]

    def psi(scale: int, x: Tensor) -> Tensor:
        x = continued(x, reflect=scale > 0)
        for layer in range(5):
            name = f"scales.{scale}.convolutions.{layer}"
            weight, bias = (torch.tensor(tiny_bundle.tensors[f"{name}.{part}"]) for part in ("weight", "bias"))
            x = F.conv2d(x, weight, bias)
            if layer < 4:
                x = torch.maximum(x, 0.2 * x)
        return x.tanh()

    def run(route: Sequence[Step], noises: Sequence[Tensor], start: Tensor | None = None) -> Tensor:
        x = torch.zeros(len(noises[0]), 3, route[0].height, route[0].width) if start is None else start
        for step, z in zip(route, noises, strict=True):
            up = F.interpolate(x, (step.height, step.width), mode="bicubic", align_corners=False, antialias=True)
            z = z[:, :1] if step.scale == 0 else z  # grey, as in the official code
            x = up + psi(step.scale, z * amplitudes[step.scale] + up)
        return x

    return run


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def assert_same(ours: Tensor, expected: Tensor, tolerance: float = 1e-4) -> None:
    torch.testing.assert_close(ours, expected, atol=tolerance, rtol=0)


def test_the_walk_is_the_papers_recursion(pyramid: Pyramid, by_hand: Callable[..., Tensor]) -> None:
    route = pyramid.geometry.route()
    noise = Gaussian(11)
    drawn = [noise(place, step, [0, 1, 2]) for place, step in enumerate(route)]
    walked = walk(pyramid, route, noise, samples=[0, 1, 2])
    assert walked.shape == (3, 3, *pyramid.geometry.finest)
    assert walked.std() > 0.05
    assert_same(walked, by_hand(route, drawn))


def test_a_walk_from_a_picture_starts_with_the_picture_resized(
    pyramid: Pyramid, by_hand: Callable[..., Tensor]
) -> None:
    route = pyramid.geometry.route(first=2)
    picture = normal(1, 3, 37, 21).tanh()
    noise = Gaussian(3)
    drawn = [noise(place, step, [0, 1]) for place, step in enumerate(route)]
    walked = walk(pyramid, route, noise, start=picture, samples=[0, 1])
    assert_same(walked, by_hand(route, drawn, picture.expand(2, -1, -1, -1)))


def test_each_sample_may_start_from_its_own_picture(pyramid: Pyramid) -> None:
    route = pyramid.geometry.route(first=3)
    pictures = normal(2, 3, 30, 30).tanh()
    together = walk(pyramid, route, Gaussian(0), start=pictures, samples=[0, 1])
    for n in range(2):
        assert_same(together[n : n + 1], walk(pyramid, route, Gaussian(0), start=pictures[n : n + 1], samples=[n]))
    assert (together[0] - together[1]).abs().max() > 0.1


def test_a_start_in_double_precision_is_taken_and_left_as_it_was(pyramid: Pyramid) -> None:
    start = normal(1, 3, *pyramid.geometry.finest).double()
    kept = start.clone()
    walked = walk(pyramid, pyramid.geometry.route(first=4), Gaussian(0), start=start)
    assert walked.dtype == torch.float32
    assert torch.equal(start, kept)


def test_the_reconstruction_is_the_walk_from_z_star_without_other_noise(
    tiny_bundle: st.Bundle, pyramid: Pyramid, by_hand: Callable[..., Tensor]
) -> None:
    route = pyramid.geometry.route()
    z_star = torch.tensor(tiny_bundle.tensors["z_star"]).expand(1, 3, -1, -1)
    noises = [z_star, *(torch.zeros(1, 3, step.height, step.width) for step in route[1:])]
    assert_same(reconstruct(pyramid), by_hand(route, noises))


def test_one_scale_may_be_walked_again_and_again(pyramid: Pyramid, by_hand: Callable[..., Tensor]) -> None:
    route = [Step(4, 40, 50), Step(4, 50, 63), Step(1, 31, 33)]
    start, noise = normal(1, 3, 32, 40).tanh(), Gaussian(2)
    drawn = [noise(place, step, [0]) for place, step in enumerate(route)]
    assert_same(walk(pyramid, route, noise, start=start), by_hand(route, drawn, start))


@settings(max_examples=30, deadline=None)
@given(height=strategies.integers(1, 100), width=strategies.integers(1, 100))
@example(50, 23)
@example(33, 97)
@example(71, 71)
@example(8, 25)
@example(25, 8)
@example(1, 1)
def test_sizes_are_free_even_those_smaller_than_the_margin(
    pyramid: Pyramid, by_hand: Callable[..., Tensor], height: int, width: int
) -> None:
    route = pyramid.geometry.route(finest=(height, width))
    drawn = [Gaussian(0)(place, step, [0, 1]) for place, step in enumerate(route)]
    walked = walk(pyramid, route, Gaussian(0), samples=[0, 1])
    assert walked.shape == (2, 3, height, width)
    assert_same(walked, by_hand(route, drawn))


def test_the_pictures_sides_are_continued_above_the_coarsest_scale(tiny_bundle: st.Bundle, pyramid: Pyramid) -> None:
    """By what the bundle says; what lies further than 5 pixels from a side is the same either way."""
    assert tiny_bundle.manifest.architecture.picture_padding == "reflect"
    assert [scale.reflect for scale in pyramid.networks] == [False, True, True, True, True]
    zeros = replace(pyramid.networks[3], reflect=False)
    picture, noise = normal(1, 3, 30, 34).tanh(), normal(1, 3, 30, 34, seed=1)
    differs = (zeros.apply(picture, noise) - pyramid.scales[3].apply(picture, noise)).abs().amax((0, 1))
    assert differs[5:-5, 5:-5].max() < 1e-6
    assert differs[0].mean() > 1e-3


def test_the_same_seed_walks_the_same_way(pyramid: Pyramid) -> None:
    route = pyramid.geometry.route()
    torch.manual_seed(1)
    first = walk(pyramid, route, Gaussian(5), samples=[0, 1])
    torch.manual_seed(2)
    assert torch.equal(first, walk(pyramid, route, Gaussian(5), samples=[0, 1]))
    assert (first - walk(pyramid, route, Gaussian(6), samples=[1, 2])).abs().max() > 0.01


def test_a_sample_does_not_depend_on_its_batch(pyramid: Pyramid) -> None:
    route = pyramid.geometry.route()
    together = walk(pyramid, route, Gaussian(5), samples=[4, 0, 2])
    for place, sample in enumerate([4, 0, 2]):
        assert_same(together[place], walk(pyramid, route, Gaussian(5), samples=[sample])[0], 1e-5)
        assert_same(together[place], walk(pyramid, route, Gaussian(5 + sample))[0], 1e-5)


def test_the_walk_leaves_the_global_random_state_alone(pyramid: Pyramid) -> None:
    before = torch.get_rng_state()
    walk(pyramid, pyramid.geometry.route(), Gaussian(1))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_walk_keeps_no_gradients(pyramid: Pyramid) -> None:
    start = normal(1, 3, 32, 40).requires_grad_()
    assert not walk(pyramid, pyramid.geometry.route(first=4), Gaussian(0), start=start).requires_grad


def test_an_empty_route_is_refused(pyramid: Pyramid) -> None:
    with pytest.raises(ValueError, match="at least one step"):
        walk(pyramid, [], Gaussian(0))


@pytest.mark.parametrize("scale", [-1, 5, 99])
def test_a_route_through_a_missing_scale_is_refused_before_the_walk(pyramid: Pyramid, scale: int) -> None:
    asked: list[int] = []

    def noise(place: int, step: Step, samples: Sequence[int]) -> Tensor:
        asked.append(place)
        return torch.zeros(1, 3, step.height, step.width)

    with pytest.raises(ValueError, match=f"no scale {scale}: .* 0 to 4"):
        walk(pyramid, [Step(0, 12, 15), Step(scale, 20, 20)], noise)
    assert not asked


def test_a_pyramid_on_its_device_is_not_copied(pyramid: Pyramid) -> None:
    assert pyramid.to("cpu") is pyramid


@pytest.mark.parametrize("place", [0, 3])
def test_sample_i_of_a_seed_is_sample_0_of_the_seed_plus_i(place: int) -> None:
    step = Step(place, 20, 30)
    many = Gaussian(100)(place, step, range(5))
    for sample in range(5):
        assert torch.equal(many[sample], Gaussian(100 + sample)(place, step, [0])[0])
        assert torch.equal(many[sample], Gaussian(100)(place, step, [sample])[0])


def test_samples_and_places_draw_different_noise() -> None:
    step = Step(2, 16, 16)
    drawn = [Gaussian(seed)(place, step, [0]).flatten() for seed in range(4) for place in range(4)]
    correlations = np.corrcoef(torch.stack(drawn).numpy())
    assert np.abs(correlations - np.eye(len(drawn))).max() < 0.2


@pytest.mark.parametrize("seed", [-1, 2**31, 2**63, 2**64 - 1])
def test_any_whole_number_is_a_seed(seed: int) -> None:
    drawn = Gaussian(seed)(0, Step(1, 8, 8), [0, 1])
    assert torch.equal(drawn, Gaussian(seed)(0, Step(1, 8, 8), [0, 1]))
    assert not torch.equal(drawn[0], drawn[1])


@pytest.mark.parametrize("scale", [0, 1])
def test_the_noise_has_three_independent_channels(scale: int) -> None:
    colored = Gaussian(0)(scale, Step(scale, 64, 64), [0, 1])
    channels = np.corrcoef(colored.permute(1, 0, 2, 3).flatten(1).numpy())
    assert np.abs(channels - np.eye(3)).max() < 0.05


def test_a_network_at_the_coarsest_scale_takes_grey_noise(tiny_bundle: st.Bundle) -> None:
    pyramid, (height, width) = tiny_bundle.pyramid("cpu"), tiny_bundle.geometry.sizes[0]
    noise, picture = normal(1, 3, height, width), torch.zeros(1, 3, height, width)
    for scale, grey in zip(pyramid.scales, (True, False), strict=False):
        other = torch.cat([noise[:, :1], normal(1, 2, height, width, seed=1)], dim=1)
        assert torch.equal(scale.apply(picture, noise), scale.apply(picture, other)) == grey


@pytest.mark.parametrize("scale", [0, 2])
def test_the_noise_is_standard_normal(scale: int) -> None:
    drawn = Gaussian(4)(scale, Step(scale, 128, 128), [0])[0, 0].flatten().double()
    deviation_of_mean = 1 / math.sqrt(drawn.numel())
    assert abs(drawn.mean()) < 4 * deviation_of_mean
    assert drawn.std().item() == pytest.approx(1, abs=4 * deviation_of_mean)
    assert (drawn.abs() < 1).double().mean().item() == pytest.approx(math.erf(math.sqrt(0.5)), abs=0.02)


def test_reconstruction_noise_is_z_star_at_the_coarsest_scale_and_nothing_above() -> None:
    z_star = normal(1, 1, 12, 15)
    source = Reconstruction(z_star)
    coarsest = source(0, Step(0, 12, 15), [0, 1])
    assert torch.equal(coarsest, z_star.expand(2, 3, 12, 15))
    assert torch.equal(source(3, Step(3, 26, 32), [0]), torch.zeros(1, 3, 26, 32))
    with pytest.raises(ValueError, match="own size only"):
        source(0, Step(0, 12, 16), [0])


def test_switch_at_takes_one_source_below_and_another_above() -> None:
    step = [Step(n, 10, 10) for n in range(5)]
    below, above = Gaussian(1), Gaussian(2)
    source = SwitchAt(2, below, above)
    for place in range(5):
        expected = (below if place < 2 else above)(place, step[place], [0, 3])
        assert torch.equal(source(place, step[place], [0, 3]), expected)


def bicubic_by_pillow(picture: Tensor, size: tuple[int, int]) -> Tensor:
    channels = [Image.fromarray(channel.numpy(), mode="F") for channel in picture.flatten(0, 1)]
    resized = [np.asarray(channel.resize(size[::-1], Image.Resampling.BICUBIC)) for channel in channels]
    return torch.from_numpy(np.stack(resized)).view(*picture.shape[:2], *size)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("size", [(48, 60), (24, 31), (25, 90), (13, 11), (96, 120), (47, 59), (1, 1), (5, 200)])
def test_resizing_is_pillows_antialiased_bicubic(size: tuple[int, int]) -> None:
    picture = normal(2, 3, 48, 60)
    ours = resize(picture, size)
    assert ours.shape == (2, 3, *size)
    assert_same(ours, bicubic_by_pillow(picture, size))


def test_resizing_to_the_same_size_changes_nothing() -> None:
    picture = normal(1, 3, 20, 30)
    assert torch.equal(resize(picture, (20, 30)), picture)


@pytest.mark.parametrize("size", [(4, 5), (9, 11), (6, 7)])
def test_resizing_is_differentiable(size: tuple[int, int]) -> None:
    picture = normal(1, 2, 6, 7).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: resize(x, size), (picture,))


# Noise padding


def test_with_noise_padding_the_noise_fills_the_margin_of_the_picture(noise_padded_bundle: st.Bundle) -> None:
    pyramid = noise_padded_bundle.pyramid("cpu")
    step = Step(2, 20, 26)
    asked: list[Step] = []

    def source(place: int, step: Step, samples: Sequence[int]) -> Tensor:
        asked.append(step)
        return normal(1, 3, step.height, step.width)

    start = normal(1, 3, 20, 26, seed=1) / 3
    walked = walk(pyramid, [step], source, start)
    assert asked == [Step(2, 30, 36)]
    scale = pyramid.networks[2]
    seen = continued(start) + scale.noise_amplitude * normal(1, 3, 30, 36)
    assert_same(walked, start + scale.generator(seen))


def test_noise_padding_rebuilds_the_picture_from_a_larger_z_star(noise_padded_bundle: st.Bundle) -> None:
    height, width = noise_padded_bundle.geometry.sizes[0]
    assert noise_padded_bundle.tensors["z_star"].shape == (1, 1, height + 10, width + 10)
    real = torch.tensor(noise_padded_bundle.picture).permute(2, 0, 1)[None] / 127.5 - 1
    error = (reconstruct(noise_padded_bundle.pyramid("cpu")) - real).square().mean().sqrt()
    assert error < real.std(), "nearer than the mean colour"


def test_noise_padding_survives_the_file(noise_padded_bundle: st.Bundle, tmp_path: Path) -> None:
    noise_padded_bundle.save(tmp_path / "a.sgb")
    loaded = st.load(tmp_path / "a.sgb")
    assert loaded.manifest.architecture.noise_padding == "noise"
    assert torch.equal(reconstruct(loaded.pyramid("cpu")), reconstruct(noise_padded_bundle.pyramid("cpu")))


# Tiles


@pytest.mark.parametrize("side", [4, 7, 20, 45])
@pytest.mark.parametrize("reflect", [False, True], ids=["zeros", "reflected"])
@pytest.mark.parametrize("padding", ["zeros", "noise"])
def test_a_walk_in_tiles_is_the_walk(
    tiny_bundle: st.Bundle,
    noise_padded_bundle: st.Bundle,
    monkeypatch: pytest.MonkeyPatch,
    side: int,
    reflect: bool,
    padding: str,
) -> None:
    pyramid = (tiny_bundle if padding == "zeros" else noise_padded_bundle).pyramid("cpu")
    pyramid = replace(pyramid, scales=tuple(replace(scale, reflect=reflect) for scale in pyramid.networks))
    route = pyramid.geometry.route(finest=(64, 45))
    whole = walk(pyramid, route, Gaussian(3), samples=range(3))
    monkeypatch.setattr(walk_module, "TILE", side)
    assert_same(walk(pyramid, route, Gaussian(3), samples=range(3)), whole, 1e-5)


@pytest.mark.parametrize("size", [(24, 2048), (2048, 24), (300, 520)])
def test_tiles_do_not_show_in_wide_nor_in_tall_pictures(
    pyramid: Pyramid, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    route = pyramid.geometry.route(finest=size)
    tiled = walk(pyramid, route, Gaussian(3), samples=[0, 1])
    monkeypatch.setattr(walk_module, "TILE", 1 << 20)
    assert_same(tiled, walk(pyramid, route, Gaussian(3), samples=[0, 1]), 1e-5)


@settings(max_examples=30, deadline=None)
@given(height=strategies.integers(1, 40), width=strategies.integers(1, 40), side=strategies.integers(1, 30))
@example(1, 1, 1)
@example(3, 40, 2)
def test_a_scale_in_tiles_is_the_scale_at_any_size(pyramid: Pyramid, height: int, width: int, side: int) -> None:
    picture, noise = normal(2, 3, height, width).tanh(), normal(2, 3, height, width, seed=1)
    whole = pyramid.scales[3].apply(picture, noise)
    with mock.patch.object(walk_module, "TILE", side):
        assert_same(pyramid.scales[3].apply(picture, noise), whole, 1e-5)


def test_no_more_than_a_tile_goes_through_a_generator_at_once(
    pyramid: Pyramid, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, ...]] = []
    scale = pyramid.networks[-1]
    hook = scale.generator.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape)))
    monkeypatch.setattr(walk_module, "TILE", 20)
    for size in [(9, 70), (70, 9), (33, 33)]:
        walk(pyramid, [Step(4, *size)], Gaussian(0), samples=range(4))
    walk(pyramid, [Step(4, 10, 10)], Gaussian(0), samples=range(9))
    hook.remove()
    assert all(samples == 1 and max(size) <= 30 for samples, _, *size in seen[:-3])
    assert seen[-3:] == [(4, 3, 20, 20), (4, 3, 20, 20), (1, 3, 20, 20)], "of small pictures, as many as fill a tile"


# Bfloat16

matrix_units = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)()
"""Whether this processor has those for which alone a pyramid is hastened."""


@pytest.fixture
def hastened(pyramid: Pyramid, monkeypatch: pytest.MonkeyPatch) -> Pyramid:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True, raising=False)
    return pyramid.hastened()


def test_without_matrix_units_a_pyramid_is_not_hastened(pyramid: Pyramid, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)
    assert pyramid.hastened() is pyramid
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported")  # of a torch that cannot tell
    assert pyramid.hastened() is pyramid


def test_hastening_rounds_the_finest_scales_and_copies_them(pyramid: Pyramid, hastened: Pyramid) -> None:
    areas = [math.prod(size) for size in pyramid.geometry.sizes]
    for area, scale, kept in zip(areas, hastened.networks, pyramid.networks, strict=True):
        large = area >= areas[-1] / 2
        assert next(scale.generator.parameters()).dtype == (torch.bfloat16 if large else torch.float32)
        assert next(kept.generator.parameters()).dtype == torch.float32
    assert sum(area < areas[-1] / 2 for area in areas) >= 3


def test_a_hastened_walk_is_the_walk_but_for_rounding(pyramid: Pyramid, hastened: Pyramid) -> None:
    route = pyramid.geometry.route()
    quick = walk(hastened, route, Gaussian(5), samples=range(4))
    exact = walk(pyramid, route, Gaussian(5), samples=range(4))
    assert quick.dtype == torch.float32
    levels = (quick.clamp(-1, 1) - exact.clamp(-1, 1)).abs() * 127.5
    assert 0 < levels.mean() < 0.3
    assert levels.max() < 4


@pytest.mark.skipif(
    not matrix_units, reason="other kernels for bfloat16 than AMX's round by the size of what they are given"
)
def test_hastened_samples_depend_neither_on_their_batch_nor_on_tiles(
    pyramid: Pyramid, hastened: Pyramid, monkeypatch: pytest.MonkeyPatch
) -> None:
    route = pyramid.geometry.route(finest=(64, 45))
    together = walk(hastened, route, Gaussian(5), samples=[4, 0, 2])
    for place, sample in enumerate([4, 0, 2]):
        assert_same(together[place], walk(hastened, route, Gaussian(5), samples=[sample])[0])
    monkeypatch.setattr(walk_module, "TILE", 20)
    assert_same(walk(hastened, route, Gaussian(5), samples=[4, 0, 2]), together)


def test_a_constraint_is_applied_after_every_step(pyramid: Pyramid) -> None:
    sizes: list[tuple[int, ...]] = []

    def darker(picture: Tensor) -> Tensor:
        sizes.append(tuple(picture.shape))
        return picture - 0.25

    route = pyramid.geometry.route()
    picture = walk(pyramid, route, Gaussian(0), samples=range(2), constraint=darker)
    assert sizes == [(2, 3, step.height, step.width) for step in route]
    by_hand = torch.zeros(2, 3, *pyramid.geometry.sizes[0])
    for place, step in enumerate(route):
        drawn = Gaussian(0)(place, step, range(2))

        by_hand = (
            walk(pyramid, [step], lambda place, step, samples, drawn=drawn: drawn, by_hand, samples=range(2)) - 0.25
        )
    assert_same(picture, by_hand, 1e-5)
