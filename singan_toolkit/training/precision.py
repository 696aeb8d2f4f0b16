"""How exactly to compute: the precision policy."""

from __future__ import annotations

import time
from functools import cache

import torch
from torch.nn import functional as F

from singan_toolkit.training.settings import Settings


def pick_precision(name: str, device: torch.device) -> torch.dtype:
    """The type to convolve in; ``auto`` takes bfloat16 where a tiny measurement finds it faster than float32."""
    if name == "auto":
        return torch.bfloat16 if _bfloat16_pays(device.type) else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]


def settled(settings: Settings, device: torch.device) -> Settings:
    """The settings with the precision that ``auto`` means on that device."""
    precision = str(pick_precision(settings.precision, device)).removeprefix("torch.")
    return settings.model_copy(update={"precision": precision})


@cache
def _bfloat16_pays(device_type: str) -> bool:
    if device_type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    kinds = torch.bfloat16, torch.float32
    # One thread and alternating: on a busy machine several threads wait for each other, and a pause would hit one kind.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rounds = [[_convolution_seconds(device_type, kind) for kind in kinds] for _ in range(8)]
    finally:
        torch.set_num_threads(threads)
    half, full = (min(times) for times in zip(*rounds, strict=True))
    return bool(half < 0.8 * full)


def _convolution_seconds(device_type: str, dtype: torch.dtype) -> float:
    """One convolution of the size that training spends its time in."""
    options = {"device": device_type, "dtype": dtype}
    try:
        picture = torch.randn(4, 64, 48, 48, **options).contiguous(memory_format=torch.channels_last)  # type: ignore[call-overload]
        kernel = torch.randn(64, 64, 3, 3, **options).contiguous(memory_format=torch.channels_last)  # type: ignore[call-overload]
        start = time.perf_counter()
        F.conv2d(picture, kernel)[0, 0, 0, 0].item()
        return time.perf_counter() - start
    except RuntimeError:
        return float("inf")
