"""Looking: questions about mail that change nothing."""

from __future__ import annotations

from latchboard.mailbox.inbox import Inbox
from latchboard.mailbox.reading import has_copy, messages
from latchboard.rules import mailbox as rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.clock import Now
    from latchboard.errors import MalformedRecord
    from latchboard.mailbox.reading import Readable

_TOLD = ("id", "from", "to", "subject", "thread", "urgency", "sent_at", "ack_by_at")


def thread(source: Readable, agent: str, thread_id: str) -> Inbox:
    """See `Mailbox.thread`. A message on its way from mailbox to archive may be seen in both, never in neither."""
    damaged: list[MalformedRecord] = []
    found: dict[str, dict[str, Any]] = {}
    for collection in ("messages/", "archive/", "broadcasts/"):
        for message in messages(source, collection, damaged):
            is_own = message["to"] == agent
            if message["thread"] != thread_id or not (is_own or message["to"] is None or message["from"] == agent):
                continue
            if message.get("broadcast") and not is_own:
                message["to"] = None  # another reader's copy of what this agent told everybody
            if is_own or message["id"] not in found:
                found[message["id"]] = message
    return Inbox([rules.shown(m) for m in sorted(found.values(), key=rules.order)], damaged)


def overdue(source: Readable, now: Now) -> list[dict[str, Any]]:
    """See `Mailbox.overdue`."""
    damaged: list[MalformedRecord] = []
    late = messages(source, "messages/", damaged)
    told = [b for b in messages(source, "broadcasts/", damaged) if rules.overdue_s(b, now) is not None]
    if told:
        late += _unreceived(source, told, damaged)
    facts = []
    for message in late:
        over_s = rules.overdue_s(message, now)
        if over_s is not None and not rules.is_expired(message, now):
            told_of = {name: message[name] for name in _TOLD}
            facts.append({**told_of, "delivered_at": message.get("delivered_at"), "overdue_s": round(over_s, 3)})
    return sorted(facts, key=lambda fact: -fact["overdue_s"])


def _unreceived(
    source: Readable, broadcasts: list[dict[str, Any]], damaged: list[MalformedRecord]
) -> list[dict[str, Any]]:
    """A message for each broadcast and each known agent that has not received it."""
    cursors = {
        key[len("cursors/") :]: value.get("broadcasts") for key, value in source.scan("cursors/", damaged=damaged)
    }
    on_board = {key[len("agents/") :]: 0 for key, _ in source.scan("agents/", damaged=damaged)}
    return [
        rules.for_reader(broadcast, agent)
        for broadcast in broadcasts
        for agent, revision in sorted({**on_board, **cursors}.items())
        if agent != broadcast["from"]
        and not (isinstance(revision, int) and revision >= broadcast["revision"])
        and not has_copy(source, agent, broadcast["id"])
    ]
