"""Make the pictures of docs/studio.md: python docs/make_screenshots.py. Wants Chromium and the extra of development.

It starts a studio over pictures of scikit-image, trains a bundle in it, and takes each page wide, narrow and dark.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from skimage import data

PICTURES = Path(__file__).parent / "pictures" / "studio"
WIDE, NARROW = (1280, 900), (390, 844)
LONG = 600_000
"""Milliseconds that a training may take."""


def main() -> None:
    """All pictures."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with TemporaryDirectory() as temporary, studio(Path(temporary, "photos")) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = opened(browser, url, WIDE)
        trained(page, url)
        painted(page, url)
        placed(page, url)
        chosen(page, url)
        for name in ("library", "results"):
            page.goto(f"{url}#{name}")
            photograph(page, name)
        for look, size, dark in (("narrow", NARROW, False), ("dark", WIDE, True)):
            page = opened(browser, url, size, dark)
            for name in ("library", "train", "results"):
                page.goto(f"{url}#{name}")
                photograph(page, f"{name}-{look}")
            painted(page, url, f"-{look}")
            placed(page, url, f"-{look}")
            chosen(page, url, f"-{look}")
        browser.close()


@contextmanager
def studio(folder: Path) -> Iterator[str]:
    """A studio over a photo, a cut-out and a picture to train on."""
    folder.mkdir()
    for name, pixels in (("rocket.png", data.rocket()), ("coffee.png", data.coffee()), ("cat.png", data.chelsea())):
        Image.fromarray(pixels).save(folder / name)
    moon = np.asarray(Image.fromarray(data.moon()[100:356, 200:456]).convert("RGB"), np.float32)
    y, x = np.mgrid[-1:1:256j, -1:1:256j]
    light = np.clip(0.35 + 0.75 * np.sqrt(np.clip(1 - x**2 - y**2, 0, 1)), 0, 1)
    alpha = np.clip((0.97 - np.hypot(x, y)) * 100, 0, 1)
    shaded = np.clip(moon * light[..., None] * 1.35, 0, 255)
    Image.fromarray(np.dstack([shaded, alpha * 255]).astype(np.uint8)).save(folder / "moon.png")
    command = [sys.executable, "-m", "singan_toolkit", "studio", str(folder), "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()


def opened(browser: Browser, url: str, size: tuple[int, int], dark: bool = False) -> Page:
    """A page of the studio."""
    width, height = size
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light")
    page.on("pageerror", lambda error: print(f"on the page: {error}", file=sys.stderr))
    page.goto(url)
    page.wait_for_selector("nav a")
    return page


def trained(page: Page, url: str) -> None:
    """A bundle of the rocket, photographed while it is made."""
    page.goto(f"{url}#train/rocket.png")
    page.get_by_label("Preset").select_option("draft")
    page.get_by_role("button", name="Train", exact=True).click()
    page.wait_for_selector(".scales li:nth-child(6) .looks", timeout=LONG)
    page.wait_for_selector(".losses", timeout=LONG)
    photograph(page, "train")
    page.wait_for_selector("a:has-text('Use rocket.sgb')", timeout=LONG)


def painted(page: Page, url: str, look: str = "") -> None:
    """A mask in work."""
    page.goto(f"{url}#task/{'inpaint' if page.locator('nav a[href$=inpaint]').count() else 'edit'}")
    page.get_by_role("button", name="Paint").first.click()
    canvas = page.locator("canvas")
    canvas.wait_for()
    page.get_by_label("Size").fill("45")
    if page.get_by_label("Colour", exact=True).count():
        page.get_by_label("Colour", exact=True).fill("#2a3c66")
    box = canvas.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * 0.305, box["y"] + box["height"] * 0.3)
    page.mouse.down()
    for share in (0.45, 0.55, 0.66, 0.72):
        page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * share, steps=4)
    page.mouse.up()
    photograph(page, f"paint{look}")


def placed(page: Page, url: str, look: str = "") -> None:
    """A paste on its picture, dragged and scaled."""
    page.goto(f"{url}#task/harmonize/paste/moon.png")
    paste = page.locator(".paste")
    paste.wait_for()
    page.wait_for_timeout(300)
    board, box = page.locator(".board").bounding_box(), paste.bounding_box()
    assert board
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(board["x"] + board["width"] * 0.76, board["y"] + board["height"] * 0.27, steps=6)
    page.mouse.up()
    photograph(page, f"place{look}")


def chosen(page: Page, url: str, look: str = "") -> None:
    """All scales of the paste, one of them chosen."""
    page.get_by_text("Place and more").click()
    page.get_by_label("Adapt").uncheck()
    page.get_by_role("button", name="Show all scales").click()
    page.wait_for_selector(".reason", timeout=LONG)
    page.get_by_text("Place and more").click()
    page.locator(".strip button.auto").click()
    page.get_by_role("button", name="Keep scale").click()
    page.wait_for_selector(".result")
    page.wait_for_timeout(6000)
    page.locator("h1").scroll_into_view_if_needed()
    photograph(page, f"scales{look}")


def photograph(page: Page, name: str) -> None:
    """A picture of what is seen, when all pictures in it are there."""
    page.wait_for_timeout(500)
    page.evaluate("Promise.all([...document.images].map((image) => image.decode().catch(() => {})))")
    shot = page.screenshot(animations="disabled")
    path = PICTURES / f"{name}.webp"
    with TemporaryDirectory() as temporary:
        Path(temporary, "shot.png").write_bytes(shot)
        Image.open(Path(temporary, "shot.png")).convert("RGB").save(path, quality=82, method=6)
    print(f"{path} {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
