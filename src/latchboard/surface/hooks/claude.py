"""Claude Code: its events and its answers, translated.

A call is denied by a decision on standard output, with exit status 0; context and notes go the same way. Status 2 is
never used: Claude Code takes it for a denial with whatever stands on standard error, so that a mistake of a hook would
deny what nobody holds.

Guarantees that an answer has no key that Claude Code and Codex do not both know, and never says "allow": that would
skip the person's own permission prompt.

Protocol: protocol/editing.md, "Claude Code".
"""

from __future__ import annotations

from latchboard.codec import encode
from latchboard.errors import UsageError
from latchboard.surface.hooks.event import Event
from latchboard.surface.hooks.payload import event_name, known_agent, table, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from latchboard.surface.hooks.event import Kind, Outcome

EDITS = {"Edit": "file_path", "Write": "file_path", "MultiEdit": "file_path", "NotebookEdit": "notebook_path"}
"""Tools that write one file, and where they say which."""
SHELLS = ("Bash", "PowerShell")

_KINDS: dict[str, Kind] = {
    "SessionStart": "session-start",
    "UserPromptSubmit": "prompt",
    "PostToolUseFailure": "failed",
    "Stop": "turn-end",
    "SessionEnd": "session-end",
}
_WITH_CONTEXT = ("SessionStart", "UserPromptSubmit", "PostToolUse", "PreToolUse")
"""Events whose answer may have `additionalContext`. That of Stop would make the agent go on: it gets none."""


def read(payload: dict[str, Any], environ: Mapping[str, str]) -> Event:
    """The event in what Claude Code wrote.

    Raises:
        UsageError: A field is missing or of the wrong type, or nobody says who the agent is.
    """
    name = event_name(payload)
    session, subagent = text(payload, "session_id"), text(payload, "agent_id")
    agent = known_agent(session, subagent, environ)
    tool, command = "", ""
    kind: Kind = _KINDS.get(name, "other")
    paths: tuple[str, ...] = ()
    if name in ("PreToolUse", "PostToolUse"):
        tool = text(payload, "tool_name")
        kind, paths, command = _tool_call(name, tool, payload)
    elif name == "PostToolUseFailure":
        tool = text(payload, "tool_name")
        if tool and tool not in EDITS:
            kind, paths, command = _tool_call(name, tool, payload)
    elif name == "SubagentStop" and subagent:  # one without an id is nobody: its parent's locks are not its own
        kind = "subagent-end"
    return Event(
        "claude",
        kind,
        agent=agent,
        session=session,
        cwd=text(payload, "cwd"),
        paths=paths,
        command=command,
        tool=tool,
        env_file=environ.get("CLAUDE_ENV_FILE", "") if kind == "session-start" else "",
        subagent=subagent,
        name=name,
        project=environ.get("CLAUDE_PROJECT_DIR", ""),
        carries=name in _WITH_CONTEXT,
    )


def _tool_call(name: str, tool: str, payload: dict[str, Any]) -> tuple[Kind, tuple[str, ...], str]:
    """What a tool is about to do, or has done: the kind, the files, the command line."""
    is_before = name == "PreToolUse"
    if tool in EDITS:
        path = text(table(payload, "tool_input"), EDITS[tool])
        if not path:
            raise UsageError(f"an edit by {tool} has no {EDITS[tool]}")
        return "before-edit" if is_before else "after-edit", (path,), ""
    if tool in SHELLS:
        command = text(table(payload, "tool_input"), "command")
        return "before-shell" if is_before else "after-shell", (), command
    return "other" if is_before else "after-other", (), ""


def write(event: Event, outcome: Outcome) -> tuple[str, str, int]:
    """Standard output, standard error and exit status for Claude Code."""
    if event.kind == "other":
        return "", "", 0  # what is printed to WorktreeCreate is taken for the path of a work tree
    answer: dict[str, Any] = {}
    if outcome.note:
        answer["systemMessage"] = outcome.note
    special: dict[str, Any] = {}
    if outcome.denial is not None and event.name == "PreToolUse":
        special["permissionDecision"] = "deny"
        special["permissionDecisionReason"] = outcome.denial
    if outcome.context and event.name in _WITH_CONTEXT:
        special["additionalContext"] = outcome.context
    if special:
        answer["hookSpecificOutput"] = {"hookEventName": event.name, **special}
    return (encode(answer) + "\n" if answer else ""), "", 0
