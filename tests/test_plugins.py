"""Plugins: loading, what a broken one costs, hooks, and a package of somebody else's on the command line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

import singan_toolkit
from singan_toolkit import CONTRACT, Bundle, Plan, Result, hookimpl, run
from singan_toolkit.cli import cli
from singan_toolkit.imaging.pictures import Picture, read_picture, write_picture
from singan_toolkit.tasks.hooks import GROUP, SUPPORTED
from singan_toolkit.tasks.manager import Plugins, installed_plugins, load_plugins
from singan_toolkit.tasks.task import RESERVED
from singan_toolkit.training import events

TASK = '''
import click
from singan_toolkit import Output, Picture, Plan, Result, Task, hookimpl


class Flat(Task):
    """Draw a sample and flatten it."""

    name = "flat"
    options = (click.Option(["--value"], type=int, default=7),)

    def plan(self, bundle, *, scale, seed, value):
        from singan_toolkit.pyramid.noise import Gaussian

        return Plan(bundle.geometry.route(), Gaussian(seed), material=value)

    def finish(self, walked, plan):
        import numpy as np

        return Output([Result(Picture(np.full((4, 5, 3), plan.material, np.uint8)))])


@hookimpl
def singan_tasks():
    return [Flat()]
'''

COMMAND = """
import click
from singan_toolkit import hookimpl


@click.command({name!r})
def command():
    "Greet the world."
    click.echo("hello world")


@hookimpl
def singan_commands():
    return [command]
"""

MakePoint = Callable[..., EntryPoint]


@pytest.fixture
def point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakePoint]:
    """Write a module and get an entry point for it."""
    made: list[str] = []
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(name: str, source: str, attribute: str = "") -> EntryPoint:
        module = f"plugin_{name}_{tmp_path.name}"
        (tmp_path / f"{module}.py").write_text(source)
        made.append(module)
        return EntryPoint(name, f"{module}:{attribute}" if attribute else module, GROUP)

    yield make
    for module in made:
        sys.modules.pop(module, None)


def shipped() -> list[EntryPoint]:
    return [point for point in entry_points(group=GROUP) if point.dist and point.dist.name == "singan-toolkit"]


def error_of(plugins: Plugins, name: str) -> str:
    (record,) = [record for record in plugins.records if record.name == name]
    return record.error


BROKEN = {
    "missing-import": ("import no_such_module_anywhere", "ModuleNotFoundError: .*no_such_module_anywhere"),
    "error-at-import": ("raise RuntimeError('out of luck')", "RuntimeError: out of luck"),
    "exit-at-import": ("import sys\nsys.exit(3)", "SystemExit: 3"),
    "syntax": ("def broken(:", "SyntaxError"),
    "class-instead-of-task": (TASK.replace("[Flat()]", "[Flat]"), "is not a singan_toolkit.Task"),
    "text-instead-of-task": (TASK.replace("[Flat()]", "['flat']"), "'flat' is not a singan_toolkit.Task"),
    "nothing-returned": (TASK.replace("[Flat()]", "None"), "TypeError"),
    "error-in-hook": (TASK.replace("[Flat()]", "1 / 0"), "ZeroDivisionError"),
    "exit-in-hook": (TASK.replace("return [Flat()]", "raise SystemExit(4)"), "SystemExit"),
    "bad-name": (TASK.replace('"flat"', '"Flat Task"'), "name of lower case words"),
    "no-docstring": (TASK.replace("Draw a sample and flatten it.", ""), "docstring"),
    "reserved-option": (TASK.replace("--value", "--seed"), "options that are the toolkit's: seed"),
    "no-command": (COMMAND.format(name="hello").replace("[command]", "[print]"), "not a named click command"),
    "unknown-hook": ("from singan_toolkit import hookimpl\n@hookimpl\ndef singan_tsks(): return []", "singan_tsks"),
    "later-contract": (TASK + f"\nsingan_contract = {CONTRACT + 1}", "update singan-toolkit$"),
    "earlier-contract": (TASK + f"\nsingan_contract = {min(SUPPORTED) - 1}", "version [0-9]+: update the plugin$"),
    "contract-in-words": (TASK + "\nsingan_contract = 'one'", "'one', where the whole number of a version is wanted"),
    "unknown-argument": ("from singan_toolkit import hookimpl\n@hookimpl\ndef singan_plan(colour): pass", "colour"),
}


class TestLoading:
    def test_the_shipped_tasks_come_through_entry_points(self) -> None:
        plugins = load_plugins(shipped())
        assert {"generate", "harmonize"} <= plugins.tasks.keys()
        assert [record.error for record in plugins.records] == [""] * len(plugins.records)
        assert {record.distribution.split()[0] for record in plugins.records} == {"singan-toolkit"}

    def test_nothing_installed(self) -> None:
        assert load_plugins([]).tasks == {}

    def test_good(self, point: MakePoint) -> None:
        good = point("good", TASK)
        plugins = load_plugins([good])
        assert list(plugins.tasks) == ["flat"]
        assert plugins.task("flat").summary == "Draw a sample and flatten it"
        (record,) = plugins.records
        assert (record.name, record.module, record.tasks, record.error) == ("good", good.value, ["flat"], "")

    @pytest.mark.parametrize("version", SUPPORTED)
    def test_every_supported_version_of_the_contract_is_loaded(self, point: MakePoint, version: int) -> None:
        plugins = load_plugins([point("good", TASK + f"\nsingan_contract = {version}\n")])
        assert (list(plugins.tasks), error_of(plugins, "good")) == (["flat"], "")

    def test_entry_point_of_an_object(self, point: MakePoint) -> None:
        source = TASK + "\nclass Plugin:\n    @hookimpl\n    def singan_tasks(self):\n        return [Flat()]\n"
        source += "\nplugin = Plugin()\n"
        assert list(load_plugins([point("good", source, "plugin")]).tasks) == ["flat"]

    @pytest.mark.parametrize("broken", list(BROKEN))
    def test_broken_is_skipped_and_the_others_go_on(self, point: MakePoint, broken: str) -> None:
        source, error = BROKEN[broken]
        plugins = load_plugins([point("aaa", source), *shipped(), point("zzz", TASK)])
        assert re.search(error, error_of(plugins, "aaa"))
        assert installed_plugins().tasks.keys() | {"flat"} == plugins.tasks.keys()
        assert error_of(plugins, "generate") == error_of(plugins, "zzz") == ""

    def test_missing_attribute(self, point: MakePoint) -> None:
        plugins = load_plugins([point("lacking", TASK, "plugin"), *shipped()])
        assert "plugin" in error_of(plugins, "lacking")
        assert "generate" in plugins.tasks

    def test_one_good_task_beside_a_bad_one(self, point: MakePoint) -> None:
        plugins = load_plugins([point("half", TASK.replace("[Flat()]", "[Flat(), 5]"))])
        assert list(plugins.tasks) == ["flat"]
        assert "5 is not a singan_toolkit.Task" in error_of(plugins, "half")

    @pytest.mark.parametrize("backwards", [False, True])
    def test_no_plugin_replaces_a_shipped_task(self, point: MakePoint, backwards: bool) -> None:
        points = [point("aaa", TASK.replace('"flat"', '"generate"')), *shipped()]
        plugins = load_plugins(points[::-1] if backwards else points)
        assert type(plugins.tasks["generate"]).__module__ == "singan_tk_tasks.generate"
        assert error_of(plugins, "aaa") == "task generate is already provided by another plugin"
        assert error_of(plugins, "generate") == ""

    def test_of_two_of_the_same_name_the_first_stays(self, point: MakePoint) -> None:
        plugins = load_plugins([point("second", TASK), point("first", TASK)])
        assert type(plugins.tasks["flat"]).__module__.startswith("plugin_first")
        assert "already provided" in error_of(plugins, "second")

    def test_every_option_of_the_toolkit_is_reserved(self) -> None:
        for task in installed_plugins().tasks.values():
            command = cli.commands["run"].get_command(click.Context(cli), task.name)  # type: ignore[attr-defined]
            theirs = {option.name for option in task.options}
            own = [option for option in command.params if option.name not in theirs]
            assert {name.lstrip("-") for option in own for name in (option.name, *option.opts)} <= RESERVED

    def test_command(self, point: MakePoint) -> None:
        plugins = load_plugins([point("greeter", COMMAND.format(name="hello")), point("other", TASK)])
        assert list(plugins.commands) == ["hello"]
        assert plugins.records[0].commands == ["hello"]
        twice = load_plugins([point("one", COMMAND.format(name="hi")), point("two", COMMAND.format(name="hi"))])
        assert "command hi is already provided" in error_of(twice, "two")

    @pytest.mark.parametrize("name", list(cli.commands))
    def test_no_command_hides_behind_one_of_the_toolkit(self, point: MakePoint, name: str) -> None:
        plugins = load_plugins([point("shadow", COMMAND.format(name=name))])
        assert name in error_of(plugins, "shadow")
        assert plugins.commands == {}

    @pytest.mark.parametrize("option", ["context", "console", "task", "as-json", "options", "command"])
    def test_an_option_arrives_or_is_refused(
        self,
        point: MakePoint,
        option: str,
        tiny_bundle: Bundle,
        tiny_bundle_path: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        source = TASK.replace("--value", f"--{option}").replace("seed, value):", "seed, **given):")
        source = source.replace("material=value", "material=next(iter(given.values()))")
        plugins = load_plugins([point("odd", source)])
        name = option.replace("-", "_")
        if error_of(plugins, "odd"):
            assert name in error_of(plugins, "odd")
            return
        monkeypatch.setitem(installed_plugins().tasks, "flat", plugins.tasks["flat"])
        given: dict[str, Any] = {name: 9}
        assert run(tiny_bundle, "flat", **given).arrays[0].max() == 9
        target = tmp_path / "x.png"
        arguments = ["run", "flat", "--bundle", str(tiny_bundle_path), f"--{option}", "8", "-o", str(target)]
        cli.main(arguments, standalone_mode=False)
        assert read_picture(target).pixels.max() == 8


@contextmanager
def registered(plugin: object) -> Iterator[None]:
    manager = installed_plugins().manager
    manager.register(plugin)
    try:
        yield
    finally:
        manager.unregister(plugin)


class TestHooks:
    def test_wrapping_a_plan(self, tiny_bundle: Bundle) -> None:
        seen = []

        class Four:
            @hookimpl(wrapper=True)
            def singan_plan(self, task: Any, scale: int, seed: int, options: Any) -> Any:
                plan: Plan = yield
                seen.append((task.name, scale, seed, options["count"]))
                return replace(plan, samples=range(4))

        with registered(Four()):
            assert len(run(tiny_bundle, "generate", count=2, seed=3).results) == 4
        assert seen == [("generate", 0, 3, 2)]
        assert len(run(tiny_bundle, "generate", count=2).results) == 2

    def test_wrapping_a_finish(self, tiny_bundle: Bundle) -> None:
        class Inverted:
            @hookimpl(wrapper=True)
            def singan_finish(self, task: Any, walked: Any, plan: Plan) -> Any:
                output = yield
                assert walked.shape[0] == len(plan.samples)
                results = [Result(Picture(255 - one.picture.pixels), f"not {one.label}") for one in output.results]
                return replace(output, results=results, notes=[*output.notes, f"inverted {task.name}"])

        plain = run(tiny_bundle, "generate", seed=3)
        with registered(Inverted()):
            wrapped = run(tiny_bundle, "generate", seed=3)
        np.testing.assert_array_equal(wrapped.arrays[0], 255 - plain.arrays[0])
        assert wrapped.results[0].label == "not 0003"
        assert wrapped.notes == ["inverted generate"]

    def test_wrapping_every_scale_of_all(self, tiny_bundle: Bundle, tmp_path: Path) -> None:
        scales = []

        class Watching:
            @hookimpl(wrapper=True)
            def singan_plan(self, scale: int) -> Any:
                scales.append(scale)
                return (yield)

        pixels = np.zeros((10, 10, 4), np.uint8)
        pixels[2:8, 2:8] = 255
        write_picture(Picture(pixels), tmp_path / "cutout.png")
        with registered(Watching()):
            run(tiny_bundle, "harmonize", adapt=False, paste=tmp_path / "cutout.png", scale="all")
        assert scales == list(range(1, len(tiny_bundle.geometry.sizes)))

    def test_a_plugin_s_wrapper_takes_part(self, point: MakePoint) -> None:
        source = TASK + (
            "\n@hookimpl(wrapper=True)\ndef singan_plan(task):\n    yield\n    return 'wrapped ' + task.name\n"
            "\n@hookimpl(wrapper=True)\ndef singan_finish():\n    yield\n    return 'wrapped finish'\n"
        )
        plugins = load_plugins([point("wrapping", source)])
        hook, task = plugins.manager.hook, plugins.tasks["flat"]

        class Anything:
            class geometry:
                @staticmethod
                def route() -> tuple[int, ...]:
                    return (1,)

        arguments: dict[str, Any] = dict(bundle=Anything, scale=0, seed=0, options={"value": 3})
        assert hook.singan_plan(task=task, **arguments) == "wrapped flat"
        plan = task.plan(Anything, scale=0, seed=0, value=3)  # type: ignore[arg-type]
        assert hook.singan_finish(task=task, walked=None, plan=plan) == "wrapped finish"


class TestObservers:
    @staticmethod
    def train(photo: Path, tiny_settings: dict[str, Any], **options: Any) -> Bundle:
        changes = {**tiny_settings, "max_size": 16, "iterations": 2, "finest_iterations": 2, "pool_pixels": 0}
        return singan_toolkit.train(photo, preset="draft", device="cpu", **changes, **options)

    def test_training_is_observed(self, photo: Path, tiny_settings: dict[str, Any]) -> None:
        seen: list[events.Event] = []
        own: list[events.Event] = []

        class Observer:
            @hookimpl
            def singan_training_event(self, event: events.Event) -> None:
                seen.append(event)

        with registered(Observer()):
            bundle = self.train(photo, tiny_settings, observer=own.append)
        assert seen == own
        assert isinstance(seen[0], events.TrainingStarted)
        assert seen[0].sizes == bundle.geometry.sizes
        finished = [event.scale for event in seen if isinstance(event, events.ScaleFinished)]
        assert finished == list(range(len(bundle.geometry.sizes)))
        assert isinstance(seen[-1], events.ScaleFinished)

    @pytest.mark.filterwarnings("ignore:.*no disk to log to")
    @pytest.mark.parametrize("error", [RuntimeError, SystemExit])
    def test_a_broken_observer_does_not_cost_the_training(
        self, photo: Path, tiny_settings: dict[str, Any], error: type[BaseException]
    ) -> None:
        class Broken:
            @hookimpl
            def singan_training_event(self) -> None:
                raise error("no disk to log to")

        with registered(Broken()):
            assert self.train(photo, tiny_settings).manifest.scales


def install(folder: Path, name: str, version: str, points: dict[str, str], modules: dict[str, str]) -> None:
    """Lay a package out as pip would."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [f"[{GROUP}]", *(f"{point} = {value}" for point, value in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    for module, source in modules.items():
        (folder / f"{module}.py").write_text(source)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example of the documentation, a package that greets, and a broken one."""
    folder = tmp_path_factory.mktemp("site")
    page = Path(__file__).parents[1] / "docs" / "plugins.md"
    found = re.search(r"```python\n(# singan_tk_mirror\.py\n.*?)```", page.read_text(), re.DOTALL)
    assert found, "docs/plugins.md lost its example"
    install(folder, "singan-tk-mirror", "1.0", {"mirror": "singan_tk_mirror"}, {"singan_tk_mirror": found[1]})
    install(folder, "greeter", "2.1", {"greeter": "greeter"}, {"greeter": COMMAND.format(name="hello")})
    points = {"broken": "broken_plugin", "leaving": "leaving_plugin"}
    sources = {"broken_plugin": "import no_such_module_anywhere", "leaving_plugin": "raise SystemExit('[bye]')"}
    install(folder, "broken", "0.3", points, sources)
    return folder


@pytest.fixture
def command(site: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``singan-tk`` where those packages are installed."""

    def call(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH", "")]))
        environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "COLUMNS": "100"}
        script = Path(sys.executable).with_name("singan-tk")
        return subprocess.run(
            [script, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
        )

    return call


Command = Callable[..., "subprocess.CompletedProcess[str]"]


class TestInstalledPackage:
    def test_tasks(self, command: Command) -> None:
        done = command("tasks")
        assert done.returncode == 0
        assert done.stderr == ""
        rows = [line.split("\t") for line in done.stdout.splitlines()]
        summary = "Redraw a picture, mirrored, in the style of the training picture"
        assert ["mirror", summary, "singan-tk-mirror 1.0"] in rows
        assert {"generate", "harmonize", "mirror"} <= {name for name, *_ in rows}

    def test_plugins(self, command: Command) -> None:
        done = command("plugins")
        assert done.returncode == 0
        rows = {name: rest for name, *rest in (line.split("\t") for line in done.stdout.splitlines())}
        assert rows["mirror"] == ["singan-tk-mirror 1.0", "mirror", "ok"]
        assert rows["greeter"] == ["greeter 2.1", "singan-tk hello", "ok"]
        assert rows["generate"][-1] == "ok"
        assert rows["broken"][0] == "broken 0.3"
        assert re.fullmatch(r"skipped: .*no_such_module_anywhere.*", rows["broken"][-1])
        assert re.fullmatch(r"skipped: .*\[bye\].*", rows["leaving"][-1])

    def test_added_command(self, command: Command) -> None:
        done = command("hello")
        assert (done.returncode, done.stdout) == (0, "hello world\n")
        assert "hello" in command("--help").stdout

    def test_help(self, command: Command) -> None:
        done = command("run", "mirror", "--help")
        assert done.returncode == 0
        words = " ".join(re.sub(r"[│╭╮╰╯─]", " ", done.stdout).split())
        for expected in ("Redraw a picture, mirrored", "--picture", "What to mirror.", "--scale", "--bundle", "--seed"):
            assert expected in words
        assert "50% of the way up" in words
        assert "mirror" in command("run").stdout

    def test_missing_option(self, command: Command, tiny_bundle_path: Path) -> None:
        done = command("run", "mirror", "--bundle", tiny_bundle_path)
        assert done.returncode == 2
        assert "Missing option '--picture'" in done.stderr

    @pytest.mark.slow
    def test_run(self, command: Command, tiny_bundle_path: Path, photo: Path, tmp_path: Path) -> None:
        done = command("run", "mirror", "--bundle", tiny_bundle_path, "--picture", photo, "--scale", "4", "-o", "m.png")
        assert (done.returncode, done.stdout, done.stderr) == (0, "m.png\n", "")
        mirrored = read_picture(tmp_path / "m.png")
        bundle = singan_toolkit.load(tiny_bundle_path)
        assert mirrored.size == bundle.geometry.finest
        original = bundle.picture.astype(int)
        near = np.abs(mirrored.pixels - original[:, ::-1]).mean()
        assert near < 0.8 * np.abs(mirrored.pixels - original).mean()
