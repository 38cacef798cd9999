"""Pane: one list with its title, and the bar that names them all where only one has room."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from latchboard.surface.tui import painting
from latchboard.surface.tui.rows import Rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from textual import events
    from textual.app import ComposeResult

    from latchboard.surface.tui.painting import Painter


class Pane(Vertical):
    """A title over rows.

    Attributes:
        has_ages: What it says changes by itself as time goes on; of events it says when they were.
    """

    DEFAULT_CSS = """
    Pane { height: 1fr; }
    Pane > .pane--title { height: 1; background: $board-band; color: $board-dim; text-style: bold; text-wrap: nowrap; }
    Pane.-on > .pane--title { color: $board-focus; }
    """

    def __init__(self, number: int, name: str, title: str, short: str, rows: Rows) -> None:
        super().__init__(id=name)
        self.number = number
        self.title = title
        self.short = short
        self.rows = rows
        self.has_ages = name not in ("met", "past")
        self.counted = ""
        self._title = Title(number)

    def compose(self) -> ComposeResult:
        """Title and rows."""
        yield self._title
        yield self.rows

    def say(self, counted: str) -> None:
        """How many there are."""
        if counted != self.counted or not self._title.is_said:
            self.counted = counted
            self._title.say(self.title, counted)


class Title(Static):
    """The line above a list; a click on it chooses the list."""

    class Clicked(Message):
        """Somebody wants that list."""

        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

    def __init__(self, number: int) -> None:
        super().__init__(classes="pane--title", markup=False)
        self._number = number
        self.is_said = False

    def say(self, title: str, counted: str) -> None:
        """What it is, and how many there are."""
        self.is_said = True
        self.update(Content(f" {self._number} {title}  {counted}"))

    def on_click(self) -> None:
        """It is wanted."""
        self.post_message(self.Clicked(self._number))


class Bar(Static):
    """The names of all lists in one line, the one that is shown marked."""

    DEFAULT_CSS = """
    Bar { height: 1; background: $board-band; color: $board-dim; text-wrap: nowrap; display: none; }
    """

    def __init__(self) -> None:
        super().__init__(id="bar", markup=False)
        self._ends: list[int] = []

    def say(self, panes: Sequence[Pane], shown: int) -> None:
        """Name them, the one with number `shown` as the one that is shown."""
        room = max(1, self.size.width or 60)
        texts = [f" {pane.number} {pane.title} {pane.counted} " for pane in panes]
        if sum(map(len, texts)) > room:
            texts = [f" {pane.number} {pane.short} " for pane in panes]
        if sum(map(len, texts)) > room:
            texts = [text[:-1] for text in texts]
        if sum(map(len, texts)) > room:
            texts = [f" {pane.number} {pane.short if pane.number == shown else ''}" for pane in panes]
        self._ends = []
        pieces: list[tuple[str, str]] = []
        for at, text in enumerate(texts, 1):
            pieces.append((text, "bold reverse" if at == shown else ""))
            self._ends.append(sum(map(len, texts[:at])))
        self.update(Content.assemble(*pieces))

    def on_click(self, event: events.Click) -> None:
        """The list whose name is there."""
        for number, end in enumerate(self._ends, 1):
            if event.x < end:
                self.post_message(Title.Clicked(number))
                return


def panes(now: Callable[[], float]) -> list[Pane]:
    """All seven, by number.

    Args:
        now: Wall time, seconds.
    """

    def rows(paint: Painter, key: Callable[[Any], object], empty: str) -> Rows:
        return Rows(paint, key, empty=empty, now=now)

    agents = rows(painting.agent, lambda one: one[0], "nobody has said or held anything yet")
    files = rows(painting.node, lambda one: one.key, "nothing is held")
    line = rows(painting.waiter, lambda one: one["request"], "nobody waits")
    met = rows(painting.conflict, lambda one: (one["revision"], tuple(one["names"])), "nobody got in anybody's way")
    mail = rows(painting.thread, lambda one: one["thread"], "no messages")
    past = rows(painting.event, lambda one: (one[0]["revision"], one[0]["event"], one[1]), "nothing happened yet")
    queue = rows(painting.job, lambda one: one["id"], "no jobs")
    return [
        Pane(1, "agents", "Agents", "Agents", agents),
        Pane(2, "files", "Files", "Files", files),
        Pane(3, "line", "In line", "Line", line),
        Pane(4, "met", "Conflicts", "Conflicts", met),
        Pane(5, "mail", "Conversations", "Mail", mail),
        Pane(6, "past", "History", "Past", past),
        Pane(7, "queue", "Queue", "Queue", queue),
    ]
