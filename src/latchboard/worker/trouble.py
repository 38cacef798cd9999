"""Trouble: that the store cannot be used is told when it begins, when it becomes another, and when it is over."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.errors import CoordinationError
    from latchboard.worker.port import Log


class Trouble:
    """What is wrong at the moment, if anything is."""

    __slots__ = ("_code", "_log")

    def __init__(self, log: Log) -> None:
        self._log = log
        self._code = ""

    def told(self, exc: CoordinationError) -> None:
        """It has met this."""
        if exc.code != self._code:
            self._log.say("worker.troubled", code=exc.code, why=exc.message)
        self._code = exc.code

    def over(self) -> None:
        """It got through."""
        if self._code:
            self._log.say("worker.well", why=self._code)
        self._code = ""
