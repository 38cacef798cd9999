"""Receipt: one receive, from the look to the last batch.

A full mailbox is taken in batches, each a commit of its own: no commit is long, and everything is read twice at most.
Whatever somebody else took meanwhile is left out.
"""

from __future__ import annotations

from latchboard.errors import MalformedRecord
from latchboard.mailbox.inbox import Inbox
from latchboard.mailbox.reading import Found, get, has_copy, look, move_cursor
from latchboard.rules import mailbox as rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.clock import Now
    from latchboard.store.port import View

BATCH_COUNT = 400
"""Messages that one commit moves: two keys each, and the cursor."""


class Receipt:
    """One agent's receive. `take` is run by a transaction, perhaps more than once; `took` says that it is committed.

    Attributes:
        messages: What was delivered so far.
    """

    __slots__ = ("_agent", "_alive_count", "_found", "_limit", "_now", "_place", "_queue", "messages")

    def __init__(self, agent: str, now: Now, limit: int | None) -> None:
        self._agent = agent
        self._now = now
        self._limit = limit
        self._found = Found()
        self._queue: list[dict[str, Any]] = []  # what is delivered, then what has expired
        self._alive_count = 0
        self._place = -1  # how much of the queue is done; -1: nobody has looked
        self.messages: list[dict[str, Any]] = []

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to take."""
        return self._place >= len(self._queue)

    def take(self, view: View) -> list[dict[str, Any]]:
        """Move the next batch; returns what is delivered by it."""
        if self._place < 0:
            self._look(view)
        start = max(self._place, 0)
        batch = self._queue[start : start + BATCH_COUNT]
        delivered = []
        for place, message in enumerate(batch, start):
            moved = self._move(view, message, is_dead=place >= self._alive_count)
            if moved is not None:
                delivered.append(moved)
        self._move_cursor(view, batch, is_last=start + len(batch) >= len(self._queue))
        return delivered

    def took(self, delivered: list[dict[str, Any]]) -> None:
        """What `take` returned is committed."""
        self.messages += delivered
        self._place = min(max(self._place, 0) + BATCH_COUNT, len(self._queue))

    def inbox(self) -> Inbox:
        """What there is to give to the reader."""
        beyond_limit = len(self._found.own) + len(self._found.news) - len(self._queue)
        return Inbox(self.messages, self._found.damaged, beyond_limit + max(0, self._alive_count - self._place))

    def _look(self, view: View) -> None:
        self._found = found = look(view, self._agent, self._now)
        alive, dead = rules.deliveries([*found.own, *found.news], self._now, self._limit)
        self._queue = alive + dead
        self._alive_count = len(alive)

    def _move(self, view: View, message: dict[str, Any], *, is_dead: bool) -> dict[str, Any] | None:
        """Do to the record what receiving does; the message to deliver, None when there is none."""
        key = rules.key(message)
        is_news = _is_news(message)
        try:
            now_there = self._still_new(view, message) if is_news else get(view, key)
        except MalformedRecord:
            return None  # damaged since the look; the next one tells of it
        if now_there is None:
            return None
        after = rules.step(now_there, "expire" if is_dead else rules.reception(now_there), self._now)
        assert after is not None, "what lies in a mailbox can be received and can expire"
        if "archived_at" in after:
            view.put(rules.archive_key(after), after)
            if not is_news:
                view.delete(key)
        elif after is not now_there:
            view.put(key, after)
        if is_dead:
            return None
        redelivered = rules.state(now_there) == "delivered"
        return rules.shown({**now_there, "delivered_at": after["delivered_at"]}, redelivered=redelivered)

    def _still_new(self, view: View, broadcast: dict[str, Any]) -> dict[str, Any] | None:
        return None if has_copy(view, self._agent, broadcast["id"]) else broadcast

    def _move_cursor(self, view: View, batch: list[dict[str, Any]], *, is_last: bool) -> None:
        """To the newest broadcast, or to the last one delivered while some are left; nowhere while one is damaged."""
        found = self._found
        if found.newest <= found.cursor:
            return
        news = [message["revision"] for message in batch if _is_news(message)]
        if is_last and (not found.news or found.news[-1]["revision"] <= self._newest_taken()):
            target = found.newest
        elif news:
            target = news[-1]
        else:
            return
        move_cursor(view, self._agent, target)

    def _newest_taken(self) -> int:
        return max((m["revision"] for m in self._queue[: self._alive_count] if _is_news(m)), default=0)


def _is_news(message: dict[str, Any]) -> bool:
    """Whether it is a broadcast that has no record in the mailbox yet: its copy is made when it is delivered."""
    return bool(message.get("broadcast")) and rules.state(message) == "waiting"
