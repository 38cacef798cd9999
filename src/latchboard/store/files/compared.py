"""Compared: records against what the journal says of them, without the guard.

A difference counts when nobody commits that record between the look at the journal and that at the record.

Protocol: protocol/health.md, "Store".
"""

from __future__ import annotations

from latchboard.errors import MalformedRecord, StoreError
from latchboard.store.files import layout, records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.store.files.damage import Damage
    from latchboard.store.files.journal_end import Latest, Tail

_CONFIRMED_COUNT_MAX = 200
_TRIES = 20


class Compared:
    """The records of one store, in the folder that is open as `fd`."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def alone(self, path: str) -> str:
        """Why a record that no journal has cannot be read; "" for one that can, and for one that is gone by now."""
        try:
            data = records.read(self._fd, path)
            if data is None:
                return ""
            key, _, _ = records.unpack(None, data, path)
        except MalformedRecord:
            return "it cannot be read"
        except StoreError:
            return "the system does not let it be read"
        return "" if layout.record(key) == path else "it is the file of another record"

    def against_journal(self, key: str, path: str, last: tuple[int, Any]) -> str:
        """Why a record is not what its last commit says; "" for one that is."""
        revision, value = last
        try:
            data = records.read(self._fd, path)
            found = None if data is None else records.unpack(key, data, path)
        except MalformedRecord:
            return "unreadable"
        except StoreError:
            return "unreadable"
        if found is None:
            return "" if value is None else "missing"
        if value is None:
            return "left" if found[2] <= revision else ""  # a later one is of a commit that was made meanwhile
        if found[2] == revision:
            return "" if found[1] == value else "changed"
        return "older" if found[2] < revision else "newer"

    def confirmed(self, wrong: list[Damage], latest: Latest, tail: Tail | None) -> list[Damage]:
        """What is still wrong when the journal is looked at, then the record, then the journal again.

        Of a commit the line comes first: what changed the record between the looks stands in the journal at the second.

        Raises:
            Rotated: Another journal is the current one by now.
        """
        if tail is None:
            return wrong
        few, rest, sure = wrong[:_CONFIRMED_COUNT_MAX], wrong[_CONFIRMED_COUNT_MAX:], []
        for _ in range(_TRIES):
            if not few:
                break
            tail.advance(latest)
            few = [one for one in few if self._is_still(one, latest)]
            before = {one.key: latest.get(one.key) for one in few}
            tail.advance(latest)
            on_its_way = tail.on_its_way()
            is_same = {key: latest.get(key) == last and key not in on_its_way for key, last in before.items()}
            sure += [one for one in few if is_same[one.key]]
            few = [one for one in few if not is_same[one.key]]
        return [*sure, *rest] if sure else []  # if none of the first is wrong, the rest was of the same moment

    def _is_still(self, one: Damage, latest: Latest) -> bool:
        if one.kind == "record":
            one.why = self.against_journal(one.key, one.where, latest[one.key])
            return bool(one.why)
        return bool(self.alone(one.where))
