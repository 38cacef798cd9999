"""What no model should send, and some do: the answer is an error that says what would be right, and nothing breaks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from mcp import MCPError

from latchboard.surface.mcp.catalogue import TOOLS
from tests.surface.mcp.harness import call, connected, refused

pytestmark = [pytest.mark.anyio, pytest.mark.process]

BAD_AGENTS = ("", " ", " planner", "planner\n", "a\0b", "x" * 201, "\u202e")
BAD_CALLS: list[tuple[str, dict[str, Any], str]] = [
    ("acquire", {}, "acquire needs paths"),
    ("acquire", {"paths": []}, "no path was given"),
    ("acquire", {"paths": "src/a.py"}, "a list of texts"),
    ("acquire", {"paths": ["src/a.py", 7]}, "is text, not 7"),
    ("acquire", {"paths": ["src/a.py"], "shared": "yes"}, "true or false"),
    ("acquire", {"paths": ["src/a.py"], "ttl_s": "soon"}, "a number"),
    ("acquire", {"paths": ["src/a.py"], "ttl_s": -1}, "above zero"),
    ("acquire", {"paths": ["src/a.py"], "force": True}, "knows no 'force'"),
    ("acquire", {"paths": ["a\0b"]}, ""),
    ("acquire", {"paths": [""]}, ""),
    ("acquire", {"paths": ["x" * 1_000_000]}, ""),
    ("acquire", {"paths": ["x"] * 5 + [f"{n}" for n in range(1000)]}, "at most 1000"),
    ("acquire", {"paths": ["src/a.py"], "reason": "x" * 2_000_000}, ""),
    ("wait", {"paths": ["src/a.py"], "wait_s_max": -5}, "seconds from 0"),
    ("wait", {"paths": ["src/a.py"], "wait_s_max": True}, "a number"),
    ("release", {}, "one of them"),
    ("release", {"paths": ["a"], "all": True}, "one of them"),
    ("handoff_answer", {"request": "../../etc/passwd", "grant": True}, "no open handoff request"),
    ("handoff_answer", {"request": "x" * 100_000, "grant": False}, "no open handoff request"),
    ("send", {"body": "hi"}, "one of them"),
    ("send", {"to": "b", "body": "x" * 300_000}, ""),
    ("send", {"to": "b", "body": "x", "urgency": "panic"}, "one of low, normal, high, urgent"),
    ("send", {"to": "../../escape\n", "body": "x"}, "an agent id"),
    ("send", {"to": "b", "body": "x", "reply_to": "../../x"}, ""),
    ("inbox", {"limit": 0}, "1 or more"),
    ("inbox", {"limit": 1.5}, "a whole number"),
    ("ack", {"id": "../../../etc/passwd"}, ""),
    ("ack", {"id": "x" * 100_000}, ""),
    ("claim_job", {"role": "../x"}, "a role is"),
    ("claim_job", {"role": "builder", "job": "../../etc/passwd"}, "a job's id"),
    ("claim_job", {"role": "builder", "ttl_s": 0}, ""),
    ("complete_job", {"job": "a"}, "needs token"),
    ("complete_job", {"job": "x" * 100_000, "token": 1}, "a job's id"),
    ("complete_job", {"job": "a", "token": 1, "result": "x" * 100_000}, "at most 65536"),
    ("complete_job", {"job": "a", "token": 1, "result": "r", "error": "e"}, "one of them"),
]


async def test_every_bad_call_is_a_short_structured_error_and_the_server_goes_on(project: Path, tmp_path: Path) -> None:
    errors = tmp_path / "stderr"
    async with connected(project, AGENT_ID="planner", errors=errors) as client:
        for tool, arguments, says in BAD_CALLS:
            failure = await refused(client, tool, **arguments)
            assert says in failure["message"], (tool, failure["message"])
            assert failure["code"] != "internal", (tool, failure)
            assert len(str(failure)) < 20_000, (tool, len(str(failure)))
        for agent in BAD_AGENTS:
            for tool in TOOLS.values():
                values = {"paths": ["a"], "body": "x", "to": "b", "request": "r", "grant": True, "id": "1", "all": True}
                values |= {"role": "builder", "job": "a", "token": 1}
                needed = {name: values[name] for name in tool.input.get("required", ())}
                failure = await refused(client, tool.name, **needed, agent=agent)
                assert failure["code"] == "usage"
        for name in ("", "acquire\n", "../acquire", "__init__", "x" * 100_000):
            with pytest.raises(MCPError):
                await client.call_tool(name, {})
        status = await call(client, "status")

    assert status["active_locks"] == []
    assert "Traceback" not in errors.read_text()


async def test_paths_that_lead_outside_lock_a_name_and_touch_no_file(project: Path, tmp_path: Path) -> None:
    before = sorted(os.listdir(tmp_path))
    async with connected(project, AGENT_ID="../../planner") as client:
        held = await call(client, "acquire", paths=["../../../../etc/passwd", "src/../../outside", "/etc/hosts"])
        names = [lock["name"] for lock in held["locks"]]
        await call(client, "send", to="../../../mail", body="x")
        sent = await call(client, "inbox", agent="../../../mail")
        released = await call(client, "release", all=True)

    assert all(os.path.isabs(name) for name in names)
    assert sorted(released["released"]) == sorted(names)
    assert [message["body"] for message in sent["messages"]] == ["x"]
    assert sorted(os.listdir(tmp_path)) == before
    assert sorted(os.listdir(project)) == [".git", "data"]


async def test_a_name_that_is_no_unicode_is_shown_and_breaks_nothing(project: Path) -> None:
    async with connected(project, AGENT_ID="planner") as client:
        odd = "glob:[ab]/‮*.py", "a b/ü\t.py", "'; rm -rf ~", "$(id)", "-rf"
        held = await call(client, "acquire", paths=list(odd))
        assert len(held["locks"]) == len(odd)
        assert (await call(client, "release", paths=[lock["name"] for lock in held["locks"]]))["not_held"] == []
