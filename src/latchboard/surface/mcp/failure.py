"""Failure: what went wrong, as the structured answer of a tool.

The object is that of protocol/schema/error.json, with hints in the words of these tools, and `until` beside the
`remaining_s` of whoever is in the way.

Protocol: protocol/mcp.md, "Errors".
"""

from __future__ import annotations

import re

from latchboard.clock import iso
from latchboard.surface.mcp.catalogue import TOOLS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.clock import Now
    from latchboard.errors import CoordinationError

_TEXT_CHARS_MAX = 5000  # longer than any path
TRACEBACK_VARIABLE = "LATCHBOARD_TRACEBACK"

_HINTS = {
    "lock-held": "work on something else, stand in line with `wait`, or ask for it with `handoff_request`",
    "wait-ended": "work on something else, wait longer, or ask for it with `handoff_request`",
    "handoff-declined": "work on something else, or stand in line with `wait`",
    "nothing-ready": "ask again later, or for another role",
    "wip-limit-reached": "ask again when one of them is completed",
    "not-ready": "ask again when that is done, and claim another one meanwhile",
    "wrong-status": "claim another one; leave `job` out for the first that is ready",
}
_COMMAND = re.compile(r"`latchboard (handoff )?(\w+)[^`]*`")
_ANSWERS = {"grant": "handoff_answer", "decline": "handoff_answer", "request": "handoff_request", "list": "inbox"}


def facts(exc: CoordinationError, now: Now | None) -> dict[str, Any]:
    """The error as a tool answers it; `now` tells until when a hold lasts."""
    found = {name: _cut(value) for name, value in exc.to_json().items()}
    found["hint"] = _HINTS.get(exc.code) or _hint(exc.hint)
    holders = found.get("holders")
    if now is not None and isinstance(holders, list):
        found["holders"] = [_with_until(one, now) for one in holders]
    return found


def internal(exc: BaseException) -> dict[str, Any]:
    """The answer to a mistake of our own: its kind, and nothing of its inside."""
    return {
        "format": 1,
        "code": "internal",
        "message": f"a mistake in latchboard itself: {type(exc).__name__}",
        "hint": f"please report it, with what {TRACEBACK_VARIABLE}=1 makes the server write to its standard error",
        "retryable": False,
    }


def _cut(value: Any) -> Any:
    """What was given may come back in an error; a novel need not come back whole."""
    return f"{value[:_TEXT_CHARS_MAX]}..." if isinstance(value, str) and len(value) > _TEXT_CHARS_MAX else value


def _hint(hint: str) -> str:
    """The hint of a service, which may name commands of the command line, in the words of the tools."""
    hint = hint.replace("set AGENT_ID or give --agent", "give a valid id as `agent`, or leave it out")
    return _COMMAND.sub(_tool, hint)


def _tool(command: re.Match[str]) -> str:
    """The tool for a command; the command itself where there is none."""
    is_handoff, word = command.groups()
    name = _ANSWERS.get(word, "") if is_handoff else word
    return f"`{name}`" if name in TOOLS else command.group()


def _with_until(one: dict[str, Any], now: Now) -> dict[str, Any]:
    left_s = one.get("remaining_s")
    if not isinstance(left_s, int | float):
        return one
    try:
        return {**one, "until": iso(now.wall_s + left_s)}
    except (ValueError, OverflowError):  # longer than a calendar knows
        return one
