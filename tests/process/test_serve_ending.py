"""The end of a daemon with real processes: told to, by its own rule, with pages open; what is left (K11, K12, K21)."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from latchboard.host.system import SystemHost
from latchboard.rules.serving import State
from tests.process.nursery import PATIENCE_S, until
from tests.process.serving import TICK_S, Project, ask, is_there, listens, wait_until_gone

pytestmark = pytest.mark.process


def pages(stack: ExitStack, port: int, token: str, count: int) -> list[socket.socket]:
    """Connections on which events are pushed, each with its first bytes read."""
    found = []
    for _ in range(count):
        page = stack.enter_context(closing(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)))
        head = f"GET /api/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n\r\n"
        page.sendall(head.encode())
        assert page.recv(4096).startswith(b"HTTP/1.1 200")
        found.append(page)
    return found


def left(project: Project) -> list[str]:
    return sorted(path.name for path in project.registry.iterdir() if path.suffix in (".pid", ".json", ".state"))


# -- told to ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_well_with_pages_open(project: Project, number: int) -> None:
    daemon = project.serve()
    assert daemon.stderr is not None and "latchboard: http" in daemon.stderr.readline()
    with ExitStack() as stack:
        open_pages = pages(stack, project.first, project.token(), 20)

        daemon.send_signal(number)

        assert daemon.wait(PATIENCE_S) == 0
        assert "ended_at_once" not in daemon.stderr.read(), "it came to its end by itself, and not at the last moment"
        for page in open_pages:
            while page.recv(65536):
                pass
    assert not listens(project.first)
    assert left(project) == []


def test_a_stop_is_bounded_whatever_hangs(project: Project) -> None:
    """Somebody has the store's guard: the cleanup tick waits for it, and so does whoever asks for the board."""
    daemon = project.serve()
    assert daemon.stderr is not None and "latchboard: http" in daemon.stderr.readline()
    project.board.agent("planner").lock("x.py")
    token = f"Bearer {project.token()}"
    assert "x.py" in json.dumps(ask(project.first, "/api/board", Authorization=token))
    with open(project.root / "data" / ".agent_locks" / "journal" / "guard", "rb+") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        time.sleep(3 * TICK_S)
        started = time.monotonic()

        daemon.send_signal(signal.SIGTERM)

        assert daemon.wait(PATIENCE_S) == 0
        assert time.monotonic() - started < PATIENCE_S / 2, "what hangs has no end of its own"
    assert not listens(project.first)
    assert project.daemon.ensure_running().how == "started"


def test_stop_asks_it_and_takes_the_record_away(project: Project) -> None:
    state = project.daemon.ensure_running().state
    with ExitStack() as stack:
        pages(stack, state.port, project.token(), 3)

        stopped = project.daemon.stop()

    assert (stopped.pid, stopped.port, stopped.path, stopped.is_gone) == (state.pid, state.port, ["http"], True)
    assert not listens(state.port)
    assert left(project) == [] and project.pids() == []
    assert project.daemon.stop().why == "none"


def test_one_that_stands_still_is_ended_by_signals_alone(project: Project) -> None:
    state = project.daemon.ensure_running().state
    os.kill(state.pid, signal.SIGSTOP)

    stopped = project.daemon.stop()

    assert (stopped.path, stopped.is_gone) == (["term", "kill"], True)
    assert not is_there(state.pid) and not project.record.exists()


def test_the_token_is_sent_to_nobody_who_took_over_the_port(project: Project) -> None:
    """The daemon stands still without its listener's port being told: a stranger must not hear the token."""
    state = project.daemon.ensure_running().state
    with closing(socket.create_server(("127.0.0.1", 0))) as stranger:
        stranger.settimeout(0.2)
        port = stranger.getsockname()[1]
        project.record.write_text(json.dumps({**state.to_json(), "port": port}))

        stopped = project.daemon.stop()

        heard = b""
        while True:
            try:
                connection, _ = stranger.accept()
            except TimeoutError:
                break
            with closing(connection):
                heard += connection.recv(65536)
    assert project.token().encode() not in heard
    assert (stopped.is_gone, stopped.path[0]) == (True, "term"), "a busy machine needs KILL"


def test_restart_keeps_the_port_and_the_token(project: Project) -> None:
    with closing(socket.create_server(("127.0.0.1", project.first))):
        former = project.daemon.ensure_running().state
    token = project.token()

    running = project.daemon.restart()

    assert running.state.pid != former.pid
    assert running.state.port == former.port == project.first + 1, "though the first one is free by now"
    assert project.token() == token


def test_after_sigkill_the_next_start_is_at_once_and_where_it_was(project: Project) -> None:
    former = project.daemon.ensure_running().state
    os.kill(former.pid, signal.SIGKILL)
    wait_until_gone(former.pid)
    assert project.daemon.look().condition == "none"
    assert project.daemon.look().why == "dead"

    running = project.daemon.ensure_running()

    assert (running.state.port, running.how) == (former.port, "started")


# -- by its own rule --------------------------------------------------------------------------------------------------


def supersede(project: Project) -> tuple[int, int]:
    """Two daemons, the second of which is recorded: the registry of the first was wiped. Their pids."""
    first = project.serve("--port", str(project.first))
    assert first.stderr is not None and "latchboard: http" in first.stderr.readline()
    shutil.rmtree(project.registry)
    return first.pid, project.daemon.ensure_running().state.pid


def test_a_superseded_daemon_retires_and_the_record_is_untouched(project: Project) -> None:
    first, second = supersede(project)
    record, times = project.record.read_bytes(), os.stat(project.record)

    status = project.started[0].wait(PATIENCE_S)

    assert status == 0
    assert first not in project.pids() and second in project.pids()
    assert project.record.read_bytes() == record
    assert os.stat(project.record).st_mtime_ns == times.st_mtime_ns
    assert os.stat(project.record).st_ino == times.st_ino


def _own(project: Project, state: dict[str, Any]) -> None:
    """As it is."""


def _missing(project: Project, state: dict[str, Any]) -> None:
    project.record.unlink()


def _malformed(project: Project, state: dict[str, Any]) -> None:
    project.record.write_bytes(b'{"schema_version":1,"port":')


def _of_a_dead_process(project: Project, state: dict[str, Any]) -> None:
    pid = 2**22 + 1
    changed = {"pid": pid, "process": {**state["process"], "pid": pid}, "port": project.first + 5}
    project.record.write_text(json.dumps({**state, **changed}))


def _of_a_stranger_that_lives(project: Project, state: dict[str, Any]) -> None:
    me = SystemHost().me()
    project.record.write_text(json.dumps({**state, "pid": me["pid"], "process": me, "port": project.first + 5}))


def _of_another_projects_daemon(project: Project, state: dict[str, Any]) -> None:
    other = Project(project.root.parent / "other")
    project.others = [other]  # type: ignore[attr-defined]
    project.record.write_text(json.dumps(other.daemon.ensure_running().state.to_json()))


@pytest.mark.parametrize(
    "change",
    [_own, _missing, _malformed, _of_a_dead_process, _of_a_stranger_that_lives, _of_another_projects_daemon],
)
def test_a_daemon_stays_whatever_else_the_record_says_and_does_not_touch_it(project: Project, change: Any) -> None:
    state = project.daemon.ensure_running().state
    change(project, state.to_json())
    try:
        before = (project.record.read_bytes(), os.stat(project.record)) if project.record.exists() else None

        with pytest.raises(TimeoutError):
            until(lambda: not is_there(state.pid), "it ends", 6 * TICK_S)

        after = (project.record.read_bytes(), os.stat(project.record)) if project.record.exists() else None
        assert ask(state.port)["pid"] == state.pid
        assert (before is None) == (after is None)
        if before and after:
            assert before[0] == after[0]
            assert (before[1].st_mtime_ns, before[1].st_ino) == (after[1].st_mtime_ns, after[1].st_ino)
    finally:
        for other in getattr(project, "others", []):
            other.close()


def test_a_daemon_whose_place_an_operator_has_ended_retires(project: Project) -> None:
    state = project.daemon.ensure_running().state

    project.board.singletons.release("daemon", force=True)

    wait_until_gone(state.pid)


def test_a_daemon_whose_project_is_gone_retires(project: Project, tmp_path: Path) -> None:
    daemon = project.serve()
    assert daemon.stderr is not None and "latchboard: http" in daemon.stderr.readline()

    project.root.rename(tmp_path / "moved")
    project.root.mkdir()

    assert daemon.wait(PATIENCE_S) == 0


def _used(project: Project, *, for_s: float, idle_s_max: float) -> State:
    """A daemon that was used all the time for so long; another one where the machine kept us from using the first."""
    while True:
        state = project.daemon.ensure_running().state
        token = f"Bearer {project.token()}"
        began_s = asked_s = time.monotonic()
        try:
            while time.monotonic() - began_s < for_s:
                now_s = time.monotonic()
                ask(state.port, "/api/board", Authorization=token)
                asked_s = now_s
        except OSError:
            assert time.monotonic() - asked_s >= idle_s_max, "it retired, and was used"
            wait_until_gone(state.pid)
        else:
            return state


def test_an_idle_daemon_retires_and_one_that_is_used_does_not(tmp_path: Path) -> None:
    project = Project(tmp_path, daemon_idle_s_max=2.0)
    try:
        state = _used(project, for_s=3.0, idle_s_max=2.0)

        wait_until_gone(state.pid)

        assert project.daemon.ensure_running().how == "started"
    finally:
        project.close()


def test_whoever_only_asks_for_its_health_does_not_keep_it(tmp_path: Path) -> None:
    project = Project(tmp_path, daemon_idle_s_max=1.0)
    try:
        state = project.daemon.ensure_running().state

        until(lambda: not (listens(state.port) and project.daemon.look().is_running), "it retires")

        wait_until_gone(state.pid)
    finally:
        project.close()


def test_a_daemon_that_was_started_by_hand_does_not_retire_when_idle(tmp_path: Path) -> None:
    project = Project(tmp_path, daemon_idle_s_max=0.1)
    try:
        daemon = project.serve()
        assert daemon.stderr is not None and "latchboard: http" in daemon.stderr.readline()

        with pytest.raises(TimeoutError):
            until(lambda: daemon.poll() is not None, "it ends", 1.5)
    finally:
        project.close()


# -- what it does besides ---------------------------------------------------------------------------------------------


def test_it_cleans_up(project: Project) -> None:
    state = project.daemon.ensure_running().state
    code = "import os, sys; from latchboard import Latchboard; b = Latchboard(sys.argv[1], publishes=False);"
    code += "b.agent('a').lock('x.py'); os._exit(0)"  # it ends without giving back
    subprocess.run([sys.executable, "-c", code, project.board.root], env=project.environment, check=True)

    until(lambda: not project.board.locks.check(["x.py"], agent=None), "the lock of the dead holder goes")
    published = project.root / "data" / ".agent_locks" / "status_board.json"
    until(lambda: published.exists() and not json.loads(published.read_bytes())["active_locks"], "it is published")
    assert ask(state.port)["pid"] == state.pid


def test_a_service_manager_is_told(project: Project, tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager:
        manager.bind(address)
        manager.settimeout(PATIENCE_S)
        daemon = project.serve(NOTIFY_SOCKET=address)

        ready = manager.recv(4096)
        assert ready.splitlines()[0] == b"READY=1"
        assert ask(project.first)["pid"] == daemon.pid, "it is ready when it says so"
        daemon.send_signal(signal.SIGTERM)
        assert manager.recv(4096) == b"STOPPING=1"
        assert daemon.wait(PATIENCE_S) == 0


def test_a_manager_that_is_gone_keeps_nobody_from_the_board(project: Project, tmp_path: Path) -> None:
    daemon = project.serve(NOTIFY_SOCKET=str(tmp_path / "nobody"))

    until(lambda: listens(project.first), "it listens")

    assert ask(project.first)["pid"] == daemon.pid


@pytest.mark.parametrize("fd", ["0", "77", "999999999999"])
def test_a_pipe_that_is_none_is_refused(project: Project, fd: str) -> None:
    told = project.command("serve", "--ready-fd", fd)

    assert told.returncode == 2
    assert "--ready-fd" in told.stderr
    assert not (project.registry / "daemon.pid").exists()


def test_its_files_are_its_users_alone_and_hold_no_secret(project: Project) -> None:
    project.daemon.ensure_running()
    project.command("daemon", "start")
    token = project.token()

    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in project.registry.glob("serve.*")}
    assert modes["serve.token"] == modes["serve.log"] == modes["serve.turn"] == "0o600", modes
    holders = [path.name for path in project.registry.iterdir() if token in path.read_text(errors="replace")]
    assert holders == ["serve.token"]
    assert token not in json.dumps(ask(project.daemon.look().state.port))  # type: ignore[union-attr]
    for words in (("daemon", "start"), ("daemon", "status"), ("daemon", "orphans"), ("daemon", "verify", "--scan")):
        told = project.command(*words, "--json")
        assert token not in told.stdout + told.stderr, words


def test_enforcement_ends_others_in_a_container_alone(tmp_path: Path) -> None:
    project = Project(tmp_path, tick_s=1000.0, enforce_single_daemon_process=True)
    try:
        first, second = supersede(project)

        is_container = project.board.daemons.mode == "container"
        assert is_there(second)
        if is_container:
            wait_until_gone(first)
        else:
            assert is_there(first)
    finally:
        project.close()


def test_what_its_starter_knows_stays_with_it(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_ID", "somebody")
    monkeypatch.setenv("LATCHBOARD_TOKEN", "123456")
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere")

    pid = project.daemon.ensure_running().state.pid

    environment = Path(f"/proc/{pid}/environ").read_bytes()
    assert not any(name in environment for name in (b"AGENT_ID=", b"LATCHBOARD_TOKEN=", b"NOTIFY_SOCKET="))
    assert os.getsid(pid) == pid != os.getsid(0)
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    opened = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    assert not any("serve.turn" in path for path in opened), "the lock of whoever starts is nothing to inherit"
