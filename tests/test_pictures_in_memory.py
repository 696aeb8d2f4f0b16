"""Arrays, PIL images and pictures wherever a file is wanted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from singan_toolkit import Bundle, Picture, PictureError, run
from singan_toolkit.imaging.pictures import picture_of, read_picture, write_picture
from singan_toolkit.tasks.options import complete_options

GRADIENT = (np.mgrid[:32, :40].sum(axis=0) * 3).astype(np.uint8)


class TestPictureOf:
    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    @pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 2), (5, 7, 3), (5, 7, 4)])
    def test_integers_are_the_pixels(self, shape: tuple[int, ...], dtype: Any) -> None:
        values = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype)
        picture = picture_of(values)
        np.testing.assert_array_equal(picture.pixels.reshape(shape), values)
        assert picture.pixels.dtype == dtype

    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, bool])
    def test_shares(self, dtype: Any) -> None:
        assert picture_of(np.array([[0, 1]], dtype)).pixels.ravel().tolist() == [0, 255]

    @pytest.mark.parametrize(
        ("value", "found"),
        [
            (np.zeros((3, 4), np.int64), "array of int64"),
            (np.full((3, 4), 1.5), "outside 0..1"),
            (np.full((3, 4), np.nan), "outside 0..1"),
            (np.zeros((3, 4, 5), np.uint8), r"shape \(3, 4, 5\)"),
            (np.zeros((2, 3, 4, 3), np.uint8), "shape"),
            (np.zeros((0, 4), np.uint8), "shape"),
            (7, "is a int"),
            (Image.new("F", (4, 3)), "mode F"),
        ],
    )
    def test_refused(self, value: object, found: str) -> None:
        with pytest.raises(PictureError, match=f"mask.*{found}"):
            picture_of(value, "mask")

    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
    def test_an_image_is_what_its_file_is(self, tmp_path: Path, mode: str) -> None:
        image = Image.fromarray(GRADIENT).convert("RGB" if mode != "I;16" else "L").convert(mode)
        path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
        image.save(path)
        np.testing.assert_array_equal(picture_of(image).pixels, read_picture(path).pixels)

    def test_an_image_s_orientation_profile_and_resolution_count(self, tmp_path: Path) -> None:
        image = Image.fromarray(GRADIENT).convert("RGB")
        exif = image.getexif()
        exif[274] = 6
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        image.save(tmp_path / "a.jpg", exif=exif, icc_profile=profile, dpi=(300, 300), quality=100)
        with Image.open(tmp_path / "a.jpg") as opened:
            picture = picture_of(opened)
            np.testing.assert_array_equal(picture.pixels, np.asarray(ImageOps.exif_transpose(opened)))
        assert picture.name == "a.jpg"
        assert picture.tags.profile == profile
        assert picture.tags.dpi == pytest.approx((300, 300), abs=0.1)


def forms(picture: Picture, path: Path) -> list[object]:
    write_picture(picture, path)
    mode = picture.pixels[..., 0] if picture.grey else picture.pixels
    return [path, str(path), picture, picture.pixels, Image.fromarray(mode)]


@pytest.mark.usefixtures("with_inpaint")
class TestTasks:
    @pytest.mark.parametrize(
        ("task", "options"),
        [
            ("paint2image", ["paint"]),
            ("edit", ["edit", "mask", "picture"]),
            ("inpaint", ["picture", "mask"]),
            ("harmonize", ["composite", "mask"]),
            ("harmonize", ["paste", "background"]),
            ("retarget", ["picture"]),
            ("super-resolution", ["picture"]),
        ],
    )
    def test_any_form_gives_the_same(self, tiny_bundle: Bundle, tmp_path: Path, task: str, options: list[str]) -> None:
        mask = np.zeros((32, 40, 1), np.uint8)
        mask[8:20, 10:25] = 255
        edited = np.where(mask, 200, tiny_bundle.picture).astype(np.uint8)
        pixels = dict(edit=edited, mask=mask, paste=np.concatenate([edited, mask], axis=2))
        hows: dict[str, dict[str, Any]] = {"harmonize": dict(adapt=False), "retarget": dict(width=50)}
        how = hows.get(task, {})
        results = [
            run(tiny_bundle, task, **dict(zip(options, given, strict=True)), **how).arrays[0]
            for given in zip(
                *(forms(Picture(pixels.get(name, tiny_bundle.picture)), tmp_path / f"{name}.png") for name in options),
                strict=True,
            )
        ]
        for other in results[1:]:
            np.testing.assert_array_equal(other, results[0])

    def test_several(self, tiny_bundle: Bundle) -> None:
        cutout = np.zeros((6, 6, 4), np.uint8)
        cutout[1:-1, 1:-1] = (250, 30, 20, 255)
        output = run(
            tiny_bundle, "harmonize", adapt=False, paste=[cutout, Image.fromarray(cutout)], at=["2,2", "20,20"]
        )
        assert output.arrays[0].shape == (32, 40, 3)

    def test_a_task_of_a_third_party_takes_them_without_knowing(self) -> None:
        class Stranger:
            name = "stranger"
            options = (
                click.Option(["--file"], type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True),
                click.Option(["--files"], type=click.Path(path_type=Path), multiple=True),
            )

        given = complete_options(Stranger(), dict(file=GRADIENT, files=[GRADIENT, "b.png"]))  # type: ignore[arg-type]
        np.testing.assert_array_equal(read_picture(given["file"]).pixels[..., 0], GRADIENT)
        assert isinstance(given["files"][0], Picture)
        assert given["files"][1] == Path("b.png")
        assert given["file"].name == "file"

    def test_what_is_none_of_them_is_named(self, tiny_bundle: Bundle) -> None:
        with pytest.raises(PictureError, match="paint is an array of int64"):
            run(tiny_bundle, "paint2image", paint=np.zeros((32, 40, 3), int))
