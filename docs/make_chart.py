"""Draw docs/pictures/performance.svg from what singan-tk bench measured; needs matplotlib.

singan-tk bench train --size 250 --size 500 --size 1000 --json | python docs/make_chart.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

CHART = Path(__file__).parent / "pictures" / "performance.svg"


def draw(rows: list[dict[str, Any]]) -> Figure:
    """Time and memory against picture size, and an iteration's time against the size of its scale.

    Args:
        rows: Of the tables ``train`` and ``scale``, all of one preset.
    """
    trained = sorted((row for row in rows if row["table"] == "train"), key=lambda row: max(row["width"], row["height"]))
    scales = [row for row in rows if row["table"] == "scale"]
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    whole, memory, step = figure.subplots(1, 3)
    sides = [max(row["width"], row["height"]) for row in trained]
    whole.plot(sides, [row["seconds"] for row in trained], "o-")
    whole.set_title("A whole training, s")
    memory.plot(sides, [row["memory_mib"] for row in trained], "o-", color="tab:green")
    memory.set_title("Peak memory, MiB")
    step.plot(
        [max(row["width"], row["height"]) for row in scales],
        [row["iteration_ms"] for row in scales],
        ".",
        color="tab:orange",
    )
    step.set_title("An iteration of one scale, ms")
    for axes, ticks in ((whole, sides), (memory, sides), (step, [25, 100, 250, 1000])):
        axes.set_xscale("log")
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
        axes.set_xlabel("longer side, px")
        axes.grid(alpha=0.3)
    return figure


if __name__ == "__main__":
    draw([json.loads(line) for line in sys.stdin]).savefig(CHART)
