"""Where a process listens, as the kernel tells."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import closing

from latchboard.host import listening
from latchboard.host.system import SystemHost


def test_this_process_listens_where_it_listens() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as one, closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))
        with closing(socket.create_server(("::1", 0), family=socket.AF_INET6)) as other:
            found = listening.addresses(os.getpid(), has_proc=True)

            assert found is not None
            assert ("127.0.0.1", one.getsockname()[1]) in found
            assert ("::1", other.getsockname()[1]) in found
            assert bound.getsockname()[1] not in [port for _, port in found]
            assert sorted(listening.addresses(os.getpid(), has_proc=False) or []) == sorted(found), (
                "psutil says so, too"
            )

    assert one not in (SystemHost().listening(os.getpid()) or [])


def test_another_process_that_listens_nowhere() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        try:
            assert SystemHost().listening(child.pid) == []
        finally:
            child.communicate(b"\n")


def test_whoever_is_not_there_cannot_be_told_of() -> None:
    child = subprocess.Popen(["true"])
    child.wait()

    assert listening.addresses(child.pid, has_proc=True) is None
    assert listening.addresses(child.pid, has_proc=False) is None
