from __future__ import annotations

import pytest

from latchboard.errors import UsageError
from latchboard.mailbox import Mailbox
from latchboard.testing import ManualClock
from tests.services.mailbox.support import Counted, bodies


def test_broadcast_reaches_everybody_but_its_sender_once(mail: Mailbox) -> None:
    sent = mail.broadcast("a", "news")
    assert sent["to"] is None

    for reader in ("b", "c", "a_b"):
        (received,) = mail.receive(reader)
        assert (received["body"], received["to"], received["broadcast"]) == ("news", reader, True)
        assert len(mail.receive(reader)) == 0
    assert len(mail.receive("a")) == 0


def test_who_first_reads_later_gets_what_has_not_expired(mail: Mailbox, clock: ManualClock) -> None:
    mail.broadcast("a", "short", expires_s=5)
    mail.broadcast("a", "default")
    mail.broadcast("a", "long", expires_s=500)
    clock.advance(10)
    assert bodies(mail.receive("b")) == ["default", "long"]

    clock.advance(50)

    assert bodies(mail.receive("c")) == ["long"]


def test_broadcasts_and_messages_merge_in_order_and_respect_the_limit(mail: Mailbox) -> None:
    for number in range(6):
        if number % 2:
            mail.send("a", "b", f"{number}")
        else:
            mail.broadcast("a", f"{number}")

    assert [bodies(mail.receive("b", limit=n)) for n in (1, 2, 2, 2)] == [["0"], ["1", "2"], ["3", "4"], ["5"]]
    assert len(mail.receive("b")) == 0


def test_broadcast_with_a_demand_is_asked_of_each_reader(mail: Mailbox) -> None:
    news = mail.broadcast("a", "answer", ack="required")
    mail.receive("b")
    mail.receive("c")

    assert mail.ack("b", news["id"]) is True

    assert len(mail.receive("b")) == 0
    assert [m["redelivered"] for m in mail.receive("c")] == [True]
    with pytest.raises(UsageError):
        mail.ack("a", news["id"])


def test_broadcasts_already_received_cost_nothing(mail: Mailbox, counted: Counted) -> None:
    for number in range(50):
        mail.broadcast("a", f"{number}")
    mail.receive("b")
    counted.reads = 0

    mail.receive("b")
    none_new = counted.reads
    mail.broadcast("a", "one more")
    counted.reads = 0
    mail.receive("b")

    assert none_new <= 4
    assert counted.reads <= 12


def test_removed_broadcasts_in_between_hide_no_older_ones(mail: Mailbox, clock: ManualClock) -> None:
    mail.broadcast("a", "long 1", expires_s=500)
    mail.broadcast("a", "short", expires_s=5)
    mail.broadcast("a", "long 2", expires_s=500)
    clock.advance(6)
    assert mail.sweep()["broadcasts"] == 1

    assert bodies(mail.receive("b")) == ["long 1", "long 2"]
    assert len(mail.receive("b")) == 0


def test_sweeping_the_newest_broadcast_hides_no_later_one(mail: Mailbox, clock: ManualClock) -> None:
    mail.broadcast("a", "long", expires_s=500)
    mail.broadcast("a", "short", expires_s=5)
    clock.advance(6)
    mail.sweep()
    mail.broadcast("a", "after")

    assert bodies(mail.receive("b")) == ["long", "after"]
