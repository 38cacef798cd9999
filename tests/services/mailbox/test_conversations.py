"""Everybody's mail by threads: each message once, with what has become of it for each reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from latchboard.errors import UsageError
from latchboard.mailbox import Mailbox
from latchboard.store.files.store import FileStore
from latchboard.testing import FakeHost, ManualClock
from tests.services.mailbox.support import SETTINGS


@pytest.fixture
def mailbox(store: Any, clock: ManualClock) -> Mailbox:
    return Mailbox(store, clock, FakeHost(), SETTINGS)


def fates(message: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["agent"], one["state"]) for one in message["deliveries"]]


def test_every_state_of_a_message_is_shown_and_looking_changes_none(mailbox: Mailbox, clock: ManualClock) -> None:
    sent = {
        name: mailbox.send("a", name, name, thread="t", ack="required" if name in ("delivered", "acked") else "none")
        for name in ("taken", "delivered", "acked")
    }
    dead = mailbox.send("a", "dead", "too late", thread="t", expires_s=5)
    for name in sent:
        mailbox.receive(name)
    mailbox.ack("acked", sent["acked"]["id"])
    clock.advance(10)
    mailbox.receive("dead")
    mailbox.send("a", "waiting", "waiting", thread="t")
    before = mailbox.store.read("wide").revision

    for _ in range(2):
        found = mailbox.conversation("t")["messages"]
        assert [fates(one) for one in found] == [
            [(state, state)] for state in ("taken", "delivered", "acked", "dead", "waiting")
        ]
    assert mailbox.store.read("wide").revision == before
    assert found[3]["id"] == dead["id"]
    talk = mailbox.conversations()["threads"][0]
    assert (talk["messages_count"], talk["waiting_count"], talk["unacked_count"]) == (5, 1, 1)


def test_a_broadcast_comes_once_with_all_who_have_had_it(mailbox: Mailbox) -> None:
    told = mailbox.broadcast("operator", "frozen", ack="required")
    for reader in ("b", "a"):
        mailbox.receive(reader)
    mailbox.ack("b", told["id"])

    (found,) = mailbox.conversation(told["id"])["messages"]

    assert (found["to"], fates(found)) == (None, [("a", "delivered"), ("b", "acked")])
    assert not {"delivered_at", "acked_at", "broadcast", "previous", "sent_mono_s"} & set(found)


def test_its_readers_still_have_it_when_the_broadcast_itself_is_swept(mailbox: Mailbox, clock: ManualClock) -> None:
    told = mailbox.broadcast("operator", "frozen")
    mailbox.receive("a")
    clock.advance(SETTINGS.broadcast_ttl_s + 1)
    assert mailbox.sweep()["broadcasts"] == 1

    (found,) = mailbox.conversation(told["id"])["messages"]
    assert (found["to"], fates(found)) == (None, [("a", "taken")])


def test_threads_come_by_their_newest_message_and_a_limit_leaves_the_oldest_out(mailbox: Mailbox) -> None:
    for thread in ("one", "two", "three", "one"):
        mailbox.send("a", "b", f"in {thread}", thread=thread, subject="" if thread == "one" else thread)

    found = mailbox.conversations(limit=2)

    assert ([one["thread"] for one in found["threads"]], found["left_count"]) == (["one", "three"], 1)
    assert [(one["subject"], one["messages_count"]) for one in found["threads"]] == [("", 2), ("three", 1)]
    newest = mailbox.conversation("one", limit=1)
    assert (len(newest["messages"]), newest["left_count"]) == (1, 1)
    assert mailbox.conversation("nothing") == {"thread": "nothing", "messages": [], "left_count": 0, "damaged": []}


def test_a_summary_has_the_beginning_of_a_letter_and_not_all_of_it(mailbox: Mailbox) -> None:
    mailbox.send("a", "b", "x" * 900)

    newest = mailbox.conversations()["threads"][0]["newest"]
    assert (newest["excerpt"], "body" in newest) == ("x" * 200, False)


@pytest.mark.parametrize("limit", [0, -1, True, "1"])
def test_a_limit_is_a_number_above_zero(mailbox: Mailbox, limit: Any) -> None:
    with pytest.raises(UsageError):
        mailbox.conversations(limit=limit)
    with pytest.raises(UsageError):
        mailbox.conversation("one", limit=limit)


@pytest.mark.parametrize("thread", ["", "a/b", "a b", "x" * 201])
def test_what_is_no_thread_is_refused(mailbox: Mailbox, thread: str) -> None:
    with pytest.raises(UsageError):
        mailbox.conversation(thread)


def test_what_cannot_be_read_is_told_and_hides_nothing_else(tmp_path: Path, clock: ManualClock) -> None:
    def made() -> Mailbox:
        return Mailbox(FileStore(str(tmp_path), clock=clock, settings=SETTINGS), clock, FakeHost(), SETTINGS)

    sent = [made().send("a", "b", f"{number}", thread="t") for number in range(3)]
    (tmp_path / "data/.agent_locks/messages/b" / f"{sent[1]['id']}.json").write_bytes(b"{")

    found = made().conversation("t")
    assert [one["body"] for one in found["messages"]] == ["0", "2"]
    assert [one["code"] for one in found["damaged"]] == ["malformed-record"]
    assert made().conversations()["threads"][0]["messages_count"] == 2
