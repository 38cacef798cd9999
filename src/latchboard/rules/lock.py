"""Lock: who holds a name, who waits for it, and what a request changes; pure.

Law 1. At most one holder, or any number of shared ones. Over is over: expired, or bound to a process that is provably
gone.
Law 2. Whoever asks later waits behind whoever waits already and conflicts: no starvation, also not of a request for
many names.
Law 3. Gone is a verdict that was given to us, never a guess: "unknowable" counts as alive.
Law 4. A record that does not have the shape below is malformed; it is never "free".

The holder of a process-bound hold is the agent in that process. The holder of an agent-bound hold is the agent; but
while the process that took it lives, it is the agent in that process ("same id from another process refused").

A name that is locked beside another one (a file with several hard links, rules/pattern.py) is its `link`: whoever gives
the name back gives back both.

Record `locks/<name>`: {"name", "holders": [holding], "waiters": [entry]}; it is there while it has one of either.

Protocol: protocol/lock.md.
"""

from __future__ import annotations

from latchboard.errors import UsageError
from latchboard.rules import holding as holdings
from latchboard.rules import lease as leases
from latchboard.rules import pattern
from latchboard.rules.holding import BOUNDS, MODES, are_words, is_word
from latchboard.rules.holding import is_same_process as is_same_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Literal, NotRequired, TypedDict

    from latchboard.clock import Now

    Mode = Literal["exclusive", "shared"]
    Bound = Literal["process", "agent"]
    Judge = Callable[[Any], str]
    LeaseOf = Callable[[str], "leases.Lease | None"]

    class Holding(TypedDict):
        """One holder of one name; what may be missing is in few of them (rules/holding.py)."""

        agent: str
        mode: Mode
        bound: Bound
        token: int
        first_token: NotRequired[int]
        request: str
        entries: NotRequired[list[str]]
        claim: NotRequired[str]
        claims: NotRequired[list[str]]
        acquired: leases.Moment
        ttl_s: float
        lease: str
        entry_lease: NotRequired[str]
        depth: int
        reason: str
        process: dict[str, Any]
        link: NotRequired[str]

    class Entry(TypedDict):
        """One place in a line."""

        request: str
        agent: str
        mode: Mode
        seq: int

    class LockRecord(TypedDict):
        """Everything about one name."""

        name: str
        holders: list[Holding]
        waiters: list[Entry]

    class Want(TypedDict):
        """One name of a request."""

        name: str
        mode: Mode
        link: NotRequired[str]

    class Waiter(TypedDict):
        """A request that waits, in `waiters/<request>`."""

        request: str
        agent: str
        bound: Bound
        process: dict[str, Any]
        wants: list[Want]
        seq: int
        since: leases.Moment
        wait_s_max: float | None
        ttl_s: float
        lease: str
        attended: bool
        reason: str
        blocked_by: list[dict[str, Any]]
        handoff: dict[str, Any] | None
        job: NotRequired[str]
        is_next: NotRequired[bool]


ABSENT = "absent"
"""The verdict about a process whose presence has ended: it may go on working, and holds nothing any more."""
GONE = ("dead", "recycled", ABSENT)
"""Verdicts that mean that a process has ended, or is as good as ended to everybody else."""

NEXT: dict[str, dict[str, str]] = {
    "asking": {"grant": "holding", "refuse": "refused", "queue": "waiting"},
    "waiting": {"grant": "holding", "decline": "declined", "withdraw": "withdrawn", "lapse": "withdrawn"},
    "holding": {
        "enter": "holding",
        "renew": "holding",
        "release": "released",
        "hand over": "released",
        "break": "broken",
        "run out": "over",
        "lose its process": "over",
    },
    "over": {"take over": "taken over", "break": "broken", "clean up": "taken over"},
    "refused": {},
    "declined": {},
    "withdrawn": {},
    "released": {},
    "taken over": {},
    "broken": {},
}
"""State of a request -> event -> state. `lapse`: its time is up or its process is gone; nobody had to say so. `over` is
told by the clock and by verdicts alone: the record still names the holder (`why_over`)."""


class Asker:
    """Who asks: an agent, in a process, bound to one of them, under a lease."""

    __slots__ = ("agent", "bound", "lease", "process")

    def __init__(self, agent: str, bound: Bound, process: Any, lease: str) -> None:
        self.agent = agent
        self.bound = bound
        self.process = process
        self.lease = lease


class Request:
    """One request for one or more names, all or nothing.

    Attributes:
        request: Id, never used twice; a retry finds its own grant by it (failures 3.31). One that could
            not be taken back gets another.
        agent: Who asks.
        bound: `process`: ends with the process; `agent`: lives by its lease alone.
        process: Identity of the asking process.
        wants: Names with their modes; no name twice.
        ttl_s: Lease time, seconds.
        lease: Id of the lease that covers it.
        reason: For people.
    """

    __slots__ = ("agent", "bound", "lease", "process", "reason", "request", "ttl_s", "wants")

    def __init__(self, request: str, asker: Asker, wants: list[Want], *, ttl_s: float, reason: str = "") -> None:
        self.request = request
        self.agent = asker.agent
        self.bound = asker.bound
        self.process = asker.process
        self.lease = asker.lease
        self.wants = wants
        self.ttl_s = ttl_s
        self.reason = reason


def of_waiter(waiter: Waiter) -> Request:
    """The request that a waiter stands for."""
    asker = Asker(waiter["agent"], waiter["bound"], waiter["process"], waiter["lease"])
    return Request(waiter["request"], asker, waiter["wants"], ttl_s=waiter["ttl_s"], reason=waiter["reason"])


def conflicts(a: str, b: str) -> bool:
    """Whether two modes exclude each other."""
    return a == "exclusive" or b == "exclusive"


def why_over(holding: Holding, now: Now, judge: Judge, lease_of: LeaseOf) -> str:
    """Why a hold has ended: `expired`, `dead` or `recycled`; empty while it lasts.

    The lease is asked for only when the hold's own time is up, the verdict only for a process-bound hold.
    """
    if leases.remaining_s(holding["acquired"], holding["ttl_s"], None, now) <= 0:
        lease = lease_of(holding["lease"])
        if leases.remaining_s(holding["acquired"], holding["ttl_s"], lease, now) <= 0:
            return "expired"
    if holding["bound"] == "process":
        verdict = judge(holding["process"])
        if verdict in GONE:
            return verdict
    return ""


def presence_verdict(identity: Any, me: Any, judge: Judge, *, is_present: bool) -> str:
    """The verdict about a process that says a presence: it counts on every machine, also on clones with one id.

    Args:
        identity: Of the process.
        me: Of whoever asks: only on its own machine, since it was started, `judge` knows better.
        judge: Looks at the process itself.
        is_present: Whether the record of its presence is there.
    """
    is_here = identity.get("boot") == me.get("boot")
    verdict = judge(identity) if is_here else ""
    if verdict in GONE:
        return verdict
    return "live" if is_present else ABSENT


def is_mine(holding: Holding, agent: str, bound: str, process: Any, judge: Judge) -> bool:
    """Whether a hold is the asker's own (see the module text)."""
    if holding["agent"] != agent:
        return False
    if is_same_process(holding["process"], process):
        return True
    return holding["bound"] == "agent" and judge(holding["process"]) in GONE


def is_shown(name: str, held: Holding, asked: Want, agent: str | None, token: int | None) -> bool:
    """Whether a hold of `name` is the one that an agent shows the token of, and has in it all that is asked for.

    A token speaks for the hold that it was given with, and for no other: of two agents, or of two names, the tokens may
    be the same number.
    """
    if token is None or held["agent"] != agent or not holdings.shows_token(held, token):
        return False
    return (held["mode"] == "exclusive" or asked["mode"] == "shared") and pattern.covers(name, asked["name"])


def new_record(name: str) -> LockRecord:
    """The record of a name that nobody has."""
    return {"name": name, "holders": [], "waiters": []}


def check_record(value: dict[str, Any]) -> str:
    """What is wrong with a stored lock record; empty: nothing."""
    if type(value.get("name")) is not str:
        return "name is no text"
    holders, waiters = value.get("holders"), value.get("waiters")
    if not isinstance(holders, list) or not isinstance(waiters, list):
        return "holders or waiters is no list"
    for holding in holders:
        if wrong := holdings.check(holding):
            return f"holder: {wrong}"
    for entry in waiters:
        if not isinstance(entry, dict) or not are_words(entry.get("request"), entry.get("agent"), "-"):
            return "waiter: request or agent is no word"
        if entry.get("mode") not in MODES or type(entry.get("seq")) is not int:
            return "waiter: mode or seq is wrong"
    if len(holders) > 1 and any(h["mode"] == "exclusive" for h in holders):
        return "two holders, one of them exclusive"
    return ""


def check_waiter(value: dict[str, Any]) -> str:
    """What is wrong with a stored waiter; empty: nothing."""
    for field in ("request", "agent", "lease"):
        if not is_word(value.get(field)):
            return f"{field} is no word"
    if value.get("bound") not in BOUNDS or type(value.get("seq")) is not int:
        return "bound or seq is wrong"
    if type(value.get("attended")) is not bool or type(value.get("reason")) is not str:
        return "attended or reason is wrong"
    wants = value.get("wants")
    if not isinstance(wants, list) or not wants or not all(_is_want(want) for want in wants):
        return "wants is no list of names and modes"
    if not leases.is_ttl(value.get("ttl_s")) or not leases.check_moment(value.get("since")):
        return "ttl_s or since is wrong"
    limit = value.get("wait_s_max")
    if limit is not None and (type(limit) not in (int, float) or not 0 <= limit < 1e12):
        return "wait_s_max is no number of seconds"
    blocked_by, handoff = value.get("blocked_by"), value.get("handoff")
    if not isinstance(blocked_by, list) or not all(isinstance(one, dict) for one in blocked_by):
        return "blocked_by is no list of objects"
    if handoff is not None and (not isinstance(handoff, dict) or type(handoff.get("state")) is not str):
        return "handoff has no state"
    if not is_word(value.get("job", "-")) or type(value.get("is_next", True)) is not bool:
        return "job or is_next is wrong"
    return "" if isinstance(value.get("process"), dict) else "process is missing"


def _is_want(value: Any) -> bool:
    if not isinstance(value, dict) or not is_word(value.get("name")) or value.get("mode") not in MODES:
        return False
    return "link" not in value or is_word(value["link"])


def check_wait(wait_s_max: object) -> None:
    """Refuse what is no waiting time; None has no end. Raises UsageError."""
    if wait_s_max is None:
        return
    if type(wait_s_max) not in (int, float) or not 0 <= wait_s_max < 1e9:  # type: ignore[operator]  # it is a number
        raise UsageError(f"a waiting time is a number of seconds from 0, not {wait_s_max!r:.80}")
