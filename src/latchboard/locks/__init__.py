"""Locks: exclusive and shared leases on files, folders and globs, with waiters, tokens and handoff.

Protocol: protocol/lock.md.
"""

from __future__ import annotations

from latchboard.locks.hold import Hold, Refusal
from latchboard.locks.service import Locks

__all__ = ["Hold", "Locks", "Refusal"]
