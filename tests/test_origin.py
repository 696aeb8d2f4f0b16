"""Pictures say how they were made, and what they say is shown and not believed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from command_line import Call, objects
from singan_toolkit.imaging.decoding import Tags
from singan_toolkit.imaging.origin import png_chunk, read_origin
from singan_toolkit.imaging.pictures import Picture, read_picture, write_picture
from singan_toolkit.jobs import digest_of


@pytest.fixture
def bundle(tiny_bundle_path: Path, tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return Path(shutil.copy(tiny_bundle_path, tmp_path / "in" / "photo.sgb"))


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.webp", "x.tif"])
def test_a_result_has_its_job_without_paths(bundle: Path, cutout: Path, tk: Call, name: str) -> None:
    command = ("run", "harmonize", "-b", bundle, "--paste", cutout, "--at", "3,4", "--as-trained", "-o", name)
    assert tk(*command).status == 0
    (shown,) = objects(tk("info", name, "--json").out)
    told = shown["origin"]
    assert (told["task"], told["bundle"], told["seed"]) == ("harmonize", "photo.sgb", 0)
    assert (told["options"]["paste"], told["options"]["at"]) == (["cutout.png"], ["3,4"])
    assert told["files"] == [{"name": path.name, "sha256": digest_of(path)} for path in (bundle, cutout)]
    assert str(bundle.parent) not in json.dumps(told)
    text = tk("info", name).out
    assert "harmonize" in text
    assert digest_of(cutout) in text


def test_many_have_the_bytes_of_one(bundle: Path, tk: Call) -> None:
    assert tk("run", "generate", "-b", bundle, "--seed", "3", "-o", "one.png").status == 0
    assert tk("run", "generate", "-b", bundle.parent, "--seed", "3", "-o", "many/").status == 0
    assert Path("one.png").read_bytes() == Path("many/photo-generate.png").read_bytes()
    assert tk("run", "generate", "-b", bundle, "-n", "2", "--sheet", "-o", "sheet.png").status == 0
    assert (read_origin(Path("sheet.png")) or {})["options"]["count"] == 2


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("ending", [".png", ".tif", ".jpg", ".webp"])
def test_it_changes_no_pixel_and_is_not_passed_on(tmp_path: Path, dtype: type, ending: str) -> None:
    if dtype == np.uint16 and ending in (".jpg", ".webp"):
        pytest.skip("has 8 bits")
    pixels: np.ndarray = np.random.default_rng(0).integers(0, 255, (9, 7, 3)).astype(dtype)
    text = json.dumps({"task": 'of "strange" <names> & \ud800'})
    for name, tags in (("plain", Tags(dpi=(72, 72))), ("told", Tags(dpi=(72, 72), origin=text))):
        write_picture(Picture(pixels, tags=tags), tmp_path / f"{name}{ending}")
    plain, told = (read_picture(tmp_path / f"{name}{ending}") for name in ("plain", "told"))
    assert (plain.pixels == told.pixels).all()
    assert told.tags.dpi == plain.tags.dpi
    assert told.tags.origin is None
    assert read_origin(tmp_path / f"told{ending}") == json.loads(text)
    assert read_origin(tmp_path / f"plain{ending}") is None
    with Image.open(tmp_path / f"told{ending}") as image:
        image.load()


@pytest.mark.parametrize("text", ["[1]", "{", "1", "[" * 50_000, '{"a": "' + "x" * 70_000 + '"}'])
def test_what_is_no_job_is_none(tmp_path: Path, tk: Call, text: str) -> None:
    path = tmp_path / "x.png"
    write_picture(Picture(np.zeros((3, 3, 3), np.uint8)), path)
    content = path.read_bytes()
    path.write_bytes(content[:33] + png_chunk(text) + content[33:])
    assert read_origin(path) is None
    done = tk("info", path)
    assert (done.status, done.out) == (1, "")
    assert "does not say how it was made" in done.err


def test_what_steers_a_terminal_is_escaped(tmp_path: Path, tk: Call) -> None:
    path = tmp_path / "x.png"
    job = {"text": 1, "task": "\x1b[31mred", "options": {"\x1b]0;": "\x07"}, "files": [3, {"name": "\x1b"}]}
    write_picture(Picture(np.zeros((3, 3, 3), np.uint8), tags=Tags(origin=json.dumps(job))), path)
    done = tk("info", path)
    assert done.status == 0
    assert "\x1b" not in done.out
    assert objects(tk("info", path, "--json").out)[0]["origin"] == job
