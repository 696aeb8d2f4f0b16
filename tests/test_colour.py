"""Colours, depth, alpha, resolution and orientation of the user's pictures, through tasks that keep their pixels."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

import singan_toolkit
from singan_toolkit import Bundle
from singan_toolkit.imaging.decoding import Tags
from singan_toolkit.imaging.paste import paste
from singan_toolkit.imaging.pictures import Picture, read_picture, write_picture
from singan_toolkit.imaging.tensors import shrunk, to_tensor
from singan_toolkit.pyramid.resample import resize

few = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
many = settings(max_examples=60, deadline=None)

SRGB = imagecodecs.cms_profile("srgb")
WIDE = imagecodecs.cms_profile("adobergb")
WIDER = imagecodecs.cms_profile(
    "rgb", whitepoint=[0.3127, 0.329, 1], primaries=[0.7, 0.29, 1, 0.17, 0.79, 1, 0.13, 0.05, 1], gamma=1.8
)
GREY = imagecodecs.cms_profile("gray", gamma=1.8)
HEIGHT, WIDTH = 40, 56
UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda stored: stored,
    2: np.fliplr,
    3: lambda stored: np.rot90(stored, 2),
    4: np.flipud,
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored, 2).swapaxes(0, 1),
    8: np.rot90,
}


def values(channels: int, dtype: Any, seed: int) -> np.ndarray:
    """(H, W, C), smooth and noisy, without extremes; visible everywhere."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    waves = np.stack([np.sin(rows / 7 + seed + n) + np.cos(columns / (5 + n)) for n in range(channels)], axis=-1)
    share = 0.5 + 0.15 * waves + np.random.default_rng(seed).uniform(-0.05, 0.05, (HEIGHT, WIDTH, channels))
    if channels in (2, 4):
        share[..., -1] = share[..., -1] / 2 + 0.5
    return np.rint(share * np.iinfo(dtype).max).astype(dtype)


def store(path: Path, pixels: np.ndarray, profile: bytes | None, orientation: int) -> None:
    """Write a file without the toolkit."""
    exif = Image.Exif()
    exif[0x112] = orientation
    exif[0x10F] = "A camera"
    if pixels.dtype == np.uint8:
        image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        image.save(path, exif=exif, icc_profile=profile, dpi=(300, 150))
        return
    tifffile.imwrite(
        path,
        pixels[..., 0] if pixels.shape[2] == 1 else pixels,
        photometric="minisblack" if pixels.shape[2] < 3 else "rgb",
        extrasamples=["unassalpha"] if pixels.shape[2] in (2, 4) else None,
        planarconfig="contig",
        metadata=None,
        iccprofile=profile,
        resolution=(300, 150),
        resolutionunit="INCH",
        extratags=[(0x112, 3, 1, orientation, True), (0x10F, 2, 9, b"A camera\0", True)],
    )


def stored(path: Path) -> tuple[np.ndarray, bytes | None, tuple[float, ...], int, str]:
    """What a file has, without the toolkit: values, profile, resolution, orientation and camera."""
    if path.suffix == ".tif":
        with tifffile.TiffFile(path) as file:
            page: Any = file.pages.first
            tags = {tag.code: tag.value for tag in page.tags}
            pixels, dpi = page.asarray(), tuple(tags[code][0] / tags[code][1] for code in (282, 283))
        return pixels.reshape(*pixels.shape[:2], -1), tags.get(34675), dpi, tags.get(0x112, 1), tags[0x10F]
    with Image.open(path) as image:
        pixels, exif = imagecodecs.png_decode(path.read_bytes()), image.getexif()
        profile, dpi = image.info.get("icc_profile"), image.info["dpi"]
    return pixels.reshape(*pixels.shape[:2], -1), profile, dpi, exif.get(0x112, 1), exif[0x10F]


def managed(pixels: np.ndarray, profile: bytes | None) -> np.ndarray:
    """Colours as a colour-managed viewer shows them: (H, W, 3), uint8."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    if profile is None:
        return np.asarray(image.convert("RGB"))
    given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    shown = ImageCms.profileToProfile(image, given, ImageCms.createProfile("sRGB"), outputMode="RGB")
    return np.asarray(shown)


PROFILES = {"none": None, "grey": GREY, "srgb": SRGB, "wide": WIDE, "wider": WIDER}


@dataclass(frozen=True)
class Case:
    """A picture of a user's."""

    channels: int
    depth: str
    seed: int
    colors: str
    orientation: int = 1
    ending: str = ".png"

    @property
    def pixels(self) -> np.ndarray:
        return values(self.channels, np.dtype(self.depth), self.seed)

    @property
    def profile(self) -> bytes | None:
        return PROFILES[self.colors]

    @property
    def picture(self) -> Picture:
        return Picture(self.pixels, tags=Tags(self.profile))


cases = st.integers(1, 4).flatmap(
    lambda channels: st.builds(
        Case,
        st.just(channels),
        st.sampled_from(["uint8", "uint16"]),
        st.integers(0, 9),
        st.sampled_from(["none", "grey"] if channels < 3 else ["none", "srgb", "wide", "wider"]),
        st.sampled_from(sorted(UPRIGHT)),
        st.sampled_from([".png", ".tif"]),
    )
)


pytestmark = pytest.mark.usefixtures("with_inpaint")


@pytest.mark.parametrize("task", ["harmonize", "edit", "inpaint"])
@few
@given(cases)
def test_outside_the_mask_a_result_is_the_input(
    tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory, task: str, case: Case
) -> None:
    pixels, orientation, ending = case.pixels, case.orientation, case.ending
    folder = tmp_path_factory.mktemp("colour")
    source = folder / ("x.tif" if pixels.dtype == np.uint16 else f"x{ending}")
    store(source, pixels, case.profile, orientation)
    upright = UPRIGHT[orientation](pixels)
    mask = np.zeros(upright.shape[:2], np.uint8)
    mask[14:22, 14:22] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    options: dict[str, dict[str, Any]] = {
        "harmonize": dict(composite=source, adapt=False),
        "edit": dict(edit=source, picture=source, feather=2),
        "inpaint": dict(picture=source),
    }
    output = singan_toolkit.run(tiny_bundle, task, mask=folder / "mask.png", device="cpu", **options[task])
    picture = output.results[0].picture
    assert isinstance(picture, Picture)
    write_picture(picture, folder / f"out{ending}")
    result, kept, dpi, turned, camera = stored(folder / f"out{ending}")
    assert result.dtype == pixels.dtype
    far = np.ones(mask.shape, bool)
    far[8:28, 8:28] = False
    np.testing.assert_array_equal(result[far], upright[far])
    assert (result[mask > 0] != upright[mask > 0]).any()
    assert kept == case.profile
    assert dpi == pytest.approx((150, 300) if orientation > 4 else (300, 150), rel=1e-3)
    assert (turned, camera) == (1, "A camera")


@many
@given(cases)
def test_colours_are_what_a_colour_managed_viewer_shows(case: Case) -> None:
    pixels = values(case.channels, np.uint8, case.seed)
    picture = Picture(pixels, tags=Tags(case.profile))
    shown = managed(pixels[..., : 1 if picture.grey else 3], case.profile)
    assert np.abs(picture.rgb * 255 - shown).max() < 2.5
    deep = Picture(pixels.astype(np.uint16) * 257, tags=Tags(case.profile))
    np.testing.assert_allclose(deep.rgb, picture.rgb, atol=1e-5)


@many
@given(cases)
def test_its_own_colours_change_nothing(case: Case) -> None:
    pixels, picture = case.pixels, case.picture
    inside = (picture.rgb > 0.001).all(axis=2) & (picture.rgb < 0.999).all(axis=2)  # of what sRGB can show
    again = picture.with_rgb(picture.rgb).pixels
    most = 0 if pixels.dtype == np.uint8 else 2
    assert np.abs(again.astype(int) - pixels)[inside].max(initial=0) <= most


@pytest.mark.parametrize(("ground", "cut"), [(None, WIDE), (WIDE, None), (WIDE, WIDER), (GREY, WIDE)])
def test_a_cut_out_keeps_its_look_on_a_ground_of_another_profile(ground: bytes | None, cut: bytes | None) -> None:
    background = Picture(values(1 if ground == GREY else 3, np.uint8, 1), tags=Tags(ground))
    cutout = np.full((12, 12, 4), (130, 120, 90, 255), np.uint8)
    cutout[0] = 0
    pasted = paste(background, Picture(cutout, tags=Tags(cut)), at="10,10").picture
    assert pasted.tags == background.tags
    shown, expected = managed(pasted.pixels, ground), managed(cutout[..., :3], cut)
    if ground == GREY:
        expected = np.rint(expected @ [0.2125, 0.7154, 0.0721])[..., None].repeat(3, axis=2)
    assert np.abs(shown[12:20, 12:20].astype(int) - expected[2:10, 2:10]).max() <= 2


def test_a_bundle_holds_srgb(tmp_path: Path, tiny_settings: dict[str, Any]) -> None:
    pixels = values(3, np.uint8, 3)
    Image.fromarray(pixels).save(tmp_path / "wide.png", icc_profile=WIDE)
    Image.fromarray(managed(pixels, WIDE)).save(tmp_path / "srgb.png")
    quick = tiny_settings | dict(iterations=2, finest_iterations=2)
    wide, srgb = (
        singan_toolkit.train(tmp_path / name, preset="draft", device="cpu", **quick).picture.astype(int)
        for name in ("wide.png", "srgb.png")
    )
    assert np.abs(wide - srgb).max() <= 2
    assert np.abs(srgb.mean((0, 1)) - pixels.mean((0, 1))).max() > 3


@pytest.mark.parametrize("ending", [".png", ".jpg", ".webp", ".tif", ".bmp"])
@pytest.mark.parametrize("profile", [WIDE, GREY])
def test_every_format_shows_the_same_colours(tmp_path: Path, ending: str, profile: bytes) -> None:
    pixels = np.full((16, 16, 1 if profile == GREY else 3), 120, np.uint8)
    pixels[..., 0] = 70
    picture = Picture(pixels, tags=Tags(profile, (200.0, 200.0)))
    write_picture(picture, tmp_path / f"x{ending}")
    with Image.open(tmp_path / f"x{ending}") as image:
        shown = managed(np.asarray(image).reshape(16, 16, -1), image.info.get("icc_profile"))
    assert np.abs(shown.astype(int) - managed(pixels, profile)).max() <= 3
    back = read_picture(tmp_path / f"x{ending}")
    assert np.abs(back.rgb - picture.rgb).max() < 3 / 255
    if ending != ".webp":
        assert back.tags.dpi == pytest.approx((200, 200), rel=1e-2)


@pytest.mark.parametrize("size", [(10, 14), (40, 56), (61, 80)])
def test_shrinking_in_strips_is_shrinking(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("singan_toolkit.imaging.tensors._PIXELS_AT_ONCE", 7 * WIDTH)
    picture = Picture(values(3, np.uint16, 2), tags=Tags(WIDE))
    whole = resize(to_tensor(picture.rgb), size)
    np.testing.assert_allclose(shrunk(picture, size), whole, atol=1e-5)
