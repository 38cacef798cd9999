"""A person who waits for a store that does not answer is told so while it lasts; a program is not."""

from __future__ import annotations

import sys
from pathlib import Path
from threading import Thread

import pytest

from latchboard.compose import Latchboard, engines
from latchboard.errors import StoreUnavailable
from latchboard.settings import Settings
from latchboard.surface.cli import dispatch, waiting
from latchboard.surface.cli.waiting import Waiting
from tests.process.nursery import until

NOBODY = "etcd://127.0.0.1:1,127.0.0.1:2/p"


class Watched:
    """Standard error, as a person has it before their eyes."""

    encoding = "utf-8"

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, is_terminal: bool = True) -> None:
        self.written = ""
        self._is_terminal = is_terminal
        monkeypatch.setattr(sys, "stderr", self)
        monkeypatch.setattr(waiting, "AFTER_S", 0.1)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "100")

    def isatty(self) -> bool:
        return self._is_terminal

    def write(self, text: str) -> None:
        self.written += text

    def flush(self) -> None:
        """It is there already."""


def run(root: Path, *words: str) -> int:
    """One command, which has three seconds; with a store at which nobody is."""

    def compose(root: str) -> Latchboard:
        board = Latchboard(root, settings=Settings(store=NOBODY), publishes=False)
        board.store.access.call_s_max = 3.0  # type: ignore[attr-defined]
        return board

    return dispatch.run([*words, "--root", str(root)], compose=compose)


TOLD = "trying for 3 s: etcd does not answer at 127.0.0.1:1, 127.0.0.1:2 (Connection refused)"


def test_who_waits_is_told_for_whom_and_nothing_is_left_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch)

    assert run(tmp_path, "status") == 13

    *_, line, rest = watched.written.split("\r\x1b[K")
    assert line == TOLD
    assert rest.startswith("latchboard: etcd did not answer")


def test_another_board_of_the_same_process_is_not_attended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch)
    assert run(tmp_path, "status") == 13
    watched.written = ""

    other = Latchboard(tmp_path, settings=Settings(store=NOBODY), publishes=False)
    other.store.access.call_s_max = 1.0  # type: ignore[attr-defined]
    with pytest.raises(StoreUnavailable):
        other.store.read("wide")

    assert watched.written == ""


def test_stores_that_are_opened_beside_the_boards_are_attended_as_it_is(tmp_path: Path) -> None:
    board = Latchboard(tmp_path, settings=Settings(store=NOBODY), publishes=False)
    attendant = Waiting()

    engines.attend(board, attendant)

    hurried = engines.hurried(board, 1.0)
    assert hurried is not None
    assert [one.access.attendant for one in (hurried, engines.beside(board, NOBODY))] == [attendant] * 2


@pytest.mark.parametrize("columns", [100, 20])
def test_what_is_heard_later_takes_the_place_of_what_was_known(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    watched = Watched(monkeypatch)
    monkeypatch.setenv("COLUMNS", str(columns))
    attendant = Waiting()

    with attendant.attending(("http://h:1",), 10.0):
        until(lambda: watched.written, "it is told")
        attendant.heard("no leader\x1b")

    lines = [
        f"trying for 10 s: etcd does not answer at h:1 ({why})" for why in ("nothing comes back", "no leader\\x1b")
    ]
    assert watched.written.split("\r\x1b[K") == ["", *(line[: columns - 1] for line in lines), ""]


def test_a_terminal_that_cannot_erase_keeps_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch)
    monkeypatch.setenv("TERM", "dumb")
    attendant = Waiting()

    with attendant.attending(("http://h:1",), 10.0):
        attendant.heard("no leader")
        until(lambda: watched.written, "it is told")

    assert watched.written == "trying for 10 s: etcd does not answer at h:1 (no leader)\n"


@pytest.mark.parametrize(
    ("words", "is_terminal"),
    [(("status", "--json"), True), (("status",), False), (("run", "x", "--agent", "a", "--", "true"), True)],
)
def test_programs_and_commands_have_their_streams_to_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], is_terminal: bool
) -> None:
    watched = Watched(monkeypatch, is_terminal=is_terminal)
    at = words.index("--") if "--" in words else len(words)

    def compose(root: str) -> Latchboard:
        board = Latchboard(root, settings=Settings(store=NOBODY), publishes=False)
        board.store.access.call_s_max = 0.1  # type: ignore[attr-defined]
        return board

    assert dispatch.run([*words[:at], "--root", str(tmp_path), *words[at:]], compose=compose) == 13

    assert "trying" not in watched.written


def test_what_another_thread_waits_for_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch)
    attendant = Waiting()
    told: list[bool] = []

    def wait() -> None:
        with attendant.attending(("http://h:1",), 10.0):
            assert not attendant._is_waiting
            told.append(True)

    thread = Thread(target=wait)
    thread.start()
    thread.join()

    assert told
    assert watched.written == ""


def test_a_call_that_is_answered_at_once_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch)
    monkeypatch.setattr(waiting, "AFTER_S", 60.0)

    with Waiting().attending(("http://h:1",), 10.0):
        pass

    assert watched.written == ""
