from __future__ import annotations

import os
from pathlib import Path

import pytest

from latchboard.host import state_log
from latchboard.host.state_log import StateLog
from latchboard.testing import ManualClock


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
