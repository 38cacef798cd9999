"""The work queue beside others that need no server: what a job costs, and what eight workers get through.

Each does a job that does nothing, by its own usual calls. They do not promise the same: huey forgets a job as soon as
it is taken, so a killed worker's is lost; litequeue keeps it as locked for ever until somebody retries it; neither
knows leases, tokens, limits or files. Nothing here is flushed to the disk by us; SQLite does as its library sets it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any, Protocol

from benchmarks.measure import summary

if TYPE_CHECKING:
    from collections.abc import Callable

KINDS = ("latchboard", "litequeue", "huey, SQLite", "huey, files")
BATCH = 1000


class Queue(Protocol):
    """One of them, as this benchmark uses it."""

    def fill(self, count: int) -> None:
        """Put so many jobs in."""
        ...

    def do_one(self) -> bool:
        """Take a job and say that it is done; False: there is none now."""
        ...


class _Ours:
    def __init__(self, folder: str) -> None:
        from latchboard import Latchboard
        from latchboard.errors import NothingReady, WipLimitReached

        self._queue = Latchboard(folder, publishes=False).queue
        self._none = NothingReady
        self._full = WipLimitReached

    def fill(self, count: int) -> None:
        self._queue.set_limits(by="bench", roles={"builder": 64}, durable=False)
        for at in range(0, count, BATCH):
            drafts = [{"title": "nothing", "role": "builder"}] * min(BATCH, count - at)
            self._queue.submit(drafts, by="bench", durable=False)

    def do_one(self) -> bool:
        try:
            claim = self._queue.claim("builder", "bench", durable=False)
        except self._full:
            return True
        except self._none:
            return False
        self._queue.complete(claim["job"]["id"], claim["lease"]["token"], durable=False)
        return True


class _Litequeue:
    def __init__(self, folder: str) -> None:
        from litequeue import LiteQueue

        self._queue = LiteQueue(f"{folder}/queue.db", timeout=60)

    def fill(self, count: int) -> None:
        for _ in range(count):
            self._queue.put("nothing")

    def do_one(self) -> bool:
        message = self._queue.pop()
        if message is None:
            return False
        self._queue.done(message.message_id)
        return True


class _Huey:
    def __init__(self, huey: Any) -> None:
        self._huey = huey
        self._task = huey.task()(nothing)

    def fill(self, count: int) -> None:
        for _ in range(count):
            self._task()

    def do_one(self) -> bool:
        task = self._huey.dequeue()
        if task is None:
            return False
        self._huey.execute(task)
        return True


def nothing() -> int:
    """The job."""
    return 1


def opened(kind: str, folder: str) -> Queue:
    """One of `KINDS`, in this folder."""
    if kind == "latchboard":
        return _Ours(folder)
    if kind == "litequeue":
        return _Litequeue(folder)
    from huey import FileHuey, SqliteHuey

    if kind == "huey, SQLite":
        return _Huey(SqliteHuey("bench", filename=f"{folder}/huey.db", timeout=60))
    return _Huey(FileHuey("bench", path=f"{folder}/huey"))


def rivals_pair(rounds: int) -> dict[str, Any]:
    """One job, taken and done, beside 10 and 10,000 others; side by side in one run."""
    figures: dict[str, Any] = {}
    for kind in KINDS:
        for count in (10, 10_000 if rounds >= 100 else 1000):
            with tempfile.TemporaryDirectory() as folder:
                queue = opened(kind, folder)
                queue.fill(count + rounds)
                figures[f"{kind}, {count} queued"] = summary(_times(queue.do_one, rounds))
    return {"name": "queue: a job beside other queues", "figures": figures, "goals": []}


def _times(do: Callable[[], bool], rounds: int) -> list[float]:
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        was_there = do()
        times.append(time.perf_counter() - started)
        if not was_there:
            raise AssertionError("a job is missing")
    return times


def rivals_crowd(jobs: int, workers: int = 8) -> dict[str, Any]:
    """So many processes do jobs that do nothing; side by side in one run."""
    figures: dict[str, Any] = {}
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            opened(kind, folder).fill(jobs)
            seconds, shares = _crowd(kind, folder, workers)
            figures[f"{kind}, {workers} workers"] = {"jobs/s": round(sum(shares) / seconds), "lost": jobs - sum(shares)}
    return {"name": "queue: throughput beside other queues", "figures": figures, "goals": []}


def _crowd(kind: str, folder: str, workers: int) -> tuple[float, list[int]]:
    program = f"from benchmarks.queue_rivals import work; work({kind!r}, {folder!r})"
    children = [
        subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(workers)
    ]
    for child in children:
        child.stdout.readline()  # type: ignore[union-attr]  # it is warm
    started = time.perf_counter()
    for child in children:
        child.stdin.write(b"go\n")  # type: ignore[union-attr]
        child.stdin.flush()  # type: ignore[union-attr]
    shares = [int(child.communicate()[0]) for child in children]
    return time.perf_counter() - started, shares


def work(kind: str, folder: str) -> None:
    """One worker: says that it is warm, waits for the word, does what there is, says how much that was."""
    queue = opened(kind, folder)
    print("warm", flush=True)
    sys.stdin.readline()
    sys.stdout.flush()
    sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - it ends with the process; huey logs each job
    done = 0
    while queue.do_one():
        done += 1
    print(done)
