"""Singletons: what a registration costs, and what a refusal costs; imports are not counted."""

from __future__ import annotations

import logging
import os
import tempfile
import time
from typing import Any

from benchmarks.measure import goal, percentile, sample, summary
from latchboard import Latchboard
from latchboard.errors import AlreadyRunning

TYPE = "code_developer"


def register(rounds: int) -> dict[str, Any]:
    """Register and be refused: the check that an agent makes when it starts."""
    logging.getLogger("latchboard.singleton").addHandler(logging.NullHandler())  # a thousand refusals are not news
    with tempfile.TemporaryDirectory() as folder:
        singletons = Latchboard(folder, publishes=False).singletons
        singletons.enforce(TYPE).release()
        checks, busy = [], []
        for _ in range(rounds):
            started, started_cpu = time.perf_counter(), time.thread_time()
            registration = singletons.enforce(TYPE)
            busy.append(time.thread_time() - started_cpu)
            checks.append(time.perf_counter() - started)
            registration.release()
        statuses = sample(lambda: singletons.status([TYPE]), rounds=rounds)
        refusals = _refusals(folder, rounds)
    return {
        "name": "singleton: registration check",
        "figures": {
            "register": summary(checks),
            "register, CPU alone": summary(busy),  # what it would be if nobody else wanted the processor
            "be refused": summary(refusals),
            "status": summary(statuses),
        },
        "goals": [
            goal("register p95, ms", percentile(checks, 0.95) * 1e3, 1.0),
            goal("be refused p95, ms", percentile(refusals, 0.95) * 1e3, 1.0),
        ],
    }


def _refusals(folder: str, rounds: int) -> list[float]:
    """Samples of a process that is refused, taken in a forked child while this one runs."""
    with Latchboard(folder, publishes=False).singletons.enforce(TYPE):
        reader, writer = os.pipe()
        pid = os.fork()
        if not pid:
            try:
                singletons = Latchboard(folder, publishes=False).singletons
                found = sample(lambda: _refused(singletons), rounds=rounds + 1)[1:]
                os.write(writer, " ".join(f"{one:.9f}" for one in found).encode())
            finally:
                os._exit(0)
        os.close(writer)
        with open(reader, encoding="ascii") as file:
            text = file.read()
        os.waitpid(pid, 0)
    return [float(word) for word in text.split()]


def _refused(singletons: Any) -> None:
    try:
        singletons.enforce(TYPE)
    except AlreadyRunning:
        return
    raise AssertionError("two processes run as one type")
