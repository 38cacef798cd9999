"""update: say what an agent is doing; a sign of life, and a renewal of its lease.

Protocol: protocol/cli.md, "update".
"""

from __future__ import annotations

from latchboard.surface.cli.answer import Answer, printable
from latchboard.surface.cli.grammar import Verb, argument
from latchboard.surface.cli.wording import listing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.surface.cli.call import Call


def run(call: Call, *, status: str, files: tuple[str, ...]) -> Answer:
    """Put it on the board."""
    agent = call.agent
    names = call.board.locks.names(call.paths(files)) if files else []
    call.board.board.update(agent, status, names)
    works_on = f" on {listing(names)}" if names else ""
    return Answer(
        {"agent": agent, "status": status, "files": names}, [f"{printable(agent)}: {printable(status)}{works_on}"]
    )


VERBS = (
    Verb(
        "update",
        run,
        summary="Say on the board what an agent is doing.",
        text="Renews the agent's lease, too. FILES are for people and for `check_conflicts`; nothing is locked.",
        parameters=(argument("status", "STATUS"), argument("files", "[FILE...]", count="any")),
        examples=('latchboard update "splitting the parser" src/a.py --agent planner',),
        changes=True,
    ),
)
