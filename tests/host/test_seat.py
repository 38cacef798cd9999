"""Seats in a process that closes descriptors that are not its own, and in its forked children."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

PROGRAM = """
import os, sys
from latchboard.host.registry import Registry
from latchboard.host.seat import Inherited
registry = Registry(sys.argv[1], wait_s_max=5.0, look_at_mount=lambda path: None)
with registry.at_desk(make=True) as desk:
    seat = desk.sit("a.lock", 0)
os.closerange(3, 256)
theirs = [os.open(sys.argv[1], os.O_RDONLY) for _ in range(int(sys.argv[2]))]
pid = os.fork()
if not pid:
    for fd in theirs:
        os.fstat(fd)
    with registry.at_desk(make=True) as desk:
        seat_of_child = desk.sit("a.lock", 0)
    print(seat.is_held, seat_of_child.is_held, Inherited.fork_count)
    sys.exit(0)
status = os.waitpid(pid, 0)[1]
print(seat.is_held, status)
"""


@pytest.mark.parametrize("reused_count", [0, 20])
def test_a_child_of_a_process_that_closed_every_descriptor_closes_nothing__failure_3_8(
    tmp_path: Path, reused_count: int
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, os.fspath(tmp_path), str(reused_count)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.stderr == ""
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["False", "True", "1"],
        ["False", "0"],
    ]


AROUND_PYTHON = """
import ctypes, os, sys
from latchboard.compose import Latchboard
from latchboard.host import ending
board = Latchboard(sys.argv[1], publishes=False)
board.singletons.enforce("curator")
pid = ctypes.PyDLL(None).fork()
if not pid:
    ending._run()
    os._exit(0)
status = os.waitpid(pid, 0)[1]
print(status, os.path.exists(sys.argv[1] + "/data/.agent_pids/curator.pid"))
"""


def test_a_child_that_was_forked_around_python_removes_nothing__failure_3_8(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", AROUND_PYTHON, os.fspath(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.stderr, done.stdout.split()) == ("", ["0", "True"])
