"""Serving: what a daemon costs that nobody uses, how long a start takes, and how long to look for orphans."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.measure import goal, percentile, sample, summary
from latchboard import Latchboard

CPU_PERCENT_MAX = 0.5
MEMORY_MB_MAX = 80
SCAN_S_MAX = 3.0
SILENT_COUNT = 20
_PORTS_COUNT = 50
_LOCKS_COUNT = 1000
_SETTLED_S = 2.0  # what a start leaves to do is over by then


@contextlib.contextmanager
def project() -> Iterator[Latchboard]:
    """A project with fifty ports of its own, in which a thousand locks are held; its daemon ends with it."""
    with tempfile.TemporaryDirectory() as folder:
        first = _free_ports()
        with open(f"{folder}/latchboard.toml", "w", encoding="utf-8") as file:
            file.write(f"daemon_port_first = {first}\ndaemon_port_end = {first + _PORTS_COUNT}\n")
        board = Latchboard(folder, publishes=False)
        for number in range(_LOCKS_COUNT // 100):
            agent = f"agent-{number}"
            names = [f"src/{number}/{name}.py" for name in range(100)]
            board.locks.acquire(board.locks.request(agent, names, bound="agent"), wait_s_max=0)
        try:
            yield board
        finally:
            board.daemon.stop()
            board.close()


def _free_ports() -> int:
    while True:
        first = random.randrange(20000, 30000)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(first, first + _PORTS_COUNT):
                stack.enter_context(contextlib.closing(socket.socket())).bind(("127.0.0.1", port))
            return first


def idle(seconds: float) -> dict[str, Any]:
    """Start a daemon, ask and stop it; and leave one alone: its share of a core, and its memory."""
    with project() as board:
        starts, again = [], []
        for _ in range(3):
            board.daemon.stop()
            starts += sample(board.daemon.ensure_running, rounds=1)
            again += sample(board.daemon.ensure_running, rounds=10)
        pid = board.daemon.ensure_running().state.pid
        time.sleep(_SETTLED_S)
        before_s, started_s = _cpu_s(pid), time.monotonic()
        time.sleep(seconds)
        percent = 100 * (_cpu_s(pid) - before_s) / (time.monotonic() - started_s)
        memory_mb, private_mb = _memory_mb(pid)
    return {
        "name": "an idle daemon",
        "figures": {
            "start": summary(starts),
            "ensure that it runs": summary(again),
            f"alone for {seconds:g} s": {
                "cpu_percent": round(percent, 3),
                "resident_mb": round(memory_mb, 1),
                "private_mb": round(private_mb, 1),
            },
        },
        "goals": [
            goal("cpu, percent of a core", percent, CPU_PERCENT_MAX),
            goal("resident memory, MB", memory_mb, MEMORY_MB_MAX),
        ],
    }


def orphans(rounds: int) -> dict[str, Any]:
    """Look for orphans where twenty listeners of the range never answer, and where nobody listens but the daemon."""
    with project() as board:
        port = board.daemon.ensure_running().state.port
        alone = sample(board.daemon.scan, rounds=rounds)
        first = board.settings.daemon_port_first
        with contextlib.ExitStack() as stack:
            taken = [number for number in range(first, first + _PORTS_COUNT) if number != port][:SILENT_COUNT]
            for number in taken:
                stack.enter_context(socket.create_server(("127.0.0.1", number), backlog=1))
            silent = sample(board.daemon.scan, rounds=rounds)
    return {
        "name": "a scan for orphans",
        "figures": {"nobody else listens": summary(alone), f"{SILENT_COUNT} silent listeners": summary(silent)},
        "goals": [goal(f"scan with {SILENT_COUNT} silent listeners, p95, s", percentile(silent, 0.95), SCAN_S_MAX)],
    }


def _cpu_s(pid: int) -> float:
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory_mb(pid: int) -> tuple[float, float]:
    """Resident, and of that what it shares with nobody."""
    sizes = {"Rss": 0, "Private_Clean": 0, "Private_Dirty": 0}
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        for line in file:
            name, _, rest = line.partition(":")
            if name in sizes:
                sizes[name] = int(rest.split()[0])
    return sizes["Rss"] / 1024, (sizes["Private_Clean"] + sizes["Private_Dirty"]) / 1024
