"""A project whose daemons are real processes, on ports of its own, and what a test does with them."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import urllib.request
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

from latchboard import Latchboard
from latchboard.compose import serving
from latchboard.daemon.service import Daemon
from latchboard.errors import CoordinationError
from latchboard.host.system import SystemHost
from tests import forked
from tests.process.nursery import PATIENCE_S, Channel, until

TREE = Path(__file__).parents[2]
TICK_S = 0.2


_BLOCK = 32
_BLOCKS = range(20000, 31000, _BLOCK)
_MARKS_COUNT = 40
_marks: list[socket.socket] = []
"""What keeps a block of ports for this process: no test has as many projects at once as there are marks."""


def free_ports(count: int) -> int:
    """The first of so many ports in a row that nobody has, and that no other worker of these tests is given.

    Daemons take them much later than this looks: who gets a block marks it by a UDP socket on its first port, which is
    in the way of nobody who listens for TCP.
    """
    assert count <= _BLOCK
    for first in random.sample(_BLOCKS, len(_BLOCKS)):
        mark = socket.socket(type=socket.SOCK_DGRAM)
        try:
            mark.bind(("127.0.0.1", first))
            with ExitStack() as stack:
                for port in range(first, first + count):
                    probe = stack.enter_context(closing(socket.socket()))
                    probe.bind(("127.0.0.1", port))
        except OSError:
            mark.close()
            continue
        _marks.append(mark)
        if len(_marks) > _MARKS_COUNT:
            _marks.pop(0).close()
        return first
    raise AssertionError("no free ports")


class Project:
    """One project. Whatever runs with a daemon's command line for it ends with the test."""

    def __init__(self, folder: Path, *, ports: int = 8, tick_s: float = TICK_S, **settings: Any) -> None:
        self.root = folder / "project"
        (self.root / "data" / ".agent_locks").mkdir(parents=True)
        os.rmdir(self.root / "data" / ".agent_locks")
        (self.root / ".git").mkdir()
        self.first, self.count = free_ports(ports), ports
        settings = {
            "daemon_port_first": self.first,
            "daemon_port_end": self.first + ports,
            "daemon_tick_s": tick_s,
            **settings,
        }
        lines = [f"{name} = {json.dumps(value)}\n" for name, value in settings.items()]
        (self.root / "latchboard.toml").write_text("".join(lines))
        self.registry = self.root / "data" / ".agent_pids"
        self.record = self.registry / "serve.state"
        self.board = Latchboard(self.root, publishes=False)
        self.started: list[subprocess.Popen[str]] = []

    @property
    def daemon(self) -> Daemon:
        return self.board.daemon

    def with_limits(self, **limits: Any) -> Daemon:
        """The same, asked by another version, or by somebody who waits for another time."""
        return serving.build(self.board, **limits)

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(TREE / "src")}

    def serve(self, *options: str, **environment: str) -> subprocess.Popen[str]:
        """A daemon in the foreground, started by hand."""
        command = [sys.executable, "-m", "latchboard", "serve", "--root", str(self.board.root), *options]
        self.started.append(
            subprocess.Popen(
                command,
                env={**self.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return self.started[-1]

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "latchboard", *words, "--root", str(self.board.root)]
        run = partial(forked.run, capture_output=True, text=True, timeout=PATIENCE_S)
        return run(command, env=self.environment)

    def pids(self) -> list[int]:
        """Every process that is provably this project's daemon."""
        return sorted(one.process["identity"]["pid"] for one in self.board.daemons.find() if not one.why)

    def token(self) -> str:
        return (self.registry / "serve.token").read_text().strip()

    def wait_for_place(self) -> int:
        """The process that has taken the daemon's place."""
        return int(until(lambda: _text(self.registry / "daemon.pid"), "a daemon takes its place"))

    def close(self) -> None:
        for pid in self.pids():
            identity = SystemHost().look(pid)
            if identity is not None:
                os.kill(pid, 9)
        for process in self.started:
            process.kill()
            process.communicate()
        self.board.close()


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""


def is_there(pid: int) -> bool:
    """Not even a zombie, of whose threads one is left."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return fields[0] != b"Z" or int(fields[17]) > 1


def wait_until_gone(pid: int, timeout_s: float = PATIENCE_S) -> None:
    until(lambda: not is_there(pid), f"process {pid} ends", timeout_s)


def ask(port: int, path: str = "/api/health", **headers: str) -> Any:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        return json.load(answer)


def listens(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def ensuring(channel: Channel, root: str) -> None:
    """A process that sees to it that the daemon runs, when it is told to."""
    board = Latchboard(root, publishes=False)
    channel.send(ready=True)
    channel.receive(3600)
    try:
        running = board.daemon.ensure_running()
    except CoordinationError as exc:
        channel.send(code=exc.code, message=str(exc))
        return
    channel.send(pid=running.state.pid, port=running.state.port, how=running.how)
    channel.receive(3600)
