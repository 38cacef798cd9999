"""protocol/vectors/board/ and the fields of protocol/board.md against rules/board.py and schema/status_board.json."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import referencing

from latchboard.clock import Now
from latchboard.rules import board, replay
from tests.vectors.test_watch import commit

PROTOCOL = Path(__file__).parents[2] / "protocol"
REGISTRY = referencing.Registry().with_resources(
    (path.name, referencing.Resource.from_contents(json.loads(path.read_text(encoding="utf-8"))))
    for path in (PROTOCOL / "schema").glob("*.json")
)


def cases(name: str) -> list[Any]:
    vector = json.loads((PROTOCOL / "vectors/board" / f"{name}.json").read_text(encoding="utf-8"))
    return [pytest.param(case["given"], case["expect"], id=case["description"]) for case in vector["cases"]]


@pytest.mark.parametrize(("given", "expect"), cases("fold"))
def test_the_board_after_some_commits(given: dict[str, Any], expect: dict[str, Any]) -> None:
    state = board.State(given["history_count"])
    for one in given["commits"]:
        board.apply(state, commit(one))

    def judge(process: dict[str, Any]) -> str:
        return "dead" if process["pid"] in given["gone_pids"] else "live"

    found = board.render(state, Now(**given["now"]), judge=judge, quiet_s=given["quiet_s"])

    assert {field: found[field] for field in expect} == expect
    jsonschema.Draft202012Validator({"$ref": "status_board.json"}, registry=REGISTRY).validate(found)


@pytest.mark.parametrize(("given", "expect"), cases("head"))
def test_the_beginning_of_a_board_is_a_hint_or_nothing(given: dict[str, Any], expect: int | None) -> None:
    assert board.read_head(given["data"].encode()) == expect


@pytest.mark.parametrize(("given", "expect"), cases("replay"))
def test_the_time_at_which_a_board_of_the_past_is_shown(given: list[Any], expect: dict[str, Any] | None) -> None:
    now = replay.time_of([change for one in given for change in commit(one)])

    assert now == (None if expect is None else Now(**expect))


def test_chapter_and_schema_have_the_same_fields() -> None:
    chapter = (PROTOCOL / "board.md").read_text(encoding="utf-8")
    table = chapter.partition("## The file")[2].partition("\n## ")[0]
    schema = json.loads((PROTOCOL / "schema/status_board.json").read_text(encoding="utf-8"))

    assert set(re.findall(r"^\| `([a-z_]+)`", table, re.MULTILINE)) == set(schema["properties"])
