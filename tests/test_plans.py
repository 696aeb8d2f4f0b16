"""A task plans and never runs a generator; what is drawn and chosen is the runner's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

from sample_task import with_options
from singan_toolkit import Bundle, Candidates, hookimpl, run
from singan_toolkit.imaging.pictures import Picture, read_picture, write_picture
from singan_toolkit.imaging.tensors import to_tensor
from singan_toolkit.pyramid import walk
from singan_toolkit.pyramid.layout import most_typical
from singan_toolkit.pyramid.networks import Generator
from singan_toolkit.pyramid.noise import Gaussian
from singan_toolkit.pyramid.patch_scale import PatchScale
from singan_toolkit.tasks.manager import installed_plugins
from singan_toolkit.tasks.options import complete_options

OPTIONS: dict[str, dict[str, Any]] = {
    "animate": {"frames": 3},
    "edit": {"edit": "other", "mask": "mask"},
    "generate": {"count": 2},
    "harmonize": {"composite": "other", "mask": "mask"},
    "inpaint": {"mask": "mask"},
    "paint2image": {"paint": "other", "quantize": True},
    "retarget": {"aspect": "2:1"},
    "super-resolution": {"factor": 2},
}


@pytest.fixture
def bundle(request: pytest.FixtureRequest) -> Bundle:
    found: Bundle = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def files(bundle: Bundle, tmp_path: Path) -> dict[str, Path]:
    height, width = bundle.geometry.finest
    mask = np.zeros((height, width, 1), np.uint8)
    mask[5:15, 5:15] = 255
    for name, pixels in (("mask", mask), ("other", bundle.picture[::-1])):
        write_picture(Picture(np.ascontiguousarray(pixels)), tmp_path / f"{name}.png")
    return {name: tmp_path / f"{name}.png" for name in ("mask", "other")}


@pytest.mark.usefixtures("with_inpaint")
@pytest.mark.parametrize("bundle", ["tiny_bundle", "patch_bundle"], indirect=True)
@pytest.mark.parametrize("name", OPTIONS)
def test_no_task_runs_a_generator(
    bundle: Bundle, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    task = installed_plugins().task(name)

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a task runs a generator")

    monkeypatch.setattr(Generator, "forward", forbidden)
    monkeypatch.setattr(PatchScale, "apply", forbidden)
    monkeypatch.setattr(walk.Scale, "apply", forbidden)
    options = {key: files.get(str(value), value) for key, value in OPTIONS[name].items()}
    scale = task.injection.scale(len(bundle.geometry.sizes), bundle.geometry.sizes) if task.injection else 0
    task.plan(bundle, scale=scale, seed=0, **task.prepare(bundle, **complete_options(task, options)))


@pytest.mark.usefixtures("with_inpaint")
@pytest.mark.parametrize("bundle", ["tiny_bundle"], indirect=True)
@pytest.mark.parametrize("name", ["edit", "harmonize", "inpaint", "paint2image"])
def test_files_are_read_once_for_all_scales(
    bundle: Bundle, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    read: list[object] = []

    def counted(source: object) -> Picture:
        read.append(source)
        return read_picture(source)

    monkeypatch.setattr("singan_toolkit.imaging.pictures.read_picture", counted)
    options: dict[str, Any] = {key: files[value] for key, value in OPTIONS[name].items() if value in files}
    options |= {"adapt": False} if name == "harmonize" else {}
    made = run(bundle, name, scale="all", **options)
    assert len(made.results) == len(bundle.geometry.sizes) - 1
    assert sorted(map(str, read)) == sorted(map(str, options.values() if name != "harmonize" else files.values()))


def test_a_task_that_prepares_nothing_plans_with_its_options(tiny_bundle: Bundle, install: Any) -> None:
    install(with_options(click.Option(["--colour"], default="red")))
    task = installed_plugins().task("sample")
    prepared = task.prepare(tiny_bundle, **complete_options(task, {}))
    assert task.plan(tiny_bundle, scale=0, seed=0, **prepared).material == {"colour": "red"}


def test_all_tasks_that_ship_are_tried() -> None:
    assert installed_plugins().tasks.keys() <= OPTIONS.keys()


def test_layouts_are_chosen_for_the_samples_that_a_wrapper_leaves(tiny_bundle: Bundle) -> None:
    class Wrapper:
        @hookimpl(wrapper=True)
        def singan_plan(self, task: Any) -> Any:
            plan = yield
            assert plan.candidates == Candidates(8, Gaussian(3))
            return replace(plan, samples=range(2, 4))

    expected = run(tiny_bundle, "generate", count=4, seed=3).arrays[2:]
    manager = installed_plugins().manager
    manager.register(Wrapper(), "wrapper")
    try:
        np.testing.assert_array_equal(run(tiny_bundle, "generate", seed=3).arrays, expected)
    finally:
        manager.unregister(name="wrapper")


def test_no_layout_is_chosen_where_none_holds_a_patch(tiny_bundle: Bundle) -> None:
    pyramid = tiny_bundle.pyramid("cpu")
    route = pyramid.geometry.route(finest=(6, 300))
    assert most_typical(pyramid, to_tensor(tiny_bundle.picture), route, Gaussian(), [4], 8) == [4]
