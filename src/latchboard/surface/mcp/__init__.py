"""The MCP server: agents coordinate by tools of their client, without a shell.

Law 1. No rule lives here: a tool asks a service and hands over its answer, the same object as `--json` gives.
Law 2. The SDK is imported in server.py and nowhere else: without the extra `mcp` everything else works.
Law 3. A tool never fails with a traceback: what goes wrong is a structured error (failure.py).

Protocol: protocol/mcp.md.
"""
