"""What only whole processes show: what is loaded, closed pipes, full disks, signals at the wrong moment, locales."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import ONE_FIXTURE
from tests.surface.cli.conftest import running
from tests.surface.cli.real import Real

pytestmark = pytest.mark.process


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Real]:
    """Whole processes: none of them is forked."""
    with running(tmp_path, is_started=True) as runner:
        yield runner


# What a plain call must not pay for.
HEAVY = {
    *("click", "rich", "watchdog", "psutil", "portalocker", "pathspec", "asyncio", "subprocess", "typing", "inspect"),
    *(
        "datetime",
        "pathlib",
        "logging",
        "dataclasses",
        "ctypes",
        "traceback",
        "argparse",
        "shlex",
        "tempfile",
        "shutil",
    ),
}


@pytest.mark.parametrize(
    ("words", "more"),
    [
        (("check", "src/a.py"), set()),
        (("check", "src/a.py", "--json"), set()),
        (("acquire", "src/a.py"), set()),
        (("release", "src/a.py"), set()),
        (("renew",), set()),
        (("send", "builder", "x"), set()),
        (("inbox",), set()),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_plain_call_loads_nothing_heavy_and_no_other_verb(real: Real, words: tuple[str, ...], more: set[str]) -> None:
    program = (
        "import sys; from latchboard.surface.cli import main; status = main(sys.argv[1:]); "
        "print(status, *sorted(sys.modules), file=sys.stderr)"
    )
    # -S: what site loads in a development environment is not ours.
    path = os.pathsep.join(entry for entry in sys.path if entry)
    done = subprocess.run(
        [sys.executable, "-S", "-c", program, *words],
        cwd=real.project,
        env={**real.environment, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )

    status, *modules = done.stderr.split()
    assert status in ("0", "11")
    assert not {name.split(".")[0] for name in modules} & (HEAVY - more)
    verbs = {name for name in modules if name.startswith("latchboard.surface.cli.verb.")}
    assert verbs == {f"latchboard.surface.cli.verb.{words[0]}"}


def test_closed_pipe_is_no_traceback(real: Real) -> None:
    real("acquire", *[f"{number}{'x' * 200}" for number in range(500)])
    for words in (("status", "--json"), ("history",), ("--help",), ("acquire", "--help"), ("completion", "bash")):
        reader, writer = os.pipe()
        os.close(reader)

        done = real(*words, stdout=writer, stderr=subprocess.PIPE, capture_output=False)
        os.close(writer)

        assert done.returncode == 1, words
        assert done.stderr == "", words


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="not applicable: no /dev/full here")
def test_answer_that_cannot_be_written_is_told(real: Real) -> None:
    for words in (("status",), ("status", "--json"), ("--help",)):
        with open("/dev/full", "w") as full:
            done = real(*words, stdout=full, stderr=subprocess.PIPE, capture_output=False)

        assert done.returncode == 1
        assert done.stderr.startswith("latchboard: the answer could not be written: ")
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("closed", ["0", "1", "2"])
def test_closed_standard_streams_do_no_harm(real: Real, closed: str) -> None:
    for words in ("status", "acquire src/a.py", "check src/a.py --agent b", "send b -", "nonsense", "--help"):
        line = f"exec {closed}>&-; exec {sys.executable} -m latchboard {words}"

        done = subprocess.run(
            ["sh", "-c", line], cwd=real.project, env=real.environment, capture_output=True, text=True, check=False
        )

        assert done.returncode in (0, 1, 2, 10), (words, done)
        assert "Traceback" not in done.stderr, (words, done.stderr)


@pytest.mark.parametrize("words", ["status", "status --json", "acquire src/a.py", "check a", "--help", "status --help"])
def test_answer_that_nobody_can_get_is_no_success(real: Real, words: str) -> None:
    line = f"exec 1>&-; exec {sys.executable} -m latchboard {words}"

    done = subprocess.run(
        ["sh", "-c", line], cwd=real.project, env=real.environment, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (1, "latchboard: the answer could not be written: it is closed\n")
    assert real("status").returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_a_watch_quietly(real: Real, number: signal.Signals) -> None:
    process = real.start("watch", "--json", "--after", str(real.revision()))
    assert process.stdout is not None
    real("acquire", "src/a.py")
    assert json.loads(process.stdout.readline())["event"] == "lock.acquired"

    process.send_signal(number)

    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert json.loads(out)["code"] == "interrupted"
    assert err == ""


@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8", "en_US.ISO-8859-1"])
def test_locale_changes_no_json_and_breaks_no_text(real: Real, locale: str) -> None:
    real.environment.update({"LC_ALL": locale, "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"})
    name = "src/grün-✓.py"

    held = subprocess.run(
        [sys.executable, "-m", "latchboard", "acquire", name, "--json"],
        cwd=real.project,
        env={**real.environment, "PYTHONUTF8": "1"},
        capture_output=True,
        check=False,
    )
    shown = subprocess.run(
        [sys.executable, "-m", "latchboard", "status"],
        cwd=real.project,
        env=real.environment,
        capture_output=True,
        check=False,
    )

    assert json.loads(held.stdout.decode("utf-8"))["locks"][0]["name"] == name
    assert shown.returncode == 0
    assert b"gr" in shown.stdout
    assert b"Traceback" not in shown.stderr


def test_name_that_is_no_unicode_is_refused_in_words(real: Real) -> None:
    for more in ((), ("--json",)):
        done = subprocess.run(
            [sys.executable, "-m", "latchboard", "acquire", b"src/\xff.py", *more],
            cwd=real.project,
            env=real.environment,
            capture_output=True,
            check=False,
        )

        assert done.returncode == 2
        assert b"Traceback" not in done.stderr
        if more:
            assert json.loads(done.stdout)["code"] == "usage"


_bytes = st.binary(min_size=1, max_size=30).map(lambda data: data.replace(b"\0", b"\1"))


@settings(max_examples=25, deadline=None, suppress_health_check=ONE_FIXTURE)
@given(
    verb=st.sampled_from(["check", "acquire", "release", "send", "inbox", "update", "history", "break", "renew"]),
    words=st.lists(_bytes, max_size=4),
    agent=_bytes,
    stdin=st.binary(max_size=50),
)
def test_hostile_bytes(real: Real, verb: str, words: list[bytes], agent: bytes, stdin: bytes) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "latchboard", verb, *words],
        cwd=real.project,
        env={**{os.fsencode(k): os.fsencode(v) for k, v in real.environment.items()}, b"AGENT_ID": agent},
        input=stdin,
        capture_output=True,
        check=False,
        timeout=60,
    )

    assert done.returncode in (0, 2, 10, 11, 12), done
    assert b"Traceback" not in done.stderr
    assert b"a mistake in latchboard itself" not in done.stderr
    done.stdout.decode("utf-8")
    done.stderr.decode("utf-8")


def test_removed_current_folder_is_told(real: Real, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    line = f"mkdir {gone} && cd {gone} && rmdir {gone} && exec {sys.executable} -m latchboard check a"

    done = subprocess.run(["sh", "-c", line], env=real.environment, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert done.stderr.startswith("latchboard: ")


def test_module_and_console_script_are_the_same(real: Real) -> None:
    script = Path(sys.executable).parent / "latchboard"

    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)

    assert done.stdout == real("--version").stdout


def test_eight_processes_one_lock_one_winner(real: Real) -> None:
    for _ in range(3):
        started = [real.start("acquire", "src/a.py", "--agent", f"agent-{number}") for number in range(8)]

        statuses = sorted(process.wait(timeout=60) for process in started)

        assert statuses == [0] + [10] * 7
        holder = real.json("check", "src/a.py")["held"][0]["agent"]
        assert real("release", "src/a.py", "--agent", holder).returncode == 0


def test_waiter_gets_the_lock_when_it_is_released(real: Real) -> None:
    real("acquire", "src/a.py", "--agent", "builder")
    before = real.revision()
    waiter = real.start("acquire", "src/a.py", "--wait-s-max", "60", "--json")
    real.wait_for("lock.waiting", after=before)

    real("release", "src/a.py", "--agent", "builder")

    answer = json.loads(waiter.communicate(timeout=60)[0])
    assert waiter.returncode == 0
    assert answer["agent"] == "planner"
    assert answer["waited_s"] > 0


def test_handoff_between_processes(real: Real) -> None:
    real("acquire", "src/a.py", "--agent", "builder")
    before = real.revision()
    asker = real.start("handoff", "request", "src/a.py", "--json")
    request = real.wait_for("handoff.asked", after=before)["request"]

    real("handoff", "grant", request, "--agent", "builder")
    granted = json.loads(asker.communicate(timeout=60)[0])

    assert (asker.returncode, granted["granted"]) == (0, True)


def test_decline_reaches_the_asker_that_waits(real: Real) -> None:
    real("acquire", "src/a.py", "--agent", "builder")
    before = real.revision()
    asker = real.start("handoff", "request", "src/a.py", "--json", "--wait-s-max", "60")
    request = real.wait_for("handoff.asked", after=before)["request"]

    real("handoff", "decline", request, "--agent", "builder", "--reason", "not now")
    declined = json.loads(asker.communicate(timeout=60)[0])

    assert (asker.returncode, declined["code"], declined.get("reason")) == (10, "handoff-declined", "not now")
