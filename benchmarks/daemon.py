"""Daemon: what a start pays to know whether the recorded daemon is healthy, and to list every process of ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.measure import goal, percentile, sample, summary
from latchboard import Latchboard
from latchboard.host.system import SystemHost

LIMIT_MS = 10
_FIRST = """
import sys, time
from latchboard import Latchboard
started = time.perf_counter()
daemons = Latchboard(sys.argv[1], publishes=False).daemons
composed = time.perf_counter()
state = daemons.verify().state
print(state, time.perf_counter() - composed, time.perf_counter() - started)
"""


@contextmanager
def recorded_daemon() -> Iterator[tuple[str, int]]:
    """A project with a running process that has a daemon's command line, and its record."""
    with tempfile.TemporaryDirectory() as folder:
        root, path = os.path.realpath(f"{folder}/project"), f"{folder}/path"
        os.makedirs(f"{root}/data/.agent_pids")
        os.makedirs(f"{path}/latchboard")
        for name, text in (("__init__", ""), ("__main__", "import sys; print('ready', flush=True); sys.stdin.read()")):
            with open(f"{path}/latchboard/{name}.py", "w", encoding="utf-8") as file:
                file.write(text)
        command = [sys.executable, "-m", "latchboard", "serve", "--root", root]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(command, cwd=path, env={"PYTHONPATH": path}, text=True, **pipes) as daemon:
            try:
                if daemon.stdout is None or daemon.stdout.readline() != "ready\n":
                    raise AssertionError("the daemon did not start")
                _record(root, daemon.pid)
                yield root, daemon.pid
            finally:
                daemon.kill()


def _record(root: str, pid: int) -> None:
    process = SystemHost().look(pid)
    if process is None:
        raise AssertionError("the daemon is gone")
    for name, text in (("pid", f"{pid}\n"), ("json", json.dumps({"format": 1, "process": process["identity"]}))):
        with open(f"{root}/data/.agent_pids/daemon.{name}", "w", encoding="utf-8") as file:
            file.write(text)


def verification(rounds: int) -> dict[str, Any]:
    """Verify the recorded daemon: again and again, first thing in a new process, and with a list of all processes."""
    with recorded_daemon() as (root, _):
        board = Latchboard(root, publishes=False)

        def verify() -> None:
            if board.daemons.verify().state != "running":
                raise AssertionError("the daemon was not verified")

        again = sample(verify, rounds=rounds)
        listed = sample(board.daemons.find, rounds=max(10, rounds // 10))
        first = [_in_a_new_process(root) for _ in range(max(5, rounds // 20))]
    p95_ms = {name: percentile(s, 0.95) * 1e3 for name, s in (("again", again), ("first", [s for s, _ in first]))}
    return {
        "name": "verification of a recorded daemon",
        "figures": {
            "verify": summary(again),
            "verify, first thing in a new process": summary([alone for alone, _ in first]),
            "the same, with the services' modules loaded": summary([whole for _, whole in first]),
            f"list our processes among {len(os.listdir('/proc'))} entries of /proc": summary(listed),
        },
        "goals": [
            goal("verify p95, ms", p95_ms["again"], LIMIT_MS),
            goal("verify first thing in a new process, p95, ms", p95_ms["first"], LIMIT_MS),
        ],
    }


def _in_a_new_process(root: str) -> tuple[float, float]:
    """Seconds of the verification alone, and with what loads the modules that it and the other services need."""
    command = [sys.executable, "-c", _FIRST, root]
    state, alone, whole = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    if state != "running":
        raise AssertionError(f"the daemon was {state}")
    return float(alone), float(whole)
