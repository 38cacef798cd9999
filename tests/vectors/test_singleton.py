"""The vectors of singletons against the rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from latchboard.rules import metrics
from latchboard.rules import singleton as rules

PROTOCOL = Path(__file__).parents[2] / "protocol"


def cases(name: str) -> Any:
    vector = json.loads((PROTOCOL / "vectors" / "singleton" / f"{name}.json").read_text(encoding="utf-8"))
    return pytest.mark.parametrize("case", vector["cases"], ids=lambda case: case["description"])


@cases("pids")
def test_a_pid_file_says_a_number_or_nothing(case: dict[str, Any]) -> None:
    text = case["given"]["text"]

    assert rules.parse_pid(None if text is None else text.encode()) == case["expect"]


@cases("epochs")
def test_the_newest_lock_file_counts(case: dict[str, Any]) -> None:
    agent_type = case["given"]["agent_type"]

    epoch = rules.newest_epoch(agent_type, case["given"]["names"])

    assert {"epoch": epoch, "lock": rules.lock_name(agent_type, epoch)} == case["expect"]


@cases("decisions")
def test_the_lock_decides(case: dict[str, Any]) -> None:
    given = case["given"]

    assert rules.decide(**given) == case["expect"]["decision"]
    assert rules.state(is_free=given["is_free"], is_left=given["is_left"]) == case["expect"]["state"]


@cases("removals")
def test_an_entry_is_removed_by_its_own_process(case: dict[str, Any]) -> None:
    given = case["given"]

    may = rules.may_remove(given["record"], process=given["process"], epoch=given["epoch"], newest=given["newest"])

    assert may is case["expect"]


@cases("records")
def test_a_record_is_read_or_said_to_be_unreadable(case: dict[str, Any]) -> None:
    assert rules.check_record(case["given"], "planner") == case["expect"]
    if not case["expect"]:
        schema = json.loads((PROTOCOL / "schema" / "singleton.json").read_text(encoding="utf-8"))
        del schema["properties"]["broke"]["anyOf"][0]["properties"]["process"]  # the same as above it
        jsonschema.Draft202012Validator(schema).validate(case["given"])


@cases("running")
def test_who_holds_the_lock_is_named_and_nobody_else(case: dict[str, Any]) -> None:
    given = case["given"]

    assert rules.running(given["known"], given["verdict"], given["pids"]) == case["expect"]


@cases("metrics")
def test_figures_are_written_as_prometheus_reads_them(case: dict[str, Any]) -> None:
    assert metrics.exposition(case["given"]) == case["expect"]
