"""The task harmonize, and the scale at which tasks enter."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sample_task import difference, pixels_of
from singan_toolkit import Bundle, Picture, PictureError, TaskError, run
from singan_toolkit.imaging.pictures import read_picture, write_picture
from singan_toolkit.tasks.manager import installed_plugins


@pytest.fixture(scope="session")
def cutout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An opaque red rectangle of 12x8 pixels in a transparent frame."""
    pixels = np.zeros((14, 10, 4), np.uint8)
    pixels[1:-1, 1:-1] = 250, 20, 20, 255
    path = tmp_path_factory.mktemp("cutout") / "cutout.png"
    write_picture(Picture(pixels), path)
    return path


def composite(folder: Path, height: int, width: int, channels: int, dtype: Any) -> tuple[Path, Path, np.ndarray]:
    """A noisy picture with an object, its mask, and where pixels lie so far off that they must stay."""
    pixels = np.random.default_rng(3).integers(0, np.iinfo(dtype).max, (height, width, channels), dtype, endpoint=True)
    mask = np.zeros((height, width), bool)
    mask[height // 2 : height // 2 + 8, width // 4 : width // 4 + 10] = True
    write_picture(Picture(pixels), folder / "composite.tif")
    write_picture(Picture(mask[..., None].astype(np.uint8) * 255), folder / "mask.png")
    reach = int(0.05 * max(height, width)) + 1
    far = np.ones_like(mask)
    top, left = max(height // 2 - reach, 0), max(width // 4 - reach, 0)
    far[top : height // 2 + 8 + reach, left : width // 4 + 10 + reach] = False
    return folder / "composite.tif", folder / "mask.png", far


class TestHarmonize:
    @pytest.mark.parametrize(
        ("height", "width", "channels", "dtype"),
        [
            (32, 40, 3, np.uint8),
            (61, 83, 3, np.uint8),
            (61, 83, 3, np.uint16),
            (90, 50, 4, np.uint8),
            (50, 90, 4, np.uint16),
            (48, 60, 1, np.uint8),
            (48, 60, 1, np.uint16),
            (48, 60, 2, np.uint8),
            (30, 36, 3, np.uint8),
            (600, 3000, 3, np.uint8),
            (3000, 400, 4, np.uint16),
        ],
    )
    def test_composite_stays_outside_the_mask(
        self, tiny_bundle: Bundle, tmp_path: Path, height: int, width: int, channels: int, dtype: Any
    ) -> None:
        picture, mask, far = composite(tmp_path, height, width, channels, dtype)
        given = read_picture(picture).pixels
        (changed,) = pixels_of(run(tiny_bundle, "harmonize", adapt=False, composite=picture, mask=mask))
        assert changed.dtype == dtype
        assert changed.shape == given.shape
        np.testing.assert_array_equal(changed[far], given[far])
        if channels in (2, 4):
            np.testing.assert_array_equal(changed[far][..., -1], given[far][..., -1])
        inside = read_picture(mask).pixels[..., 0] > 0
        assert (changed[inside] != given[inside]).any(axis=-1).mean() > 0.5

    def test_paste_on_the_training_picture(self, tiny_bundle: Bundle, cutout: Path) -> None:
        (changed,) = pixels_of(run(tiny_bundle, "harmonize", adapt=False, paste=cutout, at="4,6"))
        assert changed.shape == tiny_bundle.picture.shape
        far = np.ones(changed.shape[:2], bool)
        far[6 - 3 : 18 + 3, 4 - 3 : 12 + 3] = False
        np.testing.assert_array_equal(changed[far], tiny_bundle.picture[far])
        assert difference(changed[6:18, 4:12], tiny_bundle.picture[6:18, 4:12]).mean() > 10
        assert difference(changed[6:18, 4:12], np.array([250, 20, 20])).max() > 0

    def test_paste_on_a_background(self, tiny_bundle: Bundle, cutout: Path, tmp_path: Path) -> None:
        path = tmp_path / "background.tif"
        pixels = np.random.default_rng(0).integers(0, 65535, (60, 80, 4), np.uint16)
        write_picture(Picture(pixels), path)
        output = run(
            tiny_bundle,
            "harmonize",
            adapt=False,
            paste=cutout,
            background=path,
            at="top-right",
            size="10x20",
            feather=1,
        )
        (changed,) = pixels_of(output)
        assert changed.dtype == np.uint16
        np.testing.assert_array_equal(changed[23:], pixels[23:])
        np.testing.assert_array_equal(changed[:, :67], pixels[:, :67])
        assert (changed[:20, 70:, :3] != pixels[:20, 70:, :3]).any(axis=-1).mean() > 0.9

    def test_paste_with_a_mask(self, tiny_bundle: Bundle, tmp_path: Path) -> None:
        picture, mask, _ = composite(tmp_path, 20, 24, 3, np.uint8)
        with pytest.raises(PictureError, match="no transparency"):
            run(tiny_bundle, "harmonize", adapt=False, paste=picture)
        (changed,) = pixels_of(run(tiny_bundle, "harmonize", adapt=False, paste=picture, mask=mask, at="top-left"))
        assert difference(changed[:8, :10], tiny_bundle.picture[:8, :10]).mean() > 10
        np.testing.assert_array_equal(changed[12:], tiny_bundle.picture[12:])

    def test_feather_widens_the_edge(self, tiny_bundle: Bundle, cutout: Path) -> None:
        counts = [
            (
                pixels_of(run(tiny_bundle, "harmonize", adapt=False, paste=cutout, feather=feather))[0]
                != tiny_bundle.picture
            ).sum()
            for feather in (0, 3, 9)
        ]
        assert counts == sorted(set(counts))

    def test_a_large_cutout_is_noted(self, tiny_bundle: Bundle, tmp_path: Path) -> None:
        pixels = np.full((50, 60, 4), 255, np.uint8)
        pixels[:, :30] = 0
        write_picture(Picture(pixels), tmp_path / "large.png")
        output = run(tiny_bundle, "harmonize", adapt=False, paste=tmp_path / "large.png")
        assert ["large.png" in note for note in output.notes] == [True]

    def test_detail_survives_only_above_its_scale(self, tiny_bundle: Bundle, tmp_path: Path) -> None:
        pixels = np.full((16, 16, 4), 255, np.uint8)
        pixels[0, 0, 3] = 0
        pixels[:, :, :3] = np.where(np.arange(16) // 2 % 2, 255, 0)[None, :, None]
        write_picture(Picture(pixels), tmp_path / "stripes.png")
        contrasts = [
            one[12:24, 14:26].astype(float).std(axis=1).mean()
            for one in pixels_of(
                run(tiny_bundle, "harmonize", adapt=False, paste=tmp_path / "stripes.png", at="12,10", scale="all")
            )
        ]
        assert contrasts[0] < 0.5 * contrasts[-1]

    def test_seed(self, tiny_bundle: Bundle, cutout: Path) -> None:
        first, again, other = (
            pixels_of(run(tiny_bundle, "harmonize", adapt=False, paste=cutout, scale=1, seed=seed))[0]
            for seed in (1, 1, 2)
        )
        np.testing.assert_array_equal(first, again)
        assert (first != other).any()

    def test_faint_cutout(self, tiny_bundle: Bundle, tmp_path: Path) -> None:
        pixels = np.zeros((12, 12, 4), np.uint8)
        pixels[2:10, 2:10] = 250, 250, 250, 100
        write_picture(Picture(pixels), tmp_path / "faint.png")
        pasted, other = (
            pixels_of(
                run(tiny_bundle, "harmonize", adapt=False, paste=tmp_path / "faint.png", at="10,10", scale=scale)
            )[0]
            for scale in (1, len(tiny_bundle.geometry.sizes) - 1)
        )
        far = np.ones(pasted.shape[:2], bool)
        far[7:21, 7:21] = False
        np.testing.assert_array_equal(pasted[far], tiny_bundle.picture[far])
        assert (pasted[10:18, 10:18] != other[10:18, 10:18]).any()


class TestScale:
    def test_default(self, tiny_bundle: Bundle, cutout: Path) -> None:
        injection = installed_plugins().tasks["harmonize"].injection
        assert injection is not None
        default = pixels_of(run(tiny_bundle, "harmonize", adapt=False, paste=cutout))
        at = injection.scale(len(tiny_bundle.geometry.sizes))
        np.testing.assert_array_equal(
            default, pixels_of(run(tiny_bundle, "harmonize", adapt=False, paste=cutout, scale=at))
        )
        assert (default[0] != pixels_of(run(tiny_bundle, "harmonize", adapt=False, paste=cutout, scale=1))[0]).any()

    def test_all(self, tiny_bundle: Bundle, cutout: Path) -> None:
        top = len(tiny_bundle.geometry.sizes) - 1
        output = run(tiny_bundle, "harmonize", adapt=False, paste=cutout, scale="all", seed=2)
        assert [result.label for result in output.results] == [f"scale {n}" for n in range(1, top + 1)]
        for n, one in enumerate(pixels_of(output), 1):
            np.testing.assert_array_equal(
                [one], pixels_of(run(tiny_bundle, "harmonize", adapt=False, paste=cutout, scale=n, seed=2))
            )

    def test_auto_says_which(self, tiny_bundle: Bundle, cutout: Path) -> None:
        output = run(tiny_bundle, "harmonize", adapt=False, paste=cutout, scale="auto", seed=2)
        (chosen,) = re.findall(r"chose scale (\d+)", " ".join(output.notes))
        assert 1 <= int(chosen) < len(tiny_bundle.geometry.sizes)
        same = pixels_of(run(tiny_bundle, "harmonize", adapt=False, paste=cutout, scale=int(chosen), seed=2))
        np.testing.assert_array_equal(pixels_of(output), same)

    def test_auto_keeps_the_other_notes(self, tiny_bundle: Bundle, tmp_path: Path) -> None:
        pixels = np.full((50, 60, 4), 255, np.uint8)
        pixels[:, :30] = 0
        write_picture(Picture(pixels), tmp_path / "large.png")
        notes = run(tiny_bundle, "harmonize", adapt=False, paste=tmp_path / "large.png", scale="auto").notes
        assert len(notes) == 2

    def test_auto_with_an_object_smaller_than_a_pixel_of_the_pyramid(self, tiny_bundle: Bundle, tmp_path: Path) -> None:
        pixels = np.random.default_rng(0).integers(0, 255, (200, 250, 3), np.uint8)
        mask = np.zeros((200, 250, 1), np.uint8)
        mask[100:102, 100:102] = 255
        write_picture(Picture(pixels), tmp_path / "composite.png")
        write_picture(Picture(mask), tmp_path / "mask.png")
        picture, mask_picture = tmp_path / "composite.png", tmp_path / "mask.png"
        notes = run(tiny_bundle, "harmonize", adapt=False, scale="auto", composite=picture, mask=mask_picture).notes
        assert re.search(r"scale \d", " ".join(notes))
        assert "nan" not in " ".join(notes)

    @pytest.mark.parametrize("scale", [0, -1, 99, "coarse", "2", 1.5])
    def test_out_of_range(self, tiny_bundle: Bundle, cutout: Path, scale: Any) -> None:
        top = len(tiny_bundle.geometry.sizes) - 1
        with pytest.raises(TaskError, match=f"give 1 to {top}, auto or all"):
            run(tiny_bundle, "harmonize", adapt=False, paste=cutout, scale=scale)


class TestWrongCombinations:
    @pytest.mark.parametrize(
        "names",
        [
            [],
            ["mask"],
            ["background"],
            ["composite"],
            ["paste", "composite"],
            ["paste", "composite", "mask"],
            ["composite", "mask", "background"],
            ["composite", "mask", "size"],
            ["composite", "mask", "at"],
        ],
    )
    def test_refused(self, tiny_bundle: Bundle, cutout: Path, tmp_path: Path, names: list[str]) -> None:
        picture, mask, _ = composite(tmp_path, 32, 40, 3, np.uint8)
        all_options: dict[str, Any] = dict(
            paste=cutout, composite=picture, mask=mask, background=picture, size="50%", at="1,1"
        )
        with pytest.raises(TaskError):
            run(tiny_bundle, "harmonize", adapt=False, **{name: all_options[name] for name in names})

    @pytest.mark.parametrize("wrong", [{"at": "nowhere"}, {"size": "huge"}, {"size": "0x7"}, {"feather": -1}])
    def test_wrong_values(self, tiny_bundle: Bundle, cutout: Path, wrong: dict[str, Any]) -> None:
        with pytest.raises(TaskError, match=str(next(iter(wrong.values())))):
            run(tiny_bundle, "harmonize", adapt=False, paste=cutout, **wrong)

    @pytest.mark.parametrize("role", ["paste", "background", "mask"])
    def test_unreadable_picture(self, tiny_bundle: Bundle, cutout: Path, tmp_path: Path, role: str) -> None:
        (tmp_path / "broken.png").write_text("no picture")
        options: dict[str, Any] = {"paste": cutout, role: tmp_path / "broken.png"}
        with pytest.raises(PictureError, match=r"broken\.png"):
            run(tiny_bundle, "harmonize", adapt=False, **options)

    def test_mask_of_another_size(self, tiny_bundle: Bundle, tmp_path: Path) -> None:
        _, mask, _ = composite(tmp_path, 32, 40, 3, np.uint8)
        write_picture(Picture(np.zeros((20, 21, 3), np.uint8)), tmp_path / "other.png")
        with pytest.raises(PictureError, match=r"mask\.png is 40x32 .* 21x20"):
            run(tiny_bundle, "harmonize", adapt=False, composite=tmp_path / "other.png", mask=mask)
