"""Trouble: system errors on their way out of the store."""

from __future__ import annotations

from latchboard.errors import UnsafeFolder, from_os_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def raise_typed(exc: OSError, what: str, path: str) -> NoReturn:
    """Raise the typed error for a system error.

    One without a number came from no system call but from somebody's signal handler (`TimeoutError()` is an OSError):
    it goes on as it is.
    """
    if exc.errno is None:
        raise exc
    raise from_os_error(exc, what, path) from exc


def unsafe(path: str, reason: str) -> UnsafeFolder:
    """The error for something that stands where a part of the store belongs."""
    return UnsafeFolder(f"{path}: {reason}", hint="find out who put it there, and remove it", path=path)
