"""The engine for clusters, on a real one of two nodes that share this machine and its disk."""

from __future__ import annotations

import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from command_line import Call, objects
from singan_toolkit import Bundle, UsageError
from singan_toolkit.batch.engines import EngineOptions, Order, engine_of
from singan_toolkit.jobs import Done, TrainingJob

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]


@pytest.fixture
def cluster() -> Iterator[Any]:
    """One node that stays, with room for one job."""
    pytest.importorskip("ray", reason="needs Ray: pip install 'singan-toolkit[ray]'")
    clusters: Any = import_module("ray.cluster_utils")
    nodes = clusters.Cluster(initialize_head=True, head_node_args=dict(num_cpus=1, include_dashboard=False))
    yield nodes
    nodes.shutdown()


def training(picture: Path, **settings: Any) -> TrainingJob:
    return TrainingJob.of(picture, preset="draft", device="cpu", **settings)


def test_the_work_of_a_node_that_is_killed_is_done_again(
    cluster: Any, photo: Path, tiny_settings: dict[str, Any], tmp_path: Path
) -> None:
    lost = cluster.add_node(num_cpus=1)
    settings = tiny_settings | dict(iterations=200, finest_iterations=200)
    jobs = [training(photo, **settings).model_copy(update=dict(seed=seed)) for seed in range(3)]
    orders = [Order(job, tmp_path / f"{job.seed}.checkpoint", job.seed) for job in jobs]
    killed: list[float] = []

    def kill_a_node() -> None:
        both = sum(order.checkpoint.exists() for order in orders if order.checkpoint) > 1
        if both and not killed:
            killed.append(time.monotonic())
            cluster.remove_node(lost, allow_graceful=False)

    options = EngineOptions(len(orders), threads=1, address=cluster.address, tick=kill_a_node)
    ended = {order.about: outcome for order, outcome in engine_of("ray")(iter(orders), options)}
    assert killed
    assert ended.keys() == {0, 1, 2}
    alone = {order.about: outcome for order, outcome in engine_of("local")(iter(orders), EngineOptions(3, threads=1))}
    for seed, outcome in ended.items():
        assert isinstance(outcome, Done), outcome
        assert isinstance(outcome.result, Bundle)
        for kind, bundle in (("ray", outcome.result), ("local", alone[seed].result)):  # type: ignore[union-attr]
            bundle.save(tmp_path / f"{kind}-{seed}.sgb")  # type: ignore[union-attr]
        assert (tmp_path / f"ray-{seed}.sgb").read_bytes() == (tmp_path / f"local-{seed}.sgb").read_bytes()


def test_from_the_command_line(cluster: Any, photo: Path, process: Call, tmp_path: Path, quick: list[str]) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(photo.read_bytes())
    (tmp_path / "in" / "b.png").write_text("no picture")
    where = ["-o", "out", "--engine", "ray", "--address", cluster.address]
    done = process("train", "in", *where, *quick)
    assert (done.status, done.out) == (3, "out/a.sgb\n"), done.err
    states = {one["output"]: one["state"] for one in objects(process("batch", "status", "out", "--json").out)}
    assert states == {"a.sgb": "done", "b.sgb": "failed"}


@pytest.fixture
def quick(tiny_settings: dict[str, Any]) -> list[str]:
    return ["--preset=draft", "--device=cpu", *(f"--set={name}={value}" for name, value in tiny_settings.items())]


def test_an_engine_that_is_not_there() -> None:
    with pytest.raises(UsageError, match=r"there is no engine rai: did you mean ray\?"):
        engine_of("rai")
