"""Queues whose records are not what their jobs say, for the doctor."""

from __future__ import annotations

from latchboard.compose import Latchboard
from tests.process.ward import Ward


def _queue(ward: Ward) -> Latchboard:
    board = ward.board()
    board.queue.submit([{"title": f"job {n}", "role": "builder"} for n in range(3)], by="lead")
    board.queue.claim("builder", "b1")
    return board


def line_without_a_job(ward: Ward) -> None:
    """Written by a program that keeps no line."""
    board = _queue(ward)
    board.store.transact(lambda view: view.put("queue/ready.builder.0", {"places": [[50, 3, "job-3"]]}), who="other")
    board.close()


def claims_that_are_gone(ward: Ward) -> None:
    board = _queue(ward)
    board.store.transact(lambda view: view.delete("queue/active"), who="other")
    board.close()
