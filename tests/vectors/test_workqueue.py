"""protocol/vectors/workqueue/, the schemas and the table of the chapter against the rules."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from latchboard.clock import Now, parse_iso
from latchboard.errors import WrongStatus
from latchboard.rules import workqueue as rules
from latchboard.rules import workqueue_graph as graph
from latchboard.rules import workqueue_job as jobs
from latchboard.rules import workqueue_lease as leases
from latchboard.rules import workqueue_line as lines
from latchboard.rules import workqueue_repair as repairs

PROTOCOL = Path(__file__).parents[2] / "protocol"
CHECKS = {
    "job": lambda value: jobs.check_job(value, "a"),
    "active": leases.check_active,
    "limits": rules.check_limits,
    "index": lines.check_index,
    "sheet": lines.check_sheet,
}
SCHEMAS = {
    "job": "job",
    "active": "queue_active",
    "limits": "queue_limits",
    "index": "queue_line",
    "sheet": "queue_sheet",
}


def cases(name: str) -> list[Any]:
    vector = json.loads((PROTOCOL / "vectors" / "workqueue" / f"{name}.json").read_text(encoding="utf-8"))
    return [pytest.param(case["given"], case["expect"], id=case["description"]) for case in vector["cases"]]


def schema(kind: str) -> jsonschema.Draft202012Validator:
    text = (PROTOCOL / "schema" / f"{SCHEMAS[kind]}.json").read_text(encoding="utf-8")
    return jsonschema.Draft202012Validator(json.loads(text))


def happens(given: dict[str, Any]) -> Any:
    job, event, at, lease = given["job"], given["event"], given["at"], given.get("lease")
    if event == "claim":
        return jobs.claimed(job, given["token"], at)
    if event == "complete":
        return jobs.completed(job, lease, at=at, result=given.get("result"), to=given.get("to"))
    if event in ("fail", "expire"):
        final = given.get("is_final", False)
        return jobs.failed(job, lease, event, at=at, error=given["error"], ready_at=given["ready_at"], is_final=final)
    if event == "release":
        return jobs.released(job, lease, at=at)
    if event in ("block", "cancel"):
        return jobs.set_aside(job, lease, event, at=at, reason=given["reason"])
    return jobs.returned(job, event, at=at)


@pytest.mark.parametrize(("given", "expect"), cases("events"))
def test_an_event_changes_what_it_says_and_nothing_else(given: dict[str, Any], expect: Any) -> None:
    before = copy.deepcopy(given)

    try:
        after = happens(given)
    except WrongStatus as exc:
        assert exc.code == expect
    else:
        schema("job").validate(after)
        for attempt in after["attempts"]:
            attempt.pop("said", None)  # a digest of the writer's own kind
        assert {k: after.get(k) for k in {*after, *given["job"]} if after.get(k) != given["job"].get(k)} == {
            k: v for k, v in expect.items() if v != given["job"].get(k)
        }
        assert jobs.check_job(after, "a") == ""

    assert given == before


@pytest.mark.parametrize(("given", "expect"), cases("repeats"))
def test_what_is_asked_again_is_answered_again(given: dict[str, Any], expect: bool) -> None:
    schema("job").validate(given["job"])

    answer = jobs.repeated(given["job"], given["token"], given["said"])

    assert answer == ({**given["job"], "already": True} if expect else None)


@pytest.mark.parametrize(("given", "expect"), cases("places"))
def test_a_job_has_one_place(given: Any, expect: list[Any] | None) -> None:
    found = rules.place(given)

    assert (None if found is None else list(found)) == expect


@pytest.mark.parametrize(("given", "expect"), cases("leases"))
def test_a_live_lease_never_runs_out(given: dict[str, Any], expect: float) -> None:
    now = Now(parse_iso(given["now"]["at"]), given["now"]["mono_s"], given["now"]["boot"])

    assert leases.remaining_s(given["lease"], now) == expect


@pytest.mark.parametrize(("given", "expect"), cases("lines"))
def test_lines_are_in_order(given: dict[str, Any], expect: Any) -> None:
    before = copy.deepcopy(given)

    if "added" in given:
        assert list(lines.added(given["sheet"], given["added"])) == expect
    elif "removed" in given:
        assert lines.removed(given["sheet"], given["removed"]) == expect
    else:
        assert lines.sheet_of(given["starts"], given["sheet_of"]) == expect

    assert given == before


@pytest.mark.parametrize(("given", "expect"), cases("limits"))
def test_the_limit_that_is_reached_is_named(given: dict[str, Any], expect: Any) -> None:
    assert rules.full(given["limits"], given["active"], given["role"]) == expect


@pytest.mark.parametrize(("given", "expect"), cases("cycles"))
def test_a_circle_is_found_and_named(given: dict[str, Any], expect: list[str]) -> None:
    assert graph.cycle(given["starts"], lambda job: given["waits_for"][job]) == expect


@pytest.mark.parametrize(("given", "expect"), cases("repairs"))
def test_the_queue_is_made_what_its_jobs_say(given: dict[str, Any], expect: dict[str, Any]) -> None:
    before = copy.deepcopy(given)
    assert all(jobs.check_job(job, job_id) == "" for job_id, job in given["jobs"].items())

    made = repairs.plan(given["jobs"], given["records"], at=given["at"])

    assert made.faults == expect["faults"]
    assert {job_id: _changed(given["jobs"][job_id], job) for job_id, job in made.jobs.items()} == expect["jobs"]
    assert made.records == expect["records"]
    assert given == before
    records = {key: value for key, value in {**given["records"], **made.records}.items() if value is not None}
    assert repairs.plan({**given["jobs"], **made.jobs}, records, at=given["at"]).faults == {}


def _changed(before: dict[str, Any], after: Any) -> dict[str, Any]:
    return {key: value for key, value in after.items() if before.get(key) != value}


@pytest.mark.parametrize(("given", "expect"), cases("backoff"))
def test_the_pause_doubles_up_to_a_limit(given: dict[str, Any], expect: float) -> None:
    count = given.pop("attempts_count")

    assert jobs.backoff_s(count, **given) == expect


@pytest.mark.parametrize(("given", "expect"), cases("records"))
def test_a_record_can_be_read_or_is_malformed(given: dict[str, Any], expect: bool) -> None:
    assert (CHECKS[given["kind"]](given["value"]) == "") is expect
    if expect:
        schema(given["kind"]).validate(given["value"])


def test_the_table_of_the_chapter_is_the_table_of_the_rules() -> None:
    chapter = (PROTOCOL / "workqueue.md").read_text(encoding="utf-8")
    rows = [
        f"| {status} | " + "; ".join(f"{event}: {', '.join(to)}" for event, to in events.items()) + " |"
        for status, events in rules.NEXT.items()
        if events
    ]

    table = chapter.partition("| status | event: what it can become |\n| --- | --- |\n")[2]

    assert table.partition("\n\n")[0].splitlines() == rows


def test_the_picture_of_the_chapter_is_made_from_the_table() -> None:
    chapter = (PROTOCOL / "workqueue.md").read_text(encoding="utf-8")
    aside = {"blocked", "cancelled"}
    edges: dict[tuple[str, str], list[str]] = {}
    for status, events in rules.NEXT.items():
        for event, targets in events.items():
            for target in targets:
                if target != status and not aside & {status, target}:
                    edges.setdefault((status, target), []).append(event)

    picture = chapter.partition("```mermaid\nstateDiagram-v2\n")[2].partition("```")[0]

    assert sorted(picture.splitlines()) == sorted(f"    {a} --> {b}: {', '.join(e)}" for (a, b), e in edges.items())
