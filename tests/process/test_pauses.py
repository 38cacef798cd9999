"""Processes that stand still: past their lease, and inside a commit (failures 3.11, 3.12, promise 2)."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest

from latchboard.compose import Latchboard
from latchboard.errors import CoordinationError, HoldLost, StoreBusy
from latchboard.settings import Settings
from tests.process.nursery import Channel, Child, Nursery, until
from tests.process.trace import Trace

pytestmark = pytest.mark.process

FILE = "src/a.py"
TTL_S = 1.0


def holder(channel: Channel, root: str, ttl_s: float) -> None:
    """Hold FILE and do what is asked with the hold."""
    board = Latchboard(root, publishes=False)
    hold = board.agent("holder").lock(FILE, ttl_s=ttl_s)

    def block() -> str:
        with hold:
            pass
        return "left the block"

    actions: dict[str, Any] = {
        "write": lambda: hold.write(FILE, "by the holder\n"),
        "renew": hold.renew,
        "release": hold.release,
        "is_live": hold.is_live,
        "block": block,
        "lock other": lambda: board.agent("holder").lock("src/other.py").token,
    }
    channel.send(token=hold.token)
    while True:
        word = channel.receive(3600)["do"]
        try:
            channel.send(answer=actions[word]())
        except CoordinationError as exc:
            channel.send(error=exc.code, is_lost=isinstance(exc, HoldLost), status=exc.exit_status)


def start_holder(nursery: Nursery, root: Path, ttl_s: float) -> tuple[Child, int]:
    (root / "src").mkdir(exist_ok=True)
    (root / FILE).write_text("in the beginning\n")
    child = nursery.start(holder, root=str(root), ttl_s=ttl_s)
    return child, int(child.receive()["token"])


@pytest.mark.parametrize("action", ["write", "renew", "release", "block", "is_live"])
def test_holder_that_was_stopped_past_its_lease_is_refused_everything__failure_3_12(
    action: str, nursery: Nursery, tmp_path: Path
) -> None:
    child, token = start_holder(nursery, tmp_path, TTL_S)
    child.stop()
    successor = Latchboard(tmp_path, publishes=False).agent("successor")
    hold = successor.lock(FILE, wait_s_max=30)
    hold.write(FILE, "by the successor\n")

    child.kill(signal.SIGCONT)
    answer = child.ask(do=action)

    assert hold.token > token
    if action in ("release", "is_live"):
        assert answer == {"answer": False}
    else:
        assert answer["is_lost"] and answer["status"] == 11, answer
    assert (tmp_path / FILE).read_text() == "by the successor\n"
    assert hold.is_live()
    assert hold.release() is True


@pytest.mark.parametrize("action", ["write", "renew"])
def test_holder_that_was_stopped_past_its_lease_is_refused_though_nobody_came__failure_3_12(
    action: str, nursery: Nursery, tmp_path: Path
) -> None:
    child, _ = start_holder(nursery, tmp_path, TTL_S)
    locks = Latchboard(tmp_path, publishes=False).locks
    child.stop()
    until(lambda: not locks.check([FILE]), "the lease is over")

    child.kill(signal.SIGCONT)

    assert child.ask(do=action)["error"] == "lease-expired"
    assert (tmp_path / FILE).read_text() == "in the beginning\n"


def test_holder_that_was_stopped_within_its_lease_goes_on__failure_3_11(nursery: Nursery, tmp_path: Path) -> None:
    child, _ = start_holder(nursery, tmp_path, 3600)
    child.stop()
    other = Latchboard(tmp_path, publishes=False).agent("other")

    refusal = other.try_lock(FILE)
    child.kill(signal.SIGCONT)

    assert not refusal
    assert child.ask(do="write") == {"answer": None}
    assert child.ask(do="release") == {"answer": True}
    assert (tmp_path / FILE).read_text() == "by the holder\n"


@pytest.mark.needs_tool("strace")
@pytest.mark.parametrize("call", ["write:signal=STOP:when=2", "pwrite64:signal=STOP:when=1"])
def test_writer_that_is_stopped_inside_a_commit_is_named_and_holds_nobody_up_for_long(
    call: str, nursery: Nursery, tmp_path: Path
) -> None:
    wait_s = 0.5
    child, _ = start_holder(nursery, tmp_path, 3600)
    board = Latchboard(tmp_path, settings=Settings(guard_wait_s_max=wait_s), publishes=False)
    with Trace(child.pid, tmp_path / "calls", call) as trace:
        child.channel.send(do="lock other")
        until(trace.has_stopped, "the writer stands still")

        started = time.monotonic()
        with pytest.raises(StoreBusy) as caught:
            board.agent("other").lock("src/free.py")
        took_s = time.monotonic() - started
        child.kill(signal.SIGCONT)
        done = child.receive()

    assert str(child.pid) in caught.value.message
    assert child.pid in caught.value.fields["pids"]
    assert caught.value.retryable
    assert wait_s <= took_s < 60, "and not as long as it stands still"
    assert board.agent("other").lock("src/free.py").token > done["answer"]


def taker(channel: Channel, root: str) -> None:
    """Take FILE, at once or not at all."""
    board = Latchboard(root, publishes=False)
    channel.send(ready=True)
    while True:
        channel.receive(3600)
        outcome = board.agent("taker").try_lock(FILE)
        channel.send(token=outcome.token if outcome else 0)


@pytest.mark.needs_tool("strace")
def test_taker_that_is_stopped_between_judging_and_taking_is_not_overtaken__failure_3_1(
    nursery: Nursery, tmp_path: Path
) -> None:
    dead, _ = start_holder(nursery, tmp_path, 3600)
    first = nursery.start(taker, root=str(tmp_path))
    first.receive()
    second = Latchboard(tmp_path, settings=Settings(guard_wait_s_max=0.2), publishes=False).agent("second")
    dead.kill()
    dead.wait()

    with Trace(first.pid, tmp_path / "calls", "write:signal=STOP:when=1") as trace:
        first.channel.send(go=True)
        until(trace.has_stopped, "it stands still, and has judged the holder dead")
        with pytest.raises(StoreBusy):
            second.lock(FILE)
        first.kill(signal.SIGCONT)
        token = first.receive()["token"]

    assert token
    assert not second.try_lock(FILE)


def test_dead_holder_is_taken_over_by_one_of_many__failure_3_1(nursery: Nursery, tmp_path: Path) -> None:
    takers = [nursery.start(taker, root=str(tmp_path)) for _ in range(8)]
    for child in takers:
        child.receive()
    newest = 0
    for _ in range(30):
        dead, held = start_holder(nursery, tmp_path, 3600)
        dead.close()
        for child in takers:
            child.channel.send(go=True)
        tokens = [child.receive()["token"] for child in takers]

        winners = [token for token in tokens if token]
        assert len(winners) == 1
        assert winners[0] > held > newest
        newest = winners[0]
        _end_holders(nursery, takers, tokens, tmp_path)


def _end_holders(nursery: Nursery, takers: list[Child], tokens: list[int], root: Path) -> None:
    """Replace the winner, so that the next round finds a dead holder again."""
    for number, token in enumerate(tokens):
        if token:
            takers[number].close()
            takers[number] = nursery.start(taker, root=str(root))
            takers[number].receive()


@pytest.mark.needs_tool("strace")
def test_writer_that_is_killed_while_stopped_inside_a_commit_frees_the_guard_at_once(
    nursery: Nursery, tmp_path: Path
) -> None:
    child, _ = start_holder(nursery, tmp_path, 3600)
    board = Latchboard(tmp_path, publishes=False)
    with Trace(child.pid, tmp_path / "calls", "pwrite64:signal=STOP:when=1") as trace:
        child.channel.send(do="lock other")
        until(trace.has_stopped, "the writer stands still")

        child.kill()
        child.wait()

    assert board.agent("next").lock(FILE, "src/other.py").token
