"""Every shipped task, from Python and from the command line: the same pixels; its scale chosen, and all of them."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image, ImageSequence

from command_line import SCRIPT
from singan_toolkit import Bundle, Output, TaskError, run
from singan_toolkit.cli import cli
from singan_toolkit.imaging.pictures import Picture, read_picture, write_picture
from singan_toolkit.tasks.manager import installed_plugins


@pytest.fixture
def art(tiny_bundle: Bundle, tiny_bundle_path: Path, photo: Path, tmp_path: Path, monkeypatch: Any) -> Bundle:
    """The tiny bundle as ``art.sgb`` in the current folder, with some pictures to use."""
    monkeypatch.chdir(tmp_path)
    Path("art.sgb").write_bytes(tiny_bundle_path.read_bytes())
    original = read_picture(photo).pixels
    write_picture(Picture(original), "original.png")
    edited = original.copy()
    edited[4:16, 30:50] = original[-12:, :20]
    write_picture(Picture(edited), "edited.png")
    painting = np.full((40, 56, 3), (120, 160, 210), np.uint8)
    painting[22:] = 110, 90, 50
    painting[8:18, 10:20] = 235, 60, 50
    write_picture(Picture(painting), "painting.png")
    rows, columns = np.mgrid[:10, :14]
    for name, color in (("red.png", (250, 20, 20)), ("green.png", (20, 200, 40))):
        cutout = np.zeros((10, 14, 4), np.uint8)
        cutout[rows * 14 > columns * 10] = (*color, 255)
        cutout[:3] //= 2
        write_picture(Picture(cutout), name)
    composite = np.random.default_rng(0).integers(0, 65536, (50, 64, 3), np.uint16)
    write_picture(Picture(composite), "composite.tif")
    mask = np.zeros((50, 64, 1), np.uint8)
    mask[20:32, 30:44] = 255
    write_picture(Picture(mask), "mask.png")
    mask = np.zeros((48, 60, 1), np.uint8)
    mask[4:16, 30:50] = 255
    write_picture(Picture(mask), "edit-mask.png")
    return Bundle.load("art.sgb")


def singan_tk(*arguments: str) -> Result:
    """The command line in this process."""
    return CliRunner().invoke(cli, list(arguments))


@dataclass(frozen=True)
class Case:
    """A task, with the same options twice."""

    task: str
    arguments: str
    options: dict[str, Any] = field(default_factory=dict)
    ending: str = ".png"

    def __str__(self) -> str:
        return f"{self.task} {self.arguments}".strip()


two = dict(paste=["red.png", "green.png"], at=["2,2", "20,15"])
TWO = "--paste red.png --paste green.png --at 2,2 --at 20,15"

CASES = [
    Case("generate", "", {}),
    Case("generate", "--count 3 --start-scale 2", dict(count=3, start_scale=2)),
    Case("generate", "--width 64 --height 30", dict(width=64, height=30), ".tif"),
    Case("harmonize", "--paste red.png", dict(paste="red.png")),
    Case("harmonize", TWO, two),
    Case("harmonize", f"{TWO} --rotate 90 --flip horizontal", {**two, "rotate": 90, "flip": "horizontal"}),
    Case(
        "harmonize",
        f"{TWO} --rotate 30 --rotate -90 --flip vertical --flip both --size 50% --size 12 --feather 2",
        {**two, "rotate": [30, -90], "flip": ["vertical", "both"], "size": ["50%", "12"], "feather": 2},
    ),
    Case(
        "harmonize",
        "--composite composite.tif --mask mask.png --scale 2",
        dict(composite="composite.tif", mask="mask.png", scale=2),
    ),
    Case("harmonize", "--paste red.png --background composite.tif", dict(paste="red.png", background="composite.tif")),
    Case("edit", "--edit edited.png", dict(edit="edited.png"), ".webp"),
    Case(
        "edit",
        "--edit edited.png --picture original.png --mask edit-mask.png --feather 1 --scale 1",
        dict(edit="edited.png", picture="original.png", mask="edit-mask.png", feather=1, scale=1),
    ),
    Case("paint2image", "--paint painting.png", dict(paint="painting.png"), ".bmp"),
    Case(
        "paint2image",
        "--paint painting.png --quantize --scale 2",
        dict(paint="painting.png", quantize=True, scale=2),
    ),
    Case("super-resolution", "--factor 2.5", dict(factor=2.5)),
    Case(
        "super-resolution",
        "--picture original.png --factor 1.5",
        dict(picture="original.png", factor=1.5),
    ),
    Case("animate", "--frames 4", dict(frames=4), ".apng"),
    Case(
        "animate",
        "--frames 3 --once --start-scale 1 --alpha 0.1 --beta 0.5 --fps 25",
        dict(frames=3, loop=False, start_scale=1, alpha=0.1, beta=0.5, fps=25),
        ".apng",
    ),
    Case("retarget", "--width 80", dict(width=80)),
    Case("retarget", "--aspect 1:2 --from noise", dict(aspect="1:2", source="noise")),
    Case(
        "retarget",
        "--aspect 2:1 --height 40 --picture original.png --scale 3",
        dict(aspect="2:1", height=40, picture="original.png", scale=3),
    ),
]


def in_file(path: str) -> np.ndarray:
    """(H, W, C) of a picture, (T, H, W, 3) of a clip."""
    if not path.endswith(".apng"):
        return read_picture(path).pixels
    with Image.open(path) as image:
        return np.array([np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(image)])


class TestBoth:
    def test_all_shipped_tasks_are_compared(self) -> None:
        shipped = [one for one in installed_plugins().records if one.distribution.startswith("singan-toolkit ")]
        assert {case.task for case in CASES} == {name for record in shipped for name in record.tasks}

    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_give_the_same_pixels_and_notes(self, art: Bundle, case: Case) -> None:
        several = case.options.get("count", 1) > 1
        target = "out" if several else f"x{case.ending}"
        done = singan_tk(
            "run", case.task, "-b", "art.sgb", "--seed", "5", "-o", target, "--json", *case.arguments.split()
        )
        assert done.exit_code == 0, done.stderr
        paths = [json.loads(line)["picture"] for line in done.stdout.splitlines()]
        notes = [told["note"] for told in map(json.loads, done.stderr.splitlines()) if "note" in told]
        output = run(art, case.task, seed=5, **case.options)
        assert notes == list(output.notes)
        assert len(paths) == len(output.arrays) == case.options.get("count", 1)
        for path, array in zip(paths, output.arrays, strict=True):
            written = in_file(path)
            assert written.dtype == array.dtype
            np.testing.assert_array_equal(written, array)

    @pytest.mark.slow
    def test_give_the_same_pixels_from_another_process(self, art: Bundle) -> None:
        """Which also trains, tells of it in lines, and leaves what it trained for this process to use."""
        arguments = "-b art.sgb --paint painting.png --quantize --scale 3 -o x.png"
        command = [str(SCRIPT), "run", "paint2image", *arguments.split()]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stdout) == (0, "x.png\n"), done.stderr
        assert done.stderr.startswith("training scale 3, 32x26 pixels, on ")
        assert re.search(r"^scale 3 of 0-4 \(32x26\): done in", done.stderr, re.MULTILINE)
        assert Path("art.quantized-3.sgb").is_file()
        again: list[object] = []
        output = run(art, "paint2image", paint="painting.png", quantize=True, scale=3, observer=again.append)
        assert again == []
        np.testing.assert_array_equal(read_picture("x.png").pixels, output.arrays[0])


class TestQuantizeOnTheCommandLine:
    QUANTIZE = ("run", "paint2image", "-b", "art.sgb", "--paint", "painting.png", "--quantize", "--scale", "2")

    def test_training_is_told_the_first_time_only(self, art: Bundle) -> None:
        first = singan_tk(*self.QUANTIZE, "-o", "a.png")
        assert first.exit_code == 0
        assert first.stderr.startswith("training scale 2, 25x20 pixels, on ")
        second = singan_tk(*self.QUANTIZE, "-o", "b.png")
        assert (second.exit_code, second.stdout, second.stderr) == (0, "b.png\n", "")
        assert Path("a.png").read_bytes() == Path("b.png").read_bytes()

    def test_what_was_kept_of_another_bundle_is_told_in_a_sentence(
        self, art: Bundle, noise_padded_bundle: Bundle
    ) -> None:
        assert singan_tk(*self.QUANTIZE, "-o", "a.png").exit_code == 0
        noise_padded_bundle.save("art.sgb")
        done = singan_tk(*self.QUANTIZE, "-o", "b.png")
        assert (done.exit_code, done.stdout) == (1, "")
        assert re.fullmatch(r"error: art\.quantized-2\.sgb was made from another bundle .*\n", done.stderr)
        assert not Path("b.png").exists()

    def test_training_is_told_in_json(self, art: Bundle) -> None:
        done = singan_tk(*self.QUANTIZE, "-o", "a.png", "--json")
        events = [json.loads(line)["event"] for line in done.stderr.splitlines()]
        assert [event for event in events if event != "Progress"] == [
            "TrainingStarted",
            "ScaleStarted",
            "ScaleFinished",
        ]

    def test_quiet_is_quiet(self, art: Bundle) -> None:
        done = singan_tk(*self.QUANTIZE, "-o", "a.png", "--quiet")
        assert (done.exit_code, done.stdout, done.stderr) == (0, "", "")


class TestSeveralPastes:
    @staticmethod
    def pixels(bundle: Bundle, **options: Any) -> np.ndarray:
        (pixels,) = bundle.run("harmonize", **{**two, "scale": 4, "feather": 0, "adapt": False, **options})
        return pixels

    @pytest.mark.parametrize(("name", "value", "other"), [("rotate", 90, 0), ("flip", "vertical", "horizontal")])
    def test_an_option_given_once_holds_for_all(self, art: Bundle, name: str, value: Any, other: Any) -> None:
        once = self.pixels(art, **{name: [value]})
        np.testing.assert_array_equal(once, self.pixels(art, **{name: [value, value]}))
        assert (once != self.pixels(art, **{name: [value, other]})).any()

    @pytest.mark.parametrize(("name", "value", "other"), [("rotate", 90, 180), ("flip", "vertical", "both")])
    def test_an_option_given_for_each_holds_for_its_own(self, art: Bundle, name: str, value: Any, other: Any) -> None:
        """Changed for the second only, nothing changes where the first lies, and the other way round."""
        before = self.pixels(art, **{name: [value, value]})
        first, second = (slice(0, 14), slice(0, 18)), (slice(18, 32), slice(24, 40))
        of_second, of_first = self.pixels(art, **{name: [value, other]}), self.pixels(art, **{name: [other, value]})
        np.testing.assert_array_equal(of_second[first][:, :14], before[first][:, :14])
        assert (of_second[second] != before[second]).any()
        np.testing.assert_array_equal(of_first[second], before[second])
        assert (of_first[first] != before[first]).any()

    @pytest.mark.parametrize(
        ("name", "values"),
        [("at", ["1,1"] * 3), ("size", ["50%"] * 3), ("rotate", [1] * 3), ("flip", ["both"] * 3)],
    )
    def test_any_other_number_is_refused(self, art: Bundle, name: str, values: list[Any]) -> None:
        with pytest.raises(TaskError, match=f"there are 2 --paste and 3 --{name}: give one for all, or one for each"):
            self.pixels(art, **{name: values})

    def test_a_composite_has_its_object_in_place(self, art: Bundle) -> None:
        for options in ({"rotate": 90}, {"flip": "both"}):
            with pytest.raises(TaskError, match="--rotate and --flip go with --paste"):
                run(art, "harmonize", composite="composite.tif", mask="mask.png", **options)


INJECTED: dict[str, dict[str, Any]] = {
    "harmonize": two,
    "edit": dict(edit="edited.png"),
    "paint2image": dict(paint="painting.png"),
    "retarget": dict(width=80),
}


def test_the_tasks_with_an_injection_are_all_tried() -> None:
    tasks = installed_plugins().tasks
    assert {case.task for case in CASES if tasks[case.task].injection} == set(INJECTED)


@pytest.mark.parametrize("task", INJECTED)
class TestScale:
    def test_auto_chooses_one_and_says_why(self, art: Bundle, task: str) -> None:
        output = run(art, task, scale="auto", seed=2, **INJECTED[task])
        (why,) = [note for note in output.notes if note.startswith("chose scale")]
        match = re.match(r"chose scale (\d+), (which gains most likeness|the default: no scale) .* \((.*)\)$", why)
        assert match
        values = {int(scale): float(value) for scale, value in re.findall(r"(\d+): (-?[\d.]+)", match[3])}
        assert list(values) == [1, 2, 3, 4], "every admitted scale was tried"
        chosen = int(match[1])
        injection = installed_plugins().task(task).injection
        assert injection
        best = max(values.values())
        assert (values[chosen] == best) if best > 0 else (chosen == injection.scale(5) and match[2][:3] == "the")
        same = run(art, task, scale=chosen, seed=2, **INJECTED[task])
        np.testing.assert_array_equal(output.arrays, same.arrays)

    def test_all_gives_a_sheet_with_an_entry_for_each(self, art: Bundle, task: str) -> None:
        output = run(art, task, scale="all", **INJECTED[task])
        assert [result.label for result in output.results] == [f"scale {n}" for n in range(1, 5)]
        single = [run(art, task, scale=n, **INJECTED[task]).arrays[0] for n in range(1, 5)]
        np.testing.assert_array_equal(output.arrays, single)
        arguments = next(case.arguments for case in CASES if case.task == task and case.options == INJECTED[task])
        done = singan_tk("run", task, "-b", "art.sgb", "--scale", "all", *arguments.split())
        assert done.exit_code == 0, done.stderr
        assert done.stdout == f"art-{task}-sheet.png\n"
        sheet = read_picture(done.stdout.strip()).pixels
        assert len({places_on(sheet, pixels) for pixels in single}) == 4

    @pytest.mark.parametrize("scale", ["0", "5", "coarse"])
    def test_that_is_not_there_is_refused(self, art: Bundle, task: str, scale: str) -> None:
        arguments = next(case.arguments for case in CASES if case.task == task and case.options == INJECTED[task])
        done = singan_tk("run", task, "-b", "art.sgb", "--scale", scale, "-o", "x.png", *arguments.split())
        assert (done.exit_code, done.stdout) == (2, "")
        assert scale in done.stderr
        assert not Path("x.png").exists()


def places_on(sheet: np.ndarray, pixels: np.ndarray) -> tuple[int, int]:
    """Where a picture lies on a sheet, pixel for pixel: row and column."""
    windows = np.lib.stride_tricks.sliding_window_view(sheet, pixels.shape)[:, :, 0]
    rows, columns = np.nonzero((windows[..., 0, 0, :] == pixels[0, 0]).all(axis=-1))
    (place,) = [
        (int(row), int(column))
        for row, column in zip(rows, columns, strict=True)
        if (windows[row, column] == pixels).all()
    ]
    return place


class TestAuto:
    @pytest.mark.parametrize(("height", "width"), [(20, 200), (200, 20), (12, 90), (33, 41), (8, 10)])
    def test_chooses_for_a_painting_of_any_shape(self, art: Bundle, height: int, width: int) -> None:
        painting = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        write_picture(Picture(painting), "p.png")
        output = run(art, "paint2image", paint="p.png", scale="auto")
        assert output.arrays[0].shape == painting.shape
        assert re.search(r"chose scale [1-4], ", " ".join(output.notes))
        assert "nan" not in " ".join(output.notes)

    @pytest.mark.parametrize(("height", "width"), [(25, 100), (100, 25), (33, 40)])
    def test_chooses_for_a_retargeted_picture_of_any_shape(self, art: Bundle, height: int, width: int) -> None:
        output = run(art, "retarget", height=height, width=width, scale="auto")
        assert re.search(r"chose scale [1-4], ", " ".join(output.notes))
        assert "nan" not in " ".join(output.notes)

    def test_chooses_where_each_scale_is_trained_anew(self, art: Bundle) -> None:
        output = run(art, "paint2image", paint="painting.png", quantize=True, scale="auto")
        chosen = re.search(r"chose scale ([1-4])", " ".join(output.notes))
        assert chosen
        assert {path.name for path in Path.cwd().glob("art.*-*.sgb")} == {f"art.quantized-{n}.sgb" for n in range(1, 5)}
        again = run(art, "paint2image", paint="painting.png", quantize=True, scale=int(chosen[1]))
        np.testing.assert_array_equal(output.arrays, again.arrays)


def test_arrays_are_those_of_the_results(tiny_bundle: Bundle) -> None:
    output: Output = run(tiny_bundle, "generate", count=2)
    np.testing.assert_array_equal(tiny_bundle.run("generate", count=2), output.arrays)
    (clip,) = tiny_bundle.run("animate", frames=3)
    assert clip.shape == (3, 32, 40, 3)
