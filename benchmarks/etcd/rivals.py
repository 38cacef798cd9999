"""Rivals: the same files by the locks of etcd3gw and of python-etcd, side by side with ours, on one member.

They do not promise the same. Both lock one name at a time, so that two agents who want the same three may each end up
with a part; neither gives a token; neither tells its holder that the lock is gone. python-etcd's has a line, as ours;
it speaks version 2 of the API, which etcd 3.6 has no more. Each is installed in an environment of its own: etcd3gw
brings setuptools, of which a part is run at every start of Python.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.etcd.rival import FILES, KINDS
from benchmarks.measure import goal, sample, summary
from latchboard import Latchboard
from latchboard.clock import SystemClock
from latchboard.store.etcd.store import EtcdStore
from tests.store.etcd.server import BINARY, Place

ROOT = Path(__file__).parents[2]
NEEDED = {"etcd3gw": "etcd3gw==2.7.0", "python-etcd": "python-etcd==0.4.5"}
ACTIONS = {"three": "three files", "one": "one file", "refused": "refused, for it is held"}
BATCH = 20

Act = Callable[[str, int], list[float]]


def rivals(rounds: int) -> list[dict[str, Any]]:
    """Nothing where no etcd is installed; a rival that cannot be installed is left out, and that is said."""
    if shutil.which(BINARY) is None:
        return []
    place = Place(1, "--enable-v2")
    try:
        with ExitStack() as stack:
            acts: dict[str, Act] = {"latchboard": stack.enter_context(_ours(place))}
            for kind in KINDS:
                try:
                    acts[NEEDED[kind].replace("==", " ")] = stack.enter_context(_theirs(kind, place))
                except (OSError, subprocess.SubprocessError) as exc:
                    print(f"    without {kind}: {exc}", file=sys.stderr)
            found = {action: _in_turns(acts, action, rounds) for action in ACTIONS}
    finally:
        place.close()
    return [_told(action, seconds) for action, seconds in found.items()]


def _in_turns(acts: dict[str, Act], action: str, rounds: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in acts}
    for act in acts.values():
        act(action, BATCH)
    for _ in range(max(1, rounds // BATCH)):
        for name, act in acts.items():
            found[name] += act(action, BATCH)
    return found


def _told(action: str, found: dict[str, list[float]]) -> dict[str, Any]:
    ours = statistics.median(found["latchboard"])
    goals = [
        goal(f"p50 against {name}", ours / statistics.median(seconds), 1.0)
        for name, seconds in found.items()
        if name != "latchboard"
    ]
    return {
        "name": f"etcd: {ACTIONS[action]}, beside other clients",
        "figures": {name: summary(seconds) for name, seconds in found.items()},
        "goals": goals if action == "three" else [],
    }


@contextmanager
def _ours(place: Place) -> Iterator[Act]:
    with tempfile.TemporaryDirectory() as folder:
        store = EtcdStore(place.access(), clock=SystemClock())
        board = Latchboard(folder, store=store, publishes=False)
        me = board.agent("bench")
        kept = board.agent("other").lock(*[f"held/{file}" for file in FILES])
        actions: dict[str, Callable[[], object]] = {
            "three": lambda: me.lock(*FILES).release(),
            "one": lambda: me.lock(FILES[0]).release(),
            "refused": lambda: me.try_lock(f"held/{FILES[0]}"),
        }
        yield lambda action, rounds: sample(actions[action], rounds=rounds)
        kept.release()
        store.close()


@contextmanager
def _theirs(kind: str, place: Place) -> Iterator[Act]:
    uv = shutil.which("uv", path=str(ROOT / ".tools" / "bin")) or shutil.which("uv")
    if uv is None:
        raise FileNotFoundError("no uv, which would install it")
    with tempfile.TemporaryDirectory() as folder:
        python = f"{folder}/bin/python"
        for command in ([uv, "venv", "--quiet", "--python", sys.executable, folder],
                        [uv, "pip", "install", "--quiet", "--python", python, NEEDED[kind]]):  # fmt: skip
            subprocess.run(command, check=True, timeout=120, stdin=subprocess.DEVNULL)
        port = place.members[0].client.rpartition(":")[2]
        with subprocess.Popen(
            [python, "-I", str(Path(__file__).with_name("rival.py")), kind, port],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        ) as child:  # fmt: skip

            def act(action: str, rounds: int) -> list[float]:
                assert child.stdin is not None
                assert child.stdout is not None
                print(action, rounds, file=child.stdin, flush=True)
                seconds: list[float] = json.loads(child.stdout.readline())
                return seconds

            yield act
            assert child.stdin is not None
            child.stdin.close()
