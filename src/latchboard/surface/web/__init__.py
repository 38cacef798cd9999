"""The HTTP interface of a daemon: the board for pages and programs, pushed changes, and what an operator may do.

Law 1. No rule lives here: a request asks a service and hands over its answer, the same object as `--json` gives.
Law 2. Nothing changes without the token; nothing is told to a page of somebody else (gate.py).
Law 3. The event loop reads no store: what may block runs in a thread.
Law 4. What a client may make the daemon keep is bounded: connections, bodies, what waits for a slow reader.

Protocol: protocol/http.md.
"""
