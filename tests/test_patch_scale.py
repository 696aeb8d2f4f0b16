"""Scales that rebuild pictures from the training picture's patches, and pyramids with such scales."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as hs
from torch import Tensor

import singan_toolkit as st
from singan_tk_tasks.disturbed import disturbed
from singan_toolkit.bundle.manifest import FORMAT_VERSION
from singan_toolkit.imaging.pictures import Picture, read_picture, write_picture
from singan_toolkit.imaging.tensors import to_tensor
from singan_toolkit.pyramid import patch_scale
from singan_toolkit.pyramid.geometry import Geometry, Size
from singan_toolkit.pyramid.noise import Silence
from singan_toolkit.pyramid.patch_scale import (
    PatchScale,
    cell_means,
    displaced,
    in_lines,
    nearest_patches,
    patch_scales,
)
from singan_toolkit.pyramid.resample import resize
from singan_toolkit.pyramid.walk import Pyramid, Scale, reconstruct, walk
from singan_toolkit.training.bundles import retrain_scale, train_bundle
from singan_toolkit.training.settings import settings_of

TASKS_OF_A_PICTURE = [
    ("generate", dict(count=2)),
    ("generate", dict(width=50, height=26)),
    ("generate", dict(width=25, height=25)),
    ("generate", dict(start_scale=1)),
    ("retarget", dict(aspect="2:1")),
    ("retarget", dict(aspect="1:2", source="noise")),
    ("super-resolution", dict(factor=1.5)),
]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def picture(height: int, width: int) -> Tensor:
    return resize(normal(1, 3, height // 2, width // 2), (height, width)).clamp(-1, 1)


class TestNearestPatches:
    @pytest.mark.parametrize("share", [0.005, 0.1])
    @pytest.mark.parametrize("entries", [1 << 22, 100])
    def test_are_those_of_the_paper_s_formula(
        self, monkeypatch: pytest.MonkeyPatch, entries: int, share: float
    ) -> None:
        monkeypatch.setattr(patch_scale, "ENTRIES", entries)
        queries, keys = normal(2, 23, 147), normal(31, 147, seed=1)
        found = nearest_patches(queries, keys, share)
        for one, numbers in zip(queries.numpy(), found.numpy(), strict=True):
            distances = ((one[:, None] - keys.numpy()[None]) ** 2).mean(-1)
            scores = distances / (share + distances.min(axis=0, keepdims=True))
            assert numbers.tolist() == scores.argmin(axis=1).tolist()

    def test_every_key_is_its_own(self) -> None:
        keys = normal(40, 20)
        assert nearest_patches(keys[None], keys)[0].tolist() == list(range(40))


class TestPatchScale:
    def scales(self) -> list[PatchScale]:
        return patch_scales(picture(44, 56), [(14, 18), (20, 26), (28, 36)])

    def test_without_noise_gives_the_training_picture(self) -> None:
        walked = torch.zeros(1, 3, 14, 18)
        for scale in self.scales():
            size = scale.picture.shape[-2], scale.picture.shape[-1]
            walked = scale.apply(resize(walked, size), torch.zeros(1, 3, *size))
            torch.testing.assert_close(walked, scale.picture, atol=1e-5, rtol=0)

    def test_noise_gives_others_of_the_same_patches(self) -> None:
        scale = self.scales()[0]
        drawn = scale.apply(torch.zeros(4, 3, 14, 18), normal(4, 3, 14, 18))
        assert (drawn - scale.picture).square().mean().sqrt() > 0.1
        assert drawn.abs().max() <= scale.picture.abs().max() + 1e-5

        def misfit(other: Tensor) -> float:
            queries, keys = (torch.nn.functional.unfold(one, 7)[0].T for one in (other, scale.picture))
            return float(torch.cdist(queries, keys).amin(1).mean())

        not_rebuilt = replace(scale, rounds=0).apply(torch.zeros(4, 3, 14, 18), normal(4, 3, 14, 18))
        assert misfit(drawn[:1]) < 0.7 * misfit(not_rebuilt[:1])

    def test_what_draws_takes_patches_from_a_like_height(self) -> None:
        halves = torch.ones(28)
        halves[14:] = -1
        upright = 0.8 * halves[:, None].expand(1, 3, 28, 36) + 0.1 * normal(1, 3, 28, 36)
        given_ = upright.flip(2)

        def top(gravity: float) -> float:
            scale = PatchScale(upright, upright, rounds=1, gravity=gravity)
            return scale.apply(given_, torch.zeros_like(given_))[..., :8, :].mean().item()

        assert top(gravity=0) == pytest.approx(-0.8, abs=0.1)
        assert top(gravity=50) == pytest.approx(0.8, abs=0.1)

    def test_an_object_that_was_taken_out_stays_out_of_a_faithful_pyramid(self) -> None:
        whole = 0.05 * normal(1, 3, 40, 60)
        emptied = whole.clone()
        whole[..., 12:28, 20:36] = 1
        emptied[..., 12:28, 20:36] = 0.2  # as what is around it, but roughly
        scale = PatchScale(whole, whole, rounds=1, gravity=0)
        complete = Pyramid(Geometry((Size(40, 60),), 2.0, 1), (scale,), torch.zeros(1, 1, 40, 60))
        brought_back, stayed_out = (
            walk(one, one.geometry.route(), Silence(), emptied)[..., 14:26, 22:34].mean().item()
            for one in (complete, complete.faithful())
        )
        assert brought_back > 0.5
        assert stayed_out < 0.2

    def test_a_batch_is_the_same_as_its_parts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        scale = self.scales()[1]
        given_, noise = picture(20, 26).expand(3, -1, -1, -1) + 0.5 * normal(3, 3, 20, 26), torch.zeros(3, 3, 20, 26)
        whole = scale.apply(given_, noise)
        monkeypatch.setattr(patch_scale, "ENTRIES", 5000)
        parts = torch.cat([scale.apply(one, noise[:1]) for one in torch.split(given_, 1)])
        torch.testing.assert_close(whole, parts, atol=1e-4, rtol=0)

    def test_a_margin_of_the_noise_is_left_out(self) -> None:
        scale, noise = self.scales()[0], normal(1, 3, 24, 28)
        zeros = torch.zeros(1, 3, 14, 18)
        assert torch.equal(scale.apply(zeros, noise), scale.apply(zeros, noise[..., 5:-5, 5:-5]))

    @pytest.mark.parametrize("size", [(6, 30), (3, 3)])
    def test_what_is_smaller_than_a_patch_stays(self, size: tuple[int, int]) -> None:
        given_ = normal(1, 3, *size)
        assert torch.equal(self.scales()[1].apply(given_, torch.zeros_like(given_)), given_)


class TestSmoothNoise:
    def test_means_of_cells_keep_their_deviation(self) -> None:
        torch.testing.assert_close(
            cell_means(normal(3000, 2, 15, 20), (3, 4)).std(), torch.tensor(1.0), atol=0.02, rtol=0
        )

    @pytest.mark.parametrize("dim", [1, 2])
    @pytest.mark.parametrize("together", [0.0, 0.8, 1.0])
    def test_lines_have_a_share_in_common(self, dim: int, together: float) -> None:
        mixed = in_lines(normal(20000, 3, 4), dim, together)
        torch.testing.assert_close(mixed.std(0), torch.ones(3, 4), atol=0.02, rtol=0)
        torch.testing.assert_close(mixed.mean(dim).std(), torch.tensor(together), atol=0.02, rtol=0)


class TestDisplacement:
    def test_shows_what_lies_as_far_away_as_the_shift_says(self) -> None:
        along = torch.linspace(0, 1, 41).expand(1, 3, 21, 41)
        moved = displaced(along, torch.stack([torch.zeros(3, 4), torch.full((3, 4), 0.1)])[None])
        torch.testing.assert_close(moved[..., 20], along[..., 20] + 0.1)
        torch.testing.assert_close(displaced(along, torch.zeros(1, 2, 3, 4)), along)

    @given(hs.integers(0, 1000), hs.floats(0.1, 20))
    @settings(max_examples=30, deadline=None)
    def test_every_pixel_is_a_mean_of_pixels(self, seed: int, strength: float) -> None:
        one = picture(16, 22)
        moved = displaced(one, strength * normal(2, 2, 4, 4, seed=seed))
        assert moved.shape == (2, 3, 16, 22)
        assert moved.amin() >= one.amin() - 1e-5
        assert moved.amax() <= one.amax() + 1e-5

    def test_places_at_a_side_move_along_it_only(self) -> None:
        rows = torch.linspace(-1, 1, 20)[:, None].expand(1, 3, 20, 30)
        moved = displaced(rows, normal(1, 2, 4, 4))
        torch.testing.assert_close(moved[..., [0, -1], :], rows[..., [0, -1], :], atol=1e-5, rtol=0)
        assert (moved - rows).abs().max() > 0.1


class TestGeometry:
    @given(hs.integers(12, 700), hs.integers(12, 700), hs.floats(1.1, 4), hs.integers(1, 256))
    @settings(max_examples=200, deadline=None)
    def test_grows_from_patches_to_the_picture(self, height: int, width: int, factor: float, patches_to: int) -> None:
        try:
            plain = Geometry.of_picture(height, width, 12, 500, factor)
        except ValueError:
            return
        geometry = Geometry.of_picture(height, width, 12, 500, factor, patches_to)
        assert geometry.finest == plain.finest
        assert 1 <= geometry.patch_scales < len(geometry.sizes)
        sides = [max(size) for size in geometry.sizes]
        assert sides == sorted(sides)
        assert 7 <= min(geometry.sizes[0]) <= 12 + 1
        if min(geometry.finest) * patches_to >= 24 * max(geometry.finest):
            assert sides[geometry.patch_scales - 1] <= patches_to + 1

    def test_networks_divide_the_rest_in_equal_ratios(self) -> None:
        geometry = Geometry.of_picture(188, 250, 14, 250, 1.6, 60)
        assert geometry.sizes[: geometry.patch_scales] == ((14, 19), (18, 24), (23, 30), (29, 38), (36, 48), (46, 60))
        assert geometry.sizes[geometry.patch_scales :] == ((73, 97), (117, 156), (188, 250))
        assert geometry.factor == pytest.approx((250 / 60) ** (1 / 3))

    @pytest.mark.parametrize(
        ("size", "top"),
        [((60, 500), (29, 234)), ((500, 60), (234, 29)), ((40, 500), (25, 313))],
        ids=["long", "high", "so long that the networks need the rest"],
    )
    def test_a_long_picture_has_room_for_patches_across(self, size: tuple[int, int], top: tuple[int, int]) -> None:
        geometry = Geometry.of_picture(*size, 14, 500, 1.6, 60)
        assert min(geometry.sizes[0]) == 14
        assert geometry.sizes[geometry.patch_scales - 1] == top


class TestPyramid:
    def test_has_patches_below_networks(self, patch_bundle: st.Bundle) -> None:
        scales = patch_bundle.pyramid("cpu").scales
        kinds = [isinstance(scale, PatchScale) for scale in scales]
        assert kinds == sorted(kinds, reverse=True)
        assert 0 < sum(kinds) == patch_bundle.manifest.patch_scales < len(scales)
        assert all(isinstance(scale, Scale) and not scale.grey_noise for scale in scales[sum(kinds) :])

    def test_is_the_same_from_its_file(self, patch_bundle: st.Bundle, tmp_path: Path) -> None:
        patch_bundle.save(tmp_path / "a.sgb")
        loaded = st.load(tmp_path / "a.sgb")
        assert loaded.manifest.version == FORMAT_VERSION
        assert loaded.manifest.scales == patch_bundle.manifest.scales
        for one, other in zip(loaded.run("generate", count=2), patch_bundle.run("generate", count=2), strict=True):
            np.testing.assert_array_equal(one, other)

    def test_rebuilds_the_picture(self, patch_bundle: st.Bundle) -> None:
        real = to_tensor(patch_bundle.picture)
        low = resize(resize(real, patch_bundle.geometry.sizes[1]), patch_bundle.geometry.finest)
        rebuilt = reconstruct(patch_bundle.pyramid("cpu"))
        assert (rebuilt - real).square().mean() < 1.2 * (low - real).square().mean()

    @pytest.mark.parametrize(("task", "options"), TASKS_OF_A_PICTURE)
    def test_every_task_of_the_picture_runs(self, patch_bundle: st.Bundle, task: str, options: dict[str, Any]) -> None:
        for result in patch_bundle.run(task, **options):
            assert result.dtype == np.uint8
            assert result.std() > 1

    def test_an_animation_moves(self, patch_bundle: st.Bundle) -> None:
        (clip,) = patch_bundle.run("animate", frames=6)
        assert np.abs(np.diff(clip.astype(float), axis=0)).mean() > 0.1


class TestVariety:
    def far(self, bundle: st.Bundle, variety: float) -> float:
        """How far samples are from the reconstruction, which is the sample without variety."""
        drawn = np.stack(bundle.run("generate", count=6, variety=variety)).astype(float)
        (still,) = bundle.run("generate", variety=0)
        return float(np.sqrt(((drawn - still) ** 2).mean()))

    @pytest.mark.parametrize("fixture", ["patch_bundle", "tiny_bundle"])
    def test_of_zero_is_the_reconstruction(self, request: pytest.FixtureRequest, fixture: str) -> None:
        bundle: st.Bundle = request.getfixturevalue(fixture)
        one, other = bundle.run("generate", count=2, variety=0)
        np.testing.assert_array_equal(one, other)
        expected = reconstruct(bundle.pyramid("cpu"))
        assert (to_tensor(one) - expected.clamp(-1, 1)).abs().max() < 0.01

    @pytest.mark.parametrize("fixture", ["patch_bundle", "tiny_bundle"])
    def test_goes_ever_further(self, request: pytest.FixtureRequest, fixture: str) -> None:
        near, middle, far = (self.far(request.getfixturevalue(fixture), variety) for variety in (0, 0.1, 1))
        assert near < middle < far

    def test_is_continuous_where_networks_draw_the_layout(self, tiny_bundle: st.Bundle) -> None:
        one, other = (self.far(tiny_bundle, variety) for variety in (0.3, 0.301))
        assert one == pytest.approx(other, rel=0.02)

    def test_several_show_the_same_sample(self, patch_bundle: st.Bundle) -> None:
        output = st.run(patch_bundle, "generate", count=2, variety=[0, 0.5], seed=3)
        assert [result.label for result in output.results] == [
            *("0003 variety 0", "0003 variety 0.5"),
            *("0004 variety 0", "0004 variety 0.5"),
        ]
        (alone,) = st.run(patch_bundle, "generate", seed=4).arrays
        apart = np.abs(output.arrays[3].astype(int) - alone)  # batches of another size are summed in another order
        assert apart.max() <= 1
        assert (apart > 0).mean() < 0.001

    def test_another_size_cannot_lead_to_a_picture_of_one_size(self, tiny_bundle: st.Bundle) -> None:
        with pytest.raises(st.TaskError, match="own size only"):
            tiny_bundle.run("generate", variety=0.2, width=60)
        tiny_bundle.run("generate", variety=0.7, width=60)


def tinted(pictures: Tensor) -> Tensor:
    return pictures + torch.tensor([0.5, -0.5, 0.2])[:, None, None]


def restored(bundle: st.Bundle, entered: int) -> float:
    """Mean square error of what comes out where the training picture enters tinted, above the scale below."""
    real, size = to_tensor(bundle.picture), bundle.geometry.sizes[entered - 1]
    out = walk(bundle.pyramid("cpu"), bundle.geometry.route(entered), Silence(), tinted(resize(real, size)))
    return float((out - real).square().mean())


class TestTrainedAnew:
    def test_all_scales_from_one_on_learn_to_restore_the_picture(self, patch_bundle: st.Bundle) -> None:
        first = patch_bundle.manifest.patch_scales
        settings = patch_bundle.manifest.training.settings | dict(iterations=60, finest_iterations=60)
        training = patch_bundle.manifest.training.model_copy(update=dict(settings=settings))
        bundle = replace(patch_bundle, manifest=patch_bundle.manifest.model_copy(update=dict(training=training)))

        other = retrain_scale(bundle, first, tinted, restores=True, device="cpu")
        changed = {name for name, values in bundle.tensors.items() if not np.array_equal(values, other.tensors[name])}
        assert changed == {name for name in bundle.tensors if name.startswith("scales.")}

        for entered in range(first, len(bundle.geometry.sizes)):
            assert restored(other, entered) < 0.4 * restored(bundle, entered)

    @pytest.mark.parametrize("patches_to", [0, 24])
    def test_training_from_the_start_learns_to_undo_a_change(
        self, photo: Path, tiny_settings: dict[str, Any], patches_to: int
    ) -> None:
        changes = dict(max_size=60, factor=1.5, iterations=60, finest_iterations=60, patches_to=patches_to)
        how = settings_of("draft", **{**tiny_settings, **changes})
        plain, bundle = (
            train_bundle(read_picture(photo), how, preset="draft", device="cpu", undoes=undoes)
            for undoes in (None, tinted)
        )
        for entered in range(max(1, bundle.manifest.patch_scales), len(bundle.geometry.sizes)):
            assert restored(bundle, entered) < 0.4 * restored(plain, entered)

    def test_a_bundle_trained_for_harmonize_is_not_adapted_again(
        self, photo: Path, tiny_settings: dict[str, Any], tmp_path: Path
    ) -> None:
        bundle = st.train(photo, preset="draft", task="harmonize", device="cpu", **tiny_settings | dict(max_size=20))
        bundle.save(tmp_path / "a.sgb")
        st.load(tmp_path / "a.sgb").run("harmonize", composite=photo, mask=np.eye(48, 60) > 0)
        assert [path.name for path in tmp_path.iterdir()] == ["a.sgb"]

    def test_a_bundle_with_a_setting_that_is_no_more_can_be_trained_anew(self, tiny_bundle: st.Bundle) -> None:
        settings = tiny_bundle.manifest.training.settings | dict(layout=100.0, iterations=1, finest_iterations=1)
        training = tiny_bundle.manifest.training.model_copy(update=dict(settings=settings))
        old = replace(tiny_bundle, manifest=tiny_bundle.manifest.model_copy(update=dict(training=training)))
        assert retrain_scale(old, 1, lambda picture: picture, device="cpu").manifest.scales[2] == old.manifest.scales[2]

    def test_harmonize_keeps_the_adapted_bundle_beside(self, patch_bundle: st.Bundle, tmp_path: Path) -> None:
        patch_bundle.save(tmp_path / "a.sgb")
        pixels = np.zeros((12, 12, 4), np.uint8)
        pixels[2:10, 2:10] = 250, 30, 200, 255
        write_picture(Picture(pixels), tmp_path / "p.png")
        bundle = st.load(tmp_path / "a.sgb")
        plain, first, again = (
            bundle.run("harmonize", paste=tmp_path / "p.png", adapt=adapt)[0] for adapt in (False, True, True)
        )
        at = bundle.manifest.patch_scales
        assert sorted(path.name for path in tmp_path.glob("*.sgb")) == [f"a.adapted-{at}.sgb", "a.sgb"]
        np.testing.assert_array_equal(first, again)
        assert (first != plain).any()


class TestDisturbed:
    def test_differs_in_places_and_is_the_same_each_time(self) -> None:
        pictures = picture(40, 52).expand(16, -1, -1, -1)
        one = disturbed(pictures)
        assert torch.equal(one, disturbed(pictures))
        assert one.shape == pictures.shape
        assert one.abs().max() <= 1
        changed = ((one - pictures).abs().amax(1) > 0.05).float().mean()
        assert 0.2 < changed < 0.8
        assert not torch.equal(one[0], one[1])


@pytest.mark.parametrize("colour", [-1.0, -0.2, 1.0])
@pytest.mark.parametrize(("whole", "size"), [((30, 7), (20, 7)), ((48, 33), (24, 32))])
def test_a_picture_of_one_colour_is_rebuilt(colour: float, whole: tuple[int, int], size: tuple[int, int]) -> None:
    scale = PatchScale(resize(torch.full((1, 3, *whole), colour), size), noise_amplitude=0.0)
    walked = scale.apply(torch.zeros(1, 3, *size), torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(walked, torch.full_like(walked, colour))
