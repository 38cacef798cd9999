"""Uncontended: acquire and release of one file by one process, also with many other locks held."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable
from typing import Any

from benchmarks.measure import floor, goal, good_folder, interleaved, summary
from latchboard import Latchboard

# A lock is named by its path at every call, as ours is; and a lock object that is kept, which only flocks and has no
# record.
_RIVALS = ("filelock.SoftFileLock(path)", "filelock.FileLock(path)", "one SoftFileLock, reused", "one FileLock, reused")


def pairs_of(folder: str) -> dict[str, Callable[[], object]]:
    """One acquire-and-release per driver."""
    import filelock
    import portalocker

    board = Latchboard(folder)
    me = board.agent("bench")
    soft, hard = filelock.SoftFileLock(f"{folder}/soft.lock"), filelock.FileLock(f"{folder}/hard.lock")
    port = portalocker.Lock(f"{folder}/port.lock")

    def anew(kind: Callable[[str], Any], path: str) -> Callable[[], None]:
        def once() -> None:
            with kind(path):
                pass

        return once

    def with_filelock(lock: Any) -> Callable[[], None]:
        def once() -> None:
            lock.acquire()
            lock.release()

        return once

    return {
        "floor": floor(folder),
        "latchboard": lambda: me.lock("src/a.py").release(),
        "filelock.SoftFileLock(path)": anew(filelock.SoftFileLock, f"{folder}/soft.lock"),
        "filelock.FileLock(path)": anew(filelock.FileLock, f"{folder}/hard.lock"),
        "one SoftFileLock, reused": with_filelock(soft),
        "one FileLock, reused": with_filelock(hard),
        "one portalocker.Lock, reused": with_filelock(port),
    }


def pair(rounds: int) -> dict[str, Any]:
    """One file, nobody else: ratio to the floor, and other libraries side by side."""
    with good_folder() as folder:
        _make_file(folder)
        found = interleaved(pairs_of(folder), rounds=rounds)
    base = statistics.median(found["floor"])
    ratio = {name: round(statistics.median(s) / base, 2) for name, s in found.items()}
    return {
        "name": "acquire + release, one file, uncontended",
        "figures": {name: summary(s) for name, s in found.items()},
        "ratio_to_floor": ratio,
        "goals": [
            goal("p50 against the floor", ratio["latchboard"], 6.0),
            *[goal(f"p50 against {name}", ratio["latchboard"] / ratio[name], 1.0) for name in _RIVALS],
        ],
    }


def with_many_held(rounds: int, *, held_count: int = 10_000) -> dict[str, Any]:
    """The same while 10 and while 10,000 other locks are held."""
    with good_folder() as few, good_folder() as many:
        actions = {}
        for name, folder, count in (("10 held", few, 10), (f"{held_count} held", many, held_count)):
            _make_file(folder)
            board = Latchboard(folder)
            holder, me = board.agent("holder"), board.agent("bench")
            for number in range(0, count, 500):
                holder.lock(*[f"held/{n}.py" for n in range(number, min(count, number + 500))])
            actions[name] = lambda me=me: me.lock("src/a.py").release()
        found = interleaved(actions, rounds=rounds)
    medians = [statistics.median(s) for s in found.values()]
    return {
        "name": f"the same with {held_count} locks held",
        "figures": {name: summary(s) for name, s in found.items()},
        "goals": [goal("p50 against 10 held", medians[1] / medians[0], 1.3)],
    }


def _make_file(folder: str) -> None:
    os.makedirs(f"{folder}/src")
    with open(f"{folder}/src/a.py", "w", encoding="utf-8") as file:
        file.write("x = 1\n")
