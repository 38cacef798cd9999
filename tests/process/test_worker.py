"""Workers as processes: K30 to K32 and K34; what is reported is what a command did."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from latchboard.host.daemon_entry import DaemonEntry
from latchboard.host.kernel_lock import kernel_lock
from latchboard.host.lock_file import LockFile
from tests.conftest import SOAK
from tests.process.nursery import PATIENCE_S, Nursery, until
from tests.process.serving import is_there
from tests.process.working import HOLDS, TREE, Site, holding, shell, stop

pytestmark = pytest.mark.process

JOBS = 200 if SOAK else 24
AT_ONCE_S = 30.0
"""For a busy machine, and far from any interval, lease or grace that is not at once."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.close()


# -- one pass ---------------------------------------------------------------------------------------------------------


def test_a_command_gets_the_job_and_its_result_is_what_it_did(site: Site) -> None:
    site.role(
        "builder", shell("cat > given; printenv LATCHBOARD_JOB > in-environment; env > env; echo said; echo err >&2")
    )
    site.add("a", payload={"text": 'it\'s "quoted" ü\n'}, files=["src/x.py"])

    answer = site.once()

    schema = json.loads((TREE / "protocol/schema/worker.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(answer)
    assert answer["last"] == {"job": "a", "outcome": "completed"}
    given = json.loads((site.root / "given").read_text())
    assert given["payload"] == {"text": 'it\'s "quoted" ü\n'}
    assert json.loads((site.root / "in-environment").read_text()) == given
    found = dict(line.split("=", 1) for line in (site.root / "env").read_text().splitlines() if "=" in line)
    assert found["AGENT_ID"] == "worker.builder.1"
    assert (found["LATCHBOARD_JOB_ID"], found["LATCHBOARD_ROLE"]) == ("a", "builder")
    assert found["LATCHBOARD_ROOT"] == str(site.root)
    job = site.job("a")
    assert job["status"] == "done"
    assert (job["result"]["exit_code"], job["result"]["output"]) == (0, "said\nerr\n")
    assert site.claims() == {}
    assert int(found["LATCHBOARD_TOKEN"]) == job["attempts"][0]["token"]


def test_a_job_holds_the_locks_of_its_files_while_its_command_runs(site: Site) -> None:
    site.role("builder", shell("sleep 0"))
    site.add("a", files=["src/x.py"])
    site.role(
        "builder", [*_latchboard(site), "check", "src/x.py", "--agent", "other", "--json"], exit_codes={10: "complete"}
    )

    site.once()

    facts = json.loads(site.job("a")["result"]["output"])
    assert "worker.builder.1" in json.dumps(facts)
    assert site.board.locks.check(["src/x.py"], agent="other") == []


@pytest.mark.parametrize(
    ("command", "keys", "draft", "outcome", "status"),
    [
        ("exit 0", {}, {"then": ["tester"]}, "completed", "awaiting_test"),
        ("exit 4", {"exit_codes": {4: "needs_adapt"}}, {}, "completed", "needs_adapt"),
        ("exit 3", {}, {}, "failed", "ready"),
        ("exit 3", {}, {"attempts_max": 1}, "failed", "dead"),
        ("exit 9", {"exit_codes": {9: "dead"}}, {}, "failed", "dead"),
        ("exit 75", {"exit_codes": {75: "release"}}, {}, "released", "ready"),
        ("kill -9 $$", {}, {"attempts_max": 1}, "failed", "dead"),
        ("sleep 60", {"timeout_s": 0.2}, {"attempts_max": 1}, "failed", "dead"),
        ("exit 1", {"exit_codes": {1: "planning_complete"}}, {}, "failed", "dead"),
    ],
)
def test_what_is_reported_is_what_the_command_did(
    site: Site, command: str, keys: dict[str, Any], draft: dict[str, Any], outcome: str, status: str
) -> None:
    site.role("builder", shell(f"echo the reason; {command}"), **keys)
    site.add("a", **draft)

    answer = site.once()

    job = site.job("a")
    assert (answer["last"]["outcome"], job["status"]) == (outcome, status)
    assert job["attempts"][-1]["outcome"] == outcome
    if outcome == "failed":
        assert "the reason" in job["attempts"][-1]["error"]
    assert site.claims() == {}


def test_one_pass_with_nothing_to_do_leaves_nothing_behind(site: Site) -> None:
    site.role("builder", ["true"])

    answer = site.once()

    assert (answer["last"], answer["refusal"]) == (None, "nothing-ready")
    assert not (site.registry / "worker.builder.1.pid").exists()
    assert site.log() == ["worker.ready", "worker.stopped"]


def test_no_command_no_worker(site: Site) -> None:
    site.role("builder", ["true"])
    site.add("a", role="tester")

    process = site.worker("--once", role="tester")
    _, err = process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 2
    assert "no command for the role tester" in err
    assert "[roles.tester]" in err
    assert site.job("a")["status"] == "awaiting_test"
    assert not site.registry.exists()


@pytest.mark.parametrize(("command", "status"), [("no-such-program", 127), ("./missing", 127), ("./plain", 126)])
def test_a_command_that_is_not_there_starts_no_worker(site: Site, command: str, status: int) -> None:
    (site.root / "plain").write_text("no program")
    site.role("builder", [command])
    site.add("a")

    process = site.worker("--once")
    process.communicate(timeout=PATIENCE_S)

    assert process.returncode == status
    assert site.job("a")["attempts"] == []


def test_a_command_that_does_not_start_gives_its_job_back(site: Site) -> None:
    """It looks like a program, and the system refuses it: nothing is pretended, and no attempt is used up."""
    (site.root / "odd").write_text("#!/no/such/interpreter\n")
    (site.root / "odd").chmod(0o755)
    site.role("builder", ["./odd"])
    site.add("a")

    process = site.worker()
    _, err = process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 127
    assert "cannot run ./odd" in err
    job = site.job("a")
    assert (job["status"], job["attempts_count"], job["attempts"][0]["outcome"]) == ("ready", 0, "released")


def test_output_without_end_is_counted_and_its_end_is_kept(site: Site) -> None:
    site.role("builder", shell("head -c 3000000 /dev/zero; echo; echo the end"), output_bytes=1000)
    site.add("a")

    site.once()

    result = site.job("a")["result"]
    assert (result["output_bytes"], result["is_cut"]) == (3000009, True)
    assert result["output"].endswith("\nthe end\n")
    assert len(result["output"]) == 1000


def test_what_a_command_leaves_in_its_group_ends_with_it(site: Site) -> None:
    site.role("builder", shell("sleep 300 & echo $! > left; exit 0"), grace_s=5)
    site.add("a")

    assert site.once()["last"]["outcome"] == "completed"

    assert not is_there(int((site.root / "left").read_text()))


def test_a_command_may_report_by_itself(site: Site) -> None:
    complete = "queue complete $LATCHBOARD_JOB_ID --token $LATCHBOARD_TOKEN --to needs_adapt --root $LATCHBOARD_ROOT"
    site.role("builder", shell(f"{' '.join(_latchboard(site))} {complete}; exit 1"), grace_s=20)
    site.add("a")

    assert site.once()["last"] == {"job": "a", "outcome": "settled"}

    job = site.job("a")
    assert (job["status"], len(job["attempts"])) == ("needs_adapt", 1)
    assert site.log().count("worker.settled") == 1


def test_a_job_with_open_sub_tasks_is_given_back_until_they_are_done(site: Site) -> None:
    add = "queue add painter part --id part --parent a --agent $AGENT_ID --root $LATCHBOARD_ROOT"
    site.role("builder", shell(f"test -e once || {' '.join(_latchboard(site))} {add}; touch once"))
    site.role("painter", ["true"])
    site.add("a")

    assert site.once()["last"]["outcome"] == "released"
    assert site.once()["refusal"] == "nothing-ready"
    assert site.once("painter")["last"] == {"job": "part", "outcome": "completed"}
    assert site.once()["last"]["outcome"] == "completed"


# -- waking and waiting -----------------------------------------------------------------------------------------------


def test_a_job_is_claimed_as_soon_as_it_is_ready(site: Site) -> None:
    """The interval is an hour: what wakes the worker is the change."""
    site.role("builder", ["true"])
    site.worker("--interval", "3600")
    site.wait_for_log("worker.ready")
    late: list[float] = []
    while len(late) < 100 and not (late and min(late) < 0.05):  # a busy machine may need several
        n = len(late)
        until(lambda n=n: site.log().count("worker.completed") == n, "it is idle again")
        site.add(f"a{n}")
        site.wait_for(f"a{n}", "done")
        job = site.job(f"a{n}")
        late.append(_s(job["attempts"][0]["started_at"]) - _s(job["created_at"]))

    assert min(late) < 0.05


def test_a_failed_job_comes_back_by_its_time_and_not_by_the_interval(site: Site) -> None:
    site.role("builder", shell("test -e tried && exit 0; touch tried; exit 1"))
    site.worker("--interval", "3600")
    site.wait_for_log("worker.ready")
    site.add("a")

    assert site.wait_for("a", "done")["attempts"][0]["outcome"] == "failed"


def test_a_worker_is_woken_when_there_is_room(site: Site) -> None:
    site.role("builder", shell(HOLDS))
    site.board.queue.set_limits(by="test", roles={"builder": 1})
    site.add("a", "b")
    site.worker("--interval", "3600")
    site.worker("--interval", "3600")
    site.wait_for_begin()
    site.let_go("b")
    site.let_go("a")

    site.wait_for("b", "done")


def test_a_worker_is_woken_when_the_files_of_a_job_are_free(site: Site) -> None:
    site.role("builder", ["true"])
    hold = site.board.agent("other").lock("x.py")
    site.add("a", files=["x.py"])
    site.worker("--interval", "3600")
    until(lambda: site.board.store.read("waiters/").scan("waiters/"), "the job stands in line")

    hold.release()

    site.wait_for("a", "done")


def test_polls_that_find_nothing_are_silent(site: Site) -> None:
    """K34: a fraction of a second is an interval, and ten of them say nothing."""
    site.role("builder", ["true"])
    worker = site.worker("--interval", "0.05")
    site.wait_for_log("worker.ready")
    time.sleep(0.6)

    assert site.log() == ["worker.ready"]
    assert stop(worker)[0] == 0
    assert site.log() == ["worker.ready", "worker.stopping", "worker.stopped"]
    assert [line.split()[1] for line in worker.communicate()[1].splitlines()] == site.log()


# -- leases -----------------------------------------------------------------------------------------------------------


def test_a_job_of_three_lease_times_keeps_its_lease(tmp_path: Path) -> None:
    """K31: heartbeats go on while the command works, and another worker gets nothing.

    Whom a busy machine keeps from its heartbeat for a whole lease loses it, and must: then the leases are longer.
    """
    attempts_count = 0
    for lease_ttl_s in (0.5, 2.0, 8.0):
        (tmp_path / f"{lease_ttl_s}").mkdir()
        with closing(Site(tmp_path / f"{lease_ttl_s}")) as site:
            site.role("builder", shell(HOLDS), lease_ttl_s=lease_ttl_s)
            site.add("a", attempts_max=1000)
            site.worker("--interval", "0.1")
            site.wait_for_begin()
            site.worker("--interval", "0.1")
            time.sleep(3.2 * lease_ttl_s)
            site.let_go("a")
            attempts_count = len(site.wait_for("a", "done")["attempts"])
            if attempts_count == 1:
                assert [words[:2] for words in site.told()] == [["begin", "a"], ["end", "a"]]
                break

    assert attempts_count == 1


@pytest.mark.parametrize("verb", ["cancel", "block"])
def test_a_job_that_is_taken_away_stops_its_command_at_once(site: Site, verb: str) -> None:
    site.role("builder", shell(HOLDS), lease_ttl_s=5400)
    site.add("a")
    worker = site.worker("--interval", "3600")
    pid = site.wait_for_begin()

    assert site.command("queue", verb, "a", "--agent", "lead").returncode == 0

    until(lambda: not is_there(pid), "the command ends")  # the worker would look again in an hour
    site.wait_for_log("worker.lost")
    assert site.job("a")["status"] == {"cancel": "cancelled", "block": "blocked"}[verb]
    assert stop(worker)[0] == 0
    assert [words[0] for words in site.told()] == ["begin"]


def test_a_worker_that_was_stopped_past_its_lease_completes_nothing(site: Site) -> None:
    """K30: somebody else did the job meanwhile; the late owner is refused, and its command ended."""
    site.role("builder", shell(HOLDS), lease_ttl_s=4)
    site.add("a")
    late = site.worker("--interval", "0.1")
    first = site.wait_for_begin()
    site.stand_still(late)
    site.role("builder", shell(HOLDS))  # whoever comes now keeps its lease, however busy the machine
    site.worker("--interval", "0.1")
    site.wait_for_begin(2)

    late.send_signal(signal.SIGCONT)

    until(lambda: not is_there(first), "the late command ends")
    site.wait_for_log("worker.lost")
    site.let_go("a")
    job = site.wait_for("a", "done")
    assert [one["outcome"] for one in job["attempts"]] == ["expired", "completed"]
    assert [words[0] for words in site.told()] == ["begin", "begin", "end"]


# -- ending -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_an_idle_worker_ends_at_once(site: Site, number: int) -> None:
    site.role("builder", ["true"])
    worker = site.worker("--interval", "3600")
    site.wait_for_log("worker.ready")

    status, took_s = stop(worker, number)

    assert status == 0
    assert took_s < AT_ONCE_S
    assert not (site.registry / "worker.builder.1.pid").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_at_work_gives_its_job_back(site: Site, number: int) -> None:
    """K32: the command gets TERM, the job returns uncounted, the status is 0."""
    site.role("builder", shell(HOLDS))
    site.add("a", files=["x.py"])
    worker = site.worker()
    pid = site.wait_for_begin()

    status, took_s = stop(worker, number)

    assert status == 0
    assert took_s < AT_ONCE_S
    assert not is_there(pid)
    job = site.job("a")
    assert (job["status"], job["attempts_count"], job["attempts"][0]["outcome"]) == ("ready", 0, "released")
    assert site.claims() == {}
    assert site.board.locks.check(["x.py"], agent="other") == []


def test_a_command_that_ignores_the_signal_is_killed_with_all_that_it_started(site: Site) -> None:
    site.role("builder", shell("trap '' TERM; sleep 300 & echo $! > other; " + HOLDS), grace_s=0.5)
    site.add("a")
    worker = site.worker()
    pid = site.wait_for_begin()

    status, took_s = stop(worker)

    assert status == 0
    assert 0.4 < took_s < AT_ONCE_S
    assert not is_there(pid)
    assert not is_there(int((site.root / "other").read_text()))
    assert site.job("a")["status"] == "ready"


def test_a_second_signal_does_not_wait(site: Site) -> None:
    site.role("builder", shell("trap '' TERM; " + HOLDS), grace_s=600)
    site.add("a")
    worker = site.worker()
    pid = site.wait_for_begin()
    worker.terminate()
    site.wait_for_log("worker.ending")

    status, took_s = stop(worker)

    assert status == 0
    assert took_s < AT_ONCE_S
    assert not is_there(pid)
    assert site.job("a")["attempts_count"] == 0


def test_a_keeper_that_is_stopped_keeps_nobody(site: Site) -> None:
    """The last resort: its group is killed behind the grace."""
    site.role("builder", shell(HOLDS), grace_s=0.2)
    site.add("a")
    worker = site.worker()
    pid = site.wait_for_begin()
    keeper = os.getpgid(pid)
    os.kill(keeper, signal.SIGSTOP)

    status, took_s = stop(worker)

    assert status == 0
    assert took_s < AT_ONCE_S
    assert not is_there(pid)
    assert site.job("a")["status"] == "ready"


def test_two_workers_of_one_number_are_one(site: Site) -> None:
    site.role("builder", ["true"])
    site.worker("--number", "7")
    site.wait_for_log("worker.ready", "worker.builder.7")

    again = site.worker("--number", "7")
    _, err = again.communicate(timeout=PATIENCE_S)

    assert again.returncode == 10
    assert "worker.builder.7" in err
    site.worker()
    site.worker()
    site.wait_for_log("worker.ready", "worker.builder.1")
    site.wait_for_log("worker.ready", "worker.builder.2")


def test_a_worker_whose_registration_was_ended_by_force_ends(site: Site) -> None:
    site.role("builder", ["true"])
    worker = site.worker("--interval", "0.1")
    site.wait_for_log("worker.ready")

    assert site.command("singleton", "release", "worker.builder.1", "--force").returncode == 0

    assert worker.wait(PATIENCE_S) == 0
    assert site.log()[-2:] == ["worker.stopping", "worker.stopped"]


# -- a killed worker --------------------------------------------------------------------------------------------------


def test_a_killed_workers_command_ends_and_its_successor_begins_anew(site: Site) -> None:
    """The lease lasts an hour and a half: the successor of the same number need not wait for that."""
    site.role("builder", shell(HOLDS))
    site.add("a")
    worker = site.worker()
    first = site.wait_for_begin()

    worker.kill()
    worker.wait()

    until(lambda: not is_there(first), "its command ends with it")
    site.worker()
    site.wait_for_begin(2)
    site.let_go("a")
    job = site.wait_for("a", "done")
    assert [one["outcome"] for one in job["attempts"]] == ["failed", "completed"]
    assert "its worker ended before it was finished" in job["attempts"][0]["error"]
    assert job["attempts_count"] == 0
    assert "worker.recovered" in site.log()
    assert [words[0] for words in site.told()] == ["begin", "begin", "end"]


def test_a_successor_waits_for_the_end_of_the_command_before_it(site: Site) -> None:
    """The first command takes its time to end: never do two work on one job."""
    ends = "while [ ! -e may-end ]; do sleep 0.02; done; echo over >> told; exit"
    site.role("builder", shell(f"trap '{ends}' TERM; " + HOLDS), grace_s=300)
    site.add("a")
    worker = site.worker()
    site.wait_for_begin()
    entry = DaemonEntry(str(site.root), "worker.builder.1")

    worker.kill()
    worker.wait()
    with closing(LockFile(f"{site.registry}/worker.builder.1.keeper", kernel_lock())) as lock:
        assert not lock.try_lock(), "the command's keeper has it"
    second = site.worker()
    until(lambda: (entry.read().facts() or {}).get("process", {}).get("pid") == second.pid, "it has the number")
    status, _ = stop(second)  # who waits may be told to end, too
    site.worker()
    (site.root / "may-end").touch()

    site.wait_for_begin(2)
    assert status == 0
    assert [words[0] for words in site.told()] == ["begin", "over", "begin"]


def test_a_killed_workers_job_is_done_by_another_when_its_lease_has_run_out(site: Site) -> None:
    """K31: claimable within the lease time and one poll, where the machine does not keep the other one from it."""
    lease_ttl_s, late_s = 4.0, list[float]()
    while len(late_s) < 5 and not (late_s and min(late_s) < 1):
        n = len(late_s)
        site.role("builder", shell(HOLDS), lease_ttl_s=lease_ttl_s)
        site.add(f"a{n}")
        worker = site.worker("--number", "1")
        site.wait_for_begin(2 * n + 1)
        site.role("builder", shell(HOLDS))  # the other one's lease lasts
        other = site.worker("--number", "2", "--interval", "0.2")
        until(lambda n=n: site.log("worker.builder.2").count("worker.ready") > n, "the other one waits")

        worker.kill()
        worker.wait()
        started_s = time.monotonic()
        site.wait_for_begin(2 * n + 2)

        late_s.append(time.monotonic() - started_s - lease_ttl_s - 0.2)
        site.let_go(f"a{n}")
        assert [one["outcome"] for one in site.wait_for(f"a{n}", "done")["attempts"]] == ["expired", "completed"]
        assert stop(other)[0] == 0

    assert min(late_s) < 1


def test_a_worker_killed_before_its_report_is_heard_leaves_a_job_that_is_done_once(
    site: Site, nursery: Nursery
) -> None:
    """Its command has ended, and nobody can commit: the report is lost with it, and the next one begins anew."""
    site.role("builder", shell(HOLDS))
    site.add("a")
    worker = site.worker()
    first = site.wait_for_begin()
    guard = nursery.start(holding, root=str(site.root))
    assert guard.receive() == {"holds": True}
    site.let_go("a")
    until(lambda: not is_there(first), "the command ends")
    until(lambda: not keeper_is_there(site), "its keeper ends")

    worker.kill()
    worker.communicate()
    guard.channel.send(go=True)
    assert guard.receive() == {"holds": False}
    site.worker()

    job = site.wait_for("a", "done")
    assert [one["outcome"] for one in job["attempts"]] == ["failed", "completed"]
    assert [words[0] for words in site.told()] == ["begin", "end", "begin", "end"]


def test_a_worker_killed_while_it_drains_leaves_a_job_that_is_done_once(site: Site) -> None:
    site.role("builder", shell("trap 'sleep 1; exit' TERM; " + HOLDS), grace_s=30)
    site.add("a")
    worker = site.worker()
    first = site.wait_for_begin()
    worker.terminate()
    site.wait_for_log("worker.ending")

    worker.kill()
    worker.wait()
    site.worker()

    site.wait_for_begin(2)
    assert not is_there(first)
    site.let_go("a")
    assert [one["outcome"] for one in site.wait_for("a", "done")["attempts"]] == ["failed", "completed"]


def test_a_worker_waits_with_its_report_for_a_store_that_is_busy(site: Site, nursery: Nursery) -> None:
    """A guard that nobody gets: told once, and the report is not lost."""
    site.role("builder", shell(HOLDS))
    site.add("a")
    site.worker(LATCHBOARD_GUARD_WAIT_S_MAX="0.2")
    site.wait_for_begin()
    guard = nursery.start(holding, root=str(site.root))
    assert guard.receive() == {"holds": True}
    site.let_go("a")
    site.wait_for_log("worker.troubled")
    time.sleep(1.0)  # it tries several times

    guard.channel.send(go=True)

    site.wait_for("a", "done")
    site.wait_for_log("worker.completed")
    assert [event for event in site.log() if event in ("worker.troubled", "worker.well")] == [
        "worker.troubled",
        "worker.well",
    ]


# -- managers ---------------------------------------------------------------------------------------------------------


def test_a_service_manager_is_told(site: Site, tmp_path: Path) -> None:
    import socket

    address = str(tmp_path / "notify")
    site.role(
        "builder",
        shell('test -z "$NOTIFY_SOCKET$WATCHDOG_USEC" && ' + HOLDS.strip().replace("\n", "; ").replace("do;", "do")),
    )
    site.add("a")
    heard = b""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(PATIENCE_S)
        worker = site.worker("--interval", "3600", NOTIFY_SOCKET=address, WATCHDOG_USEC="400000")
        while heard.count(b"WATCHDOG=1") < 5:
            heard += manager.recv(4096) + b"\n"
            site.let_go("a")
        assert stop(worker)[0] == 0
        manager.settimeout(0.2)
        while b"STOPPING=1" not in heard:
            heard += manager.recv(4096) + b"\n"

    words = heard.decode().splitlines()
    assert words[0] == "READY=1"
    assert words.index("STATUS=working on a") < words.index("WATCHDOG=1") or "STATUS=idle" in words
    assert words[-1] == "STOPPING=1"


def test_the_board_shows_who_works_on_what(site: Site) -> None:
    site.role("builder", shell(HOLDS))
    site.add("a", files=["x.py"])
    site.worker()
    site.wait_for_begin()

    shown = {one["agent"]: one for one in site.board.board.agents()}["worker.builder.1"]

    assert shown["status"] == "working on a"


# -- throughout -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_workers_killed_at_random_do_each_job_once(site: Site) -> None:
    """Three workers, killed and started anew at any moment: each job is done once, no two commands work on one."""
    import random

    site.role(
        "builder",
        shell('echo "begin $LATCHBOARD_JOB_ID $LATCHBOARD_TOKEN $$" >> told; sleep 0.0$((LATCHBOARD_TOKEN % 10))'),
    )
    site.add(*[f"j{n}" for n in range(JOBS)], attempts_max=1000)
    chance = random.Random(32)
    workers = [site.worker("--number", str(n), "--interval", "0.2") for n in (1, 2, 3)]
    for _ in range(100 if SOAK else 12):
        time.sleep(chance.random() * 0.5)
        at = chance.randrange(3)
        workers[at].kill()
        workers[at].communicate()
        workers[at] = site.worker("--number", str(at + 1), "--interval", "0.2")
    for n in range(JOBS):
        site.wait_for(f"j{n}", "done")

    outcomes = [one["outcome"] for n in range(JOBS) for one in site.job(f"j{n}")["attempts"]]
    assert outcomes.count("completed") == JOBS
    assert set(outcomes) <= {"completed", "failed", "released"}
    tokens = [words[2] for words in site.told()]
    assert len(tokens) == len(set(tokens))
    assert site.claims() == {}


def keeper_is_there(site: Site) -> bool:
    """Whether any keeper of this project runs."""
    lines = [Path(f"/proc/{pid}/environ") for pid in os.listdir("/proc") if pid.isdecimal() and _is_keeper(pid)]
    return any(f"LATCHBOARD_ROOT={site.root}".encode() in _bytes(line) for line in lines)


def _is_keeper(pid: str) -> bool:
    return b"keeper.py" in _bytes(Path(f"/proc/{pid}/cmdline"))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _latchboard(site: Site) -> list[str]:
    import sys

    return ["env", f"PYTHONPATH={TREE / 'src'}", sys.executable, "-m", "latchboard"]


def _s(at: str) -> float:
    from latchboard.clock import parse_iso

    return parse_iso(at)
