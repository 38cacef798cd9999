"""The table of clients: every event in it is one that the client's own module understands."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from latchboard.rules.client import CLIENTS, Client, Hook, client
from latchboard.surface.hooks.entry import CLIENTS as KNOWN

PAYLOAD: dict[str, Any] = {
    "session_id": "s",
    "conversation_id": "s",
    "agent_id": "sub",
    "subagent_id": "sub",
    "cwd": "/srv/project",
    "command": "true",
    "file_path": "/srv/project/a.py",
}
CALLS: dict[str, dict[str, dict[str, Any]]] = {
    "claude": {
        "edit": {"tool_name": "Edit", "tool_input": {"file_path": "/srv/project/a.py"}},
        "shell": {"tool_name": "Bash", "tool_input": {"command": "true"}},
    },
    "codex": {
        "edit": {
            "tool_name": "apply_patch",
            "tool_input": {"command": "*** Begin Patch\n*** Add File: a.py\n+a\n*** End Patch"},
        },
        "shell": {"tool_name": "Bash", "tool_input": {"command": "true"}},
    },
    "gemini": {
        "edit": {"tool_name": "write_file", "tool_input": {"file_path": "/srv/project/a.py"}},
        "shell": {"tool_name": "run_shell_command", "tool_input": {"command": "true"}},
    },
    "cursor": {
        "edit": {"tool_name": "Write", "tool_input": {"file_path": "/srv/project/a.py"}},
        "shell": {"command": "true"},
    },
}


def test_the_clients_are_those_that_the_hook_knows() -> None:
    assert tuple(one.name for one in CLIENTS) == KNOWN
    assert client("claude").title == "Claude Code"
    with pytest.raises(KeyError):
        client("nobody")


@pytest.mark.parametrize(
    ("one", "hook"),
    [(one, hook) for one in CLIENTS for hook in one.hooks],
    ids=lambda value: value.name if isinstance(value, Client) else f"{value.event}-{value.says}",
)
def test_every_event_is_understood(one: Client, hook: Hook) -> None:
    module = importlib.import_module(f"latchboard.surface.hooks.{one.name}")
    call = CALLS[one.name]["shell" if hook.says == "shell" else "edit"]

    event = module.read({**PAYLOAD, **call, "hook_event_name": hook.event}, {})

    assert event.kind == f"before-{hook.says}" if hook.says else event.kind != "other"


def test_calls_of_every_kind_are_told_before_they_happen() -> None:
    for one in CLIENTS:
        if one.hooks:
            assert {hook.says for hook in one.hooks} == {"edit", "shell", ""}
            assert [hook.event for hook in one.hooks if hook.blocks] in ([], ["PreToolUse"])
