"""``singan-tk demo``: the whole way from one photo to new pictures, in a few minutes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from singan_toolkit.cli.console import Console, output_options
from singan_toolkit.cli.targets import Target, check_writable
from singan_toolkit.training.presets import DEFAULT_PRESET

if TYPE_CHECKING:
    from singan_toolkit.imaging.pictures import Picture

SAMPLES = 4


@click.command()
@click.option(
    "-o",
    "--output",
    "folder",
    type=Target("a demo"),
    default="singan-demo",
    show_default=True,
    help="Folder to write to.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps.")
@output_options
def demo(console: Console, folder: str, device: str) -> None:
    """Train on a photo that is here already, draw samples, harmonize a paste."""
    from singan_toolkit.bundle import Bundle
    from singan_toolkit.cli.progress import training_progress
    from singan_toolkit.imaging.pictures import Picture, write_picture
    from singan_toolkit.imaging.sheet import contact_sheet
    from singan_toolkit.jobs import train

    output = Path(folder)
    path = output / "galaxies.sgb"
    check_writable(path)
    if not path.exists() and not (output / "galaxies.png").exists() and output.is_dir() and any(output.iterdir()):
        raise click.UsageError(f"{output} holds files that no demo made: give another folder")
    if path.exists():
        console.note(f"using {path}, which an earlier demo trained")
        bundle = Bundle.load(path)
    else:
        photo = output / "galaxies.png"
        write_picture(galaxies(), photo)
        console.note(f"training preset {DEFAULT_PRESET} on {photo}, a part of a photo that comes with scikit-image")
        with training_progress(console) as observer:
            bundle = train(photo, device=device, observer=observer)
        bundle.save(path)

    written = {"training picture": Picture(bundle.picture)}
    for number, pixels in enumerate(bundle.run("generate", count=SAMPLES, device=device)):
        written[f"sample {number:04d}"] = Picture(pixels)
    write_picture(planet(), output / "planet.png")
    (pasted,) = bundle.run("harmonize", paste=output / "planet.png", at="60%,30%", adapt=False, device=device)
    written["harmonized"] = Picture(pasted)

    for name, picture in written.items():
        write_picture(picture, output / f"{name.replace(' ', '-')}.png")
    sheet = output / "sheet.png"
    write_picture(contact_sheet(list(written.values()), list(written), columns=3), sheet)
    console.note(f"look at {sheet}; the single pictures and the bundle are beside it")
    console.result(sheet, sheet=str(sheet), bundle=str(path))


def deep_field() -> Picture:
    """The Hubble deep field that scikit-image carries, 1,000 by 872 pixels."""
    import skimage

    from singan_toolkit.imaging.pictures import read_picture

    return read_picture(Path(skimage.__file__).parent / "data" / "hubble_deep_field.jpg")


def galaxies() -> Picture:
    """A part of the Hubble deep field, 440 by 293 pixels, shrunk to 250 by 167."""
    import numpy as np
    from PIL import Image

    from singan_toolkit.imaging.pictures import Picture

    part = Image.fromarray(deep_field().pixels[390:683, 560:1000]).resize((250, 167), Image.Resampling.LANCZOS)
    return Picture(np.asarray(part), "galaxies.png")


def planet(size: int = 48) -> Picture:
    """A flat planet with a ring on nothing, size by size pixels: a cut-out that looks like no photo."""
    import numpy as np

    from singan_toolkit.imaging.pictures import Picture

    y, x = (np.mgrid[:size, :size] + 0.5) / size * 2 - 1
    disc = np.hypot(x, y) < 0.55
    orbit = np.hypot(x * 0.8 + y * 0.6, (y * 0.8 - x * 0.6) * 3)
    ring = (orbit > 0.7) & (orbit < 0.98) & ((y * 0.8 > x * 0.6) | ~disc)
    pixels = np.zeros((size, size, 4), np.uint8)
    pixels[disc] = 230, 150, 90, 255
    pixels[ring] = 150, 190, 240, 255
    return Picture(pixels, "planet.png")
