"""The replay against boards that were taken: whatever agents did, at every revision it shows what was shown then.

A board is taken behind every commit, by a program that has just started, as every command of the CLI is one.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from latchboard.board import Board, Replay
from latchboard.board.fold import Fold
from latchboard.errors import Compacted, CoordinationError, UsageError
from latchboard.locks import Locks
from latchboard.mailbox import Mailbox
from latchboard.rules import board as rules
from latchboard.rules.known import Known, by_commit
from latchboard.rules.watch import events
from latchboard.settings import Settings
from latchboard.store.files.folder import Folder
from latchboard.store.files.follow import Tail
from latchboard.store.files.history import History
from latchboard.store.files.store import FileStore
from latchboard.store.memory import MemoryStore
from latchboard.testing import FakeHost, ManualClock
from tests.conftest import MEMORY, SOAK

AGENTS = ["a", "b", "a/b"]
NAMES = ["x", "src/", "src/y"]
LISTS = ("file_modification_history", "conflicts", "messages")
SETTINGS = Settings(
    lease_ttl_s=100, agent_quiet_s=50, board_history_count=6, journal_bytes_max=6000, journals_kept_count=3
)
agents = st.sampled_from(AGENTS)
names = st.sampled_from(NAMES)
back = st.integers(0, 60)


class Taking:
    """A store behind whose every commit a board is taken."""

    def __init__(self, machine: ReplayMachine, store: Any) -> None:
        self._machine = machine
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def transact(self, fn: Any, **options: Any) -> Any:
        done = self._store.transact(fn, **options)
        self._machine.take(done.revision)
        return done


class ReplayMachine(RuleBasedStateMachine):
    def make_store(self) -> Any:
        raise NotImplementedError

    def journal(self) -> Any:
        """What a board of this store begins with."""
        return None

    def history(self) -> Any:
        """What a replay of this store begins with."""
        return None

    @initialize()
    def begin(self) -> None:
        self.clock = ManualClock()
        self.host = FakeHost()
        self.processes = [self.host.as_process(self.host.spawn()) for _ in AGENTS]
        self.store = self.make_store()
        self.taken: dict[int, tuple[int, dict[str, Any]]] = {}
        self.told: list[dict[str, Any]] = []
        self.known = Known()
        self.known.seen = None
        self.watch = self.store.watch("", after=0)
        self.holds: list[Any] = []

    @property
    def replay(self) -> Replay:
        return Replay(self.store, self.clock, SETTINGS, journal=self.history())

    def services(self, agent: str) -> tuple[Any, ...]:
        return Taking(self, self.store), self.clock, self.processes[AGENTS.index(agent)]

    def take(self, revision: int) -> None:
        if revision in self.taken or revision == 0:
            return
        fold = Fold(self.store, self.clock, history_count=SETTINGS.board_history_count, journal=self.journal())
        state = fold.advance()
        assert state.revision == revision
        board = rules.render(state, self.clock.now(), judge=lambda _: "unknowable", quiet_s=SETTINGS.agent_quiet_s)
        fold.close()
        self.taken[revision] = (self.replay.span()[0], board)
        for commit in by_commit(self.watch.poll()):
            first = commit[0]
            told = {"revision": first.revision, "at": first.at, "who": first.who}
            self.told.append({**told, "events": events(self.known, commit)})

    # -- what happens -------------------------------------------------------------------------------------------------

    @rule(
        agent=agents, name=names, shared=st.booleans(), bound=st.sampled_from(["process", "agent"]), waits=st.booleans()
    )
    def acquire(self, agent: str, name: str, shared: bool, bound: Any, waits: bool) -> None:
        store, clock, host = self.services(agent)
        tree: Any = Tree()
        locks = Locks(store, clock, host, tree, SETTINGS)
        request = locks.request(agent, [name], shared=shared, bound=bound, ttl_s=None, reason="because")
        with contextlib.suppress(CoordinationError):
            self.holds.append(locks.acquire(request, wait_s_max=3 if waits else 0))

    @precondition(lambda self: self.holds)
    @rule(number=st.integers(0, 20))
    def release(self, number: int) -> None:
        with contextlib.suppress(CoordinationError):
            self.holds.pop(number % len(self.holds)).release()

    @rule(agent=agents, status=st.sampled_from(["thinking", "writing", ""]))
    def update(self, agent: str, status: str) -> None:
        Board(*self.services(agent), SETTINGS).update(agent, status, ["src/y"])

    @rule(agent=agents, to=agents)
    def send(self, agent: str, to: str) -> None:
        Mailbox(*self.services(agent), SETTINGS).send(agent, to, "hello")

    @rule(name=st.just("src/y"), value=st.sampled_from([{"foreign": 1}, {}]))
    def put_what_cannot_be_read(self, name: str, value: dict[str, Any]) -> None:
        self.services("a")[0].transact(lambda view: view.put(f"locks/{name}", value), who="stranger")

    @rule(key=st.sampled_from([f"locks/{name}" for name in NAMES] + [f"agents/{agent}" for agent in AGENTS]))
    def delete(self, key: str) -> None:
        self.services("a")[0].transact(lambda view: view.delete(key), who="stranger")

    @rule(s=st.sampled_from([0.5, 20, 60, 200]))
    def time_passes(self, s: float) -> None:
        self.clock.advance(s)

    @rule(s=st.sampled_from([30, 1000]), agent=agents)
    def the_machine_sleeps_and_an_agent_speaks(self, s: float, agent: str) -> None:
        self.clock.suspend(s)
        self.update(agent, "awake")

    @rule(agent=agents)
    def the_machine_restarts_and_an_agent_speaks(self, agent: str) -> None:
        self.clock.reboot()
        self.update(agent, "awake")

    # -- looking back -------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.taken)
    @rule(back=back)
    def look_back(self, back: int) -> None:
        revision = list(self.taken)[max(0, len(self.taken) - 1 - back)]
        oldest_then, board = self.taken[revision]
        oldest, newest = self.replay.span()
        assert (oldest in self.taken, newest) == (True, list(self.taken)[-1])
        if revision < oldest:
            with pytest.raises(Compacted) as caught:
                self.replay.at(revision)
            assert caught.value.fields["oldest"] in (oldest, *[r for r in self.taken if r < oldest][-1:])
            return
        shown = self.replay.at(revision)
        if oldest != oldest_then:  # some of what the lists began with is not kept any more
            for field in LISTS:
                assert_known_part(shown.pop(field), board[field])
        assert shown == {field: board[field] for field in shown}

    @precondition(lambda self: self.taken)
    @rule(back=back, limit=st.integers(1, 40))
    def tell_what_happened(self, back: int, limit: int) -> None:
        index = max(0, len(self.told) - 1 - back)
        after = self.told[index]["revision"]
        try:
            found = self.replay.commits(after, limit)
        except Compacted:
            assert after < self.replay.span()[0]
            return
        assert found == self.told[index + 1 :][:limit]

    @precondition(lambda self: self.taken)
    @rule(count=st.integers(1, 30))
    def spread_over_the_time(self, count: int) -> None:
        marks = self.replay.timeline(count)
        oldest, newest = self.replay.span()
        kept = [told for told in self.told if told["revision"] >= oldest]
        assert len(marks) == min(count, len(kept))
        assert marks[-1]["revision"] == newest
        assert count == 1 or marks[0]["revision"] == oldest
        times = {told["revision"]: told["at"] for told in kept}
        assert [mark["at"] for mark in marks] == [times[mark["revision"]] for mark in marks]

    @rule()
    def the_oldest_is_0(self) -> None:
        oldest, newest = self.replay.span()
        assert self.replay.at(0) == self.replay.at(oldest)
        with pytest.raises(UsageError):
            self.replay.at(newest + 1)

    def teardown(self) -> None:
        if hasattr(self, "watch"):
            self.watch.close()
            self.store.close()


class Tree:
    """Names are what they are."""

    def names(self, path: str) -> list[str]:
        return [path]


def assert_known_part(shown: list[dict[str, Any]], taken: list[dict[str, Any]]) -> None:
    """What is shown was shown then, in that order; what began before the oldest commit may not be known."""
    left = iter(taken)
    for entry in shown:
        assert any(_is_the_same(entry, other) for other in left), entry


def _is_the_same(entry: dict[str, Any], other: dict[str, Any]) -> bool:
    if isinstance(entry, dict) and isinstance(other, dict):
        return entry.keys() == other.keys() and all(_is_the_same(entry[field], other[field]) for field in entry)
    if isinstance(entry, list) and isinstance(other, list):
        return len(entry) == len(other) and all(map(_is_the_same, entry, other))
    return entry is None or entry == other


class MemoryMachine(ReplayMachine):
    def make_store(self) -> Any:
        return MemoryStore(clock=self.clock, settings=SETTINGS, commits_kept_count=30)


class FileMachine(ReplayMachine):
    folder = ""

    def make_store(self) -> Any:
        self.folder = tempfile.mkdtemp(prefix="latchboard-", dir=MEMORY)
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(Folder, "self_test", lambda folder: None)  # it forks; it has tests of its own
        return FileStore(self.folder, clock=self.clock, settings=SETTINGS)

    def journal(self) -> Any:
        return Tail(self.store.path)

    def history(self) -> Any:
        return History(self.store)

    @rule()
    def another_program_looks(self) -> None:
        self.store.close()
        self.store = FileStore(self.folder, clock=self.clock, settings=SETTINGS)

    def teardown(self) -> None:
        super().teardown()
        if self.folder:
            self.patch.undo()
            shutil.rmtree(self.folder)


TestMemoryMachine = MemoryMachine.TestCase
TestFileMachine = FileMachine.TestCase
TestMemoryMachine.settings = hypothesis_settings(max_examples=40, stateful_step_count=40)
TestFileMachine.settings = hypothesis_settings(max_examples=50 if SOAK else 30, stateful_step_count=50)
