"""The tools as models see them: small, strict, and in agreement with protocol/schema and with what does the work."""

from __future__ import annotations

import inspect
import json
import re

import jsonschema
import pytest

from latchboard.surface.mcp import work
from latchboard.surface.mcp.catalogue import INSTRUCTIONS, TOOLS, Tool
from tests.surface.mcp.harness import schema

DEFINITIONS_BYTES_MAX = 7 * 1024

each_tool = pytest.mark.parametrize("tool", TOOLS.values(), ids=list(TOOLS))


def test_all_definitions_together_are_small() -> None:
    text = json.dumps([tool.to_json() for tool in TOOLS.values()], separators=(",", ":"), ensure_ascii=False)

    assert len(text.encode()) <= DEFINITIONS_BYTES_MAX
    assert len(INSTRUCTIONS.encode()) <= 600


def test_there_is_no_tool_for_what_there_is_not() -> None:
    assert list(TOOLS) == [
        *("acquire", "wait", "release", "renew", "check", "status", "handoff_request", "handoff_answer"),
        *("send", "inbox", "ack", "claim_job", "complete_job"),
    ]


@each_tool
def test_descriptions_are_one_or_two_short_sentences(tool: Tool) -> None:
    assert 10 < len(tool.description) <= 120
    assert tool.description.endswith(".")


@each_tool
def test_schemas_are_schemas_and_inputs_are_strict(tool: Tool) -> None:
    for one in (tool.input, tool.output):
        jsonschema.Draft202012Validator.check_schema(one)
        assert one["type"] == "object"
    assert tool.input["additionalProperties"] is False
    assert not {"anyOf", "oneOf", "allOf"} & set(tool.input)  # clients pass inputs to models that take none of these
    assert set(tool.input.get("required", ())) <= set(tool.input["properties"])


@each_tool
def test_inputs_are_what_the_function_takes(tool: Tool) -> None:
    own = inspect.signature(getattr(work, tool.name)).parameters
    named = {name: one for name, one in own.items() if one.kind is one.KEYWORD_ONLY}
    passed_on = set() if len(named) == len(own) - 1 else {"reason", "shared", "ttl_s"}
    if tool.name == "send":
        passed_on = {"subject", "urgency", "reply_to", "thread"}

    assert set(tool.input["properties"]) - {"agent"} - passed_on == set(named)
    assert set(tool.input.get("required", ())) >= {n for n, one in named.items() if one.default is one.empty}


@each_tool
def test_outputs_agree_with_the_schemas_of_the_protocol(tool: Tool) -> None:
    for name in tool.like.split():
        theirs = schema(name)
        for alternative in theirs.get("oneOf", [theirs]):
            fields = {**theirs.get("properties", {}), **alternative.get("properties", {})}
            for field, ours in tool.output["properties"].items():
                if field in fields and "type" in fields[field]:
                    assert fields[field]["type"] == ours["type"], (name, field)
    required, failed = tool.output["anyOf"]
    assert failed == {"required": ["code"]}
    assert set(required["required"]) <= set(tool.output["properties"])


def test_instructions_name_tools_that_are_there() -> None:
    named = set(re.findall(r"\b[a-z]+_[a-z]+\b", INSTRUCTIONS))

    assert named <= set(TOOLS)
