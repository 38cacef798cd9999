from __future__ import annotations

import pytest

from latchboard.errors import UsageError
from latchboard.mailbox import Mailbox
from tests.services.mailbox.support import bodies


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
