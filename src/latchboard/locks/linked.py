"""Linked: the hold of a hard link's name follows the holds of the paths that it was locked beside.

Law 1. While a hold of a path lasts, so does its holder's hold of the link beside it, whichever other path of the same
file is given back.
Law 2. When no path needs it any more, it goes with the last one.

A record that cannot be read may need it: then it stays, until its lease or its process ends or an operator breaks it.

Protocol: protocol/lock.md, "Operations".
"""

from __future__ import annotations

from latchboard.errors import MalformedRecord
from latchboard.rules import holding as holdings
from latchboard.rules import pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.locks.table import Table
    from latchboard.rules.lock import Holding


def give_back(table: Table, name: str, held: Holding, after: Holding | None = None) -> list[str]:
    """Put what is left in the place of a hold, or take it out whole, and let the hold of its link follow.

    Returns:
        The names that were given back altogether; not that of a link which a path still needs.
    """
    record = table.record(name)
    if record is None or all(one is not held for one in record["holders"]):
        return []  # it followed its path already
    if is_link(name):
        after = _needed(table, name, held, after)
    if after is not held:
        table.remove(name, held, after)
    gone = [name] if after is None else []
    link = held.get("link")
    return [*gone, *_follow(table, link, held)] if link else gone


def _follow(table: Table, link: str, held: Holding) -> list[str]:
    """Leave of a link what paths still need, now that the hold of one of them has changed."""
    try:
        record = table.record(link)
    except MalformedRecord:
        return []  # it counts as held, and keeps nobody from giving the path back
    gone = []
    for one in list(record["holders"]) if record else []:
        if holdings.is_same_holder(one, held):
            left = _needed(table, link, one, None)
            if left != one:
                table.remove(link, one, left)
            if left is None:
                gone.append(link)
    return gone


def is_link(name: str) -> bool:
    """Whether a name stands for a file by its inode."""
    return name.startswith("hardlink:")


def paths_beside(table: Table, link: str) -> list[tuple[str, Holding]]:
    """Every hold of a path that was locked with this link beside it.

    Raises:
        MalformedRecord: The record of a path cannot be read: it may be one of them.
    """
    damaged: list[MalformedRecord] = []
    names = [key[6:] for key, _ in table.view.scan("locks/", damaged=damaged)]
    if damaged:
        raise damaged[0]
    found = []
    for name in names:
        record = table.record(name) if pattern.kind(name) == "file" else None
        found += [(name, held) for held in record["holders"] if held.get("link") == link] if record else []
    return found


def _needed(table: Table, link: str, held: Holding, after: Holding | None) -> Holding | None:
    """What paths still need of the hold of their link; where none does, `after`."""
    try:
        beside = paths_beside(table, link)
    except MalformedRecord:
        return held
    needing = [one for _, one in beside if holdings.is_same_holder(one, held) and not table.why_over(one)]
    return holdings.needed(held, needing, table.now) if needing else after
