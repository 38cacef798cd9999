"""Lease: a hold that ends unless renewed; pure arithmetic on records, `now` is an argument.

Law 1. A hold ends `ttl_s` after it was acquired, or after the last renewal of its lease if that lease was alive
without a gap since.
Law 2. An expired hold never comes back: a renewal after a gap longer than the ttl starts a new chain, which covers
only younger holds.
Law 3. Within one boot ages are monotonic; across a reboot they are by the wall clock and never below zero.

Law 1 lets one write renew however many locks a holder has.

Protocol: protocol/lock.md, "Leases". Gray & Cheriton 1989; etcd and Chubby renew per session, not per lock.
"""

from __future__ import annotations

from latchboard.clock import iso, parse_iso

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypedDict

    from latchboard.clock import Now

    class Moment(TypedDict):
        """An instant as records keep it: for people, and for ages."""

        at: str
        mono_s: float
        boot: str

    class Chain(TypedDict):
        """Since when a lease was renewed without a gap longer than `ttl_s`."""

        ttl_s: float
        since: Moment

    class Lease(TypedDict):
        """One holder's lease; covers every hold that names it."""

        agent: str
        bound: str
        process: dict[str, Any]
        renewed: Moment
        chains: list[Chain]


NEVER_S = 1e18


def moment(now: Now) -> Moment:
    """`now` as records keep it."""
    return {"at": iso(now.wall_s), "mono_s": now.mono_s, "boot": now.boot}


def age_s(then: Moment, now: Now) -> float:
    """Seconds from `then` to `now`, never below zero."""
    same_boot = then["boot"] == now.boot
    age = now.mono_s - then["mono_s"] if same_boot else now.wall_s - _wall_s(then, now.wall_s)
    return age if age > 0 else 0.0


def seconds_between(earlier: Moment, later: Moment) -> float:
    """Seconds from one moment to another; below zero when they are in the other order."""
    if earlier["boot"] == later["boot"]:
        return later["mono_s"] - earlier["mono_s"]
    return _wall_s(later, 0.0) - _wall_s(earlier, 0.0)


def _wall_s(then: Moment, unreadable_s: float) -> float:
    """The wall time of a moment. One that cannot be read has age zero: it expires nobody."""
    try:
        return parse_iso(then["at"])
    except ValueError:
        return unreadable_s


def remaining_s(acquired: Moment, ttl_s: float, lease: Lease | None, now: Now) -> float:
    """How long a hold still lasts; zero or less: expired."""
    own = ttl_s - age_s(acquired, now)
    if lease is None:
        return own
    for chain in lease["chains"]:
        if chain["ttl_s"] == ttl_s and seconds_between(acquired, chain["since"]) <= ttl_s:
            return max(own, ttl_s - age_s(lease["renewed"], now))
    return own


def renewed(lease: Lease | None, now: Now, ttl_s: float, *, agent: str, bound: str, process: Any) -> Lease:
    """The lease after a renewal at `now`, with a chain for `ttl_s` in it."""
    at = moment(now)
    if lease is None:
        chains: list[Chain] = [{"ttl_s": ttl_s, "since": at}]
        return {"agent": agent, "bound": bound, "process": process, "renewed": at, "chains": chains}
    gap_s = age_s(lease["renewed"], now)
    chains = [c if gap_s <= c["ttl_s"] else {"ttl_s": c["ttl_s"], "since": at} for c in lease["chains"]]
    if not any(c["ttl_s"] == ttl_s for c in chains):
        chains.append({"ttl_s": ttl_s, "since": at})
    return {**lease, "process": process, "renewed": at, "chains": chains}


def is_over(lease: Lease, now: Now) -> bool:
    """Whether nothing can be covered by this lease any more, so that its record may go."""
    return age_s(lease["renewed"], now) > max((c["ttl_s"] for c in lease["chains"]), default=0.0)


def check_moment(value: object) -> bool:
    """Whether `value` has the shape of a moment."""
    if not isinstance(value, dict) or type(value.get("boot")) is not str or type(value.get("at")) is not str:
        return False
    mono = value.get("mono_s")
    return type(mono) in (float, int) and mono == mono


def check_lease(value: dict[str, Any]) -> str:
    """What is wrong with a stored lease; empty: nothing."""
    if not check_moment(value.get("renewed")):
        return "renewed is no moment"
    chains = value.get("chains")
    if not isinstance(chains, list):
        return "chains is no list"
    for chain in chains:
        if not isinstance(chain, dict) or not is_ttl(chain.get("ttl_s")) or not check_moment(chain.get("since")):
            return "a chain cannot be read"
    return "" if isinstance(value.get("agent"), str) else "agent is missing"


def is_ttl(value: object) -> bool:
    """Whether `value` is a number of seconds above zero."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e12
