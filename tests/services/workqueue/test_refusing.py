"""Refusals: what happened, to what, who is in the way, since when, and what to do next."""

from __future__ import annotations

from typing import Any

import pytest

from latchboard.errors import (
    CoordinationError,
    NothingReady,
    NotReady,
    StaleToken,
    UsageError,
    WipLimitReached,
    WrongStatus,
)
from tests.services.workqueue.support import Bench


def refused(kind: type[CoordinationError], do: Any, *args: Any, **named: Any) -> CoordinationError:
    with pytest.raises(kind) as found:
        do(*args, **named)
    return found.value


def since(bench: Bench, job_id: str) -> str:
    return str(bench.active()[job_id]["started_at"])


def test_a_full_role_tells_who_works_on_what_since_when_and_how_to_raise_the_limit(bench: Bench) -> None:
    bench.add("a", role="integrator")
    bench.add("b", role="integrator")
    bench.claim("integrator", "bo")
    bench.clock.advance(10)

    exc = refused(WipLimitReached, bench.claim, "integrator")

    at = since(bench, "a")
    assert exc.message == f"1 job of role integrator is in progress, and at most 1 may be: bo works on a since {at}"
    assert "latchboard queue limits integrator=2`" in exc.hint
    assert exc.fields["holders"] == [
        {"agent": "bo", "name": "a", "since": at, "remaining_s": 5390.0, "reason": "job a"}
    ]


def test_a_full_queue_tells_of_all_roles_and_a_stopped_role_of_nobody(bench: Bench) -> None:
    bench.add("a", "b", "c", "d", "e")
    bench.add("t", role="tester")
    bench.queue.set_limits(by="s", roles={"builder": 9, "tester": 0}, total=4)
    for _ in range(4):
        bench.claim()

    total = refused(WipLimitReached, bench.claim)
    stopped = refused(WipLimitReached, bench.claim, "tester")

    assert total.message.startswith("4 jobs are in progress, and at most 4 may be: w works on a since ")
    assert total.message.endswith(", 1 more")
    assert len(total.fields["holders"]) == 4
    assert "latchboard queue limits --total 5`" in total.hint
    assert stopped.message == "0 jobs of role tester are in progress, and at most 0 may be"
    assert (stopped.hint, stopped.fields["holders"]) == ("raise the limit: `latchboard queue limits tester=1`", [])


def test_files_that_are_not_free_are_told_with_who_has_them(bench: Bench) -> None:
    bench.add("a", files=["x.py"])
    bench.locks.acquire(bench.locks.request("person", ["x.py"], bound="agent"))

    first, again = (refused(NothingReady, bench.claim) for _ in range(2))

    (holder,) = again.fields["holders"]
    assert (holder["agent"], holder["name"], holder["job"]) == ("person", "x.py", "a")
    assert first.message == again.message
    assert first.message == (
        f"no job is ready for a builder: the files of a are not free: person holds x.py since {holder['since']}"
    )


def test_who_stands_in_front_is_told_too(bench: Bench) -> None:
    bench.add("a", "b", files=["x.py"])
    bench.locks.acquire(bench.locks.request("person", ["x.py"], bound="agent"))
    refused(NothingReady, bench.claim, job="a")
    bench.queue.cancel("a", by="s")
    bench.queue.requeue("a", by="s")

    exc = refused(NothingReady, bench.claim, job="b")
    behind = refused(NothingReady, bench.claim, job="a")

    assert "person holds x.py since " in exc.message
    assert "job.b waits for them since " in behind.message


def test_a_job_that_was_named_says_who_works_on_it_or_whose_turn_it_is(bench: Bench) -> None:
    bench.add("a", "b")
    bench.claim(owner="bo", job="a")

    taken = refused(WrongStatus, bench.claim, job="a")
    other = refused(WrongStatus, bench.claim, "integrator", job="b")
    bench.queue.cancel("b", by="s")
    over = refused(WrongStatus, bench.claim, job="b")

    at = since(bench, "a")
    assert taken.message == f"a is in_progress: bo works on it since {at}; a builder cannot claim it"
    assert (taken.fields["holders"][0]["agent"], taken.fields["event"]) == ("bo", "claim")
    assert other.message == "b is ready for a builder: an integrator cannot claim it"
    assert over.message == "b is cancelled: a builder cannot claim it"


def test_a_wrong_token_tells_who_works_on_it_since_when(bench: Bench) -> None:
    bench.add("a")
    bench.claim(owner="bo")

    exc = refused(StaleToken, bench.queue.complete, "a", 1)

    assert exc.message == f"token 1 is not that of a claim of a; bo works on it since {since(bench, 'a')}"


def test_what_a_job_cannot_become_is_told_with_what_it_can(bench: Bench) -> None:
    bench.add("a")
    _, token = bench.claim()

    become = refused(WrongStatus, bench.queue.complete, "a", token, to="testing")
    bench.queue.complete("a", token)
    over = refused(WrongStatus, bench.queue.requeue, "a", by="s")

    assert become.message.startswith("a is in_progress: it cannot become testing, but needs_plan, ready, ")
    assert over.message == "a is done: it cannot be brought back"


def test_who_waits_for_its_time_is_told_so(bench: Bench) -> None:
    bench.add("a", ready_at="2999-01-01T00:00:00Z")

    exc = refused(NotReady, bench.claim, job="a")

    assert exc.message == "a is not to be claimed before 2999-01-01T00:00:00.000000Z"
    assert exc.hint == "ask again then, or claim another one"


@pytest.mark.parametrize(
    ("draft", "message", "hint"),
    [
        ({"title": "\udcff"}, "characters of Unicode", ""),
        ({"ready_at": "tomorrow"}, "not an ISO 8601 time", "such as 2026-11-21T06:00:00Z"),
        ({"id": "-x"}, "a job's id is", "leave it out and the queue gives one"),
        ({"dependencies": ["-x"]}, "a job's id is", "`latchboard queue list` shows what there is"),
    ],
)
def test_what_can_be_no_job_is_told_with_what_helps(bench: Bench, draft: Any, message: str, hint: str) -> None:
    exc = refused(UsageError, bench.queue.submit, [{"role": "builder", "title": "t", **draft}], by="s")

    assert message in exc.message
    assert exc.hint == hint


def test_total_is_no_role_that_a_limit_is_set_for(bench: Bench) -> None:
    assert "--total" in refused(UsageError, bench.queue.set_limits, by="s", roles={"total": 3}).hint
    assert "total" not in bench.queue.limits()["roles"]
