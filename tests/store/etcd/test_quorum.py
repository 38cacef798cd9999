"""Most members are gone: whatever is called ends within its limit, says so, and goes well when they are back."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from latchboard.clock import SystemClock
from latchboard.compose import Latchboard, store_desk, store_looking
from latchboard.errors import CoordinationError, StoreUnavailable
from latchboard.settings import Settings
from latchboard.store.etcd.store import EtcdStore
from tests.awake import Awake
from tests.process.nursery import until
from tests.store.etcd.server import Place
from tests.store.etcd.test_command_line import Shell, address_of
from tests.store.etcd.test_faults import LATE_S, Cluster
from tests.surface.hooks.hooked import Hooked

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(300)]

UNANSWERED = ("store-unavailable", "store-busy", "store-outcome-unknown")
Harm = Callable[[Place], None]
Call = Callable[[], Any]


class Verbs:
    """One of each kind of call, each by a board of its own, as a process has it."""

    def __init__(self, place: Place, root: Path) -> None:
        self._access = place.access()
        self._root = root
        self._boards: list[Latchboard] = []
        board = self._board
        holding, renewing, writing, ready, working = (board() for _ in range(5))
        held = holding.agent("releaser").lock("released", bound="agent")
        renewed = renewing.agent("renewer").lock("renewed", bound="agent")
        written = writing.agent("writer").lock("written", bound="agent")
        board().agent("holder").lock("held", bound="agent")
        ready.queue.submit([{"title": "it", "role": "builder", "id": "it"}], by="lead")
        ready.queue.submit([{"title": "other", "role": "tester", "id": "other"}], by="lead")
        token = working.queue.claim("tester", "worker")["lease"]["token"]
        watch, watching = board().store.watch("", after=0), board()
        watch.poll()
        acquiring, waiting, bells, sending, receiving, telling, reading = (board() for _ in range(7))
        one, other, copied, registering = (board() for _ in range(4))
        copies = iter(range(100))
        self.calls: dict[str, Call] = {
            "acquire": lambda: acquiring.agent("a").lock("acquired").release(),
            "wait": lambda: _waits(waiting),
            "bell": lambda: bells.store.bell("locks/held").close(),
            "renew": renewed.renew,
            "write": lambda: written.write("written", "x"),
            "release": held.release,
            "send": lambda: sending.mailbox.send("a", "b", "hello"),
            "receive": lambda: receiving.mailbox.receive("b"),
            "update": lambda: telling.board.update("a", "at work"),
            "board": reading.board.read,
            "watch": lambda: _next(watching),
            "poll": watch.poll,
            "submit": lambda: ready.queue.submit([{"title": "more", "role": "builder"}], by="lead"),
            "claim": lambda: ready.queue.claim("builder", "worker"),
            "complete": lambda: _once(lambda: working.queue.complete("other", token)),
            "store status": lambda: _healthy(store_looking.status(one)),
            "store check": lambda: store_looking.check(other),
            "store copy": lambda: _copy(copied, root / f"copy{next(copies)}"),
            "singleton": lambda: registering.singletons.enforce("indexer").release(),
        }
        for call in ("acquire", "wait", "bell", "board", "store status", "singleton"):
            self.calls[call]()  # they know the store, as whoever is at work does
        self.watch = watch

    def _board(self) -> Latchboard:
        settings = Settings(singleton_types=["indexer"])
        store = EtcdStore(self._access, clock=SystemClock(), settings=settings)
        self._boards.append(Latchboard(self._root, store=store, settings=settings, publishes=False))
        return self._boards[-1]

    def leave(self) -> None:
        for board in self._boards:
            store: Any = board.store
            store.leave()

    def close(self) -> None:
        self.watch.close()
        for board in self._boards:
            board.close()
            board.store.close()


def _copy(board: Latchboard, folder: Path) -> None:
    store: Any = board.store
    folder.mkdir()
    store_desk.copy(board, store.access.address, str(folder))


def _waits(board: Latchboard) -> None:
    """Wait for what is held, and be refused."""
    with pytest.raises(CoordinationError) as caught:
        board.agent("w").lock("held", wait_s_max=0.01)
    if caught.value.code != "wait-ended":
        raise caught.value


def _next(board: Latchboard) -> None:
    with board.stream.changes(after=0, timeout_s=0) as changes:
        next(changes)


def _once(call: Call) -> None:
    """A job that was completed by a call that did not say so is completed."""
    try:
        call()
    except CoordinationError as exc:
        if exc.code != "stale-token":
            raise


def _healthy(found: dict[str, Any]) -> None:
    """It tells everything as trouble, and raises nothing."""
    if not found["is_healthy"]:
        assert len(found["members"]) == 3
        raise StoreUnavailable("; ".join(found["trouble"]))


def side_by_side(calls: dict[str, Call]) -> dict[str, tuple[str, float]]:
    """How each ended, and after how many seconds."""
    found: dict[str, tuple[str, float]] = {}

    def run(name: str) -> None:
        since_s = awake.s
        try:
            calls[name]()
        except CoordinationError as exc:
            assert exc.code == "store-outcome-unknown" or exc.retryable, exc
            found[name] = (exc.code, awake.s - since_s)
        else:
            found[name] = ("ok", awake.s - since_s)

    with Awake() as awake:
        threads = [threading.Thread(target=run, args=(name,)) for name in calls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return found


def kill_most(place: Place) -> None:
    for member in place.members[1:]:
        member.kill()


def stop_most(place: Place) -> None:
    for member in place.members[1:]:
        member.signal(signal.SIGSTOP)


def bring_back(place: Place) -> None:
    for member in place.members[1:]:
        if member.is_started:
            member.signal(signal.SIGCONT)
        else:
            place.restart(member)


@pytest.mark.parametrize("harm", [kill_most, pytest.param(stop_most, marks=pytest.mark.soak)])
def test_every_kind_of_call_ends_in_time_without_most_members_and_goes_well_with_them(
    harm: Harm, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LATCHBOARD_ETCD_ANY_VERSION", "1")
    place = cluster(3)
    root = tmp_path / "root"
    root.mkdir()
    verbs = Verbs(place, root)
    limit_s = verbs._access.call_s_max + LATE_S
    shell = Shell(tmp_path / "root", address_of(place))
    shell("init", "--client", "none", "--no-git")
    hooked = Hooked(root)
    hooked.environ = {name: text for name, text in shell.environment.items() if name.startswith("LATCHBOARD_")}
    shell("daemon", "start")  # hooks and commands go through it
    assert hooked.edit("src/b.py").said_nothing

    harm(place)
    denied, let_in = _hook(hooked, "closed"), _hook(hooked, "open")
    cold = _command(shell, "acquire", "src/a.py", "--agent", "c")
    found = side_by_side(verbs.calls)
    ended = [(one.communicate(timeout=100)[0], one.returncode) for one in (denied, let_in, cold)]

    print(f"\n{harm.__name__}: " + ", ".join(f"{name} {code} {s:.1f} s" for name, (code, s) in sorted(found.items())))
    assert found.keys() == verbs.calls.keys()
    # Who has not noticed yet that most are gone still opens a watch.
    assert [name for name, (code, _) in found.items() if code not in UNANSWERED and name != "bell"] == []
    assert [(name, s) for name, (_, s) in found.items() if s > limit_s] == []
    assert json.loads(ended[0][0])["hookSpecificOutput"]["permissionDecision"] == "deny"
    assert b'"deny"' not in ended[1][0]
    assert (json.loads(ended[2][0])["code"], ended[2][1]) == ("store-unavailable", 13)

    bring_back(place)
    copying = {"store copy": verbs.calls.pop("store copy")}
    again = side_by_side(verbs.calls)
    verbs.leave()  # a copy is refused while others are there
    again |= side_by_side(copying)
    assert {name: code for name, (code, _) in again.items() if code != "ok"} == {}
    assert hooked.edit("src/b.py").said_nothing
    shell("send", "z", "hello", "--agent", "a")
    until(lambda: list(root.glob("data/.agent_locks/messages/z/*.json")), "the daemon goes on, too")
    shell("daemon", "stop")
    verbs.close()


def _hook(hooked: Hooked, failure: str) -> subprocess.Popen[bytes]:
    """A hook before an edit, started and told; it ends by itself."""
    hooked.environ["LATCHBOARD_HOOKS_FAILURE"] = failure
    tool_input = {"file_path": f"{hooked.root}/src/a.py", "old_string": "one", "new_string": "two"}
    event = hooked.event("PreToolUse", tool_name="Edit", tool_input=tool_input)
    process = hooked.start()
    assert process.stdin is not None
    process.stdin.write(json.dumps(event).encode())
    process.stdin.close()
    process.stdin = None
    return process


def _command(shell: Shell, *words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "latchboard", *words, "--json"]
    return subprocess.Popen(
        command, cwd=shell.folder, env=shell.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
