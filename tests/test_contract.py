"""The contract between the toolkit and its plugins: who keeps to it, how a breach is told, and what it promises."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from torch import Tensor

import singan_tk_inpaint
import singan_toolkit as st
from bundle_files import python
from sample_task import Sample
from singan_toolkit.imaging.pictures import read_picture, write_picture
from singan_toolkit.imaging.tensors import to_bytes, to_tensor
from singan_toolkit.pyramid.noise import Gaussian
from singan_toolkit.pyramid.resample import resize
from singan_toolkit.pyramid.walk import reconstruct
from singan_toolkit.tasks import hooks
from singan_toolkit.tasks.manager import installed_plugins
from singan_toolkit.testing import check_task

Options = dict[str, Any]


@pytest.fixture
def given(photo: Path, tmp_path: Path) -> dict[str, Path]:
    """Files to give to tasks: the photo, a change of it, where that is, and something to paste."""
    pixels = read_picture(photo).pixels
    changed, mask, cutout = pixels.copy(), np.zeros((48, 60, 1), np.uint8), np.zeros((10, 10, 4), np.uint8)
    changed[14:22, 14:22] = pixels[20:28, 40:48]
    mask[14:22, 14:22] = 255
    cutout[1:9, 1:9] = 190, 60, 60, 255
    files = {"photo": photo}
    for name, array in (("changed", changed), ("mask", mask), ("cutout", cutout)):
        files[name] = tmp_path / f"{name}.png"
        write_picture(st.Picture(array), files[name])
    return files


SHIPPED: dict[str, list[tuple[Callable[[dict[str, Path]], Options], tuple[int, int]]]] = {
    "animate": [(lambda given: dict(frames=3), (48, 60))],
    "edit": [
        (lambda given: dict(edit=given["changed"], mask=given["mask"]), (48, 60)),
        (lambda given: dict(edit=given["changed"], picture=given["photo"]), (48, 60)),
    ],
    "generate": [
        (lambda given: dict(count=2), (48, 60)),
        (lambda given: dict(variety=[0.2, 0.9], width=50, height=30), (30, 50)),
    ],
    "harmonize": [
        (lambda given: dict(composite=given["changed"], mask=given["mask"], adapt=False), (48, 60)),
        (lambda given: dict(paste=given["cutout"], background=given["photo"], at="13,13", adapt=False), (48, 60)),
    ],
    "inpaint": [(lambda given: dict(picture=given["photo"], mask=given["mask"], count=2), (48, 60))],
    "paint2image": [(lambda given: dict(paint=given["changed"]), (48, 60))],
    "retarget": [
        (lambda given: dict(aspect="2:1", picture=given["photo"]), (38, 76)),
        (lambda given: {"width": 70, "source": "noise"}, (48, 70)),
    ],
    "super-resolution": [(lambda given: dict(factor=1.5, picture=given["photo"]), (72, 90))],
}


@pytest.mark.usefixtures("with_inpaint")
def test_all_that_ship_are_checked() -> None:
    ours = {name for record in installed_plugins().records for name in record.tasks if "singan_tk_" in record.module}
    assert {*ours, "inpaint"} == SHIPPED.keys()


@pytest.mark.usefixtures("with_inpaint")
@pytest.mark.parametrize(("task", "number"), [(task, n) for task, ways in SHIPPED.items() for n in range(len(ways))])
def test_the_tasks_that_ship_keep_to_it(
    singan_bundle: st.Bundle, given: dict[str, Path], task: str, number: int
) -> None:
    options, size = SHIPPED[task][number]
    check_task(installed_plugins().task(task), singan_bundle, options(given), size=size)


def test_a_plugin_of_its_own_says_the_version() -> None:
    assert singan_tk_inpaint.singan_contract in hooks.SUPPORTED


class Redraw(Sample):
    """Redraw a picture."""

    injection = st.Injection(default=0.5)
    keeps = ("picture",)
    options = (
        click.Option(["--picture"], type=click.Path(path_type=Path), required=True),
        click.Option(["--count"], type=int, default=1),
    )

    def prepare(self, bundle: st.Bundle, **options: Any) -> Options:
        return dict(picture=read_picture(options["picture"]), count=options["count"])

    def plan(self, bundle: st.Bundle, *, scale: int, seed: int, **prepared: Any) -> st.Plan:
        picture, geometry = prepared["picture"], bundle.geometry
        return st.Plan(
            geometry.route(scale),
            Gaussian(seed),
            resize(to_tensor(picture.rgb), geometry.entry_size(scale)),
            range(prepared["count"]),
            given=resize(to_tensor(picture.rgb), geometry.finest).clamp(-1, 1),
            material=(bundle, picture),
        )

    def finish(self, walked: Tensor, plan: st.Plan) -> st.Output:
        _, picture = plan.material
        rgb = [one.permute(1, 2, 0).numpy() / 2 + 0.5 for one in resize(walked, picture.size)]
        return st.Output([st.Result(picture.with_rgb(one)) for one in rgb])


def test_one_that_keeps_to_it(singan_bundle: st.Bundle, photo: Path) -> None:
    output = check_task(Redraw(), singan_bundle, dict(picture=photo, count=3), scale=4, seed=5, size=(48, 60))
    assert len(output.results) == 3
    in_memory = check_task(Redraw(), singan_bundle, dict(picture=read_picture(photo)), seed=5, scale=4)
    np.testing.assert_array_equal(output.arrays[0], in_memory.arrays[0])


def test_what_it_cannot_do_is_told_as_ever(singan_bundle: st.Bundle, photo: Path) -> None:
    with pytest.raises(st.TaskError, match="no option 'colour'"):
        check_task(Redraw(), singan_bundle, dict(picture=photo, colour="red"))
    assert "sample" not in installed_plugins().tasks


def planning(change: Callable[[st.Bundle, st.Plan], object]) -> Options:
    """What a task has whose plan is changed."""

    def plan(self: Redraw, bundle: st.Bundle, **given: Any) -> st.Plan:
        made = Redraw.plan(self, bundle, **given)
        changes = change(bundle, made)
        return replace(made, **changes) if isinstance(changes, dict) else made

    return dict(plan=plan)


def finishing(function: Callable[[Tensor, st.Plan], np.ndarray | list[np.ndarray]]) -> Options:
    """What a task has that finishes by a function of the walk's pictures."""

    def finish(self: Redraw, walked: Tensor, plan: st.Plan) -> st.Output:
        arrays = function(walked, plan)
        return st.Output([st.Result(st.Picture(one)) for one in (arrays if isinstance(arrays, list) else [arrays])])

    return dict(finish=finish)


def preparing(function: Callable[[Any], object]) -> Options:
    """What a task has that reads its picture in its own way."""

    def prepare(self: Redraw, bundle: st.Bundle, **options: Any) -> Options:
        function(options["picture"])
        return Redraw.prepare(self, bundle, **options)

    return dict(prepare=prepare)


class Colour(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4 only
    name = "colour"

    def convert(self, value: Any, param: object, ctx: object) -> object:
        return value if isinstance(value, complex) else complex(value)


def parse(picture: object) -> None:
    if isinstance(picture, Path):
        int(picture.read_bytes()[:4] == b"\x89PNG" or "x")


def first_grey(walked: Tensor, plan: st.Plan) -> np.ndarray:
    pixels: np.ndarray = to_bytes(resize(walked, plan.material[1].size)[0])[..., :1]
    return pixels


def of_random(walked: Tensor, plan: st.Plan) -> np.ndarray:
    return np.random.randint(0, 255, (48, 60, 3)).astype(np.uint8)


def writable(self: Redraw, bundle: st.Bundle, **options: Any) -> Options:
    prepared = Redraw.prepare(self, bundle, **options)
    return prepared | dict(picture=st.Picture(prepared["picture"].pixels.copy()))


def brighter(bundle: st.Bundle, plan: st.Plan) -> None:
    plan.material[1].pixels[20:] //= 2


BREACHES: dict[str, tuple[Options, str]] = {
    "no-name": (dict(name="Re Draw"), "needs a name of lower case words"),
    "random": (finishing(of_random), "the same seed gives other pictures"),
    "plan-runs": (planning(lambda bundle, plan: reconstruct(bundle.pyramid("cpu"))), "plan runs a scale"),
    "finish-runs": (
        finishing(lambda walked, plan: to_bytes(reconstruct(plan.material[0].pyramid("cpu"))[0])),
        "finish runs a scale",
    ),
    "constraint-runs": (
        planning(lambda bundle, plan: dict(constraint=lambda one: one + 0 * len(reconstruct(bundle.pyramid("cpu"))))),
        "a constraint runs a scale",
    ),
    "start-of-three": (
        planning(lambda bundle, plan: dict(start=plan.start.repeat(3, 1, 1, 1))),  # type: ignore[union-attr]
        r"Plan.start is \(3, 3, ",
    ),
    "start-in-bytes": (planning(lambda bundle, plan: dict(start=plan.start * 127.0)), "values outside -1..1"),  # type: ignore[operator]
    "given-as-it-came": (
        planning(lambda bundle, plan: dict(given=to_tensor(plan.material[1].rgb)[..., :40])),
        r"Plan.given is \(1, 3, 48, 40\), where the size of the route's last step, 48 high and 60 wide",
    ),
    "focus": (planning(lambda bundle, plan: dict(focus=plan.given[0, 0])), "where bool in the size"),  # type: ignore[index]
    "no-sample": (planning(lambda bundle, plan: dict(samples=())), "one sample at least"),
    "mixing-constraint": (
        planning(lambda bundle, plan: dict(constraint=lambda one: one / len(one))),
        "another alone than in a batch",
    ),
    "mixing-finish": (
        finishing(lambda walked, plan: [to_bytes(one / walked.abs().sum() * 9000) for one in walked]),
        "another alone than in a batch",
    ),
    "prepared-again": (planning(brighter) | dict(prepare=writable), "in --scale all"),
    "clip": (dict(makes="clips"), "makes says clips"),
    "floats": (
        finishing(lambda walked, plan: [one.permute(1, 2, 0).numpy() for one in walked]),
        r"a result is float32 of \(48, 60, 3\)",
    ),
    "size": (finishing(lambda walked, plan: [to_bytes(one)[:20] for one in walked]), r"a result is \(20, 60\) high"),
    "opaque": (finishing(lambda walked, plan: [to_bytes(one) for one in walked]), "as transparent as --picture"),
    "of-8-bits": (
        finishing(lambda walked, plan: [np.dstack([to_bytes(one), np.full((48, 60), 9, np.uint8)]) for one in walked]),
        "the 16 bits of --picture",
    ),
    "path": (preparing(lambda picture: Path(picture).name), "a picture in memory .*read_picture takes either"),
    "value-error": (
        preparing(parse),
        "a file that is no picture as --picture raises what is to be a TaskError .*ValueError",
    ),
    "no-json": (
        dict(options=(*Redraw.options, click.Option(["--colour"], type=Colour(), default="1j"))) | preparing(str),
        "JSON on the way",
    ),
}


@pytest.mark.parametrize("breach", BREACHES)
def test_a_breach_is_told_in_a_sentence(singan_bundle: st.Bundle, photo: Path, breach: str) -> None:
    changes, sentence = BREACHES[breach]
    task = type("Broken", (Redraw,), {"__doc__": "Redraw a picture.", **changes})()
    with pytest.raises(AssertionError, match=f"^task [^\n]*{sentence}[^\n]*$"):
        check_task(task, singan_bundle, dict(picture=photo, count=2), size=(48, 60))


def test_pytest_finds_the_kit_and_starts_as_fast_as_ever() -> None:
    heavy = "{'torch', 'numpy', 'click', 'pydantic', 'PIL'} & sys.modules.keys()"
    assert python(f"import sys, singan_toolkit.testing; print({heavy})") == "set()\n"


def test_nothing_but_the_kit_needs_pytest() -> None:
    """It is no dependency of those who run tasks."""
    room = Path(st.__file__).parent
    importing = {path.parent.name for path in room.rglob("*.py") if "import pytest" in path.read_text()}
    assert importing == {"testing"}


def members(kind: type) -> set[str]:
    return {name for name in {*vars(kind), *kind.__annotations__} if not name.startswith("_")}


def test_what_version_1_promises_is_there() -> None:
    """Whoever takes something away here raises the version of the contract; something new may come at any time."""
    assert {
        *("CONTRACT", "Bundle", "BundleError", "Candidates", "Change", "Edge", "Injected", "Injection", "InputError"),
        *("Output", "Picture", "PictureError", "Plan", "Profile", "Result", "Retraining", "Task", "TaskError"),
        *("ToolkitError", "TrainingError", "UnavailableError", "UsageError", "hookimpl", "load", "run", "train"),
        *("System", "PictureFile", "MaskFile", "PaintedFile", "Position", "Extent", "Angle", "Mirror"),
    } <= set(st.__all__)
    signatures = {
        name: list(inspect.signature(function).parameters)
        for name, function in inspect.getmembers(hooks, inspect.isfunction)
        if name.startswith("singan_")
    }
    promised = {
        "singan_tasks": [],
        "singan_commands": [],
        "singan_engines": [],
        "singan_systems": [],
        "singan_training_event": ["event"],
        "singan_plan": ["task", "bundle", "scale", "seed", "options"],
        "singan_finish": ["task", "walked", "plan"],
    }
    assert {name: signatures.get(name) for name in promised} == promised
    of_task = {"name", "options", "injection", "profile", "makes", "keeps", "prepare", "plan", "finish", "summary"}
    assert of_task <= members(st.Task)
    of_plan = {
        *("route", "noise", "start", "samples", "candidates", "given", "focus", "faithful", "constraint"),
        *("retraining", "in_bytes", "material"),
    }
    assert of_plan <= {field.name for field in fields(st.Plan)}
    assert {"manifest", "tensors", "name", "path", "geometry", "picture", "z_star", "run", "save"} <= members(st.Bundle)
    assert {"pixels", "name", "tags", "size", "white", "grey", "rgb", "alpha", "blank", "with_rgb"} <= members(
        st.Picture
    )
