"""Store looking: how a project's store stands, and whether all that it keeps is what it must be. Changes nothing.

Protocol: protocol/etcd.md, "Looking at a store".
"""

from __future__ import annotations

from latchboard.clock import iso, parse_iso
from latchboard.errors import Compacted, CoordinationError, MalformedRecord
from latchboard.rules import record as rules
from latchboard.rules.clocks import Clocks
from latchboard.store.copying import Whole
from latchboard.store.files import filling, health
from latchboard.store.files.folder import format_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.compose import Latchboard
    from latchboard.store.port import Change

_COMMITS_COUNT_MAX = 100_000
_HARMLESS = ("torn", "unapplied", "older-journal", "copy")
"""Damage of files that the store mends by itself, or that only history suffers from."""


def status(board: Latchboard) -> dict[str, Any]:
    """How it stands; see `protocol/schema/store-status.json`. What cannot be asked is told as trouble."""
    damaged: list[MalformedRecord] = []
    trouble: list[str] = []
    whole, store_id, beside = Whole(0, {}), "", None
    members, can_be_read = _members(board)
    try:
        if can_be_read:
            store_id = _store_id(board)
            whole = _whole(board, damaged)
            beside = stores_beside_none(board, store_id)
    except CoordinationError as exc:
        trouble.append(exc.message)
    trouble += [f"{one['endpoint']}: {one['trouble']}" for one in members if one["trouble"]]
    trouble += [exc.message for exc in damaged]
    return {
        "engine": board.store.properties.engine,
        "where": _where(board),
        "store_id": store_id,
        "revision": whole.revision,
        "record_count": len(whole.records),
        "counts": counts(whole.records),
        "present_count": len(whole.present),
        "is_vacant": beside is not None,
        "nearby": beside or [],
        "members": members,
        "trouble": trouble,
        "is_healthy": not trouble,
    }


def stores_beside_none(board: Latchboard, store_id: str | None = None) -> list[str] | None:
    """Where nobody has begun the store of an etcd cluster: prefixes near it that have one; None: there is one.

    Raises:
        StoreError, ProtocolError: The store cannot be asked, or is none.
    """
    if board.store.properties.engine != "etcd":
        return None
    store: Any = board.store
    store_id = store.store_id() if store_id is None else store_id
    return None if store_id else list(store.nearby())


def check(board: Latchboard) -> dict[str, Any]:
    """Everything that is not what it must be; see `protocol/schema/store-check.json`.

    Raises:
        StoreError, ProtocolError: The store cannot be asked, or is none.
    """
    damaged: list[MalformedRecord] = []
    whole = _whole(board, damaged)
    unreadable = {_key(exc): exc.message for exc in damaged}
    found = [_finding("critical", key, text) for key, text in unreadable.items()]
    at = iso(board.clock.now().wall_s)
    wrong = rules.faults(whole.records, whole.revision, at=at, damaged=unreadable.keys())
    found += [_finding("critical", key, why) for key, why in sorted(wrong.items()) if key not in unreadable]
    found += _of_engine(board, {one["key"] for one in found})
    commit_count, history = _history(board)
    found += history
    return {
        "engine": board.store.properties.engine,
        "where": _where(board),
        "revision": whole.revision,
        "record_count": len(whole.records) + len(unreadable),
        "commit_count": commit_count,
        "findings": found,
    }


def counts(records: dict[str, Any]) -> dict[str, int]:
    """How many records there are of each collection."""
    found: dict[str, int] = {}
    for key in sorted(records):
        first = key.partition("/")[0]
        found[first] = found.get(first, 0) + 1
    return found


def _whole(board: Latchboard, damaged: list[MalformedRecord]) -> Whole:
    if board.files is not None:
        return filling.everything(board.files, damaged)
    store: Any = board.store
    found: Whole = store.everything(damaged)
    return found


def _where(board: Latchboard) -> str:
    store: Any = board.store
    return board.files.path if board.files is not None else str(store.access.address)


def _store_id(board: Latchboard) -> str:
    store: Any = board.store
    if board.files is None:
        return str(store.store_id())
    try:
        return format_in(board.files.path)[1]
    except (OSError, ValueError, KeyError):
        return ""  # there is none yet, or reading the records says what is wrong with it


def _members(board: Latchboard) -> tuple[list[dict[str, Any]], bool]:
    """What they say, and whether one of them can be read from: where none knows a leader nothing comes but a limit."""
    store: Any = board.store
    names = ("endpoint", "version", "is_leader", "db_bytes", "trouble")
    found = [] if board.files is not None else store.members()
    can_be_read = not found or any(one.can_serve for one in found)
    return [{name: getattr(one, name) for name in names} for one in found], can_be_read


def _of_engine(board: Latchboard, known: set[str]) -> list[dict[str, str]]:
    """What only this engine can have wrong."""
    if board.files is None:
        store: Any = board.store
        found = [_finding("critical", key, why) for key, why in sorted(store.faults().items())]
        return found + [
            _finding("critical" if one.is_full else "warn", one.endpoint, one.trouble)
            for one in store.members()
            if one.trouble
        ]
    look = health.Inspector(board.files.path, boot=board.clock.now().boot).look()
    return [
        _finding("warn" if one.kind in _HARMLESS else "critical", one.key or one.where, f"{one.kind}: {one.why}")
        for one in look.damage
        if not {one.key, one.where.removesuffix(".json")} & known
    ]


def _history(board: Latchboard) -> tuple[int, list[dict[str, str]]]:
    """How many commits are kept, whether they can be read from the first to the last, and whose clock is off."""
    watch = board.store.watch("", after=0)
    count, last = 0, 0
    clocks = Clocks()
    try:
        while count < _COMMITS_COUNT_MAX and (changes := watch.poll()):
            for change in changes:
                if change.revision != last:
                    count += 1
                    _note(clocks, change)
                last = change.revision
    except Compacted as exc:
        return count, [_finding("warn", "history", exc.message)]
    finally:
        watch.close()
    # On one machine there is one clock, and whoever was stopped may commit what it decided long before.
    why = clocks.fault(board.clock.now().wall_s) if board.store.properties.spans_hosts else ""
    return count, [_finding("warn", "clocks", f"{why}; leases end early or late by as much (NTP)")] if why else []


def _note(clocks: Clocks, change: Change) -> None:
    try:
        clocks.note(change.revision, change.who, parse_iso(change.at))
    except ValueError:
        return  # it says no time


def _key(exc: MalformedRecord) -> str:
    """The record that cannot be read. A file that does not say which it is has the name of its key, and an ending."""
    return str(exc.fields["key"]).removesuffix(".json")


def _finding(severity: str, key: str, text: str) -> dict[str, str]:
    return {"severity": severity, "key": key, "text": text}
