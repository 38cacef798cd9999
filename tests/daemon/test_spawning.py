"""A daemon as a process of its own: what became of one that is not wanted any more is told as it was."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from latchboard.clock import SystemClock
from latchboard.daemon import spawning
from latchboard.host.launching import Child, last_line
from latchboard.host.system import SystemHost

pytestmark = pytest.mark.process


def test_who_is_taken_back_is_told_to_have_ended_as_it_did(tmp_path: Path) -> None:
    """Often: whoever takes a zombie's status first has it, and the other one is told of status 0."""
    for _ in range(30):
        child = Child(subprocess.Popen(["sleep", "100"]), SystemHost(), on_end=lambda: None)

        spawning.take_back(child, SystemHost(), SystemClock())

        assert child.status(5.0) == -signal.SIGTERM
        assert "signal 15" in str(spawning.failed(str(tmp_path), child, late_s=None))


def test_what_a_daemon_said_last_is_told_with_its_hint_and_never_the_hint_alone(tmp_path: Path) -> None:
    log = tmp_path / "serve.log"
    log.write_text("before\nlatchboard: it needs the extra `board`\n  hint: pip install 'latchboard[board]'\n\n")

    assert last_line(str(log)) == "it needs the extra `board` (hint: pip install 'latchboard[board]')"

    log.write_text("  hint: alone\n")
    assert last_line(str(log)) == "hint: alone"
