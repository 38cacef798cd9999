"""Who may ask: names of the daemon alone, no page of another origin, and nobody without the token."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from latchboard.compose import Latchboard
from latchboard.surface.web import openapi
from latchboard.surface.web.app import build
from latchboard.surface.web.gate import BODY_BYTES_MAX, HEADERS
from tests.surface.web.harness import TOKEN, Served

CHANGES = sorted(f"/api/{name}" for name in openapi.POSTS)
SECRETS = sorted({*openapi.GETS, "/api/events", "/api/openapi.json"} - {"/api/health"})
PUBLIC = ("/api/health", "/metrics")


@pytest.fixture
def locked(board: Latchboard) -> Latchboard:
    board.board.update("planner", "thinking")
    board.locks.acquire(board.locks.request("planner", ["src/a.py"], bound="agent"))
    return board


# -- the token --------------------------------------------------------------------------------------------------------

WRONG = [
    {},
    {"Authorization": ""},
    {"Authorization": "Bearer"},
    {"Authorization": "Bearer "},
    {"Authorization": TOKEN},
    {"Authorization": f"Basic {TOKEN}"},
    {"Authorization": f"Bearer {TOKEN[:-1]}"},
    {"Authorization": f"Bearer {TOKEN}0"},
    {"Authorization": f"Bearer {TOKEN[:-1]}X"},
    {"Authorization": "Bearer \xe9"},
    {"Cookie": f"token={TOKEN}"},
    {"X-Forwarded-For": "127.0.0.1", "X-Authorization": f"Bearer {TOKEN}"},
]


@pytest.mark.parametrize("path", CHANGES)
def test_nothing_changes_without_the_token(served: Served, locked: Latchboard, path: str) -> None:
    before = locked.board.read()
    bodies = {
        "/api/break": {"agent": "operator", "path": "src/a.py", "reason": "test"},
        "/api/handoff": {"action": "request", "agent": "operator", "paths": ["src/a.py"]},
        "/api/release": {"agent": "planner", "all": True},
        "/api/send": {"agent": "operator", "to": "planner", "body": "hello"},
        "/api/stop": {},
    }

    for headers in WRONG:
        answer = served.post(path, bodies[path], token=None, headers=headers)
        answer.failed(401, "unauthorized")
        assert answer.headers["www-authenticate"] == 'Bearer realm="latchboard"'
    served.post(f"{path}?token={TOKEN}", bodies[path], token=None).failed(401, "unauthorized")

    assert locked.board.read() == before
    assert locked.mailbox.peek("planner").messages == []
    assert served.stops == []


def test_every_address_is_closed_without_the_token_also_one_that_is_not_there(served: Served) -> None:
    for path in (
        *SECRETS,
        "/mcp",
        "/api",
        "/api/",
        "/nothing",
        "//",
        "/api/health/",
        "/api/%68ealth%00",
        "/API/HEALTH",
    ):
        served.get(path, token=None).failed(401, "unauthorized")


def test_two_tokens_are_none(served: Served) -> None:
    head = f"GET /api/board HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n".encode()
    line = f"Authorization: Bearer {TOKEN}\r\n".encode()

    assert served.raw(head + line + b"\r\n").startswith(b"HTTP/1.1 200 ")
    assert served.raw(head + line * 2 + b"\r\n").startswith(b"HTTP/1.1 401 ")


def test_what_is_public_tells_no_secret(served: Served, locked: Latchboard) -> None:
    for path in PUBLIC:
        body = served.get(path, token=None).body.decode()
        assert TOKEN not in body and locked.root not in body and "planner" not in body


def test_a_token_that_could_be_guessed_is_not_taken(board: Latchboard) -> None:
    with pytest.raises(ValueError, match="guessed"):
        build(board, "secret")


# -- the host ---------------------------------------------------------------------------------------------------------

FOREIGN_HOSTS = [
    "evil.example",
    "evil.example:{port}",
    "127.0.0.1.evil.example:{port}",
    "localhost.evil.example:{port}",
    "evil.example#127.0.0.1:{port}",
    "evil@127.0.0.1:{port}",
    "127.0.0.1:1",
    "127.0.0.1",
    "localhost",
    "127.0.0.1:{port}:{port}",
    "localhost.:{port}",
    "0.0.0.0:{port}",
    "127.1:{port}",
    "2130706433:{port}",
    "[::1]:1",
    "[::1]",
    "[::1]x:{port}",
    "[::ffff:127.0.0.1]:{port}",
    "::1:{port}",
    "",
    ":{port}",
    "127.0.0.1:{port} evil.example",
    "\xe9vil:{port}",
]


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_a_name_that_is_not_ours_reaches_nothing(served: Served, host: str) -> None:
    host = host.format(port=served.port)
    for path in ("/", "/api/health", "/api/board", "/metrics", "/nothing"):
        served.get(path, headers={"Host": host}).failed(421, "wrong-host")


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "LocalHost:{port}", "[::1]:{port}"])
def test_loopback_names_with_our_port_are_ours(served: Served, host: str) -> None:
    assert served.get("/api/health", headers={"Host": host.format(port=served.port)}).status == 200


def test_without_a_host_or_with_two_nothing_is_served(served: Served) -> None:
    ours = f"Host: 127.0.0.1:{served.port}\r\n"
    for head in ("", ours + "Host: evil.example\r\n", "Host: evil.example\r\n" + ours):
        assert served.raw(f"GET /api/health HTTP/1.1\r\n{head}\r\n".encode()).startswith(b"HTTP/1.1 400 ")
    assert served.raw(b"GET /api/health HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 421 ")
    assert served.raw(f"GET /api/health HTTP/1.0\r\n{ours}\r\n".encode()).startswith(b"HTTP/1.1 200 ")
    # In a request for a whole address the Host still counts: it is what a browser says.
    whole = f"GET http://127.0.0.1:{served.port}/api/health HTTP/1.1\r\nHost: evil.example\r\n\r\n"
    assert served.raw(whole.encode()).startswith(b"HTTP/1.1 421 ")


@pytest.fixture
def named(tmp_path: Path) -> Iterator[Served]:
    board = Latchboard(tmp_path)
    running = Served(board, allowed_hosts=["Board.Example", "other.example:8443"])
    yield running
    running.close()
    board.close()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("header", "status"),
    [((b"x-a", b"b"), 200), ((b"host", b"evil.example"), 421), ((b"content-length", b"9" * 4400), 413)],
)
async def test_what_the_server_refuses_is_refused_though_it_let_it_through(
    board: Latchboard, header: tuple[bytes, bytes], status: int
) -> None:
    scope = {
        "type": "http",
        "method": "OPTIONS" if status == 413 else "GET",
        "path": "/api/health",
        "raw_path": b"/api/health",
        "query_string": b"",
        "headers": [(b"host", b"localhost:9400"), header],
        "server": ("127.0.0.1", 9400),
    }
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await build(board, TOKEN)(scope, receive, send)
    assert sent[0]["status"] == status


def test_configured_names_are_ours_at_any_port_or_the_one_that_is_said(named: Served) -> None:
    for host in ("board.example", "BOARD.example:9", "other.example:8443", f"127.0.0.1:{named.port}"):
        assert named.get("/api/health", headers={"Host": host}).status == 200
    for host in ("other.example", "other.example:8444", "x.board.example", "board.example.evil"):
        named.get("/api/health", headers={"Host": host}).failed(421, "wrong-host")


# -- other sites ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "https://evil.example:{port}",
        "null",
        "http://127.0.0.1:1",
        "http://localhost:{port}",  # we were asked as 127.0.0.1: a page that is not that is another one
        "http://127.0.0.1",
        "127.0.0.1:{port}",
        "file://",
        "",
        "http://127.0.0.1:{port}.evil.example",
    ],
)
def test_a_page_of_another_origin_gets_nothing_though_it_had_the_token(served: Served, origin: str) -> None:
    headers = {"Origin": origin.format(port=served.port)}

    served.get("/api/board", headers=headers).failed(403, "cross-site")
    served.get("/api/health", headers=headers).failed(403, "cross-site")
    served.post("/api/stop", headers=headers).failed(403, "cross-site")
    assert served.stops == []


def test_two_origins_are_another_one(served: Served) -> None:
    own = f"Origin: http://127.0.0.1:{served.port}\r\n"
    head = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\nConnection: close\r\n{own}"

    assert served.raw(f"{head}\r\n".encode()).startswith(b"HTTP/1.1 200 ")
    for more in (own, "Origin: http://evil.example\r\n"):
        assert served.raw(f"{head}{more}\r\n".encode()).startswith(b"HTTP/1.1 403 ")


def test_our_own_page_may_ask(served: Served) -> None:
    headers = {"Origin": f"http://127.0.0.1:{served.port}", "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}

    assert served.get("/api/board", headers=headers).status == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site", "anything"])
def test_what_a_browser_fetches_for_another_site_is_refused(served: Served, site: str) -> None:
    for more in ({}, {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, {"Sec-Fetch-Mode": "navigate"}):
        served.get("/api/health", headers={"Sec-Fetch-Site": site, **more}).failed(403, "cross-site")
    framed = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
    served.get("/api/health", headers=framed).failed(403, "cross-site")
    visit = {**framed, "Sec-Fetch-Dest": "document"}
    assert served.get("/api/health", headers=visit).status == 200  # a link that a person followed
    served.get("/api/board", headers=visit).failed(403, "cross-site")
    served.post("/api/health", headers=visit).failed(403, "cross-site")


def test_nobody_is_told_that_he_may_read_across_origins(served: Served) -> None:
    asked = {
        "Origin": "http://evil.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    answer = served.ask("OPTIONS", "/api/stop", token=None, headers=asked)

    answer.failed(403, "cross-site")
    assert not [name for name in answer.headers if name.startswith("access-control-")]


# -- every answer -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/api/health", "/api/board", "/metrics", "/nothing", "/mcp/"])
@pytest.mark.parametrize("token", [TOKEN, None])
def test_every_answer_forbids_to_be_kept_guessed_framed_or_read_by_others(
    served: Served, path: str, token: str | None
) -> None:
    headers = served.get(path, token=token).headers

    assert {name: headers.get(name) for name in HEADERS} == HEADERS
    assert "server" not in headers and "access-control-allow-origin" not in headers
    assert "unsafe" not in headers["content-security-policy"]


def test_methods_that_an_address_does_not_know_are_told_apart_from_addresses(served: Served) -> None:
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW", "get"):
        answer = served.ask(method, "/api/board")
        answer.failed(405, "method-not-allowed")
        assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}
    assert served.get("/api/stop").headers["allow"] == "POST"
    for path in ("/api/board/", "/api//board", "/api/board%2F", "/api/board%00", "/api/../metrics", "/%2e%2e/x"):
        served.get(path).failed(404, "not-found")
    served.get("/api/%C3%A9%ff").failed(404, "not-found")


def test_head_is_get_without_the_body_and_opens_no_stream(served: Served) -> None:
    for path in ("/api/health", "/api/board", "/metrics", "/api/events"):
        got = served.ask("HEAD", path)
        assert (got.status, got.body) == (200, b"")
    assert "latchboard_pages_open 0" in served.get("/metrics").body.decode()


def test_a_request_for_a_websocket_is_answered_as_any_other(served: Served) -> None:
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "x"}

    served.get("/api/events", token=None, headers=headers).failed(401, "unauthorized")


def test_use_is_told_and_looking_after_the_daemon_is_none(served: Served) -> None:
    served.get("/api/health")
    served.get("/metrics")
    served.get("/api/board", token=None)
    served.get("/api/board", headers={"Host": "evil.example"})
    assert served.activities == 0

    served.get("/api/board")
    assert served.activities == 1


# -- bodies -----------------------------------------------------------------------------------------------------------


def test_a_body_at_the_limit_is_read_and_one_byte_more_is_not(served: Served) -> None:
    for size, status, code in ((BODY_BYTES_MAX, 400, "usage"), (BODY_BYTES_MAX + 1, 413, "too-large")):
        body = b" " * size
        headers = {"Content-Type": "application/json"}
        served.ask("POST", "/api/stop", body, headers=headers).failed(status, code)


def test_a_body_in_pieces_is_counted_as_it_comes(served: Served) -> None:
    head = (
        f"POST /api/stop HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\nAuthorization: Bearer {TOKEN}\r\n"
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    piece = b"%x\r\n%s\r\n" % (65536, b" " * 65536)

    assert served.raw(head.encode() + piece * 4 + b"0\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert served.raw(head.encode() + piece * 5).startswith(b"HTTP/1.1 413 ")
    assert served.stops == []


@pytest.mark.parametrize("length", ["9" * 4400, "999999999999", "-1", "1e3", "0x10", " ", "5, 6"])
def test_a_length_that_cannot_be_is_refused_before_anything_is_read(served: Served, length: str) -> None:
    head = (
        f"POST /api/stop HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    )

    assert served.raw(head.encode())[:13] in (b"HTTP/1.1 400 ", b"HTTP/1.1 413 ")
    assert served.stops == []


@pytest.mark.parametrize("path", ["/", "/api/events", "/api/board", "/mcp"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_question_brings_no_body(served: Served, method: str, path: str) -> None:
    """A stream hears its client for as long as it lasts: that is no way to send it something."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\nAuthorization: Bearer {TOKEN}\r\n"

    for said in ("Content-Length: 1", "Content-Length: 00000001", "Transfer-Encoding: chunked"):
        assert served.raw(f"{head}{said}\r\n\r\n".encode()).startswith(b"HTTP/1.1 400 "), said
    assert served.ask(method, "/api/health", headers={"Content-Length": "0"}).status == 200
