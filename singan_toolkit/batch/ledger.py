"""The ledger of a folder: what was made there, of what, and what failed. One SQLite file that outlives any end.

It says `made`, with the digests of the results, before these get their names, and `done` after. So whatever ends the
process, the next one finds out which results are whole, and makes none twice.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, Self

from filelock import FileLock, Timeout

from singan_toolkit.errors import Failed, Kind, UnavailableError
from singan_toolkit.jobs import digest_of

FOLDER = ".singan-tk"
"""Beside the results: the ledger, its lock, and results that have no name yet."""
_TABLE = """CREATE TABLE IF NOT EXISTS jobs (
    target TEXT PRIMARY KEY, state TEXT NOT NULL, digest TEXT NOT NULL, job TEXT NOT NULL, inputs TEXT NOT NULL,
    version TEXT NOT NULL, results TEXT NOT NULL DEFAULT '{}', kind TEXT NOT NULL DEFAULT '',
    sentence TEXT NOT NULL DEFAULT '', attempts INTEGER NOT NULL DEFAULT 0, deaths INTEGER NOT NULL DEFAULT 0,
    started REAL, ended REAL) WITHOUT ROWID"""
_NEW = "INSERT OR REPLACE INTO jobs (target, state, digest, job, inputs, version) VALUES (?, 'waiting', ?, ?, ?, ?)"


@dataclass(frozen=True)
class Record:
    """A line of the ledger.

    Attributes:
        target: Where the result goes, from the ledger's folder on.
        state: ``waiting``, ``running``, ``made`` (has no name yet), ``done`` or ``failed``.
        digest: Of the job.
        job: As JSON.
        inputs: JSON object: the digest of what each file held, by its path.
        version: Of the toolkit.
        results: JSON object: the digest of each result, by its path from the ledger's folder on.
        kind: Through whom it failed; empty where it did not.
        sentence: Why it failed.
        attempts: How often it was begun.
        deaths: How often the process that did it ended with it.
        started: When it was begun last, in seconds since 1970.
        ended: When it was done, or failed.
    """

    target: str
    state: str
    digest: str
    job: str
    inputs: str
    version: str
    results: str = "{}"
    kind: Kind | Literal[""] = ""
    sentence: str = ""
    attempts: int = 0
    deaths: int = 0
    started: float | None = None
    ended: float | None = None


class Ledger:
    """A folder's ledger, open. Paths in it that are no text are kept as bytes."""

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        self.folder, self.connection = folder, connection

    @classmethod
    @contextmanager
    def open(cls, folder: Path) -> Iterator[Self]:
        """Open it to work, made if it is not there, with what an earlier end left set right.

        Raises:
            UnavailableError: Another process works in that folder, or the ledger cannot be read or written.
            OSError: The folder cannot be made.
        """
        home = folder / FOLDER
        home.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(home / "lock", blocking=False), _opened(home / "ledger.sqlite") as connection:
                ledger = cls(folder, connection)
                ledger._set_right()
                try:
                    yield ledger
                    shutil.rmtree(home / "parts", ignore_errors=True)
                finally:
                    with suppress(sqlite3.Error):  # on a full disk say, which is told already; the next run notes it
                        ledger._change("UPDATE jobs SET state = 'waiting' WHERE state = 'running'")
        except Timeout as error:
            raise UnavailableError(
                f"another run works in {folder}: wait until it has ended, or give another -o"
            ) from error

    @classmethod
    @contextmanager
    def read(cls, folder: Path) -> Iterator[Self | None]:
        """Open it to read, be it that a run goes on there; None where there is none.

        Raises:
            UnavailableError: It cannot be read.
        """
        path = folder / FOLDER / "ledger.sqlite"
        if not path.exists():
            yield None
            return
        with _opened(path) as connection:
            yield cls(folder, connection)

    def records(self) -> dict[str, Record]:
        """All lines, by target."""
        names = [field.name for field in fields(Record)]
        rows = self.connection.execute(f"SELECT {', '.join(names)} FROM jobs ORDER BY target")
        return {(record := Record(os.fsdecode(first), *rest)).target: record for first, *rest in rows}

    def put(self, records: Iterable[Record]) -> None:
        """Note what is to be done; what the targets' lines said before goes, but for attempts at the same job."""
        before = self.records()
        for one in records:
            self._change(_NEW, _key(one.target), one.digest, one.job, one.inputs, one.version, commit=False)
            old = before.get(one.target)
            if old and old.digest == one.digest:
                self._set(one.target, attempts=old.attempts, deaths=old.deaths, commit=False)
        self.connection.commit()

    def begin(self, target: str) -> None:
        """A job is begun."""
        self._change("UPDATE jobs SET attempts = attempts + 1 WHERE target = ?", _key(target), commit=False)
        self._set(target, state="running", started=time.time())

    def fail(self, target: str, failed: Failed, died: bool = False) -> None:
        """A job has failed, and perhaps taken its process with it."""
        self._change("UPDATE jobs SET deaths = deaths + ? WHERE target = ?", died, _key(target), commit=False)
        self._set(target, state="failed", kind=failed.kind, sentence=_text(failed.sentence), ended=time.time())

    def finish(self, target: str, written: Mapping[str, Path]) -> None:
        """Give results their names; whatever ends the process, this is done once.

        Args:
            target: Of the job.
            written: Whole files in the folder of ``parts``, by the paths that they get from the ledger's folder on.
        """
        digests = {name: digest_of(path) for name, path in written.items()}
        self._set(target, state="made", results=json.dumps(digests))
        for name, path in written.items():
            self._name(path, name)
        self._set(target, state="done", ended=time.time())

    def parts(self) -> Path:
        """An empty folder for results without names."""
        parts = self.folder / FOLDER / "parts"
        shutil.rmtree(parts, ignore_errors=True)
        parts.mkdir()
        return parts

    def _set_right(self) -> None:
        """Finish what was made, and forget what was only begun."""
        parts = self.folder / FOLDER / "parts"
        left = {digest_of(path): path for path in parts.iterdir()} if parts.exists() else {}
        for target, record in self.records().items():
            if record.state == "made":
                results = json.loads(record.results)
                for name, digest in results.items():
                    if digest in left:
                        with suppress(FileNotFoundError):
                            self._name(left[digest], name)
                whole = all(has(self.folder / name, digest) for name, digest in results.items())
                self._set(target, state="done" if whole else "waiting", ended=time.time())
            elif record.state == "running":
                self._set(target, state="waiting")
        shutil.rmtree(parts, ignore_errors=True)

    def _name(self, path: Path, name: str) -> None:
        place = self.folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        path.replace(os.path.realpath(place))

    def _set(self, target: str, *, commit: bool = True, **values: object) -> None:
        columns = ", ".join(f"{name} = ?" for name in values)
        self._change(f"UPDATE jobs SET {columns} WHERE target = ?", *values.values(), _key(target), commit=commit)

    def _change(self, statement: str, *values: object, commit: bool = True) -> None:
        self.connection.execute(statement, values)
        if commit:
            self.connection.commit()


def has(path: Path, digest: str) -> bool:
    """Whether a file is there and holds what it held."""
    try:
        return digest_of(path) == digest
    except OSError:
        return False


def paths_of(record: Record) -> Sequence[str]:
    """The results' paths, from the ledger's folder on."""
    return list(json.loads(record.results))


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        connection = sqlite3.connect(path, timeout=30)
        try:
            connection.execute("PRAGMA synchronous = FULL")  # with the default journal: one file at rest, on any disk
            connection.execute(_TABLE)
            connection.commit()
            yield connection
        finally:
            connection.close()
    except sqlite3.Error as error:
        what = "" if isinstance(error, sqlite3.OperationalError) else "; remove it, and a new one is begun"
        raise UnavailableError(f"the ledger {path} cannot be used: {error}{what}") from error


def _key(path: str) -> str | bytes:
    try:
        path.encode()
    except UnicodeEncodeError:
        return os.fsencode(path)
    return path


def _text(sentence: str) -> str:
    return sentence.encode(errors="backslashreplace").decode()
