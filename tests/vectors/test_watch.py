"""protocol/vectors/watch/ and the table of protocol/watch.md against rules/watch.py and schema/event.json."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from latchboard.rules.known import Known
from latchboard.rules.watch import events
from latchboard.store.port import Change

PROTOCOL = Path(__file__).parents[2] / "protocol"
VECTORS = json.loads((PROTOCOL / "vectors/watch/events.json").read_text(encoding="utf-8"))
SCHEMA = json.loads((PROTOCOL / "schema/event.json").read_text(encoding="utf-8"))


def commit(given: dict[str, Any]) -> list[Change]:
    head = (given["revision"], given["at"], given["who"])
    return [Change(*head, change["key"], change["value"]) for change in given["changes"]]


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["description"])
def test_a_commit_means_what_the_protocol_says(case: dict[str, Any]) -> None:
    known = Known()
    for before in case["given"]["before"]:
        events(known, commit(before))

    found = events(known, commit(case["given"]["commit"]))

    assert found == case["expect"]
    for event in found:
        jsonschema.Draft202012Validator(SCHEMA).validate(event)


def test_chapter_schema_and_vectors_have_the_same_events() -> None:
    chapter = (PROTOCOL / "watch.md").read_text(encoding="utf-8")
    table = chapter.partition("## Events")[2].partition("\n## ")[0]
    described = set(re.findall(r"^\| `([a-z_]+\.[a-z_]+)`", table, re.MULTILINE))
    shown = {event["event"] for case in VECTORS["cases"] for event in case["expect"]}

    assert described == set(SCHEMA["properties"]["event"]["enum"])
    assert described - shown == {"message.acked", "message.dead"}
