"""The probe against listeners that say what they like, or nothing, in whatever pieces."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest

from latchboard.clock import Now, SystemClock
from latchboard.daemon.probe import ANSWER_BYTES_MAX, address, exchange, probe, request, url

if TYPE_CHECKING:
    from latchboard.clock import HasFileno

CLOCK = SystemClock()
HEALTH = {"product": "latchboard", "version": "0.1.0", "protocol_version": 1, "pid": 4242, "started_at": "now"}
BODY = json.dumps(HEALTH).encode()
ANSWERED_S = 3.0
"""As long as whoever answers may need on a busy machine, where somebody else never does."""
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


class Listeners:
    """Listeners, each of which answers its first question with an action on the connection."""

    def __init__(self) -> None:
        self.stack = ExitStack()
        self.heard: dict[int, bytes] = {}
        self.over = threading.Event()
        self.threads: list[threading.Thread] = []

    def add(self, act: Callable[[socket.socket], None] | None, host: str = "127.0.0.1") -> int:
        """The port of a new one; without an action it never accepts."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = self.stack.enter_context(closing(socket.create_server((host, 0), family=family)))
        port: int = listener.getsockname()[1]
        if act is not None:
            self.threads.append(threading.Thread(target=self._serve, args=(listener, port, act)))
            self.threads[-1].start()
        return port

    def closed(self) -> int:
        """A port at which nobody listens, and that nobody else can have meanwhile."""
        bound = self.stack.enter_context(closing(socket.socket()))
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port

    def _serve(self, listener: socket.socket, port: int, act: Callable[[socket.socket], None]) -> None:
        connection, _ = listener.accept()
        with closing(connection):
            self.heard[port] = connection.recv(65536)
            try:
                act(connection)
            except OSError:
                return  # the probe has heard enough

    def close(self) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join()
        self.stack.close()


@pytest.fixture
def listeners() -> Iterator[Listeners]:
    made = Listeners()
    yield made
    made.close()


def test_many_are_asked_at_once_and_each_has_its_answer(listeners: Listeners) -> None:
    daemon = listeners.add(lambda c: c.sendall(WHOLE))
    stranger = listeners.add(lambda c: c.sendall(b"220 mail.example ESMTP\r\n"))
    cut_off = listeners.add(lambda c: c.sendall(WHOLE[:-5]))
    hangs_up = listeners.add(lambda c: None)
    silent = listeners.add(None)
    closed = listeners.closed()

    found = probe([daemon, stranger, cut_off, hangs_up, silent, closed, daemon], CLOCK, within_s=ANSWERED_S)

    assert {port: one.why for port, one in found.items()} == {
        daemon: "",
        stranger: "stranger",
        cut_off: "stranger",
        hangs_up: "stranger",
        silent: "silent",
        closed: "closed",
    }
    health = found[daemon].health
    assert health is not None and (health.pid, health.version, health.protocol_version) == (4242, "0.1.0", 1)
    assert listeners.heard[daemon].startswith(b"GET /api/health HTTP/1.0\r\nHost: 127.0.0.1:%d\r\n" % daemon)
    assert b"Authorization" not in listeners.heard[daemon]


def test_an_answer_in_pieces_is_put_together(listeners: Listeners) -> None:
    def act(connection: socket.socket) -> None:
        for at in range(0, len(WHOLE), 7):
            connection.sendall(WHOLE[at : at + 7])

    port = listeners.add(act)

    assert probe([port], CLOCK, within_s=60)[port].health is not None


def test_who_keeps_the_connection_open_is_not_waited_for_beyond_the_deadline(listeners: Listeners) -> None:
    def act(connection: socket.socket) -> None:
        connection.sendall(WHOLE)
        listeners.over.wait(60)

    port = listeners.add(act)

    found = probe([port], CLOCK, within_s=ANSWERED_S)[port]

    assert found.health is not None, "what is whole counts"


class Stopped(SystemClock):
    """Whoever waits by it is stopped in its first wait, until long after the end of that; no time goes by then."""

    def __init__(self) -> None:
        self._waits_count = 0
        self._began_s = super().now().mono_s

    def now(self) -> Now:
        now = super().now()
        return Now(now.wall_s, self._began_s + (3600.0 if self._waits_count else 0.0), now.boot)

    def wait(self, readables: Iterable[HasFileno], timeout_s: float | None) -> bool:
        assert timeout_s is not None and timeout_s > 0
        self._waits_count += 1
        return super().wait(readables, 60)


def test_who_was_stopped_beyond_the_deadline_hears_what_was_said_meanwhile(listeners: Listeners) -> None:
    ports = [listeners.add(lambda c: c.sendall(WHOLE)) for _ in range(3)]

    found = probe(ports, Stopped(), within_s=1.0)

    assert [found[port].why for port in ports] == ["", "", ""]


def test_who_is_stopped_again_and_again_is_not_waited_for_without_end(listeners: Listeners) -> None:
    class Overslept(Stopped):
        def now(self) -> Now:
            now = super().now()
            return Now(now.wall_s, now.mono_s + 3600.0 * self._waits_count, now.boot)

    def act(connection: socket.socket) -> None:
        while not listeners.over.wait(0.01):
            connection.sendall(b"x")

    assert probe([listeners.add(act)], Overslept(), within_s=1.0).popitem()[1].why == "silent"


def test_who_drips_for_ever_costs_the_deadline_and_no_more(listeners: Listeners) -> None:
    def act(connection: socket.socket) -> None:
        while not listeners.over.wait(0.01):
            connection.sendall(b"x")

    port = listeners.add(act)
    started = time.monotonic()

    found = probe([port], CLOCK, within_s=0.3)[port]

    assert (found.why, found.health) == ("silent", None)
    assert time.monotonic() - started < 30


def test_an_answer_without_an_end_is_capped(listeners: Listeners) -> None:
    sent = 0

    def act(connection: socket.socket) -> None:
        nonlocal sent
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while not listeners.over.is_set():
            sent += connection.send(b"x" * 65536)

    port = listeners.add(act)

    found = probe([port], CLOCK, within_s=60)[port]

    assert (found.why, found.health) == ("stranger", None)
    assert sent < 100 * ANSWER_BYTES_MAX, "it was hung up on"


def test_a_redirect_is_not_followed(listeners: Listeners) -> None:
    there = listeners.add(None)
    port = listeners.add(
        lambda c: c.sendall(
            b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:%d/\r\nContent-Length: 0\r\n\r\n" % there
        )
    )

    assert probe([port], CLOCK, within_s=60)[port].why == "stranger"
    assert there not in listeners.heard


def test_twenty_silent_ones_cost_one_deadline(listeners: Listeners) -> None:
    ports = [listeners.add(None) for _ in range(20)]
    started = time.monotonic()

    found = probe(ports, CLOCK, within_s=1.0)

    assert {one.why for one in found.values()} == {"silent"}
    assert time.monotonic() - started < 15, "and not twenty"


def test_the_loopback_of_the_sixth_version(listeners: Listeners) -> None:
    port = listeners.add(lambda c: c.sendall(WHOLE), host="::1")

    assert probe([port], CLOCK, host="::1", within_s=60)[port].health is not None
    assert b"Host: [::1]:%d\r\n" % port in listeners.heard[port]


def test_an_address_that_is_none_is_closed() -> None:
    for host in ("not an address", "\u00e9" * 70, "198.51.100.1x", "a" * 300):
        assert probe([9], CLOCK, host=host)[9].why == "closed", host
    assert probe([], CLOCK) == {}


def test_where_a_daemon_is_reached() -> None:
    assert [address(host) for host in ("0.0.0.0", "::", "", "192.0.2.1")] == [
        "127.0.0.1",
        "::1",
        "127.0.0.1",
        "192.0.2.1",
    ]
    assert url("0.0.0.0", 9400) == "http://127.0.0.1:9400/"
    assert url("::", 9400) == "http://[::1]:9400/"


def test_a_word_to_stop_carries_the_token_and_a_body(listeners: Listeners) -> None:
    port = listeners.add(lambda c: c.sendall(b"HTTP/1.1 202 Accepted\r\n\r\n"))

    heard, why = exchange({port: request("POST", "/api/stop", "127.0.0.1", port, token="abc")}, CLOCK, "127.0.0.1", 60)[
        port
    ]

    assert (heard[:12], why) == (b"HTTP/1.1 202", "")
    head, _, body = listeners.heard[port].partition(b"\r\n\r\n")
    assert b"Authorization: Bearer abc" in head and b"Content-Length: 2" in head
    assert body == b"{}"
