"""Show: the demo from start to end: copy, without, with, count, and nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from latchboard.errors import CoordinationError, UsageError, from_os_error
from latchboard.surface.demo.interruption import ignore_signals, interruptible
from latchboard.surface.demo.phase import Kill, Phase, Plan
from latchboard.surface.demo.project import Source, find_source
from latchboard.surface.demo.tally import Tally, problems

if TYPE_CHECKING:

    class Screen(Protocol):
        """Where the demo is watched."""

        def begin(self, report: Report) -> None:
            """What is going to be worked on is known."""

        def frame(self, phase: Phase) -> None:
            """Some times a second: this is how it stands."""

        def end(self, report: Report) -> None:
            """Both phases are counted."""


SECONDS_MIN, SECONDS_MAX = 0.5, 15.0
AGENTS_MIN, AGENTS_MAX = 2, 32

_FILES = 3
_TOTAL_S_MAX = 55.0  # whatever hangs, it ends in under a minute
_PRESSURE_S = (0.040, 0.120)


@dataclass
class Report:
    """What came of the demo.

    Attributes:
        source: What the files were copied from, in words.
        files: What was edited.
        agents: How many agents.
        without: The first phase.
        coordinated: The second.
        kill: Of the second.
        pressed: Whether the first phase lost nothing at first and had to be repeated under more pressure.
        problems: What speaks against it, in plain words; empty when all is well.
    """

    source: str
    files: list[str]
    agents: int
    without: Tally = field(default_factory=lambda: Tally(False))
    coordinated: Tally = field(default_factory=lambda: Tally(True))
    kill: Kill | None = None
    pressed: bool = False
    problems: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it (protocol/schema/demo.json)."""
        kill = self.kill
        return {
            "format": 1,
            "ok": not self.problems,
            "problems": self.problems,
            "pressed": self.pressed,
            "agents": self.agents,
            "files": self.files,
            "without": self.without.to_json(),
            "with": self.coordinated.to_json(),
            "killed": None
            if kill is None
            else {
                "agent": kill.agent,
                "file": kill.file,
                "held_lock": kill.held,
                "taken_over_by": kill.heir,
                "taken_over_after_s": None if kill.heir_s is None else round(kill.heir_s, 6),
            },
        }


def run(*, seconds: float, agents: int, root: str | None, as_json: bool, plain: bool) -> int:
    """Run the demo (see `latchboard.surface.demo.run`)."""
    if not SECONDS_MIN <= seconds <= SECONDS_MAX:
        raise UsageError(f"a phase lasts {SECONDS_MIN:g} to {SECONDS_MAX:g} seconds, not {seconds:g}")
    if not AGENTS_MIN <= agents <= AGENTS_MAX:
        raise UsageError(f"the demo runs {AGENTS_MIN} to {AGENTS_MAX} agents, not {agents}")
    source = find_source(root)
    try:
        with interruptible(), _screen(as_json, plain) as screen, temporary_folder() as folder:
            report = perform(source, folder, screen, seconds=seconds, agents=agents)
    except KeyboardInterrupt as exc:
        return _interrupted(exc, as_json)
    except BrokenPipeError:  # whoever read the output is gone; the interpreter must not complain about it, too
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as exc:
        raise from_os_error(exc, "run the demo in", tempfile.gettempdir()) from exc
    return 1 if report.problems else 0


def perform(source: Source, folder: Path, screen: Screen, *, seconds: float, agents: int) -> Report:
    """Both phases and the count."""
    report = Report(source.words, source.busy_files(_FILES), agents)
    screen.begin(report)
    deadline = monotonic() + _TOTAL_S_MAX

    def phase(name: str, **more: Any) -> Phase:
        plan = Plan(
            folder=folder / name,
            files=report.files,
            originals=[(source.folder / file).read_bytes() for file in report.files],
            agents=[f"agent-{number}" for number in range(1, agents + 1)],
            seconds=seconds,
            deadline=deadline,
            **more,
        )
        source.copy(plan.project)
        return Phase(plan, screen.frame)

    pressure: dict[str, Any] = {}
    report.without = phase("without", coordinated=False).run()
    if not report.without.edits_lost:
        report.pressed, report.files, pressure = True, report.files[:1], {"think_s": _PRESSURE_S}
        report.without = phase("without-again", coordinated=False, **pressure).run()
    second = phase("with", coordinated=True, **pressure)
    report.coordinated = second.run()
    report.kill = second.kill
    report.problems = problems(report.without, report.coordinated)
    screen.end(report)
    return report


class Interrupted(CoordinationError):
    """A signal ended the demo. Fields: signal."""

    code = "interrupted"
    retryable = True


def _interrupted(exc: KeyboardInterrupt, as_json: bool) -> int:
    """Say so; returns the exit status."""
    number = exc.args[0] if exc.args else signal.SIGINT
    name = signal.Signals(number).name
    error = Interrupted(f"Ended by {name}. Every agent was ended and the temporary folder removed.", signal=name)
    if as_json:
        print(json.dumps(error.to_json()))
    else:
        print(error.message, file=sys.stderr)
    return 128 + int(number)


class JsonScreen:
    """Nothing but one JSON object at the end."""

    def begin(self, report: Report) -> None:
        """Nothing."""

    def frame(self, phase: Phase) -> None:
        """Nothing."""

    def end(self, report: Report) -> None:
        """The object."""
        print(json.dumps(report.to_json()))


@contextmanager
def _screen(as_json: bool, plain: bool) -> Generator[Screen, None, None]:
    if as_json:
        yield JsonScreen()
    elif plain or not sys.stdout.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        from latchboard.surface.demo.lines import LineScreen

        yield LineScreen()
    else:
        from latchboard.surface.demo.board import BoardScreen

        with BoardScreen() as screen:
            yield screen


@contextmanager
def temporary_folder() -> Generator[Path, None, None]:
    """A temporary folder that is removed whatever happens."""
    folder = tempfile.mkdtemp(prefix="latchboard-demo-")
    try:
        yield Path(folder)
    finally:
        ignore_signals()
        shutil.rmtree(folder)
