"""Editing: begin, done, blocked, news and end, on the memory store with processes that the test makes and kills."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from latchboard.errors import StoreUnavailable
from tests.services.locks.scene import Process, Scene


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    for name in ("src", ".git", "data/.agent_locks"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "src/a.py").write_text("one")
    (tmp_path / "src/b.py").write_text("one")
    return Scene(tmp_path)


def begin(process: Process, agent: str, *paths: str, **options: Any) -> Any:
    return process.board.editing.begin(agent, paths, **options)


def image(scene: Scene, name: str) -> Any:
    found = scene.store.read(f"images/{name}").get(f"images/{name}")
    return found and found["file"] and found["file"]["sha256"]


# -- begin -----------------------------------------------------------------------------------------------------------


def test_an_edit_takes_its_file_for_the_agent(scene: Scene) -> None:
    begun = begin(scene.process(), "a1", f"{scene.root}/src/a.py", reason="parser")

    assert begun.refusal is None
    assert list(begun.tokens) == ["src/a.py"]
    assert scene.holders("src/a.py") == [("a1", "exclusive")]
    held = scene.record("src/a.py")["holders"][0]
    assert (held["bound"], held["reason"]) == ("agent", "parser")


def test_an_edit_of_what_another_agent_holds_is_refused_and_takes_nothing(scene: Scene) -> None:
    begin(scene.process(), "a1", "src/a.py")

    begun = begin(scene.process(), "a2", "src/b.py", "src/a.py")

    assert begun.refusal is not None
    assert begun.refusal.facts()[0]["agent"] == "a1"
    assert scene.record("src/b.py") is None
    assert image(scene, "src/b.py") is None


def test_a_new_file_is_taken_too(scene: Scene) -> None:
    assert begin(scene.process(), "a1", "src/new.py").tokens
    assert begin(scene.process(), "a2", "src/new.py").refusal is not None


def test_two_calls_of_one_agent_at_once_are_one_holder(scene: Scene) -> None:
    first, second = scene.process(), scene.process()
    token = begin(first, "a1", "src/a.py").tokens

    again = begin(second, "a1", "src/a.py")

    assert again.refusal is None
    assert again.tokens == token


def test_what_an_agent_holds_passes_to_its_subagent_while_it_is_in_no_call(scene: Scene) -> None:
    begin(scene.process(), "s1", "src/a.py", "src/b.py")
    assert begin(scene.process(), "s1:x", "src/a.py").refusal is not None  # it is just writing
    scene.process().board.editing.done("s1", ["src/a.py", "src/b.py"])

    begun = begin(scene.process(), "s1:x", "src/a.py")

    assert begun.refusal is None
    assert scene.holders("src/a.py") == [("s1:x", "exclusive")]
    assert scene.holders("src/b.py") == [("s1", "exclusive")]
    assert image(scene, "src/a.py") is not None
    scene.process().board.editing.done("s1:x", ["src/a.py"])
    assert begin(scene.process(), "s1", "src/a.py").refusal is not None
    scene.process().board.editing.end("s1:x")
    assert begin(scene.process(), "s1", "src/a.py").refusal is None


@pytest.mark.parametrize("asker", ["s2:x", "s1:y", "s1x", "s", "s1"])
def test_what_a_subagent_or_another_agent_holds_passes_to_nobody(scene: Scene, asker: str) -> None:
    begin(scene.process(), "s1:x", "src/a.py")
    scene.process().board.editing.done("s1:x", ["src/a.py"])

    assert begin(scene.process(), asker, "src/a.py").refusal is not None
    assert scene.holders("src/a.py") == [("s1:x", "exclusive")]


@pytest.mark.parametrize("how", ["a folder", "bound to a process", "somebody waits", "a second holder"])
def test_what_is_more_than_an_agents_hold_of_the_file_passes_to_nobody(scene: Scene, how: str) -> None:
    name = "src/" if how == "a folder" else "src/a.py"
    locks = scene.process().locks
    locks.acquire(locks.request("s1", [name], bound="process" if how == "bound to a process" else "agent"))
    if how == "somebody waits":
        assert scene.process().line("a2", "src/a.py").waits
    if how == "a second holder":
        begin(scene.process(), "a2", "src/b.py")

    assert begin(scene.process(), "s1:x", "src/a.py", "src/b.py").refusal is not None
    assert scene.holders(name) == [("s1", "exclusive")]


def test_a_call_in_a_container_that_cannot_be_judged_is_the_agents_own(scene: Scene) -> None:
    begin(scene.stranger(), "a1", "src/a.py")

    assert begin(scene.process(), "a1", "src/a.py").refusal is None
    assert begin(scene.process(), "a2", "src/a.py").refusal is not None


def test_a_hold_of_the_same_agent_that_is_bound_to_a_process_is_that_processs(scene: Scene) -> None:
    scene.process().agent("a1").lock("src/a.py")

    begun = begin(scene.process(), "a1", "src/a.py")

    assert begun.refusal is not None
    assert begun.refusal.facts()[0]["bound"] == "process"


def test_what_a_shown_token_covers_need_not_be_taken(scene: Scene) -> None:
    hold = scene.process().agent("a1").lock("src/")

    begun = begin(scene.process(), "a1", "src/a.py", token=hold.token)

    assert begun.refusal is None
    assert begun.tokens == {}


@pytest.mark.parametrize(
    "path",
    ["/tmp/elsewhere.py", "../x.py", ".git/config", "src/sub/.git/index", "data/.agent_locks/FORMAT", "src/", "."],
)
def test_what_is_not_the_projects_is_neither_locked_nor_denied(scene: Scene, path: str) -> None:
    scene.process().agent("a2").lock("src/a.py")

    begun = begin(scene.process(), "a1", path)

    assert (begun.refusal, begun.tokens, begun.unnamed) == (None, {}, [])


def test_git_files_that_are_no_repositorys_are_locked(scene: Scene) -> None:
    assert begin(scene.process(), "a1", ".gitignore", ".github/x.yml").tokens


@pytest.mark.parametrize("path", ["src/\0.py", "src/\ud800.py", "x" * 5000])
def test_what_cannot_be_named_is_told_and_the_rest_is_taken(scene: Scene, path: str) -> None:
    begun = begin(scene.process(), "a1", path, "src/a.py")

    assert list(begun.tokens) == ["src/a.py"]
    assert len(begun.unnamed) == 1


def test_a_file_reached_by_a_link_is_locked_by_its_own_name(scene: Scene) -> None:
    Path(scene.root, "link.py").symlink_to("src/a.py")

    begin(scene.process(), "a1", "link.py")

    assert begin(scene.process(), "a2", "src/a.py").refusal is not None


def test_a_folder_that_another_agent_holds_holds_its_files(scene: Scene) -> None:
    scene.process().board.editing.begin("a1", ["src/a.py"])
    scene.process().board.locks.try_acquire(scene.process().locks.request("a2", ["docs/"], bound="agent"))

    assert begin(scene.process(), "a1", "docs/x.md").refusal is not None


def test_whoever_waits_in_line_comes_first(scene: Scene) -> None:
    begin(scene.process(), "a1", "src/a.py")
    line = scene.process().line("a2", "src/a.py")

    scene.process().board.editing.end("a1")

    assert scene.holders("src/a.py") == [("a2", "exclusive")]
    assert line is not None
    assert begin(scene.process(), "a1", "src/a.py").refusal is not None


# -- images ----------------------------------------------------------------------------------------------------------


def test_the_image_is_taken_with_the_lock_and_anew_when_the_call_is_done(scene: Scene) -> None:
    process = scene.process()
    begin(process, "a1", "src/a.py")
    before = image(scene, "src/a.py")
    Path(scene.root, "src/a.py").write_text("two")
    assert image(scene, "src/a.py") == before

    scene.process().board.editing.done("a1", ["src/a.py"])

    assert image(scene, "src/a.py") not in (None, before)


def test_an_image_of_this_hold_is_not_overwritten_by_the_next_edit(scene: Scene) -> None:
    begin(scene.process(), "a1", "src/a.py")
    before = image(scene, "src/a.py")
    Path(scene.root, "src/a.py").write_text("by somebody else")

    begin(scene.process(), "a1", "src/a.py")

    assert image(scene, "src/a.py") == before


def test_done_takes_no_image_of_what_another_agent_holds(scene: Scene) -> None:
    begin(scene.process(), "a1", "src/a.py")
    before = image(scene, "src/a.py")
    Path(scene.root, "src/a.py").write_text("two")

    scene.process().board.editing.done("a2", ["src/a.py"])
    scene.process().board.editing.done("a2")

    assert image(scene, "src/a.py") == before


# -- renewing --------------------------------------------------------------------------------------------------------


def test_use_renews_the_lease_once_a_quarter_of_it_has_passed(scene: Scene) -> None:
    begin(scene.process(), "a1", "src/a.py")
    ttl_s = scene.settings.lease_ttl_s

    for _ in range(20):
        scene.clock.advance(ttl_s / 3)
        scene.process().board.editing.renew("a1")

    assert begin(scene.process(), "a2", "src/a.py").refusal is not None


def test_use_before_that_writes_nothing(scene: Scene) -> None:
    begin(scene.process(), "a1", "src/a.py")
    scene.process().board.editing.done("a1", ["src/a.py"])
    revision = scene.store.read("wide").revision
    scene.clock.advance(scene.settings.lease_ttl_s / 5)

    scene.process().board.editing.renew("a1")
    scene.process().board.editing.done("a1")

    assert scene.store.read("wide").revision == revision


def test_a_lease_that_ran_out_frees_the_file(scene: Scene) -> None:
    begin(scene.process(), "a1", "src/a.py")
    scene.clock.advance(scene.settings.lease_ttl_s + 1)

    assert begin(scene.process(), "a2", "src/a.py").refusal is None


def test_a_new_turn_ends_the_calls_of_an_interrupted_one(scene: Scene) -> None:
    begin(scene.process(), "a1", "src/a.py")
    assert scene.store.read("calls/a1").get("calls/a1") is not None

    scene.process().board.editing.begin_turn("a1")

    assert scene.store.read("calls/a1").get("calls/a1") is None
    assert scene.holders("src/a.py") == [("a1", "exclusive")]


# -- blocked ---------------------------------------------------------------------------------------------------------


def test_blocked_tells_who_holds_it_and_changes_nothing(scene: Scene) -> None:
    begin(scene.process(), "a1", "src/a.py")
    revision = scene.store.read("wide").revision

    found = scene.process().board.editing.blocked("a2", ["src/b.py", "src/", "glob:*.py"])

    assert [one["agent"] for one in found] == ["a1", "a1"]
    assert scene.process().board.editing.blocked("a1", ["src/"]) == []
    assert scene.process().board.editing.blocked("a2", ["/etc/passwd", ".git/index"]) == []
    assert scene.store.read("wide").revision == revision


# -- news ------------------------------------------------------------------------------------------------------------


class Reader:
    """What was handed over, and whether that works."""

    def __init__(self, *, fails: bool = False) -> None:
        self.bodies: list[str] = []
        self._fails = fails

    def __call__(self, messages: list[dict[str, Any]]) -> None:
        if self._fails:
            raise StoreUnavailable("nobody reads")
        self.bodies += [message["body"] for message in messages]


def test_mail_is_handed_over_once(scene: Scene) -> None:
    scene.process().board.mailbox.send("a2", "a1", "hello")
    scene.process().board.mailbox.broadcast("a2", "everybody")
    reader = Reader()

    counts = [scene.process().board.editing.news("a1", reader) for _ in range(3)]

    assert counts == [2, 0, 0]
    assert reader.bodies == ["hello", "everybody"]


def test_mail_that_cannot_be_handed_over_stays_unread(scene: Scene) -> None:
    scene.process().board.mailbox.send("a2", "a1", "hello")

    with pytest.raises(StoreUnavailable):
        scene.process().board.editing.news("a1", Reader(fails=True))

    reader = Reader()
    assert scene.process().board.editing.news("a1", reader) == 1


def test_mail_that_wants_an_answer_is_not_told_twice_and_stays(scene: Scene) -> None:
    board = scene.process().board
    board.mailbox.send("a2", "a1", "read me", ack="required")
    reader = Reader()

    for _ in range(3):
        board.editing.news("a1", reader)

    assert reader.bodies == ["read me"]
    assert [message["redelivered"] for message in board.mailbox.peek("a1")] == [True]


def test_at_most_ten_messages_come_at_once_in_order(scene: Scene) -> None:
    board = scene.process().board
    for number in range(13):
        board.mailbox.send("a2", "a1", str(number))
    reader = Reader()

    assert [board.editing.news("a1", reader) for _ in range(3)] == [10, 3, 0]
    assert reader.bodies == [str(number) for number in range(13)]


def test_long_messages_come_one_after_the_other(scene: Scene) -> None:
    board = scene.process().board
    for _ in range(3):
        board.mailbox.send("a2", "a1", "x" * 20_000)
    board.mailbox.send("a2", "a1", "x" * 100_000)

    assert [board.editing.news("a1", Reader()) for _ in range(5)] == [1, 1, 1, 1, 0]


def test_what_a_faster_call_took_is_not_told_again(scene: Scene) -> None:
    board, other = scene.process().board, scene.process().board
    board.mailbox.send("a2", "a1", "one")
    board.mailbox.send("a2", "a1", "two", ack="required")
    fast, slow = Reader(), Reader()

    class Racing:
        """A store in which another call of the agent is always faster."""

        def __getattr__(self, name: str) -> Any:
            return getattr(board.store, name)

        def transact(self, fn: Any, **options: Any) -> Any:
            other.editing.news("a1", fast)
            return board.store.transact(fn, **options)

    from latchboard.editing.news import hand_over_news

    racing: Any = Racing()
    assert hand_over_news(racing, board.clock, "a1", slow) == 0
    assert (fast.bodies, slow.bodies) == (["one", "two"], [])


# -- end -------------------------------------------------------------------------------------------------------------


def test_end_gives_back_what_the_agent_holds_in_any_process(scene: Scene) -> None:
    begin(scene.process(), "a1", "src/a.py")
    begin(scene.stranger(), "a1", "src/b.py")
    begin(scene.process(), "a2", "README")

    released = scene.process().board.editing.end("a1")

    assert sorted(released) == ["src/a.py", "src/b.py"]
    assert scene.holders("README") == [("a2", "exclusive")]
    assert image(scene, "src/a.py") is None


def test_end_leaves_a_hold_that_is_bound_to_a_process(scene: Scene) -> None:
    scene.process().agent("a1").lock("src/a.py")

    assert scene.process().board.editing.end("a1") == []


def test_the_end_of_a_session_is_that_of_its_subagents_and_of_nobody_else(scene: Scene) -> None:
    for agent, name in (("s1", "a"), ("s1:x", "b"), ("s1:y", "c"), ("s12", "d"), ("s2:x", "e")):
        begin(scene.process(), agent, name)

    assert scene.process().board.editing.end("s1:x") == ["b"]
    assert sorted(scene.process().board.editing.end("s1", with_subagents=True)) == ["a", "c"]
    assert scene.process().board.editing.end("s1", with_subagents=True) == []


def test_end_passes_over_a_record_that_cannot_be_read(tmp_path: Path) -> None:
    scene = Scene(tmp_path, is_memory=False)
    board = scene.process().board
    begin(scene.process(), "a1", "x.py")
    begin(scene.process(), "a1", "y.py")
    next(Path(tmp_path, "data/.agent_locks").glob("x.py-*.lock")).write_text("no record")

    assert board.editing.end("a1") == ["y.py"]
