"""Work queue: what a claim and a completion cost beside few and beside many jobs, and what many workers get through."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from typing import Any

from benchmarks.measure import goal, summary
from latchboard import Latchboard
from latchboard.errors import NothingReady, WipLimitReached
from latchboard.workqueue import WorkQueue

BATCH = 1000


def pair(rounds: int) -> dict[str, Any]:
    """Claim + complete of a builder's job, not durable, at 10 and at 10,000 queued jobs."""
    figures, middles = {}, {}
    for count in (10, 10_000):
        with tempfile.TemporaryDirectory() as folder:
            queue = _queue(folder, count)
            times = []
            for _ in range(rounds):
                if count == 10:  # so that the line stays as long
                    queue.submit([{"title": "one more", "role": "builder"}], by="bench", durable=False)
                started = time.perf_counter()
                claim = queue.claim("builder", "bench", durable=False)
                queue.complete(claim["job"]["id"], claim["lease"]["token"], durable=False)
                times.append(time.perf_counter() - started)
        middles[count] = sorted(times)[len(times) // 2]
        figures[f"{count} queued jobs"] = summary(times)
    goals = [goal(f"claim + complete at {count} jobs, p50 ms", middle * 1000, 3.0) for count, middle in middles.items()]
    goals.append(goal("claim + complete, 10,000 jobs against 10", middles[10_000] / middles[10], 1.5))
    return {"name": "queue: claim + complete", "figures": figures, "goals": goals}


def crowd(jobs: int, workers: int = 8) -> dict[str, Any]:
    """So many processes complete jobs that do nothing."""
    with tempfile.TemporaryDirectory() as folder:
        queue = _queue(folder, jobs)
        program = f"from benchmarks.workqueue import work; work({folder!r})"
        command = [sys.executable, "-c", program]
        children = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(workers)]
        for child in children:
            assert child.stdout is not None and child.stdin is not None
            child.stdout.readline()  # it is warm
        started = time.perf_counter()
        for child in children:
            child.stdin.write(b"go\n")  # type: ignore[union-attr]
            child.stdin.flush()  # type: ignore[union-attr]
        shares = [int(child.communicate()[0]) for child in children]
        seconds = time.perf_counter() - started
        done = [job["status"] for _, job in queue.store.read("jobs/").scan("jobs/")]
    if sum(shares) != jobs or set(done) != {"done"}:
        raise AssertionError(f"{sum(shares)} of {jobs} jobs were completed")
    figures = {f"{workers} workers": {"jobs/s": round(jobs / seconds), "least": min(shares), "most": max(shares)}}
    return {
        "name": "queue: throughput",
        "figures": figures,
        "goals": [goal("8 workers, jobs/s", jobs / seconds, 500, at_least=True)],
    }


def work(folder: str) -> None:
    """One worker: says that it is warm, waits for the word, completes what there is, says how many."""
    queue = Latchboard(folder, publishes=False).queue
    print("warm", flush=True)
    sys.stdin.readline()
    done = 0
    while True:
        try:
            claim = queue.claim("builder", "bench", durable=False)
        except WipLimitReached:
            continue
        except NothingReady:
            print(done)
            return
        queue.complete(claim["job"]["id"], claim["lease"]["token"], durable=False)
        done += 1


def _queue(folder: str, count: int) -> WorkQueue:
    queue = Latchboard(folder, publishes=False).queue
    queue.set_limits(by="bench", roles={"builder": 8}, durable=False)
    for at in range(0, count, BATCH):
        drafts = [{"title": f"job {n}", "role": "builder"} for n in range(at, min(count, at + BATCH))]
        queue.submit(drafts, by="bench", durable=False)
    return queue
