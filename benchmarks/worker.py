"""Worker: what an idle one costs, how soon it claims what becomes ready, and what a job costs beside its command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.measure import goal, summary
from latchboard import Latchboard
from latchboard.clock import parse_iso

WATCHED_S = 10.0


def worker(jobs: int) -> dict[str, Any]:
    """One worker as a process, its command does nothing; the interval is longer than the measurement."""
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(f"{folder}/.git")
        Path(folder, "latchboard.toml").write_text('[roles.builder]\ncommand = ["true"]\n', encoding="utf-8")
        board = Latchboard(folder, publishes=False)
        command = [sys.executable, "-m", "latchboard", "worker", "--root", folder, "--role", "builder"]
        child = subprocess.Popen([*command, "--interval", "3600"], stderr=subprocess.PIPE)
        try:
            assert child.stderr is not None
            child.stderr.readline()  # it is ready
            late, whole = zip(*[_job(board, child) for _ in range(jobs)], strict=True)
            idle_ms_per_s, memory_mib = _idle(child.pid)
        finally:
            child.send_signal(signal.SIGTERM)
            child.communicate()
            board.close()
    middle_ms = sorted(late)[len(late) // 2] * 1000
    return {
        "name": "worker",
        "figures": {
            "ready to claimed": summary(list(late)),
            "claimed to done, of a command that does nothing": summary(list(whole)),
            "idle": {"MiB": round(memory_mib, 1), "CPU ms/s": round(idle_ms_per_s, 3)},
        },
        "goals": [
            goal("job ready to claimed, p50 ms", middle_ms, 50.0),
            goal("idle worker, MiB", memory_mib, 50.0),
            goal("idle worker, CPU ms in a second", idle_ms_per_s, 5.0),
        ],
    }


def _job(board: Latchboard, child: subprocess.Popen[bytes]) -> tuple[float, float]:
    """How long one job waited, and how long it took, seconds, by the worker's own records."""
    assert child.stderr is not None
    time.sleep(0.05)  # it is waiting again
    job = board.queue.submit([{"title": "nothing", "role": "builder"}], by="bench", durable=False)[0]
    while b" worker.completed " not in child.stderr.readline():
        pass
    done = board.queue.show(job["id"])["job"]
    created, claimed, changed = (
        parse_iso(at) for at in (done["created_at"], done["attempts"][0]["started_at"], done["changed_at"])
    )
    return claimed - created, changed - claimed


def _idle(pid: int) -> tuple[float, float]:
    """Processor time of an idle process, ms in a second, and its memory, MiB."""
    time.sleep(1.0)
    before = _cpu_s(pid)
    time.sleep(WATCHED_S)
    memory = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return (_cpu_s(pid) - before) / WATCHED_S * 1000, int(memory.split()[1]) / 1024


def _cpu_s(pid: int) -> float:
    """Of all of its threads, those that have ended included; in steps of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    print(json.dumps(worker(int(sys.argv[1]) if len(sys.argv) > 1 else 20), indent=1))
