"""Processes of the tests in this folder come from the nursery of tests/process."""

from __future__ import annotations

from tests.process.conftest import _nursery, nursery

__all__ = ["_nursery", "nursery"]
