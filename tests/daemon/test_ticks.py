"""Ticks on a clock that moves when it is told to: what retires a daemon, what does not, and a tick that fails."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from latchboard import Latchboard
from latchboard.clock import Now, SystemClock
from latchboard.daemon import ticks
from latchboard.daemon.state import StateFile
from latchboard.daemon.ticks import Retirement, every
from latchboard.errors import StoreBusy
from latchboard.rules.serving import State
from latchboard.surface.web.running import _FILE_SHARE_MAX, _FILE_TICK_S
from latchboard.testing import FakeHost, ManualClock

PYTHON = "/usr/bin/python3.11"
PORT = 9400


class World:
    """A project on a machine of its own, and a daemon on it."""

    def __init__(self, root: Path, clock: Any) -> None:
        self.root = root / "project"
        (self.root / "data" / ".agent_pids").mkdir(parents=True)
        self.clock, self.machine = clock, FakeHost()
        self.me = self.daemon()
        host = self.machine.as_process(self.me)
        board = Latchboard(self.root, clock=self.clock, host=host, publishes=False)
        self.file = StateFile(board.root)
        self.retirement = Retirement(
            board.root,
            me=self.me,
            host="127.0.0.1",
            port=PORT,
            epoch=0,
            clock=self.clock,
            state_file=self.file,
            daemons=board.daemons,
            idle_s_max=60.0,
        )

    def daemon(self) -> Any:
        identity = self.machine.spawn()
        argv = [PYTHON, "-m", "latchboard", "serve", "--root", str(self.root.resolve())]
        self.machine.dress(identity, argv=argv, exe=PYTHON)
        return identity

    def record(self, process: Any, port: int) -> None:
        self.file.write(State(process, port=port, version="0.1.0", started_at="now"))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, ManualClock())


class Patient(SystemClock):
    """Waits for an answer however long that takes: its time stands still."""

    def __init__(self) -> None:
        self._now = super().now()

    def now(self) -> Now:
        return self._now


@pytest.fixture
def real_time(tmp_path: Path) -> World:
    """For those who wait for an answer."""
    return World(tmp_path, Patient())


class Answering:
    """A port that answers like the daemon with this pid, once."""

    def __init__(self, pid: int) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        body = json.dumps({"product": "latchboard", "version": "0.1.0", "protocol_version": 1, "pid": pid}).encode()
        self.answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        self.thread = threading.Thread(target=self.serve)

    def serve(self) -> None:
        connection, _ = self.listener.accept()
        with closing(connection):
            connection.recv(65536)
            connection.sendall(self.answer)

    def __enter__(self) -> int:
        self.thread.start()
        return self.port

    def __exit__(self, *_: object) -> None:
        self.thread.join()
        self.listener.close()


def test_nothing_recorded_is_no_reason(world: World) -> None:
    assert world.retirement.why() == ""


def test_another_daemon_of_the_project_that_answers_is_one(real_time: World) -> None:
    other = real_time.daemon()
    with Answering(other["pid"]) as port:
        real_time.record(other, port)

        assert real_time.retirement.why() == "superseded"


@pytest.mark.parametrize("kind", ["recycled", "stranger"])
def test_whoever_answers_and_is_no_daemon_of_the_project_is_none(real_time: World, kind: str) -> None:
    other = real_time.daemon()
    if kind == "stranger":
        real_time.machine.dress(other, argv=["vim", "latchboard", "serve"], exe="/usr/bin/vim")
    with Answering(other["pid"]) as port:
        real_time.record({**other, "start": other["start"] + (kind == "recycled")}, port)

        assert real_time.retirement.why() == ""
        socket.create_connection(("127.0.0.1", port)).close()  # nobody had asked


def test_a_disk_that_does_not_answer_is_none(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def hangs(path: str) -> os.stat_result:
        raise OSError(5, "no answer")

    monkeypatch.setattr(ticks.os, "stat", hangs)

    assert world.retirement.why() == ""


def test_another_one_that_does_not_answer_is_none(world: World) -> None:
    other = world.daemon()
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        world.record(other, silent.getsockname()[1])

        assert world.retirement.why() == ""


def test_an_answer_of_somebody_else_on_its_port_is_none(real_time: World) -> None:
    other = real_time.daemon()
    with Answering(4711) as port:
        real_time.record(other, port)

        assert real_time.retirement.why() == ""


@pytest.mark.parametrize("kind", ["dead", "recycled", "stranger", "itself", "my port"])
def test_whoever_is_no_daemon_of_the_project_is_none(world: World, kind: str) -> None:
    other, port = world.daemon(), PORT + 1
    if kind == "dead":
        world.machine.kill(other)
    elif kind == "recycled":
        other = {**other, "start": other["start"] + 1}
    elif kind == "stranger":
        world.machine.dress(other, argv=["vim", "latchboard", "serve"], exe="/usr/bin/vim")
    elif kind == "itself":
        other = world.me
    else:
        port = PORT
    world.record(other, port)

    assert world.retirement.why() == ""


def test_the_record_is_not_touched(world: World) -> None:
    world.record(world.daemon(), PORT + 1)
    before = os.stat(world.file.path)

    world.retirement.why()

    after = os.stat(world.file.path)
    assert (before.st_mtime_ns, before.st_ino, before.st_ctime_ns) == (
        after.st_mtime_ns,
        after.st_ino,
        after.st_ctime_ns,
    )


def test_a_newer_epoch_of_its_place_is_a_reason(world: World) -> None:
    registry = world.root / "data" / ".agent_pids"
    (registry / "daemon.lock").touch()
    (registry / "other~5.lock").touch()
    assert world.retirement.why() == ""

    (registry / "daemon~1.lock").touch()

    assert world.retirement.why() == "displaced"


def test_a_registry_that_was_wiped_is_none(world: World) -> None:
    (world.root / "data" / ".agent_pids").rmdir()

    assert world.retirement.why() == ""


def test_a_project_that_is_gone_is_a_reason(world: World) -> None:
    (world.root / "data" / ".agent_pids").rmdir()
    (world.root / "data").rmdir()
    world.root.rmdir()
    assert world.retirement.why() == "homeless"


def test_idle_is_counted_from_the_last_use_by_the_monotonic_clock(world: World) -> None:
    world.clock.advance(59)
    world.retirement.touch()
    world.clock.advance(59)
    world.clock.jump_wall(86400)
    assert world.retirement.why() == ""

    world.clock.advance(1)

    assert world.retirement.why() == "idle"


def ticked(count: int, do: Any) -> None:
    """So many ticks, with nobody sleeping."""
    left = count

    async def wait(tick_s: float) -> bool:
        nonlocal left
        assert tick_s == 30.0
        left -= 1
        return left < 0

    asyncio.run(every(30.0, "cleanup", do, wait=wait, clock=ManualClock()))


def test_a_tick_that_fails_is_logged_when_that_begins_and_ends_and_the_next_one_comes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    away = StoreBusy("the guard"), StoreBusy("the guard, after 2 s")
    turns = iter([None, *away, ZeroDivisionError("ours"), None, None])

    def do() -> None:
        trouble = next(turns)
        if trouble:
            raise trouble

    ticked(6, do)

    assert next(turns, "over") == "over"
    assert [record.getMessage() for record in caplog.records] == [
        "daemon.tick_failed tick=cleanup why=the guard",
        "daemon.tick_failed tick=cleanup why=ZeroDivisionError: ours",
        "daemon.tick_well tick=cleanup why=-",
    ]


def test_ten_idle_ticks_add_no_line(caplog: pytest.LogCaptureFixture) -> None:
    ticked(10, lambda: None)

    assert caplog.records == []


def test_what_takes_long_is_done_less_often() -> None:
    clock, pauses = ManualClock(), []
    took_s = iter([0.01, 0.5, 3600.0, 0.01])

    async def wait(tick_s: float) -> bool:
        pauses.append(tick_s)
        return len(pauses) > 4

    asyncio.run(every(30.0, "cleanup", lambda: clock.advance(next(took_s)), wait=wait, clock=clock, share_max=0.0025))

    assert pauses == pytest.approx([30, 30, 200, 600, 30])


def test_what_failed_because_its_store_is_away_is_done_again_at_once() -> None:
    clock, pauses = ManualClock(), []

    def look() -> None:
        clock.advance(10.0)  # so long it waits for an answer
        raise StoreBusy("away")

    async def wait(tick_s: float) -> bool:
        pauses.append(tick_s)
        return len(pauses) > 2

    asyncio.run(every(1.0, "mirror", look, wait=wait, clock=clock, share_max=0.1))

    assert pauses == pytest.approx([1, 1, 1])


def test_an_edit_of_the_queue_file_is_seen_within_two_seconds_also_behind_a_slow_look() -> None:
    clock, pauses = ManualClock(), []
    took_s = iter([0.0, 0.2, 1.0])

    async def wait(tick_s: float) -> bool:
        pauses.append(tick_s)
        return len(pauses) > 3

    follow = every(
        _FILE_TICK_S,
        "queue_file",
        lambda: clock.advance(next(took_s)),
        wait=wait,
        clock=clock,
        share_max=_FILE_SHARE_MAX,
    )
    asyncio.run(follow)

    assert pauses == pytest.approx([1, 1, 2, 10])
