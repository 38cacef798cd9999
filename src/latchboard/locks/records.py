"""Records: what locks keep in the store, as one transaction sees it: read once, checked, and the index of wide names.

Law 1. What does not have its shape is `MalformedRecord`; it is never read as "nothing there".
Law 2. A lock has a record while it has a holder or a waiter; a folder or glob that has one is in the index `wide`.
Law 3. Who asks for a folder reads what lies beneath it, and the index: what is held elsewhere costs it nothing.

Protocol: protocol/lock.md, "Records".
"""

from __future__ import annotations

from latchboard.errors import MalformedRecord
from latchboard.rules import holding as holdings
from latchboard.rules import lease as leases
from latchboard.rules import lock as rules
from latchboard.rules import pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.rules.lock import LockRecord, Waiter
    from latchboard.store.port import View

WIDE = "wide"

ROOM_COUNT = 8
"""Keys that are left in a commit for the index, a trace, what is forgotten and the hold of a link."""


class Records:
    """The records of one transaction.

    Attributes:
        view: The state; `view.revision` becomes the token of what is granted.
    """

    def __init__(self, view: View) -> None:
        self.view = view
        self._records: dict[str, LockRecord | None] = {}
        self._waiters: dict[str, Waiter | None] = {}
        self._names: dict[str, dict[str, None]] = {}  # by what they begin with: of the records that were scanned
        self._wide: set[str] | None = None
        self._keeps_index = True

    def record(self, name: str) -> LockRecord | None:
        """The record of a name, the same object every time; MalformedRecord if it cannot be read."""
        if name not in self._records:
            self._records[name] = _checked(f"locks/{name}", self.view.get(f"locks/{name}"))
        return self._records[name]

    def waiter(self, request: str) -> Waiter | None:
        """The waiter with this request id; None once it was granted or withdrawn."""
        if request not in self._waiters:
            key = f"waiters/{request}"
            value: Any = self.view.get(key)
            if value is not None:
                wrong = rules.check_waiter(value)
                if wrong or value["request"] != request:
                    raise malformed(key, wrong or "it has another request inside")
            self._waiters[request] = value
        return self._waiters[request]

    def put_waiter(self, waiter: Waiter) -> None:
        """Store a waiter."""
        self._waiters[waiter["request"]] = waiter
        self.view.put(f"waiters/{waiter['request']}", waiter)  # type: ignore[arg-type]  # a TypedDict is a dict

    def delete_waiter(self, request: str) -> None:
        """Delete a waiter; its places in lines stay."""
        self._waiters[request] = None
        self.view.delete(f"waiters/{request}")

    def lease(self, lease_id: str) -> leases.Lease | None:
        """A lease record; None when it was never renewed."""
        value = self.view.get(f"leases/{lease_id}")
        if value is None:
            return None
        if wrong := leases.check_lease(value):
            raise malformed(f"leases/{lease_id}", wrong)
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
        for start, names in self._names.items():
            if name.startswith(start):
                names[name] = None  # where nobody has a record any more, none is met
        if self._keeps_index and pattern.is_wide(name) and in_use != (name in self.wide_names()):
            self._put_wide(self.wide_names() | {name} if in_use else self.wide_names() - {name})

    def _put_wide(self, names: set[str]) -> None:
        self._wide = names
        if names:
            self.view.put(WIDE, {"names": sorted(names)})
        else:
            self.view.delete(WIDE)

    def wide_names(self) -> set[str]:
        """Folders and globs that have a record."""
        if self._wide is None:
            value = self.view.get(WIDE)
            names = [] if value is None else value.get("names")
            if not isinstance(names, list) or not all(holdings.is_word(n) for n in names):
                raise malformed(WIDE, "names is no list of names")
            self._wide = set(names)
        return self._wide

    def trusts_index(self) -> bool:
        """Whether the index can be read. Where not, records change without it: `rebuild_wide` must follow."""
        try:
            self.wide_names()
        except MalformedRecord:
            self._keeps_index = False
        return self._keeps_index

    def rebuild_wide(self) -> None:
        """Make the index anew from the records: for an operator, when it cannot be read.

        Raises:
            MalformedRecord: Nobody can say which name a damaged record has. The index is left as it is.
        """
        self._put_wide({key[6:] for key, _ in self.view.scan("locks/") if pattern.is_wide(key[6:])})

    def met_by(self, name: str) -> list[LockRecord]:
        """Every record whose name overlaps `name`, its own included."""
        if not pattern.is_wide(name):
            if self.view.get(WIDE) is None:
                record = self.record(name)
                return [] if record is None else [record]
            names = [name, *sorted(n for n in self.wide_names() if pattern.overlap(n, name))]
        else:
            wide = self.wide_names()  # a request for a wide name writes it: fail now, not halfway
            start = pattern.beginning(name)
            near = {*self._beneath(start), *wide, start[:-1]}
            names = sorted(n for n in near if n and pattern.overlap(n, name))
        return [r for n in names if (r := self.record(n)) is not None]

    def _beneath(self, start: str) -> dict[str, None]:
        """Every record whose name begins so, and maybe others: who asks for a second part reads all, once."""
        if "" in self._names:
            return self._names[""]
        if start not in self._names:
            start = "" if self._names else start
            self._names[start] = {key[6:]: None for key, _ in self.view.scan(f"locks/{start}")}
        return self._names[start]


def _checked(key: str, value: dict[str, Any] | None) -> LockRecord | None:
    if value is None:
        return None
    wrong = rules.check_record(value)
    if wrong or f"locks/{value['name']}" != key:
        raise malformed(key, wrong or "it has another name inside")
    record: LockRecord = value  # type: ignore[assignment]  # check_record has just looked at every field
    return record


def malformed(key: str, reason: str) -> MalformedRecord:
    """The error for a record that is not what it should be."""
    return MalformedRecord(
        f"the record {key} cannot be read: {reason}",
        hint="it counts as held, never as free: look at it, then `latchboard break` the lock or restore the file",
        key=key,
        reason=reason,
    )
