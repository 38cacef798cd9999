"""protocol/vectors/machine_lock/ and schema/machine_lock.json against rules/machine_lock.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from latchboard.clock import Now, parse_iso
from latchboard.rules import machine_lock as rules

PROTOCOL = Path(__file__).parents[2] / "protocol"
VECTORS = PROTOCOL / "vectors" / "machine_lock"
SCHEMA = json.loads((PROTOCOL / "schema" / "machine_lock.json").read_text(encoding="utf-8"))


def cases(name: str) -> list[Any]:
    vector = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    return [pytest.param(case["given"], case["expect"], id=case["description"]) for case in vector["cases"]]


def now(given: dict[str, Any]) -> Now:
    return Now(parse_iso(given["at"]), given["mono_s"], given["boot"])


@pytest.mark.parametrize(("given", "expect"), cases("records"))
def test_content_is_a_record_or_none(given: str, expect: dict[str, Any] | None) -> None:
    assert rules.parse_record(given.encode()) == expect
    if expect is not None:
        jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(given) | {"host": "", "version": ""})


@pytest.mark.parametrize(("given", "expect"), cases("ages"))
def test_age_of_a_record(given: dict[str, Any], expect: float | None) -> None:
    assert rules.age_s(given["record"], now(given["now"])) == (float("inf") if expect is None else expect)


@pytest.mark.parametrize(("given", "expect"), cases("force"))
def test_what_an_operator_may_clear(given: dict[str, Any], expect: bool) -> None:
    asked = {"is_held": given["is_held"], "only_if_age_s": given["only_if_age_s"]}

    assert rules.may_force(given["record"], now(given["now"]), **asked) is expect


@pytest.mark.parametrize(("given", "expect"), cases("exclusive"))
def test_what_a_deleted_file_means_for_the_holder(given: dict[str, Any], expect: bool) -> None:
    assert rules.is_exclusive(given["lock_file"], given["anchor"]) is expect


@pytest.mark.parametrize(("given", "expect"), cases("ceiling"))
def test_where_a_hold_stands(given: dict[str, Any], expect: str) -> None:
    assert rules.phase(given["held_s"], given["max_hold_s"]) == expect


@pytest.mark.parametrize(("given", "expect"), cases("foreign"))
def test_data_are_told_from_rubbish(given: str, expect: bool) -> None:
    assert rules.is_foreign(given.encode()) is expect


@pytest.mark.parametrize(("given", "expect"), cases("paths"))
def test_what_a_path_may_be(given: str, expect: bool) -> None:
    assert (rules.wrong_with_path(given.encode()) == "") is expect
