"""As somebody who set it up wrongly: each command says what is wrong, with whom, and what to do; never a password."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from latchboard.clock import SystemClock
from latchboard.store.etcd.access import Access
from latchboard.store.etcd.gateway import packed
from latchboard.store.etcd.store import EtcdStore
from tests import forked
from tests.process.nursery import until
from tests.store.etcd.server import Place
from tests.store.etcd.test_access import PASSWORD, call, certificates
from tests.store.etcd.test_command_line import Shell, address_of
from tests.store.etcd.test_faults import Cluster
from tests.surface.hooks.hooked import Hooked

__all__ = ["certificates"]

pytestmark = [pytest.mark.process, pytest.mark.slow]

NOTHING_ELSE = ("--client", "none", "--no-git")
SECRET = PASSWORD.split()[1]


class Said:
    """What one command said."""

    def __init__(self, folder: Path, environment: dict[str, str], words: tuple[str, ...]) -> None:
        command = [sys.executable, "-m", "latchboard", *words, "--json"]
        done = forked.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
        self.text = done.stdout + done.stderr
        self.json: dict[str, Any] = json.loads(done.stdout)
        self.status = done.returncode
        assert "mistake in latchboard" not in self.text
        assert SECRET not in self.text


@pytest.fixture
def guarded(cluster: Cluster, certificates: Path, tmp_path: Path) -> Iterator[dict[str, Shell]]:
    """By user: a shell in one project, whose store is behind TLS and passwords. ron may read, eve may nothing."""
    place = cluster(
        1, "--cert-file", f"{certificates}/server.pem", "--key-file", f"{certificates}/server.key", scheme="https"
    )
    access = place.access("guarded")
    access.ca_file = f"{certificates}/ca.pem"
    for user in ("root", "bob", "ron", "eve"):
        call(access, "/v3/auth/user/add", name=user, password=PASSWORD)
        call(access, "/v3/auth/role/add", name=user)
        call(access, "/v3/auth/user/grant", user=user, role=user)
    for user, kind in (("bob", "READWRITE"), ("ron", "READ")):
        grant = {"permType": kind, "key": packed(f"{access.prefix}/"), "range_end": packed(f"{access.prefix}0")}
        call(access, "/v3/auth/role/grant", name=user, perm=grant)
    call(access, "/v3/auth/enable")
    shells = {}
    for user in ("bob", "ron", "eve", "root"):
        shells[user] = Shell(tmp_path, access.address)
        shells[user].environment |= {
            "LATCHBOARD_ETCD_USER": user,
            "LATCHBOARD_ETCD_PASSWORD": PASSWORD,
            "LATCHBOARD_ETCD_CA": access.ca_file,
        }
    shells["stranger"] = Shell(tmp_path, access.address)
    shells["stranger"].environment = {**shells["bob"].environment, "LATCHBOARD_ETCD_PASSWORD": f"wrong {SECRET}"}
    shells["bob"]("init", *NOTHING_ELSE)
    shells["bob"]("acquire", "src/a.py", "--agent", "a")
    yield shells


def test_who_may_what_is_said_by_every_command_and_no_password_is(guarded: dict[str, Shell], tmp_path: Path) -> None:
    status, check, acquire, board = (
        ("store", "status"),
        ("store", "check"),
        ("acquire", "x", "--agent", "b"),
        ("status",),
    )
    (tmp_path / "copy").mkdir()
    copy = ("store", "copy", guarded["bob"].environment["LATCHBOARD_STORE"], "copy")
    cases = [
        *(("stranger", words, 13, "auth-refused", "LATCHBOARD_ETCD_PASSWORD") for words in (check, acquire, copy)),
        *(("eve", words, 13, "auth-refused", "/tests/guarded/") for words in (acquire, copy)),
        ("ron", acquire, 13, "auth-refused", "readwrite"),
        ("stranger", status, 3, None, "LATCHBOARD_ETCD_PASSWORD"),
        ("eve", status, 3, None, "/tests/guarded"),
        *(("ron", words, 0, None, "") for words in (status, check, board)),
    ]

    def run(case: tuple[str, tuple[str, ...], int, str | None, str]) -> Said:
        return Said(tmp_path, guarded[case[0]].environment, case[1])

    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(run, cases))

    wrong = [
        (case, said.status, said.text)
        for case, said in zip(cases, answers, strict=True)
        if (said.status, said.json.get("code")) != (case[2], case[3]) or case[4] not in said.text
    ]
    assert wrong == []
    assert guarded["ron"](*copy)["record_count"] == 2


def test_hook_and_daemon_use_what_is_in_the_environment_and_write_it_nowhere(
    guarded: dict[str, Shell], tmp_path: Path
) -> None:
    root = tmp_path / "hooked"
    root.mkdir()
    hooked = Hooked(root)
    denials = {}
    for user in ("bob", "stranger"):
        hooked.environ = {k: v for k, v in guarded[user].environment.items() if k.startswith("LATCHBOARD_")}
        denials[user] = hooked.edit("src/b.py").denial
    assert denials["bob"] is None
    assert "does not let us in as bob" in str(denials["stranger"])
    assert SECRET not in str(denials["stranger"])

    bob = guarded["bob"]
    bob("daemon", "start")
    try:
        bob("send", "b", "hello", "--agent", "a")
        until(lambda: list(tmp_path.glob("data/.agent_locks/messages/b/*.json")), "the mail is shown")
        assert bob("doctor")["format"] == 1
    finally:
        bob("daemon", "stop")
    # Also what a daemon says that is not let in: it goes on, for somebody may put it right.
    guarded["stranger"]("daemon", "start")
    try:
        logs = until(lambda: _log_of(tmp_path, "does not let us in"), "it says so in its log")
    finally:
        guarded["stranger"]("daemon", "stop")
    assert logs

    found = [file for file in tmp_path.rglob("*") if file.is_file() and SECRET.encode() in file.read_bytes()]
    assert found == []


def _log_of(root: Path, words: str) -> list[Path]:
    """The daemon's logs that say so."""
    return [file for file in root.rglob("*.log*") if words in file.read_text(errors="replace")]


def test_token_that_the_server_forgot_is_renewed_in_the_middle_of_everything(
    guarded: dict[str, Shell], certificates: Path
) -> None:
    def access(user: str) -> Access:
        made = Access(guarded[user].environment["LATCHBOARD_STORE"])
        made.user, made.password, made.takes_any_version = user, PASSWORD, True
        made.ca_file = f"{certificates}/ca.pem"
        return made

    store = EtcdStore(access("bob"), clock=SystemClock())
    watch = store.watch("agents/", after=0)
    store.transact(lambda view: view.put("agents/a", {"n": 1}), who="a")
    presence = store.present()

    call(access("root"), "/v3/auth/disable")
    nobody = access("root")
    nobody.user = ""
    call(nobody, "/v3/auth/enable")

    store.transact(lambda view: view.put("agents/a", {"n": 2}), who="a")
    bell = store.bell("agents/a")
    done = store.transact(lambda view: view.put("agents/a", {"n": 3}), who="a", effect=lambda: None)
    found: list[Any] = []
    while not found or found[-1].revision < done.revision:
        found += watch.poll()
    assert [change.value["n"] for change in found] == [1, 2, 3]
    assert SystemClock().wait([bell], 10.0)
    assert store.present() == presence
    watch.close()
    bell.close()
    store.close()


# -- what is there is no etcd, or none that will do -------------------------------------------------------------------


class Web(BaseHTTPRequestHandler):
    """Somebody who speaks HTTP."""

    def do_GET(self) -> None:
        self.say(200, b"<html>hello</html>")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def say(self, status: int, text: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        """To nobody."""


class Old(Web):
    """An etcd of before the third version of its API."""

    def do_GET(self) -> None:
        if self.path == "/version":
            self.say(200, b'{"etcdserver":"2.3.8","etcdcluster":"2.3.0"}')
        else:
            self.say(404, b"404 page not found\n")


@pytest.fixture
def web() -> Iterator[Callable[[type[Web]], str]]:
    """`web(Old)` is the address of one."""
    servers: list[ThreadingHTTPServer] = []

    def start(kind: type[Web]) -> str:
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), kind))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"etcd://127.0.0.1:{servers[-1].server_port}/tests/web"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_what_will_not_do_is_told_apart(
    etcd: Place, cluster: Cluster, web: Callable[[type[Web]], str], tmp_path: Path
) -> None:
    addresses = {
        "no gateway": (address_of(cluster(1, "--enable-grpc-gateway=false")), "--enable-grpc-gateway"),
        "a web server": (web(Web), "no etcd with a JSON gateway"),
        "an old etcd": (web(Old), "3.5.23"),
        "the peers' port": (f"etcd://{etcd.members[0].peer.partition('://')[2]}/tests/p", "name the client URL"),
        "no host": ("etcd://[::1/tests/p", "etcd://host1:2379,host2:2379/prefix"),
    }
    environment = Shell(tmp_path, "files").environment

    def run(name: str) -> Said:
        return Said(tmp_path, {**environment, "LATCHBOARD_STORE": addresses[name][0]}, ("init", *NOTHING_ELSE))

    with ThreadPoolExecutor(3) as pool:
        answers = dict(zip(addresses, pool.map(run, addresses), strict=True))

    assert {name: said.status for name, said in answers.items()} == {
        name: 2 if name == "no host" else 13 for name in addresses
    }
    assert [(name, said.text) for name, said in answers.items() if addresses[name][1] not in said.text] == []
    assert not (tmp_path / "data").exists()


def test_version_below_the_floor_is_refused_by_commands(etcd: Place, tmp_path: Path) -> None:
    shell = Shell(tmp_path, address_of(etcd))
    version = str(call(etcd.access(), "/v3/maintenance/status")["version"])
    if tuple(map(int, version.split(".")[:3])) >= (3, 5, 23):
        pytest.skip(f"not applicable: {version} is above the floor")
    shell("init", *NOTHING_ELSE)
    del shell.environment["LATCHBOARD_ETCD_ANY_VERSION"]

    said = shell("acquire", "x", "--agent", "a", status=13)

    assert (said["code"], said["found"]) == ("version-refused", version)
    assert "3.5.23" in said["hint"]
    assert shell("store", "status", status=3)["members"][0]["version"] == version


class SixthAddress:
    """This machine, by its address of the sixth version."""

    command: tuple[str, ...] = ()
    address = "[::1]"


def test_member_at_an_address_in_brackets_is_reached(cluster: Cluster) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as exc:
        pytest.skip(f"not applicable: no IPv6 here ({exc})")
    here: Any = SixthAddress()
    place = Place(1, machines=[here])
    try:
        store = EtcdStore(place.access(), clock=SystemClock())
        watch = store.watch("", after=0)
        store.transact(lambda view: view.put("agents/a", {}), who="a")
        assert len(watch.poll()) == 1
        assert store.members()[0].can_serve
        watch.close()
        store.close()
    finally:
        place.close()
