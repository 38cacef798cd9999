"""Shell: before a shell call: what was changed so far is not its doing; what it plainly writes is taken, or denied.

Protocol: protocol/editing.md, "Shell calls".
"""

from __future__ import annotations

from latchboard.errors import CoordinationError
from latchboard.surface.hooks.event import Outcome
from latchboard.surface.hooks.handling import denied

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.compose import Latchboard
    from latchboard.surface.hooks.event import Event
    from latchboard.surface.hooks.project import Place


def before_shell(event: Event, place: Place, board: Latchboard, token: int | None) -> Outcome:
    """Deny what plainly writes a file that another agent holds; take the files that it names.

    What was changed so far is looked for last: it begins the call, and a denied call does not begin.
    """
    patched = place.paths(event)
    named = [*patched, *board.shell.writes(event.command, place.cwd, place.stands_for)]
    facts = board.editing.blocked(event.agent, named, token=token) if named else []
    if facts:
        names = list(dict.fromkeys(str(fact["asked"]) for fact in facts))
        return Outcome(denied(event, place, board, names, facts, "command"))
    try:
        taken = [*patched, *map(place.stands_for, board.shell.files(event.command, place.cwd))]
        passing = board.editing.not_held(event.agent, board.shell.of_git(event.command, place.cwd))
        reason = f"shell call in {event.client}"
        begun = board.editing.begin(event.agent, [*taken, *passing], reason=reason, token=token, opens=False)
        if begun.refusal is not None:  # somebody was faster
            return Outcome(denied(event, place, board, begun.refusal.names, begun.refusal.facts(), "command"))
        board.foreign.before_call(event.agent, passing=[name for name in passing if name in begun.tokens])
    except CoordinationError as exc:  # a full disk, say: the call may be what frees some space
        return Outcome(note=f"latchboard: files are not watched during this call: {exc.message}")
    return Outcome()
