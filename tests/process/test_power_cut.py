"""Power cuts, on a disk of its own: ext4 in a file, which forgets what was not flushed in the middle of the work."""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import struct
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from latchboard.compose import Latchboard
from latchboard.errors import Refused, StoreError
from latchboard.settings import Settings
from latchboard.workqueue import repairing
from tests.process import space
from tests.process.nursery import Channel, Nursery, until
from tests.process.test_full_disk import tell

pytestmark = [
    pytest.mark.process,
    pytest.mark.soak,
    pytest.mark.needs_tool("mkfs.ext4", "mount", "umount"),
]

CUTS = 12
THREADS = 3
SETTINGS = Settings(guard_wait_s_max=30.0)
_SHUTDOWN, _WITHOUT_FLUSHING = 0x8004587D, 2
"""EXT4_IOC_SHUTDOWN of linux/ext4.h: the file system is dead from here on, and nothing of its log is written."""


class Disk:
    """A file system of 64 MiB that can be cut off."""

    def __init__(self, image: str, root: str) -> None:
        self._image = image
        self.root = root
        with open(image, "wb") as file:
            file.truncate(64 << 20)
        _run("mkfs.ext4", "-q", "-F", image)

    def mount(self) -> None:
        _run("mount", "-o", "loop,commit=60", self._image, self.root)

    def cut(self) -> float:
        """When it was: on the monotonic clock, before anything was lost."""
        fd = os.open(self.root, os.O_RDONLY)
        at_s = time.monotonic()
        fcntl.ioctl(fd, _SHUTDOWN, struct.pack("I", _WITHOUT_FLUSHING))
        os.close(fd)
        return at_s

    def unmount(self) -> None:
        words = ["umount", self.root]
        until(lambda: subprocess.run(words, capture_output=True, check=False).returncode == 0, "nobody uses the disk")


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise space.Refused(f"{' '.join(words)}: {done.stderr.strip()}")


class Work:
    """What was told as durable, and when."""

    def __init__(self) -> None:
        self.told: list[tuple[float, str, str, int]] = []

    def go(self, root: str, name: str) -> None:
        """Submit, claim and complete until the disk is gone."""
        board = Latchboard(root, settings=SETTINGS, publishes=False)
        queue, count = board.queue, 0
        try:
            while True:
                count += 1
                queue.submit([{"id": f"{name}-{count}", "title": "t", "role": "builder"}], by=name)
                self._tell("submitted", f"{name}-{count}", 0)
                try:
                    claim = queue.claim("builder", name)
                except Refused:
                    continue
                job, token = claim["job"]["id"], claim["lease"]["token"]
                queue.complete(job, token, result=name)
                self._tell("completed", job, token)
        except StoreError:
            board.close()

    def _tell(self, what: str, job: str, token: int) -> None:
        self.told.append((time.monotonic(), what, job, token))

    def forget_after(self, at_s: float) -> None:
        """Nobody hears what a machine says behind its power cut."""
        self.told = [one for one in self.told if one[0] < at_s]

    def untrue(self, board: Latchboard) -> list[str]:
        """What was told, and is not so; records that do not agree."""
        look = board.queue.look()
        found = [f"{key}: {wrong}" for key, wrong in repairing.look(board.store, "").faults.items()]
        for _, what, job_id, token in self.told:
            job = look.jobs.get(job_id)
            done = [one["token"] for one in job["attempts"] if one["outcome"] == "completed"] if job else []
            if job is None or (what == "completed" and done != [token]):
                found.append(f"{job_id} was {what}, and is {job}")
        return found


def on_a_disk_that_is_cut_off(channel: Channel, folder: str) -> None:
    tell(channel, _cuts, folder)


def _cuts(folder: str) -> dict[str, Any]:
    space.own_mounts()
    root = f"{folder}/root"
    os.mkdir(root)
    disk, work, dice = Disk(f"{folder}/image", root), Work(), random.Random(7)
    disk.mount()
    _commit(root, limit=10)
    found: list[str] = []
    for cut in range(CUTS):
        goal = len(work.told) + dice.randrange(5, 60)
        with ThreadPoolExecutor(THREADS) as pool:
            threads = [pool.submit(work.go, root, f"cut{cut}-{n}") for n in range(THREADS)]
            until(lambda goal=goal: len(work.told) >= goal, "some of the work is done")
            at_s = disk.cut()
            for one in threads:
                one.result()
        work.forget_after(at_s)
        disk.unmount()
        disk.mount()
        _restart(Path(root))
        token = _commit(root, limit=10)
        board = Latchboard(root, settings=SETTINGS, publishes=False)
        found += [f"cut {cut}: {one}" for one in work.untrue(board)]
        found += [f"cut {cut}: token {one[3]} comes back" for one in work.told if one[3] >= token]
        board.close()
    disk.unmount()
    return {"found": found, "told": len(work.told)}


def _restart(root: Path) -> None:
    """A machine that had no power has another boot id."""
    guard = root / "data/.agent_locks/journal/guard"
    header = guard.read_bytes()
    if header.strip():
        boot = header.split()[-1]
        with guard.open("r+b") as file:
            file.write(header.replace(boot, boot[::-1]))


def _commit(root: str, *, limit: int) -> int:
    """The next commit, which recovers; its revision."""
    board = Latchboard(root, settings=SETTINGS, publishes=False)
    board.queue.set_limits(by="lead", roles={"builder": limit}, durable=False)
    revision = board.store.transact(lambda view: view.put("log/restart", {}), who="lead", durable=True).revision
    board.close()
    return revision


def test_what_was_told_as_durable_survives_power_cuts(nursery: Nursery, memory_path: Path, require: Any) -> None:
    require(shutil.disk_usage(memory_path).free > 128 << 20, "128 MiB for a disk in a file")
    answer = nursery.start(on_a_disk_that_is_cut_off, folder=str(memory_path)).receive(timeout_s=100)
    require("refused" not in answer, f"a file system in a file: {answer.get('refused')}")

    print(answer["answer"]["told"], "were told")
    assert answer["answer"]["found"] == []
    assert answer["answer"]["told"] > CUTS
