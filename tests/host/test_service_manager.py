from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from latchboard.host import service_manager
from latchboard.host.service_manager import ServiceManager


@pytest.mark.parametrize("is_abstract", [False, True])
def test_a_manager_hears_what_is_said(tmp_path: Path, is_abstract: bool) -> None:
    address = f"@latchboard-test-{os.getpid()}" if is_abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address.replace("@", "\0", 1))
        listener.settimeout(60)

        ServiceManager({"NOTIFY_SOCKET": address}).tell("READY=1", "STATUS=idle")

        assert listener.recv(100) == b"READY=1\nSTATUS=idle"


@pytest.mark.parametrize(
    ("environ", "watchdog_s"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "often"}, None),
        ({}, None),
    ],
)
def test_how_often_a_manager_wants_to_hear(environ: dict[str, str], watchdog_s: float | None) -> None:
    assert ServiceManager({"NOTIFY_SOCKET": "/x", **environ}).watchdog_s == watchdog_s
    assert ServiceManager(environ).watchdog_s is None


def test_a_manager_that_is_busy_is_given_a_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its queue is full: what it is told is dropped, and a service that was never ready is ended."""
    monkeypatch.setattr(service_manager, "_PATIENCE_S", 30.0)  # as long as a busy machine needs
    address = str(tmp_path / "notify")
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as others,
    ):
        listener.bind(address)
        others.setblocking(False)
        told = 0
        with pytest.raises(BlockingIOError):
            while others.sendto(b"STATUS=starting", address):
                told += 1

        def listen() -> None:
            heard.extend(listener.recv(100) for _ in range(told + 1))

        heard: list[bytes] = []
        listener.settimeout(60)
        thread = threading.Thread(target=listen)
        sending = threading.Thread(target=ServiceManager({"NOTIFY_SOCKET": address}).tell, args=("READY=1",))
        sending.start()
        thread.start()
        sending.join()
        thread.join()

    assert heard[-1] == b"READY=1"


def test_nobody_who_listens_is_no_trouble(tmp_path: Path) -> None:
    ServiceManager({}).tell("READY=1")
    ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "gone")}).tell("READY=1")
    ServiceManager({"NOTIFY_SOCKET": "x" * 500}).tell("READY=1")
