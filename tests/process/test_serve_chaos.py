"""Many start, stop, restart and kill one daemon at the same time: never two of it, and always one at the end."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from latchboard import Latchboard
from latchboard.errors import CoordinationError
from tests.conftest import SOAK
from tests.process import serving
from tests.process.nursery import Channel, Nursery, until
from tests.process.serving import Project, ask

pytestmark = [pytest.mark.process, pytest.mark.slow]
ROUNDS, CROWD, ACTIONS = (8 if SOAK else 2), 5, 4
KILLS = 24 if SOAK else 6


def meddler(channel: Channel, root: str, seed: int) -> None:
    """Does some things in an order of its own, and tells what came of each."""
    board, dice = Latchboard(root, publishes=False), random.Random(seed)
    while channel.receive(3600)["go"]:
        told = []
        for _ in range(ACTIONS):
            what = dice.choice(("start", "start", "start", "stop", "restart", "kill", "wipe the record", "sweep"))
            began_s, code = time.monotonic(), ""
            try:
                came = act(board, what)
            except CoordinationError as exc:
                came, code = exc.message, exc.code
            told.append({"what": what, "code": code, "came": came, "took_s": round(time.monotonic() - began_s, 2)})
        channel.send(told=told)


def act(board: Latchboard, what: str) -> str:
    if what == "start":
        return str(board.daemon.ensure_running().state.pid)
    if what == "restart":
        return str(board.daemon.restart().state.pid)
    if what == "stop":
        return str(board.daemon.stop().to_json())
    if what == "sweep":
        return str(board.daemon.sweep().to_json())
    if what == "wipe the record":
        Path(f"{board.root}/data/.agent_pids/serve.state").unlink(missing_ok=True)
        return "done"
    found = board.daemons.verify()
    if found.state == "running" and found.pid is not None:
        try:
            os.kill(found.pid, signal.SIGKILL)
        except ProcessLookupError:
            return "nobody"
    return str(found.pid)


def may_come(one: dict[str, Any]) -> bool:
    """Whether force and a busy machine explain an error: it is told, and whoever asks again gets his daemon."""
    return (
        not one["code"]
        or (one["code"] == "daemon-failed" and "signal 9" in one["came"])  # killed while its starter waited for it
        or (one["code"] == "daemon-error" and "come and go" in one["came"])  # and so was each other for 20 s
        or one["code"] == "daemon-busy"  # the turns of the others took longer together than anybody waits
    )


@pytest.mark.timeout(600)
def test_whatever_they_do_at_once_there_is_one_daemon_at_the_end(project: Project, nursery: Nursery) -> None:
    seeds = random.SystemRandom().sample(range(10**6), CROWD)
    crowd = [nursery.start(meddler, root=project.board.root, seed=seed) for seed in seeds]
    for _ in range(ROUNDS):
        for one in crowd:
            one.channel.send(go=True)
        told = [one.receive(300)["told"] for one in crowd]

        until(lambda: len(project.pids()) <= 1, f"no second daemon, seeds {seeds}: {told}")
        running = project.daemon.ensure_running()
        assert project.pids() == [running.state.pid], (seeds, told)
        assert ask(running.state.port)["pid"] == running.state.pid
        assert project.daemon.orphans() == []
        assert [one for line in told for one in line if not may_come(one)] == [], (seeds, told)


@pytest.mark.timeout(300)
def test_starters_and_daemons_that_are_killed_at_any_moment_are_in_nobodys_way(
    project: Project, nursery: Nursery
) -> None:
    seed = random.SystemRandom().randrange(10**6)
    dice = random.Random(seed)
    for number in range(KILLS):
        starter = nursery.start(serving.ensuring, root=project.board.root)
        starter.receive()
        starter.channel.send(go=True)
        time.sleep(dice.uniform(0, 0.4))
        starter.kill()
        if number % 2:
            time.sleep(dice.uniform(0, 0.3))
            for pid in project.pids():
                with contextlib.suppress(ProcessLookupError):  # it gave way to another one, and has ended
                    os.kill(pid, signal.SIGKILL)

        running = project.daemon.ensure_running()

        until(lambda expected=[running.state.pid]: project.pids() == expected, f"one daemon, seed {seed}, {number}")
        assert ask(running.state.port)["pid"] == running.state.pid, (seed, number)
        assert project.board.daemons.verify().pid == running.state.pid, (seed, number)
        until(lambda: project.daemon.look().is_running, f"it answers, seed {seed}, {number}")
        if number % 3 == 0:
            assert project.daemon.stop().is_gone
            assert project.pids() == [] and not project.record.exists()
