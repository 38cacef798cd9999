from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.surface.cli.harness import Cli, validate
from tests.surface.cli.real import Real

pytestmark = pytest.mark.process


def test_locks_are_held_while_the_command_runs_and_no_longer(real: Real) -> None:
    inside = f"{sys.executable} -m latchboard check src/a.py --agent builder"

    done = real("run", "src/a.py", "--", "sh", "-c", f"{inside}; echo in=$?")

    assert done.returncode == 0
    assert "in=10\n" in done.stdout
    assert "bound to the process" in done.stdout
    assert real("check", "src/a.py").returncode == 0


def test_command_finds_agent_and_token(real: Real) -> None:
    done = real("run", "src/a.py", "--", "sh", "-c", 'echo "$AGENT_ID $LATCHBOARD_TOKEN"', "--agent", "x")

    agent, token = done.stdout.split()
    assert agent == "planner"
    assert int(token) > 0


def test_exit_status_and_arguments_are_passed_on(real: Real) -> None:
    assert real("run", "src/a.py", "--", "sh", "-c", "exit 7").returncode == 7
    assert real("run", "src/a.py", "--", "echo", "--json", "--", "--help").stdout == "--json -- --help\n"
    assert real("run", "src/a.py", "--", "cat", input="through\n").stdout == "through\n"


def test_death_by_a_signal_is_128_and_its_number(real: Real) -> None:
    done = real("run", "src/a.py", "--json", "--", "sh", "-c", "kill -9 $$")

    answer = json.loads(done.stderr)
    validate("run", answer)
    assert done.returncode == 137
    assert (answer["signal"], answer["command_status"], answer["lost"]) == (9, 137, None)


def test_program_that_is_not_there_is_127_and_one_that_cannot_run_is_126(real: Real) -> None:
    (real.project / "data.txt").write_text("no program")

    missing = real("run", "src/a.py", "--", "no-such-program")
    forbidden = real("run", "src/a.py", "--json", "--", "./data.txt")

    assert (missing.returncode, missing.stdout) == (127, "")
    assert "there is no such program" in missing.stderr
    assert forbidden.returncode == 126
    assert json.loads(forbidden.stderr)["code"] == "command-not-runnable"
    assert real("check", "src/a.py").returncode == 0


def test_refusal_is_told_on_standard_error_and_nothing_runs(real: Real) -> None:
    real("acquire", "src/a.py", "--agent", "builder")

    plain = real("run", "src/a.py", "--", "echo", "it ran")
    as_json = real("run", "src/a.py", "--json", "--", "echo", "it ran")

    assert (plain.returncode, plain.stdout) == (10, "")
    assert "builder holds it" in plain.stderr
    assert (as_json.returncode, as_json.stdout) == (10, "")
    assert json.loads(as_json.stderr)["code"] == "lock-held"


def test_command_and_paths_are_both_needed(cli: Cli) -> None:
    for words in (("src/a.py",), ("src/a.py", "--"), ("--", "true"), (), ("src/a.py", "--", "a\0b")):
        assert cli("run", "--agent", "planner", *words).status == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_signals_are_passed_on(real: Real, number: signal.Signals) -> None:
    trap = f"trap 'echo got it; exit 9' {number.value}; echo ready; while :; do sleep 0.05; done"
    process = real.start("run", "src/a.py", "--", "sh", "-c", trap, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"

    process.send_signal(number)

    assert process.communicate(timeout=60)[0] == "got it\n"
    assert process.returncode == 9
    assert real("check", "src/a.py").returncode == 0


def test_ignored_hangup_stays_ignored(real: Real) -> None:
    def ignore() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    process = real.start("run", "src/a.py", "--", "sh", "-c", "echo ready; read line; echo $line",
                         stdin=subprocess.PIPE, preexec_fn=ignore, start_new_session=True)  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"

    process.send_signal(signal.SIGHUP)

    assert process.communicate("still here\n", timeout=60)[0] == "still here\n"
    assert process.returncode == 0


def test_lock_that_is_broken_is_told_at_once_and_status_is_11(real: Real) -> None:
    process = real.start("run", "src/a.py", "--", "sh", "-c", "echo ready; read line", stdin=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None and process.stdin is not None
    assert process.stdout.readline() == "ready\n"

    real("break", "src/a.py", "--agent", "operator", "--reason", "it hangs")
    told = process.stderr.readline()
    process.stdin.write("\n")
    process.stdin.close()

    assert "src/a.py" in told
    assert process.wait(timeout=60) == 11


def test_lost_lock_stops_the_command_where_that_is_asked_for(real: Real) -> None:
    process = real.start("run", "src/a.py", "--stop-when-lost", "--json", "--", "sh", "-c", "echo ready; exec sleep 60")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"

    real("break", "src/a.py", "--agent", "operator", "--reason", "it hangs")
    answer = json.loads(process.communicate(timeout=60)[1])

    validate("run", answer)
    assert process.returncode == 11
    assert answer["signal"] == signal.SIGTERM
    assert answer["lost"]["code"] in ("stale-token", "taken-over")


def test_short_lease_is_renewed_while_the_command_runs(real: Real) -> None:
    """Whom a busy machine keeps from renewing for a whole lease loses it, and must: then the lease is longer."""
    for ttl_s in (0.6, 4.0, 12.0):
        done = real("run", "src/a.py", "--ttl-s", str(ttl_s), "--json", "--", "sleep", str(2.5 * ttl_s))
        if done.returncode == 0:
            break

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stderr)["lost"] is None


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="not applicable: only Linux tells a child of its parent's death"
)
def test_command_ends_when_the_one_beside_it_is_killed(real: Real) -> None:
    process = real.start("run", "src/a.py", "--", "sh", "-c", "echo $$; exec sleep 60", stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    death = os.pidfd_open(child)

    process.kill()

    os.set_blocking(death, False)
    import select

    assert select.select([death], [], [], 60)[0]
    os.close(death)
    assert real("check", "src/a.py").returncode == 0
    assert real("acquire", "src/a.py", "--agent", "builder").returncode == 0


def test_process_that_waits_and_is_terminated_leaves_the_line(real: Real) -> None:
    real("acquire", "src/a.py", "--agent", "builder")
    waiting = ("src/a.py", "--wait-s-max", "60")
    for words in (("acquire", *waiting), ("run", *waiting, "--", "true"), ("handoff", "request", *waiting)):
        for number, status in ((signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)):
            before = real.revision()
            process = real.start(*words)
            real.wait_for("lock.waiting", after=before)

            process.send_signal(number)

            _, told = process.communicate(timeout=60)
            assert process.returncode == status
            assert told == f"latchboard: ended by {number.name}; nothing that was waited for was taken\n"
            assert real.json("status")["waiters"] == []


def test_command_may_check_and_acquire_what_is_held_for_it(real: Real) -> None:
    latchboard = f"{sys.executable} -m latchboard"
    inside = (
        f"{latchboard} check src/a.py; echo check=$?; {latchboard} acquire src/a.py src/b.py --json; "
        f"{latchboard} release src/a.py src/b.py --json; echo release=$?; {latchboard} check src/a.py --agent builder"
    )

    done = real("run", "src/a.py", "--", "sh", "-c", inside)

    said = done.stdout.splitlines()
    acquired, released = (json.loads(line) for line in said if line.startswith("{"))
    validate("acquire", acquired)
    validate("release", released)
    assert "check=0" in said and "release=0" in said
    assert [one["name"] for one in acquired["locks"]] == ["src/a.py", "src/b.py"]
    assert acquired["lent"] == ["src/a.py"]
    assert (released["released"], released["kept"], released["not_held"]) == (["src/b.py"], ["src/a.py"], [])
    assert done.returncode == 10  # the release inside has ended nothing: others are still kept out
    assert real("check", "src/a.py").returncode == 0


def test_token_of_the_environment_that_is_none_is_told(cli: Cli) -> None:
    answer = cli("check", "src/a.py", LATCHBOARD_TOKEN="many")

    assert answer.status == 2
    assert "LATCHBOARD_TOKEN" in answer.err
