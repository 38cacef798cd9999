"""Codex, Gemini, Cursor and aider: golden files, exact bytes in and exact bytes out, and what holds for any bytes."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latchboard.errors import UsageError
from latchboard.surface.hooks import aider, codex, cursor, gemini
from latchboard.surface.hooks.event import Event, Outcome
from tests.surface.hooks.strict import answer_fits_codex

HERE = Path(__file__).parent
CLIENTS: dict[str, ModuleType] = {"codex": codex, "gemini": gemini, "cursor": cursor, "aider": aider}
WITH_JSON = ("codex", "gemini", "cursor")
GOLDEN = {
    f"{path.parent.name}/{path.stem}": json.loads(path.read_text(encoding="utf-8"))
    for client in CLIENTS
    for path in sorted((HERE / "golden" / client).glob("*.json"))
}


def words(text: str) -> list[str]:
    return text.split()


# Every event that its client names (facts of 2026-11-20): one that is not of interest has an answer too.
EVENTS = {
    "codex": words(
        "SessionStart PreToolUse PermissionRequest PostToolUse PreCompact PostCompact UserPromptSubmit SubagentStart "
        "SubagentStop Stop Interrupt StopFailure"
    ),
    "gemini": words(
        "BeforeTool AfterTool BeforeAgent AfterAgent BeforeModel BeforeToolSelection AfterModel SessionStart "
        "SessionEnd Notification PreCompress"
    ),
    "cursor": words(
        "sessionStart sessionEnd preToolUse postToolUse postToolUseFailure beforeSubmitPrompt beforeShellExecution "
        "stop afterShellExecution beforeMCPExecution afterMCPExecution beforeReadFile afterFileEdit subagentStart "
        "subagentStop preCompact afterAgentResponse afterAgentThought beforeTabFileRead afterTabFileEdit"
    ),
    "aider": ["lint"],
}


def outcome_of(given: dict[str, str]) -> Outcome:
    return Outcome(given.get("denial"), context=given.get("context", ""), note=given.get("note", ""))


@pytest.mark.parametrize("name", GOLDEN)
def test_an_event_is_read_as_its_golden_file_says(name: str) -> None:
    golden = GOLDEN[name]

    event = CLIENTS[name.partition("/")[0]].read(json.loads(golden["input"]), golden["environ"])

    assert {field: getattr(event, field) for field in golden["event"]} == golden["event"] | {
        "paths": tuple(golden["event"]["paths"])
    }
    assert event.client == name.partition("/")[0]


@pytest.mark.parametrize("name", GOLDEN)
def test_an_outcome_is_written_as_the_golden_file_says(name: str) -> None:
    golden = GOLDEN[name]
    client = CLIENTS[name.partition("/")[0]]
    event = client.read(json.loads(golden["input"]), golden["environ"])

    for answer in golden["answers"]:
        written = client.write(event, outcome_of(answer["outcome"]))
        assert written == (answer["stdout"], answer["stderr"], answer["status"]), answer["outcome"]


@pytest.mark.parametrize("client", CLIENTS)
def test_every_event_of_a_client_has_a_golden_file(client: str) -> None:
    there = {golden["event"]["name"] for name, golden in GOLDEN.items() if name.startswith(f"{client}/")}

    assert there == set(EVENTS[client])


@pytest.mark.parametrize("name", [name for name in GOLDEN if name.startswith("codex/")])
def test_codex_knows_every_key_of_an_answer(name: str) -> None:
    for answer in GOLDEN[name]["answers"]:
        if answer["stdout"]:
            answer_fits_codex(GOLDEN[name]["event"]["name"], answer["stdout"])


@pytest.mark.parametrize("name", GOLDEN)
def test_no_hook_ever_says_allow(name: str) -> None:
    for answer in GOLDEN[name]["answers"]:
        assert '"allow"' not in answer["stdout"]


# --- for any bytes -------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    words("session_id conversation_id agent_id subagent_id cwd workspace_roots tool_name command file_path files")
)
TOOLS = st.sampled_from(
    words("apply_patch Bash write_file replace run_shell_command Write ApplyPatch Shell Read mcp__a__b")
)
ARGUMENTS = st.dictionaries(
    st.sampled_from(words("command file_path path target_notebook dir_path working_directory patch input")), JSON
)


def payloads(client: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda name, tool, arguments, rest: {"hook_event_name": name, "session_id": "s", **tool, **arguments, **rest},
        st.sampled_from(EVENTS[client]) | st.text(max_size=10),
        TOOLS.map(lambda tool: {"tool_name": tool}),
        (ARGUMENTS | JSON).map(lambda value: {"tool_input": value}),
        st.dictionaries(FIELDS, JSON, max_size=3),
    )


@pytest.mark.parametrize("client", CLIENTS)
@given(st.data())
def test_any_payload_is_an_event_or_a_mistake_that_is_named(client: str, data: st.DataObject) -> None:
    payload = data.draw(payloads(client) | st.dictionaries(st.text(max_size=10), JSON, max_size=5))
    try:
        event = CLIENTS[client].read(payload, {})
    except UsageError as exc:
        assert str(exc)
        return

    assert event.agent
    assert all(isinstance(path, str) and path for path in event.paths)
    assert isinstance(event.command, str)
    assert event.paths or event.unclear or event.kind != "before-edit"


TEXT = st.text(st.characters(exclude_categories=[]), max_size=60)  # lone surrogates as well: a payload can have them
OUTCOMES = st.builds(
    lambda denial, context, note: Outcome(denial, context=context, note=note), st.none() | TEXT, TEXT, TEXT
)


@pytest.mark.parametrize("name", GOLDEN)
@settings(max_examples=30)
@given(OUTCOMES)
def test_any_outcome_is_said_in_bytes_that_the_client_takes(name: str, outcome: Outcome) -> None:
    client = name.partition("/")[0]
    event: Event = CLIENTS[client].read(json.loads(GOLDEN[name]["input"]), GOLDEN[name]["environ"])

    stdout, stderr, status = CLIENTS[client].write(event, outcome)

    assert (stdout + stderr).encode() is not None
    is_denied = outcome.denial is not None and event.kind in ("before-edit", "before-shell")
    if client in WITH_JSON:
        assert status == (2 if is_denied else 0)
        assert bool(stderr.strip()) == is_denied
        assert not stdout or isinstance(json.loads(stdout), dict)
        if client == "codex" and stdout:
            answer_fits_codex(event.name, stdout)
    else:
        assert status == (1 if outcome.denial is not None else 0)
        assert bool(stdout.strip()) == (outcome.denial is not None)


@pytest.mark.parametrize(
    ("client", "payload", "message"),
    [
        ("codex", {"session_id": "s"}, "no `hook_event_name`"),
        ("gemini", {"hook_event_name": 3, "session_id": "s"}, "is a text, not a number"),
        ("cursor", {"hook_event_name": "stop"}, "nobody knows who the agent is"),
        ("codex", {"hook_event_name": "Stop", "session_id": ["s"]}, "is a text, not a list"),
        ("codex", {"hook_event_name": "PreToolUse", "session_id": "s", "tool_input": "x"}, "is an object, not a text"),
        ("gemini", {"hook_event_name": "Stop", "session_id": {}}, "is a text, not an object"),
        ("gemini", {"hook_event_name": "Stop", "session_id": True}, "is a text, not true or false"),
        ("aider", {"files": []}, "names no file"),
        ("aider", {"files": ["a"]}, "start it with AGENT_ID set"),
    ],
)
def test_what_cannot_be_right_is_named(client: str, payload: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        CLIENTS[client].read(payload, {})


def test_what_aider_says_is_its_arguments() -> None:
    event = aider.read(aider.payload(["a", "b c"], "/srv/app"), {"AGENT_ID": "a-1"})

    assert (event.kind, event.agent, event.cwd, event.paths) == ("edited", "a-1", "/srv/app", ("a", "b c"))


@pytest.mark.parametrize(
    ("folder", "path", "whole"),
    [("/srv", "a", "/srv/a"), ("/", "a", "/a"), ("", "a", "a"), ("/srv", "", "/srv"), ("a/", "/b", "/b")],
)
def test_a_path_in_a_folder(folder: str, path: str, whole: str) -> None:
    from latchboard.surface.hooks.payload import joined

    assert joined(folder, path) == whole
