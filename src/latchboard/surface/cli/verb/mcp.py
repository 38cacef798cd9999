"""mcp: the tools of the Model Context Protocol, for clients that agents run in.

Protocol: protocol/mcp.md.
"""

from __future__ import annotations

import os
import sys

from latchboard.errors import UsageError
from latchboard.surface.cli.answer import Answer, need_stdout
from latchboard.surface.cli.grammar import Verb, flag, option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.surface.cli.call import Call
    from latchboard.surface.mcp.desk import Desk

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def run(call: Call, *, http: str | None, allowed_hosts: str, tools: bool) -> Answer:
    """Serve, or list the tools."""
    if tools:
        return _listed()
    address = None if http is None else _address(http, allowed_hosts)
    try:
        from latchboard.surface.mcp import server
    except ImportError as exc:
        raise UsageError("the MCP server needs the extra `mcp`", hint="pip install 'latchboard[mcp]'") from exc
    desk = _desk(call)
    if address is None:
        need_stdout()
        if sys.stdin is None:
            raise UsageError("standard input is closed", hint="an MCP client starts this command, and writes to it")
        return Answer(None, status=server.serve_stdio(desk))
    host, port, names = address
    desk.open()  # over HTTP no client tells where the project is
    try:
        return Answer(None, status=server.serve_http(desk, host=host, port=port, allowed_hosts=names))
    except OSError as exc:
        raise UsageError(f"cannot listen on {http}: {exc.strerror or exc}", hint="another port may be free") from exc


def _desk(call: Call) -> Desk:
    from latchboard.compose import Latchboard
    from latchboard.surface.mcp.desk import Desk

    root = call.named_root
    if root is not None and not os.path.isdir(root):
        raise UsageError(f"--root {root!r} is no folder", hint="name an existing folder")
    return Desk(Latchboard, root=root, environ={**os.environ, "AGENT_ID": call.agent_if_any or ""})


def _listed() -> Answer:
    from latchboard.surface.mcp.catalogue import TOOLS

    lines = [f"{tool.name:<16} {tool.description}" for tool in TOOLS.values()]
    return Answer({"tools": [tool.to_json() for tool in TOOLS.values()]}, lines)


def _address(text: str, allowed_hosts: str) -> tuple[str, int, tuple[str, ...]]:
    """Host, port, and the names by which the server may be reached."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
    if not port.isascii() or not port.isdecimal() or int(port) > 65535:
        raise UsageError(f"--http {text!r} is no HOST:PORT", hint="for example --http 127.0.0.1:8765")
    names = tuple(filter(None, allowed_hosts.split(",")))
    if host not in _LOOPBACK and not names:
        raise UsageError(
            f"--http {text}: whoever reaches it can take every lock and read all mail",
            hint="use 127.0.0.1, or say with --allowed-hosts by which names it may be reached",
        )
    return host, int(port), names


VERBS = (
    Verb(
        "mcp",
        run,
        summary="Serve the tools of the Model Context Protocol (extra `mcp`).",
        text="On standard input and output, for the client that starts it, until that closes them. Who asks: --agent, "
        "AGENT_ID, or else a name made for the client's session; a call may name another agent. The project: --root, "
        "else what the client says, else the one around the current folder.\n\nNeeds latchboard[mcp].",
        parameters=(
            option("--http", "HOST:PORT", "Serve streamable HTTP at /mcp instead; port 0: any free one."),
            option("--allowed-hosts", "NAMES", "With --http beyond this machine: its names, with commas.", default=""),
            flag("--tools", "List the tools and end."),
        ),
        examples=("latchboard mcp", "latchboard mcp --root . --http 127.0.0.1:8765", "latchboard mcp --tools --json"),
    ),
)
