"""Whether a task keeps to the contract of docs/plugins.md."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np

from singan_toolkit.bundle import Bundle
from singan_toolkit.errors import TaskError, ToolkitError
from singan_toolkit.imaging.pictures import Picture, read_picture, write_picture
from singan_toolkit.imaging.video import Clip
from singan_toolkit.jobs import RunJob
from singan_toolkit.tasks.runner import run
from singan_toolkit.tasks.task import Output, Plan, Task, problem_with
from singan_toolkit.testing.watched import Walked, Watched, wanted

ROUNDING = 1
"""Levels of 255 by which a picture may differ that is drawn in another batch."""


def check_task(
    task: Task,
    bundle: Bundle,
    options: Mapping[str, Any] | None = None,
    *,
    scale: int | None = None,
    seed: int = 0,
    size: tuple[int, int] | None = None,
) -> Output:
    """Run a task in several ways, and hold what it does against the contract of docs/plugins.md.

    The task need not be installed. What is asked:

    - ``prepare``, ``plan`` and ``finish`` run no network, nor does a plan's constraint;
    - what a plan holds has the sizes and ranges that ``Plan`` tells, and results are what ``makes`` says;
    - the same seed gives the same pictures, and so do ``--scale all``, pictures in memory instead of files, and the
      same request after it was written down as JSON;
    - a sample is the same whether it is drawn alone or in a batch;
    - the result has the depth and the transparency of the picture that ``keeps`` names;
    - a file that is no picture, and a picture of one pixel, give a result or a ``ToolkitError``.

    Args:
        task: The task.
        bundle: A bundle to run it on; small, since the task runs often.
        options: Those of the task's options that are to be given, with which it has a result.
        scale: The injection scale; None for the task's default.
        seed: The seed of the noise.
        size: (height, width) in pixels that every result is to have; None for any.

    Returns:
        What the task gives.

    Raises:
        AssertionError: The task does not keep to the contract: one sentence says what that wants.
        ToolkitError: The task cannot do what these options ask for.
    """
    if problem := problem_with(task):
        raise AssertionError(problem)
    with TemporaryDirectory() as folder:
        trial = _Trial(task, bundle, dict(options or {}), scale, seed, Path(folder))
        output = trial.run()
        _check_results(task, output, size)
        trial.check_repeats(output)
        trial.check_batch()
        trial.check_kept()
        trial.check_errors()
    return output


class _Trial:
    """A task with what it is tried on.

    Attributes:
        options: Those that are given, with files for pictures in memory.
    """

    def __init__(
        self, task: Task, bundle: Bundle, options: dict[str, Any], scale: int | None, seed: int, folder: Path
    ) -> None:
        self.task, self.bundle, self.scale, self.seed, self.folder = task, bundle, scale, seed, folder
        self.options = self._with_files(options, self._as_file)

    def run(
        self, options: dict[str, Any] | None = None, scale: int | str | None = None, watched: Watched | None = None
    ) -> Output:
        watched = watched or Watched(self.task)
        given = self.options if options is None else options
        with watched.installed():
            where = self.scale if scale is None else scale
            return run(self.bundle, self.task.name, scale=where, seed=self.seed, device="cpu", **given)

    def check_repeats(self, output: Output) -> None:
        """The same, asked for again and in other ways."""
        in_memory = self._with_files(self.options, _in_memory)
        ways: dict[str, Callable[[], Output]] = {
            "the same seed gives other pictures the second time: let all that is random follow from the seed": self.run,
            "a picture in memory gives another result than its file: read_picture takes either": lambda: self.run(
                in_memory
            ),
            "options that were JSON on the way give another result: let a value be a number, a text, a path or several "
            "of these": self._from_json,
        }
        if self.task.injection:
            ways["a scale gives another result in --scale all: let plan not change what was prepared"] = lambda: (
                self._among_all(output)
            )
        for sentence, way in ways.items():
            try:
                difference = _largest(output.arrays, way().arrays)
            except AssertionError:
                raise
            except Exception as error:
                raise AssertionError(f"task {self.task.name}: {sentence} ({_first_line(error)})") from error
            wanted(self.task, difference == 0, sentence)

    def _among_all(self, output: Output) -> Output:
        """The output with the picture of its scale as ``--scale all`` gives it."""
        injection, sizes = self.task.injection, self.bundle.geometry.sizes
        assert injection
        scale = injection.scale(len(sizes), sizes) if self.scale is None else self.scale
        try:
            every = self.run(scale="all").results
        except TaskError:  # with these options there is one scale
            return output
        (one,) = (one for one in every if one.label == f"scale {scale}")
        return replace(output, results=[one, *output.results[1:]])

    def _from_json(self) -> Output:
        """What the request gives after it was JSON, as for another process."""
        path = self.folder / "bundle.sgb"
        self.bundle.save(path)
        with Watched(self.task).installed():
            job = RunJob.of(path, self.task.name, scale=self.scale, seed=self.seed, device="cpu", **self.options)
            return RunJob.model_validate_json(job.model_dump_json()).run()

    def check_batch(self) -> None:
        """Two samples, drawn together and each alone."""
        first = Watched(self.task)
        output = self.run(watched=first)
        finishes = len(output.results) == len(first.planned.samples) > 1
        samples = [*first.planned.samples, max(first.planned.samples) + 1][:2]

        def drawn(part: slice) -> tuple[np.ndarray, list[np.ndarray]]:
            def change(plan: Plan) -> Plan:
                start = plan.start if plan.start is None or len(plan.start) == 1 else plan.start[:2][part]
                return replace(plan, samples=samples[part], start=start, candidates=None)

            watched = (Watched if finishes else Walked)(self.task, change)
            pictures = self.run(watched=watched).arrays
            walked = watched.walked.float()
            return (walked if first.planned.in_bytes else walked * 127.5).numpy(), pictures

        together, pictures = drawn(slice(0, 2))
        alone = [drawn(slice(0, 1)), drawn(slice(1, 2))]
        wanted(
            self.task,
            _largest(list(together), [walked[0] for walked, _ in alone]) <= ROUNDING
            and (not finishes or _largest(pictures, [picture for _, (picture,) in alone]) <= ROUNDING),
            "a sample is another alone than in a batch: neither constraint nor finish mixes samples",
        )

    def check_kept(self) -> None:
        """Transparency and 16 bits of what the task says that it keeps."""
        kept = [name for name in self.task.keeps if self.options.get(name)]
        if not kept:
            return
        for sentence, change, holds in _KEPT:
            given = {name: change(read_picture(self.options[name])) for name in kept}
            try:
                pictures = [result.picture for result in self.run({**self.options, **given}).results]
            except ToolkitError:  # it takes no such picture
                continue
            for picture in pictures:
                wanted(self.task, isinstance(picture, Picture) and holds(picture), f"{sentence} --{kept[0]}")

    def check_errors(self) -> None:
        """Files that cannot be used."""
        text = self.folder / "text.png"
        text.write_text("no picture")
        dot = Picture(np.full((1, 1, 3), 90, np.uint8), "dot.png")
        for option in _file_options(self.task):
            for what, value in (("a file that is no picture", text), ("a picture of one pixel", dot)):
                given = [value] if option.multiple else value
                try:
                    self.run({**self.options, str(option.name): given})
                except (ToolkitError, OSError):
                    continue
                except AssertionError:
                    raise
                except Exception as error:
                    raise AssertionError(
                        f"task {self.task.name}: {what} as {option.opts[0]} raises what is to be a TaskError that "
                        f"tells the user what to change ({_first_line(error)})"
                    ) from error

    def _with_files(self, options: dict[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
        files = {str(option.name) for option in _file_options(self.task)}
        return {
            name: value
            if name not in files or value is None
            else [change(one) for one in value]
            if isinstance(value, (list, tuple))
            else change(value)
            for name, value in options.items()
        }

    def _as_file(self, value: object) -> object:
        if isinstance(value, (str, os.PathLike)):
            return value
        path = self.folder / f"{len(list(self.folder.iterdir()))}.png"
        write_picture(read_picture(value), path)
        return path


def _check_results(task: Task, output: Output, size: tuple[int, int] | None) -> None:
    kind = Clip if task.makes == "clips" else Picture
    for result, pixels in zip(output.results, output.arrays, strict=True):
        wanted(task, isinstance(result.picture, kind), f"makes says {task.makes}, and a result is none of these")
        channels = (3,) if kind is Clip else (1, 2, 3, 4)
        right = pixels.dtype in (np.uint8, np.uint16) and pixels.ndim == (4 if kind is Clip else 3)
        wanted(
            task,
            right and pixels.shape[-1] in channels,
            f"a result is {pixels.dtype} of {pixels.shape}, where uint8 or uint16 of (H, W, C) is wanted",
        )
        now = pixels.shape[-3:-1]
        wanted(task, size is None or now == tuple(size), f"a result is {now} high and wide, where {size} is wanted")


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _file_options(task: Task) -> list[click.Option]:
    return [option for option in task.options if isinstance(option.type, click.Path) and option.type.file_okay]


def _in_memory(value: Any) -> Any:
    try:
        return read_picture(value)
    except ToolkitError:  # a file of another kind
        return value


def _largest(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> float:
    """The largest difference between pictures, in levels of 255; without end where they have other sizes or types."""
    if [(one.shape, one.dtype) for one in first] != [(one.shape, one.dtype) for one in second]:
        return np.inf
    white = 257 if first[0].dtype == np.uint16 else 1
    return max(float(np.abs(one.astype(float) - other).max()) / white for one, other in zip(first, second, strict=True))


def _framed(picture: Picture) -> Picture:
    """The picture with a frame of one pixel that is half transparent."""
    colours = picture.pixels[..., : 1 if picture.grey else 3]
    alpha = np.full((*picture.size, 1), picture.white, picture.pixels.dtype)
    alpha[[0, -1]] = alpha[:, [0, -1]] = picture.white // 2
    return replace(picture, pixels=np.concatenate([colours, alpha], axis=2))


def _deep(picture: Picture) -> Picture:
    """The picture in 16 bits."""
    deep = picture.pixels if picture.white > 255 else picture.pixels.astype(np.uint16) * 257
    return replace(picture, pixels=deep)


_KEPT: list[tuple[str, Callable[[Picture], Picture], Callable[[Picture], object]]] = [
    ("the result is to be as transparent as", _framed, lambda one: one.alpha is not None and one.alpha.min() < 1),
    ("the result is to have the 16 bits of", _deep, lambda one: one.white > 255),
]
