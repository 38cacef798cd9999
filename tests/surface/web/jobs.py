"""Jobs: a queue with something in every status, for the tests and the pictures of the page."""

from __future__ import annotations

from typing import Any

from latchboard.compose import Latchboard


def fill(board: Latchboard) -> None:
    """One job and more of each kind."""
    queue = board.queue
    queue.set_limits(by="lead", roles={"builder": 2})

    def add(job_id: str, role: str, title: str, **said: Any) -> None:
        queue.submit([{"id": job_id, "role": role, "title": title, **said}], by="lead", durable=False)

    def claim(role: str, owner: str, job_id: str) -> int:
        return int(queue.claim(role, owner, job=job_id, durable=False)["lease"]["token"])

    add("plan-1", "planner", "Plan the import of tariffs", priority=1)
    add("plan-2", "planner", "Plan the archive", priority=9)
    add(
        "build-1",
        "builder",
        "Build the reader of tariff files, with every field that the port authority has",
        priority=1,
    )
    add("build-2", "builder", "Build the writer", priority=2, files=["src/writer.py"])
    add("build-3", "builder", "Build the index of berths", priority=3, dependencies=["build-2"])
    add("build-4", "builder", "Mend the clock", priority=4, attempts_max=1)
    add("build-5", "builder", "Build what nobody wants", priority=5)
    add("test-1", "tester", "Test the reader", dependencies=["build-1"])
    add("docs-1", "docs", "Write the manual of the crane")
    add("test-2", "tester", "Test the pilots' list")
    add("merge-1", "integrator", "Bring the lighthouse in", priority=3)
    queue.complete("plan-1", claim("planner", "ada", "plan-1"), to="planning_complete", durable=False)
    claim("planner", "ada", "plan-2")
    claim("builder", "bo", "build-1")
    queue.fail("build-2", claim("builder", "cy", "build-2"), error="make: *** [all] Error 1", durable=False)
    queue.fail(
        "build-4", claim("builder", "cy", "build-4"), error="the clock has no hands\nAssertionError", durable=False
    )
    queue.complete("test-2", claim("tester", "di", "test-2"), durable=False)
    queue.block("docs-1", by="lead", reason="waits for a decision", durable=False)
    queue.cancel("build-5", by="lead", durable=False)
    add("build-6", "builder", "Paint the clock", dependencies=["build-4"])
