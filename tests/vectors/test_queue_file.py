"""protocol/vectors/queue_file/ against the rules, and the schema of the file against what is written."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from latchboard.errors import CoordinationError
from latchboard.rules import queue_file as files
from latchboard.rules import queue_file_merge as merging
from latchboard.rules import queue_file_plan as plans

PROTOCOL = Path(__file__).parents[2] / "protocol"
AT = "2026-11-21T06:00:00.000000Z"
LATER = "2026-11-21T07:00:00.000000Z"


def cases(name: str) -> list[Any]:
    vector = json.loads((PROTOCOL / "vectors" / "queue_file" / f"{name}.json").read_text(encoding="utf-8"))
    return [pytest.param(case["given"], case["expect"], id=case["description"]) for case in vector["cases"]]


SCHEMA = jsonschema.Draft202012Validator(
    json.loads((PROTOCOL / "schema" / "queue_file.json").read_text(encoding="utf-8"))
)


def tasks(raws: list[Any]) -> dict[str, Any]:
    return {raw["id"]: files.task(raw, list) for raw in raws}


def made(raw: Any, is_claimed: bool = False) -> Any:
    return files.made(files.task(raw, list), number=1, by="lead", at=AT, is_claimed=is_claimed)


@pytest.mark.parametrize(("given", "expect"), cases("files"))
def test_text_is_a_queue_file_or_is_refused(given: str, expect: bool) -> None:
    try:
        document = files.read(given.encode())
    except CoordinationError:
        assert not expect
    else:
        assert expect
        assert files.rest_of({**document, "x": 1}) == {"x": 1}


@pytest.mark.parametrize(("given", "expect"), cases("tasks"))
def test_a_task_has_every_field_or_can_be_no_job(given: Any, expect: Any) -> None:
    before = copy.deepcopy(given)
    try:
        found = files.task(given, list)
    except CoordinationError:
        assert expect is None
    else:
        assert {name: found[name] for name in expect} == expect
        SCHEMA.validate({"tasks": [given]})

    assert given == before


@pytest.mark.parametrize(("given", "expect"), cases("jobs"))
def test_a_task_becomes_a_job_and_is_the_same_task_again(given: Any, expect: Any) -> None:
    job = made(given["task"], given["is_claimed"])

    assert {name: job.get(name) for name in expect} == expect
    if given["is_claimed"]:
        return
    again = files.task_of(job, None)
    wanted = files.settled(files.task(given["task"], list), again, is_live=False)
    assert again == wanted
    SCHEMA.validate({"tasks": [files.written(None, None, again)]})


@pytest.mark.parametrize(("given", "expect"), cases("settled"))
def test_a_task_that_was_never_written_is_compared_as_its_job_would_be(given: Any, expect: Any) -> None:
    now = files.task(given["job"], list) if given["job"] else None

    found = files.settled(files.task(given["task"], list), now, is_live=given["is_live"])

    assert {name: found[name] for name in expect} == expect


def base(given: Any) -> Any:
    hidden = dict.fromkeys(given["hidden"])
    return {"tasks": {**tasks(given["tasks"]), **hidden}, "open": given["open"], "limits": given["limits"]}


@pytest.mark.parametrize(("given", "expect"), cases("merges"))
def test_what_one_side_changed_the_other_gets_and_the_rest_is_told(given: Any, expect: Any) -> None:
    bases = [base(one) for one in given["bases"]]
    sides = tasks(given["theirs"]), tasks(given["ours"])
    before = copy.deepcopy((bases, sides))
    try:
        result = merging.merged(bases, *sides, prefer=given["prefer"], says=tuple(given["limits"]))
    except CoordinationError:
        assert expect == "lost"
        return

    edits = {i: {k: None if v is merging.ABSENT else v for k, v in one.items()} for i, one in result.edits.items()}
    found = {"new": [*result.new], "edits": edits, "gone": result.gone, "hidden": result.hidden}
    found |= {"limits": result.limits}
    found |= {"conflicts": [[one["task"], one["field"], one["why"]] for one in result.conflicts]}
    assert {name: value for name, value in found.items() if value} == expect
    assert (bases, sides) == before
    assert result.is_settled() is not any(name in expect for name in ("new", "edits", "gone", "limits"))


@pytest.mark.parametrize(("given", "expect"), cases("merges"))
def test_a_conflict_stays_one_until_it_is_settled(given: Any, expect: Any) -> None:
    """What is written after a merge, merged again: nothing but the same conflicts."""
    if expect == "lost" or {*expect} - {"conflicts", "hidden"}:
        return  # the queue changes first
    bases, ours, limits = [base(one) for one in given["bases"]], tasks(given["ours"]), given["limits"]
    theirs = tasks(given["theirs"])
    result = merging.merged(bases, theirs, ours, prefer=given["prefer"], says=tuple(limits))

    after = merging.base(result, bases, ours, limits[1])
    left_out = {*result.hidden, *(one["task"] for one in result.conflicts if not one["field"])}
    raws = {raw["id"]: raw for raw in given["theirs"]}
    written = [
        files.written(raws.get(i), theirs.get(i), one, result.kept(i)) for i, one in ours.items() if i not in left_out
    ]
    limits_now = {**limits[1], **{role: n for role, n in limits[0].items() if role in result.kept("wip_limits")}}
    again = merging.merged([after], tasks(written), ours, says=(limits_now, limits[1]))

    assert again.is_settled()
    assert [(one["task"], one["field"]) for one in again.conflicts] == [
        (one["task"], one["field"]) for one in result.conflicts
    ]


@pytest.mark.parametrize(("given", "expect"), cases("edits"))
def test_a_job_becomes_what_a_person_says_or_stays(given: Any, expect: Any) -> None:
    job = {**made(given["task"]), **given["job"]}
    edits = {name: merging.ABSENT if said == "ABSENT" else said for name, said in given["edits"].items()}
    before = copy.deepcopy(job)
    try:
        after: Any = merging.amended(job, edits, at=LATER)
    except CoordinationError:
        assert expect is None
    else:
        assert {k: after.get(k) for k in {*after, *job} if after.get(k) != job.get(k)} == expect

    assert job == before


@pytest.mark.parametrize(("given", "expect"), cases("plans"))
def test_new_tasks_wait_for_each_other_or_are_refused(given: Any, expect: Any) -> None:
    there = {raw["id"]: made(raw) for raw in given["there"]}
    for job in there.values():
        job["waits_for"] = [i for i in job["dependencies"] if i not in there or there[i]["status"] != "done"]
    new = tasks(given["new"])

    refused = plans.refused(new, there)
    left = {i: one for i, one in new.items() if i not in refused}
    planned = plans.planned(left, there, claimed=(), by="lead", at=AT)

    assert sorted(refused) == expect["refused"]
    assert {job["id"]: [job["waits_for"], job["dependents"]] for job in planned} == expect["jobs"]


@pytest.mark.parametrize(("given", "expect"), cases("written"))
def test_a_task_keeps_the_form_in_which_a_person_wrote_it(given: Any, expect: Any) -> None:
    said = files.task(given["raw"], list) if given["raw"] else None

    found = files.written(given["raw"], said, files.task(given["now"], list), frozenset(given["kept"]))

    assert [[name, value] for name, value in found.items()] == expect


@pytest.mark.parametrize(("given", "expect"), cases("limits"))
def test_limits_stand_in_the_order_of_the_file(given: Any, expect: Any) -> None:
    found = files.limits_said(given["limits"], given["before"])

    assert [[role, limit] for role, limit in found.items()] == expect
    SCHEMA.validate(json.loads(files.text({"wip_limits": found, "tasks": []})))
