"""protocol/vectors/health/ against rules/serving.py: what a daemon says, its record, and what follows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from latchboard.codec import decode
from latchboard.rules import serving

PROTOCOL = Path(__file__).parents[2] / "protocol"


def cases(name: str) -> list[Any]:
    vector = json.loads((PROTOCOL / "vectors" / "health" / f"{name}.json").read_text(encoding="utf-8"))
    return [pytest.param(case["given"], case["expect"], id=case["description"]) for case in vector["cases"]]


@pytest.mark.parametrize(("given", "expect"), cases("answers"))
def test_answers(given: str, expect: dict[str, Any] | None) -> None:
    body = serving.body_of(given.encode())
    try:
        health = None if body is None else serving.parse_health(decode(body))
    except ValueError:
        health = None

    assert health == (None if expect is None else serving.Health(**expect))


@pytest.mark.parametrize(("given", "expect"), cases("records"))
def test_records(given: Any, expect: dict[str, Any] | None) -> None:
    state = serving.parse_state(given)

    assert (None if state is None else state.to_json()) == expect
    if expect is not None:
        jsonschema.validate(expect, json.loads((PROTOCOL / "schema" / "daemon_state.json").read_text(encoding="utf-8")))


@pytest.mark.parametrize(("given", "expect"), cases("ports"))
def test_ports(given: dict[str, Any], expect: list[int]) -> None:
    assert serving.ports(given["first"], given["end"], given["recorded"]) == expect


@pytest.mark.parametrize(("given", "expect"), cases("drift"))
def test_drift(given: dict[str, str], expect: dict[str, Any]) -> None:
    drift = serving.drift(given["running"], given["own"])

    assert {"drift": drift, "is_replaced": serving.is_replaced(drift)} == expect


@pytest.mark.parametrize(("given", "expect"), cases("retirement"))
def test_retirement(given: dict[str, Any], expect: str) -> None:
    assert serving.why_retire(**given) == expect
