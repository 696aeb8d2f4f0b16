"""Every block of code in the pages is run: here, or by the test that is named for its page."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from command_line import Call, environment
from official_model import official_model
from page_makers import DOCS
from singan_toolkit.imaging.pictures import Picture, write_picture
from singan_toolkit.tasks.hooks import GROUP
from singan_toolkit.tasks.manager import installed_plugins, load_plugins

pytestmark = pytest.mark.slow

ROOT = DOCS.parent
PAGES = sorted([ROOT / "README.md", *DOCS.rglob("*.md"), *ROOT.glob("plugins/*/README.md")])
ELSEWHERE = {
    ("docs/pipelines.md", "sh"): "tests/test_pipelines.py",
    ("docs/pipelines.md", "make"): "tests/test_pipelines.py",
    ("docs/pipelines.md", "cron"): "tests/test_pipelines.py",
    ("docs/performance.md", "sh"): "tests/test_bench.py",
    ("docs/studio.md", "sh"): "tests/test_studio_page.py",
    ("docs/plugins.md", "sh"): "tests/test_plugin_new.py",
    ("docs/plugins.md", "toml"): "tests/test_plugin_new.py",
    ("docs/plugins.md", "python"): "tests/test_docs.py",
    **{(f"docs/hooks/{path.name}", "python"): "tests/test_docs.py" for path in DOCS.glob("hooks/*.md")},
}
NO_CODE = {"text"}
SHORT = shlex.split("--device cpu --set iterations=2 --set finest_iterations=2")
SUITE = shlex.split("--systems gpnn --max-size 32 --real galaxies.png")
SHORTER = {
    "train": SHORT,
    "evaluate": ["--count", "2"],
    "demo": ["--help"],
    "studio": ["--help"],
}
"""What commands that would take minutes are given besides; the gate runs the demo whole, and other tests the studio."""


def blocks() -> Iterator[tuple[str, int, str, str]]:
    """The page, the number in it, the language and the text of each block that is code."""
    for path in PAGES:
        for number, (kind, text) in enumerate(re.findall(r"^```(\w+)\n(.*?)^```$", path.read_text(), re.S | re.M)):
            if kind not in NO_CODE:
                yield path.relative_to(ROOT).as_posix(), number, kind, text


def run_here(kind: str) -> list[pytest.param]:  # type: ignore[valid-type]
    return [
        pytest.param(text, id=f"{page}-{number}")
        for page, number, found, text in blocks()
        if found == kind and (page, found) not in ELSEWHERE
    ]


def test_every_block_is_run_somewhere() -> None:
    for path in PAGES:
        fences = re.findall(r"^```.*$", path.read_text(), re.MULTILINE)
        assert "```" not in fences[::2], f"{path} has a block that says no language"
    kinds = {(page, kind) for page, _, kind, _ in blocks()}
    assert ELSEWHERE.keys() <= kinds
    assert {kind for page, kind in kinds - ELSEWHERE.keys()} == {"sh", "python"}
    indented = [
        path.name for path in PAGES if re.search(r"^    (\$ )?(singan-tk|pip|python3?) ", path.read_text(), re.M)
    ]
    assert not indented, "a command in a block without fences would not be run"


@pytest.fixture
def folder(tk: Call, tmp_path: Path) -> Path:
    """What the pages speak of: a photo, what was made of it by hand, and a bundle."""
    import skimage

    with Image.open(Path(skimage.__file__).parent / "data" / "hubble_deep_field.jpg") as image:
        photo = image.crop((560, 390, 690, 517))
    names = "galaxies.png photo.jpg art.png a.jpg b.jpg one.png two.png photos/art.png c/d.jpg edited.png painting.png"
    for path in map(tmp_path.joinpath, names.split()):
        path.parent.mkdir(exist_ok=True)
        photo.save(path)
    hole = np.zeros((127, 130), np.uint8)
    hole[30:50, 40:60] = 255
    write_picture(Picture(hole[..., None]), tmp_path / "mask.png")
    disc = np.zeros((12, 12, 4), np.uint8)
    disc[2:10, 2:10] = 230, 150, 90, 255
    for name in ("planet.png", "obj.png"):
        write_picture(Picture(disc), tmp_path / name)
    for changed in ("edited.png", "painting.png", "one.png"):
        with Image.open(tmp_path / changed) as image:
            image.paste((20, 30, 120), (60, 20, 90, 50))
            image.save(tmp_path / changed)
    shutil.copytree(tmp_path / "photos", tmp_path / "samples")
    official_model().save(tmp_path / "TrainedModels" / "balloons" / "scale_factor=0.750000,alpha=10")
    return tmp_path


def parts(text: str) -> Iterator[list[str] | str]:
    """Each command of ours as its arguments, and what stands between as text for a shell."""
    between = ""
    for line in text.splitlines():
        if line.startswith("singan-tk "):
            if between:
                yield between
            between = ""
            yield shlex.split(line, comments=True)[1:]
        else:
            between += line + "\n"
    if between.strip():
        yield between


def size_for(text: str) -> str:
    """A side to train at: small, but where a mask has to fit the photo, or many scales or a wide picture are wanted."""
    return "--max-size=130" if re.search("run inpaint|--width|--start-scale", text) else "--max-size=50"


def do(tk: Call, folder: Path, text: str) -> None:
    """What a block says, but that trainings are short and that nothing is installed."""
    for part in parts(text):
        if isinstance(part, list):
            size = [size_for(text)] if part[0] == "train" else []
            done = tk(*part, *SHORTER.get(part[0], []), *size, *(SUITE if "--suite" in part else []))
            assert done.status == 0, done.err
            assert "Traceback" not in done.err
            continue
        lines = [line for line in part.splitlines() if not installs(line)]
        shell = subprocess.run(
            ["bash", "-euc", "\n".join(lines)], cwd=folder, env=environment(), capture_output=True, text=True
        )
        assert shell.returncode == 0, shell.stderr


def installs(line: str) -> bool:
    """Whether a line sets up an environment: if it names files of the repository, they have to be there."""
    if not re.search(r"(^| |/)pip install |^python3 -m venv |^\. .*/activate$", line):
        return False
    for word in shlex.split(line, comments=True):
        if re.match(r"\.?/?(constraints|plugins/)", word):
            assert (ROOT / word).exists(), word
    return True


@pytest.mark.parametrize("text", run_here("sh"))
def test_the_commands_of_a_page(tk: Call, folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if "run inpaint" in text:
        plugins = load_plugins([EntryPoint("inpaint", "singan_tk_inpaint", GROUP)])
        monkeypatch.setitem(installed_plugins().tasks, "inpaint", plugins.task("inpaint"))
    trained = {"art", "photo", "bundles/art", "galaxies"} - set(re.findall(r"-o (\w+)\.sgb", text))
    if re.search(r"train photos/ -o bundles/", text):
        trained.remove("bundles/art")
    if wanted := [name for name in sorted(trained) if re.search(rf"\b{name.split('/')[0]}(\.sgb|/)", text)]:
        assert (
            tk("train", "galaxies.png", "-o", "of-this-page.sgb", "--preset=draft", *SHORT, size_for(text)).status == 0
        )
        for name in wanted:
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copy(folder / "of-this-page.sgb", folder / f"{name}.sgb")
    do(tk, folder, text)


@pytest.mark.parametrize("text", run_here("python"))
def test_the_python_of_a_page(
    tk: Call, folder: Path, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import singan_toolkit as st
    from singan_toolkit.batch import train_many

    short = dict(device="cpu", max_size=60, iterations=2, finest_iterations=2)
    for module, name in ((st, "train"), (train_many, "train_many")):
        whole = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *given, whole=whole, **how: whole(*given, **how, **short))
    threads = torch.get_num_threads()
    made = {path.name for path in folder.iterdir()}
    exec(compile(text, "block", "exec"), {"__name__": "__main__"})
    torch.set_num_threads(threads)
    assert {path.name for path in folder.iterdir()} > made or "evaluate" in text
