"""A daemon's port: listened on from the first moment, and at an address that can be one."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from latchboard.daemon.binding import bound
from latchboard.daemon.state import StateFile
from latchboard.errors import NoFreePort, UsageError
from latchboard.settings import Settings
from tests.process.serving import free_ports


def test_a_port_that_is_bound_is_listened_on_so_that_no_other_daemon_can_have_it(tmp_path: Path) -> None:
    state_file, settings = StateFile(str(tmp_path)), Settings()
    port = free_ports(1)

    with bound("127.0.0.1", port, settings, state_file):
        socket.create_connection(("127.0.0.1", port)).close()
        with pytest.raises(NoFreePort) as caught, bound("127.0.0.1", port, settings, state_file):
            raise AssertionError("two have it")

    assert (caught.value.fields["first"], caught.value.fields["end"]) == (port, port + 1)


@pytest.mark.parametrize("host", ["\u00e9..b", "not an address"])
def test_what_can_be_no_address_is_refused(tmp_path: Path, host: str) -> None:
    with pytest.raises(UsageError, match="cannot listen"), bound(host, 9400, Settings(), StateFile(str(tmp_path))):
        raise AssertionError("it listens")
