"""protocol/vectors/git/ and schema/bypass.json against rules/git.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from latchboard.rules import git as rules

PROTOCOL = Path(__file__).parents[2] / "protocol"
VECTORS = PROTOCOL / "vectors" / "git"
SCHEMA = json.loads((PROTOCOL / "schema" / "bypass.json").read_text(encoding="utf-8"))


def cases(name: str) -> list[Any]:
    vector = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    return [pytest.param(case["given"], case["expect"], id=case["description"]) for case in vector["cases"]]


@pytest.mark.parametrize(("given", "expect"), cases("own"))
def test_whose_a_hold_is(given: dict[str, str], expect: bool) -> None:
    assert rules.is_own(given["holder"], given["agent"]) is expect


@pytest.mark.parametrize(("given", "expect"), cases("moves"))
def test_where_a_line_of_a_reflog_leads(given: str, expect: list[str] | None) -> None:
    assert rules.moved(given.encode()) == (None if expect is None else tuple(expect))


@pytest.mark.parametrize(("given", "expect"), cases("pushes"))
def test_what_a_push_sends(given: str, expect: list[list[str]]) -> None:
    assert rules.pushed(given.encode()) == [tuple(pair) for pair in expect]


@pytest.mark.parametrize(("given", "expect"), cases("rewrites"))
def test_which_commit_became_which(given: str, expect: list[list[str]]) -> None:
    assert rules.rewritten(given.encode()) == [tuple(pair) for pair in expect]


@pytest.mark.parametrize(("given", "expect"), cases("settled"))
def test_what_of_a_bypass_still_lasts(given: dict[str, Any], expect: list[str]) -> None:
    live = [(name, token) for name, token in given["live"]]

    assert [one["agent"] for one in rules.unsettled(given["bypass"], live, given["agent"])] == expect


@pytest.mark.parametrize(("given", "expect"), cases("records"))
def test_what_is_the_record_of_a_bypass(given: Any, expect: bool) -> None:
    assert (rules.check_bypass(given) == "") is expect
    assert jsonschema.Draft202012Validator(SCHEMA).is_valid(given) or not expect
