"""A report as one HTML file that needs no other: pictures beside what was measured of them."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from singan_toolkit.evaluation.catalogue import MEASURES
from singan_toolkit.evaluation.evaluate import Evaluation, mean_of
from singan_toolkit.imaging.pictures import Picture, encode_picture

LARGEST = 320
"""Longer side of the pictures that are shown, in pixels."""
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 75em; padding: 0 1em; }
table { border-collapse: collapse; margin: 1em 0; } td, th { padding: .2em .8em; text-align: right; }
td:first-child, th:first-child { text-align: left; } tr { border-bottom: 1px solid #8884; }
.row { display: flex; flex-wrap: wrap; gap: 1em; align-items: flex-end; } figure { margin: 0; }
figcaption { font-size: 12px; white-space: pre-line; max-width: 20em; overflow-wrap: anywhere; }
"""


def told(value: float) -> str:
    """A value as people read it."""
    return format(value, ".4g")


def report(evaluations: Sequence[Evaluation]) -> str:
    """A page with a table of all pictures and, of each, the picture, its samples and, of a bundle, its scales.

    Args:
        evaluations: All measured alike.

    Returns:
        HTML without a reference to anything outside.
    """
    names = list(evaluations[0].each)
    rows = [(one.real.name, one.values) for one in evaluations]
    if len(rows) > 1:
        rows.append(("mean", mean_of(evaluations)))
    directions = [f"{name} ({MEASURES[name].better} is better)" for name in names]
    body = [
        "<h1>Samples beside their picture</h1>",
        _table(["picture", *directions], [[name, *(told(values[one]) for one in names)] for name, values in rows]),
        *map(_section, evaluations),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>singan-tk evaluate</title>'
        f"<style>{_STYLE}</style></head><body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def _section(evaluation: Evaluation) -> str:
    count = len(evaluation.samples)
    single = {name: values for name, values in evaluation.each.items() if len(values) == count}
    of_samples = [
        _figure(sample, {name: values[number] for name, values in single.items()})
        for number, sample in enumerate(evaluation.samples)
    ]
    parts = [
        f"<h2>{_text(evaluation.real.name)}</h2>",
        f'<div class="row">{_figure(evaluation.real, {})}</div>',
        f"<h3>{count} sample{'s' if count > 1 else ''}</h3>",
        f'<div class="row">{"".join(of_samples)}</div>',
    ]
    if evaluation.scales:
        scales = "".join(_figure(one, {}) for one in evaluation.scales)
        parts.append(f'<h3>The pyramid, rebuilding the picture</h3><div class="row">{scales}</div>')
    return "\n".join(parts)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{_text(cell)}</th>" for cell in header)
    lines = "".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>\n" for row in rows)
    return f"<table><tr>{head}</tr>\n{lines}</table>"


def _figure(picture: Picture, values: Mapping[str, float]) -> str:
    lines = [Path(picture.name).name, str(picture.size), *(f"{name} {told(value)}" for name, value in values.items())]
    scale = min(1.0, LARGEST / max(picture.size))
    shown = picture
    if scale < 1:
        width, height = (math.ceil(side * scale) for side in picture.size[::-1])
        resized = Image.fromarray(picture.pixels).resize((width, height), Image.Resampling.LANCZOS)
        shown = Picture(np.asarray(resized), picture.name)
    data = b64encode(encode_picture(shown, ".png")).decode()
    return (
        f'<figure><img src="data:image/png;base64,{data}" alt="{_text(lines[0])}">'
        f"<figcaption>{_text(chr(10).join(lines))}</figcaption></figure>"
    )


def _text(text: str) -> str:
    """Any text, names of files with bytes that are no text included."""
    return escape(text.encode(errors="replace").decode())
