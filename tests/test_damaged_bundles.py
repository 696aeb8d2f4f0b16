"""Files that are no bundle, or are not whole."""

from __future__ import annotations

import json
import os
import random
import struct
from pathlib import Path

import pytest

from bundle_files import headed, refusal


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "nothing.sgb")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.sgb").mkdir()
    refusal(tmp_path / "folder.sgb")


@pytest.mark.parametrize("seed", range(8))
def test_a_cut_file_is_refused(tiny_bundle_path: Path, tmp_path: Path, seed: int) -> None:
    content = tiny_bundle_path.read_bytes()
    draw = random.Random(seed)
    path = tmp_path / "cut.sgb"
    for _ in range(8):
        path.write_bytes(content[: draw.randrange(len(content))])
        refusal(path)
    header_end = 8 + int.from_bytes(content[:8], "little")
    path.write_bytes(content[: draw.randrange(header_end)])
    refusal(path)
    path.write_bytes(content[: -1 - seed])
    refusal(path)


@pytest.mark.parametrize("seed", range(8))
def test_a_flipped_byte_is_noticed_wherever_it_is(tiny_bundle_path: Path, tmp_path: Path, seed: int) -> None:
    content = tiny_bundle_path.read_bytes()
    header_end = 8 + int.from_bytes(content[:8], "little")
    digest = content.index(
        json.loads(json.loads(content[8:header_end])["__metadata__"]["singan_toolkit"])["digest"].encode()
    )
    draw = random.Random(seed)
    spots = [
        *[draw.randrange(8) for _ in range(2)],
        *[draw.randrange(8, header_end) for _ in range(10)],
        *[draw.randrange(digest, digest + 64) for _ in range(3)],
        *[draw.randrange(header_end, len(content)) for _ in range(5)],
    ]
    path = tmp_path / "flipped.sgb"
    for spot in spots:
        damaged = bytearray(content)
        damaged[spot] ^= draw.randrange(1, 256)
        path.write_bytes(damaged)
        refusal(path)


@pytest.mark.parametrize("extra", [b"\0", b"\n", b"\0" * 4096])
def test_a_file_with_something_added_is_refused(tiny_bundle_path: Path, tmp_path: Path, extra: bytes) -> None:
    path = tmp_path / "longer.sgb"
    path.write_bytes(tiny_bundle_path.read_bytes() + extra)
    refusal(path)


@pytest.mark.parametrize("content", ["bundle", "nothing"])
def test_a_vast_file_is_refused_unread(tiny_bundle_path: Path, tmp_path: Path, content: str) -> None:
    path = tmp_path / "vast.sgb"
    path.write_bytes(tiny_bundle_path.read_bytes() if content == "bundle" else b"")
    os.truncate(path, 1 << 29)
    refusal(path)


STRANGE = {
    "empty": b"",
    "one byte": b"\0",
    "seven bytes": b"\0" * 7,
    "eight bytes": b"\0" * 8,
    "nulls": b"\0" * 5000,
    "text": b"This is not a bundle, and never was one.\n" * 20,
    "png": b"\x89PNG\r\n\x1a\n" + b"\0" * 200,
    "zip": b"PK\x03\x04" + b"\0" * 200,
    "pickle": b"\x80\x04\x95\x10\0\0\0\0\0\0\0}\x94." + b"\0" * 200,
    "header of 2**60": struct.pack("<Q", 2**60) + b"{}" * 500,
    "header of 2**64 - 1": struct.pack("<Q", 2**64 - 1) + b"{}" * 500,
    "header of 2**31": struct.pack("<Q", 2**31) + b"{}" * 500,
    "header one too long": struct.pack("<Q", 3) + b"{}",
    "header of nothing": struct.pack("<Q", 0) + b"{}",
    "header of one byte": struct.pack("<Q", 1) + b"0" * 100,
    "not json": headed(b"{not json at all}"),
    "list": headed(b"[]"),
    "number": headed(b"17"),
    "null": headed(b"null"),
    "string": headed(b'"__metadata__"'),
    "no metadata": headed(b"{}"),
    "metadata of text": headed(b'{"__metadata__":"singan_toolkit"}'),
    "metadata of null": headed(b'{"__metadata__":null}'),
    "metadata of nothing": headed(b'{"__metadata__":{}}'),
    "manifest of null": headed(b'{"__metadata__":{"singan_toolkit":null}}'),
    "manifest of number": headed(b'{"__metadata__":{"singan_toolkit":1}}'),
    "manifest of text": headed(b'{"__metadata__":{"singan_toolkit":"hello"}}'),
    "manifest of a list": headed(b'{"__metadata__":{"singan_toolkit":"[]"}}'),
    "manifest of nothing": headed(b'{"__metadata__":{"singan_toolkit":"{}"}}'),
    "broken utf-8": headed(b'{"__metadata__":"\xff\xfe"}'),
    "utf-16": headed('{"__metadata__":{"singan_toolkit":"{}"}}'.encode("utf-16")),
    "deep list": headed(b"[" * 500_000),
    "deep objects": headed(b'{"a":' * 150_000),
    "deep closed list": headed(b"[" * 300_000 + b"]" * 300_000),
    "long number": headed(b'{"a":' + b"9" * 500_000 + b"}"),
    "header above a megabyte": headed(b'{"a":"' + b"x" * (1 << 20) + b'"}'),
    "many entries": headed(b"{" + b",".join(b'"%d":0' % n for n in range(80_000)) + b"}"),
}


@pytest.mark.parametrize("content", STRANGE.values(), ids=STRANGE.keys())
def test_a_strange_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "strange.sgb"
    path.write_bytes(content)
    refusal(path)


@pytest.mark.parametrize("seed", range(10))
def test_random_bytes_are_refused(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "random.sgb"
    draw = random.Random(seed)
    path.write_bytes(headed(draw.randbytes(draw.randrange(2, 3000)), draw.randbytes(500)))
    refusal(path)
