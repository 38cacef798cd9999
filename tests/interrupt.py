"""Interrupts at every place where Python looks for signals: functions begin, C code returns (failures 3.16)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import count
from typing import Any


class Interrupted(Exception):
    """As a signal handler raises it."""


def is_interrupted_at(number: int, action: Callable[[], object]) -> bool:
    """Run `action` and raise at the place of that number; whether there is one. Nothing keeps the exception."""
    places = count()
    raised = []

    def profile(_frame: object, event: str, _argument: Any) -> None:
        if event in ("call", "c_return") and next(places) == number:
            raised.append(event)
            raise Interrupted

    sys.setprofile(profile)
    try:
        action()
    except Interrupted:
        pass
    finally:
        sys.setprofile(None)
    return bool(raised)
