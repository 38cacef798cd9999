"""The replay beside real writers, some of which are killed: what somebody was told of is shown as it was."""

from __future__ import annotations

import random
from bisect import bisect_right
from pathlib import Path
from typing import Any

import pytest

from latchboard import Latchboard, Settings
from latchboard.board import Replay
from tests.process.nursery import Channel, Child, Nursery, until

pytestmark = pytest.mark.process

WRITERS = 3
KILLS = 8
SETTINGS = Settings(journal_bytes_max=500_000, journals_kept_count=100)
"""Journals are begun all the time, and none is dropped."""


# -- run in the nursery


def write(channel: Channel, root: str, name: str) -> None:
    """Say one thing after the other, hold a file meanwhile, and note each revision when it is known."""
    store = Latchboard(root, settings=SETTINGS, publishes=False)
    me = store.agent(name)
    with open(f"{root}/{name}.facts", "a", encoding="ascii") as facts:
        channel.send(ready=True)
        for turn in range(100_000):
            with me.lock(f"{name}.txt"):
                store.board.update(name, f"{turn}")
                revision = store.store.transact(lambda view: view.put("log/told", {}), who=name).revision
                facts.write(f"{revision} {turn}\n")
                facts.flush()


# -- the test's own process


def facts_of(root: Path) -> dict[str, list[tuple[int, int]]]:
    """What each writer has noted: at a revision, what it had said last."""
    found = {}
    for path in sorted(root.glob("*.facts")):
        lines = path.read_text().split("\n")[:-1]
        found[path.stem] = [(int(revision), int(turn)) for revision, turn in (line.split() for line in lines)]
    return found


def check(replay: Replay, revision: int, facts: dict[str, list[tuple[int, int]]]) -> None:
    """The board of then says of every writer what it had said by then, and who held its file."""
    board: dict[str, Any] = replay.at(revision)
    assert board["revision"] == revision
    held = {one["name"]: one["agent"] for one in board["active_locks"]}
    for name, noted in facts.items():
        index = bisect_right(noted, (revision, 10**9)) - 1
        said = board["agents"].get(name, {}).get("status")
        # It may have said the next one already, or (killed before it could note it) one more than it noted.
        allowed = {"0", None, ""} if index < 0 else {str(noted[index][1]), str(noted[index][1] + 1)}
        assert said in allowed, (revision, name)
        if index >= 0 and noted[index][0] == revision:
            assert said == str(noted[index][1])
            assert held[f"{name}.txt"] == name
            assert board["agents"][name]["holds"] == [f"{name}.txt"]


def test_what_somebody_was_told_is_shown_as_it_was_whoever_writes_or_is_killed(
    nursery: Nursery, tmp_path: Path
) -> None:
    chance = random.Random(7)
    replay = Latchboard(tmp_path, settings=SETTINGS, publishes=False).replay
    writers: list[Child] = []

    def start() -> None:
        count = len(list(tmp_path.glob("*.facts")))
        writers.append(nursery.start(write, root=str(tmp_path), name=f"w{count}"))
        writers[-1].receive()

    for _ in range(WRITERS):
        start()
    for _ in range(KILLS):
        until(lambda: min(map(len, facts_of(tmp_path).values())) > 20, "every writer has gone on")
        facts = facts_of(tmp_path)
        noted = [revision for one in facts.values() for revision, _ in one]
        for revision in chance.sample(noted, min(8, len(noted))):
            check(replay, revision, facts)
        victim = writers.pop(chance.randrange(len(writers)))
        victim.kill()
        victim.wait()
        start()
    for writer in writers:
        writer.kill()
        writer.wait()

    facts = facts_of(tmp_path)
    noted = sorted(revision for one in facts.values() for revision, _ in one)
    fresh = Latchboard(tmp_path, settings=SETTINGS, publishes=False).replay
    for revision in noted[:: max(1, len(noted) // 60)]:
        check(fresh, revision, facts)
    assert len(list((tmp_path / "data/.agent_locks/journal").glob("*.records"))) > 3
    oldest, newest = fresh.span()
    assert oldest <= noted[0]
    assert newest >= noted[-1]
    told = [one["revision"] for one in fresh.commits(0, 100_000)]
    assert set(noted) <= set(told)
    assert fresh.timeline(100_000) == replay.timeline(100_000)
    assert [one["revision"] for one in fresh.timeline(100_000)] == told
