"""The package ``plugins/singan-tk-inpaint``: a task that a third party adds, with what a plugin may import."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from importlib.metadata import distributions
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from singan_toolkit import Bundle, Output, Picture, PictureError, TaskError, run
from singan_toolkit.imaging.masks import feather
from singan_toolkit.imaging.pictures import read_picture, write_picture

PACKAGE = Path(__file__).parents[1] / "plugins" / "singan-tk-inpaint"

Inpaint = Callable[..., Output]


@pytest.fixture
def inpaint(tiny_bundle: Bundle, tmp_path: Path, with_inpaint: None) -> Inpaint:
    """Run the task on pixels."""

    def call(mask: np.ndarray, pixels: np.ndarray | None = None, **options: object) -> Output:
        write_picture(Picture(mask.astype(np.uint8)[..., None] * 255), tmp_path / "mask.png")
        if pixels is not None:
            write_picture(Picture(pixels), tmp_path / "picture.tif")
            options["picture"] = tmp_path / "picture.tif"
        return run(tiny_bundle, "inpaint", mask=tmp_path / "mask.png", device="cpu", **options)  # type: ignore[arg-type]

    return call


def disk(size: tuple[int, ...], radius: float = 0.12) -> np.ndarray:
    """A mask with a disk over the red blob of the photo."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    mask: np.ndarray = np.hypot(rows - 0.3 * size[0], columns - 0.27 * size[1]) <= radius * max(size)
    return mask


def far(mask: np.ndarray) -> np.ndarray:
    """What lies outside the dilated and feathered mask."""
    longer = max(mask.shape)
    outside: np.ndarray = feather(mask, 0.01 * longer, 0.01 * longer) == 0
    return outside


def enlarged(photo: Path, size: tuple[int, int], channels: int = 3, white: int = 255) -> np.ndarray:
    """The photo with its kind changed, and noise that no enlargement would have."""
    random = np.random.default_rng(4)
    rgb = np.asarray(Image.open(photo).resize(size[::-1], Image.Resampling.BICUBIC)) / 255
    pixels = np.concatenate([rgb, random.random((*size, 1))], axis=2)[..., {1: [0], 2: [0, 3]}.get(channels, range(4))]
    noisy = pixels[..., :channels] + random.normal(0, 0.01, (*size, 1))
    return (np.clip(noisy, 0, 1) * white).astype(np.uint8 if white == 255 else np.uint16)


class TestResult:
    @pytest.mark.parametrize("white", [255, 65535])
    @pytest.mark.parametrize("channels", [1, 2, 3, 4])
    @pytest.mark.parametrize("size", [(32, 40), (90, 112), (24, 30)])
    def test_outside_the_mask_every_bit_stays(
        self, inpaint: Inpaint, photo: Path, size: tuple[int, int], channels: int, white: int
    ) -> None:
        pixels = enlarged(photo, size, channels, white)
        mask = disk(size)
        (result,) = inpaint(mask, pixels).arrays
        assert (result.dtype, result.shape) == (pixels.dtype, pixels.shape)
        np.testing.assert_array_equal(result[far(mask)], pixels[far(mask)])
        colors = 1 if channels < 3 else 3
        assert (result[mask][:, colors:] == white).all()
        assert np.abs(result[mask, 0].astype(int) - pixels[mask, 0]).mean() > 0.02 * white

    def test_3000_pixels(self, inpaint: Inpaint, photo: Path) -> None:
        pixels = enlarged(photo, (600, 3000))
        mask = disk((600, 3000), 0.03)
        (result,) = inpaint(mask, pixels).arrays
        np.testing.assert_array_equal(result[far(mask)], pixels[far(mask)])
        fine = [np.diff(picture[mask].astype(float), axis=0).std() for picture in (result, pixels)]
        assert fine[0] > 0.5 * fine[1]

    @pytest.mark.parametrize("size", [(32, 40), (90, 112)])
    def test_what_was_in_the_mask_has_no_part(self, inpaint: Inpaint, photo: Path, size: tuple[int, int]) -> None:
        pixels, mask = enlarged(photo, size), disk(size)
        other = pixels.copy()
        other[mask] = np.random.default_rng(5).integers(0, 256, other[mask].shape)
        np.testing.assert_array_equal(inpaint(mask, pixels).arrays, inpaint(mask, other).arrays)

    def test_the_object_is_gone(self, inpaint: Inpaint, tiny_bundle: Bundle) -> None:
        mask = disk(tiny_bundle.geometry.finest)
        (result,) = inpaint(mask).arrays
        red = [picture[mask].astype(int) @ [1, 0, -1] for picture in (tiny_bundle.picture, result)]
        assert red[0].mean() > 50 > 0 > red[1].mean()

    def test_the_training_picture_is_the_default(self, inpaint: Inpaint, tiny_bundle: Bundle) -> None:
        mask = disk(tiny_bundle.geometry.finest)
        np.testing.assert_array_equal(inpaint(mask).arrays, inpaint(mask, tiny_bundle.picture).arrays)

    def test_a_mask_at_the_side(self, inpaint: Inpaint, photo: Path) -> None:
        pixels = enlarged(photo, (90, 112))
        mask = np.zeros((90, 112), bool)
        mask[60:, 80:] = True
        (result,) = inpaint(mask, pixels).arrays
        np.testing.assert_array_equal(result[far(mask)], pixels[far(mask)])
        assert (result != pixels)[mask].any(axis=1).mean() > 0.9

    def test_variants(self, inpaint: Inpaint, tiny_bundle: Bundle) -> None:
        mask = disk(tiny_bundle.geometry.finest)
        output = inpaint(mask, count=3, seed=5)
        assert [result.label for result in output.results] == ["0005", "0006", "0007"]
        first, _, last = (picture.astype(int) for picture in output.arrays)
        assert (first != last).any()
        assert np.abs(inpaint(mask, seed=7).arrays[0] - last).max() <= 1

    def test_scales(self, inpaint: Inpaint, tiny_bundle: Bundle) -> None:
        mask = disk(tiny_bundle.geometry.finest)
        scales = len(tiny_bundle.geometry.sizes)
        assert [one.label for one in inpaint(mask, scale="all").results] == [f"scale {n}" for n in range(1, scales)]
        (note,) = inpaint(mask, scale="auto").notes
        assert "chose scale" in note


class TestRefusals:
    def test_a_mask_for_another_picture(self, inpaint: Inpaint, photo: Path) -> None:
        with pytest.raises(TaskError, match=r"mask\.png is 112x90 pixels.*training picture.*40x32.*--picture"):
            inpaint(disk((90, 112)))
        with pytest.raises(PictureError, match=r"mask\.png is 40x32 pixels, and its picture 112x90"):
            inpaint(disk((32, 40)), enlarged(photo, (90, 112)))

    def test_an_empty_mask(self, inpaint: Inpaint) -> None:
        with pytest.raises(PictureError, match="all black"):
            inpaint(np.zeros((32, 40)))

    def test_nothing_left_to_fill_from(self, inpaint: Inpaint) -> None:
        mask = np.ones((32, 40))
        mask[:3, :3] = 0
        with pytest.raises(PictureError, match="paint it smaller"):
            inpaint(mask)

    def test_missing_files(self, inpaint: Inpaint, tiny_bundle: Bundle, tmp_path: Path) -> None:
        with pytest.raises(TaskError, match="mask"):
            run(tiny_bundle, "inpaint")
        with pytest.raises(PictureError, match=r"nowhere\.png"):
            run(tiny_bundle, "inpaint", mask=tmp_path / "nowhere.png")
        with pytest.raises(PictureError, match=r"nowhere\.png"):
            inpaint(disk((32, 40)), picture=tmp_path / "nowhere.png")


def test_it_imports_only_what_a_plugin_may() -> None:
    modules = set()
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom):
                modules |= {f"{node.module}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.Import):
                modules |= {alias.name for alias in node.names}
    ours = [module.split(".") for module in modules if module.startswith("singan_toolkit")]
    assert len(ours) > 5
    for parts in ours:
        assert len(parts) == 2 or parts[1] in ("imaging", "pyramid"), ".".join(parts)
        assert not any(part.startswith("_") for part in parts), ".".join(parts)


@pytest.mark.slow
def test_installing_and_uninstalling(tiny_bundle_path: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    if any(found.name == "singan-tk-inpaint" for found in distributions()):
        pytest.skip("it is installed here, where the fresh environment looks too")
    shutil.copytree(PACKAGE, tmp_path / "package")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"

    def call(*arguments: str | Path) -> str:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "100"}
        done = subprocess.run(
            [python, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    site = Path(call("-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    here = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    (site / "here.pth").write_text("".join(f"import site; site.addsitedir({path!r})\n" for path in here))
    pip, toolkit = ("-m", "pip", "--disable-pip-version-check"), ("-m", "singan_toolkit")

    assert "inpaint" not in call(*toolkit, "tasks")
    call(*pip, "install", "--no-index", "--no-deps", "--no-build-isolation", tmp_path / "package")
    tasks = {name: rest for name, *rest in (line.split("\t") for line in call(*toolkit, "tasks").splitlines())}
    summary = "Fill a region of the picture from the rest of it, or take an object out"
    assert tasks["inpaint"] == [summary, "singan-tk-inpaint 0.1.0"]
    assert "inpaint\tsingan-tk-inpaint 0.1.0\tinpaint\tok" in call(*toolkit, "plugins").splitlines()
    assert call("-c", "import singan_tk_inpaint, sys; print('torch' in sys.modules)") == "False\n"
    mask = disk(tiny_bundle.geometry.finest)
    write_picture(Picture(mask.astype(np.uint8)[..., None] * 255), tmp_path / "mask.png")
    call(*toolkit, "run", "inpaint", "--bundle", tiny_bundle_path, "--mask", "mask.png", "-o", "out.png")
    filled = read_picture(tmp_path / "out.png").pixels
    np.testing.assert_array_equal(filled[far(mask)], tiny_bundle.picture[far(mask)])
    assert (filled != tiny_bundle.picture)[mask].any()

    call(*pip, "uninstall", "-y", "singan-tk-inpaint")
    assert "inpaint" not in call(*toolkit, "tasks")
