"""The terminal board as a person has it: where lists stand, what keys do, and what is drawn when something happens."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from textual.color import Color
from textual.pilot import Pilot
from textual.widgets import Input

from latchboard.surface.tui import look
from latchboard.surface.tui.app import Board
from latchboard.surface.tui.dialog import Details, Question
from tests.surface.tui.harness import HOSTILE, Scene, said, screen, strips, until


def pane(app: Board, number: int) -> Any:
    return app._panes[number - 1]


def shown(app: Board) -> list[int]:
    return [pane.number for pane in app._panes if pane.region.area]


@pytest.mark.parametrize(
    ("size", "numbers"),
    [
        ((160, 48), [1, 2, 3, 4, 5, 6]),
        ((90, 34), [1, 2, 3, 4, 5, 6]),
        ((120, 33), [1, 2, 6]),
        ((89, 48), [1, 2]),
        ((60, 24), [1, 2]),
        ((60, 19), [1]),
        ((40, 10), [1]),
        ((20, 5), [1]),
    ],
)
def test_as_many_lists_as_there_is_room_for(scene: Scene, size: tuple[int, int], numbers: list[int]) -> None:
    scene.busy()

    async def steps(app: Board, pilot: Pilot[int]) -> None:
        assert shown(app) == numbers
        lines = screen(app)
        assert len(lines) == size[1]
        assert any("builder" in line for line in lines)
        assert any("planner" in line for line in lines) or size[1] < 6
        for number in range(1, 7):
            await pilot.press(str(number))
            await pilot.pause()
            assert number in shown(app)
            assert app.focused is pane(app, number).rows
            assert [one.number for one in app._panes if one.has_class("-on")] == [number]
            assert pane(app, number).rows.items

    scene.run(steps, size=size)


def test_everything_there_is_stands_on_a_wide_screen(scene: Scene) -> None:
    scene.busy()

    async def steps(app: Board, pilot: Pilot[int]) -> None:
        text = said(app)
        for piece in (
            "2 agents, 3 locks, 1 waiting",
            "planner          splitting the parser",
            "waits for src/core/a.py  running the te",
            "▾ src/core/  2 files, planner",
            "└ builder asks for it, ",
            "src/core/a.py behind planner, asked for it",
            "builder → planner",
            "parser: are you done?\\nwith all of it?",
            "planner acquired src/core/b.py: two modules",
            "builder asks planner for src/core/a.py: mine next",
            "live",
        ):
            assert piece in text, piece

    scene.run(steps)


def test_an_empty_project_says_so_and_stays_empty(scene: Scene) -> None:
    async def steps(app: Board, pilot: Pilot[int]) -> None:
        text = said(app)
        for piece in ("0 agents, 0 locks, 0 waiting", "nobody has said or held", "nothing is held", "nobody waits"):
            assert piece in text
        for key in ("enter", "down", "left", "right", "end", "pageup", "b", "r", "slash", "escape", "z", "t"):
            await pilot.press(key)
        await pilot.pause()
        assert list(scene.project.iterdir()) == []

    scene.run(steps)


def test_what_is_committed_is_seen_and_the_cursor_stays_at_its_entry(scene: Scene) -> None:
    scene.busy()

    async def steps(app: Board, pilot: Pilot[int]) -> None:
        await pilot.press("2", "end")
        rows = pane(app, 2).rows
        assert rows.item.key == "=src/core/b.py"

        scene.hold("tester", "a/first.py")
        await until(pilot, lambda: "first.py" in said(app))
        assert rows.item.key == "=src/core/b.py"

        scene.board.locks.release_names("planner", ["src/core/b.py"])
        await until(pilot, lambda: "b.py" not in "".join(screen(app)[:40]) or rows.item.key != "=src/core/b.py")
        assert rows.item is not None

        await pilot.press("6")
        past = pane(app, 6).rows
        newest = past.item
        scene.board.board.update("tester", "on it")
        await until(pilot, lambda: past.item is not newest)
        assert past.item[1] == "tester says: on it"  # who looks at the newest goes on looking at the newest
        await pilot.press("down")
        kept = past.item
        scene.board.board.update("tester", "done")
        await until(pilot, lambda: past.items[0][1] == "tester says: done")
        assert past.item == kept

    scene.run(steps)


def test_folders_close_and_open_and_left_goes_up(scene: Scene) -> None:
    scene.busy()

    async def steps(app: Board, pilot: Pilot[int]) -> None:
        rows = pane(app, 2).rows

        def labels() -> list[str]:
            return [node.label if hasattr(node, "label") else "?" for node in rows.items]

        await pilot.press("2", "end")
        assert labels() == ["docs/", "x.md", "src/core/", "a.py", "?", "b.py"]
        await pilot.press("left")
        assert rows.item.label == "src/core/"
        await pilot.press("left")
        assert labels() == ["docs/", "x.md", "src/core/"]
        await pilot.press("right")
        assert len(rows.items) == 6
        await pilot.press("enter")
        assert len(rows.items) == 3
        await pilot.press("k", "k", "h")
        assert labels() == ["docs/", "src/core/"]

    scene.run(steps)


@pytest.mark.parametrize(
    ("number", "title", "piece"),
    [
        (1, "Agent", "waits for  src/core/a.py"),
        (3, "In line", "in line    builder"),
        (4, "Conflict", "against    planner"),
        (5, "Conversation", "with all of it?"),
        (6, "What happened", "revision   "),
    ],
)
def test_enter_shows_everything_about_a_line(scene: Scene, number: int, title: str, piece: str) -> None:
    scene.busy()

    async def steps(app: Board, pilot: Pilot[int]) -> None:
        await pilot.press(str(number), "enter")
        await until(pilot, lambda: isinstance(app.screen, Details) and piece in said(app))
        assert title in said(app)
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, Details))

    scene.run(steps)


def test_a_filter_leaves_what_has_its_words_until_it_is_taken_away(scene: Scene) -> None:
    scene.busy()

    async def steps(app: Board, pilot: Pilot[int]) -> None:
        await pilot.press("2", "slash", *"manual")
        await pilot.pause()
        assert [node.label for node in pane(app, 2).rows.items] == ["docs/", "x.md"]
        assert "Shown is only what has `manual` in it" in said(app)
        await pilot.press("enter")
        assert app.focused is pane(app, 2).rows
        scene.hold("tester", "more.py", reason="the manual, too")
        await until(pilot, lambda: "more.py" in said(app))
        await pilot.press("escape")
        await pilot.pause()
        assert len(pane(app, 2).rows.items) == 7
        assert "Shown is only" not in said(app)
        assert app.query_one("#filter", Input).region.area == 0

    scene.run(steps)


def test_the_mouse_chooses_lists_and_lines(scene: Scene) -> None:
    scene.busy()

    async def steps(app: Board, pilot: Pilot[int]) -> None:
        lines = screen(app)
        at = next(y for y, line in enumerate(lines) if "src/core/ " in line)
        await pilot.click(offset=(20, at + 1))
        assert app.focused is pane(app, 2).rows
        assert pane(app, 2).rows.item.key == "=src/core/a.py"
        await pilot.click(offset=(20, at + 1))
        await until(pilot, lambda: isinstance(app.screen, Details))
        await pilot.press("escape")
        title = next(y for y, line in enumerate(screen(app)) if "5 Conversations" in line)
        await pilot.click(offset=(100, title))
        assert app.focused is pane(app, 5).rows

    scene.run(steps)


def test_on_a_narrow_screen_the_bar_is_clicked(scene: Scene) -> None:
    scene.busy()

    async def steps(app: Board, pilot: Pilot[int]) -> None:
        bar = screen(app)[1]
        names = ["Agents", "Files", "Line", "Conflicts", "Mail", "Past", "Queue"]
        assert bar.split() == [word for at, name in enumerate(names, 1) for word in (str(at), name)]
        await pilot.click(offset=(bar.index("Mail"), 1))
        await pilot.pause()
        assert shown(app) == [1, 5]

    scene.run(steps, size=(60, 24))


def test_a_terminal_that_changes_its_size_is_followed(scene: Scene) -> None:
    scene.busy()

    async def steps(app: Board, pilot: Pilot[int]) -> None:
        for size in ((60, 24), (160, 48), (30, 8), (120, 30), (5, 2), (1, 1), (200, 60)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            lines = screen(app)
            assert len(lines) == size[1]
            assert all(sum(segment.cell_length for segment in line) == size[0] for line in strips(app))
        assert shown(app) == [1, 2, 3, 4, 5, 6]

    scene.run(steps)


def test_a_list_alone_on_the_screen_and_back(scene: Scene) -> None:
    scene.busy()

    async def steps(app: Board, pilot: Pilot[int]) -> None:
        await pilot.press("6", "z")
        await pilot.pause()
        assert shown(app) == [6]
        await pilot.press("z")
        await pilot.pause()
        assert len(shown(app)) == 6
        await pilot.press("tab")
        await pilot.pause()
        assert app.focused is pane(app, 1).rows
        assert [one.number for one in app._panes if one.has_class("-on")] == [1]

    scene.run(steps)


def test_help_names_the_keys(scene: Scene) -> None:
    async def steps(app: Board, pilot: Pilot[int]) -> None:
        await pilot.press("question_mark")
        await until(pilot, lambda: "the next list" in said(app))
        await pilot.press("q")
        await until(pilot, lambda: not isinstance(app.screen, Details))
        await pilot.press("q")

    assert scene.run(steps).return_code == 0


def test_hostile_names_stay_in_their_cells(scene: Scene) -> None:
    scene.hold("evil\u4e16", *HOSTILE, reason="\x1b]0;title\x07 why")
    scene.board.board.update("evil\u4e16", "\x1b[31mred\n\u202e")
    scene.board.mailbox.send("evil\u4e16", "planner", "\x1b[2J\n" + "\u0301" * 90, subject="\x1b[5m")

    async def steps(app: Board, pilot: Pilot[int]) -> None:
        for size in ((160, 48), (60, 24), (24, 10)):
            await pilot.resize_terminal(*size)
            for key in ("1", "2", "5", "6"):
                await pilot.press(key, "end")
                await pilot.pause()
                for line in strips(app):
                    assert sum(segment.cell_length for segment in line) == size[0]
                    assert all(segment.control is None for segment in line)
                    assert "".join(segment.text for segment in line).isprintable()
                await pilot.press("enter")
                await pilot.pause()
                assert all("".join(segment.text for segment in line).isprintable() for line in strips(app))
                await pilot.press("escape")
                await pilot.pause()

    scene.run(steps)


def test_of_ten_thousand_locks_only_what_is_seen_is_painted(scene: Scene) -> None:
    locks = scene.board.locks
    for part in range(10):
        names = [f"src/{part}/{number // 40}/{number}.py" for number in range(1000)]
        locks.acquire(locks.request(f"agent-{part}", names, bound="agent"))

    async def steps(app: Board, pilot: Pilot[int]) -> None:
        rows = pane(app, 2).rows
        assert len(rows.items) > 10_000
        await pilot.press("2")
        await pilot.pause()
        rows.painted_count = 0
        await pilot.press("end")
        await pilot.pause()
        assert "399.py" in said(app)
        assert 0 < rows.painted_count <= 4 * rows.size.height
        scene.hold("tester", "zz/last.py")
        await until(pilot, lambda: len(pane(app, 1).rows.items) == 11)
        assert "399.py" in said(app)

    scene.run(steps)


def test_trouble_with_the_store_is_said_above_the_last_picture(scene: Scene) -> None:
    scene.busy()
    store = scene.project / "data" / ".agent_locks"

    async def steps(app: Board, pilot: Pilot[int]) -> None:
        store.rename(scene.project / "elsewhere")
        store.write_text("no folder")
        await until(pilot, lambda: "The store cannot be read" in said(app))
        assert "OLD" in screen(app)[0]
        assert "src/core/" in said(app)
        store.unlink()
        await until(pilot, lambda: "The store was removed" in said(app))
        (scene.project / "elsewhere").rename(store)
        await until(pilot, lambda: "live" in screen(app)[0] and "src/core/" in said(app))
        await until(pilot, lambda: "removed" not in said(app) and "cannot be read" not in said(app))

    scene.run(steps)


def test_a_store_that_was_never_read_is_not_said_to_be_empty(scene: Scene) -> None:
    store = scene.project / "data" / ".agent_locks"
    store.parent.mkdir()
    store.write_text("no folder")

    async def steps(app: Board, pilot: Pilot[int]) -> None:
        await until(pilot, lambda: "The store cannot be read" in said(app))
        assert "not read yet" in said(app)
        assert "NOT READ" in screen(app)[0] and "0 locks" not in said(app)
        assert "nothing is held" not in said(app) and "nobody waits" not in said(app)
        store.unlink()
        await until(pilot, lambda: "nothing is held" in said(app) and "0 agents, 0 locks" in said(app))

    scene.run(steps)


def test_both_themes_are_drawn_and_t_goes_between_them(scene: Scene) -> None:
    scene.busy()

    def backgrounds(app: Board) -> set[str]:
        return {
            Color.from_rich_color(segment.style.bgcolor).hex.lower()
            for line in strips(app)
            for segment in line
            if segment.style is not None and segment.style.bgcolor is not None
        }

    async def steps(app: Board, pilot: Pilot[int]) -> None:
        assert look.COLOURS[look.LIGHT]["background"] in backgrounds(app)
        await pilot.press("t")
        await pilot.pause()
        assert look.COLOURS[look.DARK]["background"] in backgrounds(app)
        assert look.COLOURS[look.LIGHT]["background"] not in backgrounds(app)

    scene.run(steps, theme="light")


def test_without_colours_the_cursor_is_still_seen(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    scene.busy()

    async def steps(app: Board, pilot: Pilot[int]) -> None:
        lines = strips(app)
        styles = [segment.style for line in lines for segment in line if segment.style is not None]
        assert {style.color.name for style in styles if style.color is not None} <= {"default"}
        assert {style.bgcolor.name for style in styles if style.bgcolor is not None} <= {"default"}
        (row,) = [line for line in lines if "builder" in "".join(s.text for s in line[:3]) and line[0].text == "▌"]
        assert all(segment.style is not None and segment.style.reverse for segment in row[:3])

    scene.run(steps)


async def question(app: Board, pilot: Pilot[int], key: str) -> None:
    await pilot.press(key)
    await until(pilot, lambda: isinstance(app.screen, Question))


def test_a_lock_is_broken_only_with_a_reason_and_a_yes(scene: Scene) -> None:
    scene.busy()

    async def steps(app: Board, pilot: Pilot[int]) -> None:
        await pilot.press("2", "end")
        await question(app, pilot, "b")
        assert "src/core/b.py" in said(app)
        assert "holder     planner" in said(app)
        await pilot.press("enter", "tab", "enter")  # no reason: yes cannot be chosen, no is what is left
        await until(pilot, lambda: not isinstance(app.screen, Question))
        assert len(scene.board.locks.check(["src/core/b.py"])) == 1

        await question(app, pilot, "b")
        await pilot.press(*"hangs", "escape")
        await until(pilot, lambda: not isinstance(app.screen, Question))
        assert len(scene.board.locks.check(["src/core/b.py"])) == 1

        await question(app, pilot, "b")
        await pilot.press(*"hangs", "enter", "enter")
        await until(pilot, lambda: "operator broke the lock of planner on src/core/b.py: hangs" in said(app))
        assert scene.board.locks.check(["src/core/b.py"]) == []

    scene.run(steps, agent="operator")


def test_only_an_own_lock_is_given_back(scene: Scene) -> None:
    scene.busy()

    async def steps(app: Board, pilot: Pilot[int]) -> None:
        await pilot.press("2", "home", "down", "r")
        await until(pilot, lambda: "planner does not hold this" in said(app))
        await pilot.press("end")
        await question(app, pilot, "r")
        await pilot.press("enter")  # no is at hand
        await until(pilot, lambda: not isinstance(app.screen, Question))
        assert len(scene.board.locks.check(["src/core/b.py"])) == 1
        await question(app, pilot, "r")
        await pilot.press("tab", "enter")
        await until(pilot, lambda: "planner released src/core/b.py" in said(app))
        assert scene.board.locks.check(["src/core/b.py"]) == []

    scene.run(steps, agent="planner")


def test_a_newer_hold_than_the_one_that_was_looked_at_is_left_alone(scene: Scene) -> None:
    scene.busy()

    async def steps(app: Board, pilot: Pilot[int]) -> None:
        await pilot.press("2", "end")
        await question(app, pilot, "b")
        scene.board.locks.release_names("planner", ["src/core/b.py"])
        scene.hold("tester", "src/core/b.py")
        await pilot.press(*"hangs", "enter", "enter")
        await until(pilot, lambda: "Nothing was changed" in said(app) or "held by nobody" in said(app))
        assert [one["agent"] for one in scene.board.locks.check(["src/core/b.py"])] == ["tester"]

    scene.run(steps, agent="operator")


def test_without_an_agent_nothing_can_be_changed(scene: Scene) -> None:
    scene.busy()

    async def steps(app: Board, pilot: Pilot[int]) -> None:
        await pilot.press("2", "end")
        for key in ("b", "r"):
            await pilot.press(key)
            await until(pilot, lambda: "Nothing can be changed" in said(app))
            assert not isinstance(app.screen, Question)

    scene.run(steps)


def test_looking_on_writes_nothing(scene: Scene) -> None:
    scene.busy()
    scene.board.board.publish()

    def everything() -> dict[str, tuple[int, int]]:
        found = scene.project.rglob("*")
        return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in found}

    before = everything()

    async def steps(app: Board, pilot: Pilot[int]) -> None:
        for key in ("1", "enter", "escape", "5", "enter", "escape", "2", "end", "enter", "escape"):
            await pilot.press(key)
            await asyncio.sleep(0)

    scene.run(steps)
    assert everything() == before
