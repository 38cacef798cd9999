"""The machine lock between real processes: turns, SIGKILL, fork, deleted files, other users (K15 to K18)."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from latchboard import (
    HoldCeilingReached,
    HoldLost,
    LockAcquireTimeout,
    MachineFileLock,
    force_release,
    read_lock_record,
)
from latchboard.clock import SystemClock, iso
from latchboard.errors import CoordinationError
from latchboard.host.place import Place
from tests.process import space
from tests.process.nursery import PATIENCE_S, Channel, Child, Nursery, until

pytestmark = pytest.mark.process


def hold_until_told(channel: Channel, path: str, **how: float) -> None:
    with MachineFileLock(path, **how) as hold:
        channel.send(held=True, waited_s=hold.waited_s)
        channel.receive(3600)
    channel.send(released=True)


def hold_as_task(channel: Channel, path: str, max_hold_s: float, body_s: float) -> None:
    async def scene() -> None:
        async with MachineFileLock(path, max_hold_s=max_hold_s):
            channel.send(held=True)
            await asyncio.sleep(body_s)

    try:
        asyncio.run(scene())
    except HoldCeilingReached as exc:
        channel.send(error=exc.code, retryable=exc.retryable)


def hold_and_block(channel: Channel, path: str, max_hold_s: float) -> None:
    """A thread that does not ask how long it may."""
    hold = MachineFileLock(path, max_hold_s=max_hold_s).acquire()
    channel.send(held=True)
    channel.receive(3600)
    try:
        hold.protect(lambda: channel.send(wrote=True))
    except HoldCeilingReached as exc:
        channel.send(error=exc.code)


def take_turns(channel: Channel, path: str, rounds: int) -> None:
    """Count in a file that everybody counts in, without a lock of its own, and be the only one inside."""
    channel.receive()
    lock, folder = MachineFileLock(path, acquire_timeout_s=60), os.path.dirname(path)
    for _ in range(rounds):
        with lock as hold:
            os.close(os.open(f"{folder}/inside", os.O_CREAT | os.O_EXCL))
            count = int(Path(f"{folder}/count").read_text())
            hold.protect(lambda count=count: Path(f"{folder}/count").write_text(str(count + 1)))
            os.unlink(f"{folder}/inside")
    channel.send(done=True)


def _read(path: str) -> str:
    return Path(path).read_text()


def _write(path: str, count: int) -> None:
    Path(path).write_text(str(count))


def take_turns_as_tasks(channel: Channel, path: str, rounds: int) -> None:
    channel.receive()
    lock, folder = MachineFileLock(path, acquire_timeout_s=60), os.path.dirname(path)

    async def work() -> None:
        for _ in range(rounds):
            async with lock:
                os.close(os.open(f"{folder}/inside", os.O_CREAT | os.O_EXCL))
                count = int(_read(f"{folder}/count"))
                await asyncio.sleep(0)
                _write(f"{folder}/count", count + 1)
                os.unlink(f"{folder}/inside")

    async def scene() -> None:
        await asyncio.gather(*(work() for _ in range(3)))

    asyncio.run(scene())
    channel.send(done=True)


def fight(channel: Channel, path: str) -> None:
    """One round of a race: asked once, win or be refused."""
    while True:
        channel.receive(3600)
        try:
            hold = MachineFileLock(path, acquire_timeout_s=0).acquire()
        except LockAcquireTimeout:
            channel.send(won=False)
            continue
        channel.send(won=True)
        channel.receive(3600)
        hold.release()
        channel.send(released=True)


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / "count").write_text("0")
    return str(tmp_path / "refresh.lock")


def stopped_with_the_lock(nursery: Nursery, path: str, *, max_hold_s: float) -> Child:
    """A holder that stands still within its ceiling; where this process is slower than that, another one is tried."""
    for _ in range(100):
        holder = nursery.start(hold_and_block, path=path, max_hold_s=max_hold_s)
        holder.receive()
        holder.stop()
        if Place().lockers(path):  # the kernel's word: it has not been freed before
            return holder
        holder.close()
    raise AssertionError(f"a hundred holds of {max_hold_s} s were over before their holder could be stopped")


def is_free(path: str) -> bool:
    try:
        MachineFileLock(path, acquire_timeout_s=0).acquire().release()
    except LockAcquireTimeout:
        return False
    return True


def test_processes_and_their_tasks_take_turns(nursery: Nursery, path: str) -> None:
    children = [nursery.start(take_turns, path=path, rounds=60) for _ in range(4)]
    children += [nursery.start(take_turns_as_tasks, path=path, rounds=20) for _ in range(2)]
    for child in children:
        child.channel.send(go=True)
    for child in children:
        assert child.receive(100) == {"done": True}

    assert (Path(path).parent / "count").read_text() == str(4 * 60 + 2 * 3 * 20)
    assert read_lock_record(path) is None


def test_of_eight_that_ask_at_once_one_gets_it(nursery: Nursery, path: str) -> None:
    children = [nursery.start(fight, path=path) for _ in range(8)]

    for _ in range(200):
        for child in children:
            child.channel.send(go=True)
        won = [child for child in children if child.receive()["won"]]
        assert len(won) == 1
        assert won[0].ask(go=True) == {"released": True}


def test_of_eight_one_gets_it_also_when_winners_are_killed(nursery: Nursery, path: str) -> None:
    children = [nursery.start(fight, path=path) for _ in range(8)]

    for _ in range(30):
        for child in children:
            child.channel.send(go=True)
        won = [child for child in children if child.receive()["won"]]
        assert len(won) == 1
        won[0].kill()
        won[0].wait()
        children.remove(won[0])
        children.append(nursery.start(fight, path=path))
    with MachineFileLock(path, acquire_timeout_s=0) as hold:
        assert hold.adopted is not None


def test_a_killed_holder_is_followed_at_once_and_its_record_adopted(nursery: Nursery, path: str) -> None:
    holder = nursery.start(hold_until_told, path=path)
    holder.receive()
    left = read_lock_record(path)
    holder.kill()
    holder.wait()

    with MachineFileLock(path, acquire_timeout_s=0) as hold:
        assert left is not None and hold.adopted == left and left.pid == holder.pid


def test_an_old_record_with_a_live_holder_is_waited_for(nursery: Nursery, path: str) -> None:
    holder = nursery.start(hold_until_told, path=path)
    holder.receive()
    started_at = iso(SystemClock().now().wall_s - 120)
    record = {"schema_version": 1, "pid": holder.pid, "started_at": started_at, "host": "alpha", "version": "0"}
    Path(path).write_text(json.dumps(record))

    with pytest.raises(LockAcquireTimeout) as caught:
        MachineFileLock(path, acquire_timeout_s=0.3).acquire()
    assert caught.value.fields["pid"] == holder.pid
    assert force_release(path, only_if_age_s=60) is False

    holder.kill()
    holder.wait()
    Path(path).write_text(json.dumps(record))
    assert force_release(path, only_if_age_s=60) is True
    assert is_free(path)


def test_a_task_over_its_ceiling_is_cut_off_in_another_process(nursery: Nursery, path: str) -> None:
    holder = nursery.start(hold_as_task, path=path, max_hold_s=0.5, body_s=3600)
    holder.receive()

    MachineFileLock(path, acquire_timeout_s=PATIENCE_S).acquire().release()
    assert holder.receive() == {"error": "hold-ceiling", "retryable": True}


def test_a_thread_over_its_ceiling_loses_the_lock_and_cannot_write(nursery: Nursery, path: str) -> None:
    holder = nursery.start(hold_and_block, path=path, max_hold_s=0.5)
    holder.receive()

    with MachineFileLock(path, acquire_timeout_s=PATIENCE_S, max_hold_s=PATIENCE_S):
        assert holder.ask(go=True) == {"error": "hold-ceiling"}


def test_a_holder_that_stands_still_keeps_the_lock_and_cannot_write_when_it_goes_on(
    nursery: Nursery, path: str
) -> None:
    holder = stopped_with_the_lock(nursery, path, max_hold_s=0.3)

    with pytest.raises(LockAcquireTimeout):  # nobody is inside while it sleeps, and nobody can be sure that it is dead
        MachineFileLock(path, acquire_timeout_s=1.5).acquire()
    holder.channel.send(go=True)
    holder.kill(signal.SIGCONT)

    assert holder.receive() == {"error": "hold-ceiling"}
    until(lambda: is_free(path), "it comes free")


def test_a_deleted_lock_file_lets_nobody_in(nursery: Nursery, path: str) -> None:
    holder = nursery.start(hold_until_told, path=path)
    holder.receive()
    os.unlink(path)
    children = [nursery.start(fight, path=path) for _ in range(4)]

    for child in children:
        assert child.ask(go=True) == {"won": False}
    assert holder.ask(go=True) == {"released": True}
    assert children[0].ask(go=True) == {"won": True}
    assert children[1].ask(go=True) == {"won": False}


def delete_and_hold(channel: Channel, path: str, rounds: int) -> None:
    """Take turns while files disappear: what is protected is a line in a log, with the holder before and after it."""
    channel.receive()
    lock, folder = MachineFileLock(path, acquire_timeout_s=60), Path(path).parent
    passed = 0
    for number in range(rounds):
        try:
            with lock as hold:
                if number % 3 == 0:
                    Path(path).unlink(missing_ok=True)
                elif number % 7 == 0:
                    (folder / ".refresh.lock.anchor").unlink(missing_ok=True)
                hold.protect(lambda: _inside(folder))
                passed += 1
        except HoldLost:
            continue
    channel.send(passed=passed)


def _inside(folder: Path) -> None:
    os.close(os.open(folder / "inside", os.O_CREAT | os.O_EXCL))
    (folder / "count").write_text(str(int((folder / "count").read_text()) + 1))
    os.unlink(folder / "inside")


def test_files_that_are_deleted_all_the_time_never_let_two_pass(nursery: Nursery, path: str) -> None:
    children = [nursery.start(delete_and_hold, path=path, rounds=60) for _ in range(4)]
    for child in children:
        child.channel.send(go=True)

    passed = sum(child.receive(100)["passed"] for child in children)

    assert (Path(path).parent / "count").read_text() == str(passed)
    assert passed > 100


def protect_all_the_time(channel: Channel, path: str, rounds: int) -> None:
    """So many times at least, and then until it is told to end."""
    channel.receive()
    lock, folder, count = MachineFileLock(path, acquire_timeout_s=60), Path(path).parent, 0
    while count < rounds or not select.select([channel.sock], [], [], 0)[0]:
        with lock as hold:
            hold.protect(lambda: _inside(folder))
        count += 1
    channel.receive()
    channel.send(count=count)


@pytest.mark.parametrize("name", ["refresh.lock", ".refresh.lock.anchor"])
def test_a_program_that_deletes_one_file_all_the_time_disturbs_nobody(nursery: Nursery, path: str, name: str) -> None:
    children = [nursery.start(protect_all_the_time, path=path, rounds=50) for _ in range(4)]
    for child in children:
        child.channel.send(go=True)

    deleted = 0
    while not all(child.has_spoken() for child in children):
        try:
            os.unlink(Path(path).parent / name)
            deleted += 1
        except FileNotFoundError:
            time.sleep(0.0002)
        if deleted == 100:
            for child in children:
                child.tell(end=True)

    counts = [child.receive()["count"] for child in children]
    assert (Path(path).parent / "count").read_text() == str(sum(counts))
    assert min(counts) >= 50


# -- fork --------------------------------------------------------------------------------------------------------------


def fork_while_held(channel: Channel, path: str) -> None:
    """The child outlives its parent, uses what it inherited, and ends: nothing of that is the parent's business."""
    with MachineFileLock(path) as hold:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            status = [hold.is_live(), hold.release(), hold.has_ended]
            try:
                hold.check()
            except HoldLost as exc:
                status.append(str(exc))
            os.write(writer, json.dumps(status).encode())
            os.close(writer)
            signal.pause()
            os._exit(0)
        os.close(writer)
        with open(reader, "rb") as answer:
            channel.send(child=child, told=json.loads(answer.read()), live=hold.is_live())
        channel.receive(3600)


def test_a_forked_child_has_nothing_and_keeps_nothing(nursery: Nursery, path: str) -> None:
    holder = nursery.start(fork_while_held, path=path)
    told = holder.receive()
    try:
        assert told["live"] is True
        assert told["told"][:3] == [False, False, True]
        assert "held by the process that this one was forked from" in told["told"][3]
        assert not is_free(path)
        assert read_lock_record(path) is not None

        holder.kill()
        holder.wait()
        assert is_free(path)
    finally:
        os.kill(told["child"], signal.SIGKILL)


def fork_child_exits(channel: Channel, path: str) -> None:
    """A child that leaves the inherited block, with its exit hooks."""
    try:
        with MachineFileLock(path) as hold:
            child = os.fork()
            if child:
                os.waitpid(child, 0)
                channel.send(live=hold.is_live(), record=read_lock_record(path) is not None, free=is_free(path))
    finally:
        if os.getpid() != child and not child:
            os._exit(0)


def test_a_child_that_leaves_the_block_of_its_parent_frees_nothing(nursery: Nursery, path: str) -> None:
    holder = nursery.start(fork_child_exits, path=path)

    assert holder.receive() == {"live": True, "record": True, "free": False}


def fork_amid_waiting(channel: Channel, path: str) -> None:
    """Forks while other threads are asking; the children stay. Then everybody asks in the children, too."""
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            try:
                with MachineFileLock(path, acquire_timeout_s=0.01):
                    pass
            except LockAcquireTimeout:
                continue

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    children = []
    reader, writer = os.pipe()
    for _ in range(20):
        child = os.fork()
        if child == 0:
            with MachineFileLock(path, acquire_timeout_s=30):
                pass
            os.write(writer, b"!")
            signal.pause()
        children.append(child)
    stop.set()
    for thread in threads:
        thread.join()
    os.close(writer)
    for _ in children:
        assert os.read(reader, 1) == b"!"
    channel.send(children=children)
    channel.receive(3600)


def test_children_that_were_forked_amid_waiting_keep_no_lock(nursery: Nursery, path: str) -> None:
    parent = nursery.start(fork_amid_waiting, path=path)
    children = parent.receive()["children"]
    try:
        parent.kill()
        parent.wait()

        with MachineFileLock(path, acquire_timeout_s=30) as hold:
            hold.check()
        opened = [os.readlink(f"/proc/{pid}/fd/{fd}") for pid in children for fd in os.listdir(f"/proc/{pid}/fd")]
        assert not [name for name in opened if "refresh.lock" in name]
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)


IMPORTS_WHILE_LOCKED = """
import os, sys
from latchboard import LockAcquireTimeout, MachineFileLock
known = set(sys.modules)
path = sys.argv[1]
with MachineFileLock(path) as hold:
    hold.check()
    try:
        MachineFileLock(path, acquire_timeout_s=0.02).acquire()
    except LockAcquireTimeout:
        pass
with open(path, "w") as left:  # of a holder that was killed
    left.write(sys.argv[2])
with MachineFileLock(path) as hold:
    assert hold.adopted is not None
print(*sorted(set(sys.modules) - known))
"""


def test_nothing_is_imported_while_the_lock_is_held(path: str) -> None:
    """A child that was forked while another thread imported the same module would wait for it for ever, and hold on."""
    left = '{"schema_version":1,"pid":1,"started_at":"2026-01-01T00:00:00Z","host":"h","version":"0"}'
    command = [sys.executable, "-c", IMPORTS_WHILE_LOCKED, path, left]
    done = subprocess.run(command, check=True, capture_output=True, text=True)

    assert done.stdout == "\n"


def test_a_started_program_inherits_nothing(path: str) -> None:
    program = "import os; print(*[os.path.realpath(f'/proc/self/fd/{fd}') for fd in range(3, 30)])"
    with MachineFileLock(path):
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, check=True, close_fds=False, capture_output=True, text=True)

    assert done.stdout and "refresh.lock" not in done.stdout


# -- users -------------------------------------------------------------------------------------------------------------

ALICE, BOB, GROUP = 41001, 41002, 41000


def as_user(channel: Channel, path: str, uid: int) -> None:
    space.become(uid, GROUP)
    try:
        MachineFileLock(path, acquire_timeout_s=0).acquire().release()
        channel.send(code="", mode=stat.S_IMODE(os.stat(path).st_mode))
    except CoordinationError as exc:
        channel.send(code=exc.code, message=str(exc))


@pytest.fixture
def sticky(require: Any) -> Iterator[str]:
    """A folder that everybody may write to, such as /tmp."""
    require(os.geteuid() == 0, "root, to become two other users")
    with tempfile.TemporaryDirectory(prefix="latchboard-sticky-") as folder:
        os.chmod(folder, 0o1777)
        yield folder


def test_a_lock_file_of_another_user_in_a_shared_folder_is_refused(nursery: Nursery, sticky: str) -> None:
    path = f"{sticky}/x.lock"
    assert nursery.start(as_user, path=path, uid=ALICE).receive() == {"code": "", "mode": 0o600}

    assert nursery.start(as_user, path=path, uid=BOB).receive()["code"] == "store-forbidden"
    with pytest.raises(CoordinationError, match="belongs to another user, in a folder that everybody may write to"):
        MachineFileLock(path).acquire()  # root could open it, and would be led


def test_an_unreadable_folder_is_an_error_that_says_so(nursery: Nursery, sticky: str) -> None:
    os.mkdir(f"{sticky}/closed", 0o700)

    told = nursery.start(as_user, path=f"{sticky}/closed/x.lock", uid=BOB).receive()

    assert told["code"] == "store-forbidden"
    assert "closed" in told["message"]


def test_the_watch_frees_within_a_second_in_wall_time(path: str) -> None:
    """Half a second after the ceiling; a busy machine is asked again and again, until it was in time once."""
    took_s: list[float] = []
    while len(took_s) < 30 and not (took_s and min(took_s) < 1.2):
        started = time.monotonic()
        hold = MachineFileLock(path, max_hold_s=0.2, acquire_timeout_s=PATIENCE_S).acquire()

        until(lambda: is_free(path), "it comes free")

        took_s.append(time.monotonic() - started)
        assert hold.has_ended

    assert 0.6 < min(took_s) < 1.2
