"""Orphans with real processes: found by their ports, ended one by one; everybody else survives (K12, K23, K24)."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

import latchboard
from latchboard import Latchboard
from latchboard.host.system import SystemHost
from latchboard.settings import Settings
from tests.process.nursery import PATIENCE_S
from tests.process.serving import Project, ask, is_there, listens, wait_until_gone

pytestmark = pytest.mark.process

STRANGER = """
import http.server, json, os, signal, sys, time
how, port, named = sys.argv[-3], int(sys.argv[-2]), int(sys.argv[-1])
if "deaf" in how:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        health = {"product": "latchboard", "version": "0.0.1", "protocol_version": 1, "pid": named or os.getpid()}
        health["started_at"] = "2026-11-21T01:40:00.000000Z"
        if how == "redirects":
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.1:{named}/api/health")
            self.end_headers()
            return
        if how == "slow":
            time.sleep(2.5)
        if how == "no-pid":
            del health["pid"]
        if how == "no-version":
            del health["version"]
        if how == "no-protocol":
            del health["protocol_version"]
        body = b"x" * (1 << 22) if how == "huge" else json.dumps(health).encode()
        self.send_response(200)
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            pass

    def do_POST(self):
        with open(os.environ["HEARD"], "a") as file:
            file.write(self.headers.get("Authorization", ""))
        self.send_response(202)
        self.end_headers()

    def log_message(self, *words):
        pass

with http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
    if how == "of another user":
        os.setresuid(65534, 65534, 65534)
    print("ready", flush=True)
    server.serve_forever()
"""


class Yard(Project):
    """A project with programs beside its daemon."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        super().__init__(folder, ports=30, tick_s=1000.0, **settings)
        self.path = folder / "path" / "latchboard"
        self.path.mkdir(parents=True)
        (self.path / "__init__.py").touch()
        (self.path / "__main__.py").write_text(STRANGER)
        self.heard = folder / "heard"

    def orphan(self, port: int) -> int:
        """A real daemon of this project, in a registry that was wiped since."""
        daemon = self.serve("--port", str(port))
        assert daemon.stderr is not None and "latchboard: http" in daemon.stderr.readline()
        shutil.rmtree(self.registry)
        return daemon.pid

    def program(self, how: str, port: int, *, named: int = 0, is_daemon: bool = True) -> int:
        """A program that answers on a port as it likes, with the command line of a daemon or not."""
        words = (
            ["-m", "latchboard", "serve", "--root", self.board.root] if is_daemon else [str(self.path / "__main__.py")]
        )
        environment = {**os.environ, "PYTHONPATH": str(self.path.parent), "HEARD": str(self.heard)}
        self.started.append(
            subprocess.Popen(
                [sys.executable, *words, how, str(port), str(named)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        )
        out = self.started[-1].stdout
        assert out is not None and out.readline() == "ready\n"
        return self.started[-1].pid


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    made = Yard(tmp_path)
    yield made
    made.close()


def whys(skipped: list[dict[str, Any]]) -> dict[int | None, str]:
    return {one["port"]: one["why"] for one in skipped}


def test_all_and_only_our_daemons_that_are_not_the_daemon_are_found(yard: Yard, tmp_path: Path) -> None:
    other = Project(tmp_path / "other", ports=1)
    try:
        orphans = {yard.first + at: yard.orphan(yard.first + at) for at in (0, 1, 29)}
        ours = yard.daemon.ensure_running().state
        assert ours.port == yard.first + 2
        for at, how in enumerate(("no-pid", "no-version", "no-protocol", "redirects", "huge"), 10):
            yard.program(how, yard.first + at, named=orphans[yard.first] if how == "redirects" else 0, is_daemon=False)
        yard.program("liar", yard.first + 15, named=orphans[yard.first], is_daemon=False)
        yard.program("says it is pytest", yard.first + 16, named=os.getpid(), is_daemon=False)
        yard.program("has another command line", yard.first + 17, is_daemon=False)
        theirs = other.serve("--port", str(yard.first + 18))
        assert theirs.stderr is not None and "latchboard: http" in theirs.stderr.readline()
        with ExitStack() as stack:
            silent = socket.create_server(("127.0.0.1", yard.first + 20))
            stack.enter_context(closing(silent))
            for port in (yard.first - 1, yard.first + 30):  # outside the range, where that is free
                yard.program("outside", port)

            scan = yard.daemon.scan(within_s=6.0)

        assert {one.port: one.pid for one in scan.orphans} == orphans
        assert whys(scan.skipped) == {
            yard.first + 10: "no-pid",
            yard.first + 15: "not-its-port",
            yard.first + 16: "other-program",
            yard.first + 17: "other-program",
            yard.first + 18: "other-project",
            None: "no-answer",
        }
        assert yard.command("daemon", "orphans").returncode == 3
    finally:
        other.close()


def test_a_sweep_ends_orphans_and_nobody_else(yard: Yard, tmp_path: Path) -> None:
    other = Project(tmp_path / "other", ports=1)
    try:
        orphans = [yard.orphan(yard.first + at) for at in (0, 1)]
        ours = yard.daemon.ensure_running().state
        liar = yard.program("liar", yard.first + 5, named=orphans[0], is_daemon=False)
        no_pid = yard.program("no-pid", yard.first + 6)
        theirs = other.serve("--port", str(yard.first + 7))
        assert theirs.stderr is not None and "latchboard: http" in theirs.stderr.readline()

        told = yard.command("daemon", "sweep", "--json")

        report = json.loads(told.stdout)
        assert told.returncode == 0, told
        assert {one["pid"] for one in report["swept"]} == {*orphans}
        assert report["failed"] == []
        assert whys(report["skipped"]) == {
            yard.first + 5: "not-its-port",
            yard.first + 6: "no-pid",
            yard.first + 7: "other-project",
            None: "no-answer",
        }
        for port in (yard.first, yard.first + 1):
            assert not listens(port)
        assert all(is_there(pid) for pid in (ours.pid, liar, no_pid, theirs.pid))
        assert ask(ours.port)["pid"] == ours.pid
        assert not yard.heard.exists(), "the token is for nobody but a daemon"
    finally:
        other.close()


def test_an_orphan_that_is_deaf_is_killed_and_the_way_is_told(yard: Yard) -> None:
    """It has the command line of a daemon and takes a word to stop, but neither heeds it nor SIGTERM."""
    yard.board.daemon.ensure_running()
    deaf = yard.program("deaf", yard.first + 9)
    started = time.monotonic()

    report = yard.daemon.sweep()

    assert [(one["pid"], one["path"], one["why"]) for one in report.swept] == [(deaf, ["http", "term", "kill"], "")]
    assert time.monotonic() - started < PATIENCE_S / 2, "as a daemon that is stopped gets, and three times that"
    assert not is_there(deaf)
    assert not listens(yard.first + 9)


def test_an_orphan_that_a_busy_machine_keeps_from_answering_is_asked_again(yard: Yard) -> None:
    """Longer than a scan may take; what is provably ours is worth a second question."""
    yard.board.daemon.ensure_running()
    slow = yard.program("slow", yard.first + 9)

    report = yard.daemon.sweep()

    assert [one["pid"] for one in report.swept] == [slow], report


def test_orphans_with_another_token_are_ended_by_signals(yard: Yard) -> None:
    """A wiped registry has another token: what the orphan knows is not what is shown to it."""
    orphan = yard.orphan(yard.first)
    yard.daemon.ensure_running()

    report = yard.daemon.sweep()

    assert [(one["pid"], one["path"][0]) for one in report.swept] == [(orphan, "term")], "a busy machine needs KILL"


def test_without_a_record_and_without_a_token_a_sweep_does_its_work(yard: Yard) -> None:
    orphan = yard.orphan(yard.first)

    report = yard.daemon.sweep()

    assert [(one["pid"], one["path"][0]) for one in report.swept] == [(orphan, "term")], "a busy machine needs KILL"
    assert yard.daemon.sweep().to_json() == {"swept": [], "skipped": [], "failed": []}


def test_a_daemon_that_stands_still_is_left_for_the_operator(yard: Yard) -> None:
    orphan = yard.orphan(yard.first)
    os.kill(orphan, signal.SIGSTOP)

    report = yard.daemon.sweep()

    assert report.swept == report.failed == []
    assert report.skipped == [{"port": None, "pid": orphan, "why": "no-answer", "path": []}]
    assert is_there(orphan)


def test_the_daemon_by_hand_that_no_record_names_is_no_orphan(yard: Yard) -> None:
    daemon = yard.serve()
    assert daemon.stderr is not None and "latchboard: http" in daemon.stderr.readline()

    report = yard.daemon.sweep()

    assert report.to_json() == {"swept": [], "skipped": [], "failed": []}
    assert is_there(daemon.pid)


def test_twenty_listeners_that_never_answer_cost_no_more_than_one(yard: Yard) -> None:
    orphan = yard.orphan(yard.first)
    with ExitStack() as stack:
        for at in range(5, 25):
            stack.enter_context(closing(socket.create_server(("127.0.0.1", yard.first + at), backlog=1)))
        started = time.monotonic()

        scan = yard.daemon.scan(within_s=3.0)

        assert time.monotonic() - started < PATIENCE_S / 2, "and not two seconds each"
    assert [one.pid for one in scan.orphans] == [orphan]


def test_the_range_is_from_9400_to_9449_unless_it_is_set(tmp_path: Path) -> None:
    assert (Settings().daemon_port_first, Settings().daemon_port_end) == (9400, 9450)
    project = Project(tmp_path)
    (project.root / "latchboard.toml").unlink()
    board = Latchboard(project.root, publishes=False)
    try:
        outside = []
        for port in (9399, 9450):
            outside.append(project.serve("--port", str(port)))
            error = outside[-1].stderr
            assert error is not None and "latchboard: http" in error.readline()
            shutil.rmtree(project.registry)
        inside = project.serve()
        assert inside.stderr is not None and "latchboard: http" in inside.stderr.readline()
        shutil.rmtree(project.registry)

        found = board.daemon.orphans()

        assert [one.pid for one in found] == [inside.pid]
        assert 9400 <= found[0].port < 9450
        assert board.daemon.sweep().swept[0]["pid"] == inside.pid
        wait_until_gone(inside.pid)
        assert all(is_there(one.pid) for one in outside)
    finally:
        board.close()
        project.close()


def test_a_scan_changes_nothing(yard: Yard) -> None:
    def seen() -> dict[Path, tuple[bytes, int]]:
        """All but the published board, which the daemon itself writes some time after it started."""
        files = [path for path in yard.root.rglob("*") if path.is_file() and "status_board" not in path.name]
        return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}

    yard.orphan(yard.first)
    yard.daemon.ensure_running()
    before, pids = seen(), yard.pids()

    yard.daemon.scan()

    assert (seen(), yard.pids()) == (before, pids)


def test_the_founding_names_do_it_for_the_project_around_the_current_folder(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    orphan = yard.orphan(yard.first)
    monkeypatch.chdir(yard.root)

    port = latchboard.ensure_running()

    assert ask(port)["product"] == "latchboard"
    assert latchboard.DAEMON_TICK_SECONDS == 30
    assert [(type(one), one.pid, one.port) for one in latchboard.enumerate_orphans()] == [
        (latchboard.OrphanDaemon, orphan, yard.first)
    ]
    report = latchboard.sweep_orphans(root=yard.root)
    assert isinstance(report, latchboard.SweepReport)
    assert [one["pid"] for one in report.swept] == [orphan]
    assert latchboard.ensure_running(root=yard.root) == port


class Blind(SystemHost):
    """This machine, where nobody tells which process listens where, as in some sandboxes."""

    __slots__ = ()

    def listening(self, pid: int) -> list[tuple[str, int]] | None:
        return None


def test_where_the_kernel_does_not_tell_who_listens_all_of_it_works_by_what_is_said(yard: Yard) -> None:
    orphan = yard.orphan(yard.first)
    board = Latchboard(yard.root, host=Blind(), publishes=False)
    try:
        running = board.daemon.ensure_running()
        assert running.how == "started"
        yard.record.unlink()
        assert board.daemon.ensure_running().state.port == running.state.port

        report = board.daemon.sweep()
        assert [one["pid"] for one in report.swept] == [orphan], report
        assert board.daemon.stop().is_gone
    finally:
        board.close()
