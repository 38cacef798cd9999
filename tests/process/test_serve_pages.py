"""Open pages of a daemon that is killed, and one that stops: they come back, and have missed nothing."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack

import pytest

from latchboard import Latchboard
from tests.process.serving import Project
from tests.surface.web.harness import Listener

pytestmark = pytest.mark.process

PAGES_COUNT = 8


class OpenPage:
    """A page as the web board keeps it: it comes back behind the last revision that it heard."""

    def __init__(self, project: Project, port: int) -> None:
        self._headers = {"Authorization": f"Bearer {project.token()}"}
        self._listener = Listener(port, headers=self._headers)
        self.told: list[str] = []
        self.heard: list[int] = []
        name, data = self._listener.next()
        assert name == "ready"
        self.joined: int = data["revision"]

    def hear(self, until: int) -> None:
        """Everything up to a revision."""
        while not self.heard or self.heard[-1] < until:
            name, data = self._listener.next()
            self.told.append(name)
            self.heard.append(data["revision"])

    def loses_its_daemon(self) -> None:
        with pytest.raises((EOFError, ConnectionResetError)):
            while True:
                name, data = self._listener.next()
                self.told.append(name)
                self.heard.append(data["revision"])
        self._listener.close()

    def comes_back(self, port: int) -> None:
        headers = {**self._headers, "Last-Event-ID": self._listener.last_id}
        self._listener = Listener(port, headers=headers)
        name, data = self._listener.next()
        assert (name, data["revision"]) == ("ready", int(headers["Last-Event-ID"]))

    def close(self) -> None:
        self._listener.close()


def commit(board: Latchboard, number: int) -> int:
    agent = f"agent-{number % 3}"
    if number % 2:
        return board.store.transact(lambda view: view.put("log/write", {"name": "x"}), who=agent).revision
    board.board.update(agent, f"number {number}")
    return board.store.read("wide").revision


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_pages_that_lose_their_daemon_come_back_and_miss_nothing(project: Project, how: str) -> None:
    board = project.board
    commit(board, 0)
    running = project.daemon.ensure_running().state
    with ExitStack() as stack:
        pages = [OpenPage(project, running.port) for _ in range(PAGES_COUNT)]
        for page in pages:
            stack.callback(page.close)
        revisions = []
        for turn in range(3):
            revisions += [commit(board, number) for number in range(20)]
            if turn != 1:  # in the second turn most of it is still on its way
                for page in pages:
                    page.hear(revisions[-1])
            os.kill(running.pid, signal.SIGKILL if how == "killed" else signal.SIGTERM)
            for page in pages:
                page.loses_its_daemon()
            revisions += [commit(board, number) for number in range(20)]  # while nobody listens
            running = project.daemon.ensure_running().state
            for page in pages:
                page.comes_back(running.port)
        revisions.append(commit(board, 0))
        for page in pages:
            page.hear(revisions[-1])
            with board.stream.commits(after=page.joined, timeout_s=0) as feed:  # those of the daemons among them
                assert page.heard == [one["revision"] for one in feed]
            assert set(page.told) == {"commit"}
            assert set(revisions) <= set(page.heard)
