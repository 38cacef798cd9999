from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from latchboard.errors import MalformedRecord
from latchboard.mailbox import Mailbox
from latchboard.store.files.store import FileStore
from latchboard.testing import FakeHost, ManualClock
from tests.services.mailbox.support import SETTINGS, bodies, keys


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
