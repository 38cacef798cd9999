"""What the README and examples/ show is run, as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import latchboard
from latchboard import Latchboard

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text("class Foo: ...\n")
    return tmp_path


def run(project: Path, *command: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(Path(latchboard.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, *command],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def git(folder: Path, *words: str) -> str:
    return subprocess.check_output(["git", *words], cwd=folder, text=True)


def test_the_readme_does_what_it_says(project: Path) -> None:
    (code,) = blocks("python")

    board = Latchboard(project, publishes=False)
    board.mailbox.send("builder", "planner", "hello")

    assert run(project, "-c", code) == "builder hello\n"
    assert (project / "src" / "a.py").read_text() == "class Bar: ...\n"
    assert [message["body"] for message in board.mailbox.receive("builder").messages] == ["Foo is called Bar now"]
    assert board.locks.check(["src/a.py"]) == []
    board.close()


def test_the_example_of_ten_lines_is_that_of_the_readme(project: Path) -> None:
    (code,) = blocks("python")
    text = (EXAMPLES / "ten_lines.py").read_text()

    assert text.endswith(code[code.index("from latchboard") :])
    run(project, str(EXAMPLES / "ten_lines.py"))
    assert (project / "src" / "a.py").read_text() == "class Bar: ...\n"


def test_the_async_example_loses_no_line(project: Path) -> None:
    lines = run(project, str(EXAMPLES / "async_agent.py")).splitlines()

    assert sorted(lines) == [f"{agent} {number}" for agent in ("builder", "planner") for number in range(3)]


def test_of_two_daemons_one_runs_and_the_other_says_who(project: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(latchboard.__file__).parents[1])}
    command = [sys.executable, str(EXAMPLES / "one_daemon.py"), "--tick-s", "60"]
    first = subprocess.Popen(command, cwd=project, env=environment, stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    assert first.stdout.readline() == "tick 1\n"

    second = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    first.terminate()

    assert (second.returncode, second.stdout) == (10, "")
    assert f"process {first.pid} runs since " in second.stderr
    assert first.communicate(timeout=60)[0] == "stopped\n"
    assert first.returncode == 0
    assert run(project, str(EXAMPLES / "one_daemon.py"), "--ticks", "1") == "tick 1\nstopped\n"


def test_the_pipeline_of_five_roles_ends_in_a_merge(tmp_path: Path) -> None:
    folder = tmp_path / "project"

    said = run(tmp_path, str(EXAMPLES / "pipeline" / "run.py"), str(folder))

    board = Latchboard(folder, publishes=False)
    jobs = {job["id"]: job for job in board.queue.look().listed()}
    board.close()
    assert {job["status"] for job in jobs.values()} == {"done"}
    roles = [attempt["role"] for attempt in jobs["rename-test"]["attempts"]]
    assert roles == ["tester", "refiner", "tester", "integrator"]
    assert len({attempt["owner"] for job in jobs.values() for attempt in job["attempts"]}) >= 5
    assert "Merge rename" in said
    assert git(folder, "branch", "--show-current") == "main\n"
    assert git(folder, "grep", "-lw", "avg") == "PLAN.md\n"
    assert git(folder, "status", "--porcelain") == ""
    tests = [sys.executable, "-m", "unittest", "--quiet"]
    assert subprocess.run(tests, cwd=folder, capture_output=True, check=False).returncode == 0


def test_every_example_is_listed_and_run() -> None:
    listed = re.findall(r"^\| \[[^]]+\]\(([^)]+)\)", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    parts = EXAMPLES / "pipeline" / "project"  # what the pipeline works on, and with
    files = [path for path in EXAMPLES.rglob("*") if path.suffix in (".py", ".sh") and not path.is_relative_to(parts)]
    there = [str(path.relative_to(EXAMPLES)) for path in files]

    assert sorted(listed) == sorted(there)
    tests = [Path(__file__), ROOT / "tests" / "process" / "test_shell_implementation.py"]
    sources = "".join(path.read_text() for path in tests)
    assert all(Path(name).name in sources for name in listed)
