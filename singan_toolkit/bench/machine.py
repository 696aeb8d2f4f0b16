"""The machine, and the most that a 3x3 convolution reaches on it."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import torch
from torch.utils.benchmark import Timer

from singan_toolkit.bench.results import Machine
from singan_toolkit.machine import cores
from singan_toolkit.measuring import Emit
from singan_toolkit.pyramid.device import pick_device
from singan_toolkit.training.precision import pick_precision

SHAPES = ((4, 32, 96, 96), (4, 64, 96, 96), (4, 128, 96, 96), (1, 64, 256, 256))
"""The shapes of the pictures that are convolved: batch, channels, height, width."""
SECONDS = 0.5


def measure_machine(emit: Emit, device: str) -> None:
    """Emit a ``Machine``.

    Args:
        emit: Takes the row.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
    """
    chosen = pick_device(device)
    cuda = chosen.type == "cuda"
    emit(
        Machine(
            processor=processor_name(),
            threads=torch.get_num_threads(),
            cores=cores(),
            memory_gib=_memory(),
            torch=torch.__version__,
            device=chosen.type,
            gpu=torch.cuda.get_device_name(chosen) if cuda else None,
            precision=str(pick_precision("auto", chosen)).removeprefix("torch."),
            float32_gflops=convolution_peak(chosen, torch.float32),
            bfloat16_gflops=convolution_peak(chosen, torch.bfloat16),
        )
    )


@torch.inference_mode()
def convolution_peak(device: torch.device, dtype: torch.dtype, seconds: float = SECONDS) -> float | None:
    """The best speed of a 3x3 convolution over ``SHAPES``, in GFLOP/s; None where it cannot be computed.

    Args:
        device: Where to convolve.
        dtype: The type to convolve in; pictures and kernels lie with their channels last.
        seconds: To repeat each shape for; the fastest repetition counts.
    """
    best = 0.0
    for batch, channels, height, width in SHAPES:
        try:
            picture = torch.randn(batch, channels, height, width, device=device, dtype=dtype)
            kernel = torch.randn(channels, channels, 3, 3, device=device, dtype=dtype)
            operands = {
                "picture": picture.contiguous(memory_format=torch.channels_last),
                "kernel": kernel.contiguous(memory_format=torch.channels_last),
            }
            timer = Timer("torch.conv2d(picture, kernel)", globals=operands, num_threads=torch.get_num_threads())
            fastest = min(timer.blocked_autorange(min_run_time=seconds).times)
        except RuntimeError:
            return None
        best = max(best, 2 * 9 * channels**2 * batch * (height - 2) * (width - 2) / fastest / 1e9)
    return best


def gpu_peak_memory() -> float | None:
    """The most memory that torch has had of the CUDA device, in MiB; None where none is used."""
    return torch.cuda.max_memory_reserved() / (1 << 20) or None


def processor_name() -> str:
    """The processor's name as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    if platform.system() == "Darwin":
        asked = subprocess.run(["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True)
        if asked.returncode == 0:
            return asked.stdout.strip()
    return platform.processor() or platform.machine()


def _memory() -> float | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    except (AttributeError, ValueError, OSError):
        return None
