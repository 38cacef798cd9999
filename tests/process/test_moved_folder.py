"""The store's folder is deleted, or copied, while processes use it (failures 3.3, 3.13)."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from latchboard.compose import Latchboard
from latchboard.errors import CoordinationError, HoldLost, ProtocolError, StoreError
from tests.process import inspection
from tests.process.nursery import Channel, Child, Nursery, until

pytestmark = pytest.mark.process

FILE = "src/a.py"
PROCESSES = 4


def worker(channel: Channel, root: str, name: str) -> None:
    """Lock, witness that nobody else is inside, release; until told to end."""
    board = Latchboard(root, publishes=False)
    me = board.agent(name)
    channel.sock.settimeout(0)
    turns, lost, newest = 0, 0, 0
    channel.send(ready=True)
    while not _is_told(channel):
        try:
            with me.lock(FILE, wait_s_max=30) as hold:
                newest = hold.token
                _witness(root, name, hold.token)
            turns += 1
        except HoldLost:
            lost += 1  # it was deleted under our hands
        except (StoreError, ProtocolError):
            continue  # it went in the middle of a call, which says so
    channel.sock.settimeout(None)
    channel.send(turns=turns, lost=lost, newest=newest, guard=_open_guards(root))


def _is_told(channel: Channel) -> bool:
    try:
        return bool(channel.sock.recv(4096))
    except BlockingIOError:
        return False


def _witness(root: str, name: str, token: int) -> None:
    """Write down who is inside, twice, with something in between."""
    fd = os.open(f"{root}/witness", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(fd, f"in {name} {token}\n".encode())
        os.sched_yield()
        os.write(fd, f"out {name} {token}\n".encode())
    finally:
        os.close(fd)


def _open_guards(root: str) -> list[int]:
    """Inodes of the guards this process has open."""
    found = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{fd}").startswith(f"{root}/data/.agent_locks/journal/guard"):
                found.append(os.stat(f"/proc/self/fd/{fd}").st_ino)
        except FileNotFoundError:
            continue
    return found


def _overlaps(lines: list[str]) -> list[str]:
    """Where one was inside while another was."""
    found, inside = [], ""
    for line in lines:
        kind, _, who = line.partition(" ")
        if kind == "in" and inside:
            found.append(f"{who} came in while {inside} was inside")
        inside = who if kind == "in" else ""
    return found


def _wipe_all(folder: Path) -> None:
    aside = folder.with_name("aside")
    folder.rename(aside)
    _remove(aside)


def _wipe_guard(folder: Path) -> None:
    (folder / "journal/guard").unlink()


def _wipe_journal(folder: Path) -> None:
    aside = folder / "aside"
    (folder / "journal").rename(aside)
    _remove(aside)


def _remove(folder: Path) -> None:
    """Remove a folder in which somebody may still be writing a last file."""
    for _ in range(100):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
    raise AssertionError(f"{folder} is still being written into")


@pytest.mark.parametrize("wipe", [_wipe_all, _wipe_guard, _wipe_journal])
def test_processes_whose_folder_is_deleted_converge_on_a_new_one__failure_3_3(
    wipe: object, nursery: Nursery, tmp_path: Path
) -> None:
    assert callable(wipe)
    folder, witness = tmp_path / "data/.agent_locks", tmp_path / "witness"
    workers = [nursery.start(worker, root=str(tmp_path), name=f"w{number}") for number in range(PROCESSES)]
    for child in workers:
        child.receive()
    _until_turns(witness, 100)
    before = max(int(line.split()[2]) for line in witness.read_text().splitlines())

    wipe(folder)
    # Who was inside when it went may overlap with whoever came first to the new one: these have lost their hold, and
    # are told so. From here on nobody may.
    _until_turns(witness, 200)
    start = len(witness.read_text().splitlines())
    _until_turns(witness, 400)
    told = [child.ask(end=True) for child in workers]

    lines = witness.read_text().splitlines()
    assert _overlaps(lines[start + start % 2 :]) == []
    assert min(answer["newest"] for answer in told) > before
    assert sum(answer["lost"] for answer in told) <= PROCESSES
    assert all(answer["guard"] == [(folder / "journal/guard").stat().st_ino] for answer in told)
    assert inspection.Folder(str(tmp_path)).problems() == []


def _until_turns(witness: Path, more: int) -> None:
    start = len(witness.read_bytes().splitlines()) if witness.exists() else 0
    until(lambda: witness.exists() and len(witness.read_bytes().splitlines()) >= start + more, f"{more} more lines")


def one_worker(channel: Channel, root: str) -> None:
    """Lock what is asked for."""
    board = Latchboard(root, publishes=False)
    while True:
        path = channel.receive(3600)["lock"]
        try:
            channel.send(token=board.agent("worker").lock(path, bound="agent").token)
        except CoordinationError as exc:
            channel.send(error=exc.code)


@pytest.mark.parametrize("how", [["cp", "-a"], ["cp", "-r"]])
def test_copy_of_a_folder_and_its_original_both_go_on_and_never_share_a_token__failure_3_13(
    how: list[str], nursery: Nursery, tmp_path: Path
) -> None:
    roots = [tmp_path / "original", tmp_path / "copy"]
    roots[0].mkdir()
    original: Child = nursery.start(one_worker, root=str(roots[0]))
    before = original.ask(lock=FILE)["token"]
    subprocess.run([*how, str(roots[0]), str(roots[1])], check=True)
    copy = nursery.start(one_worker, root=str(roots[1]))

    tokens = [child.ask(lock=f"src/{number}.py")["token"] for number in range(5) for child in (original, copy)]

    assert len(set(tokens)) == len(tokens)
    assert min(tokens) > before
    ids = {(root / "data/.agent_locks/FORMAT").read_text() for root in roots}
    assert len(ids) == 2
    for root in roots:
        board = Latchboard(root, publishes=False)
        assert [holder["agent"] for holder in board.locks.check([FILE])] == ["worker"]
        assert inspection.settled(board, inspection.State(board, ["locks/", "leases/"])) == []


def test_folder_that_was_put_back_from_a_copy_gives_no_token_twice__failure_3_13(
    nursery: Nursery, tmp_path: Path
) -> None:
    root, saved = tmp_path / "root", tmp_path / "saved"
    root.mkdir()
    child = nursery.start(one_worker, root=str(root))
    first = child.ask(lock=FILE)["token"]
    shutil.copytree(root, saved, symlinks=True)
    later = [child.ask(lock=f"src/{number}.py")["token"] for number in range(5)]

    shutil.rmtree(root / "data")
    shutil.move(str(saved / "data"), str(root / "data"))
    time_s = time.monotonic()
    again = child.ask(lock="src/new.py")["token"]

    assert first < later[0]
    assert again > max(later)
    assert time.monotonic() - time_s < inspection.AT_ONCE_S
