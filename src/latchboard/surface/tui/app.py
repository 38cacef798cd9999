"""App: the terminal board: seven lists that follow the project, where they stand, and the keys.

One list has the screen where there is little room; from 20 lines on the agents stand above it; from 90 columns on
agents and files stand beside it, and from 34 lines on beside all the others.
"""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

from textual.app import App
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Footer, Input, Static

from latchboard.aio import in_thread
from latchboard.errors import CoordinationError
from latchboard.surface.tui import details, head, listing, look, tree
from latchboard.surface.tui.acting import Acting
from latchboard.surface.tui.dialog import Details, Question
from latchboard.surface.tui.listing import Filter
from latchboard.surface.tui.pane import Bar, Pane, Title, panes
from latchboard.surface.tui.reader import News, Reader
from latchboard.surface.tui.rows import Rows
from latchboard.surface.tui.text import end_cut, shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, ClassVar

    from textual import events
    from textual.app import ComposeResult
    from textual.binding import BindingType

    from latchboard.compose import Latchboard
    from latchboard.surface.tui.picture import Picture

WIDE_COLUMNS = 90
HIGH_LINES = 20
TALL_LINES = 34
_TICK_S = 1.0


class Board(App[int]):
    """The terminal board of one project."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Screen { layout: vertical; background: $board-background; color: $board-foreground; }
    #head { height: 1; text-wrap: nowrap; }
    #trouble { height: auto; max-height: 3; color: $board-bad; text-style: bold; display: none; }
    #trouble.-said { display: block; }
    #panes { height: 1fr; }
    #left, #right { width: 1fr; height: 1fr; }
    #right { margin: 0 0 0 1; }
    #agents { height: auto; max-height: 40%; }
    #agents > Rows { height: auto; min-height: 1; }
    #line, #met, #mail { height: auto; max-height: 25%; }
    #line > Rows, #met > Rows, #mail > Rows { height: auto; min-height: 1; }
    #filter { display: none; border: none; height: 1; padding: 0; background: $board-band; }
    #filter.-open { display: block; }
    Footer { background: $board-band; }
    .-one #bar, .-stack #bar { display: block; }
    .-one .pane--title { display: none; }
    .-one #right, .-stack #right { margin: 0; }
    .-stack #panes { layout: vertical; }
    .-stack #left.-above { height: auto; max-height: 40%; }
    .-stack #left.-above #agents { max-height: 100%; }
    .-one Pane, .-stack #right > Pane, .-two #right > Pane { height: 1fr !important; max-height: 100% !important; }
    .-one Rows, .-stack #right Rows, .-two #right Rows { height: 1fr !important; }
    Board:nocolor Rows:focus > .rows--cursor { text-style: reverse; }
    Board:nocolor Footer { text-style: reverse; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(str(number), f"go({number})", show=False) for number in range(1, 8)),
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("enter", "nothing", "Details", key_display="Enter"),
        Binding("z", "zoom", "Zoom"),
        Binding("t", "colours", "Colours"),
        Binding("b", "ask('break')", "Break"),
        Binding("r", "ask('release')", "Release"),
        Binding("escape", "plain", show=False),
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("q", "quit", "Quit"),
        Binding("ctrl+c", "quit", show=False, priority=True),
    ]

    class Arrived(Message):
        """There is something new to show."""

        def __init__(self, news: News) -> None:
            super().__init__()
            self.news = news

    def __init__(
        self,
        board: Latchboard,
        *,
        tell: Callable[[Any], str],
        agent: str | None = None,
        theme: str = "auto",
        on_read: Callable[[], None] | None = None,
        **options: Any,
    ) -> None:
        """Nothing is read or drawn yet.

        Args:
            board: The project's services.
            tell: Says what an event means, in a sentence.
            agent: Who changes something; None: nothing can be changed.
            theme: auto, dark or light.
            on_read: Called once, when there is something to show.
            options: Of textual's App.
        """
        has_colours = "NO_COLOR" not in os.environ
        super().__init__(ansi_color=not has_colours, **options)
        self._board = board
        self._on_read = on_read
        self._acting = Acting(board, agent)
        self._reader = Reader(board, self._arrived, tell)
        self._news = News()
        self._tree = tree.Tree()
        self._filter = Filter()
        self._number = 1
        self._beside = 6
        self._is_zoomed = False
        self._is_read = False
        self._room = self.size
        for one in look.themes():
            self.register_theme(one)
        self.theme = look.theme_of(theme, os.environ)
        self._panes = panes(self._wall_s)
        # Kept, for a search by name finds nothing below a dialog, nor when the board is about to end.
        self._head = Static(id="head", markup=False)
        self._trouble = Static(id="trouble", markup=False)
        self._bar = Bar()
        self._left = Vertical(*self._panes[:2], id="left")
        self._right = Vertical(*self._panes[2:], id="right")
        self._words = Input(placeholder="words; Enter keeps them, Esc ends", id="filter")

    @property
    def picture(self) -> Picture:
        """The board that is shown."""
        return self._news.picture

    # -- where things stand -------------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        """Head, lists, keys."""
        yield self._head
        yield self._trouble
        yield self._bar
        with Horizontal(id="panes"):
            yield self._left
            yield self._right
        yield self._words
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Begin to follow the project."""
        self._lay_out()
        self._draw()
        self.set_interval(_TICK_S, self._tick)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP) if not self.is_headless else ():
            loop.add_signal_handler(number, self.exit, 128 + number)
        self._focus()
        self._reader.start()

    def on_unmount(self) -> None:
        """The thread ends before the terminal is given back."""
        self._reader.stop()

    def on_resize(self, event: events.Resize) -> None:
        """More room, or less."""
        self._room = event.size
        self._lay_out()
        self.call_after_refresh(self._draw)

    def _lay_out(self) -> None:
        columns, lines = self._room
        layout = "-one" if self._is_zoomed or lines < HIGH_LINES else "-stack"
        if columns >= WIDE_COLUMNS and not self._is_zoomed:
            layout = "-two" if lines < TALL_LINES else "-all"
        for name in ("-one", "-stack", "-two", "-all"):
            self.screen_stack[0].set_class(name == layout, name)
        shown = self._beside if layout == "-two" else self._number
        also = {"-one": (), "-stack": (1, 2) if shown < 3 else (1,), "-two": (1, 2), "-all": range(1, 7)}[layout]
        if layout == "-all" and self._news.jobs:
            also = range(1, 8)
        for pane in self._panes:
            pane.display = pane.number == shown or pane.number in also
            pane.set_class(pane.number == self._number, "-on")
        self._left.set_class(layout == "-stack" and shown > 2, "-above")
        self._left.display = any(pane.display for pane in self._panes[:2])
        self._right.display = any(pane.display for pane in self._panes[2:])

    def action_go(self, number: int) -> None:
        """To a list, wherever it stands."""
        self._number = number
        if number > 2:
            self._beside = number
        self._lay_out()
        self._draw()
        self._focus()

    def _focus(self) -> None:
        """At once: the next key may be there already."""
        self.screen_stack[0].set_focus(self._panes[self._number - 1].rows)

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """A list that was reached by Tab or the mouse is the one that keys are about."""
        self._number = next((pane.number for pane in self._panes if pane.rows is event.widget), self._number)
        for pane in self._panes:
            pane.set_class(pane.number == self._number, "-on")

    def on_title_clicked(self, message: Title.Clicked) -> None:
        """The mouse chooses a list."""
        self.action_go(message.number)

    def action_zoom(self) -> None:
        """One list alone, or as before."""
        self._is_zoomed = not self._is_zoomed
        self.action_go(self._number)

    def action_colours(self) -> None:
        """The other theme."""
        self.theme = look.LIGHT if self.theme == look.DARK else look.DARK

    def action_nothing(self) -> None:
        """What the list does itself."""

    # -- what there is to show ----------------------------------------------------------------------------------------

    def _arrived(self, news: News) -> None:
        """In the reader's thread."""
        self.post_message(self.Arrived(news))

    def on_board_arrived(self, message: Board.Arrived) -> None:
        """Show it."""
        had_jobs, self._news = bool(self._news.jobs), message.news
        self._is_read = self._is_read or not self._news.trouble or bool(self._news.picture.at)
        if bool(self._news.jobs) != had_jobs:
            self._lay_out()  # there is a queue, or none any more
        self._draw()
        on_read, self._on_read = self._on_read, None
        if on_read is not None:
            on_read()

    def _draw(self) -> None:
        """Bring every list that is seen up to date, and count those that are not."""
        picture, wanted = self._news.picture, self._filter
        agents, files, line, met, mail, past, queue = self._panes
        self._fill(agents, len(picture.agents), lambda: listing.agents(picture.agents, wanted))
        self._fill(files, len(picture.locks), self._lines_of_tree)
        self._fill(line, len(picture.waiters), lambda: listing.waiters(picture.waiters, wanted))
        self._fill(met, len(picture.conflicts), lambda: listing.conflicts(picture.conflicts, wanted))
        self._fill(mail, len(self._news.threads), lambda: listing.threads(self._news.threads, wanted))
        self._fill(past, len(self._news.events), lambda: listing.events(self._news.events, wanted))
        self._fill(queue, len(self._news.jobs), lambda: listing.jobs(self._news.jobs, wanted))
        self._say_head()
        self._say_trouble()
        self._bar.say(self._panes, self._number)

    def _fill(self, pane: Pane, count: int, list_: Callable[[], list[Any]]) -> None:
        counted = str(count)
        if pane.display:
            items = list_()
            pane.rows.is_read = self._is_read
            pane.rows.show(items)
            if self._filter and pane.title != "Files":
                counted = f"{len(items)} of {count}"
        if over := len(self._news.picture.ended) if pane is self._panes[1] else 0:
            counted += f" held, {over} over"
        pane.say(counted if self._is_read else "...")

    def _lines_of_tree(self) -> list[tree.Node]:
        picture, wanted = self._news.picture, self._filter
        waiters = listing.waiters(picture.waiters, wanted)
        self._tree.update(listing.holds(picture.locks, wanted), listing.holds(picture.ended, wanted), waiters)
        return self._tree.lines()

    def _tick(self) -> None:
        """Ages go on without news; and a terminal that went away without a word ends it all the same."""
        if getattr(self._driver, "is_gone", False):
            self.exit(128 + signal.SIGHUP)
            return
        self._say_head()
        for pane in self._panes:
            if pane.display and pane.has_ages:
                pane.rows.refresh()

    def _say_head(self) -> None:
        pieces = head.line(self._news, self._board.root, self.size.width, self._wall_s(), is_read=self._is_read)
        self._head.update(Content.assemble(*pieces))

    def _say_trouble(self) -> None:
        said = head.trouble(self._news, self._filter.text)
        self._trouble.set_class(bool(said), "-said")
        self._trouble.update(Content("\n".join(end_cut(f" {one}", 3 * self.size.width) for one in said)))

    def _wall_s(self) -> float:
        return self._board.clock.now().wall_s

    # -- the filter ---------------------------------------------------------------------------------------------------

    def action_filter(self) -> None:
        """Ask for words."""
        self._words.add_class("-open")
        self._words.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Each letter counts at once."""
        if event.input.id == "filter":
            self._filter = Filter(event.value)
            self._draw()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Back to the list, with the filter."""
        if event.input.id == "filter":
            event.input.remove_class("-open")
            self._focus()

    def action_plain(self) -> None:
        """No filter, no zoom."""
        self._words.value = ""
        self._words.remove_class("-open")
        self._is_zoomed = False
        self.action_go(self._number)

    # -- more about a line --------------------------------------------------------------------------------------------

    async def on_rows_chosen(self, message: Rows.Chosen) -> None:
        """Everything about a line; a folder opens or closes."""
        number, item = self._number_of(message.rows), message.item
        if isinstance(item, tree.Folder):
            self._tree.toggle(item)
            self._draw()
        elif number == 5:
            await self._show_thread(item)
        else:
            self.push_screen(Details(*details.page(number, item, self._wall_s())))

    async def _show_thread(self, item: Any) -> None:
        page = Details("Conversation", details.thread(item, None))
        await self.push_screen(page)
        try:
            found = await in_thread(lambda: self._board.mailbox.conversation(item["thread"]))
            page.show(details.thread(item, found["messages"]))
        except CoordinationError as exc:
            page.show([*details.thread(item, []), ("", f"cannot be read: {shown(exc.message)}")])

    def _number_of(self, rows: Rows) -> int:
        return next(pane.number for pane in self._panes if pane.rows is rows)

    def on_rows_folded(self, message: Rows.Folded) -> None:
        """A folder opens or closes; on what is in a folder, left goes to the folder."""
        item = message.item
        if isinstance(item, tree.Folder) and item.is_open != message.is_open:
            self._tree.toggle(item, message.is_open)
            self._draw()
        elif not message.is_open and isinstance(item, (tree.File, tree.Folder, tree.Waiting)):
            above = item.file.parent if isinstance(item, tree.Waiting) else item.parent
            if above in message.rows.items:
                message.rows.move_to(message.rows.items.index(above))

    def action_help(self) -> None:
        """The keys, and what the signs mean."""
        self.push_screen(Details("Keys", head.HELP))

    # -- changes ------------------------------------------------------------------------------------------------------

    def action_ask(self, act: str) -> None:
        """Ask whether to change something."""
        item = self._panes[1].rows.item if self._number == 2 else None
        file = item if isinstance(item, tree.File) else None
        order = self._acting.order(file, act)
        if isinstance(order, str):
            self.notify(order, severity="warning", markup=False)
            return

        async def answered(reason: str | None) -> None:
            if reason is not None:
                self.notify(await self._acting.act(order, reason), markup=False)
                self._reader.wake()

        facts = self._acting.question(order, self._wall_s())
        self.push_screen(Question(order.title, facts, yes=order.yes, asks_why=act == "break"), answered)
