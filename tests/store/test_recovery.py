"""What a dead writer, a power cut or a damaged file leaves behind is put right by the next commit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies

from latchboard.codec import encode
from latchboard.errors import MalformedRecord, ProtocolError, UnsupportedVersion
from latchboard.settings import Settings
from latchboard.store.files import guard, journal, layout, records
from latchboard.store.files.folder import Folder
from latchboard.testing.clock import ManualClock
from tests.conftest import ONE_FIXTURE
from tests.store.scenes import Scene, State, replay

A: State = {"locks/a": {"n": 1}, "agents/x": {"n": 1}}
B: State = {"locks/a": {"n": 2}, "locks/b": {"n": 2}}
AFTER_B: State = {**A, **B}
del AFTER_B["agents/x"]


@pytest.fixture
def scene(memory_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setattr(Folder, "self_test", lambda folder: None)  # it forks; it has tests of its own
    scene = Scene(memory_path / "project")
    yield scene
    scene.store.close()


class Unfinished:
    """A store whose last writer died right after it appended: A is applied, B is a line and nothing else."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        scene.commit(A)
        self.header = scene.guard.read_bytes()
        before = scene.journal().read_bytes()
        self.revision = scene.commit(B, "agents/x")
        self.journal = scene.journal().read_bytes()
        self.line = self.journal[len(before) :]
        self.start = len(before)

    def again(self, *, line_bytes: int, created: bytes | None = None) -> None:
        """Everything as it was, with so much of the line, and that in the file that B was about to make."""
        self.scene.store.close()
        for path in self.scene.journals():
            if path.name != self.scene.path.joinpath(layout.journal(self.base)).name:
                path.unlink()
        self.scene.guard.write_bytes(self.header)
        with self.scene.path.joinpath(layout.journal(self.base)).open("r+b") as file:
            file.truncate(0)
            file.write(self.journal[: self.start + line_bytes])
        for key, value in A.items():
            self.scene.record(key).write_bytes(_record(key, self.base, value))
        for key in ("locks/b", "wide"):
            self.scene.record(key).unlink(missing_ok=True)
        if created is not None:
            self.scene.record("locks/b").write_bytes(created)

    @property
    def base(self) -> int:
        header = guard.Header.unpack(self.header)
        assert header is not None
        return header.base


def _record(key: str, revision: int, value: dict[str, object]) -> bytes:
    return records.pack(key, revision, encode(value))


# -- the last line ----------------------------------------------------------------------------------------------------


def test_line_cut_at_any_byte_was_never_committed__failure_3_14(scene: Scene) -> None:
    torn = Unfinished(scene)

    for count in range(len(torn.line)):
        torn.again(line_bytes=count)

        assert scene.state() == A, count
        assert scene.commit({"wide": {}}) == torn.revision  # it was never given to anybody
        assert scene.state() == {**A, "wide": {}}, count
        assert scene.history()[-1][1:] == ("wide", {})


def test_whole_line_was_committed_even_if_nothing_else_was_done(scene: Scene) -> None:
    torn = Unfinished(scene)
    halves = [None, b"", b"{", _record("locks/b", torn.revision, {"n": 2})]

    for half in halves:
        torn.again(line_bytes=len(torn.line), created=half)

        assert scene.state() == AFTER_B, half
        assert scene.open().read("locks/b").get("locks/b") == {"n": 2}
        assert scene.open().read("locks/").revision == torn.revision
        assert scene.commit({"wide": {}}) > torn.revision
        assert scene.state() == {**AFTER_B, "wide": {}}
        assert replay(scene.history()) == scene.state()


def test_reader_of_unfinished_work_writes_nothing(scene: Scene) -> None:
    torn = Unfinished(scene)
    torn.again(line_bytes=len(torn.line), created=b"")
    before = _bytes(scene)

    scene.state()
    scene.open().read("locks/a")

    assert _bytes(scene) == before


def test_watcher_sees_unfinished_work_only_when_it_is_finished(scene: Scene) -> None:
    torn = Unfinished(scene)
    torn.again(line_bytes=len(torn.line))
    watch = scene.open().watch("locks/", after=0)
    assert [change.value for change in watch.poll()] == [{"n": 1}]

    scene.commit({"wide": {}})

    assert [change.revision for change in watch.poll()] == [torn.revision, torn.revision]
    watch.close()


def test_watcher_may_go_on_from_a_snapshot_of_unfinished_work(scene: Scene) -> None:
    torn = Unfinished(scene)
    torn.again(line_bytes=len(torn.line))
    revision = scene.open().read("locks/").revision
    watch = scene.open().watch("", after=revision)
    assert watch.poll() == []

    scene.commit({"wide": {}})

    assert [change.key for change in watch.poll()] == ["wide"]
    watch.close()


def test_journal_that_lost_its_end_gives_no_revision_again__failure_3_13(scene: Scene) -> None:
    torn = Unfinished(scene)
    whole = scene.guard.read_bytes()

    for count in range(len(torn.line)):
        torn.again(line_bytes=count)
        scene.guard.write_bytes(whole)  # the header reached the disk, the end of the journal did not

        revision = scene.commit({"wide": {}})

        assert revision > torn.revision + 10**8
        assert scene.state() == {**A, "wide": {}}


def test_damage_in_the_middle_of_the_journal_is_not_cut_off(scene: Scene) -> None:
    revisions = [scene.commit({"locks/a": {"n": n}, f"agents/{n}": {"n": n}}) for n in range(5)]
    header = scene.header()
    damaged = scene.journal()
    data = damaged.read_bytes()
    before = scene.state()
    third = revisions[2] - header.base

    for applied in (third, third + 1, third - 1, revisions[3] - header.base):
        scene.store.close()
        damaged.write_bytes(data[: third + 20] + b"#" + data[third + 21 :])
        scene.guard.write_bytes(guard.Header(header.base, applied, header.last, header.boot).pack())

        assert scene.commit({"wide": {}}) > revisions[-1]

        assert scene.state() == {**before, "wide": {}}
        assert damaged.read_bytes()[:third] == data[:third]
        assert damaged.read_bytes()[third + 21 : len(data)] == data[third + 21 :]


# -- the header -------------------------------------------------------------------------------------------------------


def test_header_cut_at_any_byte_is_made_again(scene: Scene) -> None:
    scene.commit(A)
    last = scene.commit(B)
    state = scene.state()

    for count in range(guard.HEADER_BYTES):
        header = scene.guard.read_bytes()
        scene.store.close()
        os.truncate(scene.guard, count)

        revision = scene.commit(A)

        assert revision > last
        assert scene.state() == {**state, **A}
        assert scene.header().base != guard.Header.unpack(header).base  # type: ignore[union-attr]
        last = revision


@hypothesis.settings(max_examples=60, suppress_health_check=ONE_FIXTURE)
@hypothesis.given(
    garbage=strategies.one_of(
        strategies.binary(max_size=120),
        strategies.text("0123456789 -x\n", min_size=95, max_size=105).map(str.encode),
        strategies.just(bytes(100)),
    )
)
def test_garbage_in_the_header_loses_nothing(scene: Scene, garbage: bytes) -> None:
    last = scene.commit(A)
    state = scene.state()
    scene.store.close()
    scene.guard.write_bytes(garbage)

    assert scene.commit(B) > last

    assert scene.state() == {**state, **B}


def test_reader_refuses_a_damaged_header_and_leaves_it(scene: Scene) -> None:
    scene.commit(A)
    scene.guard.write_bytes(b"x" * 100)

    with pytest.raises(ProtocolError):
        scene.open().read("locks/a")
    with pytest.raises(ProtocolError):
        scene.open().read("locks/")

    assert scene.guard.read_bytes() == b"x" * 100


def test_reader_of_a_store_that_lost_its_header_never_says_free(scene: Scene) -> None:
    scene.commit(A)
    for _ in range(10):  # until no journal that is kept has a commit in it
        scene.clock.reboot()
        scene.reopen().transact(lambda view: None, who="a")
    scene.settings = Settings(journal_bytes_max=1, journals_kept_count=1)
    for _ in range(2):
        scene.clock.reboot()
        scene.reopen().transact(lambda view: None, who="a")

    for lose in (partial(os.truncate, scene.guard, 0), partial(os.unlink, scene.guard)):
        lose()
        before = _bytes(scene)
        for names in (("locks/a",), ("locks/",), ("locks/never",)):
            with pytest.raises(ProtocolError):
                scene.open().read(*names)
        assert _bytes(scene) == before
        scene.reopen().transact(lambda view: None, who="a")
        assert scene.state() == A


def test_reader_of_a_store_that_is_being_made_sees_an_empty_one(scene: Scene) -> None:
    scene.path.joinpath("journal").mkdir(parents=True)
    assert scene.state() == {}
    scene.guard.touch()
    assert scene.state() == {}
    (scene.path / "FORMAT").write_text('{"format":1,"store_id":"x"}')
    assert scene.state() == {}
    assert scene.store.read("locks/a").get("locks/a") is None
    (scene.path / layout.journal(5)).write_bytes(
        journal.first_line(base=5, previous=0, store_id="x", boot="b", marks={}, at="")
    )

    assert scene.state() == {}
    assert scene.commit(A) > 5


def test_any_wrong_digit_in_the_header_loses_nothing(scene: Scene) -> None:
    scene.commit(A)
    last = scene.commit(B)
    state = scene.state()

    for place in range(62):
        for digit in (b"0", b"9", b"5"):
            scene.store.close()
            header = scene.guard.read_bytes()
            if header[place : place + 1] in (b" ", digit):
                continue
            scene.guard.write_bytes(header[:place] + digit + header[place + 1 :])

            revision = scene.commit({"locks/a": {"n": place}})

            state = {**state, "locks/a": {"n": place}}
            assert scene.state() == state, (place, digit)
            assert revision > last, (place, digit)
            last = revision


def test_lost_guard_is_made_again_from_the_journals(scene: Scene) -> None:
    torn = Unfinished(scene)
    torn.again(line_bytes=len(torn.line))
    store_id = scene.first_line()["store_id"]
    scene.guard.unlink()

    assert scene.commit({"wide": {}}) > torn.revision

    assert scene.state() == {**AFTER_B, "wide": {}}
    assert scene.open().read("wide").revision > torn.revision
    assert scene.first_line()["previous"] == torn.revision
    assert scene.first_line()["store_id"] != store_id  # it might have been a copy


# -- FORMAT -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"format":1}', '{"store_id":"x"}', '{"format":1,"store_id":7}']
)
def test_format_that_cannot_be_read_stops_everybody(scene: Scene, text: str) -> None:
    scene.commit(A)
    scene.store.close()
    (scene.path / "FORMAT").write_text(text)
    before = _bytes(scene)

    for call in (lambda: scene.commit(B), scene.state, scene.history):
        with pytest.raises(ProtocolError):
            call()

    assert _bytes(scene) == before


@pytest.mark.parametrize("number", [0, 2, 10**30, "true", '"1"', 1.5])
def test_unknown_format_stops_everybody(scene: Scene, number: object) -> None:
    scene.commit(A)
    scene.store.close()
    (scene.path / "FORMAT").write_text(f'{{"format":{number},"store_id":"x","more":1}}')
    before = _bytes(scene)

    with pytest.raises(ProtocolError) as caught:
        scene.commit(B)
    with pytest.raises(ProtocolError):
        scene.state()
    with pytest.raises(ProtocolError):
        scene.history()

    assert isinstance(caught.value, UnsupportedVersion) == isinstance(number, int)
    assert _bytes(scene) == before


def test_unknown_format_is_seen_although_the_store_is_only_being_made(scene: Scene) -> None:
    scene.path.joinpath("journal").mkdir(parents=True)
    scene.guard.touch()
    with scene.store._mutex:
        scene.store._writable()  # opened while somebody of the future was making it
    (scene.path / "FORMAT").write_text('{"format":2,"store_id":"x"}')

    with pytest.raises(UnsupportedVersion):
        scene.commit(A)

    assert scene.guard.read_bytes() == b""


def test_missing_format_is_made_again_under_another_id(scene: Scene) -> None:
    last = scene.commit(A)
    store_id = scene.first_line()["store_id"]
    scene.store.close()
    (scene.path / "FORMAT").unlink()
    assert scene.state() == A

    assert scene.commit(B) > last

    assert scene.state() == {**A, **B}
    assert scene.first_line()["store_id"] not in (store_id, "")
    assert scene.first_line()["store_id"] in (scene.path / "FORMAT").read_text()


def test_unknown_format_of_a_journal_stops_everybody(scene: Scene) -> None:
    scene.commit(A)
    scene.store.close()
    (scene.path / "FORMAT").unlink()
    path = scene.journal()
    rest = path.read_bytes().split(b"\n", 1)[1]
    path.write_bytes(journal.seal(f'{{"format":2,"base":{scene.header().base}') + rest)

    with pytest.raises(UnsupportedVersion):
        scene.commit(B)

    assert not (scene.path / "FORMAT").exists()


# -- records ----------------------------------------------------------------------------------------------------------


@hypothesis.settings(max_examples=80, suppress_health_check=ONE_FIXTURE)
@hypothesis.given(
    garbage=strategies.one_of(strategies.binary(max_size=60), strategies.text(max_size=40).map(str.encode))
)
@hypothesis.example(b'{"key":"locks/a"}')
@hypothesis.example(b'{"key":"locks/b","mod_revision":1}')
@hypothesis.example(b'{"key":"locks/a","mod_revision":"x"}')
@hypothesis.example(b'{"key":1,"mod_revision":1}')
@hypothesis.example(b'{"mod_revision":1,"n":1}')
@hypothesis.example(b"[" * 100_000)
@hypothesis.example(b'{"key":"locks/a","mod_revision":' + b"9" * 5000 + b"}")
def test_garbage_in_a_record_is_never_free__failure_3_14(scene: Scene, garbage: bytes) -> None:
    scene.commit(A)
    scene.record("locks/a").write_bytes(garbage)
    reader = scene.open()

    for call in (
        lambda: reader.read("locks/a").get("locks/a"),
        lambda: reader.read("locks/").scan("locks/"),
        lambda: reader.read("locks/").get("locks/a"),
        lambda: reader.transact(lambda view: view.get("locks/a"), who="a").value,
        lambda: reader.transact(lambda view: view.scan("locks/"), who="a").value,
    ):
        with pytest.raises(MalformedRecord):
            call()
    reader.close()


# -- restarts of the machine ------------------------------------------------------------------------------------------


def test_restart_of_the_machine_raises_the_revisions_by_far__failure_3_13(scene: Scene) -> None:
    before = scene.commit(A)
    scene.clock.reboot(off_s=1.0)
    scene.clock.jump_wall(-3600.0)
    assert scene.state() == A

    after = scene.reopen().transact(lambda view: view.put("wide", {}), who="a").revision

    assert after > before + 10**8
    assert scene.state() == {**A, "wide": {}}
    assert scene.history()[-1][1:] == ("wide", {})


def test_records_that_the_power_cut_took_are_put_back(scene: Scene) -> None:
    scene.commit({"locks/old": {"n": 0}, **A})
    old = scene.record("locks/a").read_bytes()
    scene.commit({**B, "messages/x/1": {"n": 2}}, "agents/x", durable=True)
    state = scene.state()
    gone = _record("agents/x", 1, {"n": 1})

    for harm in (
        lambda: scene.record("locks/a").write_bytes(old),
        lambda: scene.record("locks/b").write_bytes(b""),
        lambda: scene.record("locks/b").write_bytes(bytes(50)),
        lambda: scene.record("messages/x/1").unlink(),
        lambda: scene.record("agents/x").write_bytes(gone),
    ):
        scene.store.close()
        harm()
        scene.clock.reboot()

        scene.commit({"wide": {}})

        assert scene.state() == {**state, "wide": {}}


def test_newer_record_than_the_journal_stays_and_its_revision_is_not_given_again(scene: Scene) -> None:
    last = scene.commit(A)
    scene.store.close()
    scene.record("locks/a").write_bytes(_record("locks/a", last + 5 * 10**9, {"n": "newer"}))
    scene.clock.reboot()

    assert scene.commit({"wide": {}}) > last + 5 * 10**9

    assert scene.state()["locks/a"] == {"n": "newer"}


def test_two_processes_that_guess_the_boot_differently_do_not_settle_each_time(memory_path: Path) -> None:
    scenes = [
        Scene(memory_path / "p", clock=ManualClock(boot=f"~boot-time-{number}")) for number in (1795000000, 1795000003)
    ]

    revisions = [scenes[n % 2].commit({"locks/a": {"n": n}}) for n in range(6)]

    assert revisions[-1] - revisions[0] < 10**6
    for scene in scenes:
        scene.store.close()


@pytest.mark.parametrize("boot", ["", "a boot id with blanks", "x" * 100, "\u00e9"])
def test_boot_id_of_any_kind_fits(memory_path: Path, boot: str) -> None:
    scene = Scene(memory_path / "p", clock=ManualClock(boot=boot))

    revisions = [scene.commit({"locks/a": {"n": n}}) for n in range(3)]

    assert revisions[-1] - revisions[0] < 10**6
    assert scene.state() == {"locks/a": {"n": 2}}
    scene.store.close()


# -- rotation ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [1, 2, 4])
def test_rotation_keeps_some_journals_and_every_record(memory_path: Path, kept: int) -> None:
    scene = Scene(memory_path / "p", Settings(journal_bytes_max=1000, journals_kept_count=kept))

    revisions = [scene.commit({f"agents/{n % 7}": {"n": n}}) for n in range(80)]

    assert revisions == sorted(set(revisions))
    assert len(scene.journals()) == kept
    assert len(scene.state()) == 7
    history = scene.history()
    assert [revision for revision, _, _ in history] == revisions[-len(history) :]
    scene.store.close()


def test_old_journal_that_cannot_be_removed_stops_nobody(memory_path: Path) -> None:
    scene = Scene(memory_path / "p", Settings(journal_bytes_max=500, journals_kept_count=1))
    scene.commit(A)
    planted = scene.path / layout.journal(1)
    planted.mkdir()

    with_folder = [scene.commit({"agents/x": {"n": n}}) for n in range(20)]

    assert with_folder == sorted(with_folder)
    scene.store.close()


def test_restarts_of_the_machine_do_not_use_up_the_history(scene: Scene) -> None:
    first = scene.commit(A)

    for n in range(12):
        scene.clock.reboot()
        scene.commit({"agents/x": {"n": n}})

    assert scene.history()[0][0] == first
    assert len(scene.history(after=first)) == 12


def _bytes(scene: Scene) -> dict[str, tuple[bytes, int]]:
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in scene.path.rglob("*") if path.is_file()}
