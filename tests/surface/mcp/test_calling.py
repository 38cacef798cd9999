"""What becomes of a call's outcome when its caller is gone, and of mail between its writing and its taking."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from pathlib import Path

import pytest
from mcp import Client

from latchboard.compose import Latchboard
from latchboard.surface.mcp import calling
from latchboard.surface.mcp.desk import Desk
from latchboard.surface.mcp.identity import Caller
from latchboard.surface.mcp.server import Service
from tests.surface.mcp.harness import WAIT_S_MAX, call

pytestmark = pytest.mark.anyio


class SlowDesk(Desk):
    """One that takes mail when it is let."""

    def __init__(self, project: Path) -> None:
        super().__init__(Latchboard, root=str(project), environ={"AGENT_ID": "planner"})
        self.begun, self.let = threading.Event(), threading.Event()

    def take(self, agent: str, handed_on: Iterable[str]) -> None:
        self.begun.set()
        assert self.let.wait(WAIT_S_MAX)
        super().take(agent, handed_on)


async def test_a_grant_whose_caller_is_gone_is_taken_back(project: Path, board: Latchboard) -> None:
    desk = Desk(Latchboard, root=str(project), environ={"AGENT_ID": "planner"})
    asked = {"paths": ["src/a.py"]}
    task = asyncio.ensure_future(
        calling.call(desk, "acquire", asked, caller=Caller(), offered=(), tell=lambda sentence: None)
    )
    await asyncio.sleep(0)  # it has begun, and does not stop for being cancelled

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert board.locks.check(["src/a.py"]) == []
    assert board.agent("somebody").lock("src/a.py").token > 1
    desk.close()


async def test_a_claim_whose_caller_is_gone_is_given_back(project: Path, board: Latchboard) -> None:
    board.queue.submit([{"id": "a", "title": "a", "role": "builder"}], by="lead")
    desk = Desk(Latchboard, root=str(project), environ={"AGENT_ID": "planner"})
    asked = {"role": "builder"}
    task = asyncio.ensure_future(
        calling.call(desk, "claim_job", asked, caller=Caller(), offered=(), tell=lambda sentence: None)
    )
    await asyncio.sleep(0)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    job = board.queue.show("a")["job"]
    assert (job["status"], job["attempts_count"], [one["outcome"] for one in job["attempts"]]) == (
        "ready",
        0,
        ["released"],
    )
    desk.close()


async def test_the_next_call_waits_until_mail_is_taken(project: Path, board: Latchboard) -> None:
    board.mailbox.send("builder", "planner", "hello")
    desk = SlowDesk(project)
    async with Service(desk, is_remote=False) as service, Client(service.sdk) as client:
        # Without a transport a call is handled in the caller's task: each has one of its own here, as in a server.
        first = await asyncio.ensure_future(call(client, "inbox"))
        assert [one["body"] for one in first["messages"]] == ["hello"]
        assert await asyncio.to_thread(desk.begun.wait, WAIT_S_MAX)

        again = asyncio.ensure_future(call(client, "inbox"))
        done, _ = await asyncio.wait([again], timeout=0.2)
        desk.let.set()

        assert not done
        assert (await again)["messages"] == []


@pytest.mark.parametrize("is_written", [True, False])
async def test_mail_in_an_answer_that_was_never_written_stays(
    project: Path, board: Latchboard, is_written: bool
) -> None:
    sent = board.mailbox.send("builder", "planner", "hello")
    desk = Desk(Latchboard, root=str(project), environ={})
    taking = calling.Taking(desk)
    begun = asyncio.Event()

    async def request() -> None:
        taking.take_later("planner", frozenset([sent["id"]]))
        begun.set()
        if not is_written:
            await asyncio.Event().wait()

    task = asyncio.ensure_future(request())
    await begun.wait()
    task.cancel()
    await asyncio.wait([task])
    await asyncio.sleep(0)  # what is called when a task ends is called after that
    await taking.settle()

    assert [one["id"] for one in board.mailbox.peek("planner")] == ([] if is_written else [sent["id"]])
    desk.close()
