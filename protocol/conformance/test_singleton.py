"""singleton.md: one process per agent type; its registry; metrics."""

from __future__ import annotations

import shlex
import stat
from pathlib import Path

import pytest

from .conftest import Subject

pytestmark = pytest.mark.singleton

TYPE = "code_developer"


def inside(subject: Subject, *words: str) -> tuple[str, ...]:
    """A command line that runs the subject itself, as COMMAND of another verb."""
    return (*subject.command, *words)


def registry(subject: Subject) -> Path:
    return subject.project / "data" / ".agent_pids"


def state(subject: Subject, agent_type: str = TYPE) -> str:
    (one,) = subject.ask("singleton", "status", agent_type).json["singletons"]
    return str(one["state"])


def test_a_second_one_is_refused_and_told_who_runs(subject: Subject) -> None:
    nested = shlex.join(inside(subject, "singleton", "run", TYPE, "--json", "--", "echo", "twice"))

    answer = subject("singleton", "run", TYPE, "--", "sh", "-c", f"{nested}; echo status=$?")

    assert (answer.status, answer.out) == (0, "status=10\n"), answer
    assert '"already-running"' in answer.err
    assert state(subject) == "free"


def test_another_type_and_a_free_one_are_not_in_the_way(subject: Subject) -> None:
    nested = shlex.join(inside(subject, "singleton", "run", "architect", "--", "echo", "beside"))
    free = shlex.join(inside(subject, "singleton", "run", "assistant", "--", "echo", "free"))

    answer = subject("singleton", "run", TYPE, "--", "sh", "-c", f"{nested}; {free}")

    assert answer.out == "beside\nfree\n", answer
    assert not [path for path in registry(subject).iterdir() if path.name.startswith("assistant")]


def test_the_pid_file_is_digits_while_it_runs_and_gone_afterwards(subject: Subject) -> None:
    path = registry(subject) / f"{TYPE}.pid"

    answer = subject("singleton", "run", TYPE, "--", "cat", str(path))

    assert answer.out.endswith("\n") and answer.out[:-1].isdecimal(), answer
    assert not path.exists()
    assert stat.S_ISREG((registry(subject) / f"{TYPE}.lock").stat().st_mode), "a lock file is never removed"


@pytest.mark.parametrize("content", ["1\n", "", "no pid", "-5\n", "9" * 100_000], ids=lambda c: c[:8] or "empty")
def test_what_is_left_is_in_nobodys_way(subject: Subject, content: str) -> None:
    registry(subject).mkdir(parents=True)
    (registry(subject) / f"{TYPE}.pid").write_text(content)

    assert state(subject) == "stale"
    assert subject("singleton", "run", TYPE, "--", "echo", "it runs").out == "it runs\n"
    assert state(subject) == "free"


def test_status_names_a_type_that_runs_by_10(subject: Subject) -> None:
    nested = shlex.join(inside(subject, "singleton", "status", TYPE))

    assert subject("singleton", "run", TYPE, "--", "sh", "-c", f"{nested} >/dev/null; echo $?").out == "10\n"
    assert subject("singleton", "status", TYPE).status == 0


def test_release_needs_force_while_it_runs(subject: Subject) -> None:
    plain = shlex.join(inside(subject, "singleton", "release", TYPE))
    force = shlex.join(inside(subject, "singleton", "release", TYPE, "--force"))
    again = shlex.join(inside(subject, "singleton", "run", TYPE, "--", "true"))
    words = f"{plain} >/dev/null 2>&1; echo $?; {force} >/dev/null; echo $?; {again}; echo $?"

    answer = subject("singleton", "run", TYPE, "--", "sh", "-c", words)

    assert answer.out == "10\n0\n0\n"
    assert answer.status == 11, "its registration was ended"


@pytest.mark.parametrize("name", ["../x", "a/b", "..", "", "a~1"])
def test_what_could_lead_elsewhere_is_no_type(subject: Subject, name: str) -> None:
    answer = subject("singleton", "release", name, "--json")

    assert (answer.status, answer.code) == (2, "usage")
    assert not registry(subject).exists()


def test_a_link_in_the_place_of_a_lock_file_is_not_followed(subject: Subject) -> None:
    registry(subject).mkdir(parents=True)
    (registry(subject) / f"{TYPE}.lock").symlink_to(subject.project / "elsewhere")

    answer = subject("singleton", "run", TYPE, "--", "echo", "it runs")

    assert (answer.status, answer.out) == (13, "")
    assert not (subject.project / "elsewhere").exists()


def test_metrics_count_what_happened(subject: Subject) -> None:
    subject("singleton", "run", TYPE, "--", "true")

    lines = subject("metrics").out.splitlines()

    assert f'latchboard_singleton_enforced_total{{agent_type="{TYPE}"}} 1' in lines
    assert f'latchboard_singleton_cleaned_total{{agent_type="{TYPE}"}} 1' in lines
    assert "# TYPE latchboard_singleton_enforced_total counter" in lines
