from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from latchboard.board import Board
from latchboard.locks import Locks
from latchboard.settings import Settings
from latchboard.store.memory import MemoryStore
from latchboard.testing import FakeHost, ManualClock


class Page:
    """A derived file in memory."""

    def __init__(self) -> None:
        self.data = b""
        self.writes_count = 0
        self.written_at_s = 0.0
        self.is_taken = False

    def written(self) -> tuple[int, float] | None:
        return (len(self.data), self.written_at_s) if self.data else None

    def head(self) -> bytes:
        return self.data[:4096]

    def replace(self, make: Callable[[bytes], bytes | None], *, wait_s_max: float) -> bool:
        if self.is_taken:
            return False
        data = make(self.head())
        if data is not None and data != self.data:
            self.data = data
            self.writes_count += 1
        return True


class Tree:
    """Names are what they are."""

    def names(self, path: str) -> list[str]:
        return [path]


class World:
    """One machine with a memory store: services of any of its processes, and records to put by hand."""

    def __init__(self, settings: Settings | None = None, *, commits_kept_count: int = 100_000) -> None:
        self.settings = settings or Settings()
        self.clock = ManualClock()
        self.host = FakeHost()
        self.store = MemoryStore(clock=self.clock, settings=self.settings, commits_kept_count=commits_kept_count)
        self.page = Page()

    def board(self, host: FakeHost | None = None, **options: Any) -> Board:
        options = {"published": self.page, **options}
        return Board(self.store, self.clock, host or self.host, self.settings, **options)

    def locks(self, host: FakeHost | None = None) -> Locks:
        tree: Any = Tree()
        return Locks(self.store, self.clock, host or self.host, tree, self.settings)

    def process(self) -> FakeHost:
        """A further process of this machine."""
        return self.host.as_process(self.host.spawn())

    def put(self, who: str = "a", **values: Any) -> int:
        """One commit; `__` in a name is a slash, None deletes."""
        return self.put_keys({name.replace("__", "/"): value for name, value in values.items()}, who)

    def put_keys(self, values: dict[str, Any], who: str = "a") -> int:
        def decide(view: Any) -> None:
            for key, value in values.items():
                view.delete(key) if value is None else view.put(key, value)

        return self.store.transact(decide, who=who).revision


@pytest.fixture
def world() -> World:
    return World()
