"""Edges of the queue's laws: what a guard alone keeps, where nothing else would tell that it is gone."""

from __future__ import annotations

from typing import Any

import pytest

from latchboard.clock import iso
from latchboard.errors import (
    LeaseExpired,
    MalformedRecord,
    NothingReady,
    StaleToken,
    StoreUnavailable,
    UsageError,
    WipLimitReached,
    WrongStatus,
)
from latchboard.workqueue import WorkQueue, repairing, submitting
from tests.machines.test_mailbox import Shaky
from tests.services.engine import needs_large_commits
from tests.services.workqueue.support import SETTINGS, Bench
from tests.services.workqueue.test_hostile import plant


def at(bench: Bench, s: float = 0.0) -> str:
    return iso(bench.clock.now().wall_s + s)


@pytest.mark.parametrize("limits", [{"roles": {"builder": 1}}, {"total": 1}])
def test_a_job_that_is_named_is_claimed_within_the_limits_too(bench: Bench, limits: dict[str, Any]) -> None:
    bench.queue.set_limits(by="s", **limits)
    bench.add("a", "b")
    bench.claim()

    with pytest.raises(WipLimitReached):
        bench.claim(job="b")

    assert list(bench.active()) == ["a"]


@pytest.mark.parametrize("status", ["in_progress", "blocked", "cancelled", "done"])
def test_what_is_in_no_line_is_not_claimed_by_its_name_and_is_no_damage(bench: Bench, status: str) -> None:
    bench.add("a")
    if status in ("in_progress", "done"):
        claim = bench.claim()
    if status == "done":
        bench.queue.complete(*claim)
    if status == "blocked":
        bench.queue.block("a", by="lead")
    if status == "cancelled":
        bench.queue.cancel("a", by="lead")

    with pytest.raises(WrongStatus) as refused:
        bench.claim(job="a", owner="thief")

    assert refused.value.fields["status"] == status


@pytest.mark.parametrize("role", ["A", "", "../x", None])
def test_what_is_no_role_claims_nothing(bench: Bench, role: Any) -> None:
    bench.add("a")

    with pytest.raises(UsageError, match="a role is"):
        bench.claim(role)


def test_everything_that_expired_comes_back_at_once(bench: Bench) -> None:
    bench.add("a", "b", "c", files=["x"])
    bench.add("t", "u", role="tester")
    bench.claim(ttl_s=10)
    bench.claim("tester", ttl_s=9)
    bench.claim("tester", ttl_s=100)
    bench.clock.advance(10)

    bench.claim()

    assert set(bench.active()) == {"u", "b"}
    assert [bench.job(one)["attempts"][0]["outcome"] for one in ("a", "t")] == ["expired"] * 2


@pytest.mark.parametrize("record", ["job", "claim"])
def test_a_token_counts_if_the_job_and_its_claim_have_it(bench: Bench, record: str) -> None:
    bench.add("a")
    job, token = bench.claim()
    kept, claims = bench.job("a"), bench.active()
    if record == "job":
        plant(bench, "jobs/a", {**kept, "token": token + 1})
    else:
        plant(bench, "queue/active", {"claims": {"a": {**claims["a"], "token": token + 1}}})

    for shown in (token, token + 1):
        for call in (
            lambda shown=shown: bench.queue.complete(job, shown),
            lambda shown=shown: bench.queue.fail(job, shown, error="e"),
            lambda shown=shown: bench.queue.release(job, shown),
            lambda shown=shown: bench.queue.renew(job, shown),
        ):
            with pytest.raises(StaleToken):
                call()

    plant(bench, "jobs/a", kept)
    plant(bench, "queue/active", {"claims": claims})
    assert bench.queue.complete(job, token)["status"] == "done"


def test_a_result_that_is_too_large_ends_no_claim(bench: Bench) -> None:
    bench.add("a")
    job, token = bench.claim()

    with pytest.raises(UsageError, match="at most 65536"):
        bench.queue.complete(job, token, result="x" * 65536)

    assert bench.queue.complete(job, token, result="less")["status"] == "done"


def test_who_lost_its_locks_may_give_the_job_back_and_nothing_else(bench: Bench) -> None:
    bench.add("a", files=["x"])
    job, token = bench.claim(ttl_s=100)
    bench.clock.advance(107)

    for call in (
        lambda: bench.queue.complete(job, token),
        lambda: bench.queue.fail(job, token, error="e"),
        lambda: bench.queue.renew(job, token),
    ):
        with pytest.raises(LeaseExpired) as refused:
            call()
        assert refused.value.fields["expired_for_s"] == 7

    assert bench.queue.release(job, token)["status"] == "ready"


def test_what_failed_together_is_not_tried_together(bench: Bench) -> None:
    luck = iter([1.0, 0.0])
    queue = WorkQueue(bench.store, SETTINGS, bench.locks, lambda: next(luck))
    bench.add("a", "b")

    pauses = [queue.fail(*bench.claim(), error="e")["ready_at"] for _ in "ab"]

    assert pauses == [at(bench, 5), at(bench, 10)]


@needs_large_commits
def test_sixty_four_come_back_in_one_claim_and_the_rest_with_the_next(bench: Bench) -> None:
    bench.add(*[f"j{n}" for n in range(65)], role="tester", ready_at=at(bench, 10))
    bench.clock.advance(10)

    with pytest.raises(NothingReady):
        bench.claim()
    assert bench.lines()["later"] == ["j64"]
    with pytest.raises(NothingReady):
        bench.claim()

    assert len(bench.lines()["ready.tester"]) == 65
    assert {bench.job(one)["changed_at"] for one in ("j0", "j64")} == {at(bench)}


def test_who_was_waited_for_tells_those_who_still_wait_and_when(bench: Bench) -> None:
    bench.add("a")
    bench.add("b", "gone", "edited", dependencies=["a"])
    claim = bench.claim()
    plant(bench, "jobs/gone", None)
    other = {**bench.job("edited"), "waits_for": [], "status": "blocked"}
    plant(bench, "jobs/edited", other)
    bench.clock.advance(5)

    bench.queue.complete(*claim)

    assert (bench.job("b")["waits_for"], bench.job("b")["changed_at"]) == ([], at(bench))
    assert bench.job("edited") == other


def test_what_others_write_beside_it_is_kept(bench: Bench) -> None:
    bench.queue.set_limits(by="s", roles={"builder": 2})
    bench.add("a", "b")
    bench.claim()
    keys = ["queue/active", "queue/limits", "queue/numbers", "queue/ready.builder", "queue/ready.builder.0"]
    for key in keys:
        plant(bench, key, {**bench.store.read(key).get(key), "colour": "red"})

    bench.add("late", priority=0)
    bench.add(*[f"j{n}" for n in range(64)])
    bench.queue.set_limits(by="s", roles={"builder": 3})
    bench.queue.complete(*bench.claim())

    assert [bench.store.read(key).get(key)["colour"] for key in keys] == ["red"] * 5


def test_limits_that_are_what_they_were_commit_nothing(bench: Bench) -> None:
    bench.queue.set_limits(by="s", roles={"builder": 2}, total=5)
    before = bench.store.read("queue/limits").revision

    bench.queue.set_limits(by="s", roles={"builder": 2})
    bench.queue.set_limits(by="s")

    assert bench.store.read("queue/limits").revision == before


def test_a_full_sheet_in_the_middle_of_a_line_goes_on_behind_itself(bench: Bench) -> None:
    bench.add(*[f"a{n}" for n in range(64)], priority=10)
    bench.add("last", priority=20)
    bench.add("behind", priority=10)
    bench.add("front", priority=0)

    line = bench.lines()["ready.builder"]

    assert (line[0], line[1], line[-2:]) == ("front", "a0", ["behind", "last"])


@pytest.mark.parametrize("part", ["index", "sheet"])
def test_a_time_among_priorities_is_damage_in_either_record_of_a_line(bench: Bench, part: str) -> None:
    """Else nobody could tell which comes first, and whoever claims would crash."""
    bench.add("a")
    index, sheet = (bench.store.read(key).get(key) for key in ("queue/ready.builder", "queue/ready.builder.0"))
    if part == "index":
        plant(bench, "queue/ready.builder", {**index, "sheets": [{"start": ["0", 0, "a"], "sheet": 0}]})
    else:
        plant(bench, "queue/ready.builder.0", {"places": [["0", 0, "a"]]})

    with pytest.raises(MalformedRecord, match=r"queue/ready\.builder"):
        bench.claim()

    plant(bench, "queue/ready.builder", index)
    plant(bench, "queue/ready.builder.0", sheet)


def test_of_a_line_that_is_empty_nothing_is_left(bench: Bench) -> None:
    bench.add("a")
    bench.add("b", ready_at=at(bench, 10))
    bench.clock.advance(10)
    for _ in range(2):
        bench.queue.complete(*bench.claim())

    assert [key for key, _ in bench.store.read("queue/").scan("queue/")] == ["queue/active", "queue/numbers"]


# -- submitting ----------------------------------------------------------------------------------------------------


def submit(bench: Bench, *drafts: dict[str, Any]) -> list[Any]:
    return bench.queue.submit([{"title": "t", "role": "builder", **draft} for draft in drafts], by="s", durable=False)


def test_a_batch_of_the_greatest_size_is_taken(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submitting, "BATCH_COUNT_MAX", 3)

    assert len(submit(bench, {}, {}, {})) == 3
    with pytest.raises(UsageError, match="1 to 3"):
        submit(bench, {}, {}, {}, {})


def test_an_id_is_given_once_in_a_batch_too(bench: Bench) -> None:
    with pytest.raises(UsageError, match="there is a job x"):
        submit(bench, {"id": "x"}, {"id": "x"})

    assert bench.job("x") is None


def test_who_is_named_twice_is_waited_for_once(bench: Bench) -> None:
    submit(bench, {"id": "top", "dependencies": ["part"]}, {"id": "part", "parent": "top"})

    assert (bench.job("top")["waits_for"], bench.job("part")["dependents"]) == (["part"], ["top"])


def test_parts_of_one_job_that_come_together_are_all_waited_for(bench: Bench) -> None:
    bench.add("top")

    submit(bench, {"id": "p", "parent": "top"}, {"id": "q", "parent": "top"}, {"id": "r", "dependencies": ["top"]})

    assert bench.job("top")["waits_for"] == ["p", "q"]
    assert bench.job("top")["dependents"] == ["r"]


def test_what_goes_on_to_the_next_role_is_waited_for_still(bench: Bench) -> None:
    bench.add("a", then=["tester"])
    bench.add("b", dependencies=["a"])

    bench.queue.complete(*bench.claim())
    assert bench.job("b")["waits_for"] == ["a"]

    bench.queue.complete(*bench.claim("tester"))
    assert bench.job("b")["waits_for"] == []


def test_files_are_kept_by_the_names_of_their_locks(bench: Bench) -> None:
    bench.add("a", files=["./src//x.py", "src/x.py", "src/../y.py"])
    assert bench.job("a")["files"] == ["src/x.py", "y.py"]

    with pytest.raises(UsageError):
        bench.add("b", files=["a\0b"])


def test_what_is_blocked_gets_parts_and_waits_for_them(bench: Bench) -> None:
    bench.add("top")
    bench.queue.block("top", by="lead")

    bench.add("part", parent="top")
    bench.queue.unblock("top", by="lead")

    assert bench.claim()[0] == "part"
    with pytest.raises(NothingReady):
        bench.claim()


@pytest.mark.parametrize("how", ["cancelled", "dead"])
def test_what_is_over_gets_no_more_parts(bench: Bench, how: str) -> None:
    bench.add("top")
    if how == "dead":
        bench.queue.fail(*bench.claim(), error="e", is_final=True)
    else:
        bench.queue.cancel("top", by="lead")

    with pytest.raises(UsageError, match=f"top is {how}"):
        bench.add("part", parent="top")


def test_a_circle_that_goes_a_long_way_through_older_jobs_is_refused(bench: Bench) -> None:
    bench.add("top")
    for name, needed in (("one", "top"), ("two", "one"), ("three", "two")):
        bench.add(name, dependencies=[needed])

    with pytest.raises(UsageError) as refused:
        bench.add("part", parent="top", dependencies=["three"])

    assert refused.value.fields["cycle"] == ["part", "three", "two", "one", "top", "part"]


def test_a_number_below_zero_gives_no_id(bench: Bench) -> None:
    plant(bench, "queue/numbers", {"submitted": -1})

    with pytest.raises(MalformedRecord, match="queue/numbers"):
        bench.add("a")


# -- what is told --------------------------------------------------------------------------------------------------


def test_jobs_are_told_in_the_order_in_which_they_came(bench: Bench) -> None:
    bench.add("z", "a", "m")

    assert list(bench.queue.look().jobs) == ["z", "a", "m"]


def test_who_waits_for_what_will_not_be_done_is_stuck_unless_it_is_over_itself(bench: Bench) -> None:
    bench.add("dead", "blocked", "cancelled", "fine")
    for needed in ("dead", "blocked", "cancelled", "fine"):
        bench.add(f"after-{needed}", f"over-{needed}", dependencies=[needed])
        bench.queue.cancel(f"over-{needed}", by="lead")
    bench.queue.fail(*bench.claim(), error="e", is_final=True)
    bench.queue.block("blocked", by="lead")
    bench.queue.cancel("cancelled", by="lead")

    stuck = [(one["job"], one["status"]) for one in bench.queue.look().stuck()]

    assert stuck == [(f"after-{status}", status) for status in ("dead", "blocked", "cancelled")]


def test_a_part_of_a_job_that_is_gone_is_shown_and_waited_for_by_nobody(bench: Bench) -> None:
    bench.add("top")
    bench.add("part", parent="top")
    bench.queue.complete(*bench.claim(job="part"))
    closed = {"from": "part", "to": "top", "kind": "sub-task", "is_open": False}
    assert bench.queue.look().graph()["edges"] == [closed]
    bench.queue.complete(*bench.claim())
    plant(bench, "jobs/top", None)

    assert bench.queue.look().graph()["edges"] == [closed]


def test_a_refusal_names_twenty_who_are_in_the_way_and_counts_the_others(bench: Bench) -> None:
    bench.queue.set_limits(by="s", roles={"builder": 21})
    for n in range(21):
        submit(bench, {"files": [f"d/{n}"], "role": "tester"}, {})
        bench.claim()
    bench.locks.acquire(bench.locks.request("person", ["d/"], bound="agent"))

    with pytest.raises(WipLimitReached, match="18 more") as full:
        bench.claim()
    with pytest.raises(NothingReady) as held:
        bench.claim("tester")

    assert (len(full.value.fields["holders"]), len(held.value.fields["holders"])) == (20, 20)
    assert (full.value.fields["in_progress"], len(held.value.fields["held"])) == (21, 21)


# -- the store -----------------------------------------------------------------------------------------------------


class Heard(Shaky):
    """A store that remembers which commits were asked to be durable, and can be made to refuse to be read."""

    def __init__(self, store: Any) -> None:
        super().__init__(store)
        self.durable: list[Any] = []
        self.is_silent = False

    def transact(self, fn: Any, **options: Any) -> Any:
        self.durable.append(options["durable"])
        return super().transact(fn, **options)

    def read(self, *keys: str, **options: Any) -> Any:
        if self.is_silent:
            raise StoreUnavailable("nothing can be read")
        return self.inner.read(*keys, **options)


def everything(bench: Bench, **how: Any) -> None:
    """Every verb that changes something, once at least; but for renewals."""
    queue = bench.queue
    queue.set_limits(by="s", roles={"builder": 5}, **how)
    queue.submit([{"id": "a", "title": "a", "role": "planner"}], by="s", **how)

    def claim(role: str) -> tuple[str, int]:
        return "a", queue.claim(role, "w", **how)["lease"]["token"]

    queue.release(*claim("planner"), **how)
    queue.complete(*claim("planner"), to="planning_complete", **how)
    queue.accept("a", by="lead", **how)
    queue.block("a", by="lead", **how)
    queue.unblock("a", by="lead", **how)
    queue.cancel("a", by="lead", **how)
    queue.requeue("a", by="lead", **how)
    queue.fail(*claim("builder"), error="e", **how)


def test_every_change_is_durable_but_for_renewals_and_where_less_is_asked(bench: Bench) -> None:
    heard: Any = Heard(bench.store)
    bench.queue.store = heard
    everything(bench)
    assert heard.durable == [True] * 13

    bench.queue.cancel("a", by="lead")
    bench.store.transact(lambda view: view.delete("jobs/a"), who="x")
    heard.durable.clear()
    everything(bench, durable=False)
    bench.clock.advance(10)
    bench.queue.renew(*bench.claim())
    bench.queue.renew_all("w")

    assert heard.durable == [False] * 16


def test_a_repair_is_durable(bench: Bench) -> None:
    bench.add("a")
    plant(bench, "queue/ready.builder", None)
    heard: Any = Heard(bench.store)

    assert repairing.repair(heard, by="doctor").faults

    assert heard.durable == [True]


def test_where_the_store_fails_and_cannot_be_read_the_first_fault_is_told(bench: Bench) -> None:
    bench.add("a")
    heard: Any = Heard(bench.store)
    bench.queue.store = heard
    heard.fails, heard.is_silent = "after", True

    with pytest.raises(StoreUnavailable, match="not known whether"):
        bench.queue.claim("builder", "w")


def test_the_history_names_who_acted(bench: Bench) -> None:
    watch = bench.store.watch("jobs/", after=bench.store.read("jobs/").revision)
    bench.add("a", "b")
    job, token = bench.claim(owner="w")
    bench.queue.renew(job, token)
    bench.queue.fail(job, token, error="e")
    bench.queue.release(*bench.claim(owner="v"))
    bench.queue.cancel("a", by="lead")

    found = [change.who for change in watch.poll()]

    watch.close()
    assert found == ["submitter", "submitter", "w", "w", "v", "v", "lead"]
