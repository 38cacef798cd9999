from __future__ import annotations

from typing import Any

import pytest

from latchboard.errors import StoreFull
from latchboard.mailbox import Mailbox
from latchboard.mailbox.receipt import BATCH_COUNT, Receipt
from latchboard.testing import ManualClock
from tests.services.engine import looks_inside, needs_large_commits
from tests.services.mailbox.support import Counted, bodies, keys

# -- many


@needs_large_commits
def test_a_full_mailbox_is_taken_in_small_commits_and_in_order(mail: Mailbox, counted: Counted) -> None:
    total = 2 * BATCH_COUNT + 10
    for number in range(total):
        if number % 100:
            mail.send("a", "b", f"{number}", durable=False)
        else:
            mail.broadcast("a", f"{number}", durable=False)
    counted.commits.clear()
    counted.reads = 0

    inbox = mail.receive("b")

    assert bodies(inbox) == [f"{number}" for number in range(total)]
    assert len(counted.commits) == 3
    assert max(counted.commits) <= 1000
    assert counted.reads <= 3 * total
    assert len(mail.receive("b")) == 0


@needs_large_commits
def test_store_that_fails_on_the_way_keeps_nothing_from_the_reader(mail: Mailbox, counted: Counted) -> None:
    for number in range(BATCH_COUNT + 10):
        mail.send("a", "b", f"{number}", durable=False)
    mail.broadcast("a", "last", durable=False)
    counted.commits.clear()
    counted.fail_at = 1

    inbox = mail.receive("b")

    assert len(inbox) == BATCH_COUNT
    assert inbox.left_count == 11
    with pytest.raises(StoreFull):
        mail.receive("b")
    counted.fail_at = None
    assert bodies(mail.receive("b")) == [*[f"{n}" for n in range(BATCH_COUNT, BATCH_COUNT + 10)], "last"]


@looks_inside
def test_receiving_costs_nothing_for_what_is_archived(mail: Mailbox, counted: Counted) -> None:
    for number in range(30):
        mail.send("a", "b", f"{number}", durable=False)
    mail.receive("b")
    mail.send("a", "b", "x", durable=False)
    counted.reads = 0

    mail.receive("b")

    assert counted.reads <= 8


# -- several readers of one mailbox


@needs_large_commits
@pytest.mark.parametrize("is_broadcast", [False, True])
def test_two_readers_of_one_mailbox_share_its_messages(mail: Mailbox, clock: ManualClock, is_broadcast: bool) -> None:
    for number in range(BATCH_COUNT + 5):
        if is_broadcast:
            mail.broadcast("a", f"{number}", durable=False)
        else:
            mail.send("a", "b", f"{number}", durable=False)
    first = Receipt("b", clock.now(), None)
    first.took(mail.store.transact(first.take, who="b").value)

    second = mail.receive("b")
    first.took(mail.store.transact(first.take, who="b").value)

    assert [m["body"] for m in first.messages] == [f"{number}" for number in range(BATCH_COUNT)]
    assert bodies(second) == [f"{number}" for number in range(BATCH_COUNT, BATCH_COUNT + 5)]
    assert first.is_finished
    assert len(mail.receive("b")) == 0


@needs_large_commits
def test_message_that_is_damaged_on_the_way_stops_nothing(mail: Mailbox, store: Any, clock: ManualClock) -> None:
    sent = [mail.send("a", "b", f"{number}", durable=False) for number in range(BATCH_COUNT + 5)]
    receipt = Receipt("b", clock.now(), None)
    receipt.took(store.transact(receipt.take, who="b").value)
    store.transact(lambda view: view.put(f"messages/b/{sent[-1]['id']}", {"no": "message"}), who="test")

    receipt.took(store.transact(receipt.take, who="b").value)

    assert len(receipt.inbox()) == BATCH_COUNT + 4
    assert len(mail.receive("b").damaged) == 1


# -- sweeping


def test_sweep_removes_what_is_old_and_tells_the_true_number(mail: Mailbox, store: Any, clock: ManualClock) -> None:
    mail.send("a", "b", "old")
    mail.broadcast("a", "old news")
    mail.send("a", "nobody", "expires unread", expires_s=60)
    waiting = mail.send("a", "nobody", "waits")
    mail.receive("b")
    clock.advance(99)
    mail.send("a", "b", "young")
    mail.receive("b")
    clock.advance(2)
    expected = {"archived": 2, "broadcasts": 1, "dead_letters": 1, "damaged": 0}

    assert mail.sweep(dry_run=True) == expected
    assert mail.sweep() == expected
    assert mail.sweep() == dict.fromkeys(expected, 0)

    assert keys(store, "messages/") == [f"messages/nobody/{waiting['id']}"]
    assert len(keys(store, "archive/")) == 2  # the young one and the dead letter
    assert keys(store, "broadcasts/") == []
    assert bodies(mail.receive("nobody")) == ["waits"]


def test_sweep_works_in_small_commits(mail: Mailbox, counted: Counted, clock: ManualClock) -> None:
    for number in range(BATCH_COUNT + 1):
        mail.send("a", "b", f"{number}", durable=False)
    mail.receive("b")
    clock.advance(101)
    counted.commits.clear()

    assert mail.sweep()["archived"] == BATCH_COUNT + 1
    assert max(counted.commits) <= 1000


def test_copy_of_a_broadcast_stays_as_long_as_the_broadcast(mail: Mailbox, store: Any, clock: ManualClock) -> None:
    mail.broadcast("a", "long", expires_s=1000)
    mail.receive("b")
    clock.advance(500)
    assert mail.sweep()["archived"] == 0
    store.transact(lambda view: view.delete("cursors/b"), who="test")

    assert len(mail.receive("b")) == 0
