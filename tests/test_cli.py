"""The command line: what goes to which stream, exit status, and what is said about mistakes.

Most tests call the entry point in this process; those about processes, signals and imports start ``singan-tk``.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from command_line import SCRIPT, Call, Done, assert_one_sentence, environment, objects
from singan_toolkit import Bundle
from singan_toolkit.cli.console import Console
from singan_toolkit.imaging.pictures import read_picture


class TestTraceback:
    def test_only_when_asked_for(self, process: Call, broken: Path) -> None:
        assert_one_sentence(process("info", broken), 1, "broken.png")
        asked = process("info", broken, "--traceback")
        assert asked.status == 1
        assert asked.out == ""
        assert "Traceback (most recent call last)" in asked.err
        assert "BundleError" in asked.err


class TestInfo:
    def test_plain(self, tk: Call, tiny_bundle: Bundle, tiny_bundle_path: Path) -> None:
        done = tk("info", tiny_bundle_path)
        assert (done.status, done.err) == (0, "")
        assert str(tiny_bundle_path) in done.out
        assert tiny_bundle.manifest.training.picture in done.out
        rows = [line.split("\t") for line in done.out.splitlines() if "\t" in line]
        sizes = [(int(height), int(width)) for _, width, height, *_ in rows[: len(tiny_bundle.geometry.sizes)]]
        assert tuple(sizes) == tiny_bundle.geometry.sizes

    def test_json(self, tk: Call, tiny_bundle: Bundle, tiny_bundle_path: Path) -> None:
        done = tk("info", tiny_bundle_path, "--json")
        (found,) = objects(done.out)
        assert done.err == ""
        assert found["training"] == tiny_bundle.manifest.training.model_dump()
        assert [(scale["height"], scale["width"]) for scale in found["scales"]] == list(tiny_bundle.geometry.sizes)

    def test_image(self, tk: Call, tiny_bundle: Bundle, tiny_bundle_path: Path) -> None:
        done = tk("info", tiny_bundle_path, "--image", "x.png")
        assert done.status == 0
        assert "x.png" in done.err
        both = read_picture("x.png").pixels
        height, width = tiny_bundle.geometry.finest
        assert both.shape == (height, 2 * width, 3)
        np.testing.assert_array_equal(both[:, :width], tiny_bundle.picture)
        assert (both[:, width:] != tiny_bundle.picture).any()

    @pytest.mark.parametrize("damage", ["byte", "cut", "text", "empty", "missing"])
    def test_damaged(self, tk: Call, tiny_bundle_path: Path, tmp_path: Path, damage: str) -> None:
        content = bytearray(tiny_bundle_path.read_bytes())
        content[-100] ^= 1
        damaged = {"byte": bytes(content), "cut": bytes(content[:-7]), "text": b"no bundle at all", "empty": b""}
        if damage in damaged:
            (tmp_path / "x.sgb").write_bytes(damaged[damage])
        assert_one_sentence(tk("info", "x.sgb"), 1, "x.sgb")
        (told,) = objects(tk("info", "x.sgb", "--json").err)
        assert "x.sgb" in told["error"]


class TestListing:
    def test_tasks(self, tk: Call) -> None:
        rows = [line.split("\t") for line in tk("tasks").out.splitlines()]
        ours = f"singan-toolkit {version('singan-toolkit')}"
        assert ["generate", "Draw new pictures with the same textures and objects, from noise", ours] in rows
        found = objects(tk("tasks", "--json").out)
        assert [list(one.values()) for one in found] == rows

    def test_plugins(self, tk: Call) -> None:
        done = tk("plugins", "--json")
        assert done.status == 0
        states = {one["plugin"]: one["state"] for one in objects(done.out)}
        assert states["generate"] == states["harmonize"] == "ok"

    def test_table_on_a_terminal(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        monkeypatch.setenv("COLUMNS", "100")
        Console().rows("Plugins", ("plugin", "state"), [("x", "skipped: pip install [extra] [/]"), ("y", "a:b:c")])
        out = capsys.readouterr().out
        assert "skipped: pip install [extra] [/]" in out
        assert "a:b:c" in out

    @pytest.mark.parametrize("unbuffered", ["", "1"])
    def test_a_reader_that_goes_away(self, unbuffered: str) -> None:
        read, write = os.pipe()
        os.close(read)
        buffering = environment() | {"PYTHONUNBUFFERED": unbuffered}
        done = subprocess.run([SCRIPT, "tasks"], stdout=write, stderr=subprocess.PIPE, env=buffering, text=True)
        os.close(write)
        assert done.stderr == ""


class TestStreams:
    @pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&- <&-"])
    def test_closed(self, closed: str) -> None:
        command = f"'{SCRIPT}' tasks {closed}"
        done = subprocess.run(["sh", "-c", command], env=environment(), capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")

    @pytest.mark.parametrize(
        "color", [{"FORCE_COLOR": "1"}, {"FORCE_COLOR": "0"}, {"NO_COLOR": "1", "FORCE_COLOR": "1"}]
    )
    def test_no_variable_makes_a_terminal_of_a_pipe(self, color: dict[str, str]) -> None:
        done = subprocess.run([SCRIPT, "tasks"], env=environment() | color, capture_output=True, text=True)
        assert done.stdout.startswith("animate\t")
        assert "\x1b" not in done.stdout

    def test_names_that_cannot_be_printed(self, tiny_bundle_path: Path, tmp_path: Path) -> None:
        command = [str(SCRIPT), "run", "generate", "-b", str(tiny_bundle_path), "-o", "\u65e5.png"]
        env = environment() | {"PYTHONIOENCODING": "cp1252"}
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, check=True)
        assert done.stdout.split() == [b"?.png"]
        assert read_picture(tmp_path / "\u65e5.png").size == (32, 40)

    def test_a_picture_from_stdin_and_to_stdout(self, cutout: Path, tiny_bundle_path: Path, tmp_path: Path) -> None:
        command = [
            str(SCRIPT),
            "run",
            "harmonize",
            "--as-trained",
            "-b",
            str(tiny_bundle_path),
            "--paste",
            "-",
            "-o",
            "-",
        ]
        given = cutout.read_bytes()
        done = subprocess.run(command, cwd=tmp_path, env=environment(), input=given, capture_output=True, check=True)
        assert done.stdout.startswith(b"\x89PNG")
        assert list(tmp_path.iterdir()) == [cutout]


class TestConsole:
    @pytest.mark.parametrize("text", ["\x1b[31m", "a\nb", "\u202e", "\x9b", "\r"])
    def test_nothing_steers_a_terminal(self, text: str, capsys: pytest.CaptureFixture[str]) -> None:
        console = Console()
        for told in (console.result, console.note, console.error):
            told(text)
        console.rows("x", ["x"], [[text]])
        shown = text.encode("unicode_escape").decode()
        assert capsys.readouterr() == (f"{shown}\n{shown}\n", f"{shown}\nerror: {shown}\n")

    @pytest.mark.parametrize("text", ["plain", "[red]x[/red]", "\\[b]x", "a:b:c", "C:\\new\\", "[/]"])
    def test_text_is_told_as_it_is(self, text: str, capsys: pytest.CaptureFixture[str]) -> None:
        console = Console()
        console.result(text)
        console.note(text)
        console.error(text)
        out, err = capsys.readouterr()
        assert out == f"{text}\n"
        assert err == f"{text}\nerror: {text}\n"


HELP = [
    [],
    ["--help"],
    ["-h"],
    ["--version"],
    ["train", "--help"],
    ["train", "--settings"],
    ["run"],
    ["run", "--help"],
    ["run", "generate", "--help"],
    ["run", "harmonize", "-h"],
    ["info", "--help"],
    ["tasks"],
    ["plugins", "--json"],
]


class TestStart:
    def test_help_and_lists_import_no_torch(self) -> None:
        source = f"""
import sys
from singan_toolkit.cli import main

for arguments in {HELP[1:]}:
    sys.argv = ["singan-tk", *arguments]
    try:
        main()
    except SystemExit as end:
        if end.code:
            sys.exit(f"{{arguments}} ended with {{end.code}}")
    if "torch" in sys.modules:
        sys.exit(f"{{arguments}} imported torch")
"""
        done = subprocess.run([sys.executable, "-c", source], env=environment(), capture_output=True, text=True)
        assert done.stderr == ""
        assert done.returncode == 0

    @pytest.mark.parametrize("arguments", HELP, ids=" ".join)
    def test_no_error(self, tk: Call, arguments: list[str]) -> None:
        done = tk(*arguments)
        assert "Traceback" not in done.out + done.err
        assert done.status == (0 if arguments else 2)
        assert done.out if arguments else done.out + done.err

    def test_version(self, process: Call) -> None:
        assert process("--version") == Done(0, f"singan-tk, version {version('singan-toolkit')}\n", "")

    def test_every_command_has_a_summary(self, tk: Call) -> None:
        words = tk("--help").out
        for name in ("train", "run", "info", "tasks", "plugins", "demo"):
            assert re.search(rf"\b{name} +[A-Z]\w+", words)

    def test_unknown_command(self, tk: Call) -> None:
        assert_one_sentence(tk("paint"), 2, "paint")
        assert_one_sentence(tk("trian"), 2, "did you mean train?")
        assert_one_sentence(tk("run", "harmonise"), 2, "did you mean harmonize?")

    def test_wrong_usage_as_json(self, tk: Call) -> None:
        done = tk("run", "generate", "--json")
        assert (done.status, objects(done.err)) == (2, [{"error": "Missing option '--bundle' / '-b'."}])

    def test_as_a_module(self) -> None:
        command = [sys.executable, "-m", "singan_toolkit", "tasks"]
        done = subprocess.run(command, env=environment(), capture_output=True, text=True)
        assert done.returncode == 0
        assert "generate\t" in done.stdout
