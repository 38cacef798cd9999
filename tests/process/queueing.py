"""Queueing: what the sweeps do with the work queue, what real workers do, and what must be true after it."""

from __future__ import annotations

import time
from typing import Any

from latchboard.compose import Latchboard
from latchboard.errors import HoldLost, NothingReady, Refused, WipLimitReached
from latchboard.settings import Settings
from tests.process.nursery import Channel
from tests.services.workqueue.support import problems

FILE = "src/a.py"
VICTIM = "victim"
SETTINGS = Settings(queue_backoff_s=0.001, queue_backoff_s_max=0.001, guard_wait_s_max=30.0)


def queued(board: Latchboard) -> None:
    """A job that names a file, and one that waits for it."""
    drafts = [{"title": "first", "role": "builder", "files": [FILE]}]
    first = board.queue.submit(drafts, by=VICTIM)[0]["id"]
    board.queue.submit([{"title": "second", "role": "tester", "dependencies": [first]}], by=VICTIM)


def claimed(board: Latchboard) -> tuple[str, int]:
    """That job, claimed."""
    queued(board)
    claim = board.queue.claim("builder", VICTIM)
    return claim["job"]["id"], claim["lease"]["token"]


def take(board: Latchboard, prepared: None) -> None:
    """Claim it, or find that it was claimed by the call that was told of a fault."""
    try:
        board.queue.claim("builder", VICTIM)
    except NothingReady:
        if not board.store.read("queue/active").get("queue/active")["claims"]:
            raise


def complete(board: Latchboard, claim: tuple[str, int]) -> None:
    """Complete it; who is told of a fault asks again, and is answered also where it was behind the commit."""
    board.queue.complete(*claim, result={"text": "x" * 100})


def check(root: str, commits: list[dict[str, Any]], answer: dict[str, Any] | None) -> list[str]:
    """Jobs, lines, claims and locks agree."""
    board = Latchboard(root, publishes=False)
    found = problems(board.store)
    claims = (board.store.read("queue/active").get("queue/active") or {"claims": {}})["claims"]
    held = bool(board.locks.check([FILE], agent="probe"))
    if held != bool(claims):
        found.append(f"claims are {list(claims)}, and {FILE} is {'held' if held else 'free'}")
    board.close()
    return found


def worker(channel: Channel, root: str, owner: str, ttl_s: float) -> None:
    """Claim and complete at once until nothing is left; tells what it completed, one by one."""
    board = Latchboard(root, settings=SETTINGS, publishes=False)
    channel.send(ready=True)
    channel.receive()
    while True:
        try:
            claim = board.queue.claim("builder", owner, ttl_s=ttl_s, durable=False)
            board.queue.complete(claim["job"]["id"], claim["lease"]["token"], durable=False)
        except WipLimitReached:
            continue
        except NothingReady as exc:
            if exc.fields["ready_at"] is None and not board.store.read("queue/active").get("queue/active")["claims"]:
                break
            time.sleep(0.001)
        except (HoldLost, Refused):
            continue
    channel.send(ended=True)
