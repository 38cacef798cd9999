"""etcd forgets while its store is at work: who follows it is told, begins anew and goes on; nothing else is lost."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from latchboard.board.mirror import Mirror
from latchboard.clock import SystemClock
from latchboard.compose import Latchboard, engines, store_looking
from latchboard.errors import Compacted, CoordinationError
from latchboard.settings import Settings
from latchboard.store.etcd.store import EtcdStore
from latchboard.store.etcd.trouble import Answer
from latchboard.store.files.mirror import COLLECTIONS, MirrorFolder
from tests.conftest import SOAK
from tests.process.nursery import until
from tests.store.etcd.server import Place
from tests.store.etcd.test_command_line import Shell, address_of
from tests.store.etcd.test_faults import Cluster
from tests.store.etcd.test_suite import compact

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(300)]

BEHIND_COUNT = 10
KEPT_COUNT = 40
ROUNDS_COUNT = 400 if SOAK else 30
AGENTS_COUNT = 4


@pytest.fixture
def board(etcd: Place, tmp_path: Path) -> Iterator[Callable[[], Latchboard]]:
    """Boards of one store, each as a process of its own has it; they soon are behind."""
    access = etcd.access()
    access.behind_count_max = BEHIND_COUNT
    made: list[Latchboard] = []

    def open_one() -> Latchboard:
        made.append(Latchboard(tmp_path, store=EtcdStore(access, clock=SystemClock()), publishes=False))
        return made[-1]

    yield open_one
    for one in made:
        one.close()
        one.store.close()


def newest(board: Latchboard) -> int:
    return board.store.read("wide").revision


def forget_everything(board: Latchboard) -> None:
    store: Any = board.store
    compact(store.access, newest(board))


def be_busy(board: Latchboard) -> None:
    """More commits than anybody keeps who does not look."""
    for number in range(2 * BEHIND_COUNT):
        board.board.update("busy", str(number))


def test_board_that_is_behind_shows_what_there_is(board: Callable[[], Latchboard]) -> None:
    writing, showing = board(), board()
    writing.board.update("busy", "begins")
    assert showing.board.read()["agents"]["busy"]["status"] == "begins"

    be_busy(writing)
    hold = writing.agent("a").lock("x", bound="agent")
    forget_everything(writing)

    shown = showing.board.read()
    assert shown["agents"]["busy"]["status"] == str(2 * BEHIND_COUNT - 1)
    assert [one["name"] for one in shown["active_locks"]] == ["x"]
    hold.release()
    assert showing.board.read()["active_locks"] == []


def test_stream_that_is_behind_says_so_and_goes_on_from_a_snapshot(board: Callable[[], Latchboard]) -> None:
    writing, watching = board(), board()
    writing.board.update("busy", "begins")
    found: list[int] = []
    with watching.stream.changes("agents/", after=newest(watching)) as changes:
        writing.board.update("busy", "goes on")
        found.append(next(changes).revision)
        be_busy(writing)
        forget_everything(writing)
        with pytest.raises(Compacted) as caught:
            found.extend(change.revision for change in changes)
        assert found == sorted(set(found))
        assert found[-1] == changes.revision < caught.value.fields["oldest"] <= newest(writing)

    snapshot = watching.store.read("agents/")
    with watching.stream.changes("agents/", after=snapshot.revision) as changes:
        writing.board.update("busy", "and on")
        assert (next(changes).value or {})["status"] == "and on"


def test_mirror_that_is_behind_shows_everything(board: Callable[[], Latchboard], tmp_path: Path) -> None:
    writing, showing = board(), board()
    engines.mark(showing)
    shown = MirrorFolder(str(tmp_path), shared=False)
    mirror = Mirror(showing.store, showing.board, shown, of="etcd://h/p", collections=COLLECTIONS)
    writing.mailbox.send("a", "b", "one")
    mirror.look()

    writing.mailbox.receive("b")
    writing.mailbox.send("a", "b", "two")
    be_busy(writing)
    forget_everything(writing)
    until(mirror.look, "it has caught up")

    (mail,) = (tmp_path / "data/.agent_locks/messages").glob("*/*.json")
    assert json.loads(mail.read_text())["body"] == "two"
    assert not mirror.look()


def test_waiter_who_is_behind_is_woken(board: Callable[[], Latchboard]) -> None:
    holding, waiting, writing = board(), board(), board()
    hold = holding.agent("a").lock("x", bound="agent")
    got: list[int] = []
    thread = threading.Thread(target=lambda: got.append(waiting.agent("b").lock("x", wait_s_max=30.0).token))
    thread.start()
    until(lambda: writing.store.read("waiters/").scan("waiters/"), "it waits")

    be_busy(writing)
    forget_everything(writing)
    hold.release()
    thread.join()

    assert got[0] > hold.token


def test_command_that_watches_and_was_stopped_for_too_long_says_so(cluster: Cluster, tmp_path: Path) -> None:
    place = cluster()
    shell = Shell(tmp_path, address_of(place))
    shell("init", "--client", "none", "--no-git")
    shell("update", "begins", "--agent", "a")
    watching = subprocess.Popen(
        [sys.executable, "-m", "latchboard", "watch", "--after", "0", "--json"],
        cwd=tmp_path, env=shell.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert watching.stdout is not None
    watching.stdout.readline()
    watching.send_signal(19)

    place.members[0].kill()  # what was on the way is gone with the connection
    place.restart(place.members[0])
    access = place.access()
    access.prefix = f"/{shell.environment['LATCHBOARD_STORE'].partition('://')[2].partition('/')[2]}"
    store = EtcdStore(access, clock=SystemClock())
    for number in range(3):
        revision = store.transact(lambda view, n=number: view.put("agents/b", {"n": n}), who="b").revision  # type: ignore[misc]
    compact(access, revision)
    store.close()
    watching.send_signal(18)
    out, err = watching.communicate(timeout=60)

    assert watching.returncode == 12, (out, err)
    assert '"compacted"' in out.splitlines()[-1]
    assert "latchboard status" in out.splitlines()[-1]


@contextmanager
def suppress_compacted() -> Iterator[None]:
    """etcd may have forgotten that by itself."""
    try:
        yield
    except Answer as said:
        if not said.is_compacted:
            raise


@contextmanager
def forgetting(store: EtcdStore) -> Iterator[Callable[[], int]]:
    """Every few moments what is older than the last few revisions is forgotten; how often it was."""
    over = threading.Event()
    done: Counter[str] = Counter()

    def run() -> None:
        while not over.wait(0.05):
            revision = store.read("wide").revision - KEPT_COUNT
            if revision > done["last"]:
                with suppress_compacted():
                    compact(store.access, revision)
                done["last"] = revision
                done["count"] += 1

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield lambda: done["count"]
    finally:
        over.set()
        thread.join()


def test_agents_lose_nothing_while_etcd_forgets_all_the_time(cluster: Cluster, tmp_path: Path) -> None:
    place = cluster(1, "--auto-compaction-mode", "periodic", "--auto-compaction-retention", "1s")
    access = place.access(call_s_max=60.0)  # of a commit that is not answered nobody would know what became of it
    boards = [
        Latchboard(tmp_path, store=EtcdStore(access, clock=SystemClock()), settings=Settings(), publishes=False)
        for _ in range(AGENTS_COUNT + 1)
    ]
    tokens: list[list[int]] = [[] for _ in range(AGENTS_COUNT)]
    received: list[str] = []
    failed: list[CoordinationError] = []
    inside = threading.Lock()

    def work(number: int) -> None:
        board, name = boards[number], f"agent-{number}"
        for n in range(ROUNDS_COUNT):
            try:
                with board.agent(name).lock("x", wait_s_max=60.0) as hold:
                    assert inside.acquire(blocking=False), "two at once"
                    tokens[number].append(hold.token)
                    inside.release()
                board.mailbox.send(name, "reader", f"{number}.{n}")
                board.board.read()
            except CoordinationError as exc:
                failed.append(exc)
                raise

    with forgetting(EtcdStore(access, clock=SystemClock())) as count:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(AGENTS_COUNT)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            received += [str(message["body"]) for message in boards[-1].mailbox.receive("reader")]
            checked = store_looking.check(boards[-1])
            assert [one for one in checked["findings"] if one["severity"] == "critical"] == []
        for thread in threads:
            thread.join()
        while found := boards[-1].mailbox.receive("reader"):
            received += [str(message["body"]) for message in found]

    assert failed == []
    assert sorted(received) == sorted(f"{n}.{m}" for n in range(AGENTS_COUNT) for m in range(ROUNDS_COUNT))
    everyone = [token for one in tokens for token in one]
    assert all(one == sorted(one) for one in tokens)
    assert len(set(everyone)) == AGENTS_COUNT * ROUNDS_COUNT
    assert count() > 2
    forget_everything(boards[0])
    assert [one["severity"] for one in store_looking.check(boards[-1])["findings"]] == []
    for board in boards:
        board.close()
        board.store.close()
