"""Jobs that name files, claimed by processes beside others that lock the same ones: nobody shares, nobody starves."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from latchboard.compose import Latchboard
from latchboard.errors import Deadlock, NothingReady, WaitEnded, WipLimitReached
from latchboard.settings import Settings
from tests.conftest import SOAK
from tests.process.nursery import Channel, Nursery
from tests.process.test_workqueue import history
from tests.services.workqueue.support import problems

pytestmark = pytest.mark.process

PATHS = ["a", "b", "c", "d", "e"]
JOBS = 300 if SOAK else 60
WORKERS = 12 if SOAK else 5
PEOPLE = 4 if SOAK else 2
LIMIT = 4
LEASE_S = 0.5
"""Of an owner who is killed."""
SETTINGS = Settings(guard_wait_s_max=30.0, queue_backoff_s=0.001, queue_backoff_s_max=0.001, journals_kept_count=1000)
"""Every revision is kept, to be looked at."""


def work(channel: Channel, root: str, owner: str) -> None:
    """Claim, look whether all files are its own, complete; until nothing is left."""
    board = Latchboard(root, settings=SETTINGS, publishes=False)
    channel.send(ready=True)
    channel.receive()
    wrong: list[str] = []
    while True:
        try:
            claim = board.queue.claim("builder", owner, ttl_s=600, durable=False)
        except WipLimitReached:
            board.clock.wait([], 0.002)  # whoever has a claim shall get on with it
            continue
        except NothingReady as exc:
            if not exc.fields["held"]:
                break
            board.clock.wait([], 0.002)
            continue
        held = board.locks.check(claim["job"]["files"], agent="probe")
        if {one["agent"] for one in held} != {owner} or {one["name"] for one in held} != set(claim["job"]["files"]):
            wrong.append(f"{claim['job']['id']}: {held}")
        board.queue.complete(claim["job"]["id"], claim["lease"]["token"], durable=False)
    channel.send(wrong=wrong)


def lock(channel: Channel, root: str, agent: str, seed: int) -> None:
    """Lock some of the files, waiting in line, and give them back: once, and until told to. Says how often."""
    board = Latchboard(root, settings=SETTINGS, publishes=False)
    dice, got = random.Random(seed), 0
    channel.send(ready=True)
    channel.receive()
    while not got or not board.clock.wait([channel.sock], 0):
        request = board.locks.request(agent, dice.sample(PATHS, dice.randrange(1, 3)), bound="agent", ttl_s=600)
        try:
            with board.locks.acquire(request, wait_s_max=20):
                got += 1
        except (WaitEnded, Deadlock):
            continue
    channel.receive()
    channel.send(got=got)


def test_nobody_shares_a_file_and_nobody_starves(nursery: Nursery, tmp_path: Path) -> None:
    board = Latchboard(str(tmp_path), settings=SETTINGS, publishes=False)
    dice = random.Random(3)
    drafts = [
        {"title": f"{n}", "role": "builder", "files": sorted(dice.sample(PATHS, dice.randrange(1, 4)))}
        for n in range(JOBS)
    ]
    board.queue.submit(drafts, by="lead", durable=False)
    board.queue.set_limits(by="lead", roles={"builder": LIMIT}, durable=False)
    workers = [nursery.start(work, root=str(tmp_path), owner=f"w{n}") for n in range(WORKERS)]
    people = [nursery.start(lock, root=str(tmp_path), agent=f"p{n}", seed=n) for n in range(PEOPLE)]
    for one in [*workers, *people]:
        one.receive()
    for one in [*people, *workers]:
        one.channel.send(go=True)

    wrong = [one.receive(timeout_s=150)["wrong"] for one in workers]
    for one in people:
        one.tell(stop=True)
    got = [one.receive(timeout_s=60)["got"] for one in people]  # each may wait in line for 20 s yet

    assert wrong == [[] for _ in workers]
    assert all(count > 0 for count in got)
    assert {job["status"] for job in board.queue.look().jobs.values()} == {"done"}
    assert problems(board.store) == []
    assert _faults(board) == []
    assert [key for key, value in board.store.read("waiters/").scan("waiters/") if "job" in value] == []
    board.close()


def _faults(board: Latchboard) -> list[str]:
    """Of every revision: claims that share a file, or that do not hold theirs; more claims than the limit."""
    found: list[str] = []
    locks: dict[str, Any] = {}
    claims: dict[str, Any] = {}
    revision = 0
    for change in [*history(board), None]:
        if change is None or change.revision != revision:
            found += _wrong(revision, claims, locks)
            revision = change.revision if change else 0
        if change is not None and change.key == "queue/active":
            claims = change.value["claims"] if change.value else {}
        if change is not None and change.key.startswith("locks/"):
            locks[change.key[6:]] = change.value
    return found


def _wrong(revision: int, claims: dict[str, Any], locks: dict[str, Any]) -> list[str]:
    if len(claims) > LIMIT:
        return [f"{revision}: {len(claims)} claims"]
    names = [name for lease in claims.values() for name in lease.get("locks", {})]
    wrong = [f"{revision}: two claims share a file"] if len(names) != len(set(names)) else []
    for job, lease in claims.items():
        for name in lease.get("locks", {}):
            record = locks.get(name)
            if [one["agent"] for one in (record["holders"] if record else [])] != [lease["owner"]]:
                wrong.append(f"{revision}: {lease['owner']} claims {job} and does not hold {name}")
    return wrong


def test_a_claim_whose_owner_is_killed_gives_its_files_to_who_waits(nursery: Nursery, tmp_path: Path) -> None:
    """The lease of the claim and that of its locks run out together; then the job goes on to somebody else."""
    board = Latchboard(str(tmp_path), settings=SETTINGS, publishes=False)
    board.queue.submit([{"id": "a", "title": "a", "role": "builder", "files": ["x"]}], by="lead")
    before_s = board.clock.now().mono_s
    child = nursery.start(_claim_and_hang, root=str(tmp_path))
    token = child.receive()["token"]
    child.kill()
    child.wait()

    claim: Any = None
    while claim is None:
        try:
            claim = board.queue.claim("builder", "next", durable=False)
        except NothingReady:
            board.clock.wait([], 0.02)

    assert board.clock.now().mono_s - before_s >= LEASE_S, "not while the lease lasts"
    assert claim["lease"]["token"] > token
    assert [one["agent"] for one in board.locks.check(["x"], agent="probe")] == ["next"]
    board.close()


def _claim_and_hang(channel: Channel, root: str) -> None:
    board = Latchboard(root, settings=SETTINGS, publishes=False)
    channel.send(token=board.queue.claim("builder", "victim", ttl_s=LEASE_S, durable=False)["lease"]["token"])
    channel.receive()
