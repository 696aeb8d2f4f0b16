"""Where to compute: the device policy."""

from __future__ import annotations

import torch

from singan_toolkit.errors import UnavailableError


def pick_device(name: str = "auto") -> torch.device:
    """The device of that name; ``auto`` is CUDA where there is one, then MPS, then the CPU.

    Raises:
        UnavailableError: The device is not here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        if "device string" in str(error):  # torch then lists twenty kinds that few have heard of
            raise UnavailableError(f"device {name!r} cannot be used here: give auto, cpu, cuda or mps") from error
        raise UnavailableError(f"device {name!r} cannot be used here: {str(error).splitlines()[0]}") from error
    return device
