"""``singan-tk bench``: how fast the toolkit is on this machine."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click
from rich.text import Text

from singan_toolkit.cli.console import Console, output_options
from singan_toolkit.cli.demo import deep_field
from singan_toolkit.cli.train import changed_settings
from singan_toolkit.training.presets import DEFAULT_PRESET, PRESETS

if TYPE_CHECKING:
    from singan_toolkit.bench.results import Doing, Row

SECTIONS = ("machine", "start", "generate", "plain", "train")
SIZE = 250
"""What is published is of pictures that large."""
NOTE_SECONDS = 10.0
NARROWEST = 6


class PixelSize(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4 only
    """WIDTHxHEIGHT in pixels, as (height, width)."""

    name = "WxH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if not (found := re.fullmatch(r"(\d+)x(\d+)", str(value))):
            self.fail(f"{value!r} is not a size like 3840x2160", param, ctx)
        return int(found[2]), int(found[1])


@click.command()
@click.argument("sections", nargs=-1, type=click.Choice(SECTIONS), metavar="[SECTION]...")
@click.option(
    "--picture",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Train on this  [default: a photo of galaxies, 1000x872, that comes with scikit-image]",
)
@click.option(
    "--preset",
    "presets",
    type=click.Choice(list(PRESETS)),
    multiple=True,
    default=[DEFAULT_PRESET],
    show_default=True,
    help="Train with it; may be given several times.",
)
@click.option(
    "--size",
    "sizes",
    type=click.IntRange(12, 16384),
    multiple=True,
    help="Longer side to train at, px; several times to see time and memory grow.  [default: 250, or the picture's]",
)
@click.option("--large", type=PixelSize(), default="3840x2160", show_default=True, help="Size of the large sample.")
@click.option("--set", "changes", metavar="NAME=VALUE", multiple=True, help="Change a setting; see train --settings.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of everything random.")
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the bundles that are trained and the samples that are judged.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps.")
@output_options
def bench(
    console: Console,
    sections: tuple[str, ...],
    picture: Path | None,
    presets: tuple[str, ...],
    sizes: tuple[int, ...],
    large: tuple[int, int],
    changes: tuple[str, ...],
    seed: int,
    keep: Path | None,
    device: str,
) -> None:
    """Measure how fast the toolkit is on this machine.

    The machine's speed comes first, then every SECTION, or those that are named: start, a command in a new process;
    generate, samples at the trained size and a large one; plain, preset paper beside a plain implementation of the
    paper; train, a training with every preset at every size, scale by scale, and how good its samples are.
    """
    settings = changed_settings(changes)
    if "max_size" in settings:
        raise click.UsageError("--set max_size: give --size instead")

    from singan_toolkit.bench.subject import Subject
    from singan_toolkit.imaging.pictures import read_picture

    photo, how = read_picture(picture) if picture else deep_field(), dict(device=device, seed=seed, keep=keep)
    sizes = sizes or (min(SIZE, max(photo.size)),)
    subjects = [Subject.of_preset(photo, preset, size, settings, **how) for size in sizes for preset in presets]
    paper = Subject.of_preset(photo, "paper", sizes[0], settings, **how)

    from singan_toolkit.bench.results import Doing, Trained
    from singan_toolkit.bench.sections import measure
    from singan_toolkit.measures.features import PACKAGE, features_installed

    show = _Rows(console).show
    with _Progress(console) as progress:
        for item in measure(sections or SECTIONS, subjects, paper, large):
            if isinstance(item, Doing):
                progress.tell(item)
                continue
            with progress.paused():
                show(item)
                if isinstance(item, Trained) and not features_installed():
                    console.note(f"Frechet distance (FD) not measured: pip install {PACKAGE}")


class _Rows:
    """Prints rows as they come: aligned below a header on a terminal, with tabs in a pipe, objects with ``--json``."""

    def __init__(self, console: Console) -> None:
        self.console, self.aligned = console, console.results.is_terminal
        self.table = ""
        self.widths: dict[str, int] = {}

    def show(self, row: Row) -> None:
        """Print a row, and before it the header where the table is another than that of the row before."""
        if self.console.mode in ("json", "quiet"):
            self.console.result("", table=row.table, **dataclasses.asdict(row))
            return
        cells = row.cells()
        if row.table == "machine":
            longest = max(map(len, cells))
            for name, cell in cells.items():
                if cell is not None:
                    self._line([name.ljust(longest) if self.aligned else name, cell])
            return
        if row.table != self.table:
            self.table = row.table
            self.widths = {name: max(len(name), len(cell), NARROWEST) for name, cell in cells.items() if cell}
            if self.aligned:
                self.console.results.print(Text(f"\n{row.title}"))
            self._line([name.rjust(width) if self.aligned else name for name, width in self.widths.items()], "bold")
        shown = {name: cells[name] or "-" for name in self.widths}
        self._line([cell.rjust(self.widths[name]) if self.aligned else cell for name, cell in shown.items()])

    def _line(self, cells: Sequence[str], style: str = "") -> None:
        if self.aligned:
            self.console.results.print(Text("  ".join(cells), style), soft_wrap=True)
        else:
            print("\t".join(cells), flush=True)


class _Progress:
    """Says on stderr what is being measured: a live line on a terminal, else a line now and then."""

    def __init__(self, console: Console) -> None:
        self.console, self.what, self.said = console, "", 0.0
        self.status = console.errors.status("") if console.mode == "rich" else None

    def tell(self, doing: Doing) -> None:
        """Show what is being done."""
        text = ", ".join(filter(None, (doing.what, doing.state)))
        if self.status:
            self.status.update(Text(text))
        elif doing.what != self.what or time.monotonic() - self.said > NOTE_SECONDS:
            self.what, self.said = doing.what, time.monotonic()
            self.console.note(f"measuring: {text}")

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Take the live line away, so that something can be printed."""
        if self.status:
            self.status.stop()
        yield
        if self.status:
            self.status.start()

    def __enter__(self) -> _Progress:
        if self.status:
            self.status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.status:
            self.status.stop()
