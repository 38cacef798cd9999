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


def job_of_a_lost_commit(ward: Ward) -> None:
    """A power cut has left the name of its file, and nothing of its commit."""
    _queue(ward).close()
    (ward.store / "jobs" / "job-4.json").write_bytes(b"")


def line_of_a_lost_commit(ward: Ward) -> None:
    """The same, where nothing stands in that line."""
    _queue(ward).close()
    (ward.store / "queue" / "ready.painter.json").write_bytes(b"\0" * 100)
