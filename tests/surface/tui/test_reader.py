"""The thread that follows the store: what it hears, and what it says when the store goes, lies or cannot be read."""

from __future__ import annotations

import queue
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from latchboard.surface.cli import telling
from latchboard.surface.tui import reader as reading
from latchboard.surface.tui.reader import News, Reader
from tests.surface.tui.harness import WAIT_S_MAX, Scene


class Followed:
    """A reader and what it gives."""

    def __init__(self, scene: Scene) -> None:
        self.given: queue.Queue[News] = queue.Queue()
        self.reader = Reader(scene.seen, self.given.put, telling.brief)

    def until(self, is_so: Callable[[News], object]) -> News:
        """The first news of which something is so."""
        deadline = time.monotonic() + WAIT_S_MAX
        while True:
            news = self.given.get(timeout=max(0.01, deadline - time.monotonic()))
            if is_so(news):
                return news


@pytest.fixture
def followed(scene: Scene) -> Iterator[Followed]:
    made = Followed(scene)
    yield made
    made.reader.stop()


def store(scene: Scene) -> Path:
    return scene.project / "data" / ".agent_locks"


def test_an_empty_project_is_a_picture_of_nothing_and_makes_nothing(scene: Scene, followed: Followed) -> None:
    followed.reader.start()

    news = followed.until(lambda news: True)

    assert (news.picture.revision, news.picture.locks, news.events, news.threads, news.trouble, news.note) == (
        *(0, [], (), []),
        *("", ""),
    )
    assert list(scene.project.iterdir()) == []


def test_it_begins_with_what_there_is_and_hears_of_what_comes(scene: Scene, followed: Followed) -> None:
    scene.busy()
    followed.reader.start()
    first = followed.until(lambda news: True)

    scene.hold("tester", "tests/t.py", reason="a test")
    scene.board.mailbox.send("planner", "builder", "yes", subject="parser")
    then = followed.until(lambda news: len(news.threads) == 3 and len(news.picture.locks) == 4)

    assert {hold["name"] for hold in first.picture.locks} == {"src/core/a.py", "src/core/b.py", "docs/x.md"}
    assert "builder asks planner for src/core/a.py: mine next" in [said for _, said in first.events]
    assert [said for _, said in then.events[:2]] == [
        "planner to builder: parser: yes",
        "tester acquired tests/t.py: a test",
    ]
    revisions = [event["revision"] for event, _ in then.events]
    assert revisions == sorted(revisions, reverse=True)
    assert [said for _, said in then.events[2:]] == [said for _, said in first.events]


def test_a_store_that_is_removed_and_made_again_is_told(scene: Scene, followed: Followed) -> None:
    scene.busy()
    followed.reader.start()
    followed.until(lambda news: news.picture.revision)

    store(scene).rename(scene.project / "elsewhere")
    gone = followed.until(lambda news: not news.picture.revision)
    (scene.project / "elsewhere").rename(store(scene))
    back = followed.until(lambda news: news.picture.revision)

    assert gone.note == "The store was removed: nothing is known about who holds what."
    assert (gone.trouble, gone.events) == ("", ())
    assert (back.note, len(back.picture.locks)) == ("", 3)
    assert back.events


def test_a_store_that_is_replaced_by_an_older_one_is_told(scene: Scene, followed: Followed) -> None:
    scene.board.board.update("planner", "here first")
    shutil.copytree(store(scene), scene.project / "older")
    scene.busy()
    followed.reader.start()
    followed.until(lambda news: len(news.picture.locks) == 3)

    store(scene).rename(scene.project / "newer")
    (scene.project / "older").rename(store(scene))
    news = followed.until(lambda news: news.picture.revision and not news.picture.locks)

    assert news.note == "The store was replaced by another one; this is what is in it."


def test_a_store_that_cannot_be_read_leaves_the_picture_and_says_why_until_it_can(
    scene: Scene, followed: Followed
) -> None:
    scene.busy()
    followed.reader.start()
    followed.until(lambda news: news.picture.locks)

    store(scene).rename(scene.project / "elsewhere")
    store(scene).write_text("this is no folder")
    broken = followed.until(lambda news: news.trouble)
    store(scene).unlink()
    (scene.project / "elsewhere").rename(store(scene))
    whole = followed.until(lambda news: not news.trouble and news.picture.locks)

    assert str(store(scene)) in broken.trouble
    assert len(whole.picture.locks) == 3


def test_a_record_that_is_scribbled_on_is_told_and_one_that_is_mended_is_not(
    scene: Scene, followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_DAMAGE_PAUSE_S_MIN", 0.05)
    monkeypatch.setattr(reading, "_DAMAGE_PAUSES", 1)
    scene.busy()
    record = next(store(scene).glob("docs__x.md-*.lock"))
    whole = record.read_bytes()
    followed.reader.start()
    before = followed.until(lambda news: news.picture.locks)

    record.write_text("{")
    damaged = followed.until(lambda news: news.damaged)
    record.write_bytes(whole)
    mended = followed.until(lambda news: not news.damaged)

    assert before.damaged == mended.damaged == []
    assert [one["key"] for one in damaged.damaged] == [record.name]
    assert not damaged.trouble


def test_what_is_committed_while_it_begins_is_told_once(
    scene: Scene, followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.hold("planner", "src/a.py")
    lately = scene.seen.board.lately

    def late(limit: int) -> list[dict[str, Any]]:
        if not scene.board.board.read()["agents"].get("tester"):
            scene.hold("tester", "tests/t.py")  # behind the feed's place, and among the newest
        return lately(limit)

    monkeypatch.setattr(scene.seen.board, "lately", late)
    followed.reader.start()

    news = followed.until(lambda news: len(news.picture.locks) == 2)

    assert [said for _, said in news.events] == ["tester acquired tests/t.py", "planner acquired src/a.py"]


def test_a_format_that_no_program_could_begin_with_is_told_until_it_is_mended(
    scene: Scene, followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_DAMAGE_PAUSE_S_MIN", 0.0)
    monkeypatch.setattr(reading, "_TICK_S", 0.02)
    scene.hold("planner", "src/a.py")
    followed.reader.start()
    followed.until(lambda news: news.picture.locks)
    path = store(scene) / "FORMAT"
    was = path.read_bytes()

    for wrong, said in ((b"scribbled", "FORMAT cannot be read"), (was.replace(b":1,", b":2,"), "says format 2")):
        path.write_bytes(wrong)
        news = followed.until(lambda news: news.trouble)
        assert said in news.trouble
        assert [hold["name"] for hold in news.picture.locks] == ["src/a.py"]
        path.write_bytes(was)
        followed.until(lambda news: not news.trouble)


def test_our_own_mistake_is_told_and_does_not_end_it(
    scene: Scene, followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.busy()

    def fail(_event: object) -> str:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(followed.reader, "_tell", fail)
    followed.reader.start()
    news = followed.until(lambda news: news.trouble)
    monkeypatch.setattr(followed.reader, "_tell", telling.brief)
    then = followed.until(lambda news: not news.trouble)

    assert news.trouble == "a mistake in latchboard itself: ZeroDivisionError: by zero"
    assert len(then.picture.locks) == 3


def test_where_the_system_does_not_notify_it_looks_by_itself(
    scene: Scene, followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    from latchboard.store.files import notify

    monkeypatch.setattr(notify, "subscribe", lambda *_: "no more watches")
    scene.busy()
    followed.reader.start()
    followed.until(lambda news: news.picture.locks)
    assert followed.reader._feed is not None
    assert followed.reader._feed.mode == "poll"

    scene.hold("tester", "tests/t.py")

    assert followed.until(lambda news: len(news.picture.locks) == 4)


def test_a_storm_of_commits_is_drawn_now_and_then(scene: Scene, followed: Followed) -> None:
    scene.busy()
    followed.reader.start()
    followed.until(lambda news: news.picture.locks)

    began_s = time.monotonic()
    for number in range(300):
        scene.board.board.update("planner", f"step {number}")
    seen = [followed.until(lambda news: True)]
    while seen[-1].events[0][1] != "planner says: step 299":
        seen.append(followed.until(lambda news: True))

    assert len(seen) <= 2 + (time.monotonic() - began_s) / reading._PAUSE_S_MIN
    assert seen[-1].picture.agents["planner"]["status"] == "step 299"
    said = [said for _, said in seen[-1].events]
    assert said[:300] == [f"planner says: step {number}" for number in reversed(range(300))]
    assert len(said) <= 500


def test_a_commit_longer_than_what_is_read_of_the_journal_is_told_all_the_same(
    scene: Scene, followed: Followed
) -> None:
    scene.hold("planner", *[f"src/{number}/{'x' * 400}.py" for number in range(1000)])
    followed.reader.start()

    news = followed.until(lambda news: True)

    assert len(news.events) == 500
    assert len(news.picture.locks) == 1000


def test_what_has_not_changed_is_not_given_again(
    scene: Scene, followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_TICK_S", 0.01)
    looked: queue.Queue[bytes] = queue.Queue()
    board = scene.seen.board
    text = board.text

    def noted() -> bytes:
        found = text()
        looked.put(found)
        return found

    monkeypatch.setattr(board, "text", noted)
    scene.busy()
    followed.reader.start()
    followed.until(lambda news: news.picture.locks)
    while not looked.empty():
        looked.get()

    for _ in range(4):
        looked.get(timeout=WAIT_S_MAX)

    assert followed.given.empty()


def test_it_ends_at_once_and_twice_is_harmless(
    scene: Scene, followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_TICK_S", 10 * WAIT_S_MAX)
    monkeypatch.setattr(reading, "_STOP_S_MAX", WAIT_S_MAX)
    followed.reader.start()
    followed.until(lambda news: True)

    followed.reader.stop()

    assert not followed.reader._thread.is_alive(), "it would look again before it sees that it is to end"
