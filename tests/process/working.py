"""A project whose workers are real processes, with commands that say what they do, and what a test does with them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from latchboard import Latchboard
from latchboard.settings import Settings
from tests import forked
from tests.process.nursery import PATIENCE_S, Channel, process_state, until
from tests.process.serving import is_there

TREE = Path(__file__).parents[2]
SETTINGS = Settings(queue_backoff_s=0.01, queue_backoff_s_max=0.01, guard_wait_s_max=30.0)

# Says in a file that it has begun, waits until it is let go, says that it is done; what stops it is seen in the file.
HOLDS = """
echo "begin $LATCHBOARD_JOB_ID $LATCHBOARD_TOKEN $$" >> told
while [ ! -e "go-$LATCHBOARD_JOB_ID" ]; do sleep 0.02; done
echo "end $LATCHBOARD_JOB_ID $LATCHBOARD_TOKEN $$" >> told
"""


def shell(text: str) -> list[str]:
    return ["sh", "-c", text]


class Site:
    """One project. Every worker, and every command of one that said its pid in `told`, ends with the test."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "project"
        (self.root / ".git").mkdir(parents=True)
        self.board = Latchboard(self.root, settings=SETTINGS, publishes=False)
        self.registry = self.root / "data" / ".agent_pids"
        self.roles: dict[str, dict[str, Any]] = {}
        self.started: list[subprocess.Popen[str]] = []

    def role(self, name: str, command: list[str], **keys: Any) -> None:
        """Give a role its command."""
        self.roles[name] = {"command": command, "grace_s": 1, **keys}
        lines = ["queue_backoff_s = 0.01", "queue_backoff_s_max = 0.01", "guard_wait_s_max = 30.0"]
        for role, table in self.roles.items():
            lines.append(f"[roles.{role}]")
            lines += [f"{key} = {_toml(value)}" for key, value in table.items()]
        (self.root / "latchboard.toml").write_text("\n".join(lines) + "\n")

    def add(self, *ids: str, role: str = "builder", **draft: Any) -> None:
        self.board.queue.submit([{"id": i, "title": i, "role": role, **draft} for i in ids], by="test")

    def worker(self, *options: str, role: str = "builder", **environment: str) -> subprocess.Popen[str]:
        """A worker in the foreground."""
        words = [sys.executable, "-m", "latchboard", "worker", "--root", str(self.root), "--role", role, *options]
        self.started.append(
            subprocess.Popen(
                words,
                env={**os.environ, "PYTHONPATH": str(TREE / "src"), **environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return self.started[-1]

    def once(self, role: str = "builder", *options: str) -> Any:
        """The answer of one pass."""
        process = self.worker("--once", "--json", *options, role=role)
        out, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, err
        return json.loads(out)

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        return forked.run(
            [sys.executable, "-m", "latchboard", *words, "--root", str(self.root)],
            env={**os.environ, "PYTHONPATH": str(TREE / "src")},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )

    # -- looking ------------------------------------------------------------------------------------------------------

    def job(self, job_id: str) -> Any:
        return self.board.queue.show(job_id)["job"]

    def claims(self) -> dict[str, Any]:
        value: Any = self.board.store.read("queue/active").get("queue/active") or {"claims": {}}
        return dict(value["claims"])

    def told(self) -> list[list[str]]:
        """What commands said: `begin` or `end`, job, token, pid."""
        path = self.root / "told"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def log(self, name: str = "worker.builder.1") -> list[str]:
        """The events of a worker's log."""
        path = self.registry / f"{name}.log"
        return [line.split()[1] for line in path.read_text().splitlines()] if path.exists() else []

    def wait_for(self, job_id: str, status: str) -> Any:
        return self._until(lambda: (job := self.job(job_id))["status"] == status and job, f"{job_id} is {status}")

    def wait_for_log(self, event: str, name: str = "worker.builder.1") -> None:
        until(lambda: event in self.log(name), f"{name} says {event}")

    def wait_for_begin(self, count: int = 1) -> int:
        """The pid of the command that began as the count-th."""

        def begun() -> list[list[str]]:
            return [words for words in self.told() if words[0] == "begin" and len(words) == 4]

        self._until(lambda: len(begun()) >= count, f"{count} commands begin")
        return int(begun()[count - 1][3])

    def _until(self, condition: Callable[[], Any], what: str) -> Any:
        """What it waited for, or everything that may say why that did not come."""
        try:
            return until(condition, what)
        except TimeoutError as exc:
            logs = [one.read_text() for one in sorted(self.registry.glob("*.log"))]
            raise AssertionError("\n".join([str(exc), *logs, str(self.told())])) from exc

    def stand_still(self, worker: subprocess.Popen[str]) -> None:
        """SIGSTOP, at a moment at which it does not have the store's guard."""

        def halt(_: Any) -> None:
            worker.send_signal(signal.SIGSTOP)
            until(lambda: process_state(worker.pid) == "T", f"worker {worker.pid} stands still")

        self.board.store.transact(halt, who="test")

    def let_go(self, job_id: str) -> None:
        (self.root / f"go-{job_id}").touch()

    def close(self) -> None:
        for process in self.started:
            process.kill()
            process.communicate()
        for words in self.told():
            if words[0] == "begin" and len(words) == 4 and is_there(pid := int(words[3])):
                until(lambda pid=pid: not is_there(pid), f"command {pid} ends with its worker")
        self.board.close()


def stop(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> tuple[int, float]:
    """Ask a worker to end: its status, and how long it took."""
    started_s = time.monotonic()
    process.send_signal(number)
    process.wait(PATIENCE_S)
    return process.returncode, time.monotonic() - started_s


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(str(key))} = {_toml(one)}" for key, one in value.items()) + " }"
    return json.dumps(value)


def holding(channel: Channel, root: str) -> None:
    """Holds the store's guard, so that nobody commits, until it is told to let go."""
    board = Latchboard(root, settings=SETTINGS, publishes=False)

    def hold(_: Any) -> None:
        channel.send(holds=True)
        channel.receive(3600)

    board.store.transact(hold, who="test")
    channel.send(holds=False)
    board.close()
