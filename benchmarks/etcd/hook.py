"""Hook: what the process costs that a client runs before each edit, with files, and with etcd: asked itself, or through
the daemon of this machine."""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.hook import environment, event, project, script
from benchmarks.measure import goal, summary
from tests.store.etcd.server import BINARY, Place

ABOVE_FILES_MS_MAX = 15


def edit(rounds: int) -> list[dict[str, Any]]:
    """Seconds on the clock of the whole process; nothing where no etcd is installed."""
    if shutil.which(BINARY) is None:
        return []
    hook = [script("latchboard-hook"), "claude"]
    seconds: dict[str, list[float]] = {}
    with ExitStack() as stack:
        place = Place()
        stack.callback(place.close)
        commands = {
            "python3 -I -S -c pass": ([sys.executable, "-I", "-S", "-c", "pass"], stack.enter_context(project()))
        }
        for name in ("files", "etcd, through the daemon", "etcd, asked itself"):
            root = stack.enter_context(project())
            if name != "files":
                address = f"etcd://{place.members[0].client.partition('://')[2]}{place.access().prefix}"
                Path(root, "latchboard.toml").write_text(f'store = "{address}"\n', encoding="utf-8")
            if "daemon" in name:
                _daemon(root, "start")
                stack.callback(_daemon, root, "stop")
            commands[name] = (hook, root)
        calls = {name: (command, root, event(root, "mine")) for name, (command, root) in commands.items()}
        for number in range(rounds + 1):
            for name, call in calls.items():
                took_s = _wall_s(*call)
                if number:  # the first one takes the lock
                    seconds.setdefault(name, []).append(took_s)
    least = {name: min(found) for name, found in seconds.items()}
    above_ms = (least["etcd, through the daemon"] - least["files"]) * 1000
    return [
        {
            "name": "etcd: a hook before an edit, the whole process",
            "figures": {
                name: {**summary(found), "least_us": round(least[name] * 1e6)} for name, found in seconds.items()
            },
            "goals": [goal("through the daemon, above files, ms, least of each", above_ms, ABOVE_FILES_MS_MAX)],
        }
    ]


def _environment() -> dict[str, str]:
    return {**environment(), "LATCHBOARD_ETCD_ANY_VERSION": "1"}


def _daemon(root: str, what: str) -> None:
    command = [sys.executable, "-m", "latchboard", "daemon", what]
    subprocess.run(command, cwd=root, env=_environment(), check=True, stdout=subprocess.DEVNULL)


def _wall_s(command: list[str], root: str, stdin_path: str) -> float:
    with open(stdin_path, "rb") as stdin:
        since = perf_counter()
        subprocess.run(command, cwd=root, env=_environment(), stdin=stdin, stdout=subprocess.DEVNULL, check=True)
        return perf_counter() - since
