"""The server over streamable HTTP: several clients on one process, who they are, and who is kept out."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client, types
from mcp.client.streamable_http import streamable_http_client

from latchboard.compose import Latchboard
from latchboard.surface.mcp import server
from latchboard.surface.mcp.desk import Desk
from tests.surface.mcp.harness import COMMAND, DELAYS_COUNT_MAX, ERAS, SOURCES, WAIT_S_MAX, call, in_time, refused
from tests.surface.mcp.test_stdio import changed, subscribe, waiting

pytestmark = [pytest.mark.anyio, pytest.mark.process]


@pytest.fixture
def url(project: Path) -> Iterator[str]:
    """Where a server of the project listens."""
    environment = {**os.environ, "PYTHONPATH": SOURCES, "AGENT_ID": "of-the-server"}
    command = [*COMMAND, "--http", "127.0.0.1:0"]
    with subprocess.Popen(command, cwd=project, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/mcp", line)
        assert found, line + process.stderr.read()
        yield found.group()
        process.terminate()
        rest = process.stderr.read()
        process.wait(timeout=WAIT_S_MAX)
    assert "Traceback" not in rest, rest


@asynccontextmanager
async def connected(url: str, *, agent: str = "", mode: str = "auto", **options: Any) -> AsyncIterator[Client]:
    headers = {"Latchboard-Agent": agent} if agent else {}
    async with httpx2.AsyncClient(headers=headers, timeout=WAIT_S_MAX) as http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(transport, mode=mode, read_timeout_seconds=WAIT_S_MAX, **options) as client:
            yield client


@pytest.mark.parametrize("mode", ERAS)
async def test_two_clients_of_one_server_meet(url: str, mode: str) -> None:
    async with (
        connected(url, agent="planner", mode=mode) as planner,
        connected(url, agent="builder", mode=mode) as builder,
    ):
        await call(planner, "acquire", paths=["src/a.py"])
        assert (await refused(builder, "acquire", paths=["src/a.py"]))["holders"][0]["agent"] == "planner"

        waits = asyncio.Event()
        task = asyncio.ensure_future(waiting(builder, waits, "wait", paths=["src/a.py"]))
        await waits.wait()
        await call(planner, "release", paths=["src/a.py"])
        assert (await task).structured_content["agent"] == "builder"


@pytest.mark.parametrize("mode", ERAS)
async def test_a_cancelled_wait_leaves_no_place_in_line(url: str, board: Latchboard, mode: str) -> None:
    board.agent("planner").lock("src/a.py", bound="agent")
    async with connected(url, agent="builder", mode=mode) as client:
        revision = board.store.read("wide").revision
        waits = asyncio.Event()
        task = asyncio.ensure_future(waiting(client, waits, "wait", paths=["src/a.py"]))
        await waits.wait()
        await changed(board, "waiters/", revision)
        task.cancel()
        await asyncio.wait([task])
        await changed(board, "waiters/", revision, gone=True)


async def test_the_servers_own_agent_id_is_nobodys(url: str) -> None:
    async with connected(url, mode="legacy") as one, connected(url, mode="legacy") as two:
        names = [(await call(client, "status"))["agent"] for client in (one, two, one)]
    assert names[0] == names[2] != names[1]
    assert "of-the-server" not in names

    async with connected(url) as without_session:
        failure = await refused(without_session, "acquire", paths=["src/a.py"])
        assert failure["code"] == "usage"
        assert "Latchboard-Agent" in failure["hint"]
        assert (await call(without_session, "acquire", paths=["src/a.py"], agent="named"))["agent"] == "named"
    async with connected(url, agent="x" * 300) as wrong:
        assert (await refused(wrong, "status"))["code"] == "usage"


async def test_subscribers_are_told_within_200_ms(url: str, board: Latchboard) -> None:
    told: asyncio.Queue[str] = asyncio.Queue()

    async def heard(message: Any) -> None:
        if isinstance(message, types.ResourceUpdatedNotification):
            told.put_nowait(str(message.params.uri))

    async with (
        connected(url, agent="a", mode="legacy", message_handler=heard) as client,
        connected(url, agent="b") as listening,
        listening.listen(resource_subscriptions=["latchboard://history"]) as events,
    ):
        await subscribe(client, "latchboard://board")
        delays: list[float] = []
        while not in_time(delays) and len(delays) < DELAYS_COUNT_MAX:
            before = time.monotonic()
            board.agent("planner").lock(f"src/{len(delays)}.py", bound="agent")
            async with asyncio.timeout(WAIT_S_MAX):
                assert await told.get() == "latchboard://board"
                assert (await anext(aiter(events))).uri == "latchboard://history"  # type: ignore[union-attr]
            delays.append(time.monotonic() - before)

    assert in_time(delays), delays


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 400),
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1.evil.example:80"}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:3000"}, 400),
    ],
)
def test_a_web_page_from_elsewhere_is_kept_out(url: str, headers: dict[str, str], status: int) -> None:
    plain = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}

    answer = httpx2.post(url, headers={**plain, **headers}, content=b"{}", timeout=WAIT_S_MAX)

    assert answer.status_code == status


def test_a_body_without_end_is_refused(url: str) -> None:
    plain = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}

    answer = httpx2.post(url, headers=plain, content=b" " * (5 * 1024 * 1024), timeout=WAIT_S_MAX)

    assert answer.status_code == 413


def test_a_port_that_is_taken_is_no_traceback(url: str, project: Path) -> None:
    address = url.removeprefix("http://").removesuffix("/mcp")
    done = subprocess.run(
        [*COMMAND, "--http", address],
        cwd=project,
        env={**os.environ, "PYTHONPATH": SOURCES},
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S_MAX,
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert "cannot listen on" in done.stderr


async def test_the_application_serves_inside_another_process(project: Path) -> None:
    app = server.http_app(Desk(Latchboard, root=str(project)), allowed_hosts=("board.test",))
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app),
            headers={"Latchboard-Agent": "planner"},
            base_url="http://board.test",
            timeout=WAIT_S_MAX,
        ) as http,
    ):
        async with Client(streamable_http_client("http://board.test/mcp", http_client=http)) as client:
            assert (await call(client, "acquire", paths=["src/a.py"]))["agent"] == "planner"
        outside = await http.post("http://127.0.0.1/mcp", json={})
        assert outside.status_code == 421
