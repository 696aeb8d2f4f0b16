"""Importing what the official code trained: the same samples, and nothing of a stranger's folder is run."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings, strategies
from PIL import Image
from torch import Tensor, nn

import singan_toolkit as st
from bundle_files import Forgery
from command_line import Call, assert_one_sentence, objects
from official_model import OfficialModel, imresize, official_model
from singan_toolkit.importing import import_official
from singan_toolkit.pyramid.geometry import Step
from singan_toolkit.pyramid.noise import Gaussian, Reconstruction
from singan_toolkit.pyramid.resample import enlarged_officially, resize
from singan_toolkit.pyramid.walk import reconstruct, walk
from singan_toolkit.training.bundles import retrain_scale

NAME = "scale_factor=0.750000,alpha=10"


@pytest.fixture
def model() -> OfficialModel:
    return official_model()


@pytest.fixture
def folder(model: OfficialModel, tmp_path: Path) -> Path:
    return model.save(tmp_path / "TrainedModels" / "balloons" / NAME)


@dataclass
class Given:
    """The noise of a walk, as drawn for the official code: with margins of zeros, or of noise."""

    drawn: Sequence[Tensor]

    def __call__(self, place: int, step: Step, samples: Sequence[int]) -> Tensor:
        over = (self.drawn[place].shape[-2] - step.height) // 2
        inner = self.drawn[place][..., over : over + step.height, over : over + step.width]
        return inner.expand(len(samples), 3, -1, -1)


def drawn_for(model: OfficialModel, noise_padding: bool, seed: int) -> list[Tensor]:
    torch.manual_seed(seed)
    margin = 10 if noise_padding else 0
    noises = [torch.randn(1, 3 if n else 1, *(s + margin for s in r.shape[2:])) for n, r in enumerate(model.reals)]
    noises[0] = noises[0].expand(1, 3, -1, -1)
    return noises if noise_padding else [nn.ZeroPad2d(5)(noise) for noise in noises]


def assert_samples_are_the_same(bundle: st.Bundle, model: OfficialModel, noise_padding: bool = False) -> None:
    """Where no value between scales lies so near a whole level that rounding in float32 takes it over."""
    pyramid, compared = bundle.pyramid("cpu"), 0
    for seed in range(300):
        drawn = drawn_for(model, noise_padding, seed)
        expected, nearest = model.sample(drawn)
        if nearest < 5e-4:
            continue
        ours = walk(pyramid, pyramid.geometry.route(), Given(drawn))
        torch.testing.assert_close(ours, expected, atol=1e-4, rtol=0)
        assert expected.std() > 0.1
        compared += 1
        if compared == 5:
            return
    pytest.fail(f"only {compared} samples could be compared")


@pytest.mark.parametrize("noise_padding", [False, True], ids=["zeros", "noise"])
@pytest.mark.parametrize(
    "model",
    [
        {},
        dict(height=31, width=17, least=9, scales=3, seed=1),
        dict(height=16, width=16, least=12, scales=2, channels=((8, 4),), seed=2),
        dict(scales=5, channels=((4, 4), (8, 2)), seed=3),
    ],
    ids=["plain", "upright", "narrowing", "widths"],
)
def test_samples_equal_the_official_arithmetic(model: dict[str, Any], noise_padding: bool, tmp_path: Path) -> None:
    theirs = official_model(**model, noise_padding=noise_padding)
    import_official(theirs.save(tmp_path / "art" / NAME)).save(tmp_path / "art.sgb")
    bundle = st.load(tmp_path / "art.sgb")
    assert bundle.manifest.architecture.noise_padding == ("noise" if noise_padding else "zeros")
    assert_samples_are_the_same(bundle, theirs, noise_padding)


def test_the_reconstruction_is_theirs(model: OfficialModel, folder: Path) -> None:
    pyramid = import_official(folder).pyramid("cpu")
    expected = model.reals[0] * 0
    for n, network in enumerate(model.networks):
        (given, z) = (expected if n == 0 else imresize(expected, 1 / model.factor)), model.noises[n]
        padded = nn.ZeroPad2d(5)(given[..., : model.reals[n].shape[2], : model.reals[n].shape[3]])
        with torch.no_grad():
            expected = network.eval()(model.amplitudes[n] * z + padded, padded)
        # From scale to scale, so that a value beside a whole level does not matter.
        step = pyramid.geometry.route()[n]
        entered = Reconstruction(pyramid.z_star)(n, step, [0])
        ours = pyramid.networks[n].apply(padded[..., 5:-5, 5:-5].contiguous(), entered)
        torch.testing.assert_close(ours, expected, atol=1e-4, rtol=0)
    assert reconstruct(pyramid).shape == expected.shape


@pytest.mark.parametrize("least", range(9, 25))
def test_the_factor_is_found_though_rounding_made_the_coarsest_scale_larger(least: int, tmp_path: Path) -> None:
    """In powers of a factor 13 can come out as 13.000000000000002, which the official code rounds up to 14."""
    model = official_model(height=40, width=53, least=least, scales=5)
    bundle = import_official(model.save(tmp_path / "a" / NAME))
    assert bundle.manifest.factor == pytest.approx(1 / model.factor, rel=1e-12)
    assert [tuple(size) for size in bundle.geometry.sizes] == [tuple(real.shape[2:]) for real in model.reals]


@settings(deadline=None, max_examples=60)
@given(
    height=strategies.integers(4, 40),
    width=strategies.integers(4, 40),
    factor=strategies.floats(1.01, 3),
    less=strategies.integers(0, 1),
    seed=strategies.integers(0, 1000),
)
@example(25, 33, 4 / 3, 0, 0)
@example(4, 4, 2.999, 1, 0)
def test_enlarging_is_theirs(height: int, width: int, factor: float, less: int, seed: int) -> None:
    source = torch.Generator().manual_seed(seed)
    picture = torch.randn(1, 3, height, width, generator=source) * 0.7
    expected = imresize(picture, factor)
    size = (expected.shape[2] - less, expected.shape[3] - less)
    ours = enlarged_officially(picture, size, factor)
    torch.testing.assert_close(ours, expected[..., : size[0], : size[1]], atol=1e-4, rtol=0)


def test_enlarging_reaches_sizes_that_the_factor_falls_short_of() -> None:
    picture = torch.rand(2, 3, 10, 12) * 2 - 1
    ours = enlarged_officially(picture, (20, 16), 4 / 3)
    expected = torch.cat([resize(imresize(one[None], 4 / 3), (20, 16)) for one in picture])
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=0)


def test_files_of_old_torch_and_amplitudes_as_plain_numbers_are_read(model: OfficialModel, folder: Path) -> None:
    expected = import_official(folder)
    torch.save([float(one) for one in model.amplitudes], folder / "NoiseAmp.pth")
    for path in folder.rglob("*.pth"):
        content = torch.load(path, weights_only=False)
        torch.save(content, path, _use_new_zipfile_serialization=False)
    again = import_official(folder)
    assert again.manifest.scales == expected.manifest.scales
    for name, array in expected.tensors.items():
        np.testing.assert_array_equal(again.tensors[name], array)


def test_what_a_bundle_says_of_itself(model: OfficialModel, folder: Path) -> None:
    bundle = import_official(folder)
    assert (bundle.name, bundle.manifest.training.picture, bundle.manifest.training.preset) == (
        "balloons",
        "balloons",
        "official",
    )
    expected = ((model.reals[-1][0].permute(1, 2, 0).numpy() + 1) / 2 * 255).round()
    np.testing.assert_array_equal(bundle.picture, expected)
    assert [scale.enlarging for scale in bundle.manifest.scales] == ["smooth", *["official"] * 3]
    assert [scale.noise_amplitude for scale in bundle.manifest.scales] == pytest.approx([1, 0.15, 0.2, 0.25])


def test_a_scale_that_is_trained_anew_is_enlarged_as_it_was_trained(folder: Path) -> None:
    bundle = import_official(folder)
    record = bundle.manifest.training
    short = record.settings | dict(iterations=2, finest_iterations=2, min_size=12, channels=6)
    training = record.model_copy(update=dict(settings=short))
    quick = st.Bundle(bundle.manifest.model_copy(update=dict(training=training)), bundle.tensors, "quick")
    anew = retrain_scale(quick, 2, lambda pictures: pictures, device="cpu")
    assert [scale.enlarging for scale in anew.manifest.scales] == ["smooth", "official", "smooth", "official"]


def test_tasks_run_on_what_was_imported(folder: Path) -> None:
    bundle = import_official(folder)
    (sample,) = bundle.run("generate", candidates=1, device="cpu")
    assert sample.shape == (20, 26, 3)
    wide = walk(bundle.pyramid("cpu"), bundle.geometry.route(finest=(20, 70)), Gaussian(0))
    assert wide.shape == (1, 3, 20, 70)
    assert wide.isfinite().all()


class TestCommand:
    def test_from_a_folder_to_samples(self, process: Call, folder: Path, tmp_path: Path) -> None:
        done = process("import", folder)
        assert (done.status, done.out) == (0, "balloons.sgb\n")
        assert "running statistics" in done.err
        assert process("run", "generate", "-b", "balloons.sgb", "-o", "sample.png").status == 0
        assert Image.open(tmp_path / "sample.png").size == (26, 20)

    def test_where_to_and_what_is_told(self, tk: Call, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        (told,) = objects(tk("import", folder, "-o", "out", "--json").out)
        assert told == {"bundle": str(Path("out/balloons.sgb")), "scales": 4}
        assert_one_sentence(tk("import", folder, "-o", "out/"), 2, "out/balloons.sgb exists")
        assert tk("import", folder, "-o", "out/", "--force").status == 0
        assert "trained on balloons by the official SinGAN code" in tk("info", "out/balloons.sgb").out

    def test_nothing_is_written_where_it_fails(self, tk: Call, folder: Path, tmp_path: Path) -> None:
        (folder / "2" / "netG.pth").unlink()
        assert_one_sentence(tk("import", folder, "-o", "a.sgb"), 1, "cannot import", "2/netG.pth is missing")
        assert [path.name for path in tmp_path.iterdir()] == ["TrainedModels"]


class Hostile:
    """Makes a folder when it is unpickled."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, (str(self.made),)


class TestStrangers:
    @pytest.mark.parametrize("zipped", [True, False])
    @pytest.mark.parametrize("name", ["reals.pth", "Zs.pth", "NoiseAmp.pth", "0/netG.pth", "3/netG.pth"])
    def test_what_is_no_tensor_is_refused_and_not_run(
        self, folder: Path, tmp_path: Path, name: str, zipped: bool
    ) -> None:
        made = tmp_path / "made"
        torch.save([Hostile(made)], folder / name, _use_new_zipfile_serialization=zipped)
        with pytest.raises(st.InputError, match=f"{name} is damaged, or holds more than tensors"):
            import_official(folder)
        torch.load(folder / name, weights_only=False)
        assert made.exists()

    @pytest.mark.parametrize("name", ["Gs.pth", "0/netD.pth", "0/z_opt.pth"])
    def test_what_is_not_needed_is_not_read(self, folder: Path, tmp_path: Path, name: str) -> None:
        torch.save([Hostile(tmp_path / "made")], folder / name)
        import_official(folder)
        assert not (tmp_path / "made").exists()


def only(folder: Path, *names: str) -> None:
    for path in folder.iterdir():
        if path.name not in names:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def put(name: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    """What changes the content of one of a folder's files."""

    def changed(folder: Path) -> None:
        torch.save(change(torch.load(folder / name, weights_only=True)), folder / name)

    return changed


def without(entries: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key: value for key, value in entries.items() if key != name}


def in_place_of_a_file(folder: Path) -> None:
    (folder / G).unlink()
    (folder / G).mkdir()


G = "1/netG.pth"
WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (shutil.rmtree, "it is not a folder"),
    "empty": (only, "no model that the official SinGAN code trained"),
    "only whole networks": (lambda f: only(f, "Gs.pth"), "only Gs.pth is there, a pickle that can run any code"),
    "no folders of scales": (
        lambda f: only(f, "Gs.pth", "Zs.pth", "reals.pth", "NoiseAmp.pth"),
        "only Gs.pth is there",
    ),
    "no pictures": (lambda f: (f / "reals.pth").unlink(), "reals.pth is missing"),
    "no noise": (lambda f: (f / "Zs.pth").unlink(), "Zs.pth is missing"),
    "a scale is missing": (lambda f: shutil.rmtree(f / "2"), "2/netG.pth is missing: the training stopped"),
    "stopped early": (put("NoiseAmp.pth", lambda a: a[:2]), "2 numbers and reals.pth 4 pictures: the training stopped"),
    "a part of a file": (lambda f: (f / G).write_bytes((f / G).read_bytes()[:500]), "1/netG.pth is damaged"),
    "an empty file": (lambda f: (f / "Zs.pth").write_bytes(b""), "Zs.pth is damaged"),
    "a text": (lambda f: (f / "Zs.pth").write_text("no pickle"), "Zs.pth is damaged"),
    "a folder in a file's place": (in_place_of_a_file, "1/netG.pth cannot be read"),
    "no list": (put("reals.pth", lambda a: a[0]), "reals.pth holds no list"),
    "one picture": (put("reals.pth", lambda a: a[:1]), "reals.pth holds 1 pictures"),
    "numbers for pictures": (put("reals.pth", lambda a: [1, 2]), "picture 0 of reals.pth is no tensor"),
    "grey": (put("reals.pth", lambda a: [one[:, :1] for one in a]), "picture 0 of reals.pth has the shape 1x1x9x12"),
    "pictures of NaN": (put("reals.pth", lambda a: [*a[:3], a[3] * np.nan]), "picture 3 of reals.pth holds values"),
    "other sizes": (put("reals.pth", lambda a: [a[0], a[0], a[0], a[3]]), "follow from no factor"),
    "other order": (put("reals.pth", lambda a: a[::-1]), "follow from no factor"),
    "a text for an amplitude": (put("NoiseAmp.pth", lambda a: ["1", *a[1:]]), "number 0 of NoiseAmp.pth is no"),
    "two amplitudes in one": (put("NoiseAmp.pth", lambda a: [*a[:3], torch.ones(2)]), "number 3 of NoiseAmp.pth has"),
    "an amplitude of NaN": (put("NoiseAmp.pth", lambda a: [*a[:3], np.nan]), "number 3 of NoiseAmp.pth is no finite"),
    "too loud": (put("NoiseAmp.pth", lambda a: [*a[:3], 21.0]), "noise_amplitude: Input should be less than"),
    "no noise in its list": (put("Zs.pth", lambda a: []), "tensor 0 of Zs.pth is no tensor"),
    "noise of another size": (put("Zs.pth", lambda a: a[1:]), "tensor 0 of Zs.pth has the shape"),
    "coloured noise": (put("Zs.pth", lambda a: [torch.randn(1, 3, 19, 22)]), "holds three noises"),
    "weights in a list": (put(G, lambda a: [*a.values()]), "1/netG.pth holds no weights by name"),
    "a layer is missing": (put(G, lambda a: without(a, "tail.0.weight")), "tail.0.weight of 1/netG.pth is no tensor"),
    "a bias is missing": (put(G, lambda a: without(a, "head.conv.bias")), "head.conv.bias of 1/netG.pth is no tensor"),
    "no batch norm": (put(G, lambda a: without(a, "head.norm.weight")), "head.norm.weight of 1/netG.pth is no tensor"),
    "a layer more": (put(G, lambda a: a | {"body.block4.conv.bias": torch.ones(6)}), "'body.block4.conv.bias'"),
    "larger kernels": (put(G, lambda a: a | {"head.conv.weight": torch.ones(6, 3, 5, 5)}), "not anyxanyx3x3"),
    "grey networks": (put(G, lambda a: a | {"head.conv.weight": torch.ones(6, 1, 3, 3)}), "with 1 channels"),
    "layers that do not fit": (put(G, lambda a: a | {"head.conv.weight": torch.ones(5, 3, 3, 3)}), "do not fit"),
    "wide layers": (put(G, lambda a: official_model(channels=((1030, 1030),)).networks[0].state_dict()), "1030 wide"),
    "a bias that does not fit": (put(G, lambda a: a | {"head.conv.bias": torch.ones(5)}), "has the shape 5, not 6"),
    "whole numbers": (put(G, lambda a: a | {"head.conv.bias": torch.ones(6, dtype=torch.int8)}), "is no tensor"),
    "weights of NaN": (put(G, lambda a: a | {"tail.0.bias": torch.full((3,), np.nan)}), "no finite numbers"),
    "a negative variance": (put(G, lambda a: a | {"head.norm.running_var": -torch.ones(6)}), "a variance below zero"),
    "huge weights": (put(G, lambda a: a | {"head.norm.weight": torch.full((6,), 1e9)}), "weights beyond 1000"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_told_in_one_sentence(folder: Path, wrong: str) -> None:
    change, why = WRONG[wrong]
    change(folder)
    with pytest.raises(st.InputError) as error:
        import_official(folder)
    told = str(error.value)
    assert told.startswith(f"cannot import {folder}: ")
    assert why in told
    assert "\n" not in told


class TestFormat:
    @pytest.fixture
    def imported(self, folder: Path, tmp_path: Path) -> Forgery:
        import_official(folder).save(tmp_path / "a.sgb")
        return Forgery((tmp_path / "a.sgb").read_bytes())

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            (lambda m: m.update(version=3), "came with version 4"),
            (lambda m: m["scales"][0].update(enlarging="official"), "above another"),
            (lambda m: m["scales"][1].update(enlarging="other"), "enlarging"),
        ],
    )
    def test_enlarging_that_cannot_be_is_refused(
        self, imported: Forgery, tmp_path: Path, change: Callable[[dict[str, Any]], object], why: str
    ) -> None:
        change(imported.manifest)
        (tmp_path / "b.sgb").write_bytes(imported.signed())
        with pytest.raises(st.BundleError, match=why):
            st.load(tmp_path / "b.sgb")

    def test_a_file_that_does_not_tell_it_is_enlarged_smoothly(self, imported: Forgery, tmp_path: Path) -> None:
        for scale in imported.manifest["scales"]:
            del scale["enlarging"]
        imported.manifest["version"] = 3
        (tmp_path / "b.sgb").write_bytes(imported.signed())
        assert {scale.enlarging for scale in st.load(tmp_path / "b.sgb").manifest.scales} == {"smooth"}
        assert json.loads(imported.metadata["singan_toolkit"])["version"] == 3
