"""A model card of a bundle: Markdown with the front matter that the Hugging Face Hub reads."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from urllib.parse import quote

from singan_toolkit.bundle import Bundle
from singan_toolkit.evaluation.catalogue import MEASURES
from singan_toolkit.evaluation.evaluate import of_bundle
from singan_toolkit.evaluation.report import told
from singan_toolkit.imaging.pictures import Picture
from singan_toolkit.imaging.sheet import contact_sheet

SAMPLES = 6


def card(bundle: Bundle, file: str, picture: str) -> tuple[str, Picture]:
    """The card, and the picture that it shows.

    Args:
        bundle: What the card is of.
        file: The bundle's file, as the card is to name it.
        picture: The picture's file, likewise.

    Returns:
        The card, and a sheet of the training picture and six samples.
    """
    evaluation = of_bundle(bundle, SAMPLES, 0)
    shown = [evaluation.real, *evaluation.samples]
    sheet = contact_sheet(shown, ["training picture", *(one.name for one in evaluation.samples)], columns=4)
    training, (height, width) = bundle.manifest.training, bundle.geometry.finest
    front = {
        "library_name": "singan-toolkit",
        "pipeline_tag": "unconditional-image-generation",
        "tags": ["singan", "single-image", "image-manipulation"],
    }
    rows = [(name, told(value), MEASURES[name].better) for name, value in evaluation.values.items()]
    settings = [(name, _plain(str(value))) for name, value in training.settings.items()]
    parts = [
        "---\n" + "".join(f"{name}: {json.dumps(value)}\n" for name, value in front.items()) + "---",
        f"# {_plain(bundle.name)}",
        f"A pyramid trained on one picture of {width}x{height} pixels with preset {_plain(training.preset)}"
        + (f" for {_plain(training.task)}" if training.task else "")
        + f", by SinGAN Toolkit {_plain(training.toolkit)}. The bundle "
        "holds that picture.",
        f"![The training picture and {SAMPLES} samples]({quote(picture)})",
        "## Use",
        f"```sh\npip install singan-toolkit\nsingan-tk run generate --bundle {shlex.quote(file)} -n 4 -o samples/\n"
        f"singan-tk run harmonize --bundle {shlex.quote(file)} --paste object.png --at 60%,30%\n```",
        f"## Measures\n\nMeans over {SAMPLES} samples, seeds 0 to {SAMPLES - 1}.",
        _table(("measure", "value", "better"), rows),
        "## Training",
        _table(("setting", "value"), [("seed", str(training.seed)), ("torch", _plain(training.torch)), *settings]),
    ]
    return "\n\n".join(parts) + "\n", sheet


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _plain(text: str) -> str:
    """Text that is no Markdown, whatever it holds: a bundle may come from a stranger."""
    return "".join(f"\\{one}" if one in "\\`*_{}[]()<>#+-.!|&" else one for one in " ".join(text.split()))
