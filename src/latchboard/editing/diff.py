"""Diff: what changed, as text for people; bounded, so that a call of an agent never waits for it.

The bytes of both sides are kept beside it: whoever needs more than this has them.
"""

from __future__ import annotations

BYTES_MAX = 256 * 1024
"""Largest side, and largest diff."""
LINES_MAX = 3000
"""Most lines of a side that differ, after what both begin and end with: the work grows with their product."""
_CONTEXT_LINES = 3


def unified(name: str, old: bytes | None, new: bytes | None) -> bytes:
    """The unified diff from `old` to `new`; empty where one is no text, too large, or not there to be read."""
    if old is None or new is None or max(len(old), len(new)) > BYTES_MAX or b"\0" in old or b"\0" in new:
        return b""
    try:
        before, after = _lines(old), _lines(new)
    except UnicodeDecodeError:
        return b""
    head, tail = _common(before, after)
    if max(len(before), len(after)) - head - tail > LINES_MAX:
        return b""
    from difflib import SequenceMatcher

    # What both begin and end with, but for the context, is most of a file, and need not be matched.
    start = max(0, head - _CONTEXT_LINES)
    first = before[start : len(before) - max(0, tail - _CONTEXT_LINES)]
    last = after[start : len(after) - max(0, tail - _CONTEXT_LINES)]
    shown = name.replace("\n", "\\n")
    parts = [f"--- a/{shown}", f"+++ b/{shown}"]
    for group in SequenceMatcher(None, first, last).get_grouped_opcodes(_CONTEXT_LINES):
        parts += _hunk(group, first, last, start)
    data = ("\n".join(parts) + "\n").encode()
    return data if len(data) <= 2 * BYTES_MAX else b""


def _lines(data: bytes) -> list[str]:
    """Lines without their ends; a last one that has no end says so, as diff(1) does."""
    lines = data.decode().split("\n")
    if lines[-1]:
        lines[-1] += "\n\\ No newline at end of file"
    else:
        lines.pop()
    return lines


def _common(before: list[str], after: list[str]) -> tuple[int, int]:
    """How many lines both begin and end with."""
    most = min(len(before), len(after))
    head = next((n for n in range(most) if before[n] != after[n]), most)
    most -= head
    tail = next((n for n in range(most) if before[-1 - n] != after[-1 - n]), most)
    return head, tail


def _hunk(group: list[tuple[str, int, int, int, int]], before: list[str], after: list[str], start: int) -> list[str]:
    """One hunk; the lines given begin behind `start` lines of the file."""
    i, k, j, n = group[0][1] + start, group[0][3] + start, group[-1][2] + start, group[-1][4] + start
    lines = [f"@@ -{_range(i, j)} +{_range(k, n)} @@"]
    for tag, first, last, low, high in group:
        if tag == "equal":
            lines += [f" {line}" for line in before[first:last]]
        else:
            lines += [f"-{line}" for line in before[first:last]]
            lines += [f"+{line}" for line in after[low:high]]
    return lines


def _range(start: int, stop: int) -> str:
    length = stop - start
    return f"{start + 1}" if length == 1 else f"{start + 1 if length else start},{length}"
