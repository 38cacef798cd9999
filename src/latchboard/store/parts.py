"""Parts: work on many records, in commits that the store takes.

For work that is the same whether it is one commit or many; what must be one is never cut, and is refused when it is too
large.

Protocol: protocol/store.md, "Promises".
"""

from __future__ import annotations

from latchboard.errors import CommitTooLarge

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, TypeVar

    from latchboard.store.port import Store

    T = TypeVar("T")

_BESIDES = 8
"""Keys that a commit may need once: an index, a cursor, a trace."""


def count_of(store: Store, count_max: int, *, keys_each: int) -> int:
    """How many items go into one commit, at most `count_max`.

    Args:
        store: Which takes so many keys in one.
        count_max: More than that would keep others waiting.
        keys_each: Most keys that one item usually changes.
    """
    return max(1, min(count_max, (store.properties.transaction_keys_max - _BESIDES) // keys_each))


def in_parts(items: Sequence[T], count: int, commit: Callable[[Sequence[T]], Any]) -> None:
    """Commit items in order, `count` at once; a part that is too large for one commit in halves.

    Raises:
        CommitTooLarge: One item alone is. The parts before it are committed.
    """
    start = 0
    while start < len(items):
        part = items[start : start + count]
        try:
            commit(part)
        except CommitTooLarge:
            if len(part) == 1:
                raise
            count = len(part) // 2
            continue
        start += len(part)
