"""The MCP server of the daemon: loaded when somebody asks for it, behind the same gate, gone when the daemon stops."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

import latchboard.surface.mcp
from latchboard.compose import Latchboard
from latchboard.surface.web import tools
from latchboard.surface.web.gate import HEADERS
from tests.surface.web.harness import TOKEN, WAIT_S_MAX, Served

ERAS = ("legacy", "auto")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def connected(served: Served, agent: str, *, mode: str = "auto", token: str = TOKEN) -> AsyncIterator[Client]:
    headers = {"Latchboard-Agent": agent, "Authorization": f"Bearer {token}"}
    url = f"http://127.0.0.1:{served.port}/mcp"
    async with httpx2.AsyncClient(headers=headers, timeout=WAIT_S_MAX) as http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(transport, mode=mode, read_timeout_seconds=WAIT_S_MAX) as client:
            yield client


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    found: dict[str, Any] = result.structured_content
    return found


@pytest.mark.anyio
@pytest.mark.parametrize("mode", ERAS)
async def test_agents_meet_at_the_daemon_s_tools(served: Served, board: Latchboard, mode: str) -> None:
    async with connected(served, "planner", mode=mode) as planner, connected(served, "builder", mode=mode) as builder:
        assert (await call(planner, "acquire", paths=["src/a.py"]))["agent"] == "planner"
        assert (await call(builder, "acquire", paths=["src/a.py"]))["code"] == "lock-held"

    assert [one["agent"] for one in board.board.read()["active_locks"]] == ["planner"]
    assert served.get("/api/board").json["active_locks"][0]["agent"] == "planner"


@pytest.mark.anyio
async def test_a_client_that_is_connected_is_use(board: Latchboard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "USE_S", 0.02)
    uses = threading.Semaphore(0)
    with closing(Served(board, on_activity=uses.release)) as served:
        async with connected(served, "planner", mode="legacy") as planner:  # it keeps a stream open
            await call(planner, "status")
            for _ in range(50):
                assert await asyncio.to_thread(uses.acquire, timeout=WAIT_S_MAX)


@pytest.mark.anyio
async def test_a_daemon_stops_with_clients_of_its_tools_connected(served: Served) -> None:
    async with connected(served, "planner", mode="legacy") as planner:
        await call(planner, "status")
        served.close()


def test_clients_that_come_and_go_are_noted_once(served: Served) -> None:
    """Each request of a client that keeps no stream open is a client that comes and goes."""
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    for _ in range(5):
        assert served.ask("POST", "/mcp", HELLO, headers=headers).status == 200

    noted: list[int] = []
    looked = threading.Event()

    def look() -> None:
        noted.append(sum("_note_use" in repr(timer) for timer in served.loop._scheduled))  # type: ignore[attr-defined]
        looked.set()

    served.loop.call_soon_threadsafe(look)
    assert looked.wait(WAIT_S_MAX) and noted == [1]


HELLO = b"""{"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
    "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}}"""


def test_a_request_that_is_none_of_the_protocol_is_refused_by_it(served: Served) -> None:
    body = b'{"jsonrpc": "2.0", "id": 1, "method": "nothing"}'
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}

    assert served.ask("POST", "/mcp", body, headers=headers).status in (200, 400, 404)
    assert served.ask("POST", "/mcp", b"{", headers=headers).status == 400
    answer = served.ask("POST", "/mcp", HELLO, headers=headers)
    assert answer.status == 200 and {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    assert served.ask("PUT", "/mcp", body, headers=headers).status == 405
    assert served.ask("POST", "/mcp", body, token=None, headers=headers).status == 401
    assert served.ask("POST", "/mcp", body, headers={**headers, "Host": "evil.example"}).status == 421
    large = b" " * (4 * 1024 * 1024 + 1)
    assert served.ask("POST", "/mcp", large, headers=headers).status == 413
    served.ask("GET", "/mcp/").failed(404, "not-found")


def test_without_the_extra_it_says_what_to_install(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "latchboard.surface.mcp.server", None)
    monkeypatch.delattr(latchboard.surface.mcp, "server", raising=False)

    answer = served.post("/mcp").failed(501, "not-installed")
    assert "latchboard[mcp]" in answer["hint"]
    monkeypatch.undo()
    assert served.post("/mcp").status != 501


@pytest.mark.process
def test_nothing_of_it_is_loaded_before(board: Latchboard) -> None:
    program = (
        "import sys; from latchboard import Latchboard; from latchboard.surface.web import app, door; "
        "door.config(app.build(Latchboard(sys.argv[1]), 'x' * 64)); print(*sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program, board.root], capture_output=True, text=True, check=True)

    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "starlette" in loaded
    assert not loaded & {"mcp", "pydantic", "httpx2", "jsonschema"}
    assert "latchboard.surface.mcp" not in done.stdout.split()
