"""Doctoring engine: a store that is elsewhere, for who only looks, and its queue, for who repairs that.

Protocol: protocol/health.md, "Doctor" and "Repairs".
"""

from __future__ import annotations

import os

from latchboard.codec import encode
from latchboard.compose import engines
from latchboard.doctor import coordination, engine
from latchboard.errors import UsageError, from_os_error
from latchboard.store.files import layout
from latchboard.store.files.folder import FORMAT_KNOWN, format_in
from latchboard.store.files.repair import BACKUPS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    from latchboard.compose import Latchboard
    from latchboard.doctor.check import Check
    from latchboard.doctor.port import Member

_CALL_S_MAX = 4.0
"""So a member has a second to answer in: a report is there after 2.5."""


class _Engine:
    """The store port, reading alone; with how its cluster stands.

    Attributes:
        where: Its address.
        is_settled: All that is read is of one revision.
    """

    is_settled = True

    def __init__(self, board: Latchboard) -> None:
        """A store of its own, which waits for no longer than a doctor does."""
        made = engines.beside(board, board.settings.store)
        made.access.call_s_max = _CALL_S_MAX
        self._store = made
        self.where = made.access.address
        self.properties = made.properties

    def members(self) -> list[Member]:
        return [*self._store.members()]

    def revision(self) -> int:
        return self._store.read("wide").revision

    def read(self, *wanted: str) -> Any:
        return self._store.read(*wanted)

    def transact(self, *arguments: object, **options: object) -> NoReturn:
        raise UsageError("this store is only looked at")

    watch = bell = transact


def keeping(board: Latchboard) -> Callable[[list[str], str], str]:
    """What copies records to `backups/<name>/` in the project's folder, and says where that is.

    It raises StoreError: they could not be read or written, and nothing is to be repaired then.
    """

    def keep(keys: list[str], name: str) -> str:
        found = board.store.read(*keys)
        folder = f"{board.root}/{layout.FOLDER}/{BACKUPS}/{name}"
        try:
            os.makedirs(folder, mode=0o700)
            for count, key in enumerate(keys):
                with open(f"{folder}/{count:04}.json", "x", encoding="utf-8") as file:
                    file.write(f"{encode({'key': key, 'revision': found.revision, 'value': found.get(key)})}\n")
                    file.flush()
                    os.fsync(file.fileno())
        except OSError as exc:
            raise from_os_error(exc, "write", folder) from exc
        return folder

    return keep


def checks(board: Latchboard) -> list[Check]:
    """What is looked at in a store that is elsewhere."""
    root, clock, host, settings = board.root, board.clock, board.host, board.settings
    seen = _Engine(board)
    reach = engine.Reach(root, seen)

    def make() -> Any:
        return seen

    within = [
        coordination.over(root, make, clock, host, settings, file_of=lambda _: ""),
        coordination.mail(root, make, clock, host, settings),
        coordination.conflicts(root, make),
        coordination.queue(root, make, clock, file_of=lambda _: ""),
    ]
    path = f"{root}/{layout.FOLDER}"
    folder = engine.folder(root, path, lambda: _is_store(path))
    return [engine.store(reach), folder, *(engine.in_reach(one, reach) for one in within)]


def _is_store(path: str) -> bool:
    """Whether a folder says that it is one; one that cannot be read says nothing."""
    try:
        return format_in(path)[0] == FORMAT_KNOWN
    except (OSError, ValueError, KeyError):
        return False
