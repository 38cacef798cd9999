"""What tests of the HTTP interface share: an application that is served on a real port, and who asks it."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import jsonschema
import uvicorn
from referencing import Registry, Resource

from latchboard.compose import Latchboard
from latchboard.surface.web import door
from latchboard.surface.web.app import build
from tests.ports import Port

SCHEMA = Path(__file__).parents[3] / "protocol" / "schema"
TOKEN = "0123456789abcdef" * 4
WAIT_S_MAX = 60.0

_SCHEMAS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in SCHEMA.glob("*.json")}
_REGISTRY: Registry[Any] = Registry().with_resources(
    [(f"{name}.json", Resource.from_contents(schema)) for name, schema in _SCHEMAS.items()]
)


def faults(name: str, answer: object) -> list[str]:
    """Why an answer is not what protocol/schema says."""
    validator = jsonschema.Draft202012Validator(_SCHEMAS[name], registry=_REGISTRY)
    return [f"{'/'.join(map(str, e.absolute_path))}: {e.message}" for e in validator.iter_errors(answer)]


class Answer:
    """What came back."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def held_to(self, schema: str) -> Any:
        """The answer, which succeeded and is what its schema says."""
        assert self.status in (200, 202), self.body
        assert faults(schema, self.json) == []
        return self.json

    def failed(self, status: int, code: str) -> dict[str, Any]:
        """The error, which is of this kind and what the schema of errors says."""
        assert (self.status, self.json.get("code")) == (status, code), self.body
        assert faults("error", self.json) == []
        assert "Traceback" not in str(self.json)
        found: dict[str, Any] = self.json
        return found


class Served:
    """An application on a port of its own, run by a loop in a thread."""

    def __init__(self, board: Latchboard, *, port: int = 0, **options: Any) -> None:
        self.board = board
        self.stops: list[str] = []
        self.activities = 0
        self._place = Port() if not port else None  # it stays ours also while nobody listens
        self.port: int = port or self._place.number  # type: ignore[union-attr]
        self._listener = socket.create_server(("127.0.0.1", self.port))
        options = {"on_stop": lambda: self.stops.append("asked to"), "on_activity": self._note, **options}
        self.app = build(board, TOKEN, **options)
        self.server = uvicorn.Server(door.config(self.app))
        self._runner = asyncio.Runner()
        self.loop = self._runner.get_loop()
        self._thread = threading.Thread(target=self._run, name="served")
        self._thread.start()

    def _note(self) -> None:
        self.activities += 1

    def _run(self) -> None:
        with self._runner:
            self._runner.run(self.server.serve(sockets=[self._listener]))

    def close(self) -> None:
        """End it as a daemon is ended: streams first."""
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self.app.state.stopping.set)
            self.server.should_exit = True
            self._thread.join(WAIT_S_MAX)
        assert not self._thread.is_alive()

    def leave(self) -> None:
        """End it for good: its port is anybody's again."""
        self.close()
        if self._place is not None:
            self._place.give_back()

    # -- asking -------------------------------------------------------------------------------------------------------

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        token: str | None = TOKEN,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """One request on a connection of its own."""
        given = dict(headers or {})
        if token is not None:
            given.setdefault("Authorization", f"Bearer {token}")
        connection = HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S_MAX)
        try:
            connection.putrequest(method, path, skip_host="Host" in given, skip_accept_encoding=True)
            if body is not None:
                given.setdefault("Content-Length", str(len(body)))
            for name, value in given.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()

    def get(self, path: str, **how: Any) -> Answer:
        return self.ask("GET", path, **how)

    def post(self, path: str, facts: object = None, **how: Any) -> Answer:
        headers = {"Content-Type": "application/json", **how.pop("headers", {})}
        body = json.dumps({} if facts is None else facts).encode()
        return self.ask("POST", path, body, headers=headers, **how)

    def raw(self, data: bytes, *, more_s: float = 1.0) -> bytes:
        """What comes back for some bytes, until the server ends the connection or nothing more comes for a while."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_S_MAX) as connection:
            connection.sendall(data)
            found = connection.recv(65536)
            connection.settimeout(more_s)
            try:
                while more := connection.recv(65536):
                    found += more
            except TimeoutError:
                return found
            return found

    def listen(self, query: str = "", **headers: str) -> Listener:
        """A page that hears events."""
        return Listener(self.port, query, headers)


class Listener:
    """An open stream of events."""

    def __init__(self, port: int, query: str = "", headers: dict[str, str] | None = None) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=WAIT_S_MAX)
        given = {"Authorization": f"Bearer {TOKEN}", **(headers or {})}
        self._connection.request("GET", f"/api/events{query}", headers=given)
        self.response = self._connection.getresponse()
        self.status = self.response.status
        self.last_id = ""

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def next(self) -> tuple[str, dict[str, Any]]:
        """The next event, its data held to the schema; raises EOFError when the stream has ended."""
        name = data = ""
        while True:
            line = self.response.readline()
            if not line:
                raise EOFError
            field, _, value = line.decode().rstrip("\r\n").partition(": ")
            if field == "id":
                self.last_id = value
            elif field == "event":
                name = value
            elif field == "data":
                data = value
            elif not field and name:
                found = json.loads(data)
                assert faults("http-event", found) == []
                return name, found

    def until(self, revision: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """Events up to the commit of this revision."""
        while True:
            name, data = self.next()
            yield name, data
            if data.get("revision", 0) >= revision:
                return

    def close(self) -> None:
        self.response.close()
        self._connection.close()
