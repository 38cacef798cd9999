"""The stores against a model: any order of commits, failures, kills, restarts, rotations and readers.

The model is a dict and the list of commits. After each step every reader must see a state that was committed, never an
older one than it was told of, and every watch the commits in order, each once, none missing.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from latchboard.errors import Compacted, ProtocolError, StoreError
from latchboard.settings import Settings
from latchboard.store.files import layout
from latchboard.store.files.folder import Folder
from latchboard.store.files.store import FileStore
from latchboard.store.memory import MemoryStore
from latchboard.testing.clock import ManualClock
from tests.conftest import MEMORY, SOAK
from tests.store.faults import ERRNOS, Faults, Killed, installed
from tests.store.scenes import close_leftovers

if TYPE_CHECKING:
    from latchboard.store.port import Store, View, Watch

State = dict[str, dict[str, Any]]

KEYS = ["locks/a/b_c", "locks/a_b/c", "locks/A", "agents/a", "agents/.b", "messages/a/1", "messages/a/b/1", "wide"]
PAST = ("locks/", "agents/")
COLLECTIONS = ("locks/", "agents/", "messages/", "messages/a/")
IN_COLLECTION = {
    "locks/": [key for key in KEYS if key.startswith("locks/")],
    "agents/": [key for key in KEYS if key.startswith("agents/")],
    "messages/": [key for key in KEYS if key.startswith("messages/")],
    "messages/a/": ["messages/a/1"],
}
values = st.fixed_dictionaries({"n": st.integers(0, 99)}, optional={"text": st.text(max_size=5), "more": st.just([1])})
changes = st.dictionaries(st.sampled_from([*KEYS, "log/trace"]), st.none() | values, min_size=1, max_size=4).map(
    lambda found: {key: {} if value is None and key == "log/trace" else value for key, value in found.items()}
)
which = st.integers(0, 1)


class StoreMachine(RuleBasedStateMachine):
    """Two stores on one state, a model of it, and watches that follow."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.state: State = {}
        self.commits: list[tuple[int, dict[str, dict[str, Any] | None]]] = []
        self.given = 0
        self.stores: list[Store] = []
        self.watches: list[tuple[Watch, int, int]] = []  # how many commits it has told of, and after what happened
        self.happened = 0

    def open(self) -> Store:
        raise NotImplementedError

    @initialize()
    def begin(self) -> None:
        self.stores = [self.open(), self.open()]

    # -- commits ------------------------------------------------------------------------------------------------------

    @rule(number=which, changed=changes, durable=st.booleans())
    def commit(self, number: int, changed: dict[str, dict[str, Any] | None], durable: bool) -> None:
        revisions: list[int] = []

        def fn(view: View) -> State:
            revisions.append(view.revision)
            found = {key: value for key in KEYS if (value := view.get(key)) is not None}
            _change(view, changed)
            return found

        done = self.stores[number].transact(fn, who="machine", durable=durable)

        assert done.value == self.state
        assert done.revision == revisions[-1]
        self.committed(done.revision, changed)

    @rule(number=which, changed=changes)
    def commit_without_looking(self, number: int, changed: dict[str, dict[str, Any] | None]) -> None:
        done = self.stores[number].transact(lambda view: _change(view, changed), who="machine")

        self.committed(done.revision, changed)

    @rule(
        number=which,
        asked=st.lists(st.sampled_from([*KEYS, *COLLECTIONS]), min_size=1, max_size=3, unique=True),
        changed=changes,
    )
    def commit_after_a_look(self, number: int, asked: list[str], changed: dict[str, dict[str, Any] | None]) -> None:
        """Records and collections in any order: what is remembered of one must not be taken for the other."""

        def fn(view: View) -> list[Any]:
            found = [dict(view.scan(one)) if one in COLLECTIONS else view.get(one) for one in asked]
            _change(view, changed)
            return found

        before = [self.collection(one) if one in COLLECTIONS else self.state.get(one) for one in asked]

        done = self.stores[number].transact(fn, who="machine")

        assert done.value == before
        self.committed(done.revision, changed)

    @rule(number=which)
    def look(self, number: int) -> None:
        done = self.stores[number].transact(
            lambda view: {prefix: dict(view.scan(prefix)) for prefix in COLLECTIONS}, who="machine"
        )

        assert done.value == {prefix: self.collection(prefix) for prefix in COLLECTIONS}
        assert done.revision == self.last

    @rule(number=which, changed=changes, in_effect=st.booleans())
    def fail_inside(self, number: int, changed: dict[str, dict[str, Any] | None], in_effect: bool) -> None:
        def fn(view: View) -> None:
            _change(view, changed)
            if not in_effect:
                raise ZeroDivisionError

        def effect() -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            self.stores[number].transact(fn, who="machine", effect=effect)

    # -- readers ------------------------------------------------------------------------------------------------------

    @rule(number=which, key=st.sampled_from(KEYS))
    def read_one(self, number: int, key: str) -> None:
        snapshot = self.stores[number].read(key)

        assert snapshot.get(key) == self.state.get(key)
        assert snapshot.revision == self.last

    @rule(number=which)
    def read_all(self, number: int) -> None:
        snapshot = self.stores[number].read(*COLLECTIONS, "wide")

        assert snapshot.revision == self.last
        assert snapshot.get("wide") == self.state.get("wide")
        for prefix in COLLECTIONS:
            assert snapshot.scan(prefix) == sorted(self.collection(prefix).items())

    @precondition(lambda self: len(self.watches) < 4)
    @rule(number=which, back=st.integers(0, 6))
    def watch(self, number: int, back: int) -> None:
        place = max(0, len(self.commits) - back)
        after = self.commits[place - 1][0] if place else 0
        self.watches.append((self.stores[number].watch("", after=after), place, self.happened))

    @precondition(lambda self: self.watches)
    @rule(number=st.integers(0, 3))
    def follow(self, number: int) -> None:
        watch, told, happened = self.watches.pop(number % len(self.watches))
        may_forget = self.may_forget(told, happened)
        try:
            seen = watch.poll()
        except Compacted as exc:
            assert may_forget, exc
            watch.close()
            return
        expected = [(r, key, value) for r, changed in self.commits[told:] for key, value in changed.items()]
        got = [(change.revision, change.key, change.value) for change in seen]
        if got != expected:
            assert may_forget
            if got == expected[: len(got)] and (got or told):  # what is kept is told first
                with pytest.raises(Compacted):
                    watch.poll()
                watch.close()
                return
            assert told == 0  # from the oldest kept
            assert got == expected[len(expected) - len(got) :]
        self.watches.append((watch, len(self.commits), self.happened))

    @precondition(lambda self: self.commits)
    @rule(number=which, back=st.integers(0, 12), between=st.booleans())
    def read_the_past(self, number: int, back: int, between: bool) -> None:
        index = max(0, len(self.commits) - 1 - back)
        asked = revision = self.commits[index][0]
        if between and index + 1 < len(self.commits):
            asked = self.commits[index + 1][0] - 1
        try:
            then = self.stores[number].read(*PAST, at=asked)
        except Compacted as exc:
            assert index + 1 < len(self.commits), "the newest is known"
            assert exc.fields["oldest"] > asked
            assert self.may_be_unknown(revision), exc
            return
        assert then.revision == revision
        assert {key: value for prefix in PAST for key, value in then.scan(prefix)} == self.state_at(revision)

    @rule(number=which)
    def read_the_oldest(self, number: int) -> None:
        then = self.stores[number].read(*PAST, at=0)

        assert then.revision in (0, *[revision for revision, _ in self.commits])
        assert {key: value for prefix in PAST for key, value in then.scan(prefix)} == self.state_at(then.revision)

    # -- the world ----------------------------------------------------------------------------------------------------

    @rule(seconds=st.integers(-100, 100))
    def set_the_clock(self, seconds: int) -> None:
        self.clock.jump_wall(seconds)

    @rule(number=which)
    def open_again(self, number: int) -> None:
        self.stores[number].close()
        if self.stores[number].properties.survives_restart:
            self.stores[number] = self.open()

    @invariant()
    def order(self) -> None:
        revisions = [revision for revision, _ in self.commits]
        assert revisions == sorted(set(revisions))

    def teardown(self) -> None:
        for watch, _, _ in self.watches:
            watch.close()
        for store in self.stores:
            store.close()

    # -- the model ----------------------------------------------------------------------------------------------------

    @property
    def last(self) -> int:
        return self.commits[-1][0] if self.commits else 0

    def collection(self, prefix: str) -> State:
        return {key: self.state[key] for key in IN_COLLECTION[prefix] if key in self.state}

    def committed(self, revision: int, changed: dict[str, dict[str, Any] | None]) -> None:
        assert revision > max(self.last, self.given)
        self.given = revision
        puts = {key: value for key, value in changed.items() if value is not None}
        deletes: dict[str, dict[str, Any] | None] = {key: None for key, value in changed.items() if value is None}
        self.commits.append((revision, {**puts, **deletes} if self.puts_first else changed))
        self.state.update((key, value) for key, value in puts.items() if key != "log/trace")
        for key in deletes:
            self.state.pop(key, None)

    def state_at(self, revision: int) -> State:
        """What there was then in the collections whose past can be read."""
        state: State = {}
        for commit, changed in self.commits:
            if commit <= revision:
                state.update((key, value or {}) for key, value in changed.items() if key.startswith(PAST))
                for key in [key for key, value in changed.items() if value is None]:
                    state.pop(key, None)
        return state

    def may_be_unknown(self, revision: int) -> bool:
        """Whether the store may not know any more what there was then."""
        return False

    puts_first = False
    """Whether a watch tells the puts of a commit before its deletions."""

    def may_forget(self, told: int, happened: int) -> bool:
        """Whether the history may lack what follows the commit with this number."""
        return False


class MemoryMachine(StoreMachine):
    def open(self) -> Store:
        if not self.stores:
            self.first = MemoryStore(clock=self.clock)
            self.stores = [self.first]
        return MemoryStore(clock=self.clock, beside=self.first)


class FileMachine(StoreMachine):
    """Adds what can happen to files and processes."""

    puts_first = True

    def __init__(self) -> None:
        super().__init__()
        self.place = Path(tempfile.mkdtemp(prefix="latchboard-", dir=MEMORY))
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(Folder, "self_test", lambda folder: None)  # it forks; it has tests of its own
        self.installed = installed(self.patch)
        self.faults: Faults = self.installed.__enter__()

    def open(self) -> Store:
        settings = Settings(journal_bytes_max=700, journals_kept_count=4)
        return FileStore(str(self.place), clock=self.clock, settings=settings)

    def may_forget(self, told: int, happened: int) -> bool:
        return len(self.commits) - told > 3 or self.happened - happened > 3

    def may_be_unknown(self, revision: int) -> bool:
        """Only what is older than the oldest journal, or in one whose beginning could not be written."""
        folder = self.place / layout.FOLDER
        bases = [int(path.stem) for path in sorted((folder / "journal").glob("*.jsonl"))]
        inside = [base for base in bases if base <= revision]
        return not inside or not (folder / layout.beginning(inside[-1])).exists()

    @rule(number=which, changed=changes, at=st.integers(0, 60), error=st.sampled_from(ERRNOS), lasts=st.booleans())
    def fail_a_system_call(
        self, number: int, changed: dict[str, dict[str, Any] | None], at: int, error: int, lasts: bool
    ) -> None:
        self.faults.fail(at, error, until=10**6 if lasts else None)
        try:
            done = self.stores[number].transact(lambda view: _change(view, changed), who="machine")
        except StoreError as exc:
            self.faults.reset()
            if "unknown" in str(exc) or "committed" in str(exc):
                self.find_out(changed)
            return
        self.faults.reset()
        self.committed(done.revision, changed)
        self.find_out({})  # the header may be behind; what comes next moves it on, and watches see the commit

    @rule(number=which, changed=changes, at=st.integers(0, 60), after=st.booleans())
    def kill(self, number: int, changed: dict[str, dict[str, Any] | None], at: int, after: bool) -> None:
        self.happened += 1
        self.faults.kill(at, after=after)
        try:
            done = self.stores[number].transact(lambda view: _change(view, changed), who="machine")
        except Killed:
            self.faults.reset()
            self.stores[number].close()
            self.stores[number] = self.open()
            self.find_out(changed)
            return
        self.faults.reset()
        self.committed(done.revision, changed)

    @rule(off_s=st.integers(0, 5))
    def restart_the_machine(self, off_s: int) -> None:
        self.happened += 1
        self.clock.reboot(off_s)

    @rule()
    def restore_a_backup_of_this_moment(self) -> None:
        """Nothing is lost, but the folder is a copy: other inodes, another store id, which a watch does not follow."""
        self.happened += 4
        for store in self.stores:
            store.close()
        shutil.copytree(self.place, f"{self.place}.copy", copy_function=shutil.copy2, symlinks=True)
        shutil.rmtree(self.place)
        shutil.move(f"{self.place}.copy", self.place)

    @precondition(lambda self: self.commits)
    @rule(at=st.integers(0, 60), after=st.booleans())
    def lose_the_header(self, at: int, after: bool) -> None:
        self.happened += 2
        (self.place / "data" / ".agent_locks" / "journal" / "guard").write_bytes(b"")
        with pytest.raises(ProtocolError):
            self.stores[0].read("wide")
        with pytest.raises(ProtocolError):
            self.stores[0].read("locks/")
        self.faults.kill(at, after=after)
        try:
            self.stores[0].transact(lambda view: None, who="machine")
        except Killed:
            self.faults.reset()
            self.stores[0].close()
            self.stores[0] = self.open()
        self.faults.reset()
        self.find_out({})

    def find_out(self, changed: dict[str, dict[str, Any] | None]) -> None:
        """After a kill: the commit happened, or it did not; what readers say then stays so."""
        with contextlib.suppress(ProtocolError):  # where the header is lost
            before = self.stores[1].read("wide").revision
            assert before >= self.last
        last = self.stores[0].transact(lambda view: None, who="machine").revision
        if last != self.last:
            self.committed(last, changed)

    def teardown(self) -> None:
        self.faults.reset()
        super().teardown()
        self.installed.__exit__(None, None, None)
        self.patch.undo()
        close_leftovers(self.place)
        shutil.rmtree(self.place)


def _change(view: View, changed: dict[str, dict[str, Any] | None]) -> None:
    for key, value in changed.items():
        if value is None:
            view.delete(key)
        else:
            view.put(key, value)


TestMemoryMachine = MemoryMachine.TestCase
TestFileMachine = FileMachine.TestCase
TestMemoryMachine.settings = hypothesis_settings(max_examples=60, stateful_step_count=40)
TestFileMachine.settings = hypothesis_settings(max_examples=100 if SOAK else 60, stateful_step_count=40)
