"""lock.md, "Waiting in line" and "Handoff"."""

from __future__ import annotations

import json
import signal

import pytest

from .conftest import WAIT_S_MAX, Subject, validate


@pytest.mark.waiting
def test_waiting_in_vain_takes_its_time_and_says_how_long(subject: Subject) -> None:
    subject.lock("a", agent="planner")

    answer = subject.ask("acquire", "a", "--agent", "builder", "--wait-s-max", "0.5")

    assert (answer.status, answer.code) == (10, "wait-ended")
    assert answer.json["waited_s"] >= 0.5
    assert subject.done("status")["waiters"] == []


@pytest.mark.waiting
def test_line_is_first_come_first_served(subject: Subject) -> None:
    subject.lock("a", agent="planner")
    waiting = []
    for number, agent in enumerate(("first", "second"), 1):
        waiting.append(subject.start("acquire", "a", "--agent", agent, "--wait-s-max", "60", "--json"))
        subject.until_somebody_waits(number)

    for process, before in zip(waiting, ("planner", "first"), strict=True):
        subject.done("release", "a", "--agent", before)
        answer = json.loads(process.communicate(timeout=WAIT_S_MAX)[0])
        validate("acquire", answer)
        assert process.returncode == 0
        assert subject.holder("a") == answer["agent"]


@pytest.mark.waiting
def test_newcomer_does_not_pass_the_line(subject: Subject) -> None:
    subject.lock("a", agent="planner")
    subject.start("acquire", "a", "--agent", "first", "--wait-s-max", "60")
    subject.until_somebody_waits()

    subject.done("release", "a", "--agent", "planner")

    assert subject.ask("acquire", "a", "--agent", "late").status == 10
    assert subject.holder("a") == "first"


@pytest.mark.waiting
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_waiter_that_is_ended_by_a_signal_leaves_the_line(
    subject: Subject, number: signal.Signals, status: int
) -> None:
    subject.lock("a", agent="planner")
    process = subject.start("acquire", "a", "--agent", "builder", "--wait-s-max", "60")
    subject.until_somebody_waits()

    process.send_signal(number)

    assert process.wait(timeout=WAIT_S_MAX) == status
    assert subject.done("status")["waiters"] == []
    subject.done("release", "a", "--agent", "planner")
    assert subject.holder("a") is None


@pytest.mark.waiting
def test_deadlock_is_refused_with_the_cycle(subject: Subject) -> None:
    subject.lock("a", agent="planner")
    subject.lock("b", agent="builder")
    subject.start("acquire", "b", "--agent", "planner", "--wait-s-max", "60")
    subject.until_somebody_waits()

    answer = subject.ask("acquire", "a", "--agent", "builder", "--wait-s-max", "60")

    assert (answer.status, answer.code) == (10, "deadlock")
    assert answer.json["cycle"] == ["builder", "planner", "builder"]


def _asked(subject: Subject) -> str:
    subject.lock("a", agent="planner")
    answer = subject.done("handoff", "request", "a", "--no-wait", "--agent", "builder", "--reason", "please")
    assert answer["granted"] is False
    return str(answer["request"])


@pytest.mark.handoff
def test_request_reaches_the_holder(subject: Subject) -> None:
    request = _asked(subject)

    listed = subject.done("handoff", "list", "--agent", "planner")["requests"]
    assert [(one["request"], one["agent"], one["reason"]) for one in listed] == [(request, "builder", "please")]
    mail = subject.done("inbox", "--agent", "planner")["messages"]
    assert [message["from"] for message in mail] == ["builder"]
    assert request in mail[0]["body"]


@pytest.mark.handoff
def test_grant_moves_the_lock_past_the_line(subject: Subject) -> None:
    subject.lock("a", agent="planner")
    subject.start("acquire", "a", "--agent", "tester", "--wait-s-max", "60")
    subject.until_somebody_waits()
    request = subject.done("handoff", "request", "a", "--no-wait", "--agent", "builder")["request"]

    assert subject.done("handoff", "grant", str(request), "--agent", "planner")["moved"] is True

    assert subject.holder("a") == "builder"
    assert subject.ask("release", "a", "--agent", "planner").status == 11


@pytest.mark.handoff
def test_decline_keeps_the_lock(subject: Subject) -> None:
    request = _asked(subject)

    subject.done("handoff", "decline", request, "--agent", "planner", "--reason", "not now")

    assert subject.holder("a") == "planner"
    assert subject.done("handoff", "list", "--agent", "planner")["requests"] == []
    assert "not now" in subject.done("inbox", "--agent", "builder")["messages"][0]["body"]


@pytest.mark.handoff
def test_no_answer_in_time_is_told(subject: Subject) -> None:
    subject.lock("a", agent="planner")

    answer = subject.ask("handoff", "request", "a", "--agent", "builder", "--wait-s-max", "0.5")

    assert (answer.status, answer.code) == (10, "wait-ended")
    assert subject.holder("a") == "planner"


@pytest.mark.handoff
def test_answer_by_somebody_who_holds_nothing_is_refused(subject: Subject) -> None:
    request = _asked(subject)

    assert subject.ask("handoff", "grant", request, "--agent", "stranger").status == 2
    assert subject.ask("handoff", "grant", "no-such-request", "--agent", "planner").status == 2
    assert subject.holder("a") == "planner"
