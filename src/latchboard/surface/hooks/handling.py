"""Handling: what each event does; the same for every client.

Law 1. Nothing is ever allowed by a hook: a call is denied, or nothing is said.
Law 2. Mail is handed over by the one answer of a hook, within the commit that takes it.
Law 3. The end of a turn or of a session is never denied.

Protocol: protocol/editing.md, "Events".
"""

from __future__ import annotations

from latchboard.errors import CoordinationError
from latchboard.surface.hooks.event import Outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from latchboard.compose import Latchboard
    from latchboard.surface.hooks.event import Event
    from latchboard.surface.hooks.project import Place

    Say = Callable[[Outcome], None]

BEFORE = ("before-edit", "before-shell")


def handle(event: Event, place: Place, board: Latchboard, token: int | None, say: Say) -> None:
    """Do what the event asks for, and say what came of it: once, whatever happens behind it.

    Raises:
        CoordinationError: It could not be done; nothing was said.
        OSError: Nobody reads the answer; mail that was in it is still unread.
    """
    if event.kind == "before-edit":
        say(before_edit(event, place, board, token))
    elif event.kind == "before-shell":
        from latchboard.surface.hooks.shell import before_shell

        say(before_shell(event, place, board, token))
    elif event.kind == "edited":
        say(edited(event, place, board, token))
    else:
        from latchboard.surface.hooks.between import after

        after(event, place, board, say)


def before_edit(event: Event, place: Place, board: Latchboard, token: int | None) -> Outcome:
    """Take the files for the agent, or deny."""
    if event.unclear and board.settings.hooks_failure == "closed":
        return Outcome(event.unclear)
    begun = board.editing.begin(event.agent, place.paths(event), reason=f"edit in {event.client}", token=token)
    note = "; ".join(f"latchboard: not locked: {exc.message}" for exc in begun.unnamed)
    if begun.refusal is None:
        return Outcome(note=note)
    return Outcome(denied(event, place, board, begun.refusal.names, begun.refusal.facts(), "edit"), note=note)


def edited(event: Event, place: Place, board: Latchboard, token: int | None) -> Outcome:
    """Take what was written already, and keep it as what it is now; or say who holds it."""
    outcome = before_edit(event, place, board, token)
    if outcome.denial is None:
        board.editing.done(event.agent, place.paths(event))
    return outcome


def denied(
    event: Event, place: Place, board: Latchboard, names: list[str], facts: list[dict[str, Any]], call: str
) -> str:
    """The text of a denial."""
    from latchboard.surface.hooks import denial

    asked = denial.Asked(event.agent, names, root=place.root, cwd=place.cwd, call=call)
    return denial.held(asked, facts, board.clock.now())


def unreadable(event: Event, place: Place | None, exc: CoordinationError) -> str:
    """The text for a call of which nothing can be told."""
    from latchboard.surface.hooks import denial

    root, cwd = (place.root, place.cwd) if place else ("/", "/")
    call = "edit" if event.kind == "before-edit" else "command"
    asked = denial.Asked(event.agent, list(event.paths), root=root, cwd=cwd, call=call)
    return denial.unreadable(asked, exc.message, exc.hint)
