"""Warm: a process that has loaded what a server is made of, which takes a second, and forks one for each client.

`python -I -S warm.py SOCKET mcp ...` is what a client starts: it hands over its standard streams, its folder and its
variables, and ends as the server does. A client cannot tell; how a server starts is for tests that start one cold.
"""

from __future__ import annotations

import os
import sys

MESSAGE_BYTES_MAX = 1 << 20


def hand_over(path: str, words: list[str]) -> int:
    """Have a server in the place of this process; its exit status. Loads next to nothing."""
    import _socket
    from array import array

    variables = [f"{name}={value}" for name, value in os.environ.items()]
    message = "\0".join([os.getcwd(), str(len(words)), *words, *variables])
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    sock.connect(path)
    streams = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array("i", [0, 1, 2]))
    sock.sendmsg([os.fsencode(message)], [streams])
    nowhere = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nowhere, fd)  # whoever reads or writes there is to see the end of the server's
    return int(sock.recv(16) or b"1")


def serve(path: str) -> None:
    """Fork servers until nobody needs them any more, which is the end of standard input."""
    import gc
    import select
    import signal
    import socket

    import latchboard.compose
    import latchboard.surface.cli.dispatch
    import latchboard.surface.cli.verb.mcp
    import latchboard.surface.mcp.desk
    import latchboard.surface.mcp.server  # noqa: F401

    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # keepers are nobody's concern
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
        door.bind(path)
        door.listen(64)
        os.write(1, b"ready\n")
        while select.select([0, door], [], [])[0] != [0]:
            asker, _ = door.accept()
            if os.fork() == 0:
                door.close()
                _keep(asker)
            asker.close()


def _keep(asker: object) -> None:
    """Start one server, and tell its exit status; never returns."""
    import signal
    import socket

    assert isinstance(asker, socket.socket)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    data, streams, _, _ = socket.recv_fds(asker, MESSAGE_BYTES_MAX, 3)
    folder, count, *rest = os.fsdecode(data).split("\0")
    words, variables = rest[: int(count)], rest[int(count) :]
    pid = os.fork()
    if pid == 0:
        asker.close()
        _become(folder, words, variables, streams)
    for fd in (0, *streams):
        os.close(fd)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    asker.send(str(status if status >= 0 else 128 - status).encode())
    os._exit(0)


def _become(folder: str, words: list[str], variables: list[str], streams: list[int]) -> None:
    """Be the command; never returns."""
    from latchboard.surface.cli import main

    status = 1
    try:
        for fd, stream in enumerate(streams):
            os.dup2(stream, fd)
            os.close(stream)
        sys.stdin, sys.stdout, sys.stderr = (os.fdopen(fd, mode) for fd, mode in enumerate("rww"))
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(one.split("=", 1) for one in variables)
        sys.argv = ["latchboard", *words]
        status = main()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


if __name__ == "__main__":
    if sys.argv[2:]:
        sys.exit(hand_over(sys.argv[1], sys.argv[2:]))
    serve(sys.argv[1])
