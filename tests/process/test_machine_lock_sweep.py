"""The machine lock killed, refused or interrupted at any system call: the next one gets it, and nothing hangs (K43)."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from latchboard import LockAcquireTimeout, MachineFileLock, read_lock_record
from latchboard.errors import CoordinationError, HostError
from tests.process.nursery import Channel, Gone, Nursery
from tests.process.trace import Trace

pytestmark = [pytest.mark.process]
HITS_MIN = 10


def victim(channel: Channel, path: str) -> None:
    """One hold, with everything that it needs; the warm-up is not counted."""
    with MachineFileLock(f"{path}.warm") as hold:
        hold.check()
    channel.send(pid=os.getpid())
    channel.receive(3600)
    try:
        with MachineFileLock(path, acquire_timeout_s=0.05) as hold:
            hold.protect(lambda: None)
        channel.send(code="")
    except CoordinationError as exc:
        channel.send(code=exc.code)


def attempt(nursery: Nursery, folder: Path, *injections: str) -> tuple[str | None, list[str]]:
    """What it told (None: killed), and the system calls that it made."""
    child = nursery.start(victim, path=str(folder / "x.lock"))
    trace = Trace(child.receive()["pid"], folder.parent / "trace", *injections)
    try:
        code: str | None = child.ask(go=True)["code"]
    except Gone:
        code = None
    finally:
        child.close()
        trace.close()
    return code, [name for name, _ in trace.calls()]


def check_free(folder: Path) -> None:
    with MachineFileLock(folder / "x.lock", acquire_timeout_s=0) as hold:
        hold.check()
    assert read_lock_record(folder / "x.lock") is None


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.needs_tool("strace")
def test_a_kill_at_any_system_call_leaves_the_lock_free(nursery: Nursery, tmp_path: Path) -> None:
    folder = tmp_path / "locks"
    _, calls = attempt(nursery, folder)
    killed = 0

    for name, count in sorted(Counter(calls).items()):
        for number in range(1, count + 1):
            code, _ = attempt(nursery, folder, f"{name}:signal=KILL:when={number}")
            killed += code is None
            check_free(folder)

    assert killed >= 15


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.needs_tool("strace")
@pytest.mark.parametrize("fault", ["EIO", "ENOSPC", "EMFILE"])
def test_a_fault_at_any_system_call_is_a_typed_error_and_leaves_the_lock_free(
    nursery: Nursery, tmp_path: Path, fault: str
) -> None:
    folder = tmp_path / "locks"
    attempt(nursery, folder)
    _, calls = attempt(nursery, folder)
    codes = []

    for name in ("open", "openat", "newfstatat", "fstat", "flock", "lseek", "read", "write", "ftruncate", "close"):
        for number in range(1, Counter(calls)[name] + 1):
            code, _ = attempt(nursery, folder, f"{name}:error={fault}:when={number}")
            codes.append(code)
            check_free(folder)

    assert None not in codes
    assert len([code for code in codes if code]) >= 8
    assert set(codes) <= {"", "store-unavailable", "store-full", "too-many-files"}


def interrupted(channel: Channel, path: str, rounds: int, inside: bool) -> None:
    class Interrupted(Exception):
        pass

    def interrupt(signum: int, frame: object) -> None:
        raise Interrupted

    def arm(after_s: float) -> None:
        signal.setitimer(signal.ITIMER_REAL, after_s)

    signal.signal(signal.SIGALRM, interrupt)
    lock, done, hit, lost = MachineFileLock(path, max_hold_s=0.05, acquire_timeout_s=30), 0, 0, 0
    deadline_s = time.monotonic() + 6  # who is interrupted on the way out may leave the lock to the ceiling
    for number in range(rounds):
        if time.monotonic() > deadline_s and hit > HITS_MIN:
            break
        try:
            try:
                if not inside:
                    arm(0.00002 + number % 97 * 0.000003)
                with lock:
                    done += 1
                    if inside:
                        arm(0.000002 + number % 97 * 0.000001)
            finally:
                arm(0)
        except Interrupted:
            hit += 1
        except KeyError as exc:  # an interrupt inside `Thread.start`, which then forgets the thread twice
            if not isinstance(exc.__context__, Interrupted):
                raise
            hit += 1
        except LockAcquireTimeout:
            lost += 1
            break
        except CoordinationError:
            continue
    channel.send(done=done, hit=hit, lost=lost)


@pytest.mark.parametrize("inside", [False, True], ids=["on the way in", "on the way out"])
def test_an_interrupt_at_any_moment_blocks_nobody_beyond_the_ceiling(
    nursery: Nursery, tmp_path: Path, inside: bool
) -> None:
    """Between the lock and the block an interrupt can leave a hold that nobody knows of: the ceiling ends it."""
    child = nursery.start(interrupted, path=str(tmp_path / "x.lock"), rounds=1500, inside=inside)

    told = child.receive(100)

    assert told["lost"] == 0
    assert told["hit"] > HITS_MIN
    child.wait()
    MachineFileLock(tmp_path / "x.lock", acquire_timeout_s=0).acquire().release()


def with_limits(channel: Channel, path: str) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    try:
        MachineFileLock(path).acquire()
        channel.send(code="")
    except CoordinationError as exc:
        channel.send(code=exc.code, message=str(exc))
    channel.receive(3600)


def test_a_record_that_cannot_be_written_is_an_error_and_the_lock_is_free(nursery: Nursery, tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    child = nursery.start(with_limits, path=str(path))

    told = child.receive()

    assert told["code"] == "store-unavailable"
    assert "File too large" in told["message"]
    with MachineFileLock(path, acquire_timeout_s=0):
        pass


def without_threads(channel: Channel, path: str) -> None:
    import threading

    def refuse(*args: object, **kwargs: object) -> None:
        raise RuntimeError("can't start new thread")

    threading._start_new_thread = refuse  # type: ignore[attr-defined]  # what a limit of threads does
    try:
        MachineFileLock(path).acquire()
    except HostError as exc:
        channel.send(message=str(exc))
    channel.receive(3600)


def test_without_a_thread_to_keep_the_ceiling_there_is_no_hold(nursery: Nursery, tmp_path: Path) -> None:
    child = nursery.start(without_threads, path=str(tmp_path / "x.lock"))

    assert "keep the hold ceiling" in child.receive()["message"]
    assert read_lock_record(tmp_path / "x.lock") is None
    try:
        MachineFileLock(tmp_path / "x.lock", acquire_timeout_s=0).acquire().release()
    except LockAcquireTimeout:
        pytest.fail("it kept the lock")
