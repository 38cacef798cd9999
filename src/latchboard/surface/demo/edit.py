"""Edit: one numbered line put into a file, so that a lost edit is proven by counting; pure.

Law 1. An edit adds one line and changes no other byte.
Law 2. Taking the lines of all edits out of a file gives back the file as it was, or the file is damaged.
"""

from __future__ import annotations

MARK = b"# latchboard demo: edit "

_STARTS = (b"def ", b"class ", b"async def ")


def edit_id(agent: str, number: int) -> str:
    """The id of an agent's nth edit: `agent-3/17`."""
    return f"{agent}/{number}"


def with_edit(text: bytes, edit: str, where: float) -> bytes:
    """The text with the line of an edit added.

    Args:
        text: The file as it was read.
        edit: From `edit_id`.
        where: From 0 to 1: which of the possible places, first to last.
    """
    lines = text.splitlines(keepends=True)
    # In front of a function or class a comment is harmless to any Python file; other files take it anywhere.
    places = [n for n, line in enumerate(lines) if line.lstrip().startswith(_STARTS)] or list(range(len(lines))) or [0]
    place = places[min(int(where * len(places)), len(places) - 1)]
    following = lines[place] if place < len(lines) else b""
    indent = following[: len(following) - len(following.lstrip(b" \t"))]
    lines.insert(place, indent + MARK + edit.encode() + b"\n")
    return b"".join(lines)


def edits_in(text: bytes) -> set[str]:
    """The ids of every edit that is in a file."""
    _, *rest = text.split(MARK)
    return {part.split(b"\n", 1)[0].decode("ascii", "replace") for part in rest}


def without_edits(text: bytes) -> bytes:
    """The text with the lines of all edits taken out."""
    return b"".join(line for line in text.splitlines(keepends=True) if not line.lstrip(b" \t").startswith(MARK))
