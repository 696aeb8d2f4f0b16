"""How long a whole command takes in a new process. No torch here."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from singan_toolkit.bench.results import Doing, Start
from singan_toolkit.bench.subject import Subject
from singan_toolkit.measuring import fresh

TURNS = 3


def measure_start(subject: Subject) -> Iterator[Doing | Start]:
    """A sample by ``singan-tk run generate`` beside the import of torch, each in new processes, in turns.

    Args:
        subject: Whose pyramid draws; its weights are random.

    Yields:
        What is being done, and at last the row.

    Raises:
        OSError: A process failed.
    """
    from singan_toolkit.bench.generating import save_untrained

    what = "a command's start"
    yield Doing(what, "making a bundle")
    with TemporaryDirectory() as folder:
        bundle = Path(folder) / "untrained.sgb"
        for _ in fresh(save_untrained, subject, bundle):
            pass
        output = bundle.with_suffix(".png")
        generate = ["-m", "singan_toolkit", "run", "generate", f"--bundle={bundle}", f"--output={output}"]
        torch = generated = math.inf
        for turn in range(TURNS):
            yield Doing(what, f"{turn + 1} of {TURNS}")
            torch = min(torch, _seconds("-c", "import torch"))
            generated = min(generated, _seconds(*generate, f"--device={subject.device}"))
    height, width = subject.geometry.finest
    yield Start(width, height, torch, generated, generated / torch)


def _seconds(*arguments: str) -> float:
    started = time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise OSError(f"python {' '.join(arguments[:4])} failed: {done.stderr.strip() or done.returncode}")
    return seconds
