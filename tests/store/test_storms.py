"""Readers and takers in the middle of a storm of changes."""

from __future__ import annotations

import threading
from pathlib import Path

from latchboard import Hold, Latchboard
from latchboard.clock import SystemClock
from latchboard.store.files.store import FileStore


def test_a_scan_beside_renames_misses_no_record_and_doubles_none__failure_3_30(tmp_path: Path) -> None:
    writer, reader = (FileStore(str(tmp_path), clock=SystemClock()) for _ in range(2))
    names = [f"locks/f{n}.py" for n in range(60)]
    writer.transact(lambda view: [view.put(name, {"n": 0}) for name in names], who="a")
    done = threading.Event()

    def storm() -> None:
        for turn in range(300):
            writer.transact(lambda view, turn=turn: view.put(names[turn % 60], {"n": turn}), who="a")
            writer.transact(lambda view: view.put("locks/other.py", {}), who="a")
            writer.transact(lambda view: view.delete("locks/other.py"), who="a")
        done.set()

    thread = threading.Thread(target=storm)
    thread.start()
    scans = 0
    while not done.is_set() or scans < 10:
        found = [key for key, _ in reader.read("locks/").scan("locks/")]
        assert [key for key in found if key != "locks/other.py"] == sorted(names)
        scans += 1
    thread.join()


def test_threads_that_take_over_one_expired_lock_give_it_to_one_of_them__failure_3_2(tmp_path: Path) -> None:
    for turn in range(20):
        name = f"f{turn}.py"
        Latchboard(tmp_path, publishes=False).agent("late").lock(name, ttl_s=1e-6, bound="agent")
        start = threading.Barrier(8)
        won: list[Hold] = []

        def take(number: int, start: threading.Barrier = start, name: str = name, won: list[Hold] = won) -> None:
            me = Latchboard(tmp_path, publishes=False).agent(f"agent-{number}")
            start.wait()
            if isinstance(hold := me.try_lock(name), Hold):
                won.append(hold)

        crowd = [threading.Thread(target=take, args=(number,)) for number in range(8)]
        for thread in crowd:
            thread.start()
        for thread in crowd:
            thread.join()

        assert len(won) == 1
