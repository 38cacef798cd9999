"""renew: start the agent's lease anew; one renewal covers everything it holds.

Protocol: protocol/cli.md, "renew".
"""

from __future__ import annotations

from latchboard.surface.cli import option, wording
from latchboard.surface.cli.answer import Answer, printable
from latchboard.surface.cli.grammar import Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.surface.cli.call import Call

LOST = 11
"""Exit status when something named is not held any more."""


def run(call: Call, *, paths: tuple[str, ...], glob: bool, ttl_s: float | None) -> Answer:
    """Renew, then look whether what was named is still held."""
    agent, locks = call.agent, call.board.locks
    asked = call.paths(paths, is_glob=glob)
    names = locks.names(asked) if asked else []
    locks.renew_agent(agent, ttl_s=ttl_s)
    ttl_s = call.board.settings.lease_ttl_s if ttl_s is None else ttl_s
    held = [one for one in locks.check(asked) if one["agent"] == agent] if asked else []
    lost = [name for name in names if not any(one["asked"] == name for one in held)]
    facts = {"agent": agent, "ttl_s": ttl_s, "held": held, "lost": lost}
    lines = [f"{printable(agent)} renewed its lease for {wording.span(ttl_s)}"]
    lines += [f"  still holds {printable(one['name'])} (token {one['token']})" for one in held]
    for name in lost:
        lines.append(f"  does not hold {printable(name)} (any more): stop writing to it")
    if lost:
        lines.append(f"  read it again, then: {call.command('acquire', *call.again(paths, is_glob=glob))}")
    return Answer(facts, lines, status=LOST if lost else 0)


VERBS = (
    Verb(
        "renew",
        run,
        summary="Renew the lease of everything an agent holds.",
        text="A hold that ran out does not come back: name PATHs to be told. Exit status 0: renewed, and all of PATH "
        "is held. 11: renewed, but at least one PATH is not held any more.",
        parameters=(option.PATHS_IF_ANY, option.GLOB, option.TTL),
        examples=("latchboard renew --agent planner", "latchboard renew src/a.py --agent planner"),
        changes=True,
    ),
)
