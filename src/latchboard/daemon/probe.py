"""Probe: what listeners on this machine say about themselves; many at once, under one deadline.

Law 1. All ports together take no longer than one may: who says nothing costs nothing but the deadline. Who asks and
       did not run until after it (a busy machine, a process that was stopped) hears what was said meanwhile.
Law 2. An answer is capped, a redirect is not followed, nothing is sent that anybody may not know.
Law 3. What is said proves nothing about who says it.

Plain sockets and one selector: an answer is some hundred bytes, and a command that asks for it loads no HTTP library.

Protocol: protocol/health.md, "Health answer", "Orphans".
"""

from __future__ import annotations

import errno
import os
import selectors
import socket

from latchboard.codec import decode
from latchboard.rules import serving

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Literal

    from latchboard.clock import Clock
    from latchboard.rules.serving import Health

    Why = Literal["", "closed", "silent", "stranger"]

WITHIN_S = 1.0
"""A healthy daemon answers within milliseconds; a second is for a machine that swaps."""
_STOOD_S = 0.1
"""Who is back from a wait so much after its end did not run meanwhile."""
_AGAIN_S = 0.25
"""Who did not run listens so long once more, seconds."""
ANSWER_BYTES_MAX = 64 * 1024
HEALTH_PATH = "/api/health"
_CONNECTING = (errno.EINPROGRESS, errno.EWOULDBLOCK)


class Answer:
    """What became of one port.

    Attributes:
        port: Which one.
        health: What a daemon said; None: none did.
        why: "" with a health answer; `closed` (nobody listens), `silent` (somebody does, and said nothing whole in
            time), `stranger` (he said something else).
    """

    __slots__ = ("health", "port", "why")

    def __init__(self, port: int, health: Health | None, why: Why) -> None:
        self.port = port
        self.health = health
        self.why = why

    def __repr__(self) -> str:
        return f"Answer(port={self.port}, health={self.health!r}, why={self.why!r})"


def probe(
    ports: Iterable[int], clock: Clock, *, host: str = "127.0.0.1", within_s: float = WITHIN_S
) -> dict[int, Answer]:
    """Ask every port for its health.

    Args:
        ports: Each asked once.
        clock: For the deadline.
        host: The address that a daemon listens on; one that means every address is asked on the loopback.
        within_s: Longest time for all of them together, seconds.

    Returns:
        One answer per port. Never raises for anything that a listener can do.
    """
    ports = list(ports)
    heard = exchange({port: request("GET", HEALTH_PATH, host, port) for port in ports}, clock, host, within_s)
    return {port: _answer(port, heard[port]) for port in ports}


def address(host: str) -> str:
    """Where to reach a daemon that listens on `host`, from this machine."""
    return {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "localhost": "127.0.0.1", "::": "::1"}.get(host, host)


def url(host: str, port: int) -> str:
    """The address of a daemon's page."""
    where = address(host)
    return f"http://[{where}]:{port}/" if ":" in where else f"http://{where}:{port}/"


def request(method: str, path: str, host: str, port: int, *, token: str = "") -> bytes:
    """A question in HTTP/1.0: the answer is not chunked, and ends with the connection."""
    named = url(host, port).removeprefix("http://").removesuffix("/")
    lines = [f"{method} {path} HTTP/1.0", f"Host: {named}", "Accept: application/json", "Connection: close"]
    if token:
        lines += [f"Authorization: Bearer {token}"]
    if method == "POST":
        lines += ["Content-Type: application/json", "Content-Length: 2"]
    return "\r\n".join([*lines, "", "{}" if method == "POST" else ""]).encode("ascii", "replace")


class _Call:
    """One connection: first it sends, then it hears."""

    __slots__ = ("heard", "is_connected", "is_over", "left", "socket")

    def __init__(self, question: bytes, opened: socket.socket) -> None:
        self.left = question
        self.heard = b""
        self.is_connected = False
        self.is_over = False
        self.socket = opened

    def go_on(self) -> None:
        """What can be done now without waiting."""
        try:
            if self.left:
                failed = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if failed:
                    raise OSError(failed, os.strerror(failed))
                self.is_connected = True
                self.left = self.left[self.socket.send(self.left) :]
                return
            data = self.socket.recv(ANSWER_BYTES_MAX)
            self.heard += data
            self.is_over = not data or len(self.heard) > ANSWER_BYTES_MAX
        except BlockingIOError:
            return
        except OSError:  # refused, or cut off: what was heard until then counts
            self.is_over = True


def exchange(questions: Mapping[int, bytes], clock: Clock, host: str, within_s: float) -> dict[int, tuple[bytes, Why]]:
    """Send each port its question, and hear what it says.

    Returns:
        Per port what was heard, and how that ended: "" (whole, as far as the connection tells), `closed`, `silent`.
    """
    deadline_s = clock.now().mono_s + within_s
    heard: dict[int, tuple[bytes, Why]] = dict.fromkeys(questions, (b"", "closed"))
    has_stood = False
    with selectors.DefaultSelector() as selector:
        try:
            for port, question in questions.items():
                call = _open(question, host, port)
                if call is not None:
                    selector.register(call.socket, selectors.EVENT_WRITE, (port, call))
            while selector.get_map():
                now_s = clock.now().mono_s
                if now_s - deadline_s >= _STOOD_S and not has_stood:
                    has_stood, deadline_s = True, now_s + _AGAIN_S
                if now_s >= deadline_s:
                    break
                clock.wait([selector], deadline_s - now_s)  # epoll, kqueue
                for key, _ in selector.select(0):
                    port, call = key.data
                    call.go_on()
                    if call.is_over:
                        heard[port] = (call.heard, "" if call.is_connected else "closed")
                        selector.unregister(call.socket)
                        call.socket.close()
                    elif not call.left:
                        selector.modify(call.socket, selectors.EVENT_READ, key.data)
        finally:
            for key in list(selector.get_map().values()):
                port, call = key.data
                heard[port] = (call.heard, "silent")
                call.socket.close()
    return heard


def _open(question: bytes, host: str, port: int) -> _Call | None:
    """A connection that is being made; None: there is none. A name is not looked up: that takes as long as it likes."""
    where = address(host)
    family = socket.AF_INET6 if ":" in where else socket.AF_INET
    try:
        socket.inet_pton(family, where)
        opened = socket.socket(family, socket.SOCK_STREAM)
    except (OSError, ValueError):
        return None
    try:
        opened.setblocking(False)
        failed = opened.connect_ex((where, port))
    except OSError:
        failed = errno.ECONNREFUSED
    if failed in (0, *_CONNECTING):
        return _Call(question, opened)
    opened.close()
    return None


def _answer(port: int, heard: tuple[bytes, Why]) -> Answer:
    data, why = heard
    if why == "closed":
        return Answer(port, None, why)
    body = serving.body_of(data)
    try:
        health = None if body is None else serving.parse_health(decode(body))
    except ValueError:
        health = None
    if health is not None:
        return Answer(port, health, "")
    return Answer(port, None, why or "stranger")
