"""Nothing that is not provably ours is ever signalled: over generated process tables that change at every step.

What is ours is told by an oracle of its own: by how a process was made, and by a regular expression over its command
line; never by the rule that is tested.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latchboard.daemon_process import Daemons
from latchboard.host.daemon_entry import Entry
from latchboard.settings import Settings
from latchboard.testing import FakeHost, ManualClock
from tests.conftest import examples

if TYPE_CHECKING:
    from latchboard.host.port import Identity

ROOT = "/srv/project"
PYTHON = "/usr/bin/python3.11"
DAEMON = [PYTHON, "-m", "latchboard", "serve", "--root", ROOT]
OURS = re.compile(
    r"(?:[^\0]*/)?(?:python|Python|pypy)[0-9.]*t?\0(?:(?:-[IEsSuBOP]|-OO|-[XW]\0[^\0]*)\0)*-m\0latchboard\0serve\0--root\0"
    + re.escape(ROOT)
    + r"(?:\0(?!--root(?:=|\0|$))[^\0]*)*"
)
LOOK_ALIKES: dict[str, dict[str, Any]] = {
    "editor": {"argv": ["vim", *DAEMON], "exe": "/usr/bin/vim"},
    "editor that calls itself python": {"argv": DAEMON, "exe": "/usr/bin/vim"},
    "grep": {"argv": ["grep", "-r", "latchboard", "serve"], "exe": "/usr/bin/grep"},
    "shell": {"argv": ["bash", "-c", " ".join(DAEMON), "latchboard"], "exe": "/bin/bash"},
    "pytest": {"argv": [PYTHON, "-m", "pytest", "latchboard", "serve", "--root", ROOT], "exe": PYTHON},
    "python -c": {"argv": [PYTHON, "-c", "input()", *DAEMON[1:]], "exe": PYTHON},
    "script": {"argv": [PYTHON, "watch.py", *DAEMON[1:]], "exe": PYTHON},
    "another verb": {"argv": [PYTHON, "-m", "latchboard", "watch", "--root", ROOT], "exe": PYTHON},
    "another project": {"argv": [*DAEMON[:5], "/srv/project2"], "exe": PYTHON},
    "a folder below": {"argv": [*DAEMON[:5], f"{ROOT}/sub"], "exe": PYTHON},
    "relative root": {"argv": [*DAEMON[:5], "project"], "exe": PYTHON},
    "two roots": {"argv": [*DAEMON, "--root", "/srv/other"], "exe": PYTHON},
    "two roots in one word": {"argv": [*DAEMON, "--root=/srv/other"], "exe": PYTHON},
    "another user": {"argv": DAEMON, "exe": PYTHON, "uid": 1001},
    "a user that is not told": {"argv": DAEMON, "exe": PYTHON, "uid": None},
    "a program that is not told": {"argv": DAEMON, "exe": ""},
    "the same path in another container": {"argv": DAEMON, "exe": PYTHON, "mounts": "container"},
}
TERMS = ("ends", "ignores", "denies", "survives")


class Files:
    """A record in memory."""

    def __init__(self, identity: Identity | None = None) -> None:
        self.entry = Entry(None, None)
        if identity is not None:
            self.entry = Entry(b"%d\n" % identity["pid"], json.dumps({"process": identity}).encode())
        self.is_removed = False

    def read(self) -> Entry:
        return self.entry

    def remove(self, judged: Entry) -> bool:
        self.is_removed = judged == self.entry
        return self.is_removed


class Witness(list[Any]):
    """The signals that were sent; each is held to the oracle at the moment at which it is."""

    def __init__(self, scene: Scene) -> None:
        super().__init__()
        self._scene = scene

    def append(self, signal: tuple[Identity, str]) -> None:
        self._scene.may_be_signalled(signal[0])
        super().append(signal)


class Scene:
    """A machine with an asker in a project, and the oracle."""

    def __init__(self, *, is_on: bool = True, **surroundings: object) -> None:
        self.machine = FakeHost()
        self.machine.surround(**(surroundings or {"has_dockerenv": True}))
        self.calls: list[str] = []
        self.changes: list[tuple[int, int, str]] = []
        self.table: list[Identity] = []
        self.ours: dict[tuple[int, int], bool] = {}
        self.untouchable: set[int] = {1, self.machine.me()["pid"]}
        self.changed: set[int] = set()
        self.is_allowed = is_on
        self.machine._machine.signals = Witness(self)
        self.machine.interfere(self.before)
        self.settings = Settings(enforce_single_daemon_process=is_on)
        self.files = Files()

    def daemons(self) -> Daemons:
        return Daemons(ROOT, ManualClock(), self.machine, self.settings, self.files)

    def add(self, *, is_ours: bool, pid_ns: int | None = None, **facts: Any) -> Identity:
        identity = self.machine.spawn(pid_ns=pid_ns)
        self.machine.dress(identity, **facts)
        self.table.append(identity)
        self.ours[identity["pid"], identity["start"]] = is_ours
        return identity

    def daemon(self, **facts: Any) -> Identity:
        return self.add(is_ours=True, **{"argv": DAEMON, "exe": PYTHON, **facts})

    def may_be_signalled(self, identity: Identity) -> None:
        assert self.is_allowed, "a signal although nothing may be ended"
        assert identity["pid"] not in self.untouchable
        assert self.ours[identity["pid"], identity["start"]], f"a stranger was signalled: {identity}"

    def before(self, name: str) -> None:
        """The adversary's turn: before each call of the port, but an exec is never between the last look and send."""
        self.calls.append(name)
        for change in list(self.changes):
            at, index, kind = change
            if at > len(self.calls) or (name == "send" and kind == "exec"):
                continue
            self.changes.remove(change)
            if index < len(self.table) and self.table[index]["pid_ns"] == self.machine.me()["pid_ns"]:
                self.change(self.table[index], kind)

    def change(self, identity: Identity, kind: str) -> None:
        if self.machine._judge(identity) != "live":
            return
        self.changed.add(identity["pid"])
        if kind == "exec":
            self.ours[identity["pid"], identity["start"]] = False
            self.machine.dress(identity, argv=["vim", "latchboard"], exe="/usr/bin/vim")
        elif kind == "recycle":
            successor = self.machine.recycle(identity)
            self.machine.dress(successor, argv=["vim", "latchboard"], exe="/usr/bin/vim")
            self.ours[successor["pid"], successor["start"]] = False
        else:
            self.machine.kill(identity, reap=kind == "die")

    def is_there(self, identity: Identity) -> bool:
        return self.machine._judge(identity) == "live"


_words = st.sampled_from([*DAEMON, "-u", "-X", "-c", "--", "--root=/x", "latchboard.serve", "", "/srv/project/", "vim"])


@st.composite
def mutated(draw: st.DrawFn) -> list[str]:
    """The command line of a daemon with a few words changed."""
    argv = list(DAEMON)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(argv)))
        kind = draw(st.sampled_from(("insert", "drop", "replace", "cut")))
        if kind == "insert":
            argv.insert(at, draw(_words))
        elif argv and at < len(argv):
            argv[at : at + (len(argv) if kind == "cut" else 1)] = [draw(_words)] if kind == "replace" else []
    return argv


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    hard = draw(st.sampled_from([{}, {"has_dockerenv": True}, {"cgroups": ["0::/docker/0a1b"]}]))
    soft = draw(st.sampled_from([{}, {"environment": {"CLAUDECODE": "1", "DEVCONTAINER": "true"}}]))
    is_on = draw(st.booleans()) or bool(hard)
    scene = Scene(is_on=is_on, **{"uid": 1000, **hard, **soft})
    scene.is_allowed = is_on and bool(hard)
    for _ in range(draw(st.integers(0, 6))):
        kind = draw(st.sampled_from(["daemon", "mutated", "elsewhere", *LOOK_ALIKES]))
        on_term = draw(st.sampled_from(TERMS))
        if kind == "daemon":
            scene.daemon(on_term=on_term)
        elif kind == "mutated":
            argv = draw(mutated())
            is_ours = OURS.fullmatch("\0".join(argv)) is not None
            scene.add(is_ours=is_ours, argv=argv, exe=PYTHON, on_term=on_term)
        elif kind == "elsewhere":
            scene.add(is_ours=False, pid_ns=77, argv=DAEMON, exe=PYTHON, on_term=on_term)
        else:
            scene.add(is_ours=False, on_term=on_term, **LOOK_ALIKES[kind])
    if scene.table and draw(st.booleans()):
        recorded = draw(st.sampled_from(scene.table))
        if draw(st.booleans()):
            recorded = {**recorded, "start": recorded["start"] + 1}
        scene.files = Files(recorded)
    if scene.table and draw(st.booleans()):
        parent = draw(st.sampled_from(scene.table))
        scene.machine.dress(scene.machine.me(), argv=["sh"], exe="/bin/sh", parent=parent["pid"])
        if parent["pid_ns"] == scene.machine.me()["pid_ns"]:
            scene.untouchable.add(parent["pid"])
    change = st.tuples(st.integers(1, 60), st.integers(0, 5), st.sampled_from(("exec", "recycle", "die", "zombie")))
    scene.changes = draw(st.lists(change, max_size=3))
    return scene


@examples(200)
@given(scene=scenes())
def test_nothing_that_is_not_provably_ours_is_ever_signalled(scene: Scene) -> None:
    spared = scene.files.entry.facts()
    report = scene.daemons().enforce()  # every signal is held to the oracle by the witness

    if not scene.settings.enforce_single_daemon_process:
        assert not scene.calls
        assert not scene.files.is_removed
    if report.mode != "container":
        assert "scan" not in scene.calls
        assert scene.machine.signals == []
    for ended in report.ended:
        told = next(one for one in scene.table if one["pid"] == ended["pid"])
        if ended["is_gone"] or told["pid"] not in scene.changed:  # what it was told to be may have ended since
            assert ended["is_gone"] == (not scene.is_there(told))
    if report.mode == "container" and not scene.changed:
        recorded = spared["process"] if spared else None
        for identity in scene.table:
            key = (identity["pid"], identity["start"])
            facts = scene.machine._machine.facts[(identity["pid_ns"], *key)]
            if scene.ours[key] and identity != recorded and identity["pid"] not in scene.untouchable:
                assert scene.is_there(identity) == (facts.on_term in ("denies", "survives"))


@pytest.mark.parametrize("kind", LOOK_ALIKES)
def test_look_alike_survives_beside_a_daemon_that_does_not(kind: str) -> None:
    scene = Scene()
    look_alike = scene.add(is_ours=False, **LOOK_ALIKES[kind])
    daemon = scene.daemon()

    report = scene.daemons().enforce()

    assert scene.is_there(look_alike)
    assert not scene.is_there(daemon)
    assert [one["pid"] for one in report.ended] == [daemon["pid"]]


def steps() -> Iterator[tuple[int, str]]:
    """Each call of an enforcement against one daemon that ignores TERM, and each thing that can happen before it."""
    scene = Scene()
    scene.daemon(on_term="ignores")
    scene.daemons().enforce()
    assert [signal for _, signal in scene.machine.signals] == ["TERM", "KILL"]
    for at in range(1, len(scene.calls) + 1):
        for kind in ("exec", "recycle", "die", "zombie"):
            yield at, kind


@pytest.mark.parametrize(("at", "kind"), list(steps()))
def test_identity_that_changes_at_any_step_is_never_signalled(at: int, kind: str) -> None:
    scene = Scene()
    daemon = scene.daemon(on_term="ignores")
    scene.changes = [(at, 0, kind)]

    report = scene.daemons().enforce()

    assert len(scene.machine.signals) <= 2
    for one in report.ended:
        assert one["is_gone"] == (not scene.is_there(daemon))


def test_off_looks_at_nothing_at_all() -> None:
    scene = Scene(is_on=False)
    daemon = scene.daemon()
    scene.files = Files({**daemon, "start": 1})

    report = scene.daemons().enforce()

    assert (report.mode, report.recorded, scene.calls) == ("off", None, [])
    assert not scene.files.is_removed


def test_on_a_host_only_a_stale_record_goes() -> None:
    scene = Scene(environment={"CLAUDECODE": "1", "IS_SANDBOX": "1"})  # a tool's variables: points enough, no evidence
    daemon = scene.daemon()
    scene.files = Files({**daemon, "start": daemon["start"] + 1})
    scene.is_allowed = False

    report = scene.daemons().enforce()

    assert report.mode == "host"
    assert report.is_record_removed
    assert scene.files.is_removed
    assert scene.is_there(daemon)
    assert "scan" not in scene.calls


@pytest.mark.parametrize("surroundings", [{"has_dockerenv": True}, {"uid": 1000}])
def test_healthy_recorded_daemon_stays_and_a_start_has_nothing_to_do(surroundings: dict[str, Any]) -> None:
    scene = Scene(**surroundings)
    healthy = scene.daemon()
    scene.untouchable.add(healthy["pid"])
    scene.files = Files(healthy)

    report = scene.daemons().enforce()

    assert report.is_running
    assert scene.is_there(healthy)
    assert not report.is_record_removed


def test_other_daemons_end_beside_the_recorded_one() -> None:
    scene = Scene()
    healthy, second, stubborn = scene.daemon(), scene.daemon(), scene.daemon(on_term="ignores")
    scene.files = Files(healthy)

    report = scene.daemons().enforce()

    assert report.is_running
    assert report.spared == [{"pid": healthy["pid"], "why": "recorded"}]
    assert report.ended == [
        {"pid": second["pid"], "is_gone": True, "by": "TERM", "why": ""},
        {"pid": stubborn["pid"], "is_gone": True, "by": "KILL", "why": ""},
    ]


@pytest.mark.parametrize("call", ["scan", "grip"])
def test_daemon_that_takes_its_place_meanwhile_stays(call: str) -> None:
    scene = Scene()
    late = scene.daemon()
    scene.untouchable.add(late["pid"])
    scene.machine.interfere(lambda name: setattr(scene.files, "entry", Files(late).entry) if name == call else None)

    report = scene.daemons().enforce()

    assert scene.is_there(late)
    assert (report.ended, report.spared) == ([], [{"pid": late["pid"], "why": "recorded"}])


@pytest.mark.parametrize("call", ["scan", "grip"])
def test_what_a_daemon_that_takes_its_place_meanwhile_has_forked_stays(call: str) -> None:
    scene = Scene()
    late = scene.daemon()
    worker = scene.daemon(parent=late["pid"])
    scene.untouchable |= {late["pid"], worker["pid"]}
    scene.machine.interfere(lambda name: setattr(scene.files, "entry", Files(late).entry) if name == call else None)

    report = scene.daemons().enforce()

    assert report.ended == []
    assert {one["pid"]: one["why"] for one in report.spared} == {late["pid"]: "recorded", worker["pid"]: "child"}


def test_record_that_goes_meanwhile_takes_nobody_with_it() -> None:
    scene = Scene()
    healthy, other = scene.daemon(), scene.daemon()
    scene.untouchable.add(healthy["pid"])
    scene.files = Files(healthy)
    scene.machine.interfere(lambda name: setattr(scene.files, "entry", Files().entry) if name == "scan" else None)

    report = scene.daemons().enforce()

    assert [one["pid"] for one in report.ended] == [other["pid"]]
    assert scene.is_there(healthy)


def test_recorded_daemon_that_cannot_be_judged_stays() -> None:
    scene = Scene()
    daemon = scene.daemon(exe="")
    scene.files = Files(daemon)
    scene.machine.interfere(
        lambda name: scene.machine.dress(daemon, exe=PYTHON) if name == "scan" else None  # readable again
    )
    scene.untouchable.add(daemon["pid"])

    report = scene.daemons().enforce()

    assert report.recorded is not None
    assert report.recorded.state == "unknowable"
    assert scene.is_there(daemon)
    assert report.spared == [{"pid": daemon["pid"], "why": "recorded"}]


def test_asker_and_its_ancestors_stay() -> None:
    scene = Scene()
    grandparent = scene.daemon()
    parent = scene.add(is_ours=False, argv=["sh"], exe="/bin/sh", parent=grandparent["pid"])
    scene.machine.dress(scene.machine.me(), argv=DAEMON, exe=PYTHON, parent=parent["pid"])
    scene.untouchable.add(grandparent["pid"])

    report = scene.daemons().enforce()

    assert {one["why"] for one in report.spared} == {"itself", "ancestor"}
    assert report.ended == []


def test_what_a_daemon_that_stays_has_forked_stays() -> None:
    scene = Scene()
    healthy, orphan = scene.daemon(), scene.daemon()
    worker, worker_of_asker = scene.daemon(parent=healthy["pid"]), scene.daemon(parent=scene.machine.me()["pid"])
    scene.machine.dress(scene.machine.me(), argv=DAEMON, exe=PYTHON)
    scene.untouchable |= {healthy["pid"], worker["pid"], worker_of_asker["pid"]}
    scene.files = Files(healthy)

    report = scene.daemons().enforce()

    assert [one["pid"] for one in report.ended] == [orphan["pid"]]
    assert [one["why"] for one in report.spared] == ["itself", "recorded", "child", "child"]


def test_each_end_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    ended, left = scene.daemon(), scene.daemon(on_term="denies")
    scene.files = Files({**ended, "start": 1})

    with caplog.at_level("INFO", "latchboard.daemon"):
        scene.daemons().enforce()

    assert caplog.messages == [
        f"daemon.ended root={ROOT} pid={ended['pid']} by=TERM why=-",
        f"daemon.left root={ROOT} pid={left['pid']} by=- why=not-permitted",
        f"daemon.record_removed root={ROOT} pid={ended['pid']} why=recycled",
    ]


def test_what_cannot_be_ended_is_told() -> None:
    scene = Scene()
    scene.daemon(on_term="denies")
    scene.daemon(on_term="survives")

    report = scene.daemons().enforce()

    assert [(one["is_gone"], one["by"], one["why"]) for one in report.ended] == [
        (False, None, "not-permitted"),
        (False, "KILL", "survived"),
    ]
