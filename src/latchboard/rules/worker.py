"""Worker: its states, what wakes it, and what is reported about a command that ended; pure.

Law 1. An event that the table does not have in a state is a mistake of ours, and changes nothing.
Law 2. A report follows from how the command ended and from the role's configuration alone.
Law 3. Nothing is reported about a job whose claim was lost.

Protocol: protocol/worker.md.
"""

from __future__ import annotations

from latchboard.codec import encode
from latchboard.rules import singleton
from latchboard.rules import workqueue as rules
from latchboard.rules.workqueue_job import DATA_BYTES_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Literal, TypeAlias

    from latchboard.rules.workqueue import Job, Lease

    Why: TypeAlias = Literal["", "timeout", "lost", "stop"]

NEXT: dict[str, dict[str, str]] = {
    "starting": {"ready": "idle", "refuse": "ended"},
    "idle": {"claim": "working", "stop": "ended", "pass": "ended"},
    "working": {
        "exit": "reporting",
        "timeout": "ending",
        "lose": "ending",
        "stop": "ending",
        "settle": "settling",
    },
    "settling": {"exit": "reporting", "timeout": "ending", "stop": "ending"},
    "ending": {"exit": "reporting"},
    "reporting": {"report": "idle"},
    "ended": {},
}
"""State -> event -> the state that follows."""

NUMBER_MAX = 1000
ERROR_OUTPUT_CHARS_MAX = 3000
JOB_IN_ENVIRONMENT_BYTES_MAX = 64 * 1024
"""One variable may have 128 KiB on Linux, and all of them share what a program's arguments may take."""
SETTLED = ("completed", "failed", "released")
"""Outcomes of an attempt that its owner brings about; all others are somebody else's doing."""
NOT_INHERITED = (
    "AGENT_ID",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
)
"""What the environment of a worker says about that worker, and not about its command."""
_RESULT_BYTES_MAX = DATA_BYTES_MAX - 64


def step(state: str, event: str) -> str:
    """The state after an event."""
    after = NEXT[state].get(event)
    if after is None:
        raise AssertionError(f"a worker that is {state} cannot {event}")
    return after


# -- names ------------------------------------------------------------------------------------------------------------


def name(role: str, number: int) -> str:
    """What a worker is called: its agent type in the registry, and the owner of its claims."""
    return f"{singleton.WORKER}{role}.{number}"


def parse_name(agent_type: str) -> tuple[str, int] | None:
    """Role and number of a worker's name; None: it is no worker's."""
    role, dot, digits = agent_type.removeprefix(singleton.WORKER).rpartition(".")
    if not agent_type.startswith(singleton.WORKER) or not dot or not rules.is_role(role):
        return None
    is_number = digits.isascii() and digits.isdecimal() and len(digits) <= 4 and digits[0] != "0"
    return (role, int(digits)) if is_number and int(digits) <= NUMBER_MAX else None


# -- waking -----------------------------------------------------------------------------------------------------------


def wakes(refusal: Mapping[str, Any], role: str, key: str, value: Mapping[str, Any] | None) -> bool:
    """Whether a change of a record is a reason to claim again before the interval is over.

    Args:
        refusal: Why nothing was claimed: the error as JSON, with `code` and its fields.
        role: The worker's.
        key: Which record changed.
        value: What it is now; None: deleted.
    """
    if refusal["code"] == "wip-limit-reached":
        return key == "queue/limits" or (key == "queue/active" and _has_room(refusal, value))
    if value is None:
        return False
    if key.startswith("waiters/"):
        return value.get("is_next") is True and value.get("job") in refusal.get("held", ())
    return "places" in value and key.startswith((f"queue/ready.{role}.", "queue/later.", "queue/paused."))


def _has_room(refusal: Mapping[str, Any], active: Mapping[str, Any] | None) -> bool:
    claims = (active or {}).get("claims", {})
    if not isinstance(claims, dict) or not all(isinstance(one, dict) for one in claims.values()):
        return True  # damaged: whoever claims is told
    counted = [one for one in claims.values() if refusal["role"] in (None, one.get("role"))]
    return len(counted) < int(refusal["limit"])


# -- running ----------------------------------------------------------------------------------------------------------


def environment(
    job: Job, lease: Lease, root: str, inherited: Mapping[str, str], added: Mapping[str, str]
) -> dict[str, str]:
    """What the command of a job finds in its environment."""
    found = {one: value for one, value in inherited.items() if one not in NOT_INHERITED}
    found |= {
        "AGENT_ID": lease["owner"],
        "LATCHBOARD_ROOT": root,
        "LATCHBOARD_ROLE": lease["role"],
        "LATCHBOARD_JOB_ID": job["id"],
        "LATCHBOARD_TOKEN": str(lease["token"]),
    }
    text = encode(job)
    found.pop("LATCHBOARD_JOB", None)
    if len(text.encode()) <= JOB_IN_ENVIRONMENT_BYTES_MAX:
        found["LATCHBOARD_JOB"] = text
    return found | dict(added)


def outcome(job: Mapping[str, Any], token: int) -> str:
    """What became of a claim: "" while it lasts, `unknown` where the job says nothing about it any more."""
    if job.get("token") == token:
        return ""
    past = [str(one["outcome"]) for one in job["attempts"] if one["token"] == token]
    return past[-1] if past else "unknown"


class End:
    """How a command ended.

    Attributes:
        exit_code: Its exit status; None: it has none.
        signal: Of which it died; None: of none.
        why: Why the worker ended it; "" where it did not.
        duration_s: How long it ran, seconds.
        timeout_s: How long it was allowed to, seconds.
        output: The end of what it wrote.
        output_bytes: How many bytes it wrote.
    """

    __slots__ = ("duration_s", "exit_code", "output", "output_bytes", "signal", "timeout_s", "why")

    def __init__(
        self,
        *,
        exit_code: int | None = None,
        signal: int | None = None,
        why: Why = "",
        duration_s: float = 0.0,
        timeout_s: float = 0.0,
        output: bytes = b"",
        output_bytes: int = 0,
    ) -> None:
        self.exit_code = exit_code
        self.signal = signal
        self.why = why
        self.duration_s = duration_s
        self.timeout_s = timeout_s
        self.output = output
        self.output_bytes = output_bytes

    @property
    def text(self) -> str:
        """The end of its output, for people: what is no UTF-8 is U+FFFD, and a character that was cut is left out."""
        data = self.output
        if self.output_bytes > len(data):
            cut = next((n for n in range(min(4, len(data))) if data[n] & 0xC0 != 0x80), 0)
            data = data[cut:]
        return data.decode("utf-8", "replace")

    @property
    def how(self) -> str:
        """In words."""
        if self.why == "timeout":
            return f"ran too long, for more than {self.timeout_s:g} s, and was ended"
        if self.signal is not None:
            return f"died of signal {self.signal}"
        return f"exit status {self.exit_code}" if self.exit_code is not None else "was ended with its keeper"


class Report:
    """What is to be told the queue.

    Attributes:
        event: `complete`, `fail`, `release`; "" for nothing.
        to: The status that a completed job shall have; None: the usual one.
        is_final: A failed job need not be tried again.
    """

    __slots__ = ("event", "is_final", "to")

    def __init__(self, event: str, *, to: str | None = None, is_final: bool = False) -> None:
        self.event = event
        self.to = to
        self.is_final = is_final

    def to_json(self) -> dict[str, Any]:
        """For vectors."""
        return {"event": self.event, "to": self.to, "is_final": self.is_final}


_SAID = {
    "complete": Report("complete"),
    "fail": Report("fail"),
    "dead": Report("fail", is_final=True),
    "release": Report("release"),
}
SAYABLE = (*_SAID, *dict.fromkeys(to for events in rules.NEXT.values() for to in events.get("complete", ())))
"""What an exit status may mean."""


def report(end: End, exit_codes: Mapping[int, str]) -> Report:
    """What is to be reported about a command that ended so."""
    if end.why in ("lost", "stop"):
        return Report("release" if end.why == "stop" else "")
    if end.why == "timeout" or end.exit_code is None:
        return _SAID["fail"]
    said = exit_codes.get(end.exit_code, "fail" if end.exit_code else "complete")
    return _SAID.get(said) or Report("complete", to=said)


def result(end: End) -> dict[str, Any]:
    """What is kept of a completed job, at most 64 KiB."""
    text, is_cut = end.text, end.output_bytes > len(end.output)
    while len(encode(text).encode()) > _RESULT_BYTES_MAX - 256:
        text, is_cut = text[len(text) // 4 + 1 :], True
    return {
        "exit_code": end.exit_code,
        "signal": end.signal,
        "duration_s": round(end.duration_s, 3),
        "output": text,
        "output_bytes": end.output_bytes,
        "is_cut": is_cut,
    }


def error(end: End) -> str:
    """What is kept of a failed attempt."""
    text = end.text[-ERROR_OUTPUT_CHARS_MAX:].strip()
    return f"{end.how} after {end.duration_s:.1f} s" + (f"\n{text}" if text else "")
