"""What the command line prints where: terminals, pipes, closed streams, and text that would steer a terminal."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from singan_toolkit.cli.console import Console, printable

COMMAND = f"{sys.executable} -m singan_toolkit"
VARIABLES = ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "PYTHONIOENCODING", "TERM")
POSIX = pytest.mark.skipif(os.name == "nt", reason="a shell of POSIX")
TINY = "--preset draft --device cpu --set iterations=2 --set finest_iterations=2 --max-size 40"


def shell(folder: Path, line: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Run a line of a shell, in which ``tk`` stands for the command."""
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    environment = kept | {"OMP_NUM_THREADS": "1", "COLUMNS": "100", "LC_ALL": "C.UTF-8"} | variables
    script = f'tk() {{ {COMMAND} "$@"; }}; {line}'
    return subprocess.run(["bash", "-c", script], cwd=folder, env=environment, capture_output=True, timeout=120)


@pytest.fixture
def folder(tmp_path: Path, tiny_bundle_path: Path) -> Path:
    (tmp_path / "b.sgb").write_bytes(tiny_bundle_path.read_bytes())
    return tmp_path


@POSIX
class TestPipe:
    @pytest.mark.parametrize(
        "variables", [{"FORCE_COLOR": "1"}, {"NO_COLOR": "1", "FORCE_COLOR": "1"}, {"FORCE_COLOR": "0"}]
    )
    def test_a_table_is_fields_and_tabs(self, folder: Path, variables: dict[str, str]) -> None:
        done = shell(folder, "tk tasks", **variables)
        first, *_ = done.stdout.decode().splitlines()
        name, summary, origin = first.split("\t")
        assert (name, origin.split()[0]) == ("animate", "singan-toolkit")
        assert summary.endswith("noise space around it")
        assert b"\x1b" not in done.stdout

    @pytest.mark.parametrize(("variables", "coloured"), [({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "0"}, False)])
    def test_forcing_colours_colours_help(self, folder: Path, variables: dict[str, str], coloured: bool) -> None:
        forced = shell(folder, "tk --help", **variables).stdout
        assert (b"\x1b[" in forced) == coloured
        assert b"\x1b" not in shell(folder, "tk --help", NO_COLOR="1", **variables).stdout

    def test_no_bar_is_drawn_into_a_file(self, folder: Path, photo: Path) -> None:
        done = shell(folder, f"tk train {photo} -o a.sgb {TINY}", FORCE_COLOR="1")
        assert done.returncode == 0, done.stderr
        assert b"\r" not in done.stderr
        assert b"\x1b" not in done.stderr
        assert done.stderr.startswith(b"training ")


@POSIX
class TestClosedStreams:
    @pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
    def test_the_work_is_done(self, folder: Path, closed: str) -> None:
        done = shell(folder, f"tk run generate -b b.sgb -o z.png {closed}")
        assert (done.returncode, done.stderr) == (0, b"")
        Image.open(folder / "z.png").load()

    @pytest.mark.parametrize("variables", [{}, {"PYTHONUNBUFFERED": "1"}])
    @pytest.mark.parametrize(
        "command", ["info b.sgb", "train --help", "run generate -b b.sgb", "run generate -b b.sgb -o -"]
    )
    def test_a_reader_that_has_gone_away(self, folder: Path, command: str, variables: dict[str, str]) -> None:
        done = shell(folder, f"tk {command} | true; exit ${{PIPESTATUS[0]}}", **variables)
        assert (done.returncode, done.stderr) == (0, b"")

    def test_work_that_fails_fails_without_a_reader_too(self, folder: Path) -> None:
        assert shell(folder, "tk info c.sgb 2>&1 | true; exit ${PIPESTATUS[0]}").returncode == 1

    def test_a_reader_that_has_gone_away_ends_no_training(self, folder: Path, photo: Path) -> None:
        for name in ("a.png", "c.png"):
            (folder / name).write_bytes(photo.read_bytes())
        line = f"tk train a.png c.png --jobs 1 --json {TINY} 2>&1 | true; exit ${{PIPESTATUS[0]}}"
        assert shell(folder, line, PYTHONUNBUFFERED="1").returncode == 0
        assert (folder / "a.sgb").is_file()
        assert (folder / "c.sgb").is_file()

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
    def test_a_full_disk_is_told(self, folder: Path) -> None:
        done = shell(folder, "tk tasks > /dev/full")
        assert done.returncode == 1
        assert re.fullmatch(rb"error: .*No space left on device\n", done.stderr)


@POSIX
class TestDash:
    def test_a_picture_on_stdout(self, folder: Path) -> None:
        done = shell(folder, "tk run generate -b b.sgb -o -")
        assert Image.open(io.BytesIO(done.stdout)).format == "PNG"
        assert [path.name for path in folder.iterdir()] == ["b.sgb"]

    @pytest.mark.parametrize(
        "command",
        [
            "run generate -b b.sgb -o - -n 2",
            "run animate -b b.sgb -o -",
            "train -",
            "train - b.sgb -o c.sgb",
            "train b.sgb -o - --partial",
            "info b.sgb --image -",
            "demo -o -",
        ],
    )
    def test_what_is_no_picture_is_refused(self, folder: Path, command: str) -> None:
        done = shell(folder, f"tk {command}")
        assert (done.returncode, done.stdout) == (2, b"")
        assert len(re.findall(rb"^Error: ", done.stderr, re.MULTILINE)) == 1
        assert [path.name for path in folder.iterdir()] == ["b.sgb"]

    def test_there_is_no_json_beside_a_picture(self, folder: Path) -> None:
        done = shell(folder, "tk run generate -b b.sgb -o - --json")
        assert (done.returncode, done.stdout) == (2, b"")
        assert json.loads(done.stderr)["error"].startswith("stdout is the picture's with -o -")


@POSIX
class TestNames:
    @pytest.mark.parametrize("encoding", ["utf-8:strict", "utf-8:surrogateescape", ""])
    def test_a_path_keeps_its_bytes(self, folder: Path, encoding: str) -> None:
        line = "cp b.sgb $'caf\\xe9.sgb' && tk run generate -b $'caf\\xe9.sgb'"
        done = shell(folder, line, PYTHONIOENCODING=encoding)
        assert (done.returncode, done.stdout) == (0, b"caf\xe9-generate.png\n")
        assert Path(os.fsdecode(bytes(folder) + b"/" + done.stdout[:-1])).is_file()

    def test_what_cannot_be_encoded_is_replaced(self, folder: Path) -> None:
        done = shell(folder, "tk run generate -b b.sgb -o 日本.png", PYTHONIOENCODING="cp1252")
        assert (done.returncode, done.stdout) == (0, b"??.png\n")
        assert (folder / "日本.png").is_file()

    def test_errors_do_not_steer_the_terminal(self, folder: Path) -> None:
        done = shell(folder, "tk info $'\\e[31m\\u202e.sgb'")
        assert b"\\x1b[31m\\u202e.sgb" in done.stderr
        assert b"\x1b" not in done.stderr


class TestPrintable:
    @given(st.text(st.characters(), max_size=30))
    def test_nothing_steers(self, text: str) -> None:
        shown = printable(text)
        shown.encode()
        assert not re.search("[\0-\x08\n-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)

    @given(st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=30))
    def test_words_stay(self, text: str) -> None:
        assert printable(text) == text

    def test_a_terminal_is_shown_no_raw_path(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        Console().result(Path("\x1b[31m.png"))
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        Console().result(Path("\x1b[31m.png"))
        assert capsys.readouterr().out == "\x1b[31m.png\n\\x1b[31m.png\n"


@POSIX
class TestMistakes:
    @pytest.mark.parametrize(
        ("command", "error"),
        [
            ("run generate", "Missing option '--bundle' / '-b'."),
            ("run generate -b b.sgb --count 0", "Invalid value for '-n' / '--count': 0 is not in the range x>=1."),
            ("run harmonise", "No such command 'harmonise': did you mean harmonize?"),
            ("tran", "No such command 'tran': did you mean train?"),
            (
                "train a.png --preset drft",
                "Invalid value for '--preset': 'drft' is not one of 'draft', 'fast', 'paper': did you mean draft?",
            ),
            ("train a.png --set iteratons=3", "there is no setting iteratons: did you mean iterations?"),
            ("train a.png --for harmonise", "there is no task 'harmonise': did you mean harmonize?"),
            (
                "run harmonize -b b.sgb --paste a.png --scale aut",
                "Invalid value for '--scale': 'aut' is neither a scale's number, auto nor all: did you mean auto?",
            ),
        ],
    )
    def test_as_json(self, folder: Path, command: str, error: str) -> None:
        (folder / "a.png").write_bytes(b"")
        told = shell(folder, f"tk {command} --json")
        assert (told.returncode, told.stdout) == (2, b"")
        assert [json.loads(line) for line in told.stderr.splitlines()] == [{"error": error}]


@POSIX
class TestTerminal:
    def seen(self, folder: Path, command: str, **variables: str) -> str:
        """What a terminal on stdout gets."""
        master, slave = pty.openpty()
        kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
        environment = kept | {"OMP_NUM_THREADS": "1", "COLUMNS": "160", "TERM": "xterm-256color"} | variables
        line = [*COMMAND.split(), *command.split()]
        subprocess.run(line, cwd=folder, env=environment, stdout=slave, stderr=subprocess.DEVNULL, timeout=120)
        os.close(slave)
        seen = b""
        try:
            while part := os.read(master, 65536):
                seen += part
        except OSError:  # the end, on Linux
            pass
        os.close(master)
        return seen.decode()

    def test_a_table_is_aligned_and_coloured(self, folder: Path) -> None:
        seen = self.seen(folder, "tasks")
        assert "\t" not in seen
        assert "\x1b[1m" in seen

    def test_no_colours_where_none_are_wanted(self, folder: Path) -> None:
        for variables in ({"NO_COLOR": "1"}, {"FORCE_COLOR": "0"}, {"TERM": "dumb"}):
            assert "\x1b" not in self.seen(folder, "tasks", **variables)

    def test_no_picture_is_written_to_it(self, folder: Path) -> None:
        assert self.seen(folder, "run generate -b b.sgb -o -") == ""
