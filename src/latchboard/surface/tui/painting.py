"""Painting: one line of each list, in as many cells as there are; pure.

A painter is given an entry, the width and the time, and gives pieces: text with the name of a style. What the entry
says reaches a piece through `text.shown` alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from latchboard.surface.tui import ages, tree
from latchboard.surface.tui.look import agent_style
from latchboard.surface.tui.text import end_cut, few, filled, listing, middle_cut, plural, shown, width

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    Entry = dict[str, Any]
    Piece: TypeAlias = tuple[str, str]
    Painter: TypeAlias = Callable[[Any, int, float], list[Piece]]

NARROW_CELLS = 64
"""Below that a line says less, not smaller."""
_WAITS_CELLS = 4

_MET = {
    "refused": "was refused {names}, held by {other}",
    "deadlock": "was refused {names}, held by {other}: both would wait for ever",
    "waiting": "had to wait for {names}, behind {other}",
    "wait_ended": "waited in vain for {names}, held by {other}",
    "taken_over": "took {names} over from {other}",
    "broken": "broke the lock of {other} on {names}",
}
_CHANGED = "changed {names}, held by {other}"


def agent(item: tuple[str, Entry], cells: int, wall_s: float) -> list[Piece]:
    """`● planner   splitting the parser   3 locks  12s`."""
    name, entry = item
    is_narrow = cells < NARROW_CELLS
    age = ages.since(entry["heartbeat_at"], wall_s) if entry["heartbeat_at"] else "-"
    held = "" if is_narrow else plural(len(entry["holds"]), "lock") if entry["holds"] else ""
    name_cells = min(16, max(8, cells // 4))
    rest = cells - 2 - name_cells - 1 - (0 if is_narrow else 12) - 5
    pieces = [
        ("○ " if entry["quiet"] else "● " if entry["heartbeat_at"] else "· ", "dim" if entry["quiet"] else ""),
        (filled(shown(name), name_cells) + " ", agent_style(name)),
    ]
    status = shown(entry["status"])
    if entry["waits_for"]:
        waits = end_cut(f"waits for {few(entry['waits_for'], 'file')}", rest)
        pieces.append((waits, "wait"))
        status, rest = (f"  {status}" if status else ""), rest - width(waits)
    elif entry["quiet"] and not is_narrow:
        status = f"quiet  {status}".rstrip()
    pieces.append((filled(status, rest), "dim" if entry["quiet"] else ""))
    if not is_narrow:
        pieces.append((filled(held, 12, right=True), "dim"))
    return [*pieces, (filled(age, 5, right=True), "dim")]


def node(item: tree.Node, cells: int, wall_s: float) -> list[Piece]:
    """A line of the tree of files."""
    indent = " " * min(2 * tree.depth(item), cells // 3)
    if isinstance(item, tree.Folder):
        return _folder(item, indent, cells)
    if isinstance(item, tree.Waiting):
        return _waiting(item.entry, indent, cells, wall_s)
    return _file(item, indent, cells, wall_s)


def _folder(folder: tree.Folder, indent: str, cells: int) -> list[Piece]:
    whose = list(folder.holds_count)
    count = (
        f"  {plural(folder.files_count, 'file')}, {shown(whose[0]) if len(whose) == 1 else plural(len(whose), 'agent')}"
    )
    label = middle_cut(shown(folder.label), cells - len(indent) - 2)
    left = cells - len(indent) - 2 - width(label)
    mark = "▾ " if folder.is_open else "▸ "
    return [(indent + mark, "dim"), (label, "strong"), (filled(count, left), "dim")]


def _file(file: tree.File, indent: str, cells: int, wall_s: float) -> list[Piece]:
    """`a.py   planner   56m +2 what for`."""
    holder_cells = min(14, cells // 4)
    label_cells = cells - 2 - len(indent) - holder_cells - 1 - 5 - _WAITS_CELLS
    reason_cells = 0
    if cells >= 72:
        reason_cells = (cells - 36) // 3
        label_cells -= reason_cells + 1
    is_shared = any(hold["mode"] == "shared" for hold in file.holds)
    label = middle_cut(shown(file.label), label_cells - (9 if is_shared else 0)) + (" (shared)" if is_shared else "")
    pieces = [(f"{indent}  ", ""), (filled(label, label_cells) + " ", "")]
    if not file.holds:
        over = file.ended[0] if file.ended else None
        said = f"free, {over['why']}: {shown(over['agent'])}" if over else "free"
        return [*pieces, (filled(said, cells - _width(pieces)), "dim")]
    first = file.holds[0]
    who = listing(hold["agent"] for hold in file.holds)
    left = ages.until(first["expires_at"], wall_s)
    waits = f"+{len(file.waiters)}" if file.waiters else ""
    pieces.append((filled(who, holder_cells), agent_style(first["agent"])))
    pieces.append((filled(left, 5, right=True), "dim"))
    pieces.append((filled(f" {waits}", cells - _width(pieces) if not reason_cells else _WAITS_CELLS), "wait"))
    if reason_cells:
        pieces.append((filled(shown(first["reason"]), cells - _width(pieces)), "dim"))
    return pieces


def _waiting(waiter: Entry, indent: str, cells: int, wall_s: float) -> list[Piece]:
    said = "asks for it" if waiter["handoff"] == "asked" else "waits"
    text = f"{shown(waiter['agent'])} {said}, {ages.since(waiter['since'], wall_s)}"
    if waiter["reason"]:
        text += f": {shown(waiter['reason'])}"
    return [(f"{indent}└ ", "dim"), (filled(text, cells - len(indent) - 2), "wait")]


def waiter(entry: Entry, cells: int, wall_s: float) -> list[Piece]:
    """`builder   src/a.py   behind planner   3m`."""
    who_cells = min(16, max(8, cells // 4))
    behind = f" behind {listing(entry['blocked_by'])}" if entry["blocked_by"] else ""
    if entry["handoff"] == "asked":
        behind += ", asked for it"
    rest = cells - who_cells - 1 - 5
    names = few(entry["names"], "file")
    what_cells = min(width(names), max(rest - width(behind), rest // 2))
    return [
        (filled(shown(entry["agent"]), who_cells) + " ", agent_style(entry["agent"])),
        (_padded(middle_cut(names, what_cells), what_cells), ""),
        (filled(behind, rest - what_cells), "wait"),
        (filled(ages.since(entry["since"], wall_s), 5, right=True), "dim"),
    ]


def conflict(entry: Entry, cells: int, _wall_s: float) -> list[Piece]:
    """`11:42:07 builder was refused src/a.py, held by planner`."""
    clock = ages.clock(entry["at"])
    clock = clock[:5] if cells < NARROW_CELLS else clock
    kind = entry["kind"]
    who = shown(entry["asked_by"] or "somebody")
    held_by = listing(sorted({str(one.get("agent")) for one in entry["held_by"]}))
    text = " " + _MET.get(kind, _CHANGED).format(names=few(entry["names"], "file"), other=held_by or "nobody known")
    is_file = kind not in _MET
    who = end_cut(who, max(8, cells // 3))
    rest = cells - len(clock) - 1 - width(who)
    return [(f"{clock} ", "dim"), (who, agent_style(entry["asked_by"])), (filled(text, rest), "bad" if is_file else "")]


def thread(entry: Entry, cells: int, wall_s: float) -> list[Piece]:
    """`planner, builder   parser: src/a.py is free now   2   3m`."""
    newest = entry["newest"]
    who_cells = min(24, cells // 3)
    subject = f"{shown(entry['subject'])}: " if entry["subject"] else ""
    said = f"{subject}{shown(newest['excerpt'])}"
    due = (
        f" {entry['unacked_count']} {'due' if cells < NARROW_CELLS else 'unanswered'}" if entry["unacked_count"] else ""
    )
    rest = cells - who_cells - 1 - 5 - len(due)
    return [
        (filled(_between(entry), who_cells) + " ", agent_style(newest["from"])),
        (filled(said, rest), ""),
        (due, "wait"),
        (filled(ages.since(entry["newest_at"], wall_s), 5, right=True), "dim"),
    ]


def job(entry: Entry, cells: int, wall_s: float) -> list[Piece]:
    """`in_progress   build-7 Build the parser   bo   3m`."""
    status = shown(entry["status"])
    status_cells = min(14, max(6, cells // 5))
    rest = cells - status_cells - 1 - 5
    said, style = _standing(entry)
    said_cells = min(width(said), rest // 2)
    what = f"{shown(entry['id'])} {shown(entry['title'])}"
    is_bad = entry["status"] == "dead"
    return [
        (filled(status, status_cells) + " ", "bad" if is_bad else "dim" if entry["status"] in _OVER else ""),
        (filled(what, rest - said_cells - bool(said)), "dim" if entry["status"] in _OVER else ""),
        *([(" ", ""), (_padded(end_cut(said, said_cells), said_cells), style)] if said else []),
        (filled(ages.since(entry["since"], wall_s), 5, right=True), "dim"),
    ]


_OVER = ("done", "cancelled")


def _standing(entry: Entry) -> tuple[str, str]:
    """What matters most about a job, and its style."""
    if entry["owner"] is not None:
        is_over = entry["remaining_s"] <= 0
        return shown(entry["owner"]) + (", lease over" if is_over else ""), agent_style(entry["owner"])
    if entry["waits_for"]:
        return f"waits for {listing(entry['waits_for'])}", "wait"
    if entry["ready_at"] is not None:
        return f"pauses after attempt {entry['attempts_count']}" if entry[
            "attempts_count"
        ] else "waits for its time", "wait"
    return (shown(entry["error"].strip().rpartition("\n")[2]), "bad") if entry["status"] == "dead" else ("", "")


def _between(entry: Entry) -> str:
    newest = entry["newest"]
    to = shown(newest["to"]) if newest["to"] is not None else "everybody"
    return f"{shown(newest['from'])} → {to}"


def event(item: tuple[Entry, str], cells: int, _wall_s: float) -> list[Piece]:
    """`11:42:07 planner acquired src/a.py`."""
    entry, said = item
    clock = ages.clock(entry["at"])
    clock = clock[:5] if cells < NARROW_CELLS else clock
    kind = entry["event"]
    style = "bad" if kind in _ALARMING else "wait" if kind in _WAITING else ""
    return [(f"{clock} ", "dim"), (filled(shown(said), cells - len(clock) - 1), style)]


_ALARMING = ("file.conflict", "hold.lost", "lock.broken", "lock.deadlock", "lock.taken_over", "message.dead")
_WAITING = ("handoff.asked", "handoff.declined", "lock.refused", "lock.wait_ended", "lock.waiting")


def _padded(text: str, cells: int) -> str:
    return text + " " * (cells - width(text))


def _width(pieces: list[Piece]) -> int:
    return sum(width(text) for text, _ in pieces)
