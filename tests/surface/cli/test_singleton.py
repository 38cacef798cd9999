"""singleton run, status, release and metrics, as people and programs use them."""

from __future__ import annotations

import json
import os
import select
import signal
import sys

import pytest

from tests.surface.cli.harness import Cli, validate
from tests.surface.cli.real import Real

TYPE = "code_developer"


def test_nothing_is_known_before_anybody_ran_and_looking_makes_nothing(cli: Cli) -> None:
    answer = cli("singleton", "status")

    assert answer.status == 0
    assert answer.out.count(": nobody runs\n") == 6
    assert cli("singleton", "status", "assistant").out == "assistant: not restricted, any number may run\n"
    assert cli("metrics").out.count("# TYPE") == 5
    assert not (cli.project / "data").exists()


def test_status_as_json_has_every_field(cli: Cli) -> None:
    (one,) = cli("singleton", "status", TYPE, "--json").json["singletons"]

    assert (one["state"], one["pid"], one["is_restricted"]) == ("free", None, True)
    assert cli("singleton", "status", "--json").status == 0


def test_who_runs_is_shown_and_named_in_the_refusal(cli: Cli) -> None:
    with cli.board().singletons.enforce(TYPE) as other:
        named = cli("singleton", "status", TYPE)
        as_json = cli("singleton", "status", TYPE, "--json")
        released = cli("singleton", "release", TYPE)
        refused = cli("singleton", "release", TYPE, "--json")

    assert (named.status, as_json.status, released.status, refused.status) == (10, 10, 10, 10)
    assert f"process {other.pid} runs, started " in named.out
    assert as_json.json["singletons"][0]["verdict"] == "live"
    assert f"{TYPE} is already running: process {other.pid}" in released.err
    assert refused.json["code"] == "already-running"
    assert refused.json["pid"] == other.pid


def test_force_ends_a_registration_and_says_whose(cli: Cli) -> None:
    with cli.board().singletons.enforce(TYPE) as other:
        answer = cli("singleton", "release", TYPE, "--force")

        assert not other.is_held()
        assert cli("singleton", "status", TYPE).status == 0
    assert answer.status == 0
    assert "forced: ended the registration of code_developer" in answer.out
    assert f"process {other.pid} goes on" in answer.out
    assert f"kill {other.pid}" in answer.out


def test_a_stale_entry_is_shown_and_removed(cli: Cli) -> None:
    folder = cli.project / "data/.agent_pids"
    folder.mkdir(parents=True)
    (folder / f"{TYPE}.pid").write_text("1\n")

    shown = cli("singleton", "status", TYPE)
    removed = cli("singleton", "release", TYPE)
    again = cli("singleton", "release", TYPE, "--json")

    assert (shown.status, removed.status, again.status) == (0, 0, 0)
    assert "a stale entry: process 1 does not hold its lock" in shown.out
    assert f"latchboard singleton release {TYPE}" in shown.out
    assert removed.out == "removed a stale entry of code_developer: process 1 does not hold its lock\n"
    assert again.json["released"] is False
    assert cli("singleton", "release", TYPE).out.startswith("nobody runs as code_developer")


def test_metrics_as_text_and_as_json(cli: Cli) -> None:
    cli.board().singletons.enforce(TYPE).release()

    text, families = cli("metrics").out, cli("metrics", "--json").json["families"]

    assert f'\nlatchboard_singleton_enforced_total{{agent_type="{TYPE}"}} 1\n' in text
    enforced = next(one for one in families if one["name"] == "latchboard_singleton_enforced_total")
    assert {"labels": {"agent_type": TYPE}, "value": 1} in enforced["samples"]


@pytest.mark.parametrize("name", ["../x", "a/b", "..", "", "x" * 1000, "a\x1b[2J"])
def test_hostile_types_are_wrong_usage(cli: Cli, name: str) -> None:
    for words in (("release", name), ("status", name), ("run", name, "--", "true")):
        answer = cli("singleton", *words)
        assert answer.status == 2
        assert "\x1b" not in answer.err
    assert not (cli.project / "data").exists()


def test_a_command_is_needed(cli: Cli) -> None:
    for words in ((TYPE,), (TYPE, "--"), ()):
        assert cli("singleton", "run", *words).status == 2


def test_settings_name_the_types(cli: Cli) -> None:
    cli.settings = type(cli.settings)(singleton_types=["reviewer"])

    assert cli("singleton", "status").out == "reviewer: nobody runs\n"


# -- as processes -----------------------------------------------------------------------------------------------------


@pytest.mark.process
def test_a_command_runs_alone_and_the_type_is_free_afterwards(real: Real) -> None:
    inside = f"{sys.executable} -m latchboard singleton run {TYPE} -- echo twice"

    done = real("singleton", "run", TYPE, "--", "sh", "-c", f'echo "$LATCHBOARD_AGENT_TYPE"; {inside}; echo in=$?')

    assert (done.returncode, done.stdout) == (0, f"{TYPE}\nin=10\n")
    assert "is already running: process" in done.stderr
    assert "agent.singleton" not in done.stderr
    assert real("singleton", "status", TYPE).returncode == 0


@pytest.mark.process
@pytest.mark.parametrize(
    ("command", "status"), [("exit 7", 7), ("kill -9 $$", 137), ("true", 0)], ids=["status", "signal", "success"]
)
def test_the_commands_own_status_is_passed_on(real: Real, command: str, status: int) -> None:
    done = real("singleton", "run", TYPE, "--json", "--", "sh", "-c", command)

    answer = json.loads(done.stderr)
    validate("singleton-run", answer)
    assert (done.returncode, answer["command_status"]) == (status, status)
    assert real.json("singleton", "status", TYPE)["singletons"][0]["state"] == "free"


@pytest.mark.process
def test_program_that_is_not_there_leaves_the_type_free(real: Real) -> None:
    assert real("singleton", "run", TYPE, "--", "no-such-program").returncode == 127
    assert real("singleton", "status", TYPE).returncode == 0


@pytest.mark.process
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_killed_beside_its_command_the_type_is_free_and_the_command_ends(real: Real, signum: int) -> None:
    running = real.start("singleton", "run", TYPE, "--", "sh", "-c", "echo $$; exec sleep 60")
    assert running.stdout is not None
    pid = int(running.stdout.readline())
    watch = os.pidfd_open(pid)

    running.send_signal(signum)
    status = running.wait(60)

    assert select.select([watch], [], [], 60)[0]
    os.close(watch)
    assert status == (143 if signum == signal.SIGTERM else -9)
    assert real("singleton", "run", TYPE, "--", "true").returncode == 0
    stale = real.json("singleton", "status", TYPE)["singletons"][0]["counts"]["stale_cleaned"]
    assert stale == (1 if signum == signal.SIGKILL else 0)


@pytest.mark.process
@pytest.mark.parametrize("stops", [True, False])
def test_forced_out_is_told_and_stops_the_command_where_that_is_wanted(real: Real, stops: bool) -> None:
    option = ["--stop-when-lost"] if stops else []
    rest = "exec sleep 60" if stops else "read line"
    running = real.start("singleton", "run", TYPE, *option, "--", "sh", "-c", f"echo up; {rest}", stdin=-1)
    assert running.stdout is not None
    assert running.stdout.readline() == "up\n"

    forced = real("singleton", "run", TYPE, "--force", "--", "echo", "beside")

    assert (forced.returncode, forced.stdout) == (0, "beside\n")
    assert f"process {running.pid} goes on" in forced.stderr
    _, err = running.communicate("" if stops else "go on\n", timeout=60)
    assert running.returncode == 11
    assert "this registration was ended by force" in err


@pytest.mark.process
def test_types_come_from_the_projects_own_files(real: Real) -> None:
    (real.project / "pyproject.toml").write_text('[tool.latchboard]\nsingleton_types = ["reviewer"]\n')
    assert real("singleton", "status").stdout == "reviewer: nobody runs\n"

    (real.project / "latchboard.toml").write_text('singleton_types = ["planner"]\n')
    assert real("singleton", "status").stdout == "planner: nobody runs\n"
