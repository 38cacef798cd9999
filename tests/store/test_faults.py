"""Every system call of the store may fail, be cut short, or be the last: a commit is all or nothing nevertheless."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from latchboard.errors import CoordinationError, StoreError
from latchboard.settings import Settings
from latchboard.store.files.folder import Folder
from tests.conftest import SOAK
from tests.store.faults import ERRNOS, Faults, Killed, installed
from tests.store.scenes import TINY, Scene, State, close_leftovers, open_files, quietly, replay

BEFORE: State = {"locks/a": {"n": 1}, "locks/b": {"n": 1}, "agents/x": {"n": 1}, "messages/x/1": {"n": 1}}
PUTS: State = {"locks/a": {"n": 2}, "locks/new": {"n": 2}, "agents/y": {"n": 2}, "messages/y/1": {"n": 2}, "log/z": {}}
DELETES = ("locks/b", "messages/x/1", "agents/never")
LONGEST = 120
"""More system calls than any commit makes."""


def _new(scene: Scene) -> None:
    """The first commit ever."""


def _running(scene: Scene) -> None:
    scene.commit(BEFORE)


def _opened(scene: Scene) -> None:
    scene.commit(BEFORE)
    scene.reopen()


def _full(scene: Scene) -> None:
    """The journal is to be rotated, and the oldest one to be thrown away."""
    scene.commit(BEFORE)
    while len(scene.journals()) < 3:
        scene.commit({"log/fill": {"text": "x" * 400}})
    while scene.header().applied <= TINY.journal_bytes_max:
        scene.commit({"log/fill": {"text": "x" * 400}})


def _rebooted(scene: Scene) -> None:
    scene.commit(BEFORE)
    scene.reopen()
    scene.clock.reboot()


def _left_unfinished(scene: Scene) -> None:
    """The last commit was appended, and its writer killed."""
    scene.commit({key: {"n": 0} for key in BEFORE})
    header = scene.guard.read_bytes()
    scene.commit(BEFORE)
    scene.guard.write_bytes(header)
    scene.record("locks/a").write_bytes(b"")
    scene.record("agents/x").unlink()
    scene.reopen()


SETUPS = (_new, _running, _opened, _full, _rebooted, _left_unfinished)


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    monkeypatch.setattr(Folder, "self_test", lambda folder: None)  # it forks; it has tests of its own
    with installed(monkeypatch) as found:
        yield found


@pytest.fixture(params=SETUPS, ids=lambda setup: setup.__name__.strip("_"))
def make(request: pytest.FixtureRequest, memory_path: Path, faults: Faults) -> Callable[[], Scene]:
    """Makes a scene of one kind, each in a folder of its own."""
    count = iter(range(100_000))

    def new() -> Scene:
        faults.reset()
        scene = Scene(memory_path / str(next(count)), TINY)
        request.param(scene)
        return scene

    return new


def _commit(scene: Scene) -> int:
    return scene.commit(PUTS, *DELETES, durable=True)


def _calls_of(make: Callable[[], Scene], faults: Faults) -> list[str]:
    scene = make()
    faults.reset()
    _commit(scene)
    made = faults.made
    faults.reset()
    scene.store.close()
    assert len(made) < LONGEST
    return made


def _done(before: State) -> State:
    """What the commit makes of a state."""
    puts = {key: value for key, value in PUTS.items() if not key.startswith("log/")}
    return {key: value for key, value in {**before, **puts}.items() if key not in DELETES}


def _allowed(before: State, error: BaseException | None) -> list[State]:
    """The states that an error, by what it says, may leave behind."""
    if error is None or "committed" in str(error):
        return [_done(before)]
    return [before, _done(before)] if "unknown" in str(error) else [before]


def _check(scene: Scene, allowed: list[State], newest: int) -> State:
    """The state is one of those allowed, the history says the same, and the next commit works and is newer."""
    state = scene.state()
    assert state in allowed
    revision = scene.commit({"wide": {"names": []}})
    assert revision > newest
    assert scene.state() == {**state, "wide": {"names": []}}
    history = scene.history()
    assert [r for r, _, _ in history] == sorted(r for r, _, _ in history)
    told = replay(history)  # its beginning may have been rotated away
    assert {key: value for key, value in scene.state().items() if key in told} == told
    return state


MAIN = (errno.ENOSPC, errno.EIO, errno.EMFILE, errno.EACCES)
"""One of each kind: full, broken, used up, forbidden. A quota is like a full disk, a read-only one like a forbidden."""
LASTING = [(number, False) for number in (ERRNOS if SOAK else MAIN)] + [(errno.ENOSPC, True)]
LASTING += [(errno.EIO, True)] if SOAK else []


@pytest.mark.parametrize(
    ("number", "lasts"), LASTING, ids=[f"{errno.errorcode[n]}-{'from-then-on' if on else 'once'}" for n, on in LASTING]
)
def test_failing_call_leaves_all_or_nothing__failure_3_15(
    make: Callable[[], Scene], faults: Faults, number: int, lasts: bool
) -> None:
    calls = _calls_of(make, faults)
    descriptors = open_files()

    for at in range(len(calls)):
        scene = make()
        before = scene.state()
        newest = scene.store.read("wide").revision
        faults.fail(at, number, until=LONGEST * 10 if lasts else None)

        error = quietly(partial(_commit, scene), CoordinationError, OSError)

        faults.reset()
        where = f"{calls[at]} (call {at}) failed with {errno.errorcode[number]}"
        assert error is None or isinstance(error, StoreError), f"{where}: {error!r}"
        allowed = _allowed(before, error)
        assert scene.state() in allowed, f"{where}: {error}"
        _check(scene, allowed, newest)
        scene.store.close()
        assert open_files() <= descriptors, where


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_kill_at_any_call_leaves_all_or_nothing__failure_3_14(
    make: Callable[[], Scene], faults: Faults, after: bool
) -> None:
    calls = _calls_of(make, faults)
    seen: list[bool] = []

    for at in range(len(calls)):
        scene = make()
        before = scene.state()
        newest = scene.store.read("wide").revision
        faults.kill(at, after=after)

        with pytest.raises(Killed):
            _commit(scene)

        faults.reset()
        survivor = Scene(scene.root, TINY, scene.clock)
        scene.store.close()  # as the kernel does for a dead process
        state = _check(survivor, [before, _done(before)], newest)
        seen.append(state == _done(before))
        survivor.store.close()
        close_leftovers(scene.root)

    assert seen == sorted(seen), "once committed, always committed"
    assert not seen[0]
    assert seen[-1]


def test_short_writes_are_carried_on(make: Callable[[], Scene], faults: Faults) -> None:
    calls = _calls_of(make, faults)

    for at in [index for index, name in enumerate(calls) if name == "write"]:
        scene = make()
        faults.shorten(at)

        _commit(scene)

        faults.reset()
        assert scene.state().items() >= {"locks/a": {"n": 2}, "locks/new": {"n": 2}}.items()
        scene.store.close()


def test_short_write_and_then_a_full_disk_leaves_nothing__failure_3_14(
    make: Callable[[], Scene], faults: Faults
) -> None:
    calls = _calls_of(make, faults)

    for at in [index for index, name in enumerate(calls) if name == "write"]:
        scene = make()
        before = scene.state()
        newest = scene.store.read("wide").revision
        faults.fail(at + 1, errno.ENOSPC)
        faults._short = at

        error = quietly(partial(_commit, scene), StoreError)

        faults.reset()
        if error is None:  # it was what a journal begins with, which nobody needs in order to commit
            assert not scene.beginning().exists()
        _check(scene, _allowed(before, error), newest)
        scene.store.close()


@pytest.mark.parametrize("number", ERRNOS, ids=lambda number: errno.errorcode[number])
def test_reading_fails_with_a_typed_error_or_not_at_all(memory_path: Path, faults: Faults, number: int) -> None:
    scene = Scene(memory_path)
    first = scene.commit(BEFORE)
    scene.commit({"agents/later": {}})
    readings: list[Callable[[], object]] = [
        lambda: scene.open().read("locks/a").get("locks/a"),
        lambda: scene.open().read("locks/", "agents/").scan("locks/"),
        lambda: scene.open().read("locks/", "agents/", at=first).scan("locks/"),
        scene.history,
    ]

    for reading in readings:
        faults.reset()
        expected = reading()
        for at in range(len(faults.made)):
            faults.fail(at, number)
            try:
                assert reading() == expected, at
            except StoreError:
                continue
    faults.reset()


def test_failed_commit_is_not_remembered_as_done(memory_path: Path, faults: Faults) -> None:
    scene = Scene(memory_path, Settings())
    scene.commit({"locks/a": {"n": 1}}, "locks/b")
    faults.reset()
    scene.commit({"locks/c": {}})
    creating = faults.made.index("open")
    faults.fail(creating, errno.EMFILE)

    with pytest.raises(StoreError):
        scene.commit({"locks/b": {"n": 2}})

    faults.reset()
    assert scene.store.transact(lambda view: view.get("locks/b"), who="a").value is None
    scene.commit({"locks/b": {"n": 3}})
    assert scene.state()["locks/b"] == {"n": 3}


def test_error_says_what_failed_and_why(memory_path: Path, faults: Faults) -> None:
    scene = Scene(memory_path)
    scene.commit(BEFORE)
    faults.reset()
    scene.commit({"locks/c": {}})
    faults.fail(faults.made.index("write"), errno.ENOSPC)

    with pytest.raises(StoreError) as caught:
        scene.commit({"locks/d": {}})

    assert caught.value.code == "store-full"
    assert str(scene.path) in caught.value.message
    assert os.strerror(errno.ENOSPC) in caught.value.message
    assert caught.value.retryable
