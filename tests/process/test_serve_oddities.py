"""Starting a daemon where something is odd: addresses, descriptors, records from elsewhere, folders that moved."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from latchboard import Latchboard
from latchboard.clock import Now, Readable, SystemClock
from latchboard.compose import serving as composed
from latchboard.daemon.stopping import STOP_S_MAX
from latchboard.errors import AlreadyRunning
from latchboard.host.launching import LOG_BYTES_MAX
from latchboard.host.system import SystemHost
from tests.process.nursery import PATIENCE_S, until
from tests.process.serving import Project, ask, is_there, listens, wait_until_gone

if TYPE_CHECKING:
    from latchboard.host.port import Grip, Identity, Process

pytestmark = pytest.mark.process


@pytest.fixture
def lasting(tmp_path: Path) -> Iterator[Project]:
    """Whose daemon does not look whether it is one too many."""
    made = Project(tmp_path, tick_s=1000.0)
    yield made
    made.close()


# -- addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.2", "::1", "::", "0.0.0.0", "localhost"])
def test_a_daemon_answers_by_the_address_that_it_listens_on(project: Project, host: str) -> None:
    """Though nobody allowed that as a name."""
    running = project.daemon.ensure_running(host=host, allowed_hosts=["board.example"])

    assert running.how == "started"
    until(lambda: project.daemon.look().condition == "running", "it answers")
    assert project.daemon.stop().path == ["http"]


def test_two_daemons_that_share_a_port_at_two_addresses_do_not_both_stay(project: Project) -> None:
    first = project.serve("--port", str(project.first))
    assert first.stderr is not None and "latchboard: http" in first.stderr.readline()
    shutil.rmtree(project.registry)

    second = project.daemon.ensure_running(host="::1").state

    assert second.port == project.first
    assert first.wait(PATIENCE_S) == 0
    assert project.pids() == [second.pid]


def test_a_record_that_came_with_a_repository_does_not_open_the_project_to_the_network(project: Project) -> None:
    state = project.daemon.ensure_running().state
    project.daemon.stop()
    foreign = {**state.to_json(), "host": "0.0.0.0", "allowed_hosts": ["other.example"]}
    foreign["process"] = {**foreign["process"], "host": "f" * 32}
    project.record.write_text(json.dumps(foreign))

    running = project.daemon.ensure_running()

    assert (running.state.host, running.state.allowed_hosts) == ("127.0.0.1", [])


def test_whoever_took_over_the_recorded_port_is_not_even_asked(lasting: Project) -> None:
    state = lasting.daemon.ensure_running().state
    with closing(socket.create_server(("127.0.0.1", 0))) as stranger:
        stranger.setblocking(False)
        lasting.record.write_text(json.dumps({**state.to_json(), "port": stranger.getsockname()[1]}))

        assert lasting.daemon.look().condition == "silent"

        with pytest.raises(BlockingIOError):
            stranger.accept()


class Untold(SystemHost):
    """A machine whose kernel does not tell who listens."""

    def listening(self, pid: int) -> list[tuple[str, int]] | None:
        return None


def test_where_the_kernel_does_not_tell_an_answer_counts_with_its_pid(lasting: Project, tmp_path: Path) -> None:
    state = lasting.daemon.ensure_running().state
    other = Project(tmp_path / "other")
    try:
        port = other.daemon.ensure_running().state.port
        lasting.record.write_text(json.dumps({**state.to_json(), "port": port}))
        board = Latchboard(lasting.root, host=Untold(), publishes=False)

        assert board.daemon.look().condition == "silent"

        board.close()
    finally:
        other.close()


# -- who has the place ------------------------------------------------------------------------------------------------


def test_a_daemon_whose_entry_was_removed_is_found_by_its_lock(lasting: Project) -> None:
    state = lasting.daemon.ensure_running().state
    for name in ("daemon.pid", "daemon.json", "serve.state"):
        (lasting.registry / name).unlink()

    running = lasting.daemon.ensure_running()

    assert (running.how, running.state.pid) == ("adopted", state.pid)
    assert lasting.pids() == [state.pid]


@pytest.mark.parametrize("is_made_anew", [False, True])
def test_the_daemon_of_a_project_that_was_moved_is_told_of_and_stays(lasting: Project, is_made_anew: bool) -> None:
    state = lasting.daemon.ensure_running().state
    moved = lasting.root.rename(lasting.root.parent / "moved")
    if is_made_anew:
        lasting.root.mkdir()
    board = Latchboard(moved, publishes=False)
    try:
        with pytest.raises(AlreadyRunning, match=f"process {state.pid} has its place") as caught:
            composed.build(board, start_wait_s=2.0).ensure_running()

        assert "moved" in caught.value.hint
        assert is_there(state.pid)
        log = (moved / "data" / ".agent_pids" / "serve.log").read_text()
        # Pauses that double from 50 ms: in two seconds six at the most, however fast the machine.
        assert 1 <= log.count("singleton.blocked") <= 7, f"not over and over: {log}"
    finally:
        board.close()
        if is_made_anew:
            lasting.root.rmdir()
        moved.rename(lasting.root)


def test_a_token_that_cannot_be_trusted_keeps_nobody_from_ending_the_daemon(project: Project) -> None:
    state = project.daemon.ensure_running().state
    (project.registry / "serve.token").chmod(0o644)

    stopped = project.daemon.stop()

    assert (stopped.is_gone, stopped.path[0]) == (True, "term"), "a busy machine needs KILL"
    assert not is_there(state.pid) and not project.record.exists()


class Slow(SystemClock):
    """On a machine on which it takes half a minute until a daemon that was started says anything."""

    late_s = 0.0

    def now(self) -> Now:
        now = super().now()
        return Now(now.wall_s, now.mono_s + self.late_s, now.boot)

    def wait(self, readables: Iterable[Any], timeout_s: float | None) -> bool:
        readables = list(readables)
        if any(isinstance(one, Readable) for one in readables):
            self.late_s += 30.0
        return super().wait(readables, timeout_s)


def test_whoever_was_refused_looks_who_it_is_before_he_gives_up(lasting: Project) -> None:
    state = lasting.daemon.ensure_running().state
    for name in ("daemon.pid", "daemon.json", "serve.state"):
        (lasting.registry / name).unlink()
    board = Latchboard(lasting.root, clock=Slow(), publishes=False)
    try:
        assert board.daemon.ensure_running().state.pid == state.pid
    finally:
        board.close()


class Rival(SystemHost):
    """Somebody else kills the daemon when this process has just got hold of it, to end it."""

    def grip(self, identity: Identity) -> Grip | None:
        found = super().grip(identity)
        os.kill(identity["pid"], signal.SIGKILL)
        return found


class Dying(SystemHost):
    """Somebody else has killed the daemon: for some looks it is there, and what it was cannot be read any more."""

    def __init__(self, pid: int, *, kills_at: int | None = 5) -> None:
        super().__init__()
        self.pid = pid
        self.kills_at = kills_at
        self.looks_count = 0

    def look(self, pid: int) -> Process | None:
        found = super().look(pid)
        if found is None or pid != self.pid:
            return found
        self.looks_count += 1
        if self.looks_count == self.kills_at:
            os.kill(pid, signal.SIGKILL)
        return {**found, "argv": [], "exe": ""}


def test_a_restart_succeeds_though_somebody_else_kills_the_daemon_meanwhile(project: Project) -> None:
    state = project.daemon.ensure_running().state
    (project.registry / "serve.token").unlink()  # it is not asked to end, but signalled at once
    board = Latchboard(project.root, host=Rival(), publishes=False)
    try:
        running = board.daemon.restart()

        assert (running.how, project.pids()) == ("started", [running.state.pid])
        assert not is_there(state.pid)
    finally:
        board.close()


def test_one_that_cannot_be_read_and_stays_is_left_and_waited_for_no_longer(project: Project) -> None:
    state = project.daemon.ensure_running().state
    board = Latchboard(project.root, host=Dying(state.pid, kills_at=None), publishes=False)
    try:
        assert board.daemon.stop().why == "elsewhere"
    finally:
        board.close()
    assert is_there(state.pid) and project.record.exists()


@pytest.mark.parametrize("what", ["stop", "restart"])
def test_a_daemon_that_somebody_else_has_killed_is_not_taken_for_one_elsewhere(project: Project, what: str) -> None:
    state = project.daemon.ensure_running().state
    board = Latchboard(project.root, host=Dying(state.pid), publishes=False)
    try:
        if what == "stop":
            assert board.daemon.stop().to_json() == {
                "pid": None,
                "port": None,
                "path": [],
                "is_gone": False,
                "why": "none",
            }
            assert not project.record.exists()
        else:
            assert board.daemon.restart().state.port == state.port
    finally:
        board.close()


# -- descriptors, signals, output -------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", ["", "kept = open('/dev/null')"])
def test_a_program_without_standard_descriptors_starts_one(project: Project, more: str) -> None:
    code = f"""
import os, sys
from latchboard import Latchboard
board = Latchboard(sys.argv[1], publishes=False)
os.closerange(0, 3)
{more}
board.daemon.ensure_running()
"""
    subprocess.run([sys.executable, "-c", code, project.board.root], env=project.environment, check=True)

    until(lambda: project.daemon.look().condition == "running", "it answers")


def test_a_daemon_without_standard_descriptors_has_nothing_of_its_own_in_their_place(project: Project) -> None:
    command = [sys.executable, "-m", "latchboard", "serve", "--root", project.board.root]
    shell = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command]
    daemon = subprocess.Popen(shell, env=project.environment)
    until(lambda: listens(project.first), "it listens")

    assert {os.readlink(f"/proc/{daemon.pid}/fd/{fd}") for fd in range(3)} == {"/dev/null"}
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(PATIENCE_S) == 0


def test_the_console_script_becomes_a_daemon_without_an_output(project: Project) -> None:
    script = project.root / "latchboard"
    script.write_text("import sys\nfrom latchboard.surface.cli import main\nsys.exit(main())\n")
    shell = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, str(script), "serve"]
    project.started.append(
        subprocess.Popen(shell, env=project.environment, cwd=project.root, stderr=subprocess.PIPE, text=True)
    )

    assert project.started[0].stderr is not None and "latchboard: http" in project.started[0].stderr.readline()
    assert project.pids() == [project.started[0].pid]


def test_who_cannot_be_told_where_it_is_gets_no_daemon_and_no_traceback(project: Project) -> None:
    command = [sys.executable, "-m", "latchboard", "serve", "--json", "--root", project.board.root]
    with open("/dev/full", "w") as full:
        told = subprocess.run(
            command,
            check=False,
            env=project.environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE_S,
        )

    assert told.returncode == 1
    assert told.stderr == "latchboard: the answer could not be written: No space left on device\n"
    assert not (project.registry / "daemon.pid").exists()


def test_a_starter_that_has_its_signals_blocked_gets_a_daemon_that_hears_them(project: Project) -> None:
    code = """
import signal, sys
from latchboard import Latchboard
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
print(Latchboard(sys.argv[1], publishes=False).daemon.ensure_running().state.pid)
"""
    told = subprocess.check_output([sys.executable, "-c", code, project.board.root], env=project.environment)

    os.kill(int(told), signal.SIGTERM)

    wait_until_gone(int(told))
    assert not (project.registry / "daemon.pid").exists(), "it gave its place back"


def test_a_signal_that_is_ignored_stays_so(project: Project) -> None:
    command = [sys.executable, "-m", "latchboard", "serve", "--root", project.board.root]
    shell = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *command]
    daemon = subprocess.Popen(shell, env=project.environment, stderr=subprocess.PIPE, text=True)
    project.started.append(daemon)
    assert daemon.stderr is not None and "latchboard: http" in daemon.stderr.readline()

    daemon.send_signal(signal.SIGHUP)
    assert ask(project.first)["pid"] == daemon.pid
    daemon.send_signal(signal.SIGTERM)

    assert daemon.wait(PATIENCE_S) == 0


def test_a_large_log_is_put_aside(project: Project) -> None:
    project.registry.mkdir(parents=True)
    (project.registry / "serve.log").write_bytes(b"x" * (LOG_BYTES_MAX + 1))

    project.daemon.ensure_running()

    assert (project.registry / "serve.log.1").stat().st_size == LOG_BYTES_MAX + 1
    assert "daemon.ready" in (project.registry / "serve.log").read_text()


def test_a_stop_takes_the_record_of_a_dead_daemon_away(project: Project) -> None:
    state = project.daemon.ensure_running().state
    os.kill(state.pid, signal.SIGKILL)
    wait_until_gone(state.pid)

    assert project.daemon.stop().why == "none"

    assert not project.record.exists()


@pytest.mark.slow
def test_a_stop_is_bounded_when_nobody_reads_what_it_says(project: Project) -> None:
    """Its log is a pipe that is full: whoever writes a line there waits for ever, and has the log's lock."""
    reader, writer = os.pipe()
    with closing(os.fdopen(reader, "rb")), closing(os.fdopen(writer, "wb", buffering=0)) as full:
        os.set_blocking(writer, False)
        while full.write(b"x" * 4096):
            pass
        os.set_blocking(writer, True)
        command = [sys.executable, "-m", "latchboard", "serve", "--root", project.board.root]
        daemon = subprocess.Popen(command, env=project.environment, stderr=full)
        until(lambda: "pipe" in Path(f"/proc/{daemon.pid}/wchan").read_text(), "it waits for a reader")
        started = time.monotonic()

        daemon.send_signal(signal.SIGTERM)

        assert daemon.wait(PATIENCE_S) == 0
        assert time.monotonic() - started >= STOP_S_MAX, "it hung, and was ended at last"
    assert project.daemon.ensure_running().how == "started"
    assert ask(project.first)["pid"] != daemon.pid
