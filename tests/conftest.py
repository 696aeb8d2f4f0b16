"""Fixtures shared by all tests: a small picture and a pyramid trained on it in a few seconds.

Modules beside this one that are no tests hold what several files of tests share; those with fixtures are named here.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import torch

import singan_toolkit as st
from singan_toolkit.tasks.hooks import GROUP
from singan_toolkit.tasks.manager import installed_plugins, load_plugins

pytest_plugins = ["singan_toolkit.testing", "bundle_files", "command_line", "sample_task", "training_runs"]

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def with_inpaint() -> Iterator[None]:
    """The task of ``plugins/singan-tk-inpaint``, as if its package were installed."""
    with pytest.MonkeyPatch.context() as patch:
        plugins = load_plugins([EntryPoint("inpaint", "singan_tk_inpaint", GROUP)])
        patch.setitem(installed_plugins().tasks, "inpaint", plugins.task("inpaint"))
        yield


@pytest.fixture(scope="session")
def photo(singan_picture: Path) -> Path:
    """A landscape of 60x48 pixels: smooth sky, textured ground, three blobs."""
    return singan_picture


@pytest.fixture(scope="session")
def tiny_settings() -> dict[str, Any]:
    """Settings that train a pyramid of five scales in about two seconds; it looks like nothing much."""
    return dict(
        min_size=12,
        max_size=40,
        factor=4 / 3,
        patches_to=0,
        channels=8,
        max_channels=8,
        iterations=30,
        finest_iterations=20,
        discriminator_steps=1,
        generator_steps=1,
        crop=24,
        batch=2,
        noise_amplitude=0.1,
        precision="float32",
    )


@pytest.fixture(scope="session")
def tiny_bundle(photo: Path, tiny_settings: dict[str, Any]) -> st.Bundle:
    """A bundle trained on the photo with the tiny settings."""
    return st.train(photo, preset="draft", seed=1, device="cpu", **tiny_settings)


@pytest.fixture(scope="session")
def tiny_bundle_path(tiny_bundle: st.Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle's file; not to be changed."""
    path = tmp_path_factory.mktemp("bundle") / "photo.sgb"
    tiny_bundle.save(path)
    return path


@pytest.fixture(scope="session")
def patch_bundle(singan_bundle: st.Bundle) -> st.Bundle:
    """Of the same photo, with scales of patches below those with networks, as the default preset has them."""
    return singan_bundle


@pytest.fixture(scope="session")
def noise_padded_bundle(photo: Path, tiny_settings: dict[str, Any]) -> st.Bundle:
    """As the tiny bundle, trained for animation: with noise over the picture's sides."""
    return st.train(photo, preset="draft", seed=1, device="cpu", noise_padding="noise", **tiny_settings)
