"""A daemon as a process of its own: what became of one that is not wanted any more is told as it was."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from latchboard.clock import SystemClock
from latchboard.daemon import spawning
from latchboard.host.launching import Child
from latchboard.host.system import SystemHost

pytestmark = pytest.mark.process


def test_who_is_taken_back_is_told_to_have_ended_as_it_did(tmp_path: Path) -> None:
    """Often: whoever takes a zombie's status first has it, and the other one is told of status 0."""
    for _ in range(30):
        child = Child(subprocess.Popen(["sleep", "100"]), SystemHost(), on_end=lambda: None)

        spawning.take_back(child, SystemHost(), SystemClock())

        assert child.status(5.0) == -signal.SIGTERM
        assert "signal 15" in str(spawning.failed(str(tmp_path), child, late_s=None))
