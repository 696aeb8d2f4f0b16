"""Train with an observer that tells of each scale, and stops a training that runs away.

Usage: python watch_training.py PICTURE BUNDLE
"""

from __future__ import annotations

import sys
from typing import Any

import singan_toolkit as st
from singan_toolkit.training.events import Event, Progress, ScaleFinished


def tell(event: Event) -> None:
    """Print a line for each scale; what an observer raises would stop the training."""
    match event:
        case ScaleFinished(scale=scale, seconds=seconds, reconstruction_rmse=rmse):
            print(f"scale {scale}: {seconds:.1f} s, reconstructed within {rmse:.3f}")
        case Progress(losses=losses) if losses["discriminator"] > 100:
            raise RuntimeError("the discriminator ran away")


def main(picture: str, bundle_path: str, **settings: Any) -> None:
    """Train, and save the bundle."""
    st.train(picture, preset="draft", observer=tell, **settings).save(bundle_path)


if __name__ == "__main__":
    main(*sys.argv[1:])
