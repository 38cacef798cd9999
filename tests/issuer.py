"""Issuer: a real OAuth 2.0 token endpoint on this machine, with rotating refresh tokens; one used twice is refused."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

PATIENCE_S = 60.0


class Gate:
    """Holds one request back: `arrived` is set when it is there, and it goes on when `release` is.

    Attributes:
        is_behind: It is the answer that is held back: the tokens have been turned already.
    """

    def __init__(self, *, is_behind: bool = False) -> None:
        self.is_behind = is_behind
        self.arrived = threading.Event()
        self.release = threading.Event()

    def hold(self) -> None:
        self.arrived.set()
        self.release.wait(PATIENCE_S)


class Issuer:
    """Gives a new pair of tokens for each good refresh token, once.

    Attributes:
        requests: What came, in order: the form's fields, with the client's id and secret.
        gates: By number of the request, from 0 on.
        answers: By number of the request: (status, headers, body) instead of the proper answer.
        delay_s: How long each request takes, at least.
        lifetime_s: Of an access token.
        rotates: Whether an answer has a new refresh token.
    """

    def __init__(self) -> None:
        self.requests: list[dict[str, str]] = []
        self.gates: dict[int, Gate] = {}
        self.answers: dict[int, tuple[int, dict[str, str], bytes]] = {}
        self.delay_s = 0.0
        self.lifetime_s: object = 3600
        self.rotates = True
        self.good = "first-refresh-token-0000"
        self.url = ""
        self.issued: list[str] = [self.good, "first-access-token-0000"]
        self._lock = threading.Lock()

    def answer(self, form: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        with self._lock:
            number = len(self.requests)
            self.requests.append(form)
        gate = self.gates.get(number)
        if gate is not None and not gate.is_behind:
            gate.hold()
        if self.delay_s:
            threading.Event().wait(self.delay_s)
        if number in self.answers:
            return self.answers[number]
        with self._lock:
            status, body = self._turn(form, number)
        if gate is not None and gate.is_behind:
            gate.hold()
        return status, {"Content-Type": "application/json"}, json.dumps(body).encode()

    def _turn(self, form: dict[str, str], number: int) -> tuple[int, dict[str, Any]]:
        if form.get("grant_type") != "refresh_token":
            return 400, {"error": "unsupported_grant_type"}
        if form.get("refresh_token") != self.good:
            told = f"refresh token {form.get('refresh_token')} was used before"
            return 400, {"error": "invalid_grant", "error_description": told}
        access = f"access-token-{number}-{'x' * 12}"
        self.issued.append(access)
        body: dict[str, Any] = {"access_token": access, "token_type": "Bearer", "expires_in": self.lifetime_s}
        if self.rotates:
            self.good = f"refresh-token-{number}-{'y' * 12}"
            self.issued.append(self.good)
            body["refresh_token"] = self.good
        return 200, body


@contextmanager
def running() -> Iterator[Issuer]:
    """The endpoint, on a port of its own."""
    issuer = Issuer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
            kind, _, said = self.headers.get("Authorization", "").partition(" ")
            if kind == "Basic":
                form["basic"] = base64.b64decode(said).decode()
            status, headers, body = issuer.answer(form)
            try:
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
            except (BrokenPipeError, ConnectionResetError):
                return  # whoever asked was killed, or gave up

        def log_message(self, *arguments: object) -> None:
            """Says nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

    with Server(("127.0.0.1", 0), Handler) as server:
        issuer.url = f"http://127.0.0.1:{server.server_port}/token"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield issuer
        finally:
            for gate in issuer.gates.values():
                gate.release.set()
            server.shutdown()
            thread.join()
