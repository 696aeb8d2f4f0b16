"""Every task that takes a picture shows it as a colour-managed reader does, whatever kind of file it is."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

import singan_toolkit
from singan_toolkit import Bundle
from singan_toolkit.imaging.pictures import Picture, write_picture
from singan_toolkit.tasks.manager import installed_plugins

few = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
pytestmark = pytest.mark.usefixtures("with_inpaint")

TAKEN = {
    ("edit", "edit"),
    ("edit", "mask"),
    ("edit", "picture"),
    ("harmonize", "background"),
    ("harmonize", "composite"),
    ("harmonize", "mask"),
    ("harmonize", "paste"),
    ("inpaint", "mask"),
    ("inpaint", "picture"),
    ("paint2image", "paint"),
    ("retarget", "picture"),
    ("super-resolution", "picture"),
}
"""Tasks and their options that are tried below; training is the other that takes a picture."""
PROFILES = {
    "none": None,
    "srgb": imagecodecs.cms_profile("srgb"),
    "wide": imagecodecs.cms_profile("adobergb"),
    "grey": imagecodecs.cms_profile("gray", gamma=1.8),
}
BLOCK = np.s_[14:22, 14:22]
FAR = np.ones((48, 60), bool)
FAR[6:30, 6:30] = False
CLEAR = np.s_[34:44, 30:50]
"""Where pictures with alpha are transparent."""
STORED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda upright: upright,
    3: lambda upright: np.rot90(upright, 2),
    4: np.flipud,
    6: np.rot90,
    7: lambda upright: np.rot90(upright, 2).swapaxes(0, 1),
}


@dataclass(frozen=True)
class Kind:
    """A kind of picture file.

    Attributes:
        mode: Pillow's: of 8 bits where the depth is not 16, which only those in ``DEEP`` have.
        colors: Name of the profile.
    """

    mode: str = "RGB"
    deep: bool = False
    colors: str = "none"
    orientation: int = 1

    @property
    def grey(self) -> bool:
        return self.mode in ("L", "LA")

    @property
    def alpha(self) -> bool:
        return self.mode in ("LA", "RGBA", "PA")


DEEP = ("L", "LA", "RGB", "RGBA")
kinds = st.sampled_from([*DEEP, "P", "PA", "CMYK"]).flatmap(
    lambda mode: st.builds(
        Kind,
        st.just(mode),
        st.booleans() if mode in DEEP else st.just(False),
        st.sampled_from(["none", "grey"] if mode in ("L", "LA") else ["none", "srgb", "wide"]),
        st.sampled_from(sorted(STORED)),
    )
)


def store(rgba: np.ndarray, kind: Kind, stem: Path, hidden: int = 200) -> Path:
    """Write colours, (H, W, 4) of sRGB, uint8, as a file of that kind, without the toolkit.

    What it hides under no opacity has the value ``hidden``.
    """
    rgb, alpha = rgba[..., :3].copy(), rgba[..., 3:]
    profile = PROFILES[kind.colors]
    if kind.grey:
        rgb = np.ascontiguousarray(grey_of(rgba)[..., :3])
    if profile:
        target, srgb = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
        mode = "L" if kind.grey else "RGB"
        image = ImageCms.profileToProfile(Image.fromarray(rgb), srgb, target, outputMode=mode)
        rgb = np.array(image).reshape(*rgb.shape[:2], -1)
    rgb = rgb[..., :1] if kind.grey else rgb
    rgb[alpha[..., 0] == 0] = hidden
    upright = np.concatenate([rgb, alpha], axis=2) if kind.alpha else rgb
    pixels = np.ascontiguousarray(STORED[kind.orientation](upright))
    if kind.deep:
        path = stem.with_suffix(".tif")
        tifffile.imwrite(
            path,
            pixels.squeeze().astype(np.uint16) * 257,
            photometric="minisblack" if kind.grey else "rgb",
            extrasamples=["unassalpha"] if kind.alpha else None,
            planarconfig="contig",
            metadata=None,
            iccprofile=profile,
            extratags=[(0x112, 3, 1, kind.orientation, True)],
        )
        return path
    exif = Image.Exif()
    exif[0x112] = kind.orientation
    image = Image.fromarray(pixels.squeeze())
    if kind.mode in ("P", "PA"):
        image = image.quantize(128)
    path = stem.with_suffix(".tif" if kind.mode == "CMYK" else ".png")
    image.convert("CMYK" if kind.mode == "CMYK" else None).save(path, exif=exif, icc_profile=profile)
    return path


def seen(path: Path) -> np.ndarray:
    """What a colour-managed reader that knows nothing of the toolkit shows: (H, W, 4), uint8, of sRGB."""
    image: Image.Image
    if path.suffix == ".tif" and (pixels := tifffile.imread(path)).dtype == np.uint16:  # which Pillow does not read
        with tifffile.TiffFile(path) as file:
            tags = {tag.code: tag.value for tag in file.pages[0].tags}
        image, profile = Image.fromarray((pixels / 257).round().astype(np.uint8)), tags.get(34675)
        image.getexif()[0x112] = tags.get(0x112, 1)
    else:
        image = Image.open(io.BytesIO(path.read_bytes()))  # mapped from a file some TIFF would stay unturned
        profile = image.info.get("icc_profile")
        image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    alpha = image.getchannel("A") if "A" in image.getbands() else Image.new("L", image.size, 255)
    color = image.convert("L" if image.mode in ("L", "LA") else "RGB")
    if profile and image.mode != "CMYK":
        given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        color = ImageCms.profileToProfile(color, given, ImageCms.createProfile("sRGB"), outputMode="RGB") or color
    return np.dstack([np.asarray(color.convert("RGB")), np.asarray(alpha)])


def grey_of(rgba: np.ndarray) -> np.ndarray:
    return np.dstack([np.rint(rgba[..., :3] @ [0.2125, 0.7154, 0.0721])] * 3 + [rgba[..., 3]]).astype(np.uint8)


class World:
    """What the tests start from; no dataclass, lest all of it be printed where one fails.

    Attributes:
        scene: (48, 60, 4), uint8: the photo that the bundles were trained on, transparent in a part.
        opaque: The same, opaque.
        coloured: A bundle.
        grey: A bundle trained on the photo without its colours.
    """

    def __init__(self, scene: np.ndarray, coloured: Bundle, grey: Bundle) -> None:
        self.scene, self.coloured, self.grey = scene, coloured, grey
        self.opaque = np.dstack([scene[..., :3], np.full((48, 60), 255, np.uint8)])


@pytest.fixture(scope="module")
def world(
    tiny_bundle: Bundle, photo: Path, tiny_settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> World:
    scene = np.dstack([np.asarray(Image.open(photo)), np.full((48, 60), 255, np.uint8)])
    scene[CLEAR][..., 3] = 0
    scene[:6, :, 3] = 150
    path = tmp_path_factory.mktemp("grey") / "grey.png"
    Image.fromarray(np.ascontiguousarray(grey_of(scene)[..., 0])).save(path)
    quick = tiny_settings | dict(iterations=2, finest_iterations=2)
    return World(scene, tiny_bundle, singan_toolkit.train(path, preset="draft", device="cpu", **quick))


def result(bundle: Bundle, task: str, folder: Path, ending: str = ".png", **options: Any) -> tuple[np.ndarray, Picture]:
    """What a colour-managed reader sees in a task's result, and the result."""
    picture = singan_toolkit.run(bundle, task, device="cpu", **options).results[0].picture
    assert isinstance(picture, Picture)
    path = folder / f"result{'.tif' if picture.white > 255 else ending}"
    write_picture(picture, path)
    return seen(path), picture


def test_they_are_all() -> None:
    tasks = installed_plugins().tasks.values()
    assert {(t.name, o.name) for t in tasks for o in t.options if isinstance(o.type, click.Path)} == TAKEN


def changed(scene: np.ndarray) -> np.ndarray:
    other = scene.copy()
    other[BLOCK] = scene[20:28, 40:48]
    return other


def mask_file(folder: Path) -> Path:
    mask = np.zeros((48, 60), np.uint8)
    mask[BLOCK] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    return folder / "mask.png"


OBJECT = np.zeros((10, 10, 4), np.uint8)
OBJECT[1:9, 1:9] = 190, 60, 60, 255
Files = Callable[[np.ndarray, str], Path]
MASKED: dict[str, Callable[[np.ndarray, Files, Path], dict[str, Any]]] = {
    "harmonize": lambda scene, file, mask: dict(composite=file(changed(scene), "x"), mask=mask, adapt=False),
    "harmonize pasted": lambda scene, file, mask: dict(
        paste=file(OBJECT, "o"), background=file(scene, "x"), at="13,13", adapt=False
    ),
    "edit": lambda scene, file, mask: dict(edit=file(changed(scene), "x"), mask=mask, feather=2),
    "edit found": lambda scene, file, mask: dict(
        edit=file(changed(scene), "e"), picture=file(scene, "x"), feather=2, scale=4
    ),
    "inpaint": lambda scene, file, mask: dict(picture=file(scene, "x"), mask=mask),
}


@pytest.mark.parametrize("task", sorted(MASKED))
@few
@given(kinds, kinds)
def test_a_result_is_what_a_reader_sees(
    world: World, tmp_path_factory: pytest.TempPathFactory, task: str, kind: Kind, cut: Kind
) -> None:
    folder = tmp_path_factory.mktemp("masked")
    if not cut.alpha:
        cut = Kind("RGBA", cut.deep, "none" if cut.grey else cut.colors, cut.orientation)

    def file(rgba: np.ndarray, name: str) -> Path:
        return store(rgba, cut if name == "o" else kind, folder / name)

    def plain(rgba: np.ndarray, name: str) -> Path:
        """What a reader sees in that file, as a plain one that hides other colours."""
        return store(seen(file(rgba, name)), Kind("RGBA"), folder / f"plain-{name}", hidden=0)

    name = task.partition(" ")[0]
    shown, picture = result(world.coloured, name, folder, **MASKED[task](world.scene, file, mask_file(folder)))
    given = seen(next(folder.glob("x.*")))
    assert (picture.grey, picture.white > 255, picture.alpha is not None) == (kind.grey, kind.deep, kind.alpha)
    np.testing.assert_array_equal(shown[FAR], given[FAR])
    assert (shown[BLOCK][..., :3] != given[BLOCK][..., :3]).any()

    expected, _ = result(world.coloured, name, folder, **MASKED[task](world.scene, plain, mask_file(folder)))
    expected = grey_of(expected) if kind.grey else expected
    difference = np.abs(shown.astype(int) - expected)[shown[..., 3] > 0]
    assert difference.mean() < 1
    if task not in ("inpaint", "edit found"):  # where another patch may be nearer, and the edit a pixel larger
        assert difference.max() <= 12


@few
@given(kinds)
def test_a_painting_is_what_a_reader_sees(world: World, tmp_path_factory: pytest.TempPathFactory, kind: Kind) -> None:
    folder = tmp_path_factory.mktemp("painting")
    source = store(world.scene, kind, folder / "x")
    plain = store(seen(source), Kind("RGBA"), folder / "plain", hidden=0)
    shown, picture = result(world.coloured, "paint2image", folder, paint=source)
    expected, _ = result(world.coloured, "paint2image", folder, paint=plain)
    assert (picture.pixels.shape, picture.white, picture.tags.profile) == ((48, 60, 3), 255, None)
    difference = np.abs(shown.astype(int) - expected)
    assert (difference.mean() < 1, difference.max() <= 12) == (True, True)


ENLARGED: dict[str, dict[str, Any]] = {"super-resolution": dict(factor=1.5), "retarget": dict(aspect="2:1")}
SIZES = {"super-resolution": (72, 90), "retarget": (38, 76)}


@pytest.mark.parametrize("task", sorted(ENLARGED))
@few
@given(kinds)
def test_the_training_picture_is_what_a_reader_sees(
    world: World,
    tmp_path_factory: pytest.TempPathFactory,
    task: str,
    kind: Kind,
) -> None:
    folder = tmp_path_factory.mktemp("training")
    source = store(world.opaque, kind, folder / "x")
    bundle = world.grey if kind.grey else world.coloured
    plain = store(seen(source), Kind(), folder / "plain")
    shown, picture = result(bundle, task, folder, picture=source, **ENLARGED[task])
    expected, _ = result(bundle, task, folder, picture=plain, **ENLARGED[task])
    assert (picture.size, picture.grey, picture.white > 255) == (SIZES[task], kind.grey, kind.deep)
    assert (shown[..., 3] == 255).all()
    np.testing.assert_allclose(shown.mean((0, 1)), expected.mean((0, 1)), atol=1)
    if task == "super-resolution":
        assert np.abs(shown.astype(int) - expected).max() <= 8
        np.testing.assert_allclose(shown.mean((0, 1)), seen(source).mean((0, 1)), atol=2)


@settings(few, max_examples=5)
@given(kinds)
def test_training_sees_what_a_reader_sees(
    world: World, tiny_settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory, kind: Kind
) -> None:
    folder = tmp_path_factory.mktemp("train")
    source = store(world.opaque, kind, folder / "x")
    quick = tiny_settings | dict(iterations=1, finest_iterations=1, max_size=30)
    bundle = singan_toolkit.train(source, preset="draft", device="cpu", **quick)
    small = Image.fromarray(seen(source)[..., :3]).resize((30, 24), Image.Resampling.BICUBIC)
    assert np.abs(bundle.picture.astype(int) - np.asarray(small)).mean() < 1.5
    if kind.grey:
        assert (bundle.picture == bundle.picture[..., :1]).all()


@pytest.mark.parametrize("task", [*MASKED, "paint2image", *ENLARGED, "generate", "animate"])
def test_grey_stays_grey(world: World, tmp_path: Path, task: str) -> None:
    given = grey_of(world.opaque)
    options: dict[str, Any] = {
        "paint2image": dict(paint=store(given, Kind(), tmp_path / "p")),
        "animate": dict(frames=2),
    }
    if task in MASKED:
        options[task] = MASKED[task](
            given, lambda rgba, name: store(grey_of(rgba), Kind("RGBA"), tmp_path / name), mask_file(tmp_path)
        )
    elif task in ENLARGED:
        options[task] = ENLARGED[task] | dict(picture=store(given, Kind(), tmp_path / "p"))
    name = task.partition(" ")[0]
    pixels = singan_toolkit.run(world.grey, name, device="cpu", **options.get(task, {})).arrays[0][..., :3]
    assert (pixels == pixels[..., :1]).all()


@pytest.mark.parametrize("colors", ["none", "srgb", "wide"])
def test_an_edit_of_the_bundle_s_size_keeps_what_its_file_says(
    tiny_bundle: Bundle, tmp_path: Path, colors: str
) -> None:
    rgba = np.dstack([tiny_bundle.picture, np.full(tiny_bundle.picture.shape[:2], 255, np.uint8)])
    rgba[10:16, 10:16, :3] = 215, 40, 150
    path = store(rgba, Kind(colors=colors), tmp_path / "x")
    with Image.open(path) as image:
        image.save(path, dpi=(300, 300), icc_profile=PROFILES[colors])
    shown, picture = result(tiny_bundle, "edit", tmp_path, edit=path, feather=1)
    far = np.ones(shown.shape[:2], bool)
    far[4:22, 4:22] = False
    np.testing.assert_array_equal(shown[far], seen(path)[far])
    assert picture.tags.profile == PROFILES[colors]
    assert picture.tags.dpi == pytest.approx((300, 300), rel=1e-2)
