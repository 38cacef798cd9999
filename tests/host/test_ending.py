"""What a process does when it ends: once, in itself, and never in a child; signals keep their effect."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.process

HEAD = """
import os, signal, sys, threading, time
from latchboard.host import ending
say = lambda word: os.write(1, (word + "\\n").encode())
"""


def run(body: str) -> tuple[int, list[str]]:
    done = subprocess.run([sys.executable, "-c", HEAD + body], capture_output=True, text=True, timeout=60, check=False)
    assert not done.stderr or "KeyboardInterrupt" in done.stderr, done.stderr
    return done.returncode, done.stdout.split()


def test_actions_run_once_and_the_last_comes_first() -> None:
    body = """
ending.at_end(lambda: say("first"))
number = ending.at_end(lambda: say("never"))
ending.at_end(lambda: say("last"))
ending.never_mind(number)
ending.never_mind(number)
"""
    assert run(body) == (0, ["last", "first"])


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_a_signal_comes_after_the_action_and_still_ends_the_process(name: str) -> None:
    body = f"""
ending.at_end(lambda: say("done"))
os.kill(os.getpid(), signal.{name})
while True: time.sleep(0.02)
"""
    assert run(body) == (-getattr(signal, name), ["done"])


def test_a_handler_of_ones_own_stays() -> None:
    body = """
signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))
ending.at_end(lambda: say("done"))
os.kill(os.getpid(), signal.SIGTERM)
while True: time.sleep(0.02)
"""
    assert run(body) == (9, ["done"])


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    body = """
signal.signal(signal.SIGHUP, signal.SIG_IGN)
ending.at_end(lambda: say("done"))
os.kill(os.getpid(), signal.SIGHUP)
say("alive")
"""
    assert run(body) == (0, ["alive", "done"])


def test_a_signal_is_put_off_to_the_end_of_the_outermost_context() -> None:
    body = """
ending.at_end(lambda: say("done"))
with ending.put_off():
    with ending.put_off():
        os.kill(os.getpid(), signal.SIGTERM)
        say("inner")
    say("outer")
say("never")
"""
    assert run(body) == (-signal.SIGTERM, ["inner", "outer", "done"])


def test_what_another_thread_puts_off_does_not_hold_the_signal_up() -> None:
    body = """
entered, leave = threading.Event(), threading.Event()
def work():
    with ending.put_off():
        entered.set()
        leave.wait(20)
ending.at_end(lambda: say("done"))
threading.Thread(target=work, daemon=True).start()
entered.wait()
os.kill(os.getpid(), signal.SIGTERM)
while True: time.sleep(0.02)
"""
    assert run(body) == (-signal.SIGTERM, ["done"])


def test_a_forked_child_does_nothing_and_still_ends_by_the_signal() -> None:
    body = """
ending.at_end(lambda: say("parent"))
pid = os.fork()
if not pid:
    os.kill(os.getpid(), signal.SIGTERM)
    signal.pause()
say(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])))
pid = os.fork()
if not pid:
    ending.at_end(lambda: say("child"))
    sys.exit(0)
os.waitpid(pid, 0)
"""
    assert run(body) == (0, ["-15", "child", "parent"])


def test_asked_for_in_another_thread_it_runs_at_exit() -> None:
    body = """
thread = threading.Thread(target=lambda: ending.at_end(lambda: say("done")))
thread.start(); thread.join()
"""
    assert run(body) == (0, ["done"])
