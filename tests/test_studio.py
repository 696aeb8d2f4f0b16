"""The studio's server: what it takes and gives, what it refuses, and that its results are the command line's."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bundle_files import python
from command_line import Call, environment
from singan_toolkit.imaging.pictures import Picture, read_picture, write_picture

pytest.importorskip("starlette", reason="the studio's extra is not installed")
pytest.importorskip("httpx", reason="httpx, which asks the studio, is not installed")

from singan_toolkit.studio.server import app_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of a successor of httpx
    from starlette.testclient import TestClient


@pytest.fixture
def folder(tmp_path: Path, tiny_bundle_path: Path, photo: Path, cutout: Path) -> Path:
    path = tmp_path / "studio"
    path.mkdir()
    for file in (tiny_bundle_path, photo, cutout):
        shutil.copy(file, path)
    return path


@pytest.fixture
def client(folder: Path) -> Iterator[TestClient]:
    with TestClient(app_of(folder), "http://127.0.0.1:8765") as client:
        yield client


def ended(client: TestClient, ticket: dict[str, Any]) -> dict[str, Any]:
    """The ticket, when all of it is over."""
    for _ in range(1200):
        (told,) = [one for one in client.get("/api/tickets").json() if one["number"] == ticket["number"]]
        if told["state"] not in ("waiting", "running", "stopping"):
            return dict(told)
        time.sleep(0.05)
    raise AssertionError(told)


def asked(client: TestClient, **what: Any) -> dict[str, Any]:
    answer = client.post("/api/tickets", json={"bundle": "photo.sgb", **what})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def png(pixels: np.ndarray) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def made_by(command: str, folder: Path, elsewhere: Path) -> Path:
    """The folder in which a command line made its results, from copies of the inputs."""
    shutil.copytree(folder, elsewhere, ignore=shutil.ignore_patterns("*-harmonize*", "*-inpaint*", "*-generate*"))
    words = shlex.split(command)
    assert words[0] == "singan-tk"
    done = subprocess.run(
        [sys.executable, "-m", "singan_toolkit", *words[1:]],
        cwd=elsewhere,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return elsewhere


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_a_result_is_the_command_lines(client: TestClient, folder: Path, tmp_path: Path) -> None:
    options = {"paste": "cutout.png", "at": "-2,5", "size": "9x9", "rotate": 10, "adapt": False}
    ticket = ended(client, asked(client, kind="run", task="harmonize", scale=2, seed=3, options=options))
    (step,) = ticket["steps"]
    assert ticket["state"] == "done", step
    assert step["results"] == ["photo-harmonize.png"]
    other = made_by(step["command"], folder, tmp_path / "other")
    assert (other / "photo-harmonize.png").read_bytes() == (folder / "photo-harmonize.png").read_bytes()
    (entry,) = [one for one in client.get("/api/library").json()["entries"] if one["origin"]]
    assert entry["command"] == step["command"]
    several = ended(client, asked(client, kind="run", task="generate", options={"count": 2}))["steps"][0]
    assert several["results"] == ["photo-generate/photo-generate-0000.png", "photo-generate/photo-generate-0001.png"]
    other = made_by(several["command"], folder, tmp_path / "several")
    for name in several["results"]:
        assert (other / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.slow
def test_scales_and_seeds_are_there_to_choose_from(client: TestClient, folder: Path) -> None:
    options = {"paste": "cutout.png", "adapt": False}
    scales = asked(client, kind="scales", task="harmonize", options=options)
    seeds = asked(client, kind="seeds", task="generate", number=2, seed=5)
    scales, seeds = ended(client, scales), ended(client, seeds)
    assert [step["scale"] for step in scales["steps"]] == [1, 2, 3, 4, "auto"]
    assert all(step["shown"] and not step["results"] for step in scales["steps"] + seeds["steps"])
    assert scales["chosen"]["scale"] in (1, 2, 3, 4)
    assert scales["chosen"]["why"].startswith("chose scale")
    assert [step["seed"] for step in seeds["steps"]] == [5, 6]
    assert sorted(everything(folder)) == ["cutout.png", "photo.png", "photo.sgb"]
    shown = client.get(f"/api/tickets/{scales['number']}/1").content
    kept = client.post(f"/api/tickets/{scales['number']}/1/keep").json()
    assert (folder / kept["name"]).read_bytes() == shown
    assert "--scale 2" in kept["command"]


@pytest.mark.slow
def test_a_training_is_stopped_and_goes_on(client: TestClient, folder: Path, tiny_settings: dict[str, Any]) -> None:
    settings = tiny_settings | {"finest_iterations": 150}
    ticket = asked(client, kind="train", picture="photo.png", preset="draft", settings=settings)
    while not client.get("/api/tickets").json()[0]["progress"].get("finished"):
        time.sleep(0.05)
    client.post(f"/api/tickets/{ticket['number']}/stop")
    ticket = ended(client, ticket)
    assert ticket["state"] == "stopped"
    assert (folder / "photo-2.sgb.checkpoint").exists()
    client.post(f"/api/tickets/{ticket['number']}/go-on")
    ticket = ended(client, ticket)
    assert ticket["state"] == "done"
    assert ticket["progress"]["resumed"] >= 0
    seen = ticket["progress"]["seen"]
    assert seen
    for scale, whats in seen.items():
        for what in whats:
            look = client.get(f"/api/trainings/{ticket['number']}/{scale}/{what}")
            assert Image.open(BytesIO(look.content)).size == tuple(ticket["progress"]["sizes"][int(scale)][::-1])
    assert ticket["steps"][0]["results"] == ["photo-2.sgb"]
    assert "--set finest_iterations=150" in ticket["steps"][0]["command"]


@pytest.mark.slow
def test_a_process_that_dies_is_one_sentence_and_the_queue_goes_on(client: TestClient) -> None:
    first = asked(client, kind="run", task="generate", options={"count": 400, "candidates": 64})
    queue = client.app.state.queue  # type: ignore[attr-defined]
    while not (queue.worker.process and queue.worker.ready):
        time.sleep(0.02)
    queue.worker.process.kill()
    second = asked(client, kind="run", task="generate")
    first, second = ended(client, first), ended(client, second)
    assert (first["state"], second["state"]) == ("failed", "done")
    assert "ended by signal 9" in first["steps"][0]["sentence"]


def test_what_is_painted_is_kept_at_the_pictures_own_depth(client: TestClient, folder: Path) -> None:
    deep = np.random.default_rng(0).integers(0, 65535, (20, 30, 3)).astype(np.uint16)
    write_picture(Picture(deep), folder / "deep.png")
    layer = np.zeros((20, 30, 4), np.uint8)
    layer[5:9, 5:9] = 255, 0, 0, 255
    name = client.post("/api/painted?kind=picture&of=deep.png", content=png(layer)).json()["name"]
    edited = read_picture(folder / name).pixels
    assert (edited[5:9, 5:9] == (65535, 0, 0)).all()
    edited[5:9, 5:9] = deep[5:9, 5:9]
    assert (edited == deep).all()
    mask = np.zeros((32, 40), np.uint8)
    mask[9:20, 9:20] = 255
    name = client.post("/api/painted?kind=mask&of=photo.sgb", content=png(mask)).json()["name"]
    assert (read_picture(folder / name).pixels[..., 0] == mask).all()
    assert client.get("/api/view", params={"name": name}).status_code == 200


def test_forms_say_what_options_are(client: TestClient) -> None:
    told = client.get("/api/tasks").json()
    (form,) = [one for one in told["tasks"] if one["name"] == "harmonize"]
    kinds = {field["name"]: field["kind"] for field in form["fields"]}
    assert kinds["mask"] == "mask"
    assert [kinds[name] for name in ("at", "size", "rotate", "flip")] == ["position", "extent", "angle", "mirror"]
    assert kinds["adapt"] == "flag"
    assert "draft" in told["presets"]["all"]


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "outside": ({"task": "harmonize", "options": {"paste": "../secret.png"}}, "outside the studio's folder"),
    "absolute": ({"task": "harmonize", "options": {"paste": "/etc/passwd"}}, "outside the studio's folder"),
    "link": ({"task": "harmonize", "options": {"paste": "link.png"}}, "outside the studio's folder"),
    "address": ({"task": "harmonize", "options": {"paste": "http://127.0.0.1/x.png"}}, "fetches nothing"),
    "file address": ({"task": "harmonize", "bundle": "file:///etc/passwd"}, "fetches nothing"),
    "hidden": ({"task": "generate", "bundle": ".singan-tk/ledger"}, "hidden"),
    "missing": ({"task": "generate", "bundle": "none.sgb"}, "there is no file none.sgb"),
    "cut short": ({"task": "generate", "bundle": "short.sgb"}, "short.sgb"),
    "no task": ({"task": "nonsense"}, "there is no task 'nonsense'"),
    "out of range": ({"task": "generate", "options": {"variety": 7}}, "variety"),
    "no option": ({"task": "generate", "options": {"colour": 7}}, "has no option 'colour'"),
    "many": ({"task": "harmonize", "options": {"paste": ["a.png", "b.png"]}}, "several values"),
    "no setting": ({"kind": "train", "picture": "photo.png", "settings": {"speed": 1}}, "speed"),
    "no kind": ({"kind": "magic"}, "'magic'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_requests_get_a_sentence_and_change_nothing(client: TestClient, folder: Path, case: str) -> None:
    (folder.parent / "secret.png").write_bytes((folder / "photo.png").read_bytes())
    (folder / "link.png").symlink_to(folder.parent / "secret.png")
    content = (folder / "photo.sgb").read_bytes()
    (folder / "short.sgb").write_bytes(content[: len(content) // 2])
    before = everything(folder)
    given, part = BAD[case]
    answer = client.post("/api/tickets", json={"kind": "run", "bundle": "photo.sgb", **given})
    assert answer.status_code == 400
    assert part in answer.json()["error"]
    assert "\n" not in answer.json()["error"]
    assert client.get("/api/tickets").json() == []
    assert everything(folder) == before


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("x.png", b"no picture", "x.png"),
        ("x.sgb", b"no bundle", "x.sgb"),
        ("x.html", b"<script>", "neither a picture nor a bundle"),
        ("../x.png", b"", "no name of a file"),
        ("http://127.0.0.1/x.png", b"", "no name of a file"),
        (".x.png", b"", "no name of a file"),
    ],
)
def test_bad_files_are_not_taken(client: TestClient, folder: Path, name: str, content: bytes, part: str) -> None:
    before = everything(folder)
    answer = client.post("/api/file", params={"name": name}, content=content)
    assert answer.status_code == 400
    assert part in answer.json()["error"]
    assert str(Path("/tmp")) not in answer.json()["error"]
    assert everything(folder) == before


def test_a_text_file_is_no_picture(client: TestClient, folder: Path) -> None:
    (folder / "text.png").write_text("some words")
    for what in ("view", "picture", "cutout"):
        answer = client.get(f"/api/{what}", params={"name": "text.png"})
        assert answer.status_code == 400
        assert "as a picture" in answer.json()["error"]
    for content in (b"no PNG", png(np.zeros((3, 3), np.uint8))):
        assert client.post("/api/painted?kind=mask&of=photo.png", content=content).status_code == 400
    assert client.post("/api/tickets", content=b"{").status_code == 400


def test_files_that_are_dropped_are_numbered_on(client: TestClient, folder: Path) -> None:
    content = (folder / "photo.png").read_bytes()
    assert client.post("/api/file?name=photo.png", content=content).json() == {"name": "photo.png"}
    other = png(np.zeros((30, 30, 3), np.uint8))
    assert client.post("/api/file?name=photo.png", content=other).json() == {"name": "photo-2.png"}
    assert client.get("/api/file?name=photo-2.png").content == other


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://127.0.0.1:8765"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:9"}, 403),
        ({"Host": "evil.example:8765"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": "localhost:8765"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
    ],
)
def test_other_sites_get_nothing(client: TestClient, headers: dict[str, str], status: int) -> None:
    answer = client.get("/api/library", headers=headers)
    assert answer.status_code == status
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'self'")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    if status == 403:
        assert answer.text.startswith("this studio answers")


def test_with_a_token_nothing_is_given_without_it(folder: Path) -> None:
    with TestClient(app_of(folder, "right"), "http://box:8765") as client:
        for path in ("/", "/api/library", "/page/style.css", "/?token=wrong", "/?token="):
            answer = client.get(path)
            assert answer.status_code == 403
            assert answer.text == "this studio needs the token of the address that it printed"
        before = everything(folder)
        assert client.post("/api/file?name=x.png", content=png(np.zeros((3, 3), np.uint8))).status_code == 403
        assert everything(folder) == before
        assert client.get("/?token=right").status_code == 200
        assert client.get("/api/library").status_code == 200  # by the cookie
        assert client.get("/api/library", headers={"Origin": "http://evil.example"}).status_code == 403


def test_every_page_that_is_open_hears_of_the_queue(folder: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "singan_toolkit", "studio", str(folder), "--port", "0", "--json"],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        import httpx

        assert process.stdout
        url = json.loads(process.stdout.readline())["url"]
        with httpx.stream("GET", f"{url}api/events", timeout=60) as heard:
            ticket = httpx.post(f"{url}api/tickets", json={"kind": "run", "task": "generate", "bundle": "photo.sgb"})
            told = (json.loads(line[6:]) for line in heard.iter_lines() if line.startswith("data: "))
            for one in told:
                assert one["number"] == ticket.json()["number"]
                if one["state"] in ("done", "failed"):
                    break
        assert one["state"] == "done"
    finally:
        process.terminate()
        assert process.wait(timeout=20) in (0, -15)


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    code = "import sys; sys.modules['uvicorn'] = None; from singan_toolkit.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "studio"], cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "pip install 'singan-toolkit[studio]'" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_nothing_of_it_is_imported_without_need(tk: Call) -> None:
    code = "import sys, singan_toolkit.cli; print([m for m in ('starlette', 'uvicorn', 'torch') if m in sys.modules])"
    assert python(code).strip() == "[]"


@pytest.mark.slow
def test_sentences_have_names_and_no_paths(client: TestClient, folder: Path) -> None:
    (folder / "text.png").write_text("some words")
    ticket = ended(client, asked(client, kind="run", task="harmonize", options={"paste": "text.png"}))
    (step,) = ticket["steps"]
    assert ticket["state"] == "failed"
    assert step["sentence"].startswith("cannot read text.png as a picture")


def test_a_command_is_shown_while_its_files_are_there(client: TestClient, folder: Path) -> None:
    content = (folder / "photo.png").read_bytes()
    ended(client, asked(client, kind="run", task="super-resolution", options={"factor": 1.5}))

    def command() -> str:
        (entry,) = [one for one in client.get("/api/library").json()["entries"] if one["origin"]]
        return str(entry["command"])

    assert command().startswith("singan-tk run super-resolution --bundle photo.sgb --factor 1.5 --seed 0")
    (folder / "photo.sgb").write_bytes(content)
    assert command() == ""
