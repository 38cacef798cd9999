"""The work queue against a model: each job done once, limits kept, tokens growing, nobody late let in, nothing lost.

Owners vanish, clocks jump, the machine restarts, somebody else takes the files of a job, and commits fail.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from latchboard.errors import CoordinationError, HoldLost, NotReady, Refused, StoreUnavailable
from latchboard.locks.waiting import queue
from latchboard.rules import workqueue as rules
from latchboard.store.files.store import FileStore
from latchboard.store.memory import MemoryStore
from latchboard.testing import ManualClock
from tests.conftest import MEMORY, examples
from tests.machines.test_mailbox import Shaky
from tests.services.workqueue.support import SETTINGS, Bench

ROLES = ["builder", "tester", "painter"]
PATHS = ["x", "y"]
_OUTCOME = {"complete": "completed", "fail": "failed", "final": "failed", "release": "released"}
roles = st.sampled_from(ROLES)
picks = st.integers(0, 1000)


class QueueMachine(RuleBasedStateMachine):
    def make_store(self, clock: ManualClock) -> Any:
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.folder = tempfile.mkdtemp(prefix="latchboard-machine-", dir=MEMORY)
        self.shaky = Shaky(self.make_store(self.clock))
        self.bench = Bench(self.shaky, self.clock, self.folder, jitter=0.5)
        self.ids: list[str] = []
        self.claims: list[tuple[str, int]] = []  # every claim there was, newest last
        self.done: dict[str, int] = {}
        self.newest: dict[str, int] = {}
        self.limits = dict.fromkeys(ROLES, 2)

    @initialize()
    def start(self) -> None:
        self.bench.queue.set_limits(by="s", roles=self.limits, durable=False)

    @rule(
        role=roles,
        priority=st.integers(0, 2),
        pick=picks,
        files=st.sets(st.sampled_from(PATHS)),
        then=st.none() | roles,
    )
    def submit(self, role: str, priority: int, pick: int, files: set[str], then: str | None) -> None:
        needed = [self.ids[pick % len(self.ids)]] if self.ids and pick % 3 == 0 else []
        draft = {"title": "t", "role": role, "priority": priority, "dependencies": needed, "files": sorted(files)}
        made = self.bench.queue.submit([{**draft, "then": [then] if then else []}], by="s", durable=False)
        self.ids.append(made[0]["id"])

    @precondition(lambda self: self.ids)
    @rule(pick=picks, role=roles)
    def submit_child(self, pick: int, role: str) -> None:
        parent = self.ids[pick % len(self.ids)]
        try:
            made = self.bench.queue.submit([{"title": "t", "role": role, "parent": parent}], by="s", durable=False)
        except CoordinationError:
            assert self.bench.job(parent)["status"] in rules.FINAL
        else:
            self.ids.append(made[0]["id"])

    @rule(role=roles, ttl_s=st.integers(5, 50), owner=st.sampled_from(["u", "v"]))
    def claim(self, role: str, ttl_s: int, owner: str) -> None:
        ready = self.bench.lines().get(f"ready.{role}", [])
        try:
            claimed = self.bench.queue.claim(role, owner, ttl_s=ttl_s, durable=False)
        except Refused:
            return
        job, token = claimed["job"]["id"], claimed["lease"]["token"]
        assert token > self.newest.get(job, 0)
        assert job not in self.done
        if ready and not any(self.bench.job(one)["files"] for one in ready) and job in ready:
            first = min(ready, key=lambda one: (self.bench.job(one)["priority"], self.bench.job(one)["number"]))
            assert job == first
        self.newest[job] = token
        self.claims.append((job, token))

    @precondition(lambda self: self.claims)
    @rule(pick=picks, how=st.sampled_from(["complete", "fail", "release", "renew", "final"]), recent=st.booleans())
    def work(self, pick: int, how: str, recent: bool) -> None:
        job, token = self.claims[-1] if recent else self.claims[pick % len(self.claims)]
        before = self.bench.active().get(job)
        is_current = before is not None and before["token"] == token
        queue: Any = self.bench.queue
        more: dict[str, Any] = {"error": "e"} if how in ("fail", "final") else {}
        if how == "final":
            more["is_final"] = True
        try:
            after = getattr(queue, "fail" if how == "final" else how)(job, token, durable=False, **more)
        except NotReady:
            assert is_current and how == "complete"
        except HoldLost:
            assert not is_current or before["locks"]
        else:
            if after.get("already"):  # the same was said of that claim before
                assert not is_current
                assert [a["outcome"] for a in after["attempts"] if a["token"] == token] == [_OUTCOME[how]]
                return
            assert is_current
            if how == "complete" and after["status"] == "done":
                assert job not in self.done
                self.done[job] = token

    @precondition(lambda self: self.ids)
    @rule(pick=picks, event=st.sampled_from(["cancel", "block", "unblock", "requeue", "accept"]))
    def operate(self, pick: int, event: str) -> None:
        job = self.ids[pick % len(self.ids)]
        status = self.bench.job(job)["status"]
        try:
            getattr(self.bench.queue, event)(job, by="lead", durable=False)
        except Refused:
            assert not rules.may(status, event)
        else:
            assert rules.may(status, event)

    @precondition(lambda self: self.claims)
    @rule(fails=st.sampled_from(["before", "after"]), pick=picks)
    def complete_while_the_store_fails(self, fails: str, pick: int) -> None:
        job, token = self.claims[pick % len(self.claims)]
        self.shaky.fails = fails
        try:
            self.bench.queue.complete(job, token, durable=False)
        except StoreUnavailable:
            if self.bench.job(job)["status"] == "done" and job not in self.done:
                self.done[job] = token
        except CoordinationError:
            pass
        self.shaky.fails = ""

    @rule(path=st.sampled_from(PATHS))
    def a_person_locks_and_leaves(self, path: str) -> None:
        request = self.bench.locks.request("person", [path], bound="agent", ttl_s=20)
        self.bench.locks.try_acquire(request)

    @rule(path=st.sampled_from(PATHS))
    def a_person_stands_in_line(self, path: str) -> None:
        request = self.bench.locks.request("another", [path], bound="agent", ttl_s=20)
        with suppress(Refused):
            self.bench.locks.transact(
                "another", lambda table: queue(self.bench.locks, table, request, 30.0, attended=False)
            )

    @rule(agent=st.sampled_from(["person", "another"]))
    def a_person_gives_back(self, agent: str) -> None:
        self.bench.locks.release_names(agent)

    @rule(s=st.integers(1, 60))
    def time_goes_on(self, s: int) -> None:
        self.clock.advance(s)

    @rule(s=st.integers(-100_000, 100_000))
    def the_wall_clock_jumps(self, s: int) -> None:
        self.clock.jump_wall(s)

    @rule(s=st.integers(1, 60))
    def the_machine_restarts(self, s: int) -> None:
        self.clock.reboot(off_s=s)

    @invariant()
    def records_agree(self) -> None:
        assert self.bench.problems() == []

    @invariant()
    def nobody_has_what_a_claim_works_on(self) -> None:
        names = [(name, one["owner"]) for one in self.bench.active().values() for name in one.get("locks", {})]
        assert len({name for name, _ in names}) == len(names)

    @invariant()
    def limits_are_kept(self) -> None:
        active = self.bench.active().values()
        assert all(sum(one["role"] == role for one in active) <= limit for role, limit in self.limits.items())

    @invariant()
    def nothing_is_lost_and_done_stays_done(self) -> None:
        statuses = {one: self.bench.job(one)["status"] for one in self.ids}
        assert {one for one, status in statuses.items() if status == "done"} == set(self.done)
        for one in self.done:
            completed = [a for a in self.bench.job(one)["attempts"] if a["outcome"] == "completed"]
            assert completed[-1]["token"] == self.done[one]

    def teardown(self) -> None:
        self.shaky.close()
        shutil.rmtree(self.folder)


class OnMemory(QueueMachine):
    def make_store(self, clock: ManualClock) -> Any:
        return MemoryStore(clock=clock, settings=SETTINGS)


class OnFiles(QueueMachine):
    def make_store(self, clock: ManualClock) -> Any:
        return FileStore(self.folder, clock=clock, settings=SETTINGS)


TestOnMemory = OnMemory.TestCase
TestOnFiles = pytest.mark.slow(OnFiles.TestCase)
TestOnFiles.settings = examples(40)
