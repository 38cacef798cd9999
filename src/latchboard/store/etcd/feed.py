"""Feed: a thread that reads one of etcd's watches and takes it up again wherever it ends.

Law 1. It ends with `close`, or where law 3 says so: a broken connection, a member that is gone, a cluster without a
       leader are waited out, endpoint after endpoint.
Law 2. The thread never holds the feed's condition while it waits for the network.
Law 3. Nor the feed: one that was forgotten ends as if it had been closed.

Protocol: protocol/etcd.md, "Watching".
"""

from __future__ import annotations

import os
import threading
import weakref
from random import Random

from latchboard.errors import CoordinationError, from_os_error
from latchboard.store.etcd.trouble import Answer
from latchboard.store.wakeup import Wakeup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.store.etcd.cluster import Cluster
    from latchboard.store.etcd.wire import Stream

_PAUSE_S, _PAUSE_S_MAX = 0.02, 1.0
_random = Random().random  # the module's own belongs to whoever seeded it
_open_feeds: weakref.WeakSet[Feed] = weakref.WeakSet()


class Feed:
    """What a watch and a bell have in common.

    Attributes:
        condition: Held for everything that the thread and others share.
        is_closed: Whether it has ended.
    """

    def __init__(self, cluster: Cluster, name: str) -> None:
        """Nothing is read before `start`. Raises StoreError: no file handle is left."""
        self.cluster = cluster
        self.name = name
        self.condition = threading.Condition()
        self.is_closed = False
        self._stream: Stream | None = None
        self._thread: threading.Thread | None = None
        try:
            self.wakeup = Wakeup()
        except OSError as exc:
            raise from_os_error(exc, "watch", name) from exc
        _open_feeds.add(self)

    def start(self) -> None:
        """Begin to read; nothing if it does already."""
        with self.condition:
            if self._thread is None and not self.is_closed:
                self._thread = threading.Thread(
                    target=_run, args=(weakref.ref(self),), name=f"latchboard watches {self.name}", daemon=True
                )
                self._thread.start()

    def fileno(self) -> int:
        """Readable when there is something; -1 after `close`."""
        return self.wakeup.fileno()

    def take_up_again(self) -> None:
        """Leave a stream that says nothing, though there is something: its member may be stopped."""
        with self.condition:
            stream = self._stream
        if stream is not None:
            stream.close()

    def close(self) -> None:
        """End the thread and free what it has."""
        with self.condition:
            self.is_closed = True
            stream, thread = self._stream, self._thread
            self.condition.notify_all()
        if stream is not None:
            stream.close()
        if thread is not None and thread is not threading.current_thread():
            thread.join(self.cluster.access.call_s_max)
        _open_feeds.discard(self)
        self.wakeup.close()

    # -- of each kind -------------------------------------------------------------------------------------------------

    def create(self) -> dict[str, Any] | None:
        """What to watch, from where; None: wait a while, then ask again. In the thread."""
        raise NotImplementedError

    def take(self, told: dict[str, Any]) -> bool:
        """One answer; False: leave this stream. In the thread."""
        raise NotImplementedError

    def failed(self, why: CoordinationError | Answer | None) -> None:
        """A stream ended, or could not be opened. In the thread."""
        raise NotImplementedError

    # -- the thread ---------------------------------------------------------------------------------------------------

    def _opened(self) -> Stream | None:
        """What to read next; None: nothing now, wait a while. In the thread."""
        try:
            create = self.create()
            if create is None:
                return None
            stream = self.cluster.gateway.stream("/v3/watch", {"create_request": create}, self.cluster.deadline())
        except (CoordinationError, Answer) as exc:
            self._tell(exc)
            return None
        with self.condition:
            self._stream = stream
            if self.is_closed:
                stream.close()
        return stream

    def _tell(self, why: CoordinationError | Answer | None) -> None:
        if not self.is_closed:
            self.failed(why)

    def _leave(self, stream: Stream, *, has_ended: bool) -> None:
        """A stream was read. In the thread."""
        with self.condition:
            self._stream = None
        if has_ended:
            self.cluster.gateway.left(stream.endpoint)

    def __del__(self) -> None:
        """Nobody has it any more: its thread finds its stream at the end."""
        if self._stream is not None:
            self._stream.close()

    def after_fork(self) -> None:
        """In a forked child: the thread and the stream are the parent's."""
        self.condition = threading.Condition()
        self._thread = self._stream = None
        self.wakeup.after_fork()
        self.wakeup.ring()


def _run(feed_of: weakref.ref[Feed]) -> None:
    """The thread: one stream after the other, until the feed is closed or nobody has it any more."""
    pause_s = _PAUSE_S
    while (feed := feed_of()) is not None and not feed.is_closed:
        condition = feed.condition
        stream = feed._opened()
        del feed
        if stream is not None and _read(feed_of, stream):
            pause_s = _PAUSE_S
            continue
        with condition:
            if (feed := feed_of()) is not None and not feed.is_closed:
                del feed
                condition.wait(pause_s * (0.5 + _random()))
        pause_s = min(_PAUSE_S_MAX, pause_s * 2)


def _read(feed_of: weakref.ref[Feed], stream: Stream) -> bool:
    """Read one stream to its end; True: it was left, not ended."""
    why: CoordinationError | Answer | None = None
    has_ended = True
    try:
        for told in stream:
            feed = feed_of()
            if feed is None or feed.is_closed or not feed.take(told):
                has_ended = False
                break
            del feed  # while the thread waits for the next answer it has none
    except (CoordinationError, Answer) as exc:
        why = exc
    finally:
        stream.end()
    if (feed := feed_of()) is not None:
        feed._leave(stream, has_ended=has_ended and why is None)
        if has_ended:
            feed._tell(why)
    return not has_ended


def _after_fork() -> None:
    for feed in list(_open_feeds):
        feed.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
