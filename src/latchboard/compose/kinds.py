"""Kinds: services that have more to do where shared state is a folder of the project than where it is an engine's.

Protocol: protocol/board.md, protocol/lock.md, "Cleanup".
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.board import Board, Replay
    from latchboard.board.mirror import Mirror
    from latchboard.cleanup import Cleanup
    from latchboard.compose import Latchboard
    from latchboard.store.port import Store


def board(of: Latchboard, store: Store) -> Board:
    """Who does what; with files it follows the journal, and its own file is one of them.

    Of another store, too, it begins near the end of the history, where the store can say where that is.
    """
    from latchboard.board import Board

    if of.files is None:
        lately: Any = getattr(store, "lately", None)
        return Board(store, of.clock, of.host, of.settings, journal=lately() if lately is not None else None)
    from latchboard.store.files import derived
    from latchboard.store.files.follow import Tail

    path, mode = of.files.path, 0o660 if of.settings.shared else 0o600
    return Board(
        store,
        of.clock,
        of.host,
        of.settings,
        published=derived.DerivedFile(path, derived.STATUS_BOARD, mode=mode),
        journal=Tail(path),
    )


def mirror(of: Latchboard) -> Mirror | None:
    """Of a store that is elsewhere, board and messages as files."""
    if of.files is not None or of.settings.store == "files":
        return None
    from latchboard.board.mirror import Mirror
    from latchboard.compose import engines
    from latchboard.store.files.mirror import COLLECTIONS, MirrorFolder

    engines.mark(of)
    shown = MirrorFolder(of.root, shared=of.settings.shared)
    return Mirror(of.store, of.board, shown, of=of.settings.store, collections=COLLECTIONS)


def replay(of: Latchboard) -> Replay:
    """The board as it was; of files, the journals tell."""
    from latchboard.board import Replay

    if of.files is None:
        return Replay(of.store, of.clock, of.settings)
    from latchboard.store.files.history import History

    return Replay(of.store, of.clock, of.settings, journal=History(of.files))


def cleanup(of: Latchboard, store: Store) -> Cleanup:
    """Remove what is over; of files, also what killed processes left lying about."""
    from latchboard.cleanup import Cleanup
    from latchboard.editing.sweeping import Sweep

    editing = Sweep(of.locks, of.images)
    services = (store, of.clock, of.host, of.settings, of.mailbox)
    if of.files is None:
        return Cleanup(*services, editing=editing)
    from latchboard.store.files.sweep import Sweeper

    return Cleanup(*services, leftovers=Sweeper(of.files), editing=editing)
