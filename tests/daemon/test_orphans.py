"""Orphans on a machine in memory, with real listeners: whoever is not provably ours gets no signal and no token.

Who is ours is told by the oracle of tests/services/test_daemon_enforcement.py, at the moment of each signal; the
adversary changes the machine before any look at it.
"""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from latchboard.clock import SystemClock
from latchboard.daemon.orphans import Orphans, Scan
from latchboard.daemon.standing import Looking
from latchboard.daemon.starting import Starting
from latchboard.daemon.state import RECORD, StateFile, Token
from latchboard.daemon_process import Daemons
from latchboard.host.registry import FOLDER
from latchboard.rules.serving import State
from latchboard.settings import Settings
from tests.process.serving import free_ports
from tests.services.test_daemon_enforcement import DAEMON, LOOK_ALIKES, PYTHON, ROOT, Files, Scene

if TYPE_CHECKING:
    from latchboard.host.port import Identity

COUNT = 4
HEALTH = {"product": "latchboard", "version": "0.0.1", "protocol_version": 1, "started_at": "2026-11-21T01:40:00Z"}


class Street(Scene):
    """A machine whose processes listen on real ports, and say there what the test lets them say."""

    def __init__(self, folder: Path, first: int, **surroundings: object) -> None:
        super().__init__(**surroundings)
        self.first = first
        self.said: dict[int, dict[str, Any]] = {}
        self.asked: list[tuple[int, str]] = []
        self.on_stop: Callable[[int], None] = lambda port: None
        (folder / FOLDER).mkdir(parents=True)
        self.record = folder / FOLDER / RECORD
        self.token = Token(str(folder), lambda: None)
        clock, settings = SystemClock(), Settings(daemon_port_first=first, daemon_port_end=first + COUNT)
        self.ruled = Daemons(ROOT, clock, self.machine, settings, self)
        state_file = StateFile(str(folder))
        common: dict[str, Any] = {
            "clock": clock,
            "machine": self.machine,
            "daemons": self.ruled,
            "state_file": state_file,
            "settings": settings,
        }
        looking = Looking(version="0.0.1", **common)
        self.starting = Starting(ROOT, looking=looking, token=self.token, make_folder=lambda: None, **common)
        self.orphans = Orphans(looking=looking, starting=self.starting, **common)

    def read(self) -> Any:
        return self.files.read()

    def remove(self, judged: Any) -> bool:
        return self.files.remove(judged)

    def listens(self, at: int, identity: Identity, *, said: int | None = None, **facts: Any) -> None:
        """A process listens on the port with this number, and says that it is `said`."""
        port = self.first + at
        self.machine.dress(identity, listens=[("127.0.0.1", port)], **facts)
        self.said[port] = {**HEALTH, "pid": identity["pid"] if said is None else said}

    def orphan(self, at: int, **facts: Any) -> Identity:
        identity = self.daemon()
        self.listens(at, identity, **facts)
        return identity

    def write(self, identity: Identity, at: int = 0) -> None:
        state = State(identity, port=self.first + at, version="0.0.1", started_at="now")
        self.record.write_text(json.dumps(state.to_json()))

    def signalled(self) -> list[tuple[int, str]]:
        return [(identity["pid"], signal) for identity, signal in self.machine.signals]


def handler_of(row: Row) -> Any:
    """Answers for a row."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert row.street is not None
            said = row.street.said.get(self.server.server_address[1])  # type: ignore[misc, index]
            self.send_response(404 if said is None else 200)
            self.end_headers()
            self.wfile.write(json.dumps(said).encode())

        def do_POST(self) -> None:
            assert row.street is not None
            port: int = self.server.server_address[1]  # type: ignore[misc, assignment]
            row.street.asked.append((port, self.headers.get("Authorization", "")))
            row.street.on_stop(port)
            self.send_response(202)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    return Handler


class Row:
    """The listeners, one for each port of the range; each says what the present street lets it say."""

    def __init__(self, stack: ExitStack) -> None:
        self.street: Street | None = None
        self.first = free_ports(COUNT)
        for port in range(self.first, self.first + COUNT):
            server = stack.enter_context(http.server.ThreadingHTTPServer(("127.0.0.1", port), handler_of(self)))
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)


@pytest.fixture(scope="module")
def row() -> Iterator[Row]:
    with ExitStack() as stack:
        yield Row(stack)


@pytest.fixture
def move_in(row: Row, tmp_path: Path) -> Callable[..., Street]:
    def moved_in(name: str = "street", **surroundings: object) -> Street:
        row.street = Street(tmp_path / name, row.first, **surroundings)
        return row.street

    return moved_in


@pytest.fixture
def street(move_in: Callable[..., Street]) -> Street:
    return move_in()


def whys(scan: Scan) -> list[tuple[int | None, str]]:
    return [(one["pid"], one["why"]) for one in scan.skipped]


def test_an_orphan_is_found_with_what_it_says_and_ended(street: Street) -> None:
    orphan = street.orphan(1)

    (found,) = street.orphans.scan().orphans
    report = street.orphans.sweep()

    assert found.to_json() == {
        "port": street.first + 1,
        "pid": orphan["pid"],
        "version": "0.0.1",
        "protocol_version": 1,
        "started_at": HEALTH["started_at"],
        "process": orphan,
    }
    assert report.swept == [{"port": street.first + 1, "pid": orphan["pid"], "why": "", "path": ["term"]}]
    assert street.signalled() == [(orphan["pid"], "TERM")]


@pytest.mark.parametrize("kind", LOOK_ALIKES)
def test_a_look_alike_that_answers_like_an_orphan_is_left(street: Street, kind: str) -> None:
    street.token.ensure()
    look_alike = street.add(is_ours=False)
    street.listens(0, look_alike, **LOOK_ALIKES[kind])
    orphan = street.orphan(1)

    report = street.orphans.sweep()

    assert [one["pid"] for one in report.swept] == [orphan["pid"]]
    assert [one["pid"] for one in report.skipped] == [look_alike["pid"]]
    assert report.skipped[0]["why"] != "" and report.skipped[0]["path"] == []
    assert street.is_there(look_alike)
    assert {port for port, _ in street.asked} == {street.first + 1}, "the token is for ours alone"


def test_who_names_a_daemon_that_does_not_listen_there_has_nobody_ended(street: Street) -> None:
    """A stranger names a daemon of ours that listens elsewhere, or nowhere; a daemon that we do not see."""
    elsewhere, nowhere = street.daemon(), street.daemon()
    street.machine.dress(elsewhere, listens=[("127.0.0.1", street.first + 7), ("10.0.0.1", street.first)])
    street.machine.dress(nowhere, listens=[])
    for at, pid in enumerate((elsewhere["pid"], nowhere["pid"], 31999)):
        street.said[street.first + at] = {**HEALTH, "pid": pid}

    report = street.orphans.sweep()

    assert [one["why"] for one in report.skipped] == ["not-its-port", "not-its-port", "dead"]
    assert (report.swept, street.signalled()) == ([], [])


def test_a_listener_that_names_nobody_or_the_asker_has_nobody_ended(street: Street) -> None:
    me = street.machine.me()
    street.listens(0, me, argv=DAEMON, exe=PYTHON)
    street.said[street.first + 1] = {**HEALTH, "pid": None}

    scan = street.orphans.scan()

    assert scan.orphans == []
    assert whys(scan) == [(None, "no-pid")], "and this process is nothing to tell"


@pytest.mark.parametrize("at_once", [False, True])
def test_the_recorded_daemon_stays(street: Street, at_once: bool) -> None:
    orphan = street.orphan(0)
    if at_once:
        street.write(orphan)
        assert street.orphans.scan().orphans == street.orphans.scan().skipped == []
        return
    street.machine.interfere(lambda name: street.write(orphan) if name == "grip" else None)

    report = street.orphans.sweep()

    assert report.skipped == [{"port": street.first, "pid": orphan["pid"], "why": "recorded", "path": []}]
    assert street.signalled() == []


def test_one_that_is_recorded_after_it_was_found_is_not_even_asked(street: Street) -> None:
    street.token.ensure()
    orphan = street.orphan(0)
    found = street.orphans.scan().orphans[0]
    street.write(orphan)

    stopped = street.orphans._end(found)

    assert (stopped.why, stopped.path, street.asked, street.signalled()) == ("recorded", [], [], [])


@pytest.mark.parametrize("change", ["start", "boot", "pid_ns"])
def test_a_record_of_a_process_that_is_gone_spares_nobody_who_has_its_number(street: Street, change: str) -> None:
    orphan = street.orphan(0)
    other = {**orphan, change: "another" if change == "boot" else orphan[change] + 1}  # type: ignore[literal-required]
    street.write(other)  # type: ignore[arg-type]

    report = street.orphans.sweep()

    swept = [one["pid"] for one in report.swept]
    assert swept == ([] if change == "pid_ns" else [orphan["pid"]]), "what cannot be judged stays"


def test_the_one_in_the_daemons_place_and_what_started_this_stay(street: Street) -> None:
    placed, parent, forked = street.orphan(0), street.orphan(1), street.orphan(2)
    street.files = Files(placed)
    street.machine.dress(forked, argv=DAEMON, exe=PYTHON, parent=placed["pid"])
    street.listens(2, forked, parent=placed["pid"])
    street.machine.dress(street.machine.me(), argv=["sh"], exe="/bin/sh", parent=parent["pid"])

    scan = street.orphans.scan()

    assert scan.orphans == []
    assert whys(scan) == [(parent["pid"], "ancestor"), (forked["pid"], "child")]


def test_a_daemon_that_answers_nowhere_is_told_and_asked_for_once_more(street: Street) -> None:
    silent, placed = street.daemon(), street.daemon()
    street.files = Files(placed)

    street.add(is_ours=False, **LOOK_ALIKES["another project"])

    report = street.orphans.sweep()

    assert report.skipped == [{"port": None, "pid": silent["pid"], "why": "no-answer", "path": []}]
    street.write(silent)
    assert street.orphans.scan().skipped == [], "the recorded one is nothing to tell"


def test_one_that_ends_when_it_is_asked_gets_no_signal(street: Street) -> None:
    token = street.token.ensure()
    orphan = street.orphan(3)
    street.on_stop = lambda port: street.machine.kill(orphan)

    report = street.orphans.sweep()

    assert report.swept == [{"port": street.first + 3, "pid": orphan["pid"], "why": "", "path": ["http"]}]
    assert street.asked == [(street.first + 3, f"Bearer {token}")]
    assert street.signalled() == []


@pytest.mark.parametrize(
    ("on_term", "where", "path", "why"),
    [
        ("ignores", "swept", ["http", "term", "kill"], ""),
        ("survives", "failed", ["http", "term", "kill"], "survived"),
        ("denies", "failed", ["http"], "not-permitted"),
    ],
)
def test_what_became_of_one_that_does_not_go_is_told(
    street: Street, on_term: Any, where: str, path: list[str], why: str
) -> None:
    street.token.ensure()
    orphan = street.orphan(0, on_term=on_term)

    report = street.orphans.sweep().to_json()

    (one,) = report.pop(where)
    assert one == {"port": street.first, "pid": orphan["pid"], "why": why, "path": path}
    assert list(report.values()) == [[], []]


def test_one_that_may_not_be_signalled_and_was_asked_nothing_was_left(street: Street) -> None:
    orphan = street.orphan(0, on_term="denies")

    report = street.orphans.sweep()

    assert report.skipped == [{"port": street.first, "pid": orphan["pid"], "why": "not-permitted", "path": []}]


@pytest.mark.parametrize("kind", ["exec", "recycle", "die", "zombie"])
def test_whatever_becomes_of_a_process_while_it_is_looked_at_no_stranger_is_met(
    move_in: Callable[..., Street], kind: str
) -> None:
    """At each call of the machine in turn, until a sweep makes no more of them."""
    count, at = 1, 0
    while at < count:
        at += 1
        street = move_in(f"street-{at}")
        orphan = street.orphan(0)
        street.changes = [(at, 0, kind)]

        report = street.orphans.sweep()  # every signal is held to the oracle by the witness

        count = len(street.calls)
        assert len(street.machine.signals) <= 1
        assert all(one["why"] for one in report.skipped), "why it was left is always told"
        is_signalled = street.signalled() == [(orphan["pid"], "TERM")]
        assert is_signalled or [one["path"] for one in report.swept] in ([], [[]])
        if kind in ("exec", "recycle") and not is_signalled:
            heir = street.machine._machine.table[orphan["pid_ns"], orphan["pid"]]
            assert not heir.is_dead, "whoever is there now lives"
    assert at > 20, "a sweep that looks less often does not judge before each step"


def test_many_orphans_are_ended_at_the_same_time(street: Street) -> None:
    orphans = [street.orphan(at, on_term="ignores") for at in range(COUNT)]
    clock = SystemClock()
    began_s = clock.now().mono_s

    report = street.orphans.sweep()

    assert {one["pid"] for one in report.swept} == {one["pid"] for one in orphans}
    assert clock.now().mono_s - began_s < COUNT, "each of them takes a second"
