"""A full disk, a process without file handles, a file that may not grow, a read-only disk: failures 3.15."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Any

import pytest

from latchboard.compose import Latchboard
from latchboard.errors import CoordinationError
from tests.process import inspection, space
from tests.process.nursery import Channel, Nursery

pytestmark = pytest.mark.process

NAMES = [f"src/{number}.py" for number in range(30)]
SHARED = "docs/shared.md"
_KEYS = ["locks/", "leases/", "messages/"]


def tell(channel: Channel, function: Any, *arguments: Any) -> dict[str, Any]:
    """Run it and send what it returned, or why this machine does not let us."""
    try:
        answer = {"answer": function(*arguments)}
    except space.Refused as exc:
        answer = {"refused": str(exc)}
    channel.send(**answer)
    return answer


def outcome(function: Any) -> str:
    """`done`, or the code of the error."""
    try:
        function()
    except CoordinationError as exc:
        return exc.code
    return "done"


# -- a disk of 256 KiB -------------------------------------------------------------------------------------------------


def on_a_small_disk(channel: Channel, root: str) -> None:
    tell(channel, _on_a_small_disk, root)


def _on_a_small_disk(root: str) -> dict[str, Any]:
    space.own_mounts()
    space.mount_tmpfs(root, "256k")
    board = Latchboard(root, publishes=False)
    me = board.agent("holder")
    tokens = {name: me.lock(name, bound="agent").token for name in NAMES}
    for agent in ("holder", "other"):  # to give this back means to write a record, not to remove one
        board.agent(agent).lock(SHARED, bound="agent", shared=True)
    before = inspection.State(board, _KEYS)
    space.fill(f"{root}/ballast")

    full, problems = [], []
    for act in (
        lambda: me.lock("src/new.py"),
        lambda: board.mailbox.send("holder", "reader", "hello"),  # a try that failed may have left it a block
        lambda: _in_another_process(root),
    ):
        earlier = inspection.State(board, _KEYS)
        full.append(outcome(act))
        if full[-1] != "done":
            later = inspection.State(board, _KEYS)
            problems += inspection.differences("on a full disk", earlier.records, later.records)

    names = [SHARED, *NAMES]
    released = {name: outcome(lambda n=name: board.locks.release_names("holder", [n])) for name in names}
    held = {entry["name"] for entry in board.locks.check(names) if entry["agent"] == "holder"}
    for name, how in released.items():
        if (how == "done") == (name in held):
            problems.append(f"the release of {name} was {how}, and it is {'held' if name in held else 'free'}")

    os.unlink(f"{root}/ballast")
    again = [outcome(lambda n=name: board.locks.release_names("holder", [n])) for name in names]
    problems += inspection.nothing_blocks(board, "other", NAMES[:3], before)
    problems += inspection.settled(board, inspection.State(board, _KEYS))
    grown = board.agent("last").lock(NAMES[0]).token > max(tokens.values())
    return {"full": full, "released": released, "again": again, "problems": problems, "grown": grown}


def _in_another_process(root: str) -> None:
    pid = os.fork()
    if pid == 0:
        how = outcome(lambda: Latchboard(root, publishes=False).agent("other").lock("src/other.py"))
        os._exit({"done": 0, "store-full": 1, "store-busy": 2}.get(how, 3))
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status == 1:
        from latchboard.errors import StoreFull

        raise StoreFull("the other process met it too")
    assert status == 0, f"the other process ended with {status}"


def test_full_disk_is_told_loses_nothing_and_is_over_when_there_is_space__failure_3_15(
    nursery: Nursery, tmp_path: Path, require: Any
) -> None:
    answer = nursery.start(on_a_small_disk, root=str(tmp_path)).receive()
    require("refused" not in answer, f"a mount namespace with a tmpfs: {answer.get('refused')}")
    found = answer["answer"]

    released = found["released"]
    print(f"released on a full disk: {list(released.values()).count('done')} of {len(released)}")
    assert released[SHARED] == "store-full"  # this one cannot be given back without a block of its own
    assert found["full"][0] == "store-full"
    assert set(found["full"]) <= {"store-full", "done"}
    assert set(released.values()) <= {"done", "store-full"}
    assert found["problems"] == []
    assert set(found["again"]) == {"done"}
    assert found["grown"]


# -- few file handles --------------------------------------------------------------------------------------------------


def with_few_handles(channel: Channel, root: str) -> None:
    board = Latchboard(root, publishes=False)
    me = board.agent("holder")
    hold = me.lock("src/a.py")
    used = [os.open("/dev/null", os.O_RDONLY)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(used) + 3, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    while True:
        try:
            used.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            break
    none = [
        outcome(lambda: me.lock("src/b.py")),
        outcome(lambda: board.mailbox.send("a", "b", "hello")),
        outcome(lambda: Latchboard(root, publishes=False).agent("x").lock("src/c.py")),
        outcome(lambda: board.store.watch("", after=0)),
        outcome(lambda: board.store.bell("waiters/x")),
    ]
    for fd in used:
        os.close(fd)
    channel.send(none=none, then=outcome(lambda: me.lock("src/b.py")), released=hold.release())


def test_process_without_file_handles_is_told_and_goes_on_when_it_has_some__failure_3_15(
    nursery: Nursery, tmp_path: Path
) -> None:
    answer = nursery.start(with_few_handles, root=str(tmp_path)).receive()

    assert set(answer["none"]) == {"too-many-files"}
    assert answer["then"] == "done"
    assert answer["released"] is True


# -- a file that may not grow ------------------------------------------------------------------------------------------


def with_small_files(channel: Channel, root: str, limit: int) -> None:
    board = Latchboard(root, publishes=False)
    hold = board.agent("holder").lock("src/a.py")
    before = inspection.State(board, _KEYS)
    journal = max(Path(root, "data/.agent_locks/journal").glob("*.jsonl"))
    old_size, old = journal.stat().st_size, resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (old_size + limit, old[1]))
    how = outcome(lambda: board.mailbox.send("a", "b", "x" * 2000))
    after = inspection.State(board, _KEYS)
    resource.setrlimit(resource.RLIMIT_FSIZE, old)
    channel.send(
        how=how,
        problems=inspection.differences("a file that may not grow", before.records, after.records),
        cut=journal.stat().st_size == old_size,
        released=hold.release(),
        sent=outcome(lambda: board.mailbox.send("a", "b", "again")),
        got=[message["body"] for message in board.mailbox.receive("b")],
    )


@pytest.mark.parametrize("limit", [0, 1, 100, 2000])
def test_journal_that_may_not_grow_is_cut_back_and_told__failure_3_15(
    limit: int, nursery: Nursery, tmp_path: Path
) -> None:
    answer = nursery.start(with_small_files, root=str(tmp_path), limit=limit).receive()

    assert answer["how"] in ("store-unavailable", "store-full")
    assert answer["problems"] == []
    assert answer["cut"]
    assert answer["released"] is True
    assert answer["sent"] == "done"
    assert answer["got"] == ["again"]


# -- read-only ---------------------------------------------------------------------------------------------------------


def on_a_read_only_disk(channel: Channel, root: str) -> None:
    tell(channel, _on_a_read_only_disk, root)


def _on_a_read_only_disk(root: str) -> dict[str, Any]:
    writer = Latchboard(root, publishes=False)
    writer.agent("holder").lock("src/a.py", bound="agent")
    writer.mailbox.send("holder", "reader", "hello")
    writer.queue.submit([{"id": name, "title": name, "role": "builder"} for name in ("a", "b")], by="lead")
    token = writer.queue.claim("builder", "holder")["lease"]["token"]
    space.own_mounts()
    space.mount_read_only(root)
    board = Latchboard(root, publishes=False)
    return {
        "lock": outcome(lambda: board.agent("me").lock("src/b.py")),
        "release": outcome(lambda: board.locks.release_names("holder", ["src/a.py"])),
        "queue": [
            outcome(lambda: board.queue.submit([{"title": "c", "role": "builder"}], by="lead")),
            outcome(lambda: board.queue.claim("builder", "other")),
            outcome(lambda: board.queue.renew("a", token)),
            outcome(lambda: board.queue.complete("a", token)),
        ],
        "jobs": {job["id"]: job["status"] for job in board.queue.look().jobs.values()},
        "check": [entry["agent"] for entry in board.locks.check(["src/a.py"])],
        "mail": [message["body"] for message in board.mailbox.peek("reader")],
        "board": outcome(board.board.read),
        "watch": sorted({change.key for change in board.store.watch("", after=0).poll()}),
    }


def test_read_only_disk_refuses_changes_and_answers_questions__failure_3_15(
    nursery: Nursery, tmp_path: Path, require: Any
) -> None:
    answer = nursery.start(on_a_read_only_disk, root=str(tmp_path)).receive()
    require("refused" not in answer, f"a mount namespace with a read-only mount: {answer.get('refused')}")
    found = answer["answer"]

    assert found["lock"] == found["release"] == "store-read-only"
    assert found["queue"] == ["store-read-only"] * 4
    assert found["jobs"] == {"a": "in_progress", "b": "ready"}
    assert found["check"] == ["holder"]
    assert found["mail"] == ["hello"]
    assert found["board"] == "done"
    assert "locks/src/a.py" in found["watch"]
