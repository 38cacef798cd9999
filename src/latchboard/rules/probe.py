"""Probe: a made-up event for a client's hook, and what its client would take the answer for.

What a hook says counts as its client reads it, not as it is meant: an answer that a client cannot read lets the call
through, and is no denial.

Protocol: protocol/installation.md, "Probing".
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal

    from latchboard.rules.client import Hook

    Verdict = Literal["denied", "passed", "failed"]

AGENT = "doctor-probe"
HOLDER = "doctor"
HELD = "probe.txt"
FREE = "free.txt"

_EDITS: dict[str, dict[str, Any]] = {
    "claude": {"tool_name": "Edit", "field": "file_path", "rest": {"old_string": "a", "new_string": "b"}},
    "gemini": {"tool_name": "write_file", "field": "file_path", "rest": {"content": "b"}},
    "cursor": {"tool_name": "Write", "field": "file_path", "rest": {"contents": "b"}},
}
_SHELLS = {"claude": "Bash", "codex": "Bash", "gemini": "run_shell_command"}
_CODEX_KEYS = frozenset(
    (
        "continue",
        "decision",
        "hookSpecificOutput",
        "reason",
        "stopReason",
        "suppressOutput",
        "systemMessage",
    )
)


def event(client: str, hook: Hook, folder: str, file: str) -> dict[str, Any]:
    """What the client would say before this agent writes `file`, by an edit or by a shell call, as the hook is for.

    Args:
        client: Which.
        hook: Which of its events.
        folder: The project, absolute.
        file: Relative to it.
    """
    made: dict[str, Any] = {
        "session_id": AGENT,
        "transcript_path": None if client == "codex" else f"{folder}/transcript.jsonl",
        "cwd": folder,
        "hook_event_name": hook.event,
    }
    if client == "cursor":
        made |= {"conversation_id": AGENT, "generation_id": "1", "workspace_roots": [folder], "model": "none"}
    made |= _shell(client, file) if hook.says == "shell" else _edit(client, folder, file)
    made |= {"tool_use_id": "1", "tool_response": {}, "turn_id": "1", "source": "startup", "reason": "other"}
    return made | {"prompt": "", "stop_hook_active": False}


def _edit(client: str, folder: str, file: str) -> dict[str, Any]:
    if client == "codex":
        patch = f"*** Begin Patch\n*** Update File: {file}\n@@\n-a\n+b\n*** End Patch\n"
        return {"tool_name": "apply_patch", "tool_input": {"command": patch}}
    how = _EDITS[client]
    path = f"{folder}/{file}"
    return {"tool_name": how["tool_name"], "tool_input": {how["field"]: path, **how["rest"]}, "file_path": path}


def _shell(client: str, file: str) -> dict[str, Any]:
    command = f"echo b > {file}"
    if client == "cursor":
        return {"command": command}
    return {"tool_name": _SHELLS[client], "tool_input": {"command": command}}


def verdict(client: str, hook: Hook, status: int, out: str, err: str) -> tuple[Verdict, str]:
    """What the client takes an answer for, and why where that is a failure.

    Args:
        client: Which.
        hook: Which of its events.
        status: The exit status.
        out: Standard output.
        err: Standard error.
    """
    if status == 2 and hook.says:
        return ("denied", "") if err.strip() else ("failed", "exit status 2 without a reason on standard error")
    if status != 0:
        return "failed", f"exit status {status}{_last_line(err)}"
    if not out.strip():
        if client == "cursor" and hook.event == "preToolUse":
            return "failed", "Cursor takes an empty answer for a denial of every call"
        return "passed", ""
    try:
        said = _parsed(out)
    except ValueError:
        return "failed", "what it says is no JSON object"
    if client == "codex" and not set(said) <= _CODEX_KEYS:
        return "failed", f"Codex refuses an answer with {', '.join(sorted(set(said) - _CODEX_KEYS))}"
    return ("denied", "") if _is_denial(client, hook, said) else ("passed", "")


def is_silent(client: str, out: str) -> bool:
    """Whether an answer to a call that nothing is in the way of says nothing."""
    return client == "cursor" or not out.strip()


def trust_key(path: str, event: str, group: int, place: int) -> str:
    """By what Codex knows a hook that a person trusts."""
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in event).strip("_")
    return f"{path}:{snake}:{group}:{place}"


def is_trusted(config: dict[str, Any], keys: list[str]) -> bool:
    """Whether Codex's configuration has one of these hooks as trusted, and not switched off."""
    hooks = config.get("hooks")
    states = hooks.get("state") if isinstance(hooks, dict) else None
    for key in keys:
        state = states.get(key) if isinstance(states, dict) else None
        if isinstance(state, dict) and state.get("trusted_hash") and state.get("enabled") is not False:
            return True
    return False


def switched_off(client: str, config: dict[str, Any]) -> str:
    """By which setting of a client's configuration no hook runs, or ours does not; "" for none."""
    for path in _SWITCHES.get(client, ()):
        value: Any = config
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if value is (client == "claude") and value is not None:
            return f"{'.'.join(path)} is {'true' if value else 'false'}"
        if isinstance(value, list) and "latchboard" in value:
            return f"{'.'.join(path)} has latchboard in it"
    return ""


_SWITCHES: dict[str, tuple[tuple[str, ...], ...]] = {
    "claude": (("disableAllHooks",),),
    "codex": (("features", "hooks"), ("features", "codex_hooks")),
    "gemini": (
        ("hooks", "enabled"),
        ("hooks", "disabled"),
        ("hooksConfig", "enabled"),
        ("hooksConfig", "disabled"),
        ("tools", "enableHooks"),
    ),
}


def _is_denial(client: str, hook: Hook, said: dict[str, Any]) -> bool:
    if client == "gemini":
        return said.get("decision") in ("deny", "block")
    if client == "cursor":
        return "deny" in (said.get("permission"), said.get("decision"))
    special = said.get("hookSpecificOutput")
    if not isinstance(special, dict) or special.get("hookEventName") != hook.event:
        return False
    return special.get("permissionDecision") == "deny" and bool(special.get("permissionDecisionReason"))


def _parsed(out: str) -> dict[str, Any]:
    import json

    said = json.loads(out)
    if not isinstance(said, dict):
        raise ValueError("no object")
    return said


def _last_line(err: str) -> str:
    lines = [line for line in err.splitlines() if line.strip()]
    return f": {lines[-1].strip():.200}" if lines else ""
