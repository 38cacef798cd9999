"""Listening: at which addresses a process listens for TCP connections, told by the kernel and not by the process.

On Linux from /proc, in the network namespace of that process; elsewhere from psutil (table.py).

Protocol: protocol/health.md, "Orphans".
"""

from __future__ import annotations

import os
import socket
import sys

_LISTENS = "0A"
_BYTES_MAX = 16 * 1024 * 1024


def addresses(pid: int, *, has_proc: bool) -> list[tuple[str, int]] | None:
    """Address and port of each of its listening sockets; None where that cannot be told."""
    if not has_proc:
        from latchboard.host.table import addresses_by_psutil

        return addresses_by_psutil(pid)
    try:
        inodes, found = _sockets(pid), _listeners(f"/proc/{pid}/net/tcp")
    except (OSError, ValueError):
        return None
    try:
        found += _listeners(f"/proc/{pid}/net/tcp6")
    except (OSError, ValueError):  # a kernel without IPv6
        pass
    return [(address, port) for address, port, inode in found if inode in inodes]


def _sockets(pid: int) -> set[str]:
    """The inodes of its sockets."""
    folder, found = f"/proc/{pid}/fd", set()
    for name in os.listdir(folder):
        try:
            target = os.readlink(f"{folder}/{name}")
        except FileNotFoundError:  # closed meanwhile
            continue
        if target.startswith("socket:["):
            found.add(target[8:-1])
    return found


def _listeners(path: str) -> list[tuple[str, int, str]]:
    with open(path, "rb") as file:
        lines = file.read(_BYTES_MAX).decode("ascii").splitlines()[1:]
    rows = [line.split() for line in lines]
    return [(*_address(row[1]), row[9]) for row in rows if len(row) > 9 and row[3] == _LISTENS]


def _address(text: str) -> tuple[str, int]:
    """`0100007F:24B8` as 127.0.0.1 and 9400: words of four bytes, each in the order of this machine."""
    digits, _, port = text.partition(":")
    raw = bytes.fromhex(digits)
    if sys.byteorder == "little":
        raw = b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw), int(port, 16)
