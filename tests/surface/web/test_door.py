"""The server's limits: what a connection may keep it busy with, and for how long."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack

import hypothesis
import pytest
from hypothesis import strategies as st

from latchboard.compose import Latchboard
from latchboard.surface.web import door
from latchboard.surface.web.gate import HEAD_BYTES_MAX
from tests.conftest import ONE_FIXTURE
from tests.surface.web.harness import TOKEN, WAIT_S_MAX, Served


def connect(served: Served) -> socket.socket:
    return socket.create_connection(("127.0.0.1", served.port), timeout=WAIT_S_MAX)


def head(served: Served, path: str = "/api/health", *more: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{served.port}", f"Authorization: Bearer {TOKEN}", *more]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def is_closed(connection: socket.socket) -> bool:
    """Whether the other end closes it, in good time."""
    try:
        while connection.recv(65536):
            continue
    except ConnectionResetError:
        return True
    return True


def test_a_thousand_idle_connections_keep_nobody_out(served: Served) -> None:
    with ExitStack() as stack:
        page = stack.enter_context(served.listen())
        page.next()
        idle = [stack.enter_context(connect(served)) for _ in range(1000)]

        assert served.get("/api/health").status == 200
        assert len(served.server.server_state.connections) <= door.CONNECTIONS_COUNT_MAX
        # The oldest of them had to go, and the page, which is no idle one, did not.
        assert is_closed(idle[0])
        revision = served.board.store.transact(lambda view: view.put("log/write", {}), who="planner").revision
        assert page.next()[1]["revision"] == revision


def test_when_every_connection_is_busy_a_further_one_is_refused(
    served: Served, board: Latchboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "CONNECTIONS_COUNT_MAX", 2)
    with served.listen() as one, served.listen() as two:
        one.next(), two.next()
        with connect(served) as third:
            assert is_closed(third)
    assert served.get("/api/health").status == 200


def test_a_reader_that_takes_nothing_makes_room_before_one_that_is_answered(
    served: Served, board: Latchboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(60):
        board.board.update(f"agent {number}", "x" * 10_000)
    monkeypatch.setattr(door, "CONNECTIONS_COUNT_MAX", 2)
    with served.listen() as page, socket.socket() as slow:
        page.next()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", served.port))
        slow.settimeout(WAIT_S_MAX)
        slow.sendall(head(served, "/api/board"))
        assert slow.recv(15) == b"HTTP/1.1 200 OK"
        _wait(served, lambda: any(one.flow.write_paused for one in served.server.server_state.connections))

        assert served.get("/api/health").status == 200
        board.board.update("planner", "thinking")
        assert page.next()[0] == "commit"
        assert is_closed(slow)


def test_one_that_is_idle_makes_room_before_one_that_does_not_read(
    served: Served, board: Latchboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(60):
        board.board.update(f"agent {number}", "x" * 10_000)
    with socket.socket() as slow, connect(served) as longer, connect(served) as shorter:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", served.port))
        slow.settimeout(WAIT_S_MAX)
        slow.sendall(head(served, "/api/board") * 2)
        assert slow.recv(15) == b"HTTP/1.1 200 OK"
        _wait(served, lambda: any(one.flow.write_paused and not one.is_idle for one in _all(served)))
        for count, idle in enumerate((longer, shorter), 2):
            idle.sendall(head(served, "/api/health"))
            assert idle.recv(15) == b"HTTP/1.1 200 OK"
            _wait(served, lambda count=count: served.server.server_state.total_requests == count)

        monkeypatch.setattr(door, "CONNECTIONS_COUNT_MAX", 3)
        assert served.get("/api/health").status == 200
        assert is_closed(longer)
        _wait(served, lambda: any(not one.is_idle for one in _all(served)))


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"G",
        b"GET /api/health HTTP/1.1\r\nHost: x\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 999,
    ],
)
def test_who_does_not_say_what_it_wants_is_not_waited_for(
    served: Served, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(door, "HEAD_S", 0.1)
    with connect(served) as connection:
        connection.sendall(said)
        assert is_closed(connection)


def test_nor_is_one_that_stops_in_the_middle_of_its_second_request(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connect(served) as connection:
        connection.sendall(head(served))
        assert connection.recv(15) == b"HTTP/1.1 200 OK"
        monkeypatch.setattr(door, "HEAD_S", 0.3)
        connection.sendall(head(served)[:20])
        assert is_closed(connection)


def test_one_connection_serves_several_requests_also_when_they_come_at_once(served: Served) -> None:
    found = served.raw(head(served) * 2 + head(served, "/api/health", "Connection: close"), more_s=WAIT_S_MAX)

    assert found.count(b"HTTP/1.1 200 OK") == 3 and found.count(b'"product":"latchboard"') == 3


def test_a_reader_that_takes_nothing_is_cut_off(
    served: Served, board: Latchboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "STALL_S", 0.2)
    for number in range(60):
        board.board.update(f"agent {number}", "x" * 10_000)
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", served.port))
        slow.settimeout(WAIT_S_MAX)
        slow.sendall(head(served, "/api/board") * 2)
        with served.listen() as page:  # others go on meanwhile
            page.next()
            for number in range(3):
                board.board.update("planner", f"number {number}")
                page.next()
        _ended(served)
        assert len(board.board.text()) > 500_000


@pytest.mark.parametrize("last", [[], ["Connection: close"]])
def test_who_does_not_take_the_rest_of_an_answer_is_cut_off_when_it_is_over(
    served: Served, board: Latchboard, monkeypatch: pytest.MonkeyPatch, last: list[str]
) -> None:
    """What is left may be too little for the loop to say that nobody takes it."""
    monkeypatch.setattr(door, "STALL_S", 0.2)
    board.board.update("planner", "x" * 5_000)
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", served.port))
        slow.settimeout(WAIT_S_MAX)
        _wait(served, lambda: len(_all(served)) == 1)
        (one,) = _all(served)
        while not one.transport.get_write_buffer_size():
            _ask_and_wait(served, slow, one)
        one.timeout_keep_alive = 0.1
        _ask_and_wait(served, slow, one, *last)
        _wait(served, lambda: not _all(served))


def _ask_and_wait(served: Served, slow: socket.socket, one: door.Connection, *more: str) -> None:
    """Ask for one answer more, and wait until the server is done with it."""
    count = served.server.server_state.total_requests
    slow.sendall(head(served, "/api/board", *more))
    _wait(served, lambda: served.server.server_state.total_requests > count or one.transport.is_closing())
    assert not one.flow.write_paused


def _all(served: Served) -> list[door.Connection]:
    return list(served.server.server_state.connections)


def _ended(served: Served) -> None:
    """Wait until no answer is under way: a stalled one has been cut off."""
    _wait(served, lambda: all(one.is_idle for one in served.server.server_state.connections))


def _wait(served: Served, is_so: Callable[[], bool]) -> None:
    """Until something is so in the server's loop."""
    done = threading.Event()

    def look() -> None:
        if is_so():
            done.set()
        else:
            served.loop.call_later(0.02, look)

    served.loop.call_soon_threadsafe(look)
    assert done.wait(WAIT_S_MAX)


# -- heads that are too much ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "more",
    [
        ["X-A: " + "a" * 100_000],
        [f"X-{number}: a" for number in range(10_000)],
        ["X-A: " + "a" * (HEAD_BYTES_MAX - 100)],
    ],
)
def test_a_head_that_is_too_large_is_refused(served: Served, more: list[str]) -> None:
    with connect(served) as connection:
        try:
            connection.sendall(head(served, "/api/health", *more))
        except (BrokenPipeError, ConnectionResetError):  # it has closed already
            return
        assert connection.recv(13) in (b"HTTP/1.1 400 ", b"HTTP/1.1 431 ")
    assert served.get("/api/health").status == 200


def test_what_stands_behind_the_question_mark_is_of_the_head(served: Served) -> None:
    """It comes at once, so that the server has the whole head before it can find it too long."""
    with connect(served) as connection:
        connection.sendall(head(served, "/api/board?at=" + "1" * HEAD_BYTES_MAX))
        found = connection.recv(65536)
    assert found[:13] in (b"HTTP/1.1 400 ", b"HTTP/1.1 431 ") and b'"usage"' not in found


def test_many_headers_within_the_limit_are_read(served: Served) -> None:
    more = [f"X-{number}: a" for number in range(1000)]

    assert served.raw(head(served, "/api/health", *more, "Connection: close")).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "line",
    [
        b"GET /api/health HTTP/1.1 x",
        b"GET  /api/health HTTP/1.1",
        b"GET /api/ health HTTP/1.1",
        b"GET /api/\x00health HTTP/1.1",
        b"GET /api/\xffhealth HTTP/1.1",
        b"GET /api/health HTTP/2.0",
        b"GET /api/health HTTP/9.9",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0",
        b"\r\n\r\n\r\nX",
        b"G\x00T / HTTP/1.1",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1",
    ],
)
def test_what_is_no_request_is_refused(served: Served, line: bytes) -> None:
    with connect(served) as connection:
        connection.sendall(line + b"\r\nHost: 127.0.0.1\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(65536)[:13] in (b"HTTP/1.1 400 ", b"HTTP/1.1 421 ", b"HTTP/1.1 431 ")
    assert served.get("/api/health").status == 200


@pytest.mark.parametrize(
    "target", [b"*", b"http://evil.example/", b"//evil.example/api/health", b"/api/health?" + b"&" * 9999]
)
def test_strange_targets_lead_nowhere(served: Served, target: bytes) -> None:
    data = b"GET " + target + b" HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % served.port

    assert served.raw(data)[9:12] in (b"200", b"400", b"401")


def test_what_is_no_request_fills_no_log(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        served.raw(b"nothing\r\n\r\n")

    assert caplog.records == []


def test_two_lengths_or_a_length_with_pieces_are_refused(served: Served) -> None:
    start = head(served, "/api/stop", "Content-Type: application/json").replace(b"GET", b"POST").rstrip(b"\r\n")
    twice, coded = b"Content-Length: 2\r\nContent-Length: 3", b"Transfer-Encoding: "
    for more in (twice, coded + b"chunked, identity", coded + b"gzip"):
        assert served.raw(start + b"\r\n" + more + b"\r\n\r\n{}")[9:10] in (b"4", b"5")
    smuggled = b"\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + head(served)
    served.raw(start + smuggled)
    assert served.stops == [] or len(served.stops) == 1  # one request, whatever it was taken for
    assert served.get("/api/health").status == 200


def test_a_connection_sends_at_once_and_the_kernel_keeps_little_for_it(served: Served) -> None:
    with served.listen() as page:
        page.next()
        (connection,) = served.server.server_state.connections
        connected = connection.transport.get_extra_info("socket")
        assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert connected.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 2 * door.SEND_BYTES


@hypothesis.given(
    st.lists(
        st.one_of(
            st.binary(max_size=200),
            st.sampled_from(
                [
                    b"GET /api/health HTTP/1.1\r\n",
                    b"\r\n",
                    b"Host: 127.0.0.1\r\n",
                    b"Content-Length: 5\r\n",
                    b"\0",
                    b"POST ",
                ]
            ),
        ),
        max_size=8,
    )
)
@hypothesis.settings(max_examples=300, deadline=None, suppress_health_check=ONE_FIXTURE)
def test_whatever_bytes_come_it_goes_on(served: Served, pieces: list[bytes]) -> None:
    with connect(served) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                continue
        except OSError as exc:  # it had enough; but to wait in vain is none of these
            assert exc.errno in (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN)
        finally:
            assert served.get("/api/health").status == 200
