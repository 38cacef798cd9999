"""Cleanup: removes what is over, and says truly how much that was.

Law 1. Only what has provably ended goes: a hold or a lease that ran out, a process that is gone. A live lock stays; so
does one whose holder cannot be known from here, until its time is up.
Law 2. What cannot be read is reported and left: it counts as held, and only an operator decides (`latchboard break`).
Law 3. Everything is looked at again inside the transaction that removes it, so two cleanups never count a thing twice.

Nothing depends on it: who asks for a lock takes over what is over by itself. It gives names to those who wait, keeps
the folder small, and tells those who lost something.

Protocol: protocol/lock.md, "Cleanup".
"""

from __future__ import annotations

from latchboard.cleanup.draft import COLLECTIONS, Draft, Records
from latchboard.errors import MalformedRecord
from latchboard.locks import notices
from latchboard.locks.leased import Leased
from latchboard.locks.table import Table
from latchboard.rules import lease as leases
from latchboard.rules import lock as rules
from latchboard.rules.known import check_status_entry
from latchboard.store.parts import count_of, in_parts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Protocol

    from latchboard.clock import Clock
    from latchboard.host.port import Host
    from latchboard.settings import Settings
    from latchboard.store.port import Entries, Store, View

    class Mail(Protocol):
        """What cleanup needs of a mailbox, and of editing."""

        def sweep(self, *, dry_run: bool) -> dict[str, int]:
            """Remove what is old; how much of what."""
            ...

    class Leftovers(Protocol):
        """What a store may have lying about besides records."""

        def sweep(self, *, dry_run: bool) -> list[str]:
            """Remove what killed processes left behind; the names of it."""
            ...

    Act = Callable[[Table, str], list[dict[str, Any]]]


WHO = "cleanup"
BATCH_COUNT = 200
"""Most locks, waiters, leases or agents per transaction: with what a grant writes, below 500 records."""
_KEYS_EACH = 2
"""Keys of each: what goes, and who is told of it. Who is granted it has what room is left, and commits behind it."""

_NAMED_COUNT_MAX = 20


class Report:
    """What was removed; with `dry_run`, what would have been.

    Attributes:
        dry_run: Nothing was changed.
        locks: Holds that had ended: name, agent, token, why (expired, dead, recycled).
        granted: Waiters that became holders by it: agent, names.
        waiters: Requests that nobody waits for any more: request, agent, names, why.
        leases: Leases that cover nothing any more: lease, why.
        agents: Agents that are off the board: agent, heartbeat_at.
        mail: Old messages, by kind.
        editing: Images without a hold, calls without an end, old conflicts, and bytes that nobody refers to, by kind.
        leftovers: Files that killed processes left behind.
        damaged: Records that cannot be read, and were left: key, reason.
    """

    __slots__ = (
        "agents",
        "damaged",
        "dry_run",
        "editing",
        "granted",
        "leases",
        "leftovers",
        "locks",
        "mail",
        "waiters",
    )

    def __init__(self, *, dry_run: bool) -> None:
        self.dry_run = dry_run
        self.locks: list[dict[str, Any]] = []
        self.granted: list[dict[str, Any]] = []
        self.waiters: list[dict[str, Any]] = []
        self.leases: list[dict[str, Any]] = []
        self.agents: list[dict[str, Any]] = []
        self.mail: dict[str, int] = {}
        self.editing: dict[str, int] = {}
        self.leftovers: list[str] = []
        self.damaged: list[dict[str, Any]] = []

    @property
    def removed_count(self) -> int:
        """Everything that went, old mail apart from what only moved or was left."""
        records = len(self.locks) + len(self.waiters) + len(self.leases) + len(self.agents) + sum(self.editing.values())
        return records + len(self.leftovers) + self.mail.get("archived", 0) + self.mail.get("broadcasts", 0)

    def to_json(self) -> dict[str, Any]:
        """The report as `--json` prints it (protocol/schema/cleanup.json)."""
        return {
            "format": 1,
            "removed_count": self.removed_count,
            **{name: getattr(self, name) for name in self.__slots__},
        }


class Cleanup:
    """One pass over everything; fit for cron, and for two at once."""

    __slots__ = ("_clock", "_editing", "_host", "_leftovers", "_mail", "_settings", "_store")

    def __init__(
        self,
        store: Store,
        clock: Clock,
        host: Host,
        settings: Settings,
        mailbox: Mail,
        *,
        leftovers: Leftovers | None = None,
        editing: Mail | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._host = host
        self._settings = settings
        self._mail = mailbox
        self._leftovers = leftovers
        self._editing = editing

    def run(self, *, dry_run: bool = False) -> Report:
        """Remove what is over: waiters, holds, leases, agents, mail, images, leftovers, in this order.

        Args:
            dry_run: Only say what would go.

        Raises:
            StoreError: The store refused; what was removed before stays removed.

        Protocol: protocol/lock.md, "Cleanup".
        """
        report = Report(dry_run=dry_run)
        records, now = Records(self._store), self._clock.now()
        work = _Work(self._store, self._clock, self._host, report, Draft(records, now) if dry_run else None)
        found = {collection: work.sound(records, collection) for collection in COLLECTIONS}
        table = work.table(Draft(records, now))
        busy = {held["agent"] for _, lock in found["locks/"] for held in lock["holders"]}
        busy |= {waiter["agent"] for _, waiter in found["waiters/"]}

        work.each([key[8:] for key, _ in found["waiters/"]], _end_waiter, report.waiters)
        work.each([key[6:] for key, lock in found["locks/"] if _may_be_over(table, lock)], _end_holds, report.locks)
        work.each([key[7:] for key, lease in found["leases/"]], _Leases().end, report.leases)
        forget_s = self._settings.agent_forget_s
        gone = [
            key[7:]
            for key, entry in found["agents/"]
            if key[7:] not in busy and leases.age_s(entry["heartbeat"], table.now) > forget_s
        ]
        work.each(gone, lambda table, agent: _forget(table, agent, forget_s), report.agents)
        report.mail = self._mail.sweep(dry_run=dry_run)
        if self._editing is not None:
            report.editing = self._editing.sweep(dry_run=dry_run)
        if self._leftovers is not None:
            report.leftovers = self._leftovers.sweep(dry_run=dry_run)
        return report


class _Work:
    """Batches of work, each one transaction; in a dry run, all of them on a draft."""

    def __init__(self, store: Store, clock: Clock, host: Host, report: Report, draft: Draft | None) -> None:
        self._store = store
        self._clock = clock
        self._host = host
        self._report = report
        self._draft = draft
        self._batch_number = 0

    def table(self, view: Any) -> Table:
        return Table(view, view.now, self._host.verdict, self._host.me())

    def sound(self, records: Records, collection: str) -> Entries:
        """The records that are what they should be; the others are reported."""
        damaged: list[MalformedRecord] = []
        sound = []
        for key, value in records.scan(collection, damaged=damaged):
            wrong = _wrong(collection, key, value)
            if wrong:
                self._report.damaged.append({"key": key, "reason": wrong})
            else:
                sound.append((key, value))
        for exc in damaged:
            self._damaged(exc)
        return sound

    def each(self, names: list[str], act: Act, removed: list[dict[str, Any]]) -> None:
        """Act on all of `names`, in batches."""
        count = count_of(self._store, BATCH_COUNT, keys_each=_KEYS_EACH)
        in_parts(names, count, lambda part: self._batch(part, act, removed))

    def _batch(self, names: Sequence[str], act: Act, removed: list[dict[str, Any]]) -> None:
        """One transaction; where one of the names meets damage, each has its own, and that one is left as it is."""
        self._batch_number += 1
        try:
            ended, granted = self._transact(names, act)
        except MalformedRecord as exc:
            if len(names) == 1:
                self._damaged(exc)
                return
            for name in names:
                self._batch([name], act, removed)
            return
        removed += ended
        self._report.granted += granted

    def _transact(self, names: Sequence[str], act: Act) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        table: Any = None

        def run(view: View) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
            nonlocal table
            table = self.table(view)
            ended = [one for name in names for one in act(table, name)]
            table.advance(dict.fromkeys(name for one in ended for name in one.get("names", [one.get("name")]) if name))
            _record(table, ended, self._batch_number)
            return ended, _granted(table)

        if self._draft is None:
            outcome = self._store.transact(run, who=WHO).value
            self._go_on(table, outcome[1])
            return outcome
        attempt = Draft(self._draft, self._clock.now())
        outcome = run(attempt)
        self._draft.changes.update(attempt.changes)
        return outcome

    def _go_on(self, table: Table, granted: list[dict[str, Any]]) -> None:
        """Grant what that commit had no room for."""
        while rest := table.postponed:

            def run(view: View, rest: dict[str, None] = rest) -> Table:
                again = self.table(view)
                again.advance(rest, is_alone=True)
                return again

            table = self._store.transact(run, who=WHO).value
            granted += _granted(table)

    def _damaged(self, exc: MalformedRecord) -> None:
        one = {"key": str(exc.fields.get("key")), "reason": str(exc.fields.get("reason"))}
        if one not in self._report.damaged:
            self._report.damaged.append(one)


def _granted(table: Table) -> list[dict[str, Any]]:
    return [{"agent": w["agent"], "names": [x["name"] for x in w["wants"]]} for w in table.granted]


# -- what is over -----------------------------------------------------------------------------------------------------


def _end_waiter(table: Table, request: str) -> list[dict[str, Any]]:
    """A waiter whose process is gone, or which nobody waits for any more; one that lives leaves by itself."""
    waiter = table.waiter(request)
    if waiter is None or table.still_waits(waiter):
        return []
    verdict = table.judge(waiter["process"]) if waiter["attended"] else "nobody"
    if verdict not in (*rules.GONE, "nobody"):
        return []
    why = "out of time" if verdict == "nobody" else verdict
    table.dequeue(waiter)
    names = [want["name"] for want in waiter["wants"]]
    return [{"request": request, "agent": waiter["agent"], "names": names, "why": why}]


def _end_holds(table: Table, name: str) -> list[dict[str, Any]]:
    record = table.record(name)
    ended = []
    for held in list(record["holders"]) if record else []:
        why = table.why_over(held)
        if why:
            table.remove(name, held)
            ended.append({"name": name, "agent": held["agent"], "token": held["token"], "why": why})
    return ended


class _Leases:
    """Ends leases; who lives by them is looked for once in each transaction, and only where one seems to be over."""

    __slots__ = ("_leased", "_table")

    def __init__(self) -> None:
        self._table: Table | None = None

    def end(self, table: Table, lease_id: str) -> list[dict[str, Any]]:
        lease = table.lease(lease_id)
        if lease is None:
            return []
        why = ""
        if leases.is_over(lease, table.now) and not self._keeps(table, lease_id):
            why = "over"
        elif lease["bound"] == "process":
            verdict = table.judge(lease["process"])
            why = verdict if verdict in rules.GONE else ""
        if why:
            table.view.delete(f"leases/{lease_id}")
        return [{"lease": lease_id, "why": why}] if why else []

    def _keeps(self, table: Table, lease_id: str) -> bool:
        if self._table is not table:
            self._table, self._leased = table, Leased(table)
        return self._leased.keeps(lease_id)


def _forget(table: Table, agent: str, forget_s: float) -> list[dict[str, Any]]:
    entry = table.view.get(f"agents/{agent}")
    if entry is None or check_status_entry(entry) or leases.age_s(entry["heartbeat"], table.now) <= forget_s:
        return []
    table.view.delete(f"agents/{agent}")
    return [{"agent": agent, "heartbeat_at": entry["heartbeat"]["at"]}]


def _record(table: Table, ended: list[dict[str, Any]], batch_number: int) -> None:
    """Leave a trace of the holds that went, and tell the agents that may not know of it."""
    holds = [one for one in ended if "token" in one]
    holds += [
        {"name": name, "agent": held["agent"], "token": held["token"], "why": why}
        for name, held, why in table.taken_over
    ]
    if not holds:
        return
    told = [{"name": h["name"], "from": h["agent"], "token": h["token"], "why": h["why"]} for h in holds]
    table.view.put("log/cleanup", {"by": WHO, "ended": told, "at": leases.moment(table.now)["at"]})
    lost: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for hold in holds:
        if hold["why"] in notices.LOST:
            lost.setdefault((hold["agent"], hold["why"]), []).append(hold)
    for (agent, why), theirs in lost.items():
        names = ", ".join(hold["name"] for hold in theirs[:_NAMED_COUNT_MAX])
        more = f" and {len(theirs) - _NAMED_COUNT_MAX} more" if len(theirs) > _NAMED_COUNT_MAX else ""
        what = notices.LOST[why].format(f"{names}{more}")
        body = f"{what}, and the lock was cleaned up. Acquire it anew before you go on."
        message_id = f"cleanup-{theirs[0]['token']}-{batch_number}"
        notices.tell(table, message_id, sender=notices.SENDER, to=agent, body=body, urgency="high")


# -- looking ----------------------------------------------------------------------------------------------------------


def _wrong(collection: str, key: str, value: dict[str, Any]) -> str:
    if collection == "locks/":
        return rules.check_record(value) or ("" if value["name"] == key[6:] else "it has another name inside")
    if collection == "waiters/":
        return rules.check_waiter(value)
    return leases.check_lease(value) if collection == "leases/" else check_status_entry(value)


def _may_be_over(table: Table, record: dict[str, Any]) -> bool:
    """Whether a lock is worth looking at again inside a transaction."""
    try:
        return any(table.why_over(held) for held in record["holders"])
    except MalformedRecord:
        return True  # its lease cannot be read: say so
