"""Details: everything there is to know about one line of a list, as labels with texts; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from latchboard.surface.tui import ages, tree
from latchboard.surface.tui.text import plural, shown

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, TypeAlias

    Entry = dict[str, Any]
    Fact: TypeAlias = tuple[str, str]

_NAMES_SHOWN_MAX = 500


def page(number: int, item: Any, wall_s: float) -> tuple[str, list[Fact]]:
    """Title and facts of a line of one of the lists, by its number; conversations have a page of their own."""
    if number == 1:
        return "Agent", agent(item[0], item[1], wall_s)
    if number == 2:
        return "File", node(item, wall_s)
    if number == 3:
        return "In line", waiter(item, wall_s)
    if number == 4:
        return "Conflict", conflict(item)
    if number == 7:
        return "Job", job(item, wall_s)
    return "What happened", event(*item)


def agent(name: str, entry: Entry, wall_s: float) -> list[Fact]:
    """What an agent says, holds and waits for."""
    seen = (
        f"{entry['heartbeat_at']} ({ages.since(entry['heartbeat_at'], wall_s)})" if entry["heartbeat_at"] else "never"
    )
    return [
        ("agent", shown(name)),
        ("status", shown(entry["status"]) or "-"),
        ("seen", seen + (", quiet" if entry["quiet"] else "")),
        ("process", "-" if entry["pid"] is None else str(entry["pid"])),
        *_names("works on", entry["files"]),
        *_names("waits for", entry["waits_for"]),
        *_names("holds", entry["holds"]),
    ]


def node(item: tree.Node, wall_s: float) -> list[Fact]:
    """Who holds a file, and who waits for it; of a folder who holds how much."""
    if isinstance(item, tree.Waiting):
        return waiter(item.entry, wall_s)
    if isinstance(item, tree.Folder):
        whose = sorted(item.holds_count.items(), key=lambda one: (-one[1], one[0]))
        return [
            ("folder", shown(item.path)),
            ("files", str(item.files_count)),
            *((shown(agent), plural(count, "lock")) for agent, count in whose),
        ]
    facts = [("file", shown(item.name))]
    for hold in item.holds:
        facts += [("", ""), *hold_facts(hold, wall_s)]
    for hold in item.ended:
        facts += [("", ""), *hold_facts(hold, wall_s), ("over", f"{hold['why']}; free to take")]
    for waiting in item.waiters:
        facts += [("", ""), *waiter(waiting.entry, wall_s)]
    return facts


def hold_facts(hold: Entry, wall_s: float) -> list[Fact]:
    """One hold."""
    host = f" on {shown(hold['host_name'])}" if "host_name" in hold else ""
    process = f", process {hold['pid']}{host}" if hold["pid"] is not None else ""
    return [
        ("holder", shown(hold["agent"]) + (" (shared)" if hold["mode"] == "shared" else "")),
        ("what for", shown(hold["reason"]) or "-"),
        ("since", f"{shown(hold['since'])} ({ages.since(hold['since'], wall_s)})"),
        ("until", f"{shown(hold['expires_at'] or '?')} ({ages.until(hold['expires_at'], wall_s)}) unless renewed"),
        ("token", f"{hold['token']}, bound to the {hold['bound']}{process}"),
    ]


def waiter(entry: Entry, wall_s: float) -> list[Fact]:
    """Somebody in line."""
    return [
        ("in line", shown(entry["agent"]) + (" (shared)" if entry["mode"] == "shared" else "")),
        ("what for", shown(entry["reason"]) or "-"),
        ("since", f"{shown(entry['since'])} ({ages.since(entry['since'], wall_s)})"),
        *_names("behind", entry["blocked_by"]),
        ("handoff", shown(entry["handoff"] or "not asked for")),
        ("request", shown(entry["request"])),
        *_names("wants", entry["names"]),
    ]


def conflict(entry: Entry) -> list[Fact]:
    """Two sides that met."""
    return [
        ("what", shown(entry["kind"])),
        ("when", shown(entry["at"])),
        ("by", shown(entry["asked_by"] or "nobody known")),
        *_names("against", [str(one.get("agent")) for one in entry["held_by"]]),
        ("why", shown(entry["why"] or "-")),
        *_names("files", entry["names"]),
    ]


def job(entry: Entry, wall_s: float) -> list[Fact]:
    """One job of the queue."""
    facts = [
        ("job", shown(entry["id"])),
        ("title", shown(entry["title"])),
        ("status", f"{shown(entry['status'])}, {shown(entry['role'])}, priority {entry['priority']}"),
        ("since", f"{shown(entry['since'])} ({ages.since(entry['since'], wall_s)})"),
        ("attempts", f"{entry['attempts_count']} of {entry['attempts_max']}"),
        ("files", str(entry["files_count"])),
    ]
    if entry["owner"] is not None:
        facts.append(("owner", shown(entry["owner"])))
    if entry["ready_at"] is not None:
        facts.append(("not before", shown(entry["ready_at"])))
    facts += _names("waits for", entry["waits_for"])
    return [*facts, *(("error", shown(line.expandtabs(4))) for line in entry["error"].splitlines())]


def event(entry: Entry, said: str) -> list[Fact]:
    """Something that happened: its sentence, and every field."""
    return [
        ("", shown(said)),
        ("", ""),
        *((shown(name), shown(value if isinstance(value, str) else str(value))) for name, value in entry.items()),
    ]


def thread(entry: Entry, messages: Iterable[Entry] | None) -> list[Fact]:
    """A conversation; None: its messages are still being read."""
    facts = [("thread", shown(entry["thread"])), ("subject", shown(entry["subject"]) or "-")]
    if messages is None:
        return [*facts, ("", "reading ...")]
    for message in messages:
        to = shown(message["to"]) if message["to"] is not None else "everybody"
        urgency = "" if message["urgency"] == "normal" else f", {shown(message['urgency'])}"
        states = ", ".join(f"{shown(one['agent'])}: {one['state']}" for one in message["deliveries"])
        facts += [("", ""), ("from", f"{shown(message['from'])} to {to}, {shown(message['sent_at'])}{urgency}")]
        facts += [("read", states or "by nobody")]
        facts += [("", shown(line.expandtabs(4))) for line in message["body"].split("\n")]
    return facts


def _names(label: str, names: list[str]) -> list[Fact]:
    if not names:
        return [(label, "-")]
    facts = [(label if at == 0 else "", shown(name)) for at, name in enumerate(names[:_NAMES_SHOWN_MAX])]
    left = len(names) - len(facts)
    return [*facts, ("", f"and {left} more")] if left > 0 else facts
