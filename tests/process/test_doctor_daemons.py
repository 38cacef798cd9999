"""What the doctor says of daemons, with real ones: ended, silent, of another version, unrecorded, too many (K25)."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from latchboard import __version__
from latchboard.compose import doctoring
from latchboard.doctor import DoctorReport
from tests.process.nursery import process_state, until
from tests.process.serving import Project, is_there, wait_until_gone
from tests.process.ward import UNHURRIED_S

pytestmark = pytest.mark.process

OLD = "0.0.1"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.setenv("HOME", str(tmp_path))
    made = Project(tmp_path, tick_s=1000.0)  # one that is too many must not retire before it is found
    yield made
    made.close()


def look(project: Project) -> DoctorReport:
    return doctoring.report(project.board, deadline_s=UNHURRIED_S)


def mend(project: Project, remedy: str) -> subprocess.CompletedProcess[str]:
    """The remedy, as it is pasted into a shell on whose PATH `latchboard` is this one."""
    command = remedy.replace("latchboard ", f"{sys.executable} -m latchboard ", 1)
    words = ["bash", "-c", command]
    return subprocess.run(words, env=project.environment, capture_output=True, text=True, timeout=60, check=False)


def test_a_healthy_daemon_is_no_finding_and_is_not_touched(project: Project) -> None:
    state = project.daemon.ensure_running().state
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in project.registry.iterdir()}

    report = look(project)

    assert report.findings == []
    (standing,) = [one for one in report.standings if one.section == "daemon"]
    assert (standing.facts["pid"], standing.facts["port"], standing.facts["answered"]) == (
        state.pid,
        state.port,
        __version__,
    )
    after = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in project.registry.iterdir()}
    assert {path.name for path in before if before[path] != after.get(path)} <= {"serve.log"}
    assert is_there(state.pid)


def test_a_daemon_that_ended_is_started_again(project: Project) -> None:
    state = project.daemon.ensure_running().state
    os.kill(state.pid, signal.SIGKILL)
    wait_until_gone(state.pid)

    (found,) = look(project).findings

    assert (found.id, found.about["pid"]) == ("F-005", state.pid)
    assert mend(project, found.remedy).returncode == 0
    assert look(project).findings == []


def test_a_daemon_that_says_nothing_is_drift(project: Project) -> None:
    state = project.daemon.ensure_running().state
    os.kill(state.pid, signal.SIGSTOP)
    until(lambda: process_state(state.pid) == "T", "it stands still")

    report = look(project)

    (found,) = report.findings
    assert (found.id, found.about["why"]) == ("F-006", "silent")
    assert report.took_s < UNHURRIED_S / 2, "it is not waited for"
    os.kill(state.pid, signal.SIGCONT)


def test_a_record_that_cannot_be_read_is_drift(project: Project) -> None:
    project.daemon.ensure_running()
    project.record.write_bytes(b"\0{" * 1000)

    (found,) = look(project).findings

    assert (found.id, found.about["why"]) == ("F-006", "unreadable")
    assert mend(project, found.remedy).returncode == 0
    assert look(project).findings == []


def test_a_daemon_that_no_record_names_is_drift(project: Project) -> None:
    project.daemon.ensure_running()
    project.record.unlink()

    (found,) = look(project).findings

    assert (found.id, found.about["why"]) == ("F-006", "no-record")
    assert mend(project, found.remedy).returncode == 0
    assert look(project).findings == []


def test_a_daemon_of_another_version_is_replaced(project: Project, tmp_path: Path) -> None:
    copy = tmp_path / "old" / "latchboard"
    source = Path(project.environment["PYTHONPATH"]) / "latchboard"
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
    first = copy / "__init__.py"
    text = re.sub(r'__version__ = ".*"', f'__version__ = "{OLD}"', first.read_text(encoding="utf-8"))
    first.write_text(text, encoding="utf-8")
    environment = {**project.environment, "PYTHONPATH": str(copy.parent)}
    command = [sys.executable, "-m", "latchboard", "daemon", "start", "--root", str(project.board.root)]
    subprocess.run(command, env=environment, capture_output=True, timeout=60, check=True)

    (found,) = look(project).findings

    assert found.id == "F-004"
    assert f"the daemon is version {OLD}, this program {__version__}" == found.text
    assert mend(project, found.remedy).returncode == 0
    assert look(project).findings == []


def test_a_daemon_too_many_is_found_and_swept_and_the_recorded_one_stays(project: Project) -> None:
    orphan = project.daemon.ensure_running().state
    shutil.rmtree(project.registry)
    own = project.daemon.ensure_running().state
    assert own.pid != orphan.pid

    report = look(project)

    (found,) = report.findings
    assert (found.id, [one["pid"] for one in found.about["orphans"]]) == ("F-002", [orphan.pid])
    assert (report.exit_status, is_there(orphan.pid), is_there(own.pid)) == (0, True, True)
    assert mend(project, found.remedy).returncode in (0, 3)
    wait_until_gone(orphan.pid)
    assert look(project).findings == []
    assert is_there(own.pid)
