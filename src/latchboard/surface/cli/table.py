"""Table: rows under headings; by rich on a terminal, in plain columns anywhere else.

The one module of the command line that imports rich, and only when a person looks. NO_COLOR is respected.
"""

from __future__ import annotations

from latchboard.surface.cli.answer import is_terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_GAP = "  "


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table; cells are text that was made printable. No rows, no table."""
    if not rows:
        return []
    return _rich(title, columns, rows) if is_terminal() else _plain(title, columns, rows)


def _plain(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in (columns, *rows)) for i in range(len(columns))]
    lines = [title]
    for row in (columns, *rows):
        lines.append(_GAP + _GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return lines


def _rich(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    import io
    import shutil

    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(title=Text(title), title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        shown.add_column(Text(column), overflow="fold")
    for row in rows:
        shown.add_row(*[Text(cell) for cell in row])
    text = io.StringIO()
    Console(file=text, force_terminal=True, width=shutil.get_terminal_size().columns).print(shown)
    return [line.rstrip() for line in text.getvalue().rstrip("\n").split("\n")]
