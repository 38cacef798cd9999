"""Looking: how a project's workers stand, by what is wanted, what the supervisor says, and the registry; no change.

Law 1. Whether a worker is there is told by its process and its entry in the registry, never by the state record alone.
Law 2. What runs beside the supervisor, by hand or under a service manager, is shown.

Protocol: protocol/supervision.md, "Looking".
"""

from __future__ import annotations

import os

from latchboard.errors import CoordinationError
from latchboard.host.daemon_entry import DaemonEntry
from latchboard.host.registry import FOLDER
from latchboard.rules import singleton, worker
from latchboard.rules import supervision as rules
from latchboard.rules.workqueue import check_role

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from typing import Any

    from latchboard.daemon_process import Daemons
    from latchboard.host.port import Machine
    from latchboard.supervision.record import ObservedFile, WantedFile


class Report:
    """How they stand.

    Attributes:
        supervisor: Its pid; None: none runs.
        roles: Per role: `role`, `is_configured`, `wanted`, `registered`.
        workers: One for each slot, and each that is registered: `role`, `number`, `name`, `state`, `is_supervised`,
            `pid`, `job`, `since`, `deaths`, `last`, `again_at`, `why`.
        trouble: Why nobody knows their jobs; "": they are known.
    """

    __slots__ = ("roles", "supervisor", "trouble", "workers")

    def __init__(self, supervisor: int | None) -> None:
        self.supervisor = supervisor
        self.roles: list[dict[str, Any]] = []
        self.workers: list[dict[str, Any]] = []
        self.trouble = ""

    @property
    def is_as_wanted(self) -> bool:
        """Whether something is wanted, and as many run of each role."""
        wants = [one for one in self.roles if one["wanted"]]
        return bool(wants) and all(one["registered"] >= one["wanted"] for one in wants)

    @property
    def left(self) -> list[dict[str, Any]]:
        """Supervised workers that are there."""
        return [one for one in self.workers if one["is_supervised"] and one["pid"] is not None]

    def to_json(self) -> dict[str, Any]:
        """As `--json` has it."""
        return {name: getattr(self, name) for name in ("supervisor", "roles", "workers", "trouble")}


class Looking:
    """Looks.

    Args:
        root: The project's folder, absolute.
        machine: Where processes are looked at.
        supervisors: Judge the supervisor.
        wanted_file: What should run.
        observed_file: What runs.
        jobs: The job that each owner has a claim on; asked where one is registered. Its trouble is told.
    """

    def __init__(
        self,
        root: str,
        *,
        machine: Machine,
        supervisors: Daemons,
        wanted_file: WantedFile,
        observed_file: ObservedFile,
        jobs: Callable[[], Mapping[str, str]],
    ) -> None:
        self._root = root
        self._machine = machine
        self._supervisors = supervisors
        self._wanted_file = wanted_file
        self._observed_file = observed_file
        self._jobs = jobs

    def look(self, roles: Collection[str], tables: Mapping[str, Any]) -> Report:
        """How the workers of these roles stand; of all there are when none is named. Raises UsageError."""
        for role in roles:
            check_role(role)
        recorded = self._supervisors.verify()
        is_running = recorded.state == "running"
        report = Report(recorded.pid if is_running else None)
        wanted, observed = self._wanted_file.read() or rules.Wanted(), self._observed_file.read()
        there, jobs = self._registered(), dict[str, str]()
        try:
            jobs.update(self._jobs() if there else {})
        except CoordinationError as exc:  # how workers stand is told all the same
            report.trouble = exc.message
        slots = {(one["role"], one["number"]): one for one in observed.workers} if observed else {}
        _put_by_slots(there, slots)
        names = list(dict.fromkeys([*rules.ROLES, *tables, *wanted.roles, *(role for role, _ in {**slots, **there})]))
        for role in [one for one in names if not roles or one in roles] + [one for one in roles if one not in names]:
            numbers = sorted({number for named, number in {**slots, **there} if named == role})
            want = wanted.count(role) if is_running else 0
            rows = [
                _row(role, n, slots.get((role, n)), there.get((role, n)), jobs, is_live=self._is_live) for n in numbers
            ]
            rows = [row for row in rows if row["pid"] is not None or is_running]
            report.workers += rows
            registered = sum(row["state"] in ("idle", "working") for row in rows)
            is_configured = role in tables
            facts = {"role": role, "is_configured": is_configured, "wanted": want, "registered": registered}
            report.roles.append(facts)
        return report

    def is_settled(self, wanted: rules.Wanted, counts: Mapping[str, int]) -> bool:
        """Whether each worker that was asked for is registered, has died, or is refused; and the others are gone."""
        observed = self._observed_file.read()
        if observed is None or observed.revision < wanted.revision:
            return False
        for role, count in counts.items():
            if any(one["role"] == role and one["number"] > count for one in observed.workers):
                return False
            for number in range(1, count + 1):
                slot = observed.of(role, number)
                if slot is None or not self._is_slot_settled(slot, wanted.roles[role]):
                    return False
        return True

    def _is_slot_settled(self, slot: dict[str, Any], want: rules.Want) -> bool:
        if slot["state"] == "running" and slot["round"] == want.round:
            return any(entry["process"] == slot["process"] for entry in self._registered().values())
        return slot["state"] == "refused" or (slot["state"] == "waiting" and slot["again_at"] is not None)

    def _registered(self) -> dict[tuple[str, int], dict[str, Any]]:
        """The record of each worker that is registered and lives, by role and number."""
        try:
            names = os.listdir(f"{self._root}/{FOLDER}")
        except OSError:  # none has ever been
            return {}
        found = {}
        for name in singleton.types_of(names):
            named = worker.parse_name(name)
            facts = DaemonEntry(self._root, name).read().facts() if named is not None else None
            if named is not None and facts is not None and self._is_live(facts.get("process")):
                found[named] = {**facts, "name": name}
        return found

    def _is_live(self, process: Any) -> bool:
        return self._machine.verdict(process) == "live"


def _put_by_slots(there: dict[tuple[str, int], dict[str, Any]], slots: Mapping[tuple[str, int], Any]) -> None:
    """Put each entry where the slot is whose worker it is of, under whatever number that runs."""
    for key, slot in slots.items():
        named = next((one for one, entry in there.items() if entry["process"] == slot["process"]), key)
        if named != key:
            before = there.pop(key, None)
            there[key] = there.pop(named)
            if before is not None:
                there[named] = before


def _row(
    role: str,
    number: int,
    slot: dict[str, Any] | None,
    entry: dict[str, Any] | None,
    jobs: Mapping[str, str],
    *,
    is_live: Callable[[Any], bool],
) -> dict[str, Any]:
    """One worker, or the slot that waits for one."""
    process = slot["process"] if slot else None
    if process is not None and not is_live(process):
        process = None
    is_supervised = process is not None or entry is None
    is_registered = entry is not None and (process is None or entry["process"] == process)
    if entry is not None and process is None:
        process = entry["process"]
    name = entry["name"] if entry is not None and is_registered else worker.name(role, number)
    job = jobs.get(name) if is_registered else None
    state = "stopped"
    if slot is not None:
        state = slot["state"]
    if process is not None and state != "stopping":
        state = "starting" if not is_registered else "working" if job else "idle"
    elif process is None and state == "running":
        state = "waiting"  # it has died, and nobody has heard of that yet
    return {
        "role": role,
        "number": number,
        "name": name,
        "state": state,
        "is_supervised": is_supervised,
        "pid": process["pid"] if process else None,
        "job": job,
        "since": slot["since"] if slot and is_supervised else (entry or {}).get("started_at"),
        "deaths": slot["deaths"] if slot else 0,
        "last": slot["last"] if slot else None,
        "again_at": slot["again_at"] if slot else None,
        "why": slot["why"] if slot else "",
    }
