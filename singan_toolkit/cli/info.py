"""``singan-tk info``: what a bundle holds, and how a picture was made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from singan_toolkit.cli.console import Console, output_options
from singan_toolkit.cli.targets import Target, check_writable, is_folder

if TYPE_CHECKING:
    from singan_toolkit.bundle import Bundle


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--image",
    type=Target("the picture"),
    help="Write the training picture and its reconstruction, side by side.",
)
@click.option(
    "--card",
    type=Target("a card"),
    help="Write a model card, Markdown with the front matter of the Hugging Face Hub, and its picture beside it.",
)
@output_options
def info(console: Console, bundle: Path, image: str | None, card: str | None) -> None:
    """Show what a BUNDLE holds and how it was trained; or, of a picture that was made here, how."""
    from singan_toolkit.bundle import Bundle
    from singan_toolkit.training.presets import OFFICIAL

    if not image and not card and _is_picture(bundle):
        _show_origin(console, bundle)
        return
    for target in filter(None, (image, card)):
        if is_folder(target):
            raise click.UsageError(f"cannot write {target}: it is a folder; give a file")
        check_writable(Path(target), [bundle])
    if card and Path(card).suffix != ".md":
        raise click.UsageError(f"a card is Markdown: name it {Path(card).stem}.md")
    loaded = Bundle.load(bundle)
    manifest = loaded.manifest
    if console.mode == "json":
        console.result("", **manifest.model_dump())
    else:
        training = manifest.training
        megabytes = bundle.stat().st_size / 1e6
        console.result(f"{bundle}: bundle format {manifest.version}, {megabytes:.1f} MB, digest {manifest.digest[:12]}")
        versions = f"toolkit {training.toolkit}, torch {training.torch}"
        how = f"with preset {training.preset}" + (f" for {training.task}" if training.task else "")
        how += f", seed {training.seed}, with"
        how = "by the official SinGAN code, and imported with" if training.preset == OFFICIAL else how
        console.result(f"trained on {training.picture} {how} {versions}")
        console.rows(
            "Scales, coarsest first",
            ("scale", "width", "height", "channels", "noise amplitude"),
            [
                (
                    str(n),
                    str(s.width),
                    str(s.height),
                    "patches" if s.channels is None else str(s.channels),
                    f"{s.noise_amplitude:.4f}",
                )
                for n, s in enumerate(manifest.scales)
            ],
        )
        if console.mode == "rich":
            console.rows("Settings", ("setting", "value"), [(k, str(v)) for k, v in training.settings.items()])
    if image:
        _write_image(loaded, Path(image))
        console.note(f"wrote {image}: the training picture and the reconstruction from z*")
    if card:
        shown = _write_card(loaded, bundle.name, Path(card))
        console.note(f"wrote {card}, and {shown}, which it shows")


def _write_card(bundle: Bundle, file: str, target: Path) -> Path:
    from singan_toolkit.batch.results import free_path
    from singan_toolkit.evaluation.card import card
    from singan_toolkit.files import write_whole
    from singan_toolkit.imaging.pictures import write_picture

    shown = free_path(target.with_name(f"{target.stem}-samples"), ".png")  # which nobody named: what is there stays
    text, sheet = card(bundle, file, shown.name)
    write_picture(sheet, shown)
    write_whole(target, text.encode())
    return shown


def _is_picture(path: Path) -> bool:
    from singan_toolkit.imaging.formats import format_of

    try:
        with path.open("rb") as file:
            return bool(format_of(file.read(64)))
    except OSError:
        return False


def _show_origin(console: Console, path: Path) -> None:
    from singan_toolkit.errors import PictureError
    from singan_toolkit.imaging.origin import read_origin

    origin = read_origin(path)
    if origin is None:
        raise PictureError(f"{path} is a picture and no bundle, and does not say how it was made")
    if console.mode == "json":
        console.result("", picture=str(path), origin=origin)
        return
    told = {name: value for name, value in origin.items() if name not in ("options", "files", "toolkit")}
    options, files = origin.get("options"), origin.get("files")
    told |= options if isinstance(options, dict) else {}
    console.result(f"{path}: made by singan-toolkit {origin.get('toolkit')}, as its file says")
    console.rows("Job", ("option", "value"), [(str(k), str(v)) for k, v in told.items() if v not in (None, [])])
    rows = [(str(one.get("name")), str(one.get("sha256"))) for one in files or () if isinstance(one, dict)]
    console.rows("Made of", ("file", "SHA-256"), rows)


def _write_image(bundle: Bundle, target: Path) -> None:
    import numpy as np

    from singan_toolkit.imaging.pictures import Picture, write_picture
    from singan_toolkit.imaging.tensors import to_bytes
    from singan_toolkit.pyramid.walk import reconstruct

    rebuilt = to_bytes(reconstruct(bundle.pyramid("cpu"))[0])
    write_picture(Picture(np.concatenate([bundle.picture, rebuilt], axis=1), target.name), target)
