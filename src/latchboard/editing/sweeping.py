"""Sweeping: removes images without a hold, calls without an end, old conflicts, and bytes that nobody refers to.

Law 1. Everything is looked at again in the transaction that removes it.
Law 2. Bytes go only while every record that may refer to them can be read: what cannot be read refers to all of them.

Protocol: protocol/editing.md, "Kept bytes".
"""

from __future__ import annotations

from latchboard.editing.foreign import is_held
from latchboard.editing.images import checked
from latchboard.errors import MalformedRecord
from latchboard.rules import foreign as rules
from latchboard.rules import image as images
from latchboard.store.parts import count_of, in_parts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from latchboard.editing.images import Images
    from latchboard.locks import Locks
    from latchboard.locks.table import Table

WHO = "cleanup"
BATCH_COUNT = 200
_COLLECTIONS = (images.KEY, rules.CALLS, rules.CONFLICTS)


class Sweep:
    """One pass; fit for two at once."""

    __slots__ = ("_images", "_locks")

    def __init__(self, locks: Locks, kept: Images) -> None:
        self._locks = locks
        self._images = kept

    def sweep(self, *, dry_run: bool) -> dict[str, int]:
        """Remove what is over.

        Returns:
            `{"images", "calls", "conflicts", "kept"}`: how many of what were removed, or would be. Bytes that a record
            refers to which goes now are counted by the pass after it.

        Raises:
            StoreError: The store refused; what was removed before stays removed.
        """
        table = self._locks.look("locks/", *_COLLECTIONS)
        tests = (_is_idle_image, self._is_old_call, self._is_old_conflict)
        counts = {}
        for prefix, is_over in zip(_COLLECTIONS, tests, strict=True):
            keys = [key for key, _ in table.view.scan(prefix, damaged=[]) if _surely(is_over, table, key)]
            counts[prefix.rstrip("/")] = len(keys) if dry_run else self._remove(keys, is_over)
        referred = self._referred()
        gone = [] if referred is None else self._images.kept.sweep(referred, dry_run=dry_run)
        return {**counts, "kept": len(gone)}

    def _remove(self, keys: list[str], is_over: Callable[[Table, str], bool]) -> int:
        """Delete those that are still over, so many in each transaction; how many that were."""
        count = 0

        def commit(batch: Sequence[str]) -> None:
            nonlocal count

            def decide(table: Table) -> int:
                over = [key for key in batch if _surely(is_over, table, key)]
                for key in over:
                    table.view.delete(key)
                return len(over)

            count += self._locks.transact(WHO, decide)

        in_parts(keys, count_of(self._locks.store, BATCH_COUNT, keys_each=1), commit)
        return count

    def _is_old_call(self, table: Table, key: str) -> bool:
        value: Any = table.view.get(key)
        if value is None or rules.check_call(value):
            return value is not None  # the end of nobody's call can come to it
        return not rules.is_open(value, table.now, max(self._locks.settings.call_s_max, rules.LOST_S))

    def _is_old_conflict(self, table: Table, key: str) -> bool:
        value: Any = table.view.get(key)
        if value is None or rules.check_conflict(value):
            return False
        return rules.is_over(value, table.now, self._locks.settings.conflict_ttl_s)

    def _referred(self) -> set[str] | None:
        """The names of all bytes that a record refers to; None: a record cannot be read, so that nobody knows."""
        damaged: list[MalformedRecord] = []
        snapshot = self._locks.store.read(images.KEY, rules.CONFLICTS)
        found: set[str] = set()
        for _, image in snapshot.scan(images.KEY, damaged=damaged):
            if images.check_record(image):
                return None
            if image["file"] is not None:
                found.add(image["file"]["sha256"])
        for _, value in snapshot.scan(rules.CONFLICTS, damaged=damaged):
            if rules.check_conflict(value):
                return None
            conflict: Any = value
            found |= rules.kept_names(conflict)
        return None if damaged else found


def _surely(is_over: Callable[[Table, str], bool], table: Table, key: str) -> bool:
    """Whether a record is over; one that cannot be read, or whose lock cannot, stays."""
    try:
        return is_over(table, key)
    except MalformedRecord:
        return False


def _is_idle_image(table: Table, key: str) -> bool:
    record = checked(key, table.view.get(key))
    return record is not None and not is_held(table, record)
