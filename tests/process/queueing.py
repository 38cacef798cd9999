"""Queueing: what the sweeps do with the work queue, what real workers do, and what must be true after it."""

from __future__ import annotations

import json
import os
import time
from itertools import cycle
from pathlib import Path
from typing import Any

from latchboard.compose import Latchboard
from latchboard.errors import HoldLost, NothingReady, Refused
from latchboard.settings import Settings
from latchboard.workqueue import repairing
from tests.process.nursery import Channel
from tests.services.workqueue.support import problems

FILE = "src/a.py"
NAME = "queue.json"
VICTIM = "victim"
SETTINGS = Settings(queue_backoff_s=0.001, queue_backoff_s_max=0.001, guard_wait_s_max=30.0, journals_kept_count=100)
"""Every revision is kept, to be looked at."""
LIMITS = {"builder": 3, "tester": 2, "painter": 1}
TOTAL = 4
"""Jobs in progress: fewer than the roles may have together."""


def queued(board: Latchboard) -> None:
    """A job that names a file, and one that waits for it."""
    drafts = [{"title": "first", "role": "builder", "files": [FILE]}]
    first = board.queue.submit(drafts, by=VICTIM)[0]["id"]
    board.queue.submit([{"title": "second", "role": "tester", "dependencies": [first]}], by=VICTIM)


def submit(board: Latchboard, prepared: None) -> None:
    """Two more at once, tied to each other and to one that is there."""
    drafts = [
        {"id": "third", "title": "third", "role": "tester", "dependencies": ["job-1"]},
        {"title": "fourth", "role": "builder", "dependencies": ["third"], "parent": "job-2", "payload": "x" * 5000},
    ]
    board.queue.submit(drafts, by=VICTIM)


def expired(board: Latchboard) -> None:
    """A job whose owner is gone, and whose lease has run out."""
    queued(board)
    board.queue.claim("builder", "gone", ttl_s=0.001)


def reclaim(board: Latchboard, prepared: None) -> None:
    """Bring it back; there is nothing else to claim."""
    try:
        board.queue.claim("tester", VICTIM)
    except NothingReady:
        return
    raise AssertionError("what waits was claimed")


def check_records(root: str, commits: list[dict[str, Any]], answer: dict[str, Any] | None) -> list[str]:
    """Jobs, lines and claims agree."""
    board = Latchboard(root, publishes=False)
    found = problems(board.store)
    board.close()
    return found


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
        if not _claims(board):
            raise


def complete(board: Latchboard, claim: tuple[str, int]) -> None:
    """Complete it; who is told of a fault asks again, and is answered also where it was behind the commit."""
    board.queue.complete(*claim, result={"text": "x" * 100})


def edited(board: Latchboard) -> None:
    """A queue file that a person has edited, beside a queue that has changed since."""
    drafts = [{"id": i, "title": f"Do {i}", "role": "builder"} for i in ("one", "two", "three")]
    if board.queue.look().jobs == {}:
        board.queue.submit(drafts, by=VICTIM)
    board.live_file().sync(prefer="queue")
    path = Path(board.root) / NAME
    document = json.loads(path.read_text())
    document["tasks"][0] |= {"priority": 7, "note": "a person's"}
    document["tasks"].append({"id": "four", "title": "Do four", "dependencies": ["one"]})
    path.write_text(json.dumps(document))
    if board.queue.show("two")["job"]["status"] == "ready":
        board.queue.block("two", by=VICTIM)


def sync(board: Latchboard, prepared: None) -> None:
    """Both sides get what the other one changed."""
    board.live_file().sync()


def check_file(root: str, commits: list[dict[str, Any]], answer: dict[str, Any] | None) -> list[str]:
    """The file is whole; once more synced, it says what the queue says, and nothing of either side is lost."""
    path = Path(root) / NAME
    text = path.read_text()
    try:
        json.loads(text)
    except ValueError as exc:
        return [f"the file is torn: {exc}: {text[-80:]}"]
    board = Latchboard(root, settings=Settings(queue_file=NAME), publishes=False)
    report = board.live_file().sync()
    found = [f"conflict: {one}" for one in report["conflicts"]]
    told = {one["id"]: one for one in json.loads(path.read_text())["tasks"]}
    jobs = board.queue.look().jobs
    wanted = {"one": "ready", "two": "blocked", "three": "ready", "four": "ready"}
    if {i: one.get("status", "ready") for i, one in told.items()} != wanted or {
        i: j["status"] for i, j in jobs.items()
    } != wanted:
        found.append(f"tasks are {told}, jobs {jobs}")
    elif (told["one"]["note"], jobs["one"]["priority"], jobs["four"]["waits_for"]) != ("a person's", 7, ["one"]):
        found.append("an edit was lost")
    left = [name for name in os.listdir(root) if name.endswith(".tmp")]
    found += [f"{name} was left behind" for name in left]
    found += problems(board.store)
    board.close()
    return found


def held(board: Latchboard) -> None:
    """The file of the first job is somebody's; a third job is free."""
    queued(board)
    board.queue.submit([{"title": "third", "role": "painter"}], by=VICTIM)
    board.locks.acquire(board.locks.request("rival", [FILE], bound="agent"))


def stand(board: Latchboard, prepared: None) -> None:
    """The first job takes its place in line for its file."""
    try:
        board.queue.claim("builder", VICTIM)
    except NothingReady:
        return
    raise AssertionError("it was claimed")


def check_place(root: str, commits: list[dict[str, Any]], answer: dict[str, Any] | None) -> list[str]:
    """Jobs, lines and places agree; the file is still the rival's, and whoever is next is told truly."""
    board = Latchboard(root, publishes=False)
    found = problems(board.store)
    if [one["agent"] for one in board.locks.check([FILE], agent="probe")] != ["rival"]:
        found.append("the rival lost its lock")
    places = [value for _, value in board.store.read("waiters/").scan("waiters/") if "job" in value]
    in_line = board.store.read(f"locks/{FILE}").get(f"locks/{FILE}")["waiters"]
    if [one["request"] for one in places] != [one["request"] for one in in_line]:
        found.append(f"places are {places}, in line is {in_line}")
    board.close()
    return found


def fail(board: Latchboard, claim: tuple[str, int]) -> None:
    """Its attempt failed."""
    board.queue.fail(*claim, error="no compiler")


def damaged(board: Latchboard) -> None:
    """A claim, a line and a number are lost."""
    claimed(board)

    def damage(view: Any) -> None:
        view.put("queue/active", {"nonsense": True})
        view.put("queue/ready.builder", {"nonsense": True})
        view.delete("queue/numbers")

    board.store.transact(damage, who="vandal")


def mend(board: Latchboard, prepared: None) -> None:
    """As `doctor --fix` does; asked again after a fault."""
    repairing.repair(board.store, by="doctor")


def check_mended(root: str, commits: list[dict[str, Any]], answer: dict[str, Any] | None) -> list[str]:
    """Asked once more, all is right."""
    board = Latchboard(root, publishes=False)
    repairing.repair(board.store, by="doctor")
    found = problems(board.store)
    board.close()
    return found


def check(root: str, commits: list[dict[str, Any]], answer: dict[str, Any] | None) -> list[str]:
    """Jobs, lines, claims and locks agree."""
    board = Latchboard(root, publishes=False)
    found = problems(board.store)
    claims = _claims(board)
    held = bool(board.locks.check([FILE], agent="probe"))
    if held != bool(claims):
        found.append(f"claims are {list(claims)}, and {FILE} is {'held' if held else 'free'}")
    board.close()
    return found


def worker(channel: Channel, root: str, owner: str, ttl_s: float) -> None:
    """Claim for one role after the other and complete at once, until nothing is left of any."""
    board = Latchboard(root, settings=SETTINGS, publishes=False)
    channel.send(ready=True)
    channel.receive()
    idle: set[str] = set()
    for role in cycle(LIMITS):
        try:
            claim = board.queue.claim(role, owner, ttl_s=ttl_s, durable=False)
            board.queue.complete(claim["job"]["id"], claim["lease"]["token"], durable=False)
        except NothingReady as exc:
            is_over = exc.fields["ready_at"] is None and not _claims(board)
            idle = {*idle, role} if is_over else set()
            if len(idle) == len(LIMITS):
                break
            time.sleep(0.001)
        except (HoldLost, Refused):
            idle.clear()  # somebody is at work, and may leave it to us
    channel.send(ended=True)


def _claims(board: Latchboard) -> Any:
    return (board.store.read("queue/active").get("queue/active") or {"claims": {}})["claims"]
