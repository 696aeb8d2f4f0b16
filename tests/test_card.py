"""Bundles that are shown: a model card, and what notebooks show."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
import numpy as np

from command_line import Call, assert_one_sentence
from singan_toolkit import Bundle

STRANGE = "<b>`x`|\n---\n**y**"


def strange(bundle: Bundle) -> Bundle:
    """A bundle whose texts are Markdown and HTML."""
    training = bundle.manifest.training.model_copy(update={"preset": STRANGE, "picture": STRANGE})
    return replace(bundle, manifest=bundle.manifest.model_copy(update={"training": training}), name=STRANGE)


def test_a_card(tk: Call, singan_bundle: Bundle, tmp_path: Path) -> None:
    singan_bundle.save(tmp_path / "my art.sgb")
    done = tk("info", "my art.sgb", "--card", "cards/README.md")
    assert done.status == 0, done.err
    text = (tmp_path / "cards" / "README.md").read_text()
    _, front, body = text.split("---\n", 2)
    said = {name: json.loads(value) for name, value in (line.split(": ", 1) for line in front.splitlines())}
    assert said["library_name"] == "singan-toolkit"
    assert said["pipeline_tag"] == "unconditional-image-generation"
    assert "singan" in said["tags"]
    assert "license" not in said
    (shown,) = re.findall(r"!\[.*\]\((.*)\)", body)
    assert iio.imread(tmp_path / "cards" / shown).ndim == 3
    assert "--bundle 'my art.sgb'" in body
    assert re.search(r"^\| structure \| 0\.\d+ \| lower \|$", body, re.MULTILINE)
    assert re.search(r"^\| iterations \| \d+ \|$", body, re.MULTILINE)


def test_a_card_of_strange_texts(tk: Call, singan_bundle: Bundle, tmp_path: Path) -> None:
    strange(singan_bundle).save(tmp_path / "a.sgb")
    assert tk("info", "a.sgb", "--card", "a.md").status == 0
    text = (tmp_path / "a.md").read_text()
    assert not re.search(r"(?<!\\)<b>|(?<!\\)\*\*|(?<!\\)`x", text)
    assert text.count("\n---\n") == 1


def test_pictures_beside_a_card_stay(tk: Call, singan_bundle: Bundle, tmp_path: Path) -> None:
    singan_bundle.save(tmp_path / "a.sgb")
    for name in ("a.png", "a-samples.png"):
        (tmp_path / name).write_text("the user's own")
    assert tk("info", "a.sgb", "--card", "a.md").status == 0
    assert {(tmp_path / name).read_text() for name in ("a.png", "a-samples.png")} == {"the user's own"}
    (shown,) = re.findall(r"!\[.*\]\((.*)\)", (tmp_path / "a.md").read_text())
    assert iio.imread(tmp_path / shown).ndim == 3


def test_what_a_card_cannot_be(tk: Call, singan_bundle: Bundle, tmp_path: Path) -> None:
    singan_bundle.save(tmp_path / "a.sgb")
    assert_one_sentence(tk("info", "a.sgb", "--card", "card.txt"), 2, "a card is Markdown: name it card.md")
    assert_one_sentence(tk("info", "a.sgb", "--card", "."), 2, "it is a folder")
    assert [path.name for path in tmp_path.iterdir()] == ["a.sgb"]


def test_what_a_notebook_shows(singan_bundle: Bundle) -> None:
    shown = strange(singan_bundle)._repr_html_()
    assert "<b>" not in shown
    assert "&lt;b&gt;" in shown
    assert "60x48" in shown
    (data,) = re.findall(r'src="data:image/png;base64,([^"]*)"', shown)
    assert np.array_equal(iio.imread(base64.b64decode(data)), singan_bundle.picture)
