from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from latchboard.host import state_log
from latchboard.host.state_log import StateLog
from latchboard.testing import ManualClock
from tests.store.scenes import open_files


def test_a_line_can_be_read_by_people_and_programs(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log = StateLog(str(tmp_path / "log"), ManualClock())

    log.say("worker.claimed", job="build-7", token=17, title='Build "it"\nnow', empty="", odd="\udcff")

    line = (tmp_path / "log").read_text()
    expect = 'worker.claimed job=build-7 token=17 title="Build \\"it\\"\\nnow" empty="" odd="\\\\udcff"\n'
    assert line.partition(" ")[2] == expect
    assert line.startswith("2026-11-21T")
    assert capfd.readouterr().err == line


def test_a_log_stays_small(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = StateLog(str(path), ManualClock())
    path.write_bytes(b"x" * (state_log.BYTES_MAX - 10))

    log.say("worker.ready")
    log.say("worker.stopped")

    assert [line.split()[1] for line in path.read_text().splitlines()] == ["worker.ready", "worker.stopped"]
    assert (tmp_path / "log.1").stat().st_size == state_log.BYTES_MAX - 10


def test_a_log_that_begins_anew_keeps_no_descriptor(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = StateLog(str(path), ManualClock())
    before = open_files()

    for _ in range(3):
        path.write_bytes(b"x" * state_log.BYTES_MAX)
        log.say("worker.ready")

    assert open_files() <= before


def test_who_cannot_write_it_goes_on(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    StateLog(str(tmp_path / "no" / "log"), ManualClock()).say("worker.ready")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    StateLog(str(tmp_path / "link"), ManualClock()).say("worker.ready")

    assert capfd.readouterr().err.count("worker.ready") == 2
    assert not (tmp_path / "elsewhere").exists()


def test_a_pipe_that_nobody_reads_does_not_stop_it(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    log = StateLog(str(tmp_path / "log"), ManualClock())
    before = os.dup(2)
    os.dup2(writer, 2)
    try:
        for n in range(2000):
            log.say("worker.claimed", job=f"job-{n}", title="x" * 100)
    finally:
        os.dup2(before, 2)
        for fd in (before, reader, writer):
            os.close(fd)

    assert len((tmp_path / "log").read_text().splitlines()) == 2000


def test_a_long_line_to_a_pipe_that_nobody_reads_does_not_stop_it(tmp_path: Path) -> None:
    """A pipe that takes some bytes more takes not each line: the rest would wait for a reader."""
    reader, writer = os.pipe()
    log = StateLog(str(tmp_path / "log"), ManualClock())
    before = os.dup(2)
    os.dup2(writer, 2)
    wait = threading.Timer(30, os.close, [reader])  # a failure is an error and no hang
    wait.start()
    try:
        for _ in range(20):
            log.say("worker.troubled", why="x" * 50_000)
    finally:
        is_stopped = not wait.is_alive()
        wait.cancel()
        os.dup2(before, 2)
        os.close(before)
        os.close(writer)

    assert not is_stopped
    os.close(reader)
    assert len((tmp_path / "log").read_text().splitlines()) == 20


def test_a_log_that_cannot_begin_anew_closes_nothing_twice(tmp_path: Path) -> None:
    """The number of a descriptor that was closed may be another thread's by then."""
    path = tmp_path / "log"
    path.write_bytes(b"x" * state_log.BYTES_MAX)
    (tmp_path / "log.1").mkdir()
    (tmp_path / "log.1" / "kept").touch()
    before = open_files()

    StateLog(str(path), ManualClock()).say("worker.ready")

    assert open_files() <= before
