"""A project and the clients' hooks in it: processes, one for each event, forked (tests/forked.py)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from latchboard import Latchboard
from tests import forked
from tests.tidy.tree import PACKAGE

TIMEOUT_S = 60


class Done:
    """One hook process that has ended."""

    def __init__(self, status: int, out: bytes, err: bytes) -> None:
        self.status = status
        self.out = out
        self.err = err.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.out) if self.out else {}

    @property
    def special(self) -> dict[str, Any]:
        found: dict[str, Any] = self.json.get("hookSpecificOutput", {})
        return found

    @property
    def denial(self) -> str | None:
        return self.special.get("permissionDecisionReason") if self.is_denied else None

    @property
    def is_denied(self) -> bool:
        return self.special.get("permissionDecision") == "deny"

    @property
    def context(self) -> str:
        return str(self.special.get("additionalContext", ""))

    @property
    def said_nothing(self) -> bool:
        return (self.status, self.out, self.err) == (0, b"", "")


class Hooked:
    """A repository, and events that happen in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("src", ".git"):
            (root / name).mkdir()
        for name in ("src/a.py", "src/b.py"):
            (root / name).write_text("one\n")
        self.environ: dict[str, str] = {}

    @property
    def board(self) -> Latchboard:
        return Latchboard(self.root, publishes=False)

    # -- events of Claude Code ---------------------------------------------------------------------------------------

    def event(self, name: str, session: str = "s1", **fields: Any) -> dict[str, Any]:
        base = {
            "session_id": session,
            "transcript_path": "/srv/dev/.claude/projects/app/t.jsonl",
            "cwd": str(self.root),
            "permission_mode": "default",
            "hook_event_name": name,
        }
        return {**base, **fields}

    def edit(self, path: str = "src/a.py", session: str = "s1", *, after: bool = False, **fields: Any) -> Done:
        name = "PostToolUse" if after else "PreToolUse"
        full = path if path.startswith("/") else f"{self.root}/{path}"
        tool_input = {"file_path": full, "old_string": "one", "new_string": "two"}
        return self.fire(self.event(name, session, tool_name="Edit", tool_input=tool_input, **fields))

    def shell(self, command: str, session: str = "s1", *, after: bool = False, **fields: Any) -> Done:
        name = "PostToolUse" if after else "PreToolUse"
        return self.fire(self.event(name, session, tool_name="Bash", tool_input={"command": command}, **fields))

    # -- processes ---------------------------------------------------------------------------------------------------

    def start(self, client: str = "claude", **options: Any) -> subprocess.Popen[bytes]:
        environ = {name: value for name, value in os.environ.items() if name not in ("AGENT_ID", "CLAUDE_PROJECT_DIR")}
        environ |= {"PYTHONPATH": str(PACKAGE.parent), **self.environ}
        pipe = subprocess.PIPE
        options = {"stdin": pipe, "stdout": pipe, "stderr": pipe, "cwd": self.root, **options}
        return forked.Popen(options.pop("args", self.command(client)), env=environ, **options)

    @staticmethod
    def command(client: str = "claude") -> list[str]:
        return [sys.executable, "-m", "latchboard.surface.hooks", client]

    def fire(self, event: dict[str, Any] | bytes, client: str = "claude", **options: Any) -> Done:
        process = self.start(client, **options)
        data = event if isinstance(event, bytes) else json.dumps(event).encode()
        try:
            out, err = process.communicate(data, timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        return Done(process.returncode, out or b"", err or b"")

    # -- looking -----------------------------------------------------------------------------------------------------

    def holder(self, name: str) -> str | None:
        holders = [one["agent"] for one in self.board.locks.check([name])]
        return holders[0] if holders else None
