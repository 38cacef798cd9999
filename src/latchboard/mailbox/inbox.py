"""Inbox: what a look into mailboxes found."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from latchboard.errors import MalformedRecord


class Inbox:
    """Messages, in the order of delivery; iterates over them.

    Attributes:
        messages: As `rules.mailbox.shown` gives them.
        damaged: Records that could not be read. They stay where they are, and are told again until they are repaired.
        left_count: How many more wait: beyond the limit, or because the store failed on the way.
    """

    __slots__ = ("damaged", "left_count", "messages")

    def __init__(self, messages: list[dict[str, Any]], damaged: list[MalformedRecord], left_count: int = 0) -> None:
        self.messages = messages
        self.damaged = damaged
        self.left_count = left_count

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.messages)

    def __len__(self) -> int:
        return len(self.messages)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.messages[index]

    def __repr__(self) -> str:
        return f"Inbox({len(self.messages)} messages, {len(self.damaged)} damaged, {self.left_count} left)"

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it (protocol/schema/inbox.json)."""
        damaged = [error.to_json() for error in self.damaged]
        return {"format": 1, "messages": self.messages, "damaged": damaged, "left_count": self.left_count}
