"""Board: the demo on a live board in the terminal. The one module of the demo that knows rich."""

from __future__ import annotations

import re
from io import StringIO
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from latchboard.surface.demo import story

if TYPE_CHECKING:
    from rich.console import RenderableType

    from latchboard.surface.demo.phase import Phase
    from latchboard.surface.demo.show import Report
    from latchboard.surface.demo.tally import Tally

_STYLES = {"waits": "yellow", "edits": "cyan", "killed": "bold red"}  # by the first word
_OTHER_LINES = 15  # what is on the board beside the agents and their heading
_BAR_CELLS = 16


class BoardScreen:
    """The live board; a context manager that gives the terminal back as it was."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console()
        self._live = Live(console=self.console, screen=True, auto_refresh=False)
        self._last: Phase | None = None
        self._before: Tally | None = None

    def __enter__(self) -> BoardScreen:
        self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._live.stop()

    def begin(self, report: Report) -> None:
        """The first frame comes at once."""

    def frame(self, phase: Phase) -> None:
        """Paint it."""
        if phase is not self._last:
            self._before = self._last.tally if self._last is not None else None
            self._last = phase
        self._live.update(board(phase, self._before, self.console.height), refresh=True)

    def end(self, report: Report) -> None:
        """The table, on the ordinary screen, where it stays."""
        self._live.stop()
        self.console.print(summary(report))


def board(phase: Phase, before: Tally | None, height: int) -> RenderableType:
    """One frame: what happens, who does what, and what is left of it in the files."""
    parts: list[RenderableType] = [
        _title(phase),
        Text(),
        *(Text(line) for line in story.explanation(phase, before)),
        Text(),
        _agents(phase, max(2, height - _OTHER_LINES)),
        Text(),
        _files(phase),
        Text(),
        _footer(phase),
    ]
    return Padding(Group(*parts), (0, 1))


def summary(report: Report) -> RenderableType:
    """The final table and what it proves."""
    grid = Table(box=None, padding=(0, 3, 0, 0), header_style="bold")
    grid.add_column("")
    for name in story.NAMES:
        grid.add_column(name, justify="right")
    for what, left, right in story.table(report.without, report.coordinated):
        grid.add_row(Text(what), _judged(what, left), _judged(what, right))
    good = "bold red" if report.problems else "bold green"
    first, *rest = story.opening(report)
    opening = [Text(first, style="bold"), *(Text(f"  {name}", style="dim") for name in rest)]
    first, *rest = story.verdict(report)
    verdict = [Text(first, style=good), *(Text(line) for line in rest)]
    return Padding(Group(*opening, Text(), grid, Text(), *verdict), (1, 1, 0, 1))


def svg(phase: Phase, before: Tally | None) -> str:
    """A frame as a picture that loads nothing from anywhere."""
    console = Console(record=True, width=80, height=24, file=StringIO(), force_terminal=True, color_system="truecolor")
    console.print(board(phase, before, console.height))
    text = console.export_svg(title="latchboard demo", unique_id="board")
    return re.sub(r"\s*@font-face \{.*?\}", "", text, flags=re.DOTALL)


def _judged(what: str, value: str) -> Text:
    if what.strip() in ("edits lost", "files damaged", "lost") and value != "-":
        return Text(value, style="bold green" if value == "0" else "bold red")
    return Text(value, style="dim" if value == "-" else "")


def _title(phase: Phase) -> RenderableType:
    grid = Table.grid(expand=True)
    grid.add_column()
    grid.add_column(justify="right")
    done = min(_BAR_CELLS, int(phase.elapsed_s / phase.plan.seconds * _BAR_CELLS))
    left = Text("Latchboard demo   ", style="dim").append(story.title(phase), style="bold")
    right = Text().append("━" * done, style="cyan").append("━" * (_BAR_CELLS - done), style="dim")
    grid.add_row(left, right.append(f"  {story.clock(phase):>8}", style="dim"))
    return grid


def _agents(phase: Phase, most: int) -> RenderableType:
    grid = Table(box=None, expand=True, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    grid.add_column("agent", width=9)
    grid.add_column("does", width=20)
    grid.add_column("file", ratio=1, no_wrap=True)
    grid.add_column("edits", width=6, justify="right")
    for row in list(phase.rows.values())[:most]:
        does, file = story.doing(phase, row)
        style = next((style for word, style in _STYLES.items() if does.startswith(word)), "dim")
        grid.add_row(row.agent, Text(does, style=style), Text(story.shorter(file, 38), style=style), f"{row.edits:,}")
    return grid


def _files(phase: Phase) -> RenderableType:
    grid = Table(box=None, expand=True, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    grid.add_column("file", ratio=1, no_wrap=True)
    for name in ("edits made", "in the file", "lost"):
        grid.add_column(name, width=11, justify="right")
    for name, made, present in zip(phase.plan.files, phase.made, phase.present, strict=True):
        lost = len(made) - present
        style = "bold red" if lost else "bold green"
        grid.add_row(story.shorter(name, 37), f"{len(made):,}", f"{present:,}", Text(f"{lost:,}", style=style))
    return grid


def _footer(phase: Phase) -> RenderableType:
    lines = [Text(story.killed(phase.kill), style="red")]
    if phase.lookout is not None:
        takeovers = len(phase.lookout.takeovers)
        lines.append(
            Text(f"messages {phase.sent:,} sent, {phase.received:,} received   takeovers {takeovers}", style="dim")
        )
    return Group(*lines)
