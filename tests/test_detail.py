"""Carrying a small picture up with the detail of its large original."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation, gaussian_filter

from singan_toolkit.errors import PictureError
from singan_toolkit.imaging import detail
from singan_toolkit.imaging.detail import transfer_detail
from singan_toolkit.imaging.tensors import to_rgb, to_tensor
from singan_toolkit.pyramid.resample import resize


def scene(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Noise of several sizes, so that patches differ and no size of the picture holds all of it."""
    random = np.random.default_rng(seed)
    layers = [gaussian_filter(random.normal(size=(height, width, 3)), (spread, spread, 0)) for spread in (0.6, 3, 9)]
    texture = np.sum([layer / layer.std() for layer in layers], axis=0)
    rgb: np.ndarray = np.clip(0.5 + 0.12 * texture, 0, 1).astype(np.float32)
    return rgb


def shrunk(rgb: np.ndarray, height: int, width: int) -> torch.Tensor:
    return resize(to_tensor(rgb), (height, width)).clamp(-1, 1)


def enlarged(small: torch.Tensor, size: tuple[int, int]) -> np.ndarray:
    return to_rgb(resize(small, size)[0])


def sharpness(rgb: np.ndarray) -> float:
    return float(np.abs(np.diff(rgb, axis=0)).mean() + np.abs(np.diff(rgb, axis=1)).mean())


def box(height: int, width: int, top: int, bottom: int, left: int, right: int) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[top:bottom, left:right] = True
    return mask


@pytest.mark.parametrize(
    ("size", "small"), [((96, 128), (24, 32)), ((97, 61), (40, 25)), ((50, 131), (19, 47)), ((30, 40), (30, 40))]
)
def test_the_small_original_becomes_the_large_one(size: tuple[int, int], small: tuple[int, int]) -> None:
    rgb = scene(*size)
    before = shrunk(rgb, *small)
    result = transfer_detail(rgb, before, before.clone(), size)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, rgb, atol=1e-5)


def test_grey_stays_grey() -> None:
    rgb = scene(80, 100)[..., :1].repeat(3, axis=2)
    before = shrunk(rgb, 20, 25)
    result = transfer_detail(rgb, before, before.flip(-1), (80, 100))
    assert sharpness(result) > 1.5 * sharpness(enlarged(before, (80, 100)))
    np.testing.assert_allclose(result, result[..., :1].repeat(3, axis=2), atol=1e-5)


@pytest.mark.parametrize("ratio", [2, 2.5, 4])
def test_moved_parts_take_their_detail_along(ratio: float) -> None:
    rgb = scene(round(24 * ratio), round(40 * ratio))
    before = shrunk(rgb, 24, 40)
    after = before.roll(16, dims=-1)
    result = transfer_detail(rgb, before, after, rgb.shape[:2])
    wrong = np.abs(result - np.roll(rgb, round(16 * ratio), axis=1)).max(axis=(0, 2)) > 1e-4
    columns = np.arange(len(wrong)) / ratio
    assert not wrong[(np.abs(columns - 16) > 4) & (columns > 4) & (columns < 36)].any()


def test_another_shape() -> None:
    rgb = scene(96, 128)
    before = shrunk(rgb, 24, 32)
    after = resize(before, (30, 24))
    result = transfer_detail(rgb, before, after, (121, 97))
    assert result.shape == (121, 97, 3)
    assert 0 <= result.min() < result.max() <= 1
    assert sharpness(result) > 2 * sharpness(enlarged(after, (121, 97)))
    assert np.abs(to_rgb(shrunk(result, 30, 24)[0]) - to_rgb(after[0])).mean() < 0.02


def test_a_somewhat_larger_size_is_not_out_of_step() -> None:
    rgb = scene(96, 128)
    before = shrunk(rgb, 24, 32)
    result = transfer_detail(rgb, before, before, (104, 140))
    ideal = enlarged(to_tensor(rgb), (104, 140))
    assert np.abs(result - ideal).mean() < 0.4 * np.abs(enlarged(before, (104, 140)) - ideal).mean()


def test_noise_does_not_tear_the_detail_apart() -> None:
    rgb = scene(96, 128)
    before = shrunk(rgb, 24, 32)
    after = before + 0.15 * torch.randn(before.shape, generator=torch.Generator().manual_seed(0))
    result = transfer_detail(rgb, before, after, (96, 128))
    ideal = rgb + enlarged(after, (96, 128)) - enlarged(before, (96, 128))
    assert (np.abs(result - ideal).max(axis=2) < 0.02).mean() > 0.95


def test_copies_blend_without_seams() -> None:
    rgb = gaussian_filter(scene(144, 192), (2, 2, 0))
    before = shrunk(rgb, 18, 24)
    result = transfer_detail(rgb, before, before.flip(-1), (144, 192))
    steps = np.abs(np.diff(result, axis=1)).mean(axis=(0, 2))
    where_copies_change = np.arange(191) % 8 == 3
    assert steps[where_copies_change].mean() < 1.2 * steps[~where_copies_change].mean()


class TestMasks:
    rgb = scene(96, 128)
    before = shrunk(rgb, 24, 32)
    where = box(24, 32, 8, 18, 9, 21)
    source = ~box(96, 128, 40, 64, 44, 76)

    def test_outside_every_pixel_keeps_its_own_detail(self) -> None:
        after = torch.where(torch.from_numpy(self.where), self.before.flip(-1), 0.7 * self.before)
        result = transfer_detail(self.rgb, self.before, after, (96, 128), self.source, self.where)
        own = np.clip(self.rgb + enlarged(after, (96, 128)) - enlarged(self.before, (96, 128)), 0, 1)
        near = binary_dilation(self.where, np.ones((3, 3))).repeat(4, axis=0).repeat(4, axis=1)
        np.testing.assert_allclose(result[~near], own[~near], atol=0.02)
        assert np.abs(result - own)[36:68, 40:80].mean() > 0.02
        assert sharpness(result[36:68, 40:80]) > 0.8 * sharpness(self.rgb[36:68, 40:80])

    def test_nowhere(self) -> None:
        result = transfer_detail(self.rgb, self.before, self.before, (96, 128), where=np.zeros((24, 32), bool))
        np.testing.assert_allclose(result, self.rgb, atol=1e-6)

    @pytest.mark.parametrize("where", [None, where, ~source[::4, ::4], np.zeros((24, 32), bool)])
    def test_what_is_no_source_does_not_matter(self, where: np.ndarray | None) -> None:
        result = transfer_detail(self.rgb, self.before, self.before, (96, 128), self.source, where)
        rgb = np.where(self.source[..., None], self.rgb, scene(96, 128, seed=1))
        again = transfer_detail(rgb, self.before, self.before, (96, 128), self.source, where)
        np.testing.assert_array_equal(result, again)
        assert np.isfinite(result).all()

    def test_no_match_lies_in_what_is_no_source(self) -> None:
        wanted = torch.where(torch.from_numpy(self.where), self.before.flip(-2), self.before)
        result = transfer_detail(self.rgb, self.before, wanted, (96, 128), self.source, self.where)
        bait = self.before.clone()
        bait[..., 12:14, 13:17] = wanted[..., 12:14, 13:17]  # so far inside that no copy is enlarged from it
        again = transfer_detail(self.rgb, bait, wanted, (96, 128), self.source, self.where)
        np.testing.assert_array_equal(result, again)

    def test_what_is_no_source_gets_detail_from_elsewhere(self) -> None:
        result = transfer_detail(self.rgb, self.before, self.before, (96, 128), self.source, self.where)
        assert sharpness(result[40:64, 44:76]) > 0.7 * sharpness(self.rgb[40:64, 44:76])

    @pytest.mark.parametrize("left", [0, 4])
    def test_too_little_source(self, left: int) -> None:
        source = box(96, 128, 0, 4 * left, 0, 4 * left)
        with pytest.raises(PictureError, match="mask"):
            transfer_detail(self.rgb, self.before, self.before, (96, 128), source & (np.arange(128) % 16 > 0))

    def test_sizes_that_do_not_fit(self) -> None:
        with pytest.raises(ValueError, match=r"source.*\(24, 32\).*\(96, 128\)"):
            transfer_detail(self.rgb, self.before, self.before, (96, 128), source=self.where)
        with pytest.raises(ValueError, match=r"where.*\(96, 128\).*\(24, 32\)"):
            transfer_detail(self.rgb, self.before, self.before, (96, 128), where=self.source)
        with pytest.raises(ValueError, match=r"where.*\(24, 40\)"):
            transfer_detail(self.rgb, self.before, resize(self.before, (24, 40)), (96, 160), where=self.where)


def test_the_parts_in_which_it_works_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    rgb = scene(60, 75)
    before = shrunk(rgb, 20, 25)
    after = resize(before, (20, 32))
    whole = transfer_detail(rgb, before, after, (60, 96))
    monkeypatch.setattr(detail, "_STRIP_PIXELS", 7 * 96)
    monkeypatch.setattr(detail, "_SEARCHED_AT_ONCE", 11)
    np.testing.assert_allclose(transfer_detail(rgb, before, after, (60, 96)), whole, atol=1e-6)


def test_inputs_stay_as_they_are() -> None:
    rgb = scene(40, 52)
    before = shrunk(rgb, 40, 52)
    after = before.flip(-1)
    copies = rgb.copy(), before.clone(), after.clone()
    transfer_detail(rgb, before, after, (40, 52))
    np.testing.assert_array_equal(rgb, copies[0])
    assert torch.equal(before, copies[1])
    assert torch.equal(after, copies[2])
