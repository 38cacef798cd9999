"""Reading: messages and broadcasts found in the store, whole or damaged.

Each broadcast names the one before it, and the record `newest_broadcast` names the last. So a reader walks back from
the newest to its cursor and reads only what it has not had. A link that leads nowhere (swept, damaged) makes it look at
all broadcasts. Its cursor stays as long as one of them cannot be read, and the copies in its mailbox and archive tell
what it has had: nothing is lost, or delivered twice, for a damaged file.

Protocol: protocol/mailbox.md, "Broadcast".
"""

from __future__ import annotations

from latchboard.errors import MalformedRecord, UsageError
from latchboard.rules import mailbox as rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from latchboard.clock import Now
    from latchboard.store.port import Entries, Store, Value, View

    class Readable(Protocol):
        """What can be read from: a view, or the store through `Reading`."""

        def get(self, key: str) -> Value | None:
            """One record."""
            ...

        def scan(self, prefix: str, *, damaged: list[MalformedRecord] | None = None) -> Entries:
            """One collection."""
            ...


class Reading:
    """The store as it is when asked, for questions that change nothing. Answers are each of one revision."""

    __slots__ = ("_store",)

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, key: str) -> Value | None:
        """One record."""
        return self._store.read(key).get(key)

    def scan(self, prefix: str, *, damaged: list[MalformedRecord] | None = None) -> Entries:
        """One collection."""
        return self._store.read(prefix).scan(prefix, damaged=damaged)


class Found:
    """What waits for one agent.

    Attributes:
        own: Messages in its mailbox.
        news: Broadcasts it has not received, as messages of its own, in order.
        cursor: It has handled every broadcast up to this revision.
        newest: Where its cursor may go when all of `news` is delivered.
        damaged: What could not be read.
    """

    __slots__ = ("cursor", "damaged", "newest", "news", "own")

    def __init__(self) -> None:
        self.own: list[dict[str, Any]] = []
        self.news: list[dict[str, Any]] = []
        self.cursor = self.newest = 0
        self.damaged: list[MalformedRecord] = []


def look(source: Readable, agent: str, now: Now) -> Found:
    """Everything that waits for an agent. Broadcasts first: one that is received meanwhile is then in the mailbox."""
    found = Found()
    found.cursor = cursor(source, agent, found.damaged)
    broadcasts, found.newest = _later(source, found.cursor, found.damaged)
    found.own = messages(source, f"messages/{agent}/", found.damaged)
    found.news = [
        rules.for_reader(broadcast, agent)
        for broadcast in broadcasts
        if broadcast["from"] != agent
        and not rules.is_expired(broadcast, now)
        and not has_copy(source, agent, broadcast["id"])
    ]
    return found


# -- messages --------------------------------------------------------------------------------------------------------


def messages(source: Readable, collection: str, damaged: list[MalformedRecord]) -> list[dict[str, Any]]:
    """The messages of a collection; what is none goes to `damaged`."""
    found = []
    for key, value in source.scan(collection, damaged=damaged):
        message, fault = rules.read(key, value)
        if fault:
            damaged.append(malformed(key, fault))
        else:
            found.append(message)
    return found


def get(source: Readable, key: str) -> dict[str, Any] | None:
    """One message. Raises MalformedRecord."""
    value = source.get(key)
    if value is None:
        return None
    message, fault = rules.read(key, value)
    if fault:
        raise malformed(key, fault)
    return message


def has_copy(source: Readable, agent: str, message_id: str) -> bool:
    """Whether a broadcast is a message of this agent's own already. One that cannot be read is."""
    own = {"to": agent, "id": message_id}
    try:
        return source.get(rules.key(own)) is not None or source.get(rules.archive_key(own)) is not None
    except MalformedRecord:
        return True


def thread_of(view: View, sender: str, to: str | None, reply_to: str, thread: str | None) -> str:
    """The thread of a message that `sender` got, was told as a broadcast, or sent to `to`.

    Raises:
        UsageError: There is none, or it belongs to another thread than `thread`.
    """
    got, sent = {"to": sender, "id": reply_to}, {"to": to, "id": reply_to}
    keys = [rules.key(got), rules.archive_key(got), rules.broadcast_key(reply_to)]
    if to is not None:
        keys += [rules.key(sent), rules.archive_key(sent)]
    for place, key in enumerate(keys):
        message = get(view, key)
        if message is not None and (place < 3 or message["from"] == sender):
            return _same_thread(message["thread"], reply_to, thread)
    raise UsageError(
        f"there is no message {reply_to} that {sender} could reply to",
        hint=f"`latchboard inbox --agent {sender}` shows the ids; old messages leave the archive",
    )


def _same_thread(found: str, reply_to: str, asked: str | None) -> str:
    if asked is not None and asked != found:
        raise UsageError(f"the message {reply_to} is in the thread {found}, not {asked}", hint="leave the thread out")
    return found


def malformed(key: str, reason: str) -> MalformedRecord:
    """The error for a record that is no message."""
    return MalformedRecord(
        f"the record {key} is no message: {reason}",
        hint="it stays where it is; the other messages are delivered: put it right, or delete its file",
        key=key,
        reason=reason,
    )


# -- broadcasts ------------------------------------------------------------------------------------------------------


def cursor(source: Readable, agent: str, damaged: list[MalformedRecord]) -> int:
    """Up to which revision an agent has handled every broadcast; 0 if that is not known, then its copies tell."""
    try:
        value = source.get(f"cursors/{agent}")
    except MalformedRecord as exc:
        damaged.append(exc)
        return 0
    revision = None if value is None else value.get("broadcasts")
    return revision if isinstance(revision, int) and not isinstance(revision, bool) else 0


def move_cursor(view: View, agent: str, target: int) -> None:
    """Note that an agent has handled every broadcast up to `target`; never back."""
    damaged: list[MalformedRecord] = []
    if target > cursor(view, agent, damaged):
        kept = {} if damaged else view.get(f"cursors/{agent}") or {}
        view.put(f"cursors/{agent}", {**kept, "broadcasts": target})


def broadcast_to(view: View, agent: str, message_id: str, now: Now) -> dict[str, Any] | None:
    """A broadcast that an agent has not received yet, as a message of its own."""
    message = get(view, rules.broadcast_key(message_id))
    if message is None or message["from"] == agent or rules.is_expired(message, now):
        return None
    return rules.for_reader(message, agent)


def put_broadcast(view: View, message: dict[str, Any]) -> None:
    """Put a broadcast in front of all earlier ones."""
    damaged: list[MalformedRecord] = []
    previous = _newest(view, damaged)
    if previous is None:
        earlier = _all_later(view, 0, damaged)
        previous = {"id": earlier[-1]["id"], "revision": earlier[-1]["revision"]} if earlier else None
    view.put(rules.broadcast_key(message["id"]), {**message, "previous": previous})
    view.put(rules.NEWEST_BROADCAST, {"id": message["id"], "revision": message["revision"]})


def _later(source: Readable, after: int, damaged: list[MalformedRecord]) -> tuple[list[dict[str, Any]], int]:
    """(Broadcasts later than a cursor in order, where the cursor may go when they are handled)."""
    newest = link = _newest(source, damaged)
    found: list[dict[str, Any]] = []
    while link is not None and link["revision"] > after:
        try:
            broadcast = get(source, rules.broadcast_key(link["id"]))
        except MalformedRecord:
            broadcast = None  # the scan below tells of it
        if broadcast is None or broadcast["revision"] != link["revision"]:
            break
        found.append(broadcast)
        previous = broadcast.get("previous", "left out")
        link = _link(previous)
        if previous is not None and (link is None or link["revision"] >= broadcast["revision"]):
            break
    else:
        if newest is not None:
            return found[::-1], max(after, newest["revision"])
    unread_count = len(damaged)
    found = _all_later(source, after, damaged)
    sound = len(damaged) == unread_count
    reached = max([after, *[b["revision"] for b in found], *([newest["revision"]] if newest else [])])
    return found, reached if sound else after


def _all_later(source: Readable, after: int, damaged: list[MalformedRecord]) -> list[dict[str, Any]]:
    found = [b for b in messages(source, "broadcasts/", damaged) if b["revision"] > after]
    return sorted(found, key=rules.order)


def _newest(source: Readable, damaged: list[MalformedRecord]) -> dict[str, Any] | None:
    try:
        value = source.get(rules.NEWEST_BROADCAST)
    except MalformedRecord as exc:
        damaged.append(exc)
        return None
    return _link(value)


def _link(value: object) -> dict[str, Any] | None:
    """A link to a broadcast, if it can be read as one."""
    if (
        not isinstance(value, dict)
        or not isinstance(value.get("id"), str)
        or not isinstance(value.get("revision"), int)
    ):
        return None
    return value
