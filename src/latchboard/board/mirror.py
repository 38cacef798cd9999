"""Mirror: status_board.json and the messages as files, where shared state is kept elsewhere; written by the daemon.

Guarantees that what is shown was true at the last look, and that each file says that it is a mirror. Nothing is ever
read back from it.

Protocol: protocol/etcd.md, "Mirror".
"""

from __future__ import annotations

from latchboard.codec import encode
from latchboard.errors import Compacted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Protocol

    from latchboard.board.service import Board
    from latchboard.store.port import Change, Store, Value, Watch

    class Shown(Protocol):
        """Where the files are."""

        def show(self, board: bytes, messages: Mapping[str, bytes | None], *, is_whole: bool) -> bool:
            """Write these, remove those that are None, and, `is_whole`, all others; False: there is no place."""
            ...


_CHANGES_COUNT_MAX = 10_000
"""So many are written in one look; the next one goes on."""


class Mirror:
    """What a project's store has, as files of this machine. Of one thread."""

    def __init__(self, store: Store, board: Board, shown: Shown, *, of: str, collections: Sequence[str]) -> None:
        """Nothing is read yet.

        Args:
            store: What is mirrored.
            board: Of the same store.
            shown: Where the files are.
            of: The address of the store, which each file says.
            collections: Of the messages.
        """
        self._store = store
        self._board = board
        self._shown = shown
        self._of = of
        self._collections = tuple(collections)
        self._watch: Watch | None = None  # behind what is shown; None: nobody knows what that is

    def look(self) -> bool:
        """Look at the store, and write what has changed since the last look; whether anything was committed.

        Raises:
            StoreError: Some files may be as they were; the next look writes them.
        """
        changes: list[Change] = []
        try:
            while self._watch is not None and len(changes) < _CHANGES_COUNT_MAX and (more := self._watch.poll()):
                changes += more
        except Compacted:
            self._forget()
        except BaseException:
            if changes:
                self._forget()  # the watch gives them out once
            raise
        if self._watch is None:
            return self._begin()
        if not changes:
            return False
        self._show(
            {one.key: self._text(one.key, one.value) for one in changes if one.key.startswith(self._collections)},
            is_whole=False,
        )
        return True

    def _begin(self) -> bool:
        """Everything, and from where to go on."""
        found = self._store.read(*self._collections)
        damaged: list[Any] = []  # the board names those that cannot be read
        files = {
            key: self._text(key, value)
            for collection in self._collections
            for key, value in found.scan(collection, damaged=damaged)
        }
        self._watch = self._store.watch("", after=found.revision)
        self._show(files, is_whole=True)
        return True

    def _show(self, files: Mapping[str, bytes | None], *, is_whole: bool) -> None:
        is_shown = False
        try:
            is_shown = self._shown.show(self._marked(self._board.text()), files, is_whole=is_whole)
        finally:
            if not is_shown:
                self._forget()

    def _forget(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()

    def _text(self, key: str, value: Value | None) -> bytes | None:
        return None if value is None else f"{encode({'key': key, 'mirror_of': self._of, **value})}\n".encode()

    def _marked(self, text: bytes) -> bytes:
        """The board, whose second line says what it is a mirror of."""
        first, line_end, rest = text.partition(b"\n")
        return b"%s%s%s,\n%s" % (first, line_end, encode({"mirror_of": self._of})[1:-1].encode(), rest)
