"""Threads that share a store: who only looks at one key waits for nobody."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from latchboard.settings import Settings
from latchboard.store.files import guard
from tests.store.scenes import Scene, open_files

WITHIN_S = 30.0


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path / "project", Settings(guard_wait_s_max=WITHIN_S))
    yield scene
    scene.store.close()


def test_reader_of_one_key_does_not_wait_for_a_thread_that_waits_for_the_guard(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.commit({"agents/a": {"n": 1}})
    is_waiting = threading.Event()
    monkeypatch.setattr(guard.time, "sleep", lambda _: is_waiting.set())
    elsewhere = os.open(scene.guard, os.O_RDWR)
    assert guard.try_lock(elsewhere, shared=False)
    writer = threading.Thread(target=scene.commit, args=({"agents/a": {"n": 2}},))
    writer.start()
    assert is_waiting.wait(WITHIN_S)

    found = scene.store.read("agents/a").get("agents/a")

    assert found == {"n": 1}
    assert writer.is_alive()  # so it was read while the other one waited
    os.close(elsewhere)
    writer.join(WITHIN_S)
    assert scene.store.read("agents/a").get("agents/a") == {"n": 2}


def test_threads_see_at_once_what_the_others_committed(scene: Scene) -> None:
    scene.commit({"agents/a": {"n": 0}})
    found: list[Any] = []

    for n in range(1, 20):
        for call in (
            lambda n=n: scene.commit({"agents/a": {"n": n}}),
            lambda: found.append(scene.store.read("agents/a").get("agents/a")),
        ):
            thread = threading.Thread(target=call)
            thread.start()
            thread.join(WITHIN_S)
        found.append(scene.store.read("agents/a").get("agents/a"))

    assert found == [{"n": n} for n in range(1, 20) for _ in range(2)]


def test_what_threads_opened_is_closed_with_the_store(scene: Scene) -> None:
    before = open_files()
    scene.commit({"agents/a": {}})
    thread = threading.Thread(target=scene.store.read, args=("agents/a",))
    thread.start()
    thread.join(WITHIN_S)

    scene.store.close()

    assert open_files() <= before
