"""handoff: ask a holder for its lock; grant, decline.

Protocol: protocol/cli.md, "handoff".
"""

from __future__ import annotations

from latchboard.surface.cli import kind, option, wording
from latchboard.surface.cli.answer import Answer, printable
from latchboard.surface.cli.grammar import Verb, argument, flag
from latchboard.surface.cli.grammar import option as declared

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.clock import Now
    from latchboard.surface.cli.call import Call


def request(  # noqa: PLR0913 - the options of the verb
    call: Call,
    *,
    paths: tuple[str, ...],
    shared: bool,
    glob: bool,
    no_wait: bool,
    wait_s_max: float | None,
    ttl_s: float | None,
    reason: str,
) -> Answer:
    """Ask, and wait for the answer unless told not to."""
    from latchboard.locks import Hold, handoff
    from latchboard.surface.cli.asking import before_waiting
    from latchboard.surface.cli.verb.acquire import held, keep

    agent, locks, began = call.agent, call.board.locks, call.now
    asked = locks.request(
        agent, call.paths(paths, is_glob=glob), shared=shared, bound="agent", ttl_s=ttl_s, reason=reason
    )
    if no_wait:
        outcome = handoff.ask_and_go(locks, asked, wait_s_max=wait_s_max)
    else:
        limit_s = locks.settings.handoff_wait_s if wait_s_max is None else wait_s_max
        outcome = before_waiting(call, asked, limit_s) or handoff.ask(locks, asked, wait_s_max=wait_s_max)
    if isinstance(outcome, Hold):
        keep(call, outcome)
        answer = held(call, outcome, call.again(paths, is_glob=glob), began, shared=shared, ttl_s=asked.ttl_s)
        return Answer({"granted": True, "request": asked.request, **(answer.facts or {})}, answer.lines)
    facts = {"agent": agent, "granted": False, "request": asked.request, "asked": outcome.facts()}
    lines = [f"{printable(agent)} asked for {wording.listing(outcome.names)}; request {asked.request}"]
    for one in outcome.facts():
        lines += [f"  {line}" for line in wording.holder(one, call.now)]
    lines.append("  the answer comes by message: " + call.command("inbox"))
    return Answer(facts, lines)


def list_(call: Call) -> Answer:
    """Who asks this agent for what."""
    from latchboard.locks import handoff

    agent = call.agent
    found = [_shown(waiter) for waiter in handoff.requests(call.board.locks, agent)]
    lines = []
    for one in found:
        lines.append(f"{printable(one['agent'])} asks for {wording.listing(one['names'])}")
        lines.append(f"  since {wording.ago(one['since'], call.now)}; it stands {_how_long(one, call.now)}")
        if one["reason"]:
            lines.append(f"  what for: {printable(one['reason'])}")
        lines.append(f"  hand it over: {call.command('handoff grant', one['request'])}")
        lines.append(f"  keep it:      {call.command('handoff decline', one['request'], '--reason', '...')}")
    return Answer({"agent": agent, "requests": found}, lines or [f"nobody asks {printable(agent)} for anything"])


def grant(call: Call, *, request: str) -> Answer:
    """Let go of everything the request asks for."""
    from latchboard.locks import handoff

    agent = call.agent
    what, whom = _sides(call, agent, request)
    moved = handoff.grant(call.board.locks, request, by=agent)
    if moved:
        line = f"{printable(agent)} handed {what} over to {whom}"
    else:
        line = f"{printable(agent)} let go of its part of {what} for {whom}; other holders are still in the way"
    return Answer({"agent": agent, "request": request, "moved": moved}, [line])


def decline(call: Call, *, request: str, reason: str) -> Answer:
    """Say no."""
    from latchboard.locks import handoff

    agent = call.agent
    what, whom = _sides(call, agent, request)
    handoff.decline(call.board.locks, request, by=agent, reason=reason)
    line = f"{printable(agent)} keeps {what}; {whom} has been told"
    return Answer({"agent": agent, "request": request, "reason": reason}, [line])


def _sides(call: Call, agent: str, request: str) -> tuple[str, str]:
    """What a request asks for and who asks, in words; looked up before the answer ends it."""
    from latchboard.locks import handoff

    for waiter in [] if call.as_json else handoff.requests(call.board.locks, agent):
        if waiter["request"] == request:
            return wording.listing(want["name"] for want in waiter["wants"]), printable(waiter["agent"])
    return f"what {printable(request)} asks for", "whoever asked"


def _how_long(one: dict[str, Any], now: Now) -> str:
    """Until when a request can be answered."""
    if one["wait_s_max"] is None:
        return "until it is answered"
    return f"until {wording.ahead(one['wait_s_max'] - wording.seconds_since(one['since'], now), now)}"


def _shown(waiter: Any) -> dict[str, Any]:
    return {
        "request": waiter["request"],
        "agent": waiter["agent"],
        "names": [want["name"] for want in waiter["wants"]],
        "since": waiter["since"]["at"],
        "wait_s_max": waiter["wait_s_max"],
        "reason": waiter["reason"],
    }


_REQUEST = argument("request", "REQUEST")

VERBS = (
    Verb(
        "handoff request",
        request,
        summary="Ask the holders of some paths to hand them over.",
        text="The holders get a message that says how to answer. When they grant, the lock moves to this agent in one "
        "commit, past everybody in line. Exit status 0: it moved (or, with --no-wait, was asked for). 10: declined, "
        f"or no answer in time.\n\n{option.PATHS_TEXT}",
        parameters=(
            option.PATHS,
            option.SHARED,
            option.GLOB,
            flag("--no-wait", "Ask and return; the answer comes as a message."),
            declared("--wait-s-max", "SECONDS", "How long the request stands. Default: 300.", kind=kind.seconds),
            option.TTL,
            option.REASON,
        ),
        examples=('latchboard handoff request src/a.py --agent builder --reason "the build waits for it"',),
        changes=True,
        waits=True,
    ),
    Verb(
        "handoff list",
        list_,
        summary="List who asks this agent for its locks.",
        examples=("latchboard handoff list --agent planner",),
    ),
    Verb(
        "handoff grant",
        grant,
        summary="Hand over what a request asks for.",
        text="REQUEST is the id that the message and `handoff list` show.",
        parameters=(_REQUEST,),
        examples=("latchboard handoff grant a1b2c3d4.e5f6-1-2 --agent planner",),
        changes=True,
    ),
    Verb(
        "handoff decline",
        decline,
        summary="Keep the lock; whoever asked is told why.",
        text="REQUEST is the id that the message and `handoff list` show.",
        parameters=(_REQUEST, option.REASON),
        examples=('latchboard handoff decline a1b2c3d4.e5f6-1-2 --agent planner --reason "done in ten minutes"',),
        changes=True,
    ),
)
