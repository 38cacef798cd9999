"""Growth: time and memory with many messages and many agents; no operation may be quadratic."""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable
from typing import Any

from benchmarks.measure import goal
from latchboard import Latchboard


def growth(share: float) -> dict[str, Any]:
    """100,000 messages and 10,000 agents (times `share`): each operation at a tenth and at the whole."""
    messages, agents = int(100_000 * share), int(10_000 * share)
    figures: dict[str, dict[str, float]] = {}
    goals = []
    for name, measure, count in (
        ("messages", _messages, messages),
        ("agents", _agents, agents),
    ):
        tenth, whole = measure(count // 10), measure(count)
        for step, seconds in whole.items():
            before = tenth[step]
            figures[f"{name}: {step}"] = {
                f"{count // 10} in s": round(before, 3),
                f"{count} in s": round(seconds, 3),
                "each us": round(seconds / count * 1e6, 1),
            }
            goals.append(goal(f"{name}: {step}, ten times as many, time grows by", seconds / max(before, 0.05), 30))
    figures["memory"] = {"peak MB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)}
    return {"name": "growth", "figures": figures, "goals": goals}


def _timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def _messages(count: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        mailbox = Latchboard(folder).mailbox
        sent = _timed(lambda: [mailbox.send("a", "b", f"message {n}", durable=False) for n in range(count)])
        received: list[Any] = []
        got = _timed(lambda: received.extend(mailbox.receive("b").messages))
        if len(received) != count:
            raise AssertionError(f"{len(received)} of {count} messages arrived")
        after = _timed(lambda: mailbox.receive("b"))
    return {"send": sent, "receive all": got, "receive nothing more": after}


def _agents(count: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        board = Latchboard(folder)
        service = board.board
        registered = _timed(lambda: [service.update(f"agent-{n}", "working", [f"f{n}"]) for n in range(count)])
        listed = _timed(service.agents)
        me = board.agent("bench")
        pairs = _timed(lambda: [me.lock("x").release() for _ in range(200)])
    return {"update": registered, "list": listed, "200 lock pairs beside them": pairs}
