"""Doctor: how long the command takes, start of the program included, on a large board beside silent listeners."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from typing import Any

from benchmarks.measure import goal, percentile, sample, summary
from benchmarks.serving import SILENT_COUNT, project

DOCTOR_S_MAX = 3.0
HELD_COUNT = 10_000
_AT_ONCE_COUNT = 500


def doctor(rounds: int) -> dict[str, Any]:
    """The doctor of a small board, and of one with 10,000 locks beside twenty listeners that never answer."""
    with project() as board:
        small = sample(lambda: _look(board.root), rounds=rounds)
        me = board.agent("planner")
        for start in range(0, HELD_COUNT, _AT_ONCE_COUNT):
            me.lock(*(f"held/{number}.py" for number in range(start, start + _AT_ONCE_COUNT)), bound="agent")
        with contextlib.ExitStack() as stack:
            for port in range(board.settings.daemon_port_first, board.settings.daemon_port_first + SILENT_COUNT):
                stack.enter_context(socket.create_server(("127.0.0.1", port), backlog=1))
            large = sample(lambda: _look(board.root), rounds=rounds)
    return {
        "name": "the doctor",
        "figures": {"20 locks": summary(small), f"{HELD_COUNT} locks, {SILENT_COUNT} silent": summary(large)},
        "goals": [
            goal(f"doctor, {HELD_COUNT} locks, {SILENT_COUNT} silent, p95, s", percentile(large, 0.95), DOCTOR_S_MAX)
        ],
    }


def _look(root: str) -> None:
    """One run of the command; all of it must have been seen."""
    command = [sys.executable, "-m", "latchboard", "doctor", "--json", "--root", root]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    report = json.loads(done.stdout)
    if not report["is_whole"] or done.returncode:
        raise AssertionError(f"the doctor ended with {done.returncode}: {report['findings']}")
