"""What a task is, how its options are completed, and what the shipped tasks do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import click
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import singan_toolkit
from singan_toolkit import Bundle, Injection, Output, Picture, PictureError, Plan, Profile, Result, Task, TaskError, run
from singan_toolkit.imaging.pictures import read_picture, write_picture
from singan_toolkit.imaging.tensors import to_bytes, to_tensor
from singan_toolkit.pyramid.noise import Gaussian
from singan_toolkit.pyramid.walk import reconstruct
from singan_toolkit.tasks import runner
from singan_toolkit.tasks.choose import Candidate, choose
from singan_toolkit.tasks.manager import installed_plugins
from singan_toolkit.tasks.options import complete_options
from singan_toolkit.tasks.task import RESERVED, problem_with


class Sample(Task):
    """Draw one sample. Nothing else."""

    name = "sample"

    def plan(self, bundle: Bundle, *, scale: int, seed: int, **options: Any) -> Plan:
        return Plan(bundle.geometry.route(scale), Gaussian(seed), material=options)

    def finish(self, walked: torch.Tensor, plan: Plan) -> Output:
        return Output([Result(Picture(to_bytes(one))) for one in walked])


def with_options(*options: click.Option) -> Task:
    chosen = options

    class WithOptions(Sample):
        """Draw one sample."""

        options: ClassVar[Sequence[click.Option]] = chosen

    return WithOptions()


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put a task among the installed ones for one test."""
    return lambda task: monkeypatch.setitem(installed_plugins().tasks, task.name, task)


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


def pixels_of(output: Output) -> list[np.ndarray]:
    return output.arrays


def difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    distance: np.ndarray = np.abs(first.astype(int) - second.astype(int))
    return distance


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


class TestGenerate:
    def test_count_and_size(self, tiny_bundle: Bundle) -> None:
        output = run(tiny_bundle, "generate", count=3, seed=4)
        assert [result.label for result in output.results] == ["0004", "0005", "0006"]
        first, second, third = pixels_of(output)
        assert first.shape == tiny_bundle.picture.shape
        assert first.dtype == np.uint8
        assert difference(first, second).max() > 1
        assert difference(second, third).max() > 1

    def test_sample_of_a_seed_is_the_next_seed_s_first(self, tiny_bundle: Bundle) -> None:
        together = pixels_of(run(tiny_bundle, "generate", count=3, seed=11))
        alone = [pixels_of(run(tiny_bundle, "generate", seed=seed))[0] for seed in (11, 12, 13)]
        assert max(difference(one, other).max() for one, other in zip(together, alone, strict=True)) <= 1
        assert difference(alone[0], alone[1]).max() > 1

    def test_the_same_seed_draws_the_same(self, tiny_bundle: Bundle) -> None:
        once, again = (pixels_of(run(tiny_bundle, "generate", seed=3))[0] for _ in range(2))
        np.testing.assert_array_equal(once, again)

    @pytest.mark.parametrize(
        ("size", "expected"),
        [({"width": 64}, (32, 64)), ({"height": 25}, (25, 40)), ({"width": 31, "height": 57}, (57, 31))],
    )
    def test_other_sizes(self, tiny_bundle: Bundle, size: dict[str, Any], expected: tuple[int, int]) -> None:
        assert tiny_bundle.geometry.finest == (32, 40)
        (pixels,) = tiny_bundle.run("generate", **size)
        assert pixels.shape[:2] == expected

    def test_start_scale_keeps_what_is_coarser(self, tiny_bundle: Bundle) -> None:
        top = len(tiny_bundle.geometry.sizes) - 1
        rebuilt = to_bytes(reconstruct(tiny_bundle.pyramid("cpu"))[0])
        near, far = (
            np.mean([difference(one, rebuilt).mean() for one in pixels_of(output)])
            for output in (run(tiny_bundle, "generate", count=3, start_scale=start) for start in (top, 0))
        )
        assert near < 4
        assert far > 2 * near

    def test_start_scale_still_varies(self, tiny_bundle: Bundle) -> None:
        first, second = pixels_of(run(tiny_bundle, "generate", count=2, start_scale=1))
        assert difference(first, second).max() > 1

    def test_start_scale_and_size(self, tiny_bundle: Bundle) -> None:
        with pytest.raises(TaskError, match="start scale"):
            run(tiny_bundle, "generate", start_scale=1, width=64)
        height, width = tiny_bundle.geometry.finest
        assert run(tiny_bundle, "generate", start_scale=1, width=width, height=height).results

    def test_start_scale_that_is_not_there(self, tiny_bundle: Bundle) -> None:
        top = len(tiny_bundle.geometry.sizes) - 1
        with pytest.raises(TaskError, match=f"no scale {top + 1} .* 0 to {top}"):
            run(tiny_bundle, "generate", start_scale=top + 1)

    @pytest.mark.parametrize("scale", [1, "auto", "all"])
    def test_takes_no_injection_scale(self, tiny_bundle: Bundle, scale: int | str) -> None:
        with pytest.raises(TaskError, match="no injection scale"):
            run(tiny_bundle, "generate", scale=scale)

    @pytest.mark.parametrize("options", [{"count": 0}, {"count": "many"}, {"width": 3}, {"start_scale": -1}])
    def test_wrong_values(self, tiny_bundle: Bundle, options: dict[str, Any]) -> None:
        with pytest.raises(TaskError, match="generate: "):
            run(tiny_bundle, "generate", **options)


@pytest.fixture(scope="session")
def cutout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An opaque red rectangle of 12x8 pixels in a transparent frame."""
    pixels = np.zeros((14, 10, 4), np.uint8)
    pixels[1:-1, 1:-1] = 250, 20, 20, 255
    path = tmp_path_factory.mktemp("cutout") / "cutout.png"
    write_picture(Picture(pixels), path)
    return path


def composite(folder: Path, height: int, width: int, channels: int, dtype: Any) -> tuple[Path, Path, np.ndarray]:
    """A noisy picture with an object, its mask, and where pixels lie so far off that they must stay."""
    pixels = np.random.default_rng(3).integers(0, np.iinfo(dtype).max, (height, width, channels), dtype, endpoint=True)
    mask = np.zeros((height, width), bool)
    mask[height // 2 : height // 2 + 8, width // 4 : width // 4 + 10] = True
    write_picture(Picture(pixels), folder / "composite.tif")
    write_picture(Picture(mask[..., None].astype(np.uint8) * 255), folder / "mask.png")
    reach = int(0.05 * max(height, width)) + 1
    far = np.ones_like(mask)
    top, left = max(height // 2 - reach, 0), max(width // 4 - reach, 0)
    far[top : height // 2 + 8 + reach, left : width // 4 + 10 + reach] = False
    return folder / "composite.tif", folder / "mask.png", far


class TestHarmonize:
    @pytest.mark.parametrize(
        ("height", "width", "channels", "dtype"),
        [
            (32, 40, 3, np.uint8),
            (61, 83, 3, np.uint8),
            (61, 83, 3, np.uint16),
            (90, 50, 4, np.uint8),
            (50, 90, 4, np.uint16),
            (48, 60, 1, np.uint8),
            (48, 60, 1, np.uint16),
            (48, 60, 2, np.uint8),
            (30, 36, 3, np.uint8),
            (600, 3000, 3, np.uint8),
            (3000, 400, 4, np.uint16),
        ],
    )
    def test_composite_stays_outside_the_mask(
        self, tiny_bundle: Bundle, tmp_path: Path, height: int, width: int, channels: int, dtype: Any
    ) -> None:
        picture, mask, far = composite(tmp_path, height, width, channels, dtype)
        given = read_picture(picture).pixels
        (changed,) = pixels_of(run(tiny_bundle, "harmonize", adapt=False, composite=picture, mask=mask))
        assert changed.dtype == dtype
        assert changed.shape == given.shape
        np.testing.assert_array_equal(changed[far], given[far])
        if channels in (2, 4):
            np.testing.assert_array_equal(changed[far][..., -1], given[far][..., -1])
        inside = read_picture(mask).pixels[..., 0] > 0
        assert (changed[inside] != given[inside]).any(axis=-1).mean() > 0.5

    def test_paste_on_the_training_picture(self, tiny_bundle: Bundle, cutout: Path) -> None:
        (changed,) = pixels_of(run(tiny_bundle, "harmonize", adapt=False, paste=cutout, at="4,6"))
        assert changed.shape == tiny_bundle.picture.shape
        far = np.ones(changed.shape[:2], bool)
        far[6 - 3 : 18 + 3, 4 - 3 : 12 + 3] = False
        np.testing.assert_array_equal(changed[far], tiny_bundle.picture[far])
        assert difference(changed[6:18, 4:12], tiny_bundle.picture[6:18, 4:12]).mean() > 10
        assert difference(changed[6:18, 4:12], np.array([250, 20, 20])).max() > 0

    def test_paste_on_a_background(self, tiny_bundle: Bundle, cutout: Path, tmp_path: Path) -> None:
        path = tmp_path / "background.tif"
        pixels = np.random.default_rng(0).integers(0, 65535, (60, 80, 4), np.uint16)
        write_picture(Picture(pixels), path)
        output = run(
            tiny_bundle,
            "harmonize",
            adapt=False,
            paste=cutout,
            background=path,
            at="top-right",
            size="10x20",
            feather=1,
        )
        (changed,) = pixels_of(output)
        assert changed.dtype == np.uint16
        np.testing.assert_array_equal(changed[23:], pixels[23:])
        np.testing.assert_array_equal(changed[:, :67], pixels[:, :67])
        assert (changed[:20, 70:, :3] != pixels[:20, 70:, :3]).any(axis=-1).mean() > 0.9

    def test_paste_with_a_mask(self, tiny_bundle: Bundle, tmp_path: Path) -> None:
        picture, mask, _ = composite(tmp_path, 20, 24, 3, np.uint8)
        with pytest.raises(PictureError, match="no transparency"):
            run(tiny_bundle, "harmonize", adapt=False, paste=picture)
        (changed,) = pixels_of(run(tiny_bundle, "harmonize", adapt=False, paste=picture, mask=mask, at="top-left"))
        assert difference(changed[:8, :10], tiny_bundle.picture[:8, :10]).mean() > 10
        np.testing.assert_array_equal(changed[12:], tiny_bundle.picture[12:])

    def test_feather_widens_the_edge(self, tiny_bundle: Bundle, cutout: Path) -> None:
        counts = [
            (
                pixels_of(run(tiny_bundle, "harmonize", adapt=False, paste=cutout, feather=feather))[0]
                != tiny_bundle.picture
            ).sum()
            for feather in (0, 3, 9)
        ]
        assert counts == sorted(set(counts))

    def test_a_large_cutout_is_noted(self, tiny_bundle: Bundle, tmp_path: Path) -> None:
        pixels = np.full((50, 60, 4), 255, np.uint8)
        pixels[:, :30] = 0
        write_picture(Picture(pixels), tmp_path / "large.png")
        output = run(tiny_bundle, "harmonize", adapt=False, paste=tmp_path / "large.png")
        assert ["large.png" in note for note in output.notes] == [True]

    def test_detail_survives_only_above_its_scale(self, tiny_bundle: Bundle, tmp_path: Path) -> None:
        pixels = np.full((16, 16, 4), 255, np.uint8)
        pixels[0, 0, 3] = 0
        pixels[:, :, :3] = np.where(np.arange(16) // 2 % 2, 255, 0)[None, :, None]
        write_picture(Picture(pixels), tmp_path / "stripes.png")
        contrasts = [
            one[12:24, 14:26].astype(float).std(axis=1).mean()
            for one in pixels_of(
                run(tiny_bundle, "harmonize", adapt=False, paste=tmp_path / "stripes.png", at="12,10", scale="all")
            )
        ]
        assert contrasts[0] < 0.5 * contrasts[-1]

    def test_seed(self, tiny_bundle: Bundle, cutout: Path) -> None:
        first, again, other = (
            pixels_of(run(tiny_bundle, "harmonize", adapt=False, paste=cutout, scale=1, seed=seed))[0]
            for seed in (1, 1, 2)
        )
        np.testing.assert_array_equal(first, again)
        assert (first != other).any()

    def test_faint_cutout(self, tiny_bundle: Bundle, tmp_path: Path) -> None:
        pixels = np.zeros((12, 12, 4), np.uint8)
        pixels[2:10, 2:10] = 250, 250, 250, 100
        write_picture(Picture(pixels), tmp_path / "faint.png")
        pasted, other = (
            pixels_of(
                run(tiny_bundle, "harmonize", adapt=False, paste=tmp_path / "faint.png", at="10,10", scale=scale)
            )[0]
            for scale in (1, len(tiny_bundle.geometry.sizes) - 1)
        )
        far = np.ones(pasted.shape[:2], bool)
        far[7:21, 7:21] = False
        np.testing.assert_array_equal(pasted[far], tiny_bundle.picture[far])
        assert (pasted[10:18, 10:18] != other[10:18, 10:18]).any()


class TestScale:
    def test_default(self, tiny_bundle: Bundle, cutout: Path) -> None:
        injection = installed_plugins().tasks["harmonize"].injection
        assert injection is not None
        default = pixels_of(run(tiny_bundle, "harmonize", adapt=False, paste=cutout))
        at = injection.scale(len(tiny_bundle.geometry.sizes))
        np.testing.assert_array_equal(
            default, pixels_of(run(tiny_bundle, "harmonize", adapt=False, paste=cutout, scale=at))
        )
        assert (default[0] != pixels_of(run(tiny_bundle, "harmonize", adapt=False, paste=cutout, scale=1))[0]).any()

    def test_all(self, tiny_bundle: Bundle, cutout: Path) -> None:
        top = len(tiny_bundle.geometry.sizes) - 1
        output = run(tiny_bundle, "harmonize", adapt=False, paste=cutout, scale="all", seed=2)
        assert [result.label for result in output.results] == [f"scale {n}" for n in range(1, top + 1)]
        for n, one in enumerate(pixels_of(output), 1):
            np.testing.assert_array_equal(
                [one], pixels_of(run(tiny_bundle, "harmonize", adapt=False, paste=cutout, scale=n, seed=2))
            )

    def test_auto_says_which(self, tiny_bundle: Bundle, cutout: Path) -> None:
        output = run(tiny_bundle, "harmonize", adapt=False, paste=cutout, scale="auto", seed=2)
        (chosen,) = re.findall(r"chose scale (\d+)", " ".join(output.notes))
        assert 1 <= int(chosen) < len(tiny_bundle.geometry.sizes)
        same = pixels_of(run(tiny_bundle, "harmonize", adapt=False, paste=cutout, scale=int(chosen), seed=2))
        np.testing.assert_array_equal(pixels_of(output), same)

    def test_auto_keeps_the_other_notes(self, tiny_bundle: Bundle, tmp_path: Path) -> None:
        pixels = np.full((50, 60, 4), 255, np.uint8)
        pixels[:, :30] = 0
        write_picture(Picture(pixels), tmp_path / "large.png")
        notes = run(tiny_bundle, "harmonize", adapt=False, paste=tmp_path / "large.png", scale="auto").notes
        assert len(notes) == 2

    def test_auto_with_an_object_smaller_than_a_pixel_of_the_pyramid(self, tiny_bundle: Bundle, tmp_path: Path) -> None:
        pixels = np.random.default_rng(0).integers(0, 255, (200, 250, 3), np.uint8)
        mask = np.zeros((200, 250, 1), np.uint8)
        mask[100:102, 100:102] = 255
        write_picture(Picture(pixels), tmp_path / "composite.png")
        write_picture(Picture(mask), tmp_path / "mask.png")
        picture, mask_picture = tmp_path / "composite.png", tmp_path / "mask.png"
        notes = run(tiny_bundle, "harmonize", adapt=False, scale="auto", composite=picture, mask=mask_picture).notes
        assert re.search(r"scale \d", " ".join(notes))
        assert "nan" not in " ".join(notes)

    @pytest.mark.parametrize("scale", [0, -1, 99, "coarse", "2", 1.5])
    def test_out_of_range(self, tiny_bundle: Bundle, cutout: Path, scale: Any) -> None:
        top = len(tiny_bundle.geometry.sizes) - 1
        with pytest.raises(TaskError, match=f"give 1 to {top}, auto or all"):
            run(tiny_bundle, "harmonize", adapt=False, paste=cutout, scale=scale)


class TestChoose:
    """The first candidate is patched from the training picture, the last is what was given, the second nearly both."""

    @staticmethod
    def candidates(focus: torch.Tensor | None = None) -> tuple[list[Candidate], np.ndarray]:
        random = np.random.default_rng(0)
        rows, columns = np.mgrid[:48, :48]
        layout = np.where(columns < 24, 60, 190) + 20 * np.sin(rows * 0.8)
        real = np.repeat(layout[..., None], 3, axis=2).round()
        all_light, fine, coarse = (
            to_tensor(picture.clip(0, 255).astype(np.uint8))
            for picture in (
                np.repeat(real[:, -1:], 48, axis=1),
                real + random.normal(0, 3, real.shape),
                real + random.normal(0, 25, real.shape),
            )
        )
        plan = Plan((), Gaussian(), given=coarse, focus=focus)
        results = [all_light, fine, coarse]
        return [Candidate(n, plan, result) for n, result in enumerate(results, 1)], real.astype(np.uint8)

    @pytest.mark.parametrize("order", [1, -1])
    def test_like_the_training_picture_and_like_what_was_given(self, order: int) -> None:
        candidates, real = self.candidates()
        chosen, why = choose(candidates[::order], real, default=1)
        assert chosen.scale == 2
        assert why.startswith("chose scale 2,")

    def test_only_the_focus_counts(self) -> None:
        focus = torch.zeros(48, 48, dtype=torch.bool)
        focus[16:32, 4:14] = True
        candidates, real = self.candidates(focus)
        candidates[1].walked[..., 26:] = -1
        assert choose(candidates, real, default=1)[0].scale == 2

    @pytest.mark.parametrize("default", [1, 2, 3])
    @pytest.mark.parametrize("focused", [True, False])
    def test_where_no_scale_gains_anything_it_is_the_default_and_says_so(self, default: int, focused: bool) -> None:
        candidates, real = self.candidates(torch.ones(48, 48, dtype=torch.bool) if focused else None)
        noise = torch.randn(candidates[0].walked.shape, generator=torch.Generator().manual_seed(0))
        worse = [
            Candidate(n, replace(candidates[0].plan, given=to_tensor(real)), to_tensor(real) + 0.2 * n * noise)
            for n in (1, 2, 3)
        ]
        chosen, why = choose(worse, real, default)
        assert chosen.scale == default
        assert why.startswith(f"chose scale {default}, the default")
        assert "no scale" in why


class TestWrongCombinations:
    @pytest.mark.parametrize(
        "names",
        [
            [],
            ["mask"],
            ["background"],
            ["composite"],
            ["paste", "composite"],
            ["paste", "composite", "mask"],
            ["composite", "mask", "background"],
            ["composite", "mask", "size"],
            ["composite", "mask", "at"],
        ],
    )
    def test_refused(self, tiny_bundle: Bundle, cutout: Path, tmp_path: Path, names: list[str]) -> None:
        picture, mask, _ = composite(tmp_path, 32, 40, 3, np.uint8)
        all_options: dict[str, Any] = dict(
            paste=cutout, composite=picture, mask=mask, background=picture, size="50%", at="1,1"
        )
        with pytest.raises(TaskError):
            run(tiny_bundle, "harmonize", adapt=False, **{name: all_options[name] for name in names})

    @pytest.mark.parametrize("wrong", [{"at": "nowhere"}, {"size": "huge"}, {"size": "0x7"}, {"feather": -1}])
    def test_wrong_values(self, tiny_bundle: Bundle, cutout: Path, wrong: dict[str, Any]) -> None:
        with pytest.raises(TaskError, match=str(next(iter(wrong.values())))):
            run(tiny_bundle, "harmonize", adapt=False, paste=cutout, **wrong)

    @pytest.mark.parametrize("role", ["paste", "background", "mask"])
    def test_unreadable_picture(self, tiny_bundle: Bundle, cutout: Path, tmp_path: Path, role: str) -> None:
        (tmp_path / "broken.png").write_text("no picture")
        options: dict[str, Any] = {"paste": cutout, role: tmp_path / "broken.png"}
        with pytest.raises(PictureError, match=r"broken\.png"):
            run(tiny_bundle, "harmonize", adapt=False, **options)

    def test_mask_of_another_size(self, tiny_bundle: Bundle, tmp_path: Path) -> None:
        _, mask, _ = composite(tmp_path, 32, 40, 3, np.uint8)
        write_picture(Picture(np.zeros((20, 21, 3), np.uint8)), tmp_path / "other.png")
        with pytest.raises(PictureError, match=r"mask\.png is 40x32 .* 21x20"):
            run(tiny_bundle, "harmonize", adapt=False, composite=tmp_path / "other.png", mask=mask)


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
