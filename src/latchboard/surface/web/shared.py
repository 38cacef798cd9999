"""Shared: one reading for all who asked before it began."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from latchboard.aio import in_thread

if TYPE_CHECKING:
    from collections.abc import Callable


class Shared:
    """A reading that many may want at once: fifty pages that hear of a commit are one look at the store."""

    def __init__(self, make: Callable[[], bytes]) -> None:
        self._make = make
        self._running = asyncio.Lock()
        self._next: asyncio.Future[bytes] | None = None

    async def get(self) -> bytes:
        """What a reading gives that begins after this call."""
        if self._next is None:
            self._next = asyncio.ensure_future(self._read())
            self._next.add_done_callback(lambda done: done.cancelled() or done.exception())  # seen
        return await asyncio.shield(self._next)

    async def _read(self) -> bytes:
        async with self._running:
            self._next = None  # whoever asks from now on may know of something newer
            return await in_thread(self._make)
