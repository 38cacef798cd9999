"""history: what happened to locks and files, as far back as the journal is kept; changes nothing.

Protocol: protocol/cli.md, "history".
"""

from __future__ import annotations

from latchboard.surface.cli import option, telling, wording
from latchboard.surface.cli.answer import Answer, printable
from latchboard.surface.cli.grammar import Verb, argument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.surface.cli.call import Call


def run(call: Call, *, paths: tuple[str, ...], limit: int | None) -> Answer:
    """Read the journal, oldest first."""
    board = call.board.board
    names = call.board.locks.names(call.paths(paths)) if paths else []
    found = [board.history(name, call.named_agent, limit) for name in names] or [
        board.history(None, call.named_agent, limit)
    ]
    events = found[0]
    for more in found[1:]:  # a file with several hard links has several names
        events += [event for event in more if event not in events]
    events.sort(key=lambda event: event["revision"])
    facts = {"names": names, "agent": call.named_agent, "events": events}
    now = call.now
    what = f" to {wording.listing(names)}" if names else ""
    whose = "" if call.named_agent is None else f", of {printable(call.named_agent)} alone"
    nothing = f"nothing has happened{what}, as far as is kept{whose}"
    return Answer(facts, [telling.line(event, now) for event in events] or [nothing])


VERBS = (
    Verb(
        "history",
        run,
        summary="Tell what happened to locks and files, oldest first.",
        text="With PATH, what concerned it, also through a folder or pattern. With --agent, what that agent did or "
        "lost. As far back as the journal is kept.",
        parameters=(argument("paths", "[PATH...]", count="any"), option.LIMIT),
        examples=("latchboard history src/a.py --limit 20", "latchboard history --agent planner --json"),
    ),
)
