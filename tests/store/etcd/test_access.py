"""Who is let in, and whose keys they are: passwords, certificates, prefixes, versions. Each refusal is told plainly."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.client import RemoteDisconnected
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from latchboard.clock import SystemClock
from latchboard.errors import (
    CoordinationError,
    ProtocolError,
    StoreError,
    StoreUnavailable,
    UnsupportedVersion,
    UsageError,
)
from latchboard.store.etcd import gateway as gateways
from latchboard.store.etcd.access import Access, from_environment
from latchboard.store.etcd.errors import AuthRefused, StoreUnreachable, VersionRefused
from latchboard.store.etcd.gateway import Gateway, packed
from latchboard.store.etcd.store import EtcdStore
from latchboard.store.etcd.tries import Tries
from latchboard.store.etcd.trouble import LATE, OTHER, OVER, Answer, Lost, NotSent, Silent, unavailable
from latchboard.store.etcd.version import check_version
from latchboard.store.etcd.wire import Wire, _failed
from latchboard.surface.cli.waiting import Waiting
from tests.awake import Awake
from tests.process.nursery import until
from tests.store.etcd.server import Place

PASSWORD = "correct horse"
Cluster = Callable[..., Place]


def call(access: Access, path: str, **body: Any) -> dict[str, Any]:
    gateway = Gateway(access)
    try:
        return gateway.call(path, body, monotonic() + 10)
    finally:
        gateway.close()


def refused(access: Access, error: type[CoordinationError]) -> CoordinationError:
    """Both ways to use a store are refused in the same way; no error says a password."""
    store = EtcdStore(access, clock=SystemClock())
    found: list[CoordinationError] = []
    for use in (lambda: store.read("wide"), lambda: store.transact(lambda view: view.put("wide", {}), who="a")):
        with pytest.raises(error) as caught:
            use()
        found.append(caught.value)
    store.close()
    for exc in found:
        assert "horse" not in f"{exc}{json.dumps(exc.to_json())}{exc.__cause__!r}"
    assert found[0].code == found[1].code
    return found[0]


# -- users ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def guarded(cluster: Cluster) -> Iterator[Access]:
    """A cluster with users: bob may do everything below his prefix."""
    access = cluster().access("bob")
    let_in(access)
    yield access


def let_in(access: Access) -> None:
    """From now on etcd asks for a user, and this is bob."""
    prefix = f"{access.prefix}/"
    for user in ("root", "bob"):
        call(access, "/v3/auth/user/add", name=user, password=PASSWORD)
        call(access, "/v3/auth/role/add", name=user)
        call(access, "/v3/auth/user/grant", user=user, role=user)
    permission = {"permType": "READWRITE", "key": packed(prefix), "range_end": packed(f"{access.prefix}0")}
    call(access, "/v3/auth/role/grant", name="bob", perm=permission)
    call(access, "/v3/auth/enable")
    access.user, access.password = "bob", PASSWORD


def test_user_with_a_password_commits_watches_and_reads(guarded: Access) -> None:
    store = EtcdStore(guarded, clock=SystemClock())
    watch, bell = store.watch("", after=0), store.bell("agents/a")

    revision = store.transact(lambda view: view.put("agents/a", {"n": 1}), who="a", effect=lambda: None).revision

    assert [change.revision for change in watch.poll()] == [revision]
    assert SystemClock().wait([bell], 10)
    assert store.read("agents/", at=revision).scan("agents/") == [("agents/a", {"n": 1})]
    watch.close()
    bell.close()
    store.close()


def test_token_that_ran_out_is_renewed(guarded: Access) -> None:
    store = EtcdStore(guarded, clock=SystemClock())
    store.transact(lambda view: view.put("agents/a", {}), who="a")

    store._cluster.gateway._token = "expired.1"

    assert store.read("agents/a").get("agents/a") == {}
    store.close()


def test_wrong_password_is_refused(guarded: Access) -> None:
    guarded.password = "wrong horse"

    assert refused(guarded, AuthRefused).fields["user"] == "bob"


def test_nobody_is_refused(guarded: Access) -> None:
    guarded.user = guarded.password = ""

    told = refused(guarded, AuthRefused)
    assert "without a user" in told.message
    assert "LATCHBOARD_ETCD_USER" in told.hint


def test_prefix_of_another_user_is_refused_and_named(guarded: Access) -> None:
    guarded.prefix = "/tests/alice"

    assert "/tests/alice" in refused(guarded, AuthRefused).message


def test_password_where_nobody_asks_for_it_does_no_harm(etcd: Place) -> None:
    access = etcd.access()
    access.user, access.password = "bob", PASSWORD
    store = EtcdStore(access, clock=SystemClock())

    store.transact(lambda view: view.put("agents/a", {}), who="a")

    assert store.read("agents/a").get("agents/a") == {}
    store.close()


# -- certificates ---------------------------------------------------------------------------------------------------


@pytest.fixture
def certificates(tmp_path: Path, require_tool: Callable[[str], str]) -> Path:
    """An authority, a server's and a client's certificate, and another authority."""
    openssl = require_tool("openssl")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], check=True, capture_output=True, cwd=tmp_path)

    for name in ("ca", "other"):
        run("req", "-x509", *key, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}", "-days", "2")
    (tmp_path / "server.ext").write_text(
        "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\nbasicConstraints=CA:FALSE\n"
    )
    for name, subject in (("server", "/CN=server"), ("client", "/CN=client"), ("nameless", "/O=agents")):
        run("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", subject)
        run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-out", f"{name}.pem", "-days", "2", "-extfile", "server.ext")  # fmt: skip
    return tmp_path


@pytest.fixture
def secured(cluster: Cluster, certificates: Path) -> Access:
    place = cluster(
        1, "--cert-file", f"{certificates}/server.pem", "--key-file", f"{certificates}/server.key",
        "--trusted-ca-file", f"{certificates}/ca.pem", "--client-cert-auth", scheme="https",
    )  # fmt: skip
    access = place.access(call_s_max=40.0)
    access.ca_file = f"{certificates}/ca.pem"
    access.cert_file, access.key_file = f"{certificates}/client.pem", f"{certificates}/client.key"
    return access


class Foreigner(BaseHTTPRequestHandler):
    """Somebody who knows nothing of what is asked."""

    def do_GET(self) -> None:
        self.send_error(404)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        """To nobody."""


@pytest.fixture
def foreigner(certificates: Path) -> Iterator[str]:
    """Somebody who speaks TLS with the right certificate, and is no etcd."""
    server = HTTPServer(("127.0.0.1", 0), Foreigner)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{certificates}/server.pem", f"{certificates}/server.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_store_over_tls_commits_and_watches(secured: Access) -> None:
    store = EtcdStore(secured, clock=SystemClock())
    watch, bell = store.watch("", after=0), store.bell("agents/a")

    store.transact(lambda view: view.put("agents/a", {}), who="a")

    assert [change.key for change in watch.poll()] == ["agents/a"]
    assert SystemClock().wait([bell], 10)
    watch.close()
    bell.close()
    store.close()


def test_where_there_are_users_a_clients_certificate_has_no_common_name(secured: Access, certificates: Path) -> None:
    """What etcd has against one is told, and not that it is no etcd."""
    let_in(secured)

    told = refused(secured, AuthRefused)

    assert "common name" in told.message and "/O=agents" in told.hint
    secured.cert_file, secured.key_file = f"{certificates}/nameless.pem", f"{certificates}/nameless.key"
    store = EtcdStore(secured, clock=SystemClock())
    store.transact(lambda view: view.put("agents/a", {}), who="a")
    store.close()


def told_at_once(access: Access) -> CoordinationError:
    """That no time mends it is told long before the time is up."""
    access.call_s_max = 40.0
    with Awake() as took:
        told = refused(access, StoreUnreachable)
        assert took.s < access.request_s_max
    assert not told.retryable
    return told


def test_server_that_another_authority_signed_is_not_trusted(secured: Access, certificates: Path) -> None:
    secured.ca_file = f"{certificates}/other.pem"

    told = told_at_once(secured)
    assert "certificate verify failed" in told.message
    assert "LATCHBOARD_ETCD_CA" in told.hint


def test_server_whose_certificate_is_for_another_name_is_not_trusted(secured: Access) -> None:
    secured.endpoints = tuple(endpoint.replace("127.0.0.1", "localhost") for endpoint in secured.endpoints)

    assert "names that their certificates are for" in told_at_once(secured).hint


def test_server_that_speaks_tls_and_is_asked_without_is_told_as_such(secured: Access) -> None:
    secured.endpoints = tuple(endpoint.replace("https://", "http://") for endpoint in secured.endpoints)

    assert "it speaks TLS" in told_at_once(secured).message


def test_server_that_speaks_no_tls_and_is_asked_with_it_is_told_as_such(etcd: Place) -> None:
    access = etcd.access()
    access.endpoints = tuple(endpoint.replace("http://", "https://") for endpoint in access.endpoints)

    assert "it speaks no TLS" in told_at_once(access).message
    try:
        raise StoreError("earlier")
    except StoreError:  # whoever cleans up behind it is told the same, as fast
        assert "it speaks no TLS" in told_at_once(access).message
    store = EtcdStore(access, clock=SystemClock())
    assert "it speaks no TLS" in store.members()[0].trouble
    store.close()


def test_client_without_a_certificate_is_not_let_in(secured: Access) -> None:
    secured.cert_file = secured.key_file = ""

    assert "LATCHBOARD_ETCD_CERT" in told_at_once(secured).hint


def test_one_bad_endpoint_beside_good_ones_fails_nothing(
    secured: Access, etcd: Place, foreigner: str, certificates: Path
) -> None:
    (good,) = secured.endpoints
    plain = etcd.members[0].client.replace("http://", "https://")
    for bad in (plain, good.replace("127.0.0.1", "localhost"), foreigner, "https://127.0.0.1:1"):
        secured.endpoints = (bad, good)
        store = EtcdStore(secured, clock=SystemClock())
        watch = store.watch("", after=store.read("wide").revision)
        store.transact(lambda view: view.put("agents/a", {}), who="a")
        assert len(watch.poll()) == 1
        watch.close()
        store.close()


def test_endpoints_of_which_one_may_come_back_are_tried_to_the_end_and_each_is_told_of(secured: Access) -> None:
    bad = secured.endpoints[0].replace("127.0.0.1", "localhost")
    secured.endpoints = (bad, "https://127.0.0.1:1")
    secured.call_s_max = 0.5

    told = refused(secured, StoreUnavailable)

    assert told.code == "store-unavailable"
    assert told.fields["waited_s"] >= 0.5
    assert f"at {bad} (SSLCertVerificationError" in told.message
    assert "at https://127.0.0.1:1 (ConnectionRefusedError" in told.message


def test_certificates_that_are_not_there_are_named(secured: Access) -> None:
    secured.cert_file += ".gone"

    assert "LATCHBOARD_ETCD_CERT" in refused(secured, UsageError).hint


# -- prefixes and versions ------------------------------------------------------------------------------------------


def test_prefix_with_keys_of_somebody_else_is_refused(etcd: Place) -> None:
    access = etcd.access()
    call(access, "/v3/kv/put", key=packed(f"{access.prefix}/theirs"), value=packed("x"))

    assert access.prefix in refused(access, ProtocolError).message


def test_prefix_inside_another_store_is_refused(etcd: Place) -> None:
    outer = etcd.access()
    store = EtcdStore(outer, clock=SystemClock())
    store.transact(lambda view: view.put("agents/a", {}), who="a")
    store.close()
    inner = etcd.access(f"{outer.prefix.removeprefix('/tests/')}/records")

    refused(inner, ProtocolError)


def test_later_format_is_refused(etcd: Place) -> None:
    access = etcd.access()
    call(access, "/v3/kv/put", key=packed(f"{access.prefix}/format"), value=packed('{"format":2}'))

    refused(access, UnsupportedVersion)


def test_etcd_below_the_floor_is_refused_unless_told_otherwise(etcd: Place) -> None:
    access = etcd.access()
    gateway = Gateway(access)
    version = gateway.version(monotonic() + 10)
    gateway.close()
    access.takes_any_version = False
    try:
        check_version(version, access.endpoints, takes_any=False)
    except VersionRefused:
        assert version in refused(access, VersionRefused).message
        store = EtcdStore(access, clock=SystemClock())
        with pytest.raises(VersionRefused):
            store.filling().begin(7, "a copy")
        store.close()
    else:
        store = EtcdStore(access, clock=SystemClock())
        assert store.read("wide").revision == 0
        store.close()


@pytest.mark.parametrize(
    ("version", "is_taken", "is_taken_by_tests"),
    [
        ("3.5.23", True, True),
        ("3.5.30", True, True),
        ("3.6.5", True, True),
        ("3.7.2", True, True),
        ("4.0.0", True, True),
        ("3.5.22", False, True),
        ("3.6.4", False, True),
        ("3.6.5-rc.0", False, True),
        ("3.4.23", False, True),
        ("3.3.27", False, False),
        ("", False, False),
        ("three", False, False),
    ],
)
def test_floor(version: str, is_taken: bool, is_taken_by_tests: bool) -> None:
    for takes_any, expected in ((False, is_taken), (True, is_taken_by_tests)):
        try:
            check_version(version, ("http://h:1",), takes_any=takes_any)
        except VersionRefused:
            assert not expected
        else:
            assert expected


# -- addresses ------------------------------------------------------------------------------------------------------


def test_address_names_members_and_a_prefix() -> None:
    access = Access("etcd://one:23, two,[::1]:2379/team/project/")

    assert access.endpoints == ("http://one:23", "http://two:2379", "http://[::1]:2379")
    assert access.prefix == "/team/project"
    assert Access("etcds://one/p").endpoints == ("https://one:2379",)


@pytest.mark.parametrize(
    "address",
    ["", "etcd://", "etcd://h", "etcd://h/", "etcd:///p", "http://h/p", "etcd://h:x/p", "etcd://h:0/p", "etcd://h:70000/p",
     "etcd://h,,i/p", "etcd://h//p", "etcd://h/a\0", "etcd://h i/p", "etcd://[::1/p", "etcd://[h]/p", "etcd://a%b/p",
     "etcd://a..b/p", "etcd://h:1:2/p", "etcd://hö/p", f"etcd://{'a' * 64}/p"],
)  # fmt: skip
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(UsageError):
        Access(address)


def test_address_with_a_password_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError) as caught:
        Access("etcd://bob:horse@h:x/p")

    assert "horse" not in str(caught.value)


def test_environment_adds_what_an_address_must_not_say() -> None:
    access = from_environment(
        "etcd://h/p",
        {"LATCHBOARD_ETCD_USER": "bob", "LATCHBOARD_ETCD_PASSWORD": "horse", "LATCHBOARD_ETCD_ANY_VERSION": "1"},
    )

    assert (access.user, access.password, access.takes_any_version) == ("bob", "horse", True)
    assert "horse" not in repr(access)


def test_somebody_who_is_no_etcd_is_named(etcd: Place) -> None:
    access = Access(f"etcd://{etcd.members[0].peer.partition('://')[2]}/p")  # the peers' port speaks HTTP, too
    access.takes_any_version = True

    with pytest.raises(StoreError, match="no etcd with a JSON gateway"):
        EtcdStore(access, clock=SystemClock()).transact(lambda view: view.put("wide", {}), who="a")


def test_name_that_nobody_finds_keeps_nobody_beyond_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    access = Access("etcd://etcd.example:2379,127.0.0.1:1/p")
    access.call_s_max = 1.0
    is_over = threading.Event()
    asked: list[str] = []

    look_up = socket.getaddrinfo

    def find(host: str, *arguments: Any, **options: Any) -> Any:
        if host == "etcd.example":
            asked.append(host)
            is_over.wait()
        return look_up("127.0.0.1", *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", find)
    with Awake() as took:
        with pytest.raises(StoreUnavailable) as caught:
            EtcdStore(access, clock=SystemClock()).read("wide")
        assert took.s < access.call_s_max + 5.0  # it would wait for ever
    monkeypatch.undo()
    is_over.set()

    assert "etcd.example" in asked
    assert caught.value.retryable
    assert "the name etcd.example is not found in time" in caught.value.message


@pytest.mark.parametrize("is_there", [False, True])
def test_whoever_ends_waits_for_no_answer(is_there: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        access = Access(f"etcd://127.0.0.1:{mute.getsockname()[1]}/p")
        access.call_s_max = 80.0
        if not is_there:
            mute.close()
        store = EtcdStore(access, clock=SystemClock())
        failures: list[CoordinationError] = []

        def read() -> None:
            try:
                store.read("wide")
            except StoreUnavailable as exc:
                failures.append(exc)

        thread = threading.Thread(target=read, daemon=True)
        thread.start()

        def is_over() -> bool:
            store.give_up()
            return not thread.is_alive()

        until(is_over, "the call has ended")
        store.close()

    assert failures[0].fields["waited_s"] < access.request_s_max


def test_keepalive_that_nobody_answers_takes_no_time_from_the_call_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateways, "_GIVEN_UP_S", 60.0)
    access = Access("etcd://127.0.0.1:1/p")
    access.call_s_max = 1.2
    gateway = Gateway(access)

    def waited_s(limit_s: float) -> tuple[float, float]:
        """By the clock, and of a process that ran all the time."""
        since = monotonic()
        with Awake() as took:
            with pytest.raises(StoreUnavailable):
                gateway.call("/v3/kv/range", {}, since + limit_s)
            return monotonic() - since, took.s

    waited_s(access.request_s_max)
    assert waited_s(access.call_s_max)[0] >= access.call_s_max
    assert waited_s(access.call_s_max)[1] < 1.0  # behind a whole call: what cleans up after it


def test_an_endpoint_for_which_no_time_was_left_says_nothing() -> None:
    access = Access("etcd://a,b/p")
    access.attendant = Waiting()
    now = monotonic()
    tries = Tries(access, Wire(access), now, now - 1.0)

    tries.verdict("http://a:2379", NotSent(OTHER, "refused"))
    told = tries.verdict("http://b:2379", NotSent(OVER))

    assert told is not None
    assert "refused" in told.message
    assert "the time is up" not in told.message


def test_an_endpoint_that_had_no_time_for_another_answer_is_told_of_by_the_one_before() -> None:
    access = Access("etcd://a,b/p")
    now = monotonic()
    tries, later = (Tries(access, Wire(access), now, until) for until in (now - 1.0, now + 60.0))

    for one in (tries, later):
        one.verdict("http://a:2379", NotSent(OTHER, "refused"))
        one.verdict("http://a:2379", NotSent(LATE))
        one.verdict("http://b:2379", NotSent(LATE))

    said = [(endpoint, failure.kind) for endpoint, failure in tries._said.items() if isinstance(failure, NotSent)]
    assert said == [("http://a:2379", OTHER), ("http://b:2379", LATE)]
    assert {str(failure) for failure in later._said.values()} == {"no answer in time"}, "it had all of its time"


@pytest.mark.parametrize(
    ("said", "is_final"),
    [
        ("[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required", True),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number", True),
        ("[SSL: TLSV1_ALERT_INTERNAL_ERROR] tlsv1 alert internal error", False),
        ("The handshake operation timed out", False),
    ],
)
def test_what_tls_says_is_final_unless_it_may_be_over_soon(said: str, is_final: bool) -> None:
    assert _failed(NotSent, ssl.SSLError(1, said)).is_final == is_final
    assert not _failed(NotSent, OSError(1, said)).is_final


class Proxy(Foreigner):
    """Somebody in front of an etcd, whom it does not answer."""

    def do_GET(self) -> None:
        self.send_error(502)


@pytest.mark.parametrize(("kind", "error"), [(Proxy, Lost), (Foreigner, StoreError)])
def test_what_a_proxy_did_not_hear_the_end_of_may_have_been_done(
    kind: type[BaseHTTPRequestHandler], error: type[Exception]
) -> None:
    server = HTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    gateway = Gateway(Access(f"etcd://127.0.0.1:{server.server_port}/p"))
    try:
        with pytest.raises(error):
            gateway.call_once("/v3/kv/txn", {}, monotonic() + 10)
    finally:
        gateway.close()
        server.shutdown()
        server.server_close()


def test_members_that_say_the_same_are_told_of_together() -> None:
    said = {
        "http://a": Answer(14, "no leader"),
        "http://b": Silent(OTHER, "refused"),
        "http://c": NotSent(OTHER, "refused"),
    }

    told = unavailable(said, 9.96, ("http://a", "http://b", "http://c")).message

    assert told == "etcd did not answer at http://a (no leader); at http://b, http://c (refused) within 10.0 s"


def _not_proven(code: int, text: str) -> ssl.SSLCertVerificationError:
    made = ssl.SSLCertVerificationError(1, f"[SSL: CERTIFICATE_VERIFY_FAILED] {text}")
    made.verify_code = code
    return made


@pytest.mark.parametrize(
    ("failure", "word"),
    [
        (_not_proven(18, "self-signed certificate"), "LATCHBOARD_ETCD_CA"),
        (_not_proven(18, "self-signed: not valid for us"), "LATCHBOARD_ETCD_CA"),
        (_not_proven(62, "Hostname mismatch"), "`store`"),
        (_not_proven(64, "IP address mismatch"), "`store`"),
        (ssl.SSLEOFError(8, "[SSL: UNEXPECTED_EOF_WHILE_READING]"), "etcds://"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER]"), "`store`"),
        (ssl.SSLError(1, "[SSL: SSLV3_ALERT_BAD_CERTIFICATE]"), "LATCHBOARD_ETCD_CERT"),
        (ssl.SSLError(1, "[SSL: TLSV1_ALERT_INTERNAL_ERROR]"), "etcds://"),
        (RemoteDisconnected("Remote end closed connection without response"), "etcds://"),
        (socket.gaierror(-2, "Name or service not known"), "`store`"),
        (socket.gaierror(-3, "the name ALERT.ssl.example is not found in time"), "these names"),
        (ConnectionRefusedError(111, "Connection refused"), "most members"),
        (TimeoutError("The SSL handshake timed out"), "most members"),
    ],
)
def test_what_to_do_depends_on_what_went_wrong(failure: Exception, word: str) -> None:
    assert word in unavailable({"http://h:1": _failed(NotSent, failure)}, 1.0).hint


def test_of_several_failures_the_one_that_can_be_mended_is_what_to_look_at() -> None:
    refused, foreign_name = ConnectionRefusedError(111, "is asked"), _not_proven(62, "Hostname mismatch")
    said = {
        "http://a": _failed(NotSent, refused),
        "http://b": _failed(NotSent, foreign_name),
        "http://c": Answer(14, "x"),
    }

    assert "names that their certificates are for" in unavailable(said, 1.0).hint
