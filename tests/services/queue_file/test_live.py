"""The live file: what either side changes comes to the other, and nothing that a person wrote is lost."""

from __future__ import annotations

import json
import os
import stat
from typing import Any

import pytest

from latchboard.errors import MalformedRecord, StoreBusy, UsageError
from latchboard.queue_file import syncing
from tests.services.queue_file.support import Desk, task


def told(report: dict[str, Any]) -> list[str]:
    return [f"{one['task']}.{one['field']}" for one in report["conflicts"]]


def test_a_file_that_is_missing_is_made_and_then_left_alone(desk: Desk) -> None:
    desk.bench.add("a", role="planner")

    assert desk.live.sync()["is_written"]
    before = desk.path.stat()
    report = desk.live.sync()

    assert not report["is_written"]
    assert desk.path.stat() == before
    assert desk.task("a")["status"] == "needs_plan"


def test_what_happens_in_the_queue_comes_into_the_file(desk: Desk) -> None:
    desk.bench.add("a")
    desk.live.sync()

    _, token = desk.bench.claim()
    desk.live.sync()
    at_work = desk.task("a")
    desk.bench.queue.complete("a", token, result={"ok": True})
    desk.bench.add("b")
    desk.live.sync()

    assert (at_work["status"], at_work["agent"], at_work["lease"]["token"]) == ("in_progress", "w", token)
    assert (desk.task("a")["status"], desk.task("a")["agent"], desk.task("a")["lease"]) == ("done", None, None)
    assert desk.task("a")["result"] == {"ok": True}
    assert [one["id"] for one in desk.read()["tasks"]] == ["a", "b"]


def test_what_a_person_edits_comes_into_the_queue(desk: Desk) -> None:
    desk.bench.add("a", "b", "c")
    desk.live.sync()
    document = desk.read()
    document["tasks"][0] |= {"title": "Better", "priority": 1, "notes": "mine", "files": ["./src/x.py"]}
    document["tasks"][1]["status"] = "blocked"
    document["tasks"][2]["dependencies"] = ["a"]
    document["tasks"].append(task("d", status="awaiting_test"))
    document["wip_limits"]["builder"] = 7
    document["sprint"] = 3
    desk.write(document)

    report = desk.live.sync()

    assert (report["imported"], report["changed"], report["conflicts"]) == (["d"], ["a", "b", "c"], [])
    assert (desk.bench.job("a")["title"], desk.bench.job("a")["files"]) == ("Better", ["src/x.py"])
    assert (desk.bench.job("b")["status"], desk.bench.job("b")["aside_from"]) == ("blocked", "ready")
    assert (desk.bench.job("c")["waits_for"], desk.bench.job("a")["dependents"]) == (["a"], ["c"])
    assert desk.bench.job("d")["role"] == "tester"
    assert desk.bench.queue.look().limits == {"roles": {"builder": 7}, "total": None}
    assert desk.read()["tasks"][0]["files"] == ["./src/x.py"]  # as it was written
    assert desk.export()["sprint"] == 3
    assert not desk.live.sync()["is_written"]


def test_both_sides_at_once_are_merged(desk: Desk) -> None:
    desk.bench.add("a", "b")
    desk.live.sync()
    desk.edit("a", notes="a person's", priority=9)
    desk.bench.claim(job="a")
    desk.bench.queue.block("b", by="lead")

    report = desk.live.sync()

    assert report["conflicts"] == []
    assert (desk.task("a")["status"], desk.task("a")["notes"], desk.bench.job("a")["priority"]) == (
        "in_progress",
        "a person's",
        9,
    )
    assert desk.task("b")["status"] == "blocked"


def test_what_both_changed_is_told_and_stays_on_both_sides_until_it_is_settled(desk: Desk) -> None:
    desk.bench.add("a", "b")
    desk.live.sync()
    desk.edit("a", status="cancelled")
    desk.bench.claim(job="a")
    desk.bench.claim(job="b")

    for _ in range(2):
        report = desk.live.sync()
        assert told(report) == ["a.status"]
        assert desk.task("a")["status"] == "cancelled"
        assert desk.bench.job("a")["status"] == "in_progress"
    assert desk.task("b")["status"] == "in_progress"

    assert desk.live.sync(prefer="queue")["conflicts"] == []
    assert desk.task("a")["status"] == "in_progress"
    assert desk.live.sync()["conflicts"] == []


def test_the_file_counts_where_it_is_preferred(desk: Desk) -> None:
    desk.bench.add("a")
    desk.live.sync()
    desk.edit("a", status="cancelled")
    desk.bench.queue.block("a", by="lead")
    assert told(desk.live.sync()) == ["a.status"]

    report = desk.live.sync(prefer="file")

    assert report["conflicts"] == []
    assert desk.bench.job("a")["status"] == "cancelled"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"status": "in_progress"}, "a file cannot make it in_progress"),
        ({"status": "dead"}, "a file cannot make it dead"),
        ({"dependencies": ["nobody"]}, "there is no such job"),
        ({"dependencies": ["b"]}, "a -> b -> a"),
        ({"parent": "b"}, "the queue alone says it"),
        ({"result": 1}, "the queue alone says it"),
        ({"reason": "x"}, "the queue alone says it"),
        ({"lease": {"owner": "me"}}, "the queue alone says it"),
    ],
)
def test_what_the_queue_cannot_take_over_is_told_and_stays(desk: Desk, fields: dict[str, Any], why: str) -> None:
    desk.bench.add("a")
    desk.bench.add("b", dependencies=["a"])
    desk.live.sync()
    desk.edit("a", **fields)
    before = desk.bench.job("a")

    for _ in range(2):
        report = desk.live.sync()
        assert told(report) == [f"a.{next(iter(fields))}"]
        assert why in report["conflicts"][0]["why"]

    assert desk.bench.job("a") == before
    assert desk.task("a")[next(iter(fields))] == next(iter(fields.values()))


def test_a_job_at_work_keeps_what_its_owner_relies_on(desk: Desk) -> None:
    desk.bench.add("a")
    desk.bench.claim()
    desk.live.sync()
    desk.edit("a", files=["x.py"], title="Other")

    report = desk.live.sync()

    assert told(report) == ["a.files"]
    assert "w works on it" in report["conflicts"][0]["why"]
    assert desk.bench.job("a")["title"] == "Other"


def test_done_is_the_end_also_for_a_person(desk: Desk) -> None:
    desk.bench.add("a")
    desk.bench.add("b", dependencies=["a"])
    desk.live.sync()
    desk.edit("a", status="done")
    desk.live.sync()
    assert desk.bench.claim()[0] == "b"

    desk.edit("a", status="ready")

    assert told(desk.live.sync()) == ["a.status"]
    assert desk.bench.job("a")["status"] == "done"


def test_a_task_that_is_taken_out_is_cancelled_and_not_written_again(desk: Desk) -> None:
    desk.bench.add("a", "b", "c")
    desk.bench.claim(job="c")
    desk.live.sync()
    document = desk.read()
    document["tasks"] = document["tasks"][1:2]
    desk.write(document)

    report = desk.live.sync()

    assert report["cancelled"] == ["a"]
    assert told(report) == ["c."]
    assert desk.bench.job("a")["status"] == "cancelled"
    assert [one["id"] for one in desk.read()["tasks"]] == ["b"]
    assert told(desk.live.sync()) == ["c."]
    desk.live.sync(prefer="queue")
    assert [one["id"] for one in desk.read()["tasks"]] == ["b", "c"]
    desk.bench.queue.requeue("a", by="lead")
    desk.live.sync()
    assert [one["id"] for one in desk.read()["tasks"]] == ["b", "c", "a"]


def test_a_task_that_is_over_may_be_taken_out(desk: Desk) -> None:
    desk.bench.add("a", "b")
    desk.bench.queue.cancel("a", by="lead")
    desk.live.sync()
    document = desk.read()
    document["tasks"] = document["tasks"][1:]
    desk.write(document)

    assert desk.live.sync()["conflicts"] == []
    assert desk.live.sync()["cancelled"] == []
    assert [one["id"] for one in desk.read()["tasks"]] == ["b"]


def test_a_job_that_changed_while_its_task_was_taken_out_is_a_conflict(desk: Desk) -> None:
    desk.bench.add("a", "b")
    desk.live.sync()
    document = desk.read()
    document["tasks"] = document["tasks"][1:]
    desk.write(document)
    desk.bench.queue.block("a", by="lead")

    assert told(desk.live.sync()) == ["a."]
    assert desk.bench.job("a")["status"] == "blocked"
    assert desk.live.sync(prefer="file")["cancelled"] == ["a"]


def test_a_file_that_lost_most_of_its_tasks_is_taken_for_a_mistake(desk: Desk) -> None:
    desk.bench.add(*(f"t{at}" for at in range(12)))
    desk.live.sync()
    document = desk.read()
    whole = document["tasks"]
    document["tasks"] = whole[:4]
    desk.write(document)

    with pytest.raises(MalformedRecord, match="lost 8 of 12"):
        desk.live.sync()
    assert desk.bench.job("t11")["status"] == "ready"
    assert desk.read()["tasks"] == whole[:4]

    desk.live.sync(prefer="queue")
    assert len(desk.read()["tasks"]) == 12
    desk.write(document)
    assert len(desk.live.sync(prefer="file")["cancelled"]) == 8


@pytest.mark.parametrize("text", ["", "{", '{"tasks": [{"id": "a", "tit', '{"tasks": 3}', '{"tasks": [{"id": "a"}]}'])
def test_a_half_written_file_is_an_error_and_nothing_is_overwritten(desk: Desk, text: str) -> None:
    desk.bench.add("a")
    desk.live.sync()
    whole = desk.path.read_text()
    desk.path.write_text(text)
    desk.bench.add("b")

    with pytest.raises(MalformedRecord):
        desk.live.sync()

    assert desk.path.read_text() == text
    assert desk.bench.job("a")["status"] == "ready"
    desk.path.write_text(whole)
    desk.live.sync()
    assert [one["id"] for one in desk.read()["tasks"]] == ["a", "b"]


def test_a_new_task_that_cannot_be_a_job_waits_in_the_file(desk: Desk) -> None:
    desk.write({"tasks": [task("a", dependencies=["b"]), task("c")]})

    assert told(desk.live.sync()) == ["a."]
    assert [one["id"] for one in desk.read()["tasks"]] == ["a", "c"]
    desk.bench.add("b")
    report = desk.live.sync()

    assert (report["imported"], report["conflicts"]) == (["a"], [])


def test_two_that_never_met_are_joined_and_differences_are_told(desk: Desk) -> None:
    desk.bench.add("a", priority=3)
    desk.bench.add("b")
    desk.write({"tasks": [task("a", title="a", priority=4), task("c", status="in_progress")]})

    report = desk.live.sync()

    assert (report["imported"], told(report)) == (["c"], ["a.priority"])
    assert told(desk.live.sync()) == ["a.priority"]
    assert [(one["id"], one["priority"]) for one in desk.read()["tasks"]] == [("a", 4), ("c", 5), ("b", 50)]
    assert desk.task("c")["status"] == "ready"
    desk.edit("a", priority=3)
    assert told(desk.live.sync()) == []


def test_what_a_killed_writer_left_is_no_edit_of_a_person(desk: Desk) -> None:
    desk.bench.add("a")
    desk.live.sync()
    desk.bench.claim()
    desk.killed_at("settle")
    desk.edit("a", notes="after the crash")
    desk.bench.queue.release("a", desk.bench.active()["a"]["token"])

    report = desk.live.sync()

    assert report["conflicts"] == []
    assert (desk.task("a")["status"], desk.task("a")["notes"]) == ("ready", "after the crash")
    assert desk.bench.job("a")["status"] == "ready"


def test_what_was_noted_and_not_written_is_no_edit_of_a_person(desk: Desk) -> None:
    desk.bench.add("a")
    desk.live.sync()
    desk.bench.claim()
    desk.killed_at("write")

    report = desk.live.sync()

    assert report["conflicts"] == []
    assert desk.task("a")["status"] == "in_progress"


def test_a_lost_shelf_makes_conflicts_of_differences_and_nothing_else(desk: Desk) -> None:
    desk.bench.add("a", "b")
    desk.live.sync()
    for one in (desk.store_folder / "queue_file").iterdir():
        one.write_text("{")
    desk.bench.claim(job="a")

    report = desk.live.sync()

    assert told(report) == ["a.status", "a.agent", "a.lease"]
    assert desk.bench.job("a")["status"] == "in_progress"


def test_somebody_who_saves_at_the_last_moment_is_not_overwritten(desk: Desk) -> None:
    desk.bench.add("a")
    desk.live.sync()
    desk.bench.add("b")
    file = desk.live._file
    write, saves = file.write, [1, 2]

    def save_first(data: bytes, *, instead_of: bytes | None) -> None:
        if saves:
            desk.edit("a", notes=f"saved {saves.pop()}")
        write(data, instead_of=instead_of)

    class Racing:
        path = file.path
        read, mark = file.read, file.mark

    racing: Any = Racing()
    racing.write = save_first
    syncing.LiveFile(desk.files, racing, desk.live._shelf).sync()

    assert desk.task("a")["notes"] == "saved 1"
    assert [one["id"] for one in desk.read()["tasks"]] == ["a", "b"]


def test_a_symbolic_link_is_neither_followed_nor_replaced(desk: Desk) -> None:
    target = desk.path.with_name("elsewhere.json")
    target.write_text('{"tasks": []}')
    desk.path.symlink_to(target)
    desk.bench.add("a")

    with pytest.raises(UsageError, match="symbolic link"):
        desk.live.sync()

    assert desk.path.is_symlink()
    assert target.read_text() == '{"tasks": []}'


def test_a_pipe_does_not_hang_anybody(desk: Desk) -> None:
    os.mkfifo(desk.path)

    with pytest.raises(UsageError, match="pipe"):
        desk.live.sync()


def test_a_read_only_file_stays(desk: Desk) -> None:
    desk.write({"tasks": []})
    desk.path.chmod(0o444)

    with pytest.raises(UsageError, match="read-only"):
        desk.live.sync()


def test_the_mode_of_the_file_is_kept(desk: Desk) -> None:
    desk.write({"tasks": []})
    desk.path.chmod(0o640)
    desk.bench.add("a")

    desk.live.sync()

    assert stat.S_IMODE(desk.path.stat().st_mode) == 0o640


def test_two_at_once_take_turns(desk: Desk) -> None:
    other = desk.another()

    with other._shelf.turn(0), pytest.raises(StoreBusy):
        desk.live.sync(wait_s_max=0)


def test_whoever_finds_it_done_has_nothing_to_do(desk: Desk) -> None:
    desk.bench.add("a")
    desk.live.sync()
    revision = desk.bench.store.read("jobs/").revision
    before = desk.path.stat()

    assert desk.another().publish_if_older(revision)
    assert desk.live.sync_if_edited() is None
    desk.bench.add("b")
    assert desk.live.sync_if_edited() is None
    assert desk.path.stat() == before
    with desk.another()._shelf.turn(0):
        assert not desk.live.publish_if_older(revision + 1)
    assert desk.live.publish_if_older(desk.bench.store.read("jobs/").revision)
    assert [one["id"] for one in desk.read()["tasks"]] == ["a", "b"]
    desk.edit("a", priority=2)
    assert (desk.live.sync_if_edited() or {})["changed"] == ["a"]


def test_the_form_of_a_person_is_kept(desk: Desk) -> None:
    document = {
        "notes": "first",
        "tasks": [{"status": "ready", "owner_hint": {"b": 1, "a": 2}, "title": "T", "id": "a"}],
        "wip_limits": {"builder": 1},
    }
    desk.write(json.dumps(document))

    desk.live.sync()

    assert list(desk.read()) == ["notes", "tasks", "wip_limits"]
    assert list(desk.read()["tasks"][0]) == ["status", "owner_hint", "title", "id"]
    assert desk.read()["wip_limits"] == {"builder": 1, "planner": 1, "tester": 2, "refiner": 1, "integrator": 1}


def test_a_field_that_a_person_takes_out_is_gone(desk: Desk) -> None:
    desk.write({"tasks": [task("a", notes="x", agent="alice", size=3)]})
    desk.live.sync()
    document = desk.read()
    del document["tasks"][0]["notes"], document["tasks"][0]["agent"]
    desk.write(document)

    desk.live.sync()

    assert desk.bench.job("a")["extra"] == {"size": 3}
    assert "notes" not in desk.task("a")


def test_what_was_never_written_was_not_taken_out_by_a_person(desk: Desk) -> None:
    desk.bench.add("a")
    desk.live.sync()
    desk.bench.add(*(f"t{at}" for at in range(20)))
    desk.killed_at("write")

    report = desk.live.sync()

    assert (report["cancelled"], report["conflicts"]) == ([], [])
    assert len(desk.read()["tasks"]) == 21


def test_a_child_that_was_forked_meanwhile_keeps_nobody_from_the_file(desk: Desk) -> None:
    shelf = desk.live._shelf
    read, write = os.pipe()
    with shelf.turn(0):
        child = os.fork()
        if child == 0:
            os.close(write)
            os.read(read, 1)
            os._exit(0)
    os.close(read)

    desk.live.sync(wait_s_max=0)

    os.close(write)
    os.waitpid(child, 0)
    assert desk.path.exists()


def test_what_a_person_takes_back_after_a_crash_is_an_edit(desk: Desk) -> None:
    desk.bench.add("a")
    desk.live.sync()
    desk.bench.claim()
    desk.edit("a", title="Other")
    desk.killed_at("write")
    assert desk.bench.job("a")["title"] == "Other"
    desk.edit("a", title="a")

    report = desk.live.sync()

    assert (report["conflicts"], report["changed"]) == ([], ["a"])
    assert (desk.bench.job("a")["title"], desk.task("a")["title"], desk.task("a")["agent"]) == ("a", "a", "w")


def test_a_role_that_only_the_status_said_is_not_lost_with_it(desk: Desk) -> None:
    desk.write({"tasks": [task("a", status="awaiting_test")]})
    desk.live.sync()
    desk.bench.queue.block("a", by="lead")

    for _ in range(2):
        assert desk.live.sync()["conflicts"] == []

    assert (desk.task("a")["role"], desk.bench.job("a")["role"]) == ("tester", "tester")


@pytest.mark.parametrize(("name", "first", "then"), [("flag", 1, True), ("flag", [{"a": 0}], [{"a": False}])])
def test_true_is_not_one_and_false_is_not_zero(desk: Desk, name: str, first: Any, then: Any) -> None:
    desk.write({"tasks": [task("a", **{name: first})], name: first})
    desk.live.sync()

    for value in (then, first, then):
        desk.write({**desk.read(), name: value})
        desk.edit("a", **{name: value})
        report = desk.live.sync()

        assert (report["changed"], report["conflicts"]) == (["a"], [])
        assert json.dumps(desk.bench.job("a")["extra"][name]) == json.dumps(value)  # type: ignore[typeddict-item]
        assert json.dumps(desk.export()[name]) == json.dumps(value)
        assert desk.live.sync()["changed"] == []


def test_the_queue_puts_a_one_back_where_the_file_says_true(desk: Desk) -> None:
    desk.write({"tasks": [task("a", flag=1)]})
    desk.live.sync()
    (desk.store_folder / "queue_file").joinpath(*[one for one in shelf(desk) if one.endswith(".base")]).unlink()
    desk.edit("a", flag=True)

    assert told(desk.live.sync()) == ["a.flag"]
    desk.live.sync(prefer="queue")

    assert desk.task("a")["flag"] is not True


def shelf(desk: Desk) -> list[str]:
    return sorted(os.listdir(desk.store_folder / "queue_file"))


def test_what_is_saved_while_the_file_is_merged_is_seen_to_be_edited(desk: Desk) -> None:
    desk.bench.add("a")
    desk.live.sync()
    file = desk.live._file

    class Slow:
        path = file.path
        write, mark = file.write, file.mark

        def read(self) -> bytes | None:
            data = file.read()
            desk.edit("a", notes="saved while the old one is merged")
            return data

    slow: Any = Slow()
    syncing.LiveFile(desk.files, slow, desk.live._shelf).sync()

    assert (desk.live.sync_if_edited() or {})["changed"] == ["a"]


def test_what_is_saved_behind_the_write_is_seen_to_be_edited(desk: Desk) -> None:
    desk.bench.add("a")
    desk.live.sync()
    desk.bench.add("b")
    file = desk.live._file

    class Hasty:
        path = file.path
        read, mark = file.read, file.mark

        def write(self, data: bytes, *, instead_of: bytes | None) -> None:
            file.write(data, instead_of=instead_of)
            desk.edit("b", notes="saved at once")

    hasty: Any = Hasty()
    assert syncing.LiveFile(desk.files, hasty, desk.live._shelf).sync()["is_written"]

    assert (desk.live.sync_if_edited() or {})["changed"] == ["b"]
    assert desk.live.sync_if_edited() is None


@pytest.mark.parametrize("prefer", ["", "file"])
def test_a_job_that_changes_between_the_look_and_the_commit_is_merged_again(desk: Desk, prefer: Any) -> None:
    desk.bench.add("a", "b")
    desk.live.sync()
    document = desk.read()
    document["tasks"] = [{**document["tasks"][1], "status": "cancelled"}]
    desk.write(document)
    store = desk.bench.store
    transact, moves = store.transact, ["a", "b"]

    def meanwhile(*args: Any, **options: Any) -> Any:
        while moves:
            job = moves.pop()
            store.transact = transact
            desk.bench.queue.block(job, by="lead")
            store.transact = meanwhile
        return transact(*args, **options)

    store.transact = meanwhile
    report = desk.live.sync(prefer=prefer)
    store.transact = transact

    if prefer == "file":
        assert (report["conflicts"], report["changed"], report["cancelled"]) == ([], ["b"], ["a"])
        assert (desk.bench.job("a")["status"], desk.bench.job("b")["status"]) == ("cancelled", "cancelled")
    else:
        assert sorted(told(report)) == ["a.", "b.status"]
        assert (report["changed"], report["cancelled"]) == ([], [])
        assert (desk.bench.job("a")["status"], desk.bench.job("b")["status"]) == ("blocked", "blocked")


def test_the_last_field_of_a_persons_own_can_be_taken_out(desk: Desk) -> None:
    desk.write({"sprint": 3, "tasks": [task("a")]})
    desk.live.sync()
    document = desk.read()
    del document["sprint"]
    desk.write(document)

    desk.live.sync()
    desk.bench.add("b")
    desk.live.sync()

    assert "sprint" not in desk.read()
    assert "sprint" not in desk.export()


@pytest.mark.parametrize(
    "tasks",
    [{"a": 5}, {"a": []}, {"a": {}}, {"a": {"extra": 5}}, {"a": {"id": "a", "extra": {}}}, {"zz": "no task"}],
)
def test_a_damaged_shelf_is_as_good_as_none(desk: Desk, tasks: Any) -> None:
    desk.bench.add("a")
    desk.live.sync()
    desk.edit("a", title="Better")
    path = desk.store_folder / "queue_file" / next(one for one in shelf(desk) if one.endswith(".base"))
    kept = json.loads(path.read_text())
    path.write_text(json.dumps({**kept, "base": {**kept["base"], "tasks": tasks}}))

    report = desk.live.sync()

    assert told(report) == ["a.title"]
    assert desk.task("a")["title"] == "Better"


def test_a_job_that_is_claimed_between_the_look_and_the_commit_keeps_its_files(desk: Desk) -> None:
    desk.bench.add("a")
    desk.live.sync()
    desk.edit("a", files=["src/new.py"])
    store = desk.bench.store
    transact = store.transact

    def meanwhile(*args: Any, **options: Any) -> Any:
        store.transact = transact
        desk.bench.claim()
        return transact(*args, **options)

    store.transact = meanwhile
    report = desk.live.sync()

    assert (told(report), report["conflicts"][0]["why"]) == (["a.files"], "w works on it")
    assert (desk.bench.job("a")["files"], desk.task("a")["files"]) == ([], ["src/new.py"])


def test_a_job_whose_claim_cannot_be_found_is_not_cancelled(desk: Desk) -> None:
    desk.bench.add("a")
    desk.bench.claim()
    desk.live.sync()
    active = desk.bench.store.read("queue/active").get("queue/active")
    desk.bench.store.transact(lambda view: view.put("queue/active", {**active, "claims": {}}), who="x")
    desk.live.sync()
    desk.write({**desk.read(), "tasks": []})

    report = desk.live.sync()

    assert (told(report), report["cancelled"]) == (["a."], [])
    assert desk.bench.job("a")["status"] == "in_progress"
    desk.bench.store.transact(lambda view: view.put("queue/active", active), who="x")
