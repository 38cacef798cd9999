"""Ward: a project that is damaged for real, looked at by the doctor, and mended by the very command that it names."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from latchboard.compose import Latchboard, doctoring
from latchboard.doctor import DoctorReport
from latchboard.rules.finding import Finding
from latchboard.settings import Settings
from tests import forked
from tests.process.patient import UNHURRIED_S
from tests.surface.cli.harness import path_without_clients, validate

TREE = Path(__file__).parents[2]
TIMEOUT_S = 60
PATIENT = (sys.executable, "-P", str(Path(__file__).with_name("patient.py")))
"""The command line of a doctor who has as much time."""


class Ward:
    """One project, with a home and a PATH of its own, on which `latchboard` is this one."""

    def __init__(self, folder: Path, set_variable: Callable[[str, str], None]) -> None:
        self.folder = folder
        self.root = folder / "project"
        (self.root / ".git").mkdir(parents=True)
        programs, home = folder / "programs", folder / "home"
        programs.mkdir()
        home.mkdir()
        patient, plain = " ".join(PATIENT), f"{sys.executable} -m latchboard"
        script = f'#!/bin/sh\ncase "$1" in doctor) exec {patient} "$@";; *) exec {plain} "$@";; esac\n'
        (programs / "latchboard").write_text(script)
        (programs / "latchboard").chmod(0o755)
        for name, value in (
            ("HOME", str(home)),
            ("XDG_STATE_HOME", str(home / "state")),
            ("PATH", f"{programs}:{path_without_clients()}"),
            ("PYTHONPATH", str(TREE / "src")),
        ):
            set_variable(name, value)
        self.store = self.root / "data" / ".agent_locks"
        self.registry = self.root / "data" / ".agent_pids"
        self.state = home / "state" / "latchboard" / "credentials"
        self._boards: list[Latchboard] = []

    def board(self, **settings: Any) -> Latchboard:
        """The project's services, as of now."""
        self._boards.append(Latchboard(self.root, settings=Settings(**settings) if settings else None, publishes=False))
        return self._boards[-1]

    def fill(self, count: int = 3) -> Latchboard:
        """A board with locks, a message and an agent on it."""
        board = self.board()
        for number in range(count):
            board.agent("planner").lock(f"src/{number}.py", bound="agent")
        board.board.update("planner", "plans", ["src/0.py"])
        board.mailbox.send("planner", "builder", "hello")
        return board

    def look(self, **options: Any) -> DoctorReport:
        """The report of somebody who has just come, and has time."""
        board = self.board()
        try:
            return doctoring.report(board, **{"deadline_s": UNHURRIED_S, **options})
        finally:
            board.close()

    def found(self, finding_id: str, **options: Any) -> list[Finding]:
        return [one for one in self.look(**options).findings if one.id == finding_id]

    def run(self, command: str, *, timeout_s: float = TIMEOUT_S) -> subprocess.CompletedProcess[str]:
        """A command line, as it is pasted into a shell."""
        words = ["bash", "-c", command]
        return subprocess.run(words, cwd=self.root, capture_output=True, text=True, timeout=timeout_s, check=False)

    def mend(self, remedy: str) -> subprocess.CompletedProcess[str]:
        """A remedy; where it says first what it would do, the command that it names then."""
        done = self.run(remedy)
        named = re.search(r"^to do it: (.+)$", done.stdout, re.MULTILINE)
        return self.run(named[1]) if named else done

    def doctor(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """The command itself, forked (tests/forked.py)."""
        command = [*PATIENT, "doctor", *words]
        given = {"cwd": self.root, "capture_output": True, "text": True, "timeout": TIMEOUT_S, **options}
        done = forked.run(command, **given)
        if "--json" in words and done.stdout.startswith("{"):
            answer = json.loads(done.stdout)
            validate("error" if "code" in answer else "doctor", answer)
        return done

    def journal(self) -> Path:
        """The current one."""
        return max((self.store / "journal").glob("*.jsonl"))

    def rotate(self) -> Path:
        """A later journal is begun; the one before it."""
        older = self.journal()
        board = self.board(journal_bytes_max=600)
        while self.journal() == older:
            board.mailbox.send("planner", "builder", "a letter")
        board.close()
        return older

    def files(self) -> dict[str, tuple[int, int, int, bytes]]:
        """Mode, time of the last change of content and of the rest, and bytes of everything there is."""
        found = {}
        for path in sorted([self.root, *self.root.rglob("*"), *self.folder.joinpath("home").rglob("*")]):
            status = os.lstat(path)
            data = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
            found[str(path)] = (status.st_mode, status.st_mtime_ns, status.st_ctime_ns, data)
        return found

    def close(self) -> None:
        for board in self._boards:
            board.close()
