"""Cleanup: removes what is over (see service.py)."""

from __future__ import annotations

from latchboard.cleanup.service import BATCH_COUNT, WHO, Cleanup, Report

__all__ = ["BATCH_COUNT", "WHO", "Cleanup", "Report"]
