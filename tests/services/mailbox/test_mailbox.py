from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from latchboard.errors import UsageError
from latchboard.mailbox import Mailbox
from latchboard.settings import Settings
from latchboard.store.files.store import FileStore
from latchboard.testing import FakeHost, ManualClock
from tests.services.mailbox.support import Counted, bodies, keys

# -- sending and receiving


def test_message_is_delivered_once_and_then_archived(mail: Mailbox, store: Any) -> None:
    sent = mail.send("a", "b", "hello", subject="greeting")

    first, second = mail.receive("b"), mail.receive("b")

    assert bodies(first) == ["hello"]
    assert first[0]["id"] == sent["id"]
    assert first[0]["redelivered"] is False
    assert len(second) == 0
    assert keys(store, "messages/") == []
    assert keys(store, "archive/") == [f"archive/b/{sent['id']}"]


def test_what_send_returns_is_what_is_received(mail: Mailbox) -> None:
    sent = mail.send("a", "b", "hello", subject="s", urgency="urgent", expires_s=10)

    (received,) = mail.receive("b")

    assert {k: received[k] for k in sent} == sent
    assert sent["thread"] == sent["id"]
    assert (sent["from"], sent["to"], sent["urgency"], sent["reply_to"]) == ("a", "b", "urgent", None)


def test_messages_come_in_the_order_they_were_accepted(mail: Mailbox) -> None:
    for number in range(12):
        mail.send("ac"[number % 2], "b", f"{number}")

    assert bodies(mail.receive("b")) == [f"{number}" for number in range(12)]


@pytest.mark.parametrize("other", ["A", "a_b", "a/b", "a__b", "a%", "\u00e1", ".a", "aa", "*"])
def test_an_agent_gets_its_own_mail_alone(mail: Mailbox, other: str) -> None:
    mail.send("s", "a", "for a")
    mail.send("s", other, "for the other")

    assert bodies(mail.receive("a")) == ["for a"]
    assert bodies(mail.receive(other)) == ["for the other"]


def test_ids_that_differ_in_unicode_form_are_two_agents(mail: Mailbox) -> None:
    mail.send("s", "\u00e9", "composed")

    assert len(mail.receive("e\u0301")) == 0
    assert bodies(mail.receive("\u00e9")) == ["composed"]


def test_message_waits_for_an_agent_that_does_not_exist_yet(mail: Mailbox, clock: ManualClock) -> None:
    mail.send("a", "nobody-yet", "welcome")
    clock.advance(10 * 86_400)

    assert bodies(mail.receive("nobody-yet")) == ["welcome"]


def test_agent_may_write_to_itself(mail: Mailbox) -> None:
    mail.send("a", "a", "remember")

    assert bodies(mail.receive("a")) == ["remember"]


@pytest.mark.parametrize("body", ["", '\0\n\r\t\\"', "日本語 🙂 \u2028", "\u202eabc", "x" * 1000])
def test_any_text_arrives_as_it_was_sent(mail: Mailbox, body: str) -> None:
    mail.send("a", "b", body)

    assert bodies(mail.receive("b")) == [body]


@pytest.mark.parametrize(
    "wrong",
    [
        {"body": "x" * 1001},
        {"body": "\ud800"},
        {"sender": ""},
        {"to": "a\nb"},
        {"reply_to": "1-2-3"},
        {"reply_to": "b/x"},
        {"ack_by_s": 5},
        {"urgency": "asap"},
    ],
)
def test_what_cannot_be_sent_changes_nothing(mail: Mailbox, store: Any, wrong: dict[str, Any]) -> None:
    good: dict[str, Any] = {"sender": "a", "to": "b", "body": "x"}

    with pytest.raises(UsageError):
        mail.send(**{**good, **wrong})

    assert keys(store, "messages/") == []


@pytest.mark.parametrize("limit", [0, -1, True, 1.5, "3"])
def test_limit_is_a_number_of_messages(mail: Mailbox, limit: Any) -> None:
    with pytest.raises(UsageError):
        mail.receive("a", limit=limit)


def test_a_receive_of_nothing_commits_nothing(mail: Mailbox, counted: Counted) -> None:
    mail.receive("b")

    assert counted.commits == [0]


def test_each_operation_on_a_few_messages_is_one_commit(mail: Mailbox, counted: Counted) -> None:
    asked = mail.send("a", "b", "1", ack="required")
    mail.send("a", "b", "2")
    mail.broadcast("a", "3")
    mail.receive("b")
    mail.ack("b", asked["id"])

    # send; send; broadcast and the link to it; two moves, one mark, the cursor; one move
    assert counted.commits == [1, 1, 2, 2 + 1 + 1 + 1, 2]


def test_plain_send_and_receive_write_no_cursor(mail: Mailbox, store: Any) -> None:
    mail.send("a", "b", "x")
    mail.receive("b")

    assert keys(store, "cursors/") == []


# -- acknowledgements


def test_message_with_a_demand_comes_again_until_it_is_acknowledged(mail: Mailbox) -> None:
    sent = mail.send("a", "b", "do it", ack="required")

    assert [m["redelivered"] for m in mail.receive("b")] == [False]
    assert [m["redelivered"] for m in mail.receive("b")] == [True]
    assert mail.ack("b", sent["id"]) is True
    assert len(mail.receive("b")) == 0
    assert mail.ack("b", sent["id"]) is False


def test_redelivered_and_new_messages_come_in_one_order(mail: Mailbox) -> None:
    mail.send("a", "b", "1", ack="required")
    mail.receive("b")
    mail.broadcast("a", "2")
    mail.send("a", "b", "3")

    assert [(m["body"], m["redelivered"]) for m in mail.receive("b")] == [("1", True), ("2", False), ("3", False)]


def test_only_the_recipient_can_acknowledge(mail: Mailbox) -> None:
    sent = mail.send("a", "b", "x", ack="required")

    for other in ("a", "B", "b/x"):
        with pytest.raises(UsageError, match="has no message"):
            mail.ack(other, sent["id"])
    with pytest.raises(UsageError):
        mail.ack("messages", f"b/{sent['id']}")

    assert len(mail.receive("b")) == 1


def test_acknowledging_what_was_only_looked_at_takes_it(mail: Mailbox) -> None:
    direct = mail.send("a", "b", "x")
    news = mail.broadcast("a", "y", ack="required")
    assert len(mail.peek("b")) == 2

    assert mail.ack("b", direct["id"]) is True
    assert mail.ack("b", news["id"]) is True

    assert len(mail.receive("b")) == 0
    assert mail.ack("b", news["id"]) is False


def test_unacknowledged_messages_do_not_hide_new_ones_under_a_limit(mail: Mailbox) -> None:
    for number in range(3):
        mail.send("a", "b", f"old {number}", ack="required")
    mail.receive("b")
    mail.send("a", "b", "new")

    inbox = mail.receive("b", limit=1)

    assert bodies(inbox) == ["new"]
    assert inbox.left_count == 3
    assert bodies(mail.receive("b", limit=2)) == ["old 0", "old 1"]


def test_overdue_names_both_sides(mail: Mailbox, clock: ManualClock) -> None:
    seen = mail.send("a", "b", "x", subject="s", ack="required", ack_by_s=10)
    mail.receive("b")
    unseen = mail.send("a", "c", "y", ack="required", ack_by_s=20)
    mail.send("a", "b", "z", ack="required")
    acked = mail.send("a", "d", "w", ack="required", ack_by_s=5)
    mail.ack("d", acked["id"])
    clock.advance(10)
    assert mail.overdue() == []

    clock.advance(15)

    late = mail.overdue()
    assert [(o["id"], o["from"], o["to"], o["overdue_s"]) for o in late] == [
        (seen["id"], "a", "b", 15.0),
        (unseen["id"], "a", "c", 5.0),
    ]
    assert late[0]["subject"] == "s"
    assert late[0]["delivered_at"] is not None
    assert late[1]["delivered_at"] is None


def test_overdue_broadcast_names_every_known_agent_that_did_not_answer(
    mail: Mailbox, store: Any, clock: ManualClock
) -> None:
    store.transact(lambda view: view.put("agents/on/board", {"agent": "on/board"}), who="test")
    mail.broadcast("a", "old news")
    for reader in ("b", "c", "d"):
        mail.receive(reader)
    news = mail.broadcast("a", "answer me", ack="required", ack_by_s=5)
    mail.receive("b")
    mail.receive("c")
    mail.ack("c", news["id"])
    clock.advance(6)

    late = mail.overdue()

    assert sorted((o["to"], o["delivered_at"] is not None) for o in late) == [
        ("b", True),
        ("d", False),
        ("on/board", False),
    ]


def test_null_end_is_no_end(mail: Mailbox, store: Any) -> None:
    sent = mail.send("a", "b", "x", ack="required")
    key = f"messages/b/{sent['id']}"
    store.transact(lambda view: view.put(key, {**view.get(key), "archived_at": None}), who="test")

    assert [len(mail.receive("b")) for _ in range(2)] == [1, 1]
    assert keys(store, "archive/") == []


# -- expiry


def test_expired_message_is_a_dead_letter(mail: Mailbox, store: Any, clock: ManualClock) -> None:
    sent = mail.send("a", "b", "too late", expires_s=10)
    mail.send("a", "b", "in time")
    clock.advance(10)

    assert len(mail.peek("b")) == 1
    assert bodies(mail.receive("b")) == ["in time"]

    key = f"archive/b/{sent['id']}"
    assert store.read(key).get(key)["dead_letter"] is True
    assert mail.ack("b", sent["id"]) is False
    assert keys(store, "messages/") == []


def test_unacknowledged_message_expires_too(mail: Mailbox, clock: ManualClock) -> None:
    mail.send("a", "b", "x", ack="required", expires_s=10)
    mail.receive("b")
    clock.advance(10)

    assert len(mail.receive("b")) == 0
    assert mail.overdue() == []


def test_clock_jump_expires_nothing(mail: Mailbox, clock: ManualClock) -> None:  # failures 3.10
    mail.send("a", "b", "x", expires_s=10)
    mail.broadcast("a", "y")
    clock.jump_wall(86_400)

    assert mail.sweep() == {"archived": 0, "broadcasts": 0, "dead_letters": 0, "damaged": 0}
    assert bodies(mail.receive("b")) == ["x", "y"]


# -- peek and unread


def test_looking_changes_nothing(mail: Mailbox, store: Any, counted: Counted) -> None:
    mail.send("a", "b", "1", ack="required")
    mail.receive("b")
    mail.send("a", "b", "2")
    mail.broadcast("a", "3")
    before = store.read("messages/").revision
    counted.commits.clear()

    assert [(m["body"], m["redelivered"]) for m in mail.peek("b")] == [("1", True), ("2", False), ("3", False)]
    assert mail.peek("b", limit=1).left_count == 2
    assert mail.unread("b") == 2
    mail.thread("b", "x")
    mail.overdue()
    mail.sweep(dry_run=True)

    assert counted.commits == []
    assert store.read("messages/").revision == before
    assert len(mail.receive("b")) == 3
    assert mail.unread("b") == 0


def test_readers_make_no_folder(tmp_path: Path, clock: ManualClock) -> None:
    mail = Mailbox(FileStore(str(tmp_path), clock=clock), clock, FakeHost(), Settings())

    assert (len(mail.peek("a")), mail.unread("a"), mail.overdue(), len(mail.thread("a", "t"))) == (0, 0, [], 0)
    assert list(tmp_path.iterdir()) == []
