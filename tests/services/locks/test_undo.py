"""Whatever goes wrong on the way to a grant: nothing of the request stays behind."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from latchboard.clock import SystemClock
from latchboard.errors import Cancelled, MalformedRecord, StoreUnavailable, WaitEnded
from tests.services.locks.scene import Process, Scene


class Shaky:
    """A store that can fail: before or after a commit, for so many calls."""

    def __init__(self, process: Process) -> None:
        self.inner = process.locks.store
        self.fails: list[str] = []
        self.error: type[BaseException] = StoreUnavailable
        process.locks.store = self  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def transact(self, fn: Any, **options: Any) -> Any:
        how = self.fails.pop(0) if self.fails else ""
        if how == "before":
            raise self.error("nothing was committed")
        done = self.inner.transact(fn, **options)
        if how == "after":
            raise self.error("the outcome is unknown")
        return done


@pytest.mark.parametrize("bound", ["process", "agent"])
@pytest.mark.parametrize("error", [StoreUnavailable, KeyboardInterrupt])
@pytest.mark.parametrize("how", ["before", "after"])
def test_grant_that_failed_on_its_way_is_taken_back__failure_3_31(
    scene: Scene, how: str, error: Any, bound: Any
) -> None:
    process = scene.process()
    shaky = Shaky(process)
    shaky.fails, shaky.error = [how], error

    with pytest.raises(error):
        process.agent("a").lock("x.py", "src/", bound=bound)

    assert scene.is_empty()


def test_entry_that_failed_on_its_way_leaves_the_outer_hold_alone(scene: Scene) -> None:
    process = scene.process()
    shaky = Shaky(process)
    outer = process.agent("a").lock("x.py")
    shaky.fails = ["after"]

    with pytest.raises(StoreUnavailable):
        process.agent("a").lock("x.py")

    assert outer.is_live()
    assert outer.release()
    assert scene.is_empty()


def test_claim_that_failed_on_its_way_leaves_the_older_claim_alone(scene: Scene) -> None:
    process = scene.process()
    shaky = Shaky(process)
    kept = process.agent("a").lock("x.py", bound="agent")
    shaky.fails = ["after"]

    with pytest.raises(StoreUnavailable):
        process.agent("a").lock("x.py", bound="agent")

    assert kept.is_live()


def test_request_that_is_undone_leaves_what_another_thread_of_the_agent_claimed_meanwhile(scene: Scene) -> None:
    process = scene.process()
    holder = scene.process().agent("h").lock("x.py")
    first = process.line("a", "x.py", bound="agent")
    holder.release()  # grants to the first, whose thread sleeps on
    second = process.agent("a").lock("x.py", bound="agent")

    first.give_up()

    assert second.is_live()
    second.undo()
    assert scene.is_empty()


def test_store_that_fails_while_waiting_leaves_no_waiter(scene: Scene) -> None:
    holder = scene.process().agent("h").lock("x.py")
    process = scene.process()
    shaky = Shaky(process)
    shaky.fails = ["", "", "", "before"]  # the first try, the place in line, a look; then the disk is full

    with pytest.raises(StoreUnavailable):
        process.agent("w").lock("x.py", wait_s_max=60)

    assert scene.scan("waiters/") == []
    holder.release()
    assert scene.is_empty()


def test_place_that_the_store_would_not_take_back_goes_with_the_next_transaction(scene: Scene) -> None:
    holder = scene.process().agent("h").lock("x.py")
    process = scene.process()
    shaky = Shaky(process)
    shaky.fails = ["", "", "before", "before"]
    with pytest.raises(StoreUnavailable):
        process.agent("w").lock("x.py", wait_s_max=60)
    assert len(scene.scan("waiters/")) == 1
    holder.release()
    assert scene.holders("x.py") == [("w", "exclusive")]  # nobody knows of it yet

    process.agent("w").lock("y.py").release()

    assert scene.is_empty()


@pytest.mark.parametrize("bound", ["process", "agent"])
def test_retry_is_not_taken_back_with_the_try_that_was_given_up(scene: Scene, bound: Any) -> None:
    process = scene.process()
    shaky = Shaky(process)
    request = process.locks.request("a", ["x.py"], bound=bound)
    shaky.fails = ["after", "before"]
    with pytest.raises(StoreUnavailable):
        process.locks.try_acquire(request)
    assert scene.holders("x.py") == [("a", "exclusive")]  # the store would not take it back
    retried: list[Any] = []

    def meanwhile(fn: Any, **options: Any) -> Any:
        process.locks.store = shaky  # type: ignore[assignment]
        retried.append(process.locks.try_acquire(request))
        return shaky.transact(fn, **options)

    process.locks.store = SimpleNamespace(transact=meanwhile)  # type: ignore[assignment]
    process.locks.transact("z", lambda table: None)  # another thread: it begins before the retry, and commits after it

    assert retried[0].is_live()
    assert retried[0].release()
    assert scene.is_empty()


@pytest.mark.parametrize("attempt", ["undone", "still there"])
def test_retry_in_line_has_one_place(scene: Scene, attempt: str) -> None:
    holder = scene.process().agent("h").lock("x.py")
    process = scene.process()
    shaky = Shaky(process)
    request = process.locks.request("w", ["x.py"], bound="agent")
    shaky.fails = ["", "after", *(["before"] if attempt == "still there" else [])]
    with pytest.raises(StoreUnavailable):
        process.locks.acquire(request, wait_s_max=60)
    assert len(scene.scan("waiters/")) == (attempt == "still there")

    with pytest.raises(WaitEnded):
        process.locks.acquire(request, wait_s_max=0.5)

    holder.release()
    assert scene.is_empty()


def test_record_that_is_damaged_while_waiting_leaves_no_waiter(scene: Scene) -> None:
    scene.process().agent("h").lock("x.py")
    process = scene.process()
    waiter = process.line("w", "x.py", "y.py")
    scene.put("locks/x.py", {"name": "x.py"})
    with pytest.raises(MalformedRecord):
        waiter.step()

    waiter.give_up()

    assert scene.scan("waiters/") == []
    assert scene.record("y.py") is None


def test_own_place_that_was_damaged_is_removed_with_the_rest(scene: Scene) -> None:
    scene.process().agent("h").lock("x.py")
    waiter = scene.process().line("w", "x.py")
    scene.put(f"waiters/{waiter.id}", {"request": 5})

    waiter.give_up()

    assert scene.scan("waiters/") == []


# -- cancelled --------------------------------------------------------------------------------------------------------


class Pipe:
    """Readable once somebody has written."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()

    def fileno(self) -> int:
        return self.reader

    def press(self) -> None:
        os.write(self.writer, b"!")

    def close(self) -> None:
        os.close(self.reader)
        os.close(self.writer)


@pytest.fixture
def pipe() -> Any:
    made = Pipe()
    yield made
    made.close()


def test_wait_that_is_cancelled_leaves_nothing(scene: Scene, pipe: Pipe) -> None:
    holder = scene.process().agent("h").lock("x.py")
    pipe.press()

    with pytest.raises(Cancelled, match=r"w gave up waiting for x\.py, docs/"):
        scene.process().agent("w").lock("x.py", "docs/", wait_s_max=None, cancel=pipe)

    assert scene.scan("waiters/") == []
    assert holder.release()
    assert scene.is_empty()


def test_what_is_free_is_granted_although_it_is_cancelled(scene: Scene, pipe: Pipe) -> None:
    pipe.press()

    assert scene.process().agent("w").lock("x.py", wait_s_max=60, cancel=pipe).release()


class Stepped:
    """A process in line, before whose every step (a look at its clock, a commit) somebody else can do something."""

    def __init__(self, scene: Scene, acts: dict[int, list[Callable[[], Any]]]) -> None:
        self.process = scene.process()
        self.scene, self.acts, self.steps_count = scene, acts, 0
        self.clock, self.store = self.process.locks.clock, self.process.locks.store
        self.process.locks.clock = SimpleNamespace(now=self.clock.now, wait=self.wait)  # type: ignore[assignment]
        self.process.locks.store = self  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def wait(self, readables: Any, timeout_s: Any) -> bool:
        self.step()
        return self.clock.wait(readables, timeout_s)

    def transact(self, fn: Any, **options: Any) -> Any:
        self.step()
        return self.store.transact(fn, **options)

    def step(self) -> None:
        if self.steps_count or self.scene.scan("waiters/"):  # it stands in line
            self.steps_count += 1
            for act in self.acts.pop(self.steps_count, []):
                act()


@pytest.mark.parametrize("is_pressed_first", [True, False])
@pytest.mark.parametrize("released_before", [1, 2, 3, 4])
@pytest.mark.parametrize("pressed_before", [1, 2, 3, 4])
def test_grant_and_cancellation_in_every_order_leave_nothing__failure_3_17(
    scene: Scene, pipe: Pipe, pressed_before: int, released_before: int, is_pressed_first: bool
) -> None:
    """Before it sleeps, looks whether it is cancelled, looks at its bell, and commits."""
    hold = scene.process().agent("h").lock("x.py")
    acts: dict[int, list[Callable[[], Any]]] = {}
    pair = [(pressed_before, pipe.press), (released_before, hold.release)]
    for number, act in pair if is_pressed_first else pair[::-1]:
        acts.setdefault(number, []).append(act)
    waiter = Stepped(scene, acts)

    if pressed_before <= 2:
        with pytest.raises(Cancelled):
            waiter.process.agent("w").lock("x.py", wait_s_max=60, cancel=pipe)
    else:
        granted = waiter.process.agent("w").lock("x.py", wait_s_max=60, cancel=pipe)
        assert granted.is_live()
        assert granted.release()

    for late in [act for number in sorted(acts) for act in acts[number]]:
        late()
    assert scene.is_empty()


def test_grant_and_cancellation_at_once_leave_nothing__failure_3_17(tmp_path: Any) -> None:
    """The holder lets go in the very moments in which the waiter gives up: who wins is luck, what is left is not."""
    scene = Scene(tmp_path, is_real_time=True)
    holder, waiter = scene.process().agent("h"), scene.process().agent("w")
    for _ in range(100):
        pipe = Pipe()
        hold = holder.lock("x.py")
        outcome: list[Any] = []
        both = threading.Barrier(2, timeout=20)

        def wait(pipe: Pipe = pipe, outcome: list[Any] = outcome) -> None:
            try:
                outcome.append(waiter.lock("x.py", wait_s_max=20, cancel=pipe))
            except Cancelled as exc:
                outcome.append(exc)

        def give_up(pipe: Pipe = pipe, both: threading.Barrier = both) -> None:
            both.wait()
            pipe.press()

        threads = [threading.Thread(target=wait), threading.Thread(target=give_up)]
        for thread in threads:
            thread.start()
        _until(lambda: bool(scene.scan("waiters/")))
        both.wait()
        assert hold.release()
        for thread in threads:
            thread.join(20)
        pipe.close()
        assert isinstance(outcome[0], Cancelled) or outcome[0].release()
        assert scene.is_empty()

    assert isinstance(scene.clock, SystemClock)


def test_bell_that_rings_between_look_and_sleep_is_heard__failure_3_18(tmp_path: Any) -> None:
    scene = Scene(tmp_path, is_real_time=True, wait_poll_s=30.0)
    hold = scene.process().agent("h").lock("x.py")
    process = scene.process()
    inner = process.locks.clock

    class Late:
        """A clock whose wait begins after the grant was made."""

        def now(self) -> Any:
            return inner.now()

        def wait(self, readables: Any, timeout_s: Any) -> bool:
            hold.release()
            return bool(inner.wait(readables, timeout_s))

    process.locks.clock = Late()
    started = time.monotonic()

    assert process.agent("w").lock("x.py", wait_s_max=60)
    assert time.monotonic() - started < 10


def test_thread_that_waits_wakes_as_the_holder(tmp_path: Any) -> None:
    scene = Scene(tmp_path, is_real_time=True, wait_poll_s=30.0)
    doomed = scene.process()
    doomed.agent("h").lock("x.py")
    waits: list[float] = []

    def work(number: int) -> None:
        with scene.process().agent(f"w{number}").lock("x.py", wait_s_max=60) as hold:
            waits.append(hold.waited_s)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(10)]
    for thread in threads:
        thread.start()
    _until(lambda: len(scene.scan("waiters/")) == 10)
    doomed.kill()
    for thread in threads:
        thread.join(20)

    assert len(waits) == 10
    assert max(waits) < 10  # nobody slept until the safety net
    assert scene.is_empty()


def _until(condition: Callable[[], bool]) -> None:
    """Look until other threads have brought it about; a test that never gets there fails."""
    pause = threading.Event()
    for _ in range(20_000):
        if condition():
            return
        pause.wait(0.001)
    raise AssertionError("it never came about")
