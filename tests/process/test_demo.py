"""The demo, run as people run it: as a program of its own, watched, piped, interrupted and killed."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import jsonschema
import psutil
import pytest

pytestmark = [pytest.mark.process, pytest.mark.slow]

ENDS_S_MAX = 60.0
GONE_S_MAX = 60.0

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the demo with its temporary files below `tmp_path`; ended with the test."""
    started = []

    def start(*options: str, **more: Any) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "latchboard.surface.demo", *options]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
        demo = subprocess.Popen(command, env=environment(tmp_path), text=True, start_new_session=True, **pipes)
        started.append(demo)
        return demo

    yield start
    for demo in started:
        demo.kill()
        demo.communicate()


def environment(folder: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    return {**kept, "TMPDIR": str(folder), "TERM": "xterm-256color", **more}


def schema(name: str) -> dict[str, Any]:
    path = Path(__file__).parents[2] / "protocol" / "schema" / f"{name}.json"
    return cast("dict[str, Any]", json.loads(path.read_text(encoding="utf-8")))


def agents_of(folder: Path) -> list[psutil.Process]:
    """Agents at work on something below a folder: it is in their command line."""
    found = []
    for process in psutil.process_iter():
        try:
            if any(str(folder) in word for word in process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue  # it has just ended
    return found


def assert_nothing_is_left(folder: Path) -> None:
    assert agents_of(folder) == []
    assert list(folder.iterdir()) == []


def read_until(demo: subprocess.Popen[str], text: str) -> None:
    assert demo.stdout is not None
    for line in demo.stdout:
        if text in line:
            return
    pytest.fail(f"it ended without saying {text!r}: {demo.communicate()[1]}")


def test_edits_are_lost_without_latchboard_and_none_with_it_though_an_agent_is_killed(
    start: Start, tmp_path: Path
) -> None:
    demo = start("--seconds", "2", "--json")

    told, complaints = demo.communicate(timeout=ENDS_S_MAX)

    report = json.loads(told)
    jsonschema.validate(report, schema("demo"))
    assert (report["ok"], report["problems"], complaints) == (True, [], "")
    assert demo.returncode == 0
    without, coordinated = report["without"], report["with"]
    assert without["edits_lost"] > 0
    assert coordinated["edits_made"] == coordinated["edits_kept"] > 0
    assert (coordinated["edits_lost"], coordinated["files_damaged"]) == (0, 0)
    assert coordinated["waits_count"] > 0
    assert coordinated["wait_median_s"] <= coordinated["wait_longest_s"]
    assert coordinated["messages_sent"] == coordinated["messages_received"] + coordinated["messages_kept"] > 0
    assert coordinated["messages_lost"] == 0
    assert_nothing_is_left(tmp_path)
    # One was killed holding its lock, and another took it over.
    killed = report["killed"]
    assert killed["agent"] == "agent-5"
    assert killed["file"] in report["files"]
    assert killed["held_lock"]
    assert killed["taken_over_by"] not in (None, killed["agent"])
    assert coordinated["takeovers"] == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_demo_leaves_nothing(start: Start, tmp_path: Path, number: signal.Signals) -> None:
    demo = start("--seconds", "15")
    read_until(demo, "edits made")
    assert len(agents_of(tmp_path)) == 8

    demo.send_signal(number)
    _, complaints = demo.communicate(timeout=GONE_S_MAX)

    assert demo.returncode == 128 + number
    assert complaints == f"Ended by {number.name}. Every agent was ended and the temporary folder removed.\n"
    assert_nothing_is_left(tmp_path)


def test_interrupted_demo_says_so_in_json(start: Start, tmp_path: Path) -> None:
    demo = start("--seconds", "15", "--json")
    while not agents_of(tmp_path):
        assert demo.poll() is None

    demo.terminate()
    told, complaints = demo.communicate(timeout=GONE_S_MAX)

    answer = json.loads(told)
    jsonschema.validate(answer, schema("error"))
    assert (answer["code"], answer["signal"], demo.returncode, complaints) == ("interrupted", "SIGTERM", 143, "")
    assert_nothing_is_left(tmp_path)


def test_second_interrupt_does_not_disturb_the_tidying(start: Start, tmp_path: Path) -> None:
    demo = start("--seconds", "4")  # so that it is interrupted before its end
    read_until(demo, "with Latchboard")
    read_until(demo, "edits made")

    while demo.poll() is None:
        demo.send_signal(signal.SIGINT)

    assert demo.returncode in (130, -signal.SIGINT)  # the latter: one more while the interpreter was ending
    assert_nothing_is_left(tmp_path)


@pytest.mark.parametrize("phase", ["without coordination", "with Latchboard"])
def test_agents_end_by_themselves_when_the_demo_is_killed(start: Start, tmp_path: Path, phase: str) -> None:
    demo = start("--seconds", "15" if phase.startswith("without") else "1")
    read_until(demo, phase)
    read_until(demo, "edits made")

    demo.kill()
    demo.communicate()

    deadline = time.monotonic() + GONE_S_MAX
    while agents_of(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert agents_of(tmp_path) == []


def test_reader_that_goes_away_ends_the_demo(start: Start, tmp_path: Path) -> None:
    demo = start("--seconds", "15")
    read_until(demo, "edits made")

    assert demo.stdout is not None
    demo.stdout.close()
    demo.stdout = None
    _, complaints = demo.communicate(timeout=GONE_S_MAX)

    assert (demo.returncode, complaints) == (1, "")
    assert_nothing_is_left(tmp_path)


@pytest.mark.parametrize("no_color", [False, True])
def test_terminal_shows_a_live_board_and_keeps_the_table(tmp_path: Path, no_color: bool) -> None:
    shown, status = in_a_terminal(tmp_path, "--seconds", "1", **({"NO_COLOR": "1"} if no_color else {}))

    board, _, rest = shown.rpartition("\x1b[?1049l")
    assert status == 0
    assert board.startswith("\x1b[?1049h")
    assert "waits for agent-" in board
    assert "killed, in mid-edit" in board
    assert "edits lost" in rest
    assert "With it, none." in rest
    assert is_colored(shown) is not no_color
    assert_nothing_is_left(tmp_path)


def test_interrupt_gives_the_terminal_back(tmp_path: Path) -> None:
    shown, status = in_a_terminal(tmp_path, "--seconds", "15", interrupt_at="edits made")

    assert status == 130
    assert shown.rstrip().endswith("Ended by SIGINT. Every agent was ended and the temporary folder removed.")
    assert shown.count("\x1b[?1049h") == shown.count("\x1b[?1049l") == 1
    assert shown.count("\x1b[?25l") <= shown.count("\x1b[?25h")  # the cursor is seen again
    assert_nothing_is_left(tmp_path)


def is_colored(shown: str) -> bool:
    codes = [code for sequence in re.findall(r"\x1b\[([\d;]*)m", shown) for code in sequence.split(";")]
    return any(code.isdigit() and 30 <= int(code) <= 107 for code in codes)


def in_a_terminal(folder: Path, *options: str, interrupt_at: str = "", **more: str) -> tuple[str, int]:
    """What a terminal of 80 columns and 24 lines is sent, and the exit status; Ctrl-C is typed when a text appears."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    # The first terminal that the leader of a session opens becomes the one that Ctrl-C comes from.
    opens_it = ["sh", "-c", 'exec "$@" <"$0"', os.ttyname(theirs)]
    demo = subprocess.Popen(
        [*opens_it, sys.executable, "-m", "latchboard.surface.demo", *options],
        stdout=theirs,
        stderr=theirs,
        env=environment(folder, **more),
        start_new_session=True,
    )
    os.close(theirs)
    shown = b""
    try:
        while True:
            try:
                shown += os.read(ours, 65536)
            except OSError:  # EIO: the last process has closed it
                break
            if interrupt_at and interrupt_at.encode() in shown:
                interrupt_at = ""
                os.write(ours, b"\x03")
        return shown.decode(), demo.wait(ENDS_S_MAX)
    finally:
        demo.kill()
        demo.wait()
        os.close(ours)
