"""Tasks run on many inputs: how these combine, what the results are called, and what is not done twice."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from command_line import Call, assert_one_sentence, objects
from singan_toolkit.batch.combine import combine, stem_of
from singan_toolkit.batch.engines import EngineOptions, Order
from singan_toolkit.batch.inputs import Input
from singan_toolkit.imaging.pictures import Picture, read_picture, write_picture
from singan_toolkit.jobs import carry_out
from singan_toolkit.tasks.manager import installed_plugins


def inputs(folder: str, names: Sequence[str]) -> list[Input]:
    return [Input(Path(folder) / f"{name}.png", name) for name in names]


class TestCombine:
    def rows(self, **many: Sequence[str]) -> tuple[list[str], list[str]]:
        """Names of each job's inputs, and what was told."""
        told: list[str] = []
        rows = combine({option: inputs(option, names) for option, names in many.items()}, told.append)
        return [" ".join(one.name for one in row) for row in rows], told

    def test_each_goes_with_each_where_no_name_is_shared(self) -> None:
        assert self.rows(bundle="ab", paste="xy") == (["a x", "a y", "b x", "b y"], [])

    def test_inputs_of_one_name_belong_together(self) -> None:
        assert self.rows(bundle="abc", mask="cab") == (["a a", "b b", "c c"], [])
        rows, told = self.rows(bundle="abc", mask="bcd")
        assert rows == ["b b", "c c"]
        assert "bundle/a.png, mask/d.png: no partner of that name (for mask)" in told[0]

    def test_a_mask_finds_its_paste_in_every_bundle(self) -> None:
        rows, _ = self.rows(bundle="ab", paste="xy", mask="xy")
        assert rows == ["a x x", "a y y", "b x x", "b y y"]

    @given(some.lists(some.sampled_from("abcdef"), min_size=1, unique=True), some.sampled_from("aé \n-"))
    def test_equal_names_are_told_once(self, names: list[str], more: str) -> None:
        for row in combine({"one": inputs("1", names), "two": inputs("2", [name + more for name in names])}):
            first, second = row
            assert stem_of(row) == f"{first.name}-{second.name}"
        for row in combine({"one": inputs("1", names), "two": inputs("2", names)}):
            assert stem_of(row) == row[0].name


@pytest.fixture
def folder(tmp_path: Path, tiny_bundle_path: Path, cutout: Path) -> Path:
    """With bundles a and inner/b, and objects x, y and one that is no picture."""
    for name in ("bundles/a.sgb", "bundles/inner/b.sgb"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tiny_bundle_path, tmp_path / name)
    (tmp_path / "objects").mkdir()
    for name in "xy":
        shutil.copy(cutout, tmp_path / "objects" / f"{name}.png")
    (tmp_path / "objects" / "bad.png").write_text("no picture")
    return tmp_path


HARMONIZE = "run", "harmonize", "--as-trained", "--scale", "2", "--device", "cpu"


@pytest.mark.slow
class TestCommand:
    def test_what_failed_costs_itself_alone_and_nothing_is_done_twice(self, process: Call, folder: Path) -> None:
        command = [*HARMONIZE, "--bundle", "bundles/a.sgb", "--paste", "objects/*.png", "-o", "out"]
        done = process(*command)
        assert (done.status, sorted(done.out.splitlines())) == (3, ["out/x-harmonize.png", "out/y-harmonize.png"])
        assert "error: 1 of 3 jobs failed" in done.err
        (row,) = (line for line in done.err.splitlines() if line.startswith("out/bad-harmonize.png\t"))
        assert "objects/bad.png" in row
        before = (folder / "out" / "x-harmonize.png").stat().st_mtime_ns
        again = process(*command)
        assert (again.status, again.out) == (3, "")
        assert "skipping 2 of 3 jobs, which are done" in again.err
        assert (folder / "out" / "x-harmonize.png").stat().st_mtime_ns == before
        alone = process(*HARMONIZE, "--bundle", "bundles/a.sgb", "--paste", "objects/x.png", "-o", "alone.png")
        assert alone.status == 0
        assert (folder / "alone.png").read_bytes() == (folder / "out" / "x-harmonize.png").read_bytes()

    def test_folders_labels_and_fields(self, process: Call, folder: Path) -> None:
        names = "out/{task}/{bundle}-{seed}-{label}.jpg"
        done = process(
            *("run", "generate", "--bundle", "bundles", "-r", "-n", "2", "--seed", "4", "--json", "-o", names)
        )
        assert done.status == 0, done.err
        found = {one["picture"]: one["inputs"] for one in objects(done.out)}
        assert found == {
            f"out/{place}generate/{name}-4-{seed:04}.jpg": [f"bundles/{place}{name}.sgb"]
            for place, name in (("", "a"), ("inner/", "b"))
            for seed in (4, 5)
        }
        assert all((folder / path).is_file() for path in found)

    def test_other_options_and_bundles_are_stale(self, process: Call, folder: Path) -> None:
        command = ["run", "generate", "--bundle", "bundles/*.sgb", "-o", "out/"]
        assert process(*command).out == "out/a-generate.png\n"
        first = read_picture(folder / "out" / "a-generate.png").pixels
        told = process(*command, "--seed", "9")
        assert (told.status, told.out) == (0, "")
        assert "stale: out/a-generate.png was made with other settings" in told.err
        assert process(*command, "--seed", "9", "--stale").out == "out/a-generate.png\n"
        assert not np.array_equal(first, read_picture(folder / "out" / "a-generate.png").pixels)
        write_picture(Picture(first), folder / "out" / "a-generate.png")
        assert "a-generate.png was changed since it was made" in process(*command, "--seed", "9").err

    def test_clips_and_sheets(self, process: Call, folder: Path) -> None:
        clips = process("run", "animate", "--bundle", "bundles", "--frames", "3", "-o", "out")
        assert clips.out == "out/a-animate.gif\n", clips.err
        sheets = process("run", "generate", "--bundle", "bundles", "-n", "3", "--sheet", "-o", "out")
        assert sheets.out == "out/a-generate-sheet.png\n"


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "part"),
        [
            (["--bundle", "bundles", "--paste", "objects/x.png"], "name their folder, as -o out/"),
            (["--bundle", "bundles", "--paste", "objects/x.png", "-o", "-"], "does not fit into stdout"),
            (["--bundle", "bundles", "--paste", "-", "-o", "out"], "no file can come from stdin"),
            (["--bundle", "objects", "--paste", "objects/x.png", "-o", "out"], "there is no bundle in objects"),
            (["--bundle", "bundles/a.sgb", "--paste", "objects/*.tif", "-o", "out"], "no picture matches"),
            (["--bundle", "bundles/a.sgb", "--paste", "objects", "--paste", "x.png", "-o", "out"], "--paste once"),
            (["--bundle", "bundles/a.sgb", "--paste", "objects/[xy].png", "-o", "one.png"], "the one file one.png"),
            (["--bundle", "bundles/a.sgb", "--paste", "objects/[xy].png", "-o", "out/{bundle}.png"], "the same result"),
            (["--bundle", "bundles/a.sgb", "--paste", "objects/[xy].png", "-o", "{stem}{size}.png"], "no field {size}"),
            (["--bundle", "bundles/a.sgb", "--paste", "objects/[xy].png", "-o", "{stem}.gif"], "cannot write"),
            (["--bundle", "bundles/a.sgb", "--paste", "objects", "-o", "objects/{paste}.png"], "it is read as"),
        ],
    )
    def test_before_any_work(self, tk: Call, folder: Path, arguments: list[str], part: str) -> None:
        before = sorted(folder.rglob("*"))
        done = tk(*HARMONIZE, *arguments)
        assert_one_sentence(done, 2, part)
        assert sorted(folder.rglob("*")) == before


def test_a_plugin_brings_an_engine(tk: Call, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[EngineOptions] = []

    def one_by_one(orders: Sequence[Order], options: EngineOptions) -> object:
        asked.append(options)
        return ((order, carry_out(order.job.absolute())) for order in orders)

    monkeypatch.setitem(installed_plugins().engines, "patient", one_by_one)
    where = ["-o", "out", "--engine", "patient", "--address", "here", "--jobs", "3"]
    done = tk("run", "generate", "--bundle", "bundles", "-r", *where)
    assert (done.status, done.out) == (0, "out/a-generate.png\nout/inner/b-generate.png\n"), done.err
    (options,) = asked
    assert (options.count, options.address, options.jobs) == (2, "here", 3)
    assert_one_sentence(tk("run", "generate", "-b", "bundles", "-o", "out2", "--engine", "ptient"), 2, "did you mean")
    assert not (folder / "out2").exists()
