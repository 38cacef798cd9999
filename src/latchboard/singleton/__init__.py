"""Singleton: at most one process per agent type, in one project, on one machine; see `service`.

Protocol: protocol/singleton.md.
"""

from __future__ import annotations

from latchboard.singleton.registration import Registration
from latchboard.singleton.service import Singletons

__all__ = ["Registration", "Singletons"]
