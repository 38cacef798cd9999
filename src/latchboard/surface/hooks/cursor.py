"""Cursor: its hooks' input into an Event, an Outcome into the answers that its versions are known to take.

Sources differ, so a denial is in every shape that one of them shows (`permission` and `decision`, the message in both
spellings) and has exit status 2 too. Where nothing is in a call's way the answer is `{}`: a permission is the
person's to give, never this hook's. With `failClosed` some versions take that for a refusal, so it is not set
(decision 0016).

Mail goes with the start of a session and the result of a tool: the other answers do not reach the model. A completion
that a person takes (the Tab events) is the person's edit, not the agent's.

Protocol: protocol/editing.md, "Clients". Read from cursor.com/docs/hooks.md, the type mirror johnlindquist/cursor-hooks
and reports of other adapters (2026).
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
    "sessionStart": "session-start",
    "sessionEnd": "session-end",
    "beforeSubmitPrompt": "prompt",
    "stop": "turn-end",
    "postToolUseFailure": "failed",
    "beforeShellExecution": "before-shell",
    "afterShellExecution": "after-shell",
    "afterFileEdit": "after-edit",
}
_CARRYING = ("sessionStart", "postToolUse")
# Names differ between the editor, its CLI and their versions: compared in small letters, without `_`.
_EDITS = (
    *("applypatch", "createfile", "delete", "deletefile", "edit", "editfile", "editnotebook", "multiedit"),
    *("notebookedit", "searchreplace", "strreplace", "write", "writefile"),
)
_SHELLS = ("bash", "runterminalcmd", "shell")
_PATH_FIELDS = ("file_path", "path", "target_file", "target_notebook", "notebook_path", "filePath")


def read(payload: dict[str, Any], environ: Mapping[str, str]) -> Event:
    """The event in what Cursor sends. UsageError for what cannot be right."""
    name = event_name(payload)
    session = text(payload, "conversation_id") or text(payload, "session_id")
    subagent = text(payload, "subagent_id") if name == "subagentStop" else ""
    event = Event(
        "cursor",
        "subagent-end" if subagent else _KINDS.get(name, "other"),
        agent=known_agent(session, subagent, environ),
        session=session,
        cwd=text(payload, "cwd"),
        tool=text(payload, "tool_name"),
        subagent=subagent,
        name=name,
        carries=name in _CARRYING,
    )
    if name in ("preToolUse", "postToolUse") or (name == "postToolUseFailure" and event.tool):
        _read_call(event, payload, is_before=name == "preToolUse")
    elif event.kind in ("before-shell", "after-shell"):
        event.command = text(payload, "command")
    elif event.kind == "after-edit" and (path := text(payload, "file_path")):
        event.paths = (path,)
    folders = _folders(payload, environ)
    event.cwd = event.cwd or next(iter(folders), "")
    about = (*event.paths, event.cwd)
    event.project = next((one for one in folders if any(_is_in(path, one) for path in about)), "")
    return event


def write(event: Event, outcome: Outcome) -> tuple[str, str, int]:
    """Standard output, standard error and the exit status that say `outcome` to Cursor."""
    answer: dict[str, Any] = {}
    if event.kind in ("before-edit", "before-shell") and outcome.denial is not None:
        reason = sendable(outcome.denial, outcome.context) or "Denied by latchboard."
        note = sendable(outcome.note) or reason
        answer = {"permission": "deny", "decision": "deny", "reason": reason, "user_message": note}
        answer |= {"userMessage": note, "agent_message": reason, "agentMessage": reason}
        return codec.encode(answer), reason + "\n", 2
    if event.name == "beforeSubmitPrompt":
        answer["continue"] = True
    context = sendable(outcome.denial or "", outcome.context)
    if context and event.carries:
        answer["additional_context"] = context
    if note := sendable(outcome.note):
        answer["user_message"] = note
    return codec.encode(answer), "", 0


def _folders(payload: dict[str, Any], environ: Mapping[str, str]) -> list[str]:
    """The folders that are open: an editor's window can have several, each a project of its own."""
    roots = payload.get("workspace_roots")
    named = roots if isinstance(roots, list) else []
    return [one for one in (*named, environ.get("CURSOR_PROJECT_DIR")) if isinstance(one, str) and one]


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _read_call(event: Event, payload: dict[str, Any], *, is_before: bool) -> None:
    """What a tool call does, into `event`."""
    tool = event.tool.replace("_", "").lower()
    if tool in _EDITS:
        event.kind = "before-edit" if is_before else "after-edit"
        _read_edit(event, payload.get("tool_input"))
    elif tool in _SHELLS:
        event.kind = "before-shell" if is_before else "after-shell"
        arguments = table(payload, "tool_input")
        event.command = text(arguments, "command")
        event.cwd = joined(event.cwd, text(arguments, "working_directory") or text(arguments, "cwd"))
    elif not is_before:
        event.kind = "after-other"


def _read_edit(event: Event, arguments: Any) -> None:
    """The files that an edit writes, into `event`."""
    fields = arguments if isinstance(arguments, dict) else {"input": arguments}
    found = [text(fields, field) for field in _PATH_FIELDS]
    patches = [value for value in fields.values() if isinstance(value, str) and patch.BEGIN in value]
    if event.tool.replace("_", "").lower() == "applypatch":
        for one in map(patch.read, patches):
            found += one.paths
            event.unclear = event.unclear or (f"This patch cannot be read: {one.fault}." if one.fault else "")
    event.paths = tuple(dict.fromkeys(path for path in found if path))
    if not event.paths and not event.unclear:
        event.unclear = f"This call of {event.tool} names no file that can be found in it."
    if event.unclear:
        event.unclear += (
            " Which files it would write is not known, so that nothing was claimed, and nothing may be written. "
            "Send it again with the path of every file."
        )
