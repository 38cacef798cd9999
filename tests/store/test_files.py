"""The file store keeps every promise of the port."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from latchboard.store.files import layout
from latchboard.store.files.store import FileStore
from latchboard.testing.suite import StoreSuite

if TYPE_CHECKING:
    from pathlib import Path

    from latchboard.clock import Clock
    from latchboard.settings import Settings
    from latchboard.store.port import Store


class TestFileStore(StoreSuite):
    can_be_damaged = True
    leaves_traces = True

    def open_pair(self, place: Path, clock: Clock, settings: Settings) -> tuple[Store, Store]:
        root = str(place)
        return FileStore(root, clock=clock, settings=settings), FileStore(root, clock=clock, settings=settings)

    def damage(self, place: Path, key: str) -> None:
        (place / layout.FOLDER / layout.record(key)).write_bytes(b'{"key":"half a rec')

    def contents(self, place: Path) -> Any:
        found = sorted((path, path.lstat()) for path in place.rglob("*"))
        return [(path, s.st_ino, s.st_mode, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for path, s in found]
