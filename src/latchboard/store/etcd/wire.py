"""Wire: HTTP to one endpoint. The one module that imports urllib3, and loaded only by who asks etcd itself.

What went wrong is told apart by what it means for the request: `NotSent`, `Silent` (it may have been sent), or an
answer.

Protocol: protocol/etcd.md, "When there is no answer".
"""

from __future__ import annotations

import http.client
import socket
import ssl
from _thread import RLock, allocate_lock, start_new_thread
from time import monotonic
from weakref import finalize

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from latchboard.codec import decode
from latchboard.errors import UsageError
from latchboard.store.etcd import trouble
from latchboard.store.etcd.trouble import Answer, Foreign, NotSent, Silent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from latchboard.store.etcd.access import Access

_IDLE_S_MAX = 30.0  # a stream that is silent for so long may be dead: it is taken up again
_ALIVE = [
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
]
_IDLE_COUNT_MAX = 8
_LIMIT_S_MIN = 0.05
_PROMPT_S = 0.5  # a member that is there and well takes less
_OTHER_NAME = (62, 64)  # OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH
_CUT = (ssl.SSLEOFError, ConnectionResetError, http.client.BadStatusLine)


class Wire:
    """Connections to the endpoints of one cluster. Threads may share it.

    Attributes:
        busy: Those that are asked something, and since when, monotonic seconds.
        is_given_up: This process ends: what is not answered at once is not tried again.

    Idle ones are kept in plain lists, not in urllib3's pools: those have a lock of Python's, which a signal's exception
    may leave locked for ever.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self._idle: dict[str, list[HTTPConnection]] = {}
        self.busy: dict[HTTPConnection, float] = {}
        self.is_given_up = False
        # A store that nobody closed leaves no socket behind. Not by `__del__`: in a cycle the sockets may go before.
        finalize(self, _close_all, self._idle).atexit = False

    def post(self, endpoint: str, path: str, data: bytes, headers: dict[str, str], limit_s: float) -> dict[str, Any]:
        """One request, once. Raises NotSent (Foreign: no etcd is there), Silent, Answer."""
        status, told = self._ask(endpoint, "POST", path, data, headers, limit_s)
        if status != 200:
            raise _refusal(status, told)
        try:
            return decode(told)
        except ValueError as exc:
            raise Silent(trouble.OTHER, f"{endpoint} answered with what is no JSON") from exc

    def version(self, endpoint: str, limit_s: float) -> str:
        """What the member there says it is. Raises NotSent (Foreign: it is no etcd), Silent."""
        status, told = self._ask(endpoint, "GET", "/version", None, {}, limit_s)
        try:
            return str(decode(told)["etcdserver"])
        except (ValueError, KeyError) as exc:
            raise _refusal(status, b"") from exc

    def _ask(
        self, endpoint: str, method: str, path: str, data: bytes | None, headers: dict[str, str], limit_s: float
    ) -> tuple[int, bytes]:
        """Status and body. Raises NotSent, Silent."""
        connection = self._taken(endpoint, limit_s)
        self.busy[connection] = monotonic()
        is_whole = False
        try:
            connection.request(method, path, body=data, headers=headers)
            response = connection.getresponse()
            told = response.status, response.data
            is_whole = True
            return told
        except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as exc:
            raise _failed(Silent, exc) from exc
        finally:
            self.busy.pop(connection, None)
            idle = self._idle.setdefault(endpoint, [])
            if is_whole and len(idle) < _IDLE_COUNT_MAX:
                idle.append(connection)
            else:
                connection.close()

    def _taken(self, endpoint: str, limit_s: float) -> HTTPConnection:
        """A connection that is there, and whose every wait ends within the limit. Raises NotSent."""
        idle = self._idle.get(endpoint, [])
        while idle:
            try:
                connection = idle.pop()
            except IndexError:  # another thread was faster
                break
            if connection.sock is not None and connection.is_connected:
                connection.sock.settimeout(limit_s)
                return connection
            connection.close()
        connection = self.connection(endpoint, limit_s)
        _connect(connection, limit_s)
        return connection

    def connection(self, endpoint: str, limit_s: float) -> HTTPConnection:
        """A new one, not connected yet. Raises NotSent: there can be no such host."""
        try:
            url = urllib3.util.parse_url(endpoint)
        except urllib3.exceptions.HTTPError as exc:
            raise _failed(NotSent, exc) from exc
        options: dict[str, Any] = {"timeout": limit_s, "socket_options": _keepalive()}
        if url.scheme == "https":
            return HTTPSConnection(str(url.host), url.port, **options, ssl_context=self._context())
        return HTTPConnection(str(url.host), url.port, **options)

    def speaks_tls(self, endpoint: str, limit_s: float) -> bool | None:
        """Whether who is there speaks TLS, asked in the way that the endpoint does not name; None: nobody says.

        Nothing is sent but hello, or the question for its version.
        """
        url = urllib3.util.parse_url(endpoint)
        connection = HTTPConnection(str(url.host), url.port, timeout=max(_LIMIT_S_MIN, limit_s))
        try:
            _connect(connection, max(_LIMIT_S_MIN, limit_s))
            if url.scheme == "https":
                connection.request("GET", "/version")
                return None if connection.getresponse().status != 200 else False
            hello = urllib3.util.ssl_.create_urllib3_context(cert_reqs=ssl.CERT_NONE)
            hello.wrap_socket(connection.sock).close()
            return True
        except ssl.SSLError as exc:
            return True if _is_alert(exc) else None
        except (NotSent, urllib3.exceptions.HTTPError, http.client.HTTPException, OSError):
            return None
        finally:
            connection.close()

    def _context(self) -> Any:
        """Whom to trust, and our own certificate. Raises UsageError: a file cannot be used."""
        access = self._access
        context = urllib3.util.ssl_.create_urllib3_context()
        try:
            if access.ca_file:
                context.load_verify_locations(access.ca_file)
            else:
                context.load_default_certs()
            if access.cert_file:
                context.load_cert_chain(access.cert_file, access.key_file or None)
        except OSError as exc:
            raise UsageError(
                f"the certificates cannot be used: {exc.strerror or type(exc).__name__}",
                hint="check LATCHBOARD_ETCD_CA, LATCHBOARD_ETCD_CERT and LATCHBOARD_ETCD_KEY",
            ) from exc
        return context

    def close(self) -> None:
        """Close every connection that is not a stream's; the next request opens a new one."""
        _close_all(self._idle)

    def give_up(self) -> None:
        """From now on wait for nobody who takes longer than others: from any thread, as often as is needed."""
        self.is_given_up = True
        for connection, since in list(self.busy.items()):
            if monotonic() - since > _PROMPT_S:
                _shut(connection.sock)

    def after_fork(self) -> None:
        """In a forked child: the connections are the parent's, which goes on talking over them; ours are let go of."""
        self.busy = {}
        self.close()


def _close_all(idle: dict[str, list[HTTPConnection]]) -> None:
    """Close and forget every connection; a thread that takes one meanwhile keeps it."""
    for connections in list(idle.values()):
        while connections:
            try:
                connection = connections.pop()
            except IndexError:  # another thread was faster
                break
            connection.close()


class Stream:
    """Answers that come one by one. One thread reads; any thread may `close`.

    Attributes:
        endpoint: Whose.
    """

    def __init__(
        self, wire: Wire, endpoint: str, path: str, data: bytes, headers: dict[str, str], limit_s: float
    ) -> None:
        self.endpoint = endpoint
        self._lock = RLock()
        self._is_closed = False
        self._connection = wire.connection(endpoint, limit_s)
        try:
            _connect(self._connection, limit_s)
            self._socket: Any = self._connection.sock
            wire.busy[self._connection] = monotonic()
            try:
                self._connection.request("POST", path, body=data, headers=headers, preload_content=False)
                self._response = self._connection.getresponse()
                if self._response.status != 200:
                    raise _refusal(self._response.status, self._response.read())
            except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as exc:
                raise _failed(Silent, exc) from exc
            finally:
                wire.busy.pop(self._connection, None)
            self._socket.settimeout(_IDLE_S_MAX)
        except BaseException:
            self._connection.close()
            raise

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The answers until the stream ends, is closed or is silent for 30 s; then it just ends.

        Raises:
            Answer: etcd ended it, and said why.
        """
        rest = b""
        try:
            while piece := self._response.read1(1 << 20):
                rest += piece
                *lines, rest = rest.split(b"\n")
                for line in lines:
                    if line.strip():
                        yield self._told(line)
            if rest.strip():
                yield self._told(rest)
        except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError, ValueError):
            return

    def _told(self, line: bytes) -> dict[str, Any]:
        told = decode(line)
        said = trouble.answer_in(told)
        if said is not None:
            raise said
        result: dict[str, Any] = told.get("result", told)
        return result

    def hurry(self, limit_s: float) -> None:
        """From now on it ends where nothing comes for so long: for whoever asks for what is there already."""
        self._socket.settimeout(max(_LIMIT_S_MIN, limit_s))

    def end(self) -> None:
        """Free the connection; by the thread that reads, which is done with it."""
        self.close()
        self._response.close()
        self._connection.close()

    def close(self) -> None:
        """End it, from any thread: whoever reads finds its end at once."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        _shut(self._socket)


def _shut(connection: Any) -> None:
    """Have whoever waits for it find its end at once."""
    try:
        # Not the method of an SSL socket: it would take the connection's state from under whoever reads.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
    except (OSError, TypeError):
        return  # the other side, or who reads, was faster


def _connect(connection: HTTPConnection, limit_s: float) -> None:
    """Open it. Raises NotSent; it is closed then."""
    until = monotonic() + limit_s
    try:
        _look_up(connection.host, limit_s)
        connection.timeout = max(_LIMIT_S_MIN, until - monotonic())
        connection.connect()
        connection.timeout = limit_s
    except (urllib3.exceptions.HTTPError, OSError) as exc:
        connection.close()
        raise _failed(NotSent, exc) from exc


def _look_up(host: str, limit_s: float) -> None:
    """See to it that a name is found within the limit: the system's resolver takes none, and may take a minute.

    Raises:
        OSError: It is not.
    """
    if ":" in host or host.replace(".", "").isdecimal():
        return
    found: list[OSError] = []
    is_over = allocate_lock()
    is_over.acquire()

    def run() -> None:
        try:
            socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError as exc:
            found.append(exc)
        finally:
            is_over.release()

    start_new_thread(run, ())  # one that hangs is left alone, and keeps nobody from ending
    if not is_over.acquire(timeout=limit_s):
        raise socket.gaierror(socket.EAI_AGAIN, f"the name {host} is not found in time")
    if found:
        raise found[0]


def _refusal(status: int, data: bytes) -> Answer | Silent | Foreign:
    """What an answer without success means: etcd said no; somebody in front of it did, behind which it may be done."""
    said = trouble.answer(status, data)
    if said is not None:
        return said
    if status >= 500:
        return Silent(trouble.OTHER, f"status {status}, and not by etcd")
    return Foreign(status, takes_no_name=b"CommonName" in data)


def _failed(unanswered: type[NotSent] | type[Silent], exc: BaseException) -> NotSent | Silent:
    """A request that was not answered, and what is to be made of that; urllib3's own name what the caller knows."""
    inner = _innermost(exc)
    is_timeout = isinstance(exc, urllib3.exceptions.TimeoutError) or isinstance(inner, TimeoutError)
    if is_timeout and not isinstance(exc, urllib3.exceptions.NewConnectionError):
        return unanswered(trouble.LATE)
    return unanswered(_kind(inner), f"{type(inner).__name__}: {str(inner)[:200]}")


def _kind(exc: BaseException) -> str:
    """Of a failure: where TLS itself says no, it is final."""
    if isinstance(exc, _CUT):
        return trouble.CUT
    if isinstance(exc, socket.gaierror):
        return trouble.HOST
    if isinstance(exc, ssl.SSLCertVerificationError):
        return trouble.NAME if getattr(exc, "verify_code", 0) in _OTHER_NAME else trouble.AUTHORITY
    if not isinstance(exc, ssl.SSLError):
        return trouble.OTHER
    if "WRONG_VERSION_NUMBER" in str(exc):
        return trouble.PLAIN
    return trouble.REFUSED if _is_alert(exc) else trouble.TLS


def _is_alert(exc: ssl.SSLError) -> bool:
    """Whether the other side speaks TLS and has sent an end to it; an internal error of its own may be over soon."""
    return "_ALERT_" in str(exc) and "INTERNAL_ERROR" not in str(exc)


def _innermost(exc: BaseException) -> BaseException:
    """A certificate's or a connection's trouble is in there. Not by context: that may be of what the caller handles."""
    while exc.__cause__ is not None:
        exc = exc.__cause__
    return exc


def _keepalive() -> list[tuple[int, int, int]]:
    options = list(_ALIVE)
    for name, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    return options
