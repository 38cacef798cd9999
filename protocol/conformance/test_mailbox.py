"""mailbox.md through send and inbox."""

from __future__ import annotations

import pytest

from .conftest import Subject

pytestmark = pytest.mark.mailbox


def _bodies(subject: Subject, agent: str, *more: str) -> list[str]:
    return [message["body"] for message in subject.done("inbox", "--agent", agent, *more)["messages"]]


def test_message_is_delivered_once_to_exactly_its_recipient(subject: Subject) -> None:
    subject.done("send", "a_b", "hello", "--agent", "planner")

    assert _bodies(subject, "a") == []
    assert _bodies(subject, "A_B") == []
    assert _bodies(subject, "a_b") == ["hello"]
    assert _bodies(subject, "a_b") == []


def test_messages_of_a_sender_come_in_order(subject: Subject) -> None:
    for number in range(12):
        subject.done("send", "builder", str(number), "--agent", "planner")

    assert _bodies(subject, "builder", "--limit", "5") == ["0", "1", "2", "3", "4"]
    answer = subject.done("inbox", "--agent", "builder")
    assert [message["body"] for message in answer["messages"]] == [str(number) for number in range(5, 12)]
    assert answer["left_count"] == 0


def test_peek_takes_nothing(subject: Subject) -> None:
    subject.done("send", "builder", "hello", "--agent", "planner")

    assert _bodies(subject, "builder", "--peek") == ["hello"]
    assert _bodies(subject, "builder") == ["hello"]


def test_message_with_a_demand_comes_again_until_it_is_acknowledged(subject: Subject) -> None:
    sent = subject.done("send", "builder", "do it", "--ack", "--agent", "planner")["message"]

    first = subject.done("inbox", "--agent", "builder")["messages"][0]
    second = subject.done("inbox", "--agent", "builder")["messages"][0]

    assert not first.get("redelivered")
    assert second["redelivered"] is True
    assert subject.done("inbox", "--ack", sent["id"], "--agent", "builder")["acked"] is True
    assert subject.done("inbox", "--ack", sent["id"], "--agent", "builder")["acked"] is False
    assert _bodies(subject, "builder") == []


def test_broadcast_reaches_everybody_else_once(subject: Subject) -> None:
    subject.done("send", "--all", "freeze", "--agent", "operator")

    assert _bodies(subject, "planner") == ["freeze"]
    assert _bodies(subject, "planner") == []
    assert _bodies(subject, "builder") == ["freeze"]
    assert _bodies(subject, "operator") == []


def test_reply_stays_in_its_thread(subject: Subject) -> None:
    first = subject.done("send", "builder", "question", "--agent", "planner")["message"]
    _bodies(subject, "builder")
    reply = subject.done("send", "planner", "answer", "--agent", "builder", "--reply-to", first["id"])["message"]

    assert reply["thread"] == first["thread"]
    assert _bodies(subject, "planner", "--thread", first["thread"]) == ["question", "answer"]


def test_expired_message_is_not_delivered(subject: Subject) -> None:
    subject.done("send", "builder", "now or never", "--agent", "planner", "--expires-s", "0.2")
    subject.until(lambda: _bodies(subject, "builder", "--peek") == [])

    assert _bodies(subject, "builder") == []


def test_body_from_standard_input_is_taken_as_it_is_but_for_its_last_line_end(subject: Subject) -> None:
    subject.done("send", "builder", "-", "--agent", "planner", stdin="grün\n\n  two\n\n")

    assert _bodies(subject, "builder") == ["grün\n\n  two\n"]


def test_options_are_in_the_message(subject: Subject) -> None:
    words = ("--subject", "S", "--urgency", "urgent", "--ack-by-s", "60", "--expires-s", "90")
    message = subject.done("send", "builder", "x", "--agent", "planner", *words)["message"]

    assert (message["subject"], message["urgency"], message["ack"]) == ("S", "urgent", "required")
    assert message["sent_at"] < message["ack_by_at"] < message["expires_at"]


def test_acknowledging_what_one_never_got_is_refused(subject: Subject) -> None:
    sent = subject.done("send", "builder", "do it", "--ack", "--agent", "planner")["message"]

    assert subject.ask("inbox", "--ack", sent["id"], "--agent", "tester").status == 2
    assert _bodies(subject, "builder") == ["do it"]
