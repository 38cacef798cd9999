"""Board: who does what, from records and journal; status_board.json; what it was. Protocol: protocol/board.md."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.board.publisher import Publisher as Publisher
    from latchboard.board.replay import Replay as Replay
    from latchboard.board.service import Board as Board

__all__ = ["Board", "Publisher", "Replay"]

_HOMES = {"Board": "service", "Publisher": "publisher", "Replay": "replay"}


def __getattr__(name: str) -> Any:
    """Resolved when first used (PEP 562): who publishes in the background need not load what it may never write."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'latchboard.board' has no attribute {name!r}")
    return getattr(__import__(f"latchboard.board.{home}", fromlist=[name]), name)
