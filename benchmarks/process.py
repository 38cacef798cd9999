"""Whole processes: what an import and a `latchboard check` cost beside a bare interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from typing import Any

from benchmarks.measure import goal, interleaved, percentile, summary
from latchboard import Latchboard


def start_up(rounds: int) -> dict[str, Any]:
    """Start, work and end of a process, again and again."""
    with tempfile.TemporaryDirectory() as folder:
        os.makedirs(f"{folder}/src")
        with open(f"{folder}/src/a.py", "w", encoding="utf-8") as file:
            file.write("x = 1\n")
        Latchboard(folder).agent("bench").lock("src/a.py", bound="agent")
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "import latchboard": [sys.executable, "-c", "import latchboard"],
            "latchboard check FILE": [sys.executable, "-m", "latchboard", "check", "src/a.py"],
        }
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}

        def run(command: list[str]) -> None:
            subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)

        actions = {name: (lambda command=command: run(command)) for name, command in commands.items()}
        found = interleaved(actions, rounds=rounds, batch=1)
    bare, imported, checked = (percentile(s, 0.5) for s in found.values())
    return {
        "name": "whole processes",
        "figures": {name: summary(s) for name, s in found.items()},
        "goals": [
            goal("import latchboard against python -c pass", imported / bare, 1.5),
            goal("latchboard check against python -c pass", checked / bare, 6),
        ],
    }
