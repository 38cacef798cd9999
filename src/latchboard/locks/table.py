"""Table: lock records inside one transaction. Every change of who holds what goes through here.

Works on a `View`; asks for verdicts and leases only where an answer depends on them. A name meets its own record, and
through the index `wide` every folder and glob it overlaps; a folder or glob meets every record beneath it, too.

Protocol: protocol/lock.md, "Operations".
"""

from __future__ import annotations

from latchboard.errors import MalformedRecord
from latchboard.locks import notices
from latchboard.locks.hold import Refusal
from latchboard.locks.records import Records
from latchboard.locks.renewing import renew
from latchboard.rules import holding as holdings
from latchboard.rules import lease as leases
from latchboard.rules import lock as rules
from latchboard.store.port import PRESENCES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Container
    from typing import Any

    from latchboard.clock import Now
    from latchboard.rules.lock import Entry, Holding, LockRecord, Mode, Request, Waiter, Want
    from latchboard.store.port import View

_CROWD_COUNT = 8
"""A record with so many shared holders is looked through for those that have ended when another one joins."""
_ROOM_COUNT = 32
"""Keys that are left for what a grant writes beside its locks, and for what its transaction writes behind it."""


class Table(Records):
    """The locks of one transaction.

    Attributes:
        now: The instant of the transaction.
        me: This process.
        granted: Waiters that this transaction made holders.
        taken_over: (name, holding, why) of every hold that was taken from somebody and is not told yet.
        entered: Holds that were entered once more, and live by another lease than the request's.
        told: What the trace of this transaction says about takeovers.
        renewals: What the service will remember of renewals, if this is committed (`Renewals`).
        postponed: Names to `advance` in a commit of its own: not all who wait for them could be granted in this one.
    """

    def __init__(self, view: View, now: Now, judge: rules.Judge, me: Any) -> None:
        super().__init__(view)
        self.now = now
        self.me = me
        self._ended_seen = False
        self.longest_s = 0.0
        self.cleared: dict[str, None] = {}
        self.granted: list[Waiter] = []
        self.taken_over: list[tuple[str, Holding, str]] = []
        self.entered: list[Holding] = []
        self.told: list[dict[str, Any]] = []
        self.renewals: dict[str, tuple[float, float, float]] = {}
        self.postponed: dict[str, None] = {}
        self._is_alone = False
        self._judge = judge
        self._verdicts: dict[int, tuple[Any, str]] = {}
        self.met: dict[int, str] = {}  # name of each hold that was in somebody's way; the record keeps the hold

    # -- judging ---------------------------------------------------------------------------------------------

    def judge(self, identity: Any) -> str:
        """The verdict about a process, asked once per transaction; this process lives."""
        if identity == self.me:
            return "live"
        known = self._verdicts.get(id(identity))
        if known is None:  # the identity is kept with its verdict, so that its id() is nobody else's meanwhile
            known = self._verdicts[id(identity)] = (identity, self._judged(identity))
        return known[1]

    def _judged(self, identity: Any) -> str:
        """By its presence, if it says one: that tells over machines. On this one a process may be gone before it is."""
        presence = identity.get("presence") if isinstance(identity, dict) else None
        if not isinstance(presence, str) or not presence:
            return self._judge(identity)
        is_present = self.view.get(f"{PRESENCES}{presence}") is not None
        return rules.presence_verdict(identity, self.me, self._judge, is_present=is_present)

    def why_over(self, holding: Holding) -> str:
        """Why a hold has ended; empty while it lasts."""
        why = rules.why_over(holding, self.now, self.judge, self.lease)
        if why:
            self._ended_seen = True
        return why

    def is_mine(self, holding: Holding, request: Request) -> bool:
        """Whether a hold is the requester's own."""
        return rules.is_mine(holding, request.agent, request.bound, request.process, self.judge)

    def mine_in(self, record: LockRecord, request: Request) -> Holding | None:
        """The requester's own hold in a record, while it lasts; the one of its process, if there are two."""
        mine: Holding | None = None
        for held in record["holders"]:
            is_nearer = mine is None or holdings.is_same_process(held["process"], request.process)
            if is_nearer and self.is_mine(held, request) and not self.why_over(held):
                mine = held
        return mine

    def remaining_s(self, holding: Holding) -> float:
        """How long a hold still lasts, its lease counted in, seconds."""
        return leases.remaining_s(holding["acquired"], holding["ttl_s"], self.lease(holding["lease"]), self.now)

    def blockers(
        self, request: Request, seq: int | None = None, *, besides: Container[str] | None = None
    ) -> tuple[list[Holding], list[Waiter]]:
        """Who is in the way: holders, and waiters that came before `seq` (all of them for a new request).

        While a holder is in the way, only the waiter directly in front is named: a long line is not read by each who
        joins it. With `besides`, all of them are, but those requests.
        """
        holders: list[Holding] = []
        places: list[Entry] = []
        for want in request.wants:
            for record in self.met_by(want["name"]):
                mine = self.mine_in(record, request)
                for held in record["holders"]:
                    in_the_way = held is not mine and rules.conflicts(held["mode"], want["mode"])
                    if in_the_way and not self.is_mine(held, request) and not self.why_over(held):
                        holders.append(held)
                        self.met[id(held)] = record["name"]
                if mine is None and record["waiters"]:
                    places += _earlier(record, request, want["mode"], seq)
        if not places:
            return holders, []
        places.sort(key=lambda place: place["seq"])
        if besides is not None:
            places = [place for place in places if place["request"] not in besides]
        elif holders:
            return holders, self._in_front(places)
        return holders, self._in_line(places, request)

    def refusal(self, request: Request, holders: list[Holding], waiters: list[Waiter]) -> Refusal:
        """What to say of these `blockers`."""
        return Refusal(request, [(self.met[id(held)], held, self.remaining_s(held)) for held in holders], waiters)

    def _in_front(self, places: list[Entry]) -> list[Waiter]:
        """The last of these places that somebody still stands at."""
        for place in reversed(places):
            waiter = self.waiter(place["request"])
            if waiter is not None and self.still_waits(waiter):
                return [waiter]
        return []

    def _in_line(self, places: list[Entry], request: Request) -> list[Waiter]:
        """The waiters of these places that really have to be waited for, in order."""
        found: dict[str, Waiter] = {}
        for place in places:
            if place["request"] not in found:
                waiter = self.waiter(place["request"])
                if waiter is not None and self.still_waits(waiter) and not self.waits_for(waiter, request):
                    found[place["request"]] = waiter
        return list(found.values())

    def still_waits(self, waiter: Waiter) -> bool:
        """Whether a waiter can still take what it asked for: not gone, not declined, its time not up."""
        if waiter["wait_s_max"] is not None and leases.age_s(waiter["since"], self.now) > waiter["wait_s_max"]:
            return False
        if waiter["handoff"] is not None and waiter["handoff"].get("state") == "declined":
            return False
        return not waiter["attended"] or self.judge(waiter["process"]) not in rules.GONE

    def waits_for(self, waiter: Waiter, request: Request) -> bool:
        """Whether `waiter` needs what the requester holds: waiting behind it would be a deadlock."""
        for want in waiter["wants"]:
            for record in self.met_by(want["name"]):
                for held in record["holders"]:
                    clashes = rules.conflicts(held["mode"], want["mode"]) and self.is_mine(held, request)
                    if clashes and not self.why_over(held):
                        return True
        return False

    # -- changing --------------------------------------------------------------------------------------------

    def grant(self, request: Request) -> dict[str, int]:
        """Make the requester the holder of everything it wants; nothing may be in the way. Returns name to token.

        Its places in line go, the record of its waiter stays.
        """
        tokens: dict[str, int] = {}
        self.longest_s = request.ttl_s
        for want in request.wants:
            name = want["name"]
            if self._ended_seen:
                for record in self.met_by(name):
                    self._clear_ended(record, request, want["mode"])
            record = self.record(name) or rules.new_record(name)
            if len(record["holders"]) >= _CROWD_COUNT:
                self._clear_ended(record, request, "exclusive")
            holders, line = record["holders"], record["waiters"]
            granted, record["holders"] = self._granted(holders, request, want)
            record["waiters"] = [e for e in line if e["request"] != request.request]
            tokens[name] = granted["token"]
            if granted["lease"] == request.lease:
                self.longest_s = max(self.longest_s, granted["ttl_s"])
            if record["holders"] != holders or len(record["waiters"]) != len(line):
                self.put(record)
        if self.taken_over:
            notices.tell_taken_over(self, request)
            self.taken_over = []
        return tokens

    def _granted(self, holders: list[Holding], request: Request, want: Want) -> tuple[Holding, list[Holding]]:
        """The requester's hold, and with it all holders; of its own other ones, nothing is left but what they add."""
        if not holders:
            granted = holdings.new(request, want["mode"], self.view.revision, self.now)
            others = holders
        else:
            own = [h for h in holders if self.is_mine(h, request)]
            others = [h for h in holders if all(h is not mine for mine in own)]
            live = [h for h in own if not self.why_over(h)]
            live.sort(key=lambda h: not holdings.is_same_process(h["process"], request.process))
            if not live:
                granted = holdings.new(request, want["mode"], self.view.revision, self.now)
            else:
                granted = holdings.entered(live[0], request, want["mode"], self.view.revision, self.now)
            for other in live[1:]:
                granted = holdings.joined(granted, other, self.now)
            if granted["lease"] != request.lease:
                self.entered.append(granted)
        if "link" in want:
            granted["link"] = want["link"]
        elif want["name"].startswith("hardlink:"):
            granted["acquired"] = leases.moment(self.now)  # it must not end before the path that it stands beside
        return granted, [*others, granted]

    def _clear_ended(self, record: LockRecord, request: Request, mode: Mode) -> None:
        """Take out holds that have ended and would be in the way; remember from whom."""
        kept = []
        for held in record["holders"]:
            why = self.why_over(held) if rules.conflicts(held["mode"], mode) else ""
            if not why:
                kept.append(held)
            elif not self.is_mine(held, request):
                self.taken_over.append((record["name"], held, why))
        if len(kept) != len(record["holders"]):
            record["holders"] = kept
            self.put(record)
            self.cleared[record["name"]] = None

    def enqueue(self, request: Request, waiter: Waiter) -> None:
        """Put a waiter at the end of the line of every name it wants."""
        self.put_waiter(waiter)
        for want in request.wants:
            record = self.record(want["name"]) or rules.new_record(want["name"])
            place: Entry = {
                "request": request.request,
                "agent": request.agent,
                "mode": want["mode"],
                "seq": self.view.revision,
            }
            record["waiters"] = [*record["waiters"], place]
            self.put(record)

    def dequeue(self, waiter: Waiter) -> None:
        """Take a waiter out of every line."""
        self.delete_waiter(waiter["request"])
        for want in waiter["wants"]:
            try:
                record = self.record(want["name"])
            except MalformedRecord:
                continue
            if record is not None and any(e["request"] == waiter["request"] for e in record["waiters"]):
                record["waiters"] = [e for e in record["waiters"] if e["request"] != waiter["request"]]
                self.put(record)

    def remove(self, name: str, holding: Holding, after: Holding | None = None) -> None:
        """Take a hold out of its record, or put what is left of it in its place."""
        record = self.record(name)
        if record is not None:
            left = [] if after is None else [after]
            record["holders"] = [h for h in record["holders"] if h is not holding] + left
            self.put(record)

    def settle(self, names: Collection[str]) -> None:
        """If a hold was met that has ended: give what it held to whoever stands first, also when nobody acts there."""
        if self._ended_seen:
            self.advance(names)

    def advance(self, names: Collection[str], *, is_alone: bool = False) -> None:
        """Grant what can be granted now that holds or waiters of `names` are gone, in the order of the line.

        Where a record cannot be read nothing is granted, and where the commit has no room it is `postponed`; whoever
        gives something back is not kept from it by that. `is_alone`: the commit is for this.
        """
        if self.postponed:
            self.postponed.update(dict.fromkeys(names))
            return
        self._is_alone = is_alone
        line = self._line(names)
        done = {*names} if line else set()
        while line:
            freed: dict[str, None] = {}
            for entry, record in line:
                try:
                    self._advance(entry, record, freed)
                except MalformedRecord:
                    continue  # it stays in line, and whoever comes to it is told
                if self.postponed:  # nobody behind it may come first
                    self.postponed.update(dict.fromkeys([*names, *done, *freed]))
                    return
            more = [name for name in freed if name not in done]
            done.update(more)
            line = self._line(more)

    def _line(self, names: Collection[str]) -> list[tuple[Entry, LockRecord]]:
        """Everybody who waits for something that `names` overlap, in order."""
        entries: dict[str, tuple[Entry, LockRecord]] = {}
        for name in names:
            try:
                met = self.met_by(name)
            except MalformedRecord:
                continue
            for record in met:
                for entry in record["waiters"]:
                    entries.setdefault(entry["request"], (entry, record))
        return sorted(entries.values(), key=_seq) if entries else []

    def _advance(self, entry: Entry, record: LockRecord, freed: dict[str, None]) -> None:
        """One place in line: grant it, or take it away if nobody stands there any more (`freed` has its names)."""
        if self._is_plainly_blocked(entry, record):
            return
        waiter = self.waiter(entry["request"])
        is_over = waiter is None or not self.still_waits(waiter)
        if waiter is not None and not is_over and self._must_wait(waiter):
            return
        if not self._has_room(waiter):
            self.postponed[record["name"]] = None
        elif waiter is None:
            self.drop(entry, record)
        elif is_over:
            self.dequeue(waiter)
            freed.update((want["name"], None) for want in waiter["wants"])
        elif "job" in waiter:  # whoever claims the job takes them; who waits for work is woken by this change
            self.put_waiter({**waiter, "is_next": True})
        else:
            self.delete_waiter(waiter["request"])
            self.grant(rules.of_waiter(waiter))
            freed.update(self.cleared)
            self.granted.append(waiter)
            if waiter["bound"] == "agent":
                renew(self, waiter["lease"], waiter["ttl_s"], waiter["agent"], "agent", waiter["process"])
            if not waiter["attended"]:
                notices.tell_granted(self, waiter)

    def _must_wait(self, waiter: Waiter) -> bool:
        """Whether somebody is in the way of a waiter, or it is told already that nobody is."""
        return "is_next" in waiter or any(self.blockers(rules.of_waiter(waiter), waiter["seq"]))

    def _has_room(self, waiter: Waiter | None) -> bool:
        """Whether this commit takes what becomes of a waiter; the first one of a commit for that alone is never cut."""
        if self._is_alone:
            self._is_alone = False
            return True
        return self.view.room >= _ROOM_COUNT + (len(waiter["wants"]) if waiter is not None else 1)

    def _is_plainly_blocked(self, entry: Entry, record: LockRecord) -> bool:
        """Whether the record alone shows that the entry must wait: spares reading every waiter of a long line."""
        for held in record["holders"]:
            if held["agent"] != entry["agent"] and rules.conflicts(held["mode"], entry["mode"]):
                return not self.why_over(held)
        return False

    def drop(self, entry: Entry, record: LockRecord) -> None:
        """Take one place out of one line."""
        record["waiters"] = [e for e in record["waiters"] if e["request"] != entry["request"]]
        self.put(record)


def _seq(place: tuple[Entry, LockRecord]) -> int:
    return place[0]["seq"]


def _earlier(record: LockRecord, request: Request, mode: Mode, seq: int | None) -> list[Entry]:
    """Places of one line that come before the request and conflict with it."""
    return [
        entry
        for entry in record["waiters"]
        if entry["request"] != request.request
        and (seq is None or entry["seq"] < seq)
        and rules.conflicts(entry["mode"], mode)
    ]
