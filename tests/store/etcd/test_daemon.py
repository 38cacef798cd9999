"""A daemon beside a store in etcd: its machine has the board and the mail as files."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.process.nursery import until
from tests.store.etcd.server import Place
from tests.store.etcd.test_command_line import Shell, address_of
from tests.store.etcd.test_faults import Cluster

pytestmark = [pytest.mark.process, pytest.mark.slow]


@pytest.fixture
def daemon(etcd: Place, tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path, address_of(etcd))
    shell("init", "--client", "none", "--no-git")
    shell("daemon", "start")
    yield shell
    shell("daemon", "stop")


def test_a_daemon_shows_what_the_store_has(daemon: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "data/.agent_locks"

    daemon("acquire", "src/a.py", "--agent", "a")
    daemon("send", "b", "please look", "--agent", "a")

    (mail,) = until(lambda: list(folder.glob("messages/b/*.json")), "the mail is shown")
    shown: dict[str, Any] = json.loads(mail.read_text())
    assert (shown["body"], shown["mirror_of"]) == ("please look", daemon.environment["LATCHBOARD_STORE"])
    sheet = folder / "status_board.json"
    until(sheet.exists, "the board is shown")
    board = until(lambda: (found := json.loads(sheet.read_text()))["active_locks"] and found, "and the lock on it")
    assert board["mirror_of"] == daemon.environment["LATCHBOARD_STORE"]
    assert [held["name"] for held in board["active_locks"]] == ["src/a.py"]

    daemon("inbox", "--agent", "b")
    until(lambda: not mail.exists(), "the mail that was read is gone")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_daemon_begins_and_ends_as_ever_while_etcd_is_away(
    cluster: Cluster, tmp_path: Path, how: signal.Signals
) -> None:
    place = cluster()
    (member,) = place.members
    shell = Shell(tmp_path, address_of(place))
    shell("init", "--client", "none", "--no-git")

    def go_away() -> None:
        member.kill() if how == signal.SIGKILL else member.signal(how)

    def come_back() -> None:
        place.restart(member) if how == signal.SIGKILL else member.signal(signal.SIGCONT)

    go_away()
    shell("daemon", "start")
    log = (tmp_path / "data/.agent_pids/serve.log").read_text
    assert "daemon.ready" in log()
    assert "etcd did not answer" not in log().partition("daemon.ready")[0]  # it was ready before that was known
    come_back()
    until((tmp_path / "data/.agent_locks/status_board.json").exists, "it goes on when etcd is back")
    go_away()
    told = shell("daemon", "stop")
    come_back()

    assert (told["is_gone"], told["path"][0]) == (True, "http"), "a busy machine needs more"
    assert "daemon.stopped" in log()
    assert "daemon.ended_at_once" not in log()
