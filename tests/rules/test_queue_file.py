"""Queue file: what the vectors do not say of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from latchboard.errors import UsageError
from latchboard.rules import queue_file as files
from latchboard.rules import queue_file_merge as merging
from latchboard.rules import queue_file_plan as plans
from latchboard.rules import workqueue_graph as graph


def task(task_id: str, **fields: Any) -> dict[str, Any]:
    return files.task({"id": task_id, "title": "T", **fields}, list)


@pytest.mark.parametrize(
    ("raws", "says"),
    [
        ([7], "tasks[0] is no object"),
        ([{"id": "a", "title": "T"}, {"id": "b"}], "tasks[1] ('b'): a title"),
        ([{"id": "a", "title": "T"}, {"id": "a", "title": "T"}], "tasks[1] has the id a of another one"),
    ],
)
def test_a_task_that_is_wrong_is_told_by_its_place_and_id(raws: list[Any], says: str) -> None:
    with pytest.raises(UsageError) as refusal:
        files.tasks_of({"tasks": raws}, list)

    assert says in refusal.value.message


def test_who_needs_an_id_is_not_told_to_leave_it_out() -> None:
    with pytest.raises(UsageError) as refusal:
        files.tasks_of({"tasks": [{"title": "T"}]}, list)

    assert refusal.value.hint == "give it an id that no other task has"


def test_what_is_no_utf_8_is_told_by_its_place() -> None:
    with pytest.raises(UsageError, match="at byte 3"):
        files.read(b'{"a\xff": 1}')


def test_names_of_files_are_the_canonical_ones() -> None:
    found = files.tasks_of(
        {"tasks": [{"id": "a", "title": "T", "files": ["./x"]}]}, lambda names: [one[2:] for one in names]
    )

    assert found["a"]["files"] == ["x"]


def test_a_job_keeps_nothing_for_a_file_that_said_nothing() -> None:
    job: Any = {"id": "a", "extra": {"x": 1}}

    assert "extra" not in files.with_extra(job, {})
    assert files.with_extra(job, {"y": 2})["extra"] == {"y": 2}


def test_what_the_queue_refuses_is_a_conflict() -> None:
    found = merging.Merged()
    found.edits = {"a": {"title": "Z", "x": merging.ABSENT}}
    found.new = {"b": task("b")}
    found.gone = ["c", "d"]

    found.refuse({"a": "no", "b": "nor this", "c": "nor that", "e": "never asked"})

    assert found.gone == ["d"]
    told = [(one["task"], one["field"], one["why"], one["file"]) for one in found.conflicts]
    assert told == [
        ("a", "title", "no", "Z"),
        ("a", "x", "no", None),
        ("b", "", "nor this", None),
        ("c", "", "nor that", None),
    ]


def test_the_base_of_a_field_in_conflict_stays_what_it_was() -> None:
    bases: Any = [{"tasks": {"a": task("a", x=1, priority=1)}, "open": {}, "limits": {}}]
    ours = {"a": task("a", x=3, priority=3, z=3)}

    result = merging.merged(bases, {"a": task("a", x=2, priority=2, z=2)}, ours)
    after = merging.base(result, bases, ours, {})

    assert [one["field"] for one in result.conflicts] == ["priority", "x", "z"]
    assert after["tasks"]["a"]["priority"] == 1
    assert after["tasks"]["a"]["extra"] == {"x": 1}
    assert after["open"] == {}


def test_forty_thousand_hostile_tasks_are_refused_in_one_go() -> None:
    """Chains that begin with nothing, and circles by the thousand: each is looked at a few times, not all for each."""
    one = task("a")
    chain = {f"c{at}": {**one, "id": f"c{at}", "dependencies": [f"c{at + 1}"]} for at in range(20_000)}
    ring = {f"r{at}": {**one, "id": f"r{at}", "dependencies": [f"r{at ^ 1}"]} for at in range(20_000)}

    found = plans.refused({**chain, **ring, "a": one}, {})

    assert len(found) == 40_000
    assert found["c19999"] == "it depends on c20000, and there is no such task"
    assert "r0 -> r1 -> r0" in found["r0"]
    assert found["r2"] == "it would wait in a circle, or for one"


def test_who_waits_for_a_circle_waits_without_end() -> None:
    waits = {"a": ["b"], "b": ["a", "x"], "c": ["a"], "d": ["x"], "x": []}

    assert graph.endless(["c", "d"], lambda one: waits[one]) == {"a", "b", "c"}
    assert graph.endless(["d"], lambda one: waits[one]) == set()


@pytest.mark.parametrize(
    ("one", "other", "expect"),
    [
        (1, True, False),
        (False, 0.0, False),
        (True, True, True),
        (1, 1.0, True),
        ({"a": [1, {"b": 0}]}, {"a": [1, {"b": False}]}, False),
        ({"a": [1, {"b": 0}], "c": None}, {"c": None, "a": [1, {"b": 0}]}, True),
        ([1, 2], [1], False),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        (merging.ABSENT, None, False),
        (merging.ABSENT, merging.ABSENT, True),
        ("1", 1, False),
    ],
)
def test_values_are_the_same_as_json_says(one: Any, other: Any, expect: bool) -> None:
    assert files.is_same(one, other) is expect
    assert files.is_same(other, one) is expect


def test_a_task_that_says_true_for_one_is_written_again() -> None:
    raw = {"id": "a", "title": "T", "x": True, "payload": 0}

    found = files.written(raw, files.task(raw, list), task("a", x=1, payload=False))

    assert (type(found["x"]), type(found["payload"])) == (int, bool)


def test_what_is_kept_of_a_task_is_one_with_every_field() -> None:
    whole = task("a", x=1)

    assert files.is_task(whole)
    assert not files.is_task({**whole, "extra": None})
    assert not files.is_task(["id"])
    assert not any(files.is_task({k: v for k, v in whole.items() if k != name}) for name in whole)


def test_a_hundred_thousand_tasks_are_read_and_one_more_is_refused() -> None:
    def data(count: int) -> bytes:
        return b'{"tasks": [%s]}' % b",".join([b"0"] * count)

    assert len(files.read(data(files.TASKS_COUNT_MAX))["tasks"]) == files.TASKS_COUNT_MAX
    with pytest.raises(UsageError, match="at most 100,000"):
        files.read(data(files.TASKS_COUNT_MAX + 1))


@pytest.mark.parametrize("raw", [b'{"title": "\\ud800"}', b'{"lease": {"x": NaN}}', b'{"priority": 1e999}'])
def test_what_could_not_be_written_again_is_not_read(raw: bytes) -> None:
    with pytest.raises(UsageError, match="no JSON object"):
        files.read(b'{"tasks": [%s]}' % raw)


def test_a_result_is_not_larger_than_that_of_a_job() -> None:
    assert len(task("a", result="x" * 65_000)["result"]) == 65_000
    with pytest.raises(UsageError, match="at most"):
        task("a", result="x" * 66_000)


def test_a_role_in_conflict_stays_as_the_file_says_it() -> None:
    raw = {"id": "a", "title": "T", "status": "ready", "role": "docs"}

    found = files.written(raw, files.task(raw, list), task("a", role="builder"), frozenset({"role"}))

    assert found == raw


@pytest.mark.parametrize(
    ("stood", "lost", "is_refused"), [(20, 8, False), (12, 6, False), (11, 6, True), (5, 5, False)]
)
def test_a_file_is_refused_that_lost_more_than_five_and_more_than_half(stood: int, lost: int, is_refused: bool) -> None:
    tasks = {f"t{at}": task(f"t{at}") for at in range(stood)}
    left = {task_id: tasks[task_id] for task_id in [*tasks][lost:]}
    bases = [{"tasks": tasks, "open": {}, "limits": {}}]

    if is_refused:
        with pytest.raises(UsageError, match=f"lost {lost} of {stood}"):
            merging.merged(bases, left, tasks)
        assert len(merging.merged(bases, left, tasks, prefer="file").gone) == lost
    else:
        assert len(merging.merged(bases, left, tasks).gone) == lost


def test_what_is_done_keeps_its_status_and_takes_the_rest() -> None:
    was = task("a", status="done")
    bases = [{"tasks": {"a": was}, "open": {}, "limits": {}}]

    found = merging.merged(bases, {"a": task("a", status="done", priority=1, note="n")}, {"a": was})

    assert (found.edits, found.conflicts) == ({"a": {"priority": 1, "note": "n"}}, [])


def test_a_limit_in_conflict_without_a_base_stays_one() -> None:
    says = ({"builder": 4}, {"builder": 8})
    result = merging.merged([], {}, {}, says=says)

    base = merging.base(result, [], {}, says[1])
    again = merging.merged([base], {}, {}, says=says)

    assert base["limits"] == {}
    assert (again.limits, [one["field"] for one in again.conflicts]) == ({}, ["builder"])


def test_a_parent_that_waits_for_its_part_already_is_told_once() -> None:
    parent: Any = files.made(task("p"), number=1, by="x", at="", is_claimed=False)
    parent["waits_for"] = ["n"]

    made = plans.planned({"n": task("n", parent="p")}, {"p": parent}, claimed=(), by="x", at="")

    assert made[0]["dependents"] == ["p"]


def nested(levels: int) -> Any:
    found: Any = {"end": 1}
    for at in range(levels - 1):
        found = [found] if at % 2 else {"in": found}
    return found


@pytest.mark.parametrize("name", ["payload", "result"])
def test_what_nests_deeper_than_a_reader_may_stand_is_refused(name: str) -> None:
    assert task("a", **{name: nested(200)})[name] == nested(200)
    with pytest.raises(UsageError, match="more than 200 levels"):
        task("a", **{name: nested(201)})


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"Big Role": 1}, "wip_limits: 'Big Role' is no role"),
        ({"builder": -1}, "wip_limits: builder: -1 is no limit"),
        ({"total": True}, "wip_limits: total: True is no limit"),
    ],
)
def test_a_limit_that_is_wrong_is_told_by_its_role(limits: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says) as refused:
        files.read(json.dumps({"wip_limits": limits, "tasks": []}).encode())

    assert refused.value.hint == "a limit is a whole number from 0 to 100000"
