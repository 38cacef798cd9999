"""Worker, the service: claims jobs of one role, runs the role's command for each, reports; until it is told to stop.

Law 1. It says what happened, once: a poll that finds nothing is silent.
Law 2. It waits for changes, with an interval for what changes cannot tell (a lease that ran out).
Law 3. Trouble of the store never ends it.

Guarantees that a job whose command ended was reported, or its claim had ended before. Does not guarantee that a command
runs once: its predecessor may have been cut off.

Protocol: protocol/worker.md.
"""

from __future__ import annotations

from latchboard.clock import parse_iso
from latchboard.errors import CoordinationError, HoldLost, NothingReady, StoreError, WipLimitReached
from latchboard.rules import worker as rules
from latchboard.rules import workqueue_lease as leases
from latchboard.worker.attempt import Attempt
from latchboard.worker.heartbeat import Heartbeat
from latchboard.worker.lookout import Lookout
from latchboard.worker.reporting import Reporting
from latchboard.worker.trouble import Trouble

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.rules.worker_role import Role
    from latchboard.store.port import Change
    from latchboard.worker.port import Ports
    from latchboard.workqueue import WorkQueue

INTERVAL_S = 5.0
_ACTIVE = "queue/active"
_LEFT = "its worker ended before it was finished"


class Worker:
    """One worker, in the thread that calls `run`.

    Attributes:
        state: One of `rules.worker.NEXT`.
        counts: How many attempts had which outcome.
        last: The last attempt: `{"job", "outcome"}`; None: there was none.
        refusal: Why nothing was claimed the last time, as JSON; None where something was.
    """

    def __init__(
        self, name: str, role: Role, root: str, *, queue: WorkQueue, ports: Ports, interval_s: float = INTERVAL_S
    ) -> None:
        """Nothing is done yet.

        Args:
            name: Its agent id; this process is registered under it.
            role: What it runs.
            root: The project's folder, absolute.
            queue: Where jobs come from.
            ports: The machine.
            interval_s: Longest time between two claims, seconds.
        """
        self.name = name
        self.state = "starting"
        self.counts: dict[str, int] = {}
        self.last: dict[str, str] | None = None
        self.refusal: dict[str, Any] | None = None
        self._role = role
        self._root = root
        self._queue = queue
        self._ports = ports
        self._interval_s = interval_s
        self._lookout = Lookout(queue.store, queue.settings)
        self._trouble = Trouble(ports.log)
        self._trouble_before = Trouble(ports.log)
        self._trouble_left = Trouble(ports.log)
        self._has_recovered = False
        self._reporting = Reporting(queue, ports, self._trouble)
        self._pause_until_s = 0.0

    def run(self, *, once: bool = False) -> None:
        """Work until a signal asks for an end, or with `once` for one pass: at most one job.

        Raises:
            CommandNotFound, CommandNotRunnable: The command cannot be started; the job was given back.
        """
        is_seated = True
        try:
            self._lookout.catch_up()
            if not self._ports.stop.count:  # else the command of the one before may be there yet
                self._recover()
            self._step("ready")
            self._ports.manager.tell("READY=1")
            self._ports.say_state("idle")
            while not self._ports.stop.count and (is_seated := self._is_seated()):
                worked = self._pass()
                if once:
                    break
                if not worked or self._ports.mono_s() < self._pause_until_s:
                    self._wait()
            why = self._ports.stop.why or ("" if is_seated else "displaced")
            if why:
                self._ports.log.say("worker.stopping", why=why)
            self._step("stop" if why else "pass")
        finally:
            self._ports.manager.tell("STOPPING=1")
            self._lookout.close()

    def _is_seated(self) -> bool:
        """Whether nobody else can have its name by now; where that cannot be seen, it goes on."""
        try:
            return self._ports.is_seated()
        except CoordinationError:
            return True

    def _step(self, event: str) -> None:
        self.state = rules.step(self.state, event)

    # -- what the one before left -------------------------------------------------------------------------------------

    def _recover(self) -> None:
        """End every claim of this name: its owner is gone, for at most one process has it."""
        trouble: CoordinationError | None = None
        try:
            value = self._queue.store.read(_ACTIVE).get(_ACTIVE) or {"claims": {}}
            claims = [] if leases.check_active(value) else [*value["claims"].values()]
        except CoordinationError as exc:
            claims, trouble = [], exc
        for lease in claims:
            if lease["owner"] == self.name:
                trouble = self._give_up(lease) or trouble
        self._has_recovered = trouble is None
        if trouble is not None:
            self._trouble_left.told(trouble)
        else:
            self._trouble_left.over()

    def _give_up(self, lease: Any) -> CoordinationError | None:
        """Fail one of them; what was in the way, if anything was."""
        try:
            self._queue.fail(lease["task_id"], lease["token"], error=_LEFT)
        except HoldLost:  # it ran out meanwhile
            return None
        except CoordinationError as exc:  # that of one job keeps nobody from the others
            return exc
        self._ports.log.say("worker.recovered", job=lease["task_id"], token=lease["token"])
        return None

    # -- claiming -----------------------------------------------------------------------------------------------------

    def _pass(self) -> bool:
        """Claim a job, and work on it; False: nothing was claimed."""
        if not self._has_recovered:
            self._recover()
        try:
            self._ports.before_claim()
            self._trouble_before.over()
        except CoordinationError as exc:  # what cannot be filled in does not keep us from what is there
            self._trouble_before.told(exc)
        try:
            claim = self._queue.claim(self._role.name, self.name, ttl_s=self._role.lease_ttl_s)
        except (NothingReady, WipLimitReached) as exc:
            self._trouble.over()
            self.refusal = exc.to_json()
            return False
        except CoordinationError as exc:
            self._trouble.told(exc)
            self.refusal = exc.to_json()
            return False
        self._trouble.over()
        self.refusal = None
        self._step("claim")
        self._work(claim["job"], claim["lease"])
        return True

    def _wait(self) -> None:
        """Until there may be something to claim."""
        until_s = self._next_s()
        while not self._ports.stop.count and (now_s := self._ports.mono_s()) < until_s:
            self._ports.wait(self._lookout.readables(), min(until_s, now_s + self._lookout.look_s()))
            if self._lookout.seen(self._wakes) and now_s >= self._pause_until_s:
                return

    def _wakes(self, change: Change) -> bool:
        return self.refusal is not None and rules.wakes(self.refusal, self._role.name, change.key, change.value)

    def _next_s(self) -> float:
        """When to claim again if nothing changes, monotonic seconds."""
        now = self._ports.clock.now()
        until_s = now.mono_s + self._interval_s
        ready_at = (self.refusal or {}).get("ready_at")
        if ready_at:
            until_s = min(until_s, now.mono_s + max(0.001, parse_iso(ready_at) - now.wall_s))
        return until_s  # no pause lasts longer: while there is one, nothing was refused

    # -- working ------------------------------------------------------------------------------------------------------

    def _work(self, job: Any, lease: Any) -> None:
        ports = self._ports
        ports.log.say("worker.claimed", job=job["id"], token=lease["token"], title=job["title"])
        ports.say_state(f"working on {job['id']}", job["files"])
        with Heartbeat(self._queue, lease, ports) as heartbeat:
            attempt = Attempt(
                job,
                lease,
                role=self._role,
                root=self._root,
                queue=self._queue,
                lookout=self._lookout,
                heartbeat=heartbeat,
                ports=ports,
            )
            outcome = self._try(attempt, job["id"], lease["token"])
        self.counts[outcome] = self.counts.get(outcome, 0) + 1
        self.last = {"job": job["id"], "outcome": outcome}
        self.state = attempt.state
        self._step("report")
        if outcome != "unknown":  # else the store cannot be used, and the worker has to end in its time
            ports.say_state("idle")
        if outcome in ("released", "lost", "unknown"):  # else the same job would be claimed again at once
            self._pause_until_s = ports.mono_s() + self._interval_s

    def _try(self, attempt: Attempt, job_id: str, token: int) -> str:
        try:
            end = attempt.run()
        except StoreError as exc:  # no process, no memory, no descriptor
            self._trouble.told(exc)
            return self._give_back(attempt, job_id, token, exc)
        except CoordinationError as exc:
            self._give_back(attempt, job_id, token, exc)
            raise
        if attempt.settled:
            self._ports.log.say("worker.settled", job=job_id, outcome=attempt.settled)
            return "settled"
        report = rules.report(end, self._role.exit_codes)
        return self._reporting.report(attempt, job_id, token, end, report) if report.event else "lost"

    def _give_back(self, attempt: Attempt, job_id: str, token: int, exc: CoordinationError) -> str:
        """The command did not start: nothing was tried, and nothing is pretended."""
        self._ports.log.say("worker.refused", job=job_id, why=exc.message)
        if attempt.state != "reporting":
            attempt.state = rules.step(attempt.state, "exit")
        end = rules.End(why="stop")
        return self._reporting.report(attempt, job_id, token, end, rules.Report("release"))
