"""Mailbox: what a message is, what can happen to it, and which ones are delivered now; pure.

Law 1. A message is in one state, told by its record alone (`state`); what `NEXT` does not list cannot happen to it.
Law 2. Deliveries are in the order of revisions, hence in order per sender.
Law 3. A message that demands an acknowledgement stays until it gets one or expires, and is delivered again until then.
Law 4. Ages follow the clock rule of leases: monotonic within one boot, by the wall clock across boots, never below
zero.

Does not know where broadcasts come from: the service finds those that an agent has not received and shows them as
messages of its own. What may be sent at all is in rules/message.py.

Protocol: protocol/mailbox.md. At-least-once vocabulary of Maildir and of message queues.
"""

from __future__ import annotations

from latchboard.clock import iso, parse_iso
from latchboard.rules.agent import is_agent
from latchboard.rules.message import is_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from latchboard.clock import Now

NEWEST_BROADCAST = "newest_broadcast"
"""The record that says which broadcast is the newest: `{"id", "revision"}`. Each broadcast names the one before it."""

NEXT: dict[str, dict[str, str]] = {
    "waiting": {"take": "taken", "deliver": "delivered", "ack": "acked", "expire": "dead"},
    "delivered": {"deliver": "delivered", "ack": "acked", "expire": "dead"},
    "taken": {},
    "acked": {},
    "dead": {},
}
"""State -> event -> state. `take`: received, and no acknowledgement is demanded. `deliver`: received, and one is."""

_DEFAULTS: dict[str, Any] = {
    "subject": "",
    "reply_to": None,
    "urgency": "normal",
    "ack": "none",
    "ack_by_at": None,
    "expires_at": None,
}
_TEXTS = ("id", "from", "body", "subject", "thread", "urgency", "ack", "sent_at")
_TEXTS_OR_NULL = ("reply_to", "delivered_at", "acked_at")
_FLAGS = ("dead_letter", "broadcast")
_TIMES = ("ack_by_at", "expires_at", "archived_at")
_HIDDEN = ("_mono_s", "_boot", "previous")


# -- records ---------------------------------------------------------------------------------------------------------


def compose(  # noqa: PLR0913 - that many fields has a message; all but the id by keyword
    message_id: str,
    *,
    sender: str,
    to: str | None,
    body: str,
    now: Now,
    revision: int,
    subject: str = "",
    thread: str | None = None,
    reply_to: str | None = None,
    urgency: str = "normal",
    ack: str = "none",
    ack_by_s: float | None = None,
    expires_s: float | None = None,
) -> dict[str, Any]:
    """A message as it is stored; times are relative to `now`, in seconds; `to` None is everybody (a broadcast)."""
    return {
        "id": message_id,
        "from": sender,
        "to": to,
        "body": body,
        "subject": subject,
        "thread": thread or message_id,
        "reply_to": reply_to,
        "urgency": urgency,
        "sent_at": iso(now.wall_s),
        "sent_mono_s": now.mono_s,
        "sent_boot": now.boot,
        "revision": revision,
        "ack": ack,
        "ack_by_at": None if ack_by_s is None else iso(now.wall_s + ack_by_s),
        "expires_at": None if expires_s is None else iso(now.wall_s + expires_s),
    }


def key(message: dict[str, Any]) -> str:
    """Where a message lies until it is acknowledged."""
    return f"messages/{message['to']}/{message['id']}"


def archive_key(message: dict[str, Any]) -> str:
    """Where a message lies from then on."""
    return f"archive/{message['to']}/{message['id']}"


def broadcast_key(message_id: str) -> str:
    """Where a broadcast lies until it expires."""
    return f"broadcasts/{message_id}"


def for_reader(broadcast: dict[str, Any], agent: str) -> dict[str, Any]:
    """A broadcast as a message of one of its readers, which is what it becomes when that agent receives it."""
    own = {name: value for name, value in broadcast.items() if name != "previous"}
    return {**own, "to": agent, "broadcast": True}


def message_id(now: Now, process_tag: str, number: int) -> str:
    """An id that sorts by time: 17 digits of microseconds since 1970, the process, and its count of messages."""
    return f"{max(0, int(now.wall_s * 1e6)):017d}-{process_tag}-{number}"


def read(found_at: str, value: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """(the message in a stored record with what was left out filled in, what is wrong with it; empty: nothing).

    Unknown fields are kept.
    """
    message = {**_DEFAULTS, "thread": value.get("id"), **value}
    return message, _fault(found_at, message)


def _fault(found_at: str, message: dict[str, Any]) -> str:
    for name in _TEXTS:
        if not isinstance(message.get(name), str):
            return f"{name} is no text"
    for name in _TEXTS_OR_NULL:
        if not isinstance(message.get(name, ""), str | None):
            return f"{name} is no text"
    for name in _FLAGS:
        if not isinstance(message.get(name, False), bool):
            return f"{name} is neither true nor false"
    if not is_id(message["id"]):
        return "id cannot be the id of a message"
    if found_at != _place(message):
        return f"it is the record {_place(message)}"
    if not is_agent(message["from"]):
        return "from is no agent id"
    revision = message.get("revision")
    if isinstance(revision, bool) or not isinstance(revision, int) or revision < 0:
        return "revision is no whole number"
    return _time_fault(message)


def _place(message: dict[str, Any]) -> str:
    if message.get("to") is None:
        return broadcast_key(message["id"])
    return key(message) if message.get("archived_at") is None else archive_key(message)


def _time_fault(message: dict[str, Any]) -> str:
    timed = [name for name in _TIMES if message.get(name) is not None]
    for name in timed and ("sent_at", *timed):
        try:
            parse_iso(message[name])
        except ValueError:
            return f"{name} is no time"
    return ""


def shown(message: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A message as people and programs get it: without what only the store and its clock rule need."""
    return {**{name: value for name, value in message.items() if not name.endswith(_HIDDEN)}, **more}


# -- states ----------------------------------------------------------------------------------------------------------


def state(message: dict[str, Any]) -> str:
    """The state a record tells."""
    if message.get("archived_at") is None:
        return "waiting" if message.get("delivered_at") is None else "delivered"
    if message.get("dead_letter"):
        return "dead"
    return "taken" if message.get("acked_at") is None else "acked"


def step(message: dict[str, Any], event: str, now: Now) -> dict[str, Any] | None:
    """The record after `event`; the same object if nothing changes, None where `NEXT` says that it cannot happen."""
    before = state(message)
    after = NEXT[before].get(event)
    if after is None:
        return None
    if after == before:
        return message
    at = iso(now.wall_s)
    changed: dict[str, Any] = {**message}
    if event in ("take", "deliver"):
        changed["delivered_at"] = at
    elif event == "ack":
        changed["acked_at"] = at
    else:
        changed["dead_letter"] = True
    if after != "delivered":
        changed.update(archived_at=at, archived_mono_s=now.mono_s, archived_boot=now.boot)
    return changed


def reception(message: dict[str, Any]) -> str:
    """The event that receiving is for this message. A demand that is not known is one that must be met."""
    return "take" if message["ack"] == "none" else "deliver"


def deliveries(
    waiting: Iterable[dict[str, Any]], now: Now, limit: int | None
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What a receive delivers, and what has expired, both in the order of revisions.

    Under a limit, messages that were never delivered go before those that are delivered again: what nobody acknowledges
    must not hide what is new.

    Args:
        waiting: The agent's messages in the states `waiting` and `delivered`.
        now: Decides what has expired.
        limit: Most messages to deliver; None: all of them.
    """
    alive: list[dict[str, Any]] = []
    dead: list[dict[str, Any]] = []
    for message in sorted(waiting, key=order):
        (dead if is_expired(message, now) else alive).append(message)
    if limit is None or len(alive) <= limit:
        return alive, dead
    first = sorted(alive, key=lambda message: message.get("delivered_at") is not None)
    return sorted(first[:limit], key=order), dead


def order(message: dict[str, Any]) -> tuple[int, str]:
    """The order of deliveries: by commit, and by id within one."""
    return message["revision"], message["id"]


# -- times -----------------------------------------------------------------------------------------------------------


def is_expired(message: dict[str, Any], now: Now) -> bool:
    """Whether its time is over."""
    return message["expires_at"] is not None and _left_s(message, "expires_at", now) <= 0


def overdue_s(message: dict[str, Any], now: Now) -> float | None:
    """How many seconds ago the acknowledgement was due; None: none is, or not yet."""
    if message["ack"] == "none" or message["ack_by_at"] is None:
        return None
    over_s = -_left_s(message, "ack_by_at", now)
    return over_s if over_s > 0 else None


def is_forgettable(message: dict[str, Any], now: Now, archive_ttl_s: float) -> bool:
    """Whether an archived message may go; a broadcast's copy not before the broadcast itself: it tells who had it."""
    if message.get("archived_at") is None:
        return False
    lasts = message["expires_at"] is not None and not is_expired(message, now)
    return not lasts and _age_s(message, "archived", now) > archive_ttl_s


def _left_s(message: dict[str, Any], until: str, now: Now) -> float:
    return parse_iso(message[until]) - parse_iso(message["sent_at"]) - _age_s(message, "sent", now)


def _age_s(message: dict[str, Any], what: str, now: Now) -> float:
    """Seconds since a message was sent or archived; without clock readings, as the wall clock says."""
    mono_s = message.get(f"{what}_mono_s")
    if message.get(f"{what}_boot") == now.boot and isinstance(mono_s, int | float):
        return max(0.0, now.mono_s - mono_s)
    return max(0.0, now.wall_s - parse_iso(message[f"{what}_at"]))
