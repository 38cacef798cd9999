"""What pages hear: every commit in order, from where they were; and what they are told when they missed something."""

from __future__ import annotations

import asyncio
import shutil
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from latchboard.compose import Latchboard
from latchboard.errors import StoreUnavailable
from latchboard.store.files import notify
from latchboard.surface.web import door, log, push, reader, streaming
from latchboard.surface.web.push import Hub
from tests.surface.web.harness import TOKEN, WAIT_S_MAX, Listener, Served


def say(board: Latchboard, number: int) -> int:
    """One commit; its revision."""
    board.board.update("planner", f"number {number}")
    return board.store.read("wide").revision


def statuses(events: list[tuple[str, dict[str, Any]]]) -> list[str]:
    return [one["status"] for name, data in events if name == "commit" for one in data["events"]]


# -- from now on, and from where a page was ---------------------------------------------------------------------------


def test_a_page_hears_every_commit_from_now_on_also_those_that_mean_nothing(served: Served, board: Latchboard) -> None:
    first = say(board, 1)
    with served.listen() as page:
        assert page.response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert page.response.headers["cache-control"] == "no-store"
        assert page.next() == ("ready", {"format": 1, "revision": first})
        board.board.heartbeat("planner")
        last = say(board, 2)
        found = list(page.until(last))

    assert [name for name, _ in found] == ["commit", "commit"]
    assert found[0][1]["events"] == []
    assert statuses(found) == ["number 2"]
    assert page.last_id == str(last)


@pytest.mark.parametrize("how", ["after", "Last-Event-ID", "both"])
def test_a_page_that_comes_back_misses_nothing(served: Served, board: Latchboard, how: str) -> None:
    revisions = [say(board, number) for number in range(5)]
    query = {"after": f"?after={revisions[1]}", "both": "?after=0"}.get(how, "")
    headers = {} if how == "after" else {"Last-Event-ID": str(revisions[1])}

    with served.listen(query, **headers) as page:
        assert page.next() == ("ready", {"format": 1, "revision": revisions[1]})
        assert statuses(list(page.until(revisions[-1]))) == ["number 2", "number 3", "number 4"]
        with served.listen(query, **headers) as other:  # from the log that the first one made longer
            other.next()
            assert statuses(list(other.until(revisions[-1]))) == ["number 2", "number 3", "number 4"]
        revisions.append(say(board, 5))
        assert statuses(list(page.until(revisions[-1]))) == ["number 5"]
    with served.listen(f"?after={revisions[0]}") as third:  # further back than the log, which is longer now
        third.next()
        assert statuses(list(third.until(revisions[-1]))) == [f"number {n}" for n in range(1, 6)]


def test_fifty_pages_that_come_back_at_once_are_one_look_at_the_journal(
    served: Served, board: Latchboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    revisions = [say(board, number) for number in range(10)]
    looks: list[object] = []
    look = push.Hub._read_between
    monkeypatch.setattr(push.Hub, "_read_between", lambda *given: looks.append(given) or look(*given))

    with ExitStack() as stack:
        pages = [stack.enter_context(served.listen(f"?after={revisions[3]}")) for _ in range(50)]
        for page in pages:
            page.next()
            assert len(statuses(list(page.until(revisions[-1])))) == 6

    assert len(looks) == 1


def test_pages_that_come_back_while_another_one_is_looked_up_wait_for_that(
    served: Served, board: Latchboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    revisions = [say(board, number) for number in range(10)]
    looked, joined = threading.Semaphore(0), threading.Event()
    look = push.Hub._read_between

    def looking(*given: Any) -> Any:
        looked.release()
        assert joined.wait(WAIT_S_MAX)
        return look(*given)

    monkeypatch.setattr(push.Hub, "_read_between", looking)
    with served.listen() as first:
        first.next()
        with ExitStack() as stack:
            pages: list[Listener] = []
            late = [
                threading.Thread(
                    target=lambda: pages.append(stack.enter_context(served.listen(f"?after={revisions[3]}")))
                )
                for _ in range(3)
            ]
            for one in late:
                one.start()
            assert looked.acquire(timeout=WAIT_S_MAX)
            while "latchboard_pages_open 4" not in served.get("/metrics").body.decode():
                continue
            joined.set()
            for one in late:
                one.join()
            assert [page.next()[0] for page in pages] == ["ready"] * 3
    assert not looked.acquire(blocking=False)


def test_what_was_dropped_while_a_page_was_looked_up_is_told(
    served: Served, board: Latchboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "COUNT_MAX", 5)
    first, _ = say(board, 0), say(board, 1)
    look = push.Hub._read_between
    with served.listen() as page:
        page.next()

        def looking(*given: Any) -> Any:
            found = look(*given)
            list(page.until([say(board, number) for number in range(10)][-1]))
            return found

        monkeypatch.setattr(push.Hub, "_read_between", looking)
        with served.listen(f"?after={first}") as late:
            assert late.next()[0] == "skipped"


def test_commits_that_do_not_reach_the_floor_are_not_put_in_front_of_it(board: Latchboard) -> None:
    revisions = [say(board, number) for number in range(4)]
    read = Hub(board)._read_between

    assert len(read(revisions[0], revisions[2], (10, 10**6)) or ()) == 2
    for until, room in ((revisions[2] - 1, (10, 10**6)), (revisions[2], (1, 10**6)), (revisions[2], (10, 50))):
        assert read(revisions[0], until, room) is None


@pytest.mark.anyio
async def test_who_waits_for_a_reader_that_is_ended_is_told(board: Latchboard) -> None:
    say(board, 1)
    begun = reader.Reader(board, log.Log(), lambda: None)
    waiting = asyncio.ensure_future(begun.begun())
    await asyncio.sleep(0)
    await begun.close()
    await asyncio.wait([waiting], timeout=WAIT_S_MAX)
    assert waiting.cancelled()


def test_a_page_may_name_a_commit_that_we_have_not_heard_of_yet(
    served: Served, board: Latchboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push, "_REACH_S", WAIT_S_MAX)
    with served.listen() as first:
        first.next()
        for number in range(20):
            revision = say(board, number)
            with served.listen(f"?after={revision}") as page:
                assert page.next() == ("ready", {"format": 1, "revision": revision})


def test_a_page_that_read_the_board_hears_what_came_after(
    served: Served, board: Latchboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push, "_REACH_S", WAIT_S_MAX)
    say(board, 0)
    stop = threading.Event()

    def work() -> None:
        other, number = Latchboard(board.root), 0
        while not stop.is_set():
            other.board.update("builder", f"number {number}")
            number += 1
        other.close()

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for _ in range(5):
            read = served.get("/api/board").json
            with served.listen(f"?after={read['revision']}") as page:
                assert page.next()[0] == "ready"
                before = read["agents"].get("builder", {}).get("status", "number -1")
                told = [statuses([page.next()])[0] for _ in range(3)]
                number = int(before.partition(" ")[2])
                assert told == [f"number {number + more}" for more in (1, 2, 3)]
    finally:
        stop.set()
        worker.join()


# -- what cannot be told any more -------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [0, 1, 2**53])
def test_a_revision_that_is_not_of_this_store_is_told(
    served: Served, board: Latchboard, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    monkeypatch.setattr(push, "_REACH_S", 0.1)
    newest = say(board, 1)

    with served.listen(f"?after={after}") as page:
        assert page.next() == ("compacted", {"format": 1, "revision": newest})
        assert statuses(list(page.until(say(board, 2)))) == ["number 2"]


def test_what_is_too_far_back_is_skipped(served: Served, board: Latchboard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "COUNT_MAX", 5)
    revisions = [say(board, number) for number in range(10)]

    with served.listen(f"?after={revisions[0]}") as page:
        assert page.next() == ("skipped", {"format": 1, "revision": revisions[-1]})
    with served.listen(f"?after={revisions[5]}") as page:
        page.next()
        assert len(statuses(list(page.until(revisions[-1])))) == 4


def test_a_store_that_is_another_one_is_told_and_gone_on_with(served: Served, board: Latchboard) -> None:
    say(board, 1)
    with served.listen() as page:
        page.next()
        shutil.rmtree(f"{board.root}/data/.agent_locks")
        other = Latchboard(board.root)
        last = say(other, 2)
        assert "compacted" in [name for name, _ in page.until(last)]
        last = say(other, 3)
        assert statuses(list(page.until(last)))[-1] == "number 3"
        other.close()


def test_a_project_without_a_store_may_get_one(served: Served, board: Latchboard) -> None:
    with served.listen("?after=0") as page:
        assert page.next() == ("ready", {"format": 1, "revision": 0})
        assert statuses(list(page.until(say(board, 1)))) == ["number 1"]


def test_trouble_with_the_store_is_told_and_ends_no_stream(
    served: Served, board: Latchboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_RETRY_S", 0.05)
    batch: Callable[..., Any] = reader._batch
    is_broken = threading.Event()

    def read(feed: Any) -> Any:
        if is_broken.is_set():
            raise StoreUnavailable("the disk is gone")
        return batch(feed)

    monkeypatch.setattr(reader, "_batch", read)
    last = say(board, 1)
    with served.listen() as page:
        page.next()
        is_broken.set()
        say(board, 2)
        name, data = page.next()
        assert (name, data["code"], data["retryable"]) == ("trouble", "store-unavailable", True)
        is_broken.clear()
        assert page.next() == ("ready", {"format": 1, "revision": last})
        assert statuses([page.next()]) == ["number 2"]


def test_a_commit_that_cannot_be_told_is_told_as_that_and_stops_nothing(
    served: Served, board: Latchboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_RETRY_S", 0.05)
    entry: Callable[..., Any] = log.entry

    def tell(commit: Any) -> Any:
        if any(event.get("status") == "number 2" for event in commit["events"]):
            raise KeyError("a mistake of our own")
        return entry(commit)

    monkeypatch.setattr(log, "entry", tell)
    say(board, 1)
    with served.listen() as page:
        page.next()
        last = say(board, 2)
        name, data = page.next()
        assert (name, data["code"]) == ("trouble", "internal")
        assert "of our own" not in str(data)
        assert page.next() == ("compacted", {"format": 1, "revision": last})
        told = [page.next()[0]]
        last = say(board, 3)
        while "commit" not in told:
            told.append(page.next()[0])
        assert page.last_id == str(last)


def test_a_store_that_cannot_be_watched_is_an_error_of_the_request(
    served: Served, board: Latchboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StoreUnavailable("no descriptor left")

    monkeypatch.setattr(type(board.store), "watch", fail)
    served.get("/api/events").failed(503, "store-unavailable")
    monkeypatch.undo()
    with served.listen() as page:
        assert page.next()[0] == "ready"


def test_a_place_that_can_be_none_is_refused(served: Served) -> None:
    for place in ("-1", "x", "1.5", "9" * 17, "0x10", "\u0661"):
        served.get("/api/events", headers={"Last-Event-ID": place.encode().decode("latin-1")}).failed(400, "usage")
    for query in ("after=", "after=-1", "after=1&after=2", "since=1"):
        served.get(f"/api/events?{query}").failed(400, "usage")


def test_where_the_system_does_not_tell_of_changes_pages_hear_all_the_same(
    served: Served, board: Latchboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "subscribe", lambda *_: "not here")
    say(board, 1)
    with served.listen() as page:
        page.next()
        for number in range(3):
            assert statuses(list(page.until(say(board, number + 2)))) == [f"number {number + 2}"]


# -- slow pages -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_ten_thousand_events_to_a_page_that_does_not_read_stay_bounded_and_it_is_told(
    served: Served, board: Latchboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "STALL_S", 3600.0)  # it would be cut off while a busy machine writes them
    first = say(board, 0)
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.connect(("127.0.0.1", served.port))
    slow.sendall(
        f"GET /api/events?after={first} HTTP/1.0\r\nHost: 127.0.0.1:{served.port}\r\n"
        f"Authorization: Bearer {TOKEN}\r\n\r\n".encode()
    )
    with served.listen(f"?after={first}") as quick, slow:
        quick.next()
        revisions: list[int] = []
        heard: list[int] = []
        for number in range(10_000):
            written = {"name": f"src/{number}.py", "agent": "planner", "token": number}
            done = board.store.transact(lambda view: view.put("log/write", written), who="planner")  # noqa: B023
            revisions.append(done.revision)
            if number % 500 == 499:
                heard += [data["revision"] for _, data in quick.until(revisions[-1])]
        assert heard == revisions  # whoever reads has missed nothing meanwhile

        journal = _hub(served)._journal
        assert len(journal._entries) <= log.COUNT_MAX
        assert journal._bytes == sum(len(chunk) for _, chunk in journal._entries.values()) <= log.BYTES_MAX

        page = _reading(slow)
        told = []
        while not told or told[-1][1] < revisions[-1]:
            told.append(page())
    skips = [at for at, (name, _) in enumerate(told) if name == "skipped"]
    assert told[0] == ("ready", first) and len(skips) == 1
    # Before the loss and after it nothing is missing, and the loss ends where the page is told it ends.
    shown = [revision for _, revision in told[1 : skips[0]]]
    assert shown == revisions[: len(shown)]
    assert len(shown) < 5000
    assert [revision for _, revision in told[skips[0] :]] == revisions[revisions.index(told[skips[0]][1]) :]


def _hub(served: Served) -> Hub:
    ends = served.app.state.stopping._enders[0]
    hub: Hub = ends.__self__
    return hub


def _reading(connection: socket.socket) -> Callable[[], tuple[str, int]]:
    """What gives the next event's name and revision."""
    file = connection.makefile("rb")
    connection.settimeout(20)

    def following() -> tuple[str, int]:
        name = ""
        while line := file.readline():
            if line.startswith(b"event: "):
                name = line[7:].strip().decode()
            elif line.startswith(b"data: "):
                return name, int(line.partition(b'"revision":')[2].split(b",")[0].split(b"}")[0])
        raise EOFError

    return following


def test_more_pages_than_there_is_room_for_are_refused(
    served: Served, board: Latchboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "PAGES_COUNT_MAX", 2)
    with served.listen() as one, served.listen() as two:
        one.next(), two.next()
        served.get("/api/events").failed(503, "busy")


def test_a_page_that_listens_is_use_and_is_pinged(
    served: Served, board: Latchboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "PING_S", 0.05)
    with served.listen() as page:
        page.next()
        before = served.activities
        assert page.response.readline() == b": \n"
        while served.activities == before:  # that one may have been sent before
            assert page.response.readline().strip() in (b":", b"")


# -- ends -------------------------------------------------------------------------------------------------------------


def test_a_page_that_goes_leaves_nothing_behind(served: Served, board: Latchboard) -> None:
    for _ in range(5):
        with served.listen() as page:
            page.next()
    with served.listen() as page:
        page.next()
        say(board, 1)
        page.next()
        text = served.get("/metrics").body.decode()
    assert 'latchboard_http_answers_total{status="2xx"} 6' in text
    served.close()
    assert _hub(served).pages_count == 0


def test_a_daemon_that_stops_ends_every_stream_at_once(served: Served, board: Latchboard) -> None:
    with ExitStack() as stack:
        pages = [stack.enter_context(served.listen()) for _ in range(5)]
        for page in pages:
            page.next()
        served.close()
        for page in pages:
            with pytest.raises(EOFError):
                page.next()


def test_a_daemon_that_stops_opens_no_stream(served: Served) -> None:
    served.loop.call_soon_threadsafe(served.app.state.stopping.set)

    served.get("/api/events").failed(503, "stopping")


def test_the_reader_ends_a_while_after_the_last_page_and_begins_again(
    board: Latchboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push, "_LINGER_S", 0.0)

    async def play() -> None:
        hub = Hub(board)
        say(board, 1)
        page = await hub.join(None)
        assert b"ready" in await page.next()
        former = hub._reader
        assert former is not None
        page.leave()
        await asyncio.wait([former._task])
        assert former.is_over and hub._reader is None

        last = say(board, 2)
        again = await hub.join(None)
        assert str(last).encode() in await again.next()
        say(board, 3)
        assert b"number 3" in await again.next()
        again.leave()
        await hub.close()
        assert await again.next() == b""

    asyncio.run(play())


def test_a_listener_that_is_cut_off_does_not_end_the_others(served: Served, board: Latchboard) -> None:
    with served.listen() as stays:
        stays.next()
        goes = Listener(served.port)
        goes.next()
        goes.response.close()
        goes.close()
        for number in range(3):
            assert statuses(list(stays.until(say(board, number)))) == [f"number {number}"]
