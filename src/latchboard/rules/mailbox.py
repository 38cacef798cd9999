"""Mailbox: what a message is; pure. Protocol: protocol/mailbox.md."""

from __future__ import annotations

from latchboard.clock import iso

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.clock import Now

URGENCIES = ("low", "normal", "high", "urgent")


def compose(
    message_id: str,
    *,
    sender: str,
    to: str,
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
    """A message as it is stored; times are relative to `now`, in seconds."""
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
        "revision": revision,
        "ack": ack,
        "ack_by_at": None if ack_by_s is None else iso(now.wall_s + ack_by_s),
        "expires_at": None if expires_s is None else iso(now.wall_s + expires_s),
    }


def key(message: dict[str, Any]) -> str:
    """Where a message lies until it is acknowledged."""
    return f"messages/{message['to']}/{message['id']}"
