"""The command under test, in a fresh project per test; what is known to fail, strictly."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from referencing import Registry, Resource

PARTS = {
    "contract": "what all verbs have in common",
    "locks": "acquire, release, renew, check",
    "waiting": "waiting in line",
    "handoff": "asking a holder",
    "running": "holding locks while a command runs",
    "mailbox": "messages",
    "board": "agents, status, history",
    "watching": "the stream of events",
    "operating": "break, cleanup",
    "singleton": "one process per agent type, metrics",
    "queue": "jobs",
}
GROUPS = ("credential", "daemon", "handoff", "queue", "singleton")
"""Verbs of two words."""
WAIT_S_MAX = float(os.environ.get("LATCHBOARD_CLI_WAIT_S", "30"))
_SCHEMA = Path(__file__).parents[1] / "schema"
_SCHEMAS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in _SCHEMA.glob("*.json")}
_REGISTRY: Registry[Any] = Registry().with_resources(
    [(f"{name}.json", Resource.from_contents(schema)) for name, schema in _SCHEMAS.items()]
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--known-failures", metavar="FILE", help="tests that are expected to fail, one per line")


def pytest_configure(config: pytest.Config) -> None:
    for name, about in PARTS.items():
        config.addinivalue_line("markers", f"{name}: {about}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    path = config.getoption("--known-failures")
    known = _lines(Path(path)) if path else set()
    for item in items:
        if {item.name, item.nodeid, item.nodeid.rpartition("/")[2]} & known:
            item.add_marker(pytest.mark.xfail(strict=True, reason=f"listed in {path}"))


def _lines(path: Path) -> set[str]:
    lines = (line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return {line for line in lines if line}


class Answer:
    """What one call gave."""

    def __init__(self, words: tuple[str, ...], status: int, out: str, err: str) -> None:
        self.words = words
        self.status = status
        self.out = out
        self.err = err

    @property
    def json(self) -> Any:
        """The one object on standard output."""
        try:
            found = json.loads(self.out)
        except ValueError:
            pytest.fail(f"no JSON object on standard output: {self!r}")
        assert isinstance(found, dict) and found.get("format") == 1, self
        return found

    @property
    def code(self) -> str | None:
        """The code of a failure; None for an answer."""
        found = self.json
        if "code" in found:
            validate("error", found)
        return found.get("code")

    def __repr__(self) -> str:
        return f"{shlex.join(self.words)}\nexit status {self.status}\n{self.out}\n-- standard error\n{self.err}"


class Subject:
    """The command under test, in one project; `subject("check", "a")` runs it to its end."""

    def __init__(self, command: list[str], project: Path) -> None:
        self.command = command
        self.project = project
        self.environment = {key: value for key, value in os.environ.items() if key != "AGENT_ID"}
        self._running: list[subprocess.Popen[str]] = []

    def __call__(self, *words: str, stdin: str = "", cwd: Path | None = None, **environment: str) -> Answer:
        done = subprocess.run(
            [*self.command, *words],
            cwd=cwd or self.project,
            env={**self.environment, **environment},
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            timeout=WAIT_S_MAX,
            check=False,
        )
        return Answer(words, done.returncode, done.stdout, done.stderr)

    def ask(self, *words: str, **options: Any) -> Answer:
        """With --json, held to the schema of its answer."""
        cut = words.index("--") if "--" in words else len(words)
        answer = self(*words[:cut], "--json", *words[cut:], **options)
        found = answer.json
        validate("error" if "code" in found else _schema_of(words), found)
        return answer

    def done(self, *words: str, **options: Any) -> Any:
        """As `ask`, for a call that must succeed; its object."""
        answer = self.ask(*words, **options)
        assert answer.status == 0, answer
        return answer.json

    def start(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        """Start it; it is ended at the end of the test."""
        process = subprocess.Popen(
            [*self.command, *words],
            cwd=self.project,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            **options,
        )
        self._running.append(process)
        return process

    def lock(self, *paths: str, agent: str, **options: str) -> int:
        """Acquire; the token."""
        more = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
        return int(self.done("acquire", *paths, "--agent", agent, *more)["token"])

    def holder(self, path: str) -> str | None:
        """Who holds a path."""
        held = self.ask("check", path).json["held"]
        return held[0]["agent"] if held else None

    def until(self, is_true: Callable[[], bool]) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + WAIT_S_MAX
        while not is_true():
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.05)

    def until_somebody_waits(self, count: int = 1) -> None:
        """Wait until so many are in line."""
        self.until(lambda: len(self.done("status")["waiters"]) >= count)

    def close(self) -> None:
        for process in self._running:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()


def _schema_of(words: tuple[str, ...]) -> str:
    name = f"{words[0]}-{words[1]}" if words[0] in GROUPS else words[0]
    return "inbox-ack" if name == "inbox" and "--ack" in words else name


def validate(name: str, found: object) -> None:
    """Hold an object to `../schema/<name>.json`; fields that are not named there are allowed."""
    validator = jsonschema.Draft202012Validator(_SCHEMAS[name], registry=_REGISTRY)
    errors = [f"{'/'.join(map(str, e.absolute_path)) or 'it'}: {e.message}" for e in validator.iter_errors(found)]
    assert not errors, f"{name}.json does not hold: {'; '.join(errors)}\n{found}"


@pytest.fixture
def subject(tmp_path: Path) -> Iterator[Subject]:
    """The command under test, in a project that was just made."""
    words = shlex.split(os.environ.get("LATCHBOARD_CLI", ""))
    if not words:
        pytest.fail(
            "set LATCHBOARD_CLI to the command under test, for example LATCHBOARD_CLI=latchboard", pytrace=False
        )
    project = tmp_path / "project"
    (project / "src").mkdir(parents=True)
    (project / "src" / "a.py").write_text("a\n", encoding="utf-8")
    made = Subject(words, project)
    assert made("init", "--root", str(project)).status == 0
    yield made
    made.close()


@pytest.fixture
def shell() -> list[str]:
    """A command that runs a Python program: `[*shell, program, argument, ...]`."""
    return [sys.executable, "-c"]
