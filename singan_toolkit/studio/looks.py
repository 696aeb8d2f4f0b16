"""Looks at a training that goes on: what its checkpoint holds of pictures, for nothing is computed to see them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from singan_toolkit.imaging.pictures import Picture, write_picture


def looked_at(checkpoint: Path, sizes: Sequence[Sequence[int]], to: Path) -> tuple[int, list[str]] | None:
    """Write a sample of the scales that are done, and what they rebuild, as pictures.

    Args:
        checkpoint: Of a training.
        sizes: (height, width) of its scales.
        to: Beginning of the pictures' names, to which ``-SCALE-sample.png`` and ``-SCALE-rebuilt.png`` are added.

    Returns:
        The last scale that is done, and which of the two there are; None where nothing can be seen.
    """
    from safetensors import safe_open

    try:
        with safe_open(checkpoint, framework="np") as file:
            found = {"sample": file.get_tensor("samples")[0], "rebuilt": file.get_tensor("reconstruction")[0]}
        scale = [list(size) for size in sizes].index(list(found["rebuilt"].shape[1:]))
        kept = [name for name, pixels in found.items() if pixels.std() > 0]
        for name in kept:
            pixels = np.rint((found[name].astype(np.float32).transpose(1, 2, 0).clip(-1, 1) + 1) * 127.5)
            write_picture(Picture(pixels.astype(np.uint8)), to.with_name(f"{to.name}-{scale}-{name}.png"))
    except Exception:  # a checkpoint is written meanwhile, or is one that numpy has no numbers for
        return None
    return (scale, kept) if kept else None
