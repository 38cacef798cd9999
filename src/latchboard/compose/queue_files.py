"""Queue files: which file, and which shelf beside the store."""

from __future__ import annotations

import os

from latchboard.errors import UsageError
from latchboard.host.queue_file import QueueFile
from latchboard.host.queue_shelf import QueueShelf
from latchboard.queue_file import LiveFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.compose import Latchboard


def build(board: Latchboard, path: str | None) -> LiveFile:
    """The file at `path`, or that of the setting. Raises UsageError: neither is said."""
    if path is None:
        if not board.settings.queue_file:
            raise UsageError("no queue file is named", hint='name one, or set queue_file = "SPRINT_QUEUE.json"')
        file = QueueFile(board.root, board.settings.queue_file)
    else:
        folder, name = os.path.split(os.path.abspath(path))
        if not name or not os.path.isdir(folder):
            raise UsageError(f"there is no folder for {path!r:.200}", hint="make the folder first")
        file = QueueFile(os.path.realpath(folder), name)
    store = board.files.path if board.files is not None else f"{board.root}/data/.agent_locks"
    shelf = QueueShelf(
        store,
        file.path,
        lambda: board.store.transact(lambda _: None, who="latchboard"),
        is_shared=board.settings.shared,
    )
    return LiveFile(board.queue_files, file, shelf)
