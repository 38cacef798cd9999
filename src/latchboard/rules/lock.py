"""Lock: who holds a name, who waits for it, and what a request changes; pure.

Law 1. At most one holder, or any number of shared ones. Over is over: expired, or bound to a process that is provably
gone.
Law 2. Whoever asks later waits behind whoever waits already and conflicts: no starvation, also not of a request for
many names.
Law 3. Gone is a verdict that was given to us, never a guess: "unknowable" counts as alive.
Law 4. A record that does not have the shape below is malformed; it is never "free".

The holder of a process-bound hold is the agent in that process. The holder of an agent-bound hold is the agent; but
while the process that
took it lives, it is the agent in that process ("same id from another process refused").

Record `locks/<name>`: {"name", "holders": [holding], "waiters": [entry]}; it is there while it has one of either.

Protocol: protocol/lock.md.
"""

from __future__ import annotations

from latchboard.rules import lease as leases

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
        """One holder of one name."""

        agent: str
        mode: Mode
        bound: Bound
        token: int
        first_token: NotRequired[int]
        request: str
        acquired: leases.Moment
        ttl_s: float
        lease: str
        depth: int
        reason: str
        process: dict[str, Any]

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


GONE = ("dead", "recycled")
_MODES = ("exclusive", "shared")
_BOUNDS = ("process", "agent")


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
        request: Id, never used twice; a retry finds its own grant by it (failures 3.31).
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


def is_same_process(a: Any, b: Any) -> bool:
    """Whether two identities are one process; what is not there is nobody's."""
    if a == b:
        return bool(a)
    return bool(a) and all(a.get(k) == b.get(k) for k in ("pid", "start", "pid_ns", "boot", "host"))


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


def is_mine(holding: Holding, agent: str, bound: str, process: Any, judge: Judge) -> bool:
    """Whether a hold is the asker's own (see the module text)."""
    if holding["agent"] != agent:
        return False
    if is_same_process(holding["process"], process):
        return True
    return holding["bound"] == "agent" and judge(holding["process"]) in GONE


def new_record(name: str) -> LockRecord:
    """The record of a name that nobody has."""
    return {"name": name, "holders": [], "waiters": []}


def new_holding(request: Request, mode: Mode, token: int, now: Now) -> Holding:
    """What a grant writes."""
    return {
        "agent": request.agent,
        "mode": mode,
        "bound": request.bound,
        "token": token,
        "request": request.request,
        "acquired": leases.moment(now),
        "ttl_s": request.ttl_s,
        "lease": request.lease,
        "depth": 1,
        "reason": request.reason,
        "process": request.process,
    }


def entered_again(held: Holding, request: Request, mode: Mode, token: int) -> Holding:
    """A hold after its holder took it once more.

    Agent-bound again is idempotent; anything else is counted. Shared to exclusive gives a new token; the old one
    stays good until
    the hold ends, since nobody else can have held it in between.
    """
    again: Holding = {**held, "process": request.process}
    if not (held["bound"] == "agent" and request.bound == "agent"):
        again["depth"] = held["depth"] + 1
    if request.bound == "agent" and held["bound"] == "process":
        again["bound"], again["lease"], again["ttl_s"] = "agent", request.lease, request.ttl_s
    if mode == "exclusive" and held["mode"] == "shared":
        again["first_token"] = held.get("first_token", held["token"])
        again["mode"], again["token"] = "exclusive", token
    return again


def shows_token(holding: Holding, token: int) -> bool:
    """Whether `token` is one of this hold's (two, after a change from shared to exclusive)."""
    return token in (holding["token"], holding.get("first_token", holding["token"]))


def check_record(value: dict[str, Any]) -> str:
    """What is wrong with a stored lock record; empty: nothing."""
    if not isinstance(value.get("name"), str):
        return "name is missing"
    holders, waiters = value.get("holders"), value.get("waiters")
    if not isinstance(holders, list) or not isinstance(waiters, list):
        return "holders or waiters is no list"
    for holding in holders:
        if wrong := _check_holding(holding):
            return f"holder: {wrong}"
    for entry in waiters:
        if not isinstance(entry, dict) or not all(isinstance(entry.get(k), str) for k in ("request", "agent")):
            return "waiter: request or agent is missing"
        if entry.get("mode") not in _MODES or not isinstance(entry.get("seq"), int):
            return "waiter: mode or seq is wrong"
    if len(holders) > 1 and any(h["mode"] == "exclusive" for h in holders):
        return "two holders, one of them exclusive"
    return ""


def _check_holding(value: Any) -> str:
    if not isinstance(value, dict):
        return "no object"
    get = value.get
    for field in ("agent", "request", "lease", "reason"):
        if type(get(field)) is not str:
            return f"{field} is no text"
    if value.get("mode") not in _MODES or value.get("bound") not in _BOUNDS:
        return "mode or bound is unknown"
    if type(value.get("token")) is not int or type(value.get("depth")) is not int or value["depth"] < 1:
        return "token or depth is wrong"
    if not leases.is_ttl(value.get("ttl_s")) or not leases.check_moment(value.get("acquired")):
        return "ttl_s or acquired is wrong"
    return "" if isinstance(value.get("process"), dict) else "process is missing"


def check_waiter(value: dict[str, Any]) -> str:
    """What is wrong with a stored waiter; empty: nothing."""
    for field in ("request", "agent", "lease", "reason"):
        if not isinstance(value.get(field), str):
            return f"{field} is no text"
    if value.get("bound") not in _BOUNDS or type(value.get("seq")) is not int:
        return "bound or seq is wrong"
    if type(value.get("attended")) is not bool:
        return "attended is neither true nor false"
    wants = value.get("wants")
    if not isinstance(wants, list) or not wants:
        return "wants is no list"
    if not all(isinstance(w, dict) and isinstance(w.get("name"), str) and w.get("mode") in _MODES for w in wants):
        return "a want cannot be read"
    if not leases.is_ttl(value.get("ttl_s")) or not leases.check_moment(value.get("since")):
        return "ttl_s or since is wrong"
    if not isinstance(value.get("blocked_by"), list) or not isinstance(value.get("handoff"), dict | None):
        return "blocked_by or handoff is wrong"
    return "" if isinstance(value.get("process"), dict) else "process is missing"
