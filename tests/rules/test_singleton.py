"""Rules of singletons that no vector shows: names, facts, words, counts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latchboard.errors import UsageError
from latchboard.rules import metrics
from latchboard.rules import singleton as rules

PROCESS = {"host": "h", "boot": "b", "pid_ns": 1, "pid": 42, "start": 7}
MOMENT = {"at": "2026-11-21T06:06:41.147992Z", "mono_s": 1.5, "boot": "b"}


def record(**changed: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "process": PROCESS,
        "started_at": None,
        "registered": MOMENT,
        "version": "1",
        "broke": None,
    }
    return rules.record("planner", 3, **{**given, **changed})


@pytest.mark.parametrize("name", ["a", "code_developer", "code-searcher", "A.b", "9", "x" * 100, "guard", "a.lock"])
def test_a_type_is_a_plain_name(name: str) -> None:
    assert rules.check_type(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "../x", "a/b", "/etc/passwd", "a\0b", "a b", " a", "a\n", "~a", "a~1", ".counts", "-a", "_a"),
        *("x" * 101, "x" * 100_000, "é", "\ud800", None, 7, b"a", ["a"]),
    ],
)
def test_what_could_lead_elsewhere_is_no_type(name: object) -> None:
    with pytest.raises(UsageError, match="an agent type is 1 to 100"):
        rules.check_type(name)


@given(st.text(max_size=20))
def test_every_type_has_files_of_its_own(name: str) -> None:
    try:
        rules.check_type(name)
    except UsageError:
        return

    assert "/" not in name
    assert rules.types_of([f"{name}.pid", rules.lock_name(name, 0), rules.lock_name(name, 7)]) == {name}
    assert rules.newest_epoch(name, [rules.lock_name(name, 7)]) == 7


def test_only_configured_types_are_restricted() -> None:
    assert rules.is_restricted("planner", ("planner", "builder"))
    assert rules.is_restricted("daemon", ())
    assert not rules.is_restricted("assistant", ("planner", "builder"))


def test_files_that_are_no_types_are_not_taken_for_one() -> None:
    assert rules.types_of(["guard", ".counts", ".gitignore", ".x.pid.0123.tmp", "readme.txt", "lock"]) == set()
    assert rules.types_of([".hidden.lock"]) == set()
    assert rules.types_of(["~5.lock", " a.pid", "a\nb.json", "\x1b[31m.pid", "a\udcff.lock"]) == set()
    assert rules.types_of(["a.pid", "a~2.lock", "a.b.json"]) == {"a", "a.b"}


def test_facts_come_from_the_record_and_else_from_the_pid_file() -> None:
    whole = rules.facts("planner", record(started_at=MOMENT["at"]), 7)
    poor = rules.facts("planner", None, 7)
    odd = rules.facts("planner", {**record(), "started_at": 5, "registered": [], "version": None, "process": 3}, None)

    assert (whole["pid"], whole["started_at"], whole["version"]) == (42, MOMENT["at"], "1")
    assert whole["process"] == PROCESS
    assert poor == {**dict.fromkeys(poor), "agent_type": "planner", "pid": 7, "is_here": False}
    assert odd == {**dict.fromkeys(odd), "agent_type": "planner", "is_here": False}


def test_a_break_is_kept_in_the_record() -> None:
    assert record(broke={"pid": 9})["broke"] == {"pid": 9}
    assert record()["broke"] is None


@pytest.mark.parametrize(
    ("pid", "verdict", "said"),
    [
        (None, None, "could not be read"),
        (42, "dead", "process 42 has ended"),
        (42, "recycled", "belongs to another"),
        (42, "live", "does not hold its lock"),
        (42, "unknowable", "does not hold its lock"),
        (42, None, "does not hold its lock"),
    ],
)
def test_why_an_entry_is_stale_is_said(pid: int | None, verdict: str | None, said: str) -> None:
    assert said in rules.why_stale(pid, verdict)


def test_a_refusal_names_everything_and_the_next_step() -> None:
    known = rules.facts("planner", record(started_at="2026-11-21T06:00:00.000000Z"), None)
    exc = rules.already_running({**known, "is_here": True})

    assert (exc.agent_type, exc.pid, exc.process) == ("planner", 42, PROCESS)
    assert exc.started_at == "2026-11-21T06:00:00.000000Z"
    assert exc.next_step == exc.hint
    for part in ("planner", "42", "2026-11-21T06:00:00", "kill 42", "singleton status planner", "force"):
        assert part in str(exc)


def test_nobody_is_told_to_end_a_number_of_another_container() -> None:
    exc = rules.already_running(rules.facts("planner", record(), None))

    assert "process 42 of another container or machine" in exc.message
    assert "kill" not in exc.hint


def test_a_refusal_without_an_entry_says_so() -> None:
    exc = rules.already_running(rules.facts("planner", None, None))

    assert (exc.pid, exc.started_at, exc.process) == (None, None, None)
    assert "does not name" in str(exc)
    assert "started" not in exc.message


def test_counts_grow_and_foreign_ones_are_left_out() -> None:
    once = rules.counted(None, "planner", ["enforced"])
    twice = rules.counted(once, "planner", ["stale_cleaned", "enforced"])
    other = rules.counted(twice, "builder", ["blocked"])

    assert other["planner"] == {"enforced": 2, "blocked": 0, "stale_cleaned": 1, "cleaned": 0}
    assert other["builder"]["blocked"] == 1
    damaged = {
        "planner": {"enforced": -1, "blocked": True, "cleaned": 2, "x": 3},
        "builder": [],
        "\ud800": {"cleaned": 1},
    }
    assert rules.check_counts(damaged) == {"planner": {"cleaned": 2}}
    assert rules.counted(damaged, "planner", ["cleaned"])["planner"]["cleaned"] == 3


def test_a_counter_is_called_total_and_a_gauge_is_not() -> None:
    assert metrics.family("a", "counter", "h", [({"t": "x"}, 1)]) == {
        "name": "latchboard_a_total",
        "type": "counter",
        "help": "h",
        "samples": [{"labels": {"t": "x"}, "value": 1}],
    }
    assert metrics.family("a", "gauge", "h", [])["name"] == "latchboard_a"


EVERYWHERE = {"format": 1, "agent_type": "a", "process": {"pid": 7, "presence": "p"}, "host_name": "build-2"}


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({}, ""),
        ({"agent_type": "b"}, "it is that of another type"),
        ({"process": {"pid": 7}}, "its process has no presence"),
        ({"process": {"pid": 7, "presence": ""}}, "its process has no presence"),
        ({"host_name": None}, "it does not name its machine"),
    ],
)
def test_a_record_of_all_machines_names_a_presence_and_a_machine(changed: dict[str, Any], why: str) -> None:
    assert rules.check_everywhere({**EVERYWHERE, **changed}, "a") == why


@pytest.mark.parametrize(("is_here", "end"), [(True, "end it (kill 7);"), (False, "find and end it there;")])
def test_a_refusal_names_the_machine_where_there_are_several(is_here: bool, end: str) -> None:
    known = {**rules.facts("a", EVERYWHERE, None), "is_here": is_here, "host_name": "build-2"}

    refusal = rules.already_running(known)

    assert refusal.message == "a is already running: process 7 on build-2"
    assert end in refusal.hint


def test_the_daemon_and_the_supervisor_are_one_on_each_machine_and_workers_are_not() -> None:
    assert [rules.is_of_machine(one) for one in ("daemon", "supervisor", "worker.builder.1", "code_developer")] == [
        True,
        True,
        False,
        False,
    ]


def test_why_a_record_of_all_machines_is_over_names_process_and_machine() -> None:
    assert rules.why_over({"pid": 7}, "build-3") == "process 7 on build-3 has ended, or was cut off from the store"
