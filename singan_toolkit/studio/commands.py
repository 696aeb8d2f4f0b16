"""The command line that makes a result again, for a shell in the studio's folder."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import click

from singan_toolkit.jobs import RunJob, TrainingJob, digest_of
from singan_toolkit.studio.folder import MADE, Folder
from singan_toolkit.tasks.manager import installed_plugins
from singan_toolkit.training.settings import settings_of


def run_command(job: RunJob, folder: Folder, output: str) -> str:
    """The command line of a job whose files lie in the folder; ``output`` ends with a slash where it is a folder."""
    words = ["singan-tk", "run", job.task, *_pair("--bundle", folder.name_of(job.bundle))]
    for option in installed_plugins().task(job.task).options:
        words += _words(option, job.options[str(option.name)], folder)
    if job.scale is not None:
        words += _pair("--scale", job.scale)
    words += _pair("--seed", job.seed)
    if job.device != "auto":
        words += _pair("--device", job.device)
    return shlex.join([*words, *_pair("-o", output)])


def train_command(job: TrainingJob, folder: Folder, output: str) -> str:
    """The command line of a training of one of the folder's pictures, which replaces the bundle that is there."""
    words = ["singan-tk", "train", _plain(folder.name_of(job.picture)), *_pair("--preset", job.preset)]
    if job.task:
        words += _pair("--for", job.task)
    profile = installed_plugins().task(job.task).profile.settings if job.task else {}
    usual = settings_of(job.preset, **profile)
    for name, value in job.settings:
        if value != getattr(usual, name):
            words += _pair("--max-size", value) if name == "max_size" else _pair("--set", f"{name}={value}")
    words += _pair("--seed", job.seed)
    if job.device != "auto":
        words += _pair("--device", job.device)
    return shlex.join([*words, "--force", *_pair("-o", output)])


def command_of_origin(origin: dict[str, Any], folder: Folder, output: str) -> str:
    """The command line of a picture that says how it was made, or nothing where that or its files are not there."""
    try:
        job = RunJob(**{name: origin[name] for name in RunJob.model_fields})
        files = {str(one["name"]): str(one["sha256"]) for one in origin["files"]}
        options = {**job.options}
        for option in installed_plugins().task(job.task).options:
            if isinstance(option.type, click.Path) and (value := options[str(option.name)]):
                values = value if isinstance(value, list) else [value]
                options[str(option.name)] = [str(_found(folder, str(one), files)) for one in values]
        job = job.model_copy(update={"bundle": _found(folder, str(job.bundle), files), "options": options})
        return run_command(job, folder, output)
    except Exception:  # whatever somebody wrote into a picture
        return ""


def _found(folder: Folder, name: str, files: dict[str, str]) -> Path:
    """The file of that name and content."""
    places = (folder.path, folder.path / MADE, *(path for path in folder.path.iterdir() if path.is_dir()))
    for path in (place / Path(name).name for place in places):
        if path.is_file():
            there = path.stat()
            if _digest(path, there.st_mtime_ns, there.st_size) == files[name]:
                return folder.file(folder.name_of(path))
    raise LookupError(name)


@lru_cache(maxsize=1024)
def _digest(path: Path, modified: int, size: int) -> str:
    return digest_of(path)


def _words(option: click.Option, value: Any, folder: Folder) -> Iterator[str]:
    default = list(option.default) if isinstance(option.default, (list, tuple)) else option.default
    if value is None or value == default or value == []:
        return
    if option.is_flag:
        flags = option.opts if value else option.secondary_opts
        yield from flags[:1]
        return
    for one in value if isinstance(value, list) else [value]:
        is_file = isinstance(option.type, click.Path)
        yield from _pair(option.opts[-1], folder.name_of(Path(one)) if is_file else one)


def _pair(flag: str, value: object) -> list[str]:
    text = str(value)
    if not text.startswith("-"):
        return [flag, text]
    return [f"{flag}={text}"] if flag.startswith("--") else [flag, _plain(text)]


def _plain(name: str) -> str:
    return f"./{name}" if name.startswith(("-", "@")) else name
