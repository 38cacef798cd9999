"""Mail for a reader that hands it on first: shown by `peek`, taken by its ids when it has arrived."""

from __future__ import annotations

import pytest

from latchboard.mailbox import Mailbox
from latchboard.testing import ManualClock
from tests.services.mailbox.support import bodies


def ids(mail: Mailbox, agent: str, *, limit: int | None = None) -> list[str]:
    return [message["id"] for message in mail.peek(agent, limit=limit)]


def test_only_what_was_shown_is_taken(mail: Mailbox) -> None:
    mail.send("a", "b", "one")
    mail.broadcast("a", "two")
    mail.send("a", "b", "three", ack="required")
    shown = ids(mail, "b")
    mail.send("a", "b", "four")
    mail.broadcast("a", "five")

    assert bodies(mail.receive("b", only=shown)) == ["one", "two", "three"]
    assert [(m["body"], m["redelivered"]) for m in mail.receive("b")] == [
        ("three", True),
        ("four", False),
        ("five", False),
    ]
    assert bodies(mail.receive("b")) == ["three"]


def test_what_somebody_else_took_meanwhile_is_left_out(mail: Mailbox) -> None:
    mail.send("a", "b", "one")
    mail.broadcast("a", "two")
    shown = ids(mail, "b")
    mail.receive("b")

    assert bodies(mail.receive("b", only=shown)) == []
    assert bodies(mail.receive("b", only=[])) == []


def test_a_broadcast_that_was_not_shown_is_not_skipped(mail: Mailbox) -> None:
    for number in range(4):
        mail.broadcast("a", f"{number}")
    shown = ids(mail, "b")

    taken = mail.receive("b", only=[shown[0], shown[2]])

    assert bodies(taken) == ["0"]
    assert bodies(mail.receive("b")) == ["1", "2", "3"]


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_in_parts_everything_comes_once(mail: Mailbox, limit: int) -> None:
    for number in range(10):
        mail.broadcast("a", f"{number}") if number % 3 else mail.send("a", "b", f"{number}")
    found: list[str] = []

    while shown := ids(mail, "b", limit=limit):
        found += bodies(mail.receive("b", only=shown))

    assert found == [f"{number}" for number in range(10)]


def test_what_expired_since_it_was_shown_is_a_dead_letter(mail: Mailbox, clock: ManualClock) -> None:
    mail.send("a", "b", "one", expires_s=5)
    shown = ids(mail, "b")
    clock.advance(10)

    assert bodies(mail.receive("b", only=shown)) == []
    assert bodies(mail.peek("b")) == []
