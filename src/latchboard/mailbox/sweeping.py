"""Sweeping: old mail goes, in batches small enough that nobody waits for them.

Each batch looks again before it removes: what somebody else swept meanwhile is not counted twice.
"""

from __future__ import annotations

from latchboard.errors import MalformedRecord
from latchboard.mailbox.reading import Reading, get, messages
from latchboard.rules import mailbox as rules
from latchboard.store.parts import count_of, in_parts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from latchboard.clock import Now
    from latchboard.store.port import Store, View

WHO = "cleanup"
BATCH_COUNT = 400


def sweep(store: Store, now: Now, archive_ttl_s: float, *, dry_run: bool) -> dict[str, int]:
    """See `Mailbox.sweep`."""
    source = Reading(store)
    damaged: list[MalformedRecord] = []
    old = [m for m in messages(source, "archive/", damaged) if rules.is_forgettable(m, now, archive_ttl_s)]
    over = [m for m in messages(source, "broadcasts/", damaged) if rules.is_expired(m, now)]
    dead = [m for m in messages(source, "messages/", damaged) if rules.is_expired(m, now)]
    counts = {"archived": len(old), "broadcasts": len(over), "dead_letters": len(dead), "damaged": len(damaged)}
    if not dry_run:
        # Broadcasts before their copies: a copy that is gone first would let its broadcast be delivered again.
        counts["broadcasts"] = _in_batches(store, [rules.broadcast_key(m["id"]) for m in over], _remove)
        counts["archived"] = _in_batches(store, [rules.archive_key(m) for m in old], _remove)
        counts["dead_letters"] = _in_batches(store, [rules.key(m) for m in dead], lambda v, key: _bury(v, key, now))
    return counts


def _in_batches(store: Store, keys: list[str], act: Callable[[View, str], bool]) -> int:
    """Do something to each key; how often it still had to be done."""
    done = 0

    def commit(batch: Sequence[str]) -> None:
        nonlocal done
        done += store.transact(lambda view: sum(act(view, key) for key in batch), who=WHO).value

    in_parts(keys, count_of(store, BATCH_COUNT, keys_each=2), commit)
    return done


def _remove(view: View, key: str) -> bool:
    if _read(view, key) is None:
        return False
    view.delete(key)
    return True


def _bury(view: View, key: str, now: Now) -> bool:
    """An expired message becomes a dead letter."""
    message = _read(view, key)
    after = None if message is None else rules.step(message, "expire", now)
    if after is None:
        return False
    view.put(rules.archive_key(after), after)
    view.delete(key)
    return True


def _read(view: View, key: str) -> dict[str, object] | None:
    """None for what was damaged meanwhile, too: it stays."""
    try:
        return get(view, key)
    except MalformedRecord:
        return None
