"""Coordination: what stands in the records and should not stand there any more: what is over, overdue, not dealt with.

Read without the guard. Where somebody commits all the time a look is not of one revision: then it is made twice, and
what only one of the two saw is nothing.

Protocol: protocol/health.md, "Doctor".
"""

from __future__ import annotations

from latchboard.cleanup import Cleanup
from latchboard.clock import iso
from latchboard.doctor.check import Check, Seen
from latchboard.editing.conflicts import readable
from latchboard.errors import ProtocolError
from latchboard.mailbox import Mailbox
from latchboard.rules import foreign
from latchboard.rules.finding import Finding, command, counted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol, TypeVar

    from latchboard.clock import Clock
    from latchboard.host.port import Host
    from latchboard.settings import Settings
    from latchboard.store.port import Store

    T = TypeVar("T")

    class Glance(Store, Protocol):
        """A store that is only looked at."""

        is_settled: bool


_SHOWN_COUNT = 3
_TOLD_COUNT = 10
"""So many findings of one kind are told one by one."""
_UNREADABLE = "not looked at: what is stored cannot be read (see the store)"


class _NoMail:
    """Mail is looked at by itself."""

    def sweep(self, *, dry_run: bool) -> dict[str, int]:
        """Nothing to sweep."""
        return {}


def over(
    root: str,
    make: Callable[[], Glance],
    clock: Clock,
    host: Host,
    settings: Settings,
    *,
    file_of: Callable[[str], str],
) -> Check:
    """Holds, waiters and leases that are over; and records that are no records of their kind.

    `file_of` says in which file a record is; "": the store is none of files.
    """

    def look_once(store: Glance) -> dict[str, dict[str, Any]]:
        report = Cleanup(store, clock, host, settings, _NoMail()).run(dry_run=True)
        found = {f"hold {one['name']} {one['token']}": {"kind": "hold", **one} for one in report.locks}
        found |= {f"waiter {one['request']}": {"kind": "waiter", **one} for one in report.waiters}
        found |= {f"lease {one['lease']}": {"kind": "lease", **one} for one in report.leases}
        wrong = [one["key"] for one in report.damaged if not _is_file(one["key"])]
        return found | {f"damaged {key}": {"kind": "damaged", "key": key} for key in wrong}

    def look(_: float) -> Seen:
        try:
            found = list(_twice(make, look_once).values())
        except ProtocolError:
            return Seen(_UNREADABLE)
        damaged = [one["key"] for one in found if one["kind"] == "damaged"]
        findings = _few(
            [_damaged(root, key, file_of(key)) for key in damaged], "record", "cleanup", "--dry-run", "--root", root
        )
        ended = {kind: [one for one in found if one["kind"] == kind] for kind in ("hold", "waiter", "lease")}
        counts: dict[str, Any] = {f"{kind}_count": len(some) for kind, some in ended.items()}
        if not any(counts.values()):
            return Seen("every hold, waiter and lease is in force", findings, **counts)
        text = ", ".join(counted(len(some), kind) for kind, some in ended.items() if some) + " over"
        holds = [one["name"] for one in ended["hold"][:_SHOWN_COUNT]]
        text += f" ({', '.join(holds)}{', ...' if len(ended['hold']) > len(holds) else ''})" if holds else ""
        remedy = command("latchboard", "cleanup", "--root", root)
        findings.append(Finding("F-117", f"{text}; whoever asks next takes over", remedy, names=holds, **counts))
        return Seen(text, findings, **counts)

    return Check("storage", "what is over", look)


def _is_file(key: str) -> bool:
    """Whether a record is told by its file, for it cannot even be read: that is the store's check."""
    return key.endswith((".lock", ".json")) and not key.startswith("locks/")


def _damaged(root: str, key: str, path: str) -> Finding:
    """A record that can be read and is none of its kind: it counts as held, and a person decides."""
    text = f"the record {key} is none of its kind. It counts as held, never as free"
    remedy = command("cat", path) if path else command("latchboard", "store", "check", "--root", root)
    if key.startswith("agents/"):
        text = f"the record {key} is none of its kind. What that agent says next replaces it"
        remedy = command("latchboard", "update", "here", "--agent", key.removeprefix("agents/"), "--root", root)
    if key.startswith("locks/"):
        name = key.removeprefix("locks/")  # as a path it stands for the same in every folder, and is no option
        words = ["latchboard", "break", _path_of(name, root), "--reason", "damaged", "--agent", "operator"]
        remedy = command(*words, "--root", root)
    return Finding("F-105", text, remedy, key=key, path=path)


def _path_of(name: str, root: str) -> str:
    is_whole = name.startswith(("/", "glob:", "hardlink:"))
    return name if is_whole else f"{root.rstrip('/')}/{name}"


def mail(root: str, make: Callable[[], Glance], clock: Clock, host: Host, settings: Settings) -> Check:
    """Messages that demand an acknowledgement and did not get it in time."""

    def look_once(store: Glance) -> dict[str, dict[str, Any]]:
        return {f"{one['id']} {one['to']}": one for one in Mailbox(store, clock, host, settings).overdue()}

    def look(_: float) -> Seen:
        try:
            found = list(_twice(make, look_once).values())
        except ProtocolError:
            return Seen(_UNREADABLE)
        whom = sorted({str(one["to"]) for one in found})
        findings = []
        for agent in whom:
            late = [one for one in found if one["to"] == agent]
            longest_s = max(one["overdue_s"] for one in late)
            many = counted(len(late), "message")
            text = f"{agent} has not acknowledged {many} in time, the first {longest_s:.0f} s late"
            remedy = command("latchboard", "inbox", "--peek", "--agent", agent, "--root", root)
            ids = [one["id"] for one in late[:_SHOWN_COUNT]]
            findings.append(Finding("F-118", text, remedy, agent=agent, count=len(late), ids=ids))
        text = f"{counted(len(found), 'acknowledgement')} overdue" if found else "no acknowledgement is overdue"
        return Seen(text, _few(findings, "agent", "agents", "--root", root), count=len(found))

    return Check("storage", "mail", look)


def conflicts(root: str, make: Callable[[], Glance]) -> Check:
    """Foreign changes of held files that nobody has dealt with."""

    def look(_: float) -> Seen:
        try:
            open_ones = [one for one in readable(make().read(foreign.CONFLICTS)) if not _is_dealt_with(one)]
        except ProtocolError:
            return Seen(_UNREADABLE)
        findings = [
            Finding(
                "F-116",
                f"held files of {one['holder']} were changed by others: {', '.join(_names(one)[:_SHOWN_COUNT])}",
                command("latchboard", "conflict", "show", one["id"], "--root", root),
                conflict=one["id"],
                holder=one["holder"],
                names=_names(one),
            )
            for one in open_ones
        ]
        text = counted(len(open_ones), "conflict") if open_ones else "no conflict"
        return Seen(text, _few(findings, "conflict", "conflict", "list", "--root", root), count=len(open_ones))

    return Check("storage", "conflicts", look)


def queue(root: str, make: Callable[[], Glance], clock: Clock, *, file_of: Callable[[str], str]) -> Check:
    """Records of the work queue that contradict its jobs."""
    from latchboard.workqueue import repairing

    def look_once(store: Glance) -> dict[str, tuple[str, str]]:
        faults = repairing.look(store, iso(clock.now().wall_s)).faults
        return {f"{key}: {why}": (key, why) for key, why in faults.items()}

    def look(_: float) -> Seen:
        try:
            found = list(_twice(make, look_once).values())
        except ProtocolError:
            return Seen(_UNREADABLE)
        remedy = command("latchboard", "doctor", "--fix", "--root", root)
        findings = [
            Finding("F-125", f"the record {key} is not what the jobs say: {why}", remedy, key=key, path=file_of(key))
            for key, why in found
        ]
        text = f"{counted(len(found), 'record')} of the queue not what the jobs say" if found else "the queue agrees"
        return Seen(text, _few(findings, "record", "doctor", "--fix", "--root", root), count=len(found))

    return Check("storage", "queue", look)


def _names(conflict: Any) -> list[str]:
    return [str(file["name"]) for file in conflict["files"]]


def _is_dealt_with(conflict: Any) -> bool:
    restored = {one["name"] for one in conflict.get("restored", []) if "name" in one}
    return restored.issuperset(_names(conflict))


def _few(findings: list[Finding], one: str, *words: str) -> list[Finding]:
    """The first of them, and one for all others, with the command that shows them."""
    more = len(findings) - _TOLD_COUNT
    if more <= 0:
        return findings
    text = f"and {counted(more, f'more {one}')} like that"
    return [*findings[:_TOLD_COUNT], Finding(findings[0].id, text, command("latchboard", *words), count=more)]


def _twice(make: Callable[[], Glance], look: Callable[[Glance], dict[str, T]]) -> dict[str, T]:
    """What a look found; where it was not of one revision, what two looks found."""
    first = make()
    found = look(first)
    if first.is_settled or not found:
        return found
    again = look(make())
    return {name: one for name, one in again.items() if name in found}
