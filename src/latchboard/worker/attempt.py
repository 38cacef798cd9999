"""Attempt: one command for one job, from its start to the end of its process group; the claim is kept meanwhile.

Law 1. A command is ended for the first reason that comes: its time is over, the claim is lost, the worker is to stop.
Law 2. It returns when the group is gone, whatever became of the claim.

Protocol: protocol/worker.md, "Running".
"""

from __future__ import annotations

from latchboard.codec import encode
from latchboard.errors import CoordinationError
from latchboard.rules import worker as rules
from latchboard.worker.heartbeat import HOMELESS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.clock import HasFileno
    from latchboard.rules.worker import Why
    from latchboard.rules.worker_role import Role
    from latchboard.rules.workqueue import Job, Lease
    from latchboard.store.port import Change
    from latchboard.worker.heartbeat import Heartbeat
    from latchboard.worker.lookout import Lookout
    from latchboard.worker.port import Command, Ports
    from latchboard.workqueue import WorkQueue

KEEPER_WAIT_S = 3.0
"""Behind the grace: a keeper that has not ended by then never will."""


class Attempt:
    """One attempt at one job.

    Attributes:
        state: `working`, `settling`, `ending` or `reporting`.
        settled: What the command reported by itself; "" where it did not.
    """

    def __init__(  # noqa: PLR0913 - all by keyword, made once for each job
        self,
        job: Job,
        lease: Lease,
        *,
        role: Role,
        root: str,
        queue: WorkQueue,
        lookout: Lookout,
        heartbeat: Heartbeat,
        ports: Ports,
    ) -> None:
        self._job = job
        self._lease = lease
        self._role = role
        self._root = root
        self._queue = queue
        self._lookout = lookout
        self._heartbeat = heartbeat
        self._ports = ports
        self._why: Why = ""
        self._deadline_s = self._patience_s = float("inf")
        self.state = "working"
        self.settled = ""

    def run(self) -> rules.End:
        """Run the command.

        Raises:
            CommandNotFound, CommandNotRunnable: It did not start.
            StoreError: The system has nothing left to start it with.
        """
        ports, role = self._ports, self._role
        environment = rules.environment(self._job, self._lease, self._root, ports.environment, role.env)
        started_s = ports.mono_s()
        self._deadline_s = started_s + role.timeout_s
        command = ports.start(environment, f"{encode(self._job)}\n".encode())
        try:
            while not command.look():
                self._judge(command)
                until_s = min(self._deadline_s, self._patience_s, ports.mono_s() + self._lookout.look_s())
                ports.wait([*command.readables(), *self._signs()], until_s)
        except BaseException:
            command.end_now()  # nobody would look after it
            raise
        self.state = rules.step(self.state, "exit")
        return rules.End(
            exit_code=command.exit_code,
            signal=command.signal,
            why=self._why,
            duration_s=ports.mono_s() - started_s,
            timeout_s=role.timeout_s,
            output=command.output,
            output_bytes=command.output_bytes,
        )

    def _signs(self) -> list[HasFileno]:
        """What may say that the claim has ended.

        Once that is known nobody reads it any more: it would be readable for ever, and each wait over at once.
        """
        return [self._heartbeat.wakeup, *self._lookout.readables()] if self.state == "working" else []

    def _judge(self, command: Command) -> None:
        """Whether it is to go on."""
        now_s = self._ports.mono_s()
        if self._ports.stop.count > 1:
            command.end_now()
        if self._ports.stop.count and self.state != "ending":
            self._end(command, "stop")
        if self.state == "working":
            self._look_at_claim(command)
        if now_s >= self._deadline_s:  # it has none any more while it ends
            self._end(command, "timeout")
        if now_s >= self._patience_s:
            command.end_keeper()
            self._patience_s = float("inf")

    def _look_at_claim(self, command: Command) -> None:
        """Whether it is still ours: by the heartbeat, and by the job's record as soon as that changes."""

        def matters(change: Change) -> bool:
            is_later = change.revision > self._lease["token"]  # what led to the claim says nothing about it
            return is_later and change.key == f"jobs/{self._job['id']}"

        has_changed = self._lookout.seen(matters)
        lost = self._heartbeat.lost or ("" if self._ports.is_home() else HOMELESS)
        if not has_changed and not lost:
            return
        became = self.outcome() or ("lost" if lost else "")
        if became in rules.SETTLED:
            self.settled = became
            self.state = rules.step(self.state, "settle")
            self._deadline_s = self._ports.mono_s() + self._role.grace_s
        elif became:
            self._ports.log.say("worker.lost", job=self._job["id"], why=lost or became)
            self._end(command, "lost")

    def outcome(self) -> str:
        """What became of the claim; "" while it lasts, or where that cannot be seen."""
        try:
            found: Any = self._queue.show(self._job["id"])["job"]
        except CoordinationError:
            return ""
        return rules.outcome(found, self._lease["token"])

    def _end(self, command: Command, why: Why) -> None:
        self.state = rules.step(self.state, "lose" if why == "lost" else why)
        self._why = why
        if why != "lost" and not self.settled:
            self._ports.log.say("worker.ending", job=self._job["id"], why=why)
        command.end()
        self._deadline_s = float("inf")
        self._patience_s = self._ports.mono_s() + self._role.grace_s + KEEPER_WAIT_S
