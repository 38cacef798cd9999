"""The live file against chance: people and the queue change what they like, writers are killed, and nothing is lost.

What a person has written is afterwards in the queue, or in the file and told; where nothing is told, both say the same.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from latchboard.errors import CoordinationError, MalformedRecord, Refused
from latchboard.rules import queue_file as files
from latchboard.store.memory import MemoryStore
from latchboard.testing import ManualClock
from tests.conftest import MEMORY, examples
from tests.services.queue_file.support import Desk
from tests.services.workqueue.support import SETTINGS, Bench

STATUSES = ["ready", "awaiting_test", "blocked", "cancelled", "done", "in_progress", "needs_plan"]
picks = st.integers(0, 1000)
values = st.integers(0, 9)


class FileMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="latchboard-machine-", dir=MEMORY))
        clock = ManualClock()
        bench = Bench(MemoryStore(clock=clock, settings=SETTINGS), clock, str(self.folder), jitter=0.5)
        self.desk = Desk(bench, self.folder)
        self.queue = bench.queue
        self.count = 0
        self.claims: list[tuple[str, int]] = []
        self.noted: dict[tuple[str, str], Any] = {}  # what a person wrote, and nobody has changed since

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    # -- a person -----------------------------------------------------------------------------------------------------

    def document(self) -> Any:
        return self.desk.read() if self.desk.path.exists() else {"tasks": []}

    @rule(pick=picks, name=st.sampled_from(["priority", "note", "title"]), value=values)
    def edit(self, pick: int, name: str, value: int) -> None:
        document = self.document()
        if document["tasks"]:
            one = document["tasks"][pick % len(document["tasks"])]
            one[name] = f"T{value}" if name == "title" else value
            self.noted[one["id"], name] = one[name]
            self.desk.write(document)

    @rule(pick=picks, status=st.sampled_from(STATUSES))
    def set_status(self, pick: int, status: str) -> None:
        document = self.document()
        if document["tasks"]:
            document["tasks"][pick % len(document["tasks"])]["status"] = status
            self.desk.write(document)

    @rule(pick=picks, waits=st.booleans())
    def add_task(self, pick: int, waits: bool) -> None:
        document = self.document()
        self.count += 1
        one = {"id": f"p{self.count}", "title": "T0"}
        if waits and document["tasks"]:
            one["dependencies"] = [document["tasks"][pick % len(document["tasks"])]["id"]]  # type: ignore[assignment]
        document["tasks"].insert(pick % (len(document["tasks"]) + 1), one)
        self.desk.write(document)

    @rule(pick=picks, other=picks)
    def depend(self, pick: int, other: int) -> None:
        tasks = (document := self.document())["tasks"]
        if tasks and tasks[pick % len(tasks)] is not tasks[other % len(tasks)]:
            tasks[pick % len(tasks)]["dependencies"] = [tasks[other % len(tasks)]["id"]] if pick % 3 else []
            self.desk.write(document)

    @rule(pick=picks)
    def take_out(self, pick: int) -> None:
        document = self.document()
        if document["tasks"]:
            gone = document["tasks"].pop(pick % len(document["tasks"]))["id"]
            self.noted = {key: value for key, value in self.noted.items() if key[0] != gone}
            self.desk.write(document)

    # -- the queue ----------------------------------------------------------------------------------------------------

    @rule(parent=st.booleans(), pick=picks)
    def submit(self, parent: bool, pick: int) -> None:
        self.count += 1
        ids = [*self.queue.look().jobs]
        draft: dict[str, Any] = {"id": f"q{self.count}", "title": "T0", "role": "builder"}
        if parent and ids:
            draft["parent"] = ids[pick % len(ids)]
        with suppress(CoordinationError):
            self.queue.submit([draft], by="s", durable=False)

    @rule(role=st.sampled_from(["builder", "tester", "planner"]))
    def claim(self, role: str) -> None:
        with suppress(Refused):
            found = self.queue.claim(role, "w", durable=False)
            self.claims.append((found["job"]["id"], found["lease"]["token"]))

    @precondition(lambda self: self.claims)
    @rule(what=st.sampled_from(["complete", "release", "fail"]))
    def end(self, what: str) -> None:
        job, token = self.claims.pop()
        said: dict[str, Any] = {"error": "no"} if what == "fail" else {}
        with suppress(CoordinationError):
            getattr(self.queue, what)(job, token, durable=False, **said)

    @rule(pick=picks, what=st.sampled_from(["block", "cancel", "unblock", "requeue"]))
    def move(self, pick: int, what: str) -> None:
        ids = [*self.queue.look().jobs]
        if ids:
            with suppress(CoordinationError):
                getattr(self.queue, what)(ids[pick % len(ids)], by="lead", durable=False)

    @rule(seconds=st.sampled_from([1.0, 30.0, 9000.0]))
    def wait(self, seconds: float) -> None:
        self.desk.bench.clock.advance(seconds)

    # -- both ---------------------------------------------------------------------------------------------------------

    @rule(what=st.sampled_from(["write", "settle"]))
    def die(self, what: str) -> None:
        with suppress(MalformedRecord):
            self.desk.try_killed_at(what)

    @rule(prefer=st.sampled_from(["", "", "", "queue", "file"]))
    def sync(self, prefer: Any) -> None:
        try:
            report = self.desk.live.sync(prefer=prefer)
        except MalformedRecord as exc:
            assert "lost" in exc.message
            return
        told = {(one["task"], one["field"]) for one in report["conflicts"]}
        tasks = {one["id"]: one for one in self.desk.read()["tasks"]}
        look = self.queue.look()
        jobs = {i: files.task_of(job, look.active.get(i)) for i, job in look.jobs.items()}
        for task_id, raw in tasks.items():
            if task_id not in jobs:
                assert (task_id, "") in told
                continue
            ours, theirs = jobs[task_id], files.task(raw, list)
            for name in files.FIELDS:
                assert theirs[name] == ours[name] or (task_id, name) in told, (task_id, name)
            assert theirs["extra"] == ours["extra"] or told
        if prefer != "queue":
            for (task_id, name), value in self.noted.items():
                assert tasks[task_id][name] == value
        self.noted = {key: value for key, value in self.noted.items() if key in told}
        if prefer == "queue":
            self.noted = {}
        again = self.desk.live.sync()
        assert (again["imported"], again["changed"], again["cancelled"], again["is_written"]) == ([], [], [], False)
        assert {(one["task"], one["field"]) for one in again["conflicts"]} == told

    @invariant()
    def lines_agree(self) -> None:
        assert self.desk.bench.problems() == []


TestFile = FileMachine.TestCase
TestFile.settings = examples(50)
