"""protocol/vectors/installation/ against rules/installation.py, rules/json_text.py and rules/probe.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from latchboard.rules import installation, json_text, probe
from latchboard.rules.client import Hook

VECTORS = Path(__file__).parents[2] / "protocol" / "vectors" / "installation"


def cases(name: str) -> list[Any]:
    vector = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    return [pytest.param(case["given"], case["expect"], id=case["description"]) for case in vector["cases"]]


@pytest.mark.parametrize(("given", "expect"), cases("texts"))
def test_where_a_change_goes_and_how_it_is_indented(given: dict[str, Any], expect: str) -> None:
    do = getattr(json_text, given["do"])
    rest = [] if given["do"] == "delete" else [given["value"]]

    assert do(given["text"], given["path"], *rest) == expect


@pytest.mark.parametrize(("given", "expect"), cases("ours"))
def test_whether_a_command_line_is_ours(given: dict[str, str], expect: bool) -> None:
    assert installation.is_our_command(given["command"], given["client"]) is expect


@pytest.mark.parametrize(("given", "expect"), cases("answers"))
def test_what_a_client_takes_an_answer_for(given: dict[str, Any], expect: str) -> None:
    hook = Hook(given["event"], says="edit")

    assert probe.verdict(given["client"], hook, given["status"], given["out"], given["err"])[0] == expect
