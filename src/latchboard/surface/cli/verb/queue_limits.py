"""queue limits: how many jobs may be in progress of each role and in all; shown, or changed.

Protocol: protocol/cli.md, "queue limits".
"""

from __future__ import annotations

from latchboard.errors import UsageError
from latchboard.rules import workqueue as rules
from latchboard.surface.cli import kind
from latchboard.surface.cli.answer import Answer
from latchboard.surface.cli.grammar import Verb, argument, option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.surface.cli.call import Call


def limits(call: Call, *, limits: tuple[str, ...], total: str | None) -> Answer:
    """Show them; with words, change them first."""
    queue = call.board.queue
    changed = dict(_limit(word) for word in limits)
    if changed or total is not None:
        said: dict[str, Any] = {} if total is None else {"total": None if total == "none" else _number(total)}
        queue.set_limits(by=call.agent, roles=changed, **said)
        call.commits = True
    facts = queue.limits()
    lines = [f"{role}: {one['in_progress']} of {one['limit']} in progress" for role, one in facts["roles"].items()]
    lines.append(f"every other role: {rules.WIP_LIMIT_OTHERS}")
    all_of_them = "no limit" if facts["total"] is None else f"of {facts['total']}"
    lines.append(f"in all: {facts['in_progress']}, {all_of_them}")
    return Answer(facts, lines)


def _limit(word: str) -> tuple[str, int | None]:
    role, _, number = word.partition("=")
    return rules.check_role(role), None if number == "default" else _number(number)


def _number(text: str) -> int:
    try:
        found = kind.number(text)
    except ValueError as exc:
        raise UsageError(str(exc), hint="such as builder=4, or builder=default") from exc
    if found > rules.WIP_LIMIT_MAX:
        raise UsageError(f"{found} is more than {rules.WIP_LIMIT_MAX}, the highest limit there is")
    return found


VERBS = (
    Verb(
        "queue limits",
        limits,
        summary="Show or set how many jobs may be in progress of each role, and in all.",
        text="ROLE=N sets a limit, 0 stops the role, ROLE=default gives it the one it had at first. What is in "
        "progress goes on, also where it is more.",
        parameters=(
            argument("limits", "[ROLE=N...]", count="any"),
            option("--total", "N", "Of all roles together; `none`: as many as the roles may have."),
        ),
        examples=("latchboard queue limits", "latchboard queue limits builder=4 tester=2 --total 6 --agent lead"),
    ),
)
