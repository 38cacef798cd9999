"""Starting a daemon with real processes: many at once, records that lie, starters and daemons killed half-way (K22)."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from latchboard.errors import AlreadyRunning, DaemonFailed, DaemonSilent, NoFreePort
from latchboard.host.system import SystemHost
from tests.process import serving
from tests.process.nursery import PATIENCE_S, Nursery, process_state, until
from tests.process.serving import Project, ask, is_there, listens, wait_until_gone

pytestmark = pytest.mark.process


@contextmanager
def held_back(project: Project) -> Iterator[None]:
    """While it lasts, a daemon that starts for the first time waits: it has its place, and makes its token."""
    project.registry.mkdir(parents=True, exist_ok=True)
    fd = os.open(project.registry / "serve.token.guard", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def a_dead_pid() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


# -- many at once -----------------------------------------------------------------------------------------------------


def test_ten_processes_that_ensure_at_once_get_one_daemon_and_its_port(project: Project, nursery: Nursery) -> None:
    crowd = [nursery.start(serving.ensuring, root=project.board.root) for _ in range(10)]
    for one in crowd:
        one.receive()

    for one in crowd:
        one.channel.send(go=True)
    answers = [one.receive() for one in crowd]

    assert {(one["pid"], one["port"]) for one in answers} == {(answers[0]["pid"], project.first)}, answers
    assert sorted(one["how"] for one in answers) == ["running"] * 9 + ["started"]
    assert project.pids() == [answers[0]["pid"]]
    assert ask(project.first)["pid"] == answers[0]["pid"]
    assert project.board.daemons.verify().pid == answers[0]["pid"]


def test_ten_commands_at_once_after_the_daemon_was_killed_get_one_that_is_new(project: Project) -> None:
    former = project.daemon.ensure_running().state
    os.kill(former.pid, signal.SIGKILL)
    wait_until_gone(former.pid)

    command = [*_python(), "daemon", "start", "--json", "--root", project.board.root]
    crowd = [subprocess.Popen(command, env=project.environment, stdout=subprocess.PIPE, text=True) for _ in range(10)]
    answers = [json.loads(one.communicate()[0]) for one in crowd]

    assert [one.returncode for one in crowd] == [0] * 10
    assert {one["pid"] for one in answers} == {*project.pids()} and len(project.pids()) == 1
    assert {one["port"] for one in answers} == {former.port}, "open pages find it where it was"


def test_a_healthy_daemon_stays(project: Project) -> None:
    first = project.daemon.ensure_running()
    record = project.record.read_bytes(), project.record.stat().st_mtime_ns

    again = project.daemon.ensure_running()
    told = project.command("daemon", "start")

    assert (first.how, again.how, told.returncode) == ("started", "running", 0)
    assert again.state == first.state
    assert (project.record.read_bytes(), project.record.stat().st_mtime_ns) == record


# -- records ----------------------------------------------------------------------------------------------------------


def _garbage(project: Project, state: dict[str, Any]) -> None:
    project.record.write_bytes(b"\0{" * 1000)


def _missing(project: Project, state: dict[str, Any]) -> None:
    project.record.unlink()


def _dead(project: Project, state: dict[str, Any]) -> None:
    pid = a_dead_pid()
    state = {**state, "pid": pid, "process": {**state["process"], "pid": pid}}
    project.record.write_text(json.dumps(state))


def _recycled(project: Project, state: dict[str, Any]) -> None:
    process = {**SystemHost().me(), "start": 1}
    project.record.write_text(json.dumps({**state, "pid": process["pid"], "process": process}))


def _superseded(project: Project, state: dict[str, Any]) -> None:
    me = SystemHost().me()
    project.record.write_text(json.dumps({**state, "pid": me["pid"], "process": me, "port": project.first + 1}))


def _of_another_schema(project: Project, state: dict[str, Any]) -> None:
    project.record.write_text(json.dumps({**state, "schema_version": 2}))


def _a_folder(project: Project, state: dict[str, Any]) -> None:
    project.record.unlink()
    project.record.mkdir()
    project.record.rmdir()


DAMAGE = [_garbage, _missing, _dead, _recycled, _superseded, _of_another_schema, _a_folder]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_record_that_names_no_daemon_is_put_right_and_the_daemon_that_runs_stays(
    project: Project, damage: Any
) -> None:
    state = project.daemon.ensure_running().state
    right = project.record.read_bytes()
    damage(project, json.loads(right))

    running = project.daemon.ensure_running()

    assert (running.how, running.state.pid) == ("adopted", state.pid)
    assert project.pids() == [state.pid]
    assert json.loads(project.record.read_bytes()) == json.loads(right)


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_record_that_names_no_daemon_keeps_none_from_starting(project: Project, damage: Any) -> None:
    state = project.daemon.ensure_running().state
    os.kill(state.pid, signal.SIGKILL)
    wait_until_gone(state.pid)
    damage(project, json.loads(project.record.read_bytes()))

    running = project.daemon.ensure_running()

    assert running.how == "started"
    assert project.pids() == [running.state.pid]
    assert ask(running.state.port)["pid"] == running.state.pid


def test_a_copied_project_has_a_daemon_of_its_own(project: Project, tmp_path: Path) -> None:
    state = project.daemon.ensure_running().state
    copy = Project(tmp_path / "copy")
    try:
        shutil.copytree(project.registry, copy.registry)

        running = copy.daemon.ensure_running()

        assert running.how == "started" and running.state.pid != state.pid
        assert is_there(state.pid)
    finally:
        copy.close()


# -- killed half-way --------------------------------------------------------------------------------------------------


def test_a_starter_that_is_killed_after_it_spawned_leaves_a_daemon_that_the_next_one_adopts(
    project: Project, nursery: Nursery
) -> None:
    starter = nursery.start(serving.ensuring, root=project.board.root)
    starter.receive()
    with held_back(project):
        starter.channel.send(go=True)
        pid = project.wait_for_place()
        starter.kill()
        starter.wait()

        other = nursery.start(serving.ensuring, root=project.board.root)
        other.receive()
        other.channel.send(go=True)
    answer = other.receive()

    assert (answer["pid"], answer["how"]) == (pid, "adopted"), answer
    assert project.pids() == [pid]
    assert json.loads(project.record.read_bytes())["pid"] == pid


def stopped_before_it_has_the_place(project: Project, nursery: Nursery) -> int:
    """A daemon that stands still on its way to its place, and whose starter was killed."""
    for _ in range(10):
        starter = nursery.start(serving.ensuring, root=project.board.root)
        starter.receive()
        starter.channel.send(go=True)
        pid: int = until(project.pids, "a daemon is spawned")[0]
        os.kill(pid, signal.SIGSTOP)
        until(lambda pid=pid: process_state(pid) == "T", "it stands still")
        starter.kill()
        starter.wait()
        if not (project.registry / "daemon.pid").exists():
            return pid
        os.kill(pid, signal.SIGKILL)  # it was faster
        wait_until_gone(pid)
        (project.registry / "daemon.pid").unlink()
    raise AssertionError("ten daemons were too fast for this test")


def test_of_two_daemons_that_start_at_once_one_gives_way(project: Project, nursery: Nursery) -> None:
    first = stopped_before_it_has_the_place(project, nursery)

    running = project.daemon.ensure_running()
    os.kill(first, signal.SIGCONT)
    wait_until_gone(first)

    assert running.state.pid != first
    assert project.pids() == [running.state.pid]
    assert project.daemon.ensure_running().state == running.state


def test_a_daemon_that_is_killed_in_its_place_before_it_is_ready_is_told_of_and_in_nobodys_way(
    project: Project, nursery: Nursery
) -> None:
    starter = nursery.start(serving.ensuring, root=project.board.root)
    starter.receive()
    with held_back(project):
        starter.channel.send(go=True)
        os.kill(project.wait_for_place(), signal.SIGKILL)
        answer = starter.receive()

    assert answer["code"] == "daemon-failed"
    assert "signal 9" in answer["message"]
    assert not project.record.exists()

    assert project.daemon.ensure_running().how == "started"


def test_a_daemon_that_is_told_to_stop_while_it_starts_gives_everything_back(
    project: Project, nursery: Nursery
) -> None:
    starter = nursery.start(serving.ensuring, root=project.board.root)
    starter.receive()
    with held_back(project):
        starter.channel.send(go=True)
        pid = project.wait_for_place()
        os.kill(pid, signal.SIGTERM)
    answer = starter.receive()

    assert answer["code"] == "daemon-failed" and "SIGTERM" in answer["message"], answer
    wait_until_gone(pid)
    assert not (project.registry / "daemon.pid").exists()
    assert not any(listens(port) for port in range(project.first, project.first + project.count))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_start_that_is_given_up_takes_its_daemon_back(project: Project, number: int) -> None:
    with held_back(project):
        command = [*_python(), "daemon", "start", "--root", project.board.root]
        starter = subprocess.Popen(command, env=project.environment, stderr=subprocess.PIPE, text=True)
        pid = project.wait_for_place()
        starter.send_signal(number)
        starter.communicate(timeout=PATIENCE_S)

    assert starter.returncode == 128 + number
    wait_until_gone(pid)
    assert not project.record.exists()


def test_a_daemon_that_is_not_ready_in_time_is_ended(project: Project) -> None:
    with held_back(project), pytest.raises(DaemonFailed, match="was not ready within 1 s"):
        project.with_limits(start_wait_s=1.0).ensure_running()

    assert project.pids() == []


def test_what_keeps_a_daemon_from_starting_is_told(project: Project) -> None:
    project.registry.mkdir(parents=True)
    (project.registry / "serve.token").write_text("0" * 64)
    (project.registry / "serve.token").chmod(0o644)

    with pytest.raises(DaemonFailed, match="can be read or written by others") as caught:
        project.daemon.ensure_running()

    assert caught.value.fields["cause"] == "store-forbidden"
    assert project.pids() == []


def test_without_the_extra_it_is_said_what_to_install(project: Project, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "shadow").mkdir()
    (tmp_path / "shadow" / "uvicorn.py").write_text("raise ImportError('no uvicorn here')\n")
    paths = f"{tmp_path / 'shadow'}:{serving.TREE / 'src'}"
    monkeypatch.setenv("PYTHONPATH", paths)

    said = (
        r"status 2 before it was ready: the daemon needs the extra `board` \(hint: pip install 'latchboard\[board\]'\)"
    )
    with pytest.raises(DaemonFailed, match=said):
        project.daemon.ensure_running()


def test_a_daemon_finds_its_modules_where_its_starter_found_them(
    project: Project, tmp_path: Path, monkeypatch: Any
) -> None:
    """A relative path for modules, and a folder of the project that looks like one of them."""
    monkeypatch.chdir(serving.TREE)
    monkeypatch.setenv("PYTHONPATH", f"src:{os.pathsep}")
    for name in ("latchboard", "asyncio", "uvicorn"):
        (project.root / name).mkdir()
        (project.root / name / "__init__.py").write_text("raise SystemExit('the project is no library')\n")

    assert project.daemon.ensure_running().how == "started"
    monkeypatch.chdir(project.root)
    monkeypatch.setenv("PYTHONPATH", str(serving.TREE / "src"))
    assert project.daemon.restart().state.port == project.first


# -- silent -----------------------------------------------------------------------------------------------------------


def test_a_daemon_that_stands_still_is_told_of_and_replaced_only_by_a_restart(project: Project) -> None:
    state = project.daemon.ensure_running().state
    os.kill(state.pid, signal.SIGSTOP)

    with pytest.raises(DaemonSilent) as caught:
        project.with_limits(start_wait_s=1.0).ensure_running()
    assert caught.value.fields["pid"] == state.pid
    assert project.daemon.look().condition == "silent"
    assert project.pids() == [state.pid]

    running = project.daemon.restart()
    assert not is_there(state.pid)
    assert (running.state.port, project.pids()) == (state.port, [running.state.pid])


# -- ports ------------------------------------------------------------------------------------------------------------


def test_ports_that_others_have_are_passed_over(project: Project) -> None:
    with ExitStack() as stack:
        for port in range(project.first, project.first + 3):
            stack.enter_context(socket.create_server(("127.0.0.1", port)))

        assert project.daemon.ensure_running().state.port == project.first + 3


def test_a_port_that_is_bound_and_not_listened_on_is_taken_as_well(project: Project) -> None:
    with closing(socket.socket()) as stranger:
        stranger.bind(("127.0.0.1", project.first))

        assert project.daemon.ensure_running().state.port == project.first + 1


def test_where_every_port_is_taken_that_is_said_and_nothing_is_left(project: Project) -> None:
    with ExitStack() as stack:
        for port in range(project.first, project.first + project.count):
            stack.enter_context(socket.create_server(("127.0.0.1", port)))

        with pytest.raises(DaemonFailed, match="cannot listen on any port from") as caught:
            project.daemon.ensure_running()
        foreground = project.command("serve")

    assert caught.value.fields["cause"] == NoFreePort.code
    assert foreground.returncode == 13
    assert not project.record.exists() and not (project.registry / "daemon.pid").exists()


# -- by hand ----------------------------------------------------------------------------------------------------------


def test_a_daemon_that_was_started_by_hand_is_adopted_wherever_it_listens(project: Project) -> None:
    port = serving.free_ports(1)
    daemon = project.serve("--port", str(port))
    assert daemon.stderr is not None and "latchboard: http" in daemon.stderr.readline()
    until(lambda: project.daemon.look().condition == "unrecorded", "it answers")
    assert project.command("daemon", "status").returncode == 0
    assert not project.record.exists(), "a daemon does not write the record"

    running = project.daemon.ensure_running()

    assert (running.how, running.state.pid, running.state.port) == ("adopted", daemon.pid, port)


def test_a_second_one_by_hand_is_refused_and_says_who_is_there(project: Project) -> None:
    state = project.daemon.ensure_running().state

    second = project.serve("--json")
    out, _ = second.communicate(timeout=PATIENCE_S)

    assert second.returncode == AlreadyRunning.exit_status
    assert json.loads(out)["pid"] == state.pid
    assert project.pids() == [state.pid]


def test_the_console_script_becomes_a_process_with_a_daemons_command_line(project: Project) -> None:
    """`latchboard serve` in a folder of the project, as people type it."""
    script = project.root / "latchboard"
    script.write_text("import sys\nfrom latchboard.surface.cli import main\nsys.exit(main())\n")
    command = [_python()[0], str(script), "serve", "--idle-s-max", "1000"]
    below = project.root / "below"
    below.mkdir()
    typed = subprocess.Popen(command, env=project.environment, cwd=below, stderr=subprocess.PIPE, text=True)
    project.started.append(typed)

    assert typed.stderr is not None and "latchboard: http" in typed.stderr.readline()

    assert project.pids() == [typed.pid]
    look = SystemHost().look(typed.pid)
    assert look is not None and look["argv"][-2:] == ["--idle-s-max", "1000"]
    typed.send_signal(signal.SIGINT)
    assert typed.wait(PATIENCE_S) == 0


# -- versions ---------------------------------------------------------------------------------------------------------


def test_a_daemon_of_an_older_version_is_replaced_on_its_port(project: Project) -> None:
    former = project.daemon.ensure_running().state

    running = project.with_limits(version="999.0").ensure_running()

    assert running.how == "replaced"
    assert not is_there(former.pid)
    assert (project.pids(), running.state.port) == ([running.state.pid], former.port)


def test_a_daemon_of_a_newer_version_stays(project: Project) -> None:
    former = project.daemon.ensure_running().state

    running = project.with_limits(version="0.0.1").ensure_running()

    assert (running.how, running.drift, running.state) == ("running", "newer", former)


def _python() -> list[str]:
    import sys

    return [sys.executable, "-m", "latchboard"]
