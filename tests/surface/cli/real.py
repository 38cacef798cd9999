"""The command line as a process of its own, for what no test inside one process can show.

It is forked (tests/forked.py) where `is_started` does not say that it is to load everything itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests import forked

COMMAND = [sys.executable, "-m", "latchboard"]
WAIT_S_MAX = 60.0


class Real:
    """The command line in one project, as the agent `planner`."""

    def __init__(self, project: Path, *, is_started: bool = False) -> None:
        self._way: Any = subprocess if is_started else forked
        self.project = project
        self.environment = {**os.environ, "AGENT_ID": "planner", "PYTHONUNBUFFERED": "1"}
        self._running: list[subprocess.Popen[str]] = []

    def __call__(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        given = {"capture_output": True, "text": True, "timeout": WAIT_S_MAX, **options}
        return self._way.run([*COMMAND, *words], cwd=self.project, env=self.environment, check=False, **given)

    def start(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        """Start it; it is ended at the end of the test."""
        given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
        process = self._way.Popen([*COMMAND, *words], cwd=self.project, env=self.environment, **given)
        self._running.append(process)
        return process

    def json(self, *words: str) -> Any:
        return json.loads(self(*words, "--json").stdout)

    def wait_for(self, event: str, *, after: int) -> Any:
        """The next event of this name, from the stream itself: no sleeping, no guessing."""
        words = ("watch", "--json", "--once", "--prefix", event, "--after", str(after), "--timeout-s", str(WAIT_S_MAX))
        line = self(*words).stdout
        assert line, f"no {event} in {WAIT_S_MAX} s"
        return json.loads(line)

    def revision(self) -> int:
        return int(self.json("status")["revision"])

    def close(self) -> None:
        for process in self._running:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
