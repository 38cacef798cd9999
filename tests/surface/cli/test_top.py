"""top: what the command does around the board; the board itself is tested in tests/surface/tui."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import latchboard
from tests.surface.cli.harness import Cli

WAIT_S_MAX = 60.0
ENVIRONMENT = {"PYTHONPATH": str(Path(latchboard.__file__).parents[1]), "TERM": "xterm-256color"}
LEAVES = b"\x1b[?1049l"  # the screen that was there before is back
SHOWS_CURSOR = b"\x1b[?25h"


class Terminal:
    """`latchboard top` in a terminal of its own."""

    def __init__(self, project: Path, *words: str, columns: int = 100, **environment: str) -> None:
        self.master, slave = pty.openpty()
        self.resize(columns)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.written = b""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "latchboard", "top", *words],
            cwd=project,
            env={**os.environ, **ENVIRONMENT, **environment},
            stdin=slave,
            stdout=slave,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def resize(self, columns: int, lines: int = 40) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def until(self, *pieces: bytes) -> None:
        """Read until the program has written all of these."""
        deadline = time.monotonic() + WAIT_S_MAX
        while not all(piece in self.written for piece in pieces):
            assert time.monotonic() < deadline, (pieces, self.written[-2000:])
            if select.select([self.master], [], [], 0.05)[0]:
                self.written += os.read(self.master, 65536)
            else:
                assert self.process.poll() is None, (self.process.returncode, self.stderr())

    def press(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def end(self) -> int:
        """Its exit status; what it writes until then is read."""
        deadline = time.monotonic() + WAIT_S_MAX
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.written[-2000:]
            if select.select([self.master], [], [], 0.05)[0]:
                self.written += os.read(self.master, 65536)
        while select.select([self.master], [], [], 0.2)[0]:
            self.written += os.read(self.master, 65536)
        return self.process.returncode

    def stderr(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()
        for number in (self.master, self.slave):
            if number >= 0:
                os.close(number)


@pytest.fixture
def project(cli: Cli) -> Path:
    cli("update", "splitting the parser", "--agent", "planner")
    cli("acquire", "src/\x1b[2Jevil.py", "--agent", "planner", "--reason", "\x1b]0;title\x07")
    return cli.project


@pytest.fixture
def terminal(project: Path) -> Iterator[Terminal]:
    made = Terminal(project)
    yield made
    made.close()


@pytest.mark.parametrize("words", [(), ("--agent", "operator")])
def test_without_a_terminal_it_says_what_to_use_instead(cli: Cli, words: tuple[str, ...]) -> None:
    outcome = cli("top", *words)

    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith("latchboard: the terminal board cannot be drawn: standard ")
    assert "`latchboard status` prints the board once" in outcome.err


def test_it_has_no_json_and_says_which_command_has(cli: Cli) -> None:
    outcome = cli("top", "--json")

    assert (outcome.status, outcome.json["code"]) == (2, "usage")
    assert "latchboard status --json" in outcome.json["hint"]


@pytest.mark.parametrize("words", [("--theme", "pink"), ("--root", "nowhere"), ("--agent", " x"), ("now",)])
def test_what_cannot_be_right_is_refused_before_anything_is_drawn(cli: Cli, words: tuple[str, ...]) -> None:
    outcome = cli("top", *words)

    assert (outcome.status, outcome.out) == (2, "")
    assert "\x1b" not in outcome.err
    assert "terminal board" not in outcome.err


@pytest.mark.process
def test_without_the_extra_the_command_says_what_to_install(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['textual'] = None; from latchboard.surface.cli import main; "
        "sys.exit(main(['top', '--root', '.']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **ENVIRONMENT},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install 'latchboard[tui]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.process
@pytest.mark.parametrize("keys", [b"q", b"\x03"], ids=["q", "ctrl-c"])
def test_a_key_ends_it_and_gives_the_terminal_back(terminal: Terminal, keys: bytes) -> None:
    terminal.until(b"splitting the parser", b"\\x1b[2Jevil.py")

    terminal.press(keys)

    assert terminal.end() == 0
    assert termios.tcgetattr(terminal.slave) == terminal.before
    assert terminal.written.rfind(LEAVES) > 0
    assert terminal.written.rfind(SHOWS_CURSOR) > 0
    assert terminal.stderr() == ""
    assert b"\x1b[2Jevil" not in terminal.written
    assert b"\x1b]0;title" not in terminal.written


@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_gives_the_terminal_back(terminal: Terminal, number: signal.Signals) -> None:
    terminal.until(b"splitting the parser")

    terminal.process.send_signal(number)

    assert terminal.end() == 128 + number
    assert termios.tcgetattr(terminal.slave) == terminal.before
    assert LEAVES in terminal.written
    assert terminal.stderr() == ""


@pytest.mark.process
def test_a_terminal_that_goes_away_leaves_no_process_behind(terminal: Terminal) -> None:
    terminal.until(b"splitting the parser")

    os.close(terminal.master)
    os.close(terminal.slave)
    terminal.master = terminal.slave = -1

    assert terminal.process.wait(WAIT_S_MAX) != 0
    assert "Traceback" not in terminal.stderr()


@pytest.mark.process
def test_a_window_that_grows_is_filled_whatever_columns_says(project: Path) -> None:
    terminal = Terminal(project, columns=60, COLUMNS="60", LINES="24")
    try:
        terminal.until(b"2 Files", b"splitting the parser")
        assert b"6 History  " not in terminal.written

        terminal.resize(160)
        terminal.process.send_signal(signal.SIGWINCH)

        terminal.until(b"6 History  ")
        terminal.press(b"q")
        assert terminal.end() == 0
    finally:
        terminal.close()


@pytest.mark.process
def test_without_colours_none_is_sent(project: Path) -> None:
    terminal = Terminal(project, NO_COLOR="1")
    try:
        terminal.until(b"splitting the parser")
        terminal.press(b"q")
        assert terminal.end() == 0
        assert b"38;2;" not in terminal.written
        assert b"48;2;" not in terminal.written
        assert b"38;5;" not in terminal.written
    finally:
        terminal.close()
