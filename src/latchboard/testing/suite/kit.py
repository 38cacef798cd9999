"""What the chapters of the suite share: how a backend joins, and the one place that imports pytest and hypothesis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from hypothesis import strategies

from latchboard.clock import SystemClock
from latchboard.settings import Settings
from latchboard.testing.clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from latchboard.clock import Clock, HasFileno
    from latchboard.store.port import Snapshot, Store, View

__all__ = ["Backend", "Pairs", "fails", "hypothesis", "is_readable", "put", "pytest", "strategies"]

for _chapter in ("commits", "pasts", "snapshots", "values", "watches"):
    pytest.register_assert_rewrite(f"latchboard.testing.suite.{_chapter}")

NOTIFIED_WITHIN_S = 60.0
"""How long a test waits for a notification before it fails; on a loaded machine one takes milliseconds."""


class Backend:
    """What a backend says about itself. Only `open_pair` must be given."""

    can_be_damaged = False
    """Whether `damage` can be called."""
    leaves_traces = False
    """Whether `contents` can tell that something was written."""

    def open_pair(self, place: Path, clock: Clock, settings: Settings) -> tuple[Store, Store]:
        """Two stores on one new state (or, in a place that was used before, on the state that is there).

        The second is to the first what another process is, as far as the backend can have that in one.
        """
        raise NotImplementedError

    def open_forgetful_pair(self, place: Path, clock: Clock) -> tuple[Store, Store]:
        """As `open_pair`, but so that 1,000 commits are more than the history keeps."""
        return self.open_pair(place, clock, Settings(journal_bytes_max=2000, journals_kept_count=2))

    def damage(self, place: Path, key: str) -> None:
        """Make what is stored for `key` unreadable."""
        raise NotImplementedError

    def contents(self, place: Path) -> Any:
        """Something that differs whenever anything in the place was changed."""
        raise NotImplementedError

    @pytest.fixture
    def clock(self) -> ManualClock:
        """Time stands still unless a test moves it."""
        return ManualClock()

    @pytest.fixture
    def pairs(self, tmp_path: Path, clock: ManualClock) -> Iterator[Pairs]:
        """Makes pairs of stores, and closes them."""
        pairs = Pairs(self, tmp_path, clock)
        yield pairs
        pairs.close()

    @pytest.fixture
    def pair(self, pairs: Pairs) -> tuple[Store, Store]:
        """Two stores on one new state."""
        return pairs.new()

    @pytest.fixture
    def store(self, pair: tuple[Store, Store]) -> Store:
        """One of a pair."""
        return pair[0]

    @pytest.fixture
    def other(self, pair: tuple[Store, Store]) -> Store:
        """The other one, on the same state."""
        return pair[1]


class Pairs:
    """Pairs of stores in places of their own.

    Attributes:
        place: Of the pair that was opened last.
    """

    def __init__(self, backend: Backend, folder: Path, clock: Clock) -> None:
        self._backend = backend
        self._folder = folder
        self._clock = clock
        self._opened: list[Store] = []
        self._count = 0
        self.place = folder

    def new(self, **settings: Any) -> tuple[Store, Store]:
        """A pair on a new state."""
        self._next_place()
        return self.again(**settings)

    def again(self, **settings: Any) -> tuple[Store, Store]:
        """Another pair where the last one was opened."""
        return self._keep(self._backend.open_pair(self.place, self._clock, Settings(**settings)))

    def forgetful(self) -> tuple[Store, Store]:
        """A pair on a new state that keeps little history."""
        self._next_place()
        return self._keep(self._backend.open_forgetful_pair(self.place, self._clock))

    def close(self) -> None:
        """Close every store that is open."""
        while self._opened:
            self._opened.pop().close()

    def _next_place(self) -> None:
        self._count += 1
        self.place = self._folder / str(self._count)
        self.place.mkdir()

    def _keep(self, pair: tuple[Store, Store]) -> tuple[Store, Store]:
        self._opened += pair
        return pair


def put(store: Store, key: str, value: dict[str, Any], **options: Any) -> int:
    """Commit one value; returns the revision."""
    return store.transact(lambda view: view.put(key, value), who="writer", **options).revision


def delete(store: Store, key: str) -> int:
    """Commit one deletion; returns the revision."""
    return store.transact(lambda view: view.delete(key), who="writer").revision


def value_of(store: Store, key: str) -> dict[str, Any] | None:
    """What one key holds."""
    snapshot: Snapshot = store.read(key)
    return snapshot.get(key)


def is_readable(readable: HasFileno, *, within_s: float = 0.0) -> bool:
    """Whether poll(2) says that it can be read, now or within some seconds."""
    return SystemClock().wait([readable], within_s)


def fails(store: Store, fn: Callable[[View], Any], error: type[BaseException], **options: Any) -> BaseException:
    """Run a transaction that must raise `error` and leave the revision where it was."""
    before = store.transact(lambda view: None, who="reader").revision
    with pytest.raises(error) as caught:
        store.transact(fn, who="writer", **options)
    assert store.transact(lambda view: None, who="reader").revision == before
    return caught.value
