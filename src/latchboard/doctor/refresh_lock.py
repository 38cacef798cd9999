"""Refresh lock: the machine lock of each credential: since when it is held, and by whom; or that its record was left.

Protocol: protocol/health.md, "Doctor"; protocol/machine_lock.md.
"""

from __future__ import annotations

from latchboard.doctor.check import Check, Seen
from latchboard.rules import doctor as rules
from latchboard.rules import machine_lock as locks
from latchboard.rules.finding import Finding, command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from latchboard.clock import Clock
    from latchboard.doctor.port import Kept, Place

_SECONDS_MAX = 1e9


def refresh_locks(root: str, kept: Sequence[Kept], clock: Clock, place: Place, *, threshold_s: float) -> Check:
    """Every machine lock; one whose record is older than the threshold is stuck."""

    def look(_: float) -> Seen:
        here, facts, findings = str(place.here()["host"]), [], []
        for path in dict.fromkeys(one.lock_path for one in kept if one.lock_path):
            found = _standing(path, clock, place)
            if found is None:
                continue
            facts.append(found)
            if found["age_s"] is None or found["age_s"] >= threshold_s:
                findings.append(_stuck(root, found, place, threshold_s))
            if rules.is_other_host(found["host"], here):
                text = f"the record of {path} was written on {found['host']}, and this is {here}: a machine lock holds "
                text += "on one machine alone"
                findings.append(Finding("F-007", text, command("cat", path), path=path, host=found["host"]))
        text = "; ".join(_words(one) for one in facts) or "no machine lock is held"
        return Seen(text, findings, locks=facts)

    return Check("refresh_lock", "machine locks", look)


def _standing(path: str, clock: Clock, place: Place) -> dict[str, Any] | None:
    """What the record says, how old it is (None: it begins in the future), and who has the kernel lock."""
    data = place.read(path, locks.FILE_BYTES_MAX)
    record = locks.parse_record(data) if data else None
    if record is None:
        return None
    age_s = locks.age_s(record, clock.now())
    return {
        "path": path,
        "pid": record["pid"],
        "host": record["host"][:255],
        "started_at": record["started_at"],
        "age_s": round(age_s, 3) if age_s < _SECONDS_MAX else None,
        "holders": place.lockers(path),
    }


def _stuck(root: str, found: dict[str, Any], place: Place, threshold_s: float) -> Finding:
    path, holders, old = found["path"], found["holders"], _age(found)
    about = {"path": path, "age_s": found["age_s"], "holders": holders}
    if holders:
        pid = holders[0]
        is_stopped = place.is_stopped(pid)
        text = f"process {pid} has held {path} for {old}, over {threshold_s:g} s"
        text += ": it stands still" if is_stopped else ". Nobody can take it away; look at that process, then end it"
        return Finding("F-003", text, command("kill", *(["-CONT"] if is_stopped else []), str(pid)), **about)
    text = f"a record of {old} stands in {path}, over {threshold_s:g} s, and no process that is seen here holds it"
    words = ["latchboard", "doctor", "--unstick-lock", "--stuck-threshold", f"{threshold_s:g}", "--root", root]
    if holders is None:
        text = text.replace("no process that is seen here holds it", "who holds it cannot be told on this system")
    return Finding("F-003", text, command(*words), **about)


def _age(found: dict[str, Any]) -> str:
    return "an unknown age, for it begins in the future" if found["age_s"] is None else f"{found['age_s']:.0f} s"


def _words(found: dict[str, Any]) -> str:
    who = f"held by process {found['holders'][0]}" if found["holders"] else "left by a holder that is gone"
    return f"{found['path']}: {who}, {_age(found)}"
