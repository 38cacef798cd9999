"""Jobs over MCP: claimed with their locks, kept by renew, completed or failed; who lost an answer asks again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from latchboard.compose import Latchboard
from latchboard.surface.mcp.desk import Desk
from latchboard.surface.mcp.server import Service
from tests.surface.mcp.harness import call, faults

pytestmark = pytest.mark.anyio


def add(board: Latchboard, **draft: Any) -> None:
    board.queue.submit([{"id": "a", "title": "a", "role": "builder", **draft}], by="lead")


def serve(project: Path) -> Service:
    return Service(Desk(Latchboard, root=str(project), environ={"AGENT_ID": "b1"}), is_remote=False)


async def test_a_job_is_claimed_kept_and_completed(project: Path, board: Latchboard) -> None:
    add(board, files=["src/a.py"], then=["tester"])
    async with serve(project) as service, Client(service.sdk) as client:
        claimed = await call(client, "claim_job", role="builder")
        assert faults("queue-claim", claimed) == []
        assert [one["agent"] for one in board.locks.check(["src/a.py"], agent="other")] == ["b1"]
        before = board.queue.show("a")["lease"]["heartbeat_mono_s"]
        await call(client, "renew")
        assert board.queue.show("a")["lease"]["heartbeat_mono_s"] > before
        await call(client, "release", all=True)

        said = {"job": "a", "token": claimed["lease"]["token"], "result": "it works"}
        done = await call(client, "complete_job", **said)
        again = await call(client, "complete_job", **said)

    assert faults("queue-complete", done) == []
    assert (done["job"]["status"], done["already"], again["already"]) == ("awaiting_test", False, True)
    assert board.queue.show("a")["job"]["result"] == "it works"


async def test_a_job_that_failed_is_tried_again(project: Path, board: Latchboard) -> None:
    add(board)
    async with serve(project) as service, Client(service.sdk) as client:
        claimed = await call(client, "claim_job", role="builder", job="a", ttl_s=60)
        token = claimed["lease"]["token"]
        failed = await call(client, "complete_job", job="a", token=token, error="no compiler")
        assert faults("queue-fail", failed) == []

        both = await client.call_tool("complete_job", {"job": "a", "token": token, "error": "e", "result": "r"})
        late = await client.call_tool("complete_job", {"job": "a", "token": token})
        none = await client.call_tool("claim_job", {"role": "builder"})

    assert failed["job"]["attempts"][-1]["error"] == "no compiler"
    found = [one.structured_content["code"] for one in (both, late, none) if one.structured_content]
    assert found == ["usage", "stale-token", "nothing-ready"]
