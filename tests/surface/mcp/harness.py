"""What tests of the MCP server share: the server as a process, and the official client."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jsonschema
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from referencing import Registry, Resource

import latchboard
from tests.conftest import MEMORY

SOURCES = str(Path(latchboard.__file__).parents[1])
SCHEMA = Path(__file__).parents[3] / "protocol" / "schema"
COMMAND = [sys.executable, "-m", "latchboard", "mcp"]
WAIT_S_MAX = 60.0
ERAS = ("legacy", "auto")
"""How a client begins: the handshake of the protocol until 2025, or what the newest one has in its place."""

_SCHEMAS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in SCHEMA.glob("*.json")}
_REGISTRY: Registry[Any] = Registry().with_resources(
    [(f"{name}.json", Resource.from_contents(schema)) for name, schema in _SCHEMAS.items()]
)


def schema(name: str) -> Any:
    return _SCHEMAS[name]


def faults(name: str, answer: object) -> list[str]:
    """Why an answer is not what protocol/schema says."""
    validator = jsonschema.Draft202012Validator(_SCHEMAS[name], registry=_REGISTRY)
    return [f"{'/'.join(map(str, e.absolute_path))}: {e.message}" for e in validator.iter_errors(answer)]


class Warm:
    """Where servers come from that need not load anything: see warm.py. Started when it is first asked."""

    def __init__(self) -> None:
        self._folder = ""
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """What starts a server."""
        path = Path(__file__).with_name("warm.py")
        if self._process is None:
            self._folder = tempfile.mkdtemp(prefix="latchboard-warm-", dir=MEMORY)
            start = [sys.executable, str(path), f"{self._folder}/door"]
            environment = {**os.environ, "PYTHONPATH": SOURCES}
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(start, env=environment, stdin=pipe, stdout=pipe)
            assert self._process.stdout is not None
            assert self._process.stdout.readline() == b"ready\n"
        return [sys.executable, "-I", "-S", str(path), f"{self._folder}/door", "mcp"]

    def close(self) -> None:
        if self._process is not None:
            self._process.communicate(timeout=WAIT_S_MAX)
            shutil.rmtree(self._folder)
            self._process = None


warm = Warm()


@asynccontextmanager
async def connected(
    project: Path,
    *words: str,
    mode: str = "auto",
    errors: Path | None = None,
    client: Any = None,
    is_cold: bool = False,
    **environment: str,
) -> AsyncIterator[Client]:
    """A client of a server of its own, and what that server writes to standard error, if a file is named.

    `is_cold`: the server is started by the command that people write down, and loads everything itself.
    """
    command = [*(COMMAND if is_cold else warm.command()), *words]
    # What a client passes on by itself is a short list, without AGENT_ID.
    environment = {"PYTHONPATH": SOURCES, **environment}
    start = StdioServerParameters(command=command[0], args=command[1:], env=environment, cwd=project)
    with (errors or project / "data" / "stderr").open("a", encoding="utf-8") as errlog:
        transport = stdio_client(start, errlog=errlog)
        async with Client(transport, mode=mode, read_timeout_seconds=WAIT_S_MAX, **(client or {})) as made:
            yield made


def in_time(delays: list[float]) -> bool:
    """Whether as many were told within 200 ms as show that nobody waits for a look now and then.

    A machine that is busy makes some late, and one that looks now and then is late each time: what is heard is just
    behind a look, and so is what is done next.
    """
    return sum(delay_s < 0.2 for delay_s in delays) >= 5


DELAYS_COUNT_MAX = 60


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """The answer of a tool that is to succeed."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.structured_content
    answer: dict[str, Any] = result.structured_content
    return answer


async def refused(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """The failure of a tool that is to fail, held to its schema."""
    result = await client.call_tool(tool, arguments)
    assert result.is_error, result.structured_content
    failure: dict[str, Any] = result.structured_content
    assert faults("error", failure) == []
    assert json.loads(result.content[0].text) == failure  # type: ignore[union-attr]
    assert "Traceback" not in str(failure)
    return failure
