"""The studio as people use it, in a browser: what they paint, place and choose is what the shown command line makes."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from command_line import environment

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytest.importorskip("starlette", reason="the studio's extra is not installed: pip install 'singan-toolkit[studio]'")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright, which drives a browser, is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium to drive: apt-get install chromium"),
]

PLUGIN = '''
import click
from singan_toolkit import MaskFile, Output, Picture, PictureFile, Plan, Result, Task, hookimpl


class Tint(Task):
    """Redden a part of a picture.

    It is there to be found by the studio.
    """

    name = "tint"
    options = (
        click.Option(["--picture"], type=PictureFile(), help="What to redden.  [default: the training picture]"),
        click.Option(["--where"], type=MaskFile(of=("picture",)), required=True, help="White where to redden."),
        click.Option(["--strength"], type=click.FloatRange(0, 1), default=0.5, help="How much."),
    )

    def plan(self, bundle, *, scale, seed, picture, where, strength):
        from singan_toolkit.imaging.masks import mask_of
        from singan_toolkit.imaging.pictures import read_picture
        from singan_toolkit.pyramid.noise import Gaussian

        given = read_picture(picture) if picture else Picture(bundle.picture)
        mask = mask_of(read_picture(where), given.size)
        return Plan(bundle.geometry.route(scale), Gaussian(seed), material=(given, mask, strength))

    def finish(self, walked, plan):
        given, mask, strength = plan.material
        rgb = given.rgb.copy()
        rgb[mask, 0] += strength * (1 - rgb[mask, 0])
        return Output([Result(given.with_rgb(rgb, mask))])


@hookimpl
def singan_tasks():
    return [Tint()]
'''


@pytest.fixture
def folder(tmp_path: Path, photo: Path, cutout: Path) -> Path:
    path = tmp_path / "studio"
    path.mkdir()
    for file in (photo, cutout):
        shutil.copy(file, path)
    return path


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    """Those of a process in which a stranger's plugin is installed, and inpaint."""
    site = tmp_path / "site"
    for name, entry, code in (("tint", "tint_plugin", PLUGIN), ("inpainting", "singan_tk_inpaint", "")):
        info = site / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[singan_toolkit]\n{name} = {entry}\n")
        if code:
            (site / f"{entry}.py").write_text(code)
    inpaint = Path(__file__).parents[1] / "plugins" / "singan-tk-inpaint"
    path = os.pathsep.join([str(site), str(inpaint), os.environ.get("PYTHONPATH", "")])
    return environment(PYTHONPATH=path)


@pytest.fixture
def page(folder: Path, variables: dict[str, str]) -> Iterator[Page]:
    """The studio's page, wide, in a browser that reaches nothing else."""
    command = [sys.executable, "-m", "singan_toolkit", "studio", str(folder), "--port", "0", "--json"]
    with (
        subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True) as process,
        playwright.sync_playwright() as driver,
    ):
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            assert process.stdout
            url = json.loads(process.stdout.readline())["url"]
            page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
            page.set_default_timeout(30_000)
            errors: list[str] = []
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.on("console", lambda said: errors.extend([said.text] if said.type == "error" else []))
            page.on("request", lambda sent: errors.extend([] if sent.url.startswith((url, "blob:")) else [sent.url]))
            page.goto(url)
            page.wait_for_selector("nav a")
            yield page
            assert [one for one in errors if "status of 400" not in one] == []
        finally:
            browser.close()
            process.terminate()


def ask_for_training(page: Page, settings: str) -> None:
    page.click("nav >> text=Train")
    page.get_by_label("Picture").select_option("photo.png")
    page.get_by_label("Preset").select_option("draft")
    page.get_by_label("Longer side").fill("40")
    page.get_by_text("More settings").click()
    small = "patches_to=0 min_size=12 channels=8 max_channels=8 crop=24"
    page.get_by_label("Settings", exact=True).fill(f"{small} {settings}")
    page.get_by_role("button", name="Train", exact=True).click()


def train(page: Page, folder: Path) -> str:
    """A tiny bundle, and the command line that is shown for it."""
    ask_for_training(page, "iterations=8 finest_iterations=8 factor=1.34")
    page.wait_for_selector("a:has-text('Use photo.sgb')", timeout=60_000)
    return page.locator(".training .command code").inner_text()


def drag(page: Page, selector: str, start: tuple[float, float], to: tuple[float, float]) -> None:
    box = page.locator(selector).bounding_box()
    assert box
    for share, act in ((start, page.mouse.down), (to, page.mouse.up)):
        page.mouse.move(box["x"] + share[0] * box["width"], box["y"] + share[1] * box["height"], steps=5)
        act()


def downloaded(page: Page) -> bytes:
    """The newest result of the page, as its download gives it."""
    with page.expect_download() as download:
        page.locator(".result >> text=Download").first.click()
    return Path(download.value.path()).read_bytes()


def made_by(command: str, folder: Path, variables: dict[str, str], elsewhere: Path, result: str) -> bytes:
    """What a command line makes in a folder of the same inputs."""
    if not elsewhere.exists():
        shutil.copytree(folder, elsewhere)
    (elsewhere / result).unlink()
    words = shlex.split(command)
    assert words[0] == "singan-tk"
    program = [sys.executable, "-m", "singan_toolkit", *words[1:]]
    done = subprocess.run(program, cwd=elsewhere, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return (elsewhere / result).read_bytes()


def test_what_is_painted_placed_and_chosen_is_what_the_command_line_makes(
    page: Page, folder: Path, variables: dict[str, str], tmp_path: Path
) -> None:
    command = train(page, folder)
    bundle = made_by(command, folder, variables, tmp_path / "trained", "photo.sgb")
    assert bundle == (folder / "photo.sgb").read_bytes()

    page.click("nav >> text=Inpaint")
    page.get_by_label("Picture").select_option("photo.png")
    page.get_by_role("button", name="Paint the mask").click()
    page.wait_for_selector("canvas")
    drag(page, "canvas", (0.3, 0.4), (0.6, 0.6))
    page.locator("canvas").focus()
    for key in ("ArrowLeft", "Space", "ArrowUp", "ArrowUp", "Space", "Control+z"):
        page.keyboard.press(key)
    page.get_by_role("button", name="Use this mask").click()
    page.wait_for_selector("select[name=mask] option:checked[value*='mask-']", state="attached")
    page.get_by_role("button", name="Run").click()
    page.wait_for_selector(".result")
    shown = page.locator(".result .command code").inner_text()
    assert "--picture photo.png" in shown
    assert "--mask .singan-tk/studio/mask-" in shown
    inpainted = downloaded(page)
    assert inpainted == made_by(shown, folder, variables, tmp_path / "painted", "photo-inpaint.png")

    page.click("nav >> text=Harmonize")
    page.get_by_label("Paste", exact=True).select_option("cutout.png")
    page.wait_for_selector(".paste")
    drag(page, ".paste", (0.5, 0.5), (1.6, 0.2))
    page.locator(".paste").focus()
    for key in ("ArrowLeft", "ArrowDown", "+", "+", "r"):
        page.keyboard.press(key)
    page.mouse.wheel(0, -100)
    page.get_by_text("Place and more").click()
    page.get_by_label("Adapt").uncheck()
    assert page.get_by_label("At", exact=True).input_value()
    page.get_by_role("button", name="Show all scales").click()
    page.wait_for_selector(".reason")
    assert page.locator(".strip .badge").count() == 1
    assert "chose scale" in page.locator(".reason").inner_text()
    page.locator(".strip button", has_text="scale 2").click()
    page.wait_for_selector(".compare")
    page.get_by_role("button", name="Keep scale 2").click()
    page.wait_for_selector(".result")
    shown = page.locator(".result .command code").inner_text()
    assert "--rotate 5.0" in shown
    assert "--scale 2" in shown
    assert downloaded(page) == made_by(shown, folder, variables, tmp_path / "placed", "photo-harmonize.png")

    page.set_viewport_size({"width": 390, "height": 844})
    for place in ("library", "train", "results", "task/harmonize", "task/edit", "task/generate"):
        page.goto(f"{page.url.partition('#')[0]}#{place}")
        page.wait_for_timeout(100)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, place
        fields = page.locator("main input:not(.hidden), main select")
        unnamed = fields.evaluate_all("all => all.filter(one => !one.labels.length && !one.ariaLabel).length")
        assert unnamed == 0, place


def test_a_strangers_task_has_its_page(
    page: Page, folder: Path, variables: dict[str, str], tmp_path: Path, tiny_bundle_path: Path
) -> None:
    page.set_input_files(".drop input[type=file]", str(tiny_bundle_path))
    page.wait_for_selector("text=Added photo.sgb")
    page.click("nav >> text=Tint")
    assert "Redden a part of a picture." in page.locator("main").inner_text()
    page.get_by_role("button", name="Paint the mask").click()
    page.wait_for_selector("canvas")
    drag(page, "canvas", (0.2, 0.2), (0.7, 0.3))
    page.get_by_role("button", name="Use this mask").click()
    page.wait_for_selector("select[name=where] option:checked[value*='mask-']", state="attached")
    page.get_by_label("Strength, slider").fill("0.9")
    page.get_by_role("button", name="Run").click()
    page.wait_for_selector(".result")
    shown = page.locator(".result .command code").inner_text()
    assert "--strength 0.9" in shown
    made = made_by(shown, folder, variables, tmp_path / "other", "photo-tint.png")
    assert downloaded(page) == made


def test_every_tab_sees_the_queue_and_can_stop_it(page: Page) -> None:
    ask_for_training(page, "iterations=5000 finest_iterations=5000")
    other = page.context.new_page()
    other.goto(page.url.partition("#")[0])
    other.wait_for_selector(".ticket.running progress")
    other.wait_for_selector(".ticket >> text=left")  # redrawn a few times a second from here on
    other.locator(".ticket >> text=Stop").focus()
    other.wait_for_timeout(600)
    other.keyboard.press("Enter")
    page.wait_for_selector(".training >> text=Go on")
    page.wait_for_selector(".ticket.stopped")


def test_what_goes_wrong_is_said(page: Page, folder: Path, tiny_bundle_path: Path) -> None:
    wrong = folder.parent / "words.png"
    wrong.write_text("some words")
    page.set_input_files(".drop input[type=file]", str(wrong))
    page.wait_for_selector("#said .error")
    assert "Cannot read words.png as a picture" in page.locator("#said .error").inner_text()
    assert not (folder / "words.png").exists()
