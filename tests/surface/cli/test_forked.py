"""A forked command is what a started one is (tests/forked.py): every verb both ways, in stories told in two projects.

Compared are exit statuses, both streams, and every file that there is in the end; without what no two runs have in
common: words with a digit in them, which are times, ids, tokens, sizes, and numbers of processes.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from latchboard.surface.cli import catalogue
from tests import forked
from tests.conftest import SOAK
from tests.surface.cli.harness import path_without_clients

pytestmark = [
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.skipif(SOAK, reason="not applicable: the soak forks no command"),
]

COMMAND = [sys.executable, "-m", "latchboard"]
HOOK = [sys.executable, "-m", "latchboard.surface.hooks"]
NEVER_FORKED = {*forked.KNOWN_BY_NAME, "mcp", "top", "demo", "bench"}
"""Known by their command line, or commands of tests that start them."""
WAYS: dict[str, Any] = {"started": subprocess, "forked": forked}
Say = Callable[..., Any]
_OWN = re.compile(r"[\w.:+-]*\d[\w.:+-]*|\b[a-f]{8}\b")
_SPAN = re.compile(r"# (?:d|h|min|s)\b(?: # (?:h|min|s)\b)?")
"""2 h, or 1 h 59 min."""


class Teller:
    """Runs commands one way in a project of its own, and remembers what they were and said."""

    def __init__(self, way: Any, folder: Path) -> None:
        self._way = way
        self.home = folder / "home"
        self.project = folder / "project"
        (self.project / "src").mkdir(parents=True)
        (self.project / "src" / "a.py").write_text("a\n", encoding="utf-8")
        self.home.mkdir()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
        self.environment = {**kept, "HOME": str(self.home), "PATH": path_without_clients(), "AGENT_ID": "planner"}
        self.told: list[tuple[str, int, str, str]] = []

    def __call__(self, *words: str, stdin: str = "", **environment: str) -> Any:
        """The answer, where it was asked for as JSON."""
        out = self.run([*COMMAND, *words], stdin, **environment)
        return json.loads(out.partition("\n")[0]) if "--json" in words and out else None

    def hook(self, name: str, session: str, **fields: Any) -> None:
        """Tell the hook of a client an event."""
        event = {"hook_event_name": name, "session_id": session, "cwd": str(self.project), **fields}
        self.run([*HOOK, "claude"], json.dumps(event), AGENT_ID="")

    def run(self, command: list[str], stdin: str, **environment: str) -> str:
        """Standard output."""
        done = self._way.run(
            command,
            cwd=self.project,
            env={**self.environment, **environment},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
        )
        texts = [self._common(text) for text in (" ".join(command[2:]), done.stdout, done.stderr)]
        self.told.append((texts[0], done.returncode, texts[1], texts[2]))
        return str(done.stdout)

    def files(self) -> list[tuple[str, str]]:
        """Every file, and what is in it; temporary ones are named, and left, by the number of a process."""
        paths = [path for path in self.project.parent.rglob("*") if path.is_file() and path.suffix != ".tmp"]
        return sorted((self._common(str(path)), self._common(path.read_text("utf-8", "replace"))) for path in paths)

    def _common(self, text: str) -> str:
        return _SPAN.sub("#", _OWN.sub("#", text.replace(str(self.project.parent), "<here>")))


def locks(say: Say) -> None:
    say("init", "--client", "claude")
    say("doctor", "--hooks")  # the rest of a report is about the machine, where other tests run
    token = str(say("acquire", "src/a.py", "docs/", "--json")["token"])
    say("check", "src/a.py", "--agent", "builder")
    say("check", "src/a.py", "--agent", "builder", "--json")
    say("acquire", "src/a.py", "--agent", "builder", "--wait-s-max", "0.01", "--json")
    say("renew", "--ttl-s", "60")
    say("release", "docs/", "--token", token)
    request = say("handoff", "request", "src/a.py", "--no-wait", "--agent", "builder", "--json")["request"]
    say("handoff", "list")
    say("handoff", "decline", request, "--reason", "not now")
    request = say("handoff", "request", "src/a.py", "--no-wait", "--agent", "builder", "--json")["request"]
    say("handoff", "grant", request)
    say("run", "src/b.py", "--", "sh", "-c", 'echo "$AGENT_ID"; cat; exit 7', stdin="in\n")
    say("run", "src/b.py", "--json", "--", "sh", "-c", "kill -9 $$")
    say("break", "src/a.py", "--reason", "a test", "--agent", "tester")
    say("release", "--all", "--agent", "builder")
    say("conflict", "list")
    say("conflict", "show", "none")
    say("conflict", "restore", "none", "src/a.py", "--json")
    say("history")
    say("watch", "--after", "0", "--count", "2", "--json")
    say("cleanup", "--dry-run")
    say("cleanup", "--json")


def board(say: Say) -> None:
    say("init")
    say("update", "busy", "src/a.py")
    say("send", "builder", "-", "--ack", stdin="grün\n")
    say("send", "builder", "again", AGENT_ID="")
    message = say("inbox", "--agent", "builder", "--json")["messages"][0]["id"]
    say("inbox", "--agent", "builder", "--ack", message)
    say("status")
    say("status", "--json", PYTHONUNBUFFERED="1")
    say("agents")
    say("metrics")
    say("store", "status")
    say("store", "check")
    say("store", "copy", "nowhere", "elsewhere", "--json")
    say("completion", "bash")
    say("init", "--remove")


def jobs(say: Say) -> None:
    say("init")
    for title in ("one", "two", "three"):
        say("queue", "add", "builder", title, "--id", title, "--payload", '{"a": true}')
    for name in ("one", "two", "three"):
        token = str(say("queue", "claim", "builder", "--job", name, "--json")["job"]["token"])
        say("queue", "renew", name, "--token", token)
        verb = {"one": ("complete", "--result", "{}"), "two": ("fail", "--error", "no"), "three": ("release",)}[name]
        say("queue", verb[0], name, "--token", token, *verb[1:])
    say("queue", "block", "three", "--reason", "later")
    say("queue", "retry", "three")
    say("queue", "cancel", "three", "--reason", "never")
    for verb in ("list", "board", "graph", "stats"):
        say("queue", verb)
    say("queue", "show", "one", "--json")
    say("queue", "limits", "builder=2")
    say("queue", "export", "queue.md")
    say("queue", "import", "queue.md")
    say("queue", "sync", "queue.md", "--json")


def processes(say: Say) -> None:
    say("init")
    say("singleton", "run", "tester", "--", "sh", "-c", "exit 3")
    say("singleton", "status")
    say("singleton", "release", "tester", "--json")
    for verb in ("start", "stop", "restart", "status"):
        say("agents", verb, "--json")
    for verb in ("status", "open", "orphans", "sweep", "verify", "config"):
        say("daemon", verb, "--json")
    say("daemon", "start")
    say("daemon", "restart")
    say("daemon", "stop", "--json")
    for verb in ("install", "uninstall", "status"):
        say("service", verb, "--manager", "systemd", "--json")
    say("credential", "status", "none", "--json")
    say("credential", "refresh", "none")


STORIES: list[Callable[[Say], None]] = [locks, board, jobs, processes]


def hooks(say: Teller) -> None:
    say("init", "--client", "claude")
    edited = {"file_path": str(say.project / "src/a.py"), "old_string": "a", "new_string": "b"}
    say.hook("SessionStart", "one")
    say.hook("SessionStart", "two")
    say.hook("UserPromptSubmit", "one", prompt="go on")
    say.hook("PreToolUse", "one", tool_name="Edit", tool_input=edited)
    say.hook("PreToolUse", "two", tool_name="Edit", tool_input=edited)
    say.hook("PostToolUse", "one", tool_name="Edit", tool_input=edited)
    say.hook("PreToolUse", "two", tool_name="Bash", tool_input={"command": "rm src/a.py"})
    say.hook("Stop", "one")
    say.hook("SessionEnd", "one")
    say.hook("no such event", "two")
    say.run([*HOOK, "claude"], "no event")
    say.run([*HOOK, "nobody"], "{}")


@pytest.mark.parametrize("story", [*STORIES, hooks], ids=lambda story: story.__name__)
def test_forked_command_says_and_does_what_a_started_one_does(story: Callable[[Any], None], tmp_path: Path) -> None:
    tellers = {name: Teller(way, tmp_path / f"{name}-0") for name, way in WAYS.items()}

    for teller in tellers.values():
        story(teller)

    assert tellers["forked"].told == tellers["started"].told
    assert tellers["forked"].files() == tellers["started"].files()


def test_every_verb_is_in_a_story() -> None:
    said: set[str] = set()

    def listen(*words: str, **_: str) -> Any:
        said.add(catalogue.split(list(words))[0])
        return {"token": 1, "job": {"token": 1}, "request": "one", "messages": [{"id": "one"}]}

    for story in STORIES:
        story(listen)

    assert set(catalogue.VERBS) - said == NEVER_FORKED
