"""What becomes of a claim: completed, failed, given back; dependencies, sub-tasks, files, damage."""

from __future__ import annotations

from typing import Any

import pytest

from latchboard.errors import (
    LeaseExpired,
    MalformedRecord,
    NothingReady,
    NotReady,
    StaleToken,
    UsageError,
    WrongStatus,
)
from tests.services.workqueue.support import Bench


def test_a_job_is_completed_once(bench: Bench) -> None:
    bench.add("a")
    job, token = bench.claim()
    bench.queue.complete(job, token, result={"n": 1})

    with pytest.raises(StaleToken, match="ended \\(completed\\)"):
        bench.queue.complete(job, token, result={"n": 2})

    assert bench.job("a")["result"] == {"n": 1}
    assert bench.active() == {}


@pytest.mark.parametrize(
    ("verb", "said", "other"),
    [
        ("complete", {"result": {"n": 1}}, {"result": {"n": 2}}),
        ("complete", {"result": 1, "to": "needs_adapt"}, {"result": 1}),
        ("fail", {"error": "e"}, {"error": "f"}),
        ("fail", {"error": "e", "is_final": True}, {"error": "e"}),
        ("release", {}, None),
    ],
)
def test_who_lost_the_answer_asks_again_and_gets_it(bench: Bench, verb: str, said: Any, other: Any) -> None:
    bench.add("a", then=["tester"], files=["x"])
    job, token = bench.claim()
    first = getattr(bench.queue, verb)(job, token, **said)
    before = bench.store.read("queue/active").revision

    again = getattr(bench.queue, verb)(job, token, **said)

    assert again == {**first, "already": True}
    assert bench.store.read("queue/active").revision == before
    for also in ("complete", "fail", "release"):
        more = other if also == verb else {"error": "?"} if also == "fail" else {}
        if more is not None and (also != verb or other is not None):
            with pytest.raises(StaleToken):
                getattr(bench.queue, also)(job, token, **more)


def test_the_answer_is_known_also_when_the_next_one_works_on_it(bench: Bench) -> None:
    bench.add("a", then=["tester"])
    job, token = bench.claim()
    bench.queue.complete(job, token, result=1)
    bench.claim("tester", "t")

    again = bench.queue.complete(job, token, result=1)

    assert (again["already"], again["status"], again["attempts"][0]["became"]) == (True, "testing", "awaiting_test")
    assert list(bench.active()) == ["a"]


def test_a_job_goes_through_its_roles(bench: Bench) -> None:
    bench.add("a", role="planner", then=["builder", "tester", "integrator"])
    seen = []
    for role in ("planner", "builder", "tester", "integrator"):
        job, token = bench.claim(role)
        seen.append(bench.job("a")["status"])
        bench.queue.complete(job, token)

    assert seen == ["planning", "in_progress", "testing", "integrating"]
    assert bench.job("a")["status"] == "done"


def test_a_plan_waits_to_be_accepted(bench: Bench) -> None:
    bench.add("a", role="planner")
    bench.queue.complete(*bench.claim("planner"), to="planning_complete")
    with pytest.raises(NothingReady):
        bench.claim()

    bench.queue.accept("a", by="lead")

    assert bench.claim()[0] == "a"


def test_failing_is_tried_again_after_a_pause_that_doubles(bench: Bench) -> None:
    bench.add("a")
    for pause_s in (10, 20):
        job, token = bench.claim()
        bench.queue.fail(job, token, error=f"after {pause_s}")
        bench.clock.advance(pause_s - 0.001)
        with pytest.raises(NothingReady):
            bench.claim()
        bench.clock.advance(0.001)

    job, token = bench.claim()
    dead = bench.queue.fail(job, token, error="the last")

    assert dead["status"] == "dead"
    assert [a["error"] for a in dead["attempts"]] == ["after 10", "after 20", "the last"]
    bench.clock.advance(1e6)
    with pytest.raises(NothingReady):
        bench.claim()


def test_a_dead_job_is_brought_back_with_all_its_attempts(bench: Bench) -> None:
    bench.add("a", attempts_max=1)
    bench.queue.fail(*bench.claim(), error="e")

    bench.queue.requeue("a", by="lead")

    job, token = bench.claim()
    assert bench.job(job)["attempts_count"] == 1
    bench.queue.complete(job, token)


def test_a_final_error_is_not_tried_again(bench: Bench) -> None:
    bench.add("a")

    assert bench.queue.fail(*bench.claim(), error="e", is_final=True)["status"] == "dead"


def test_giving_back_counts_no_attempt(bench: Bench) -> None:
    bench.add("a", attempts_max=1)
    for _ in range(5):
        bench.queue.release(*bench.claim())

    job, token = bench.claim()

    assert bench.queue.complete(job, token)["status"] == "done"


def test_cancelling_and_blocking_end_a_claim(bench: Bench) -> None:
    bench.add("a", "b")
    a, b = bench.claim(), bench.claim()
    bench.queue.cancel("a", by="lead", reason="no")
    bench.queue.block("b", by="lead")

    for job, token in (a, b):
        with pytest.raises(StaleToken):
            bench.queue.complete(job, token)
        with pytest.raises(StaleToken):
            bench.queue.renew(job, token)
    bench.queue.unblock("b", by="lead")
    assert bench.claim()[0] == "b"


def test_what_is_done_stays_done(bench: Bench) -> None:
    bench.add("a")
    bench.queue.complete(*bench.claim())

    for call in (bench.queue.cancel, bench.queue.block, bench.queue.unblock, bench.queue.accept, bench.queue.requeue):
        with pytest.raises(WrongStatus):
            call("a", by="lead")  # type: ignore[operator]


def test_many_wait_for_one_and_one_for_many(bench: Bench) -> None:
    bench.queue.set_limits(by="s", roles={"builder": 50})
    bench.add("root")
    bench.add(*[f"m{n}" for n in range(20)], dependencies=["root"])
    bench.add("end", dependencies=[f"m{n}" for n in range(20)])
    assert bench.lines() == {"ready.builder": ["root"]}

    bench.queue.complete(*bench.claim())
    claims = [bench.claim() for _ in range(20)]
    with pytest.raises(NothingReady):
        bench.claim()
    for claim in claims:
        bench.queue.complete(*claim)

    assert bench.claim()[0] == "end"


def test_a_dependency_that_is_done_is_not_waited_for(bench: Bench) -> None:
    bench.add("a")
    bench.queue.complete(*bench.claim())

    bench.add("b", dependencies=["a"])

    assert bench.claim()[0] == "b"


def test_a_circle_is_refused_and_named(bench: Bench) -> None:
    drafts = [
        {"id": "a", "title": "a", "role": "builder", "dependencies": ["b"]},
        {"id": "b", "title": "b", "role": "builder", "dependencies": ["c"]},
        {"id": "c", "title": "c", "role": "builder", "dependencies": ["a"]},
    ]

    with pytest.raises(UsageError, match="a -> b -> c -> a") as refused:
        bench.queue.submit(drafts, by="s")

    assert refused.value.fields["cycle"] == ["a", "b", "c", "a"]
    assert bench.job("a") is None


def test_a_circle_through_a_parent_is_refused(bench: Bench) -> None:
    bench.add("top")
    bench.add("after", dependencies=["top"])

    with pytest.raises(UsageError) as refused:
        bench.add("child", parent="top", dependencies=["after"])

    assert set(refused.value.fields["cycle"]) == {"child", "top", "after"}
    assert bench.job("top")["waits_for"] == []


@pytest.mark.parametrize(
    "draft", [{"id": "a"}, {"dependencies": ["nobody"]}, {"parent": "nobody"}, {"parent": "a"}, {"title": ""}]
)
def test_what_cannot_be_submitted_changes_nothing(bench: Bench, draft: dict[str, Any]) -> None:
    bench.add("a")
    bench.queue.complete(*bench.claim())
    before = bench.store.read("jobs/").revision

    with pytest.raises(UsageError):
        bench.queue.submit(
            [{"id": "z", "title": "z", "role": "builder"}, {"title": "t", "role": "builder", **draft}], by="s"
        )

    assert bench.store.read("jobs/").revision == before


@pytest.mark.parametrize("count", [0, 1001])
def test_a_batch_has_a_limit(bench: Bench, count: int) -> None:
    with pytest.raises(UsageError, match="at once"):
        bench.queue.submit([{"title": "t", "role": "builder"}] * count, by="s")


def test_ids_are_given_and_never_twice(bench: Bench) -> None:
    bench.add("job-2", "job-3")

    made = bench.queue.submit([{"title": "t", "role": "builder"}] * 2, by="s")
    bench.add("job-5a")
    bench.add("job-6")
    last = bench.queue.submit([{"title": "t", "role": "builder"}], by="s")

    assert [job["id"] for job in made] == ["job-3a", "job-4"]
    assert last[0]["id"] == "job-7"


def test_a_parent_waits_for_its_sub_tasks(bench: Bench) -> None:
    bench.add("top")
    job, token = bench.claim()
    bench.add("part", parent="top")

    with pytest.raises(NotReady) as refused:
        bench.queue.complete(job, token)
    assert refused.value.fields["waits_for"] == ["part"]
    bench.queue.release(job, token)
    assert bench.claim()[0] == "part"
    bench.queue.complete("part", bench.active()["part"]["token"])

    assert bench.claim()[0] == "top"


def test_a_claim_takes_the_locks_of_its_files_and_gives_them_back(bench: Bench) -> None:
    bench.add("a", files=["src/x.py", "./src/y.py"])

    job, token = bench.claim(owner="w")

    assert bench.active()["a"]["locks"] == {"src/x.py": token, "src/y.py": token}
    assert {h["agent"] for h in bench.locks.check(["src/x.py", "src/y.py"], agent="other")} == {"w"}
    bench.queue.complete(job, token)
    assert bench.locks.check(["src/x.py", "src/y.py"], agent="other") == []


@pytest.mark.parametrize("how", ["fail", "release", "cancel", "block"])
def test_whatever_ends_a_claim_gives_its_locks_back(bench: Bench, how: str) -> None:
    bench.add("a", files=["x"])
    job, token = bench.claim()

    if how == "fail":
        bench.queue.fail(job, token, error="e")
    elif how == "release":
        bench.queue.release(job, token)
    else:
        getattr(bench.queue, how)(job, by="lead")

    assert bench.locks.check(["x"], agent="other") == []


def test_a_job_whose_files_are_held_lets_the_next_one_go_first(bench: Bench) -> None:
    bench.add("a", files=["x"])
    bench.add("b", files=["y"])
    hold = bench.locks.acquire(bench.locks.request("somebody", ["x"]))

    assert bench.claim()[0] == "b"
    with pytest.raises(NothingReady) as refused:
        bench.claim()
    assert refused.value.fields["held"] == ["a"]

    hold.release()
    assert bench.claim()[0] == "a"


def test_the_locks_live_as_long_as_the_claim(bench: Bench) -> None:
    bench.add("a", files=["x"])
    job, token = bench.claim(ttl_s=100)
    for _ in range(5):
        bench.clock.advance(99)
        bench.queue.renew(job, token)
    assert bench.locks.check(["x"], agent="other") != []

    bench.clock.advance(100)

    assert bench.locks.check(["x"], agent="other") == []
    with pytest.raises(LeaseExpired):
        bench.queue.complete(job, token)
    with pytest.raises(LeaseExpired):
        bench.queue.renew(job, token)


def test_an_expired_claim_gives_back_what_its_owner_holds_no_more(bench: Bench) -> None:
    bench.add("a", files=["x"])
    bench.claim(ttl_s=100, owner="late")
    bench.clock.advance(100)
    hold = bench.locks.acquire(bench.locks.request("somebody", ["x"]))

    with pytest.raises(NothingReady):
        bench.claim(owner="next")

    assert hold.is_live()


@pytest.mark.parametrize(
    "key", ["queue/active", "queue/limits", "queue/ready.builder", "queue/ready.builder.0", "jobs/a"]
)
def test_a_damaged_record_is_told_and_hands_nothing_out(bench: Bench, key: str) -> None:
    bench.add("a")
    bench.queue.set_limits(by="s", roles={"builder": 2})
    kept = bench.store.read(key).get(key)
    bench.store.transact(lambda view: view.put(key, {"nonsense": True}), who="vandal")

    with pytest.raises(MalformedRecord, match=key):
        bench.claim()

    if kept is None:
        bench.store.transact(lambda view: view.delete(key), who="repair")
    else:
        bench.store.transact(lambda view: view.put(key, kept), who="repair")
    assert bench.claim()[0] == "a"


@pytest.mark.parametrize("key", ["queue/ready.builder", "queue/ready.builder.0"])
def test_a_line_that_lost_a_job_is_damage_and_not_silence(bench: Bench, key: str) -> None:
    bench.add("a", "b")
    kept = bench.store.read(key).get(key)
    if key.endswith(".0"):
        bench.store.transact(lambda view: view.put(key, {"places": [kept["places"][1]]}), who="vandal")
    else:
        bench.store.transact(lambda view: view.delete(key), who="vandal")

    with pytest.raises(MalformedRecord):
        bench.queue.cancel("a", by="lead")

    bench.store.transact(lambda view: view.put(key, kept), who="repair")
    bench.queue.cancel("a", by="lead")


def test_a_number_that_is_none_hands_out_no_id(bench: Bench) -> None:
    bench.add("a")
    bench.store.transact(lambda view: view.put("queue/numbers", {"submitted": "many"}), who="vandal")

    with pytest.raises(MalformedRecord):
        bench.add("b")


def test_fields_of_later_versions_are_kept(bench: Bench) -> None:
    bench.add("a")
    bench.store.transact(lambda view: view.put("jobs/a", {**bench_job(view), "colour": "red"}), who="later")
    bench.queue.complete(*bench.claim())

    assert bench.job("a")["colour"] == "red"


def bench_job(view: Any) -> Any:
    return view.get("jobs/a")
