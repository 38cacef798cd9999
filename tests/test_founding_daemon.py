"""The founding names about daemons and containers, with a real daemon and with hostile surroundings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import latchboard
from latchboard.errors import UsageError
from latchboard.founding import is_daemon_running
from latchboard.host.system import SystemHost

pytestmark = pytest.mark.process
MAIN = "import sys; print('ready', flush=True); sys.stdin.read()\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    (root / ".git").mkdir(parents=True)
    (tmp_path / "path" / "latchboard").mkdir(parents=True)
    (tmp_path / "path" / "latchboard" / "__init__.py").touch()
    (tmp_path / "path" / "latchboard" / "__main__.py").write_text(MAIN)
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def daemon(project: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "latchboard", "serve", "--root", str(project)]
    folder = project.parent / "path"
    made = subprocess.Popen(
        command, cwd=folder, env={"PYTHONPATH": str(folder)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert made.stdout is not None
    assert made.stdout.readline() == "ready\n"
    yield made
    made.kill()
    made.communicate()


def test_daemon_is_found_and_is_this_projects_alone(project: Path, daemon: subprocess.Popen[str]) -> None:
    assert latchboard.is_daemon_running(daemon.pid, project)
    assert latchboard.verify_daemon_process(daemon.pid)
    assert latchboard.find_all_daemon_processes(project) == [daemon.pid]

    assert not latchboard.is_daemon_running(daemon.pid, project.parent)
    assert latchboard.find_all_daemon_processes(project.parent) == []


def test_record_with_another_start_time_is_believed_over_the_command_line(
    project: Path, daemon: subprocess.Popen[str]
) -> None:
    folder = project / "data" / ".agent_pids"
    folder.mkdir(parents=True)
    (folder / "daemon.pid").write_text(f"{daemon.pid}\n")
    (folder / "daemon.json").write_text(json.dumps({"process": {**SystemHost().me(), "pid": daemon.pid, "start": 1}}))

    assert not latchboard.verify_daemon_process(daemon.pid)


@pytest.mark.parametrize("pid", [0, -1, 1, 2**31, 10**30])
def test_nobody_is_a_daemon_that_is_none(project: Path, pid: int) -> None:
    assert latchboard.is_daemon_running(pid, project) is False
    assert latchboard.verify_daemon_process(pid) is False


def test_the_one_that_asks_is_no_daemon(project: Path) -> None:
    assert latchboard.is_daemon_running(os.getpid(), project) is False


def test_daemon_that_has_ended_runs_no_more(project: Path, daemon: subprocess.Popen[str]) -> None:
    daemon.kill()
    os.waitid(os.P_PID, daemon.pid, os.WEXITED | os.WNOWAIT)

    assert not latchboard.is_daemon_running(daemon.pid, project), "a zombie is dead"
    daemon.communicate()
    assert not latchboard.is_daemon_running(daemon.pid, project)


def test_container_is_told_with_its_indicators(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAUDECODE", "1")

    assert latchboard.is_container_environment()
    assert {"indicator": "CLAUDECODE=1", "points": 3, "is_hard": False} in latchboard.get_container_indicators()


def test_nothing_raises_where_there_is_no_folder_and_no_readable_setting(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "latchboard.toml").write_text("= no TOML")
    assert isinstance(latchboard.is_container_environment(), bool)

    gone = project / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    assert isinstance(latchboard.get_container_indicators(), list)


@pytest.mark.parametrize("path", ["a\0b", 5, b"x\xff", None])
def test_what_can_be_no_project_is_refused(path: object) -> None:
    with pytest.raises(UsageError):
        is_daemon_running(os.getpid(), path)  # type: ignore[arg-type]


def test_a_file_is_no_project(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(UsageError, match="is no folder"):
        is_daemon_running(os.getpid(), tmp_path / "file")
