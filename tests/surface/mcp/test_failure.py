"""Failures: hints in the words of the tools, and until when, beside how long."""

from __future__ import annotations

import pytest

from latchboard.clock import Now
from latchboard.errors import (
    CoordinationError,
    LockHeld,
    NothingReady,
    NotReady,
    UsageError,
    WipLimitReached,
    WrongStatus,
)
from latchboard.surface.mcp import failure

NOW = Now(1795229464.0, 100.0, "boot")


@pytest.mark.parametrize(
    ("hint", "shown"),
    [
        ("look at `latchboard handoff list`", "look at `inbox`"),
        ("`latchboard inbox --agent b` shows what is there", "`inbox` shows what is there"),
        ("wait, or ask for it (`latchboard handoff request`)", "wait, or ask for it (`handoff_request`)"),
        ("make one with `latchboard init`", "make one with `latchboard init`"),
        ("set AGENT_ID or give --agent", "give a valid id as `agent`, or leave it out"),
        ("", ""),
    ],
)
def test_hints_name_tools_where_there_are_tools(hint: str, shown: str) -> None:
    assert failure.facts(UsageError("no", hint=hint), NOW)["hint"] == shown


@pytest.mark.parametrize("kind", [NothingReady, NotReady, WipLimitReached, WrongStatus])
def test_who_gets_no_job_is_sent_to_no_command_line(kind: type[CoordinationError]) -> None:
    assert "latchboard" not in failure.facts(kind("no", hint="`latchboard queue list`"), NOW)["hint"]


def test_who_is_in_the_way_until_when() -> None:
    holders = [{"agent": "a", "remaining_s": 60.5}, {"agent": "b", "waits": True}, {"agent": "c", "remaining_s": 1e300}]
    found = failure.facts(LockHeld("held", holders=holders), NOW)["holders"]

    assert [one.get("until") for one in found] == ["2026-11-21T02:52:04.500000Z", None, None]


def test_without_a_project_there_is_no_clock_and_nothing_is_added() -> None:
    assert failure.facts(CoordinationError("x", holders=[{"remaining_s": 1}]), None)["holders"] == [{"remaining_s": 1}]


def test_our_own_mistake_shows_nothing_of_its_inside() -> None:
    found = failure.internal(ValueError("a secret"))

    assert found["code"] == "internal"
    assert "secret" not in str(found)
