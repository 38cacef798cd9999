"""Table: rows under headings. On a terminal a row is one line of it; anywhere else nothing is cut or left out.

What gives way where a terminal is narrow, in this order: columns with nothing in them; the columns that the caller says
may give way are shortened; names are cut in the middle, for a path ends with what matters, down to half of the line;
those columns are left out; names are cut more.

The one module of the command line that imports rich, and only for the width of what is not ASCII.
"""

from __future__ import annotations

import os

from latchboard.surface.cli.answer import is_terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Rows = Sequence[Sequence[str]]

_GAP = "  "
_LONG_CELLS = 24
_SHORT_CELLS = 12
"""What is longer than the one is cut to the other at the least; of what is short too little would be left."""
_NAME_CELLS_MIN = 16
ROWS_SHOWN_MAX = 500
"""On a terminal: more than that nobody scrolls through."""
_BOLD, _DIM, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[0m"


class Tables:
    """Tables one after the other, for standard output.

    Attributes:
        lines: Of all of them.
        is_cut: Something was cut or left out, which `anywhere else` shows.
    """

    def __init__(self) -> None:
        """Look at where the lines will go."""
        self.lines: list[str] = []
        self.is_cut = False
        self._columns = _columns() if is_terminal() else 0
        self._has_styles = self._columns > 0 and os.environ.get("TERM", "dumb") != "dumb"

    def add(
        self,
        title: str,
        headings: Sequence[str],
        rows: Rows,
        *,
        gives: Sequence[str] = (),
        cuts: Sequence[str] = (),
    ) -> None:
        """A table; no rows, no table.

        Args:
            title: Above it.
            headings: Of its columns.
            rows: Cells are text that was made printable.
            gives: Headings of the columns that are shortened and then left out, the first one first.
            cuts: Headings of the columns whose names may be cut in the middle.
        """
        if not rows:
            return
        if not self._columns:
            widths = [max(cells(row[at]) for row in (headings, *rows)) for at in range(len(headings))]
            self.lines += [title, *(_line(row, widths) for row in (headings, *rows))]
            return
        shown = rows[:ROWS_SHOWN_MAX]
        layout = _Layout(headings, shown, gives, cuts)
        layout.fit(self._columns - len(_GAP))
        self.is_cut = self.is_cut or layout.is_cut
        self.lines += ["", self._styled(_BOLD, title), self._styled(_DIM, _line(layout.headings, layout.widths))]
        self.lines += [_line(row, layout.widths) for row in layout.rows]
        if left := len(rows) - len(shown):
            self.is_cut = True
            self.lines.append(f"{_GAP}... and {left:,} more")

    def _styled(self, style: str, text: str) -> str:
        return f"{style}{text}{_PLAIN}" if self._has_styles else text


def table(
    title: str, headings: Sequence[str], rows: Rows, *, gives: Sequence[str] = (), cuts: Sequence[str] = ()
) -> list[str]:
    """The lines of one table."""
    tables = Tables()
    tables.add(title, headings, rows, gives=gives, cuts=cuts)
    return tables.lines


class _Layout:
    """A table that is being made as narrow as it must be."""

    def __init__(self, headings: Sequence[str], rows: Rows, gives: Sequence[str], cuts: Sequence[str]) -> None:
        there = [at for at in range(len(headings)) if any(row[at] for row in rows)]
        self.headings = [headings[at] for at in there]
        self.rows: Rows = [[row[at] for at in there] for row in rows]
        self.widths = [max(map(cells, column)) for column in zip(self.headings, *self.rows, strict=True)]
        self.is_cut = False
        self._gives = [name for name in gives if name in self.headings]
        self._cuts = [name for name in cuts if name in self.headings]

    def fit(self, columns: int) -> None:
        """Take no more than so many cells, if that can be."""
        for name in self._gives:
            if self._width(name) > _LONG_CELLS:
                self._shorten(name, columns, _SHORT_CELLS)
        for name in self._cuts:
            self._shorten(name, columns, columns // 2)
        while self._over(columns) > 0 and self._gives:
            self._leave_out(self._gives.pop(0))
        for name in self._cuts:
            self._shorten(name, columns, _NAME_CELLS_MIN)
        for name in (*self._cuts, *self._gives):
            self._widen(name, columns)
        for at, heading in enumerate(self.headings):
            width, cut = self.widths[at], _middle_cut if heading in self._cuts else _end_cut
            if any(cells(row[at]) > width for row in self.rows):
                self.is_cut = True
                self.rows = [[*row[:at], cut(row[at], width), *row[at + 1 :]] for row in self.rows]

    def _width(self, name: str) -> int:
        return self.widths[self.headings.index(name)]

    def _over(self, columns: int) -> int:
        return sum(self.widths) + len(_GAP) * (len(self.widths) - 1) - columns

    def _shorten(self, name: str, columns: int, least: int) -> None:
        at = self.headings.index(name)
        least = min(self.widths[at], max(least, cells(name)))
        self.widths[at] = max(least, self.widths[at] - max(0, self._over(columns)))

    def _widen(self, name: str, columns: int) -> None:
        """Give a column that was shortened the room that another one has left."""
        at = self.headings.index(name)
        wanted = max(cells(name), *(cells(row[at]) for row in self.rows))
        self.widths[at] = min(wanted, self.widths[at] + max(0, -self._over(columns)))

    def _leave_out(self, name: str) -> None:
        at = self.headings.index(name)
        self.is_cut = True
        del self.headings[at], self.widths[at]
        self.rows = [[*row[:at], *row[at + 1 :]] for row in self.rows]


def cells(text: str) -> int:
    """How many cells of a terminal a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    filled = (cell + " " * (width - cells(cell)) for cell, width in zip(row, widths, strict=True))
    return _GAP + _GAP.join(filled).rstrip()


def _end_cut(text: str, width: int) -> str:
    return text if cells(text) <= width else _head(text, width - 1) + "…"


def _middle_cut(text: str, width: int) -> str:
    if cells(text) <= width:
        return text
    ahead = (width - 1) // 3
    return _head(text, ahead) + "…" + _head(text[::-1], width - 1 - ahead)[::-1]


def _head(text: str, width: int) -> str:
    """As much of the beginning as goes into so many cells."""
    text = text[: 4 * max(0, width)]
    while cells(text) > width:
        text = text[:-1]
    return text


def _columns() -> int:
    import shutil

    return max(20, shutil.get_terminal_size().columns)
