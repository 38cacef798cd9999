"""Measuring: samples, medians, and ratios against a floor taken in the same run."""

from __future__ import annotations

import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from latchboard import Latchboard
from latchboard.store.files.layout import FOLDER

RECORD_BYTES = 300


def sample(action: Callable[[], object], *, rounds: int) -> list[float]:
    """Seconds of each of `rounds` calls."""
    clock = time.perf_counter
    seconds = []
    for _ in range(rounds):
        started = clock()
        action()
        seconds.append(clock() - started)
    return seconds


def interleaved(actions: dict[str, Callable[[], object]], *, rounds: int, batch: int = 100) -> dict[str, list[float]]:
    """Samples of several actions, taken in turns: the machine's moods meet all of them alike."""
    found: dict[str, list[float]] = {name: [] for name in actions}
    for action in actions.values():
        sample(action, rounds=batch)
    for _ in range(max(1, rounds // batch)):
        for name, action in actions.items():
            found[name] += sample(action, rounds=batch)
    return found


def percentile(seconds: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the samples lie."""
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """Median, 95th and 99th percentile, in microseconds."""
    return {
        "p50_us": round(statistics.median(seconds) * 1e6, 1),
        "p95_us": round(percentile(seconds, 0.95) * 1e6, 1),
        "p99_us": round(percentile(seconds, 0.99) * 1e6, 1),
    }


def floor(folder: str) -> Callable[[], None]:
    """The cheapest lock file there is, where the store's are: create O_EXCL, write 300 bytes, close, unlink."""
    path, data = f"{folder}/{FOLDER}/floor", b"x" * RECORD_BYTES

    def once() -> None:
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        os.write(fd, data)
        os.close(fd)
        os.unlink(path)

    return once


@contextlib.contextmanager
def good_folder(count: int = 6) -> Iterator[str]:
    """The best of some temporary projects, each with a store in it.

    A file system may need 10 microseconds to make a file in one folder and 600 in the next, because of what was
    deleted beside it shortly before; in such a folder nothing but that would be measured.
    """
    with contextlib.ExitStack() as stack:
        folders = [stack.enter_context(tempfile.TemporaryDirectory()) for _ in range(count)]
        for folder in folders:
            Latchboard(folder, publishes=False).agent("first").lock("first").release()
        yield min(folders, key=lambda folder: statistics.median(sample(floor(folder), rounds=60)))


def append_and_flush(folder: str) -> Callable[[], None]:
    """The cheapest durable message: one append and one fdatasync."""
    fd = os.open(f"{folder}/append", os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
    data = b"x" * RECORD_BYTES

    def once() -> None:
        os.write(fd, data)
        os.fdatasync(fd)

    return once


def jain(counts: Sequence[float]) -> float:
    """Jain's fairness index: 1 when everybody got the same."""
    squares = sum(c * c for c in counts)
    return round(sum(counts) ** 2 / (len(counts) * squares), 4) if squares else 0.0


def goal(name: str, value: float, limit: float, *, at_least: bool = False) -> dict[str, Any]:
    """One line of the verdict: a figure beside what it should be."""
    return {
        "goal": name,
        "value": round(value, 3),
        "limit": limit,
        "is_met": value >= limit if at_least else value <= limit,
        "direction": "at least" if at_least else "at most",
    }
