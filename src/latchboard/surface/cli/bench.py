"""Bench: acquire and release beside what the file system takes for one small file, in one run and in turns."""

from __future__ import annotations

import os
import statistics
import tempfile
from time import perf_counter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

ROUNDS_MAX = 100_000
_RECORD = b"x" * 300


def measure(rounds: int) -> tuple[list[dict[str, Any]], float]:
    """Measure `rounds` times.

    Returns:
        A row for each thing measured, with `what`, `p50_us` and `p95_us`; and the p50 of acquire + release over that of
        the floor.

    Raises:
        UsageError: Too many rounds.
    """
    from latchboard.compose import Latchboard
    from latchboard.errors import UsageError

    if rounds > ROUNDS_MAX:
        raise UsageError(f"at most {ROUNDS_MAX} rounds, not {rounds}")
    with tempfile.TemporaryDirectory(prefix="latchboard-bench-") as folder:
        board = Latchboard(folder, publishes=False)
        try:
            me = board.agent("bench")

            def one_lock() -> None:
                me.lock("a.py").release()

            def one_check() -> None:
                board.locks.check(["a.py"])

            def renewal() -> None:
                board.locks.renew_agent("bench")

            measured = _in_turns(
                {
                    "floor: create, write 300 bytes, close, remove": lambda: _floor(f"{folder}/floor"),
                    "acquire + release": one_lock,
                    "check": one_check,
                    "renew": renewal,
                },
                rounds,
            )
        finally:
            board.close()
    rows = [_row(what, times) for what, times in measured.items()]
    return rows, round(rows[1]["p50_us"] / rows[0]["p50_us"], 2)


def _floor(path: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(fd, _RECORD)
    os.close(fd)
    os.unlink(path)


def _in_turns(things: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """Each thing once per round, so that a busy moment of the machine meets all of them."""
    for fn in things.values():
        fn()
    times: dict[str, list[float]] = {what: [] for what in things}
    for _ in range(rounds):
        for what, fn in things.items():
            started = perf_counter()
            fn()
            times[what].append(perf_counter() - started)
    return times


def _row(what: str, times: list[float]) -> dict[str, Any]:
    times.sort()
    p95 = times[min(len(times) - 1, int(len(times) * 0.95))]
    return {"what": what, "p50_us": round(statistics.median(times) * 1e6, 2), "p95_us": round(p95 * 1e6, 2)}
