"""Interrupts at every place where Python looks for signals: functions begin, C code returns (failures 3.16)."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from itertools import count
from typing import Any


class Interrupted(Exception):
    """As a signal handler raises it."""


def is_interrupted_at(number: int, action: Callable[[], object]) -> bool:
    """Run `action` and raise at the place of that number; whether there is one. Nothing keeps the exception.

    Nothing is collected meanwhile: a collection may come at any place, and what is raised in the finalizers that it
    runs, of whatever a test before has left, is swallowed, so that the action would go on uninterrupted.
    """
    places = count()
    raised = []

    def profile(_frame: object, event: str, _argument: Any) -> None:
        if event in ("call", "c_return") and next(places) == number:
            raised.append(event)
            raise Interrupted

    is_collecting = gc.isenabled()
    gc.disable()
    sys.setprofile(profile)
    try:
        action()
    except Interrupted:
        pass
    finally:
        sys.setprofile(None)
        if is_collecting:
            gc.enable()
    return bool(raised)
