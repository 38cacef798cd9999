from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from latchboard.errors import MalformedRecord, StoreFull, UsageError
from latchboard.mailbox import Inbox, Mailbox
from latchboard.mailbox.receipt import BATCH_COUNT, Receipt
from latchboard.settings import Settings
from latchboard.store.files.store import FileStore
from latchboard.store.memory import MemoryStore
from latchboard.testing import FakeHost, ManualClock

SETTINGS = Settings(body_bytes_max=1000, archive_ttl_s=100, broadcast_ttl_s=50)


class Counted:
    """A store that counts what is read and committed, and fails when told to."""

    def __init__(self, store: Any) -> None:
        self.inner = store
        self.reads = 0
        self.commits: list[int] = []
        self.fail_at: int | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def transact(self, fn: Callable[[Any], Any], **options: Any) -> Any:
        if self.fail_at is not None and len(self.commits) >= self.fail_at:
            raise StoreFull("no space left")
        view: Any = None

        def run(inner: Any) -> Any:
            nonlocal view
            view = CountedView(self, inner)
            return fn(view)

        done = self.inner.transact(run, **options)
        self.commits.append(len(view.changed))
        return done


class CountedView:
    def __init__(self, counted: Counted, view: Any) -> None:
        self._counted = counted
        self._view = view
        self.changed: set[str] = set()
        self.revision = view.revision

    def get(self, key: str) -> Any:
        self._counted.reads += 1
        return self._view.get(key)

    def scan(self, prefix: str, **options: Any) -> Any:
        found = self._view.scan(prefix, **options)
        self._counted.reads += 1 + len(found)
        return found

    def put(self, key: str, value: Any) -> None:
        self.changed.add(key)
        self._view.put(key, value)

    def delete(self, key: str) -> None:
        self.changed.add(key)
        self._view.delete(key)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["memory", "files"])
def store(request: pytest.FixtureRequest, clock: ManualClock, tmp_path: Path) -> Iterator[Any]:
    made: Any
    if request.param == "memory":
        made = MemoryStore(clock=clock, settings=SETTINGS)
    else:
        made = FileStore(str(tmp_path), clock=clock, settings=SETTINGS)
    yield made
    made.close()


@pytest.fixture
def counted(store: Any) -> Counted:
    return Counted(store)


@pytest.fixture
def mail(counted: Counted, clock: ManualClock) -> Mailbox:
    return Mailbox(counted, clock, FakeHost(), SETTINGS)


def bodies(inbox: Inbox) -> list[str]:
    return [message["body"] for message in inbox]


def keys(store: Any, *collections: str) -> list[str]:
    return [key for name in collections for key, _ in store.read(name).scan(name)]


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


# -- broadcasts


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


# -- replies and threads


@pytest.mark.parametrize("is_read", [False, True])
def test_reply_is_in_the_thread_of_what_it_answers(mail: Mailbox, is_read: bool) -> None:
    first = mail.send("a", "b", "question", thread="release-1")
    if is_read:
        mail.receive("b")

    reply = mail.send("b", "a", "answer", reply_to=first["id"])

    assert (reply["thread"], reply["reply_to"]) == ("release-1", first["id"])


def test_broadcasts_and_own_messages_can_be_replied_to(mail: Mailbox) -> None:
    news = mail.broadcast("a", "news")
    sent = mail.send("a", "b", "first")

    assert mail.send("b", "a", "thanks", reply_to=news["id"])["thread"] == news["id"]
    assert mail.send("a", "b", "and another thing", reply_to=sent["id"])["thread"] == sent["id"]
    assert mail.broadcast("a", "more", reply_to=news["id"])["thread"] == news["id"]
    with pytest.raises(UsageError, match="no message"):
        mail.send("c", "b", "me too", reply_to=sent["id"])
    with pytest.raises(UsageError, match="is in the thread"):
        mail.send("b", "a", "x", reply_to=news["id"], thread="another")


def test_thread_shows_both_sides_in_order_and_nobody_elses(mail: Mailbox) -> None:
    first = mail.send("a", "b", "1")
    mail.receive("b")
    second = mail.send("b", "a", "2", reply_to=first["id"])
    mail.send("a", "c", "3", thread=first["thread"])
    mail.send("a", "b", "another matter")
    mail.receive("a")
    mail.send("a", "b", "4", reply_to=second["id"])

    assert bodies(mail.thread("a", first["id"])) == ["1", "2", "3", "4"]
    assert bodies(mail.thread("b", first["id"])) == ["1", "2", "4"]
    assert bodies(mail.thread("c", first["id"])) == ["3"]


def test_thread_of_a_broadcast_shows_it_once(mail: Mailbox) -> None:
    news = mail.broadcast("a", "news")
    for reader in ("b", "c"):
        mail.receive(reader)
    mail.send("b", "a", "thanks", reply_to=news["id"])

    assert [(m["body"], m["to"]) for m in mail.thread("a", news["id"])] == [("news", None), ("thanks", "a")]
    assert [(m["body"], m["to"]) for m in mail.thread("b", news["id"])] == [("news", "b"), ("thanks", "a")]
    assert [(m["body"], m["to"]) for m in mail.thread("c", news["id"])] == [("news", "c")]


# -- many


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


def test_receiving_costs_nothing_for_what_is_archived(mail: Mailbox, counted: Counted) -> None:
    for number in range(30):
        mail.send("a", "b", f"{number}", durable=False)
    mail.receive("b")
    mail.send("a", "b", "x", durable=False)
    counted.reads = 0

    mail.receive("b")

    assert counted.reads <= 8


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


# -- damage


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / ".agent_locks"


@pytest.fixture
def filed(tmp_path: Path, clock: ManualClock) -> Mailbox:
    return Mailbox(FileStore(str(tmp_path), clock=clock, settings=SETTINGS), clock, FakeHost(), SETTINGS)


@pytest.fixture
def elsewhere(tmp_path: Path, clock: ManualClock) -> Mailbox:
    """The same mail in another process: what the first one still has in memory is not known there."""
    return Mailbox(FileStore(str(tmp_path), clock=clock, settings=SETTINGS), clock, FakeHost(), SETTINGS)


@pytest.mark.parametrize("garbage", [b"", b"{", b"\xff\xfe", b"[1]", b'{"key":"messages/b/other","mod_revision":1}'])
def test_damaged_message_hides_no_other_and_is_not_lost(
    filed: Mailbox, elsewhere: Mailbox, folder: Path, garbage: bytes
) -> None:
    sent = [filed.send("a", "b", f"{n}", ack="required") for n in range(3)]
    file = folder / "messages" / "b" / f"{sent[1]['id']}.json"
    whole = file.read_bytes()
    file.write_bytes(garbage)

    peeked, received = elsewhere.peek("b"), elsewhere.receive("b")

    for inbox in (peeked, received):
        assert bodies(inbox) == ["0", "2"]
        assert [type(error) for error in inbox.damaged] == [MalformedRecord]
    assert file.read_bytes() == garbage
    file.write_bytes(whole)
    assert [(m["body"], m["redelivered"]) for m in elsewhere.receive("b")] == [("0", True), ("1", False), ("2", True)]


def test_record_that_is_no_message_is_told_and_stays(mail: Mailbox, store: Any) -> None:
    store.transact(lambda view: view.put("messages/b/1", {"body": 7}), who="test")
    mail.send("a", "b", "whole")

    inbox = mail.receive("b")

    assert bodies(inbox) == ["whole"]
    assert inbox.damaged[0].fields["key"] == "messages/b/1"
    assert keys(store, "messages/") == ["messages/b/1"]
    with pytest.raises(MalformedRecord):
        mail.ack("b", "1")
    assert mail.sweep()["damaged"] == 1


@pytest.mark.parametrize("which", [0, 1, 2])
def test_damaged_broadcast_hides_no_other_and_is_delivered_once_repaired(
    filed: Mailbox, elsewhere: Mailbox, folder: Path, which: int
) -> None:
    sent = [filed.broadcast("a", f"{n}") for n in range(3)]
    file = folder / "broadcasts" / f"{sent[which]['id']}.json"
    whole = file.read_bytes()
    file.write_bytes(b"")
    others = [f"{n}" for n in range(3) if n != which]

    assert (bodies(elsewhere.receive("b")), len(elsewhere.receive("b"))) == (others, 0)
    assert len(elsewhere.receive("b").damaged) == 1
    filed.broadcast("a", "later")
    assert bodies(elsewhere.receive("b")) == ["later"]

    file.write_bytes(whole)

    assert bodies(elsewhere.receive("b")) == [f"{which}"]
    inbox = elsewhere.receive("b")
    assert (len(inbox), inbox.damaged) == (0, [])


@pytest.mark.parametrize("what", ["newest_broadcast.json", "cursors/b.json"])
@pytest.mark.parametrize("garbage", [None, b"", b'{"key":"x"}'])
def test_broadcasts_are_delivered_once_whatever_becomes_of_cursor_and_link(
    filed: Mailbox, elsewhere: Mailbox, folder: Path, what: str, garbage: bytes | None
) -> None:
    filed.broadcast("a", "1")
    filed.receive("b")
    filed.broadcast("a", "2")
    if garbage is None:
        (folder / what).unlink()
    else:
        (folder / what).write_bytes(garbage)

    assert bodies(elsewhere.receive("b")) == ["2"]
    filed.broadcast("a", "3")
    assert bodies(elsewhere.receive("b")) == ["3"]
    inbox = elsewhere.receive("b")
    assert (len(inbox), inbox.damaged) == (0, [])
    assert bodies(elsewhere.receive("c")) == ["1", "2", "3"]


@pytest.mark.parametrize("previous", ["left out", None, "garbage", {"id": "x"}, {"id": "x", "revision": 1 << 60}])
def test_broken_link_hides_no_older_broadcast(mail: Mailbox, store: Any, previous: Any) -> None:
    for number in range(3):
        mail.broadcast("a", f"{number}")
    (_, middle) = keys(store, "broadcasts/")[:2]

    def break_link(view: Any) -> None:
        value = {k: v for k, v in view.get(middle).items() if k != "previous"}
        view.put(middle, value if previous == "left out" else {**value, "previous": previous})

    store.transact(break_link, who="test")

    expected = ["1", "2"] if previous is None else ["0", "1", "2"]  # None says: there is no older one
    assert bodies(mail.receive("b")) == expected


# -- several readers of one mailbox


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


def test_message_that_is_damaged_on_the_way_stops_nothing(mail: Mailbox, store: Any, clock: ManualClock) -> None:
    sent = [mail.send("a", "b", f"{number}", durable=False) for number in range(BATCH_COUNT + 5)]
    receipt = Receipt("b", clock.now(), None)
    receipt.took(store.transact(receipt.take, who="b").value)
    store.transact(lambda view: view.put(f"messages/b/{sent[-1]['id']}", {"no": "message"}), who="test")

    receipt.took(store.transact(receipt.take, who="b").value)

    assert len(receipt.inbox()) == BATCH_COUNT + 4
    assert len(mail.receive("b").damaged) == 1
