"""Wrap: a store around a store that fails, waits or runs functions again, as any backend may.

For tests of what is built on the port: run them, and the suite, through it.

    store = FaultyStore(MemoryStore(clock=clock), faults=repeat(DUPLICATE))

Faults of `transact`; the first and the third are those of every other call too:

- FAIL_BEFORE: `StoreUnavailable`, and nothing was committed.
- FAIL_AFTER: committed, and `StoreUnavailable` nevertheless: the answer was lost (failures 3.31).
- DELAY: `pause` is called first.
- DUPLICATE: the function runs twice, the first time for nothing.

Protocol: protocol/store.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from latchboard.codec import decode, encode
from latchboard.errors import StoreUnavailable
from latchboard.store.port import belongs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from latchboard.clock import Now
    from latchboard.errors import MalformedRecord
    from latchboard.store.port import Bell, Committed, Entries, Snapshot, Store, Value, View, Watch

T = TypeVar("T")

FAIL_BEFORE = "fail-before"
FAIL_AFTER = "fail-after"
DELAY = "delay"
DUPLICATE = "duplicate"


class FaultyStore:
    """A store that has one fault per call, or None, from an iterator; when that ends there are no more."""

    def __init__(
        self, inner: Store, *, faults: Iterable[str | None], pause: Callable[[], object] = lambda: None
    ) -> None:
        """Wrap `inner`; `pause` is what DELAY does (let another thread go on, move a manual clock)."""
        self.inner = inner
        self.properties = inner.properties
        self._faults = iter(faults)
        self._pause = pause

    def transact(
        self, fn: Callable[[View], T], *, who: str, durable: bool = False, effect: Callable[[], None] | None = None
    ) -> Committed[T]:
        fault = self._next()
        done = self.inner.transact(_twice(fn) if fault == DUPLICATE else fn, who=who, durable=durable, effect=effect)
        if fault == FAIL_AFTER:
            raise StoreUnavailable("injected after the commit: the outcome is unknown", hint="look, then try again")
        return done

    def read(self, *wanted: str, at: int | None = None) -> Snapshot:
        self._next()
        return self.inner.read(*wanted, at=at)

    def watch(self, prefix: str, *, after: int) -> Watch:
        self._next()
        return self.inner.watch(prefix, after=after)

    def bell(self, key: str) -> Bell:
        self._next()
        return self.inner.bell(key)

    def close(self) -> None:
        self.inner.close()

    def _next(self) -> str | None:
        fault = next(self._faults, None)
        if fault == FAIL_BEFORE:
            raise StoreUnavailable("injected before anything was done", hint="try again")
        if fault == DELAY:
            self._pause()
        return fault


def _twice(fn: Callable[[View], T]) -> Callable[[View], T]:
    def run(view: View) -> T:
        fn(_Scratch(view))
        return fn(view)

    return run


class _Scratch:
    """A view whose changes come to nothing, and whose values are copies: the second run must find nothing touched."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._cached: dict[str, Value | None] = {}
        self._changes: dict[str, Value | None] = {}

    @property
    def now(self) -> Now:
        return self._view.now

    @property
    def revision(self) -> int:
        return self._view.revision

    @property
    def room(self) -> int:
        return self._view.room - len(self._changes)

    def get(self, key: str) -> Value | None:
        if key in self._changes:
            return self._changes[key]
        if key not in self._cached:
            self._cached[key] = _copy(self._view.get(key))
        return self._cached[key]

    def scan(self, prefix: str, *, damaged: list[MalformedRecord] | None = None) -> Entries:
        found: dict[str, Any] = {key: self.get(key) for key, _ in self._view.scan(prefix, damaged=damaged)}
        found.update((key, value) for key, value in self._changes.items() if belongs(key, prefix))
        return [(key, value) for key, value in sorted(found.items()) if value is not None]

    def put(self, key: str, value: Value) -> None:
        self._changes[key] = value

    def delete(self, key: str) -> None:
        self._changes[key] = None


def _copy(value: Value | None) -> Value | None:
    return None if value is None else decode(encode(value))
