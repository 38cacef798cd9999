from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from latchboard.surface.demo import story
from latchboard.surface.demo.board import board, summary, svg
from latchboard.surface.demo.lines import table
from latchboard.surface.demo.phase import Kill, Phase, Plan
from latchboard.surface.demo.show import Report
from latchboard.surface.demo.tally import Tally

FILES = ["src/latchboard/locks/service.py", "src/latchboard/store/files/store.py", "src/latchboard/locks/table.py"]


def phase(*, coordinated: bool, agents: int = 8) -> Phase:
    plan = Plan(
        folder=Path(),
        files=FILES,
        originals=[b"", b"", b""],
        agents=[f"agent-{number}" for number in range(1, agents + 1)],
        coordinated=coordinated,
        seconds=8.0,
        deadline=0.0,
    )
    made = Phase(plan, lambda _: None, stage="works")
    for number, row in enumerate(made.rows.values()):
        row.state = ("waits", "thinks", "rests", "killed")[number % 4]
        row.number, row.edits = number % 3, 12345
    made.made = [{"agent-1/1", "agent-1/2"}, set(), {"agent-2/1"}]
    made.present = [1, 0, 1]
    made.kill = Kill("agent-5", FILES[1], held=True, heir="agent-8", heir_s=0.0041)
    return made


def report(*problems: str) -> Report:
    made = Report("this repository", FILES, 8, problems=list(problems))
    made.without = Tally(False, 8.1, 1612, 1344, 268, 2)
    made.coordinated = Tally(True, 8.05, 437, 0, 437, 0, [0.01, 0.02, 1.5], 1, 437, 400, 37, 0)
    made.kill = Kill("agent-5", FILES[1], held=True, heir="agent-8", heir_s=0.0041)
    return made


def painted(what: object, *, width: int = 80) -> list[str]:
    console = Console(width=width, height=24, file=io.StringIO(), force_terminal=False)
    console.print(what)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize("coordinated", [False, True])
@pytest.mark.parametrize("agents", [2, 8, 32])
def test_board_fits_a_terminal_of_80_columns_and_24_lines(coordinated: bool, agents: int) -> None:
    lines = painted(board(phase(coordinated=coordinated, agents=agents), Tally(False, 15.0, 123456, 123456), 24))

    assert len(lines) <= 24
    assert all(any(line.strip().startswith(name) for line in lines) for name in FILES)
    assert any("agent-5 was killed holding the lock; agent-8 had it 4.1 ms later." in line for line in lines)


def test_board_says_what_is_lost_so_far() -> None:
    lines = painted(board(phase(coordinated=False), None, 24))

    assert next(line for line in lines if line.strip().startswith("src/latchboard/locks/service.py")).split()[1:] == [
        "2",
        "1",
        "1",
    ]


def test_summary_and_plain_table_say_the_same() -> None:
    drawn = [line.split() for line in painted(summary(report()))]

    assert all(line.split() in drawn for line in table(report()))
    assert "With it, none." in " ".join(painted(summary(report())))


def test_summary_fits_the_terminal() -> None:
    assert len(painted(summary(report()))) <= 24


def test_problem_takes_the_place_of_the_verdict() -> None:
    told = story.verdict(report("2 edits were lost with Latchboard: this must never happen"))

    assert told == ["2 edits were lost with Latchboard: this must never happen."]


def test_picture_loads_nothing() -> None:
    picture = svg(phase(coordinated=True), Tally(False, 8.0, 9, 4, 5))

    assert "url(http" not in picture
    assert "agent-8" in picture


@pytest.mark.parametrize(
    ("name", "width", "shown"),
    [
        ("src/a.py", 20, "src/a.py"),
        ("src/latchboard/store/files/store.py", 20, "…/files/store.py"),
        ("a/very-long-name-of-a-file.py", 12, "…f-a-file.py"),
    ],
)
def test_long_file_name_loses_its_start(name: str, width: int, shown: str) -> None:
    assert story.shorter(name, width) == shown


@pytest.mark.parametrize(("seconds", "told"), [(0.0041, "4.1 ms"), (0.0523, "52 ms"), (1.24, "1.2 s")])
def test_times_are_told_for_people(seconds: float, told: str) -> None:
    assert story.milliseconds(seconds) == told
