"""``singan-tk doctor``, and doing without the plugins of others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import imageio_ffmpeg
import pytest

from command_line import Call, environment, objects

BROKEN = """[singan_toolkit]
broken = no_such_module_of_anybody
"""


@pytest.fixture
def stranger(tmp_path: Path) -> dict[str, str]:
    """The environment in which a plugin of another distribution is found, which cannot be imported."""
    folder = tmp_path / "site" / "stranger-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(BROKEN)
    before = environment().get("PYTHONPATH", "")
    return environment(PYTHONPATH=f"{folder.parent}:{before}")


def run(variables: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "singan_toolkit", *arguments]
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120)


def test_all_is_well(tk: Call) -> None:
    done = tk("doctor", "--device", "cpu", "--json")
    assert done.status == 0, done.out + done.err
    found = {one["what"]: one for one in objects(done.out)}
    assert found["torch"]["state"] == "ok"
    assert found["ffmpeg"]["found"].startswith("ffmpeg version")
    assert float(found["convolution in float32"]["found"].split()[0]) > 0
    assert found["extra evaluate"]["state"] in ("ok", "not installed")
    assert {"plugin generate", "plugin harmonize"} <= found.keys()


def test_a_missing_ffmpeg_is_told(tk: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: "/nowhere/ffmpeg")
    done = tk("doctor", "--device", "cpu", "--json")
    assert done.status == 1
    (broken,) = (one for one in objects(done.out) if one.get("state") == "broken")
    assert broken["what"] == "ffmpeg"
    assert "no MP4 can be written" in broken["found"]
    assert "broken: ffmpeg" in done.err


def test_a_device_that_is_not_here_is_told_with_all_else(tk: Call) -> None:
    done = tk("doctor", "--device", "abacus", "--json")
    assert done.status == 1
    found = {one["what"]: one for one in objects(done.out)}
    assert found["device"] == {"what": "device", "found": found["device"]["found"], "state": "broken"}
    assert "give auto, cpu, cuda or mps" in found["device"]["found"]
    assert found["ffmpeg"]["state"] == "ok"


@pytest.mark.slow
def test_a_broken_plugin_is_told_and_can_be_left_out(stranger: dict[str, str]) -> None:
    done = run(stranger, "doctor", "--device", "cpu")
    assert done.returncode == 1
    assert "No module named 'no_such_module_of_anybody'\tbroken" in done.stdout
    assert "broken: plugin broken" in done.stderr
    without = run({**stranger, "SINGAN_TK_NO_PLUGINS": "1"}, "plugins")
    assert "broken\tstranger 1.0\t-\tskipped: not loaded, since SINGAN_TK_NO_PLUGINS is set" in without.stdout
    assert "generate\tsingan-toolkit" in without.stdout
    well = run({**stranger, "SINGAN_TK_NO_PLUGINS": "1"}, "doctor", "--device", "cpu")
    assert (well.returncode, well.stderr) == (0, "")
    assert "since SINGAN_TK_NO_PLUGINS is set\tnot loaded" in well.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "begun", "wanted"), [("singan-tk run", "ha", "harmonize"), ("singan-tk", "doc", "doctor")]
)
def test_completion(words: str, begun: str, wanted: str) -> None:
    """As the shell asks for it."""
    variables = environment(_SINGAN_TK_COMPLETE="bash_complete", COMP_WORDS=f"{words} {begun}")
    done = run({**variables, "COMP_CWORD": str(len(words.split()))})
    assert (done.stdout, done.stderr) == (f"plain,{wanted}\n", "")
