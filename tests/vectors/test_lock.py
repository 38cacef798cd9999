"""protocol/vectors/lock/, the schemas of locks and the tables of protocol/lock.md against the rules and the records."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from latchboard import errors
from latchboard.clock import Now, parse_iso
from latchboard.errors import MalformedRecord, UsageError
from latchboard.locks.deadlock import find_cycle
from latchboard.locks.engaged import disengage, engage
from latchboard.locks.table import Table
from latchboard.rules import holding as holdings
from latchboard.rules import lease as leases
from latchboard.rules import lock as rules
from latchboard.rules import pattern, wildcard
from latchboard.settings import Settings
from latchboard.store.memory import MemoryStore
from latchboard.testing import ManualClock

PROTOCOL = Path(__file__).parents[2] / "protocol"
VECTORS = PROTOCOL / "vectors" / "lock"
CHAPTER = (PROTOCOL / "lock.md").read_text(encoding="utf-8")


def cases(name: str) -> list[Any]:
    vector = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    return [pytest.param(case["given"], case["expect"], id=case["description"]) for case in vector["cases"]]


def now(moment: dict[str, Any]) -> Now:
    return Now(parse_iso(moment["at"]), moment["mono_s"], moment["boot"])


def request(given: dict[str, Any], wants: list[Any]) -> rules.Request:
    asker = rules.Asker(given["agent"], given["bound"], given["process"], given["lease"])
    return rules.Request(given["request"], asker, wants, ttl_s=given["ttl_s"], reason=given["reason"])


def filled(given: dict[str, Any]) -> MemoryStore:
    """A store that has the given records."""
    store = MemoryStore(clock=ManualClock())
    store.transact(lambda view: [view.put(key, value) for key, value in given["records"].items()], who="vectors")
    return store


def table(view: Any, given: dict[str, Any], me: Any = None) -> Table:
    """The locks as a process sees them that gets the given verdicts; whoever has none lives."""

    def judge(process: Any) -> str:
        verdict: str = given["verdicts"].get(str(process.get("pid")), "live" if process else "unknowable")
        return verdict

    return Table(view, now(given["now"]), judge, me)


# -- vectors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("given", "expect"), cases("overlap"))
def test_overlap(given: dict[str, str], expect: bool) -> None:
    assert pattern.overlap(given["a"], given["b"]) is expect
    assert pattern.overlap(given["b"], given["a"]) is expect


@pytest.mark.parametrize(("given", "expect"), cases("globs"))
def test_a_glob_has_one_name(given: dict[str, str], expect: str | None) -> None:
    if expect is None:
        with pytest.raises(UsageError):
            pattern.normalise_glob(given["pattern"])
        return

    assert pattern.normalise_glob(given["pattern"]) == expect
    assert pattern.normalise_glob(expect) == expect


@pytest.mark.parametrize(("given", "expect"), cases("remaining"))
def test_how_long_a_hold_lasts(given: dict[str, Any], expect: float) -> None:
    assert leases.remaining_s(given["acquired"], given["ttl_s"], given["lease"], now(given["now"])) == expect


@pytest.mark.parametrize(("given", "expect"), cases("renewals"))
def test_what_a_renewal_writes(given: dict[str, Any], expect: dict[str, Any]) -> None:
    process = expect["process"]

    renewed = leases.renewed(
        given["lease"], now(given["now"]), given["ttl_s"], agent="a", bound="agent", process=process
    )

    assert renewed == expect
    assert is_valid("lease", expect)


@pytest.mark.parametrize(("given", "expect"), cases("entering"))
def test_what_entering_writes(given: dict[str, Any], expect: dict[str, Any]) -> None:
    asked = request(given["request"], [])

    entered = holdings.entered(given["holding"], asked, given["mode"], given["revision"], now(given["now"]))

    assert entered == expect
    assert holdings.check(expect) == ""


@pytest.mark.parametrize(("given", "expect"), cases("leaving"))
def test_what_leaving_leaves(given: dict[str, Any], expect: dict[str, Any] | None) -> None:
    held = given["holding"]

    assert holdings.check(held) == ""
    assert holdings.is_in(held, given["request"], given["bound"])
    assert holdings.left(held, given["request"], given["bound"], now(given["now"])) == expect


@pytest.mark.parametrize(("given", "expect"), cases("undoing"))
def test_what_undoing_takes_back(given: dict[str, Any], expect: dict[str, Any] | None) -> None:
    held = given["holding"]

    assert holdings.check(held) == ""
    assert holdings.undone(held, given["request"], now(given["now"])) == expect
    assert expect is None or is_valid("lock", {"name": "x", "holders": [expect], "waiters": []})


@pytest.mark.parametrize(("given", "expect"), cases("acquire"))
def test_who_is_in_the_way(given: dict[str, Any], expect: dict[str, Any] | str) -> None:
    store, asked = filled(given), request(given["request"], given["wants"])

    def look(view: Any) -> tuple[list[Any], list[Any]]:
        return table(view, given, asked.process).blockers(asked)

    if expect == "malformed":
        with pytest.raises(MalformedRecord):
            store.transact(look, who="vectors")
        return
    holders, waiters = store.transact(look, who="vectors").value

    assert {"in_the_way": [one["agent"] for one in [*holders, *waiters]]} == expect


@pytest.mark.parametrize(("given", "expect"), cases("advance"))
def test_who_is_granted_what_was_given_back(given: dict[str, Any], expect: dict[str, list[str]]) -> None:
    store = filled(given)

    def release(view: Any) -> list[str]:
        locks = table(view, given)
        for name in given["released"]:
            record = locks.record(name)
            assert record is not None
            locks.remove(name, record["holders"][0])
        locks.advance(given["released"])
        return [waiter["request"] for waiter in locks.granted]

    granted = store.transact(release, who="vectors").value

    after = store.read("locks/", "waiters/")
    assert granted == expect["granted"]
    assert [key[8:] for key, _ in after.scan("waiters/")] == expect["waiting"]
    assert [key[8:] for key, waiter in after.scan("waiters/") if waiter.get("is_next")] == expect.get("next", [])
    records = [record for _, record in after.scan("locks/")]
    assert {place["request"] for record in records for place in record["waiters"]} == set(expect["waiting"])
    assert set(expect["granted"]) <= {held["request"] for record in records for held in record["holders"]}


@pytest.mark.parametrize(("given", "expect"), cases("deadlock"))
def test_a_cycle_is_found_and_named(given: dict[str, Any], expect: list[str]) -> None:
    store, asked = filled(given), request(given["request"], given["wants"])
    engage(asked.agent)  # the asker's process knows that it holds something
    try:
        found = store.transact(lambda view: find_cycle(table(view, given, asked.process), asked), who="vectors").value
    finally:
        disengage(asked.agent)

    assert found == expect


def test_every_vector_has_its_test_here() -> None:
    source = Path(__file__).read_text(encoding="utf-8")

    for file in VECTORS.glob("*.json"):
        assert f'cases("{file.stem}")' in source, file.name
        assert f"vectors/lock/{file.name}" in CHAPTER


# -- the tables of the chapter ----------------------------------------------------------------------------------------


def rows(front: str) -> list[list[str]]:
    """The rows of the table of the chapter whose head begins so; cells without blanks around them."""
    (table,) = re.findall(rf"^{re.escape(front)}.*\n\|(?: --- \|)+\n((?:\|.*\n)+)", CHAPTER, re.MULTILINE)
    return [[cell.strip() for cell in line[1:-1].split(" | ")] for line in table.splitlines()]


def test_the_table_of_states_is_the_table_of_the_rules() -> None:
    written = {state: dict(event.split(": ") for event in events.split("; ")) for state, events in rows("| state |")}

    assert written == {state: events for state, events in rules.NEXT.items() if events}


def test_codes_and_statuses_are_those_of_the_errors() -> None:
    known_codes = {kind.code: kind.exit_status for kind in vars(errors).values() if isinstance(kind, type)}

    for _, codes, status in rows("| what | code | status |"):
        for code in re.findall(r"`([\w-]+)`", codes):
            assert known_codes[code] == int(status), code


def test_numbers_of_the_chapter_are_those_of_the_code() -> None:
    settings = Settings()
    text = " ".join(CHAPTER.split())

    assert f"{settings.lease_ttl_s:.0f} s when none is given (setting `lease_ttl_s`)" in text
    assert f"{settings.renew_s_min:.0f} s (setting `renew_s_min`)" in text
    assert f"{settings.handoff_wait_s:.0f} s when none is given (setting `handoff_wait_s`)" in text
    assert f"at most {settings.names_count_max} (setting `names_count_max`)" in text
    assert settings.wait_poll_s == 1.0
    assert "a second has passed (setting `wait_poll_s`)" in text
    assert settings.agent_forget_s == 7 * 86400.0
    assert "older than a week (setting `agent_forget_s`)" in text
    assert f"More than {leases.CHAINS_COUNT_MAX}: delete the second" in text
    assert f"1 to {holdings.WORD_CHARS_MAX} bytes" in text
    assert f"at most {holdings.CLAIMS_COUNT_MAX}; of more, `{holdings.SETTLED}` and the last one" in text
    assert f"more than {wildcard.WALK_STEPS_MAX:,} steps" in text
    assert f"more than {wildcard.PATTERN_BYTES_MAX} bytes" in text


def test_the_chapter_can_be_read_at_one_sitting() -> None:
    assert len(CHAPTER.splitlines()) <= 420


# -- schemas ----------------------------------------------------------------------------------------------------------


def schema(name: str) -> Any:
    return json.loads((PROTOCOL / "schema" / f"{name}.json").read_text(encoding="utf-8"))


def is_valid(name: str, value: Any) -> bool:
    return bool(Draft202012Validator(schema(name)).is_valid(value))


def fields(part: Any) -> set[str]:
    """Every field that a schema knows of, but those of a moment."""
    if isinstance(part, list):
        return {field for one in part for field in fields(one)}
    if not isinstance(part, dict):
        return set()
    inside = {field for name, one in part.items() if name != "moment" for field in fields(one)}
    properties = part.get("properties", {})
    return inside | (set(properties) if isinstance(properties, dict) else set())


@pytest.mark.parametrize("name", ["lock", "lease", "waiter", "wide"])
def test_the_chapter_names_every_field_of_its_schemas(name: str) -> None:
    section = CHAPTER.split("## Records")[1].split("## ")[0]

    missing = {field for field in fields(schema(name)) if not re.search(rf"`[^`]*\b{field}\b[^`]*`", section)}

    assert not missing
    assert f"[{name}.json](schema/{name}.json)" in section


def test_the_tables_of_fields_are_those_of_the_schemas() -> None:
    holding = schema("lock")["$defs"]["holding"]
    named = {row[0].strip("`"): row for row in rows("| field of a holding |")}

    assert set(named) == set(holding["properties"])
    assert {name for name, row in named.items() if "Left out" not in " ".join(row)} == set(holding["required"])
    places = {name for row in rows("| field of a place |") for name in re.findall(r"`(\w+)`", row[0])}
    assert places == set(schema("lock")["$defs"]["place"]["properties"])


def test_the_example_of_the_chapter_is_a_record() -> None:
    (text,) = re.findall(r'^    (\{"key":"locks/(?:.*\n)+?)\n', CHAPTER, re.MULTILINE)
    record = json.loads(text)

    assert is_valid("record_file", record)
    assert is_valid("lock", record)
    assert rules.check_record(record) == ""
    assert record["key"] == f"locks/{record['name']}"


@pytest.mark.parametrize(("given", "expect"), cases("acquire") + cases("advance") + cases("deadlock"))
def test_whatever_the_rules_read_fits_the_schema(given: dict[str, Any], expect: Any) -> None:
    if expect == "malformed":
        return
    collections = {"locks": "lock", "leases": "lease", "waiters": "waiter", "wide": "wide"}

    for key, value in given["records"].items():
        assert is_valid(collections[key.partition("/")[0]], value), key
