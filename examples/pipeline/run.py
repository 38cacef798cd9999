"""A pipeline of five roles on a repository of its own: plan, build in parallel, test, mend, merge.

    python examples/pipeline/run.py [FOLDER]

Without FOLDER in a temporary one. Nothing is simulated: each step is a command, and what it did is in the repository.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from latchboard import Latchboard

PROJECT = Path(__file__).parent / "project"
PATIENCE_S = 60.0


def main() -> int:
    if len(sys.argv) > 1:
        return pipeline(Path(sys.argv[1]))
    with tempfile.TemporaryDirectory() as folder:
        return pipeline(Path(folder) / "project")


def pipeline(folder: Path) -> int:
    repository(folder)
    os.environ["PATH"] = os.pathsep.join((os.path.dirname(sys.executable), os.environ["PATH"]))  # commands say python3
    board = Latchboard(folder, publishes=False)
    payload = {"old": "avg", "new": "mean", "branch": "rename"}
    job = {"id": "rename", "title": "avg shall be called mean", "role": "planner", "payload": payload}
    board.queue.submit([job], by="you")
    board.agents.start()
    try:
        wait(board, "rename-test")
    finally:
        board.agents.stop()
    tell(board, folder)
    is_done = all(job["status"] == "done" for job in board.queue.look().listed())
    board.close()
    return 0 if is_done else 1


def repository(folder: Path) -> None:
    """A repository with a package and its tests, on a branch for the work."""
    shutil.copytree(PROJECT, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    who = ["-c", "user.name=you", "-c", "user.email=you@example.org"]
    for words in (["init", "--quiet", "-b", "main"], ["add", "--all"], [*who, "commit", "--quiet", "-m", "Figures"]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    for name, value in (("user.name", "pipeline"), ("user.email", "pipeline@example.org")):
        subprocess.run(["git", "config", name, value], cwd=folder, check=True)
    subprocess.run(["git", "switch", "--quiet", "--create", "rename"], cwd=folder, check=True)


def wait(board: Latchboard, last: str) -> None:
    """Until all jobs are done, the last one too, or one is dead; woken by each change."""
    deadline_s = time.monotonic() + PATIENCE_S
    statuses: dict[str, str] = {}
    with board.stream.changes("jobs/", after=0, timeout_s=PATIENCE_S) as changes:
        for change in changes:
            job = change.value or {"id": change.key, "status": "done"}
            statuses[job["id"]] = job["status"]
            is_over = "dead" in statuses.values() or (last in statuses and {*statuses.values()} == {"done"})
            if is_over or time.monotonic() > deadline_s:
                return


def tell(board: Latchboard, folder: Path) -> None:
    for job in board.queue.look().listed():
        print(f"{job['id']}: {job['status']}")
        for attempt in job["attempts"]:
            print(
                f"  {attempt['outcome']} by {attempt['owner']}{': ' + attempt['error'] if 'error' in attempt else ''}"
            )
    print(subprocess.check_output(["git", "log", "--graph", "--oneline"], cwd=folder, text=True))


if __name__ == "__main__":
    sys.exit(main())
