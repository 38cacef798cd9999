"""Machine hold: a machine lock that is held; ends when it is given back, or at its ceiling.

Protocol: protocol/machine_lock.md, "The hold ceiling" and "What a holder must do".
"""

from __future__ import annotations

from threading import RLock

from latchboard.errors import CoordinationError, HoldCeilingReached, HoldLost, LockFileGone
from latchboard.rules import machine_lock as rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import TypeVar

    from latchboard.clock import Clock
    from latchboard.machine_lock.ceiling import Ceiling
    from latchboard.machine_lock.claim import Claim
    from latchboard.machine_lock.record import LockRecord

    T = TypeVar("T")


class MachineHold:
    """A machine lock in hand. May be used by several threads.

    Attributes:
        path: The lock file.
        record: What stands in it while this hold lasts.
        adopted: What a holder that ended without giving back had left there; None: nothing.
        waited_s: How long it took to get it, seconds.
        max_hold_s: The ceiling, seconds from the beginning.
    """

    __slots__ = (
        "_began_s",
        "_ceiling",
        "_claim",
        "_clock",
        "_ended",
        "_using",
        "adopted",
        "max_hold_s",
        "path",
        "record",
        "waited_s",
    )

    def __init__(
        self,
        claim: Claim,
        record: LockRecord,
        *,
        adopted: LockRecord | None,
        waited_s: float,
        max_hold_s: float,
        clock: Clock,
        ceiling: Ceiling,
    ) -> None:
        self.path = claim.path
        self.record = record
        self.adopted = adopted
        self.waited_s = waited_s
        self.max_hold_s = max_hold_s
        self._claim = claim
        self._clock = clock
        self._ceiling = ceiling
        self._began_s = clock.now().mono_s
        self._ended = ""  # "released", or "freed" at the ceiling
        self._using = RLock()  # held while the lock must not be freed: checks, protected actions, giving back

    def __repr__(self) -> str:
        return f"MachineHold({self.path!r}, {self._ended or 'held'})"

    @property
    def held_s(self) -> float:
        """Seconds since it began."""
        return self._clock.now().mono_s - self._began_s

    @property
    def remaining_s(self) -> float:
        """Seconds until the ceiling; never below zero."""
        return max(0.0, self.max_hold_s - self.held_s)

    @property
    def has_ended(self) -> bool:
        """Whether it was given back, or freed at its ceiling, or belongs to the process that this one is a fork of."""
        return bool(self._ended) or self._claim.is_forked

    @property
    def is_released(self) -> bool:
        """Whether it was given back by its holder."""
        return self._ended == "released"

    @property
    def spare_s(self) -> float:
        """Seconds until the kernel lock is freed, whatever its holder does; below zero: it is late."""
        return self.max_hold_s + rules.FREE_AFTER_S - self.held_s

    def check(self) -> None:
        """Return if the lock is held and keeps everybody else out.

        Raises:
            HoldCeilingReached: It was held for too long. Retryable.
            LockFileGone: The lock file was deleted or replaced, so that somebody else may have it. Retryable.
            HoldLost: It was given back, or belongs to the process that this one was forked from.
            StoreError: The lock file cannot be looked at.
        """
        self._check(("within",))

    def _check(self, phases: tuple[str, ...]) -> None:
        if self._claim.is_forked:  # before `_using`, which another thread may have had when the process was forked
            raise HoldLost(f"{self.path} is held by the process that this one was forked from", path=self.path)
        with self._using:
            if self._ended == "released":
                raise HoldLost(f"{self.path} was given back before", hint="take it again", path=self.path)
            if self._ended or rules.phase(self.held_s, self.max_hold_s) not in phases:
                raise self.over()
            if not self._claim.is_exclusive():
                raise LockFileGone(
                    f"the file of the machine lock {self.path} was deleted or replaced while it was held",
                    hint="somebody else may have the lock: what was not finished must be done again",
                    path=self.path,
                )

    def is_live(self) -> bool:
        """Whether `check` would return."""
        try:
            self.check()
        except CoordinationError:
            return False
        return True

    def protect(self, action: Callable[[], T], *, in_grace: bool = False) -> T:
        """Do the one thing that only a holder may do, such as replacing a file.

        The kernel lock is not freed while `action` runs, not even by the ceiling: keep it short.

        Args:
            action: What to do.
            in_grace: Also in the half second after the ceiling: for a body that is being cut off and has something in
                hand that must not be lost.

        Returns:
            What `action` returns.

        Raises:
            HoldLost: As `check`; `action` was not called.
            StoreError: As `check`; `action` was not called.
        """
        phases = ("within", "over") if in_grace else ("within",)
        if self._claim.is_forked:
            self._check(phases)
        with self._using:
            self._check(phases)
            return action()

    def release(self) -> bool:
        """Clear the record and free the lock. False: it had ended before, and nothing was changed.

        Raises:
            StoreError: The record could not be cleared; the lock is free nevertheless.
        """
        return self._end("released")

    def free_if_spent(self) -> bool:
        """Free the lock if its ceiling is long enough over; for the watch over ceilings.

        Returns:
            Whether it has ended. False when there is time left, or something is being done that needs the lock.
        """
        if self._claim.is_forked:
            return True
        if (self.spare_s > 0 and not self._ended) or not self._using.acquire(blocking=False):
            return False
        try:
            self._end("freed")
            self._claim.close()  # it may have been given back, and an interrupt have come before the files were closed
        finally:
            self._using.release()
        return True

    def _end(self, how: str) -> bool:
        if self.has_ended:  # in a forked child the record is not ours to clear, and `_using` may never be free
            return False
        with self._using:
            if self._ended:
                return False
            self._ended = how
            try:
                self._claim.write(b"")
            finally:
                self._claim.close()
        if how == "released":
            self._ceiling.forget(self)
        return True

    def over(self) -> HoldCeilingReached:
        """The error that says that it was held for too long."""
        held_s = round(self.held_s, 3)
        return HoldCeilingReached(
            f"the machine lock {self.path} may be held for {self.max_hold_s:g} s, and this hold is at {held_s:g} s",
            hint="what was not finished was not done: do it again in less time, or raise max_hold_s",
            path=self.path,
            max_hold_s=self.max_hold_s,
            held_s=held_s,
        )

    def close(self, exc: BaseException | None) -> None:
        """End of a block: give back; and say so when the block did not have the lock to its end.

        Args:
            exc: What the block raised; it goes on, with a note.

        Raises:
            HoldLost: The block went to its end without an error of its own, but not under the lock.
            StoreError: The lock file cannot be looked at.
        """
        if self._claim.is_forked or self._ended == "released":
            return
        trouble: CoordinationError | None = None
        try:
            self.check()
        except CoordinationError as found:
            trouble = found
        try:
            self.release()
        except CoordinationError as found:
            trouble = trouble or found
        if trouble is None:
            return
        if exc is None:
            raise trouble
        exc.add_note(str(trouble))

    def __enter__(self) -> MachineHold:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close(exc)
