"""Reporting: tells the queue what came of a command, until it is known that it was heard.

Law 1. A report is made again through any trouble of the store, and counts once: it shows the claim's token.
Law 2. A report that cannot be what was configured becomes one that a person sees: the job is dead, with the reason.

Protocol: protocol/worker.md, "Reports".
"""

from __future__ import annotations

from latchboard.errors import CoordinationError, HoldLost, NotReady, UsageError, WrongStatus
from latchboard.rules import worker as rules
from latchboard.worker.heartbeat import HOMELESS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.rules.worker import End, Report
    from latchboard.rules.workqueue import Job
    from latchboard.worker.attempt import Attempt
    from latchboard.worker.port import Ports
    from latchboard.worker.trouble import Trouble
    from latchboard.workqueue import WorkQueue

_WORDS = {"complete": "completed", "fail": "failed", "release": "released"}
_PAUSE_S, _PAUSE_S_MAX = 0.05, 5.0
_STOP_WAIT_S = 4.0
"""For a report that meets trouble while the worker is to end; the lease does the rest."""


class Reporting:
    """Reports of one worker."""

    __slots__ = ("_ports", "_queue", "_trouble")

    def __init__(self, queue: WorkQueue, ports: Ports, trouble: Trouble) -> None:
        self._queue = queue
        self._ports = ports
        self._trouble = trouble

    def report(self, attempt: Attempt, job_id: str, token: int, end: End, report: Report) -> str:
        """Make a report.

        Returns:
            `completed`, `failed`, `released`, `lost`; `settled` where the command had reported by itself; `unknown`
            where the worker has to end and the store cannot be used.
        """
        why, pause_s = "", _PAUSE_S
        give_up_s = float("inf")
        while True:
            if self._ports.stop.count:  # from before the try: one that waits for the store's guard takes its time
                give_up_s = min(give_up_s, self._ports.mono_s() + _STOP_WAIT_S)
            if not self._ports.is_home():
                self._ports.log.say("worker.lost", job=job_id, why=HOMELESS)
                return "lost"
            try:
                after = self._make(report, job_id, token, end, why)
            except NotReady as exc:  # it has sub-tasks: it comes back when they are done
                report, why = rules.Report("release"), exc.message
            except HoldLost as exc:
                return self._refused(attempt, job_id, exc)
            except (WrongStatus, UsageError) as exc:
                if report.is_final:
                    return self._lost(job_id, exc)
                report, why = rules.Report("fail", is_final=True), f"its end could not be reported: {exc.message}"
            except CoordinationError as exc:
                self._trouble.told(exc)
                if self._ports.mono_s() >= give_up_s:
                    return "unknown"
                self._ports.wait([], min(self._ports.mono_s() + pause_s, give_up_s))
                pause_s = min(2 * pause_s, _PAUSE_S_MAX)
            else:
                self._trouble.over()
                outcome = _WORDS[report.event]
                facts = {"duration_s": f"{end.duration_s:.3f}", "how": why or end.how}
                self._ports.log.say(f"worker.{outcome}", job=job_id, status=after["status"], **facts)
                return outcome

    def _make(self, report: Report, job_id: str, token: int, end: End, why: str) -> Job:
        if report.event == "complete":
            return self._queue.complete(job_id, token, result=rules.result(end), to=report.to)
        if report.event == "fail":
            error = f"{why}\n{rules.error(end)}" if why else rules.error(end)
            return self._queue.fail(job_id, token, error=error, is_final=report.is_final)
        return self._queue.release(job_id, token)

    def _refused(self, attempt: Attempt, job_id: str, exc: HoldLost) -> str:
        """The claim has ended: by the command itself, or by somebody else; an earlier try of ours would be heard."""
        self._trouble.over()
        outcome = attempt.outcome()
        if outcome not in rules.SETTLED:
            return self._lost(job_id, exc)
        self._ports.log.say("worker.settled", job=job_id, outcome=outcome)
        return "settled"

    def _lost(self, job_id: str, exc: CoordinationError) -> str:
        self._ports.log.say("worker.lost", job=job_id, why=exc.message)
        return "lost"
