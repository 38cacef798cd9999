"""Between: what the events do that stop nothing: beginnings, ends, and the time behind a call.

Protocol: protocol/editing.md, "Events".
"""

from __future__ import annotations

from latchboard.surface.hooks import mail
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
    context = ""
    if event.kind == "session-start":
        context = _session_start(event, board)
    elif event.kind in ("turn-end", "subagent-end", "session-end"):
        _end(event, board)
    elif event.kind == "after-edit":
        board.editing.done(event.agent, place.paths(event))
    elif event.kind == "after-shell":
        board.foreign.after_call(event.agent)
        board.editing.done(event.agent)
    elif event.kind == "failed" or (event.kind == "after-other" and event.tool.startswith(_MAY_WRITE)):
        board.editing.done(event.agent)
    elif event.kind == "prompt":
        board.editing.begin_turn(event.agent)
    elif event.kind == "after-other":
        board.editing.renew(event.agent)
    if event.kind in ("prompt", "after-edit", "after-shell", "after-other"):
        _beat(event, board)
    if event.carries and event.kind in ("session-start", "prompt", "after-edit", "after-shell", "after-other"):
        _tell_news(event, board, context, say)
    else:
        say(Outcome(context=context))


def _tell_news(event: Event, board: Latchboard, context: str, say: Say) -> None:
    def hand_over(messages: list[dict[str, Any]]) -> None:
        parts = [context, mail.told(messages, event.agent)]
        say(Outcome(context="\n\n".join(part for part in parts if part)))

    if not board.editing.news(event.agent, hand_over):
        say(Outcome(context=context))


def _session_start(event: Event, board: Latchboard) -> str:
    """Put the agent on the board and tell it who it is; its shell calls shall know as well."""
    key = f"agents/{event.agent}"
    known = board.store.read(key).get(key)
    if known is None or not known.get("status"):
        board.board.update(event.agent, f"in a session of {event.client}")
    else:
        board.board.heartbeat(event.agent)
    board.board.publish_if_due()
    if event.env_file:
        _export(event.env_file, event.agent)
    return mail.greeting(event.agent)


def _export(path: str, agent: str) -> None:
    """Let the client's later shell calls know AGENT_ID. The file is the client's; a relative one is none of its."""
    from latchboard.surface.hooks.denial import quoted

    if path.startswith("/") and "\0" not in path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"export AGENT_ID={quoted(agent)}\n")


def _end(event: Event, board: Latchboard) -> None:
    if event.kind == "turn-end" and board.settings.hooks_release != "turn":
        return
    board.editing.end(event.agent, with_subagents=event.kind == "session-end")
    board.board.publish_if_due()


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
