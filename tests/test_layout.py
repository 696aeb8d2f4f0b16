"""Choosing among layouts, and the distance between the patches of two pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import singan_toolkit as st
from singan_toolkit.imaging.tensors import to_tensor
from singan_toolkit.pyramid.layout import CANDIDATE, LAYOUT_STEPS, most_typical
from singan_toolkit.pyramid.noise import Gaussian
from singan_toolkit.pyramid.patches import patch_misfits, sliced_wasserstein_distances
from singan_toolkit.pyramid.resample import resize
from singan_toolkit.pyramid.walk import walk


def blurred_noise(height: int, width: int, seed: int = 0) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    return resize(torch.randn(1, 3, height // 3, width // 3, generator=random), (height, width))


def rmse(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).square().mean().sqrt())


def chosen(bundle: st.Bundle, candidates: int, samples: range = range(3), seed: int = 5) -> list[int]:
    pyramid = bundle.pyramid("cpu")
    real = to_tensor(bundle.picture)
    return most_typical(pyramid, real, pyramid.geometry.route(), Gaussian(seed), samples, candidates)


def change(layout: Tensor, still: Tensor) -> float:
    """The RMS to a picture that may be moved by up to a pixel and a half, in steps of a half."""
    large, other = (F.interpolate(one, scale_factor=2, mode="bilinear") for one in (layout, still))
    moved = [torch.roll(other, (y, x), (2, 3)) for y in range(-3, 4) for x in range(-3, 4)]
    return min(rmse(large[..., 3:-3, 3:-3], one[..., 3:-3, 3:-3]) for one in moved)


def test_of_one_candidate_the_samples_stay_as_they_are(tiny_bundle: st.Bundle) -> None:
    assert chosen(tiny_bundle, 1) == [0, 1, 2]


@pytest.mark.parametrize("fixture", ["tiny_bundle", "patch_bundle"])
def test_the_layout_nearest_to_the_picture_for_its_change_is_chosen(
    request: pytest.FixtureRequest, fixture: str
) -> None:
    tiny_bundle: st.Bundle = request.getfixturevalue(fixture)
    pyramid = tiny_bundle.pyramid("cpu")
    route = pyramid.geometry.route()[:LAYOUT_STEPS]
    expected = resize(to_tensor(tiny_bundle.picture), (route[-1].height, route[-1].width))
    for sample, number in enumerate(chosen(tiny_bundle, 4)):
        numbers = [sample + n * CANDIDATE for n in range(4)]
        layouts = [walk(pyramid, route, Gaussian(5), samples=[one]) for one in numbers]
        if fixture == "patch_bundle":
            distances = [patch_misfits(expected, layout)[0] + 1e-4 for layout in layouts]
        else:
            distances = [sliced_wasserstein_distances(expected, layout, directions=32)[0] for layout in layouts]
        changes = [change(layout, expected) for layout in layouts]
        worth = [distance / (change + 0.02) ** 1.5 for distance, change in zip(distances, changes, strict=True)]
        assert number == numbers[int(np.argmin(worth))]


def test_misfits_are_those_of_the_nearest_patches() -> None:
    real, other = blurred_noise(12, 15), blurred_noise(9, 18, seed=1)
    patches = [
        [one[0, :, y : y + 7, x : x + 7] for y in range(h - 6) for x in range(w - 6)]
        for one, (h, w) in ((real, (12, 15)), (other, (9, 18)))
    ]
    nearest = [min(float((patch - key).square().mean()) for key in patches[0]) for patch in patches[1]]
    both = patch_misfits(real, torch.cat([other, other.flip(3)]))
    assert both[0] == pytest.approx(np.mean(nearest), rel=1e-3)
    assert patch_misfits(real, real)[0] == pytest.approx(0, abs=1e-6)


def test_a_choice_depends_on_its_own_sample_alone(tiny_bundle: st.Bundle) -> None:
    (alone,) = chosen(tiny_bundle, 6, range(2, 3))
    assert chosen(tiny_bundle, 6)[2] == alone


def test_candidates_bring_generated_pictures_nearer(tiny_bundle: st.Bundle) -> None:
    real = to_tensor(tiny_bundle.picture)
    means = []
    for candidates in (1, 16):
        drawn = tiny_bundle.run("generate", count=12, candidates=candidates)
        means.append(sliced_wasserstein_distances(real, torch.cat([to_tensor(one) for one in drawn])).mean())
    assert means[1] < means[0]


def test_large_samples_get_fewer_candidates(tiny_bundle: st.Bundle) -> None:
    pyramid, (height, width) = tiny_bundle.pyramid("cpu"), tiny_bundle.geometry.finest
    real = to_tensor(tiny_bundle.picture)
    for times, most in ((2, 2), (9, 1)):
        route = pyramid.geometry.route(finest=(height, times * width))
        numbers = most_typical(pyramid, real, route, Gaussian(0), range(8), 4)
        assert max(numbers) // CANDIDATE == most - 1


def test_the_same_patches_are_at_no_distance_wherever_they_are() -> None:
    picture = blurred_noise(30, 36)
    twice = torch.cat([picture, picture], dim=3)
    (same,) = sliced_wasserstein_distances(picture, picture)
    (repeated,) = sliced_wasserstein_distances(picture, twice, levels=1)
    (other,) = sliced_wasserstein_distances(picture, blurred_noise(30, 36, seed=1), levels=1)
    assert same == 0
    assert repeated < 0.3 * other


def test_each_picture_of_a_batch_is_measured_alone() -> None:
    real, pictures = blurred_noise(24, 24), torch.cat([blurred_noise(24, 30, seed) for seed in (1, 2)])
    alone = [sliced_wasserstein_distances(real, picture[None])[0] for picture in pictures]
    np.testing.assert_allclose(sliced_wasserstein_distances(real, pictures), alone, rtol=1e-5)


def test_a_picture_without_a_whole_patch_is_refused() -> None:
    with pytest.raises(ValueError, match="smaller than a patch of 7 pixels"):
        sliced_wasserstein_distances(torch.zeros(1, 3, 9, 6), torch.zeros(1, 3, 9, 9))
