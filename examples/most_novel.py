"""Draw many samples of a bundle and keep those that go furthest from the picture without losing its patches.

Usage: python most_novel.py BUNDLE FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import imageio.v3 as iio

import singan_toolkit as st

DRAWN, KEPT = 24, 4


def main(bundle_path: str, folder: str) -> None:
    """Write the best, named by their seeds."""
    bundle = st.load(bundle_path)
    drawn = bundle.run("generate", count=DRAWN)
    judged = [st.evaluate(bundle.picture, [sample], ["structure", "novelty"]) for sample in drawn]
    ranked = sorted(range(DRAWN), key=lambda seed: judged[seed]["structure"] / judged[seed]["novelty"])
    Path(folder).mkdir(parents=True, exist_ok=True)
    for seed in ranked[:KEPT]:
        path = Path(folder, f"{seed:04d}.png")
        iio.imwrite(path, drawn[seed])
        print(path, *(f"{name} {value:.2f}" for name, value in judged[seed].items()))


if __name__ == "__main__":
    main(*sys.argv[1:])
