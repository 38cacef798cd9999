"""A store is copied from files into etcd and back: all of it, once, and no token comes back."""

from __future__ import annotations

import os
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from latchboard.errors import (
    Compacted,
    CoordinationError,
    MalformedRecord,
    ProtocolError,
    StoreBusy,
    StoreError,
    UnsupportedVersion,
    UsageError,
)
from latchboard.settings import Settings
from latchboard.store.copying import copy, differences, parts
from latchboard.store.etcd import filling as etcd_filling
from latchboard.store.etcd.access import Access
from latchboard.store.etcd.gateway import Gateway, packed
from latchboard.store.etcd.store import EtcdStore
from latchboard.store.files import filling
from latchboard.store.files.store import FileStore
from latchboard.testing import ManualClock
from tests.store.etcd.server import Place
from tests.store.etcd.test_suite import compact

CLOCK = ManualClock()
SETTINGS = Settings()


class Files:
    """A store in files, as a source."""

    def __init__(self, root: Path) -> None:
        root.mkdir(exist_ok=True)
        self.root = root
        self.store = FileStore(str(root), clock=CLOCK)

    def everything(self) -> Any:
        return filling.everything(self.store)

    def filling(self) -> filling.Filling:
        return filling.Filling(str(self.root), clock=CLOCK, settings=SETTINGS)


class Killed(BaseException):
    """The process ends here."""


class Dying:
    """A destination whose copier dies at its n-th step."""

    def __init__(self, inner: Any, steps_left: int) -> None:
        self._inner = inner
        self._steps_left = steps_left

    def __getattr__(self, name: str) -> Any:
        def step(*arguments: Any) -> Any:
            if self._steps_left == 0:
                raise Killed
            self._steps_left -= 1
            return getattr(self._inner, name)(*arguments)

        return step


def size(_: dict[str, Any]) -> int:
    return 100


def copied(source: Any, destination: Any) -> Any:
    return copy(source, destination, name="here", size_of=size)


def token(store: Any, key: str) -> int:
    """The token of a lock that is taken now."""

    def take(view: Any) -> None:
        view.put(key, {"token": view.revision, "before": view.get(key)})

    done = store.transact(take, who="a")
    found = store.read(key).get(key)["token"]
    assert found == done.revision == store.read(key).revision
    return int(found)


def filled(root: Path, count: int = 250) -> Files:
    files = Files(root)
    files.store.transact(lambda view: [view.put(f"jobs/{n:04}", {"n": n}) for n in range(count)], who="a")
    files.store.transact(lambda view: view.put("messages/ä/b/1", {"body": "ü"}), who="a")
    files.store.transact(lambda view: view.put("locks/src/", {"x": 1}), who="a")
    files.store.transact(lambda view: view.put("wide", {"agents": []}), who="a")
    return files


def reopened(access: Access) -> EtcdStore:
    return EtcdStore(access, clock=CLOCK)


def put_by_hand(access: Access, key: str, text: str = "{") -> None:
    gateway = Gateway(access)
    gateway.call("/v3/kv/put", {"key": packed(f"{access.prefix}/{key}"), "value": packed(text)}, monotonic() + 10)
    gateway.close()


def test_all_that_there_is_goes_there_and_back_and_tokens_only_grow(
    etcd: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(etcd_filling, "_PAGE_COUNT", 100)
    files = filled(tmp_path / "one")
    first = token(files.store, "locks/a")
    access = etcd.access()
    store = reopened(access)

    copied(files, store.filling())

    assert differences(store.everything().records, files.everything().records) == []
    assert len(files.everything().records) == 254
    second = token(store, "locks/a")
    assert second > first
    assert token(reopened(access), "locks/b") > second

    third = token(store, "locks/c")
    back = Files(tmp_path / "two")
    copied(store, back.filling())
    assert differences(back.everything().records, store.everything().records) == []
    assert back.store.read("locks/c").get("locks/c") == {"token": third, "before": None}
    assert token(back.store, "locks/a") > third
    assert not list((tmp_path / "two" / "data").glob(".agent_locks.*"))
    for name in ("", "FORMAT", "journal", "journal/guard", "jobs", "jobs/0001.json"):
        first, second = (tmp_path / one / "data" / ".agent_locks" / name for one in ("one", "two"))
        assert second.stat().st_mode == first.stat().st_mode, name


def test_tokens_grow_where_the_store_is_ahead_of_the_clock(etcd: Place, tmp_path: Path) -> None:
    files = filled(tmp_path / "one", 1)
    ahead = 9 * 10**17
    store = reopened(etcd.access())
    store.filling().begin(ahead, "here")
    destination = store.filling()
    destination.begin(ahead, "here")
    destination.put([("locks/a", {"token": ahead})])
    destination.finish()

    newest = token(store, "locks/a")
    copied(store, (back := Files(tmp_path / "two")).filling())

    assert newest > ahead
    assert token(back.store, "locks/a") > newest
    files.store.close()


@pytest.mark.parametrize("is_forgotten", [False, True])
def test_what_is_read_in_pages_is_of_one_revision(
    etcd: Place, monkeypatch: pytest.MonkeyPatch, is_forgotten: bool
) -> None:
    """Something moves from where it would still be read to where it was read already."""
    monkeypatch.setattr(etcd_filling, "_PAGE_COUNT", 2)
    store, other = reopened(access := etcd.access()), reopened(access)
    store.transact(lambda view: [view.put(f"jobs/{n}", {}) for n in range(1, 6)], who="a")
    pages, call = [0], store._cluster.gateway.call

    def moves(path: str, body: Any, deadline: float) -> Any:
        pages[0] += "limit" in body
        if "limit" in body and pages[0] == 2:
            other.transact(lambda view: (view.delete("jobs/5"), view.put("jobs/0", {})), who="a")
            if is_forgotten:
                compact(access, other.transact(lambda view: view.put("jobs/9", {}), who="a").revision)
        return call(path, body, deadline)

    monkeypatch.setattr(store._cluster.gateway, "call", moves)

    found = store.everything()

    assert sorted(found.records) == [f"jobs/{n}" for n in ((0, 1, 2, 3, 4, 9) if is_forgotten else range(1, 6))]
    assert (found.revision == other.read("wide").revision) is is_forgotten


def test_what_is_read_back_is_read_again_where_etcd_forgets_it(
    etcd: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(etcd_filling, "_PAGE_COUNT", 2)
    store, other = reopened(etcd.access()), reopened(etcd.access())
    call, left = store._cluster.gateway.call, [2]

    def forgets(path: str, body: Any, deadline: float) -> Any:
        left[0] -= "limit" in body
        if left[0] == 0 and "limit" in body:
            newest = [token(other, "locks/a") for _ in range(2)][-1]
            compact(store.access, newest)
        return call(path, body, deadline)

    filling = store.filling()
    monkeypatch.setattr(store._cluster.gateway, "call", forgets)

    assert len(copied(filled(tmp_path / "one", 5), filling).records) == 8
    assert left[0] < 0


@pytest.mark.parametrize("steps", range(5))
def test_copy_into_etcd_that_was_killed_is_no_store_and_the_next_one_ends_it(
    etcd: Place, tmp_path: Path, steps: int
) -> None:
    files = filled(tmp_path / "one", 150)
    before = files.everything()
    access = etcd.access()
    with pytest.raises(Killed):
        copied(files, Dying(reopened(access).filling(), steps))

    if steps:
        for use in (lambda store: store.read("locks/a"), lambda store: token(store, "locks/a")):
            with pytest.raises(ProtocolError, match="not finished"):
                use(reopened(access))
        with pytest.raises(ProtocolError, match="not finished"):
            copied(reopened(access), Files(tmp_path / "two").filling())
    assert differences(files.everything().records, before.records) == []
    assert files.everything().revision == before.revision
    files.store.transact(lambda view: view.delete("jobs/0000"), who="a")

    copied(files, reopened(access).filling())
    assert differences(reopened(access).everything().records, files.everything().records) == []


@pytest.mark.parametrize("steps", range(5))
def test_copy_into_files_that_was_killed_is_no_store_and_the_next_one_ends_it(tmp_path: Path, steps: int) -> None:
    files = filled(tmp_path / "one", 150)
    back = Files(tmp_path / "two")
    with pytest.raises(Killed):
        copied(files, dying := Dying(back.filling(), steps))
    if steps:
        dying._inner.close()  # as the system does for who is killed
        with pytest.raises(UnsupportedVersion, match="not finished"):
            token(back.store, "locks/a")
    files.store.transact(lambda view: view.delete("jobs/0000"), who="a")

    copied(files, back.filling())
    assert differences(back.everything().records, files.everything().records) == []


def test_killed_while_it_takes_its_place_loses_nothing_that_lay_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = filled(tmp_path / "one", 2)
    rename = os.rename
    for count in range(3):
        back = Files(tmp_path / f"to{count}")
        place = back.root / "data" / ".agent_locks"
        (place / "kept").mkdir(parents=True)
        (place / "kept" / "1").write_text("bytes")
        (place / "FORMAT").write_text('{"format":0,"store_id":"elsewhere","store":"etcd://h/p"}\n')
        left = [count]

        def dies(one: str, other: str, *, left: list[int] = left, **options: Any) -> None:
            if ".agent_locks" in str(one) and not options:
                if left[0] == 0:
                    raise Killed
                left[0] -= 1
            rename(one, other, **options)

        destination = back.filling()
        with monkeypatch.context() as patched, pytest.raises(Killed):
            patched.setattr(os, "rename", dies)
            copied(files, destination)
        try:
            copied(files, back.filling())
        except UsageError:
            assert count == 2  # it was in its place already
        assert (place / "kept" / "1").read_text() == "bytes"
        assert differences(back.everything().records, files.everything().records) == []
        assert not (place.parent / ".agent_locks.before").exists()


def test_what_is_a_store_or_somebody_elses_is_refused(etcd: Place, tmp_path: Path) -> None:
    files, other = filled(tmp_path / "one", 1), filled(tmp_path / "two", 1)
    store = reopened(etcd.access())
    token(store, "locks/a")

    for destination in (store.filling(), other.filling()):
        with pytest.raises(UsageError, match="already"):
            copied(files, destination)
    assert len(other.everything().records) == 4
    theirs = reopened(etcd.access())
    put_by_hand(theirs.access, "theirs")
    with pytest.raises(ProtocolError, match="somebody else's"):
        copied(files, theirs.filling())
    with pytest.raises(UsageError, match="nothing in"):
        copied(Files(tmp_path / "empty"), store.filling())


@pytest.mark.parametrize("text", ['{"format":2,"store_id":"x"}', '{"format":2,"copying":true}', "{"])
def test_format_of_another_version_is_refused_as_that(etcd: Place, tmp_path: Path, text: str) -> None:
    store = reopened(etcd.access())
    put_by_hand(store.access, "format", text)

    with pytest.raises(UnsupportedVersion):
        copied(filled(tmp_path / "one", 1), store.filling())


def test_format_that_is_overwritten_meanwhile_stops_the_copy(etcd: Place, tmp_path: Path) -> None:
    store = reopened(etcd.access())
    destination = Meanwhile(store.filling(), lambda: put_by_hand(store.access, "format"))

    with pytest.raises(StoreBusy, match="somebody else copies"):
        copied(filled(tmp_path / "one", 1), destination)


def test_record_that_is_too_long_there_is_refused_by_name(etcd: Place, tmp_path: Path) -> None:
    files = filled(tmp_path / "one", 1)
    store = EtcdStore(etcd.access(), clock=CLOCK, settings=Settings(value_bytes_max=1024))
    files.store.transact(lambda view: view.put("jobs/long", {"text": "x" * 1024}), who="a")

    with pytest.raises(UsageError, match="jobs/long is longer"):
        copied(files, store.filling())


@pytest.mark.parametrize("is_place_there", [True, False])
def test_store_that_somebody_has_put_by_beside_the_place_is_not_touched(tmp_path: Path, is_place_there: bool) -> None:
    """By chance under the name that a copy uses for a moment."""
    files, old = filled(tmp_path / "one", 1), filled(tmp_path / "two", 2)
    place = old.root / "data" / ".agent_locks"
    put_by = place.with_name(".agent_locks.before")
    place.rename(put_by)
    if is_place_there:
        place.mkdir()
        (place / "FORMAT").write_text('{"format":0,"store_id":"elsewhere","store":"etcd://h/p"}\n')

    with pytest.raises(UsageError, match="in the way"):
        copied(files, old.filling())

    assert place.exists() is is_place_there
    assert len(list((put_by / "jobs").iterdir())) == 2
    put_by.rename(tmp_path / "put_by")
    copied(files, old.filling())


def test_source_that_moves_is_not_copied(etcd: Place, tmp_path: Path) -> None:
    files = filled(tmp_path / "one", 1)
    access = etcd.access()

    class Moving:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

        def put(self, part: Any) -> None:
            self.inner.put(part)
            token(files.store, "locks/new")

    with pytest.raises(StoreBusy, match="somebody committed"):
        copied(files, Moving(reopened(access).filling()))
    with pytest.raises(ProtocolError, match="not finished"):
        reopened(access).read("locks/new")
    copied(files, reopened(access).filling())
    assert reopened(access).read("locks/new").get("locks/new") is not None


def test_nobody_is_present_in_what_is_copied(etcd: Place, tmp_path: Path) -> None:
    store = reopened(etcd.access())
    token(store, "locks/a")
    store.present()

    with pytest.raises(StoreBusy, match="1 processes"):
        copied(reopened(store.access), Files(tmp_path / "two").filling())
    assert not (tmp_path / "two" / "data").exists()

    store.close()
    comer = reopened(store.access)
    with pytest.raises(StoreBusy, match="1 processes"):
        copied(reopened(store.access), Meanwhile(Files(tmp_path / "three").filling(), comer.present))
    comer.close()
    copied(reopened(store.access), Files(tmp_path / "two").filling())


def test_of_two_copies_into_one_place_the_later_goes_on_alone(etcd: Place, tmp_path: Path) -> None:
    access = etcd.access()
    one, other = reopened(access).filling(), reopened(access).filling()
    one.begin(5, "one")
    one.put([("locks/a", {"of": 1})])
    other.begin(7, "other")
    for step in (lambda: one.put([("locks/b", {"of": 1})]), one.finish):
        with pytest.raises(StoreBusy, match="somebody else copies"):
            step()
    other.finish()
    other.finish()  # as when the answer was lost
    assert reopened(access).everything().records == {}

    first, second = Files(tmp_path / "two").filling(), Files(tmp_path / "two").filling()
    first.begin(5, "one")
    with pytest.raises(StoreBusy, match="somebody else copies"):
        second.begin(5, "other")
    first.finish()


def test_request_that_was_answered_by_nobody_is_sent_again(
    etcd: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every one of them; the first was done each time."""
    files = filled(tmp_path / "one")
    store = reopened(etcd.access())
    call = store._cluster.gateway.call
    monkeypatch.setattr(store._cluster.gateway, "call", lambda *asked: (call(*asked), call(*asked))[1])

    copied(files, store.filling())

    assert differences(reopened(store.access).everything().records, files.everything().records) == []


def test_store_that_somebody_begins_meanwhile_is_not_copied_over(
    etcd: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = etcd.access()
    filling = reopened(access).filling()
    there = filling._there
    monkeypatch.setattr(filling, "_there", lambda: (there(), token(reopened(access), "locks/a"))[0])

    with pytest.raises(StoreBusy):
        copied(filled(tmp_path / "one", 1), filling)

    assert list(reopened(access).everything().records) == ["locks/a"]


def test_history_begins_with_the_copy(etcd: Place, tmp_path: Path) -> None:
    files = filled(tmp_path / "one", 1)
    token(files.store, "locks/a")
    access = etcd.access()
    early = reopened(access)
    empty = early.watch("", after=early.read("locks/a").revision)
    assert empty.poll() == []

    copied(files, reopened(access).filling())

    with pytest.raises(Compacted):
        empty.poll()
    store = reopened(access)
    begun = store.read("locks/a").revision
    assert begun > files.everything().revision
    old = store.watch("", after=files.everything().revision)
    with pytest.raises(Compacted) as refused:
        old.poll()
    assert refused.value.fields["oldest"] == begun
    watch, beginning = store.watch("", after=begun), store.watch("", after=0)
    assert watch.poll() == beginning.poll() == []
    newest = token(store, "locks/b")
    for each in (watch, beginning):
        assert [(change.revision, change.key, change.value["token"]) for change in each.poll()] == [
            (newest, "locks/b", newest)
        ]
    assert store.read("locks/", at=0).revision == begun
    assert len(store.read("locks/", at=begun).scan("locks/")) == 2
    assert len(store.read("locks/", at=newest).scan("locks/")) == 3
    with pytest.raises(Compacted):
        store.read("locks/", at=files.everything().revision)
    for each in (empty, old, watch, beginning):
        each.close()


def test_whoever_came_when_it_was_empty_tells_the_same_tokens(etcd: Place, tmp_path: Path) -> None:
    files = filled(tmp_path / "one", 1)
    access = etcd.access()
    early = reopened(access)
    assert early.read("locks/a").revision == 0

    copied(files, reopened(access).filling())

    newest = token(reopened(access), "locks/a")
    assert early.read("locks/a").get("locks/a") == {"token": newest, "before": None}
    assert token(early, "locks/a") > newest


def test_parts_are_few_and_small() -> None:
    records = {f"jobs/{n:04}": {"n": n} for n in range(250)}
    assert [len(part) for part in parts(records, size)] == [100, 100, 50]
    assert [len(part) for part in parts(records, lambda _: 400_000)] == [1] * 250
    assert [pair for part in parts(records, size) for pair in part] == sorted(records.items())
    assert list(parts({}, size)) == []
    assert [len(part) for part in parts(records, lambda _: 200_000)] == [2] * 125
    assert [len(part) for part in parts({f"{n:08000}": {} for n in range(63)}, lambda _: 0)] == [62, 1]


def test_what_differs_is_told_whichever_has_it() -> None:
    assert differences({"a": {"n": 1}, "b": {}}, {"b": {}}) == ["a"]
    assert differences({"b": {}}, {"a": {"n": 1}, "b": {}}) == ["a"]
    assert differences({"a": {"n": 1}, "b": {}}, {"a": {"n": 2}, "b": {}}) == ["a"]


def test_damaged_record_is_not_copied(etcd: Place, tmp_path: Path) -> None:
    files = filled(tmp_path / "one", 1)
    (tmp_path / "one" / "data" / ".agent_locks" / "jobs" / "0000.json").write_text("{")
    with pytest.raises(CoordinationError, match="cannot be read"):
        copied(files, reopened(etcd.access()).filling())

    store = reopened(etcd.access())
    token(store, "locks/a")
    put_by_hand(store.access, "records/locks/a")
    with pytest.raises(MalformedRecord):
        copied(store, Files(tmp_path / "two").filling())
    assert not (tmp_path / "two" / "data").exists()


class Meanwhile:
    """A destination beside which something happens, or which does not keep what it is given."""

    def __init__(self, inner: Any, happens: Any = None, loses: str = "") -> None:
        self._inner = inner
        self._happens = happens
        self._loses = loses

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def put(self, part: Any) -> None:
        if self._happens is not None:
            self._happens()
        self._inner.put([(key, value) for key, value in part if key != self._loses])


def test_lock_that_was_taken_and_released_meanwhile_has_moved_the_source(etcd: Place, tmp_path: Path) -> None:
    files = filled(tmp_path / "one", 1)

    def take_and_release() -> None:
        token(files.store, "locks/a")
        files.store.transact(lambda view: view.delete("locks/a"), who="a")

    with pytest.raises(StoreBusy, match="somebody committed"):
        copied(files, Meanwhile(reopened(etcd.access()).filling(), take_and_release))


def test_copy_that_is_not_the_same_is_no_store(etcd: Place, tmp_path: Path) -> None:
    files, access = filled(tmp_path / "one", 1), etcd.access()

    with pytest.raises(StoreError, match="read back is not what was copied: jobs/0000"):
        copied(files, Meanwhile(reopened(access).filling(), loses="jobs/0000"))
    with pytest.raises(ProtocolError, match="not finished"):
        reopened(access).read("jobs/0000")


def test_whoever_came_when_it_was_empty_sees_no_half_of_it(etcd: Place) -> None:
    access = etcd.access()
    early = reopened(access)
    assert early.read("jobs/").scan("jobs/") == []
    filling = reopened(access).filling()
    filling.begin(5, "here")
    filling.put([("jobs/1", {"n": 1})])

    for use in (lambda: early.read("jobs/"), lambda: token(early, "locks/a")):
        with pytest.raises(ProtocolError, match="not finished"):
            use()
    filling.finish()
    assert len(early.read("jobs/").scan("jobs/")) == 1
