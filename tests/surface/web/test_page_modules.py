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
    assert not board.agent("B").try_lock("a.py")
    commits = served.ask("GET", f"/api/history?after={before['revision']}").json["commits"]

    once, twice = (page.evaluate(FOLD, [before, commits * times]) for times in (1, 2))

    assert once == twice
    assert len(once["conflicts"]) == 1


def test_a_wait_is_over_when_all_is_held_or_its_own_agent_gives_up(page: Page) -> None:
    found = page.evaluate("""async () => {
      const { fold, model } = await import("/fold.js");
      const waiter = (request, agent) => ({ request, agent, names: ["a.py", "b.py"], handoff: null });
      const waiters = [waiter("1", "B"), waiter("2", "C"), waiter("3", "D")];
      const known = model({ revision: 1, agents: {}, waiters, active_locks: [], ended_locks: [] });
      const after = (...events) => {
        fold(known, { revision: known.revision + 1, at: "", events });
        return [...known.waiters.values()].map((one) => `${one.agent} ${one.handoff}`);
      };
      const taken = (agent, name) => ({ event: "lock.acquired", agent, name, waited_s: 1 });
      return [
        after({ event: "lock.wait_ended", agent: "C", names: ["a.py", "b.py"], held_by: [] }),
        after({ event: "handoff.asked", request: "3" }),
        after({ event: "handoff.declined", request: "3" }),
        after(taken("B", "a.py")),
        after(taken("B", "b.py")),
      ];
    }""")
    assert found == [["B null", "D null"], ["B null", "D asked"], *[["B null", "D declined"]] * 2, ["D declined"]]


def test_what_is_over_goes_when_it_is_taken_anew_and_who_leaves_is_gone(page: Page) -> None:
    found = page.evaluate("""async () => {
      const { fold, model } = await import("/fold.js");
      const over = ["a.py", "b.py", "c.py"].map((name) => ({ name, agent: "A", why: "dead" }));
      const held = { name: "d.py", agent: "A", mode: "shared", token: 3 };
      const agents = { A: {}, B: {} };
      const known = model({ revision: 1, agents, waiters: [], active_locks: [held], ended_locks: over });
      fold(known, { revision: 2, at: "", events: [
        { event: "lock.acquired", agent: "A", name: "a.py", waited_s: null },
        { event: "lock.ended", agent: "A", name: "b.py" },
        { event: "lock.upgraded", agent: "A", name: "d.py", mode: "exclusive", token: 9 },
        { event: "agent.left", agent: "B" },
        { event: "of.later.versions", agent: "C" },
      ] });
      const lock = [...known.locks.values()].find((one) => one.name === "d.py");
      return [[...known.ended.values()].map((one) => one.name), [...known.agents.keys()], lock.mode, lock.token];
    }""")
    assert found == [["c.py"], ["A"], "exclusive", 9]


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


def test_closed_folders_count_all_that_is_in_them(page: Page) -> None:
    found = page.evaluate("""async () => {
      const { build } = await import("/tree.js");
      const locks = ["src/a.py", "src/deep/b.py", "src/deep/c.py"].map((name, i) => [name, { name, agent: "AAB"[i] }]);
      const waiter = { agent: "C", names: ["src/deep/b.py", "docs/d.md"] };
      const ended = new Map([["x", { name: "old/x.py", agent: "B" }]]);
      const tree = build({ locks: new Map(locks), ended, waiters: new Map([["r", waiter]]) });
      return tree.children.map((one) => [one.id, one.count, one.waits, [...one.holders]]);
    }""")
    assert found == [["docs/", 0, 1, []], ["old/", 0, 0, []], ["src/", 3, 1, [["A", 2], ["B", 1]]]]


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
        ("\u200eleft\u200fright\u061c", "\\u{200e}left\\u{200f}right\\u{61c}"),
        ("soft\u00adhyphen\ufeff\ufffa", "soft\\u{ad}hyphen\\u{feff}\\u{fffa}"),
        ("\x1b[31m\x7f\x85\x9b\u2028", "\\u{1b}[31m\\u{7f}\\u{85}\\u{9b}\\u{2028}"),
        ("tag\U000e0041\U000e007f", "tag\\u{e0041}\\u{e007f}"),
        ("ada\u3164\u115f\u2800\u034f\u180e", "ada\\u{3164}\\u{115f}\\u{2800}\\u{34f}\\u{180e}"),
        ("ada\ufe0f \u26a0\ufe0f 1\ufe0f\u20e3", "ada\\u{fe0f} \u26a0\ufe0f 1\ufe0f\u20e3"),
        ("<b>&amp;", "<b>&amp;"),
        ("", ""),
    ],
)
def test_text_that_hides_or_reorders_is_spelt_out(page: Page, text: str, shown: str) -> None:
    assert page.evaluate("async (text) => (await import('/text.js')).shown(text)", text) == shown


def test_a_block_keeps_its_lines_and_nothing_else_that_hides(page: Page) -> None:
    found = page.evaluate("async (text) => (await import('/text.js')).shownBlock(text)", "a\tb\r\nc\u202ed\re")
    assert found == "a\tb\nc\\u{202e}d\\u{d}e"


def test_what_is_left_out_is_counted_and_another_day_is_named(page: Page) -> None:
    found = page.evaluate("""async () => {
      const { listing, moment, number } = await import("/text.js");
      const now = new Date(2026, 0, 2, 12).getTime();
      const days = [now, now - 864e5].map((at) => moment(at, now).includes("Jan"));
      return [listing(["a", "b", "c", "d"], 3), listing(["a"], 3), number(1234567), ...days, moment(NaN, now)];
    }""")
    assert found == ["a, b, c and 1 more", "a", "1\u202f234\u202f567", False, True, "?"]


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
                "kind": dice.choice(["hold"] * 9 + ["wait"]),  # among many waits no two holds would ever meet
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


def test_what_is_over_is_drawn_once_from_when_it_began_with_who_was_in_the_way(page: Page) -> None:
    found = page.evaluate("""async () => {
      const { Past } = await import("/spans.js");
      const past = new Past();
      const at = "2026-01-01T10:00:00Z", end = Date.parse(at);
      const events = [
        { event: "lock.waiting", revision: 1, at, agent: "B", names: ["a.py"], blocked_by: ["A"] },
        { event: "lock.released", revision: 2, at, agent: "A", name: "a.py", held_s: 60 },
        { event: "lock.acquired", revision: 2, at, agent: "B", name: "a.py", waited_s: 5 },
        { event: "lock.wait_ended", revision: 3, at, agent: "C", names: ["a.py"], waited_s: 7 },
      ];
      for (const event of [...events, ...events]) past.hear(event);
      const said = (one) => [(end - one.start) / 1000, one.end - end, one.how, one.blockedBy ?? null];
      return past.closed.map((one) => [one.kind, one.agent, ...said(one)]);
    }""")
    assert found == [
        ["hold", "A", 60, 0, "released", None],
        ["wait", "B", 5, 0, "granted", ["A"]],
        ["wait", "C", 7, 0, "in vain", []],
    ]


def test_filter_takes_words_and_one_agent(page: Page) -> None:
    found = page.evaluate("""async () => {
      const { parse } = await import("/board.js");
      const one = parse('SRC agent:"a b" x.py');
      const has = [one.has("src/x.py"), one.has("src/y.py")];
      return [one.agent, ...has, one.wants("a b"), one.wants("a"), parse("  ").isEmpty];
    }""")
    assert found == ["a b", True, False, True, False, True]


SENTENCES = {
    "lock.taken_over": ({"by": "bo", "agent": "ada", "why": "dead"}, "bo took f over from ada: its process had ended"),
    "lock.broken": ({"by": "bo", "agent": "ada", "why": "late"}, "bo broke the hold of ada on f: late"),
    "lock.ended": ({"agent": "ada", "why": "expired"}, "the hold of ada on f is over: its lease had ended"),
    "lock.waiting": ({"agent": "bo", "blocked_by": ["ada", "cy"]}, "bo waits for f, behind ada, cy"),
    "lock.refused": ({"agent": "bo", "held_by": [{"agent": "ada"}]}, "bo was refused f: ada has it"),
    "lock.deadlock": (
        {"agent": "bo", "held_by": [{"agent": "ada"}]},
        "bo was refused f: it would wait for ada, who waits for it",
    ),
    "file.conflict": (
        {"agent": "bo", "held_by": [{"agent": "ada"}], "kind": "foreign-change"},
        "bo changed f, held by ada",
    ),
    "handoff.asked": ({"agent": "bo", "of": ["ada"], "reason": "now"}, "bo asked ada for f: now"),
    "handoff.declined": ({"by": "ada", "agent": "bo", "why": "no"}, "ada declined to hand f to bo: no"),
    "message.sent": ({"from": "ada", "to": None, "subject": "", "excerpt": "hi"}, "ada to everybody: hi"),
    "message.taken": ({"from": "ada", "to": "bo"}, "bo has read mail of ada"),
    "message.acked": ({"from": "ada", "to": "bo"}, "bo has acknowledged mail of ada"),
    "message.dead": ({"from": "ada", "to": "bo"}, "mail of ada to bo was not delivered"),
    "job.expired": ({"agent": "bo", "job": "j"}, "the claim of bo on j ran out"),
    "agent.left": ({"agent": "bo"}, "bo is gone"),
}
CONFLICTS = {
    "refused": "bo was refused f, held by ada",
    "deadlock": "bo and ada would have waited for each other over f",
    "waiting": "bo waited for f, behind ada",
    "wait_ended": "bo waited in vain for f, behind ada",
    "taken_over": "bo took f over from ada",
    "broken": "bo broke the hold of ada on f",
    "foreign-change": "bo changed f, held by ada",
    "bypass": "bo went past the lock of ada on f",
    "overwritten": "git changed f under ada",
    "of later versions": "bo (of later versions): f, held by ada",
}


def test_a_sentence_never_mistakes_who_did_it_for_whom_it_befell(page: Page) -> None:
    events = [{"event": kind, "name": "f", "names": ["f"], **facts} for kind, (facts, _) in SENTENCES.items()]
    conflicts = [{"kind": kind, "names": ["f"], "asked_by": "bo", "held_by": [{"agent": "ada"}]} for kind in CONFLICTS]

    told, met = page.evaluate(
        """async ([events, conflicts]) => {
          const { ofConflict, ofEvent, plain } = await import("/words.js");
          const texts = (all, of) => all.map((one) => plain(of(one).parts));
          return [texts(events, ofEvent), texts(conflicts, ofConflict)];
        }""",
        [events, conflicts],
    )

    assert told == [sentence for _, sentence in SENTENCES.values()]
    assert met == list(CONFLICTS.values())
