"""Each line takes exactly the cells it is given, whatever is in it, and says in words what its colour says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from latchboard.surface.tui import details, listing, painting, text, tree
from latchboard.surface.tui.listing import Filter
from tests.surface.tui.harness import HOSTILE

if TYPE_CHECKING:
    from latchboard.surface.tui.painting import Painter

AT = "2026-11-21T01:00:00.000000Z"
NOW_S = 1_795_222_920.0  # two minutes later
EVIL = "evil\x1b[2J \u4e16\u202e"


def agent(**changed: Any) -> tuple[str, dict[str, Any]]:
    entry = {"status": "parsing", "files": [], "holds": ["a"], "waits_for": [], "heartbeat_at": AT, "started_at": AT}
    return "planner", {**entry, "pid": 1, "quiet": False, **changed}


def hold(**changed: Any) -> dict[str, Any]:
    entry = {"name": "src/a.py", "agent": "planner", "mode": "exclusive", "bound": "agent", "token": 7, "since": AT}
    return {**entry, "expires_at": "2026-11-21T02:00:00.000000Z", "reason": "two modules", "pid": 1, **changed}


def waiter(**changed: Any) -> dict[str, Any]:
    entry = {"request": "r1", "agent": "builder", "names": ["src/a.py"], "mode": "exclusive", "since": AT}
    return {**entry, "blocked_by": ["planner"], "handoff": None, "reason": "", **changed}


def conflict(**changed: Any) -> dict[str, Any]:
    entry = {"kind": "refused", "revision": 1, "at": AT, "names": ["src/a.py"], "asked_by": "builder"}
    return {**entry, "held_by": [{"agent": "planner"}], "why": "", **changed}


def thread(**changed: Any) -> dict[str, Any]:
    newest = {"from": "builder", "to": "planner", "excerpt": "are you done?\nwith it?"}
    entry = {"thread": "t", "subject": "parser", "agents": ["builder", "planner"], "newest_at": AT, "newest": newest}
    return {**entry, "unacked_count": 0, **changed}


def event(said: str = "planner acquired src/a.py", **changed: Any) -> tuple[dict[str, Any], str]:
    return {"event": "lock.acquired", "revision": 1, "at": AT, "who": "planner", **changed}, said


def nodes(*holds: dict[str, Any], ended: tuple[Any, ...] = (), waiters: tuple[Any, ...] = ()) -> list[Any]:
    made = tree.Tree()
    made.update(holds, ended, waiters)
    return made.lines()


def painted(paint: Painter, item: Any, cells: int) -> str:
    pieces = paint(item, cells, NOW_S)
    assert all(style in ("", "dim", "strong", "wait", "bad") or style.startswith("agent-") for _, style in pieces)
    return "".join(text for text, _ in pieces)


CASES: list[tuple[Any, Any]] = [
    (painting.agent, agent()),
    (painting.agent, agent(quiet=True, status="")),
    (painting.agent, agent(heartbeat_at=None, holds=["a"] * 3000)),
    (painting.agent, agent(waits_for=HOSTILE, status=EVIL * 500)),
    (painting.agent, (EVIL * 20, agent(heartbeat_at="nonsense")[1])),
    (painting.waiter, waiter()),
    (painting.waiter, waiter(names=HOSTILE[:1], blocked_by=[EVIL] * 3, handoff="asked", agent=EVIL)),
    (painting.waiter, waiter(names=["x" * 4096], blocked_by=[])),
    (painting.conflict, conflict()),
    (painting.conflict, conflict(kind="bypass", asked_by="", held_by=[{}], names=HOSTILE, at="\x1b[H")),
    (painting.conflict, conflict(asked_by=EVIL * 30, names=[HOSTILE[-2]])),
    (painting.thread, thread()),
    (painting.thread, thread(subject=EVIL, unacked_count=12, newest={"from": EVIL, "to": None, "excerpt": EVIL * 9})),
    (painting.event, event()),
    (painting.event, event(EVIL * 90, event="lock.broken")),
    *((painting.node, node) for node in nodes(hold(), hold(agent="b"), waiters=(waiter(handoff="asked"),))),
    *((painting.node, node) for node in nodes(ended=({**hold(), "why": "expired"},), waiters=(waiter(reason=EVIL),))),
    *((painting.node, node) for node in nodes(*(hold(name=name, agent=EVIL, reason=EVIL) for name in HOSTILE))),
    *((painting.node, node) for node in nodes(*(hold(name="d/" * at + "x") for at in range(1, 60)))),
]


@pytest.mark.parametrize("cells", [24, 38, 58, 64, 78, 118, 200])
def test_a_line_takes_the_cells_it_is_given(cells: int) -> None:
    for paint, item in CASES:
        line = painted(paint, item, cells)

        assert text.width(line) == cells, (paint.__name__, item, line)
        assert line.isprintable()


@pytest.mark.parametrize(
    ("paint", "item", "said"),
    [
        (painting.agent, agent(), "● planner parsing 1 lock 2m"),
        (painting.agent, agent(quiet=True), "○ planner quiet parsing 1 lock 2m"),
        (painting.agent, agent(waits_for=["b"], holds=[]), "● planner waits for b parsing 2m"),
        (painting.waiter, waiter(handoff="asked"), "builder src/a.py behind planner, asked for it 2m"),
        (painting.conflict, conflict(), "01:00:00 builder was refused src/a.py, held by planner"),
        (painting.conflict, conflict(kind="waiting"), "01:00:00 builder had to wait for src/a.py, behind planner"),
        (painting.conflict, conflict(kind="taken_over"), "01:00:00 builder took src/a.py over from planner"),
        (painting.conflict, conflict(kind="broken"), "01:00:00 builder broke the lock of planner on src/a.py"),
        (
            painting.conflict,
            conflict(kind="bypass", asked_by=""),
            "01:00:00 somebody changed src/a.py, held by planner",
        ),
        (
            painting.thread,
            thread(unacked_count=2),
            "builder → planner parser: are you done?\\nwith it? 2 unanswered 2m",
        ),
        (painting.event, event(), "01:00:00 planner acquired src/a.py"),
    ],
)
def test_what_a_colour_says_a_word_says_too(paint: Painter, item: Any, said: str) -> None:
    assert painted(paint, item, 76).split() == said.split()


def test_a_file_says_who_has_it_how_long_and_who_waits() -> None:
    folder, file, waits = nodes(hold(), waiters=(waiter(handoff="asked", reason="the build"),))

    assert painted(painting.node, folder, 76).rstrip() == "▾ src/  1 file, planner"
    assert painted(painting.node, file, 76).split() == ["a.py", "planner", "58m", "+1", "two", "modules"]
    assert painted(painting.node, waits, 76).rstrip() == "    └ builder asks for it, 2m: the build"
    assert painted(painting.node, file, 40).split() == ["a.py", "planner", "58m", "+1"]


def test_who_shares_a_file_is_named_and_that_it_is_shared() -> None:
    _, file = nodes(hold(mode="shared"), hold(agent="builder", mode="shared"))

    assert painted(painting.node, file, 118).split()[:5] == ["a.py", "(shared)", "planner,", "buil…", "58m"]


def test_a_hold_that_is_over_is_free_and_says_why() -> None:
    _, file = nodes(ended=({**hold(), "why": "expired"},))

    assert painted(painting.node, file, 76).split() == ["a.py", "free,", "expired:", "planner"]


def test_the_newest_comes_first_and_who_is_quiet_last() -> None:
    everybody = {"z": agent()[1], "a": agent(quiet=True)[1], "b": agent()[1]}

    assert [name for name, _ in listing.agents(everybody, Filter())] == ["b", "z", "a"]
    assert [one["revision"] for one in listing.conflicts([conflict(), conflict(revision=2)], Filter())] == [2, 1]


@pytest.mark.parametrize(
    ("words", "found"),
    [("", 2), ("planner", 2), ("MODULES", 2), ("b.py", 1), ("b.py planner", 1), ("b.py tester", 0), ("  ", 2)],
)
def test_a_filter_wants_all_words_in_any_case(words: str, found: int) -> None:
    holds = [hold(), hold(name="src/b.py")]

    assert len(list(listing.holds(holds, Filter(words)))) == found


def test_every_list_is_filtered_by_what_it_shows() -> None:
    wanted, other = Filter("parser"), Filter("lexer")

    for one in (wanted, other):
        found = [
            listing.agents({"x": agent(status="the parser")[1]}, one),
            list(listing.holds([hold(reason="the parser")], one)),
            listing.waiters([waiter(reason="the parser")], one),
            listing.conflicts([conflict(why="the parser")], one),
            listing.threads([thread()], one),
            listing.events([event("the parser")], one),
        ]
        assert [len(entries) for entries in found] == [1 if one is wanted else 0] * 6


def test_details_say_everything_and_steer_nothing() -> None:
    message = {
        "from": EVIL,
        "to": None,
        "sent_at": AT,
        "urgency": "high",
        "body": f"{EVIL}\n\tline two",
        "deliveries": [],
    }
    pages = [
        details.page(1, (EVIL, agent(holds=HOSTILE * 100)[1]), NOW_S),
        *(details.page(2, node, NOW_S) for node in nodes(hold(agent=EVIL), waiters=(waiter(),))),
        *(details.page(2, node, NOW_S) for node in nodes(ended=({**hold(), "why": "dead"},))),
        details.page(3, waiter(names=HOSTILE), NOW_S),
        details.page(4, conflict(names=HOSTILE), NOW_S),
        ("Conversation", details.thread(thread(), [message])),
        ("Conversation", details.thread(thread(), None)),
        details.page(6, event(EVIL, names=HOSTILE, token=None), NOW_S),
    ]

    for title, facts in pages:
        assert title
        assert all(label.isprintable() and said.isprintable() for label, said in facts)
    assert ("", "and 700 more") in pages[0][1]
    assert ("holder", text.shown(EVIL)) in pages[2][1]
    assert ("over", "dead; free to take") in pages[5][1]
    assert ("", "    line two") in pages[8][1]
