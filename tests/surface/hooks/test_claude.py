"""Claude Code: golden files for every event, exact bytes in and exact bytes out, and what holds for any bytes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latchboard.errors import UsageError
from latchboard.surface.hooks import claude
from latchboard.surface.hooks.event import Event, Outcome
from tests.surface.hooks.hooked import Hooked

HERE = Path(__file__).parent
GOLDEN = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted((HERE / "golden/claude").glob("*"))
}
OUTPUT = json.loads((HERE / "claude_output.json").read_text(encoding="utf-8"))["$defs"]
CODEX_OUTPUT = json.loads((HERE / "codex_output.json").read_text(encoding="utf-8"))["$defs"]
# Every event that its types name (facts of 2026-11-20): one that is not of interest has an answer too, which is none.
EVENTS = {
    *("SessionStart", "SessionEnd", "UserPromptSubmit", "PreToolUse", "PostToolUse", "PostToolUseFailure", "Stop"),
    *("PostToolBatch", "SubagentStart", "SubagentStop", "Notification", "PreCompact", "PermissionRequest"),
    *("FileChanged", "CwdChanged", "TaskCreated", "TaskCompleted", "TeammateIdle", "WorktreeCreate", "WorktreeRemove"),
}
BOTH = EVENTS & set(CODEX_OUTPUT)
PLAIN = st.none() | st.booleans() | st.integers() | st.text()
JSON = st.recursive(PLAIN, lambda of: st.lists(of) | st.dictionaries(st.text(), of))
FIELDS = ("hook_event_name", "session_id", "agent_id", "tool_name", "tool_input", "cwd")


def fits(answer: Any, defs: dict[str, Any], name: str) -> None:
    jsonschema.Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": defs}).validate(answer)


def shape(event: Event) -> str:
    if event.name == "PreToolUse":
        return "denies"
    return "tells" if event.carries else "notes"


def outcome(of: dict[str, str]) -> Outcome:
    return Outcome(of.get("denial"), context=of.get("context", ""), note=of.get("note", ""))


@pytest.mark.parametrize("name", GOLDEN)
def test_an_event_is_read_as_its_golden_file_says(name: str) -> None:
    golden = GOLDEN[name]

    event = claude.read(json.loads(golden["input"]), golden["environ"])

    found = {field: getattr(event, field) for field in golden["event"]}
    assert found == {**golden["event"], "paths": tuple(golden["event"]["paths"])}


@pytest.mark.parametrize("name", GOLDEN)
def test_an_answer_is_written_as_its_golden_file_says(name: str) -> None:
    golden = GOLDEN[name]
    event = claude.read(json.loads(golden["input"]), golden["environ"])

    for answer in golden["answers"]:
        assert claude.write(event, outcome(answer["outcome"])) == (answer["stdout"], answer["stderr"], answer["status"])


def test_every_event_that_is_named_has_a_golden_file() -> None:
    assert {json.loads(golden["input"])["hook_event_name"] for golden in GOLDEN.values()} == EVENTS | {"MoonRise"}


@pytest.mark.parametrize("name", GOLDEN)
def test_no_answer_has_a_key_that_is_not_known_or_a_status_that_blocks(name: str) -> None:
    golden = GOLDEN[name]
    event = claude.read(json.loads(golden["input"]), golden["environ"])

    for answer in golden["answers"]:
        assert answer["status"] == 0
        if answer["stdout"]:
            fits(json.loads(answer["stdout"]), OUTPUT, shape(event))
            if event.name in BOTH:
                fits(json.loads(answer["stdout"]), CODEX_OUTPUT, event.name)


@given(denial=st.none() | st.text(min_size=1), context=st.text(), note=st.text(), name=st.sampled_from(sorted(GOLDEN)))
def test_no_text_breaks_an_answer(denial: str | None, context: str, note: str, name: str) -> None:
    event = claude.read(json.loads(GOLDEN[name]["input"]), {})

    out, err, status = claude.write(event, Outcome(denial, context=context, note=note))

    assert (err, status) == ("", 0)
    assert out.count("\n") == (1 if out else 0)
    if out:
        fits(json.loads(out), OUTPUT, shape(event))
    assert "allow" not in json.loads(out or "{}").get("hookSpecificOutput", {}).get("permissionDecision", "")


@given(
    st.dictionaries(
        st.sampled_from(["hook_event_name", "session_id", "agent_id", "tool_name", "tool_input", "cwd"]), JSON
    )
)
def test_any_object_is_an_event_or_refused(payload: dict[str, Any]) -> None:
    try:
        event = claude.read(payload, {})
    except UsageError:
        return
    assert event.agent
    assert event.kind


@pytest.mark.parametrize("name", [name for name in GOLDEN if name != "SessionStart"])
def test_a_process_answers_the_golden_bytes_with_nothing_where_nobody_is_in_the_way(hooked: Hooked, name: str) -> None:
    data = GOLDEN[name]["input"].replace("/srv/app", str(hooked.root)).encode()
    hooked.environ = GOLDEN[name]["environ"]

    done = hooked.fire(data)

    if name.startswith("SessionStart"):
        fits(done.json, OUTPUT, "tells")
    else:
        assert done.said_nothing


def test_a_process_denies_in_these_very_bytes(hooked: Hooked) -> None:
    golden = GOLDEN["PreToolUse-Edit"]["input"].replace("/srv/app", str(hooked.root)).encode()
    hooked.edit(session="planner")

    out = hooked.fire(golden).out.decode()

    moment = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
    asker = "8f1c2d4e-0b7a-4a53-9d0e-2f6d1c3b5a79"
    assert re.sub(moment, "T", re.sub(r"\(\d+ s ago\)", "(N s ago)", out)) == (
        '{"hookSpecificOutput":{"hookEventName":"PreToolUse","permissionDecision":"deny","permissionDecisionReason":'
        '"latchboard stopped this edit: it would write what another agent holds. Nothing was written.\\n'
        "- planner holds src/a.py since T (N s ago), until T (in 1 h 0 min) unless it is renewed. "
        'What for: \\"edit in claude\\".\\n'
        "Do not write it by another tool or by the shell. Do one of these three:\\n"
        "1. Work elsewhere, and come back to it later. Who holds what: `latchboard status`\\n"
        f"2. Wait in line, then do it again: `latchboard acquire src/a.py --wait-s-max 60 --agent {asker}`\\n"
        "3. Ask the holder to hand it over; the answer comes by itself: `latchboard handoff request src/a.py --no-wait "
        f"--agent {asker} --reason 'WHY YOU NEED IT'`" + '"}}\n'
    )
