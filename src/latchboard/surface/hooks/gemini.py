"""Gemini CLI: its hooks' input into an Event, an Outcome into JSON and nothing else on standard output.

Gemini reads standard output as JSON, and where there is none standard error as plain text, which with any exit status
but 0 and 1 is a denial, and after a tool hides its result. So standard error is empty but for a denial before a tool,
which is said twice: as JSON, and by exit status 2 with the reason on standard error. What a model is told besides goes
with the start of a session, a prompt, and the result of a tool; not with a call before it runs.

Protocol: protocol/editing.md, "Clients". Read from docs/hooks/reference.md and packages/core/src/hooks of
google-gemini/gemini-cli at 5411f113ca (2026-08-21).
"""

from __future__ import annotations

from latchboard import codec
from latchboard.surface.hooks.event import Event
from latchboard.surface.hooks.payload import event_name, joined, known_agent, sendable, table, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from latchboard.surface.hooks.event import Kind, Outcome

_KINDS: dict[str, Kind] = {
    "SessionStart": "session-start",
    "BeforeAgent": "prompt",
    "AfterAgent": "turn-end",
    "SessionEnd": "session-end",
}
_CARRYING = ("SessionStart", "BeforeAgent", "AfterTool")
_EDITS = ("write_file", "replace", "edit")  # `edit` is an older name of `replace`
_SHELL = "run_shell_command"


def read(payload: dict[str, Any], environ: Mapping[str, str]) -> Event:
    """The event in what Gemini sends. UsageError for what cannot be right."""
    name = event_name(payload)
    session = text(payload, "session_id")
    event = Event(
        "gemini",
        _KINDS.get(name, "other"),
        agent=known_agent(session, "", environ),
        session=session,
        cwd=text(payload, "cwd"),
        tool=text(payload, "tool_name"),
        name=name,
        project=environ.get("GEMINI_PROJECT_DIR", ""),
        carries=name in _CARRYING,
    )
    if name in ("BeforeTool", "AfterTool"):
        _read_call(event, table(payload, "tool_input"), is_before=name == "BeforeTool")
    return event


def write(event: Event, outcome: Outcome) -> tuple[str, str, int]:
    """Standard output, standard error and the exit status that say `outcome` to Gemini."""
    answer: dict[str, Any] = {}
    if note := sendable(outcome.note):
        answer["systemMessage"] = note
    if event.kind in ("before-edit", "before-shell") and outcome.denial is not None:
        reason = sendable(outcome.denial, outcome.context) or "Denied by latchboard."
        answer["decision"] = "deny"
        answer["reason"] = reason
        return codec.encode(answer), reason + "\n", 2
    context = sendable(outcome.denial or "", outcome.context)
    if context and event.carries:
        answer["hookSpecificOutput"] = {"hookEventName": event.name, "additionalContext": context}
    return (codec.encode(answer) if answer else ""), "", 0


def _read_call(event: Event, arguments: dict[str, Any], *, is_before: bool) -> None:
    """What a tool call does, into `event`."""
    if event.tool in _EDITS:
        event.kind = "before-edit" if is_before else "after-edit"
        path = text(arguments, "file_path")
        event.paths = (path,) if path else ()
        if not path:
            event.unclear = (
                f"This call of {event.tool} names no file (`file_path`). What it would write is not known, so that "
                "nothing was claimed, and nothing may be written. Send it again with the file's path."
            )
    elif event.tool == _SHELL:
        event.kind = "before-shell" if is_before else "after-shell"
        event.command = text(arguments, "command")
        event.cwd = joined(event.cwd, text(arguments, "dir_path") or text(arguments, "directory"))
    elif not is_before:
        event.kind = "after-other"
