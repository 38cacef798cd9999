"""Relaying: the daemon's side of the relay: it passes on what processes of its user ask of its own store's etcd.

Law 1. Nobody is answered but a process of the same user that names the same cluster, prefix and user of etcd; nothing
       is passed on but the requests that a store makes, and none that names a key of another prefix.
Law 2. What comes in may be anything: a frame that is none, or too long, or not there in time, ends its connection and
       nothing else. There is room for 64 connections; the next one is closed, and its process asks etcd itself.
Law 3. What is said is what is known: `no` only where nothing was done.
Law 4. The socket is its daemon's alone: put in the place of a left one at the start, taken away at the end.

Protocol: protocol/etcd.md, "Through the daemon".
"""

from __future__ import annotations

import os
import socket
import threading
import weakref
from binascii import a2b_base64
from time import monotonic

from latchboard.codec import encode
from latchboard.errors import CoordinationError, StoreError, from_os_error
from latchboard.store.etcd.errors import RevisionWentBack
from latchboard.store.etcd.gateway import VERSION
from latchboard.store.etcd.layout import end_of
from latchboard.store.etcd.relay import (
    FRAME_BYTES_MAX,
    HELLO_BYTES_MAX,
    IDLE_S_MAX,
    IS_POSSIBLE,
    PROTOCOL,
    REQUEST_BYTES_MAX,
    at_address,
    hello,
    peer_uid,
    receive,
    send,
)
from latchboard.store.etcd.trouble import Answer, Lost

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from latchboard.store.etcd.gateway import Gateway

CONNECTIONS_COUNT_MAX = 64
HELLO_S_MAX = 1.0
ANSWER_S_MAX = 10.0
"""How long a peer may take to read its answer."""
PATHS = frozenset(
    ("/v3/kv/txn", "/v3/kv/range", "/v3/kv/put", "/v3/lease/grant", "/v3/lease/keepalive", "/v3/lease/revoke", VERSION)
)
_PAUSE_S = 0.1
_DEPTH_MAX = 6
_KEYS = frozenset(("key", "range_end", "rangeEnd"))  # etcd's gateway knows both spellings
_open: weakref.WeakSet[Relaying] = weakref.WeakSet()


class Relaying:
    """A socket, a thread that takes connections, and one for each of them."""

    def __init__(self, gateway: Gateway, path: str, on_activity: Callable[[], None] = lambda: None) -> None:
        """Nothing listens yet.

        Args:
            gateway: What the requests are passed on to.
            path: Of the socket; its folder is there.
            on_activity: Called in a thread whenever a process begins to ask.
        """
        self._gateway = gateway
        self._path = path
        self._hello = hello(gateway.access)
        prefix = f"{gateway.access.prefix}/".encode()
        self._keys = prefix, end_of(prefix)
        self._on_activity = on_activity
        self._mutex = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self._inode = (0, 0)
        self._is_over = threading.Event()
        _open.add(self)

    def start(self) -> None:
        """Listen, in the place of whatever socket lies there: the caller is the only daemon of its project.

        Raises:
            StoreError: It cannot be done here; whoever would have asked asks etcd itself.
        """
        if not IS_POSSIBLE:
            raise StoreError("this system does not tell whose process is at the other end of a socket")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            try:
                os.unlink(self._path)
            except FileNotFoundError:
                pass  # the last one took it away
            at_address(self._path, listener.bind)
            os.chmod(self._path, 0o600)  # nobody can connect before it listens
            status = os.lstat(self._path)
            self._inode = status.st_dev, status.st_ino
            listener.listen(CONNECTIONS_COUNT_MAX)
        except OSError as exc:
            listener.close()
            raise from_os_error(exc, "listen at", self._path) from exc
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), name="latchboard relays", daemon=True).start()

    def close(self) -> None:
        """End every connection, and take the socket away. Whoever is in the middle is told nothing."""
        self._is_over.set()
        listener, self._listener = self._listener, None
        if listener is None:
            return
        try:
            status = os.lstat(self._path)
            if (status.st_dev, status.st_ino) == self._inode:
                os.unlink(self._path)
        except OSError:
            pass  # somebody else took it away
        with self._mutex:
            connections = list(self._connections)
        for one in (listener, *connections):
            _shut(one)
        listener.close()

    def after_fork(self) -> None:
        """In a forked child: nobody is answered by it, and the socket stays the parent's."""
        self._is_over.set()
        self._mutex = threading.Lock()
        listener, self._listener = self._listener, None
        connections, self._connections = self._connections, set()
        for one in (listener, *connections):
            if one is not None:
                one.close()

    # -- in threads ---------------------------------------------------------------------------------------------------

    def _accept(self, listener: socket.socket) -> None:
        while not self._is_over.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:  # it was shut, or no descriptor is left
                self._is_over.wait(_PAUSE_S)
                continue
            with self._mutex:
                has_room = len(self._connections) < CONNECTIONS_COUNT_MAX and not self._is_over.is_set()
                if has_room:
                    self._connections.add(connection)
            try:
                if has_room:
                    threading.Thread(target=self._serve, args=(connection,), daemon=True).start()
            except RuntimeError:  # no thread is to be had
                has_room = False
            if not has_room:
                self._let_go(connection)

    def _let_go(self, connection: socket.socket) -> None:
        with self._mutex:
            self._connections.discard(connection)
        connection.close()

    def _serve(self, connection: socket.socket) -> None:
        """One connection, to its end."""
        try:
            if peer_uid(connection) != os.geteuid():
                return
            if receive(connection, monotonic() + HELLO_S_MAX, bytes_max=HELLO_BYTES_MAX) != self._hello:
                return
            send(connection, encode({"relay": PROTOCOL}).encode(), monotonic() + HELLO_S_MAX)
            self._on_activity()
            while not self._is_over.is_set():
                request = receive(connection, monotonic() + IDLE_S_MAX, bytes_max=REQUEST_BYTES_MAX)
                send(connection, self._answer(request), monotonic() + ANSWER_S_MAX)
        except (OSError, ValueError):
            return  # it ended, or is no process of ours: nothing is owed to it
        finally:
            self._let_go(connection)

    def _answer(self, request: dict[str, Any]) -> bytes:
        data = encode(self._said(request)).encode()
        if len(data) > FRAME_BYTES_MAX:
            data = encode({"lost" if request.get("once") else "no": "the answer is too long"}).encode()
        return data

    def _said(self, request: dict[str, Any]) -> dict[str, Any]:
        path, body, left_s, once = (request.get(name) for name in ("path", "body", "left_s", "once"))
        if not isinstance(path, str) or path not in PATHS or not isinstance(body, dict):
            return {"no": "no store asks that"}
        if not isinstance(left_s, float) or not left_s > 0:  # nor is NaN
            return {"no": "there is no time for it"}
        if not self._is_ours(body):
            return {"no": "it names keys of another store"}
        gateway = self._gateway
        deadline = monotonic() + min(left_s, gateway.access.request_s_max)
        try:
            if path == VERSION:
                return {"told": {"version": gateway.version(deadline)}}
            return {"told": (gateway.call_once if once else gateway.call)(path, body, deadline)}
        except Answer as said:
            return {"answer": [said.grpc_code, said.text]}
        except Lost as exc:
            return {"lost": str(exc)}
        except RevisionWentBack as exc:
            return {"back": [exc.fields["seen"], exc.fields["found"]]}
        except CoordinationError as exc:
            return {"no": exc.message}

    def _is_ours(self, value: Any, depth: int = 0) -> bool:
        """Whether every key in a request lies below the prefix."""
        if not isinstance(value, dict | list) or depth > _DEPTH_MAX:
            return depth <= _DEPTH_MAX
        if isinstance(value, list):
            return all(self._is_ours(one, depth + 1) for one in value)
        first, end = self._keys
        for name in _KEYS.intersection(value):
            key = _plain(value[name])
            if key < first or key > end or (key == end and name == "key"):
                return False
        return all(self._is_ours(one, depth + 1) for one in value.values())


def _plain(text: Any) -> bytes:
    """A key as etcd will read it; b"": not all decoders read it the same."""
    try:
        return a2b_base64(text, strict_mode=True) if isinstance(text, str) else b""
    except ValueError:
        return b""


def _shut(connection: socket.socket) -> None:
    """Wake up whoever waits for it."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it ended by itself


def _after_fork() -> None:
    for one in list(_open):
        one.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
