"""Repairing: the records of the queue made what its jobs say; for an operator, by the doctor.

Protocol: protocol/workqueue.md, "Damage".
"""

from __future__ import annotations

from latchboard.clock import iso
from latchboard.rules import workqueue_job as jobs
from latchboard.rules import workqueue_repair as rules
from latchboard.store.parts import count_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.errors import MalformedRecord
    from latchboard.rules.workqueue import Job
    from latchboard.rules.workqueue_repair import Plan
    from latchboard.store.port import Snapshot, Store, View

RECORDS_COUNT_MAX = 400
"""So many records are changed in one commit; of more, the rest in the next."""


def look(store: Store, at: str) -> Plan:
    """What is wrong now; takes no guard, and costs what there is."""
    return _plan(store.read("jobs/", "queue/"), at)


def repair(store: Store, *, by: str) -> Plan:
    """Make it right; returns all that was wrong. Each commit looks again at what there is.

    Raises:
        StoreError: It could not be written; what was done is right by itself, and the rest is still to do.
    """
    done = rules.Plan()
    while _commit(store, by, done):
        pass
    return done


def _commit(store: Store, by: str, done: Plan) -> bool:
    """One commit of it; whether there is more."""
    most = count_of(store, RECORDS_COUNT_MAX, keys_each=1)

    def decide(view: View) -> tuple[Plan, int]:
        made = _plan(view, iso(view.now.wall_s))
        changes: list[tuple[str, Any]] = [(f"jobs/{key}", job) for key, job in made.jobs.items()]
        changes += made.records.items()
        for key, value in changes[:most]:
            if value is None:
                view.delete(key)
            else:
                view.put(key, value)
        return made, len(changes)

    made, count = store.transact(decide, who=by, durable=True).value
    done.faults = {**made.faults, **done.faults}
    done.jobs |= made.jobs
    done.records |= made.records
    return count > most


def _plan(seen: View | Snapshot, at: str) -> Plan:
    damaged: list[MalformedRecord] = []
    found: dict[str, Job] = {}
    for key, value in seen.scan("jobs/", damaged=damaged):
        job: Any = value
        if not jobs.check_job(job, key[len("jobs/") :]):
            found[job["id"]] = job
    records: dict[str, Any] = dict(seen.scan("queue/", damaged=damaged))
    unreadable = (_key(exc) for exc in damaged)
    records |= {key: None for key in unreadable if key.startswith("queue/")}
    return rules.plan(found, records, at=at)


def _key(exc: MalformedRecord) -> str:
    """The record that cannot be read. A file that does not say which it is has the name of its key, and an ending."""
    return str(exc.fields["key"]).removesuffix(".json")
