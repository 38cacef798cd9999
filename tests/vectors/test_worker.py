"""protocol/vectors/worker/ and the tables of the chapter against the rules."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from latchboard.errors import UsageError
from latchboard.rules import worker as rules
from latchboard.rules import worker_role
from latchboard.rules.workqueue import NEXT

PROTOCOL = Path(__file__).parents[2] / "protocol"


def cases(name: str) -> list[Any]:
    vector = json.loads((PROTOCOL / "vectors" / "worker" / f"{name}.json").read_text(encoding="utf-8"))
    return [pytest.param(case["given"], case["expect"], id=case["description"]) for case in vector["cases"]]


def chapter_table(heading: str) -> dict[str, str]:
    """The first table below a heading, as first cell to second cell."""
    text = (PROTOCOL / "worker.md").read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2]
    rows = re.findall(r"^\| (.+?) \| (.+?) \|", text.partition("\n## ")[0], re.MULTILINE)
    return dict(rows)


@pytest.mark.parametrize(("given", "expect"), cases("states"))
def test_an_event_has_the_state_that_the_table_gives_or_is_a_mistake(given: dict[str, Any], expect: str | None) -> None:
    if expect is None:
        with pytest.raises(AssertionError, match=f"a worker that is {given['state']} cannot {given['event']}"):
            rules.step(given["state"], given["event"])
    else:
        assert rules.step(given["state"], given["event"]) == expect


def test_the_table_of_the_chapter_is_that_of_the_rules() -> None:
    written = {
        state: dict(one.split(": ") for one in events.split("; "))
        for state, events in chapter_table("States").items()
        if ": " in events and state != "state"
    }

    assert {**written, "ended": {}} == rules.NEXT


@pytest.mark.parametrize(("given", "expect"), cases("wakes"))
def test_what_wakes(given: dict[str, Any], expect: bool) -> None:
    assert rules.wakes(given["refusal"], given["role"], given["key"], given["value"]) is expect


@pytest.mark.parametrize(("given", "expect"), cases("reports"))
def test_what_is_reported(given: dict[str, Any], expect: dict[str, Any]) -> None:
    codes = {int(code): said for code, said in given["exit_codes"].items()}

    assert rules.report(rules.End(**given["end"]), codes).to_json() == expect


@pytest.mark.parametrize(("given", "expect"), cases("roles"))
def test_what_a_role_is(given: dict[str, Any], expect: Any) -> None:
    try:
        role = worker_role.Role("builder", given)
    except UsageError as exc:
        assert exc.code == expect
        assert exc.message.startswith("[roles.builder]: ")
        return

    found = {name: getattr(role, name) for name in worker_role.Role.__slots__ if name != "name"}
    assert {**found, "exit_codes": {str(code): said for code, said in role.exit_codes.items()}} == expect


def test_the_keys_of_the_chapter_are_those_of_the_rules() -> None:
    named = {key.strip("`") for key in chapter_table("Configuration") if key.startswith("`")}

    assert named == set(worker_role._KEYS)


def test_what_an_exit_status_may_mean_is_in_the_chapter() -> None:
    named = {key.strip("`") for key in chapter_table("Reports") if re.fullmatch(r"`\w+`", key)}
    by_name = {"complete", "fail", "dead", "release"}

    assert named == by_name
    assert set(rules.SAYABLE) - by_name == {to for events in NEXT.values() for to in events.get("complete", ())}
