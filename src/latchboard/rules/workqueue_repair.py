"""Repair of the queue: what its records must be, given its jobs, and where they are not that; pure.

Law 1. A job says where it stands; lines, counts and who waits for whom follow from jobs alone.
Law 2. A claim is kept if its lease can be read and its job has its token. Else it has ended: nobody completes a job
that nobody can prove to have, and the attempt does not count.
Law 3. What follows from nothing is not invented: a job that is gone stays gone, limits that cannot be read are the ones
there were at first.

Protocol: protocol/workqueue.md, "Damage".
"""

from __future__ import annotations

from latchboard.rules import workqueue as rules
from latchboard.rules import workqueue_job as jobs
from latchboard.rules import workqueue_lease as leases
from latchboard.rules import workqueue_line as lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from latchboard.rules.workqueue import Job

LOST = "its claim was lost with a damaged record"


class Plan:
    """What is wrong, and what would make it right.

    Attributes:
        faults: Key of a record to what is wrong with it.
        jobs: Jobs as they should be, those that are not.
        records: Key of another record to what it should be; None: it should not be there.
    """

    __slots__ = ("faults", "jobs", "records")

    def __init__(self) -> None:
        self.faults: dict[str, str] = {}
        self.jobs: dict[str, Job] = {}
        self.records: dict[str, dict[str, Any] | None] = {}


def plan(found: Mapping[str, Job], records: Mapping[str, Any], *, at: str) -> Plan:
    """Compare the records of the queue with its jobs.

    Args:
        found: Every job that can be read, by id.
        records: Every record of `queue/`, by key; None: it cannot be read.
        at: Now, for the attempts of claims that were lost.
    """
    made = Plan()
    known = dict(found)
    _dependencies(made, known)
    _claims(made, known, records, at)
    _numbers(made, known, records)
    _lines(made, found, known, records)
    return made


def _change(made: Plan, known: dict[str, Job], after: Job, why: str) -> None:
    known[after["id"]] = made.jobs[after["id"]] = after
    made.faults.setdefault(f"jobs/{after['id']}", why)


def _dependencies(made: Plan, known: dict[str, Job]) -> None:
    """Who waits for whom, on both sides."""
    parts: dict[str, list[str]] = {}
    for job in known.values():
        if job["parent"] is not None:
            parts.setdefault(job["parent"], []).append(job["id"])
    for job in list(known.values()):
        needed = dict.fromkeys([*job["waits_for"], *job["dependencies"], *parts.get(job["id"], ())])
        waits = [one for one in needed if (known[one]["status"] != "done" if one in known else one in job["waits_for"])]
        if set(waits) != set(job["waits_for"]) and job["status"] != "done":
            _change(made, known, {**known[job["id"]], "waits_for": waits}, "it waits for other jobs than it must")
        for one in known[job["id"]]["waits_for"] if job["status"] != "done" else ():
            other = known.get(one)
            if other is not None and job["id"] not in other["dependents"]:
                after: Job = {**other, "dependents": [*other["dependents"], job["id"]]}
                _change(made, known, after, f"it does not know that {job['id']} waits for it")


def _claims(made: Plan, known: dict[str, Job], records: Mapping[str, Any], at: str) -> None:
    is_needed = any(job["token"] is not None for job in known.values())
    value = records.get("queue/active", None if is_needed else {"claims": {}})
    claims = value.get("claims") if value is not None else None
    if not isinstance(claims, dict):
        made.faults["queue/active"] = "it cannot be read" if "queue/active" in records else "it is not there"
        claims = {}
    kept = {}
    for job_id, lease in claims.items():
        job = known.get(job_id)
        if leases.check_active({"claims": {job_id: lease}}):
            made.faults["queue/active"] = f"the claim of {job_id:.100} cannot be read"
        elif job is None or job["token"] != lease["token"]:
            made.faults["queue/active"] = f"{job_id} is not claimed by that token"
        else:
            kept[job_id] = lease
    if "queue/active" in made.faults:
        made.records["queue/active"] = {**(value or {}), "claims": kept}
    for job in list(known.values()):
        if job["token"] is not None and job["id"] not in kept:
            _change(made, known, _unclaimed(job, at), "its claim is not among the claims")


def _unclaimed(job: Job, at: str) -> Job:
    lease: Any = {"token": job["token"], "owner": "unknown_agent", "role": job["role"], "started_at": job["changed_at"]}
    after = jobs.ended(job, lease, "expired", at=at, error=LOST)
    status, count = rules.ready_status(job["role"]), max(0, job["attempts_count"] - 1)
    return {**after, "status": status, "attempts_count": count, "changed_at": at}


def _numbers(made: Plan, known: dict[str, Job], records: Mapping[str, Any]) -> None:
    """The number of the newest job, the limits, and what a queue file says beside."""
    newest = max((job["number"] for job in known.values()), default=0)
    value = records.get("queue/numbers", {"submitted": 0})
    submitted = value.get("submitted") if value is not None else None
    if type(submitted) is not int or submitted < newest:
        made.faults["queue/numbers"] = "there are jobs with a greater number" if value else "it cannot be read"
        made.records["queue/numbers"] = {**(value or {}), "submitted": newest}
    if "queue/limits" in records:
        limits = records["queue/limits"]
        if limits is None or rules.check_limits(limits):
            made.faults["queue/limits"] = "it cannot be read"
            made.records["queue/limits"] = None
    beside = records.get("queue/file", {})
    if beside is None or not isinstance(beside.get("extra", {}), dict):
        made.faults["queue/file"] = "it cannot be read"
        made.records["queue/file"] = None


def _lines(made: Plan, found: Mapping[str, Job], known: dict[str, Job], records: Mapping[str, Any]) -> None:
    """Every line. Of one that was right, and changes with a job that is mended, nothing is told."""
    before, after = _places(found), _places(known)
    there: dict[str, dict[str, Any]] = {}
    for key, value in records.items():
        if (name := _line_of(key)) is not None:
            there.setdefault(name, {})[key] = value
    for name in sorted({*before, *after, *there}):
        own = there.get(name, {})
        if wrong := _wrong_line(name, before.get(name, []), own):
            made.faults.update([wrong])
        if wrong or before.get(name) != after.get(name):
            made.records.update(dict.fromkeys(own))
            made.records.update(_written(name, after.get(name, [])))


def _places(of: Mapping[str, Job]) -> dict[str, list[Any]]:
    """Every line with its places in order, as jobs say."""
    found: dict[str, list[Any]] = {}
    for job in of.values():
        if (place := rules.place(job)) is not None:
            found.setdefault(place[0], []).append(place[1])
    return {name: sorted(places) for name, places in found.items()}


def _line_of(key: str) -> str | None:
    """Which line a record belongs to: `ready.builder` for its index and for each of its sheets."""
    name = key[len("queue/") :]
    stem, _, number = name.rpartition(".")
    stem = stem if number.isdecimal() else name
    return stem if stem in rules.WAITING_LINES or stem.startswith("ready.") else None


def _wrong_line(name: str, places: list[Any], own: Mapping[str, Any]) -> tuple[str, str] | None:
    """The record of a line that is not what it must be, and why."""
    key = f"queue/{name}"
    index = own.get(key)
    if index is None or lines.check_index(index, lines.kind_of(name)):
        if not places and not own:
            return None
        return key, "it cannot be read" if key in own else "it is not there"
    found: list[Any] = []
    sheets = [f"{key}.{one['sheet']}" for one in index["sheets"]]
    for n, sheet in enumerate(sheets):
        value = own.get(sheet)
        if value is None or lines.check_sheet(value, lines.kind_of(name)):
            return sheet, "it cannot be read" if sheet in own else "it is not there"
        begins = index["sheets"][n]["start"]
        if (n and value["places"][0] < begins) or (found and value["places"][0] <= found[-1]):
            return sheet, "it has places of another sheet"
        found += value["places"]
    if stray := [one for one in own if one != key and one not in sheets]:
        return stray[0], "the line does not name it"
    lost = [place[2] for place in places if place not in found]
    if found != places:
        return key, f"{lost[0]} is not in it" if lost else "a job is in it that must not be"
    return None


def _written(name: str, places: list[Any]) -> dict[str, dict[str, Any]]:
    """The records of a line anew."""
    size = lines.SHEET_PLACES_MAX
    sheets = [places[n : n + size] for n in range(0, len(places), size)]
    if not sheets:
        return {}
    index = [{"start": sheet[0], "sheet": n} for n, sheet in enumerate(sheets)]
    written: dict[str, dict[str, Any]] = {f"queue/{name}.{n}": {"places": sheet} for n, sheet in enumerate(sheets)}
    return {f"queue/{name}": {"sheets": index, "next": len(sheets)}, **written}
