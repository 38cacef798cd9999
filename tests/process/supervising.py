"""A project whose workers are supervised: real supervisors and real workers, all of which end with the test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from latchboard.compose import supervising
from latchboard.host.daemon_entry import DaemonEntry
from latchboard.rules import supervision as rules
from latchboard.supervision.looking import Report
from latchboard.supervision.service import Agents
from tests import forked
from tests.process.nursery import PATIENCE_S, Channel, until
from tests.process.serving import is_there
from tests.process.working import TREE, Site

FAST = {"agents_restart_s": 0.05, "agents_restart_s_max": 0.2}


class Crew(Site):
    """One project with a supervisor, as soon as somebody starts one."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._path_before = os.environ.get("PYTHONPATH")  # whom this process starts finds the sources there
        os.environ["PYTHONPATH"] = self._path_before or str(TREE / "src")

    @property
    def agents(self) -> Agents:
        return self.board.agents

    def role(self, name: str, command: list[str] | None = None, **keys: Any) -> None:
        super().role(name, command or ["true"], **keys)
        path = self.root / "latchboard.toml"
        path.write_text("".join(f"{key} = {value}\n" for key, value in FAST.items()) + path.read_text())

    def say(self, *words: str) -> subprocess.CompletedProcess[str]:
        words = (sys.executable, "-m", "latchboard", *words, "--root", str(self.root))
        return forked.run(words, capture_output=True, text=True, timeout=PATIENCE_S)

    def ask(self, *words: str, status: int = 0) -> Any:
        """What it answers with --json."""
        told = self.say(*words, "--json")
        assert told.returncode == status, told
        return json.loads(told.stdout)

    def observed(self) -> dict[tuple[str, int], dict[str, Any]]:
        """The supervisor's own words, by role and number."""
        try:
            record = rules.parse_observed(json.loads((self.registry / "agents.state").read_text()))
        except FileNotFoundError:
            return {}
        assert record is not None, "the state record parses at every instant"
        return {(one["role"], one["number"]): one for one in record.workers}

    def pids(self, report: Report | None = None) -> dict[str, int]:
        """The pid of each worker that is there, by its name."""
        report = report or self.agents.look()
        return {one["name"]: one["pid"] for one in report.workers if one["pid"] is not None}

    def supervisor(self) -> int:
        pid = self.agents.look().supervisor
        assert pid is not None
        return pid

    def ours(self) -> list[int]:
        """Every supervised worker and supervisor that is provably this project's."""
        found = []
        for verb in (rules.SUPERVISOR, rules.WORKER):
            found += [o.process["identity"]["pid"] for o in supervising.judge(self.board, verb).find() if not o.why]
        return sorted(found)

    def wait_for_worker(self, role: str, number: int, **facts: Any) -> dict[str, Any]:
        """The slot, once it is so."""

        def found() -> dict[str, Any] | None:
            one = self.observed().get((role, number))
            return one if one and all(one[name] == value for name, value in facts.items()) else None

        return dict(until(found, f"worker {number} of {role} is {facts}"))

    def wait_until_registered(self, name: str, pid: int) -> None:
        entry = DaemonEntry(self.board.root, name)
        until(lambda: (entry.read().facts() or {}).get("process", {}).get("pid") == pid, f"{name} is registered")

    def close(self) -> None:
        for pid in self.ours():
            os.kill(pid, signal.SIGKILL)
            until(lambda pid=pid: not is_there(pid), f"process {pid} ends")  # type: ignore[misc]
        super().close()
        if self._path_before is None:
            os.environ.pop("PYTHONPATH", None)


def starting(channel: Channel, root: str, roles: list[str]) -> None:
    """A process that starts workers when it is told to."""
    from latchboard import Latchboard

    board = Latchboard(root, publishes=False)
    channel.send(ready=True)
    channel.receive(3600)
    report = board.agents.start(roles)
    channel.send(supervisor=report.supervisor, workers=[one["pid"] for one in report.workers])
    channel.receive(3600)
