"""Bundles changed at random in many ways, to find one that is neither opened nor refused in a sentence.

By hand: ``python tests/fuzz_bundles.py --inputs 100000 --seed 0``. What it finds it saves, with the
number that makes the same input again.
"""

from __future__ import annotations

import argparse
import json
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

import singan_toolkit as st
from bundle_files import NO_DIGEST, Forgery, Place, headed
from singan_toolkit.bundle.manifest import Manifest

MEMORY = 1 << 30
"""What opening and using one may take beyond what the process has, in bytes."""
SECONDS = 5.0
"""The processor's time that opening and using one may take."""


def valid(folder: Path) -> list[bytes]:
    """Files of some kilobytes that can be used: with scales of patches, without, and with noise over the sides."""
    sizes: list[list[tuple[int, int, int | None]]] = [
        [(12, 16, None), (18, 24, None), (27, 36, 2)],
        [(12, 15, 2), (18, 22, 2)],
        [(12, 12, 1), (18, 18, 3)],
    ]
    files = []
    for number, scales in enumerate(sizes):
        random = np.random.default_rng(number)
        manifest = Manifest.model_validate(
            dict(
                architecture=dict(noise_padding="noise" if number == 2 else "zeros"),
                factor=1.5,
                scales=[dict(height=h, width=w, channels=c, noise_amplitude=0.5) for h, w, c in scales],
                training=dict(picture="a.png", preset="fast", settings={}, seed=0, toolkit="0", torch="0"),
            )
        )
        tensors = {
            name: random.integers(0, 255, shape).astype("u1")
            if kind == "U8"
            else random.normal(0, 0.3, shape).astype("<f4")
            for name, (kind, shape) in manifest.tensors().items()
        }
        st.Bundle(manifest, tensors).save(folder / "valid.sgb")
        files.append((folder / "valid.sgb").read_bytes())
    return files


def changed_bytes(random: Random, content: bytes) -> bytes:
    """Anywhere, or in the header alone."""
    damaged = bytearray(content)
    for _ in range(random.randint(1, 8)):
        damaged[random.randrange(random.choice([8, 1500, len(damaged)]))] = random.randrange(256)
    return bytes(damaged)


def cut(random: Random, content: bytes) -> bytes:
    """A part is missing, or there twice."""
    one, other = (random.randrange(len(content) + 1) for _ in range(2))
    return random.choice([content[:one], content[:one] + content[other:]])


def other_length(random: Random, content: bytes) -> bytes:
    """The header says that it is longer or shorter."""
    length = int.from_bytes(content[:8], "little")
    new = random.choice([0, 1, length - 1, length + 1, len(content), 1 << 20, 1 << 31, (1 << 64) - 1])
    return new.to_bytes(8, "little") + content[8:]


def other_value(random: Random, value: Any) -> Any:
    """Near to a value, or of any kind."""
    if isinstance(value, (int, float)) and random.random() < 0.6:
        return random.choice([value + 1, value - 1, value * 2, -value, float(value), value / 2, str(value)])
    deep: Any = "x"
    for _ in range(random.choice([3, 40, 900])):
        deep = random.choice([[deep], {"a": deep}])
    numbers = [-1, 0, 1, 2, 65_536, 2**31, 2**32, 2**63, 2**64, 10**30, 1e308, 5e-324, float("nan"), float("inf")]
    texts = ["", "x" * 5000, "\0", "\x1b[31m", "\u202e", "\ud800", "zeros", "noise", "reflect", NO_DIGEST, "U8", "F32"]
    return random.choice([random.choice(numbers), random.choice(texts), None, True, [], {}, [value], deep])


def places(value: Any) -> list[Place]:
    """Where something stands in JSON, to the last leaf; not by recursion, since it may be deep."""
    found: list[Place] = []
    inside: list[tuple[Place, Any]] = [((), value)]
    while inside:
        at, outer = inside.pop()
        inner = outer.items() if isinstance(outer, dict) else enumerate(outer) if isinstance(outer, list) else ()
        below = [((*at, key), one) for key, one in inner if len(at) < 20]
        inside += below
        found += [at for at, _ in below]
    return found


def change_json(random: Random, value: Any) -> None:
    """Another value, none, or one more, in one to three places."""
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        if not (all_places := places(value)):
            return
        place: Any = random.choice(all_places)
        *way, last = place
        target: Any = value
        for part in way:
            target = target[part]
        match random.randrange(6):
            case 0:
                del target[last]
            case 1 if isinstance(target, list):
                target.insert(random.randint(0, len(target)), target[last])
            case 1:
                target[random.choice(["x", "", "__metadata__", "digest", "parent", "version"])] = target[last]
            case _:
                target[last] = other_value(random, target[last])


def other_manifest(random: Random, forgery: Forgery) -> bytes:
    """Another manifest, with the digest that is right for it."""
    change_json(random, forgery.manifest)
    return forgery.signed()


def other_entries(random: Random, forgery: Forgery) -> bytes:
    """Tensors that are described otherwise."""
    change_json(random, forgery.entries)
    return forgery.signed()


def other_places(random: Random, forgery: Forgery) -> bytes:
    """Tensors that lie elsewhere: exchanged, shifted, over each other, or in another order."""
    names = list(forgery.entries)
    for _ in range(random.randint(1, 3)):
        one, other = (forgery.entries[random.choice(names)] for _ in range(2))
        start, end = one["data_offsets"]
        match random.randrange(5):
            case 0:
                one["data_offsets"], other["data_offsets"] = other["data_offsets"], one["data_offsets"]
            case 1:
                one["data_offsets"] = other["data_offsets"]
            case 2:
                shift = random.choice([-4, -1, 1, 4, 2**31, 2**63, -(2**63)])
                one["data_offsets"] = [start + random.choice([0, shift]), end + shift]
            case 3:
                one["data_offsets"] = [random.choice([start, 0, -1, 2**64]), random.choice([end, start, 0, 2**64])]
            case _:
                items = list(forgery.entries.items())
                random.shuffle(items)
                forgery.entries = dict(items)
    return forgery.signed()


def other_numbers(random: Random, forgery: Forgery) -> bytes:
    """Tensors of other values, among them none and infinite ones."""
    data = bytearray(forgery.data)
    values = random.choice([[1e-45, -0.0, 999.0, random.gauss(0, 30)], [np.nan, np.inf, -np.inf, 3e38, 1001.0]])
    for _ in range(random.randint(1, 20)):
        start = random.randrange(len(data) // 4) * 4
        data[start : start + 4] = np.float32(random.choice(values)).tobytes()
    forgery.data = bytes(data)
    return forgery.signed()


def other_text(random: Random, forgery: Forgery) -> bytes:
    """JSON that is none, or is read in two ways, in the manifest or the header."""
    pieces = [
        "9" * 5000,
        "[" * 3000,
        '{"a":' * 500,
        "NaN",
        "1e999",
        '"',
        ",",
        "\\ud800",
        "\\u0000",
        "-",
        "0x1",
        "//",
        " ",
    ]
    pieces += ['"factor":1.5,', '"version":3,', '"__metadata__":{},', "\ufeff", "é", "\n" * 100, "}", "]", ":"]

    def change(text: str) -> str:
        start = random.randint(0, len(text))
        return text[:start] + random.choice(pieces) + text[start + random.choice([0, 0, 1, 3]) :]

    return forgery.signed(change) if random.random() < 0.6 else forgery.signed(change_header=change)


def other_sizes(random: Random, forgery: Forgery) -> bytes:
    """Scales of other sizes and widths, with tensors of the shapes that fit."""
    factor, wrong = random.choice([1, 1.01, 1.2, 1.5, 2, 16]), random.random() < 0.3
    height, width = random.randint(1, 40), random.randint(1, 40)
    count, patches = random.randint(1, 6), random.choice([0, 0, 1, 2])
    forgery.manifest["factor"] = factor
    forgery.manifest["scales"] = [
        dict(
            height=max(1 if wrong else 7, round(height / factor**n) + wrong * random.choice([-1, 0, 1])),
            width=max(1 if wrong else 7, round(width / factor**n)),
            channels=None if count - n <= patches else random.choice([1, 2, 3]),
            noise_amplitude=random.choice([0, 0.5, 20]),
        )
        for n in reversed(range(count))
    ]
    try:
        tensors = Manifest.model_validate(forgery.manifest).tensors()
    except ValueError:
        return forgery.signed()
    forgery.entries, forgery.data = {}, b""
    for name, (kind, shape) in tensors.items():
        values = np.full(shape, random.choice([0, 1, 9]), "u1" if kind == "U8" else "<f4")
        end = len(forgery.data) + values.nbytes
        forgery.entries[name] = dict(dtype=kind, shape=list(shape), data_offsets=[len(forgery.data), end])
        forgery.data += values.tobytes()
    return forgery.signed()


def mixed(random: Random, content: bytes, others: list[bytes]) -> bytes:
    """The header of one with the tensors of another."""
    other = random.choice(others)
    header = content[8 : 8 + int.from_bytes(content[:8], "little")]
    return headed(header, other[8 + int.from_bytes(other[:8], "little") :])


RAW: list[Callable[[Random, bytes], bytes]] = [changed_bytes, cut, other_length]
SIGNED: list[Callable[[Random, Forgery], bytes]] = [
    other_manifest,
    other_entries,
    other_places,
    other_numbers,
    other_text,
    other_sizes,
]


def hostile(random: Random, files: list[bytes]) -> tuple[str, bytes]:
    """The name of a way to change a file, and a file changed so."""
    content = random.choice(files)
    if random.random() < 0.05:
        return "mixed", mixed(random, content, files)
    if random.random() < 0.2:
        change = random.choice(RAW)
        return change.__name__, change(random, content)
    sign = random.choice(SIGNED)
    return sign.__name__, sign(random, Forgery(content))


def outcome(path: Path, use: bool) -> str:
    """``opened`` or ``refused`` or, where it is neither, what is wrong; an opened one may be used as well."""
    started = time.process_time()
    try:
        bundle = st.load(path)
    except st.BundleError as error:
        said = str(error)
        how = "refused" if said.isprintable() and str(path) in said else f"an unclear sentence: {said!r}"
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # panics of compiled code are no Exception
        return f"opening raised {type(error).__name__}: {str(error)[:300]!r}"
    else:
        try:
            pyramid = bundle.pyramid("cpu")
            made = bundle.run("generate", count=1, candidates=1, device="cpu")[0].shape if use else None
            how = "opened" if made in (None, (*pyramid.geometry.finest, 3)) else f"it gives {made}"
        except Exception as error:
            return f"using raised {type(error).__name__}: {str(error)[:300]!r}"
    return how if time.process_time() - started < SECONDS else f"{how}, but slowly"


def fuzz(inputs: Iterable[int], seed: int, save: Path, tell: Callable[[str], object]) -> Counter[str]:
    """Open changed bundles in this process, with little memory and time, and use every tenth that can be opened.

    Args:
        inputs: Their numbers.
        seed: Another seed gives others.
        save: The folder for those that are neither opened nor refused.
        tell: Called with a sentence on each of these, and now and then with how far it is.

    Returns:
        How many were ``opened``, ``refused`` and ``defects``, and how many of each way of changing them.
    """

    def too_long(*_: object) -> None:
        raise TimeoutError("it takes too long")

    counts: Counter[str] = Counter()
    limits, handler = resource.getrlimit(resource.RLIMIT_AS), signal.signal(signal.SIGVTALRM, too_long)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        path, files = Path(folder, "fuzzed.sgb"), valid(Path(folder))
        for content in files:
            path.write_bytes(content)
            assert outcome(path, use=True) == "opened"  # and all that is loaded when it is needed is there
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, limits[1]))
        try:
            for number in inputs:
                way, content = hostile(Random(f"{seed}-{number}"), files)
                path.write_bytes(content)
                signal.setitimer(signal.ITIMER_VIRTUAL, 4 * SECONDS)
                how = outcome(path, use=number % 10 == 0)
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)
                kind = how if how in ("opened", "refused") else "defects"
                counts.update([kind, f"{way}, {kind}"])
                if kind == "defects":
                    save.mkdir(parents=True, exist_ok=True)
                    (save / f"{seed}-{number}.sgb").write_bytes(content)
                    tell(f"--seed {seed} --only {number} ({way}): {how}")
                elif number % 1000 == 999:
                    tell(json.dumps({"inputs": number + 1, **{name: counts[name] for name in ("opened", "refused")}}))
        finally:
            resource.setrlimit(resource.RLIMIT_AS, limits)
            signal.signal(signal.SIGVTALRM, handler)
            torch.set_num_threads(threads)
    return counts


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--inputs", type=int, default=100_000, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="another gives others")
    parser.add_argument("--only", type=int, help="the number of the only one to try")
    parser.add_argument("--save", type=Path, default=Path("fuzzed"), help="folder for what is found")
    given = parser.parse_args()
    numbers = range(given.inputs) if given.only is None else [given.only]
    found = fuzz(numbers, given.seed, given.save, lambda text: print(text, file=sys.stderr, flush=True))
    print(json.dumps(dict(sorted(found.items())), indent=1))
    sys.exit(bool(found["defects"]))
