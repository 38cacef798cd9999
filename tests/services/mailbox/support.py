"""What tests of the mailbox share: small limits, a store that counts, and what is where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from latchboard.errors import StoreFull
from latchboard.mailbox import Inbox
from latchboard.settings import Settings

SETTINGS = Settings(body_bytes_max=1000, archive_ttl_s=100, broadcast_ttl_s=50)


class Counted:
    """A store that counts what is read and committed, and fails when told to."""

    def __init__(self, store: Any) -> None:
        self.inner = store
        self.reads = 0
        self.commits: list[int] = []
        self.fail_at: int | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def transact(self, fn: Callable[[Any], Any], **options: Any) -> Any:
        if self.fail_at is not None and len(self.commits) >= self.fail_at:
            raise StoreFull("no space left")
        view: Any = None

        def run(inner: Any) -> Any:
            nonlocal view
            view = CountedView(self, inner)
            return fn(view)

        done = self.inner.transact(run, **options)
        self.commits.append(len(view.changed))
        return done


class CountedView:
    def __init__(self, counted: Counted, view: Any) -> None:
        self._counted = counted
        self._view = view
        self.changed: set[str] = set()
        self.revision = view.revision

    def get(self, key: str) -> Any:
        self._counted.reads += 1
        return self._view.get(key)

    def scan(self, prefix: str, **options: Any) -> Any:
        found = self._view.scan(prefix, **options)
        self._counted.reads += 1 + len(found)
        return found

    def put(self, key: str, value: Any) -> None:
        self.changed.add(key)
        self._view.put(key, value)

    def delete(self, key: str) -> None:
        self.changed.add(key)
        self._view.delete(key)


def bodies(inbox: Inbox) -> list[str]:
    return [message["body"] for message in inbox]


def keys(store: Any, *collections: str) -> list[str]:
    return [key for name in collections for key, _ in store.read(name).scan(name)]
