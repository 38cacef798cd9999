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
    from collections.abc import Collection
    from typing import Any

    from latchboard.clock import Now
    from latchboard.store.port import View

BATCH_COUNT = 400
"""Most messages that one commit moves: two keys each, and the cursor."""


class Receipt:
    """One agent's receive. `take` is run by a transaction, perhaps more than once; `took` says that it is committed.

    Attributes:
        messages: What was delivered so far.
    """

    __slots__ = (
        "_agent",
        "_alive_count",
        "_batch_count",
        "_found",
        "_limit",
        "_now",
        "_only",
        "_place",
        "_queue",
        "messages",
    )

    def __init__(
        self,
        agent: str,
        now: Now,
        limit: int | None,
        only: Collection[str] | None = None,
        *,
        batch_count: int = BATCH_COUNT,
    ) -> None:
        self._agent = agent
        self._batch_count = batch_count
        self._now = now
        self._limit = limit
        self._only = only
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
        is_fresh = self._place < 0
        if is_fresh:
            self._look(view)
        start = max(self._place, 0)
        batch = self._queue[start : start + self._batch_count]
        delivered: list[dict[str, Any]] = []
        for place, message in enumerate(batch, start):
            now_there = message if is_fresh else self._still_there(view, message)
            if now_there is not None:
                self._move(view, now_there, delivered, is_dead=place >= self._alive_count)
        self._move_cursor(view, batch, is_last=start + len(batch) >= len(self._queue))
        return delivered

    def took(self, delivered: list[dict[str, Any]]) -> None:
        """What `take` returned is committed."""
        self.messages += delivered
        self._place = min(max(self._place, 0) + self._batch_count, len(self._queue))

    def inbox(self) -> Inbox:
        """What there is to give to the reader."""
        beyond_limit = len(self._found.own) + len(self._found.news) - len(self._queue)
        return Inbox(self.messages, self._found.damaged, beyond_limit + max(0, self._alive_count - self._place))

    def _look(self, view: View) -> None:
        self._found = found = look(view, self._agent, self._now)
        alive, dead = rules.deliveries([*found.own, *found.news], self._now, self._limit)
        if self._only is not None:
            alive = _chosen(alive, self._only)
        self._queue = alive + dead
        self._alive_count = len(alive)

    def _still_there(self, view: View, message: dict[str, Any]) -> dict[str, Any] | None:
        """The message as it is now; None when another process of the agent took it, or it was damaged meanwhile."""
        if _is_news(message):
            return None if has_copy(view, self._agent, message["id"]) else message
        try:
            return get(view, rules.key(message))
        except MalformedRecord:
            return None  # the next look tells of it

    def _move(self, view: View, message: dict[str, Any], delivered: list[dict[str, Any]], *, is_dead: bool) -> None:
        """Do to the record what receiving does, and add to `delivered` what the reader gets."""
        after = rules.step(message, "expire" if is_dead else rules.reception(message), self._now)
        assert after is not None, "what lies in a mailbox can be received and can expire"
        if after.get("archived_at") is not None:
            view.put(rules.archive_key(after), after)
            if not _is_news(message):
                view.delete(rules.key(message))
        elif after is not message:
            view.put(rules.key(after), after)
        if not is_dead:
            received = {**message, "delivered_at": after["delivered_at"]}
            delivered.append(rules.shown(received, redelivered=rules.state(message) == "delivered"))

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


def _chosen(alive: list[dict[str, Any]], only: Collection[str]) -> list[dict[str, Any]]:
    """Those in `only`, but no broadcast behind one that is left: the cursor would go past it."""
    chosen, has_gap = [], False
    for message in alive:
        if _is_news(message) and (has_gap or message["id"] not in only):
            has_gap = True
        elif message["id"] in only:
            chosen.append(message)
    return chosen


def _is_news(message: dict[str, Any]) -> bool:
    """Whether it is a broadcast that has no record in the mailbox yet: its copy is made when it is delivered."""
    return bool(message.get("broadcast")) and rules.state(message) == "waiting"
