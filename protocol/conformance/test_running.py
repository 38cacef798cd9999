"""cli.md, "run"."""

from __future__ import annotations

import json
import signal
import subprocess

import pytest

from .conftest import WAIT_S_MAX, Subject, validate

pytestmark = pytest.mark.running


def test_locks_are_held_while_the_command_runs_and_no_longer(subject: Subject) -> None:
    process = subject.start("run", "a", "--agent", "planner", "--", "cat")
    subject.until(lambda: subject.holder("a") == "planner")
    assert subject.ask("check", "a").json["held"][0]["bound"] == "process"

    out, _ = process.communicate("through\n", timeout=WAIT_S_MAX)

    assert (process.returncode, out) == (0, "through\n")
    assert subject.holder("a") is None


def test_status_of_the_command_is_passed_on(subject: Subject, shell: list[str]) -> None:
    run = ("run", "a", "--agent", "planner", "--")

    assert subject(*run, *shell, "raise SystemExit(7)").status == 7
    assert subject(*run, *shell, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)").status == 137
    assert subject(*run, "no-such-program-anywhere").status == 127
    (subject.project / "text").write_text("no program")
    assert subject(*run, "./text").status == 126
    assert subject.holder("a") is None


def test_command_finds_its_agent_and_its_token(subject: Subject, shell: list[str]) -> None:
    program = "import os; print(os.environ['AGENT_ID'], int(os.environ['LATCHBOARD_TOKEN']) > 0)"

    assert subject("run", "a", "--agent", "planner", "--", *shell, program).out == "planner True\n"


def test_words_behind_the_dashes_are_the_commands_own(subject: Subject, shell: list[str]) -> None:
    program = "import sys; print(sys.argv[1:])"

    answer = subject("run", "a", "--agent", "planner", "--", *shell, program, "--json", "--", "--agent", "x")

    assert answer.out == "['--json', '--', '--agent', 'x']\n"


def test_answer_is_on_standard_error(subject: Subject, shell: list[str]) -> None:
    answer = subject("run", "a", "--agent", "planner", "--json", "--", *shell, "print('mine')")

    assert answer.out == "mine\n"
    found = json.loads(answer.err)
    validate("run", found)
    assert (found["command_status"], found["signal"], found["lost"]) == (0, None, None)


def test_refusal_runs_nothing(subject: Subject) -> None:
    subject.lock("a", agent="builder")

    answer = subject("run", "a", "--agent", "planner", "--json", "--", "echo", "it ran")

    assert (answer.status, answer.out) == (10, "")
    assert json.loads(answer.err)["code"] == "lock-held"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_are_passed_on(subject: Subject, shell: list[str], number: signal.Signals) -> None:
    program = f"""if True:
        import signal, sys
        signal.signal({number.value}, lambda *_: sys.exit(9))
        print("ready", flush=True)
        signal.pause()"""
    process = subject.start("run", "a", "--agent", "planner", "--", *shell, program, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"

    process.send_signal(number)

    assert process.wait(timeout=WAIT_S_MAX) == 9
    assert subject.holder("a") is None


def test_killed_holder_is_taken_over_at_once(subject: Subject) -> None:
    process = subject.start("run", "a", "--agent", "planner", "--", "cat")
    subject.until(lambda: subject.holder("a") == "planner")

    process.kill()
    process.wait()

    assert subject.holder("a") is None
    subject.lock("a", agent="builder")


def test_lock_that_is_broken_is_told_and_is_11(subject: Subject) -> None:
    process = subject.start("run", "a", "--agent", "planner", "--", "cat")
    subject.until(lambda: subject.holder("a") == "planner")

    subject.done("break", "a", "--agent", "operator", "--reason", "it hangs")
    assert process.stderr is not None and process.stdin is not None
    assert "a" in process.stderr.readline()
    process.stdin.close()

    assert process.wait(timeout=WAIT_S_MAX) == 11


def test_lease_is_renewed_while_the_command_runs(subject: Subject, shell: list[str]) -> None:
    """Whom a busy machine keeps from renewing for a whole lease loses it by right: then the lease is longer."""
    for ttl_s in (1, 4, 12):
        program = f"import time; time.sleep({2.5 * ttl_s})"
        answer = subject("run", "a", "--agent", "p", "--ttl-s", str(ttl_s), "--", *shell, program)
        if answer.status == 0:
            break

    assert answer.status == 0, answer


def test_command_and_path_are_needed(subject: Subject) -> None:
    for words in (("a",), ("a", "--"), ("--", "true")):
        done = subprocess.run(
            [*subject.command, "run", "--agent", "p", *words], cwd=subject.project, check=False, capture_output=True
        )
        assert done.returncode == 2
