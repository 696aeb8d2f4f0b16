"""The measures against closed forms, or against independent libraries that come to the same."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from scipy.linalg import sqrtm
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree
from scipy.stats import wasserstein_distance

from singan_toolkit.errors import InputError
from singan_toolkit.imaging.pictures import read_picture
from singan_toolkit.measures import fidelity
from singan_toolkit.measures import samples as quality
from singan_toolkit.measures.frechet import frechet_distance
from singan_toolkit.measures.inception import InceptionDistance, _Front
from singan_toolkit.measures.nearest import PATCH, patch_errors


def noise(*size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def windows(picture: np.ndarray, side: int) -> np.ndarray:
    """Patches as rows, in the order channel, row, column: (patches, 3 side^2), float64."""
    seen = np.lib.stride_tricks.sliding_window_view(picture.astype(float), (side, side), axis=(0, 1))
    return seen.reshape(-1, 3 * side * side)


class TestFrechet:
    @given(
        some.lists(
            some.tuples(some.floats(-9, 9), some.floats(-9, 9), some.floats(0, 9), some.floats(0, 9)), min_size=1
        )
    )
    def test_of_gaussians_with_independent_values(self, values: list[tuple[float, float, float, float]]) -> None:
        mean, other_mean, spread, other_spread = torch.tensor(values, dtype=torch.float64).T
        expected = (mean - other_mean).square().sum() + (spread - other_spread).square().sum()
        found = frechet_distance((mean, spread.square().diag()), (other_mean, other_spread.square().diag()))
        assert found == pytest.approx(expected.item(), abs=1e-6)


class TestPatches:
    def test_a_copy_is_at_no_distance(self, photo: Path) -> None:
        picture = read_picture(photo).pixels
        assert vars(patch_errors(picture, picture)) == {"structure": 0, "coherence": 0, "coverage": 0}

    def test_distances_are_those_of_a_search_tree(self) -> None:
        real, sample = noise(24, 24), noise(24, 20, seed=1)
        patches, others = windows(real, PATCH), windows(sample, PATCH)
        share = real.std() * np.sqrt(patches.shape[1])
        coherence, coverage = (
            cKDTree(to).query(of)[0].mean() / share for of, to in [(others, patches), (patches, others)]
        )
        found = patch_errors(real, sample)
        assert found.coherence == pytest.approx(coherence, rel=1e-4)
        assert found.coverage == pytest.approx(coverage, rel=1e-4)
        assert found.structure == pytest.approx((coherence + coverage) / 2, rel=1e-4)

    def test_what_is_missing_and_what_does_not_belong_are_told_apart(self) -> None:
        real, strange = noise(24, 24), noise(24, 24, seed=1)
        more, less = patch_errors(real, np.concatenate([real, strange], axis=1)), patch_errors(real, real[:, :12])
        assert more.coverage == 0 < more.coherence
        assert less.coherence == 0 < less.coverage

    def test_structure_is_over_all_resolutions_that_the_picture_has(self, photo: Path) -> None:
        picture = np.asarray(read_picture(photo).pixels)
        blurred = gaussian_filter(picture, (3, 3, 0))
        errors = patch_errors(picture, blurred)
        assert errors.structure < (errors.coherence + errors.coverage) / 2  # the coarser one shows less of the blur

    @pytest.mark.parametrize("size", [(20, 20), (400, 24)])
    def test_pictures_too_small_or_too_thin(self, size: tuple[int, int]) -> None:
        with pytest.raises(InputError, match=f"{size[1]}x{size[0]}.*too thin"):
            patch_errors(noise(*size), noise(*size))


def test_sliced_wasserstein_distance_is_scipy_s_along_each_direction() -> None:
    real, sample = noise(13, 12), noise(13, 12, seed=1) // 2
    drawn = torch.randn(256, 3, 7, 7, generator=torch.Generator().manual_seed(0)).flatten(1)
    units = (drawn / drawn.norm(dim=1, keepdim=True)).numpy()
    projected = [windows(one, 7) @ units.T for one in (real, sample)]
    expected = np.mean([wasserstein_distance(a, b) for a, b in zip(*(one.T for one in projected), strict=True)]) / 7
    assert quality.patch_distances(real, [sample]) == [pytest.approx(expected, rel=1e-4)]


class TestFidelity:
    @given(some.integers(1, 100))
    def test_psnr_of_a_shift(self, shift: int) -> None:
        real = noise(24, 24) // 2
        assert fidelity.psnr(real, real + np.uint8(shift)) == pytest.approx(20 * np.log10(255 / shift))

    def test_psnr_of_a_copy_is_infinite(self) -> None:
        assert fidelity.psnr(noise(24, 24), noise(24, 24)) == np.inf

    def test_ssim_of_flat_pictures(self) -> None:
        dark, bright = np.full((24, 24, 3), 60, np.uint8), np.full((24, 24, 3), 120, np.uint8)
        small = (0.01 * 255) ** 2
        expected = (2 * 60 * 120 + small) / (60**2 + 120**2 + small)
        assert fidelity.ssim(dark, bright) == pytest.approx(expected)
        assert fidelity.ssim(dark, dark) == pytest.approx(1)

    def test_blur_grows_with_blurring(self, photo: Path) -> None:
        picture = np.asarray(read_picture(photo).pixels)
        found = [fidelity.blur(gaussian_filter(picture, (width, width, 0))) for width in (0, 1, 3)]
        assert found == sorted(found)
        assert 0 <= found[0] < found[2] <= 1


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of an Inception v3's front, among others that its file has."""
    random = torch.Generator().manual_seed(2)
    state = {"fc.weight": torch.zeros(2, 2)}
    for name, value in _Front().state_dict().items():
        if "num_batches" not in name:
            drawn = torch.randn(value.shape, generator=random)
            state[name] = drawn.abs() + 0.5 if name.endswith(("var", "bn.weight")) else drawn * 0.2
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    torch.save(state, path)
    return path


def convolved(x: np.ndarray, state: dict[str, np.ndarray], name: str, stride: int = 1, padding: int = 0) -> np.ndarray:
    """One layer written out: (C, H, W) to the same, by sums over windows."""
    kernel = state[f"{name}.conv.weight"]
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    seen = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[2:], axis=(1, 2))[:, ::stride, ::stride]
    sums = np.einsum("chwij,kcij->khw", seen, kernel)
    mean, var, weight, bias = (
        state[f"{name}.bn.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
    )
    activated: np.ndarray = np.maximum((sums - mean) / np.sqrt(var + 1e-3) * weight + bias, 0)
    return activated


class TestInception:
    def test_distances_are_those_of_the_network_written_out(self, weights: Path) -> None:
        loaded = torch.load(weights, weights_only=True)
        state = {name: value.double().numpy() for name, value in loaded.items()}

        def features(picture: np.ndarray) -> list[np.ndarray]:
            x = picture.transpose(2, 0, 1) / 255 * 2 - 1
            x = convolved(convolved(x, state, "Conv2d_1a_3x3", stride=2), state, "Conv2d_2a_3x3")
            first = convolved(x, state, "Conv2d_2b_3x3", padding=1)
            pooled = np.lib.stride_tricks.sliding_window_view(first, (3, 3), axis=(1, 2))[:, ::2, ::2].max((-1, -2))
            second = convolved(convolved(pooled, state, "Conv2d_3b_1x1"), state, "Conv2d_4a_3x3")
            return [one.reshape(len(one), -1) for one in (first, second)]

        real, sample = noise(45, 50), noise(45, 50, seed=1) // 2
        expected = []
        for a, b in zip(features(real), features(sample), strict=True):
            shift = a.mean(1) - b.mean(1)
            root = sqrtm(np.cov(a) @ np.cov(b)).real
            expected.append(shift @ shift + np.trace(np.cov(a) + np.cov(b) - 2 * root))
        assert [len(one) for one in features(real)] == [64, 192]
        assert InceptionDistance(real, weights)(sample) == pytest.approx(expected, rel=1e-3)

    def test_a_copy_is_at_no_distance(self, weights: Path) -> None:
        assert InceptionDistance(noise(24, 24), weights)(noise(24, 24)) == pytest.approx((0, 0), abs=1e-6)

    @pytest.mark.parametrize("kind", ["text", "empty", "list", "other names", "other shapes", "a call", "no numbers"])
    def test_a_file_with_something_else(self, kind: str, weights: Path, tmp_path: Path) -> None:
        state = torch.load(weights, weights_only=True)
        path, called = tmp_path / "x.pth", tmp_path / "called"

        class Calls:
            def __reduce__(self) -> tuple[object, tuple[Path]]:
                return Path.touch, (called,)

        first = "Conv2d_1a_3x3.conv.weight"
        match kind:
            case "text":
                path.write_text("no weights")
            case "empty":
                path.touch()
            case "list":
                torch.save([1, 2], path)
            case "other names":
                torch.save({"a": torch.zeros(2)}, path)
            case "other shapes":
                torch.save({**state, first: torch.zeros(2)}, path)
            case "a call":
                path.write_bytes(pickle.dumps(Calls()))
            case "no numbers":
                torch.save({**state, first: state[first] * torch.nan}, path)
        with pytest.raises(InputError, match=r"x\.pth"):
            InceptionDistance(noise(24, 24), path)
        assert not called.exists()

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"cannot read .*No such file"):
            InceptionDistance(noise(24, 24), tmp_path / "x.pth")


@settings(max_examples=20)
@given(some.lists(some.integers(0, 255), min_size=2, max_size=6))
def test_diversity_of_flat_samples_is_their_deviation(greys: list[int]) -> None:
    real = noise(6, 6)
    samples = [np.full_like(real, grey) for grey in greys]
    assert quality.diversity(real, samples) == pytest.approx(np.std(greys) / real.mean(-1).std(), abs=1e-9)
