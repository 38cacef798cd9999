"""Layout: which key of etcd holds what, and how a value is written there. Nothing else knows.

A value that holds the revision of its own commit holds a stand-in, which is a number of 19 digits, and tells it in a
line of its own behind the JSON. Whoever reads it puts the revision there.

Protocol: protocol/etcd.md, "Keys".
"""

from __future__ import annotations

from latchboard.codec import decode
from latchboard.errors import MalformedRecord

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

FORMAT = 1
FENCES_COUNT = 16
GATE_TTL_S = 6
GATE_MARGIN_S = 2.0
_STAND_IN_DIGITS = 19


class Layout:
    """The keys below one prefix, as bytes.

    Attributes:
        everything: The range of all of them: first, and behind the last.
        records: What the keys of records begin with.
        commit: The last commit.
        format: What wrote them.
        gate: There while an effect runs.
    """

    __slots__ = ("commit", "everything", "format", "gate", "prefix", "records")

    def __init__(self, prefix: str) -> None:
        self.prefix = f"{prefix}/".encode()
        self.everything = (self.prefix, end_of(self.prefix))
        self.records = self.prefix + b"records/"
        self.commit = self.prefix + b"commit"
        self.format = self.prefix + b"format"
        self.gate = self.prefix + b"gate"

    def record(self, key: str) -> bytes:
        """Where a record is."""
        return self.records + key.encode()

    def key(self, at: bytes) -> str:
        """The key of the record that is there."""
        return at[len(self.records) :].decode("utf-8", "backslashreplace")

    def deleted(self, collection: str) -> bytes:
        """What is put whenever a record of a collection is deleted."""
        return self.prefix + b"deleted/" + collection.encode()

    def fence(self, number: int) -> bytes:
        """One of the fences."""
        return self.prefix + b"fence/" + str(number % FENCES_COUNT).encode()


def collection_of(key: str) -> str:
    """The collection of a key or a prefix; empty for a key that is in none."""
    first, separator, _ = key.partition("/")
    return first + separator if separator else ""


def end_of(prefix: bytes) -> bytes:
    """What comes behind every key that begins with `prefix`, which is UTF-8 and so never ends in 255."""
    return prefix[:-1] + bytes([prefix[-1] + 1])


def sealed(text: str, stand_in: str) -> str:
    """A value's JSON as it is stored; `stand_in`: the digits that stand for the commit's revision, if any do."""
    return f"{text}\n{stand_in}" if stand_in and stand_in in text else text


def opened(text: str, revision: int, told: Callable[[int], int]) -> str:
    """The JSON of a stored value, its own revision put in, as the store tells it."""
    if text[-_STAND_IN_DIGITS - 1 : -_STAND_IN_DIGITS] != "\n":
        return text
    stand_in = text[-_STAND_IN_DIGITS:]
    if not stand_in.isascii() or not stand_in.isdecimal():
        return text
    return text[: -_STAND_IN_DIGITS - 1].replace(stand_in, str(told(revision)))


def value_of(key: str, text: str) -> dict[str, Any]:
    """The record that JSON says. Raises MalformedRecord."""
    try:
        value = decode(text)
    except ValueError as exc:
        raise malformed(key, str(exc)) from exc
    if "key" in value or "mod_revision" in value:
        raise malformed(key, "it has a field that no record has")
    return value


def malformed(key: str, reason: str) -> MalformedRecord:
    """The error for a record that cannot be read."""
    return MalformedRecord(
        f"the record {key} cannot be read: {reason}",
        hint="it counts as held, never as free: `latchboard break` the lock, or put the record right with etcdctl",
        key=key,
        path=key,
        reason=reason,
    )
