"""Codex CLI: its hooks' input into an Event, an Outcome into what its strict reader takes.

Codex refuses an answer with a key it does not know, and then the call goes ahead: an answer has the keys of its event
and no other. A denial is said twice, as JSON and by exit status 2 with the reason on standard error, so that it holds
whichever of the two is read; status 2 without a reason would be a failure, and let the call through.

`apply_patch` writes many files in one call, and a script that only runs `apply_patch` is the same call to Codex. A
subagent without an id is nobody: its end releases nothing, for that would be its parent's.

Protocol: protocol/editing.md, "Clients". Read from developers.openai.com/codex/hooks and codex-rs/hooks (2026).
"""

from __future__ import annotations

from latchboard import codec
from latchboard.rules import patch
from latchboard.surface.hooks.event import Event
from latchboard.surface.hooks.payload import event_name, joined, known_agent, sendable, table, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from latchboard.surface.hooks.event import Kind, Outcome

_KINDS: dict[str, Kind] = {
    "SessionStart": "session-start",
    "UserPromptSubmit": "prompt",
    "Stop": "turn-end",
    "Interrupt": "turn-end",
    "StopFailure": "turn-end",
}
_SUBAGENT_KINDS: dict[str, Kind] = {"SubagentStart": "session-start", "SubagentStop": "subagent-end"}
_CARRYING = ("SessionStart", "SubagentStart", "UserPromptSubmit", "PreToolUse", "PostToolUse")
_SHELLS = ("Bash", "shell", "local_shell", "shell_command", "exec_command")  # `Bash` today; the others are older names
_PATCH_FIELDS = ("command", "input", "patch")  # `command` today


def read(payload: dict[str, Any], environ: Mapping[str, str]) -> Event:
    """The event in what Codex sends. UsageError for what cannot be right."""
    name = event_name(payload)
    session, subagent = text(payload, "session_id"), text(payload, "agent_id")
    kind = _SUBAGENT_KINDS.get(name, "other") if subagent and name in _SUBAGENT_KINDS else _KINDS.get(name, "other")
    event = Event(
        "codex",
        kind,
        agent=known_agent(session, subagent, environ),
        session=session,
        cwd=text(payload, "cwd"),
        tool=text(payload, "tool_name"),
        subagent=subagent,
        name=name,
        carries=name in _CARRYING,
    )
    if name in ("PreToolUse", "PostToolUse"):
        _read_call(event, payload, is_before=name == "PreToolUse")
    return event


def write(event: Event, outcome: Outcome) -> tuple[str, str, int]:
    """Standard output, standard error and the exit status that say `outcome` to Codex."""
    answer: dict[str, Any] = {}
    if event.kind in ("before-edit", "before-shell") and outcome.denial is not None:
        reason = sendable(outcome.denial, outcome.context) or "Denied by latchboard."
        answer["hookSpecificOutput"] = {
            "hookEventName": event.name,
            "permissionDecision": "deny",
            "permissionDecisionReason": reason,
        }
        return codec.encode(answer), reason + "\n", 2
    context = sendable(outcome.denial or "", outcome.context)
    if context and event.carries:
        answer["hookSpecificOutput"] = {"hookEventName": event.name, "additionalContext": context}
    if note := sendable(outcome.note):
        answer["systemMessage"] = note
    return (codec.encode(answer) if answer else ""), "", 0


def _read_call(event: Event, payload: dict[str, Any], *, is_before: bool) -> None:
    """What a tool call does, into `event`."""
    arguments = table(payload, "tool_input")
    found: patch.Patch | None = None
    folder = ""
    if event.tool == "apply_patch":
        found = patch.read(next((text(arguments, field) for field in _PATCH_FIELDS if arguments.get(field)), ""))
    elif event.tool in _SHELLS:
        event.command = text(arguments, "command")
        event.cwd = joined(event.cwd, text(arguments, "workdir"))  # of some versions; `command` alone of the others
        if script := patch.in_script(event.command):
            folder = script.folder
            if script.is_whole:
                found = script.patch
            else:
                event.paths = tuple(joined(folder, path) for path in script.patch.paths)
        if found is None:
            event.kind = "before-shell" if is_before else "after-shell"
    elif not is_before:
        event.kind = "after-other"
    if found is not None:
        event.kind = "before-edit" if is_before else "after-edit"
        event.paths = tuple(joined(folder, path) for path in found.paths)
        event.unclear = unreadable(found)


def unreadable(found: patch.Patch) -> str:
    """Why a patch is denied whose files are not all known, for the model that wrote it; empty where they are."""
    if not found.fault:
        return ""
    return (
        f"This patch cannot be read: {found.fault}. Which files it would write is not known, so that nothing was "
        "claimed, and nothing may be written. Send it again, every file under a line `*** Add File: PATH`, "
        "`*** Update File: PATH` or `*** Delete File: PATH`, a new name under `*** Move to: PATH`."
    )
