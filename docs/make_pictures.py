"""Run the commands of the tasks' pages as they are written, and make the pages' pictures of what comes out.

python docs/make_pictures.py [TASK ...]. Works in docs/bundles, which keeps the trained bundles; the photo is one that
scikit-image carries, and the pictures that a page's commands take are made of it here.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from singan_toolkit.cli.demo import deep_field, planet
from singan_toolkit.imaging.paste import paste
from singan_toolkit.imaging.pictures import Picture, read_picture, write_picture
from singan_toolkit.imaging.sheet import contact_sheet

HERE = Path(__file__).parent
WORK = HERE / "bundles"

SHEETS: dict[str, list[tuple[str, str]]] = {
    "generate": [
        ("galaxies.png", "the one training picture"),
        ("samples/galaxies-generate-0000.png", "generated, seed 0"),
        ("samples/galaxies-generate-0001.png", "seed 1"),
        ("samples/galaxies-generate-0002.png", "seed 2"),
        ("detail.png", "from scale 6 on"),
        ("wide.png", "wider"),
    ],
    "harmonize": [("pasted.png", "pasted"), ("one.png", "harmonized"), ("two.png", "two at once")],
    "edit": [("galaxies.png", "the photo"), ("edited.png", "edited"), ("grown.png", "result")],
    "paint2image": [("painting.png", "painting"), ("painted.png", "result"), ("quantized.png", "with --quantize")],
    "super-resolution": [("bicubic.png", "bicubic, a part"), ("large-part.png", "super-resolution")],
    "retarget": [("galaxies.png", "the photo"), ("upright.png", "3:4"), ("banner.png", "21:9")],
    "inpaint": [("galaxies.png", "the photo"), ("mask.png", "mask"), ("removed.png", "result")],
}


def prepare() -> None:
    """What the commands take: the photo, a cut-out, an edit, a painting, a mask."""
    WORK.mkdir(exist_ok=True)
    photo = Picture(deep_field().pixels[390:683, 560:1000], "galaxies.png")
    write_picture(photo, WORK / "galaxies.png")
    write_picture(planet(), WORK / "planet.png")
    write_picture(paste(photo, planet(), at="60%,30%").picture, WORK / "pasted.png")
    edited = photo.pixels.copy()
    edited[150:230, 320:400] = photo.pixels[45:125, 127:207]
    edited[20:80, 250:310] = photo.pixels[158:218, 164:224]
    write_picture(Picture(edited), WORK / "edited.png")
    mask = np.zeros((*photo.size, 1), np.uint8)
    mask[45:125, 127:207] = 255
    mask[145:235, 150:240] = 255
    write_picture(Picture(mask), WORK / "mask.png")
    painting().save(WORK / "painting.png")


def painting() -> Image.Image:
    """Dots of a galaxy's colours on black, large and small."""
    image = Image.new("RGB", (440, 293), (9, 8, 10))
    draw = ImageDraw.Draw(image)
    random = np.random.default_rng(4)
    for x, y, radius in [(90, 80, 24), (330, 200, 20), (220, 140, 12), (370, 60, 12), (120, 230, 12)]:
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), (180, 130, 90))
        draw.ellipse((x - radius / 2, y - radius / 2, x + radius / 2, y + radius / 2), (250, 225, 190))
    for x, y, radius in zip(
        random.integers(0, 440, 40), random.integers(0, 293, 40), random.integers(2, 6, 40), strict=True
    ):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), (150, 160, 200))
    return image


def run_page(task: str) -> None:
    """Run the commands of a task's page; training is skipped where the bundle is there."""
    page = (HERE / "tasks" / f"{task}.md").read_text()
    for line in "\n".join(re.findall(r"```sh\n(.*?)```", page, re.DOTALL)).splitlines():
        words = shlex.split(line)
        if words[:1] != ["singan-tk"]:
            continue
        if words[1] == "train" and (WORK / words[words.index("-o") + 1]).exists():
            continue
        print("+", line, flush=True)
        subprocess.run([sys.executable, "-m", "singan_toolkit", *words[1:]], cwd=WORK, check=True)


def make_sheet(task: str) -> None:
    """The picture of a task's page."""
    if task == "animate":
        shutil.copy(WORK / "galaxies.webp", HERE / "pictures" / "animate.webp")
        return
    if task == "super-resolution":
        large = Image.open(WORK / "large.png")
        small = Image.open(WORK / "galaxies.png").resize((250, 167), Image.Resampling.BICUBIC)
        part = (250, 60, 570, 380)
        large.crop(part).save(WORK / "large-part.png")
        small.resize(large.size, Image.Resampling.BICUBIC).crop(part).save(WORK / "bicubic.png")
    pictures = [read_picture(WORK / name) for name, _ in SHEETS[task]]
    labels = [label for _, label in SHEETS[task]]
    cell = 320 if task == "super-resolution" else 250
    sheet = contact_sheet(pictures, labels, columns=min(3, len(labels)), cell=cell)
    write_picture(Picture(sheet.pixels), HERE / "pictures" / f"{task}.jpg")


def main() -> None:
    """The tasks named, or all that have a page."""
    prepare()
    for task in sys.argv[1:] or sorted(path.stem for path in (HERE / "tasks").glob("*.md")):
        run_page(task)
        make_sheet(task)


if __name__ == "__main__":
    main()
