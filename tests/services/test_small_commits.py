"""A store that takes a hundred keys in one commit, as etcd: what must be one is refused, the rest goes in parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from latchboard import Latchboard
from latchboard.errors import CommitTooLarge
from latchboard.store.memory import MemoryStore
from latchboard.testing import FakeHost, ManualClock
from tests.services.locks.scene import Scene
from tests.services.workqueue.support import Bench

KEYS_MAX = 100


class Project:
    """A project, and what its commits were."""

    def __init__(self, root: Path) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore(clock=self.clock, keys_max=KEYS_MAX)
        self.host = FakeHost()
        self.root = root
        self.board = Latchboard(root, store=self.store, clock=self.clock, host=self.host)

    def sizes(self, after: int) -> list[int]:
        """How many keys each commit had."""
        found: dict[int, int] = {}
        watch = self.store.watch("", after=after)
        while changes := watch.poll():
            for change in changes:
                found[change.revision] = found.get(change.revision, 0) + 1
        watch.close()
        return list(found.values())

    def now(self) -> int:
        return self.store.read("wide").revision


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    first: list[MemoryStore] = []

    def engine(clock: Any, settings: Any) -> MemoryStore:
        beside = first[0] if first else None
        first.append(MemoryStore(clock=clock, settings=settings, beside=beside, keys_max=KEYS_MAX))
        return first[-1]

    return Scene(tmp_path, engine=engine)


# -- locks -------------------------------------------------------------------------------------------------------------


def test_more_files_than_one_commit_takes_are_refused_with_the_way_out(project: Project) -> None:
    with pytest.raises(CommitTooLarge, match="101 paths in one request; this store takes at most 88") as caught:
        project.board.agent("a").lock(*[f"f{n}" for n in range(101)])

    assert "lock the folder" in caught.value.hint
    project.board.agent("a").lock(*[f"f{n}" for n in range(88)])
    assert len(project.store.read("locks/").scan("locks/")) == 88


def test_whoever_lets_go_of_a_folder_lets_everybody_in_who_waits_for_a_file_of_it_in_their_order(scene: Scene) -> None:
    holder = scene.process()
    hold = holder.agent("lead").lock("src/")
    lines = [scene.process().line(f"a{n}", f"src/{n % 60}.py") for n in range(90)]

    hold.release()

    assert [scene.holders(f"src/{n}.py") for n in range(60)] == [[(f"a{n}", "exclusive")] for n in range(60)]
    assert len(scene.scan("waiters/")) == 30
    for line in lines[:30]:
        line.locks.release(line.request, {n: r["holders"][0]["token"] for n, r in _held(scene, line.request)})
    assert [scene.holders(f"src/{n}.py") for n in range(30)] == [[(f"a{n + 60}", "exclusive")] for n in range(30)]
    assert scene.scan("waiters/") == []


def _held(scene: Scene, request: Any) -> list[tuple[str, Any]]:
    return [(want["name"], scene.record(want["name"])) for want in request.wants]


def test_waiter_that_wants_as_much_as_a_commit_takes_is_granted_in_one_of_its_own(scene: Scene) -> None:
    names = [f"f{n}" for n in range(80)]
    hold = scene.process().agent("lead").lock(*names)
    scene.process().line("next", *names)

    hold.release()

    assert all(scene.holders(name) == [("next", "exclusive")] for name in names)


def test_everything_that_an_agent_holds_is_given_back(project: Project) -> None:
    agent = project.board.agent("a")
    names = [f"{part}/{n}" for part in "abc" for n in range(80)]
    for part in "abc":
        agent.lock(*[name for name in names if name.startswith(part)], bound="agent")
    before = project.now()

    released = project.board.locks.release_names("a")

    assert sorted(released) == sorted(names)
    assert project.store.read("locks/").scan("locks/") == []
    assert max(project.sizes(before)) <= KEYS_MAX


def test_the_end_of_an_agent_gives_back_what_it_edited(project: Project) -> None:
    for n in range(130):
        (project.root / f"{n}.py").write_text("")
        project.board.editing.begin("a", [f"{n}.py"])

    released = project.board.editing.end("a")

    assert len(released) == 130
    assert project.store.read("locks/").scan("locks/") == []
    assert project.store.read("images/").scan("images/") == []


def test_what_killed_processes_held_is_cleaned_up(scene: Scene) -> None:
    other = scene.process()
    for part in range(4):
        other.agent("b").lock(*[f"{part}/{n}" for n in range(80)])
    lines = [scene.process().line("c", f"{part}/0", wait_s_max=900.0) for part in range(4)]
    other.kill()

    report = scene.process().board.cleanup.run()

    assert len(report.locks) == 320
    assert len(report.granted) == len(lines)
    assert len(scene.scan("locks/")) == 4


# -- mail --------------------------------------------------------------------------------------------------------------


def test_full_mailbox_is_received_and_swept(project: Project) -> None:
    mailbox = project.board.mailbox
    for n in range(150):
        mailbox.send("a", "b", f"{n}")
        mailbox.send("a", "c", f"{n}", expires_s=10.0)

    bodies = [message["body"] for message in mailbox.receive("b")]
    project.clock.advance(8 * 86400.0)
    counts = mailbox.sweep()

    assert bodies == [f"{n}" for n in range(150)]
    assert (counts["archived"], counts["dead_letters"]) == (150, 150)
    assert max(project.sizes(0)) <= KEYS_MAX


# -- queue -------------------------------------------------------------------------------------------------------------


def _task(number: int, **fields: Any) -> dict[str, Any]:
    return {"id": f"t{number}", "title": "t", "role": "builder", "status": "ready", "priority": 1, **fields}


def test_file_of_many_tasks_is_imported_in_parts(project: Project) -> None:
    tasks = [_task(n, dependencies=[f"t{n - 1}"] if n else []) for n in range(300)]

    report = project.board.queue_files.bring(json.dumps({"tasks": tasks}).encode(), path="q.json", by="lead")

    assert len(report["imported"]) == 300
    assert max(project.sizes(0)) <= KEYS_MAX


def test_batch_of_jobs_that_one_commit_does_not_take_is_refused_whole(project: Project) -> None:
    with pytest.raises(CommitTooLarge):
        project.board.queue.submit([{"title": "t", "role": "builder"} for _ in range(120)], by="lead")

    assert project.store.read("jobs/").scan("jobs/") == []


def test_job_that_could_not_be_completed_in_one_commit_is_refused(project: Project) -> None:
    queue = project.board.queue
    queue.submit([{"id": "first", "title": "t", "role": "builder"}], by="lead")
    for n in range(76):
        queue.submit([{"id": f"n{n}", "title": "t", "role": "builder", "dependencies": ["first"]}], by="lead")

    with pytest.raises(CommitTooLarge, match="77 jobs would wait for first"):
        queue.submit([{"title": "t", "role": "builder", "dependencies": ["first"]}], by="lead")

    claim = queue.claim("builder", "a")
    queue.complete("first", claim["lease"]["token"])
    assert queue.claim("builder", "a")["job"]["id"] == "n0"


def test_many_jobs_that_come_back_at_once_keep_nobody_from_claiming(tmp_path: Path) -> None:
    clock = ManualClock()
    bench = Bench(MemoryStore(clock=clock, keys_max=KEYS_MAX), clock, str(tmp_path))
    for n in range(4):
        files = [f"{n}/{m}" for m in range(40)]
        bench.add(f"held{n}", files=files)
    for n in range(150):
        bench.add(f"late{n}", ready_at="2030-01-01T00:00:00Z")
    bench.queue.set_limits(by="lead", roles={"builder": 10})
    for _ in range(4):
        bench.queue.claim("builder", "gone", ttl_s=10.0)
    clock.advance(20 * 365 * 86400.0)

    claim = bench.queue.claim("builder", "a")

    tried = {job["id"] for job in bench.queue.look().jobs.values() if job["attempts_count"]}
    assert claim["job"]["id"].startswith("late")
    assert tried == {claim["job"]["id"], *(f"held{n}" for n in range(4))}
    assert bench.problems() == []
