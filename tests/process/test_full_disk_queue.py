"""The work queue on a disk without space: what was told happened, what was refused did not, and then it goes on."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from latchboard.compose import Latchboard
from latchboard.settings import Settings
from tests.process import inspection, space
from tests.process.nursery import Channel, Nursery
from tests.process.test_full_disk import outcome, tell
from tests.services.workqueue.support import problems

pytestmark = pytest.mark.process

KEYS = ["jobs/", "queue/", "locks/", "leases/", "waiters/"]
SETTINGS = Settings(queue_backoff_s=1e-6, queue_backoff_s_max=1e-6, journal_bytes_max=32_768, journals_kept_count=2)
"""Journals are so short that some of the commits begin one."""
BIG = "x" * 12_000
ROOM_PAGES = (0, 1, 3)
"""How much of the disk is left each time: so a commit meets its end at its records, its line, and its new journal."""
IDS = {"complete": "done", "fail": "ready", "release": "ready", "block": "blocked", "cancel": "cancelled"}
"""A claim for each way to end it, and what its job is then."""


class Queue:
    """A queue, and what was told of its jobs."""

    def __init__(self, root: str) -> None:
        self.board = Latchboard(root, settings=SETTINGS, publishes=False)
        self.told: dict[str, str] = {}
        self.tokens: dict[str, int] = {}
        self.board.queue.set_limits(by="lead", roles={"builder": 100})

    def submit(self, job: str, *, payload: str = "") -> None:
        draft = {"id": job, "title": job, "role": "builder", "files": [f"{job}.py"], "payload": payload}
        self.board.queue.submit([draft], by="lead")
        self.told[job] = "ready"

    def claim(self, job: str) -> None:
        self.tokens[job] = self.board.queue.claim("builder", "worker", job=job)["lease"]["token"]
        self.told[job] = "in_progress"

    def end(self, how: str, job: str) -> None:
        more: dict[str, Any] = {"complete": {"result": BIG}, "fail": {"error": BIG}}.get(how, {})
        if how in ("block", "cancel"):
            getattr(self.board.queue, how)(job, by="lead")
        else:
            getattr(self.board.queue, how)(job, self.tokens[job], **more)
        self.told[job] = IDS[how]

    def untrue(self) -> list[str]:
        """What is not as it was told."""
        jobs = {job["id"]: job["status"] for job in self.board.queue.look().jobs.values()}
        return inspection.differences("told and there", self.told, jobs) + problems(self.board.store)


def on_a_full_disk(channel: Channel, root: str) -> None:
    tell(channel, _on_a_full_disk, root)


def _on_a_full_disk(root: str) -> dict[str, Any]:
    space.own_mounts()
    space.mount_tmpfs(root, "1m")
    queue = Queue(root)
    met: dict[str, list[str]] = {}
    found: list[str] = []
    for pages in ROOM_PAGES:
        acts = _prepare(queue, f"{pages}-")
        space.fill(f"{root}/ballast", pages_left=pages)
        for name, act in acts.items():
            before = inspection.State(queue.board, KEYS)
            met.setdefault(name, []).append(outcome(act))
            if met[name][-1] != "done":
                after = inspection.State(queue.board, KEYS)
                found += inspection.differences(f"{name} was refused", before.records, after.records)
        found += queue.untrue()
        os.unlink(f"{root}/ballast")
        again = [name for name, act in acts.items() if met[name][-1] != "done" and outcome(act) != "done"]
        found += [f"{name} does not go on" for name in again] + queue.untrue()
    return {"met": met, "found": found, "told": queue.told}


def _prepare(queue: Queue, mark: str) -> dict[str, Callable[[], None]]:
    """What is done on the full disk, in this order; none of it needs another one."""
    for job in ("claim", *IDS):
        queue.submit(mark + job)
    for job in IDS:
        queue.claim(mark + job)
    ends = {how: partial(queue.end, how, mark + how) for how in IDS}
    return {
        "submit": partial(queue.submit, f"{mark}submit", payload=BIG),
        "claim": partial(queue.claim, f"{mark}claim"),
        **ends,
    }


def test_full_disk_loses_no_job_and_the_queue_goes_on_when_there_is_space__failure_3_15(
    nursery: Nursery, tmp_path: Path, require: Any
) -> None:
    answer = nursery.start(on_a_full_disk, root=str(tmp_path)).receive()
    require("refused" not in answer, f"a mount namespace with a tmpfs: {answer.get('refused')}")
    found = answer["answer"]

    print(found["met"])
    assert found["found"] == []
    assert found["met"]["submit"][0] == found["met"]["complete"][0] == "store-full"
    assert {how for name in found["met"] for how in found["met"][name]} <= {"done", "store-full"}
    assert found["told"] == {
        f"{pages}-{job}": status
        for pages in ROOM_PAGES
        for job, status in {**IDS, "submit": "ready", "claim": "in_progress"}.items()
    }
