"""Bundles of older and newer versions.

Version 1 padded pictures with zeros and did not say so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import singan_toolkit as st
from bundle_files import Forgery, refusal, said
from singan_toolkit.bundle.manifest import FORMAT_VERSION
from singan_toolkit.imaging.pictures import Picture
from singan_toolkit.pyramid.noise import Gaussian
from singan_toolkit.pyramid.walk import reconstruct, walk
from singan_toolkit.training.bundles import retrain_scale
from singan_toolkit.training.clock import Clock
from singan_toolkit.training.events import Event, Progress

MANY: dict[str, Any] = dict(iterations=73, finest_iterations=20)


@pytest.fixture
def first_version(forgery: Forgery, tmp_path: Path) -> Path:
    forgery.manifest["version"] = 1
    forgery.manifest["training"]["losses"] = []
    del forgery.manifest["architecture"]["picture_padding"]
    path = tmp_path / "first.sgb"
    path.write_bytes(forgery.signed())
    return path


def test_a_bundle_of_version_1_is_padded_with_zeros(tiny_bundle: st.Bundle, first_version: Path) -> None:
    first, second = st.load(first_version).pyramid("cpu"), tiny_bundle.pyramid("cpu")
    route = second.geometry.route()
    walked = walk(first, route, Gaussian(4), samples=[0, 1])
    with_zeros = replace(second, scales=tuple(replace(scale, reflect=False) for scale in second.networks))
    assert torch.equal(walked, walk(with_zeros, route, Gaussian(4), samples=[0, 1]))
    assert (walked - walk(second, route, Gaussian(4), samples=[0, 1])).abs().max() > 0.01


def test_a_bundle_of_version_1_is_saved_as_the_latest_that_says_zeros(first_version: Path, tmp_path: Path) -> None:
    first = st.load(first_version)
    first.save(tmp_path / "again.sgb")
    written = Forgery((tmp_path / "again.sgb").read_bytes()).manifest
    assert (first.manifest.version, written["version"]) == (1, FORMAT_VERSION)
    assert written["architecture"]["picture_padding"] == "zeros"
    again = st.load(tmp_path / "again.sgb")
    assert said(again) == said(first) | {"version": FORMAT_VERSION}
    assert torch.equal(reconstruct(again.pyramid("cpu")), reconstruct(first.pyramid("cpu")))


def test_a_bundle_of_version_1_cannot_reflect(forgery: Forgery, tmp_path: Path) -> None:
    assert forgery.manifest["architecture"]["picture_padding"] == "reflect"
    forgery.manifest["version"] = 1
    forgery.manifest["training"]["losses"] = []
    path = tmp_path / "first.sgb"
    path.write_bytes(forgery.signed())
    assert "picture_padding came with version 2" in refusal(path)


@pytest.mark.parametrize("version", [FORMAT_VERSION + 1, 99, 10**18])
def test_a_newer_version_asks_for_an_upgrade(forgery: Forgery, tmp_path: Path, version: int) -> None:
    forgery.manifest |= {"version": version, "layers": "unheard of"}
    path = tmp_path / "newer.sgb"
    path.write_bytes(forgery.signed())
    message = refusal(path)
    assert "upgrade singan-toolkit" in message
    assert str(version) in message


class TestLosses:
    """What a bundle remembers of its training since version 5."""

    def test_are_those_of_each_scale(self, tiny_bundle: st.Bundle, tiny_settings: dict[str, Any]) -> None:
        told: dict[int, list[dict[str, float]]] = {}

        def listen(event: Event) -> None:
            if isinstance(event, Progress):
                told.setdefault(event.scale, []).append(event.losses)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Clock, "report_due", lambda clock: True)  # so that every iteration is told of
            bundle = st.train(
                Picture(tiny_bundle.picture, "photo.png"), seed=2, device="cpu", observer=listen, **tiny_settings | MANY
            )
        losses = bundle.manifest.training.losses
        assert len(losses) == len(bundle.geometry.sizes) == len(told)
        for n, record in enumerate(losses):
            assert record
            iterations, values = len(told[n]), record.reconstruction
            assert len(values) == min(50, iterations)
            parts = np.arange(iterations) * len(values) // iterations
            for name in ("discriminator", "generator", "reconstruction"):
                each = np.array([one[name] for one in told[n]])
                means = [each[parts == part].mean() for part in range(len(values))]
                np.testing.assert_allclose(getattr(record, name), means, rtol=1e-4, atol=1e-6)

    def test_are_the_same_after_a_training_was_stopped(
        self, photo: Path, tiny_settings: dict[str, Any], tmp_path: Path
    ) -> None:
        def stop(event: Event) -> None:
            if isinstance(event, Progress) and event.scale == 1:
                raise KeyboardInterrupt

        how = dict(seed=1, preset="draft", device="cpu", **tiny_settings)
        with pytest.raises(KeyboardInterrupt):
            st.train(photo, observer=stop, checkpoint=tmp_path / "kept", **how)
        gone_on = st.train(photo, checkpoint=tmp_path / "kept", **how)
        whole = st.train(photo, **how)
        assert gone_on.manifest.training.losses == whole.manifest.training.losses
        assert len(whole.manifest.training.losses) == len(whole.geometry.sizes)

    def test_of_a_scale_that_is_trained_anew_are_new(self, tiny_bundle: st.Bundle) -> None:
        before = tiny_bundle.manifest.training.losses
        after = retrain_scale(tiny_bundle, 2, lambda picture: picture, device="cpu").manifest.training.losses
        assert [one != other for one, other in zip(before, after, strict=True)] == [False, False, True, False, False]
        unknown = tiny_bundle.manifest.training.model_copy(update=dict(losses=[]))
        old = replace(tiny_bundle, manifest=tiny_bundle.manifest.model_copy(update=dict(training=unknown)))
        after = retrain_scale(old, 2, lambda picture: picture, device="cpu").manifest.training.losses
        assert [one is None for one in after] == [True, True, False, True, True]

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda said: said.update(version=4), "losses came with version 5"),
            (lambda said: said["training"]["losses"].pop(), "not of as many scales"),
            (lambda said: said["training"]["losses"][0]["generator"].pop(), "as many values of one loss"),
            (lambda said: said["training"]["losses"][0].update(generator=[0.0] * 101), "at most 100"),
            (lambda said: said["training"]["losses"][0].update(generator=["a"]), "valid number"),
        ],
    )
    def test_that_cannot_be_are_refused(
        self, forgery: Forgery, tmp_path: Path, change: Callable[[dict[str, Any]], None], words: str
    ) -> None:
        change(forgery.manifest)
        path = tmp_path / "forged.sgb"
        path.write_bytes(forgery.signed())
        assert words in refusal(path)
