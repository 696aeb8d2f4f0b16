"""What options say they are: for the command line nothing new, for completion and pages what a file is for."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

import singan_toolkit as st
from command_line import Call
from sample_task import with_options
from singan_toolkit.tasks.manager import installed_plugins
from singan_toolkit.tasks.options import complete_options


def completed(kind: click.Path, begun: str) -> list[str]:
    option = click.Option(["--file"], type=kind)
    return [one.value for one in kind.shell_complete(click.Context(click.Command("x")), option, begun)]


@pytest.mark.parametrize("kind", [st.PictureFile(), st.MaskFile(of=("picture",)), st.PaintedFile()])
def test_completion_offers_pictures_and_folders(
    kind: click.Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.TIF", "notes.txt", "photo.sgb", ".hidden.png"):
        (tmp_path / name).touch()
    (tmp_path / "more" / "inner").mkdir(parents=True)
    (tmp_path / "more" / "c.jpg").touch()
    assert completed(kind, "") == ["a.png", "b.TIF", "more/"]
    assert completed(kind, "more/") == ["more/c.jpg", "more/inner/"]
    assert completed(kind, "./a") == ["./a.png"]
    assert completed(kind, ".h") == [".hidden.png"]
    assert completed(kind, "nowhere/") == []


def test_the_command_line_is_that_of_paths_texts_and_numbers(install: Call, tk: Call) -> None:
    options = {
        "--picture": (st.PictureFile(), click.Path(dir_okay=False, path_type=Path)),
        "--at": (st.Position("paste", on=("picture",)), click.STRING),
        "--size": (st.Extent("paste", on=("picture",)), click.STRING),
        "--rotate": (st.Angle("paste", on=("picture",)), click.FLOAT),
        "--flip": (st.Mirror("paste", on=("picture",)), click.Choice(["horizontal", "vertical", "both"])),
    }
    helps, errors = [], []
    for which in (0, 1):
        install(with_options(*(click.Option([name], type=kinds[which]) for name, kinds in options.items())))
        helps.append(tk("run", "sample", "--help").out)
        errors.append(tk("run", "sample", "-b", "x.sgb", "--rotate", "much", "--flip", "up").err)
    assert helps[0] == helps[1]
    assert errors[0] == errors[1]
    assert "much" in errors[0]


def test_python_gets_the_same_values() -> None:
    task = with_options(
        click.Option(["--paste"], type=st.PictureFile()), click.Option(["--rotate"], type=st.Angle(paste="paste"))
    )
    assert complete_options(task, {"paste": "x.png", "rotate": "1.5"}) == {"paste": Path("x.png"), "rotate": 1.5}


@pytest.mark.usefixtures("with_inpaint")
def test_the_tasks_that_ship_say_what_their_files_are() -> None:
    for name, task in installed_plugins().tasks.items():
        options = {str(option.name) for option in task.options}
        for option in task.options:
            kind = option.type
            assert not isinstance(kind, click.Path) or isinstance(kind, st.PictureFile), (name, option.name)
            named = {name for key in ("of", "over", "on") for name in getattr(kind, key, ())}
            assert {*named, getattr(kind, "paste", "")} <= {*options, ""}, (name, option.name)
