"""The ledger of a folder: what is missing, stale or failed, and what an end at any moment leaves."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from command_line import Call, assert_one_sentence
from singan_toolkit.batch.ledger import FOLDER, Ledger, Record
from singan_toolkit.errors import Failed, UnavailableError
from singan_toolkit.jobs import digest_of


def record(target: str, digest: str = "d") -> Record:
    return Record(target, "waiting", digest, "{}", "{}", "1")


def test_what_is_done_and_what_failed_is_kept(tmp_path: Path, tk: Call) -> None:
    names = ["a.png", "b.png", "\udcff.png"]
    with Ledger.open(tmp_path) as ledger:
        ledger.put(map(record, names))
        for name in names:
            ledger.begin(name)
        (parts := ledger.parts() / "0").write_text("a")
        ledger.finish("a.png", {"x/a.png": parts})
        ledger.fail("b.png", Failed("input", "it is \udcff"), died=True)
    assert (tmp_path / "x" / "a.png").read_text() == "a"
    done, failed, waiting = tk("batch", "status", tmp_path).out.splitlines()
    assert [line.split("\t")[1] for line in (done, failed, waiting)] == ["done", "failed", "waiting"]
    with Ledger.open(tmp_path) as ledger:
        kept = ledger.records()
        ledger.put([record("b.png")])
        again = ledger.records()["b.png"]
    assert [kept[name].state for name in names] == ["done", "failed", "waiting"]
    assert (again.state, again.attempts, again.deaths) == ("waiting", 1, 1)


@pytest.mark.parametrize("named", [0, 1, 2])
def test_an_end_between_names_is_set_right(tmp_path: Path, named: int) -> None:
    """Whichever of two results have their names, both have in the end."""

    def end(self: Ledger, path: Path, name: str) -> None:
        if int(name) >= named:
            raise SystemExit
        real(self, path, name)

    real: Callable[[Ledger, Path, str], None] = Ledger._name
    with suppress(SystemExit), Ledger.open(tmp_path) as ledger, pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ledger, "_name", end)
        ledger.put([record("t")])
        parts = ledger.parts()
        for name in ("0", "1"):
            (parts / name).write_text(name)
        ledger.finish("t", {name: parts / name for name in ("0", "1")})
    with Ledger.open(tmp_path) as ledger:
        assert ledger.records()["t"].state == "done"
    assert {name: digest_of(tmp_path / name) for name in ("0", "1")} == json.loads(ledger_results(tmp_path))
    assert sorted(path.name for path in (tmp_path / FOLDER).iterdir()) == ["ledger.sqlite", "lock"]


def ledger_results(folder: Path) -> str:
    with Ledger.read(folder) as ledger:
        assert ledger
        return ledger.records()["t"].results


def test_two_runs_do_not_share_a_folder(tmp_path: Path, photo: Path, tk: Call) -> None:
    with Ledger.open(tmp_path / "out"):
        with pytest.raises(UnavailableError, match="another run works in"), Ledger.open(tmp_path / "out"):
            pass
        assert_one_sentence(tk("train", photo.parent, "-o", "out", "-q"), 1, "another run works in out")


@pytest.mark.slow
def test_stale_and_failed_stay_until_told(process: Call, photo: Path, tmp_path: Path) -> None:
    quick = ["--preset=draft", "--device=cpu", "--set=iterations=3", "--set=finest_iterations=3", "--max-size=30"]
    folder = tmp_path / "p"
    folder.mkdir()
    (folder / "a.png").write_bytes(photo.read_bytes())
    (folder / "b.png").write_text("no picture")

    def train(*more: str) -> tuple[int, str, str]:
        done = process("train", "p", "-o", "out", *quick, *more)
        return done.status, done.out, done.err

    dry = process("train", "p", "-o", "out", "--dry-run", *quick)
    assert dry.out == "p/a.png\tout/a.sgb\tto do\np/b.png\tout/b.sgb\tto do\n"
    assert not (tmp_path / "out").exists()
    assert train()[:2] == (3, "out/a.sgb\n")
    status, out, err = train()
    assert (status, out) == (3, "")
    assert "skipping 1 of 2" in err
    assert "1 of 2 pictures failed" in err
    assert "1 of 1: p/b.png failed" in train("--retry-failed")[2]
    status, out, err = train("--seed=5")
    assert (status, out) == (3, "")
    assert "stale: out/a.sgb was made with other settings\nit stays; --stale does" in err
    assert train("--seed=5", "--stale")[:2] == (3, "out/a.sgb\n")
    (folder / "a.png").write_bytes(photo.read_bytes() + b" ")
    (folder / "b.png").unlink()
    status, out, err = train("--seed=5")
    assert (status, out) == (0, "")
    assert "stale: out/a.sgb was made when a.png was another" in err
    (tmp_path / "out" / "a.sgb").unlink()
    assert train("--seed=5")[:2] == (0, "out/a.sgb\n")
