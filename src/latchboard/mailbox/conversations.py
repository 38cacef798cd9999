"""Conversations: everybody's mail by threads, for whoever looks after a project; changes nothing.

A message is in its recipient's mailbox or archive; a broadcast is a record of its own, and a copy for each reader who
has had it. Here each message comes once, with what has become of it for each of its readers.

Protocol: protocol/http.md, "Conversations".
"""

from __future__ import annotations

from latchboard.mailbox.reading import messages
from latchboard.rules import mailbox as rules
from latchboard.rules.watch import EXCERPT_CHARS_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.errors import MalformedRecord
    from latchboard.mailbox.reading import Readable

    Message = dict[str, Any]

_COLLECTIONS = ("broadcasts/", "messages/", "archive/")
_OWN = ("delivered_at", "acked_at", "archived_at", "dead_letter", "broadcast")
"""What is a reader's, not the message's."""


def threads(source: Readable, limit: int) -> dict[str, Any]:
    """Every conversation that is kept, the one with the newest message first.

    Returns:
        `threads`, at most `limit` objects with thread, subject, agents, messages_count, waiting_count (not delivered to
        some reader), unacked_count (an acknowledgement is still due), first_at, newest_at, newest (a message without
        its body, with its `excerpt`); `left_count`, how many more there are; `damaged`, errors.
    """
    damaged: list[MalformedRecord] = []
    by_thread: dict[str, list[Message]] = {}
    for message in _gathered(source, None, damaged):
        by_thread.setdefault(message["thread"], []).append(message)
    newest_first = sorted(by_thread.items(), key=lambda one: rules.order(one[1][-1]), reverse=True)
    return {
        "threads": [_summary(thread, found) for thread, found in newest_first[:limit]],
        "left_count": max(0, len(newest_first) - limit),
        "damaged": [exc.to_json() for exc in damaged],
    }


def thread(source: Readable, thread_id: str, limit: int) -> dict[str, Any]:
    """One conversation, oldest first, whoever took part in it.

    Returns:
        `thread`; `messages`, the newest `limit` as protocol/schema/http-messages.json has them; `left_count`, how many
        older ones there are; `damaged`, errors. An unknown thread has no messages.
    """
    damaged: list[MalformedRecord] = []
    found = _gathered(source, thread_id, damaged)
    return {
        "thread": thread_id,
        "messages": found[-limit:],
        "left_count": max(0, len(found) - limit),
        "damaged": [exc.to_json() for exc in damaged],
    }


def _gathered(source: Readable, thread_id: str | None, damaged: list[MalformedRecord]) -> list[Message]:
    """Each message once, in the order of commits, with its deliveries by reader."""
    found: dict[str, Message] = {}
    for collection in _COLLECTIONS:  # what moves meanwhile is seen in the archive at last
        for message in messages(source, collection, damaged):
            if thread_id is not None and message["thread"] != thread_id:
                continue
            known = found.get(message["id"])
            if known is None:
                known = found[message["id"]] = {**_without_reader(message), "deliveries": {}}
            if message["to"] is not None:
                known["deliveries"][message["to"]] = {
                    "agent": message["to"],
                    "state": rules.state(message),
                    "delivered_at": message.get("delivered_at"),
                    "acked_at": message.get("acked_at"),
                }
    for message in found.values():
        message["deliveries"] = [message["deliveries"][agent] for agent in sorted(message["deliveries"])]
    return sorted(found.values(), key=rules.order)


def _without_reader(message: Message) -> Message:
    shown = {name: value for name, value in rules.shown(message).items() if name not in _OWN}
    return {**shown, "to": None} if message.get("broadcast") else shown


def _summary(thread_id: str, found: list[Message]) -> dict[str, Any]:
    newest = found[-1]
    deliveries = [(message, one) for message in found for one in message["deliveries"]]
    return {
        "thread": thread_id,
        "subject": next((message["subject"] for message in found if message["subject"]), ""),
        "agents": sorted({a for m in found for a in (m["from"], m["to"]) if a is not None}),
        "messages_count": len(found),
        "waiting_count": sum(one["state"] == "waiting" for _, one in deliveries),
        "unacked_count": sum(
            message["ack"] != "none" and one["state"] in ("waiting", "delivered") for message, one in deliveries
        ),
        "first_at": found[0]["sent_at"],
        "newest_at": newest["sent_at"],
        "newest": {
            **{name: value for name, value in newest.items() if name != "body"},
            "excerpt": newest["body"][:EXCERPT_CHARS_MAX],
        },
    }
