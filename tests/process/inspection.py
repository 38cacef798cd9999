"""Inspection: what must be true of a store's folder after anything, found out by another process.

Reads the files by itself (JSON and a checksum, from protocol/store.md), so that what the library says of the folder is
compared with what any other program sees in it. Every function returns problems as sentences; none: all is well.
"""

from __future__ import annotations

import json
import os
import stat
import time
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from latchboard.compose import Latchboard
from latchboard.errors import CoordinationError, MalformedRecord
from tests.store.scenes import everything

AT_ONCE_S = 20.0
"""What nothing stands in the way of is done in milliseconds; this is for a machine that is busy with other tests, and
stands still for seconds. Who waits in vain for a guard or a place in line is told so by an error."""

Records = dict[str, dict[str, Any]]


NO_RECORDS = ("journal", "bells", "kept", "queue_file")
"""Folders of a store in which other files lie."""


class Folder:
    """A store's folder, read by a program that knows the protocol and not the library."""

    def __init__(self, root: str) -> None:
        self.path = Path(root, "data/.agent_locks")

    def commits(self, after: int = 0) -> list[dict[str, Any]]:
        """Every commit that the journals keep, later than `after`, in order."""
        header = self._header()
        found = []
        for path in sorted(self.path.glob("journal/*.jsonl")):
            if header and int(path.stem) <= header[0]:  # a later one is of a writer that died while rotating
                found += [entry for entry in _whole_lines(path.read_bytes()) if entry.get("revision", 0) > after]
        return found

    def records(self, problems: list[str]) -> Records:
        """Key to value of every record file; what cannot be read becomes a problem."""
        found: Records = {}
        for path in self._files():
            if path.name in ("FORMAT", "status_board.json") or path.parent.name in NO_RECORDS:
                continue
            try:
                value = json.loads(path.read_bytes())
                del value["mod_revision"]
                found[value.pop("key")] = value
            except (ValueError, KeyError, TypeError) as exc:
                problems.append(f"{path.name} is no record: {exc!r}; {path.read_bytes()[:60]!r}")
        return found

    def problems(self) -> list[str]:
        """Files that do not parse. Temporary files and FIFOs are nobody's business."""
        found: list[str] = []
        self.records(found)
        for name in ("FORMAT", "status_board.json"):
            if (self.path / name).exists():
                try:
                    json.loads((self.path / name).read_bytes())
                except ValueError as exc:
                    found.append(f"{name} does not parse: {exc}")
        return found

    def temporary_files(self) -> list[str]:
        return sorted(p.relative_to(self.path).as_posix() for p in self.path.rglob("*") if p.name.endswith(".tmp"))

    def _files(self) -> Iterator[Path]:
        for path in sorted(self.path.rglob("*")):
            if stat.S_ISREG(path.lstat().st_mode) and not path.name.endswith(".tmp"):
                yield path

    def _header(self) -> tuple[int, ...] | None:
        try:
            fields = (self.path / "journal/guard").read_bytes().split()
        except FileNotFoundError:
            return None
        return tuple(int(field) for field in fields[:3]) if fields else None


def _whole_lines(data: bytes) -> Iterator[dict[str, Any]]:
    for line in data.split(b"\n")[:-1]:
        body, mark, tail = line.rpartition(b',"crc":"')
        if not mark or tail != b'%08x"}' % zlib.crc32(body):
            return
        yield json.loads(line)


class State:
    """Everything in a store, as the library reads it, of one revision."""

    def __init__(self, board: Latchboard, keys: Iterable[str]) -> None:
        wanted = sorted({f"{key.partition('/')[0]}/" if "/" in key else key for key in keys})
        wanted = [name for name in wanted if name != "log/"]
        snapshot = board.store.read(*wanted, "wide")
        self.revision: int = snapshot.revision
        self.records: Records = {}
        self.damaged: list[MalformedRecord] = []
        for name in [*wanted, "wide"]:
            if name.endswith("/"):
                self.records.update(snapshot.scan(name, damaged=self.damaged))
            elif (value := snapshot.get(name)) is not None:
                self.records[name] = value


def fold(records: Records, commits: Iterable[dict[str, Any]]) -> Records:
    """`records` after `commits`."""
    after = dict(records)
    for commit in commits:
        after.update({key: value for key, value in commit["puts"].items() if not key.startswith("log/")})
        for key in commit["deletes"]:
            after.pop(key, None)
    return after


def keys_of(records: Records, commits: Iterable[dict[str, Any]]) -> set[str]:
    return {*records, *(key for commit in commits for key in [*commit["puts"], *commit["deletes"]])}


def differences(what: str, ours: Records, theirs: Records) -> list[str]:
    """How two sets of records differ, one sentence per key."""
    return [
        f"{what}: {key} is {ours.get(key)!r:.300} and {theirs.get(key)!r:.300}"
        for key in sorted({*ours, *theirs})
        if ours.get(key) != theirs.get(key)
    ]


def nothing_half_done(board: Latchboard, before: State) -> list[str]:
    """What a reader sees is the state before and whole commits after it, and the reader changes nothing."""
    folder = Folder(board.root)
    problems = [f"before anybody repairs it: {problem}" for problem in folder.problems()]
    commits = folder.commits(before.revision)
    now = State(board, keys_of(before.records, commits))
    newest = commits[-1]["revision"] if commits else before.revision
    if now.revision != newest:
        problems.append(f"a reader sees revision {now.revision}, the journal goes to {newest}")
    problems += [f"a reader cannot read {error.fields['key']}: {error.fields['reason']}" for error in now.damaged]
    return problems + differences("stream and records", fold(before.records, commits), now.records)


def nothing_blocks(board: Latchboard, agent: str, paths: Iterable[str], before: State) -> list[str]:
    """`agent` locks each path and gives it back, at once, with a token above everything that was."""
    problems = []
    for path in paths:
        started = time.monotonic()
        try:
            with board.agent(agent).lock(path) as hold:
                if hold.token <= before.revision:
                    problems.append(f"the token {hold.token} of {path} is not above revision {before.revision}")
        except CoordinationError as exc:
            problems.append(f"{path} cannot be locked: {type(exc).__name__}: {exc.message}")
        if (took_s := time.monotonic() - started) > AT_ONCE_S:
            problems.append(f"locking {path} took {took_s:.1f} s")
    return problems


def settled(board: Latchboard, before: State) -> list[str]:
    """After another writer: files parse, and files, library, journal and watch all say the same."""
    folder = Folder(board.root)
    problems = folder.problems()
    commits = folder.commits(before.revision)
    expected = fold(before.records, commits)
    now = State(board, keys_of(before.records, commits))
    problems += differences("stream and records", expected, now.records)
    problems += differences("library and files", now.records, folder.records([]))
    return problems + _watched(board, before.revision, commits)


def _watched(board: Latchboard, after: int, commits: list[dict[str, Any]]) -> list[str]:
    watch = board.store.watch("", after=after)
    try:
        changes = [(c.revision, c.key, c.value) for c in everything(watch)]
    finally:
        watch.close()
    lines = [(c["revision"], key, value) for c in commits for key, value in c["puts"].items()]
    lines += [(c["revision"], key, None) for c in commits for key in c["deletes"]]
    revisions = [revision for revision, _, _ in changes]
    problems = [] if revisions == sorted(revisions) else [f"revisions go back: {revisions}"]
    if sorted(changes, key=repr) != sorted(lines, key=repr):
        problems.append(f"the watch gives {len(changes)} changes, the journal {len(lines)}")
    return problems


def open_files_of(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))
