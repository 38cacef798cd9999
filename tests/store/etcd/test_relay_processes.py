"""Hooks and commands beside a daemon, and beside one that is stopped, killed or gone: as without one, and lighter."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from latchboard.clock import SystemClock
from latchboard.store.etcd import relay
from latchboard.store.etcd.access import from_environment
from latchboard.store.etcd.store import EtcdStore
from tests.process.nursery import has_ended, until
from tests.store.etcd.relayed import UNHURRIED_S, unhurried
from tests.store.etcd.server import Place
from tests.store.etcd.test_command_line import Shell, address_of
from tests.store.etcd.test_faults import Cluster, Writer, count
from tests.surface.cli.harness import validate

pytestmark = [pytest.mark.process, pytest.mark.slow]

HEAVY = {"urllib3", "ssl", "http.client", "socket", "threading", "typing", "random", "uuid", "re", "enum", "base64"}
IN_TIME_S = 20.0
"""Of a process that starts, asks and ends; how long it waits for whoever does not say hello: test_relay.py."""


class Served(Shell):
    """A project whose daemon runs."""

    def __init__(self, folder: Path, address: str) -> None:
        super().__init__(folder, address)
        self("init", "--client", "none", "--no-git")
        self.pid = int(self("daemon", "start")["pid"])

    def hook(self, file: str, agent: str = "s1", *, hello_s_max: float = UNHURRIED_S) -> tuple[str, set[str]]:
        """What the hook before an edit says, and the modules that it loads; how long it waits for a daemon's hello."""
        event = {
            "hook_event_name": "PreToolUse", "session_id": agent, "cwd": str(self.folder), "tool_name": "Edit",
            "tool_input": {"file_path": str(self.folder / file), "old_string": "a", "new_string": "b"},
        }  # fmt: skip
        program = (
            "import sys; sys.argv = ['', 'claude']; from latchboard.surface.hooks import main; "
            f"from latchboard.store.etcd import relay; relay._HELLO_S_MAX = {hello_s_max}; main()"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=self.folder, input=json.dumps(event), text=True, check=True,
            capture_output=True, timeout=100, env={**self.environment, "PYTHONPROFILEIMPORTTIME": "1"},
        )  # fmt: skip
        return done.stdout, {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)


@pytest.fixture
def served(etcd: Place, tmp_path: Path) -> Iterator[Served]:
    made = Served(tmp_path, address_of(etcd))
    yield made
    try:
        made.signal(signal.SIGCONT)
    except ProcessLookupError:
        return  # the test has ended it
    made("daemon", "stop")


def holders(shell: Shell) -> dict[str, str]:
    return {one["name"]: one["agent"] for one in shell("status")["active_locks"]}


def test_hook_loads_nothing_that_the_daemon_has_ready_and_its_hold_is_its_own(served: Served) -> None:
    said, loaded = served.hook("a.py")
    assert said == ""
    assert not loaded & HEAVY

    denied, loaded = served.hook("a.py", "s2")
    assert "deny" in denied
    assert "s1" in denied
    assert not loaded & HEAVY
    pid = served("check", "a.py", "--agent", "s2", status=10)["held"][0]["pid"]
    assert pid not in (served.pid, os.getpid())

    told = until(lambda: (told := served("daemon", "status"))["relays"] and told, "it says that it relays")
    validate("daemon-status", told)
    assert told["relays"] is True
    served("daemon", "stop")

    assert served("release", "a.py", "--agent", "s1")["released"] == ["a.py"]  # cold, and its agent all the same
    said, loaded = served.hook("a.py", "s2")
    assert said == ""
    assert "urllib3" in loaded
    assert served("daemon", "status", status=3)["relays"] is False
    assert served("release", "a.py", "--agent", "s2")["released"] == ["a.py"]


def test_commands_beside_a_daemon_say_what_they_say_without_one(served: Served) -> None:
    served("acquire", "src/a.py", "--agent", "a")
    held = served("acquire", "src/a.py", "--agent", "b", status=10)
    assert (held["code"], held["holders"][0]["agent"]) == ("lock-held", "a")
    ran = served("run", "src/b.py", "--agent", "a", "--", sys.executable, "-c", "print(7)")
    assert ran["command_status"] == 0
    served("send", "b", "yours", "--agent", "a")
    assert [message["body"] for message in served("inbox", "--agent", "b")["messages"]] == ["yours"]
    served("queue", "add", "builder", "Build it", "--id", "it", "--file", "src/c.py", "--agent", "lead")
    claimed = served("queue", "claim", "builder", "--agent", "w")
    served("queue", "complete", "it", "--token", str(claimed["lease"]["token"]), "--agent", "w")
    assert holders(served) == {"src/a.py": "a"}


def test_daemon_that_is_stopped_holds_nobody_up(served: Served) -> None:
    served.hook("a.py")
    served.signal(signal.SIGSTOP)

    since = monotonic()
    said, loaded = served.hook("b.py", hello_s_max=relay._HELLO_S_MAX)
    assert monotonic() - since < IN_TIME_S
    assert said == ""
    assert "urllib3" in loaded

    served.signal(signal.SIGCONT)
    assert holders(served) == {"a.py": "s1", "b.py": "s1"}
    assert "urllib3" not in served.hook("c.py")[1]


def test_killed_daemons_socket_is_in_nobodys_way_and_the_next_daemon_has_its_own(served: Served) -> None:
    served.signal(signal.SIGKILL)
    until(lambda: has_ended(served.pid), "it is dead")
    path = served.folder / "data/.agent_pids/serve.relay"
    until(lambda: not served("daemon", "status", status=3)["relays"], "it is gone")
    assert path.is_socket()

    assert "urllib3" in served.hook("a.py")[1]

    served.pid = int(served("daemon", "start")["pid"])
    assert "urllib3" not in served.hook("a.py")[1]
    served("daemon", "stop")
    assert not path.exists()


def test_daemon_beside_another_etcd_user_is_not_asked(served: Served) -> None:
    served.environment["LATCHBOARD_ETCD_USER"] = "somebody"

    assert "urllib3" in served.hook("a.py")[1]
    told = subprocess.run(
        [sys.executable, "-m", "latchboard", "daemon", "status"], cwd=served.folder, env=served.environment,
        text=True, check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    assert "latchboard daemon restart" in told.stdout.splitlines()[-1]

    del served.environment["LATCHBOARD_ETCD_USER"]


@pytest.mark.soak  # of a store: test_relay.py
def test_etcd_that_is_away_is_said_as_ever_beside_a_daemon(cluster: Cluster, tmp_path: Path) -> None:
    place = cluster()
    served = Served(tmp_path, address_of(place))
    place.members[0].signal(signal.SIGSTOP)

    since = monotonic()
    told = served("acquire", "src/b.py", "--agent", "b", status=13)

    assert (told["code"], told["retryable"]) == ("store-unavailable", True)
    assert "etcd did not answer at http://127.0.0.1:" in told["message"]
    assert monotonic() - since < 10.0 + IN_TIME_S
    place.members[0].signal(signal.SIGCONT)
    served("daemon", "stop")


def test_commits_through_a_daemon_that_is_killed_in_the_middle_are_done_once(cluster: Cluster, tmp_path: Path) -> None:
    """etcd is stopped, so that a request is with the daemon when it is killed; then etcd does what it has got."""
    place = cluster()
    served = Served(tmp_path, address_of(place))
    access = from_environment(served.environment["LATCHBOARD_STORE"], served.environment)
    plain = EtcdStore(access, clock=SystemClock())
    through: Any = from_environment(served.environment["LATCHBOARD_STORE"], served.environment)
    through.relay = str(tmp_path / "data/.agent_pids/serve.relay")
    with unhurried():
        writer = Writer(EtcdStore(through, clock=SystemClock()))
        writer.wait_for(20)
    gateway: Any = writer.store._cluster.gateway
    assert gateway._made is None

    place.members[0].signal(signal.SIGSTOP)
    until(lambda: gateway._relay is not None and not gateway._relay._idle, "a request is on its way")
    served.signal(signal.SIGKILL)
    place.members[0].signal(signal.SIGCONT)
    writer.wait_for(20)
    writer.end()

    numbers = [number for number, _ in writer.done]
    assert numbers == list(range(1, len(numbers) + 1))
    assert writer.failed == []
    assert count(plain) == len(numbers)
    assert gateway._made is not None
    plain.close()
    writer.store.close()
