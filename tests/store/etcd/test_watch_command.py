"""`latchboard watch` over a time in which etcd is away: it says so, goes on, and has left nothing out."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from latchboard.store.etcd.gateway import Gateway, packed
from tests.store.etcd.server import Place
from tests.store.etcd.test_command_line import Shell, address_of
from tests.store.etcd.test_faults import Cluster
from tests.store.etcd.test_suite import compact

pytestmark = [pytest.mark.process, pytest.mark.slow]

SCRIPT = """
import sys
from latchboard.compose import Latchboard
from latchboard.surface.cli import dispatch

def compose(root):
    board = Latchboard(root, publishes=False)
    board.store.access.call_s_max = 1.0  # not ten, for whoever tests
    return board

sys.exit(dispatch.run(sys.argv[1:], compose=compose))
"""


def newest(place: Place) -> int:
    """The newest revision of etcd's own."""
    gateway = Gateway(place.access())
    told = gateway.call("/v3/kv/range", {"key": packed("x")}, monotonic() + 10)
    gateway.close()
    return int(told["header"]["revision"])


class Watching:
    """`latchboard watch --json` in a process of its own."""

    def __init__(self, shell: Shell, *words: str) -> None:
        command = [sys.executable, "-c", SCRIPT, "watch", "--json", "--root", str(shell.folder), *words]
        self.process = subprocess.Popen(
            command, env=shell.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def next(self) -> dict[str, Any]:
        """The next line that it prints."""
        assert self.process.stdout is not None
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found

    def said(self) -> str:
        """The next line on standard error."""
        assert self.process.stderr is not None
        return self.process.stderr.readline()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def place(cluster: Cluster) -> Place:
    return cluster()


@pytest.fixture
def shell(place: Place, tmp_path: Path) -> Shell:
    made = Shell(tmp_path, address_of(place))
    made("init", "--client", "none", "--no-git")
    made("update", "0", "--agent", "a")
    return made


@pytest.fixture
def watching(shell: Shell) -> Iterator[Callable[..., Watching]]:
    started: list[Watching] = []

    def start(*words: str) -> Watching:
        """One that has given out what there was."""
        started.append(Watching(shell, "--after", "0", *words))
        assert started[-1].next()["status"] == "0"
        return started[-1]

    yield start
    for one in started:
        one.close()


def test_it_goes_on_without_a_gap_when_etcd_is_back_and_says_both(
    shell: Shell, place: Place, watching: Callable[..., Watching]
) -> None:
    one = watching("--prefix", "agent.status")
    for number in range(1, 3):
        place.members[0].kill()
        said = one.said()
        assert "etcd did not answer" in said
        assert "watch goes on behind" in said
        place.restart(place.members[0])
        shell("update", str(number), "--agent", "a")
        assert "the store answers again" in one.said()
        shell("update", f"{number} and more", "--agent", "a")
        assert [one.next()["status"] for _ in range(2)] == [str(number), f"{number} and more"]


def test_with_a_limit_it_ends_with_where_to_go_on(place: Place, watching: Callable[..., Watching]) -> None:
    one = watching("--timeout-s", "4")
    place.members[0].kill()

    told = one.next()

    assert one.process.wait() == 13
    assert told["code"] == "store-unavailable"
    assert f"`latchboard watch --after {told['after']} " in told["hint"]


def test_it_is_ended_by_a_signal_while_etcd_is_away(place: Place, watching: Callable[..., Watching]) -> None:
    one = watching()
    place.members[0].kill()
    one.said()

    one.process.send_signal(signal.SIGINT)

    assert one.process.wait(20) == 130


def test_what_was_compacted_meanwhile_is_told(shell: Shell, place: Place, watching: Callable[..., Watching]) -> None:
    one = watching()
    place.members[0].kill()
    one.said()
    one.process.send_signal(signal.SIGSTOP)
    place.restart(place.members[0])
    for number in range(3):
        shell("update", f"later {number}", "--agent", "a")
    compact(place.access(), newest(place))
    one.process.send_signal(signal.SIGCONT)

    assert one.next()["code"] == "compacted"
    assert one.process.wait() == 12
