"""History: what processes say they did, and what the journal says was committed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any


class Op:
    """One call of one process.

    Attributes:
        id: `<agent>.<incarnation>.<number>`.
        agent: Who called.
        call: What.
        arguments: With what.
        called_s: When, monotonic seconds.
        returned_s: When it returned; None: it never did, so it may or may not have happened.
        result: `ok`, and what else was told; empty while it has not returned.
    """

    def __init__(self, agent: str, line: dict[str, Any]) -> None:
        self.id: str = line["id"]
        self.agent = agent
        self.call: str = line["call"]
        self.arguments = line
        self.called_s: float = line["t"]
        self.returned_s: float | None = None
        self.result: dict[str, Any] = {}

    @property
    def is_ok(self) -> bool:
        return bool(self.result.get("ok"))

    @property
    def is_unknown(self) -> bool:
        """Whether it may or may not have happened: it never returned, or ended with an error of the store."""
        return self.returned_s is None or str(self.result.get("code", "")).startswith(("store-", "too-many"))


class History:
    """All that is known of one run.

    Attributes:
        ops: Every call, in the order of the calls.
        commits: Of the journal, in order; each with the times of `with_mono`.
        killed: (pid, start) of a process to when it was killed, monotonic seconds.
        files: File to what stands in it at the end.
        watched: What a watch gave from beginning to end: (revision, key, whether it was put).
    """

    def __init__(
        self,
        ops: Iterable[Op],
        commits: Iterable[dict[str, Any]],
        killed: dict[tuple[int, int], float],
        files: dict[str, dict[str, Any]],
        watched: list[tuple[int, str, bool]] | None = None,
    ) -> None:
        self.ops = sorted(ops, key=lambda op: op.called_s)
        self.commits = list(commits)
        self.killed = killed
        self.files = files
        self.watched = watched

    def of(self, call: str) -> list[Op]:
        return [op for op in self.ops if op.call == call]


def read_ops(path: Path) -> tuple[list[Op], dict[str, Any]]:
    """The calls that one process wrote down, and who it was."""
    lines = [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]
    who, ops = lines[0], {}
    for line in lines[1:]:
        if "call" in line:
            ops[line["id"]] = Op(who["agent"], line)
        else:
            ops[line["id"]].returned_s = line["t"]
            ops[line["id"]].result = line
    return list(ops.values()), who["process"]


def with_mono(commits: list[dict[str, Any]], wall_minus_mono_s: float) -> list[dict[str, Any]]:
    """The commits, each with `after_s`, `now_s` and `before_s`, monotonic seconds.

    Its `at` was read before the guard was taken, and its writer may have been stopped in between. What is inside a
    commit was read under the guard (`now_s`), behind everything inside the commits before it. Then the writer may have
    been stopped again, before it looked who lives: all that is known is that it was before the next commit.
    """
    after_s, before_s = 0.0, float("inf")
    timed = []
    for commit in commits:
        began_s = datetime.fromisoformat(commit["at"]).timestamp() - wall_minus_mono_s
        inside = _moments(commit["puts"], after_s)
        after_s = max([after_s, began_s, *inside])
        timed.append({**commit, "after_s": after_s, "now_s": max(inside, default=None)})
    for commit in reversed(timed):
        commit["before_s"] = before_s
        if commit["now_s"] is None:
            commit["now_s"] = before_s
        before_s = commit["now_s"]
    return timed


def with_own_mono(
    commits: list[dict[str, Any]], wall_minus_mono_s: float, seen_s: dict[int, float]
) -> list[dict[str, Any]]:
    """As `with_mono`, where functions run side by side: each commit has the time at which its own function ran.

    It is applied when everybody agrees, which may be behind commits that were decided later; so no commit tells when
    another one was. Whoever watches does: what was seen (`seen_s`, by revision) was applied before, and so was all that
    it stood on. What nobody has seen was before the next that somebody has.
    """
    before_s = float("inf")
    timed = []
    for commit in reversed(commits):
        at_s = datetime.fromisoformat(commit["at"]).timestamp() - wall_minus_mono_s
        before_s = min(before_s, seen_s.get(commit["revision"], before_s))
        timed.append({**commit, "after_s": at_s, "now_s": at_s, "before_s": before_s})
    return timed[::-1]


def _moments(value: Any, later_than_s: float) -> list[float]:
    """Every monotonic time inside a commit, apart from older ones that it carries on."""
    if isinstance(value, dict):
        found = [s for inner in value.values() for s in _moments(inner, later_than_s)]
        mono_s = value.get("mono_s")
        return [*found, mono_s] if isinstance(mono_s, float) and mono_s > later_than_s else found
    if isinstance(value, list):
        return [s for inner in value for s in _moments(inner, later_than_s)]
    return []
