"""Bells where the file system has no FIFOs: whoever waits looks by itself."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from latchboard.clock import SystemClock
from latchboard.compose import Latchboard
from latchboard.errors import StoreError
from latchboard.settings import Settings
from latchboard.store.files.bell import FileBell
from tests.store.scenes import Scene, open_files

WITHIN_S = 30.0


@pytest.fixture(params=[errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP], ids=lambda number: errno.errorcode[number])
def _no_fifos(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    _refuse(monkeypatch, request.param)


def _refuse(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "mkfifo", refuse)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path / "project", Settings(watch_poll_s=0.005))
    yield scene
    scene.store.close()


@pytest.mark.usefixtures("_no_fifos")
def test_bell_rings_for_every_change_of_its_own_key(scene: Scene) -> None:
    bell, other = scene.store.bell("waiters/r1"), scene.store.bell("waiters/r2")
    assert not isinstance(bell, FileBell)
    assert not SystemClock().wait([bell], 0)

    for n in range(3):
        scene.commit({"waiters/r1": {"n": n}} if n < 2 else {}, *(["waiters/r1"] if n == 2 else []))
        assert SystemClock().wait([bell], WITHIN_S)
        bell.clear()

    assert not SystemClock().wait([bell, other], 0)
    bell.close()
    other.close()


@pytest.mark.usefixtures("_no_fifos")
def test_it_leaves_no_descriptor_behind(scene: Scene) -> None:
    scene.commit({"agents/a": {}})
    before = open_files()

    for _ in range(3):
        bell = scene.store.bell("waiters/r1")
        bell.close()
        bell.close()

    assert open_files() <= before
    assert bell.fileno() == -1


@pytest.mark.usefixtures("_no_fifos")
def test_who_waits_for_a_lock_gets_it(tmp_path: Path) -> None:
    settings = Settings(wait_poll_s=WITHIN_S * 2, watch_poll_s=0.005)
    board = Latchboard(tmp_path, settings=settings, publishes=False)
    hold = board.agent("a").lock("x.py", bound="agent")
    got: list[str] = []

    def wait() -> None:
        with Latchboard(tmp_path, settings=settings, publishes=False).agent("b").lock("x.py", wait_s_max=WITHIN_S):
            got.append("b")

    waiter = threading.Thread(target=wait)
    watch = board.store.watch("waiters/", after=0)
    waiter.start()
    while not watch.poll():
        assert SystemClock().wait([watch], WITHIN_S)
    hold.release()
    waiter.join(WITHIN_S)

    assert got == ["b"]
    watch.close()
    board.close()


def test_what_is_wrong_otherwise_is_said(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.commit({"agents/a": {}})
    _refuse(monkeypatch, errno.ENOSPC)

    with pytest.raises(StoreError):
        scene.store.bell("waiters/r1")
