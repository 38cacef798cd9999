"""Rows: a list of which only the lines that are seen are ever painted."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from latchboard.surface.tui.look import STYLES
from latchboard.surface.tui.text import filled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, ClassVar

    from textual import events
    from textual.binding import BindingType

    from latchboard.surface.tui.painting import Painter

_STYLE_RULES = "\n".join(f"Rows > .rows--{name} {{ color: $board-{name}; }}" for name in STYLES)


class Rows(ScrollView, can_focus=True):
    """Entries, a line each, with a cursor that stays at its entry when others come and go.

    Attributes:
        items: What is shown.
        cursor: Which of them the keys are about.
        is_read: Whether it is known what there is.
    """

    DEFAULT_CSS = f"""
    Rows {{ height: 1fr; overflow-x: hidden; overflow-y: auto; scrollbar-size-vertical: 1; }}
    {_STYLE_RULES}
    Rows > .rows--strong {{ text-style: bold; }}
    Rows > .rows--bad {{ text-style: bold; }}
    Rows > .rows--cursor {{ background: $board-cursor-off; }}
    Rows:focus > .rows--cursor {{ background: $board-cursor; }}
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"rows--{name}" for name in (*STYLES, "cursor")}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup,ctrl+b", "page(-1)", "Page up", show=False),
        Binding("pagedown,ctrl+f", "page(1)", "Page down", show=False),
        Binding("home,g", "to(0)", "First", show=False),
        Binding("end,G", "to(-1)", "Last", show=False),
        Binding("enter", "choose", "Details", show=False),
        Binding("left,h", "fold(False)", "Close the folder", show=False),
        Binding("right,l", "fold(True)", "Open the folder", show=False),
    ]

    class Chosen(Message):
        """Somebody wants to know more about an entry."""

        def __init__(self, rows: Rows, item: Any) -> None:
            super().__init__()
            self.rows = rows
            self.item = item

    class Folded(Message):
        """Somebody wants to see what is in an entry (True), or not to (False)."""

        def __init__(self, rows: Rows, item: Any, is_open: bool) -> None:
            super().__init__()
            self.rows = rows
            self.item = item
            self.is_open = is_open

    def __init__(
        self,
        paint: Painter,
        key: Callable[[Any], object],
        *,
        empty: str,
        now: Callable[[], float],
        id: str | None = None,
    ) -> None:
        """An empty list.

        Args:
            paint: Paints one entry.
            key: What an entry is known by when it comes again as another object.
            empty: What is said when there are none.
            now: Wall time, seconds.
            id: For style sheets.
        """
        super().__init__(id=id)
        self._paint = paint
        self._key = key
        self.empty = empty
        self.is_read = False
        self._now = now
        self.items: Sequence[Any] = ()
        self.cursor = 0
        self.painted_count = 0
        self._base = Style.null()
        self._known: dict[str, Style] = {}

    @property
    def item(self) -> Any:
        """The entry at the cursor; None: there is none."""
        return self.items[self.cursor] if self.items else None

    # -- what is shown ------------------------------------------------------------------------------------------------

    def show(self, items: Sequence[Any]) -> None:
        """Show these; the cursor stays at its entry, and what is seen stays where it is."""
        before, was = self.items, self.cursor
        self.items = items
        offset: int = self.scroll_offset.y
        if before and was < len(before) and (was or offset):
            self.cursor = self._place(before[was], was)
        else:
            self.cursor = 0  # who looks at the newest goes on looking at the newest
        self._fit()
        moved = self.cursor - was
        if moved and offset:
            self.scroll_to(y=offset + moved, animate=False, force=True)
        self.refresh()

    def _place(self, item: Any, was: int) -> int:
        """Where an entry is now; where it was, when it is gone."""
        items = self.items
        if was < len(items) and items[was] is item:
            return was
        wanted = self._key(item)
        near = range(max(0, was - 50), min(len(items), was + 50))
        for at in chain(near, range(len(items))):
            if items[at] is item or self._key(items[at]) == wanted:
                return at
        return max(0, min(was, len(items) - 1))

    def _fit(self) -> None:
        self.virtual_size = Size(self.size.width, len(self.items))

    def on_resize(self, _event: events.Resize) -> None:
        """The lines are as long as there is room."""
        self._fit()
        self._see()

    def render_lines(self, crop: Region) -> list[Strip]:
        """Those that are seen; what their styles come to is asked once for all of them."""
        self._base = self.rich_style
        self._known.clear()
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """One line that is seen."""
        cells = self.size.width
        at: int = y + self.scroll_offset.y
        base = self._base
        if at >= len(self.items):
            empty = self.empty if self.is_read else "not read yet"  # what nobody has read is not free
            text = f" {empty}" if not self.items and y == 0 else ""
            return Strip([Segment(filled(text, cells), base + self._style("dim"))], cells)
        self.painted_count += 1
        over = self._style("cursor") if at == self.cursor else Style.null()
        room = max(1, cells - 2)
        pieces = [
            ("▌" if at == self.cursor and self.has_focus else " ", ""),
            *self._paint(self.items[at], room, self._now()),
        ]
        segments = [Segment(text, base + (self._style(name) if name else Style.null()) + over) for text, name in pieces]
        return Strip(segments).adjust_cell_length(cells, base + over)

    def _style(self, name: str) -> Style:
        style = self._known.get(name)
        if style is None:
            found = self.get_component_rich_style(f"rows--{name}", partial=True)
            style = Style(color=found.color, bold=found.bold)
            if name == "cursor":
                style = Style(bgcolor=found.bgcolor, bold=found.bold, reverse=found.reverse)
            self._known[name] = style
        return style

    # -- the cursor ---------------------------------------------------------------------------------------------------

    def move_to(self, at: int) -> None:
        """Put the cursor on a line, and see to it that it is seen."""
        self.cursor = max(0, min(at, len(self.items) - 1))
        self._see()
        self.refresh()

    def _see(self) -> None:
        if self.items:
            region = Region(0, self.cursor, 1, 1)
            self.scroll_to_region(region, animate=False, force=True, x_axis=False)

    def action_move(self, by: int) -> None:
        """One up or down."""
        self.move_to(self.cursor + by)

    def action_page(self, by: int) -> None:
        """As far as is seen."""
        self.move_to(self.cursor + by * max(1, self.size.height - 1))

    def action_to(self, at: int) -> None:
        """The first or the last."""
        self.move_to(at if at >= 0 else len(self.items) - 1)

    def action_choose(self) -> None:
        """Tell that somebody wants to know more."""
        if self.items:
            self.post_message(self.Chosen(self, self.item))

    def action_fold(self, is_open: bool) -> None:
        """Tell that somebody wants to see less or more of it."""
        if self.items:
            self.post_message(self.Folded(self, self.item, is_open))

    def on_click(self, event: events.Click) -> None:
        """The first click puts the cursor there, another one chooses."""
        at = event.y + self.scroll_offset.y
        if at < len(self.items):
            was = self.cursor
            self.move_to(at)
            if at == was or event.chain > 1:
                self.action_choose()
