"""No space, no quota, a broken disk, no file handle, a read-only disk: at every system call that can say so.

For each kind of fault and each system call of an operation that can fail with it: fails once, or fails from there on
for good. The caller gets a typed error; nothing is half-done; the guard is free while the caller still lives; once the
trouble is over the caller goes on, with no descriptor lost.

Every call is the soak's. `make test` has one call of each kind; of these, the faults that are not `FIRST` meet a few.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SOAK
from tests.process.nursery import Nursery
from tests.process.operation import OPERATIONS, leaves_doubt
from tests.process.scene import Scene

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.needs_tool("strace")]

_MAKE = ("openat", "mkdir", "mkdirat", "mknod", "mknodat", "rename", "renameat", "renameat2", "link", "linkat")
_GROW = ("write", "pwrite64", "fallocate", "fdatasync", "fsync")
_REMOVE = ("unlink", "unlinkat", "ftruncate")
_READ = ("read", "pread64", "getdents64", "newfstatat")
_HANDLE = ("openat", "pipe2", "eventfd2", "pidfd_open", "inotify_init1", "dup", "socket")

FAULTS = {
    "ENOSPC": (*_MAKE, *_GROW),
    "EDQUOT": (*_MAKE, *_GROW),
    "EIO": (*_MAKE, *_GROW, *_REMOVE, *_READ),
    "EROFS": (*_MAKE, *_REMOVE, "write", "pwrite64"),
    "EMFILE": _HANDLE,
    "ENFILE": _HANDLE,
    "ENOLCK": ("flock",),
}
"""Which system calls can fail in which way."""

_CANNOT_FAIL = "LOCK_UN"
"""Giving a lock back that is held needs nothing of the system."""
_TRIES = 5
_NUMBER = re.compile(r"[0-9a-f]*[0-9][0-9a-f]*")
"""Descriptors, sizes, and the random part of a name."""

FIRST = ("EIO", "once")
"""Every operation meets it, at each call that touches a file; in `make test` at each kind of call."""
FEW = 10
"""So many kinds of calls, or a few more, meet another fault in `make test`."""
MAIN = [("ENOSPC", "on"), ("EMFILE", "once"), ("EROFS", "on"), ("ENOSPC", "once"), ("EIO", "on"), ("ENOLCK", "once")]
"""In `make test` an operation meets two of these, in turn, so that each of them meets a third of the operations."""
SOAKED = [(fault, span) for fault in FAULTS for span in ("once", "on") if (fault, span) != ("ENOLCK", "on")]
NAMES = [name for name, operation in OPERATIONS.items() if operation.is_main or SOAK]
CASES = [
    (name, *kind)
    for number, name in enumerate(NAMES)
    for kind in (SOAKED if SOAK else [FIRST, MAIN[2 * number % len(MAIN)], MAIN[(2 * number + 1) % len(MAIN)]])
]

TYPED = ("StoreError", "HostError", "Refused")
"""Families of errors that an operation may end with: the store or the machine failed, or the answer was no."""


class Sweep:
    """All attempts of one operation with one kind of fault."""

    def __init__(self, name: str, nursery: Nursery, folder: Path) -> None:
        self._operation = OPERATIONS[name]
        self._nursery = nursery
        self._folder = folder
        self.calls: list[tuple[str, str]] = []
        self.open_files = 0
        self.faults_count = 0
        self.problems: list[str] = []

    def run(self, fault: str, span: str) -> None:
        self._attempt()
        for injections in _injections(self.calls, fault, span):
            self.faults_count += 1
            if not any(self._attempt(*injections) for _ in range(_TRIES)):
                self.problems.append(f"{injections[0]}: it met {_CANNOT_FAIL} every time")

    def _attempt(self, *injections: str) -> bool:
        """One run; False where the fault met a call that cannot fail: it took the guard at another try than before."""
        with Scene(self._operation, self._nursery, self._folder) as scene:
            answer = scene.run(*injections)
            assert answer is not None
            assert scene.trace is not None
            self.calls = self.calls or scene.trace.calls()
            last_calls = scene.trace.last_calls()
            if any("(INJECTED)" in line and _CANNOT_FAIL in line for _, line in scene.trace.calls()):
                scene.trace.close()
                return False
            found = self._judge(scene, answer, stays=any("+" in injection for injection in injections))
            scene.trace.close()
            open_files = scene.victim.ask(over=True)["open_files"]
            if not answer["done"]:
                again = scene.victim.ask(again=True)
                if not again["done"] and "UsageError" not in again["families"]:
                    found.append(f"afterwards it still fails: {again['error']}: {again['message']}")
                open_files = scene.victim.ask(over=True)["open_files"]
            self.open_files = self.open_files or open_files
            if open_files > self.open_files:
                found.append(f"{open_files} files are open, without the fault it is {self.open_files}")
            where = injections[0] if injections else "no fault"
            told = answer.get("message", "no error")
            self.problems += [f"{where}: {problem}\n    told: {told}\n    after {last_calls}" for problem in found]
            return True

    def _judge(self, scene: Scene, answer: dict[str, Any], *, stays: bool) -> list[str]:
        """What is wrong while the victim still lives.

        A wait that fails and cannot even leave the line, since the trouble stays, leaves it with its process's next
        transaction: until then its place, or the lock, is still there.
        """
        found = []
        free: tuple[str, ...] = ()
        if not answer["done"]:
            free = self._operation.free_after_error
            if not set(TYPED) & set(answer["families"]):
                found.append(f"{answer['error']} is none of {TYPED}")
            free = () if leaves_doubt(answer) or (stays and self._operation.is_long) else free
            commits = [c for c in scene.commits() if set(c["puts"]) | set(c["deletes"])]
            if commits and not leaves_doubt(answer) and not self._operation.is_long:
                found.append(f"it failed, but committed {[sorted(c['puts']) + sorted(c['deletes']) for c in commits]}")
        found += self._operation.check(scene.root, scene.commits(), answer)
        return found + scene.problems(free=free)


def _injections(calls: list[tuple[str, str]], fault: str, span: str) -> Iterator[list[str]]:
    """For every system call that can fail so: what strace is to do."""
    names = [name for name in dict.fromkeys(name for name, _ in calls) if name in FAULTS[fault]]
    seen: Counter[str] = Counter()
    chosen = range(len(calls)) if SOAK else _chosen(calls, names, None if (fault, span) == FIRST else FEW)
    for index, (call, line) in enumerate(calls):
        if call in names:
            if _CANNOT_FAIL in line or index not in chosen:
                pass
            elif span == "once":
                yield [f"{call}:error={fault}:when={seen[call] + 1}"]
            else:  # from this instant on, whichever of them comes next
                order = sorted(names, key=lambda name: name != call)
                yield [f"{name}:error={fault}:when={seen[name] + 1}+" for name in order]
            seen[call] += 1


def _chosen(calls: list[tuple[str, str]], names: list[str], count_max: int | None) -> list[int]:
    """The place of the first call of each kind, which is its line but for numbers; if they are many, of some."""
    first: dict[str, int] = {}
    for index, (call, line) in enumerate(calls):
        if call in names and _CANNOT_FAIL not in line:
            arguments = line.partition("(")[2].partition(") = ")[0]
            first.setdefault(f"{call} {_NUMBER.sub('#', arguments)}", index)
    places = list(first.values())
    return places if count_max is None else places[:: max(1, len(places) // count_max)]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("name", "fault", "span"), CASES)
def test_a_fault_at_any_system_call_is_a_typed_error_and_changes_nothing__failure_3_15(
    name: str, fault: str, span: str, nursery: Nursery, memory_path: Path
) -> None:
    sweep = Sweep(name, nursery, memory_path)

    sweep.run(fault, span)

    print(f"{name}: {fault} {span} at {sweep.faults_count} system calls")
    if sweep.problems:
        pytest.fail(f"{len(sweep.problems)} problems\n" + "\n".join(sweep.problems), pytrace=False)
