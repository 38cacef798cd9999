"""Replay: the board as it was at any revision of a long history, and what a journal's beginning costs."""

from __future__ import annotations

import os
import random
import tempfile
import time
from typing import Any

from benchmarks.measure import goal, percentile, sample
from latchboard import Latchboard
from latchboard.settings import Settings

AGENTS = 50
HELD = 300
"""Locks held at any time."""

LOOK_MS_MAX = 50.0
_KEPT = Settings(journals_kept_count=100)


def replay(share: float) -> dict[str, Any]:
    """Histories of 10,000 and 100,000 commits (times `share`) of locks and status entries."""
    figures: dict[str, dict[str, float]] = {}
    goals = []
    for commits in (int(10_000 * share), int(100_000 * share)):
        found = _looks(commits)
        figures[f"{commits} commits"] = found
        goals.append(goal(f"{commits} commits, a look, p95 ms", found["p95_ms"], LOOK_MS_MAX))
        goals.append(goal(f"{commits} commits, memory of all looks, MB", found["kept_MB"], 60))
    return {"name": "replay", "figures": figures, "goals": goals}


def _looks(commits: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        writer = Latchboard(folder, settings=_KEPT, publishes=False)
        _work(writer, commits)
        writer.close()
        told = Latchboard(folder, settings=_KEPT, publishes=False).replay
        oldest, newest = told.span()
        cold_s = _once(lambda: told.at((oldest + newest) // 2))
        before = _resident_mb()
        all_s = _once(told.timeline)
        revisions = [mark["revision"] for mark in told.timeline(200)]
        random.Random(7).shuffle(revisions)
        seconds = [sample(lambda: told.at(revision), rounds=1)[0] for revision in revisions]  # noqa: B023 - run at once
        size = sum(entry.stat().st_size for entry in os.scandir(f"{folder}/data/.agent_locks/journal"))
        return {
            "journal_MB": round(size / 1e6, 1),
            "first_look_ms": round(cold_s * 1e3, 1),
            "reading_all_ms": round(all_s * 1e3, 1),
            "p50_ms": round(percentile(seconds, 0.5) * 1e3, 1),
            "p95_ms": round(percentile(seconds, 0.95) * 1e3, 1),
            "p99_ms": round(percentile(seconds, 0.99) * 1e3, 1),
            "kept_MB": round(_resident_mb() - before, 1),
        }


def _once(action: Any) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def _work(board: Latchboard, commits: int) -> None:
    """Agents take and give back files; now and then one says what it does."""
    chance = random.Random(7)
    agents = [board.agent(f"agent-{number}") for number in range(AGENTS)]
    holds: list[Any] = []
    for number in range(commits):
        me = chance.choice(agents)
        if number % 10 == 0:
            board.board.update(me.id, f"step {number}", [f"src/{number % 500}.py"])
        elif len(holds) < HELD:
            holds.append(me.lock(f"src/module_{number % 500}/{number}.py", reason="split the parser"))
        else:
            holds.pop(chance.randrange(len(holds))).release()


def _resident_mb() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
