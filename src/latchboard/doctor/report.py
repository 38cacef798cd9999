"""Report: how everything stands, in seven sections, and what mends it; assembled under one deadline.

Law 1. A check that hangs, on a dead network mount say, costs its own line and nothing else: it is told as unfinished.
Law 2. A check that breaks costs its own line, too; the rest of the report stays, and says that it is a part.
Law 3. What an unexpected error says is not repeated: it may have a secret in it.

Protocol: protocol/health.md, "Doctor".
"""

from __future__ import annotations

import errno
import threading
from time import monotonic

from latchboard.doctor.check import Check, Seen, Standing
from latchboard.errors import CoordinationError, StoreError
from latchboard.rules.finding import SECTIONS, SEVERITIES, Finding, command, exit_status, ordered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

SCHEMA_VERSION = 1
DEADLINE_S = 2.5
"""A report is there within 3 s, the start of a program counted in."""
_RESERVE_S = 0.1
"""A check that can stop by itself has so much to say what it has seen."""


class DoctorReport:
    """How everything stands.

    Attributes:
        root: The project's folder.
        at: When, ISO 8601 UTC.
        standings: Every check, in the order of sections.
        findings: What is wrong, the gravest first.
        took_s: Seconds.
        traces: Of checks that broke: for whoever mends the doctor; never printed unasked.
    """

    __slots__ = ("at", "findings", "root", "standings", "took_s", "traces")

    def __init__(
        self, root: str, at: str, standings: Iterable[Standing], findings: Iterable[Finding], *, took_s: float
    ) -> None:
        self.root = root
        self.at = at
        self.standings = sorted(standings, key=lambda one: SECTIONS.index(one.section))
        self.findings = ordered(findings)
        self.took_s = took_s
        self.traces: list[BaseException] = []

    @property
    def is_broken(self) -> bool:
        """Whether a check broke: the report is a part."""
        return any(one.state == "failed" for one in self.standings)

    @property
    def exit_status(self) -> int:
        """0; 1: something is critical; 2: the report is a part, for the doctor itself made a mistake."""
        return exit_status(self.findings, is_broken=self.is_broken)

    def has(self, finding_id: str) -> bool:
        """Whether there is such a finding."""
        return any(one.id == finding_id for one in self.findings)

    def to_json(self) -> dict[str, Any]:
        """As `protocol/schema/doctor.json` has it."""
        return {
            "schema_version": SCHEMA_VERSION,
            "root": self.root,
            "at": self.at,
            "took_ms": round(self.took_s * 1000, 1),
            "exit_status": self.exit_status,
            "is_whole": all(one.state == "done" for one in self.standings),
            "counts": {word: sum(one.severity == word for one in self.findings) for word in SEVERITIES},
            **{
                section: {"checks": [one.to_json() for one in self.standings if one.section == section]}
                for section in SECTIONS
            },
            "findings": [one.to_json() for one in self.findings],
        }


class _Run:
    """One check in a thread of its own."""

    def __init__(self, check: Check, stop_at_s: float) -> None:
        self.check = check
        self.seen: Seen | None = None
        self.error: BaseException | None = None
        self.took_s: float | None = None
        self._stop_at_s = stop_at_s
        self.thread = threading.Thread(target=self._run, name=f"doctor-{check.name}", daemon=True)

    def start(self) -> None:
        """In its thread; where this user may have no more of them, that is why it could not be looked at."""
        try:
            self.thread.start()
        except RuntimeError:
            self.error, self.took_s = OSError(errno.EAGAIN, "no thread is left for it"), 0.0

    def wait(self, until_s: float) -> None:
        """Until it is done, or the moment on the monotonic clock is there."""
        if self.took_s is None:
            self.thread.join(max(0.0, until_s - monotonic()))

    def _run(self) -> None:
        began_s = monotonic()
        try:
            self.seen = self.check.look(self._stop_at_s)
        except Exception as exc:  # noqa: BLE001 - whatever breaks here must not take the report with it
            self.error = exc
        self.took_s = monotonic() - began_s


def assemble(root: str, at: str, checks: Iterable[Check], *, deadline_s: float = DEADLINE_S) -> DoctorReport:
    """Look at everything at once.

    Args:
        root: The project's folder.
        at: When, for people.
        checks: What to look at.
        deadline_s: For all of them together, seconds.

    Returns:
        The report. Never raises for anything that a check does.
    """
    began_s = monotonic()
    until_s = began_s + deadline_s
    runs = [_Run(check, until_s - min(_RESERVE_S, deadline_s / 10)) for check in checks]
    for run in runs:
        run.start()
    for run in runs:
        run.wait(until_s)
    told = [_told(run, root, deadline_s) for run in runs]
    report = DoctorReport(
        root,
        at,
        [standing for standing, _ in told],
        [one for _, findings in told for one in findings],
        took_s=monotonic() - began_s,
    )
    report.traces = [run.error for run in runs if run.error is not None]
    return report


def begin(
    root: str, at: str, prepare: Callable[[], list[Check]], *, deadline_s: float = DEADLINE_S
) -> tuple[DoctorReport | None, list[Check], float]:
    """What must be read before anything can be looked at: settings, for one. It may hang like everything else.

    Args:
        root: The project's folder, as far as it is known.
        at: When, for people.
        prepare: Makes the checks.
        deadline_s: For the whole report, seconds.

    Returns:
        A report that says that it hangs, or broke, if it does; else None, the checks, and how long is left.

    Raises:
        CoordinationError: As `prepare`: there is nothing to look at.
    """
    made: list[Check] = []
    began_s = monotonic()

    def look(_: float) -> Seen:
        made.extend(prepare())
        return Seen("found")

    run = _Run(Check("identity", "project", look), began_s + deadline_s)
    run.start()
    run.wait(began_s + deadline_s)
    if isinstance(run.error, CoordinationError):
        raise run.error
    took_s = monotonic() - began_s
    if run.took_s is not None and run.seen is not None:
        return None, made, max(deadline_s - took_s, 0.1)
    standing, findings = _told(run, root, deadline_s)
    report = DoctorReport(root, at, [standing], findings, took_s=took_s)
    report.traces = [run.error] if run.error is not None else []
    return report, [], 0.0


def _told(run: _Run, root: str, deadline_s: float) -> tuple[Standing, list[Finding]]:
    """A check's line in the report, and its findings."""
    check, took_s = run.check, run.took_s
    if took_s is None:
        text = f"not seen within {deadline_s:g} s"
        return Standing(check, "unfinished", text), [_unseen(check, text, "timeout", "5", "stat", "-f", root)]
    if run.seen is not None:
        return Standing(check, "done", run.seen.text, run.seen.facts, took_s=took_s), run.seen.findings
    if isinstance(run.error, CoordinationError | OSError):
        text = f"it could not be looked at: {_reason(run.error)}"
        return Standing(check, "unfinished", text, took_s=took_s), [
            _unseen(check, text, "latchboard", "status", "--root", root)
        ]
    text = f"a mistake in the doctor itself: {type(run.error).__name__}"
    return Standing(check, "failed", text, took_s=took_s), []


def _reason(error: BaseException) -> str:
    """What is told of a refusal: what the system said; of anything else its code, for its words may be a file's."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    if isinstance(error, StoreError):
        return error.message
    return getattr(error, "code", type(error).__name__)


def _unseen(check: Check, text: str, *remedy: str) -> Finding:
    return Finding("F-100", f"{check.name}: {text}", command(*remedy), section=check.section, check=check.name)
