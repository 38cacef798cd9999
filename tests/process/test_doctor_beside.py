"""Repairs beside agents that are at it: what a living one holds, or is about to write, is never taken from it."""

from __future__ import annotations

import fcntl
import json
import os
import select
from pathlib import Path
from typing import Any

import pytest

from latchboard.compose import Latchboard, doctoring
from latchboard.doctor import mending
from latchboard.host import secret_file
from latchboard.host.place import Place
from latchboard.machine_lock import MachineFileLock, force_release, read_lock_record
from tests.process import test_doctor_findings as scenes
from tests.process.nursery import Channel, Nursery
from tests.process.ward import Ward

pytestmark = pytest.mark.process

PATIENCE_S = 60.0


def working(channel: Channel, root: str, path: str) -> None:
    """Takes a machine lock and a file's lock, counts under both, and gives them back, until it is told to stop."""
    board = Latchboard(root, publishes=False)
    me, count, number = board.agent(f"agent{os.getpid()}"), Path(root, "count"), 0
    while not number or not select.select([channel.sock], [], [], 0)[0]:
        with (
            MachineFileLock(path, acquire_timeout_s=PATIENCE_S, max_hold_s=PATIENCE_S),
            me.lock("count", wait_s_max=PATIENCE_S) as held,
        ):
            before = int(count.read_text())
            count.write_text(str(before + 1))
            record = read_lock_record(path)
            assert record is not None and record.pid == os.getpid()
            assert held.is_live()
        number += 1
        if number == 1:
            channel.send(works=True)
    board.close()
    channel.receive()
    channel.send(number=number)


def test_agents_that_take_locks_and_give_them_back_lose_none_of_them(ward: Ward, nursery: Nursery) -> None:
    """A threshold of 0 s calls every record stuck, also that of a holder who has just come."""
    path = scenes.configured(ward)
    path.write_text("{")
    ward.fill().close()
    (ward.root / "count").write_text("0")
    lock = f"{path}.lock"
    agents = [nursery.start(working, root=str(ward.root), path=lock) for _ in range(2)]
    for one in agents:
        one.receive()

    freed = [doctoring.mend(ward.board(), "unstick-lock", threshold_s=0.0, dry_run=False) for _ in range(20)]
    plan = doctoring.mend(ward.board(), "reset", dry_run=True)
    is_there = path.exists()
    (deed,) = doctoring.mend(ward.board(), "reset", dry_run=False)

    numbers = [one.ask(stop=True)["number"] for one in agents]
    assert int((ward.root / "count").read_text()) == sum(numbers)
    assert [one.what for deeds in freed for one in deeds if one.is_done] == []
    assert ([one.is_done for one in plan], is_there) == ([False], True)
    assert (deed.is_done, Path(deed.kept).read_text()) == (True, "{")
    board = ward.board()
    assert {one["agent"] for number in range(3) for one in board.locks.check([f"src/{number}.py"])} == {"planner"}


class Blind(Place):
    """A machine that does not tell who has a kernel lock."""

    def lockers(self, path: str) -> list[int] | None:
        return None


@pytest.mark.parametrize("place", [Place(), Blind()], ids=["told", "not told"])
def test_a_holder_that_has_not_replaced_the_record_of_the_dead_yet_keeps_its_lock(
    ward: Ward, nursery: Nursery, place: Any
) -> None:
    lock = scenes.machine_lock(ward, age_s=120)
    left = lock.read_bytes()
    child = nursery.start(scenes.guarding, path=str(lock))
    child.receive()
    board, known = ward.board(), doctoring.kept(str(ward.root))

    def unstick() -> list[bool]:
        release = lambda path, age_s: force_release(path, only_if_age_s=age_s)  # noqa: E731
        deeds = mending.unstick(known, board.clock, place, release, threshold_s=60.0, dry_run=False)
        return [one.is_done for one in deeds]

    assert (unstick(), lock.read_bytes()) == ([False], left)

    child.close()
    assert (unstick(), lock.read_bytes()) == ([True], b"")


def logging_in(channel: Channel, path: str) -> None:
    """Is about to write a grant: it has the guard that all writers of a credential take, and writes when it is told."""
    fd = os.open(f"{path}.guard", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)
    channel.send(has=True)
    channel.receive()
    Path(path).write_text(json.dumps(scenes.GRANT))
    os.close(fd)
    channel.send(wrote=True)


def test_a_grant_that_a_log_in_is_about_to_write_is_not_set_aside(
    ward: Ward, nursery: Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secret_file, "GUARD_WAIT_S_MAX", PATIENCE_S)  # the writer comes first, however slow it is
    path = scenes.configured(ward)
    path.write_text("{")
    child = nursery.start(logging_in, path=str(path))
    child.receive()

    def set_aside(one: Any) -> str:
        child.tell(go=True)  # it was damaged when it was looked at; its writer is before us
        where: str = one.set_aside("later")
        return where

    (deed,) = mending.reset(doctoring.kept(str(ward.root)), ward.board().clock, set_aside, dry_run=False)

    assert (deed.is_done, deed.why_not) == (False, "it can be read by now")
    assert json.loads(path.read_text()) == scenes.GRANT
    assert not list(path.parent.glob("*.damaged-*"))
