"""Lease: a hold that ends unless renewed; pure arithmetic on records, `now` is an argument.

Law 1. A hold ends `ttl_s` after it was acquired, or after the last renewal of its lease if no pause between two
renewals since was as long as that.
Law 2. An expired hold never comes back, not even by a renewal in the instant in which it ends.
Law 3. Within one boot ages are monotonic; across a reboot they are by the wall clock and never below zero.

Law 1 lets one write renew however many locks a holder has, whatever their lease times are: a lease keeps since when
it was renewed without a longer pause than so many seconds, for every length of pause that matters (`chains`).

Protocol: protocol/lock.md, "Leases". Gray & Cheriton 1989; etcd and Chubby renew per session, not per lock.
"""

from __future__ import annotations

from latchboard.clock import iso, parse_iso
from latchboard.errors import UsageError

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
        """Since when a lease was renewed without a pause longer than `ttl_s`; covers every longer lease time."""

        ttl_s: float
        since: Moment

    class Lease(TypedDict):
        """One holder's lease; covers every hold that names it.

        `ttl_s` is the longest lease time that a renewal was for; a hold may have a longer one. The chains are in the
        order of `since`; each has a shorter pause than the one before it, the last has none.
        """

        agent: str
        bound: str
        process: dict[str, Any]
        ttl_s: float
        renewed: Moment
        chains: list[Chain]


CHAINS_COUNT_MAX = 32
"""Renewals with ever shorter pauses make a chain each. Random ones leave about the logarithm of their number; this
bounds the rest. A chain that is left out shortens what the lease covers, never lengthens it."""


def moment(now: Now) -> Moment:
    """`now` as records keep it: both times to the microsecond, so that records of one kind are of one length."""
    return {"at": iso(now.wall_s), "mono_s": round(now.mono_s, 6), "boot": now.boot}


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
    if lease is None or not is_covered(acquired, ttl_s, lease):
        return own
    return max(own, ttl_s - age_s(lease["renewed"], now))


def runs_from(acquired: Moment, ttl_s: float, lease: Lease | None) -> Moment:
    """The instant that a hold's lease time runs from: a renewal that covers it, or its own beginning."""
    if lease is not None and is_covered(acquired, ttl_s, lease) and seconds_between(acquired, lease["renewed"]) > 0:
        return lease["renewed"]
    return acquired


def is_covered(acquired: Moment, ttl_s: float, lease: Lease) -> bool:
    """Whether the last renewal of the lease counts for a hold: it was alive at each renewal since it was acquired."""
    for chain in lease["chains"]:
        if chain["ttl_s"] < ttl_s:
            return seconds_between(acquired, chain["since"]) < ttl_s
    return False


def renewed(lease: Lease | None, now: Now, ttl_s: float, *, agent: str, bound: str, process: Any) -> Lease:
    """The lease after a renewal at `now` by somebody who holds for `ttl_s`."""
    at = moment(now)
    newest: Chain = {"ttl_s": 0.0, "since": at}
    if lease is None:
        return {
            "agent": agent,
            "bound": bound,
            "process": process,
            "ttl_s": ttl_s,
            "renewed": at,
            "chains": [newest],
        }
    pause_s = age_s(lease["renewed"], now)
    chains = [chain for chain in lease["chains"] if chain["ttl_s"] > pause_s]
    if len(chains) < len(lease["chains"]):  # all the others have now had this pause; the oldest of them says it all
        chains.append({"ttl_s": pause_s, "since": lease["chains"][len(chains)]["since"]})
    if not chains or chains[-1]["ttl_s"] > 0:
        chains.append(newest)
    if len(chains) > CHAINS_COUNT_MAX:
        del chains[1]
    longest_s = max(ttl_s, 0.0 if is_over(lease, now) else lease["ttl_s"])
    return {**lease, "process": process, "ttl_s": longest_s, "renewed": at, "chains": chains}


def is_over(lease: Lease, now: Now) -> bool:
    """Whether all that this lease was renewed for has ended; a hold for a longer time may still live by it."""
    return age_s(lease["renewed"], now) >= lease["ttl_s"]


def check_moment(value: object) -> bool:
    """Whether `value` has the shape of a moment."""
    if not isinstance(value, dict) or type(value.get("boot")) is not str or type(value.get("at")) is not str:
        return False
    mono: Any = value.get("mono_s")
    return type(mono) in (float, int) and -1e12 < mono < 1e12


def check_lease(value: dict[str, Any]) -> str:
    """What is wrong with a stored lease; empty: nothing."""
    if not check_moment(value.get("renewed")) or not is_ttl(value.get("ttl_s")):
        return "renewed or ttl_s is wrong"
    chains = value.get("chains")
    if not isinstance(chains, list):
        return "chains is no list"
    for chain in chains:
        if not isinstance(chain, dict) or not check_moment(chain.get("since")):
            return "a chain cannot be read"
        if chain.get("ttl_s") != 0 and not is_ttl(chain.get("ttl_s")):
            return "a chain cannot be read"
    if not isinstance(value.get("agent"), str) or value.get("bound") not in ("process", "agent"):
        return "agent or bound is wrong"
    return "" if isinstance(value.get("process"), dict) else "process is missing"


def is_ttl(value: object) -> bool:
    """Whether `value` is a number of seconds above zero."""
    return type(value) in (int, float) and 0 < value < 1e12  # type: ignore[operator]  # it is a number


def check_ttl(ttl_s: object) -> None:
    """Refuse what is no lease time. Raises UsageError."""
    if not is_ttl(ttl_s):
        raise UsageError(f"a lease time is a number of seconds above zero, not {ttl_s!r:.80}")
