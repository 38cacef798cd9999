"""Supervision: which workers should run, what becomes of a slot, and when a worker is started again; pure.

Law 1. What is wanted and what runs are two records: the one is written by commands, the other by the supervisor.
Law 2. Each slot goes through the states of one table; an event that a state does not have raises and changes nothing.
Law 3. A worker that said that it cannot run as it is configured is not started again until somebody asks for it anew.

Protocol: protocol/supervision.md.
"""

from __future__ import annotations

from latchboard.clock import iso
from latchboard.rules.singleton import PID_MAX
from latchboard.rules.workqueue import is_role

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any, Literal, TypeAlias

    from latchboard.clock import Now

    State: TypeAlias = Literal["waiting", "running", "stopping", "refused", "gone"]
    Event: TypeAlias = Literal[
        "started", "died", "refused", "told to end", "ended", "survived", "asked anew", "not wanted"
    ]
    Act: TypeAlias = Literal["", "start", "stop", "drop", "ask"]

ROLES = ("planner", "builder", "tester", "refiner", "integrator")
"""Those of the founding document; every look shows them."""
SUPERVISOR, WORKER = "supervise", "worker"
"""The words in their command lines."""
SCHEMA_VERSION = 1
COUNT_MAX = 64
"""Of one role: the same as the configuration allows."""
NUMBER_MAX = 2**53
REFUSED_STATUS = 2
"""What a worker ends with that cannot run as it is configured: wrong usage, as everywhere."""

NEXT: dict[State, dict[Event, State]] = {
    "waiting": {"started": "running", "not wanted": "gone"},
    "running": {"died": "waiting", "refused": "refused", "told to end": "stopping"},
    "stopping": {"ended": "waiting", "survived": "running"},
    "refused": {"asked anew": "waiting", "not wanted": "gone"},
    "gone": {},
}
"""The table of "Slots"."""

_IDENTITY = ("host", "boot", "pid_ns", "pid", "start")


# -- what is wanted ---------------------------------------------------------------------------------------------------


class Want:
    """What is wanted of one role.

    Attributes:
        count: How many workers, 0 to `COUNT_MAX`.
        round: Grows with each restart that was asked for.
        asked: The revision at which they were last asked for.
    """

    __slots__ = ("asked", "count", "round")

    def __init__(self, count: int, round: int = 0, asked: int = 0) -> None:
        self.count = count
        self.round = round
        self.asked = asked

    def to_json(self) -> dict[str, int]:
        """As the record has it."""
        return {name: getattr(self, name) for name in ("count", "round", "asked")}


class Wanted:
    """What is wanted of all roles.

    Attributes:
        revision: Grows with each change.
        roles: By role.
    """

    __slots__ = ("revision", "roles")

    def __init__(self, revision: int = 0, roles: Mapping[str, Want] | None = None) -> None:
        self.revision = revision
        self.roles = dict(roles or {})

    def to_json(self) -> dict[str, Any]:
        """As the record has it."""
        roles = {role: want.to_json() for role, want in self.roles.items()}
        return {"schema_version": SCHEMA_VERSION, "revision": self.revision, "roles": roles}

    def count(self, role: str) -> int:
        """How many workers of this role."""
        return self.roles[role].count if role in self.roles else 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing is wanted at all."""
        return not any(want.count for want in self.roles.values())


def parse_wanted(value: object) -> Wanted | None:
    """What the record says; None when it is malformed or of another schema: then it says nothing."""
    if not isinstance(value, dict) or value.get("schema_version") != SCHEMA_VERSION:
        return None
    roles = value.get("roles")
    if not _is_number(value.get("revision")) or not isinstance(roles, dict):
        return None
    found = {}
    for role, want in roles.items():
        if not is_role(role) or not isinstance(want, dict):
            return None
        numbers = [want.get(name) for name in ("count", "round", "asked")]
        if not all(map(_is_number, numbers)) or want["count"] > COUNT_MAX:
            return None
        found[role] = Want(want["count"], want["round"], want["asked"])
    return Wanted(value["revision"], found)


def asked_for(before: Wanted, counts: Mapping[str, int], *, is_alone: bool, is_restart: bool) -> Wanted:
    """What is wanted after somebody asked for so many workers.

    Args:
        before: What was wanted.
        counts: How many, by role; the others stay as they are.
        is_alone: No supervisor runs, so that nothing else is wanted any more.
        is_restart: Workers that run are to be replaced.
    """
    revision = before.revision + 1
    roles = {role: Want(0, want.round, want.asked) if is_alone else want for role, want in before.roles.items()}
    for role, count in counts.items():
        round = roles[role].round if role in roles else 0
        roles[role] = Want(count, round + is_restart, revision)
    return Wanted(revision, roles)


def not_wanted(before: Wanted, roles: Iterable[str] | None) -> Wanted:
    """What is wanted after somebody said that none of these roles are; None: none at all."""
    ended = set(before.roles if roles is None else roles)
    after = {r: Want(0, want.round, want.asked) if r in ended else want for r, want in before.roles.items()}
    return Wanted(before.revision + 1, after)


# -- slots ------------------------------------------------------------------------------------------------------------


class Pace:
    """How soon the dead are started again.

    Attributes:
        first_s: After the first death, seconds.
        max_s: At most, seconds.
        steady_s: Who has run for so long has not died in a row, seconds.
    """

    __slots__ = ("first_s", "max_s", "steady_s")

    def __init__(self, first_s: float, max_s: float, steady_s: float) -> None:
        self.first_s = first_s
        self.max_s = max_s
        self.steady_s = steady_s

    def pause_s(self, in_a_row: int) -> float:
        """How long to wait after so many deaths in a row, seconds."""
        return min(self.first_s * 2.0 ** min(max(in_a_row, 1) - 1, 60), self.max_s)


class Slot:
    """The place of one worker.

    Attributes:
        role: Of the worker.
        number: From 1.
        state: One of the table.
        process: Its identity; None while it has none.
        since: When it came into its state, ISO 8601 UTC.
        since_s: The same, monotonic seconds.
        due_s: When it is to be started, monotonic seconds.
        again_at: The same, ISO 8601 UTC; None unless it waits after a death.
        round: Of the worker that runs, or ran last.
        asked: The request that it has answered.
        deaths: Since it is wanted.
        in_a_row: Of these, without a steady run in between.
        last: How its last worker ended: `status`, `signal`, `at`; None: none has.
        why: Why it could not be started, or ended; "" otherwise.
    """

    __slots__ = (
        "again_at",
        "asked",
        "deaths",
        "due_s",
        "in_a_row",
        "last",
        "number",
        "process",
        "role",
        "round",
        "since",
        "since_s",
        "state",
        "why",
    )

    def __init__(self, role: str, number: int, want: Want, now: Now) -> None:
        self.role = role
        self.number = number
        self.state: State = "waiting"
        self.process: Any = None
        self.since = iso(now.wall_s)
        self.since_s = self.due_s = now.mono_s
        self.again_at: str | None = None
        self.round = want.round
        self.asked = want.asked
        self.deaths = self.in_a_row = 0
        self.last: dict[str, Any] | None = None
        self.why = ""

    def to_json(self) -> dict[str, Any]:
        """As the record has it."""
        names = (
            "role",
            "number",
            "state",
            "process",
            "since",
            "round",
            "deaths",
            "in_a_row",
            "last",
            "again_at",
            "why",
        )
        return {name: getattr(self, name) for name in names}

    def goes(self, event: Event, now: Now) -> None:
        """An event happened to it.

        Raises:
            ValueError: Its state does not have this event. Nothing was changed.
        """
        if event not in NEXT[self.state]:
            raise ValueError(f"a slot that is {self.state} cannot be {event!r}")
        self.state = NEXT[self.state][event]
        self.since, self.since_s = iso(now.wall_s), now.mono_s

    def has_started(self, process: Any, want: Want, now: Now) -> None:
        """A worker runs in it."""
        self.goes("started", now)
        self.process, self.round, self.asked = process, want.round, want.asked
        self.due_s, self.again_at, self.why = now.mono_s, None, ""  # who did not wait for its pause is ended at once

    def has_ended(self, status: int | None, now: Now, pace: Pace) -> None:
        """Its worker has ended: as it was told to, because it cannot run, or it died.

        Args:
            status: Its exit status, negative for a signal; None: nobody knows.
            now: When.
            pace: How soon it is started again.
        """
        was_told, is_steady = self.state == "stopping", now.mono_s - self.since_s >= pace.steady_s
        self.goes("ended" if was_told else "refused" if status == REFUSED_STATUS else "died", now)
        self.process, self.again_at, self.why = None, None, ""
        is_signal = status is not None and status < 0
        self.last = {"status": None if is_signal else status, "signal": -(status or 0) if is_signal else None}
        self.last["at"] = self.since
        if was_told or is_steady:
            self.in_a_row = 0
        if not was_told and self.state == "waiting":
            self.died("", now, pace)

    def died(self, why: str, now: Now, pace: Pace) -> None:
        """One death more: its worker ended, or could not even be started (`why`)."""
        self.deaths += 1
        self.in_a_row += 1
        pause_s = pace.pause_s(self.in_a_row)
        self.due_s, self.again_at, self.why = now.mono_s + pause_s, iso(now.wall_s + pause_s), why


def act(slot: Slot, wanted: Wanted, now_s: float) -> Act:
    """What is to be done about a slot now; "": nothing."""
    want = wanted.roles.get(slot.role)
    if want is None or slot.number > want.count:
        return "stop" if _is_due(slot, now_s) else "drop" if slot.state in ("waiting", "refused") else ""
    if slot.state == "running":
        return "stop" if slot.round != want.round and _is_due(slot, now_s) else ""
    if slot.state == "waiting":
        return "start" if now_s >= slot.due_s or slot.asked != want.asked else ""
    return "ask" if slot.state == "refused" and slot.asked != want.asked else ""


def _is_due(slot: Slot, now_s: float) -> bool:
    """Whether a worker that runs may be told to end: one that survived is not killed again and again."""
    return slot.state == "running" and now_s >= slot.due_s


def missing(slots: Iterable[Slot], wanted: Wanted) -> list[tuple[str, int]]:
    """Role and number of each slot that is wanted and not there."""
    there = {(slot.role, slot.number) for slot in slots}
    asked = ((role, n) for role, want in wanted.roles.items() for n in range(1, want.count + 1))
    return [one for one in asked if one not in there]


# -- what runs --------------------------------------------------------------------------------------------------------


class Observed:
    """What the supervisor last wrote.

    Attributes:
        revision: How far it has read what is wanted.
        process: The supervisor's identity.
        workers: One for each slot, as `Slot.to_json` says.
    """

    __slots__ = ("process", "revision", "workers")

    def __init__(self, revision: int, process: Any, workers: Sequence[dict[str, Any]]) -> None:
        self.revision = revision
        self.process = process
        self.workers = list(workers)

    def to_json(self, version: str) -> dict[str, Any]:
        """As the record has it."""
        return {
            "schema_version": SCHEMA_VERSION,
            "revision": self.revision,
            "process": self.process,
            "version": version,
            "workers": self.workers,
        }

    def of(self, role: str, number: int) -> dict[str, Any] | None:
        """One slot; None: there is none."""
        return next((one for one in self.workers if (one["role"], one["number"]) == (role, number)), None)


def parse_observed(value: object) -> Observed | None:
    """What the record says; None when it is malformed or of another schema: then it says nothing."""
    if not isinstance(value, dict) or value.get("schema_version") != SCHEMA_VERSION:
        return None
    workers = value.get("workers")
    if not _is_number(value.get("revision")) or not _is_identity(value.get("process")) or not isinstance(workers, list):
        return None
    if not all(map(_is_worker, workers)):
        return None
    return Observed(value["revision"], value["process"], workers)


def worker_in(argv: Sequence[str]) -> tuple[str, int] | None:
    """Role and number that a supervised worker's command line names, whose root is proven otherwise; None: neither.

    It is `... worker --root ROOT --role ROLE --number NUMBER`, and nothing behind it.
    """
    words = list(argv[-7:])
    if len(words) < 7 or words[:2] + words[3:6:2] != [WORKER, "--root", "--role", "--number"]:
        return None
    role, number = words[4], words[6]
    is_number = number.isascii() and number.isdecimal() and number[0] != "0" and len(number) < 6
    return (role, int(number)) if is_role(role) and is_number else None


def _is_worker(one: object) -> bool:
    if not isinstance(one, dict) or not is_role(one.get("role")) or one.get("state") not in NEXT:
        return False
    numbers = (one.get(name) for name in ("number", "round", "deaths", "in_a_row"))
    if not all(map(_is_number, numbers)) or not all(isinstance(one.get(name), str) for name in ("since", "why")):
        return False
    process, last, again_at = one.get("process"), one.get("last"), one.get("again_at")
    return (
        (process is None or _is_identity(process))
        and (last is None or (isinstance(last, dict) and {"status", "signal", "at"} <= set(last)))
        and (again_at is None or isinstance(again_at, str))
    )


def _is_identity(value: object) -> bool:
    if not isinstance(value, dict) or any(name not in value for name in _IDENTITY):
        return False
    return _is_number(value["pid"]) and 0 < value["pid"] <= PID_MAX


def _is_number(value: object) -> bool:
    return type(value) is int and 0 <= value <= NUMBER_MAX
