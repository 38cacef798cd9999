"""One process per agent type, with real processes: races, crashes, forks, signals, damaged entries (K1 to K6)."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from latchboard.compose import Latchboard
from latchboard.errors import AlreadyRunning, CoordinationError, StoreBusy, UnsafeFolder
from latchboard.founding import AgentAlreadyRunningError, enforce_singleton
from latchboard.settings import Settings
from tests.conftest import SOAK
from tests.process import space
from tests.process.nursery import Channel, Child, Gone, Nursery, process_state, until

pytestmark = pytest.mark.process

TYPE = "code_developer"
ROUNDS, CROWD = 200, 8
DEATHS = ROUNDS if SOAK else 60


def agent(channel: Channel, root: str) -> None:
    """Do what is asked, as a process that may be a singleton."""
    board = Latchboard(root, publishes=False)
    kept: list[Any] = []

    def fork(how: str) -> int:
        """A child that ends, by `exit` or at once, with everything inherited; its status."""
        pid = os.fork()
        if pid:
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        try:
            given_back = board.singletons.cleanup(TYPE)
            for one in kept:
                given_back = given_back or one.release() or one.is_held()
            if how == "exit":
                import atexit

                atexit._run_exitfuncs()
        except CoordinationError:
            os._exit(3)
        os._exit(7 if given_back else 0)

    def linger(_: str) -> int:
        """A child that stays, with everything inherited."""
        pid = os.fork()
        if not pid:
            signal.pause()
        return pid

    actions: dict[str, Callable[[str], Any]] = {
        "enforce": lambda name: kept.append(board.singletons.enforce(name)),
        "force": lambda name: kept.append(board.singletons.enforce(name, force=True)),
        "cleanup": board.singletons.cleanup,
        "is_held": lambda _: [one.is_held() for one in kept],
        "status": lambda name: board.singletons.status([name])[0]["state"],
        "pid": lambda _: os.getpid(),
        "fork": fork,
        "linger": linger,
    }
    while True:
        word = channel.receive(3600)
        try:
            channel.send(answer=actions[word["do"]](word.get("what", TYPE)))
        except AlreadyRunning as exc:
            channel.send(code=exc.code, by=exc.pid, since=exc.started_at, type=exc.agent_type)
        except CoordinationError as exc:
            channel.send(code=exc.code)


def start(nursery: Nursery, root: Path) -> Child:
    return nursery.start(agent, root=str(root))


def files(root: Path) -> set[str]:
    return {path.name for path in (root / "data/.agent_pids").iterdir() if path.name[0] != "."} - {"guard"}


def board(root: Path) -> Latchboard:
    return Latchboard(root, publishes=False)


# -- K1: races --------------------------------------------------------------------------------------------------------


def racer(channel: Channel, root: str) -> None:
    """Each round: wait for the barrier (the end of a pipe), register, say how it went, keep it until told."""
    board = Latchboard(root, publishes=False)
    while True:
        barrier = os.open(channel.receive(3600)["barrier"], os.O_RDONLY)
        channel.send(ready=True)
        os.read(barrier, 1)  # everybody wakes at once, when the writer closes it
        os.close(barrier)
        try:
            registration = board.singletons.enforce(TYPE)
        except AlreadyRunning as exc:
            channel.send(won=False, by=exc.pid)
            channel.receive(3600)
        else:
            channel.send(won=True, by=os.getpid())
            channel.receive(3600)
            registration.release()
        channel.send(done=True)


def race(crowd: list[Child], barrier: Path) -> list[dict[str, Any]]:
    """Release all of them at once; what each says."""
    os.mkfifo(barrier)
    gate = os.open(barrier, os.O_RDWR)
    for child in crowd:
        child.ask(barrier=str(barrier))
    barrier.unlink()
    os.close(gate)
    return [child.receive() for child in crowd]


@pytest.mark.slow
def test_of_eight_that_start_at_once_exactly_one_wins_in_every_round__K1(nursery: Nursery, tmp_path: Path) -> None:
    crowd = [nursery.start(racer, root=str(tmp_path)) for _ in range(CROWD)]
    looker = board(tmp_path)

    for number in range(ROUNDS):
        found = race(crowd, tmp_path / f"barrier-{number}")
        looker.singletons.status([TYPE])  # whoever only looks keeps nobody out

        winners = [child.pid for child, said in zip(crowd, found, strict=True) if said["won"]]
        assert len(winners) == 1, f"round {number}: {found}"
        assert {said["by"] for said in found} == set(winners)
        for child in crowd:
            child.ask(go_on=True)

    counts = looker.singletons.counts()[TYPE]
    assert counts == {
        "enforced": ROUNDS,
        "blocked": ROUNDS * (CROWD - 1),
        "stale_cleaned": 0,
        "cleaned": ROUNDS,
    }


@pytest.mark.slow
def test_killed_winners_are_followed_at_once_and_by_one_alone__K1_K4(nursery: Nursery, tmp_path: Path) -> None:
    crowd = [nursery.start(racer, root=str(tmp_path)) for _ in range(CROWD)]

    for number in range(DEATHS):
        found = race(crowd, tmp_path / f"barrier-{number}")

        winners = [at for at, said in enumerate(found) if said["won"]]
        assert len(winners) == 1, f"round {number}: {found}"
        crowd[winners[0]].close()  # SIGKILL, with the registration in its hands
        crowd[winners[0]] = nursery.start(racer, root=str(tmp_path))
        for at, child in enumerate(crowd):
            if at != winners[0]:
                child.ask(go_on=True)

    counts = board(tmp_path).singletons.counts()[TYPE]
    assert (counts["enforced"], counts["stale_cleaned"]) == (DEATHS, DEATHS - 1)


def test_lookers_at_full_speed_keep_nobody_out__K1(nursery: Nursery, tmp_path: Path) -> None:
    lookers = [nursery.start(looking, root=str(tmp_path)) for _ in range(2)]
    for looker in lookers:
        looker.receive()
    mine = board(tmp_path).singletons

    for _ in range(100):
        mine.enforce(TYPE).release()

    for looker in lookers:
        assert looker.ask(stop=True)["looks"] > 0


def looking(channel: Channel, root: str) -> None:
    mine, looks = Latchboard(root, publishes=False).singletons, 0
    channel.send(ready=True)
    while True:
        mine.status([TYPE])
        looks += 1
        try:
            channel.receive(0.0001)
        except (TimeoutError, BlockingIOError):
            continue
        channel.send(looks=looks)
        return


# -- K2, K3 -----------------------------------------------------------------------------------------------------------


def test_types_that_read_and_unknown_ones_are_free_and_leave_nothing__K2(nursery: Nursery, tmp_path: Path) -> None:
    crowd = [start(nursery, tmp_path) for _ in range(5)]

    for name in ("assistant", "user_listener", "code-searcher", "ux-design-expert", "no_such_type"):
        assert [child.ask(do="enforce", what=name) for child in crowd] == [{"answer": None}] * 5

    assert list(tmp_path.iterdir()) == []


def test_a_second_one_is_told_who_runs_since_when_and_what_to_do__K3(nursery: Nursery, tmp_path: Path) -> None:
    first = start(nursery, tmp_path)
    first.ask(do="enforce")

    with pytest.raises(AgentAlreadyRunningError) as caught:
        enforce_singleton(TYPE, root=tmp_path)

    exc = caught.value
    assert (exc.agent_type, exc.pid) == (TYPE, first.pid)
    assert exc.process is not None
    assert board(tmp_path).host.verdict(exc.process) == "live"
    assert exc.started_at is not None
    for part in (TYPE, str(first.pid), exc.started_at, f"kill {first.pid}"):
        assert part in str(exc)


# -- K4: what is left behind ------------------------------------------------------------------------------------------


def test_after_a_kill_the_next_one_starts_at_once__K4(nursery: Nursery, tmp_path: Path) -> None:
    first, second = start(nursery, tmp_path), start(nursery, tmp_path)
    first.ask(do="enforce")
    assert second.ask(do="enforce")["by"] == first.pid

    first.kill()
    first.wait()

    assert second.ask(do="status")["answer"] == "stale"
    assert second.ask(do="enforce") == {"answer": None}
    assert (tmp_path / f"data/.agent_pids/{TYPE}.pid").read_text() == f"{second.pid}\n"


def test_a_zombie_is_in_nobodys_way__K4(nursery: Nursery, tmp_path: Path) -> None:
    first, second = start(nursery, tmp_path), start(nursery, tmp_path)
    first.ask(do="enforce")

    first.kill()
    until(lambda: process_state(first.pid) == "Z", "a zombie that nobody has reaped")

    assert second.ask(do="enforce") == {"answer": None}


def test_a_number_that_went_to_somebody_else_is_in_nobodys_way__K4(nursery: Nursery, tmp_path: Path) -> None:
    first, second = start(nursery, tmp_path), start(nursery, tmp_path)
    first.ask(do="enforce")
    first.kill()
    first.wait()
    folder = tmp_path / "data/.agent_pids"
    record = json.loads((folder / f"{TYPE}.json").read_text())
    record["process"]["pid"] = os.getpid()  # a living process with another start time: a recycled number
    (folder / f"{TYPE}.json").write_text(json.dumps(record))
    (folder / f"{TYPE}.pid").write_text(f"{os.getpid()}\n")

    status = board(tmp_path).singletons.status([TYPE])[0]

    assert (status["state"], status["verdict"]) == ("stale", "recycled")
    assert second.ask(do="enforce") == {"answer": None}


LEFT = {
    "PID 1": b"1\n",
    "the number of a living stranger": b"%d\n" % os.getppid(),
    "empty": b"",
    "garbage": b"\x00\xff not a pid\n",
    "negative": b"-4242\n",
    "zero": b"0",
    "huge": b"9" * 5_000_000,
    "larger than any pid": b"99999999999\n",
    "JSON": b'{"pid": 1}',
}


@pytest.mark.parametrize("content", LEFT.values(), ids=LEFT.keys())
@pytest.mark.parametrize("ending", ["pid", "json"])
def test_whatever_an_entry_says_is_in_nobodys_way__K4(tmp_path: Path, content: bytes, ending: str) -> None:
    folder = tmp_path / "data/.agent_pids"
    folder.mkdir(parents=True)
    (folder / f"{TYPE}.{ending}").write_bytes(content)
    mine = board(tmp_path).singletons

    assert mine.status([TYPE])[0]["state"] == "stale"
    with mine.enforce(TYPE):
        assert (folder / f"{TYPE}.pid").read_text() == f"{os.getpid()}\n"

    assert mine.counts()[TYPE]["stale_cleaned"] == 1


def test_an_entry_that_is_a_link_or_unreadable_is_replaced_and_its_target_kept__K4(tmp_path: Path) -> None:
    folder = tmp_path / "data/.agent_pids"
    folder.mkdir(parents=True)
    target = tmp_path / "precious"
    target.write_text("keep me")
    (folder / f"{TYPE}.pid").symlink_to(target)
    (folder / f"{TYPE}.json").write_text("{")
    (folder / f"{TYPE}.json").chmod(0)

    with board(tmp_path).singletons.enforce(TYPE):
        assert not (folder / f"{TYPE}.pid").is_symlink()

    assert target.read_text() == "keep me"


# -- K5: who removes an entry -----------------------------------------------------------------------------------------

# Not signal.pause(): it would miss a signal that comes just before it, and wait for another one for ever.
PROGRAM = """
import os, sys, threading, time
from latchboard import enforce_singleton
registration = enforce_singleton("code_developer")
print("ready", flush=True)
end = sys.argv[1]
if end == "exit": sys.exit(4)
if end == "end": pass
if end == "error": raise RuntimeError("as it happens")
if end == "fork":
    pid = os.fork()
    if not pid: sys.exit(5)
    os.waitpid(pid, 0)
    print("forked", flush=True)
if end in ("signal", "fork"):
    while True: time.sleep(0.02)
"""


def program(root: Path, end: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, end], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize(
    ("end", "signum", "status"),
    [
        ("end", 0, 0),
        ("exit", 0, 4),
        ("error", 0, 1),
        ("signal", signal.SIGTERM, -signal.SIGTERM),
        ("signal", signal.SIGHUP, -signal.SIGHUP),
        ("signal", signal.SIGINT, -signal.SIGINT),
    ],
)
def test_whoever_ends_removes_its_entry__K5(tmp_path: Path, end: str, signum: int, status: int) -> None:
    (tmp_path / ".git").mkdir()
    process = program(tmp_path, end)
    if signum:
        assert files(tmp_path) == {f"{TYPE}.{ending}" for ending in ("pid", "json", "lock")}
        process.send_signal(signum)
    process.communicate(timeout=60)

    assert process.returncode == status
    assert files(tmp_path) == {f"{TYPE}.lock"}
    assert board(tmp_path).singletons.counts()[TYPE]["cleaned"] == 1


def test_a_forked_childs_exit_leaves_the_entry__K5(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    process = program(tmp_path, "fork")
    assert process.stdout is not None
    assert process.stdout.readline() == "forked\n"

    assert f"{TYPE}.pid" in files(tmp_path)
    with pytest.raises(AlreadyRunning):
        board(tmp_path).singletons.enforce(TYPE)
    process.kill()
    process.communicate(timeout=60)


@pytest.mark.parametrize("how", ["exit", "at once"])
def test_nothing_a_forked_child_does_touches_the_entry__K5__failure_3_8(
    nursery: Nursery, tmp_path: Path, how: str
) -> None:
    first, other = start(nursery, tmp_path), start(nursery, tmp_path)
    first.ask(do="enforce")

    assert first.ask(do="fork", what=how)["answer"] == 0

    assert first.ask(do="is_held")["answer"] == [True]
    assert other.ask(do="enforce")["by"] == first.pid


def test_a_child_that_lingers_does_not_keep_its_killed_parents_place__failure_3_8(
    nursery: Nursery, tmp_path: Path
) -> None:
    first, other = start(nursery, tmp_path), start(nursery, tmp_path)
    first.ask(do="enforce")
    child = first.ask(do="linger")["answer"]
    try:
        first.kill()
        first.wait()

        assert other.ask(do="enforce") == {"answer": None}
    finally:
        os.kill(child, signal.SIGKILL)


def test_another_process_removes_nothing__K5(nursery: Nursery, tmp_path: Path) -> None:
    first, other = start(nursery, tmp_path), start(nursery, tmp_path)
    first.ask(do="enforce")

    assert other.ask(do="cleanup")["answer"] is False
    with pytest.raises(AlreadyRunning):
        board(tmp_path).singletons.release(TYPE)

    assert first.ask(do="is_held")["answer"] == [True]
    assert f"{TYPE}.pid" in files(tmp_path)


def test_who_was_forced_out_leaves_the_new_entry__K5_K8(nursery: Nursery, tmp_path: Path) -> None:
    first, second, third = (start(nursery, tmp_path) for _ in range(3))
    first.ask(do="enforce")

    assert second.ask(do="force") == {"answer": None}
    assert first.ask(do="is_held")["answer"] == [False]
    assert first.ask(do="cleanup")["answer"] is True
    first.terminate()

    assert third.ask(do="enforce")["by"] == second.pid
    record = json.loads((tmp_path / f"data/.agent_pids/{TYPE}.json").read_text())
    assert (record["epoch"], record["broke"]["pid"]) == (1, first.pid)
    second.kill()
    second.wait()
    assert third.ask(do="enforce") == {"answer": None}


def test_force_ends_nobody__K8(nursery: Nursery, tmp_path: Path) -> None:
    first = start(nursery, tmp_path)
    first.ask(do="enforce")
    mine = board(tmp_path).singletons

    before = mine.release(TYPE, force=True)

    assert (before["state"], before["pid"], before["released"]) == ("running", first.pid, True)
    assert first.ask(do="pid")["answer"] == first.pid
    mine.enforce(TYPE).release()


# -- K6: the folder ---------------------------------------------------------------------------------------------------


def test_the_pid_file_is_digits_and_for_everybody_to_read__K6(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        with board(tmp_path).singletons.enforce(TYPE):
            path = tmp_path / f"data/.agent_pids/{TYPE}.pid"
            assert path.read_bytes() == b"%d\n" % os.getpid()
            assert stat.S_IMODE(path.stat().st_mode) == 0o644
    finally:
        os.umask(before)


def test_the_registry_is_one_from_whatever_folder__K6(
    nursery: Nursery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = tmp_path / "src" / "deep"
    below.mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    first = start(nursery, tmp_path)
    first.ask(do="enforce")

    monkeypatch.chdir(below)
    with pytest.raises(AgentAlreadyRunningError):
        enforce_singleton(TYPE)
    monkeypatch.chdir("/")
    with pytest.raises(AgentAlreadyRunningError):
        enforce_singleton(TYPE, root=below.parent.parent)

    assert not (below / "data").exists()


def _link(path: Path, target: Path) -> None:
    target.write_text("precious") if path.suffix or path.name == "guard" else target.mkdir()
    path.symlink_to(target)


PLANTED: dict[str, Callable[[Path, Path], None]] = {
    "link": _link,
    "dangling link": lambda path, target: path.symlink_to(target),
    "FIFO": lambda path, target: os.mkfifo(path),
    "folder": lambda path, target: path.mkdir() if path.name != ".agent_pids" else path.write_text(""),
}


@pytest.mark.parametrize("what", PLANTED)
@pytest.mark.parametrize("where", [".agent_pids", ".agent_pids/guard", f".agent_pids/{TYPE}.lock"])
def test_what_stands_in_the_place_of_a_lock_file_is_refused_and_not_followed__failure_3_26(
    tmp_path: Path, what: str, where: str
) -> None:
    path, target = tmp_path / "data" / where, tmp_path / "target"
    path.parent.mkdir(parents=True)
    PLANTED[what](path, target)

    with pytest.raises(UnsafeFolder) as caught:
        board(tmp_path).singletons.enforce(TYPE)

    assert "remove" in caught.value.hint
    with pytest.raises(UnsafeFolder):
        board(tmp_path).singletons.status([TYPE])
    assert not target.exists() or target.is_dir() or target.read_text() == "precious"


@pytest.mark.parametrize("name", [f"{TYPE}.pid", f"{TYPE}.json", f".{TYPE}.pid.tmp"])
def test_a_folder_in_the_place_of_an_entry_is_refused_and_kept(tmp_path: Path, name: str) -> None:
    path = tmp_path / "data/.agent_pids" / name
    path.mkdir(parents=True)

    with pytest.raises(UnsafeFolder, match="folder") as caught:
        board(tmp_path).singletons.enforce(TYPE)

    assert "remove" in caught.value.hint
    path.rmdir()
    board(tmp_path).singletons.enforce(TYPE).release()


def in_a_shared_folder(channel: Channel, root: str, uid: int) -> None:
    import filelock  # while the interpreter's own folder can still be read

    assert filelock.lock_descriptor
    space.become(uid, uid)
    agent(channel, root)


def test_a_folder_that_is_not_for_this_user_is_refused(nursery: Nursery, require: Any) -> None:
    require(os.geteuid() == 0, "root, to become another user")

    with tempfile.TemporaryDirectory(prefix="latchboard-users-") as folder:
        root = Path(folder)
        root.chmod(0o755)
        with board(root).singletons.enforce(TYPE):
            other = nursery.start(in_a_shared_folder, root=folder, uid=41003)
            assert other.ask(do="enforce")["code"] == "already-running"  # who may read may also ask
            (root / "data/.agent_pids").chmod(0o700)
            assert other.ask(do="enforce") == {"code": "store-forbidden"}
            assert other.ask(do="status") == {"code": "store-forbidden"}


def test_a_process_that_stands_still_at_the_desk_is_named(nursery: Nursery, tmp_path: Path) -> None:
    sitter = nursery.start(sitting, root=str(tmp_path))
    sitter.receive()

    with pytest.raises(StoreBusy) as caught:
        Latchboard(tmp_path, settings=Settings(guard_wait_s_max=0.1), publishes=False).singletons.enforce(TYPE)

    assert caught.value.fields["pids"] == [sitter.pid]
    sitter.kill()
    sitter.wait()
    board(tmp_path).singletons.enforce(TYPE).release()


def sitting(channel: Channel, root: str) -> None:
    with Latchboard(root, publishes=False).singletons.registry.at_desk(make=True):
        channel.send(ready=True)
        try:
            channel.receive(3600)
        except Gone:
            return


def test_an_entry_that_was_written_over_names_no_innocent_process(nursery: Nursery, tmp_path: Path) -> None:
    first = start(nursery, tmp_path)
    first.ask(do="enforce")
    folder = tmp_path / "data/.agent_pids"
    (folder / f"{TYPE}.json").unlink()
    (folder / f"{TYPE}.pid").write_text("1\n")

    with pytest.raises(AlreadyRunning) as caught:
        board(tmp_path).singletons.enforce(TYPE)

    assert caught.value.pid == first.pid, "by what the kernel says"
    assert f"kill {first.pid}" in caught.value.hint


# -- other places -----------------------------------------------------------------------------------------------------


def in_a_container(channel: Channel, root: str) -> None:
    """As number 1 of a pid namespace with its own /proc."""
    if not space.become_first(channel, own_proc=True):
        return
    try:
        channel.send(pid=os.getpid())
        agent(channel, root)
    finally:
        os._exit(0)


def test_one_in_another_container_is_in_the_way_as_long_as_it_lives__failure_3_6(
    nursery: Nursery, tmp_path: Path, require: Any
) -> None:
    inside, beside = (nursery.start(in_a_container, root=str(tmp_path)) for _ in range(2))
    outside = start(nursery, tmp_path)
    for message in (inside.receive(), beside.receive()):
        require("refused" not in message, f"a pid namespace: {message.get('refused')}")
    inside.ask(do="enforce")

    from_outside, from_beside = outside.ask(do="enforce"), beside.ask(do="enforce")

    numbers = Path(f"/proc/{from_outside['by']}/status").read_text().split("NSpid:")[1].splitlines()[0].split()
    assert numbers == [str(from_outside["by"]), "1"], "the kernel's word: its number as it is seen from outside"
    assert (from_beside["code"], from_beside["by"]) == ("already-running", 1), "its entry's word, told as such"
    inside.close()
    until(lambda: outside.ask(do="status")["answer"] == "stale", "the container has ended with its first process")
    assert outside.ask(do="enforce") == {"answer": None}


def on_a_full_disk(channel: Channel, root: str) -> None:
    """Register where no file fits any more, then where there is room again."""
    try:
        space.own_mounts()
        space.mount_tmpfs(root, "64k")
    except space.Refused as exc:
        channel.send(refused=str(exc))
        return
    mine = Latchboard(root, publishes=False).singletons
    mine.enforce("architect").release()
    ballast = Path(root, "ballast")
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            channel.send(full=True)
    answers = []
    for _ in range(2):
        try:
            mine.enforce(TYPE)
            answers.append("enforced")
        except CoordinationError as exc:
            answers.append(exc.code)
    ballast.unlink()
    mine.enforce(TYPE)
    channel.send(answers=answers, state=mine.status([TYPE])[0]["state"])


def test_on_a_full_disk_nothing_is_taken_and_it_goes_on_with_room(
    nursery: Nursery, tmp_path: Path, require: Any
) -> None:
    child = nursery.start(on_a_full_disk, root=str(tmp_path))
    message = child.receive()
    require("refused" not in message, f"a disk of one's own: {message.get('refused')}")

    assert child.receive() == {"answers": ["store-full", "store-full"], "state": "running"}


def on_a_read_only_disk(channel: Channel, root: str) -> None:
    """Do what is asked, where nothing can be written."""
    try:
        space.own_mounts()
        space.mount_read_only(root)
    except space.Refused as exc:
        channel.send(refused=str(exc))
        return
    channel.send(ready=True)
    agent(channel, root)


def test_where_nothing_can_be_written_one_can_look_and_nobody_registers(
    nursery: Nursery, tmp_path: Path, require: Any
) -> None:
    first = start(nursery, tmp_path)
    first.ask(do="enforce")
    other = nursery.start(on_a_read_only_disk, root=str(tmp_path))
    message = other.receive()
    require("refused" not in message, f"a mount of one's own: {message.get('refused')}")

    assert other.ask(do="status") == {"answer": "running"}
    assert other.ask(do="enforce")["by"] == first.pid
    first.ask(do="cleanup")
    assert other.ask(do="status") == {"answer": "free"}
    assert other.ask(do="enforce") == {"code": "store-read-only"}
    assert first.ask(do="enforce") == {"answer": None}, "nothing was taken"


def test_a_wiped_registry_is_seen_by_who_runs(nursery: Nursery, tmp_path: Path) -> None:
    """Not promised to be safe (protocol/singleton.md, "Guarantees"); but who runs can see it."""
    first = start(nursery, tmp_path)
    first.ask(do="enforce")

    shutil.rmtree(tmp_path / "data/.agent_pids")

    assert first.ask(do="is_held")["answer"] == [False]
    assert first.ask(do="enforce") == {"answer": None}
    assert start(nursery, tmp_path).ask(do="enforce")["by"] == first.pid
