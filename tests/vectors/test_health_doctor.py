"""The vectors of the doctor against the rules."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from latchboard.rules import doctor, serving
from latchboard.rules.finding import CATALOGUE, Finding

PROTOCOL = Path(__file__).parents[2] / "protocol"


def vector(name: str) -> Any:
    return json.loads((PROTOCOL / "vectors" / "health" / f"{name}.json").read_text(encoding="utf-8"))


def cases(name: str) -> Any:
    return pytest.mark.parametrize("case", vector(name)["cases"], ids=lambda case: case["description"])


@cases("daemon")
def test_what_is_recorded_is_compared_with_what_is_there(case: dict[str, Any]) -> None:
    given = case["given"]
    record, answer = given["record"], given["answer"]
    state = None if record is None else serving.parse_state(record)
    health = None if answer is None else serving.parse_health(answer)
    assert (state is None) == (record is None)
    assert (health is None) == (answer is None)

    found = doctor.daemon(
        state,
        health,
        given["standing"],
        has_record=given["has_record"],
        registered_pid=given["registered_pid"],
        own_version=given["own_version"],
    )

    assert [list(one) for one in found] == case["expect"]


@cases("findings")
def test_a_finding_is_worth_what_the_chapter_says(case: dict[str, Any]) -> None:
    finding = Finding(case["given"]["id"], "text", "true", section="daemon")

    assert finding.severity == case["expect"]["severity"]
    assert finding.section == (case["expect"]["section"] or "daemon")


def test_the_chapter_the_vectors_and_the_catalogue_have_the_same_findings() -> None:
    text = (PROTOCOL / "health.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (F-\d+) \| (\w+) \| ([\w ]+) \|", text, re.MULTILINE)

    said = {row[0]: (row[1], None if row[2] == "that of the check" else row[2]) for row in rows}

    assert said == {name: (severity, section) for name, (severity, section, _) in CATALOGUE.items()}
    page = (PROTOCOL.parent / "docs" / "doctor.md").read_text(encoding="utf-8")
    assert [name for name in CATALOGUE if name not in page] == []
    assert [case["given"]["id"] for case in vector("findings")["cases"]] == list(CATALOGUE)
