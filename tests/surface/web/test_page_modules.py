"""The page's own reckoning, in the browser: folding events, trees of names, lanes, and texts that others wrote."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from latchboard.compose import Latchboard
from latchboard.errors import CoordinationError
from latchboard.locks import handoff
from tests.surface.web.browser import DESKTOP, Window
from tests.surface.web.harness import Served

pytestmark = [
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.needs_tool("chromium"),
]

FOLD = """async ([answer, commits]) => {
  const { fold, model } = await import("/fold.js");
  const known = model(answer);
  for (const commit of commits) fold(known, commit);
  const pick = (one, fields) => Object.fromEntries(fields.map((field) => [field, one[field]]));
  const LOCK = ["name", "agent", "mode", "bound", "token", "reason", "pid"];
  const WAITER = ["request", "agent", "names", "handoff", "reason"];
  const by = (list) => list.map((one) => JSON.stringify(one)).sort();
  return {
    revision: known.revision,
    locks: by([...known.locks.values()].map((one) => pick(one, LOCK))),
    waiters: by([...known.waiters.values()].map((one) => pick(one, WAITER))),
    agents: by([...known.agents].map(([id, one]) => [id, one.status, one.files])),
    conflicts: by(known.conflicts.slice(-50).map((one) => pick(one, ["kind", "revision", "names", "asked_by"]))),
  };
}"""


@pytest.fixture(scope="module")
def page(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """One page for all: it keeps nothing of what its functions are asked."""
    board = Latchboard(tmp_path_factory.mktemp("modules"))
    served, opened = Served(board), Window(browser, DESKTOP)
    yield opened.open(served)
    opened.close()
    served.close()
    board.close()


def act_at_random(board: Latchboard, dice: random.Random) -> None:
    """Something that some agent does; being refused is something as well."""
    agent, name = dice.choice("ABC"), dice.choice(["a.py", "src/b.py", "src/", "glob:*.md", "c.md"])
    locks = board.locks
    try:
        what = dice.randrange(7)
        if what <= 1:
            board.agent(agent).lock(name, bound="agent", shared=what == 1, reason=f"because {dice.random()}")
        elif what == 2:
            locks.release_names(agent, None)
        elif what == 3:
            handoff.ask_and_go(locks, locks.request(agent, [name], bound="agent", reason="please"), wait_s_max=600)
        elif what == 4:
            handoff.break_lock(locks, name, by=agent, reason="in the way")
        elif what == 5:
            board.board.update(agent, f"at {dice.random()}", [name])
        else:
            asked = [one for one in board.board.read()["waiters"] if one["handoff"] == "asked"]
            if asked:
                one = dice.choice(asked)
                decide = handoff.grant if dice.random() < 0.5 else handoff.decline
                decide(locks, one["request"], by=dice.choice(one["blocked_by"] or ["A"]))
    except CoordinationError:
        pass  # refused: that is an event, too


@pytest.mark.parametrize("seed", range(6))
def test_folded_board_is_the_one_that_is_read(served: Served, board: Latchboard, page: Page, seed: int) -> None:
    dice = random.Random(seed)
    act_at_random(board, dice)
    before = served.ask("GET", "/api/board").json

    for _ in range(120):
        act_at_random(board, dice)

    after = served.ask("GET", "/api/board").json
    commits = served.ask("GET", f"/api/history?after={before['revision']}&limit=1000").json["commits"]
    assert len(commits) > 40
    folded = page.evaluate(FOLD, [before, commits])
    read = page.evaluate(FOLD, [after, []])
    folded["revision"] = read["revision"]  # a commit without events may be the last
    assert folded == read


def test_folding_a_commit_twice_changes_nothing(served: Served, board: Latchboard, page: Page) -> None:
    before = served.ask("GET", "/api/board").json
    board.agent("A").lock("a.py", bound="agent")
    board.board.update("A", "here")
    commits = served.ask("GET", f"/api/history?after={before['revision']}").json["commits"]

    once, twice = (page.evaluate(FOLD, [before, commits * times]) for times in (1, 2))

    assert once == twice


def rows_of(page: Page, names: list[str], opened: dict[str, bool] | None = None) -> Any:
    return page.evaluate(
        """async ([names, opened]) => {
          const { build, rows } = await import("/tree.js");
          const locks = new Map(names.map((name) => [name, { name, agent: "A" }]));
          const tree = build({ locks, ended: new Map(), waiters: new Map() });
          const indented = (row) => `${"  ".repeat(row.level - 1)}${row.node.label}`;
          return rows(tree, new Map(Object.entries(opened))).map(indented);
        }""",
        [names, opened or {}],
    )


def test_tree_has_a_place_for_every_kind_of_name(page: Page) -> None:
    names = [
        "src/a.py",
        "src/deep/er/b.py",
        "./",
        "/etc/hosts",
        "glob:src/**/*.py",
        "hardlink:2049-77",
        "hardlink:x/",
        "a",
        "src/c/",
    ]

    assert rows_of(page, names) == [
        "whole project",
        "hardlink:x/",
        "src/",
        "  c/",
        "  deep/er/",
        "    b.py",
        "  a.py",
        "a",
        "hard links",
        "  2049-77",
        "outside the project",
        "  etc/",
        "    hosts",
        "patterns",
        "  src/**/*.py",
    ]


def test_tree_of_many_names_opens_as_much_as_can_be_looked_through(page: Page) -> None:
    names = [f"package{i % 40:02}/part{i % 400:03}/file{i}.py" for i in range(4000)]

    found = rows_of(page, names)

    assert 40 <= len(found) <= 340
    assert len(rows_of(page, names, {"package00/": False})) < len(found)


def test_tree_survives_names_that_mean_something_to_javascript(page: Page) -> None:
    names = [
        "__proto__",
        "constructor/prototype",
        "toString",
        "a//b",
        "/",
        "//",
        "glob:",
        "x" * 4096,
        "ü/\u202egnp.exe",
    ]

    assert len(rows_of(page, names)) >= len(names)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text", "plain text"),
        ("a\nb\tc", "a\\u{a}b\\u{9}c"),
        ("\u202egnp.exe", "\\u{202e}gnp.exe"),
        ("zero\u200bwidth", "zero\\u{200b}width"),
        ("\u2066x\u2069", "\\u{2066}x\\u{2069}"),
        ("grüße 漢字 👩‍🔧", "grüße 漢字 👩\\u{200d}🔧"),
        ("<b>&amp;", "<b>&amp;"),
        ("", ""),
    ],
)
def test_text_that_hides_or_reorders_is_spelt_out(page: Page, text: str, shown: str) -> None:
    assert page.evaluate("async (text) => (await import('/text.js')).shown(text)", text) == shown


def test_half_a_character_is_spelt_out(page: Page) -> None:
    found = page.evaluate("async () => (await import('/text.js')).shown('a' + String.fromCharCode(0xd800) + 'b')")
    assert found == "a\\u{d800}b"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (4800, "1 h 20 min"),
        (90000, "1 d"),
        (-5, "0 s"),
    ],
)
def test_spans_of_time_are_short_words(page: Page, seconds: float, words: str) -> None:
    assert page.evaluate("async (s) => (await import('/text.js')).span(s)", seconds) == words


def test_in_a_lane_no_two_bars_of_a_row_overlap_and_none_is_lost(page: Page) -> None:
    dice = random.Random(7)
    spans = []
    for i in range(500):
        start = dice.randrange(1000)
        end = None if dice.random() < 0.1 else start + dice.randrange(1, 120)
        spans.append(
            {
                "kind": dice.choice(["hold", "wait"]),
                "agent": dice.choice("AB"),
                "name": str(i),
                "start": start,
                "end": end,
            }
        )

    lanes = page.evaluate(
        "async (spans) => (await import('/spans.js')).lanes(['A', 'B', 'C'], spans, 200, 1000, 3)", spans
    )

    assert [lane["agent"] for lane in lanes] == ["A", "B", "C"]
    seen = {
        one["name"] for one in spans if (1000 if one["end"] is None else one["end"]) >= 200 and one["start"] <= 1000
    }
    assert {one["name"] for lane in lanes for one in [*lane["placed"], *lane["rest"]]} == seen
    for lane in lanes:
        for row in range(3):
            bars = sorted((one["start"], one["end"] or 1000) for one in lane["placed"] if one["row"] == row)
            assert all(first[1] <= second[0] for first, second in pairwise(bars))


def test_filter_takes_words_and_one_agent(page: Page) -> None:
    found = page.evaluate("""async () => {
      const { parse } = await import("/board.js");
      const one = parse('SRC agent:"a b" x.py');
      const has = [one.has("src/x.py"), one.has("src/y.py")];
      return [one.agent, ...has, one.wants("a b"), one.wants("a"), parse("  ").isEmpty];
    }""")
    assert found == ["a b", True, False, True, False, True]
