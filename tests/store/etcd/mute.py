"""A way to etcd on which watches fall silent: what is asked there comes through, and of a watch only its beginning."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

_PIECE_BYTES = 1 << 16


class Mute:
    """A relay on a port of its own; a context manager.

    Attributes:
        address: Host and port.
        watch_count: How many watches it has let fall silent.
    """

    def __init__(self, client_url: str) -> None:
        """`client_url`: of the member behind it."""
        host, _, port = client_url.partition("://")[2].rpartition(":")
        self._behind = (host, int(port))
        self._open: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        self.watch_count = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._server.accept()
                far = socket.create_connection(self._behind)
                self._open += [near, far]
                threading.Thread(target=self._serve, args=(near, far), daemon=True).start()

    def _serve(self, near: socket.socket, far: socket.socket) -> None:
        with suppress(OSError):
            asked = near.recv(_PIECE_BYTES)  # a watch has a connection of its own
            far.sendall(asked)
            is_watch = asked.startswith(b"POST /v3/watch")
            threading.Thread(target=self._answer, args=(near, far, is_watch), daemon=True).start()
            while asked := near.recv(_PIECE_BYTES):
                far.sendall(asked)

    def _answer(self, near: socket.socket, far: socket.socket, is_watch: bool) -> None:
        kept = b""
        with suppress(OSError):
            while told := far.recv(_PIECE_BYTES):
                if not is_watch:
                    near.sendall(told)
                    continue
                kept += told  # however it comes in pieces: the head, and that the watch was created
                first = kept.find(b"\n\r\n", kept.find(b"\r\n\r\n") + 4) if b"\r\n\r\n" in kept else -1
                if first >= 0:
                    near.sendall(kept[: first + 3])
                    self.watch_count += 1
                    return

    def __enter__(self) -> Mute:
        return self

    def __exit__(self, *exc: object) -> None:
        for one in [self._server, *self._open]:
            one.close()
