"""check: who would be in the way of locking some paths; changes nothing.

Protocol: protocol/cli.md, "check".
"""

from __future__ import annotations

from latchboard.surface.cli import option, wording
from latchboard.surface.cli.answer import Answer, printable
from latchboard.surface.cli.grammar import Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.surface.cli.call import Call

HELD = 10
"""Exit status when somebody is in the way."""


def run(call: Call, *, paths: tuple[str, ...], shared: bool, glob: bool, token: int | None) -> Answer:
    """Ask, and say who."""
    locks = call.board.locks
    asked = call.paths(paths, is_glob=glob)
    names = locks.names(asked)
    held = locks.check(asked, agent=call.agent_if_any, shared=shared, token=call.token_if_any(token))
    facts = {"free": not held, "names": names, "held": held}
    return Answer(facts, [] if call.as_json else _lines(call, names, held), status=HELD if held else 0)


def _lines(call: Call, names: list[str], held: list[dict[str, Any]]) -> list[str]:
    in_the_way = {one["asked"] for one in held}
    agent = call.agent_if_any
    free = f"free for {printable(agent)}" if agent else "free"
    lines = [f"{printable(name)}: {free}" for name in names if name not in in_the_way]
    for one in held:
        covers = "" if one["name"] == one["asked"] else f" (by its hold of {printable(one['name'])})"
        first, *more = wording.holder(one, call.now)
        lines += [f"{printable(one['asked'])}: {first}{covers}", *(f"  {line}" for line in more)]
    return lines


VERBS = (
    Verb(
        "check",
        run,
        summary="Say who is in the way of locking some paths; change nothing.",
        text="Exit status 0: all of them are free, or yours. 10: at least one is held by somebody else.\n\n"
        f"{option.PATHS_TEXT}",
        parameters=(option.PATHS, option.SHARED, option.GLOB, option.SHOWN),
        examples=("latchboard check src/a.py", "latchboard check src/ --agent planner --json"),
    ),
)
