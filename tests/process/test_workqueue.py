"""K27, K28: processes claim from one queue: each job once, never above the limit at any revision, none lost."""

from __future__ import annotations

import random
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from latchboard.compose import Latchboard
from latchboard.errors import CoordinationError, NothingReady, WipLimitReached
from latchboard.store.port import Change
from tests.conftest import SOAK
from tests.process.nursery import Channel, Nursery
from tests.process.queueing import LIMITS, SETTINGS, TOTAL, worker
from tests.services.workqueue.support import problems

pytestmark = pytest.mark.process

WORKERS = 64 if SOAK else 12
JOBS = 2000 if SOAK else 240
ROLES = list(LIMITS)
KILLS = 200 if SOAK else 20


def history(board: Latchboard) -> list[Change]:
    """Every change of the store, in order."""
    watch = board.store.watch("", after=0)
    found: list[Change] = []
    while more := watch.poll():
        found += more
    watch.close()
    return found


def submit(board: Latchboard, count: int) -> list[str]:
    drafts = [{"title": f"job {n}", "role": ROLES[n % len(ROLES)], "attempts_max": 1000} for n in range(count)]
    jobs = [
        job
        for at in range(0, count, 200)
        for job in board.queue.submit(drafts[at : at + 200], by="test", durable=False)
    ]
    board.queue.set_limits(by="test", roles=LIMITS, total=TOTAL, durable=False)
    return [job["id"] for job in jobs]


def check(board: Latchboard, ids: list[str]) -> Counter[str]:
    """Each job was done once, by the token it was claimed with; no limit was exceeded; tokens grew. Counts outcomes."""
    tokens: dict[str, list[int]] = {one: [] for one in ids}
    done: Counter[str] = Counter()
    most: Counter[str] = Counter()  # claims at one revision
    for change in history(board):
        value: Any = change.value
        if change.key == "queue/active":
            claims = value["claims"].values()
            most |= Counter(lease["role"] for lease in claims) + Counter(total=len(claims))
        if change.key.startswith("jobs/"):
            if value["token"] is not None:
                tokens[value["id"]].append(value["token"])
            done[value["id"]] += value["status"] == "done"

    assert done == Counter(dict.fromkeys(ids, 1))
    assert all(0 < most[what] <= limit for what, limit in {**LIMITS, "total": TOTAL}.items())
    assert all(list(seen) == sorted(set(seen)) for seen in tokens.values())
    assert problems(board.store) == []
    return Counter(
        attempt["outcome"] for _, job in board.store.read("jobs/").scan("jobs/") for attempt in job["attempts"]
    )


def test_each_job_is_done_once_and_no_limit_is_exceeded_at_any_revision(nursery: Nursery, tmp_path: Path) -> None:
    board = Latchboard(str(tmp_path), settings=SETTINGS, publishes=False)
    ids = submit(board, JOBS)
    workers = [nursery.start(worker, root=str(tmp_path), owner=f"w{n}", ttl_s=600.0) for n in range(WORKERS)]
    for one in workers:
        one.receive()
    for one in workers:
        one.channel.send(go=True)
    for one in workers:
        assert one.receive() == {"ended": True}

    assert check(board, ids) == {"completed": JOBS}
    board.close()


@pytest.mark.slow
def test_workers_killed_at_random_lose_nothing(nursery: Nursery, tmp_path: Path) -> None:
    """A killed owner's job is done by somebody else once its lease has run out; nobody is in line for ever."""
    board = Latchboard(str(tmp_path), settings=SETTINGS, publishes=False)
    ids = submit(board, JOBS)
    chance = random.Random(6)

    def start(n: int) -> Any:
        child = nursery.start(worker, root=str(tmp_path), owner=f"w{n}", ttl_s=0.05)
        child.receive()
        child.channel.send(go=True)
        return child

    workers = [start(n) for n in range(6)]
    for n in range(KILLS):
        at = chance.randrange(len(workers))
        workers[at].has_ended(chance.random() * 0.01)  # look at it for a moment: it works meanwhile
        workers[at].kill()
        workers[at].wait()
        workers[at] = start(100 + n)
    for one in workers:
        assert one.receive() == {"ended": True}

    outcomes = check(board, ids)
    assert outcomes["completed"] == JOBS
    board.close()


def owner(channel: Channel, root: str) -> None:
    """Claim, and do with the claim what is asked."""
    board = Latchboard(root, settings=SETTINGS, publishes=False)
    token = board.queue.claim("builder", "stopped", ttl_s=0.3, durable=False)["lease"]["token"]
    channel.send(token=token)
    actions: dict[str, Any] = {
        "renew": lambda: board.queue.renew("a", token),
        "complete": lambda: board.queue.complete("a", token, result="late"),
        "fail": lambda: board.queue.fail("a", token, error="late"),
        "release": lambda: board.queue.release("a", token),
    }
    while True:
        word = channel.receive()["do"]
        try:
            actions[word]()
            channel.send(answer="done")
        except CoordinationError as exc:
            channel.send(answer=exc.code)


def state(board: Latchboard) -> dict[str, Any]:
    """Every job, every record of the queue, every lock and its lease."""
    names = ["jobs/", "queue/", "locks/", "leases/"]
    snapshot = board.store.read(*names)
    return {key: value for name in names for key, value in snapshot.scan(name)}


@pytest.mark.parametrize("files", [[], ["src/a.py"]])
def test_an_owner_that_was_stopped_past_its_lease_is_refused_everything(
    files: list[str], nursery: Nursery, tmp_path: Path
) -> None:
    board = Latchboard(str(tmp_path), settings=SETTINGS, publishes=False)
    board.queue.submit([{"id": "a", "title": "a", "role": "builder", "files": files}], by="lead")
    child = nursery.start(owner, root=str(tmp_path))
    late = child.receive()["token"]
    child.stop()
    claim: Any = None
    while claim is None:
        try:
            claim = board.queue.claim("builder", "next", durable=False)
        except NothingReady:
            board.clock.wait([], 0.02)

    before = state(board)
    child.kill(signal.SIGCONT)
    answers = [child.ask(do=word)["answer"] for word in ("renew", "complete", "fail", "release")]

    assert answers == ["stale-token"] * 4
    assert state(board) == before
    assert claim["lease"]["token"] > late
    done = board.queue.complete("a", claim["lease"]["token"], result="in time", durable=False)
    assert (done["status"], [a["outcome"] for a in done["attempts"]]) == ("done", ["expired", "completed"])
    assert problems(board.store) == []
    board.close()


@pytest.mark.parametrize("folders", [("one", "two"), ("one", "one")])
def test_two_boards_of_one_process_share_what_their_folder_says(folders: tuple[str, str], tmp_path: Path) -> None:
    """Threads claim from two projects at once, or twice from one: each job of each project once."""
    for folder in {*folders}:
        (tmp_path / folder).mkdir()
    boards = [Latchboard(str(tmp_path / folder), settings=SETTINGS, publishes=False) for folder in folders]
    projects = dict(zip(folders, boards, strict=True))
    ids = {folder: submit(board, 24) for folder, board in projects.items()}
    done: dict[str, list[str]] = {folder: [] for folder in folders}

    def work(folder: str, board: Latchboard) -> None:
        for role in ROLES:
            while True:
                try:
                    claim = board.queue.claim(role, "w", durable=False)
                    done[folder].append(claim["job"]["id"])
                    board.queue.complete(claim["job"]["id"], claim["lease"]["token"], durable=False)
                except WipLimitReached:
                    continue
                except NothingReady:
                    break

    with ThreadPoolExecutor() as pool:
        for one in [pool.submit(work, *each) for each in [*zip(folders, boards, strict=True)] * 2]:
            one.result(60)

    assert {folder: sorted(found) for folder, found in done.items()} == {f: sorted(i) for f, i in ids.items()}
    for folder, board in projects.items():
        assert check(board, ids[folder]) == {"completed": 24}
    for board in boards:
        board.close()
