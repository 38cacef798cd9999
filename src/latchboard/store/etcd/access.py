"""Access: which cluster, which part of it, and as whom.

    etcd://host1:2379,host2:2379/team/project     etcds://... with TLS

The user and the password never stand in the address: an address is shown in errors and by `doctor`.

Protocol: protocol/etcd.md, "Keys" and "Security".
"""

from __future__ import annotations

from latchboard.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager
    from typing import Protocol

    class Attendant(Protocol):
        """Who tells a person what is waited for."""

        def attending(self, endpoints: Sequence[str], limit_s: float) -> AbstractContextManager[None]:
            """While a call is under way, which takes at most `limit_s`, seconds."""
            ...

        def heard(self, why: str) -> None:
            """Why one of its requests was not answered."""
            ...


_PORT = 2379
_LABEL_MAX = 63
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
_HINT = "write it as etcd://host1:2379,host2:2379/prefix (etcds:// with TLS)"
_FLOOR_OVERRIDE = "LATCHBOARD_ETCD_ANY_VERSION"


class Access:
    """How a cluster is reached.

    Attributes:
        endpoints: URLs of its members' gateways.
        prefix: What every key of this store begins with; `/` at the front, none at the end.
        user: Name for etcd's own authentication; empty: none.
        password: Never shown.
        ca_file: Certificates that are trusted; empty: the system's.
        cert_file: Our own certificate, for the connection; with `key_file`.
        key_file: Its key.
        takes_any_version: Whether an etcd below the floor may be used.
        call_s_max: Limit of one call of the store, seconds; each request to one endpoint has a quarter of it.
        relay: Where a daemon of this machine may listen that passes requests on; empty: each goes to etcd itself.
        attendant: Attends calls that may take long; None: nobody.
        behind_count_max: A watch that has so many commits waiting to be read stops listening until it is read.
    """

    __slots__ = (
        "attendant",
        "behind_count_max",
        "ca_file",
        "call_s_max",
        "cert_file",
        "endpoints",
        "key_file",
        "password",
        "prefix",
        "relay",
        "takes_any_version",
        "user",
    )

    def __init__(self, address: str) -> None:
        """Read the address; everything else has its default.

        Raises:
            UsageError: It is no such address.
        """
        self.endpoints, self.prefix = _parsed(address)
        self.user = self.password = ""
        self.ca_file = self.cert_file = self.key_file = ""
        self.takes_any_version = False
        self.relay = ""
        self.attendant: Attendant | None = None
        self.call_s_max = 10.0
        self.behind_count_max = 1000

    @property
    def request_s_max(self) -> float:
        """Limit of one request to one endpoint, seconds."""
        return self.call_s_max / 4

    @property
    def address(self) -> str:
        """As it is written in a setting; no user and no password is in it."""
        scheme = "etcds" if self.endpoints[0].startswith("https") else "etcd"
        return f"{scheme}://{','.join(one.partition('://')[2] for one in self.endpoints)}{self.prefix}"

    def __repr__(self) -> str:
        return f"Access({','.join(self.endpoints)}{self.prefix})"


def from_environment(address: str, environment: Mapping[str, str]) -> Access:
    """The access that the environment adds to an address: `LATCHBOARD_ETCD_USER`, `_PASSWORD`, `_CA`, `_CERT`, `_KEY`.

    Raises:
        UsageError: The address is none.
    """
    access = Access(address)
    access.user = environment.get("LATCHBOARD_ETCD_USER", "")
    access.password = environment.get("LATCHBOARD_ETCD_PASSWORD", "")
    access.ca_file = environment.get("LATCHBOARD_ETCD_CA", "")
    access.cert_file = environment.get("LATCHBOARD_ETCD_CERT", "")
    access.key_file = environment.get("LATCHBOARD_ETCD_KEY", "")
    access.takes_any_version = environment.get(_FLOOR_OVERRIDE, "") == "1"
    return access


def _parsed(address: str) -> tuple[tuple[str, ...], str]:
    scheme, separator, rest = address.partition("://")
    if not separator or scheme not in ("etcd", "etcds"):
        raise UsageError(f"{_shown(address)!r} is no address of an etcd cluster", hint=_HINT)
    hosts, _, prefix = rest.partition("/")
    if "@" in hosts:
        raise UsageError(
            "an address has no user and no password in it: it is shown to everybody",
            hint="set LATCHBOARD_ETCD_USER and LATCHBOARD_ETCD_PASSWORD",
        )
    http = "https" if scheme == "etcds" else "http"
    endpoints = tuple(f"{http}://{_host(host.strip(), address)}" for host in hosts.split(","))
    prefix = prefix.rstrip("/")
    if not prefix or "\0" in prefix or "//" in f"/{prefix}":
        raise UsageError(f"{_shown(address)!r} names no prefix for this project's keys", hint=_HINT)
    return endpoints, f"/{prefix}"


def _host(text: str, address: str) -> str:
    host, separator, port = text.rpartition(":")
    if not separator or text.endswith("]"):
        host, port = text, str(_PORT)
    is_port = port.isascii() and port.isdecimal() and 0 < int(port) < 65536
    if not is_port or not _is_host(host):
        raise UsageError(f"{_shown(address)!r} has {text!r} where a host and a port belong", hint=_HINT)
    return f"{host}:{port}"


def _is_host(text: str) -> bool:
    """Whether it may be a name, an IPv4 address or, in brackets, an IPv6 one."""
    if text.startswith("[") and text.endswith("]"):
        return text.count(":") > 1 and not text[1:-1].strip("0123456789abcdefABCDEF:.")
    labels = text.removesuffix(".").split(".")
    return all(0 < len(label) <= _LABEL_MAX and not label.strip(_LETTERS) for label in labels)


def _shown(address: str) -> str:
    """An address without what may be a password."""
    before, separator, after = address.rpartition("@")
    return f"...@{after}" if separator and before else address[:200]
