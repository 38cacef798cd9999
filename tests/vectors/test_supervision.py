"""protocol/vectors/supervision/ against rules/supervision.py: records, pauses, command lines; the table."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from latchboard.rules import daemon
from latchboard.rules import supervision as rules

PROTOCOL = Path(__file__).parents[2] / "protocol"


def cases(name: str) -> list[Any]:
    vector = json.loads((PROTOCOL / "vectors" / "supervision" / f"{name}.json").read_text(encoding="utf-8"))
    return [pytest.param(case["given"], case["expect"], id=case["description"]) for case in vector["cases"]]


@pytest.mark.parametrize(("given", "expect"), cases("records"))
def test_records(given: dict[str, Any], expect: dict[str, Any] | None) -> None:
    if given["record"] == "wanted":
        wanted = rules.parse_wanted(given["value"])
        found = None if wanted is None else wanted.to_json()
    else:
        observed = rules.parse_observed(given["value"])
        found = None if observed is None else observed.to_json("0.1.0")

    assert found == expect
    if expect is not None:
        schema = (PROTOCOL / "schema" / f"agents_{given['record']}.json").read_text(encoding="utf-8")
        jsonschema.validate(expect, json.loads(schema))


@pytest.mark.parametrize(("given", "expect"), cases("backoff"))
def test_pauses(given: dict[str, Any], expect: float) -> None:
    assert rules.Pace(given["first_s"], given["max_s"], 60.0).pause_s(given["in_a_row"]) == expect


@pytest.mark.parametrize(("given", "expect"), cases("command_lines"))
def test_command_lines(given: list[str], expect: dict[str, Any] | None) -> None:
    root, named = daemon.root_in(given, verb=rules.WORKER), rules.worker_in(given)

    found = None if root is None or named is None else {"root": root, "role": named[0], "number": named[1]}
    assert found == expect


def test_the_chapter_has_the_table_and_its_picture() -> None:
    text = (PROTOCOL / "supervision.md").read_text(encoding="utf-8")
    table = {tuple(row) for row in re.findall(r"^\| `(\w+)` \| ([\w ]+) \| `(\w+)` \|$", text, re.MULTILINE)}
    picture = {
        (one, event, to) for one, to, event in re.findall(r"^    (\w+) --> (\w+): ([\w ]+)$", text, re.MULTILINE)
    }

    assert table == picture == {(one, event, to) for one, then in rules.NEXT.items() for event, to in then.items()}
