"""Trainings that are stopped and gone on with."""

from __future__ import annotations

import json
import os
import pickle
import random
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from command_line import Call, assert_one_sentence, started
from singan_toolkit import Bundle, train
from singan_toolkit.training import clock
from singan_toolkit.training.events import CheckpointProblem, Event, Progress, ScaleRestarted, TrainingResumed
from test_divergence import Explosions
from training_runs import Options, of_kind, same

PATCHES = dict(patches_to=18, factor=1.5, max_size=30)
KINDS: dict[str, dict[str, Any]] = {
    "draft": dict(preset="draft"),
    "patches": dict(preset="draft", **PATCHES),
    "restoring": dict(preset="draft", task="harmonize", **PATCHES),
    "published": dict(preset="paper", crop=0, discriminator_steps=2, batch=1),
    "bfloat16": dict(preset="draft", precision="bfloat16"),
}


@pytest.fixture(autouse=True)
def every_step_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "REPORT_SECONDS", 0.0)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return tmp_path / "b.sgb.checkpoint"


def begun(photo: Path, checkpoint: Path, after: int, **options: Any) -> list[Event]:
    """Train until that many events were told."""
    events: list[Event] = []

    def stop(event: Event) -> None:
        events.append(event)
        if len(events) > after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(photo, device="cpu", observer=stop, checkpoint=checkpoint, **options)
    return events


def ended(photo: Path, checkpoint: Path | None = None, **options: Any) -> tuple[Bundle, list[Event]]:
    events: list[Event] = []
    return train(photo, device="cpu", observer=events.append, checkpoint=checkpoint, **options), events


@pytest.mark.parametrize("kind", KINDS)
def test_stopped_anywhere_it_comes_to_the_same_bundle(
    photo: Path, quick: Options, kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    options = quick | KINDS[kind]
    expected, events = ended(photo, **options)

    @given(st.lists(st.integers(0, len(events) - 1), min_size=1, max_size=3))
    @hypothesis_settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def check(stops: list[int]) -> None:
        checkpoint = tmp_path_factory.mktemp("stopped") / "checkpoint"
        for after in stops:
            if after + 1 < len(events) - (of_done(checkpoint) if checkpoint.exists() else 0):
                begun(photo, checkpoint, after, **options)
        bundle, _ = ended(photo, checkpoint, **options)
        assert same(bundle, expected)

    check()


def of_done(checkpoint: Path) -> int:
    """More events than a training that goes on from there leaves out."""
    place = json.loads(header(checkpoint)["singan_toolkit_checkpoint"])
    return (len(place["amplitudes"]) + 1) * (6 + 2)


def header(checkpoint: Path) -> dict[str, str]:
    content = checkpoint.read_bytes()
    length = int.from_bytes(content[:8], "little")
    metadata: dict[str, str] = json.loads(content[8 : 8 + length])["__metadata__"]
    return metadata


def test_it_goes_on_at_the_step_where_it_stopped(photo: Path, quick: Options, checkpoint: Path) -> None:
    begun(photo, checkpoint, 4, preset="draft", **quick)
    _, events = ended(photo, checkpoint, preset="draft", **quick)
    assert of_kind(TrainingResumed, events) == [TrainingResumed(0, 3)]
    assert not of_kind(CheckpointProblem, events)


def test_a_training_that_has_ended_gives_its_bundle_again(photo: Path, quick: Options, checkpoint: Path) -> None:
    first, _ = ended(photo, checkpoint, preset="draft", **quick)
    again, events = ended(photo, checkpoint, preset="draft", **quick)
    assert same(first, again)
    assert of_kind(TrainingResumed, events) == [TrainingResumed(2, 4)]


def test_a_scale_that_starts_again_keeps_its_smaller_steps(
    photo: Path, quick: Options, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trouble = Explosions(monkeypatch, 1, 1, float("nan"))
    expected = train(photo, preset="draft", device="cpu", observer=trouble.observe, **quick)
    (restart,) = (n for n, event in enumerate(trouble.events) if isinstance(event, ScaleRestarted))

    trouble = Explosions(monkeypatch, 1, 1, float("nan"))

    def stop(event: Event) -> None:
        trouble.observe(event)
        if len(trouble.events) == restart + 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(photo, preset="draft", device="cpu", observer=stop, checkpoint=checkpoint, **quick)
    bundle, events = ended(photo, checkpoint, preset="draft", **quick)
    assert not of_kind(ScaleRestarted, events)
    assert same(bundle, expected)


@pytest.mark.parametrize(
    "other", [dict(seed=2), dict(preset="fast"), dict(reconstruction=31.0), dict(task="harmonize")]
)
def test_a_checkpoint_of_another_training_is_not_used(
    photo: Path, quick: Options, checkpoint: Path, other: dict[str, Any]
) -> None:
    begun(photo, checkpoint, 4, **dict(preset="draft", **quick) | other)
    bundle, events = ended(photo, checkpoint, preset="draft", **quick)
    (problem,) = of_kind(CheckpointProblem, events)
    assert "it is of a training with another picture, task, setting, seed or device" in problem.sentence
    assert same(bundle, ended(photo, preset="draft", **quick)[0])


def damaged(content: bytes) -> Iterator[bytes]:
    yield b""
    yield b"no checkpoint"
    yield pickle.dumps({"a": 1})
    yield content[: len(content) // 2]
    yield content[:-1]
    yield content + b"\0"
    yield (1 << 40).to_bytes(8, "little") + content[8:]
    for place in (9, 60, len(content) // 2, len(content) - 3):
        yield content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def forged(content: bytes) -> Iterator[bytes]:
    """Checkpoints of which only their digest is right."""
    from singan_toolkit.training.checkpoint import DIGEST_KEY, KEY, _digest

    place = json.loads(json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"][KEY])
    tensors = safetensors.numpy.load(content)

    def made(place: dict[str, Any], tensors: dict[str, Any]) -> bytes:
        import torch

        text = json.dumps(place)
        digest = _digest(text, {name: torch.from_numpy(value) for name, value in tensors.items()})
        return bytes(safetensors.numpy.save(tensors, {KEY: text, DIGEST_KEY: digest}))

    yield made(place | dict(done=10**6), tensors)
    yield made(place | dict(amplitudes=[0.1] * 40), tensors)
    yield made(place | dict(attempt=99), tensors)
    yield made(place | dict(more=1), tensors)
    for name in ("samples", "random", "scale.generator.layers.0.weight", "networks.0.layers.0.weight"):
        yield made(place, {key: value for key, value in tensors.items() if key != name})
        yield made(place, tensors | {name: tensors[name][:0].copy()})
        yield made(place, tensors | {name: tensors[name].astype("float64")})
    for name in ("samples", "reconstruction", "networks.0.layers.0.weight"):
        yield made(place, tensors | {name: tensors[name] * float("nan")})


@pytest.mark.parametrize("make", [damaged, forged])
def test_a_checkpoint_that_is_none_is_told_and_replaced(
    photo: Path, quick: Options, checkpoint: Path, make: Any
) -> None:
    options = quick | dict(preset="draft", max_size=16, iterations=2, finest_iterations=2)
    expected, events = ended(photo, **options)
    begun(photo, checkpoint, len(events) - 3, **options)
    for content in make(checkpoint.read_bytes()):
        checkpoint.write_bytes(content)
        bundle, events = ended(photo, checkpoint, **options)
        (problem,) = of_kind(CheckpointProblem, events)
        assert re.search("is not used: it is (no checkpoint, or is )?damaged", problem.sentence)
        assert same(bundle, expected)
        assert ended(photo, checkpoint, **options)[1][1:2] == of_kind(TrainingResumed, [TrainingResumed(1, 2)])


def test_where_no_checkpoint_can_be_written_training_goes_on(photo: Path, quick: Options, tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / ("x" * 300), photo / "inside"):
        bundle, events = ended(photo, place, preset="draft", **quick)
        assert any("could not be resumed" in problem.sentence for problem in of_kind(CheckpointProblem, events))
        assert bundle.geometry
    assert list(tmp_path.iterdir()) == []


OFTEN = """
from singan_toolkit.training import checkpoint, clock
checkpoint.SECONDS, clock.REPORT_SECONDS = 0.05, 0.02
from singan_toolkit.cli import main
main()
"""


class Process:
    """``singan-tk train`` as a process that keeps checkpoints often."""

    def __init__(self, folder: Path, *arguments: str | Path) -> None:
        self.process = started(folder, sys.executable, "-c", OFTEN, "train", *arguments)
        self.watchdog = threading.Timer(200, self.process.kill)
        self.watchdog.start()

    def until_it_trains(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            if line.startswith("training "):
                return

    def end(self) -> tuple[int, str, str]:
        try:
            out, err = self.process.communicate()
        finally:
            self.watchdog.cancel()
        return self.process.returncode, out, err


@pytest.fixture
def longer(tiny_settings: Options) -> list[str]:
    """Options of a training of a few seconds."""
    settings = tiny_settings | dict(iterations=150, finest_iterations=100)
    return ["--preset=draft", "--device=cpu", *(f"--set={name}={value}" for name, value in settings.items())]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("kills", [int(os.environ.get("KILLS", "3"))])
def test_killed_at_random_it_comes_to_the_same_bundle(
    photo: Path, longer: list[str], tmp_path: Path, process: Call, kills: int
) -> None:
    assert process("train", photo, "-o", "whole.sgb", *longer).status == 0
    moments = random.Random(4)
    checkpoint = tmp_path / "b.sgb.checkpoint"
    for _ in range(kills):
        training = Process(tmp_path, photo, "-o", "b.sgb", *longer)
        training.until_it_trains()
        while not checkpoint.exists() and training.process.poll() is None:
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.8))
        training.process.kill()
        status, _, _ = training.end()
        assert status == -signal.SIGKILL
        assert not (tmp_path / "b.sgb").exists()
    status, out, err = Process(tmp_path, photo, "-o", "b.sgb", *longer).end()
    assert (status, out) == (0, "b.sgb\n")
    assert "going on from the checkpoint" in err
    assert (tmp_path / "b.sgb").read_bytes() == (tmp_path / "whole.sgb").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".part") == ["b.sgb", "whole.sgb"]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_ends_it_after_a_step_and_tells_how_to_go_on(photo: Path, longer: list[str], tmp_path: Path) -> None:
    training = Process(tmp_path, photo, "-o", "b.sgb", *longer, "--set=iterations=100000")
    training.until_it_trains()
    time.sleep(1)
    training.process.send_signal(signal.SIGINT)
    status, out, err = training.end()
    assert (status, out) == (130, "")
    assert "the training is kept in b.sgb.checkpoint; the same command goes on with it\n\ninterrupted\n" in err
    assert [path.name for path in tmp_path.iterdir()] == ["b.sgb.checkpoint"]
    training = Process(tmp_path, photo, "-o", "b.sgb", *longer, "--set=iterations=100000")
    training.until_it_trains()
    assert training.process.stderr
    assert "going on from the checkpoint, at scale 0 of" in training.process.stderr.readline()
    training.process.kill()
    training.end()


def test_of_many_pictures_each_goes_on(photo: Path, longer: list[str], tmp_path: Path, process: Call) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(photo.read_bytes())
    assert process("train", "in/a.png", "-o", "whole.sgb", *longer).status == 0
    training = Process(tmp_path, "in", "-o", "out", *longer, "--json")
    until = time.monotonic() + 100
    while not (tmp_path / "out" / "a.sgb.checkpoint").exists() and time.monotonic() < until:
        time.sleep(0.02)
    training.process.kill()
    training.end()
    assert [path.name for path in (tmp_path / "out").glob("[!.]*")] == ["a.sgb.checkpoint"]
    assert process("train", "in", "-o", "out", *longer).status == 0
    assert [path.name for path in (tmp_path / "out").glob("[!.]*")] == ["a.sgb"]
    assert (tmp_path / "out" / "a.sgb").read_bytes() == (tmp_path / "whole.sgb").read_bytes()


@pytest.mark.parametrize("kind", ["draft", "published"])
def test_the_scales_that_are_done_are_a_bundle(
    photo: Path, quick: Options, kind: str, tk: Call, tmp_path: Path
) -> None:
    options = quick | KINDS[kind]
    whole, _ = ended(photo, **options)

    def stop(event: Event) -> None:
        if isinstance(event, Progress) and event.scale == len(whole.geometry.sizes) - 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(photo, device="cpu", observer=stop, checkpoint=tmp_path / "b.sgb.checkpoint", **options)
    said = [
        f"--preset={options['preset']}",
        "--device=cpu",
        *(f"--set={name}={options[name]}" for name in options if name != "preset"),
    ]
    done = tk("train", photo, "-o", "b.sgb", "--partial", *said)
    assert (done.status, done.out) == (0, "b.sgb\n"), done.err
    part = Bundle.load("b.sgb")
    assert part.geometry.sizes == whole.geometry.sizes[:-1]
    assert part.picture.shape[:2] == part.geometry.finest
    assert part.run("generate", count=1)[0].shape == part.picture.shape
    assert tk("train", photo, "-o", "b.sgb", "--force", *said).status == 0
    assert same(Bundle.load("b.sgb"), whole)
    assert not Path("b.sgb.checkpoint").exists()


def test_without_a_scale_that_is_done_there_is_no_partial_bundle(photo: Path, tk: Call) -> None:
    assert_one_sentence(
        tk("train", photo, "-o", "b.sgb", "--partial", "--device=cpu"), 2, "holds no scale that is done"
    )
