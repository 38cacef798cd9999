"""Requests that a daemon passes on: the same answers, no client of HTTP, and the truth when it fails."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from latchboard.codec import encode
from latchboard.errors import StoreUnavailable
from latchboard.store.etcd import relay, relaying
from latchboard.store.etcd.access import Access
from latchboard.store.etcd.errors import RevisionWentBack
from latchboard.store.etcd.gateway import Gateway, packed
from latchboard.store.etcd.relay import HELLO_BYTES_MAX, REQUEST_BYTES_MAX, Relay, peer_uid, receive, send
from latchboard.store.etcd.relaying import CONNECTIONS_COUNT_MAX, Relaying
from latchboard.store.etcd.store import EtcdStore
from latchboard.store.etcd.trouble import Answer, Lost
from tests.awake import Awake
from tests.process.nursery import until
from tests.store.etcd.relayed import UNHURRIED_S, Relayed, ended, forked, unhurried
from tests.store.etcd.server import Place
from tests.store.etcd.test_faults import LATE_S, Cluster, add, count

COLD_S = 5.0
"""More than a store needs that asks etcd itself, on a busy machine."""


@pytest.fixture
def relayed(etcd: Place) -> Iterator[Relayed]:
    with unhurried():
        made = Relayed(etcd.access(call_s_max=40.0))
        yield made
        made.close()


def is_cold(store: EtcdStore) -> bool:
    """Whether it has asked etcd itself."""
    return store._cluster.gateway._made is not None


# -- the same answers -----------------------------------------------------------------------------------------------


def test_store_does_all_that_is_no_stream_through_the_relay(relayed: Relayed) -> None:
    store = relayed.store()

    assert [store.transact(add, who="a").value for _ in range(3)] == [1, 2, 3]
    assert count(store) == 3
    assert store.present().partition("-")[0]
    with pytest.raises(ValueError, match="mine"):
        store.transact(fail, who="a")
    store.transact(add, who="a", effect=lambda: None)
    store.leave()

    assert not is_cold(store)
    assert relayed.used_count == 1
    plain = EtcdStore(relayed.access, clock=store._cluster.clock)
    assert (count(plain), plain.store_id()) == (4, store.store_id())
    plain.close()


def fail(view: Any) -> None:
    raise ValueError(f"mine: {view.get('agents/count')}")


def test_streams_are_its_own(relayed: Relayed) -> None:
    store = relayed.store()
    revision = store.transact(add, who="a").revision

    watch = store.watch("", after=revision)
    store.transact(add, who="a")
    (change,) = until(watch.poll, "the commit is told")
    watch.close()

    assert change.key == "agents/count"
    assert is_cold(store)


def test_what_etcd_refuses_is_told_as_ever(relayed: Relayed) -> None:
    gateway = Gateway(relayed.its())
    body = {"key": packed(f"{relayed.access.prefix}/commit"), "revision": str(10**12)}

    with pytest.raises(Answer) as caught:
        gateway.call("/v3/kv/range", body, monotonic() + 10)

    assert caught.value.is_future
    assert gateway._made is None
    assert gateway.version(monotonic() + 10).startswith("3.")
    assert gateway._made is None
    gateway.close()


def test_revision_that_goes_back_is_an_alarm_on_either_side(relayed: Relayed) -> None:
    store = relayed.store()
    store.transact(add, who="a")
    store._cluster.gateway.newest += 10**9
    with pytest.raises(RevisionWentBack) as ours:
        store.read("agents/count")
    store._cluster.gateway.newest = 0
    relayed.gateway.newest += 10**9
    with pytest.raises(RevisionWentBack) as daemons:
        store.transact(add, who="a")

    assert not is_cold(store)
    assert ours.value.hint == daemons.value.hint
    assert daemons.value.fields["seen"] > 10**9 > daemons.value.fields["found"]


def test_what_is_refused_to_the_daemon_is_asked_again_by_who_wanted_it(relayed: Relayed) -> None:
    """The daemon may have been started with another password, or with none of the certificates."""
    gateway = Gateway(relayed.its())
    relayed.gateway.access = relayed.its(endpoints=("http://127.0.0.1:1",), call_s_max=1.0)
    body = {"key": packed(f"{relayed.access.prefix}/a"), "value": packed("1")}

    assert gateway.call_once("/v3/kv/put", body, monotonic() + 10)["header"]
    assert gateway._made is not None
    gateway.close()


def test_request_takes_no_longer_than_one_to_etcd_whatever_is_asked_for(relayed: Relayed) -> None:
    relayed.gateway.access = relayed.its(endpoints=("http://127.0.0.1:1",), call_s_max=1.0)
    with relayed.peer() as peer:
        assert list(peer.ask({"path": "/version", "body": {}, "left_s": 1000.0})) == ["no"]


def test_daemon_that_has_ended_since_the_last_request_has_done_nothing_of_the_next(relayed: Relayed) -> None:
    gateway = Gateway(relayed.its())
    assert gateway.version(monotonic() + 10)
    with relayed.peer() as peer:
        relayed.relaying.close()
        assert peer.is_left()
    until(lambda: not relayed.relaying._connections, "all have ended")
    body = {"key": packed(f"{relayed.access.prefix}/a"), "value": packed("1")}

    assert gateway.call_once("/v3/kv/put", body, monotonic() + 10)["header"]
    assert gateway._made is not None
    gateway.close()


def test_connection_that_was_not_used_for_long_is_not_used_again(
    relayed: Relayed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its other end may be about to close it."""
    gateway = Gateway(relayed.its())
    for idle_s_max, used_count in ((30.0, 1), (30.0, 1), (0.0, 2)):
        monkeypatch.setattr(relay, "IDLE_S_MAX", idle_s_max)
        gateway.version(monotonic() + 10)
        assert relayed.used_count == used_count
    gateway.close()


# -- who is answered ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [{"prefix": "/tests/others"}, {"user": "bob"}, {"endpoints": ("http://127.0.0.1:1",)}],
    ids=["prefix", "user", "endpoints"],
)
def test_who_means_another_store_is_not_answered(relayed: Relayed, other: dict[str, Any]) -> None:
    assert not Relay(relayed.its(**other), relayed.path).answers()
    assert Relay(relayed.its(), relayed.path).answers()


def test_another_protocol_is_not_answered(relayed: Relayed) -> None:
    with relayed.peer(say_hello=False) as peer:
        send(peer.socket, encode({**relayed.relaying._hello, "relay": 2}).encode(), monotonic() + UNHURRIED_S)
        assert peer.is_left()


def test_peers_are_known_by_the_kernel() -> None:
    one, other = socket.socketpair()
    assert peer_uid(one) == os.geteuid()
    one.close()
    other.close()


def test_process_of_another_user_is_not_answered(relayed: Relayed, require: Callable[[object, str], None]) -> None:
    require(os.geteuid() == 0, "only root can be another user")
    os.chmod(os.path.dirname(relayed.path), 0o755)
    os.chmod(relayed.path, 0o777)

    def ask() -> None:
        os.setresuid(65534, 65534, 65534)
        with relayed.peer(say_hello=False) as peer:
            try:
                send(peer.socket, encode(relayed.relaying._hello).encode(), monotonic() + UNHURRIED_S)
            except BrokenPipeError:
                return  # it did not even wait for that
            assert peer.is_left()

    assert ended(forked(ask)) == 0
    assert relayed.used_count == 0


def test_process_of_another_user_is_not_asked(
    etcd: Place, tmp_path: Path, require: Callable[[object, str], None]
) -> None:
    require(os.geteuid() == 0, "only root can be another user")
    access = etcd.access()
    access.relay = str(tmp_path / "relay")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(access.relay)

    def listen() -> None:
        os.setresuid(65534, 65534, 65534)
        listener.listen()  # whose it is counts from here
        listener.settimeout(UNHURRIED_S)
        connection, _ = listener.accept()
        connection.settimeout(UNHURRIED_S)
        assert connection.recv(1) == b""  # not a byte is said to it

    pid = forked(listen)
    until(lambda: is_listening(access.relay), "it listens")
    assert not Relay(access, access.relay).answers()
    assert ended(pid) == 0
    listener.close()


def is_listening(path: str) -> bool:
    """As the kernel says, without a connection to it."""
    lines = Path("/proc/net/unix").read_text().splitlines()
    return any(line.endswith(f" {path}") and line.split()[3] == "00010000" for line in lines)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v3/maintenance/snapshot", {}),
        ("/v3/auth/user/list", {}),
        ("/v3/kv/range", {"key": packed("/others/a")}),
        ("/v3/kv/range", {"key": packed("{prefix}/"), "range_end": packed("\0")}),
        ("/v3/kv/range", {"key": packed("{prefix}/"), "rangeEnd": packed("{prefix}1")}),
        ("/v3/kv/range", {"key": packed("{prefix}0")}),
        ("/v3/kv/range", {"key": ""}),
        ("/v3/kv/range", {"key": 7}),
        ("/v3/kv/range", {"key": "_-_" + packed("{prefix}/a")}),
        ("/v3/kv/put", {"key": packed("{prefix}"), "value": ""}),
        ("/v3/kv/txn", {"success": [{"request_put": {"key": packed("/others/a"), "value": ""}}]}),
        ("/v3/kv/txn", {"success": [{"requestTxn": {"failure": [{"requestRange": {"key": packed("/o")}}]}}]}),
        ("/v3/kv/txn", {"compare": [{"key": packed("/others/a"), "target": "MOD"}]}),
        ("/v3/kv/txn", {"success": [[[[[[[[]]]]]]]]}),
        ("/v3/kv/txn", "no object"),
        (["/version"], {}),
        ({}, {}),
    ],
)
def test_what_no_store_asks_of_its_prefix_is_not_passed_on(relayed: Relayed, path: Any, body: Any) -> None:
    prefix = relayed.access.prefix.encode()
    with relayed.peer() as peer:
        found = peer.ask({"path": path, "body": placed(body, prefix), "left_s": 5.0, "once": False})
        assert list(found) == ["no"]
        assert "told" in peer.ask({"path": "/version", "body": {}, "left_s": 5.0})


def test_key_that_not_all_decoders_read_the_same_is_nobodys(relayed: Relayed) -> None:
    own = packed(f"{relayed.access.prefix}/a")

    assert relayed.relaying._is_ours({"key": own})
    assert not relayed.relaying._is_ours({"key": f"_-_-{own}"})


def placed(value: Any, prefix: bytes) -> Any:
    """With the store's prefix in it."""
    if isinstance(value, dict):
        return {name: placed(one, prefix) for name, one in value.items()}
    if isinstance(value, list):
        return [placed(one, prefix) for one in value]
    template, skipped = packed("{prefix}"), 3
    if not isinstance(value, str) or template[:-skipped] not in value:
        return value
    from base64 import b64decode

    head, _, rest = value.rpartition(template[:-skipped])
    text = b64decode(template[:-skipped] + rest).replace(b"{prefix}", prefix)
    return head + packed(text)


@pytest.mark.parametrize("left_s", [0.0, -1.0, 5, "5", None])
def test_request_without_time_is_not_passed_on(relayed: Relayed, left_s: Any) -> None:
    with relayed.peer() as peer:
        assert list(peer.ask({"path": "/version", "body": {}, "left_s": left_s})) == ["no"]
        send(peer.socket, b'{"path":"/version","body":{},"left_s":NaN}', monotonic() + 10)
        assert list(receive(peer.socket, monotonic() + 10)) == ["no"]


# -- what may come in -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff\xff\xff\xff",
        (REQUEST_BYTES_MAX + 1).to_bytes(4, "big") + b"{}",
        b"\0\0\0\2[]",
        b"\0\0\0\2\xff\xfe",
        b"\0\0\0\0",
        b"\0\0\0\5" + b"[" * 5,
    ],
)
@pytest.mark.parametrize("says_hello", [True, False])
def test_what_is_no_frame_ends_its_connection_alone(relayed: Relayed, says_hello: bool, data: bytes) -> None:
    with relayed.peer() as other, relayed.peer(says_hello) as peer:
        peer.socket.sendall(data)
        assert peer.is_left()
        assert "told" in other.ask({"path": "/version", "body": {}, "left_s": 5.0})


def test_hello_is_short(relayed: Relayed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has not said it yet may be anybody."""
    monkeypatch.setattr(relaying, "HELLO_S_MAX", 60.0)
    with relayed.peer(say_hello=False) as peer:
        peer.socket.sendall((HELLO_BYTES_MAX + 1).to_bytes(4, "big"))
        assert peer.is_left()


def test_half_a_frame_and_then_nothing_ends_its_connection_alone(
    relayed: Relayed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relaying, "IDLE_S_MAX", 0.2)
    with ExitStack() as peers:
        half = peers.enter_context(relayed.peer())
        monkeypatch.setattr(relaying, "HELLO_S_MAX", 0.2)
        silent, gone = (peers.enter_context(relayed.peer(say_hello=False)) for _ in range(2))
        for peer, data in ((half, b"\0\0\1\0{"), (gone, b"\0\0")):
            with suppress(BrokenPipeError, ConnectionResetError):  # it has waited long enough already
                peer.socket.sendall(data)
        gone.close()
        assert half.is_left()
        assert silent.is_left()
        monkeypatch.setattr(relaying, "HELLO_S_MAX", UNHURRIED_S)
    assert relayed.store().transact(add, who="a").value == 1


def test_more_connections_than_there_is_room_for_are_let_go_and_room_comes_back(relayed: Relayed) -> None:
    with ExitStack() as peers:
        for _ in range(CONNECTIONS_COUNT_MAX):
            peers.enter_context(relayed.peer())
        for _ in range(36):
            assert peers.enter_context(relayed.peer(say_hello=False)).is_left()
        store = relayed.store()
        assert store.transact(add, who="a").value == 1
        assert is_cold(store)

    until(lambda: Relay(relayed.its(), relayed.path).answers(), "there is room again")


def test_long_answer_is_fetched_without_the_relay(relayed: Relayed, monkeypatch: pytest.MonkeyPatch) -> None:
    store = relayed.store()
    store.transact(add, who="a")
    monkeypatch.setattr(relaying, "FRAME_BYTES_MAX", 100)

    assert count(store) == 1
    assert is_cold(store)


def test_long_request_is_made_without_the_relay(relayed: Relayed, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = Gateway(relayed.its())
    gateway.version(monotonic() + 10)
    monkeypatch.setattr(relay, "REQUEST_BYTES_MAX", 1000)

    body = {"key": packed(f"{relayed.access.prefix}/a"), "value": packed("x" * 1000)}
    assert gateway.call_once("/v3/kv/put", body, monotonic() + 10)["header"]
    assert gateway._made is not None
    gateway.close()


def test_long_answer_of_what_was_done_is_not_asked_for_twice(relayed: Relayed, monkeypatch: pytest.MonkeyPatch) -> None:
    store = relayed.store()
    store.transact(add, who="a")
    monkeypatch.setattr(relaying, "FRAME_BYTES_MAX", 100)

    assert store.transact(add, who="a").value == 2
    assert count(store) == 2


# -- where it is ----------------------------------------------------------------------------------------------------


def test_no_socket_a_left_one_and_something_else_cost_nothing(etcd: Place, tmp_path: Path) -> None:
    """They are not waited for, however long whoever is there would be."""
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "left"))
    left.close()
    (tmp_path / "file").write_text("")
    with unhurried(), Awake() as took:
        for name in ("missing", "left", "file", "no/folder"):
            assert not Relay(etcd.access(), str(tmp_path / name)).answers()
        assert took.s < UNHURRIED_S / 2


def test_left_socket_is_replaced_and_another_ones_is_not_taken_away(etcd: Place, tmp_path: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "serve.relay"))
    left.close()
    first = Relayed(etcd.access(), str(tmp_path))
    assert first.store().transact(add, who="a").value == 1
    second = Relayed(first.access, str(tmp_path))

    first.close()

    assert second.store().transact(add, who="a").value == 2
    assert (os.stat(second.path).st_mode & 0o7777) == 0o600
    second.close()
    assert not os.path.exists(second.path)


def test_path_may_be_long(etcd: Place, tmp_path: Path) -> None:
    folder = tmp_path / ("f" * 200)
    folder.mkdir()
    relayed = Relayed(etcd.access(), str(folder))
    store = relayed.store()

    assert store.transact(add, who="a").value == 1
    assert not is_cold(store)
    relayed.close()
    assert list(folder.iterdir()) == []


# -- when it fails --------------------------------------------------------------------------------------------------


class Stub:
    """A listener that says hello, takes one request, and then does as it is told: what a killed daemon cannot be
    stopped at.
    """

    def __init__(
        self, path: str, then: Callable[[socket.socket, dict[str, Any]], object], hello: bytes = b'{"relay":1}'
    ) -> None:
        self._hello = hello
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen()
        self._then = then
        self.requests: list[dict[str, Any]] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        connection, _ = self._listener.accept()
        receive(connection, monotonic() + UNHURRIED_S)
        send(connection, self._hello, monotonic() + UNHURRIED_S)
        try:
            request = receive(connection, monotonic() + UNHURRIED_S)
            self.requests.append(request)
            self._then(connection, request)
        except ConnectionResetError:
            pass  # it has heard enough
        connection.close()

    def is_asked_again(self) -> bool:
        """Whether somebody else has come."""
        self._thread.join()
        self._listener.setblocking(False)
        try:
            self._listener.accept()[0].close()
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        self._thread.join()
        self._listener.close()


def nothing(connection: socket.socket, request: dict[str, Any]) -> None:
    """It is killed."""


def half(connection: socket.socket, request: dict[str, Any]) -> None:
    connection.sendall(b"\0\0\1\0{")


def garbage(connection: socket.socket, request: dict[str, Any]) -> None:
    connection.sendall(b"\0\0\0\2[]")


def riddle(connection: socket.socket, request: dict[str, Any]) -> None:
    send(connection, b'{"told":7}', monotonic() + 10)


def hangs(connection: socket.socket, request: dict[str, Any]) -> None:
    connection.settimeout(UNHURRIED_S)
    connection.recv(1)  # until the other side has had enough


@pytest.mark.parametrize("then", [nothing, half, garbage, riddle, hangs])
def test_request_that_was_not_answered_may_have_been_done(
    etcd: Place, tmp_path: Path, then: Callable[[socket.socket, dict[str, Any]], object]
) -> None:
    access = etcd.access()
    access.relay = str(tmp_path / "relay")
    body = {"key": packed(f"{access.prefix}/a"), "value": packed("1")}
    for is_once in (True, False):
        access.call_s_max = 2.0
        stub, gateway = Stub(access.relay, then), Gateway(access)
        with unhurried(), Awake() as took:
            if is_once:
                with pytest.raises(Lost):
                    gateway.call_once("/v3/kv/put", body, monotonic() + UNHURRIED_S)
                assert gateway._made is None
            else:
                assert gateway.call("/v3/kv/put", body, monotonic() + UNHURRIED_S)["header"]
            assert took.s < access.request_s_max + COLD_S
        assert 0 < stub.requests[0]["left_s"] < access.request_s_max
        access.call_s_max = 4 * UNHURRIED_S
        assert gateway.call_once("/v3/kv/put", body, monotonic() + UNHURRIED_S)["header"]
        assert not stub.is_asked_again()
        stub.close()
        gateway.close()
        os.unlink(access.relay)


def test_who_says_another_hello_is_not_asked(etcd: Place, tmp_path: Path) -> None:
    access = etcd.access()
    access.relay = str(tmp_path / "relay")
    stub, gateway = Stub(access.relay, nothing, b'{"relay":2}'), Gateway(access)

    assert gateway.version(monotonic() + 10).startswith("3.")
    stub.close()
    assert stub.requests == []
    gateway.close()


def test_who_does_not_say_hello_is_not_waited_for(etcd: Place, tmp_path: Path) -> None:
    silent = socket.socket(socket.AF_UNIX)
    silent.bind(str(tmp_path / "relay"))
    silent.listen()
    access = etcd.access()
    access.relay = str(tmp_path / "relay")
    gateway = Gateway(access)

    with Awake() as took:
        assert not Relay(access, access.relay).answers()
        assert took.s < 1.0
    for _ in range(3):
        assert gateway.version(monotonic() + 10)

    silent.setblocking(False)
    for _ in range(2):  # asked twice, by two
        silent.accept()[0].close()
    with pytest.raises(BlockingIOError):
        silent.accept()
    silent.close()
    gateway.close()


@pytest.mark.parametrize("is_done", [True, False])
def test_commit_whose_daemon_is_killed_is_told_as_what_it_is(etcd: Place, tmp_path: Path, is_done: bool) -> None:
    """At every place in a store's talk where it can be lost."""
    access = etcd.access()
    plain, gateway = EtcdStore(access, clock=store_clock()), Gateway(access)
    plain.transact(add, who="a")
    access.relay = str(tmp_path / "relay")

    def then(connection: socket.socket, request: dict[str, Any]) -> None:
        while not request["once"]:
            told = gateway.version if request["path"] == "/version" else None
            found = (
                {"version": told(monotonic() + 10)}
                if told
                else gateway.call(request["path"], request["body"], monotonic() + 10)
            )
            send(connection, encode({"told": found}).encode(), monotonic() + 10)
            request = receive(connection, monotonic() + 10)
        if is_done:
            gateway.call_once(request["path"], request["body"], monotonic() + 10)

    stub = Stub(access.relay, then)
    store = EtcdStore(access, clock=store_clock())

    with unhurried():
        assert store.transact(add, who="a").value == 2
    assert count(plain) == 2
    stub.close()
    for one in (store, plain, gateway):
        one.close()


def store_clock() -> Any:
    from latchboard.clock import SystemClock

    return SystemClock()


@pytest.mark.process
def test_etcd_that_is_away_is_said_as_ever_and_in_time(cluster: Cluster) -> None:
    place = cluster()
    relayed = Relayed(place.access())
    store, gateway = relayed.store(), Gateway(relayed.its())
    with unhurried():
        store.transact(add, who="a")
        gateway.version(monotonic() + UNHURRIED_S)
    for access in (relayed.access, store.access, gateway.access):
        access.call_s_max = 1.5
    place.members[0].signal(signal.SIGSTOP)

    with pytest.raises(Lost):  # told by the daemon, to which etcd has said nothing
        gateway.call_once("/v3/kv/put", {"key": packed(f"{relayed.access.prefix}/a")}, monotonic() + 1.5)
    assert gateway._made is None
    gateway.close()

    for _ in range(2):
        with Awake() as took:
            with pytest.raises(StoreUnavailable, match=r"etcd did not answer at http://127\.0\.0\.1:"):
                store.read("agents/count")
            assert took.s < 1.5 + LATE_S

    place.members[0].signal(signal.SIGCONT)
    store.access.call_s_max = UNHURRIED_S
    assert store.transact(add, who="a").value == 2
    relayed.close()


# -- more than one thread and process -------------------------------------------------------------------------------


def test_threads_share_it(relayed: Relayed) -> None:
    store = relayed.store()
    threads = [threading.Thread(target=store.transact, args=(add,), kwargs={"who": "a"}) for _ in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()

    assert count(store) == 6
    assert not is_cold(store)


def test_forked_child_and_its_parent_have_connections_of_their_own(relayed: Relayed) -> None:
    store = relayed.store()
    store.transact(add, who="a")

    assert ended(forked(lambda: [store.transact(add, who="b") for _ in range(5)])) == 0
    store.transact(add, who="a")

    assert count(store) == 7
    assert not is_cold(store)
    assert relayed.used_count == 2


def test_forked_child_of_a_daemon_keeps_nothing_of_it(relayed: Relayed) -> None:
    """Else the socket of a daemon that was killed would be listened at by nobody who answers."""
    server = relayed.relaying

    def look() -> None:
        assert server._listener is None
        assert os.path.exists(relayed.path)
        for fd in kept:
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(fd)

    with relayed.peer() as peer:
        assert server._listener is not None
        kept = [server._listener.fileno(), *(one.fileno() for one in server._connections)]
        assert len(kept) == 2
        assert ended(forked(look)) == 0
        assert "told" in peer.ask({"path": "/version", "body": {}, "left_s": 5.0})


def test_system_that_does_not_tell_who_asks_has_none(
    etcd: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from latchboard.errors import StoreError

    monkeypatch.setattr(relaying, "IS_POSSIBLE", False)
    gateway = Gateway(etcd.access())
    with pytest.raises(StoreError, match="does not tell"):
        Relaying(gateway, str(tmp_path / "relay")).start()
    gateway.close()


def test_place_that_cannot_have_a_socket_is_an_error_of_ours(etcd: Place, tmp_path: Path) -> None:
    from latchboard.errors import StoreError

    gateway = Gateway(Access("etcd://127.0.0.1:1/p"))
    (tmp_path / "serve.relay").mkdir()
    for path in (f"{tmp_path}/serve.relay", f"{tmp_path}/none/serve.relay"):
        with pytest.raises(StoreError, match="listen at"):
            Relaying(gateway, path).start()
    gateway.close()
