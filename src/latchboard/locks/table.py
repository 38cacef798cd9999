"""Table: lock records inside one transaction. Every change of who holds what goes through here.

Works on a `View`; asks for verdicts and leases only where an answer depends on them. A name meets its own record, and
through the
index `wide` every folder and glob it overlaps; a folder or glob meets every record there is.

Protocol: protocol/lock.md, "Operations".
"""

from __future__ import annotations

from latchboard.errors import MalformedRecord
from latchboard.rules import lease as leases
from latchboard.rules import lock as rules
from latchboard.rules import pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from latchboard.clock import Now
    from latchboard.rules.lock import Entry, Holding, LockRecord, Mode, Request, Waiter
    from latchboard.store.port import View

WIDE = "wide"


class Table:
    """The locks of one transaction.

    Attributes:
        now: The instant of the transaction.
        view: The state; `view.revision` becomes the token of what is granted.
        granted: Waiters that this transaction made holders.
        taken_over: (name, holding, why) of every hold that this transaction took from somebody.
    """

    def __init__(self, view: View, now: Now, judge: rules.Judge, me: Any) -> None:
        self.view = view
        self.now = now
        self._me = me
        self._ended_seen = False
        self.granted: list[Waiter] = []
        self.taken_over: list[tuple[str, Holding, str]] = []
        self._judge = judge
        self._verdicts: dict[int, tuple[Any, str]] = {}
        self._records: dict[str, LockRecord | None] = {}

    # -- records ---------------------------------------------------------------------------------------------

    def record(self, name: str) -> LockRecord | None:
        """The record of a name, the same object every time; MalformedRecord if it cannot be read."""
        if name not in self._records:
            self._records[name] = _checked(f"locks/{name}", self.view.get(f"locks/{name}"))
        return self._records[name]

    def waiter(self, request: str) -> Waiter | None:
        """The waiter with this request id; None once it was granted or withdrawn."""
        value = self.view.get(f"waiters/{request}")
        if value is None:
            return None
        if wrong := rules.check_waiter(value):
            raise _malformed(f"waiters/{request}", wrong)
        waiter: Waiter = value  # type: ignore[assignment]  # check_waiter has just looked at every field
        return waiter

    def lease(self, lease_id: str) -> leases.Lease | None:
        """A lease record; None when it was never renewed."""
        value = self.view.get(f"leases/{lease_id}")
        if value is None:
            return None
        if wrong := leases.check_lease(value):
            raise _malformed(f"leases/{lease_id}", wrong)
        lease: leases.Lease = value  # type: ignore[assignment]  # check_lease has just looked at every field
        return lease

    def put(self, record: LockRecord) -> None:
        """Store a record, or delete it when nobody holds it and nobody waits; keeps the index of wide names."""
        name, in_use = record["name"], bool(record["holders"] or record["waiters"])
        self._records[name] = record if in_use else None
        if in_use:
            self.view.put(f"locks/{name}", record)  # type: ignore[arg-type]  # a TypedDict is a dict
        else:
            self.view.delete(f"locks/{name}")
        if pattern.is_wide(name):
            index = self.wide_names()
            if in_use != (name in index):
                names = sorted(index | {name}) if in_use else sorted(index - {name})
                if names:
                    self.view.put(WIDE, {"names": names})
                else:
                    self.view.delete(WIDE)

    def wide_names(self) -> set[str]:
        """Folders and globs that have a record."""
        value = self.view.get(WIDE)
        if value is None:
            return set()
        names = value.get("names")
        if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
            raise _malformed(WIDE, "names is no list of texts")
        return set(names)

    def met_by(self, name: str) -> list[LockRecord]:
        """Every record whose name overlaps `name`, its own included."""
        if not pattern.is_wide(name):
            wide = self.view.get(WIDE)
            names = [name] if wide is None else [name, *(n for n in self.wide_names() if pattern.overlap(n, name))]
            return [r for n in names if (r := self.record(n)) is not None]
        found = [self.record(key[6:]) for key, _ in self.view.scan("locks/")]
        return [r for r in found if r is not None and pattern.overlap(r["name"], name)]

    # -- judging ---------------------------------------------------------------------------------------------

    def judge(self, identity: Any) -> str:
        """The verdict about a process, asked once per transaction; this process lives."""
        if identity == self._me:
            return "live"
        known = self._verdicts.get(id(identity))
        if known is None:  # the identity is kept with its verdict, so that its id() is nobody else's meanwhile
            known = self._verdicts[id(identity)] = (identity, self._judge(identity))
        return known[1]

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
        """The requester's own hold in a record, while it lasts."""
        for held in record["holders"]:
            if self.is_mine(held, request) and not self.why_over(held):
                return held
        return None

    def remaining_s(self, holding: Holding) -> float:
        """How long a hold still lasts, its lease counted in, seconds."""
        return leases.remaining_s(holding["acquired"], holding["ttl_s"], self.lease(holding["lease"]), self.now)

    def blockers(
        self, request: Request, seq: int | None = None, *, everybody: bool = False
    ) -> tuple[list[Holding], list[Waiter]]:
        """Who is in the way: holders, and waiters that came before `seq` (all of them for a new request).

        While a holder is in the way, only the waiter directly in front is named, unless `everybody` is asked for: a
        long
        line is not read by each who joins it.
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
                if mine is None:
                    places += _earlier(record, request, want["mode"], seq)
        if holders and not everybody:
            places = sorted(places, key=lambda place: place["seq"])[-1:]
            return holders, [w for place in places if (w := self.waiter(place["request"])) is not None]
        return holders, self._in_line(places, request)

    def _in_line(self, places: list[Entry], request: Request) -> list[Waiter]:
        """The waiters of these places that really have to be waited for, in order."""
        found: dict[str, Waiter] = {}
        for place in sorted(places, key=lambda place: place["seq"]):
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
                    if rules.conflicts(held["mode"], want["mode"]) and self.is_mine(held, request):
                        return True
        return False

    # -- changing --------------------------------------------------------------------------------------------

    def grant(self, request: Request) -> dict[str, int]:
        """Make the requester the holder of everything it wants; nothing may be in the way. Returns name to token."""
        tokens: dict[str, int] = {}
        for want in request.wants:
            name, mode = want["name"], want["mode"]
            if self._ended_seen:
                for record in self.met_by(name):
                    self._clear_ended(record, request, mode)
            record = self.record(name) or rules.new_record(name)
            mine = self.mine_in(record, request)
            if mine is None:
                granted = rules.new_holding(request, mode, self.view.revision, self.now)
                record["holders"] = [*(h for h in record["holders"] if not self.is_mine(h, request)), granted]
            else:
                granted = rules.entered_again(mine, request, mode, self.view.revision)
                record["holders"] = [granted if h is mine else h for h in record["holders"]]
            record["waiters"] = [e for e in record["waiters"] if e["request"] != request.request]
            tokens[name] = granted["token"]
            if mine is None or granted != mine:
                self.put(record)
        return tokens

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

    def enqueue(self, request: Request, waiter: Waiter) -> None:
        """Put a waiter at the end of the line of every name it wants."""
        self.view.put(f"waiters/{request.request}", waiter)  # type: ignore[arg-type]  # a TypedDict is a dict
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
        self.view.delete(f"waiters/{waiter['request']}")
        for want in waiter["wants"]:
            record = self.record(want["name"])
            if record is not None and any(e["request"] == waiter["request"] for e in record["waiters"]):
                record["waiters"] = [e for e in record["waiters"] if e["request"] != waiter["request"]]
                self.put(record)

    def remove(self, name: str, holding: Holding) -> None:
        """Take a hold out of its record."""
        record = self.record(name)
        if record is not None:
            record["holders"] = [h for h in record["holders"] if h is not holding]
            self.put(record)

    def advance(self, names: Iterable[str]) -> None:
        """Grant what can be granted now that holds or waiters of `names` are gone, in the order of the line."""
        entries: dict[str, tuple[Entry, LockRecord]] = {}
        for name in names:
            for record in self.met_by(name):
                for entry in record["waiters"]:
                    entries.setdefault(entry["request"], (entry, record))
        for entry, record in sorted(entries.values(), key=lambda pair: pair[0]["seq"]):
            if self._is_plainly_blocked(entry, record):
                continue
            waiter = self.waiter(entry["request"])
            if waiter is None:
                self._drop_entry(entry, record)
            elif not self.still_waits(waiter):
                if waiter["handoff"] is None or waiter["handoff"].get("state") != "declined":
                    self.dequeue(waiter)
            elif not any(self.blockers(rules.of_waiter(waiter), waiter["seq"])):
                self.dequeue(waiter)
                self.grant(rules.of_waiter(waiter))
                self.granted.append(waiter)

    def _is_plainly_blocked(self, entry: Entry, record: LockRecord) -> bool:
        """Whether the record alone shows that the entry must wait: spares reading every waiter of a long line."""
        for held in record["holders"]:
            if held["agent"] != entry["agent"] and rules.conflicts(held["mode"], entry["mode"]):
                return not self.why_over(held)
        return False

    def _drop_entry(self, entry: Entry, record: LockRecord) -> None:
        record["waiters"] = [e for e in record["waiters"] if e["request"] != entry["request"]]
        self.put(record)


def _earlier(record: LockRecord, request: Request, mode: Mode, seq: int | None) -> list[Entry]:
    """Places of one line that come before the request and conflict with it."""
    return [
        entry
        for entry in record["waiters"]
        if entry["request"] != request.request
        and (seq is None or entry["seq"] < seq)
        and rules.conflicts(entry["mode"], mode)
    ]


def _checked(key: str, value: dict[str, Any] | None) -> LockRecord | None:
    if value is None:
        return None
    wrong = rules.check_record(value)
    if wrong or f"locks/{value['name']}" != key:
        raise _malformed(key, wrong or "it has another name inside")
    record: LockRecord = value  # type: ignore[assignment]  # check_record has just looked at every field
    return record


def _malformed(key: str, reason: str) -> MalformedRecord:
    return MalformedRecord(
        f"the record {key} cannot be read: {reason}",
        hint="it counts as held, never as free: look at it, then `latchboard break` the lock or restore the file",
        key=key,
        reason=reason,
    )
