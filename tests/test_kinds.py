"""What each kind of picture file gives, and that docs/pictures.md tells it."""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from page_makers import page_maker
from singan_toolkit.errors import PictureError
from singan_toolkit.imaging.decoding import decode
from singan_toolkit.imaging.pictures import read_picture

kinds = page_maker("make_kinds")
LOSSY = {
    "PNG, palette": 4,
    "GIF, its first picture": 4,
    "JPEG": 8,
    "JPEG, grey": 8,
    "JPEG, CMYK, a profile of RGB": 8,
    "AVIF": 12,
    "TIFF, premultiplied alpha": 3,
}
OTHER_COLOURS = {"PNG, 1 bit", "PNG, a profile of grey", "PNG, a profile that leads one way", "JPEG, CMYK, a profile"}
"""Kinds whose colours are not the usual ones; each has a test of its own, but for the one bit, which is dithered."""


def written(kind: str, folder: Path) -> Path:
    path = folder / "picture"
    try:
        kinds.KINDS[kind](path)
    except (KeyError, OSError):
        pytest.skip("this Pillow cannot write it")
    return path


def managed(image: Image.Image, profile: bytes) -> np.ndarray:
    """Colours as a colour-managed viewer shows them: (H, W, 3), uint8."""
    given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return np.asarray(ImageCms.profileToProfile(image, given, ImageCms.createProfile("sRGB"), outputMode="RGB"))


def test_the_page_tells_what_comes() -> None:
    def lines(page: str) -> list[str]:
        return [
            line for line in page.splitlines() if not line.startswith(tuple(f"| {k}" for k in kinds.NOT_EVERYWHERE))
        ]

    page = kinds.PAGE.read_text()
    assert lines(kinds.with_table(page)) == lines(page), "run python docs/make_kinds.py"


@pytest.mark.filterwarnings("ignore:.* pictures, and the first is taken")
@pytest.mark.parametrize("kind", sorted(kinds.KINDS.keys() - OTHER_COLOURS))
def test_the_colours_are_those_of_the_file(tmp_path: Path, kind: str) -> None:
    path = written(kind, tmp_path)
    if f"| {kind} | refused" in kinds.PAGE.read_text():
        with pytest.raises(PictureError, match=r"picture as a picture: [^\n]+$"):
            read_picture(path)
        return
    picture = read_picture(path)
    expected = kinds.GREY[..., None].repeat(3, axis=2) if picture.grey else kinds.COLORS
    seen = np.ones(picture.size, bool)
    if picture.alpha is not None:
        alpha = kinds.CLEAR if "ICO" not in kind and "WebP, an" not in kind else np.full_like(kinds.CLEAR, 255)
        np.testing.assert_allclose(picture.alpha * 255, alpha, atol=0.01)
        seen = picture.alpha > 0
    assert np.abs(picture.rgb * 255 - expected)[seen].max() <= LOSSY.get(kind, 1.1)


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        ("APNG, its first picture", 2),
        ("GIF, its first picture", 2),
        ("TIFF, several pages, the first", 2),
        ("TIFF, 16 bits, three pages", 3),
        ("WebP, an animation", 3),
    ],
)
def test_what_is_passed_over_in_a_file_is_told(tmp_path: Path, kind: str, number: int) -> None:
    path = written(kind, tmp_path)
    with pytest.warns(UserWarning, match=f"/picture holds {number} pictures, and the first is taken$") as told:
        read_picture(path)
    assert len(told) == 1


@pytest.mark.parametrize(
    ("ending", "in_memory"),
    [*((e, False) for e in ("png", "jpg", "webp", "tif", "gif")), ("png", True), ("jpg", True), ("gif", True)],
)
def test_a_damaged_picture_is_refused(tmp_path: Path, ending: str, in_memory: bool) -> None:
    path = tmp_path / f"x.{ending}"
    noise = np.random.default_rng(1).integers(0, 256, (150, 200, 3), np.uint8)
    Image.fromarray(noise).save(path, **({"compression": "tiff_deflate"} if ending == "tif" else {}))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(PictureError):
        read_picture(Image.open(path) if in_memory else path)
    if ending == "png":
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :])
        with pytest.raises(PictureError):
            read_picture(Image.open(path) if in_memory else path)


@given(st.binary(max_size=60), st.integers(0, 90))
def test_a_png_of_any_bytes_is_read_or_refused(junk: bytes, place: int) -> None:
    file = io.BytesIO()
    Image.fromarray(kinds.GREY).save(file, "PNG", dpi=(72, 72), icc_profile=kinds.WIDE_GREY)
    content = file.getvalue()[: 8 + place] + junk + file.getvalue()[8 + place :]
    with suppress(PictureError):
        decode(content, ".png")


def test_a_camera_s_raw_file_is_not_taken_for_its_preview(tmp_path: Path) -> None:
    kinds.KINDS["TIFF, RGB"](tmp_path / "x.nef")
    with pytest.raises(PictureError, match=r"x\.nef as a picture: it is a camera's raw file: convert it to PNG"):
        read_picture(tmp_path / "x.nef")


def test_grey_of_a_profile(tmp_path: Path) -> None:
    picture = read_picture(written("PNG, a profile of grey", tmp_path))
    expected = managed(Image.fromarray(kinds.GREY), kinds.WIDE_GREY)
    assert np.abs(picture.rgb * 255 - expected).max() < 1.5
    np.testing.assert_array_equal(picture.pixels[..., 0], kinds.GREY)


@pytest.mark.parametrize("space", [b"RGB ", b"CMYK"])
def test_colours_of_a_profile_that_leads_one_way_become_srgb(tmp_path: Path, space: bytes) -> None:
    rgb = space == b"RGB "
    path = written("PNG, a profile that leads one way" if rgb else "JPEG, CMYK, a profile", tmp_path)
    with Image.open(path) as image:
        expected = managed(image, image.info["icc_profile"])
    picture = read_picture(path)
    assert picture.tags.profile is None
    assert np.abs(picture.pixels.astype(int) - expected).max() <= 2
    assert np.abs(expected.astype(int) - kinds.COLORS).max() > 10
