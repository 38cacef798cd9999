"""A relay as a daemon runs it, in this process: over a gateway of its own, at a socket of its own."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from time import monotonic
from typing import Any

from latchboard.clock import SystemClock
from latchboard.codec import encode
from latchboard.store.etcd import relay, relaying
from latchboard.store.etcd.access import Access
from latchboard.store.etcd.gateway import Gateway
from latchboard.store.etcd.relay import at_address, hello, receive, send
from latchboard.store.etcd.relaying import Relaying
from latchboard.store.etcd.store import EtcdStore
from tests.conftest import MEMORY

if not hasattr(socket, "SO_PEERCRED"):
    raise RuntimeError("there is no relay on this system")


UNHURRIED_S = 60.0
"""How long both sides wait for a hello where none of this is about one that does not come."""


@contextmanager
def unhurried() -> Iterator[None]:
    """A process that stands still for a moment, or is busy, is asked all the same."""
    kept = relay._HELLO_S_MAX, relaying.HELLO_S_MAX
    relay._HELLO_S_MAX = relaying.HELLO_S_MAX = UNHURRIED_S
    try:
        yield
    finally:
        relay._HELLO_S_MAX, relaying.HELLO_S_MAX = kept


class Relayed:
    """One that runs, and what asks it.

    Attributes:
        access: Whose relay it is.
        path: Where it listens.
    """

    def __init__(self, access: Access, folder: str = "") -> None:
        self._folder = tempfile.mkdtemp(prefix="latchboard-relay-", dir=MEMORY)
        self.access = access
        self.path = f"{folder or self._folder}/serve.relay"
        self.used_count = 0
        self.gateway = Gateway(access)
        self.relaying = Relaying(self.gateway, self.path, self._note)
        self.relaying.start()
        self._stores: list[EtcdStore] = []

    def _note(self) -> None:
        self.used_count += 1

    def its(self, **other: Any) -> Access:
        """The access of a process that asks it, with what is other."""
        access = copy(self.access)
        access.relay = self.path
        for name, value in other.items():
            setattr(access, name, value)
        return access

    def store(self, **other: Any) -> EtcdStore:
        self._stores.append(EtcdStore(self.its(**other), clock=SystemClock()))
        return self._stores[-1]

    def peer(self, say_hello: bool = True) -> Peer:
        """Whoever connects."""
        return Peer(self.path, hello(self.access) if say_hello else None)

    def close(self) -> None:
        for store in self._stores:
            store.close()
        self.relaying.close()
        self.gateway.close()
        shutil.rmtree(self._folder)


class Peer:
    """A process that may say anything."""

    def __init__(self, path: str, says: dict[str, Any] | None) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(UNHURRIED_S)
        try:
            at_address(path, self.socket.connect)
        except OSError:
            self.close()
            raise
        if says is not None:
            assert self.ask(says) == {"relay": 1}

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        send(self.socket, encode(request).encode(), monotonic() + UNHURRIED_S)
        return receive(self.socket, monotonic() + UNHURRIED_S)

    def is_left(self) -> bool:
        """Whether the other side ends the connection, in time and without a word."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def forked(do: Callable[[], object]) -> int:
    """The pid of a child that does it, and ends."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            do()
            status = 0
        finally:
            os._exit(status)
    return pid


def ended(pid: int) -> int:
    """The exit status of a child; 0: it did it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
