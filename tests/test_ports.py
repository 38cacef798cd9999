"""A port of the tests is nobody else's, and theirs to listen at again and again."""

from __future__ import annotations

import socket

import pytest

from tests.ports import Port


def test_who_names_it_listens_there_as_often_as_is_wanted() -> None:
    port = Port()
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port.number))
        with socket.create_server(("127.0.0.1", port.number)) as server:
            socket.create_connection(("127.0.0.1", port.number)).close()
            server.accept()[0].close()
    port.give_back()


def test_nobody_else_is_given_it() -> None:
    ours = [Port() for _ in range(500)]
    numbers = {one.number for one in ours}
    for _ in range(2000):
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", 0))
            assert other.getsockname()[1] not in numbers
    for one in ours:
        one.give_back()
