"""Write into bad-inputs.md what comes of bad inputs among others, by trying them: python docs/make_bad_inputs.py."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from singan_toolkit.cli.console import printable

PAGE = Path(__file__).parent / "bad-inputs.md"
MARK = "<!-- tried -->\n"
QUICK = (
    "--preset draft --device cpu --jobs 1 --max-size 40 --set iterations=2 --set finest_iterations=2 --set channels=4"
)

Writer = Callable[[Path], Any]


@dataclass(frozen=True)
class Bad:
    """An input that may be bad.

    Attributes:
        name: Of the file.
        what: It is.
        write: Puts it at a path.
    """

    name: str
    what: str
    write: Writer


def _picture(kind: str = "PNG", mode: str = "", size: tuple[int, int] = (0, 0), **options: Any) -> bytes:
    """A picture of 40x32 pixels, or a grey one of another size, as a file's bytes."""
    cells = np.random.default_rng(0).integers(0, 255, (8, 10, 3), np.uint8)
    image = Image.fromarray(np.kron(cells, np.ones((4, 4, 1), np.uint8)))
    if any(size):
        image = Image.new("L", size, 90)
    if mode == "P":
        image = Image.fromarray(np.asarray(image)[..., 0] % 8)
        image.putpalette(range(0, 240, 10))
    image = image.convert(mode or None)
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def _bytes(content: bytes) -> Writer:
    return lambda path: path.write_bytes(content)


def _link(to: str) -> Writer:
    return lambda path: path.symlink_to(to)


def _folder(path: Path) -> None:
    path.mkdir()
    (path / "inner.png").write_bytes(_picture())


def _locked(path: Path) -> None:
    path.write_bytes(_picture())
    path.chmod(0)


def _bomb(side: int) -> bytes:
    """A PNG of that many black pixels a side, which packs them well."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((side // 8 + 1) * side))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


_TURNED = Image.Exif()
_TURNED[0x112] = 6
_NO_TEXT = os.fsdecode(b"no-\xff-text")

PICTURES = [
    Bad("good.png", "a good one", _bytes(_picture())),
    Bad("cut.png", "a PNG that is cut off", _bytes(_picture()[:-60])),
    Bad("cut-off.jpg", "a JPEG that is cut off", _bytes(_picture("JPEG", quality=95)[:-300])),
    Bad("empty.png", "zero bytes", _bytes(b"")),
    Bad("text.png", "text", _bytes(b"these are words\n")),
    Bad("jpeg.png", "a JPEG with a wrong ending", _bytes(_picture("JPEG", quality=95))),
    Bad("picture.txt", "a PNG with an ending of no picture", _bytes(_picture())),
    Bad("cmyk.jpg", "CMYK", _bytes(_picture("JPEG", "CMYK", quality=95))),
    Bad("palette.png", "a palette with a transparent colour", _bytes(_picture(mode="P", transparency=0))),
    Bad("opaque.png", "the same where no pixel has it", _bytes(_picture(mode="P", transparency=99))),
    Bad(
        "moving.gif", "an animation", _bytes(_picture("GIF", save_all=True, append_images=[Image.new("RGB", (40, 32))]))
    ),
    Bad("turned.jpg", "turned by EXIF, and taken upright", _bytes(_picture("JPEG", quality=95, exif=_TURNED))),
    Bad("one.png", "1x1 pixels", _bytes(_picture(size=(1, 1)))),
    Bad("strip.png", "10x10,000 pixels", _bytes(_picture(size=(10, 10_000)))),
    Bad("ribbon.png", "30x10,000 pixels", _bytes(_picture(size=(30, 10_000)))),
    Bad("flat.png", "one colour", _bytes(_picture(size=(40, 32)))),
    Bad("bomb.png", "a decompression bomb, 400 million pixels in 50 KB", _bytes(_bomb(20_000))),
    Bad("locked.png", "a file that may not be read", _locked),
    Bad("with a space.png", "a name with spaces", _bytes(_picture())),
    Bad("with\na line.png", "a name with a line end", _bytes(_picture())),
    Bad(f"{_NO_TEXT}.png", "a name that is no UTF-8", _bytes(_picture())),
    Bad("[a]*.png", "a name like a pattern", _bytes(_picture())),
    Bad("a.png", "a folder", _folder),
    Bad("gone.png", "a link to nothing", _link("nowhere.png")),
    Bad("loop.png", "a link to itself", _link("loop.png")),
    Bad("round", "a link to the folder that it lies in", _link(".")),
    Bad("pipe.png", "a named pipe", os.mkfifo),
]


def bundles(good: bytes) -> Sequence[Bad]:
    """Bad bundles, made of a good one."""
    newer = re.sub(rb'(version\\":)\d+', rb"\g<1>9", good, count=1)
    return [
        Bad("good.sgb", "a good one", _bytes(good)),
        Bad("cut.sgb", "one that is cut short", _bytes(good[:-100])),
        Bad("empty.sgb", "zero bytes", _bytes(b"")),
        Bad("changed.sgb", "one with a bit changed", _bytes(good[:-9] + bytes([good[-9] ^ 1]) + good[-8:])),
        Bad("newer.sgb", "one of a newer format", _bytes(newer)),
        Bad("picture.sgb", "a picture", _bytes(_picture())),
        Bad("text.sgb", "text", _bytes(b"these are words\n")),
        Bad("locked.sgb", "a file that may not be read", _locked),
        Bad(f"{_NO_TEXT}.sgb", "a name that is no UTF-8", _bytes(good)),
        Bad("a.sgb", "a folder", _folder),
        Bad("gone.sgb", "a link to nothing", _link("nowhere.sgb")),
        Bad("pipe.sgb", "a named pipe", os.mkfifo),
    ]


@dataclass(frozen=True)
class Tried:
    """A command with many inputs, and what came of it.

    Attributes:
        inputs: By name.
        status: The exit status.
        objects: What it wrote to stdout with ``--json``.
        notes: What it wrote to stderr.
        ledger: What ``singan-tk batch status --json`` says then.
    """

    inputs: Sequence[Bad]
    status: int
    objects: Sequence[Mapping[str, Any]]
    notes: Sequence[str]
    ledger: Sequence[Mapping[str, str]]

    def about(self, name: str) -> Mapping[str, Any] | None:
        """The object on an input."""
        return next(
            (one for one in self.objects if Path((one.get("inputs") or [one["picture"]])[0]).name == name), None
        )

    def what_comes(self, bad: Bad) -> str:
        """A cell of the table."""
        found = self.about(bad.name)
        if found is None:
            told = any(note.startswith("passed over") and bad.name in note for note in self.notes)
            return "passed over, and told" if told else "passed over"
        if "error" in found:
            return f"failed: {found['error']}"
        warned = [note for note in self.notes if note.startswith("warning: ") and f"/{bad.name} " in note]
        return "done" + "".join(f", with the {note}" for note in warned)


def tk(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line, as one who may not read everything, as root may."""
    as_others = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if os.getuid() == 0 else []
    command = [*(as_others if shutil.which("setpriv") else []), sys.executable, "-m", "singan_toolkit", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)


def tried(folder: Path, inputs: Sequence[Bad], home: str, out: str, command: str) -> Tried:
    """Put inputs into a folder, and call a command on it."""
    (folder / home).mkdir()
    for bad in inputs:
        bad.write(folder / home / bad.name)
    done = tk(folder, *command.split(), "--json")
    said = [json.loads(line) for line in done.stderr.splitlines()]
    ledger = [json.loads(line) for line in tk(folder, "batch", "status", out, "--json").stdout.splitlines()]
    objects = [json.loads(line) for line in done.stdout.splitlines()]
    return Tried(inputs, done.returncode, objects, [one.get("note") or one["error"] for one in said], ledger)


def try_all(folder: Path) -> tuple[Tried, Tried]:
    """Train on all pictures, and run a task on all bundles."""
    pictures = tried(folder, PICTURES, "pictures", "trained", f"train pictures -o trained {QUICK}")
    good = bundles((folder / "trained" / "good.sgb").read_bytes())
    return pictures, tried(
        folder, good, "bundles", "made", "run generate -b bundles -o made -n 1 --device cpu --jobs 1"
    )


def with_tables(page: str, both: Sequence[Tried]) -> str:
    """A page with what came of each input after the mark."""
    lines = [page.split(MARK)[0] + MARK]
    for kind, one in zip(("picture", "bundle"), both, strict=True):
        rows = [f"| `{printable(bad.name)}`: {bad.what} | {printable(one.what_comes(bad))} |" for bad in one.inputs]
        lines += [f"| a {kind} | what comes of it |\n|---|---|", *rows, ""]
    return "\n".join(lines[:-1]) + "\n"


if __name__ == "__main__":
    with TemporaryDirectory() as temporary:
        PAGE.write_text(with_tables(PAGE.read_text(), try_all(Path(temporary))))
