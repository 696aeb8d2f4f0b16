"""Tasks: what they must have, their options, running and training for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import click
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import singan_toolkit
from sample_task import Sample, difference, pixels_of, with_options
from singan_toolkit import Bundle, Injection, Picture, PictureError, Plan, Profile, Task, TaskError, run
from singan_toolkit.imaging.pictures import write_picture
from singan_toolkit.pyramid.noise import Gaussian
from singan_toolkit.tasks import runner
from singan_toolkit.tasks.manager import installed_plugins
from singan_toolkit.tasks.options import complete_options
from singan_toolkit.tasks.task import RESERVED, problem_with


class TestInjection:
    def test_default_by_pixels(self) -> None:
        sizes = [(20, 10), (60, 30), (240, 120), (300, 150)]
        chosen = [Injection(1.0, pixels=pixels).scale(4, sizes) for pixels in (10, 60, 250, 999)]
        assert chosen == [1, 1, 3, 3]

    @pytest.mark.parametrize(
        ("injection", "scales", "expected"),
        [
            (Injection(0.6), 9, 5),
            (Injection(0.0), 5, 1),
            (Injection(0.0, lowest=0), 5, 0),
            (Injection(1.0), 5, 4),
            (Injection(1), 5, 1),
            (Injection(3), 9, 3),
            (Injection(7), 5, 4),
            (Injection(0.5, lowest=4), 6, 4),
        ],
    )
    def test_default(self, injection: Injection, scales: int, expected: int) -> None:
        assert injection.scale(scales) == expected

    def test_admitted(self) -> None:
        assert list(Injection(0.5).admitted(5)) == [1, 2, 3, 4]
        assert list(Injection(0.5, lowest=0).admitted(3)) == [0, 1, 2]
        assert list(Injection(0.5, lowest=7).admitted(3)) == [2]

    @given(
        st.one_of(st.integers(0, 12), st.floats(0, 1)),
        st.integers(0, 12),
        st.integers(1, 12),
    )
    def test_default_is_admitted(self, default: int | float, lowest: int, scales: int) -> None:
        injection = Injection(default, lowest)
        assert injection.scale(scales) in injection.admitted(scales)


class TestProblem:
    def test_none(self) -> None:
        assert problem_with(Sample()) is None
        assert problem_with(with_options(click.Option(["--strength"]))) is None

    @pytest.mark.parametrize("thing", [None, "sample", Sample, object()])
    def test_not_a_task(self, thing: object) -> None:
        assert "is not a singan_toolkit.Task" in str(problem_with(thing))

    @pytest.mark.parametrize("bad", ["", "Sample", "two words", "-x", "x-", "a--b", "a_b", "a/b", "ä", "1st", "run\n"])
    def test_name(self, bad: str) -> None:
        class Named(Sample):
            """Draw one sample."""

            name = bad

        assert "name" in str(problem_with(Named()))

    def test_no_name(self) -> None:
        class Nameless(Task):
            """Draw one sample."""

            plan = Sample.plan
            finish = Sample.finish

        assert "name" in str(problem_with(Nameless()))

    @pytest.mark.parametrize("text", [None, "", "\n  \n"])
    def test_no_docstring(self, text: str | None) -> None:
        silent = type("Silent", (Sample,), {"__doc__": text})
        assert "docstring" in str(problem_with(silent()))

    def test_summary_is_the_first_sentence_line(self) -> None:
        assert Sample().summary == "Draw one sample. Nothing else"

    @pytest.mark.parametrize("name", sorted(RESERVED))
    def test_reserved_option(self, name: str) -> None:
        assert name in str(problem_with(with_options(click.Option([f"--{name}"]))))

    @pytest.mark.parametrize(
        "flags", [["-o", "--offset"], ["-b", "--blur"], ["-q", "--quality"], ["--output", "target"]]
    )
    def test_reserved_flag(self, flags: list[str]) -> None:
        assert problem_with(with_options(click.Option(flags))) is not None


class TestOptions:
    @pytest.mark.parametrize("name", ["generate", "harmonize"])
    def test_defaults_are_the_command_line_s(self, name: str) -> None:
        task = installed_plugins().tasks[name]
        assert (
            complete_options(task, {}) == click.Command(name, params=list(task.options)).make_context(name, []).params
        )

    @pytest.mark.parametrize(
        ("option", "arguments", "given", "value"),
        [
            (click.Option(["--size"], type=int), ["--size", "3"], {"size": 3}, 3),
            (click.Option(["--size"], type=int), ["--size", "3"], {"size": "3"}, 3),
            (click.Option(["--size"], type=int), [], {"size": None}, None),
            (click.Option(["--size"], type=int, default=4), [], {}, 4),
            (click.Option(["--ratio"], type=float, default="1.5"), [], {}, 1.5),
            (click.Option(["--loop"], is_flag=True), ["--loop"], {"loop": True}, True),
            (click.Option(["--loop"], is_flag=True), [], {}, False),
            (click.Option(["--loop/--once"], default=True), [], {}, True),
            (click.Option(["--tag"], multiple=True), ["--tag", "a", "--tag", "b"], {"tag": ["a", "b"]}, ("a", "b")),
            (click.Option(["--tag"], multiple=True), [], {}, ()),
            (click.Option(["--box"], nargs=2, type=int), ["--box", "1", "2"], {"box": (1, 2)}, (1, 2)),
            (click.Option(["--kind"], type=click.Choice(["a", "b"])), ["--kind", "b"], {"kind": "b"}, "b"),
            (click.Option(["--kind"], default=lambda: "late"), [], {}, "late"),
            (click.Option(["--file"], type=click.Path(path_type=Path)), ["--file", "x"], {"file": "x"}, Path("x")),
            (click.Option(["--start-at"], type=int), ["--start-at", "1"], {"start_at": 1}, 1),
        ],
    )
    def test_same_as_on_the_command_line(
        self, option: click.Option, arguments: list[str], given: dict[str, Any], value: Any
    ) -> None:
        task = with_options(option)
        parsed = click.Command("sample", params=[option]).make_context("sample", list(arguments)).params
        completed = complete_options(task, given)
        assert completed == parsed == {option.name: value}
        assert type(completed[str(option.name)]) is type(value)

    def test_unknown(self) -> None:
        with pytest.raises(TaskError, match=r"sample has no option 'colour'; it has size"):
            complete_options(with_options(click.Option(["--size"])), {"colour": 1})

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            (click.Option(["--size"], type=int), "three"),
            (click.Option(["--size"], type=click.IntRange(1)), 0),
            (click.Option(["--kind"], type=click.Choice(["a", "b"])), "c"),
            (click.Option(["--box"], nargs=2, type=int), (1, 2, 3)),
        ],
    )
    def test_wrong_value(self, option: click.Option, value: Any) -> None:
        with pytest.raises(TaskError, match=rf"sample: .*--{option.name}"):
            complete_options(with_options(option), {str(option.name): value})

    def test_missing(self) -> None:
        with pytest.raises(TaskError, match=r"sample: .*[Mm]issing.*--size"):
            complete_options(with_options(click.Option(["--size"], required=True)), {})


class TestRun:
    def test_unknown_task(self, tiny_bundle: Bundle) -> None:
        with pytest.raises(TaskError, match="no task 'paint': did you mean paint2image"):
            run(tiny_bundle, "paint")

    def test_unknown_option(self, tiny_bundle: Bundle) -> None:
        with pytest.raises(TaskError, match=r"generate has no option 'number'; it has count"):
            run(tiny_bundle, "generate", number=3)

    def test_unknown_device(self, tiny_bundle: Bundle) -> None:
        with pytest.raises(ValueError, match="device 'abacus'"):
            run(tiny_bundle, "generate", device="abacus")

    def test_options_arrive(self, tiny_bundle: Bundle, install: Any) -> None:
        seen = []

        class Asking(Sample):
            """Draw one sample."""

            options = (click.Option(["--start-at"], type=int, default=4), click.Option(["--loop"], is_flag=True))

            def plan(self, bundle: Bundle, *, scale: int, seed: int, **options: Any) -> Plan:
                seen.append((bundle, scale, seed, options))
                return super().plan(bundle, scale=scale, seed=seed, **options)

        install(Asking())
        run(tiny_bundle, "sample", seed=9, start_at="7")
        assert seen == [(tiny_bundle, 0, 9, {"start_at": 7, "loop": False})]

    def test_small_batches_draw_the_same(self, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
        together = pixels_of(run(tiny_bundle, "generate", count=3))
        monkeypatch.setattr(runner, "BATCH_PIXELS", 1)
        for one, other in zip(together, pixels_of(run(tiny_bundle, "generate", count=3)), strict=True):
            assert difference(one, other).max() <= 1

    def test_each_sample_may_start_from_a_picture_of_its_own(
        self, tiny_bundle: Bundle, install: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        starts = torch.tensor([-0.8, 0.0, 0.8])[:, None, None, None].expand(3, 3, 8, 8)

        class Started(Sample):
            """Draw three samples."""

            def plan(self, bundle: Bundle, *, scale: int, seed: int, **options: Any) -> Plan:
                last = len(bundle.geometry.sizes) - 1
                return Plan(bundle.geometry.route(last), Gaussian(seed), start=starts, samples=range(3))

        install(Started())
        together = run(tiny_bundle, "sample").arrays
        assert together[0].mean() + 30 < together[1].mean() < together[2].mean() - 30
        monkeypatch.setattr(runner, "BATCH_PIXELS", 1)
        for one, other in zip(together, run(tiny_bundle, "sample").arrays, strict=True):
            assert difference(one, other).max() <= 1

    def test_auto_needs_something_given(self, tiny_bundle: Bundle, install: Any) -> None:
        class Injected(Sample):
            """Draw one sample."""

            injection = Injection(0.5)

        install(Injected())
        assert len(run(tiny_bundle, "sample", scale=2).results) == 1
        with pytest.raises(TaskError, match="cannot choose its scale"):
            run(tiny_bundle, "sample", scale="auto")


class TestTrain:
    quick: ClassVar[dict[str, Any]] = dict(max_size=16, iterations=2, finest_iterations=2, pool_pixels=0)

    def test_the_profile_is_laid_under_single_settings(
        self, photo: Path, tiny_settings: dict[str, Any], install: Any
    ) -> None:
        class Profiled(Sample):
            """Draw one sample."""

            profile = Profile({"channels": 5, "max_channels": 6})

        install(Profiled())
        changes = {**tiny_settings, **self.quick}
        del changes["channels"]
        bundle = singan_toolkit.train(photo, preset="draft", task="sample", device="cpu", **changes)
        training = bundle.manifest.training
        assert (training.task, training.preset, training.picture) == ("sample", "draft", photo.name)
        assert training.settings["channels"] == 5
        assert training.settings["max_channels"] == tiny_settings["max_channels"]
        assert {scale.channels for scale in bundle.manifest.scales} == {5}

    def test_unknown_task(self, photo: Path) -> None:
        with pytest.raises(TaskError, match="no task 'paint'"):
            singan_toolkit.train(photo, task="paint")

    def test_unknown_setting(self, photo: Path) -> None:
        with pytest.raises(ValueError, match="colour"):
            singan_toolkit.train(photo, colour=3)

    def test_not_a_picture(self, tmp_path: Path) -> None:
        (tmp_path / "x.png").write_text("no picture")
        with pytest.raises(PictureError, match=r"x\.png"):
            singan_toolkit.train(tmp_path / "x.png")

    def test_partly_transparent(self, tmp_path: Path) -> None:
        pixels = np.full((40, 40, 4), 255, np.uint8)
        pixels[:10, :, 3] = 0
        write_picture(Picture(pixels), tmp_path / "x.png")
        with pytest.raises(PictureError, match=r"x\.png is transparent in 25%"):
            singan_toolkit.train(tmp_path / "x.png")
