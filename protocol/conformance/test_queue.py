"""workqueue.md through the verbs of the queue."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from .conftest import Answer, Subject

pytestmark = pytest.mark.queue


def _add(subject: Subject, role: str, title: str, *more: str) -> str:
    return str(subject.done("queue", "add", role, title, *more, "--agent", "lead")["job"]["id"])


def _claim(subject: Subject, role: str, *more: str, agent: str = "worker") -> tuple[str, str]:
    found = subject.done("queue", "claim", role, *more, "--agent", agent)
    return found["job"]["id"], str(found["lease"]["token"])


def _refused(subject: Subject, *words: str) -> Answer:
    answer = subject.ask("queue", *words)
    assert answer.status in (10, 11), answer
    return answer


def _job(subject: Subject, job: str) -> Any:
    return subject.done("queue", "show", job)["job"]


def test_the_lowest_priority_number_goes_first_then_the_oldest(subject: Subject) -> None:
    for title, priority in (("late", "60"), ("first", "50"), ("second", "50"), ("urgent", "0")):
        _add(subject, "painter", title, "--priority", priority, "--id", title)
    subject.done("queue", "limits", "painter=9", "--agent", "lead")

    assert [_claim(subject, "painter")[0] for _ in range(4)] == ["urgent", "first", "second", "late"]


def test_a_job_is_completed_once_and_by_its_token(subject: Subject) -> None:
    job = _add(subject, "builder", "a")
    _, token = _claim(subject, "builder")

    assert _refused(subject, "complete", job, "--token", str(int(token) - 1)).code == "stale-token"
    assert subject.done("queue", "complete", job, "--token", token, "--result", '{"n":1}')["already"] is False
    assert subject.done("queue", "complete", job, "--token", token, "--result", '{"n":1}')["already"] is True
    late = _refused(subject, "complete", job, "--token", token, "--result", '{"n":2}')
    assert (late.status, late.code) == (11, "stale-token")
    assert (_job(subject, job)["status"], _job(subject, job)["result"]) == ("done", {"n": 1})


def test_limits_are_the_founding_ones_and_hold(subject: Subject) -> None:
    limits = subject.done("queue", "limits")["roles"]
    assert {role: one["limit"] for role, one in limits.items()} == {
        "planner": 1,
        "builder": 3,
        "tester": 2,
        "refiner": 1,
        "integrator": 1,
    }
    for _ in range(3):
        _add(subject, "tester", "t")
    for _ in range(2):
        _claim(subject, "tester")

    assert _refused(subject, "claim", "tester", "--agent", "w").code == "wip-limit-reached"


def test_a_claim_that_ran_out_comes_back_and_its_owner_is_refused(subject: Subject) -> None:
    job = _add(subject, "builder", "a")
    _, late = _claim(subject, "builder", "--ttl-s", "0.5", agent="late")

    def has_come_back() -> bool:
        return subject.ask("queue", "claim", "nobody", "--agent", "x").status == 10 and (
            _job(subject, job)["status"] == "ready"
        )

    subject.until(has_come_back)

    assert [one["outcome"] for one in _job(subject, job)["attempts"]] == ["expired"]
    for verb in ("renew", "complete", "fail", "release"):
        assert _refused(subject, verb, job, "--token", late).status == 11


def test_what_waits_for_another_is_claimed_after_it(subject: Subject) -> None:
    first = _add(subject, "builder", "first")
    second = _add(subject, "tester", "second", "--after", first)
    assert _refused(subject, "claim", "tester", "--agent", "w").code == "nothing-ready"
    assert _refused(subject, "claim", "tester", "--job", second, "--agent", "w").code == "not-ready"

    job, token = _claim(subject, "builder")
    subject.done("queue", "complete", job, "--token", token)

    assert _claim(subject, "tester")[0] == second


def test_a_job_goes_through_its_roles(subject: Subject) -> None:
    job = _add(subject, "planner", "a", "--then", "builder", "--then", "tester")
    seen = []
    for role in ("planner", "builder", "tester"):
        seen.append(_job(subject, job)["status"])
        _, token = _claim(subject, role)
        seen.append(_job(subject, job)["status"])
        subject.done("queue", "complete", job, "--token", token)

    assert seen == ["needs_plan", "planning", "ready", "in_progress", "awaiting_test", "testing"]
    assert _job(subject, job)["status"] == "done"


def test_attempts_that_are_used_up_leave_a_dead_letter_with_its_error(subject: Subject) -> None:
    job = _add(subject, "builder", "a", "--attempts-max", "1")
    _, token = _claim(subject, "builder")

    assert subject.done("queue", "fail", job, "--token", token, "--error", "no compiler")["job"]["status"] == "dead"
    assert subject.done("queue", "list", "--status", "dead")["jobs"][0]["attempts"][0]["error"] == "no compiler"
    assert subject.done("queue", "retry", job, "--agent", "lead")["job"]["status"] == "ready"


def test_a_job_that_is_given_back_has_lost_no_attempt(subject: Subject) -> None:
    job = _add(subject, "builder", "a", "--attempts-max", "1")
    for _ in range(3):
        _, token = _claim(subject, "builder")
        assert subject.done("queue", "release", job, "--token", token)["job"]["status"] == "ready"


def test_the_owner_of_a_claim_holds_its_files_until_the_claim_ends(subject: Subject) -> None:
    job = _add(subject, "builder", "a", "--file", "src/a.py", "--file", "src/b.py")
    _, token = _claim(subject, "builder", agent="b1")
    assert [subject.holder(path) for path in ("src/a.py", "src/b.py")] == ["b1", "b1"]

    subject.done("queue", "complete", job, "--token", token)

    assert [subject.holder(path) for path in ("src/a.py", "src/b.py")] == [None, None]


def test_a_job_whose_files_are_held_stands_in_line_for_them(subject: Subject) -> None:
    job = _add(subject, "builder", "a", "--file", "src/a.py")
    other = _add(subject, "builder", "b")
    subject.lock("src/a.py", agent="person")
    assert _claim(subject, "builder", agent="b1")[0] == other
    assert subject.done("queue", "show", job)["place"]["blocked_by"][0]["agent"] == "person"

    subject.done("release", "src/a.py", "--agent", "person")

    assert subject.ask("acquire", "src/a.py", "--agent", "late").code == "lock-held"
    assert _claim(subject, "builder", agent="b2")[0] == job


def test_a_circle_is_refused_and_named(subject: Subject) -> None:
    job = _add(subject, "builder", "a", "--id", "a")
    answer = subject.ask(
        "queue", "add", "builder", "b", "--id", "b", "--after", job, "--parent", job, "--agent", "lead"
    )

    assert (answer.status, answer.code) == (2, "usage")
    assert answer.json["cycle"][0] == answer.json["cycle"][-1]


def test_whoever_works_on_a_cancelled_job_is_refused(subject: Subject) -> None:
    job = _add(subject, "builder", "a")
    _, token = _claim(subject, "builder")

    subject.done("queue", "cancel", job, "--agent", "lead")

    assert _refused(subject, "complete", job, "--token", token).status == 11
    assert _refused(subject, "cancel", job, "--agent", "lead").code == "wrong-status"


def test_of_many_at_once_each_gets_another_job(subject: Subject) -> None:
    subject.done("queue", "limits", "builder=5", "--agent", "lead")
    for _ in range(8):
        _add(subject, "builder", "a")

    def claim(number: int) -> Answer:
        return subject.ask("queue", "claim", "builder", "--agent", f"b{number}")

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(claim, range(8)))

    taken = [answer.json["job"]["id"] for answer in answers if answer.status == 0]
    assert len(taken) == len(set(taken)) == 5
    assert {answer.code for answer in answers if answer.status} == {"wip-limit-reached"}
