"""``singan-tk demo``: the whole way from one photo to new pictures, in a few minutes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from singan_toolkit.cli.console import Console, output_options

if TYPE_CHECKING:
    from singan_toolkit.imaging.pictures import Picture

SAMPLES = 4


@click.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("singan-demo"),
    show_default=True,
    help="Folder to write to.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps.")
@output_options
def demo(console: Console, output: Path, device: str) -> None:
    """Train on a photo that is here already, draw samples, harmonize a paste."""
    import skimage

    from singan_toolkit.bundle import Bundle
    from singan_toolkit.cli.progress import training_progress
    from singan_toolkit.imaging.pictures import Picture, read_picture, write_picture
    from singan_toolkit.imaging.sheet import contact_sheet
    from singan_toolkit.tasks.train import train

    photo = Path(skimage.__file__).parent / "data" / "rocket.jpg"
    path = output / "rocket.sgb"
    if path.exists():
        console.note(f"using {path}, which an earlier demo trained")
        bundle = Bundle.load(path)
    else:
        console.note(f"training preset draft on {photo.name}, a photo that comes with scikit-image")
        with training_progress(console) as observer:
            bundle = train(photo, preset="draft", device=device, observer=observer)
        bundle.save(path)

    written = {"training picture": Picture(bundle.picture)}
    for number, pixels in enumerate(bundle.run("generate", count=SAMPLES, device=device)):
        written[f"sample {number:04d}"] = Picture(pixels)
    cutout = output / "moon.png"
    write_picture(_moon(), cutout)
    (pasted,) = bundle.run("harmonize", paste=cutout, at="22%,25%", device=device)
    written["moon"] = read_picture(cutout)
    written["harmonized"] = Picture(pasted)

    for name, picture in written.items():
        if name != "moon":
            write_picture(picture, output / f"{name.replace(' ', '-')}.png")
    sheet = output / "sheet.png"
    write_picture(contact_sheet(list(written.values()), list(written), columns=3), sheet)
    console.note(f"look at {sheet}; the single pictures and the bundle are beside it")
    console.result(str(sheet), sheet=str(sheet), bundle=str(path))


def _moon(size: int = 44) -> Picture:
    """A flat yellow crescent on nothing: a cut-out that looks like no photo."""
    import numpy as np

    from singan_toolkit.imaging.pictures import Picture

    y, x = (np.mgrid[:size, :size] + 0.5) / size * 2 - 1
    disc = np.clip((0.95 - np.hypot(x, y)) * size / 2, 0, 1)
    shade = np.clip((0.8 - np.hypot(x - 0.45, y + 0.15)) * size / 2, 0, 1)
    pixels = np.empty((size, size, 4), np.uint8)
    pixels[..., :3] = 255, 214, 90
    pixels[..., 3] = np.rint(disc * (1 - shade) * 255)
    return Picture(pixels, "moon.png")
