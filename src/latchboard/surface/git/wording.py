"""Wording: paths, spans, moments and command lines as they stand in what a hook says.

Nothing that a file or an agent is called can move the cursor, add a line or end a quotation.
"""

from __future__ import annotations

from latchboard.clock import iso, parse_iso

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from latchboard.clock import Now

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./-_")


def say(lines: Sequence[str]) -> None:
    """Print lines on standard error; a closed one is no reason to fail."""
    import os

    data = "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")
    try:
        while data:
            data = data[os.write(2, data) :]
    except OSError:
        return


def shown(path: bytes | str) -> str:
    """A path or an id for people: what no terminal shows stands as an escape."""
    text = path.decode("utf-8", "surrogateescape") if isinstance(path, bytes) else path
    return text if text.isprintable() else "".join(one if one.isprintable() else _escape(one) for one in text)


def named(name: str) -> str:
    """A lock's name for a shell, which no command takes for an option."""
    return quoted(f"./{name}" if name.startswith("-") else name)


def quoted(word: bytes | str) -> str:
    """One word for a shell; what cannot be shown is an escape within $'...'."""
    text = word.decode("utf-8", "surrogateescape") if isinstance(word, bytes) else word
    if text and _PLAIN.issuperset(text):
        return text
    if text.isprintable():
        return "'" + text.replace("'", "'\"'\"'") + "'"
    escaped = "".join({"\\": "\\\\", "'": "\\'"}.get(c, c if c.isprintable() else _escape(c)) for c in text)
    return f"$'{escaped}'"


def _escape(one: str) -> str:
    data = one.encode("utf-8", "surrogateescape" if "\udc80" <= one <= "\udcff" else "replace")
    return "".join(f"\\x{byte:02x}" for byte in data)


def span(seconds: float) -> str:
    """A length of time in its two largest units: `45 s`, `4 min`, `1 h 5 min`, `2 d 3 h`."""
    whole = max(0, int(seconds + 0.5))
    if whole < 60:
        return f"{whole} s"
    minutes = whole // 60
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours // 24} d {hours % 24} h" if hours % 24 else f"{hours // 24} d"


def since(at: str, now: Now) -> str:
    """`08:01:05Z (4 min ago)`; the day as well where it is another one."""
    try:
        past = f" ({span(now.wall_s - parse_iso(at))} ago)"
    except ValueError:
        return shown(at)
    return f"{_moment(at, now)}{past}"


def until(seconds: float, now: Now) -> str:
    """`09:01:05Z (in 56 min)`."""
    try:
        return f"{_moment(iso(now.wall_s + seconds), now)} (in {span(seconds)})"
    except (ValueError, OverflowError, OSError):
        return f"{seconds:.0f} s from now"


def _moment(at: str, now: Now) -> str:
    return f"{at[11:19]}Z" if at[:10] == iso(now.wall_s)[:10] else f"{at[:10]} {at[11:19]}Z"
