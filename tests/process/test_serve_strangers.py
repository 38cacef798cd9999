"""Strangers with real processes: whatever a record, a port or a command line says of them, nobody ends them (K12, K24).

The invariant of every test: who is not provably this project's daemon gets no signal, no token, and lives on.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from latchboard import Latchboard
from latchboard.host.system import SystemHost
from tests.process import space
from tests.process.nursery import Channel, Nursery, until
from tests.process.serving import Project, is_there
from tests.process.test_serve_orphans import STRANGER, Yard, whys

pytestmark = pytest.mark.process


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    made = Yard(tmp_path)
    yield made
    made.close()


def identity_of(pid: int) -> Any:
    found = SystemHost().look(pid)
    assert found is not None
    return found["identity"]


def forge(yard: Yard, process: Any, **fields: Any) -> None:
    """A record that says that this process is the daemon."""
    yard.registry.mkdir(exist_ok=True)
    record = {
        "schema_version": 1,
        "pid": process["pid"],
        "process": process,
        "host": "127.0.0.1",
        "port": yard.first,
        "version": "0.0.1",
        "protocol_version": 1,
        "started_at": "2026-11-21T01:40:00.000000Z",
        "allowed_hosts": [],
        **fields,
    }
    yard.record.write_text(json.dumps(record))


def look_alikes(yard: Yard) -> dict[str, int]:
    """Programs with much of a daemon's command line, which answer like one, each on a port of its own."""
    root, script = yard.board.root, str(yard.path / "__main__.py")
    lines = {
        "script": [script, "serve", "--root", root],
        "code": ["-c", STRANGER, "-m", "latchboard", "serve", "--root", root],
        "verb": ["-m", "latchboard", "watch", "--root", root],
        "folder": ["-m", "latchboard", "serve", "--root", f"{root}/sub"],
        "slash": ["-m", "latchboard", "serve", "--root", f"{root}/"],
        "dots": ["-m", "latchboard", "serve", "--root", f"{root}/../project"],
        "twice": ["-m", "latchboard", "serve", "--root", root, f"--root={root}/.."],
        "relative": ["-m", "latchboard", "serve", "--root", "project"],
    }
    environment = {**os.environ, "PYTHONPATH": str(yard.path.parent), "HEARD": str(yard.heard)}
    found = {}
    for at, (name, words) in enumerate(lines.items(), 2):
        found[name] = _start(yard, [sys.executable, *words, "deaf", str(yard.first + at), "0"], env=environment)
    return found


def _start(yard: Yard, command: list[str], **options: Any) -> int:
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, **options
    )
    yard.started.append(process)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process.pid


def test_a_command_line_that_is_almost_a_daemons_is_left(yard: Yard) -> None:
    yard.daemon.ensure_running()
    (yard.root / "sub").mkdir()
    strangers = look_alikes(yard)

    report = yard.daemon.sweep()

    assert (report.swept, report.failed) == ([], [])
    assert {one["pid"] for one in report.skipped} == {*strangers.values()}
    assert [name for name, pid in strangers.items() if not is_there(pid)] == []
    assert not yard.heard.exists(), "the token is for nobody but a daemon"


def test_a_daemon_of_another_user_over_the_same_folder_is_left(yard: Yard, require: Any) -> None:
    """Its command line, program and folder are those of ours, to the last word; root could end it."""
    require(os.geteuid() == 0, "root, to start something as another user")
    ours = yard.daemon.ensure_running().state
    theirs = yard.program("of another user", yard.first + 3)

    report = yard.daemon.sweep()

    assert whys(report.skipped) == {yard.first + 3: "other-user"}
    assert (report.swept, report.failed, is_there(theirs)) == ([], [], True)

    forge(yard, identity_of(theirs), port=yard.first + 3)
    assert yard.daemon.stop().pid == ours.pid, "who has the place, and not who is recorded"
    assert yard.daemon.stop().to_json()["path"] == []
    assert is_there(theirs)


def _itself(yard: Yard, stranger: int) -> Any:
    return identity_of(stranger)


def _init(yard: Yard, stranger: int) -> Any:
    return {**identity_of(stranger), **{name: identity_of(1)[name] for name in ("pid", "start")}}


def _tests(yard: Yard, stranger: int) -> Any:
    return identity_of(os.getpid())


def _another_start(yard: Yard, stranger: int) -> Any:
    return {**identity_of(stranger), "start": identity_of(stranger)["start"] + 1}


def _another_boot(yard: Yard, stranger: int) -> Any:
    return {**identity_of(stranger), "boot": "another"}


def _another_machine(yard: Yard, stranger: int) -> Any:
    return {**identity_of(stranger), "host": "another"}


def _another_namespace(yard: Yard, stranger: int) -> Any:
    return {**identity_of(stranger), "pid_ns": 1}


FORGED = [_itself, _init, _tests, _another_start, _another_boot, _another_machine, _another_namespace]


@pytest.mark.parametrize("forged", FORGED)
def test_whoever_a_forged_record_names_is_neither_asked_nor_ended(yard: Yard, forged: Callable[..., Any]) -> None:
    """A stranger listens on the recorded port and answers as the daemon; the token lies ready."""
    yard.daemon.ensure_running()
    yard.daemon.stop()
    assert yard.token()
    stranger = yard.program("says it is the daemon", yard.first, is_daemon=False)
    forge(yard, forged(yard, stranger))

    stopped, report = yard.daemon.stop(), yard.daemon.sweep()

    assert (stopped.path, stopped.is_gone) == ([], False)
    assert (report.swept, report.failed) == ([], [])
    assert is_there(stranger)
    assert not yard.heard.exists()


def test_the_daemon_of_another_project_that_a_forged_record_names_is_left(yard: Yard, tmp_path: Path) -> None:
    other = Project(tmp_path / "other", ports=1)
    try:
        theirs = other.daemon.ensure_running().state
        forge(yard, theirs.process, port=theirs.port)
        shutil.copy(other.registry / "serve.token", yard.registry / "serve.token")

        stopped, report = yard.daemon.stop(), yard.daemon.sweep()

        assert (stopped.path, report.swept, report.failed) == ([], [], [])
        until(lambda: other.daemon.look().is_running, "it answers")
    finally:
        other.close()


def wrapping(channel: Channel, root: str) -> None:
    """As number 1 of a pid namespace: a daemon's number goes to a stranger, as after 32768 other processes."""
    if not space.become_first(channel, own_proc=True):
        return
    board = Latchboard(root, publishes=False)
    state = board.daemon.ensure_running().state
    os.kill(state.pid, 9)
    with contextlib.suppress(ChildProcessError):  # who started it waits for it, too: one of the two reaps it
        os.waitpid(state.pid, 0)
    Path("/proc/sys/kernel/ns_last_pid").write_text(str(state.pid - 1))
    command = [sys.executable, "-c", "print('ready', flush=True); input()", "latchboard", "serve", "--root", root]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as heir:
        assert heir.stdout is not None and heir.stdin is not None and heir.stdout.readline() == b"ready\n"
        stopped, report = board.daemon.stop(), board.daemon.sweep()
        answer = {
            "is_heir": heir.pid == state.pid,
            "stopped": [stopped.path, stopped.why],
            "swept": report.to_json(),
            "lives": heir.poll() is None,
        }
        heir.kill()
    board.close()
    channel.send(**answer)
    os._exit(0)


def test_a_number_that_went_from_the_daemon_to_a_stranger_is_not_signalled(
    yard: Yard, nursery: Nursery, require: Any
) -> None:
    told = nursery.start(wrapping, root=yard.board.root).receive()

    require("refused" not in told, f"a pid namespace: {told.get('refused')}")
    assert told == {
        "is_heir": True,
        "stopped": [[], "none"],
        "swept": {"swept": [], "skipped": [], "failed": []},
        "lives": True,
    }
