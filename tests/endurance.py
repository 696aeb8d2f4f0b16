"""Many small pictures through ``train`` and ``run``, killed at random moments and started again.

``python tests/endurance.py --pictures 1000 --kills 20`` takes about half an hour on two cores. Each result must be in
the ledger, whole, and made once; no other file may be left; and memory must not grow.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from command_line import environment, started
from singan_toolkit.batch.ledger import Ledger, has

TRAIN = ["--preset=draft", "--device=cpu", "--max-size=32", "--set=iterations=4", "--set=finest_iterations=4"]
PATIENCE_SECONDS = 1800.0


@dataclass
class Report:
    """What was seen.

    Attributes:
        kills: How often a process was killed, and how much was done then.
        attempts: How often jobs were begun that were not ended, for a kill.
        megabytes: What the processes held while all was done once more, without a kill: the mean over each tenth of it.
        seconds: All together.
    """

    kills: list[tuple[str, int]] = field(default_factory=list)
    attempts: int = 0
    megabytes: dict[str, list[float]] = field(default_factory=dict)
    seconds: float = 0.0


def endure(folder: Path, pictures: int, kills: int, seed: int) -> Report:
    """Do it in an empty folder.

    Raises:
        AssertionError: Something was lost, done twice or left.
    """
    begun, moments, report = time.monotonic(), random.Random(seed), Report()
    make_pictures(folder / "in", pictures)
    for step, command in (
        ("out/bundles", ["train", "in", "-o", "out/bundles", *TRAIN]),
        ("out/made", ["run", "generate", "--bundle", "out/bundles", "-o", "out/made", "--device=cpu"]),
    ):
        results = folder / step
        share = kills // 2 + (kills % 2 if step == "out/bundles" else 0)
        for goal in sorted(moments.randrange(pictures) for _ in range(share)):
            before = done_in(results)
            kill_at(folder, command, results, goal, moments.uniform(0, 3))
            report.kills.append((step, len(list(results.glob("[!.]*.*")))))
            assert_untouched(results, before)
        before = done_in(results)
        to_the_end(folder, command)
        assert_untouched(results, before)
        report.attempts += assert_all_done(results, pictures)
        again = subprocess.run(
            [sys.executable, "-m", "singan_toolkit", *command],
            cwd=folder,
            env=environment(),
            capture_output=True,
            text=True,
        )
        assert (again.returncode, again.stdout) == (0, ""), again.stderr
        assert f"skipping {pictures} of {pictures}" in again.stderr
        held = to_the_end(folder, [*command, "--force"])
        tenth = max(1, len(held) // 10)
        report.megabytes[step] = [round(sum(held[n : n + tenth]) / tenth) for n in range(0, len(held), tenth)]
    report.seconds = time.monotonic() - begun
    return report


def make_pictures(folder: Path, count: int) -> None:
    """Small pictures that differ."""
    folder.mkdir(parents=True)
    for number in range(count):
        noise = np.random.default_rng(number).integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(noise).save(folder / f"{number:04}.png")


def kill_at(folder: Path, command: list[str], results: Path, goal: int, more: float) -> None:
    """Start a command and kill it that many seconds after there are so many results."""
    process = started(folder, sys.executable, "-m", "singan_toolkit", *command, "--quiet")
    until = time.monotonic() + PATIENCE_SECONDS
    while len(list(results.glob("[!.]*.*"))) < goal and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(more)
    process.kill()
    process.communicate()
    assert process.returncode in (0, -signal.SIGKILL)


def to_the_end(folder: Path, command: list[str]) -> list[float]:
    """Start a command, and give back what its processes held in memory when each result was there, in megabytes."""
    process = started(folder, sys.executable, "-m", "singan_toolkit", *command, "--json")
    assert process.stdout
    held = [megabytes_of(process.pid) for _ in process.stdout]
    _, err = process.communicate()
    assert process.returncode == 0, err
    return held


def megabytes_of(process: int) -> float:
    """What a process and its children hold, in megabytes."""
    pages = 0
    with suppress(OSError):  # of those that end meanwhile
        for one in [str(process), *Path(f"/proc/{process}/task/{process}/children").read_text().split()]:
            pages += int(Path(f"/proc/{one}/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def done_in(results: Path) -> dict[str, int]:
    """The results that the ledger says are done, with the time that each was written, in nanoseconds."""
    with Ledger.read(results) as ledger:
        records = ledger.records() if ledger else {}
    names = [name for one in records.values() if one.state == "done" for name in json.loads(one.results)]
    return {name: (results / name).stat().st_mtime_ns for name in names}


def assert_untouched(results: Path, before: dict[str, int]) -> None:
    after = {name: (results / name).stat().st_mtime_ns for name in before}
    assert after == before, "a result was made twice, or lost"


def assert_all_done(results: Path, count: int) -> int:
    """Every result is in the ledger and is whole, and there is nothing else; how often jobs were begun in vain."""
    with Ledger.read(results) as ledger:
        assert ledger
        records = ledger.records().values()
    made = {name: digest for one in records for name, digest in json.loads(one.results).items()}
    assert len(made) == count
    assert all(one.state == "done" for one in records)
    assert all(has(results / name, digest) for name, digest in made.items())
    left = {str(path.relative_to(results)) for path in results.rglob("*") if path.is_file()} - made.keys()
    assert left == {".singan-tk/ledger.sqlite", ".singan-tk/lock"}
    return sum(one.attempts - 1 for one in records)


def main() -> None:
    """Do it, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(endure(Path(folder), chosen.pictures, chosen.kills, chosen.seed))


if __name__ == "__main__":
    main()
