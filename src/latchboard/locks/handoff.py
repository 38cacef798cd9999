"""Handoff: ask a holder for its lock; it grants, declines, or time runs out.

The one who asks stands in line like any waiter, with `handoff` in its record; a grant moves the lock to it in one
commit, past the others in line. The holder hears of it by a message, in the same commit.

Protocol: protocol/lock.md, "Handoff".
"""

from __future__ import annotations

from latchboard.errors import Deadlock, MalformedRecord, UsageError
from latchboard.locks import notices
from latchboard.locks.breaking import break_lock
from latchboard.locks.deadlock import find_cycle, tell_cycle
from latchboard.locks.hold import Hold, Refusal
from latchboard.locks.linked import give_back
from latchboard.locks.looking import waiters, waiters_of
from latchboard.locks.waiting import queue, wait_in_line
from latchboard.rules import holding as holdings
from latchboard.rules import lock as rules
from latchboard.rules.agent import check_agent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.clock import HasFileno
    from latchboard.locks.service import Locks
    from latchboard.locks.table import Table
    from latchboard.rules.lock import Holding, LockRecord, Request, Waiter

__all__ = ["ask", "ask_and_go", "break_lock", "decline", "grant", "is_asked", "requests"]


def ask(locks: Locks, request: Request, *, wait_s_max: float | None = None, cancel: HasFileno | None = None) -> Hold:
    """Ask the holders of everything in `request` to hand it over, and wait for the answer.

    Args:
        locks: The service.
        request: From `Locks.request()`.
        wait_s_max: How long the request stands, seconds; settings.handoff_wait_s when None.
        cancel: Readable when the caller gives up.

    Raises:
        HandoffDeclined: A holder said no, and why.
        WaitEnded: No answer in time.
    """
    return wait_in_line(locks, request, _limit(locks, wait_s_max), cancel, handoff={"state": "asked"})


def ask_and_go(locks: Locks, request: Request, *, wait_s_max: float | None = None) -> Hold | Refusal:
    """Ask and do not wait: the lock arrives when a holder grants or releases it, unless the request's time is up first.

    Only for an agent-bound request: a process-bound one would end with this process.
    """
    if request.bound != "agent":
        raise UsageError("a request that nobody waits for must be bound to the agent", hint='use bound="agent"')
    return locks.transact(
        request.agent,
        lambda table: queue(
            locks, table, request, _limit(locks, wait_s_max), handoff={"state": "asked"}, attended=False
        ),
    )


def requests(locks: Locks, holder: str) -> list[Waiter]:
    """Open handoff requests that an agent can answer now, oldest first: it has a live hold in the way.

    Whom the request found in its way when it was made is of no account: a holder may have come, or gone, since. One
    that meets a record which cannot be read is asked of everybody; whoever answers it is told what is damaged.
    """
    if not any(is_asked(waiter) for waiter in waiters(locks)):
        return []
    table = locks.look("locks/", "waiters/", "wide")
    open_ones = [waiter for waiter in waiters_of(table) if is_asked(waiter) and table.still_waits(waiter)]
    return [waiter for waiter in open_ones if _is_in_the_way(table, waiter, holder)]


def _is_in_the_way(table: Table, waiter: Waiter, holder: str) -> bool:
    try:
        return any(held["agent"] == holder for _, held in _in_the_way(table, rules.of_waiter(waiter)))
    except MalformedRecord:
        return True


def is_asked(waiter: Waiter) -> bool:
    """Whether a waiter has asked for a handoff and has no answer yet."""
    return waiter["handoff"] is not None and waiter["handoff"].get("state") == "asked"


def grant(locks: Locks, request_id: str, *, by: str) -> bool:
    """Hand over what `by` holds of a request, all entries of it.

    True: the asker has everything now. False: other holders are still in the way; what was given went to whoever is
    first in line.

    Raises:
        UsageError: There is no such request any more, or `by` holds nothing of it.
        Deadlock: With the lock in hand the asker would wait for itself. Nothing was changed.
    """
    check_agent(by)
    me = locks.host.me()

    def decide(table: Table) -> bool:
        waiter = _open_request(table, request_id)
        request = rules.of_waiter(waiter)
        given = [(r, h) for r, h in _in_the_way(table, request) if rules.is_mine(h, by, "agent", me, table.judge)]
        if not given:
            raise UsageError(f"{by} holds nothing that {request_id} asks for", hint="look at `latchboard handoff list`")
        freed = [name for record, held in given for name in give_back(table, record["name"], held)]
        left = _in_the_way(table, request)
        if left:
            body = f"{by} let go of {_names(request)}; others still hold it."
        else:
            body = f"{by} handed over {_names(request)}."
            table.delete_waiter(request_id)
            locks.grant(table, request)
            table.granted.append(waiter)
            _refuse_cycle(table, request)
        _answer(table, waiter, by, body, is_open=bool(left))
        table.advance(freed)
        return not left

    return locks.transact(by, decide)


def _refuse_cycle(table: Table, request: Request) -> None:
    """A grant past the others in line may make them wait for somebody who waits for them."""
    for key, _ in table.view.scan("waiters/", damaged=[]):
        try:
            waiter = table.waiter(key[len("waiters/") :])
        except MalformedRecord:
            continue
        if waiter is None or waiter["agent"] != request.agent or not table.still_waits(waiter):
            continue
        cycle = find_cycle(table, rules.of_waiter(waiter), waiter["seq"])
        if cycle:
            raise Deadlock(
                f"with {_names(request)} in hand, {request.agent} would wait for itself: {tell_cycle(cycle)}",
                hint="release it instead: it goes to whoever is first in line",
                cycle=cycle,
            )


def decline(locks: Locks, request_id: str, *, by: str, reason: str = "") -> None:
    """Say no: the asker is told why, and leaves the line.

    Raises:
        UsageError: There is no such request any more, or `by` is not in its way.
    """
    check_agent(by)
    text: object = reason
    if not isinstance(text, str):
        raise UsageError(f"a reason is text, not {text!r:.80}")

    def decide(table: Table) -> None:
        waiter = _open_request(table, request_id)
        request = rules.of_waiter(waiter)
        if all(held["agent"] != by for _, held in _in_the_way(table, request)):
            raise UsageError(f"{by} holds nothing that {request_id} asks for", hint="look at `latchboard handoff list`")
        table.dequeue(waiter)
        if waiter["attended"]:  # its process reads this, then removes it
            table.put_waiter({**waiter, "handoff": {"state": "declined", "by": by, "reason": reason}})
        _answer(table, waiter, by, f"{by} keeps {_names(request)}: {reason or 'no reason given'}.", is_open=False)
        table.advance([want["name"] for want in request.wants])

    locks.transact(by, decide)


def _answer(table: Table, waiter: Waiter, by: str, body: str, *, is_open: bool) -> None:
    """Tell the asker. While its request is open there may be more answers: each has its number."""
    handoff = waiter["handoff"] or {}
    number = handoff.get("answers_count")
    number = number if type(number) is int else 0
    if is_open:
        table.put_waiter({**waiter, "handoff": {**handoff, "answers_count": number + 1}})
    message_id = f"{waiter['request']}-g{number}"
    notices.tell(table, message_id, sender=by, to=waiter["agent"], body=body, urgency="high", thread=waiter["request"])


def _open_request(table: Table, request_id: str) -> Waiter:
    waiter = table.waiter(request_id) if holdings.is_word(request_id) else None
    if waiter is None or not is_asked(waiter) or not table.still_waits(waiter):
        raise UsageError(
            f"no open handoff request {request_id!s:.80}",
            hint="it was granted, declined or given up, or there never was one: look at `latchboard handoff list`",
            request=request_id,
        )
    return waiter


def _in_the_way(table: Table, request: Request) -> list[tuple[LockRecord, Holding]]:
    """Live holds that keep a request from being granted, with their records; whoever waits does not count."""
    return [
        (record, held)
        for want in request.wants
        for record in table.met_by(want["name"])
        for held in record["holders"]
        if rules.conflicts(held["mode"], want["mode"]) and not table.is_mine(held, request) and not table.why_over(held)
    ]


def _names(request: Request) -> str:
    return ", ".join(want["name"] for want in request.wants)


def _limit(locks: Locks, wait_s_max: float | None) -> float:
    rules.check_wait(wait_s_max)
    return locks.settings.handoff_wait_s if wait_s_max is None else wait_s_max
