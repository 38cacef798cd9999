"""Mending: what the doctor does when it is told to: nothing without a finding, and nothing beyond it.

Law 1. Each of them is planned first; the plan and the deed are the same list.
Law 2. Nothing is ended and no held lock is freed. What is taken away is kept beside its place.

Protocol: protocol/health.md, "Repairs".
"""

from __future__ import annotations

from latchboard.doctor import tokens
from latchboard.errors import CoordinationError, ProtocolError
from latchboard.rules import machine_lock as locks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Protocol

    from latchboard.clock import Clock
    from latchboard.doctor.port import Kept, Place, Standing

    class Step(Protocol):
        """One step of a repair: see `latchboard.store.files.repair.Step`."""

        kind: str
        where: str
        key: str

    class Shop(Protocol):
        """Where a store is repaired: see `latchboard.store.files.repair`."""

        def look(self) -> Standing:
            """What is wrong now."""
            ...

        def plan(self, found: list[Any]) -> list[Any]:
            """What would be done about it."""
            ...

        def apply(self, steps: list[Any], name: str) -> tuple[str, list[Any]]:
            """Where the copy is, and what was done."""
            ...

    class Queue(Protocol):
        """The work queue: see `latchboard.workqueue.repairing`."""

        def look(self) -> list[str]:
            """Records that are wrong now."""
            ...

        def repair(self) -> list[str]:
            """Make them right; which were not."""
            ...


_STEPS = {
    "recover": "the store recovers by itself, as at its next commit",
    "format": "FORMAT is moved away, and made anew",
    "rotate": "a new journal is begun, and the damaged one stays as an older one",
    "restore": "the record {key} is made what its last commit says",
    "aside": "the record in {where}, which cannot be read, is moved away",
}


class Deed:
    """One thing that was done, would be done, or could not be.

    Attributes:
        kind: `reset`, `unstick-lock` or `fix`.
        what: In words.
        is_done: Whether it was.
        why_not: "" where it was done, or would be.
        kept: Where the old state is; "" where nothing was taken away.
    """

    __slots__ = ("is_done", "kept", "kind", "what", "why_not")

    def __init__(self, kind: str, what: str, *, is_done: bool = False, why_not: str = "", kept: str = "") -> None:
        self.kind = kind
        self.what = what
        self.is_done = is_done
        self.why_not = why_not
        self.kept = kept

    def to_json(self) -> dict[str, Any]:
        """As `protocol/schema/doctor.json` has it."""
        return {name: getattr(self, name) for name in ("kind", "what", "is_done", "why_not", "kept")}


def reset(kept: Sequence[Kept], clock: Clock, set_aside: Callable[[Kept], str], *, dry_run: bool) -> list[Deed]:
    """Take away the records of credentials that cannot be read, so that a log-in can write new ones (F-001).

    Args:
        kept: Every credential.
        clock: For telling how they stand.
        set_aside: Renames a record if it is still damaged, and says where it is now; "": it was not.
        dry_run: Only say what would be done.
    """
    deeds = []
    for one in kept:
        if tokens.standing(one, clock)[0] != "damaged":
            continue
        what = f"the record of the credential {one.name} is set aside: {one.where}"
        deeds.append(_done("reset", what, None if dry_run else lambda one=one: set_aside(one)))  # type: ignore[misc]
    return deeds


def unstick(
    kept: Sequence[Kept],
    clock: Clock,
    place: Place,
    release: Callable[[str, float], bool],
    *,
    threshold_s: float,
    dry_run: bool,
) -> list[Deed]:
    """Clear the records of machine locks that are older than the threshold and that nobody holds (F-003)."""
    deeds = []
    for path in dict.fromkeys(one.lock_path for one in kept if one.lock_path):
        data = place.read(path, locks.FILE_BYTES_MAX)
        record = locks.parse_record(data) if data else None
        if record is None or locks.age_s(record, clock.now()) < threshold_s:
            continue
        what = f"the record in {path} is cleared"
        holders = place.lockers(path)
        if holders:
            deeds.append(Deed("unstick-lock", what, why_not=f"process {holders[0]} holds it: end that, or wait for it"))
        elif dry_run:
            deeds.append(Deed("unstick-lock", what))
        else:
            deeds.append(_released(what, path, release, threshold_s))
    return deeds


def _released(what: str, path: str, release: Callable[[str, float], bool], threshold_s: float) -> Deed:
    try:
        is_done = release(path, threshold_s)
    except CoordinationError as exc:
        return Deed("unstick-lock", what, why_not=exc.message)
    return Deed(
        "unstick-lock", what, is_done=is_done, why_not="" if is_done else "somebody holds it by now, or it is gone"
    )


def fix(shop: Shop, name: str, *, dry_run: bool) -> list[Deed]:
    """Repair the store, with a copy of what is changed.

    Args:
        shop: Where.
        name: Of the copy: a time.
        dry_run: Only say what would be done.
    """
    try:
        steps = shop.plan(shop.look().damage)
    except OSError as exc:
        return [Deed("fix", "the store is looked at", why_not=exc.strerror or type(exc).__name__)]
    if dry_run or not steps:
        return [Deed("fix", _words(step)) for step in steps]
    try:
        where, done = shop.apply(steps, name)
    except CoordinationError as exc:
        return [Deed("fix", _words(step), why_not=exc.message) for step in steps]
    return [
        Deed("fix", _words(one), is_done=one in done, why_not="" if one in done else "it was right by then", kept=where)
        for one in steps
    ]


def fix_queue(keep: Callable[[list[str], str], str], queue: Queue, name: str, *, dry_run: bool) -> list[Deed]:
    """Make the records of the work queue what its jobs say, with a copy of what is changed.

    Args:
        keep: Copies records under a name; where the copy is.
        queue: Looks and repairs.
        name: Of the copy.
        dry_run: Only say what would be done.
    """
    try:
        keys = queue.look()
    except ProtocolError:
        return []  # the store is to be repaired first
    except CoordinationError as exc:
        return [Deed("fix", "the work queue is looked at", why_not=exc.message)]
    words = {key: f"the record {key} is made what the jobs of the queue say" for key in keys}
    if dry_run or not words:
        return [Deed("fix", what) for what in words.values()]
    try:
        where = keep(list(words), name)
        done = queue.repair()
    except CoordinationError as exc:
        return [Deed("fix", what, why_not=exc.message) for what in words.values()]
    return [
        Deed("fix", what, is_done=key in done, why_not="" if key in done else "it was right by then", kept=where)
        for key, what in words.items()
    ]


def _done(kind: str, what: str, do: Callable[[], str] | None) -> Deed:
    if do is None:
        return Deed(kind, what)
    try:
        where = do()
    except CoordinationError as exc:
        return Deed(kind, what, why_not=exc.message)
    return Deed(kind, what, is_done=bool(where), why_not="" if where else "it can be read by now", kept=where)


def _words(step: Step) -> str:
    return _STEPS[step.kind].format(key=step.key, where=step.where)
