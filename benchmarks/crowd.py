"""A crowd: eight processes on different files, and on one file with a hold of one millisecond."""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

from benchmarks.measure import goal, good_folder, jain, percentile

PROCESSES = 8
Take = Callable[[], Callable[[], object]]


def driver(kind: str, folder: str, name: str) -> Take:
    """A function that takes the lock, waiting as long as it must, and returns the function that gives it back."""
    if kind == "latchboard":
        from latchboard import Latchboard

        me = Latchboard(folder).agent(f"agent-{os.getpid()}")
        return lambda: me.lock(name, wait_s_max=60).release
    if kind.startswith("filelock"):
        import filelock

        lock = (filelock.SoftFileLock if "Soft" in kind else filelock.FileLock)(f"{folder}/{name}.lock")

        def take() -> Callable[[], object]:
            lock.acquire()
            return lock.release

        return take
    import portalocker

    port = portalocker.Lock(f"{folder}/{name}.lock", timeout=60)

    def take_port() -> Callable[[], object]:
        port.acquire()
        return port.release

    return take_port


def work(kind: str, folder: str, name: str, hold_s: float, until: Any, barrier: Any, results: Any) -> None:
    """One process: pairs until the time is over; reports (count, waits, moments of grant and of release)."""
    take = driver(kind, folder, name)
    take()()
    barrier.wait()
    clock, deadline = time.monotonic, time.monotonic() + until
    waits, grants, releases = [], [], []
    while clock() < deadline:
        asked = clock()
        give_back = take()
        granted = clock()
        if hold_s:
            while clock() - granted < hold_s:
                pass
        releases.append(clock())
        give_back()
        waits.append(granted - asked)
        grants.append(granted)
    results.put((len(waits), waits, grants, releases))


def run(kind: str, *, one_file: bool, hold_s: float, seconds: float) -> dict[str, Any]:
    """All processes of one driver."""
    context = multiprocessing.get_context("spawn")
    with good_folder() as folder:
        barrier, results = context.Barrier(PROCESSES), context.Queue()
        names = ["one.py" if one_file else f"file{n}.py" for n in range(PROCESSES)]
        crowd = [
            context.Process(target=work, args=(kind, folder, name, hold_s, seconds, barrier, results)) for name in names
        ]
        for process in crowd:
            process.start()
        found = [results.get(timeout=seconds * 10 + 120) for _ in crowd]
        for process in crowd:
            process.join()
    counts = [count for count, *_ in found]
    waits = [w for _, many, _, _ in found for w in many]
    return {
        "pairs_per_s": round(sum(counts) / seconds),
        "jain": jain(counts),
        "wait_p50_ms": round(statistics.median(waits) * 1e3, 2),
        "wait_longest_ms": round(max(waits) * 1e3, 1),
        **({"handover_p50_ms": _handover(found)} if one_file else {}),
    }


def _handover(found: list[tuple[int, list[float], list[float], list[float]]]) -> float:
    """Median time from a release to the next grant of anybody, in milliseconds."""
    grants = sorted(g for _, _, many, _ in found for g in many)
    releases = sorted(r for *_, many in found for r in many)
    gaps, at = [], 0
    for released in releases:
        while at < len(grants) and grants[at] <= released:
            at += 1
        if at < len(grants):
            gaps.append(grants[at] - released)
    return round(percentile(gaps, 0.5) * 1e3, 3)


def different_files(seconds: float) -> dict[str, Any]:
    """Eight processes, each with a file of its own."""
    ours = run("latchboard", one_file=False, hold_s=0, seconds=seconds)
    return {
        "name": f"{PROCESSES} processes on different files",
        "figures": {"latchboard": ours},
        "goals": [goal("pairs per second", ours["pairs_per_s"], 5000, at_least=True)],
    }


def one_file(seconds: float) -> dict[str, Any]:
    """Eight processes on one file, each holding it for a millisecond."""
    kinds = ("latchboard", "filelock.FileLock", "filelock.SoftFileLock", "portalocker.Lock")
    figures = {kind: run(kind, one_file=True, hold_s=0.001, seconds=seconds) for kind in kinds}
    ours = figures["latchboard"]
    return {
        "name": f"{PROCESSES} processes on one file, 1 ms hold",
        "figures": figures,
        "goals": [
            goal("Jain fairness", ours["jain"], 0.99, at_least=True),
            goal("longest wait, ms", ours["wait_longest_ms"], 100),
            goal("release to grant p50, ms", ours["handover_p50_ms"], 2),
        ],
    }
