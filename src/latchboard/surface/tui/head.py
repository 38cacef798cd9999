"""Head: what is said above the lists: which project, how much there is, how it stands; and the help; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from latchboard.surface.tui import ages
from latchboard.surface.tui.text import filled, middle_cut, plural, shown, width

if TYPE_CHECKING:
    from latchboard.surface.tui.reader import News

HELP = (
    ("1 to 7", "go to a list: agents, files, in line, conflicts, conversations, history, queue"),
    ("Tab", "the next list (Shift+Tab: the one before)"),
    ("arrows", "move; also j and k, Page Up and Page Down, Home and End, the mouse"),
    ("Enter", "everything about the line (of a folder: open or close it)"),
    ("left right", "close and open a folder"),
    ("/", "show only what has these words in it; Enter keeps the filter, Esc ends it"),
    ("z", "the list alone on the screen, and back"),
    ("t", "colours for a dark terminal, or for a light one"),
    ("b", "break the lock of this file (asks first; needs --agent)"),
    ("r", "release this lock of your own (asks first; needs --agent)"),
    ("q", "end; Ctrl+C as well"),
    ("", ""),
    ("●", "an agent that was heard of of late; ○ one that is quiet; · one that never said anything"),
    ("+2", "so many wait for the file"),
    ("56m", "how long ago (agents, waits, mail), or how long a lock still lasts (files)"),
)


def line(news: News, root: str, columns: int, wall_s: float, *, is_read: bool) -> list[tuple[str, str]]:
    """The first line: pieces with their styles."""
    picture = news.picture
    state = ("OLD" if is_read else "NOT READ") if news.trouble else "live" if is_read else "reading ..."
    right = f" {state}  last change {ages.since(picture.at, wall_s) or '-'} "
    counts = [plural(len(picture.agents), "agent"), plural(len(picture.locks), "lock")]
    said = f"  {', '.join(counts)}, {len(picture.waiters)} waiting" if is_read else ""
    room = columns - width(right)
    left, root = " latchboard  ", shown(root)
    if room - len(left) - len(said) < 12:
        left, root = " ", root.rpartition("/")[2]
    root = middle_cut(root, max(8, room - len(left) - len(said)))
    text = filled(left + root + said, max(0, room))
    return [(text, "bold"), (right, "$board-bad bold" if news.trouble else "$board-dim")]


def trouble(news: News, filter_text: str) -> list[str]:
    """What must be known about the picture, a sentence each."""
    said = []
    if news.trouble:
        said.append(f"The store cannot be read; tried again all the time: {shown(news.trouble)}")
    if news.note:
        said.append(news.note)
    if damaged := news.damaged:
        keys = ", ".join(shown(one["key"]) for one in damaged[:3])
        what = (
            "1 record cannot be read, and counts"
            if len(damaged) == 1
            else f"{len(damaged)} records cannot be read, and count"
        )
        said.append(f"{what} as held: {keys}. See `latchboard doctor`")
    if filter_text:
        said.append(f"Shown is only what has `{shown(filter_text)}` in it; Esc shows everything")
    return said
