"""Commands of workers that do what commands should not, and what is left of them: nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from latchboard.host.system import SystemHost
from tests.process.nursery import PATIENCE_S, Nursery, until
from tests.process.serving import is_there
from tests.process.working import HOLDS, TREE, Site, holding, shell, stop

pytestmark = pytest.mark.process

DEAF = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
with open("deaf", "w") as file:
    file.write(f"{os.getpid()}\\n")
time.sleep(300)
"""


LAST_WORDS = """
import os, signal, sys
def say(*_):
    os.write(1, b"x" * 1_000_000)  # more than a pipe takes
    open("finished", "w").close()
    os._exit(0)
signal.signal(signal.SIGTERM, say)
with open("told", "a") as file:
    print("begin", os.environ["LATCHBOARD_JOB_ID"], os.environ["LATCHBOARD_TOKEN"], os.getpid(), file=file)
signal.pause()
"""


UNREAPED = """
import os, time
if os.fork() == 0:
    if os.fork() == 0:
        os._exit(0)  # it stays in the group of the command, and the one below never asks for its status
    os.setsid()
    with open("daemon~", "w") as file:
        file.write(str(os.getpid()))
    os.rename("daemon~", "daemon")
    for fd in range(3):
        os.close(fd)
    time.sleep(300)
while not os.path.exists("daemon"):
    time.sleep(0.01)
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    for line in (site.root / "deaf").read_text().split() if (site.root / "deaf").exists() else ():
        if is_there(int(line)):  # only where a test has failed
            os.kill(int(line), signal.SIGKILL)
    site.close()


def deaf(site: Site, after: str) -> list[str]:
    """A command that leaves somebody in its group who does not hear TERM, and does something else then."""
    (site.root / "deaf.py").write_text(DEAF)
    return shell(f"{sys.executable} deaf.py & while [ ! -s deaf ]; do sleep 0.02; done; {after}")


@pytest.mark.parametrize("how", ["its command has ended", "its command dies of TERM"])
def test_who_does_not_hear_that_it_is_over_is_killed_also_when_the_worker_was(site: Site, how: str) -> None:
    """The keeper had somebody to tell first, who was gone: it died of that, and the rest of the group lived on."""
    after = HOLDS if how == "its command dies of TERM" else "echo begin x x $$ >> told; exit 0"
    site.role("builder", deaf(site, after), grace_s=1)
    site.add("a")
    worker = site.worker()
    site.wait_for_begin()
    pid = int((site.root / "deaf").read_text())

    worker.kill()
    worker.wait()

    until(lambda: not is_there(pid), "who does not hear TERM is killed")
    site.let_go("a")
    assert site.command("worker", "--role", "builder", "--once").returncode == 0


def test_a_worker_without_standard_descriptors_works_as_any(site: Site) -> None:
    """What is opened first would get their numbers, and the command's keeper its input in the place of its orders."""
    site.role("builder", shell("cat > given; echo said"))
    site.add("a")
    words = [sys.executable, "-m", "latchboard", "worker", "--root", str(site.root), "--role", "builder", "--once"]
    closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *words]

    subprocess.run(closed, env={**os.environ, "PYTHONPATH": str(TREE / "src")}, timeout=PATIENCE_S, check=False)

    job = site.job("a")
    assert (job["status"], job["result"]["output"]) == ("done", "said\n")
    assert (site.root / "given").read_text().startswith("{")


def test_a_command_may_read_nothing_close_everything_and_write_anything(site: Site) -> None:
    """Nobody waits for it, and nobody takes its bytes for something else."""
    site.role("builder", shell("printf '\\377\\000\\033[2J\\n'; head -c 3000000 /dev/zero; exec >&- 2>&- <&-; true"))
    site.add("a", payload="x" * 60_000)

    site.once()

    result = site.job("a")["result"]
    assert (result["exit_code"], result["output_bytes"], result["is_cut"]) == (0, 3_000_007, True)
    assert set(result["output"]) == {"\0"}


def test_each_status_and_each_signal_is_told_as_it_was(site: Site) -> None:
    site.role("builder", shell('eval "$(cat how)"'), exit_codes={"255": "complete", "7": "complete"})
    for how, expect in {
        "exit 255": {"exit_code": 255, "signal": None},
        "exit 7": {"exit_code": 7, "signal": None},
        "exit 254": "exit status 254",
        "kill -9 $$": "died of signal 9",
        "kill -15 $$": "died of signal 15",
        "kill -9 0": "was ended with its keeper",
    }.items():
        (site.root / "how").write_text(how)
        job_id = f"j{len(how)}{abs(hash(how))}"
        site.add(job_id, attempts_max=1)

        site.once()

        job = site.job(job_id)
        if isinstance(expect, str):
            assert expect in job["attempts"][0]["error"], how
        else:
            assert {key: job["result"][key] for key in expect} == expect


def test_a_command_that_somebody_has_stopped_hears_that_it_is_over(site: Site) -> None:
    site.role("builder", shell(HOLDS), grace_s=300)
    site.add("a")
    worker = site.worker()
    os.kill(pid := site.wait_for_begin(), signal.SIGSTOP)

    status, took_s = stop(worker)

    assert status == 0 and took_s < 150
    assert not is_there(pid)


def test_a_command_whose_worker_was_killed_may_say_its_last_words(site: Site) -> None:
    """Nobody wants to hear them; but who is kept from saying them cannot end well."""
    site.role("builder", [sys.executable, "-c", LAST_WORDS], grace_s=300)
    site.add("a")
    worker = site.worker()
    site.wait_for_begin()

    worker.kill()

    until((site.root / "finished").exists, "it ends as it wants to")


def test_a_command_whose_keeper_was_killed_is_gone_before_its_job_is_anybodys(site: Site) -> None:
    """It would work on, without a claim, beside whoever has the job next."""
    site.role("builder", shell("trap '' TERM; " + HOLDS), grace_s=300)
    site.add("a", attempts_max=1)
    worker = site.worker("--once")
    pid = site.wait_for_begin()
    seen = SystemHost().look(pid)
    assert seen is not None

    os.kill(seen["parent"], signal.SIGKILL)
    site.wait_for_log("worker.failed")

    assert not is_there(pid)
    assert worker.wait(PATIENCE_S) == 0
    assert site.job("a")["attempts"][0]["error"].startswith("was ended with its keeper")


def test_a_dead_child_that_nobody_reaps_holds_up_nobody(site: Site) -> None:
    """It is in the group as long as its parent lives, which left the group, and does nothing more."""
    site.role("builder", [sys.executable, "-c", UNREAPED], grace_s=300)
    site.add("a")
    try:
        answer = site.once()
    finally:
        os.kill(int((site.root / "daemon").read_text()), signal.SIGKILL)

    assert answer["last"]["outcome"] == "completed"


def test_a_person_is_told_why_a_job_failed_and_where_the_rest_is(site: Site) -> None:
    site.role("builder", shell("echo the reason; exit 3"))
    site.add("a")

    out, err = site.worker("--once").communicate(timeout=PATIENCE_S)

    assert 'how="exit status 3"' in err
    assert out == "worker.builder.1: 1 failed\n  what it said: latchboard queue show a --root " + f"{site.root}\n"
    assert "the reason" in site.command("queue", "show", "a").stdout


def test_a_daemon_that_leaves_its_group_and_keeps_the_output_holds_up_nobody(site: Site) -> None:
    """It is out of reach, as documented; its job is done all the same, and so is the next one."""
    (site.root / "deaf.py").write_text(DEAF)
    begin = f"setsid {sys.executable} deaf.py & while [ ! -s deaf ]; do sleep 0.02; done"
    site.role("builder", shell(begin))
    site.add("a")

    site.once()

    assert site.job("a")["status"] == "done"
    pid = int((site.root / "deaf").read_text())
    assert is_there(pid)
    os.kill(pid, signal.SIGKILL)


def test_a_command_that_takes_a_lock_itself_keeps_it_no_longer_than_its_agent_says(site: Site) -> None:
    """Its agent is the worker: what a release of everything gives back are its own locks, not those of the claim."""
    words = f"{sys.executable} -m latchboard"
    site.role("builder", shell(f"{words} acquire other.py && {words} release --all; {HOLDS}"))
    site.add("a", files=["mine.py"])
    worker = site.worker()
    site.wait_for_begin()

    assert site.board.locks.check(["other.py"], agent="lead") == []
    assert len(site.board.locks.check(["mine.py"], agent="lead")) == 1
    assert stop(worker)[0] == 0
    assert site.board.locks.check(["mine.py"], agent="lead") == []


@pytest.mark.parametrize("when", ["has just worked", "works"])
def test_a_project_that_was_moved_is_not_made_again(site: Site, when: str) -> None:
    """A worker that somebody runs by hand has nobody who ends it: it ends itself, and its command."""
    site.role("builder", shell(HOLDS))
    site.add("a")
    worker = site.worker("--interval", "0.1")
    pid = site.wait_for_begin()
    if when == "has just worked":
        site.let_go("a")
        site.wait_for("a", "done")
    aside = site.root.parent / "aside"

    os.rename(site.root, aside)

    assert worker.wait(PATIENCE_S) == 0
    assert not is_there(pid)
    assert [str(path) for path in site.root.rglob("*")] == []
    assert not site.root.exists()


def test_a_worker_ends_in_its_time_also_where_nobody_gets_the_guard(site: Site, nursery: Nursery) -> None:
    """Each commit then waits for some seconds, and a stop for all of them: reports that are repeated, and traces."""
    site.role("builder", shell(HOLDS), grace_s=0.5)
    path = site.root / "latchboard.toml"
    path.write_text(path.read_text().replace("guard_wait_s_max = 30.0", "guard_wait_s_max = 2.5"))
    site.add("a")
    worker = site.worker()
    pid = site.wait_for_begin()
    guard = nursery.start(holding, root=str(site.root))
    assert guard.receive() == {"holds": True}

    status, took_s = stop(worker)

    guard.channel.send(go=True)
    assert (status, is_there(pid)) == (0, False)
    assert took_s < 40  # its grace and 10 s are promised, on a machine that does nothing else
    site.let_go("a")
    site.once()
    assert site.job("a")["attempts"][0]["error"].startswith("its worker ended")


def test_a_store_that_is_wiped_while_a_command_runs_ends_nobody(site: Site) -> None:
    """Nothing is known of the job any more: that is told, and the next one is done."""
    site.role("builder", shell(HOLDS))
    site.add("a")
    worker = site.worker("--interval", "0.1")
    site.wait_for_begin()

    shutil.rmtree(site.root / "data" / ".agent_locks")

    site.let_go("a")
    site.wait_for_log("worker.lost")
    assert site.command("queue", "add", "builder", "again", "--id", "b", "--agent", "lead").returncode == 0
    site.let_go("b")
    site.wait_for_log("worker.completed")
    assert stop(worker)[0] == 0
