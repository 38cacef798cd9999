"""The queue file under real processes: workers, a person who edits, a reader; kills, and a full disk."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from latchboard.compose import Latchboard
from latchboard.errors import CoordinationError, StoreError
from latchboard.settings import Settings
from tests.process.nursery import PATIENCE_S, until
from tests.process.serving import Project
from tests.services.workqueue.support import problems

pytestmark = [pytest.mark.process, pytest.mark.slow]

NAME = "SPRINT_QUEUE.json"
TREE = Path(__file__).parents[2]
WORKER = """
import sys
from latchboard.compose import Latchboard
from latchboard.errors import Refused
board = Latchboard(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
while True:
    try:
        claim = board.queue.claim("builder", sys.argv[2], durable=False)
    except Refused:
        break
    board.queue.complete(claim["job"]["id"], claim["lease"]["token"], durable=False)
    print(claim["job"]["id"], flush=True)
board.close()
"""


def project(tmp_path: Path, **settings: Any) -> Latchboard:
    (tmp_path / ".git").mkdir()
    lines = [f"{name} = {json.dumps(value)}\n" for name, value in {"queue_file": NAME, **settings}.items()]
    (tmp_path / "latchboard.toml").write_text("".join(lines))
    return Latchboard(tmp_path)


def started(root: Path, owner: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(TREE / "src")}
    words = [sys.executable, "-c", WORKER, str(root), owner]
    found = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    assert found.stdout is not None
    assert found.stdout.readline() == "ready\n"
    return found


def go(worker: subprocess.Popen[str]) -> None:
    assert worker.stdin is not None
    worker.stdin.write("\n")
    worker.stdin.flush()


class Reader:
    """Reads the file all the time; what it could not parse is kept."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.torn: list[str] = []
        self.count = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.is_set():
            text = self.path.read_text(encoding="utf-8")
            try:
                json.loads(text)["tasks"]
            except ValueError as exc:
                self.torn.append(f"{exc}: {text[-100:]}")
            self.count += 1
            self._over.wait(0.001)

    def end(self) -> None:
        self._over.set()
        self._thread.join()


def tasks(root: Path) -> dict[str, Any]:
    return {one["id"]: one for one in json.loads((root / NAME).read_text())["tasks"]}


def test_the_file_parses_at_every_instant_and_says_in_the_end_what_the_queue_says(tmp_path: Path) -> None:
    board = project(tmp_path)
    board.queue.set_limits(by="lead", roles={"builder": 4})
    drafts = [{"id": f"j{at}", "role": "builder", "title": f"Build {at}"} for at in range(150)]
    board.queue.submit(drafts, by="lead")
    board.live_file().sync()
    reader = Reader(tmp_path / NAME)
    workers = [started(tmp_path, f"w{at}") for at in range(4)]

    for worker in workers:
        go(worker)
    done = [one for worker in workers for one in worker.communicate(timeout=PATIENCE_S)[0].split()]
    until(lambda: reader.count > 20, "it was read often")
    reader.end()

    assert reader.torn == []
    assert sorted(done) == sorted(f"j{at}" for at in range(150))
    until(lambda: {one["status"] for one in tasks(tmp_path).values()} == {"done"}, "the file says so, too")
    assert board.live_file().sync()["conflicts"] == []
    board.close()


def test_edits_of_a_person_survive_workers_that_are_killed_while_they_write(tmp_path: Path) -> None:
    dice = random.Random(7)
    board = project(tmp_path)
    board.queue.set_limits(by="lead", roles={"builder": 100})
    drafts = [{"id": f"j{at}", "role": "builder", "title": f"Build {at}", "priority": 5} for at in range(300)]
    board.queue.submit(drafts, by="lead", durable=False)
    board.live_file().sync()
    noted: dict[str, int] = {}
    for at in range(12):
        worker = started(tmp_path, f"w{at}")
        go(worker)
        assert worker.stdout is not None
        for _ in range(dice.randrange(1, 12)):
            worker.stdout.readline()
        worker.kill()
        worker.communicate()
        board.live_file().sync()  # nothing is left to be written while the person edits
        document = json.loads((tmp_path / NAME).read_text())
        one = dice.choice(document["tasks"])
        one["note"] = noted[one["id"]] = at
        beside = tmp_path / "edited"
        beside.write_text(json.dumps(document, indent=4))
        os.replace(beside, tmp_path / NAME)

        report = board.live_file().sync()

        assert report["conflicts"] == []
        assert {job_id: tasks(tmp_path)[job_id]["note"] for job_id in noted} == noted

    assert problems(board.store) == []
    look = board.queue.look()
    assert {i: one["status"] for i, one in tasks(tmp_path).items()} == {i: j["status"] for i, j in look.jobs.items()}
    assert all(look.jobs[job_id]["extra"]["note"] == at for job_id, at in noted.items())
    board.close()


def test_an_import_that_is_killed_is_ended_by_another_one(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    document = {"tasks": [{"id": f"t{at}", "title": "T", "dependencies": [f"t{at + 1}"]} for at in range(1999)]}
    document["tasks"].append({"id": "t1999", "title": "T"})
    (tmp_path / NAME).write_text(json.dumps(document))
    environment = {**os.environ, "PYTHONPATH": str(TREE / "src"), "AGENT_ID": "lead"}
    words = [sys.executable, "-m", "latchboard", "queue", "import", str(tmp_path / NAME), "--root", str(tmp_path)]
    first = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    board = Latchboard(tmp_path)
    until(lambda: os.path.isdir(tmp_path / "data" / ".agent_locks") and len(board.queue.look().jobs) > 0, "it begins")
    first.kill()
    first.wait()
    entered = len(board.queue.look().jobs)

    done = subprocess.run(
        [*words, "--json"], env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=True
    )

    report = json.loads(done.stdout)
    assert report["same_count"] >= entered > 0
    assert len(report["imported"]) + report["same_count"] == 2000
    assert problems(board.store) == []
    assert board.queue.claim("builder", "b")["job"]["id"] == "t1999"
    board.close()


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    project(tmp_path).close()
    board = Latchboard(tmp_path, publishes=False)  # nobody else writes it
    drafts = [{"id": f"j{at}", "role": "builder", "title": "Build " + "x" * 400} for at in range(100)]
    board.queue.submit(drafts, by="lead")
    board.live_file().sync()
    before = (tmp_path / NAME).read_bytes()
    board.queue.submit([{"id": "more", "role": "builder", "title": "M"}], by="lead")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limit[1]))
    try:
        with pytest.raises(StoreError):
            board.live_file().sync()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)

    assert (tmp_path / NAME).read_bytes() == before
    assert [one for one in os.listdir(tmp_path) if one.endswith(".tmp")] == []
    assert board.live_file().sync()["is_written"]
    assert "more" in tasks(tmp_path)
    board.close()


def test_a_daemon_brings_edits_in_and_writes_what_others_left_unwritten(tmp_path: Path) -> None:
    one = Project(tmp_path, queue_file=NAME)
    try:
        board = one.board
        board.queue.submit([{"id": "a", "role": "builder", "title": "A"}], by="lead")
        board.live_file().sync()
        one.serve()
        document = json.loads((one.root / NAME).read_text())
        document["tasks"].append({"id": "b", "title": "B"})
        (one.root / NAME).write_text(json.dumps(document))
        until(lambda: "b" in board.queue.look().jobs, "the edit comes in")

        board.queue.block("a", by="lead")
        until(lambda: tasks(one.root)["a"]["status"] == "blocked", "the change is written")
    finally:
        one.close()


def test_settings_name_a_file_that_is_made_by_whoever_commits(tmp_path: Path) -> None:
    board = project(tmp_path)
    board.queue.submit([{"id": "a", "role": "builder", "title": "A"}], by="lead")

    until(lambda: (tmp_path / NAME).exists() and "a" in tasks(tmp_path), "it is written")

    (tmp_path / NAME).write_text("{")
    board.queue.block("a", by="lead")
    with pytest.raises(CoordinationError):
        board.live_file().sync()
    assert (tmp_path / NAME).read_text() == "{"
    board.close()
    assert (tmp_path / NAME).read_text() == "{"
    assert Settings().queue_file == ""
