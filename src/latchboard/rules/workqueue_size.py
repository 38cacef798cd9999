"""Sizes of the queue's records: what could outgrow one is refused before anybody works on it; pure.

Law. Whoever works can go on and end, whatever was submitted: no renewal, completion, failure, release or expiry makes a
record longer than it may be.

Protocol: protocol/workqueue.md, "Sizes".
"""

from __future__ import annotations

from latchboard.codec import encode
from latchboard.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.rules.workqueue import Attempt, Job, Lease

NAMES_BYTES_MAX = 64 * 1024
"""Of all files of a job together: a claim writes them into the record of all claims, and its place in line into one."""
ERROR_CHARS_MAX = 4000
OLD_ERROR_CHARS_MAX = 500
ERRORS_WHOLE_COUNT = 5
ATTEMPTS_KEPT_COUNT = 20
"""The newest attempts are kept, and of the error of all but the newest 5 of them the last 500 characters: with what
`check_own` leaves, a job has room for every attempt, its result and its reason, whatever they are."""
SHEETS_COUNT_MAX = 3000
"""Of a line that takes new jobs: its index has half a mebibyte then, and as much is left for those that come back."""
ROOM = 7 / 8
"""So much of the record of claims may be full of claims: the rest is for heartbeats whose numbers grow."""


def size(value: Any) -> int:
    """The bytes of some JSON in a record. Raises UsageError: it cannot be written."""
    try:
        return len(encode({"": value}).encode())
    except (ValueError, TypeError, RecursionError) as exc:
        raise UsageError(f"it cannot be written as JSON: {exc}") from exc


def check_names(names: list[str]) -> list[str]:
    """The names of a job's files, if they fit. Raises UsageError."""
    count = size(names)
    if count > NAMES_BYTES_MAX:
        raise UsageError(
            f"the names of the {len(names)} files of one job have {count} bytes; at most {NAMES_BYTES_MAX}",
            hint="name their folder, or a glob",
        )
    return names


def check_own(job: Job, bytes_max: int) -> None:
    """Refuse a job that would leave too little room in its record for what attempts add to it.

    Args:
        job: As it would be submitted, or as it would be with those who wait for it, and for whom it waits.
        bytes_max: Of a record.

    Raises:
        UsageError: It has more than half of that by itself.
    """
    count = size({name: value for name, value in job.items() if name not in ("attempts", "result")})
    if count > bytes_max // 2:
        raise UsageError(
            f"{job['id']} would have {count} bytes, with {len(job['dependents'])} jobs that wait for it and "
            f"{len(job['waits_for'])} that it waits for; at most {bytes_max // 2}",
            hint="put a job between them: others wait for that one, and it for this one",
            job=job["id"],
        )


def has_room(claims_bytes: int, lease: Lease, bytes_max: int) -> bool:
    """Whether one more claim can be recorded.

    Args:
        claims_bytes: The record of claims as it is.
        lease: Of the claim.
        bytes_max: Of a record.
    """
    return claims_bytes + size({lease["task_id"]: lease}) <= bytes_max * ROOM


def kept(attempts: list[Attempt]) -> list[Attempt]:
    """What is kept of these attempts, the newest of which has just ended."""
    newest = attempts[-ATTEMPTS_KEPT_COUNT:]
    old = [_with_end_of_error(one) for one in newest[:-ERRORS_WHOLE_COUNT]]
    return [*old, *newest[-ERRORS_WHOLE_COUNT:]]


def _with_end_of_error(attempt: Attempt) -> Attempt:
    """An attempt that newer ones have followed, of whose error less is kept."""
    if len(attempt.get("error", "")) <= OLD_ERROR_CHARS_MAX:
        return attempt
    return {**attempt, "error": end_of(attempt["error"], OLD_ERROR_CHARS_MAX)}


def end_of(text: str, chars_max: int) -> str:
    """The end of a long text, with a mark in front."""
    return text if len(text) <= chars_max else f"...{text[3 - chars_max :]}"
