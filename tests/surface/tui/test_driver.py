"""The terminal: what it lacks, and that it may go away."""

from __future__ import annotations

import io
import os
import sys

import pytest

from latchboard.surface.tui import driver


class Stream(io.TextIOWrapper):
    """A terminal, as far as anybody asks."""

    def isatty(self) -> bool:
        return True


def stream(encoding: str = "utf-8") -> tuple[Stream, io.BytesIO]:
    raw = io.BytesIO()
    return Stream(raw, encoding=encoding), raw


@pytest.mark.parametrize(
    ("stdin", "stdout", "term", "why"),
    [
        (True, True, "xterm-256color", ""),
        (False, True, "xterm", "standard input is no terminal"),
        (True, False, "xterm", "standard output is no terminal"),
        (None, True, "xterm", "standard input is no terminal"),
        (True, None, "xterm", "standard output is no terminal"),
        (True, True, "dumb", "the terminal cannot place its cursor (TERM is dumb or not set)"),
        (True, True, "", "the terminal cannot place its cursor (TERM is dumb or not set)"),
    ],
)
def test_where_nothing_can_be_drawn_it_is_said_why(
    monkeypatch: pytest.MonkeyPatch, stdin: bool | None, stdout: bool | None, term: str, why: str
) -> None:
    for name, is_terminal in (("__stdin__", stdin), ("__stdout__", stdout)):
        given = {True: stream()[0], False: io.StringIO(), None: None}[is_terminal]
        monkeypatch.setattr(sys, name, given)
    monkeypatch.setenv("TERM", term)

    assert driver.why_not() == why


def test_a_closed_stream_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.TextIOWrapper(io.BytesIO())
    closed.close()
    monkeypatch.setattr(sys, "__stdin__", closed)

    assert driver.why_not() == "standard input is no terminal"


def test_what_the_encoding_lacks_is_a_question_mark() -> None:
    text, raw = stream("latin-1")
    out = driver._Out(text)

    out.write("é ● …")
    out.flush()

    assert raw.getvalue() == b"\xe9 ? ?"


def test_a_terminal_that_goes_away_is_no_error() -> None:
    reader, writer = os.pipe()
    text = os.fdopen(writer, "w", encoding="utf-8")
    out = driver._Out(text)
    os.close(reader)

    out.write("nobody reads this")
    out.flush()
    out.write("nor this")
    out.flush()

    assert out.is_gone
    with pytest.raises(BrokenPipeError):
        text.close()
