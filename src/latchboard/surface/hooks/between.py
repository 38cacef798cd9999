"""Between: what the events do that stop nothing: beginnings, ends, and the time behind a call.

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

_MAY_WRITE = ("mcp__", "mcp_", "MCP:")
"""Tools of other servers begin so: they may have written what the agent holds. A client's own others only read."""


def after(event: Event, place: Place, board: Latchboard, say: Say) -> None:
    """Do what the event asks for, then hand over mail if its answer can reach the model."""
    told = Outcome()
    if event.kind == "session-start":
        told = _session_start(event, board)
    elif event.kind in ("turn-end", "subagent-end", "session-end"):
        told = _end(event, board)
    elif event.kind == "after-edit":
        board.editing.done(event.agent, place.paths(event))
    elif event.kind == "after-shell":
        board.foreign.after_call(event.agent, event.command)
        board.editing.done(event.agent)
    elif event.kind == "failed":
        board.editing.done(event.agent)
    elif event.kind == "after-other" and event.tool.startswith(_MAY_WRITE):
        board.editing.done(event.agent, ends=False)  # nothing was noted before it
    elif event.kind == "prompt":
        board.editing.begin_turn(event.agent)
    elif event.kind == "after-other":
        board.editing.renew(event.agent)
    if event.kind in ("prompt", "after-edit", "after-shell", "after-other"):
        _beat(event, board)
    if event.carries and event.kind in ("session-start", "prompt", "after-edit", "after-shell", "after-other"):
        _tell_news(event, board, told, say)
    else:
        say(told)


def _tell_news(event: Event, board: Latchboard, told: Outcome, say: Say) -> None:
    def hand_over(messages: list[dict[str, Any]]) -> None:
        from latchboard.surface.hooks import mail

        parts = [told.context, mail.told(messages, event.agent)]
        say(Outcome(context="\n\n".join(part for part in parts if part), note=told.note))

    if not board.editing.news(event.agent, hand_over):
        say(told)


def _session_start(event: Event, board: Latchboard) -> Outcome:
    """Put the agent on the board and tell it who it is; its shell calls shall know as well."""
    key = f"agents/{event.agent}"
    known = board.store.read(key).get(key)
    if known is None or not known.get("status"):
        board.board.update(event.agent, f"in a session of {event.client}")
    else:
        board.board.heartbeat(event.agent)
    from latchboard.surface.hooks import mail

    notes = [_publish(board), _export(event.env_file, event.agent) if event.env_file else ""]
    return Outcome(context=mail.greeting(event.agent), note="; ".join(note for note in notes if note))


def _export(path: str, agent: str) -> str:
    """Let the client's later shell calls know AGENT_ID; why that could not be. A relative file is not the client's."""
    from latchboard.surface.hooks.denial import quoted

    if not path.startswith("/") or "\0" in path:
        return ""
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"export AGENT_ID={quoted(agent)}\n")
    except OSError as exc:
        return f"latchboard: shell calls will not know AGENT_ID: {exc.strerror} ({path})"
    return ""


def _end(event: Event, board: Latchboard) -> Outcome:
    if event.kind == "turn-end" and board.settings.hooks_release != "turn":
        return Outcome()
    board.editing.end(event.agent, with_subagents=event.kind == "session-end")
    return Outcome(note=_publish(board, at_once=event.kind == "session-end"))


def _publish(board: Latchboard, *, at_once: bool = False) -> str:
    """Bring status_board.json up to date; why that could not be: what was to be done is done all the same."""
    try:
        if at_once:
            board.board.publish(wait_s_max=0.0)
        else:
            board.board.publish_if_due()
    except CoordinationError as exc:
        return f"latchboard: status_board.json could not be written: {exc.message}"
    return ""


def _beat(event: Event, board: Latchboard) -> None:
    """A sign of life, as often as keeps the agent from being shown as quiet."""
    from latchboard.errors import MalformedRecord
    from latchboard.rules import lease as leases

    key = f"agents/{event.agent}"
    try:
        entry = board.store.read(key).get(key)
        heartbeat: Any = entry.get("heartbeat") if entry is not None else None
    except MalformedRecord:
        heartbeat = None
    is_known = leases.check_moment(heartbeat)
    if not is_known or leases.age_s(heartbeat, board.clock.now()) > board.settings.agent_quiet_s / 3:
        board.board.heartbeat(event.agent)
