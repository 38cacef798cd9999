"""Relay: a daemon of this machine passes requests on to etcd, for a process that ends soon.

Such a process need not load an HTTP client, connect and log in. What is passed on is one request of the gateway;
whose it is, and what is made of the answer, stays where it was asked.

Law 1. Whatever keeps the daemon from answering costs little and changes nothing: the caller asks etcd itself. Where
       nobody listens that is at once, where nobody says hello in time after 0.2 s. A relay that failed once, or said
       no, is asked nothing more by this process.
Law 2. A request that was not sent whole was not done. One that was and was not answered may have been: `Lost`, if it
       must be done at most once. It is waited for no longer than a request to etcd itself.
Law 3. Only a process of the same user is believed, and answered, and only about the same cluster, prefix and user of
       etcd. The kernel says whose process it is; where it does not, there is no relay.
Law 4. No password and no token goes over it.

Protocol: protocol/etcd.md, "Through the daemon".
"""

from __future__ import annotations

import _socket  # `socket` makes enumerations of its constants, which takes longer than the rest of this
import os
import sys
from time import monotonic

from latchboard.codec import decode, encode
from latchboard.store.etcd import trouble
from latchboard.store.etcd.trouble import Answer, Lost

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from latchboard.store.etcd.access import Access

PROTOCOL = 1
FRAME_BYTES_MAX = 16 * 1024 * 1024
"""Of an answer; one that is longer is fetched without a relay."""
REQUEST_BYTES_MAX = 4 * 1024 * 1024
"""etcd takes 1.5 MiB, which are 2 here; a longer one is made without a relay."""
HELLO_BYTES_MAX = 64 * 1024
IDLE_S_MAX = 30.0
"""A connection on which nothing was asked for so long is closed by the daemon; by us after half of it."""
IS_POSSIBLE = hasattr(_socket, "SO_PEERCRED") and hasattr(os, "O_PATH")
_HELLO_S_MAX = 0.2
_MARGIN_S = 0.1  # the daemon gives up so much earlier than we do, so that it can say so
_ADDRESS_BYTES_MAX = 100  # 108 on Linux
_HEAD_BYTES = 4
_PIECE_BYTES = 1 << 20
_IDLE_COUNT_MAX = 4


class Relay:
    """The way over a daemon, as this process has it. Threads may share it."""

    def __init__(self, access: Access, path: str) -> None:
        """Nothing is connected yet.

        Args:
            access: Which cluster, as whom.
            path: Where the daemon listens.
        """
        self._hello = hello(access)
        self._path = path
        self._is_gone = not IS_POSSIBLE
        self._idle: list[tuple[float, _socket.socket]] = []

    def ask(self, path: str, body: dict[str, Any], limit_s: float, *, once: bool = False) -> dict[str, Any] | None:
        """One request of the gateway.

        Args:
            path: Of etcd's gateway, or `/version`.
            body: As the gateway takes it.
            limit_s: How long it may take, seconds.
            once: Whether it must not be done twice.

        Returns:
            What etcd said; None: nothing was done, or nothing that may not be done again: ask etcd itself.

        Raises:
            Answer: etcd said no, for a reason that the caller may understand.
            Lost: It must not be done twice, and may have been done.
            RevisionWentBack: The daemon has seen a revision that is newer.
        """
        if self._is_gone or limit_s <= _MARGIN_S:
            return None
        deadline = monotonic() + limit_s
        data = encode({"path": path, "body": body, "left_s": limit_s - _MARGIN_S, "once": once}).encode()
        if len(data) > REQUEST_BYTES_MAX:
            return None
        connection = self._taken()
        if connection is None:
            self._is_gone = True
            return None
        is_sent = is_whole = False
        try:
            send(connection, data, deadline)
            is_sent = True
            told = receive(connection, deadline)
            is_whole = True
        except (OSError, ValueError) as exc:
            self._give_up(f"the daemon did not say: {exc}", may_be_done=once and is_sent)
            return None
        finally:
            if is_whole and len(self._idle) < _IDLE_COUNT_MAX:
                self._idle.append((monotonic(), connection))
            else:
                connection.close()
        return self._meaning(told, once)

    def _meaning(self, told: dict[str, Any], once: bool) -> dict[str, Any] | None:
        """What an answer of the daemon's says. Raises as `ask`."""
        match told:
            case {"told": dict() as found}:
                return found
            case {"answer": [int() as code, str() as text]}:
                raise Answer(code, text)
            case {"lost": str() as text}:
                raise Lost(text)
            case {"back": [int() as seen, int() as found]}:
                raise trouble.went_back(seen, found)
        self._give_up("the daemon said nothing that is understood", may_be_done=once and "no" not in told)
        return None

    def _give_up(self, why: str, *, may_be_done: bool) -> None:
        """Ask it nothing more. Raises Lost: what must not be done twice may have been done."""
        self._is_gone = True
        self.close()
        if may_be_done:
            raise Lost(why)

    def answers(self) -> bool:
        """Whether a daemon is there that would pass requests on."""
        connection = self._taken() if IS_POSSIBLE else None
        if connection is not None:
            connection.close()
        return connection is not None

    # -- connections --------------------------------------------------------------------------------------------------

    def _taken(self) -> _socket.socket | None:
        """A connection on which hello was said; None: there is none to be had."""
        while self._idle:
            try:
                since, connection = self._idle.pop()
            except IndexError:  # another thread was faster
                break
            if monotonic() - since < IDLE_S_MAX / 2:
                return connection
            connection.close()
        connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        is_ours = False
        try:
            deadline = monotonic() + _HELLO_S_MAX
            connection.settimeout(_HELLO_S_MAX)
            at_address(self._path, connection.connect)
            if peer_uid(connection) == os.geteuid():
                send(connection, encode(self._hello).encode(), deadline)
                is_ours = receive(connection, deadline) == {"relay": PROTOCOL}
        except (OSError, ValueError):
            is_ours = False
        finally:
            if not is_ours:
                connection.close()
        return connection if is_ours else None

    def close(self) -> None:
        """Close every connection; the next request opens a new one. In a forked child: let go of the parent's."""
        idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.close()


# -- what both sides do ---------------------------------------------------------------------------------------------


def hello(access: Access) -> dict[str, Any]:
    """What is said first: of what a daemon must know the same, or else refuse."""
    told = {"relay": PROTOCOL, "endpoints": list(access.endpoints), "prefix": access.prefix}
    return {**told, "user": access.user}


def peer_uid(connection: _socket.socket) -> int:
    """Whose process is at the other end."""
    told = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)  # pid, uid, gid
    return int.from_bytes(told[4:8], sys.byteorder)


def at_address(path: str, do: Callable[[str], None]) -> None:
    """Call `do` with an address for the socket at `path`: the system takes no long ones, but leads over a descriptor.

    Raises:
        OSError: There is no such folder, or what `do` raises.
    """
    if len(os.fsencode(path)) <= _ADDRESS_BYTES_MAX:
        do(path)
        return
    folder, _, name = path.rpartition("/")
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        do(f"/proc/self/fd/{fd}/{name}")
    finally:
        os.close(fd)


def send(connection: _socket.socket, data: bytes, deadline: float) -> None:
    """One frame: its length in four bytes, and JSON. Raises OSError: not all of it was sent by then, monotonic s."""
    connection.settimeout(_left_s(deadline))
    connection.sendall(len(data).to_bytes(_HEAD_BYTES, "big") + data)


def receive(connection: _socket.socket, deadline: float, *, bytes_max: int = FRAME_BYTES_MAX) -> dict[str, Any]:
    """One frame. Raises OSError: it did not come; ValueError: it is none, or longer than it may be."""
    size = int.from_bytes(_read(connection, _HEAD_BYTES, deadline), "big")
    if size > bytes_max:
        raise ValueError(f"a frame of {size} bytes")
    return decode(_read(connection, size, deadline))


def _read(connection: _socket.socket, size: int, deadline: float) -> bytes:
    parts: list[bytes] = []
    while size > 0:
        connection.settimeout(_left_s(deadline))
        piece = connection.recv(min(size, _PIECE_BYTES))
        if not piece:
            raise ConnectionResetError("the connection ended")
        parts.append(piece)
        size -= len(piece)
    return b"".join(parts)


def _left_s(deadline: float) -> float:
    left_s = deadline - monotonic()
    if left_s <= 0:
        raise TimeoutError("the time is up")
    return left_s
