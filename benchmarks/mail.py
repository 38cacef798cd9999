"""Mail and watching: what a message costs, durable and not, and how soon a watcher hears of a commit."""

from __future__ import annotations

import statistics
import threading
import time
from typing import Any

from benchmarks.measure import append_and_flush, goal, good_folder, interleaved, percentile, sample, summary
from latchboard import Latchboard


def messages(rounds: int) -> dict[str, Any]:
    """Send and receive one message; durable beside one append with fdatasync."""
    with good_folder() as folder:
        mailbox = Latchboard(folder).mailbox
        quick = sample(lambda: _exchange(mailbox), rounds=rounds)
        durable = interleaved(
            {
                "floor: append + fdatasync": append_and_flush(folder),
                "send, durable": lambda: mailbox.send("a", "b", "hello", durable=True),
            },
            rounds=max(50, rounds // 10),
            batch=10,
        )
    floor_s, ours_s = (statistics.median(s) for s in durable.values())
    return {
        "name": "messages",
        "figures": {"send + receive, not durable": summary(quick), **{n: summary(s) for n, s in durable.items()}},
        "goals": [
            goal("send + receive p50, ms", statistics.median(quick) * 1e3, 1.0),
            goal("durable send p50 against the floor", ours_s / floor_s, 2.0),
        ],
    }


def _exchange(mailbox: Any) -> None:
    mailbox.send("a", "b", "hello", durable=False)
    if not mailbox.receive("b").messages:
        raise AssertionError("the message did not arrive")


def watch(rounds: int) -> dict[str, Any]:
    """From a commit to the callback of a watcher in another thread."""
    with good_folder() as folder:
        board = Latchboard(folder)
        me = board.agent("bench")
        me.lock("first").release()
        heard: dict[str, float] = {}
        ready, seen = threading.Event(), threading.Event()

        def listen() -> None:
            other = Latchboard(folder)
            now = other.store.read("wide").revision
            ready.set()
            for change in other.stream.changes("locks/", after=now, timeout_s=5):
                if change.value is not None:
                    heard[change.key] = time.perf_counter()
                    seen.set()
                if change.key == "locks/last":
                    return

        thread = threading.Thread(target=listen)
        thread.start()
        ready.wait()
        delays = []
        for number in range(rounds):
            name = f"f{number}"
            seen.clear()
            hold = me.lock(name)
            committed = time.perf_counter()
            if seen.wait(2) and f"locks/{name}" in heard:
                delays.append(heard[f"locks/{name}"] - committed)
            hold.release()
        me.lock("last").release()
        thread.join()
    return {
        "name": "watch: commit to callback",
        "figures": {"latchboard": {**summary(delays), "heard": len(delays), "of": rounds}},
        "goals": [
            goal("p50, ms", percentile(delays, 0.5) * 1e3, 5),
            goal("commits heard of", len(delays) / rounds, 1.0, at_least=True),
        ],
    }
