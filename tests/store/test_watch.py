"""Watches of the file store: places in the journals, notifications and their absence, forks, what is left behind."""

from __future__ import annotations

import errno
import gc
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from latchboard.clock import SystemClock
from latchboard.errors import Compacted, ProtocolError, StoreError, TooManyFiles
from latchboard.settings import Settings
from latchboard.store.files import layout, notify
from latchboard.store.files.watch import FileWatch
from latchboard.store.wakeup import Wakeup
from tests.store.children import Child
from tests.store.scenes import Scene, everything, open_files

WITHIN_S = 60.0


_earlier: set[threading.Thread] = set()


@pytest.fixture(autouse=True)
def _threads_of_others() -> None:
    gc.collect()  # a watch that a test before has forgotten would be observed still
    _earlier.clear()
    _earlier.update(threading.enumerate())


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path / "project", Settings(journal_bytes_max=1500, journals_kept_count=5))
    yield scene
    scene.store.close()


def _until_something(watch: FileWatch) -> list[object]:
    """The values that a watch sees next, woken by notifications alone."""
    while not (changes := watch.poll()):
        assert SystemClock().wait([watch], WITHIN_S), "nobody told it"
    return [(change.value or {}).get("n") for change in changes]


# -- places -----------------------------------------------------------------------------------------------------------


def test_watch_goes_on_from_any_place_over_rotations(scene: Scene) -> None:
    revisions = [scene.commit({"agents/a": {"n": n}}) for n in range(90)]
    kept = scene.history()
    first = 90 - len(kept)
    assert len(scene.journals()) > 2

    for number in range(first, 90):
        assert scene.history(after=revisions[number]) == kept[number - first + 1 :]
    assert len(scene.history(after=revisions[first - 1])) == len(kept)  # the one before the oldest: nothing is missing
    for number in range(first - 1):
        with pytest.raises(Compacted) as caught:
            scene.history(after=revisions[number])
        assert caught.value.fields["after"] == revisions[number]
        assert caught.value.fields["oldest"] == int(scene.journals()[0].stem)


def test_watch_from_the_middle_of_a_line_is_refused(scene: Scene) -> None:
    revision = [scene.commit({"agents/a": {"n": n}}) for n in range(3)][1]

    for after in (revision - 1, revision + 1, revision + 10, scene.header().base, scene.header().base + 1):
        with pytest.raises(Compacted):
            scene.history(after=after)


def test_watch_that_is_open_reads_journals_that_were_thrown_away(scene: Scene) -> None:
    watch = scene.store.watch("", after=0)
    scene.commit({"agents/a": {"n": 0}})
    assert _until_something(watch) == [0]
    scene.commit({"agents/a": {"n": 1}})
    oldest = scene.journal()
    while scene.journal() == oldest:
        scene.commit({"agents/a": {"n": 2}})
    oldest.unlink()

    assert _until_something(watch)[0] == 1
    watch.close()


def test_missing_journal_in_between_is_a_gap(scene: Scene) -> None:
    watch = scene.store.watch("", after=0)
    scene.commit({"agents/a": {"n": 0}})
    watch.poll()
    for n in range(25):
        scene.commit({"agents/a": {"n": n}})
    scene.journals()[1].unlink()

    assert watch.poll()  # the rest of the first one
    assert SystemClock().wait([watch], 0)  # nobody shall wait before hearing the rest
    with pytest.raises(Compacted):
        watch.poll()
    watch.close()


def test_damaged_line_is_a_gap_and_what_was_before_it_is_told(scene: Scene) -> None:
    scene.settings = Settings()
    store = scene.reopen()
    revisions = [scene.commit({"agents/a": {"n": n}}) for n in range(4)]
    path, at = scene.journal(), revisions[2] - scene.header().base + 30
    data = path.read_bytes()
    path.write_bytes(data[:at] + b"#" + data[at + 1 :])
    watch = store.watch("", after=0)

    assert [change.value for change in watch.poll()] == [{"n": 0}, {"n": 1}]
    with pytest.raises(Compacted):
        watch.poll()
    scene.commit({"agents/a": {"n": 4}})
    assert [value for _, _, value in scene.history(after=revisions[3])] == [{"n": 4}]
    watch.close()


def test_journal_begun_by_a_killed_writer_is_passed_over(scene: Scene) -> None:
    watch = scene.store.watch("", after=0)
    scene.commit({"agents/a": {"n": 0}})
    header = scene.guard.read_bytes()
    before = scene.journals()
    while scene.journals() == before:
        scene.commit({"agents/a": {"n": 1}})
    [begun] = set(scene.journals()) - set(before)
    begun.write_bytes(begun.read_bytes().split(b"\n")[0] + b"\n")
    revisions = [revision for revision, _, _ in scene.history()]
    scene.store.close()
    # As if the writer had died between the journal and the header: everything before it is in the old journal.
    old = scene.path / layout.journal(int(before[0].stem))
    whole = old.read_bytes()
    fields = header.split()
    last = revisions[-1]
    scene.guard.write_bytes(b"%20d %20d %20d %-36s\n" % (int(fields[0]), len(whole), last, fields[3]))

    scene.commit({"agents/a": {"n": 2}})

    seen = _until_something(watch)
    assert seen[0] == 0
    assert seen[-1] == 2
    watch.close()


def test_watch_of_another_format_says_so(scene: Scene) -> None:
    scene.commit({"agents/a": {"n": 0}})
    (scene.path / "FORMAT").write_text('{"format":9,"store_id":"x"}')

    with pytest.raises(ProtocolError):
        scene.history()


def test_watch_keeps_its_place_over_a_failure(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.commit({"agents/a": {"n": 0}})
    watch = scene.store.watch("", after=0)

    class Failing:
        def __getattr__(self, name: str) -> object:
            return getattr(os, name)

        def pread(self, *_: object) -> bytes:
            raise OSError(errno.EIO, "broken")

    with monkeypatch.context() as patch:
        patch.setattr("latchboard.store.files.watch.os", Failing())
        with pytest.raises(StoreError):
            watch.poll()

    assert _until_something(watch) == [0]
    watch.close()


# -- a long way to go -------------------------------------------------------------------------------------------------


@pytest.fixture
def roomy(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path / "roomy", Settings(journal_bytes_max=400_000, journals_kept_count=50))
    yield scene
    scene.store.close()


def test_long_way_is_given_out_in_batches_and_nobody_waits_between_them(roomy: Scene) -> None:
    for n in range(400):
        roomy.commit({f"log/{n}-{m}": {"n": n} for m in range(10)})
    watch = roomy.store.watch("log/", after=0)
    batches = []

    while changes := watch.poll():
        batches.append(changes)
        assert len(batches) == 1 or len(batches[-2]) >= 1000  # only the last one is small
    seen = [change for batch in batches for change in batch]

    assert [(change.value or {})["n"] for change in seen] == [n for n in range(400) for _ in range(10)]
    assert len(batches) > 1
    assert {change.revision for change in batches[0]}.isdisjoint(change.revision for change in batches[1])
    watch.close()


def test_watch_is_readable_while_there_is_more_and_not_behind_it(roomy: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("latchboard.store.files.watch._CHUNK_BYTES", 400)
    monkeypatch.setattr("latchboard.store.files.watch._BATCH_COUNT", 2)
    revisions = [roomy.commit({"agents/a": {"n": n, "text": "x" * 100}}) for n in range(9)]
    watch = roomy.store.watch("agents/", after=0)

    seen = []
    while changes := watch.poll():
        assert len(changes) <= 4
        seen += [change.revision for change in changes]
        assert SystemClock().wait([watch], 0) or len(seen) == 9

    assert seen == revisions
    assert not SystemClock().wait([watch], 0)
    watch.close()


def test_line_longer_than_what_is_read_at_once_is_given_out_whole(
    roomy: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("latchboard.store.files.watch._CHUNK_BYTES", 16)
    long = roomy.commit({f"agents/a{n}": {"text": "x" * 1000} for n in range(20)})
    short = roomy.commit({"agents/b": {}})

    watch = roomy.store.watch("agents/", after=0)

    assert [change.revision for change in everything(watch)] == [long] * 20 + [short]
    watch.close()


def test_what_nobody_asked_for_is_passed_over_in_one_poll(roomy: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("latchboard.store.files.watch._CHUNK_BYTES", 400)
    for n in range(50):
        roomy.commit({"agents/a": {"n": n, "text": "x" * 100}})
    roomy.commit({"locks/x": {"n": "last"}})

    watch = roomy.store.watch("locks/", after=0)

    assert [change.value for change in watch.poll()] == [{"n": "last"}]
    watch.close()


# -- a store made anew ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("read", [0, 1, 3], ids=["none read", "the first read", "all read"])
def test_store_made_anew_is_no_continuation(scene: Scene, read: int) -> None:
    revisions = [0, *(scene.commit({"agents/a": {"n": n}}) for n in range(3))]
    watch = scene.store.watch("", after=revisions[read])
    shutil.rmtree(scene.root / "data")

    for n in range(5):  # the clock stands still: the first revision is that of the one before
        scene.commit({"agents/a": {"n": f"new {n}"}})

    for _ in range(2):
        with pytest.raises(Compacted, match="another store"):
            watch.poll()
    watch.close()
    assert len(scene.history()) == 5


def test_store_made_anew_before_the_first_look_is_read_from_its_beginning(scene: Scene) -> None:
    watch = scene.store.watch("", after=0)
    assert watch.poll() == []

    scene.commit({"agents/a": {"n": 0}})

    assert _until_something(watch) == [0]
    watch.close()


def test_store_restored_from_a_copy_is_no_continuation(scene: Scene, tmp_path: Path) -> None:
    scene.commit({"agents/a": {"n": 0}})
    watch = scene.store.watch("", after=0)
    assert _until_something(watch) == [0]
    shutil.copytree(scene.path, tmp_path / "backup")
    shutil.rmtree(scene.path)
    shutil.move(tmp_path / "backup", scene.path)

    scene.commit({"agents/a": {"n": 1}})

    with pytest.raises(Compacted, match="another store"):
        watch.poll()
    watch.close()


# -- notifications ----------------------------------------------------------------------------------------------------


def test_watch_is_told_of_the_first_commit_and_of_folders_that_come_and_go(scene: Scene) -> None:
    scene.root.rmdir()
    watch = scene.store.watch("", after=0)
    assert watch.mode == "notify"
    assert watch.poll() == []
    scene.root.mkdir()

    scene.commit({"agents/a": {"n": 0}})
    assert _until_something(watch) == [0]
    shutil.rmtree(scene.root / "data")
    assert SystemClock().wait([watch], WITHIN_S)
    with pytest.raises(Compacted):
        while not watch.poll():
            assert SystemClock().wait([watch], WITHIN_S)
    again = scene.open().watch("", after=0)
    assert again.poll() == []
    scene.commit({"agents/a": {"n": 1}})
    assert _until_something(again) == [1]
    watch.close()
    again.close()


def test_every_commit_wakes_a_watch_that_polls_and_waits_by_turns__failure_3_18(scene: Scene) -> None:
    watch = scene.store.watch("agents/", after=0)

    for n in range(100):
        scene.commit({"agents/a": {"n": n}})
        assert _until_something(watch) == [n]
    watch.close()


def test_observer_that_stopped_loses_nothing_and_is_replaced__failure_3_29(scene: Scene) -> None:
    scene.settings = Settings(journals_kept_count=50, journal_bytes_max=400_000)
    scene.reopen()
    scene.commit({"agents/a": {}})
    watch = scene.store.watch("log/", after=0)
    notify._hub.observer.stop()
    notify._hub.observer.join()

    for n in range(200):
        scene.commit({f"log/{n}-{m}": {"n": n} for m in range(100)})

    assert len(everything(watch)) == 20_000
    scene.commit({"log/last": {"n": "last"}})
    assert _until_something(watch) == ["last"]
    watch.close()
    assert _threads() == []


@pytest.mark.parametrize(
    "broken",
    [OSError(errno.EMFILE, "inotify instance limit reached"), OSError(errno.ENOSPC, "inotify watch limit reached")],
)
def test_limits_of_the_system_are_named_and_it_polls__failure_3_29(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, broken: OSError
) -> None:
    import watchdog.observers

    def refuse() -> None:
        raise broken

    monkeypatch.setattr(watchdog.observers, "Observer", refuse)
    watch = scene.store.watch("", after=0)
    watch.poll()
    scene.commit({"agents/a": {"n": 0}})

    assert watch.mode == "poll"
    assert str(broken.strerror) in watch.reason
    assert not SystemClock().wait([watch], 0)
    assert [change.value for change in watch.poll()] == [{"n": 0}]
    watch.close()
    assert _threads() == []


def test_limit_of_watches_is_met_when_the_observer_runs_already__failure_3_29(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.commit({"agents/a": {"n": 0}})
    first = scene.store.watch("", after=0)
    place = next(iter(notify._hub.places.values()))

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "inotify watch limit reached")

    monkeypatch.setattr(notify._hub.observer, "schedule", refuse)
    elsewhere = Scene(tmp_path / "elsewhere")
    elsewhere.commit({"agents/a": {"n": 1}})
    second = elsewhere.store.watch("", after=0)

    assert (first.mode, second.mode) == ("notify", "poll")
    assert second.reason
    assert notify._hub.places == {place.path: place}
    second.close()
    scene.commit({"agents/a": {"n": 2}})
    assert _until_something(first) == [0, 2]
    first.close()
    elsewhere.store.close()
    assert _threads() == []


def test_without_the_library_it_polls(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "watchdog.observers", None)

    watch = scene.store.watch("", after=0)

    assert watch.mode == "poll"
    assert "watchdog" in watch.reason
    watch.close()


def test_without_native_notification_it_polls_itself(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    import watchdog.observers
    from watchdog.observers.polling import PollingObserver

    monkeypatch.setattr(watchdog.observers, "Observer", PollingObserver)

    watch = scene.store.watch("", after=0)

    assert watch.mode == "poll"
    assert _threads() == []
    watch.close()


def test_watch_without_a_file_handle_left_says_so(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.commit({"agents/a": {}})

    class Full:
        def __getattr__(self, name: str) -> object:
            return getattr(os, name)

        def pipe(self) -> None:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr("latchboard.store.wakeup.os", Full())

    with pytest.raises(TooManyFiles):
        scene.store.watch("", after=0)


# -- what is left behind ----------------------------------------------------------------------------------------------


def _threads() -> list[str]:
    """Those that began since the test did: others of this process are nobody's here."""
    return [thread.name for thread in threading.enumerate() if thread not in _earlier]


def test_last_watch_leaves_no_thread_and_no_descriptor(scene: Scene) -> None:
    scene.commit({"agents/a": {}})
    before = open_files()
    assert _threads() == []

    watches = [scene.store.watch(prefix, after=0) for prefix in ("", "agents/", "locks/")]
    count = len(_threads())
    assert count > 0
    watches.append(scene.store.watch("", after=0))
    assert len(_threads()) == count  # one observer for all of them

    for watch in watches:
        watch.close()
    assert _threads() == []
    assert open_files() <= before


def test_forgotten_watch_is_no_burden_for_the_next(scene: Scene) -> None:
    scene.commit({"agents/a": {"n": 0}})
    before = open_files()
    scene.store.watch("", after=0)  # and forgotten at once

    watch = scene.store.watch("", after=0)
    assert _until_something(watch) == [0]
    watch.close()

    assert _threads() == []
    assert open_files() <= before


def test_ringing_after_the_end_is_harmless() -> None:
    wakeup = Wakeup()
    fd = wakeup.fileno()
    wakeup.close()
    wakeup.close()

    wakeup.ring()
    wakeup.clear()

    assert wakeup.fileno() == -1
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_many_rings_are_one(scene: Scene) -> None:
    wakeup = Wakeup()
    for _ in range(100_000):
        wakeup.ring()
    assert SystemClock().wait([wakeup], 0)

    wakeup.clear()

    assert not SystemClock().wait([wakeup], 0)
    wakeup.close()


# -- forks ------------------------------------------------------------------------------------------------------------


@pytest.mark.process
def test_forked_child_has_an_observer_of_its_own__failure_3_8(
    scene: Scene, start: Callable[[Callable[[Child], object]], Child]
) -> None:
    scene.commit({"agents/a": {"n": 0}})
    watch = scene.store.watch("agents/", after=0)
    assert _until_something(watch) == [0]

    def run(child: Child) -> object:
        child.tell(_threads())
        assert watch.poll() == []  # takes part in nothing of its parent's
        child.tell("ready")
        seen = _until_something(watch)
        watch.close()
        return [seen, _threads()]

    child = start(run)
    assert child.hear() == []
    assert child.hear() == "ready"
    scene.commit({"agents/a": {"n": 1}})

    assert child.hear() == [[1], []]
    assert _until_something(watch) == [1]
    scene.commit({"agents/a": {"n": 2}})
    assert _until_something(watch) == [2]
    watch.close()


@pytest.mark.process
def test_commit_of_another_process_is_seen_soon(
    scene: Scene, start: Callable[[Callable[[Child], object]], Child]
) -> None:
    watch = scene.store.watch("agents/", after=0)

    def run(child: Child) -> None:
        for n in range(200):
            child.hear()
            scene.commit({"agents/a": {"n": n}})

    child = start(run)
    for n in range(200):
        child.tell("go")
        assert _until_something(watch) == [n]
    watch.close()
