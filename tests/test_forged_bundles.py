"""Bundles that are whole, with a digest that is right, but hold what none may."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import singan_toolkit as st
from bundle_files import MEMORY, Forgery, Place, python, refusal


def test_a_file_signed_anew_without_a_change_is_a_bundle(forgery: Forgery, tmp_path: Path) -> None:
    (tmp_path / "true.sgb").write_bytes(forgery.signed())
    assert st.load(tmp_path / "true.sgb").manifest.training.seed == 1


WRONG_VALUES: list[tuple[Place, Any]] = [
    (("format",), "another-format"),
    (("format",), None),
    (("version",), 0),
    (("version",), -1),
    (("version",), "1"),
    (("version",), True),
    (("version",), 1.5),
    (("version",), None),
    (("version",), [1]),
    (("architecture", "kernel"), 5),
    (("architecture", "convolutions"), 10**9),
    (("architecture", "picture_channels"), 4),
    (("architecture", "slope"), 0.3),
    (("architecture", "noise_padding"), "reflect"),
    (("architecture", "picture_padding"), "noise"),
    (("architecture", "picture_padding"), None),
    (("architecture", "more"), 1),
    (("factor",), 0.5),
    (("factor",), -1),
    (("factor",), 1e300),
    (("factor",), float("nan")),
    (("factor",), float("inf")),
    (("factor",), "1.3"),
    (("scales",), []),
    (("scales",), None),
    (("scales",), {}),
    (("scales", 0), None),
    (("scales", 0, "height"), 0),
    (("scales", 0, "height"), -12),
    (("scales", 0, "height"), 12.5),
    (("scales", 0, "height"), "12"),
    (("scales", 0, "height"), True),
    (("scales", 0, "height"), 13),
    (("scales", 0, "height"), 10**30),
    (("scales", 4, "height"), 65_536),
    (("scales", 4, "width"), 65_536),
    (("scales", 4, "width"), 2**31),
    (("scales", 4, "width"), 2**63),
    (("scales", 4, "width"), 39),
    (("scales", 2, "channels"), 0),
    (("scales", 2, "channels"), 7),
    (("scales", 2, "channels"), 9),
    (("scales", 2, "channels"), 4096),
    (("scales", 2, "channels"), 2**40),
    (("scales", 1, "noise_amplitude"), float("nan")),
    (("scales", 1, "noise_amplitude"), float("inf")),
    (("scales", 1, "noise_amplitude"), -0.1),
    (("scales", 1, "noise_amplitude"), 1e30),
    (("scales", 1, "noise_amplitude"), None),
    (("scales", 1, "surprise"), 1),
    (("training",), None),
    (("training", "seed"), 1.5),
    (("training", "seconds"), -1),
    (("training", "seconds"), float("nan")),
    (("training", "picture"), 5),
    (("training", "picture"), "\ud800"),
    (("training", "settings"), []),
    (("training", "settings", "channels"), float("nan")),
    (("training", "command"), "rm -rf"),
    (("surprise",), 1),
    (("sur\x1b[31mprise",), 1),
    (("\ud800",), 1),
]


@pytest.mark.parametrize(("place", "value"), WRONG_VALUES, ids=lambda part: ascii(part)[:40])
def test_a_forged_value_is_refused(forgery: Forgery, tmp_path: Path, place: Place, value: Any) -> None:
    forgery.change(place, value)
    path = tmp_path / "forged.sgb"
    path.write_bytes(forgery.signed())
    message = refusal(path)
    assert len(message) < len(str(path)) + 400


@pytest.mark.parametrize("field", ["format", "version", "factor", "scales", "training", "digest"])
def test_a_missing_field_is_refused(forgery: Forgery, tmp_path: Path, field: str) -> None:
    del forgery.manifest[field]
    path = tmp_path / "forged.sgb"
    path.write_bytes(forgery.signed())
    refusal(path)


@pytest.mark.parametrize("depth", [400, 900, 5_000, 100_000])
def test_a_deeply_nested_manifest_is_refused(forgery: Forgery, tmp_path: Path, depth: int) -> None:
    forgery.manifest["training"]["settings"]["nest"] = "NEST"
    path = tmp_path / "deep.sgb"
    path.write_bytes(forgery.signed(lambda text: text.replace('"NEST"', "[" * depth + "]" * depth)))
    refusal(path)


def no_scale(forged: Forgery) -> None:
    forged.manifest["scales"].pop()


def one_scale_more(forged: Forgery) -> None:
    forged.manifest["scales"].append(deepcopy(forged.manifest["scales"][-1]))


def thousand_scales(forged: Forgery) -> None:
    forged.manifest["scales"] *= 200


def huge_everything(forged: Forgery) -> None:
    forged.manifest["scales"] = [dict(height=65_536, width=65_536, channels=4096, noise_amplitude=1.0)] * 256


def huge_picture(forged: Forgery) -> None:
    forged.manifest["scales"][-1] |= dict(height=65_536, width=65_536)
    forged.entries["picture"]["shape"] = [65_536, 65_536, 3]


def huge_picture_with_its_offsets(forged: Forgery) -> None:
    huge_picture(forged)
    start = forged.entries["picture"]["data_offsets"][0]
    forged.entries["picture"]["data_offsets"] = [start, start + 3 * 65_536**2]


def huge_layers(forged: Forgery) -> None:
    forged.manifest["scales"][2]["channels"] = 4096
    for layer in range(5):
        weight = forged.entries[f"scales.2.convolutions.{layer}.weight"]
        weight["shape"] = [4096 if n == 8 else n for n in weight["shape"]]
        bias = forged.entries[f"scales.2.convolutions.{layer}.bias"]
        bias["shape"] = [4096 if n == 8 else n for n in bias["shape"]]


def missing(name: str) -> Callable[[Forgery], None]:
    def forge(forged: Forgery) -> None:
        del forged.entries[name]

    return forge


def extra(name: str, entry: Any) -> Callable[[Forgery], None]:
    def forge(forged: Forgery) -> None:
        forged.entries[name] = entry

    return forge


def entry(name: str, **fields: Any) -> Callable[[Forgery], None]:
    def forge(forged: Forgery) -> None:
        forged.entries[name] |= fields

    return forge


def shifted(name: str, start: int, end: int) -> Callable[[Forgery], None]:
    def forge(forged: Forgery) -> None:
        offsets = forged.entries[name]["data_offsets"]
        offsets[:] = [offsets[0] + start, offsets[1] + end]

    return forge


def spoilt(name: str, value: float) -> Callable[[Forgery], None]:
    def forge(forged: Forgery) -> None:
        values = forged.tensor(name).copy()
        values[len(values) // 2] = value
        forged.put(name, values)

    return forge


def other_metadata(value: Any) -> Callable[[Forgery], None]:
    def forge(forged: Forgery) -> None:
        forged.metadata["other"] = value

    return forge


WEIGHT, BIAS = "scales.1.convolutions.2.weight", "scales.3.convolutions.4.bias"

FORGERIES: dict[str, Callable[[Forgery], None]] = {
    "a scale less": no_scale,
    "a scale more": one_scale_more,
    "a thousand scales": thousand_scales,
    "huge everything": huge_everything,
    "huge picture": huge_picture,
    "huge picture with its offsets": huge_picture_with_its_offsets,
    "huge layers": huge_layers,
    "no picture": missing("picture"),
    "no z_star": missing("z_star"),
    "no weight": missing(WEIGHT),
    "no bias": missing(BIAS),
    "empty extra tensor": extra("extra", {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}),
    "extra tensor over another": extra("extra", {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}),
    "extra number": extra("extra", 1),
    "extra scale": extra("scales.9.convolutions.0.weight", {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}),
    "extra name with an escape": extra("\x1b]0;title\x07", {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}),
    "extra name with a surrogate": extra("\ud800", {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}),
    "extra long name": extra("n" * 500_000, {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}),
    "float64 weight": entry(WEIGHT, dtype="F64"),
    "float16 weight": entry(WEIGHT, dtype="F16"),
    "int32 weight": entry(WEIGHT, dtype="I32"),
    "unknown type": entry(WEIGHT, dtype="PICKLE"),
    "type with an escape": entry(WEIGHT, dtype="\x1b[2J"),
    "no type": entry(WEIGHT, dtype=None),
    "signed picture": entry("picture", dtype="I8"),
    "flat weight": entry(WEIGHT, shape=[576]),
    "turned weight": entry(WEIGHT, shape=[3, 3, 8, 8]),
    "no shape": entry(WEIGHT, shape=None),
    "shape of floats": entry(WEIGHT, shape=[8.0, 8.0, 3.0, 3.0]),
    "negative shape": entry(WEIGHT, shape=[-8, -8, 3, 3]),
    "overflowing shape": entry(WEIGHT, shape=[2**62, 2**62, 3, 3]),
    "shape beyond 64 bits": entry(WEIGHT, shape=[2**70, 1, 3, 3]),
    "long shape": entry(WEIGHT, shape=[1] * 100_000),
    "turned z_star": entry("z_star", shape=[1, 1, 15, 12]),
    "bias of a map": entry(BIAS, shape=[3, 1]),
    "no offsets": entry(WEIGHT, data_offsets=None),
    "one offset": entry(WEIGHT, data_offsets=[0]),
    "negative offsets": entry(WEIGHT, data_offsets=[-2304, 0]),
    "offsets far out": entry(WEIGHT, data_offsets=[2**40, 2**40 + 2304]),
    "offsets beyond 64 bits": entry(WEIGHT, data_offsets=[2**64, 2**64 + 2304]),
    "offsets that overflow": entry(WEIGHT, data_offsets=[2**64 - 2304, 2**64 - 1]),
    "offsets the wrong way": entry(WEIGHT, data_offsets=[4000, 2000]),
    "offsets of another tensor": entry(WEIGHT, data_offsets=[0, 2304]),
    "early offsets": shifted(WEIGHT, -4, -4),
    "longer tensor": shifted(WEIGHT, 0, 4),
    "shorter tensor": shifted(WEIGHT, 4, 0),
    "metadata that is no text": other_metadata({"a": 1}),
    "NaN weight": spoilt(WEIGHT, float("nan")),
    "NaN bias": spoilt(BIAS, float("nan")),
    "infinite weight": spoilt(WEIGHT, float("inf")),
    "NaN z_star": spoilt("z_star", float("nan")),
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES.keys())
def test_a_forged_tensor_is_refused(forgery: Forgery, tmp_path: Path, forge: Callable[[Forgery], None]) -> None:
    forge(forgery)
    path = tmp_path / "forged.sgb"
    path.write_bytes(forgery.signed())
    message = refusal(path)
    assert len(message) < len(str(path)) + 400


@pytest.mark.parametrize("last", ["true", "false"])
def test_a_tensor_told_twice_is_refused(forgery: Forgery, tmp_path: Path, last: str) -> None:
    key, told = f'"{WEIGHT}": ', json.dumps(forgery.entries[WEIGHT])
    false = json.dumps({**forgery.entries[WEIGHT], "shape": [576]})
    twice = f"{key}{false}, {key}{told}" if last == "true" else f"{key}{told}, {key}{false}"
    path = tmp_path / "twice.sgb"
    path.write_bytes(forgery.signed(change_header=lambda header: header.replace(key + told, twice)))
    assert f"field '{WEIGHT}' stands twice" in refusal(path)


def test_forged_sizes_take_no_memory(tiny_bundle_path: Path, tmp_path: Path) -> None:
    pytest.importorskip("resource")
    content = tiny_bundle_path.read_bytes()
    paths = []
    huge = [huge_everything, huge_picture, huge_picture_with_its_offsets, huge_layers, thousand_scales]
    for number, forge in enumerate(huge):
        forged = Forgery(content)
        forge(forged)
        paths.append(tmp_path / f"{number}.sgb")
        paths[-1].write_bytes(forged.signed())
    paths.append(tmp_path / "header.sgb")
    paths[-1].write_bytes(struct.pack("<Q", 2**60) + b"{}" * 500)
    program = """
import resource, sys
import singan_toolkit as st
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
st.load(sys.argv[1])
before, refused = peak(), 0
for path in sys.argv[2:]:
    try:
        st.load(path)
    except st.BundleError:
        refused += 1
print(refused, peak() - before)
"""
    refused, grown = python(program, tiny_bundle_path, *paths).split()
    assert int(refused) == len(paths)
    assert int(grown) < MEMORY


class TestScalesOfPatches:
    @pytest.mark.parametrize(
        ("change", "why"),
        [
            (lambda scales: scales[0].update(height=6), "greater than or equal to 7"),
            (lambda scales: scales[1].update(width=3), "greater than or equal to 7"),
            (lambda scales: scales[1].update(height=65_536, width=65_536), "at most 268435456 are allowed"),
            (lambda scales: scales[1].update(height=600, width=600), "compare .* pairs of patches"),
            (lambda scales: scales[-1].update(channels=None), "above one with them"),
            (lambda scales: [one.update(channels=None) for one in scales], "no scale has channels"),
        ],
    )
    def test_are_refused_before_anything_is_made_of_them(
        self, patch_bundle: st.Bundle, tmp_path: Path, change: Callable[[list[dict[str, Any]]], object], why: str
    ) -> None:
        patch_bundle.save(tmp_path / "a.sgb")
        forgery = Forgery((tmp_path / "a.sgb").read_bytes())
        change(forgery.manifest["scales"])
        (tmp_path / "a.sgb").write_bytes(forgery.signed())
        with pytest.raises(st.BundleError, match=why):
            st.load(tmp_path / "a.sgb")

    def test_of_version_2_cannot_have_them(self, patch_bundle: st.Bundle, tmp_path: Path) -> None:
        patch_bundle.save(tmp_path / "a.sgb")
        forgery = Forgery((tmp_path / "a.sgb").read_bytes())
        forgery.manifest["version"] = 2
        (tmp_path / "a.sgb").write_bytes(forgery.signed())
        with pytest.raises(st.BundleError, match="came with version 3"):
            st.load(tmp_path / "a.sgb")

    def test_the_noise_is_as_strong_as_the_file_says(self, patch_bundle: st.Bundle) -> None:
        coarsest, *others = patch_bundle.manifest.scales
        louder = coarsest.model_copy(update=dict(noise_amplitude=0.7))
        manifest = patch_bundle.manifest.model_copy(update=dict(scales=[louder, *others]))
        assert replace(patch_bundle, manifest=manifest).pyramid("cpu").scales[0].noise_amplitude == 0.7
        assert patch_bundle.pyramid("cpu").scales[0].noise_amplitude == coarsest.noise_amplitude
