"""The file store between processes: nothing lost, nobody blocked for ever, forks, stops and kills."""

from __future__ import annotations

import os
import resource
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from latchboard.clock import SystemClock
from latchboard.errors import StoreBusy, StoreError
from latchboard.settings import Settings
from latchboard.store.files import guard
from latchboard.store.files.store import FileStore
from tests.store.children import PATIENCE_S, Child
from tests.store.scenes import close_leftovers, everything

if TYPE_CHECKING:
    from latchboard.store.port import View

Start = Callable[[Callable[[Child], object]], Child]

PROCESSES = 8
ROUNDS = 300
THREADS = 16

pytestmark = pytest.mark.process


def _open(place: Path, **settings: object) -> FileStore:
    return FileStore(str(place), clock=SystemClock(), settings=Settings(**settings))


def _add(view: View) -> int:
    value = view.get("agents/count") or {"n": 0}
    view.put("agents/count", {"n": value["n"] + 1})
    return int(value["n"])


def _count(store: FileStore) -> int:
    value = store.read("agents/count").get("agents/count")
    return 0 if value is None else int(value["n"])


@pytest.mark.parametrize("journal_bytes_max", [8 * 1024 * 1024, 4000])
def test_eight_processes_lose_no_commit__failure_3_20(start: Start, tmp_path: Path, journal_bytes_max: int) -> None:
    def run(child: Child) -> list[int]:
        store = _open(tmp_path, journal_bytes_max=journal_bytes_max)
        child.tell("ready")
        child.hear()
        return [store.transact(_add, who=f"p{os.getpid()}").revision for _ in range(ROUNDS)]

    children = [start(run) for _ in range(PROCESSES)]
    assert [child.hear() for child in children] == ["ready"] * PROCESSES
    for child in children:
        child.tell("go")
    revisions = [child.hear() for child in children]

    assert _count(_open(tmp_path)) == PROCESSES * ROUNDS
    assert all(mine == sorted(mine) for mine in revisions)
    assert len({revision for mine in revisions for revision in mine}) == PROCESSES * ROUNDS


def test_first_commits_of_eight_processes_make_one_store__failure_3_1(start: Start, tmp_path: Path) -> None:
    def run(child: Child) -> object:
        store = _open(tmp_path)
        child.tell("ready")
        child.hear()
        store.transact(_add, who="a")
        return store._folder.store_id if store._folder else None

    children = [start(run) for _ in range(PROCESSES)]
    for child in children:
        child.hear()
    for child in children:
        child.tell("go")

    assert len({child.hear() for child in children}) == 1
    assert _count(_open(tmp_path)) == PROCESSES


def test_threads_of_two_stores_exclude_each_other__failure_3_9(tmp_path: Path) -> None:
    stores = [_open(tmp_path), _open(tmp_path)]
    inside: list[int] = []
    witnessed: list[int] = []
    barrier = threading.Barrier(THREADS)

    def overlap(view: View) -> None:
        inside.append(1)
        witnessed.append(len(inside))
        _add(view)
        inside.pop()

    def run(number: int) -> None:
        barrier.wait()
        for _ in range(40):
            stores[number % 2].transact(overlap, who="a")

    threads = [threading.Thread(target=run, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert set(witnessed) == {1}
    assert _count(stores[0]) == THREADS * 40
    for store in stores:
        store.close()


# -- killed -----------------------------------------------------------------------------------------------------------


def test_killed_inside_a_transaction_blocks_nobody__failure_3_28(start: Start, tmp_path: Path) -> None:
    store = _open(tmp_path)
    store.transact(_add, who="a")

    def run(child: Child) -> None:
        def fn(view: View) -> None:
            _add(view)
            child.tell("inside")
            child.hear()

        _open(tmp_path).transact(fn, who="b")

    child = start(run)
    child.hear()
    child.end()

    assert store.transact(_add, who="a").value == 1
    assert _count(store) == 2


def test_killed_at_random_instants_loses_nothing_that_was_told__failure_3_14(start: Start, tmp_path: Path) -> None:
    def run(child: Child) -> None:
        store = _open(tmp_path, journal_bytes_max=3000)
        while True:
            child.tell(store.transact(_add, who="b").value + 1)

    store = _open(tmp_path)
    told = 0
    for _ in range(30):
        child = start(run)
        for _ in range(3):
            told = child.hear()
        child.end()
        counted = store.transact(_add, who="a").value
        assert counted >= told
        told = counted + 1

    assert _count(store) == told


# -- stopped ----------------------------------------------------------------------------------------------------------


def test_guard_held_by_a_stopped_process_is_named__failure_3_20(start: Start, tmp_path: Path) -> None:
    store = _open(tmp_path, guard_wait_s_max=0.2)
    store.transact(_add, who="a")

    def run(child: Child) -> str:
        def fn(view: View) -> None:
            _add(view)
            child.tell("inside")
            child.hear()

        _open(tmp_path).transact(fn, who="b")
        return "done"

    child = start(run)
    child.hear()
    child.signal(signal.SIGSTOP)

    for call in (lambda: store.transact(_add, who="a"), lambda: store.read("agents/")):
        with pytest.raises(StoreBusy) as caught:
            call()
        assert caught.value.fields["pids"] == [child.pid]
        assert str(child.pid) in caught.value.message
    assert _count(store) == 1  # one key is read without the guard

    child.signal(signal.SIGCONT)
    child.tell("go on")
    assert child.hear() == "done"
    assert store.transact(_add, who="a").value == 2


def test_threads_wait_for_a_stopped_process_no_longer_than_one_of_them__failure_3_20(
    start: Start, tmp_path: Path
) -> None:
    wait_s = 1.0
    store = _open(tmp_path, guard_wait_s_max=wait_s)
    store.transact(_add, who="a")

    def run(child: Child) -> None:
        def fn(view: View) -> None:
            child.tell("inside")
            child.hear()

        _open(tmp_path).transact(fn, who="b")

    child = start(run)
    child.hear()
    refused: list[type[BaseException]] = []

    def wait() -> None:
        with pytest.raises(StoreBusy):
            store.transact(_add, who="a")
        refused.append(StoreBusy)

    threads = [threading.Thread(target=wait) for _ in range(10)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(refused) == 10
    assert time.monotonic() - started < 8 * wait_s  # and not ten times as long


# -- forks ------------------------------------------------------------------------------------------------------------


def test_child_forked_inside_a_transaction_neither_commits_nor_unlocks__failure_3_8(
    start: Start, tmp_path: Path
) -> None:
    store = _open(tmp_path)
    store.transact(_add, who="a")
    outcome: list[object] = []

    def fn(view: View) -> None:
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(read)
            status = b"?"
            try:
                status = b"f" if _is_free(tmp_path) else b"h"
            finally:
                os.write(write, status)
                os._exit(0)
        os.close(write)
        outcome.append(os.read(read, 1))
        os.close(read)
        os.waitpid(pid, 0)
        outcome.append(_is_free(tmp_path))
        _add(view)

    store.transact(fn, who="a")

    assert outcome == [b"h", False]
    assert _is_free(tmp_path)
    assert _count(store) == 2


def test_child_that_returns_from_a_transaction_of_its_parent_commits_nothing__failure_3_8(tmp_path: Path) -> None:
    store = _open(tmp_path)
    store.transact(_add, who="a")
    pids: list[int] = []

    def fn(view: View) -> None:
        _add(view)
        pids.append(os.fork())

    try:
        store.transact(fn, who="a")
    except BaseException:
        if pids == [0]:
            os._exit(7)
        raise
    if pids == [0]:
        os._exit(0)

    assert os.waitstatus_to_exitcode(os.waitpid(pids[0], 0)[1]) == 7
    assert _count(store) == 2
    assert len(_values(store)) == 2


def test_fork_while_another_thread_is_inside_the_guard__failure_3_8(start: Start, tmp_path: Path) -> None:
    store = _open(tmp_path, guard_wait_s_max=30.0)
    store.transact(_add, who="a")
    inside, go_on = threading.Event(), threading.Event()

    def fn(view: View) -> None:
        _add(view)
        inside.set()
        go_on.wait(PATIENCE_S)

    holder = threading.Thread(target=lambda: store.transact(fn, who="a"))
    holder.start()
    inside.wait(PATIENCE_S)

    def run(child: Child) -> int:
        child.tell(_count(store))
        return store.transact(_add, who="b").value

    child = start(run)
    assert child.hear() == 1
    go_on.set()

    assert child.hear() == 2
    holder.join()
    assert _count(store) == 3


def test_child_does_not_keep_the_guard_of_a_killed_parent__failure_3_8(start: Start, tmp_path: Path) -> None:
    store = _open(tmp_path, guard_wait_s_max=10.0)
    store.transact(_add, who="a")

    def run(child: Child) -> None:
        mine = _open(tmp_path)

        def fn(view: View) -> None:
            _add(view)
            grandchild = os.fork()
            if grandchild == 0:
                signal.pause()
            child.tell(grandchild)
            child.hear()

        mine.transact(fn, who="b")

    child = start(run)
    grandchild = child.hear()
    try:
        child.end()

        assert store.transact(_add, who="a").value == 1
    finally:
        os.kill(grandchild, signal.SIGKILL)


def test_bell_of_the_parent_survives_the_end_of_a_child__failure_3_8(start: Start, tmp_path: Path) -> None:
    store = _open(tmp_path)
    bell = store.bell("waiters/r")

    child = start(lambda child: bell.close())
    child.hear()
    store.transact(lambda view: view.put("waiters/r", {}), who="a")

    assert SystemClock().wait([bell], PATIENCE_S)
    bell.close()


# -- signals ----------------------------------------------------------------------------------------------------------


class Alarm(Exception):
    """Raised by the signal handler."""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # an alarm may come in any finalizer
def test_handlers_that_raise_every_50_us_leak_neither_guard_nor_mutex__failure_3_16(tmp_path: Path) -> None:
    store, other = _open(tmp_path, journal_bytes_max=20_000), _open(tmp_path, guard_wait_s_max=1.0)
    store.transact(_add, who="a")
    done = interrupted = 0
    armed = False

    def handler(number: int, frame: object) -> None:
        if armed:
            raise Alarm

    previous = signal.signal(signal.SIGALRM, handler)
    try:
        for round_number in range(3000):
            try:
                armed = True
                signal.setitimer(signal.ITIMER_REAL, 0.00005, 0.00005)
                if round_number % 3:
                    store.transact(_add, who="a")
                    done += 1
                else:
                    store.read("agents/")
            except Alarm:
                interrupted += 1
            finally:
                armed = False
                signal.setitimer(signal.ITIMER_REAL, 0)
            assert not store._mutex._is_owned()  # type: ignore[attr-defined]
            assert _is_free(tmp_path), round_number
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)

    store.close()
    close_leftovers(tmp_path)
    counted = other.transact(_add, who="b").value
    assert done + 1 <= counted <= done + 1 + interrupted
    assert interrupted > 100
    assert len(_values(other)) == counted + 1


def test_timeout_of_the_caller_comes_out_as_it_is__failure_3_16(tmp_path: Path) -> None:
    store = _open(tmp_path)
    store.transact(_add, who="a")

    def handler(number: int, frame: object) -> None:
        raise TimeoutError("of the caller")

    previous = signal.signal(signal.SIGALRM, handler)
    try:
        with _locked(tmp_path), pytest.raises(TimeoutError, match="of the caller"):
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            store.transact(_add, who="a")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)

    assert _is_free(tmp_path)


class _locked:
    """The guard, held by this test through a descriptor of its own."""

    def __init__(self, place: Path) -> None:
        self._fd = os.open(place / "data" / ".agent_locks" / "journal" / "guard", os.O_RDWR)

    def __enter__(self) -> None:
        assert guard.try_lock(self._fd, shared=False)

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def _is_free(place: Path) -> bool:
    """Whether nobody holds the guard, this process included."""
    fd = os.open(place / "data" / ".agent_locks" / "journal" / "guard", os.O_RDWR)
    try:
        return guard.try_lock(fd, shared=False)
    finally:
        os.close(fd)


def _values(store: FileStore) -> list[object]:
    """What the counter was, commit by commit, as far as the history is kept."""
    watch = store.watch("agents/", after=0)
    try:
        numbers = [change.value["n"] for change in everything(watch) if change.value]
    finally:
        watch.close()
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    return list(range(1, numbers[0])) + numbers


# -- limits of the system ---------------------------------------------------------------------------------------------


def test_file_size_limit_is_a_typed_error_and_leaves_nothing__failure_3_15(start: Start, tmp_path: Path) -> None:
    store = _open(tmp_path)
    store.transact(_add, who="a")

    def run(child: Child) -> object:
        mine = _open(tmp_path)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1500, resource.RLIM_INFINITY))
        text = "x" * 200
        for n in range(100):
            try:
                mine.transact(lambda view, n=n: view.put("agents/big", {"n": n, "text": text}), who="b")  # type: ignore[misc]
            except StoreError as exc:
                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
                return [exc.code, n, mine.transact(_add, who="b").value]
        return None

    code, count, value = start(run).hear()

    assert code == "store-unavailable"
    assert count > 0
    assert value == 1
    last = store.read("agents/big").get("agents/big")
    assert last is not None
    assert last["n"] == count - 1
    assert _count(store) == 2


def test_no_descriptor_left_is_a_typed_error_and_leaves_nothing__failure_3_15(start: Start, tmp_path: Path) -> None:
    def run(child: Child) -> object:
        store, late = _open(tmp_path), _open(tmp_path)
        store.transact(_add, who="b")
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        highest = max(int(fd) for fd in os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 12, limit[1]))  # room for what comes at the end
        filled = _fill()
        codes = []
        for call in (
            lambda: store.transact(_add, who="b"),
            lambda: store.read("agents/"),
            lambda: late.transact(_add, who="b"),
            lambda: late.read("agents/count"),
            lambda: store.watch("", after=0),
            lambda: store.bell("waiters/r"),
        ):
            with pytest.raises(StoreError) as caught:
                call()
            codes.append(caught.value.code)
        for fd in filled:
            os.close(fd)
        return [codes, store.transact(_add, who="b").value, late.transact(_add, who="b").value]

    assert start(run).hear() == [["too-many-files"] * 6, 1, 2]
    assert _count(_open(tmp_path)) == 3


def _fill() -> list[int]:
    """Use up every descriptor that is left."""
    filled = []
    while True:
        try:
            filled.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            return filled


# -- daemons ----------------------------------------------------------------------------------------------------------


def _daemon(root: str, report: int) -> None:
    """A program that becomes a daemon by closing everything, and then opens files of its own."""
    store = _open(Path(root))
    store.transact(_add, who="a")
    assert _count(store) == 1
    os.closerange(3, report)
    os.closerange(report + 1, 256)
    own = [os.open(f"{root}/own{n}", os.O_RDWR | os.O_CREAT, 0o600) for n in range(12)]

    count = _count(store)
    store.transact(_add, who="a")
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            store.transact(_add, who="a")
            status = 0
        finally:
            os._exit(status)
    status = os.waitpid(pid, 0)[1]
    os.write(report, f"{count} {status} {[os.fstat(fd).st_size for fd in own]}".encode())


def test_store_of_a_program_that_closes_every_descriptor_opens_its_own_anew(tmp_path: Path) -> None:
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            _daemon(str(tmp_path), write)
        finally:
            os._exit(0)
    os.close(write)
    told = os.read(read, 1000)
    os.close(read)
    os.waitpid(pid, 0)

    assert told.decode() == f"1 0 {[0] * 12}"
    assert _count(_open(tmp_path)) == 3
