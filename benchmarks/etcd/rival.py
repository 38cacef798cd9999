"""Rival: locks of another client of etcd, in an environment that has it. `python rival.py KIND PORT`, then orders.

An order is a line `ACTION ROUNDS`, the answer a line of JSON: seconds of each round. This file imports nothing of ours.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any

FILES = ("src/a.py", "src/b.py", "src/c.py")
TTL_S = 30


def etcd3gw_actions(port: int) -> dict[str, Callable[[], None]]:
    """A key for each lock, which hangs on a lease of its own. It asks once, and leaves the lease to run out."""
    import etcd3gw

    client = etcd3gw.client(port=port)
    kept = [client.lock(f"held/{file}", ttl=TTL_S * 100) for file in FILES]
    for lock in kept:
        assert lock.acquire()

    def pair(*files: str) -> None:
        locks = [client.lock(file, ttl=TTL_S) for file in files]
        for lock in locks:
            assert lock.acquire()
        for lock in locks:
            assert lock.release()

    def refused() -> None:
        assert not client.lock(f"held/{FILES[0]}", ttl=TTL_S).acquire()

    return {"three": lambda: pair(*FILES), "one": lambda: pair(FILES[0]), "refused": refused}


def python_etcd_actions(port: int) -> dict[str, Callable[[], None]]:
    """A folder of keys in order for each lock, by version 2 of the API; who is not first takes its key away again."""
    import etcd

    client = etcd.Client(port=port)
    kept = [etcd.Lock(client, f"held/{file}") for file in FILES]
    for lock in kept:
        assert lock.acquire(blocking=False, lock_ttl=TTL_S * 100)

    def pair(*files: str) -> None:
        locks = [etcd.Lock(client, file) for file in files]
        for lock in locks:
            assert lock.acquire(blocking=False, lock_ttl=TTL_S)
        for lock in locks:
            lock.release()

    def refused() -> None:
        lock = etcd.Lock(client, f"held/{FILES[0]}")
        assert not lock.acquire(blocking=False, lock_ttl=TTL_S)
        lock.release()

    return {"three": lambda: pair(*FILES), "one": lambda: pair(FILES[0]), "refused": refused}


KINDS: dict[str, Callable[[int], dict[str, Callable[[], None]]]] = {
    "etcd3gw": etcd3gw_actions,
    "python-etcd": python_etcd_actions,
}


def main() -> None:
    """Obey until the orders end."""
    actions: Any = KINDS[sys.argv[1]](int(sys.argv[2]))
    for order in sys.stdin:
        name, rounds = order.split()
        seconds = []
        for _ in range(int(rounds)):
            since = perf_counter()
            actions[name]()
            seconds.append(perf_counter() - since)
        print(json.dumps(seconds), flush=True)


if __name__ == "__main__":
    main()
