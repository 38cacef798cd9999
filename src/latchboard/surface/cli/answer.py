"""Answer: what a verb gives back, and how words leave this process.

Law 1. Standard output carries the answer; standard error carries what went wrong, and nothing else does.
Law 2. With --json, standard output is one JSON object on one line, in UTF-8 whatever the locale says.
Law 3. What other agents wrote is shown so that it cannot steer a terminal or pretend to be a line of ours.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, TextIO

FORMAT = 1
"""Version of every JSON answer (protocol/cli.md, "Answers")."""


class Answer:
    """What came out: facts for programs, lines for people, and the exit status.

    Attributes:
        facts: JSON-ready; printed with `"format": 1` in front. None: the verb has written everything itself.
        lines: The same for people; none: nothing is printed.
        status: Of the process; 0 or one that protocol/cli.md lists for the verb.
    """

    __slots__ = ("facts", "lines", "status")

    def __init__(self, facts: dict[str, Any] | None, lines: Iterable[str] = (), *, status: int = 0) -> None:
        self.facts = facts
        self.lines = lines
        self.status = status


class Closed(Exception):
    """Whoever read our output is gone."""


class NotWritten(Exception):
    """Standard output did not take the answer."""


def say(text: str) -> None:
    """Write lines for people to standard output."""
    _write(sys.stdout, f"{text}\n")


def say_json(facts: dict[str, Any]) -> None:
    """Write one JSON object to standard output."""
    _write(sys.stdout, _line(facts), "utf-8")


def warn(text: str) -> None:
    """Write lines for people to standard error; when nobody reads them, that is that."""
    try:
        _write(sys.stderr, f"{text}\n")
    except (Closed, NotWritten):
        _forget(2)


def warn_json(facts: dict[str, Any]) -> None:
    """Write one JSON object to standard error: for verbs whose standard output belongs to another program."""
    try:
        _write(sys.stderr, _line(facts), "utf-8")
    except (Closed, NotWritten):
        _forget(2)


def forget_stdout() -> None:
    """Let nothing more reach standard output, so that the interpreter does not trip over it when it ends."""
    _forget(1)


def need_stdout() -> None:
    """Raise NotWritten where standard output was closed before we began: for answers that others write."""
    if sys.stdout is None:
        raise NotWritten("it is closed")


def is_terminal() -> bool:
    """Whether a person looks at standard output."""
    return _is_tty(sys.stdout)


def is_watched() -> bool:
    """Whether a person looks at standard error."""
    return _is_tty(sys.stderr)


def _is_tty(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False


def printable(text: str) -> str:
    """`text` on one line, with everything that could steer a terminal written out as an escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def printable_block(text: str) -> list[str]:
    """As `printable`, for text that may have lines and tabs."""
    return [printable(line.expandtabs(4)) for line in text.split("\n")]


def _line(facts: dict[str, Any]) -> str:
    from latchboard.codec import encode, sayable

    try:
        return encode(facts) + "\n"
    except ValueError:  # a path or an argument that is no Unicode text
        return encode(sayable(facts)) + "\n"


def _write(stream: TextIO | None, text: str, encoding: str = "") -> None:
    if stream is None:  # it was closed before we began
        raise NotWritten("it is closed")
    data = text.encode(encoding or stream.encoding or "utf-8", "backslashreplace")
    buffer = getattr(stream, "buffer", None)
    try:
        if buffer is None:
            stream.write(data.decode(encoding or stream.encoding or "utf-8"))
        else:
            stream.flush()
            buffer.write(data)
        stream.flush()
    except BrokenPipeError as exc:
        raise Closed from exc
    except (OSError, ValueError) as exc:  # ValueError: closed under our feet
        raise NotWritten(str(getattr(exc, "strerror", None) or exc)) from exc


def _forget(number: int) -> None:
    import os

    if (sys.stdout if number == 1 else sys.stderr) is None:
        return  # a file of ours may have its number by now
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)
    except OSError:
        return  # no descriptor left: the interpreter will say so by itself
