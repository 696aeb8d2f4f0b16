"""``singan-tk run``: what is written where, and what is said about mistakes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command_line import Call, Done, assert_one_sentence, objects
from singan_toolkit import Bundle, Result
from singan_toolkit.batch.results import write_results
from singan_toolkit.imaging.pictures import Picture, read_picture, write_picture


class TestRun:
    @pytest.mark.slow
    def test_into_a_folder(self, process: Call, tiny_bundle_path: Path, tmp_path: Path) -> None:
        done = process("run", "generate", "--bundle", tiny_bundle_path, "-n", "3", "--seed", "5", "-o", "out")
        names = [f"out/photo-generate-000{n}.png" for n in (5, 6, 7)]
        assert done == Done(0, "".join(f"{name}\n" for name in names), "")
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [Path(name).name for name in names]
        assert {read_picture(tmp_path / name).size for name in names} == {(32, 40)}

    def test_one_file(self, tk: Call, tiny_bundle_path: Path) -> None:
        assert tk("run", "generate", "-b", tiny_bundle_path, "-o", "a/x.webp") == Done(0, "a/x.webp\n", "")
        assert read_picture("a/x.webp").size == (32, 40)

    def test_default_names(self, tk: Call, tiny_bundle_path: Path) -> None:
        assert tk("run", "generate", "-b", tiny_bundle_path).out == "photo-generate.png\n"
        several = tk("run", "generate", "-b", tiny_bundle_path, "-n", "2").out.splitlines()
        assert several == ["photo-generate/photo-generate-0000.png", "photo-generate/photo-generate-0001.png"]
        assert all(Path(name).is_file() for name in several)

    def test_an_existing_folder_gets_a_single_picture(self, tk: Call, tiny_bundle_path: Path, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        done = tk("run", "generate", "-b", tiny_bundle_path, "-o", "out")
        assert done.out == "out/photo-generate-0000.png\n"
        assert (tmp_path / done.out.strip()).is_file()

    def test_the_same_seed_writes_the_same(self, tk: Call, tiny_bundle_path: Path) -> None:
        for name, seed in (("a.png", 1), ("b.png", 1), ("c.png", 2)):
            assert tk("run", "generate", "-b", tiny_bundle_path, "--seed", str(seed), "-o", name).status == 0
        assert Path("a.png").read_bytes() == Path("b.png").read_bytes() != Path("c.png").read_bytes()

    def test_several_into_one_file(self, tk: Call, tiny_bundle_path: Path, tmp_path: Path) -> None:
        done = tk("run", "generate", "-b", tiny_bundle_path, "-n", "2", "-o", "x.png")
        assert_one_sentence(done, 2, "2 pictures", "x.png", "--sheet")
        assert list(tmp_path.iterdir()) == []

    def test_sheet(self, tk: Call, tiny_bundle_path: Path) -> None:
        done = tk("run", "generate", "-b", tiny_bundle_path, "-n", "3", "--sheet", "-o", "x.png")
        assert done == Done(0, "x.png\n", "")
        height, width = read_picture("x.png").size
        assert height > 2 * 32
        assert width > 2 * 40
        assert tk("run", "generate", "-b", tiny_bundle_path, "-n", "2", "--sheet").out == "photo-generate-sheet.png\n"

    def test_json(self, tk: Call, tiny_bundle_path: Path) -> None:
        done = tk("run", "generate", "-b", tiny_bundle_path, "-n", "2", "-o", "out", "--json")
        assert done.status == 0
        found = objects(done.out)
        assert [one["task"] for one in found] == ["generate"] * 2
        assert all(Path(one["picture"]).is_file() for one in found)
        assert done.err == ""

    def test_quiet(self, tk: Call, tiny_bundle_path: Path) -> None:
        assert tk("run", "generate", "-b", tiny_bundle_path, "-o", "x.png", "-q") == Done(0, "", "")
        assert Path("x.png").is_file()

    @pytest.mark.parametrize("folder", [":a:", "[red]", "two  words", "tab\tbed", "\u00fcml\u00e4ut", "x" * 120])
    def test_paths_are_printed_as_they_are(self, tk: Call, tiny_bundle_path: Path, folder: str) -> None:
        assert tk("run", "generate", "-b", tiny_bundle_path, "-o", f"{folder}/x.png").out == f"{folder}/x.png\n"

    @pytest.mark.parametrize("name", ["x.gif", "x.sgb"])
    def test_unknown_ending(self, tk: Call, tiny_bundle_path: Path, name: str) -> None:
        done = tk("run", "generate", "-b", tiny_bundle_path, "-o", name)
        assert_one_sentence(done, 2, name, ".png")

    def test_missing_bundle(self, tk: Call) -> None:
        assert_one_sentence(tk("run", "generate", "-b", "no.sgb"), 1, "no.sgb", "o such file")
        assert_one_sentence(tk("run", "generate"), 2, "--bundle")

    def test_damaged_bundle(self, tk: Call, tiny_bundle_path: Path, tmp_path: Path) -> None:
        content = tiny_bundle_path.read_bytes()
        (tmp_path / "cut.sgb").write_bytes(content[: len(content) // 2])
        assert_one_sentence(tk("run", "generate", "-b", "cut.sgb"), 1, "cut.sgb")
        assert [path.name for path in tmp_path.iterdir()] == ["cut.sgb"]

    @pytest.mark.parametrize(
        ("options", "part"),
        [
            (["--count", "0"], "--count"),
            (["--start-scale", "99"], "scale 99"),
            (["--start-scale", "1", "--width", "80"], "start scale"),
            (["--scale", "2"], "--scale"),
            (["--colour", "red"], "--colour"),
        ],
    )
    def test_wrong_options(self, tk: Call, tiny_bundle_path: Path, options: list[str], part: str) -> None:
        assert_one_sentence(tk("run", "generate", "-b", tiny_bundle_path, *options), 2, part)
        assert list(Path.cwd().iterdir()) == []

    def test_lists_tasks(self, tk: Call) -> None:
        done = tk("run")
        assert (done.status, done.err) == (0, "")
        assert re.search(r"generate +Draw new pictures", done.out)
        assert re.search(r"harmonize +Blend pasted objects", done.out)

    def test_unknown_task(self, tk: Call, tiny_bundle_path: Path) -> None:
        assert_one_sentence(tk("run", "painting", "-b", tiny_bundle_path), 2, "painting")


class TestHarmonize:
    @pytest.fixture
    def harmonize(self, tk: Call, tiny_bundle_path: Path) -> Call:
        return lambda *arguments: tk("run", "harmonize", "-b", tiny_bundle_path, "--as-trained", *arguments)

    @pytest.fixture
    def composite(self, tmp_path: Path) -> tuple[Path, Path]:
        pixels = np.random.default_rng(0).integers(0, 65535, (50, 64, 3), np.uint16)
        mask = np.zeros((50, 64, 1), np.uint8)
        mask[20:30, 30:42] = 255
        write_picture(Picture(pixels), tmp_path / "composite.tif")
        write_picture(Picture(mask), tmp_path / "mask.png")
        return tmp_path / "composite.tif", tmp_path / "mask.png"

    def test_paste(self, harmonize: Call, cutout: Path, tiny_bundle: Bundle) -> None:
        done = harmonize("--paste", cutout, "--at", "100%,0%", "--size", "25%", "-o", "x.png")
        assert done == Done(0, "x.png\n", "")
        changed = read_picture("x.png").pixels
        assert (changed[:8, 32:] != tiny_bundle.picture[:8, 32:]).any(axis=-1).mean() > 0.9
        np.testing.assert_array_equal(changed[12:], tiny_bundle.picture[12:])

    def test_composite_keeps_depth_and_surroundings(self, harmonize: Call, composite: tuple[Path, Path]) -> None:
        done = harmonize("--composite", composite[0], "--mask", composite[1], "--scale", "2")
        assert done == Done(0, "photo-harmonize.png\n", "")
        before, after = (read_picture(path).pixels for path in (composite[0], Path("photo-harmonize.png")))
        assert after.dtype == np.uint16
        np.testing.assert_array_equal(after[:, :26], before[:, :26])
        assert (after[20:30, 30:42] != before[20:30, 30:42]).any(axis=-1).mean() > 0.9

    @pytest.mark.parametrize(("channels", "dtype"), [(1, np.uint16), (2, np.uint16), (4, np.uint16), (2, np.uint8)])
    def test_the_default_file_can_hold_the_result(
        self, harmonize: Call, tmp_path: Path, channels: int, dtype: Any
    ) -> None:
        pixels = np.random.default_rng(0).integers(0, 200, (32, 40, channels), dtype)
        mask = np.zeros((32, 40, 1), np.uint8)
        mask[10:20, 10:20] = 255
        write_picture(Picture(pixels), tmp_path / "composite.tif")
        write_picture(Picture(mask), tmp_path / "mask.png")
        done = harmonize("--composite", "composite.tif", "--mask", "mask.png")
        assert done.status == 0, done.err
        after = read_picture(done.out.strip()).pixels
        assert (after.shape, after.dtype) == (pixels.shape, dtype)

    def test_sixteen_bits_do_not_fit_into_jpeg(self, harmonize: Call, composite: tuple[Path, Path]) -> None:
        done = harmonize("--composite", composite[0], "--mask", composite[1], "-o", "x.jpg")
        assert_one_sentence(done, 1, "16 bits", ".tif")
        assert not Path("x.jpg").exists()

    def test_all_scales_on_a_sheet(self, harmonize: Call, cutout: Path) -> None:
        done = harmonize("--paste", cutout, "--scale", "all")
        assert done == Done(0, "photo-harmonize-sheet.png\n", "")
        height, width = read_picture("photo-harmonize-sheet.png").size
        assert height > 2 * 32
        assert width > 2 * 40

    def test_auto_tells_which(self, harmonize: Call, cutout: Path) -> None:
        done = harmonize("--paste", cutout, "--scale", "auto", "-o", "x.png")
        assert (done.status, done.out) == (0, "x.png\n")
        assert re.match(r"chose scale [1-4], ", done.err)
        noted = harmonize("--paste", cutout, "--scale", "auto", "-o", "x.png", "--json")
        assert [list(one) for one in objects(noted.err)] == [["note"]]
        assert harmonize("--paste", cutout, "--scale", "auto", "-o", "x.png", "--quiet").err == ""

    @pytest.mark.parametrize(
        "options",
        [
            [],
            ["--mask", "{mask}"],
            ["--composite", "{composite}"],
            ["--paste", "{cutout}", "--composite", "{composite}", "--mask", "{mask}"],
            ["--composite", "{composite}", "--mask", "{mask}", "--background", "{composite}"],
            ["--paste", "{cutout}", "--scale", "99"],
            ["--paste", "{cutout}", "--scale", "coarse"],
            ["--paste", "{cutout}", "--at", "nowhere"],
            ["--paste", "{cutout}", "--size", "huge"],
            ["--paste", "{cutout}", "--feather", "-1"],
        ],
    )
    def test_wrong_options(
        self, harmonize: Call, cutout: Path, composite: tuple[Path, Path], options: list[str]
    ) -> None:
        names = {"cutout": cutout, "composite": composite[0], "mask": composite[1]}
        assert_one_sentence(harmonize("-o", "x.png", *(option.format(**names) for option in options)), 2)
        assert not Path("x.png").exists()

    def test_a_picture_that_is_none(self, harmonize: Call, cutout: Path, broken: Path) -> None:
        assert_one_sentence(harmonize("--paste", broken), 1, "broken.png")
        assert_one_sentence(harmonize("--paste", "nowhere.png"), 1, "nowhere.png")
        assert_one_sentence(harmonize("--paste", cutout, "--mask", broken), 1, "broken.png")

    def test_no_transparency(self, harmonize: Call, photo: Path) -> None:
        assert_one_sentence(harmonize("--paste", photo), 1, photo.name, "transparency", "mask")


class TestWriteResults:
    def test_pictures_without_labels_do_not_replace_each_other(self, tmp_path: Path) -> None:
        pictures = [Picture(np.full((4, 5, 3), value, np.uint8)) for value in (10, 20, 30)]
        paths = list(write_results([Result(picture) for picture in pictures], tmp_path / "out", "x", False))
        assert len(set(paths)) == 3
        assert [read_picture(path).pixels.max() for path in paths] == [10, 20, 30]

    def test_pictures_of_one_label_do_not_replace_each_other(self, tmp_path: Path) -> None:
        pictures = [Picture(np.full((4, 5, 3), value, np.uint8)) for value in (10, 20)]
        paths = list(write_results([Result(picture, "same") for picture in pictures], tmp_path / "out", "x", False))
        assert [read_picture(path).pixels.max() for path in paths] == [10, 20]

    def test_several_into_one_file(self, tmp_path: Path) -> None:
        results = [Result(Picture(np.zeros((4, 5, 3), np.uint8)), label) for label in "ab"]
        with pytest.raises(ValueError, match="2 pictures"):
            list(write_results(results, tmp_path / "x.png", "x", False))
        assert list(write_results(results, tmp_path / "x.png", "x", True)) == [tmp_path / "x.png"]


class TestTargets:
    def test_what_is_named_is_replaced_and_what_is_not_stays(self, tk: Call, tiny_bundle_path: Path) -> None:
        generate = ["run", "generate", "-b", tiny_bundle_path]
        for name in ("x.png", "photo-generate.png"):
            Path(name).write_bytes(b"old")
        assert tk(*generate, "-o", "x.png").out == "x.png\n"
        assert read_picture("x.png").size == (32, 40)
        assert tk(*generate).out == "photo-generate-2.png\n"
        assert Path("photo-generate.png").read_bytes() == b"old"
        assert tk(*generate, "--force").out == "photo-generate.png\n"
        assert read_picture("photo-generate.png").size == (32, 40)

    def test_a_slash_says_that_it_is_a_folder(self, tk: Call, tiny_bundle_path: Path) -> None:
        generate = ["run", "generate", "-b", tiny_bundle_path]
        assert tk(*generate, "-o", "a.png/").out == "a.png/photo-generate-0000.png\n"
        assert_one_sentence(tk(*generate, "-o", "results.v2"), 2, "results.v2/")
        assert tk(*generate, "-o", "results.v2/").out == "results.v2/photo-generate-0000.png\n"
        assert_one_sentence(tk(*generate, "-n", "2", "-o", "-"), 2, "folder")

    def test_an_input_is_not_replaced(self, tk: Call, photo: Path, tiny_bundle_path: Path, tmp_path: Path) -> None:
        (tmp_path / "link.png").symlink_to(photo)
        before = photo.read_bytes()
        super_resolution = ["run", "super-resolution", "-b", tiny_bundle_path, "--picture", photo]
        assert_one_sentence(tk(*super_resolution, "-o", "link.png"), 2, "link.png", "is read")
        assert photo.read_bytes() == before

    @pytest.mark.parametrize("name", ["x" * 300 + ".png", "file/x.png"])
    def test_what_cannot_be_written_is_told(self, tk: Call, tiny_bundle_path: Path, name: str) -> None:
        Path("file").write_bytes(b"")
        assert_one_sentence(tk("run", "generate", "-b", tiny_bundle_path, "-o", name), 2, "cannot write")
