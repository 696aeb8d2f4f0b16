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
from singan_toolkit.evaluation.evaluate import Curve, Evaluation, mean_of
from singan_toolkit.evaluation.suite import NOVELTY, TOLERANCE, Entry, Means
from singan_toolkit.evaluation.suite import means as suite_means
from singan_toolkit.imaging.pictures import Picture, encode_picture

LARGEST = 320
"""Longer side of the pictures that are shown, in pixels."""
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 75em; padding: 0 1em; }
table { border-collapse: collapse; margin: 1em 0; display: block; overflow-x: auto; }
td, th { padding: .2em .8em; text-align: right; }
td:first-child, th:first-child { text-align: left; } tr { border-bottom: 1px solid #8884; }
svg { width: 22em; height: 9em; border: 1px solid #8884; } svg * { fill: none; vector-effect: non-scaling-stroke; }
svg polyline { stroke: #36c; }
svg line { stroke: #8886; }
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
    rows = [(one.real.name, one.values) for one in evaluations]
    if len(rows) > 1:
        rows.append(("mean", mean_of(evaluations)))
    measures = list(evaluations[0].each)
    cells = [[name, *(told(values[one]) for one in measures)] for name, values in rows]
    table = _table(["picture", *map(_with_direction, measures)], cells)
    return _page(["<h1>Samples beside their picture</h1>", table, *map(_section, evaluations)])


def means_table(means: Mapping[str, Means], pictures: int) -> tuple[list[str], list[list[str]]]:
    """What systems came to, as a table with a column for each.

    Args:
        means: By the system's name.
        pictures: How many they are over.

    Returns:
        The header and the rows, as text.
    """
    columns = list(means.values())
    memory = ["-" if one.memory_mib is None else f"{one.memory_mib:.0f}" for one in columns]
    rows = [
        ["prepare, s", *(f"{one.prepare_seconds:.1f}" for one in columns)],
        ["a sample, s", *(told(one.sample_seconds) for one in columns)],
        ["most memory, MiB", *memory],
        [f"novelty within {TOLERANCE} of {NOVELTY}", *(f"{one.alike} of {pictures}" for one in columns)],
        *([_with_direction(name), *(told(one.values[name]) for one in columns)] for name in columns[0].values),
    ]
    return ["", *means], rows


def suite_report(entries: Sequence[Entry]) -> str:
    """A page with the means of the systems and, of each picture, what each made of it.

    Args:
        entries: All measured alike.

    Returns:
        HTML without a reference to anything outside.
    """
    of, names = suite_means(entries)
    measures = list(entries[0].evaluation.each)
    header = ["picture", "system", "strength", "prepare, s", "a sample, s", "memory, MiB"]
    rows = [
        [
            *(entry.picture, entry.system, told(entry.strength)),
            *(told(entry.prepare_seconds), told(entry.sample_seconds)),
            "-" if entry.memory_mib is None else f"{entry.memory_mib:.0f}",
            *(told(entry.evaluation.values[name]) for name in measures),
        ]
        for entry in entries
    ]
    body = ["<h1>Systems side by side</h1>"]
    if of:
        title = f"Means over {len(names)} picture{'s' if names[1:] else ''}"
        body += [f"<h2>{title}</h2>", _table(*means_table(of, len(names)))]
    body += ["<h2>Each picture</h2>", _table([*header, *map(_with_direction, measures)], rows)]
    for name in dict.fromkeys(entry.picture for entry in entries):
        those = [entry for entry in entries if entry.picture == name]
        body += [f"<h2>{_text(name)}</h2>", f'<div class="row">{_figure(those[0].evaluation.real, {})}</div>']
        for entry in those:
            body += [f"<h3>{_text(entry.system)}, strength {entry.strength:g}</h3>", _samples(entry.evaluation)]
    return _page(body)


def _page(body: Sequence[str]) -> str:
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>singan-tk evaluate</title>'
        f"<style>{_STYLE}</style></head><body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def _with_direction(measure: str) -> str:
    return f"{measure} ({MEASURES[measure].better} is better)"


def _samples(evaluation: Evaluation) -> str:
    """The samples, each with what was measured of it alone."""
    single = {name: values for name, values in evaluation.each.items() if len(values) == len(evaluation.samples)}
    figures = [
        _figure(sample, {name: values[number] for name, values in single.items()})
        for number, sample in enumerate(evaluation.samples)
    ]
    return f'<div class="row">{"".join(figures)}</div>'


def _section(evaluation: Evaluation) -> str:
    count = len(evaluation.samples)
    parts = [
        f"<h2>{_text(evaluation.real.name)}</h2>",
        f'<div class="row">{_figure(evaluation.real, {})}</div>',
        f"<h3>{count} sample{'s' if count > 1 else ''}</h3>",
        _samples(evaluation),
    ]
    if evaluation.scales:
        scales = "".join(_figure(one, {}) for one in evaluation.scales)
        parts.append(f'<h3>The pyramid, rebuilding the picture</h3><div class="row">{scales}</div>')
    if evaluation.losses:
        parts.append("<h3>Losses in training, one scale after the other</h3>")
        parts.append(f'<div class="row">{"".join(map(_curve, evaluation.losses))}</div>')
    return "\n".join(parts)


def _curve(curve: Curve) -> str:
    """A loss over all scales: each takes as much of the width, and is a line of its own."""
    values = [value for part in curve.parts for value in part]
    low, high = min(values), max(values)
    lines = [
        f'<line x1="{100 * n / len(curve.parts):.2f}" y1="0" x2="{100 * n / len(curve.parts):.2f}" y2="100"/>'
        for n in range(1, len(curve.parts))
    ]
    for n, part in enumerate(curve.parts):
        points = [
            f"{100 * (n + (place + 0.5) / len(part)) / len(curve.parts):.2f},"
            f"{95 - 90 * (value - low) / ((high - low) or 1):.2f}"
            for place, value in enumerate(part)
        ]
        lines.append(f'<polyline points="{" ".join(points)}"/>')
    label = f"{curve.name}, {told(low)} to {told(high)}"
    return (
        f'<figure><svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label="{_text(label)}">'
        f"{''.join(lines)}</svg><figcaption>{_text(label)}</figcaption></figure>"
    )


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
