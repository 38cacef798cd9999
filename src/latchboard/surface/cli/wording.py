"""Wording: spans, moments, holders and command lines as people read them."""

from __future__ import annotations

from latchboard.clock import parse_iso
from latchboard.surface.cli.answer import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from latchboard.clock import Now

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./-_")


def span(seconds: float) -> str:
    """A length of time in its two largest units: `0.3 s`, `45 s`, `4 min`, `1 h 5 min`, `2 d 3 h`."""
    if 0 < seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = max(0, int(seconds + 0.5))
    if whole < 60:
        return f"{whole} s"
    minutes = whole // 60
    if minutes < 60:
        return f"{minutes} min {whole % 60} s" if minutes < 5 and whole % 60 else f"{minutes} min"
    hours = minutes // 60
    if hours < 24:
        return f"{hours} h {minutes % 60} min" if minutes % 60 else f"{hours} h"
    return f"{hours // 24} d {hours % 24} h" if hours % 24 else f"{hours // 24} d"


def moment(at: str, now: Now) -> str:
    """An instant in UTC: the time alone when it is of today."""
    try:
        is_today = abs(parse_iso(at) - now.wall_s) < 86_400 and at[:10] == _iso(now)[:10]
    except ValueError:
        return printable(at)
    return f"{at[11:19]}Z" if is_today else f"{at[:10]} {at[11:19]}Z"


def ago(at: str, now: Now) -> str:
    """`02:31:05Z (4 min ago)`."""
    return f"{moment(at, now)} ({age(at, now)})"


def seconds_since(at: str, now: Now) -> float:
    """How long ago an instant is; 0 where it is none."""
    try:
        return now.wall_s - parse_iso(at)
    except ValueError:
        return 0.0


def age(at: str, now: Now) -> str:
    """`4 min ago`."""
    try:
        return f"{span(now.wall_s - parse_iso(at))} ago"
    except ValueError:
        return "some time ago"


def _iso(now: Now, ahead_s: float = 0.0) -> str:
    from latchboard.clock import iso

    return iso(now.wall_s + ahead_s)


def holder(held: dict[str, Any], now: Now) -> list[str]:
    """Who has it, since when, until when, what for; one hold or place in line of an error's or a check's facts."""
    name = printable(str(held.get("agent")))
    since = ago(str(held.get("since")), now)
    if held.get("waits"):
        return [f"{name} waits for it since {since}"]
    how = "shares it" if held.get("mode") == "shared" else "holds it"
    lines = [f"{name} {how} since {since}", f"  until {ahead(held.get('remaining_s'), now)} unless renewed"]
    if held.get("reason"):
        lines.append(f"  what for: {printable(str(held['reason']))}")
    host = f" on {printable(str(held['host_name']))}" if held.get("host_name") else ""
    process = f", process {held.get('pid')}{host}" if held.get("bound") == "process" else host and f",{host}"
    lines.append(f"  token {held.get('token')}, bound to the {held.get('bound')}{process}")
    return lines


def ahead(seconds: object, now: Now) -> str:
    """`03:31:05Z (in 56 min)`."""
    left_s = float(seconds) if isinstance(seconds, int | float) else 0.0
    try:
        return f"{moment(_iso(now, left_s), now)} (in {span(left_s)})"
    except ValueError:
        return f"{left_s:.0f} s from now"


def command(*words: str) -> str:
    """A command line that can be pasted into a POSIX shell."""
    return " ".join(quoted(word) for word in words)


def no_option(path: str) -> str:
    """A path that a command line cannot take for an option."""
    return f"./{path}" if path.startswith("-") else path


def quoted(word: str) -> str:
    """One word for a POSIX shell; what no terminal shows is left as an escape within $'...'."""
    if word and _PLAIN.issuperset(word):
        return word
    if not word.isprintable():
        shown = printable(word.replace("\\", "\\\\")).replace("'", "\\'")
        return f"$'{shown}'"
    return "'" + word.replace("'", "'\"'\"'") + "'"


def plural(count: int, one: str, many: str = "") -> str:
    """`1 lock`, `3 locks`."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def listing(names: Iterable[str]) -> str:
    """Names in one sentence."""
    return ", ".join(printable(name) for name in names)


def few(names: Sequence[str], one: str) -> str:
    """A name or two; of more of them how many: `src/a.py`, `38 locks`. All of them are somewhere else."""
    return listing(names) if len(names) <= 2 else plural(len(names), one)
