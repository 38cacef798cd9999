"""Web: how soon a change reaches fifty open pages, and what a page's first look at a large board costs."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import selectors
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.measure import goal, percentile, sample, summary
from latchboard import Latchboard

PAGES_COUNT = 50
LOCKS_COUNT = 1000
_PAUSE_S = 0.02


class Daemon:
    """A running daemon of a project, and who asks it."""

    def __init__(self, board: Latchboard, port: int) -> None:
        self.board = board
        self.port = port
        with open(f"{board.root}/data/.agent_pids/serve.token", encoding="ascii") as file:
            self.headers = {"Authorization": f"Bearer {file.read().strip()}"}
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def get(self, path: str) -> bytes:
        """The body of an answer, over a connection that stays open."""
        self._connection.request("GET", path, headers=self.headers)
        response = self._connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise AssertionError(f"{path}: {response.status} {body[:200]!r}")
        return body

    def listen(self) -> socket.socket:
        """An open page, as the socket from which its events come."""
        page = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        lines = [f"{name}: {value}" for name, value in {"Host": f"127.0.0.1:{self.port}", **self.headers}.items()]
        page.sendall("\r\n".join(["GET /api/events HTTP/1.1", *lines, "", ""]).encode())
        found = b""
        while b"event: ready" not in found:
            found += page.recv(65536)
        return page


@contextlib.contextmanager
def running() -> Iterator[Daemon]:
    """A daemon of a new project, as users start it."""
    with tempfile.TemporaryDirectory() as folder:
        board = Latchboard(folder, publishes=False)
        board.board.heartbeat("first")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "latchboard", "serve", "--root", board.root, "--port", str(port)]
        told, tell = os.pipe()
        command += ["--ready-fd", str(tell)]
        with subprocess.Popen(
            command, pass_fds=[tell], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            os.close(tell)
            try:
                with open(told, encoding="utf-8") as pipe:
                    if not re.search(r'"ready"', line := pipe.readline()):
                        raise AssertionError(f"the daemon did not start: {line}")
                yield Daemon(board, port)
            finally:
                process.terminate()
                process.wait(timeout=10)
                board.close()


def push(rounds: int) -> dict[str, Any]:
    """Commit now and then, and note when each of fifty pages has heard of it."""
    with running() as daemon, contextlib.ExitStack() as stack:
        pages = [stack.enter_context(daemon.listen()) for _ in range(PAGES_COUNT)]
        reader = _Reader(pages)
        agent = daemon.board.board
        for number in range(rounds + 5):
            committed = time.perf_counter()
            agent.update("planner", f"number {number}")
            reader.expect(committed, keep=number >= 5)
            time.sleep(_PAUSE_S)
        reader.close()
    p50_ms, p99_ms = (percentile(reader.seconds, share) * 1e3 for share in (0.5, 0.99))
    return {
        "name": f"a change reaches {PAGES_COUNT} open pages",
        "figures": {"from the call that commits it": summary(reader.seconds)},
        "goals": [
            goal("p50, ms", p50_ms, 50),
            goal("p99, ms", p99_ms, 250),
        ],
    }


class _Reader:
    """Hears what comes to all pages, in a thread; one commit at a time."""

    def __init__(self, pages: list[socket.socket]) -> None:
        self.seconds: list[float] = []
        self._pages = pages
        self._selector = selectors.DefaultSelector()
        for page in pages:
            self._selector.register(page, selectors.EVENT_READ, bytearray())
        self._heard: list[float] = []
        self._all = threading.Event()
        self._is_over = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._is_over:
            for key, _ in self._selector.select(0.1):
                data: bytearray = key.data
                data += key.fileobj.recv(65536)  # type: ignore[union-attr]
                if b"event: commit" in data and data.endswith((b"\n\n", b"\n\n\r\n")):
                    data.clear()
                    self._heard.append(time.perf_counter())
                    if len(self._heard) == len(self._pages):
                        self._all.set()

    def expect(self, since: float, *, keep: bool) -> None:
        """Wait until every page has heard of one commit."""
        if not self._all.wait(10):
            raise AssertionError(f"{len(self._heard)} of {len(self._pages)} pages heard of it")
        if keep:
            self.seconds += [heard - since for heard in self._heard]
        self._heard = []
        self._all.clear()

    def close(self) -> None:
        """End the thread."""
        self._is_over = True
        self._thread.join()


def large_board(rounds: int) -> dict[str, Any]:
    """Ask for a board of a thousand locks: as it is, after a change, and what is sent with it."""
    with running() as daemon:
        locks = daemon.board.locks
        for first in range(0, LOCKS_COUNT, 100):
            names = [f"src/package_{number % 40}/module_{number}.py" for number in range(first, first + 100)]
            locks.acquire(locks.request(f"agent-{first // 100}", names, bound="agent", reason="a thousand locks"))
        first_s = sample(lambda: daemon.get("/api/board"), rounds=1)
        again = sample(lambda: daemon.get("/api/board"), rounds=rounds)

        def after_a_change() -> None:
            daemon.board.board.update("planner", "thinking")
            daemon.get("/api/board")

        changed = sample(after_a_change, rounds=rounds)
        bytes_count = len(daemon.get("/api/board"))
        health = sample(lambda: daemon.get("/api/health"), rounds=rounds)
    return {
        "name": f"the board over HTTP, {LOCKS_COUNT} locks",
        "figures": {
            "first look": {**summary(first_s), "bytes": bytes_count},
            "again": summary(again),
            "after a commit, that included": summary(changed),
            "health": summary(health),
        },
        "goals": [
            goal("first look, ms (of 300 for the page)", first_s[0] * 1e3, 150),
            goal("health, p95, ms", percentile(health, 0.95) * 1e3, 10),
            goal("after a commit, p95, ms", percentile(changed, 0.95) * 1e3, 50),
        ],
    }
