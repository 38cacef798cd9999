from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from typing import Any

import pytest

from latchboard import Latchboard
from latchboard.errors import StoreUnavailable
from latchboard.surface.cli import telling
from latchboard.testing import ManualClock
from tests.surface.cli.harness import ROOT, Cli, validate
from tests.surface.cli.real import Real


def test_watch_tells_in_the_order_of_commits(cli: Cli) -> None:
    cli("acquire", "src/a.py", "--agent", "planner")
    cli("send", "builder", "hello", "--agent", "planner", "--subject", "S", "--urgency", "high")
    cli("release", "src/a.py", "--agent", "planner")

    assert cli.says("watch", "--after", "0", "--timeout-s", "0") == (
        "01:40:00Z  planner acquired src/a.py (token <token>)\n"
        "01:40:00Z  planner to builder (high): S: hello\n"
        "01:40:00Z  planner released src/a.py after 0 s\n"
    )


def test_every_event_of_the_protocol_has_its_words() -> None:
    text = (ROOT / "protocol" / "watch.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `([a-z_]+(?:\.[a-z_]+)?)` \|", text, re.MULTILINE))

    assert "lock.acquired" in named
    assert named <= set(telling._TOLD)


def test_event_that_is_not_known_is_told_by_its_name() -> None:
    event = {"event": "lock.melted", "at": "2026-11-21T01:40:00.000000Z", "who": "planner"}

    assert telling.line(event, ManualClock().now()) == "01:40:00Z  lock.melted by planner"


def test_json_lines_resume_behind_a_revision(cli: Cli) -> None:
    for path in ("a", "b", "c"):
        cli("acquire", path, "--agent", "planner")
    lines = [json.loads(line) for line in cli("watch", "--after", "0", "--timeout-s", "0", "--json").out.splitlines()]

    later = cli("watch", "--after", str(lines[0]["revision"]), "--timeout-s", "0", "--json").out.splitlines()

    assert [json.loads(line) for line in later] == lines[1:]
    assert [line["name"] for line in lines] == ["a", "b", "c"]


class GoesAway:
    """A store that does not answer any more, behind its first changes."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def watch(self, prefix: str, *, after: int) -> Any:
        return Breaks(self._store.watch(prefix, after=after))


class Breaks:
    def __init__(self, watch: Any) -> None:
        self._watch = watch
        self._polls_count = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._watch, name)

    def fileno(self) -> int:
        return int(self._watch.fileno())

    def poll(self) -> Any:
        self._polls_count += 1
        if self._polls_count > 1:
            raise StoreUnavailable("nobody answers", hint="nothing was changed", waited_s=1.0)
        return self._watch.poll()


def test_a_store_that_goes_away_ends_it_with_where_to_go_on(cli: Cli) -> None:
    cli("acquire", "src/a.py", "--agent", "planner")

    def compose(root: str) -> Latchboard:
        return Latchboard(root, store=GoesAway(cli.board().store), clock=cli.clock, publishes=False)

    told = cli("watch", "--after", "0", "--timeout-s", "9", "--json", compose=compose)

    event, error = map(json.loads, told.out.splitlines())
    assert (told.status, error["code"], error["after"], error["waited_s"]) == (
        13,
        "store-unavailable",
        event["revision"],
        1.0,
    )
    assert (
        error["hint"]
        == f"nothing was changed; `latchboard watch --after {error['after']}` goes on, and leaves nothing out"
    )


def test_filters_and_counts(cli: Cli) -> None:
    cli("acquire", "src/a.py", "docs/x.md", "--agent", "planner")
    cli("release", "--all", "--agent", "planner")
    words = ("watch", "--after", "0", "--timeout-s", "0", "--json")

    def told(*more: str) -> list[tuple[str, str]]:
        lines = [json.loads(line) for line in cli(*words, *more).out.splitlines()]
        return [(line["event"], line["name"]) for line in lines]

    assert len(told()) == 4
    assert {event for event, _ in told("--prefix", "lock.released")} == {"lock.released"}
    assert told("--path", "src/") == [("lock.acquired", "src/a.py"), ("lock.released", "src/a.py")]
    assert told("--path", "glob:docs/*.md", "--count", "1") == [("lock.acquired", "docs/x.md")]
    assert len(told("--once")) == 1


def test_revision_of_the_future_waits_and_one_that_is_gone_is_12(cli: Cli) -> None:
    cli("acquire", "src/a.py", "--agent", "planner")
    revision = cli("status", "--json").json["revision"]

    assert cli("watch", "--after", str(revision), "--timeout-s", "0").out == ""
    gone = cli("watch", "--after", "5", "--timeout-s", "0", "--json")
    assert (gone.status, gone.json["code"]) == (12, "compacted")


def test_command_that_cannot_be_split_is_refused(cli: Cli) -> None:
    for command in ("'", "", "   "):
        assert cli("watch", "--exec", command, "--after", "0", "--timeout-s", "0").status == 2


@pytest.mark.process
def test_exec_gets_the_event_on_standard_input_and_in_its_environment(real: Real) -> None:
    real("acquire", "src/a b.py", "--reason", "it's; $(a) 'test'")
    program = real.project / "show event.py"
    program.write_text(
        "import json, os, sys\n"
        "given, told = json.loads(sys.stdin.readline()), json.loads(os.environ['LATCHBOARD_EVENT_JSON'])\n"
        "print(json.dumps([given, told, os.environ['LATCHBOARD_EVENT'], sys.argv[1:]]))\n"
    )
    command = shlex.join([sys.executable, str(program), "one word", "$HOME"])

    done = real("watch", "--after", "0", "--timeout-s", "0", "--exec", command)

    given, told, name, arguments = json.loads(done.stdout)
    validate("watch", given)
    assert given == told
    assert (given["name"], given["reason"], name) == ("src/a b.py", "it's; $(a) 'test'", "lock.acquired")
    assert arguments == ["one word", "$HOME"]


def test_revision_ahead_of_the_newest_is_called_so(cli: Cli) -> None:
    cli("acquire", "src/a.py", "--agent", "planner")
    newest = cli("status", "--json").json["revision"]

    answer = cli("watch", "--after", str(newest + 7), "--timeout-s", "0")

    assert answer.status == 12
    assert f"revision {newest + 7} is ahead of the newest, {newest}" in answer.err
    assert "take `revision` from `latchboard status --json`" in answer.err
    assert cli("watch", "--after", str(newest), "--timeout-s", "0").status == 0
    failure = cli("watch", "--after", str(newest + 7), "--json").json
    assert (failure["code"], failure["after"]) == ("compacted", newest + 7)


@pytest.mark.process
def test_exec_that_fails_is_told_and_the_next_event_comes(real: Real) -> None:
    real("acquire", "a", "b")

    done = real("watch", "--after", "0", "--timeout-s", "0", "--exec", "false")

    assert done.returncode == 0
    assert done.stderr.count("latchboard: false exited with 1 on revision ") == 2
    assert real("watch", "--after", "0", "--timeout-s", "0", "--exec", "no-such-program").returncode == 127


@pytest.mark.process
def test_events_come_while_it_watches(real: Real) -> None:
    process = real.start("watch", "--json", "--count", "2", "--after", str(real.revision()))
    assert process.stdout is not None

    real("acquire", "src/a.py")
    first = json.loads(process.stdout.readline())
    real("release", "src/a.py")
    second = json.loads(process.stdout.readline())

    assert (first["event"], second["event"]) == ("lock.acquired", "lock.released")
    assert process.wait(timeout=60) == 0


@pytest.mark.process
def test_reader_that_goes_away_ends_it_quietly(real: Real) -> None:
    real("acquire", *[f"f{number}" for number in range(50)])
    process = real.start("watch", "--json", "--after", "0", "--timeout-s", "10", stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()

    process.stdout.close()
    real("release", "--all")

    assert process.wait(timeout=60) in (0, 1)
    assert process.stderr is not None
    assert process.stderr.read() == ""
