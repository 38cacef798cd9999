"""Machine lock: acquire and release by one process with nobody in the way, beside other libraries."""

from __future__ import annotations

import asyncio
import fcntl
import os
import tempfile
from collections.abc import Callable
from typing import Any

from benchmarks.measure import goal, interleaved, percentile, summary
from latchboard import MachineFileLock

OVERHEAD_S_MAX = 0.05


def bare(folder: str) -> Callable[[], None]:
    """What the kernel asks for the least of it: open, flock, write a record, empty it, close."""
    path, record = f"{folder}/bare.lock", b"x" * 190

    def once() -> None:
        fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(fd, record)
        os.ftruncate(fd, 0)
        os.close(fd)

    return once


def machine_lock(rounds: int) -> dict[str, Any]:
    """A thread's pair, a task's pair, and the floor below them."""
    import filelock

    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        lock = MachineFileLock(f"{folder}/ours.lock")
        soft, hard = f"{folder}/soft.lock", f"{folder}/hard.lock"

        def thread() -> None:
            with lock:
                pass

        def checked() -> None:
            with lock as hold:
                hold.protect(int)

        async def one() -> None:
            async with lock:
                pass

        def with_file_lock() -> None:
            with filelock.FileLock(hard):
                pass

        def with_soft_lock() -> None:
            with filelock.SoftFileLock(soft):
                pass

        found = interleaved(
            {
                "bare flock": bare(folder),
                "with MachineFileLock": thread,
                "the same, one protect": checked,
                "async with, loop run anew": lambda: runner.run(one()),
                "filelock.FileLock(path)": with_file_lock,
                "filelock.SoftFileLock(path)": with_soft_lock,
            },
            rounds=rounds,
        )
    slowest = max(percentile(found[name], 0.95) for name in ("the same, one protect", "async with, loop run anew"))
    return {
        "name": "machine lock, acquire + release, uncontended",
        "figures": {name: summary(samples) for name, samples in found.items()},
        "goals": [goal("p95 of a pair, ms", slowest * 1e3, OVERHEAD_S_MAX * 1e3)],
    }
