"""Holding: one holder's part of a lock record, and what entering and leaving it changes; pure.

Law 1. A process-bound entry is counted by its request id: leaving twice, or by a request that never entered, changes
nothing.
Law 2. An agent-bound entry is a claim of the agent itself; however often it is made, it is one, and any request of the
agent gives it back. Only a request that is undone takes back what it alone claimed.
Law 3. A hold lasts until its last entry has left. With a claim in it, it lives by the agent's lease, else by that of
the process.
Law 4. The entries of a process end with it: an agent that goes on in another process finds its claim alone.

A hold of one entry, which nearly every hold is, says so by its `request` and keeps no list.

Protocol: protocol/lock.md, "Holding".
"""

from __future__ import annotations

from latchboard.rules import lease as leases

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.clock import Now
    from latchboard.rules.lock import Holding, Mode, Request

MODES = ("exclusive", "shared")
BOUNDS = ("process", "agent")
WORD_CHARS_MAX = 4200
"""Longest name, agent id, request id or lease id in a record: a path of 4096 bytes, and what stands in front of it."""

CLAIMS_COUNT_MAX = 8
"""So many requests of one process are told apart that claimed a hold; with one more, the claim is `SETTLED`."""
SETTLED = "-"
"""Stands for claims that no request takes back by being undone."""

_PLAIN_FIELDS_COUNT_MAX = 11


def is_same_process(a: Any, b: Any) -> bool:
    """Whether two identities are one process; what is not there is nobody's."""
    if a == b:
        return bool(a)
    return bool(a) and all(a.get(k) == b.get(k) for k in ("pid", "start", "pid_ns", "boot", "host"))


def new(request: Request, mode: Mode, token: int, now: Now) -> Holding:
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


def host_name_of(process: dict[str, Any]) -> dict[str, str]:
    """What an identity says of its machine's name, for people; empty: nothing."""
    name = process.get("host_name")
    return {"host_name": name} if isinstance(name, str) and name else {}


def entries(held: Holding) -> list[str]:
    """Request ids of its process-bound entries."""
    inside = held.get("entries")
    if inside is None:
        return [held["request"]] if held["bound"] == "process" else []
    return inside


def claims(held: Holding) -> list[str]:
    """Request ids that claimed it for the agent and may still be undone; those of a process that is gone are one."""
    if held["bound"] == "process":
        return []
    return held.get("claims") or [held.get("claim", held["request"])]


def is_in(held: Holding, request_id: str, bound: str) -> bool:
    """Whether a request has entered this hold and not left it; of agent-bound requests, whether there is a claim."""
    if bound == "agent":
        return held["bound"] == "agent"
    if "entries" in held:
        return request_id in held["entries"]
    return held["request"] == request_id and held["bound"] == "process"


def entered(held: Holding, request: Request, mode: Mode, token: int, now: Now) -> Holding:
    """A hold after its holder took it once more.

    Shared to exclusive gives a new token and stays until the hold ends; the old token stays good as well, since nobody
    else can have held it in between. The longer lease time counts.
    """
    again: Holding = {**held, "process": request.process}
    inside = entries(held) if is_same_process(held["process"], request.process) else []
    if request.bound == "process":
        inside = inside if request.request in inside else [*inside, request.request]
        if held["bound"] == "agent":
            again["entry_lease"] = request.lease
    elif held["bound"] == "process":
        again["bound"], again["lease"], again["claim"] = "agent", request.lease, request.request
        again["entry_lease"] = held["lease"]
    elif is_same_process(held["process"], request.process):  # else the claim is of a process that undoes nothing more
        _set_claims(again, [*claims(held), request.request])
    if request.ttl_s > held["ttl_s"] or again["lease"] != held["lease"]:
        # Its lease time begins anew: the renewals so far were for a shorter time, or of another lease.
        again["ttl_s"], again["acquired"] = max(request.ttl_s, held["ttl_s"]), leases.moment(now)
    if mode == "exclusive" and held["mode"] == "shared":
        again["first_token"] = held.get("first_token", held["token"])
        again["mode"], again["token"] = "exclusive", token
    return _with_entries(again, inside)


def joined(held: Holding, other: Holding, now: Now) -> Holding:
    """A hold with another one of the same holder in it: a claim that was left by a process that is gone."""
    if other["bound"] == "process":
        return held
    if held["bound"] == "agent":
        return _set_claims({**held}, [*claims(other)[:1], *claims(held)])
    both: Holding = {**held, "bound": "agent", "lease": other["lease"], "claim": other["request"]}
    both["entry_lease"] = held["lease"]
    both["ttl_s"], both["acquired"] = max(held["ttl_s"], other["ttl_s"]), leases.moment(now)
    return _with_entries(both, entries(held))


def left(held: Holding, request_id: str, bound: str, now: Now) -> Holding | None:
    """A hold after an entry that is in it left; None: that was the last one."""
    if held["depth"] == 1:
        return None
    inside = entries(held)
    after: Holding = {**held}
    if bound == "process":
        inside = [entry for entry in inside if entry != request_id]
    else:
        _disclaim(after, now)
    return _with_entries(after, inside)


def undone(held: Holding, request_id: str, now: Now) -> Holding | None:
    """A hold without what this request did to it; the same object if that was nothing, None if it was all."""
    if request_id in entries(held):
        return left(held, request_id, "process", now)
    claimed = claims(held)
    if request_id not in claimed:
        return held
    if len(claimed) > 1:
        return _set_claims({**held}, [one for one in claimed if one != request_id])
    return left(held, request_id, "agent", now)


def is_same_holder(a: Holding, b: Holding) -> bool:
    """Whether two holds, of two names, are of one holder: an agent's claims are, wherever it made them."""
    is_agents = a["bound"] == b["bound"] == "agent"
    return a["agent"] == b["agent"] and (is_agents or is_same_process(a["process"], b["process"]))


def needed(held: Holding, needing: list[Holding], now: Now) -> Holding | None:
    """What is left of the hold of a link while only these holds of paths need it: their entries, their claims."""
    wanted = {entry for one in needing for entry in entries(one)}
    inside = [entry for entry in entries(held) if entry in wanted]
    claimed = [one for path in needing for one in claims(path)] if held["bound"] == "agent" else []
    if not inside and not claimed:
        return None
    after: Holding = {**held}
    if claimed:
        _set_claims(after, claimed)
    elif held["bound"] == "agent":
        _disclaim(after, now)
    return _with_entries(after, inside)


def _disclaim(held: Holding, now: Now) -> None:
    """Leave it to the process alone; it is the caller's own copy."""
    held["bound"], held["lease"] = "process", held.get("entry_lease", held["lease"])
    held["acquired"] = leases.moment(now)
    for field in ("claim", "claims", "entry_lease"):
        held.pop(field, None)  # type: ignore[misc]  # all three may be missing


def shows_token(held: Holding, token: int) -> bool:
    """Whether `token` is one of this hold's (two, after a change from shared to exclusive)."""
    return token in (held["token"], held.get("first_token", held["token"]))


def _with_entries(held: Holding, inside: list[str]) -> Holding:
    """`held` with these entries; it is the caller's own copy."""
    is_claimed = held["bound"] == "agent"
    if inside == ([] if is_claimed else [held["request"]]):
        held.pop("entries", None)
    else:
        held["entries"] = inside
    held["depth"] = len(inside) + is_claimed
    return held


def _set_claims(held: Holding, claimed: list[str]) -> Holding:
    """`held`, claimed by these requests, of which there is one at least; it is the caller's own copy."""
    ids = list(dict.fromkeys(claimed))
    if len(ids) > CLAIMS_COUNT_MAX:
        ids = [SETTLED, ids[-1]]
    if ids == [held.get("claim", held["request"])]:
        held.pop("claims", None)
    else:
        held["claims"] = ids
    return held


def is_word(value: object) -> bool:
    """Whether `value` can be a name or an id in a record: text of 1 to 4200 characters that can be part of a key."""
    if type(value) is not str or not 0 < len(value) <= WORD_CHARS_MAX or "\0" in value:
        return False
    if value.isascii():
        return True
    try:
        return len(value.encode()) <= WORD_CHARS_MAX
    except UnicodeEncodeError:
        return False


def are_words(a: object, b: object, c: object) -> bool:
    """Whether all three can be words; nearly all of them are short and plain, and this is on the hot path."""
    if type(a) is str and type(b) is str and type(c) is str:
        together = a + b + c
        if len(together) <= WORD_CHARS_MAX and together.isascii() and "\0" not in together:
            return bool(a and b and c)
    return is_word(a) and is_word(b) and is_word(c)


def check(value: Any) -> str:
    """What is wrong with a stored holding; empty: nothing."""
    if not isinstance(value, dict):
        return "no object"
    get = value.get
    if not are_words(get("agent"), get("request"), get("lease")):
        return "agent, request or lease is no word"
    if get("mode") not in MODES or get("bound") not in BOUNDS:
        return "mode or bound is unknown"
    if type(get("token")) is not int or type(get("depth")) is not int or type(get("reason")) is not str:
        return "token, depth or reason is wrong"
    if not leases.is_ttl(get("ttl_s")) or not leases.check_moment(get("acquired")):
        return "ttl_s or acquired is wrong"
    if type(get("process")) is not dict:
        return "process is missing"
    if len(value) <= _PLAIN_FIELDS_COUNT_MAX and value["depth"] == 1:
        return ""
    return _check_rare(value)


def _check_rare(value: dict[str, Any]) -> str:
    """Fields that few holdings have."""
    for field in ("claim", "entry_lease", "link"):
        if field in value and not is_word(value[field]):
            return f"{field} is no word"
    if "first_token" in value and type(value["first_token"]) is not int:
        return "first_token is no number"
    inside = value.get("entries", [value["request"]] if value["bound"] == "process" else [])
    if not isinstance(inside, list) or not all(is_word(entry) for entry in inside):
        return "entries is no list of words"
    claimed = value.get("claims", ["-"])
    if not isinstance(claimed, list) or not claimed or not all(is_word(one) for one in claimed):
        return "claims is no list of words"
    if value["depth"] != len(inside) + (value["bound"] == "agent") or value["depth"] < 1:
        return "depth is not the number of entries"
    return ""
