"""As somebody new to it: one variable, and every verb speaks to etcd; without etcd it says so, and lets nobody in."""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests import forked
from tests.store.etcd.server import Place
from tests.store.etcd.test_faults import LATE_S, Cluster
from tests.surface.cli.harness import validate

pytestmark = [pytest.mark.process, pytest.mark.slow]

TOKEN_ERROR = 11


class Shell:
    """A project's folder, and commands in it."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder = folder
        self.err = ""
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("LATCHBOARD_", "AGENT_"))},
            "LATCHBOARD_STORE": address,
            "LATCHBOARD_ETCD_ANY_VERSION": "1",
        }

    def __call__(self, *words: str, status: int = 0) -> Any:
        """Its answer; the status is as expected."""
        ours = words.index("--") if "--" in words else len(words)  # what is behind it is a command's
        command = [sys.executable, "-m", "latchboard", *words[:ours], "--json", *words[ours:]]
        done = forked.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=100)
        assert done.returncode == status, done
        assert "Traceback" not in done.stderr
        self.err = done.stderr
        return json.loads(done.stdout if ours == len(words) else done.stderr.splitlines()[-1])


def address_of(place: Place) -> str:
    access = place.access()
    hosts = ",".join(endpoint.partition("://")[2] for endpoint in access.endpoints)
    return f"etcd://{hosts}{access.prefix}"


@pytest.fixture
def shell(etcd: Place, tmp_path: Path) -> Shell:
    made = Shell(tmp_path, address_of(etcd))
    made("init", "--client", "none", "--no-git")
    return made


def test_files_are_locked_and_given_back(shell: Shell) -> None:
    shell("acquire", "src/a.py", "--agent", "a")
    held = shell("acquire", "src/a.py", "--agent", "b", status=10)
    told = shell("status")
    shell("release", "src/a.py", "--agent", "a")

    assert (held["code"], held["holders"][0]["agent"]) == ("lock-held", "a")
    assert [one["name"] for one in told["active_locks"]] == ["src/a.py"]
    shell("acquire", "src/a.py", "--agent", "b")
    assert shell("release", "--all", "--agent", "b")["released"] == ["src/a.py"]


def test_mail_arrives_once(shell: Shell) -> None:
    shell("send", "b", "src/a.py is yours", "--agent", "a")

    assert [message["body"] for message in shell("inbox", "--agent", "b")["messages"]] == ["src/a.py is yours"]
    assert shell("inbox", "--agent", "b")["messages"] == []


def test_job_is_done(shell: Shell) -> None:
    shell("queue", "add", "builder", "Build it", "--id", "it", "--file", "src/a.py", "--agent", "lead")
    claimed = shell("queue", "claim", "builder", "--agent", "w")
    shell("acquire", "src/a.py", "--agent", "other", status=10)

    shell("queue", "complete", "it", "--token", str(claimed["lease"]["token"]), "--agent", "w")

    shell("acquire", "src/a.py", "--agent", "other")
    again = shell("queue", "complete", "it", "--token", "1", "--agent", "w", status=TOKEN_ERROR)
    assert again["code"] == "stale-token"


def test_looking_around(shell: Shell) -> None:
    shell("update", "at work", "--agent", "a")

    assert "a" in shell("status")["agents"]
    assert shell("cleanup")["removed_count"] == 0
    assert shell("history")["format"] == 1
    assert shell("doctor", status=0)["format"] == 1


def test_whoever_comes_without_the_setting_is_refused_and_finds_no_second_store(shell: Shell) -> None:
    del shell.environment["LATCHBOARD_STORE"]

    told = shell("acquire", "src/a.py", "--agent", "a", status=12)

    assert told["code"] == "unsupported-version" and "elsewhere" in told["message"]
    assert "LATCHBOARD_STORE" in told["hint"]
    assert "status_board.json" not in shell.err


def test_etcd_that_is_away_is_said_in_time_and_nobody_is_let_in(cluster: Cluster, tmp_path: Path) -> None:
    place = cluster()
    shell = Shell(tmp_path, address_of(place))
    shell("init", "--client", "none", "--no-git")
    shell("acquire", "src/a.py", "--agent", "a")
    place.members[0].kill()

    commands = (("acquire", "src/b.py", "--agent", "b"), ("status",), ("send", "b", "hello", "--agent", "a"))
    with ThreadPoolExecutor(len(commands)) as pool:
        for told in pool.map(lambda words: shell(*words, status=13), commands):
            assert told["waited_s"] < 10.0 + 3 * LATE_S  # of its own time, and not what it takes to start
            assert told["code"] == "store-unavailable"
            assert told["retryable"]
            assert "etcd did not answer at http://127.0.0.1:" in told["message"]

    place.restart(place.members[0])
    assert shell("acquire", "src/a.py", "--agent", "b", status=10)["code"] == "lock-held"


def test_a_prefix_at_which_there_is_nothing_is_said_with_the_store_that_may_be_meant(
    shell: Shell, tmp_path: Path
) -> None:
    address = shell.environment["LATCHBOARD_STORE"]
    shell.environment["LATCHBOARD_STORE"] = f"{address}/team/project"
    assert "nothing was ever committed at this prefix" in "".join(
        shell("init", "--client", "none", "--no-git")["notes"]
    )
    shell("acquire", "src/a.py", "--agent", "a")
    assert shell("init", "--client", "none", "--no-git")["notes"] == []

    shell.environment["LATCHBOARD_STORE"] = f"{address}/team/projct"
    (note,) = shell("init", "--client", "none", "--no-git")["notes"]
    told = shell("store", "status")

    assert f"there is a store at {told['nearby'][0]}: is the prefix right?" in note
    assert told["nearby"][0].endswith("/team/project")
    command = [sys.executable, "-m", "latchboard", "store", "status"]
    said = forked.run(command, cwd=tmp_path, env=shell.environment, capture_output=True, text=True, check=True)
    assert all(line.strip() in said.stdout for line in note.splitlines()[1:])


def test_address_that_is_wrong_is_the_callers_mistake(tmp_path: Path) -> None:
    told = Shell(tmp_path, "etcd://alice:secret@host/p")("status", status=2)

    assert told["code"] == "usage"
    assert "secret" not in json.dumps(told)


def test_store_moves_into_etcd_and_back(etcd: Place, tmp_path: Path) -> None:
    shell = Shell(tmp_path, "files")
    shell("init", "--client", "none", "--no-git")
    held = shell("acquire", "src/a.py", "--agent", "a")
    address = address_of(etcd)

    told = shell("store", "copy", ".", address)
    validate("store-copy", told)
    assert (told["to"], told["counts"]["locks"]) == (address, 1)
    assert shell("store", "copy", ".", address, status=2)["code"] == "usage"

    shell.environment["LATCHBOARD_STORE"] = address
    refused = shell("acquire", "src/a.py", "--agent", "b", status=10)
    assert refused["holders"][0]["token"] == held["token"]
    later = shell("acquire", "src/b.py", "--agent", "b")
    assert later["token"] > held["token"]

    (tmp_path / "other").mkdir()
    shell("store", "copy", address, "other")
    shell.environment["LATCHBOARD_STORE"] = "files"
    assert len(shell("status", "--root", "other")["active_locks"]) == 2
    assert shell("acquire", "src/c.py", "--agent", "b", "--root", "other")["token"] > later["token"]


def test_folder_of_a_project_whose_store_is_elsewhere_is_no_source_for_a_copy(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()

    told = shell("store", "copy", ".", "other", status=2)

    assert told["code"] == "usage" and told["message"].endswith("is elsewhere")
    assert "store status" in told["hint"]


LOSE = """
import os
from time import monotonic
from latchboard.clock import SystemClock
from latchboard.store.etcd.access import from_environment
from latchboard.store.etcd.store import EtcdStore
store = EtcdStore(from_environment(os.environ["LATCHBOARD_STORE"], os.environ), clock=SystemClock())
call = store._cluster.gateway.call
for one in call("/v3/lease/leases", {}, monotonic() + 10).get("leases", ()):
    call("/v3/lease/revoke", {"ID": one["ID"]}, monotonic() + 10)
store.close()
"""


def test_a_singleton_that_was_cut_off_is_told_so_and_its_command_can_be_ended(cluster: Cluster, tmp_path: Path) -> None:
    shell = Shell(tmp_path, address_of(cluster()))
    shell("init", "--client", "none", "--no-git")
    command = [sys.executable, "-c", f"{LOSE}\nimport time; time.sleep(50)"]

    told = shell("singleton", "run", "architect", "--stop-when-lost", "--", *command, status=TOKEN_ERROR)

    assert told["signal"] == 15
    assert "cut off" in told["lost"]["message"]


@pytest.mark.soak
def test_a_command_whose_place_cannot_be_looked_at_when_it_ends_has_its_own_status(
    cluster: Cluster, tmp_path: Path
) -> None:
    place = cluster()
    shell = Shell(tmp_path, address_of(place))
    shell("init", "--client", "none", "--no-git")
    server: Any = place.members[0]._process
    kill = f"kill -9 {server.pid}; exit 7"

    told = shell("singleton", "run", "architect", "--", "sh", "-c", kill, status=7)

    assert (told["command_status"], told["lost"]) == (7, None)
