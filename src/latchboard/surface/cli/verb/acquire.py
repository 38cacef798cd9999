"""acquire: lock paths, all or nothing, bound to the agent: the hold outlives this command.

Protocol: protocol/cli.md, "acquire".
"""

from __future__ import annotations

from latchboard.surface.cli import asking, option, wording
from latchboard.surface.cli.answer import Answer, printable
from latchboard.surface.cli.grammar import Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.clock import Now
    from latchboard.locks.hold import Hold
    from latchboard.surface.cli.call import Call


def run(  # noqa: PLR0913 - the options of the verb
    call: Call,
    *,
    paths: tuple[str, ...],
    shared: bool,
    glob: bool,
    wait_s_max: float,
    ttl_s: float | None,
    reason: str,
    token: int | None,
) -> Answer:
    """Ask, wait if told to, and say what is held."""
    agent, locks = call.agent, call.board.locks
    asked = call.paths(paths, is_glob=glob)
    began = call.now
    lasts_s = locks.settings.lease_ttl_s if ttl_s is None else ttl_s

    def take(rest: list[str]) -> Hold:
        request = locks.request(agent, rest, shared=shared, bound="agent", ttl_s=ttl_s, reason=reason)
        hold = asking.before_waiting(call, request, wait_s_max) or locks.acquire(request, wait_s_max=wait_s_max)
        keep(call, hold)
        return hold

    token = call.token_if_any(token)
    if token is None:
        return held(call, take(asked), call.again(paths, is_glob=glob), began, shared=shared, ttl_s=lasts_s)
    from latchboard.locks import lent

    hold, borrowed = lent.acquire(locks, asked, take, agent=agent, token=token, shared=shared)
    if hold is not None and not borrowed:
        return held(call, hold, call.again(paths, is_glob=glob), began, shared=shared, ttl_s=lasts_s)
    return _held_with(call, hold, borrowed, shared=shared, ttl_s=lasts_s)


def _held_with(call: Call, hold: Hold | None, lent: dict[str, int], *, shared: bool, ttl_s: float) -> Answer:
    """The answer where a part of it, or all, is held already by whoever gave us the token."""
    own = {} if hold is None else hold.tokens
    facts: dict[str, Any] = {
        "agent": call.agent,
        "mode": "shared" if shared else "exclusive",
        "locks": [{"name": name, "token": token} for name, token in {**lent, **own}.items()],
        "token": max({**lent, **own}.values()),
        "ttl_s": ttl_s,
        "waited_s": 0.0 if hold is None else round(hold.waited_s, 3),
        "lent": list(lent),
    }
    agent = printable(call.agent)
    lines = [f"{agent} holds {printable(name)} already (token {token})" for name, token in lent.items()]
    lines += [f"{agent} holds {printable(name)} (token {token})" for name, token in own.items()]
    if own:
        lines.append(f"  give it back: {call.command('release', *map(call.typed, own))}")
    return Answer(facts, lines)


def keep(call: Call, hold: Hold) -> None:
    """Give a hold back at once if a signal came while it was granted: whoever ended us does not expect to have it."""
    try:
        call.check_signals()
    except BaseException:
        hold.release()
        raise


def held(call: Call, hold: Hold, typed: list[str], began: Now, *, shared: bool, ttl_s: float) -> Answer:
    """The answer of whatever ended with a hold of the agent's; `began`: when it was asked for."""
    facts: dict[str, Any] = {
        "agent": hold.agent,
        "mode": "shared" if shared else "exclusive",
        "locks": [{"name": name, "token": token} for name, token in hold.tokens.items()],
        "token": hold.token,
        "ttl_s": ttl_s,
        "waited_s": round(hold.waited_s, 3),
    }
    if call.as_json:
        return Answer(facts)
    lines, taken = _held_names(call, hold, began, "shares" if shared else "holds")
    lines.append(f"  {taken}it ends {wording.span(ttl_s)} after its last renewal")
    lines.append(f"  give it back: {call.command('release', *map(wording.no_option, typed))}")
    return Answer(facts, lines)


def _held_names(call: Call, hold: Hold, began: Now, how: str) -> tuple[list[str], str]:
    """A line for each name, and whether, and after how long in line, anything was taken."""
    asking.note_outside(call, hold.names)
    before = asking.had_before(call, hold, began)
    lines = []
    for name, token in hold.tokens.items():
        already = f", already held since {wording.ago(before[name], began)}" if name in before else ""
        lines.append(f"{printable(hold.agent)} {how} {printable(name)} (token {token}){already}")
    waited = f" after {wording.span(hold.waited_s)} in line" if hold.waited_s >= 1 else ""
    return lines, "" if len(before) == len(hold.tokens) else f"taken{waited}; "


VERBS = (
    Verb(
        "acquire",
        run,
        summary="Lock files, folders or patterns, all of them or none.",
        text="The hold belongs to the agent and outlives this command. It ends when it is released, or when its lease "
        "was not renewed for --ttl-s seconds; every acquire, renew and update of the agent renews it. Taking again "
        f"what one has is fine.\n\n{option.PATHS_TEXT}",
        parameters=(option.PATHS, option.SHARED, option.GLOB, option.WAIT, option.TTL, option.REASON, option.SHOWN),
        examples=(
            'latchboard acquire src/a.py --agent planner --reason "split the parser"',
            "latchboard acquire src/ docs/x.md --agent planner --wait-s-max 60",
        ),
        changes=True,
        waits=True,
    ),
)
