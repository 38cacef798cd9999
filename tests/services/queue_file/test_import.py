"""Import and export: what a file of the founding form becomes, and what it looks like afterwards."""

from __future__ import annotations

import json
from typing import Any

import pytest

from latchboard.clock import iso
from latchboard.errors import FileConflict, MalformedRecord, UsageError, WipLimitReached
from tests.services.engine import needs_large_commits
from tests.services.queue_file.support import Desk, task

FOUNDING = {
    "sprint": 12,
    "wip_limits": {"planner": 1, "builder": 2, "tester": 2, "refiner": 1, "integrator": 1},
    "tasks": [
        {
            "id": "TASK-2",
            "title": "Build it",
            "type": "feature",
            "status": "ready",
            "priority": 2,
            "agent": None,
            "lease": None,
            "dependencies": ["TASK-1"],
            "notes": {"who": ["asked", 1.5, None]},
        },
        {
            "id": "TASK-1",
            "title": "Plan it",
            "type": "plan",
            "status": "done",
            "priority": 1,
            "agent": "alice",
            "lease": None,
            "dependencies": [],
        },
        {
            "id": "TASK-3",
            "title": "Test it",
            "type": "test",
            "status": "awaiting_test",
            "priority": 1,
            "agent": None,
            "lease": None,
            "dependencies": ["TASK-2"],
        },
    ],
}


def lease(desk: Desk, task_id: str, **fields: Any) -> dict[str, Any]:
    at = iso(desk.bench.clock.now().wall_s)
    found = {"task_id": task_id, "role": "builder", "owner": "b1", "started_at": at, "ttl_seconds": 5400}
    return {**found, "heartbeat_at": at, "token": 3, **fields}


def test_a_founding_file_comes_back_as_it_was(desk: Desk) -> None:
    report = desk.files.bring(json.dumps(FOUNDING).encode(), path="q.json", by="lead")

    found = desk.export()

    assert report["imported"] == ["TASK-2", "TASK-1", "TASK-3"]
    roles = ("builder", "builder", "tester")
    wanted = [{**one, "role": role} for one, role in zip(FOUNDING["tasks"], roles, strict=True)]  # type: ignore[call-overload]
    assert found == {**FOUNDING, "tasks": wanted}


def test_what_was_exported_is_imported_elsewhere_as_the_same_jobs(desk: Desk, tmp_path_factory: Any) -> None:
    from latchboard.store.memory import MemoryStore
    from tests.services.workqueue.support import SETTINGS, Bench

    desk.bench.add("a", payload={"x": [1]}, then=["tester"], files=["src/a.py"], priority=7, attempts_max=9)
    desk.bench.add("b", role="docs", dependencies=["a"])
    desk.bench.add("part", parent="a")
    desk.bench.add("c", ready_at="2030-01-01T00:00:00Z")
    desk.bench.queue.block("c", by="lead", reason="not now")
    folder = tmp_path_factory.mktemp("other")
    other = Desk(Bench(MemoryStore(clock=desk.bench.clock, settings=SETTINGS), desk.bench.clock, str(folder)), folder)

    other.files.bring(desk.files.export()[0], path="q.json", by="lead")

    assert other.export() == desk.export()
    assert other.bench.problems() == []


def test_importing_twice_changes_nothing(desk: Desk) -> None:
    data = json.dumps(FOUNDING).encode()
    desk.files.bring(data, path="q.json", by="lead")
    before = desk.bench.store.read("jobs/", "queue/").revision

    report = desk.files.bring(data, path="q.json", by="lead")

    assert (report["imported"], report["changed"], report["same_count"]) == ([], [], 3)
    assert desk.bench.store.read("jobs/", "queue/").revision == before


def test_what_waits_is_claimed_in_the_order_of_the_file_when_its_dependencies_are_done(desk: Desk) -> None:
    desk.bring(task("z", dependencies=["y"]), task("y"), task("x", priority=1, dependencies=["z"]))

    first, token = desk.bench.claim()
    desk.bench.queue.complete(first, token)
    second, token = desk.bench.claim()
    desk.bench.queue.complete(second, token)

    assert [first, second, desk.bench.claim()[0]] == ["y", "z", "x"]


def test_sub_tasks_are_waited_for(desk: Desk) -> None:
    desk.bring(task("part", parent="whole"), task("whole"))

    job_id, token = desk.bench.claim()
    assert job_id == "part"
    assert desk.bench.job("whole")["waits_for"] == ["part"]
    desk.bench.queue.complete(job_id, token)

    assert desk.bench.claim()[0] == "whole"


def test_a_sub_task_of_a_job_that_is_there_is_waited_for(desk: Desk) -> None:
    desk.bench.add("whole")

    desk.bring(task("part", parent="whole"))

    assert desk.bench.job("whole")["waits_for"] == ["part"]
    assert desk.bench.claim()[0] == "part"


def test_a_lease_that_has_not_run_out_is_never_taken(desk: Desk) -> None:
    report = desk.bring(task("a", status="in_progress", agent="b1", lease=lease(desk, "a"), files=["src/a.py"]))

    assert report["claimed"] == ["a"]
    assert desk.bench.active()["a"]["owner"] == "b1"
    with pytest.raises(Exception, match="no job is ready"):
        desk.bench.claim()
    assert desk.bench.locks.check(["src/a.py"])[0]["agent"] == "b1"
    token = desk.bench.active()["a"]["token"]
    desk.bench.queue.complete("a", token)
    assert desk.export()["tasks"][0]["agent"] is None


@pytest.mark.parametrize(
    "heartbeat", ["2000-01-01T00:00:00Z", "2000-01-01T00:00:00+02:00", "2000-01-01T00:00:00", "1999-12-31"]
)
def test_a_lease_that_has_run_out_leaves_its_job_to_be_claimed(desk: Desk, heartbeat: str) -> None:
    old = lease(desk, "a", heartbeat_at=heartbeat)
    if heartbeat == "1999-12-31":  # it cannot be read as a time: it expires nobody
        desk.bring(task("a", status="in_progress", agent="b1", lease=old))
        assert "a" in desk.bench.active()
        return

    desk.bring(task("a", status="in_progress", agent="b1", lease=old))

    assert desk.bench.claim()[0] == "a"
    assert desk.export()["tasks"][0]["lease"]["owner"] == "w"


def test_a_lease_of_the_future_is_alive(desk: Desk) -> None:
    desk.bring(task("a", status="in_progress", lease=lease(desk, "a", heartbeat_at="2999-01-01T00:00:00Z")))

    assert "a" in desk.bench.active()


def test_more_claims_than_may_be_are_refused(desk: Desk) -> None:
    tasks = [task(i, status="in_progress", lease=lease(desk, i)) for i in "abcd"]

    with pytest.raises(WipLimitReached):
        desk.bring(*tasks)
    assert desk.bring(*tasks, wip_limits={"builder": 4})["claimed"] == ["a", "b", "c", "d"]


def test_a_job_that_says_something_else_is_told_and_nothing_is_changed(desk: Desk) -> None:
    desk.bench.add("a", priority=1)

    with pytest.raises(FileConflict) as refusal:
        desk.bring(task("a", title="a"), task("b"))

    assert [(one["task"], one["field"]) for one in refusal.value.fields["conflicts"]] == [("a", "priority")]
    assert desk.bench.job("b") is None
    desk.bring(task("a", title="a"), prefer="queue")
    assert desk.bench.job("a")["priority"] == 1
    desk.bring(task("a", title="a"), prefer="file")
    assert desk.bench.job("a")["priority"] == 5


def test_limits_of_a_file_are_taken_where_nobody_has_set_any(desk: Desk) -> None:
    desk.bring(wip_limits={"builder": 9, "docs": 2, "total": 10})

    assert desk.bench.queue.look().limits == {"roles": {"builder": 9, "docs": 2}, "total": 10}
    with pytest.raises(FileConflict, match=r"wip_limits\.builder"):
        desk.bring(wip_limits={"builder": 8})


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no JSON"),
        (b'{"tasks": [{"id": "a", "ti', "no JSON"),
        (b"[]", "object was expected"),
        (b"{}", "it has no list of tasks"),
        (b'{"tasks": {}}', "its tasks are no list"),
        (b'{"tasks": [7]}', "is no object"),
        (b"\xff\xfe{}", "no UTF-8"),
        (b'{"tasks": [], "tasks": []}', "twice"),
        (b'{"tasks": [], "x": NaN}', "no JSON"),
        (b'{"tasks": [], "x": "\\ud800"}', "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b'{"tasks":' + b"[" * 100_000, "no JSON"),
        (b'{"tasks": [], "wip_limits": 3}', "wip_limits"),
        (b'{"tasks": [], "wip_limits": {"builder": -1}}', "wip_limits"),
        (b'{"tasks": [], "wip_limits": {"total": "x"}}', "wip_limits"),
        (json.dumps({"tasks": [task("a"), task("a")]}).encode(), "id a of another"),
        (json.dumps({"tasks": [task("a/b")]}).encode(), "a job's id"),
        (json.dumps({"tasks": [task(7)]}).encode(), "a job's id"),  # type: ignore[arg-type]
        (json.dumps({"tasks": [{"id": "a", "status": "ready"}]}).encode(), "title"),
        (json.dumps({"tasks": [task("a", status="doing")]}).encode(), "is no status"),
        (json.dumps({"tasks": [task("a", status=["ready"])]}).encode(), "is no status"),
        (json.dumps({"tasks": [task("a", priority="high")]}).encode(), "priority"),
        (json.dumps({"tasks": [task("a", priority=True)]}).encode(), "priority"),
        (json.dumps({"tasks": [task("a", role="Builder")]}).encode(), "a role is"),
        (json.dumps({"tasks": [task("a", lease="mine")]}).encode(), "lease"),
        (json.dumps({"tasks": [task("a", reason=3)]}).encode(), "reason"),
        (json.dumps({"tasks": [task("a", dependencies="b")]}).encode(), "dependencies"),
        (json.dumps({"tasks": [task("a", dependencies=["b"])]}).encode(), "no such task"),
        (json.dumps({"tasks": [task("a", parent="b")]}).encode(), "no such task"),
        (json.dumps({"tasks": [task("a", files=["../../../../../../etc/\0"])]}).encode(), "tasks"),
        (json.dumps({"tasks": [task("a", notes="x" * 70_000)]}).encode(), "at most"),
        (json.dumps({"tasks": [], "notes": "x" * 70_000}).encode(), "at most"),
        (json.dumps({"tasks": [task("a", dependencies=["b"]), task("b", dependencies=["a"])]}).encode(), "a -> b -> a"),
        (json.dumps({"tasks": [task("a", dependencies=["b"]), task("b", parent="a")]}).encode(), ""),
    ],
)
def test_what_is_no_queue_file_is_refused_as_a_whole(desk: Desk, data: bytes, reason: str) -> None:
    if not reason:
        desk.files.bring(data, path="q.json", by="lead")
        return

    with pytest.raises(MalformedRecord) as refusal:
        desk.files.bring(data, path="q.json", by="lead")

    assert reason in refusal.value.message
    assert refusal.value.fields["key"] == "q.json"
    assert desk.bench.queue.look().jobs == {}


def test_a_byte_order_mark_and_other_line_ends_are_read(desk: Desk) -> None:
    data = b"\xef\xbb\xbf" + json.dumps({"tasks": [task("a")]}, indent=2).replace("\n", "\r\n").encode()

    desk.files.bring(data, path="q.json", by="lead")

    assert desk.bench.job("a")["title"] == "Do a"


@needs_large_commits
def test_an_import_is_told_as_it_goes_and_keeps_the_order(desk: Desk) -> None:
    told: list[tuple[int, int]] = []
    tasks = [task(f"t{at}", dependencies=[f"t{at + 1}"] if at % 300 != 299 else []) for at in range(600)]
    data = json.dumps({"tasks": tasks}).encode()

    desk.files.bring(data, path="q.json", by="lead", progress=lambda done, of: told.append((done, of)))

    assert told == [(250, 600), (500, 600), (600, 600)]
    assert [one["id"] for one in desk.export()["tasks"]] == [f"t{at}" for at in range(600)]
    assert desk.bench.claim()[0] == "t299"


def test_a_file_is_not_written_without_a_job_that_cannot_be_read(desk: Desk) -> None:
    desk.bench.add("a", "b")
    whole = desk.bench.job("b")
    desk.bench.store.transact(lambda view: view.put("jobs/b", {"id": "b"}), who="x")

    with pytest.raises(MalformedRecord):
        desk.files.export()
    with pytest.raises(MalformedRecord):
        desk.live.sync()

    assert not desk.path.exists()
    desk.bench.store.transact(lambda view: view.put("jobs/b", whole), who="x")


def test_a_job_that_is_entered_by_somebody_else_meanwhile_is_not_overwritten(desk: Desk) -> None:
    from latchboard.queue_file.entering import Entering
    from latchboard.rules import queue_file as files
    from latchboard.rules import queue_file_plan as plans

    new = {"a": files.task(task("a"), list)}
    planned = plans.planned(new, {}, claimed=(), by="lead", at="2026-11-21T06:00:00.000000Z")
    desk.bench.add("a")

    with pytest.raises(UsageError, match="by now"):
        Entering(desk.bench.store, desk.bench.locks, "lead", lambda done, of: None).enter(planned, {})


def test_a_claim_whose_files_others_have_locked_is_not_entered(desk: Desk) -> None:
    held = desk.bench.locks.acquire(desk.bench.locks.request("other", ["src/a.py"]))
    at_work = task("a", status="in_progress", agent="b1", lease=lease(desk, "a"), files=["src/a.py"])

    with pytest.raises(UsageError, match="its files are locked by others"):
        desk.bring(at_work)
    assert desk.bench.queue.look().jobs == {}
    held.release()

    assert desk.bring(at_work)["claimed"] == ["a"]


def test_who_waits_is_known_once_also_over_many_commits(desk: Desk) -> None:
    desk.bring(*[task(f"t{at}", dependencies=["t0"] if at == 299 else []) for at in range(300)])

    assert desk.bench.job("t0")["dependents"] == ["t299"]


def test_a_part_of_what_is_over_by_then_is_not_entered(desk: Desk) -> None:
    from latchboard.queue_file.entering import Entering
    from latchboard.rules import queue_file as files
    from latchboard.rules import queue_file_plan as plans

    desk.bench.add("whole")
    new = {"part": files.task(task("part", parent="whole"), list)}
    there = desk.bench.queue.look().jobs
    planned = plans.planned(new, there, claimed=(), by="lead", at="2026-11-21T06:00:00.000000Z")
    desk.bench.queue.cancel("whole", by="lead")

    with pytest.raises(UsageError, match="whole is cancelled by now"):
        Entering(desk.bench.store, desk.bench.locks, "lead", lambda done, of: None).enter(planned, {})

    assert [*desk.bench.queue.look().jobs] == ["whole"]
