"""Lines: the demo as plain text, for a pipe, a log or a terminal that can do no more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from latchboard.surface.demo import story

if TYPE_CHECKING:
    from latchboard.surface.demo.phase import Phase
    from latchboard.surface.demo.show import Report

_EVERY_S = 1.0


class LineScreen:
    """A line a second, and what happens in between."""

    def __init__(self) -> None:
        self._phase: Phase | None = None
        self._before: Phase | None = None
        self._told_s = 0.0
        self._told_kill = False

    def begin(self, report: Report) -> None:
        """What is worked on."""
        first, *files = story.opening(report)
        _say(first, *(f"  {name}" for name in files))

    def frame(self, phase: Phase) -> None:
        """What is new since the last line."""
        if phase is not self._phase:
            self._before, self._phase = self._phase, phase
            self._told_s, self._told_kill = 0.0, False
            before = self._before.tally if self._before is not None else None
            _say("", story.title(phase), *story.explanation(phase, before))
        if phase.stage == "over":
            return
        if phase.elapsed_s >= self._told_s + _EVERY_S:
            self._told_s = phase.elapsed_s // _EVERY_S * _EVERY_S
            _say(f"  {story.progress(phase)}")
        if phase.kill is not None and not self._told_kill and (phase.kill.heir or not phase.kill.held):
            self._told_kill = True
            _say(f"  {story.killed(phase.kill)}")

    def end(self, report: Report) -> None:
        """The table and what it proves."""
        _say("", *table(report), "", *story.verdict(report))


def table(report: Report) -> list[str]:
    """The final table as text."""
    rows = [("", *story.NAMES), *story.table(report.without, report.coordinated)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return [f"  {a:<{widths[0]}}   {b:>{widths[1]}}   {c:>{widths[2]}}".rstrip() for a, b, c in rows]


def _say(*lines: str) -> None:
    print(*lines, sep="\n", flush=True)
