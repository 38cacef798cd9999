"""Doctor: what the figures of a machine and the state of a daemon are worth; pure.

Protocol: protocol/health.md, "Doctor" and "Findings".
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    from latchboard.rules.serving import Health, State

    Word = Literal["unreadable", "no-record", "ended", "other-answers", "unknowable", "silent", "version", "pid"]

LITTLE_BYTES = 256 * 1024 * 1024
"""Some 30 journals: days of work."""
NONE_BYTES = 16 * 1024 * 1024
"""Two journals: a rotation still goes through, the next may not."""
LITTLE_FILES_COUNT = 10_000
NONE_FILES_COUNT = 200
CLOCK_BACK_S = 2.0
"""So much is a step that a machine makes to keep time."""
WALL_S_MIN = 1_735_689_600.0
"""2025-01-01: before the first release of this program."""
STUCK_S = 60.0
"""A machine lock is held for 10 s at the most."""


def space(free: int, total: int, *, little: int, none: int) -> str:
    """The finding about what is left of something: F-109, F-110, or "" for enough; a total of 0 knows no limit."""
    if total <= 0 or free >= min(little, total // 10 or 1):
        return ""
    return "F-110" if free < none else "F-109"


def clock_is_wrong(wall_s: float, last_commit_s: float | None) -> str:
    """Why the wall clock cannot be right: `early` (before this program was made), `back` (behind the last commit)."""
    if wall_s < WALL_S_MIN:
        return "early"
    if last_commit_s is not None and last_commit_s - wall_s > CLOCK_BACK_S:
        return "back"
    return ""


def is_too_open(mode: int, *, is_shared: bool) -> bool:
    """Whether others than its users may change what is in a folder, or read it: its permission bits tell."""
    return bool(mode & (0o007 if is_shared else 0o077))


def is_other_host(written: str, here: str) -> bool:
    """Whether a record names another machine; one that names none proves nothing."""
    return bool(written) and bool(here) and written != here


def daemon(
    state: State | None,
    answer: Health | None,
    standing: str,
    *,
    has_record: bool,
    registered_pid: int | None,
    own_version: str,
) -> list[tuple[str, Word]]:
    """The findings about the recorded daemon, each with a word for why.

    Args:
        state: What the record says; None: nothing that can be read.
        answer: What the recorded port answers; None: no daemon does.
        standing: Of the recorded process: `running` (provably this project's daemon), `stale`, `unknowable`.
        has_record: There is a record at all.
        registered_pid: The process that is proven to have the daemon's place; None: none.
        own_version: Of this program.
    """
    if not has_record:
        return [("F-006", "no-record")] if registered_pid is not None else []
    if state is None:
        return [("F-006", "unreadable")]
    if standing == "stale":
        return [("F-005", "ended")] if answer is None else [("F-006", "other-answers")]
    if answer is None:
        return [("F-006", "silent" if standing == "running" else "unknowable")]
    found: list[tuple[str, Word]] = []
    if answer.version != own_version:
        found.append(("F-004", "version"))
    if answer.version != state.version:
        found.append(("F-006", "version"))
    if answer.pid not in (None, state.pid) or registered_pid not in (None, state.pid):
        found.append(("F-006", "pid"))
    return found
