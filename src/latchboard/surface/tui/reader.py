"""Reader: a thread that follows the store and hands over what there is to show.

Law 1. It reads when something was committed, and every two seconds for what ends by itself: leases, processes.
Law 2. However much is committed, it takes no more than about a tenth of the time, and what is shown is the newest.
Law 3. A record file, or FORMAT, that somebody scribbles on is found within ten seconds (of 10,000 locks: within some
       minutes), which the board does not see by itself: it goes by the journal.
Law 4. Whatever goes wrong with the store is told with the last picture there was, and tried again.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

from latchboard.errors import Compacted, CoordinationError, MalformedRecord
from latchboard.surface.tui.picture import EMPTY, Decoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from latchboard.compose import Latchboard
    from latchboard.rules.watch import Event
    from latchboard.surface.tui.picture import Picture
    from latchboard.watch import Feed

    Told = tuple[Event, str]

_TICK_S = 2.0
_RETRY_S = 1.0
_PAUSE_S_MIN = 0.1
_PAUSE_S_MAX = 2.0
_PAUSES = 9
"""Rest for so many times as long as the reading took, within these bounds."""
_EVENTS_COUNT = 500
_EVENTS_COUNT_MAX = 5000
"""Of one reading: so that a storm of commits is drawn, not waited for."""
_THREADS_COUNT = 200
_MAIL_PAUSE_S_MIN = 1.0
_NOTE_S = 30.0
_DAMAGE_PAUSE_S_MIN = 10.0
_DAMAGE_PAUSES = 500
"""Rest for so many times as long as reading every record took: writers have to wait meanwhile."""
_COLLECTIONS = ("agents/", "leases/", "locks/", "waiters/")
_STOP_S_MAX = 2.0


class News:
    """What the reader has to say.

    Attributes:
        picture: The board.
        damaged: Records that cannot be read: key and reason.
        events: Of late, newest first, each with its sentence.
        threads: Conversations, the one with the newest message first.
        jobs: Of the queue, by status; all of them, for a filter finds any.
        trouble: Why the picture may be old; empty: it is not.
        note: Something about the store itself that must be said once.
    """

    __slots__ = ("damaged", "events", "jobs", "note", "picture", "threads", "trouble")

    def __init__(self) -> None:
        self.picture: Picture = EMPTY
        self.damaged: Sequence[dict[str, Any]] = ()
        self.events: Sequence[Told] = ()
        self.threads: Sequence[dict[str, Any]] = ()
        self.jobs: Sequence[dict[str, Any]] = ()
        self.trouble = ""
        self.note = ""

    def says_what(self, other: News | None) -> bool:
        """Whether it says nothing that another one has not said."""
        if other is None or self.picture is not other.picture or self.threads is not other.threads:
            return False
        if self.jobs is not other.jobs:
            return False
        newest, known = self.events[:1], other.events[:1]
        return (self.trouble, self.note, self.damaged, newest) == (other.trouble, other.note, other.damaged, known)


class Reader:
    """Follows one project's store from `start` to `stop`."""

    def __init__(self, board: Latchboard, give: Callable[[News], None], tell: Callable[[Event], str]) -> None:
        """Nothing is read yet.

        Args:
            board: The services.
            give: Called in the reader's thread with each news.
            tell: Says what an event means, in a sentence.
        """
        self._board = board
        self._give = give
        self._tell = tell
        self._decoder = Decoder()
        self._feed: Feed[Event] | None = None
        self._events: deque[Told] = deque(maxlen=_EVENTS_COUNT)
        self._text = b""
        self._news = News()
        self._given: News | None = None
        self._note_at_s = 0.0
        self._mail_due = True
        self._mail_at_s = 0.0
        self._jobs_due = True
        self._jobs_at_s = 0.0
        self._damaged: dict[str, dict[str, Any]] = {}
        self._jobs_damaged: dict[str, dict[str, Any]] = {}
        self._damage_at_s = 0.0
        self._is_stopping = False
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._waker, False)
        self._thread = threading.Thread(target=self._run, name="latchboard-top", daemon=True)
        self.reading_s = 0.0

    def fileno(self) -> int:
        """Readable when it is to look at once."""
        return self._woken

    def start(self) -> None:
        """Begin."""
        self._damage_at_s = self._now_s() + _DAMAGE_PAUSE_S_MIN  # whoever begins reads every record anyway
        self._thread.start()

    def wake(self) -> None:
        """Look now."""
        try:
            os.write(self._waker, b"!")
        except OSError:  # full: it is awake
            return

    def stop(self) -> None:
        """End, soon; a reading that hangs on the disk is left to end by itself."""
        if self._is_stopping:
            return
        self._is_stopping = True
        self.wake()
        if self._thread.ident is not None:
            self._thread.join(_STOP_S_MAX)
        if not self._thread.is_alive():
            os.close(self._woken)
            os.close(self._waker)

    # -- the thread ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._is_stopping:
            began_s = self._now_s()
            trouble = self._look()
            news = News()
            news.picture, news.threads = self._news.picture, self._news.threads
            news.jobs = self._news.jobs
            seen = {one["key"]: one for one in news.picture.damaged}
            news.damaged = list((seen | self._damaged | self._jobs_damaged).values())
            news.events = tuple(reversed(self._events))
            news.trouble = trouble
            news.note = (
                self._news.note if self._now_s() - self._note_at_s < _NOTE_S or not news.picture.revision else ""
            )
            self.reading_s = self._now_s() - began_s
            if not news.says_what(self._given):
                self._given = news
                self._give(news)
            self._rest(self.reading_s, has_trouble=bool(trouble))
        self._drop_feed()

    def _look(self) -> str:
        """Read what there is; why that cannot be done, or empty."""
        try:
            self._follow()
            text = self._board.board.text()
            if text != self._text:
                self._text = text
                self._take(self._decoder.picture(text))
            self._read_mail()
            self._read_jobs()
            self._look_for_damage()
        except CoordinationError as exc:
            self._drop_feed()
            return exc.message
        except Exception as exc:  # noqa: BLE001 - the picture goes on, and says what is wrong
            self._drop_feed()
            return f"a mistake in latchboard itself: {type(exc).__name__}: {exc}"
        return ""

    def _follow(self) -> None:
        """Take in the events since the last time."""
        if self._feed is None:
            self._begin()
        try:
            found = self._fresh()
        except Compacted:
            self._drop_feed()
            self._begin()
            found = self._fresh()
        self._events += [(event, self._tell(event)) for event in found]
        if any(event["event"].startswith("message.") for event in found):
            self._mail_due = True
        if any(event["event"].startswith("job.") for event in found):
            self._jobs_due = True

    def _begin(self) -> None:
        feed = self._feed = self._board.stream.events(timeout_s=0)
        lately = self._board.board.lately(_EVENTS_COUNT)
        self._events.clear()
        self._events += [(event, self._tell(event)) for event in lately if event["revision"] <= feed.revision]
        self._mail_due = self._jobs_due = True

    def _fresh(self) -> list[Event]:
        return list(islice(self._feed, _EVENTS_COUNT_MAX)) if self._feed is not None else []

    def _take(self, picture: Picture) -> None:
        was = self._news.picture.revision
        if picture.revision < was:
            self._note_at_s = self._now_s()
            if picture.revision:
                self._news.note = "The store was replaced by another one; this is what is in it."
            else:
                self._news.note = "The store was removed: nothing is known about who holds what."
        elif picture.revision and not was:
            self._news.note = ""  # it is there again
        self._news.picture = picture

    def _read_mail(self) -> None:
        now_s = self._now_s()
        if self._mail_due and now_s >= self._mail_at_s:
            self._news.threads = self._board.mailbox.conversations(limit=_THREADS_COUNT)["threads"]
            took_s = self._now_s() - now_s
            self._mail_due = False
            self._mail_at_s = now_s + max(_MAIL_PAUSE_S_MIN, _PAUSES * took_s)

    def _read_jobs(self) -> None:
        """After something happened to one of them; a lease that runs out is seen by the next reading."""
        now = self._board.clock.now()
        if not self._jobs_due or now.mono_s < self._jobs_at_s:
            return
        from latchboard.workqueue.columns import columns

        found: list[dict[str, Any]] = []
        try:
            look = self._board.queue.look()
            found = columns(look, now, cards_count=None)["columns"]
            self._jobs_damaged = _told(look.damaged)
        except MalformedRecord as exc:
            self._jobs_damaged = _told([exc])
        self._news.jobs = [job for column in found for job in column["jobs"]] or ()
        self._jobs_due = bool(self._jobs_damaged)  # what is mended is not always told as something about a job
        self._jobs_at_s = self._now_s() + max(_MAIL_PAUSE_S_MIN, _PAUSES * (self._now_s() - now.mono_s))

    def _look_for_damage(self) -> None:
        """Read every record, now and then."""
        began_s = self._now_s()
        if began_s < self._damage_at_s:
            return
        self._board.stream.events(timeout_s=0).close()  # as whoever begins now, who reads FORMAT as well
        damaged: list[MalformedRecord] = []
        snapshot = self._board.store.read(*_COLLECTIONS)
        for collection in _COLLECTIONS:
            snapshot.scan(collection, damaged=damaged)
        self._damaged = _told(damaged)
        now_s = self._now_s()
        self._damage_at_s = now_s + max(_DAMAGE_PAUSE_S_MIN, _DAMAGE_PAUSES * (now_s - began_s))

    def _rest(self, took_s: float, *, has_trouble: bool) -> None:
        """Until there may be something new."""
        clock = self._board.clock
        pause_s = _RETRY_S if has_trouble else min(_PAUSE_S_MAX, max(_PAUSE_S_MIN, _PAUSES * took_s))
        if not clock.wait([self], pause_s) and self._feed is not None:
            self._await(self._feed)
        try:
            os.read(self._woken, 4096)
        except BlockingIOError:
            return

    def _await(self, feed: Feed[Event]) -> None:
        """Until something was committed, or it is time to look at what ends by itself."""
        clock = self._board.clock
        if feed.mode == "notify":
            clock.wait([self, feed], _TICK_S)
            return
        until_s = self._now_s() + _TICK_S
        while not clock.wait([self], self._board.settings.watch_poll_s):
            if self._now_s() >= until_s or self._has_moved():
                return

    def _has_moved(self) -> bool:
        """Whether something was committed, where the system does not tell."""
        try:
            return self._board.store.read("wide").revision != self._news.picture.revision
        except CoordinationError:
            return True  # the next look says it

    def _drop_feed(self) -> None:
        feed, self._feed = self._feed, None
        if feed is not None:
            feed.close()

    def _now_s(self) -> float:
        return self._board.clock.now().mono_s


def _told(damaged: Iterable[MalformedRecord]) -> dict[str, dict[str, Any]]:
    """Records that cannot be read, by key."""
    found = [{name: str(exc.fields.get(name)) for name in ("key", "reason")} for exc in damaged]
    return {one["key"]: one for one in found}
