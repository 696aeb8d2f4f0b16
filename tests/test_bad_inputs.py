"""Bad pictures and bundles among good ones: each is told in a line and in the ledger, and the rest is done."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from page_makers import page_maker
from singan_toolkit import Bundle
from singan_toolkit.cli import cli

make = page_maker("make_bad_inputs")


@dataclass(frozen=True)
class Batches:
    """The folder in which all bad pictures were trained on, and all bad bundles used; and what came of it."""

    folder: Path
    pictures: Any
    bundles: Any


@pytest.fixture(scope="module")
def batches(tmp_path_factory: pytest.TempPathFactory) -> Batches:
    folder = tmp_path_factory.mktemp("bad")
    return Batches(folder, *make.try_all(folder))


@pytest.mark.slow
class TestBatches:
    def test_the_page_tells_what_comes(self, batches: Batches) -> None:
        def lines(page: str) -> list[str]:
            told = [line.partition(" (image file")[0] for line in page.splitlines()]  # which are Pillow's words
            return [line for line in told if not line.startswith("| `locked") or shutil.which("setpriv")]

        page = make.PAGE.read_text()
        made = make.with_tables(page, (batches.pictures, batches.bundles))
        assert lines(made) == lines(page), "run python docs/make_bad_inputs.py"

    @pytest.mark.parametrize("kind", ["pictures", "bundles"])
    def test_every_one_is_accounted_for(self, batches: Batches, kind: str) -> None:
        batch = getattr(batches, kind)
        assert batch.status == 3
        taken = {bad.name: batch.about(bad.name) for bad in batch.inputs if batch.about(bad.name)}
        assert len(taken) == len(batch.objects) == len(batch.ledger)
        assert len(batch.inputs) - len(taken) == {"pictures": 3, "bundles": 1}[kind]
        end = {"pictures": ".sgb", "bundles": "-generate.png"}[kind]
        ledger = {line["output"]: line for line in batch.ledger}
        for name, found in taken.items():
            line = ledger[Path(name).stem + end]
            assert line["state"] == ("failed" if "error" in found else "done")
            assert line["error"] == found.get("error", "")
            assert line["kind"] == found.get("kind", "")
        failed = sum("error" in found for found in batch.objects)
        assert batch.notes[-1].startswith(f"{failed} of {len(taken)} ")

    def test_nothing_is_left_of_what_failed(self, batches: Batches) -> None:
        for batch, folder in ((batches.pictures, "trained"), (batches.bundles, "made")):
            out = batches.folder / folder
            done = {line["output"] for line in batch.ledger if line["state"] == "done"}
            assert {path.name for path in out.iterdir()} == done | {".singan-tk"}
            assert {path.name for path in (out / ".singan-tk").iterdir()} <= {"ledger.sqlite", "lock"}

    def test_what_is_unusual_is_used_as_it_looks(self, batches: Batches) -> None:
        sizes = {
            name: Bundle.load(batches.folder / "trained" / f"{name}.sgb").picture.shape[:2]
            for name in ("good", "cmyk", "jpeg", "opaque", "moving", "turned")
        }
        assert sizes.pop("turned") == (40, 32)
        assert set(sizes.values()) == {(32, 40)}

    def test_a_name_that_is_no_text_is_kept(self, batches: Batches) -> None:
        name = os.fsdecode(b"no-\xff-text")
        assert (
            Bundle.load(batches.folder / "trained" / f"{name}.sgb").manifest.training.picture == r"no-\udcff-text.png"
        )
        assert (batches.folder / "made" / f"{name}-generate.png").is_file()

    def test_again_nothing_is_done_and_all_is_told(self, batches: Batches) -> None:
        done = make.tk(batches.folder, *f"train pictures -o trained --json {make.QUICK}".split())
        assert done.returncode == 3
        failed = [one for one in batches.pictures.objects if "error" in one]
        key = "picture"
        assert sorted(map(make.json.loads, done.stdout.splitlines()), key=lambda one: str(one[key])) == sorted(
            failed, key=lambda one: str(one[key])
        )


@pytest.fixture
def planned(photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, str]]:
    """The outputs that are planned for pictures, by picture, in a folder with links to itself."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    (tmp_path / "p" / "sub.png").mkdir(parents=True)
    for name in ("a.png", "z.png", "sub.png/b.png", "sub.png/.hidden.png", "[1].png", "with\nline.png"):
        shutil.copy(photo, tmp_path / "p" / name)
    for name in ("p/one", "p/other", "p/sub.png/three"):
        (tmp_path / name).symlink_to(tmp_path / "p")
    (tmp_path / "p" / "gone.png").symlink_to("nowhere")

    def call(*named: str, stdin: bytes = b"", told: str = "") -> dict[str, str]:
        done = CliRunner().invoke(cli, ["train", *named, "-o", "out", "--dry-run"], input=stdin)
        assert done.exit_code == 0, done.output
        assert told in done.stderr
        return {line.split("\t")[0]: line.split("\t")[1] for line in done.stdout.splitlines()}

    return call


HERE = {f"p/{name}.png": f"out/{name}.sgb" for name in ("a", "z", "[1]", "with\\nline", "gone")}
DEEP = HERE | {"p/sub.png/b.png": "out/sub.png/b.sgb"}


@pytest.mark.parametrize(
    ("named", "found", "told"),
    [
        (["p"], HERE, "passed over 1 of 6 files: sub.png (a folder)"),
        (["p", "-r"], DEEP, "passed over 3 of 9 files: one (a folder), other (a folder), three (a folder)"),
        (["p/**/*.png"], DEEP, ""),
        (["p/*"], DEEP, ""),
        (["p/*", "-r"], DEEP, "one (a folder)"),
        (["p/sub.png"], {"p/sub.png/b.png": "out/b.sgb"}, ""),
        (["p/*/.hidden.png"], {}, ""),
    ],
)
def test_links_that_lead_in_circles_end(
    planned: Callable[..., dict[str, str]], named: list[str], found: dict[str, str], told: str
) -> None:
    if not found:
        with pytest.raises(AssertionError, match="no picture matches"):
            planned(*named)
        return
    assert planned(*named, told=told) == found


@pytest.mark.parametrize(
    ("listed", "found"),
    [
        (b"p/a.png\0p/with\nline.png\0p/[1].png\0p/gone.png\0", {"a", "with\\nline", "[1]", "gone"}),
        (b"p/a.png\0", {"a"}),
        (b"p/a.png\r\np/z.png\r\n\r\n", {"a", "z"}),
        (b"p/[az].png\n", {"a", "z"}),
    ],
)
def test_lists_hold_any_name(planned: Callable[..., dict[str, str]], listed: bytes, found: set[str]) -> None:
    assert set(planned("@-", stdin=listed).values()) == {f"out/{name}.sgb" for name in found}
