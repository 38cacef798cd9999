"""Ports that are nobody else's: who ends and comes back at the same one finds it free."""

from __future__ import annotations

import os
import socket
import weakref


class Port:
    """One of this machine's; kept until it is given back, or forgotten.

    It is bound here and not listened at, so that nobody else is given it by the system, for a listener or for a
    connection; whoever names it may listen there, as servers do (SO_REUSEADDR), and to connect is refused until then.
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as kept:
            kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            kept.bind((host, 0))
            self.number = int(kept.getsockname()[1])
            self.give_back = weakref.finalize(self, os.close, kept.detach())
