"""Failure: the one place where errors become exit statuses, words for people and JSON for programs.

Protocol: protocol/cli.md, "Exit statuses" and "Failures".
"""

from __future__ import annotations

from latchboard.errors import CoordinationError, LockHeld
from latchboard.surface.cli import answer, wording

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from latchboard.surface.cli.call import Call

_SIGNALS = {1: "SIGHUP", 2: "SIGINT", 15: "SIGTERM"}


class Terminated(KeyboardInterrupt):
    """A signal met a verb that waits (interruption.py); it goes past everything that handles errors."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class Interrupted(CoordinationError):
    """A signal ended it; what was waited for has been given up. Fields: signal."""

    code = "interrupted"
    retryable = True

    def __init__(self, number: int = 2) -> None:
        name = _SIGNALS.get(number, f"signal {number}")
        super().__init__(f"ended by {name}; nothing that was waited for was taken", signal=name)
        self.exit_status = 128 + number


class Internal(CoordinationError):
    """Our own mistake. Fields: type."""

    code = "internal"


def tell(exc: CoordinationError, call: Call | None, *, as_json: bool) -> int:
    """Say what went wrong; returns the exit status.

    People read it on standard error. With --json it is one object on standard output, but for a verb whose standard
    output belongs to the command that it runs.
    """
    if as_json:
        own_output = call is None or not call.verb.has_command
        (answer.say_json if own_output else answer.warn_json)(exc.to_json())
    elif not _is_end_of_watch(exc, call):
        answer.warn("\n".join(_lines(exc, call)))
    return exc.exit_status


def _is_end_of_watch(exc: CoordinationError, call: Call | None) -> bool:
    """Whether there is nothing to tell: a signal is how a watch ends."""
    return isinstance(exc, Interrupted) and call is not None and call.verb.waits and not call.verb.changes


def _lines(exc: CoordinationError, call: Call | None) -> list[str]:
    if isinstance(exc, LockHeld) and call is not None:
        return _lock_held(exc, call)
    lines = [f"latchboard: {answer.printable(exc.message)}"]
    if exc.hint:
        lines.append(f"  hint: {answer.printable(exc.hint)}")
    return lines


def _lock_held(exc: LockHeld, call: Call) -> list[str]:
    """Who is in the way, since when, until when, what for, and what can be done about it."""
    names = [str(name) for name in exc.fields.get("names", [])]
    waited = exc.fields.get("waited_s")
    what = wording.listing(names)
    if waited is not None:
        first = f"{what} did not become free in {wording.span(waited)}"
    else:
        first = f"not all of {what} are free" if len(names) > 1 else f"{what} is not free"
    lines = [f"latchboard: {first}; nothing was taken"]
    for held in exc.fields.get("holders", []):
        whose = f"{answer.printable(str(held['name']))}: " if len(names) > 1 and "name" in held else ""
        whole, *more = wording.holder(held, call.now)
        lines += [f"  {whose}{whole}", *(f"  {line}" for line in more)]
    lines.append("what you can do:")
    lines += [f"  {line}" for line in _ways_out(exc, call)]
    return lines


def _without_wait(words: Sequence[str]) -> list[str]:
    """A command line without how long it waited: of an option that comes twice, the last counts."""
    found: list[str] = []
    left = iter(words)
    for word in left:
        if word == "--":
            return [*found, word, *left]
        if word == "--wait-s-max":
            next(left, None)
        elif not word.startswith("--wait-s-max="):
            found.append(word)
    return found


def _ways_out(exc: LockHeld, call: Call) -> list[str]:
    names = [str(name) for name in exc.fields.get("names", [])]
    paths = [call.typed(name) for name in names if not name.startswith("hardlink:")]
    ways = [("ask for it", call.command("handoff request", *paths, "--reason", "..."))]
    if exc.fields.get("waited_s") is None:
        wait = ["--wait-s-max", "60", *_without_wait(call.words)]
        ways.insert(0, ("wait in line", f"latchboard {call.verb.name} {wording.command(*wait)}"))
    ways.append(("see who does what", call.command("status", as_agent=False)))
    width = max(len(what) for what, _ in ways) + 1
    return [f"{what + ':':<{width}} {line}" for what, line in ways]
