"""Breaking: an operator ends the holds of a name, and clears away what cannot be read there.

Protocol: protocol/lock.md, "Break".
"""

from __future__ import annotations

from binascii import crc32

from latchboard.errors import MalformedRecord, Refused, UsageError
from latchboard.locks import notices
from latchboard.locks.linked import give_back, is_link, paths_beside
from latchboard.rules import holding as holdings
from latchboard.rules import lock as rules
from latchboard.rules.agent import check_agent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.locks.service import Locks
    from latchboard.locks.table import Table
    from latchboard.rules.lock import Holding


def break_lock(locks: Locks, path: str, *, by: str, reason: str, token: int | None = None) -> list[dict[str, Any]]:
    """An operator ends every hold of a name; recorded, and the holders are told.

    The link of a file stays with whoever holds another path of it; to break the link itself breaks those as well.

    Args:
        locks: The service.
        path: What was locked, as the holder named it.
        by: The operator.
        reason: Why; must be given.
        token: Break only the hold with this token: a newer one is left alone (failures 3.33).

    Returns:
        Who held it, with token and since when; empty when nobody did. Lock and waiters that cannot be read are removed,
        too; that is in the history.

    Raises:
        Refused: `token` is not a holder's. Nothing was changed.
    """
    check_agent(by)
    text: object = reason
    if not isinstance(text, str) or not text.strip():
        raise UsageError(
            "breaking a lock needs a reason", hint="give --reason: the holder and the history will show it"
        )
    names = locks.names([path])
    is_indexed = True

    def decide(table: Table) -> list[dict[str, Any]]:
        nonlocal is_indexed
        is_indexed = table.trusts_index()
        broken = [one for name in _all_of(table, names, token) for one in _break(table, name, token)]
        if broken:
            table.view.put("log/break", {"by": by, "reason": reason, "broken": broken})
            for one in broken:
                if one["agent"]:
                    _tell(table, one, by, reason)
            table.advance(dict.fromkeys([*names, *(one["name"] for one in broken)]))
        return [one for one in broken if one["agent"]]

    ended = locks.transact(by, decide)
    if not is_indexed:
        locks.transact(by, lambda table: _mend_index(table, [*names, *(one["name"] for one in ended)]))
    return ended


def _all_of(table: Table, names: list[str], token: int | None) -> list[str]:
    """With the link of a path, what must end with it: where the link itself is meant or damaged, all its paths."""
    *paths, last = names
    if not is_link(last):
        return names
    if token is not None:
        return paths or names  # the link of that hold follows it
    try:
        is_whole = table.record(last) is not None
    except MalformedRecord:
        is_whole = False
    if paths and is_whole:
        return names
    try:
        beside = [name for name, _ in paths_beside(table, last)]
    except MalformedRecord:
        beside = []
    return list(dict.fromkeys([*([] if is_whole else [last]), *paths, *beside, last]))


def _break(table: Table, name: str, token: int | None) -> list[dict[str, Any]]:
    """Take out the holds of a name, and everything there that cannot be read."""
    try:
        record = table.record(name)
    except MalformedRecord as exc:
        if token is not None:
            raise Refused(f"{name} cannot be read: nobody can say whose token {token} is", name=name) from exc
        table.put(rules.new_record(name))
        return [_malformed(name, exc)]
    if record is None:
        return []
    chosen = [held for held in record["holders"] if token is None or holdings.shows_token(held, token)]
    if record["holders"] and not chosen:
        newest = max(held["token"] for held in record["holders"])
        raise Refused(
            f"{name} is held with token {newest}, not {token}",
            hint="look at it again: somebody else has it now",
            name=name,
            newest=newest,
        )
    broken = []
    for held in chosen:
        broken += [_broken(one, held) for one in give_back(table, name, held)]
    for place in list(record["waiters"]):
        try:
            table.waiter(place["request"])
        except MalformedRecord as exc:
            table.drop(place, record)
            table.delete_waiter(place["request"])
            broken.append(_malformed(name, exc))
    return broken


def _broken(name: str, held: Holding) -> dict[str, Any]:
    return {"name": name, "agent": held["agent"], "token": held["token"], "since": held["acquired"]["at"]}


def _malformed(name: str, exc: MalformedRecord) -> dict[str, Any]:
    return {"name": name, "agent": "", "token": 0, "since": "", "malformed": exc.message}


def _mend_index(table: Table, names: list[str]) -> None:
    """Make an index anew that could not be read and kept everybody out; while another record is damaged, it stays so.

    A transaction of its own: within the first, a damaged file is still there.
    """
    try:
        table.rebuild_wide()
    except MalformedRecord:
        return  # that one may be a folder's: only who breaks it can say that nothing is overlooked
    table.advance(dict.fromkeys(names))


def _tell(table: Table, one: dict[str, Any], by: str, reason: str) -> None:
    body = f"{by} broke your lock on {one['name']}: {reason}. Read the file again before you go on."
    message_id = f"break-{one['token']}-{crc32(one['name'].encode()):08x}"
    notices.tell(table, message_id, sender=by, to=one["agent"], body=body, urgency="urgent")
