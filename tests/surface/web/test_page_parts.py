"""Parts of the page in the browser, each by itself: no board behind it, and a network that answers what a test says."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page

pytestmark = [
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.needs_tool("chromium"),
]

# -- the line to the daemon -------------------------------------------------------------------------------------------


def test_a_line_goes_on_behind_what_was_heard_last_and_tells_of_every_gap(bare: Page) -> None:
    lines = [
        "event: ready\r\ndata: {}\r\n\r\nevent: commit\r\n"
        'data: {"revision": 7, "by": "grüße 漢字"}\r\n\r\n: sign\r\n\r\n',
        'event: skipped\ndata: {"revision": 20}\n\nevent: trouble\ndata: {"message": "damaged"}\n\n',
        'event: compacted\ndata: {"revision": 3}\n\n',
    ]

    found = bare.evaluate(
        """async (texts) => {
          const { Stream } = await import("/stream.js");
          const asked = [], heard = [];
          window.fetch = async (address) => {
            asked.push(address);
            if (!texts.length) return Response.json({ message: "who are you?" }, { status: 403 });
            const bytes = new TextEncoder().encode(texts.shift());
            return new Response(new ReadableStream({ start(line) {
              for (let at = 0; at < bytes.length; at += 7) line.enqueue(bytes.slice(at, at + 7));
              line.close();
            } }));
          };
          const stream = new Stream({
            onCommit: (commit) => heard.push(`commit ${commit.revision} by ${commit.by}`),
            onGap: (revision) => heard.push(`gap ${revision}`),
            onState: (state) => {
              heard.push(state);
              stream.isClosed ||= asked.length > 9;
              setTimeout(() => stream.hurry());
            },
          });
          await stream.run(5);
          return { asked, heard };
        }""",
        lines,
    )

    assert found["asked"] == [f"/api/events?after={revision}" for revision in (5, 7, 20, 3)]
    first = ["live", "commit 7 by grüße 漢字", "lost"]
    assert found["heard"] == [*first, "live", "gap 20", "trouble", "lost", "live", "gap 3", "lost", "refused"]


def test_a_line_that_stays_silent_is_given_up_and_one_with_signs_is_not(bare: Page) -> None:
    found = bare.evaluate("""async () => {
      const { Stream } = await import("/stream.js");
      const timers = new Map(), heard = [];
      let line = null, count = 0;
      window.setTimeout = (act, ms) => { timers.set(++count, { act, ms }); return count; };
      window.clearTimeout = (id) => timers.delete(id);
      window.fetch = async (_, { signal }) => new Response(new ReadableStream({ start(made) {
        line = made;
        signal.addEventListener("abort", () => made.error(signal.reason));
      } }));
      const on = () => {};
      const stream = new Stream({ onCommit: on, onGap: on, onState: (state) => heard.push(state) });
      stream.run(1);
      await until(() => line);
      const [first] = timers.keys();
      line.enqueue(new TextEncoder().encode(": sign\\n\\n"));
      await until(() => !timers.has(first));
      const wasPutOff = !timers.has(first), before = [...heard], [last] = timers.values();
      stream.isClosed = true;
      last.act();
      await until(() => heard.length);
      return { wasPutOff, before, ms: last.ms, heard };
    }""")
    assert found == {"wasPutOff": True, "before": [], "ms": 40_000, "heard": ["lost"]}


def test_a_page_that_is_looked_at_again_waits_no_longer(bare: Page) -> None:
    asked = bare.evaluate("""async () => {
      const { Stream } = await import("/stream.js");
      let asked = 0;
      window.setTimeout = () => 0; // no time passes
      window.fetch = async () => { asked++; throw new TypeError("nobody answers"); };
      const on = () => {};
      const stream = new Stream({ onCommit: on, onGap: on, onState: on });
      stream.run(1);
      await until(() => stream.wake);
      const before = asked;
      document.dispatchEvent(new Event("visibilitychange"));
      await until(() => asked > 1 && stream.wake);
      dispatchEvent(new Event("online"));
      await until(() => asked > 2);
      stream.isClosed = true;
      return [before, asked];
    }""")
    assert asked == [1, 3]


def test_what_commits_do_not_say_is_read_behind_each_and_when_the_daemon_is_back(bare: Page) -> None:
    found = bare.evaluate("""async () => {
      const { Board } = await import("/board.js");
      const { model } = await import("/fold.js");
      const later = window.setTimeout;
      window.setTimeout = (act) => later(act, 0);
      let reads = 0;
      window.fetch = async () => { reads++; return Response.json(answer(7)); };
      const board = new Board();
      board.live = model(answer(5));
      board.marks = [{ revision: 5, at: 0 }];
      const look = async () => { await until(() => reads && !board.reading); const n = reads; reads = 0; return n; };
      board.hear({ revision: 7, at: "2026-01-01T10:00:00Z", events: [] });
      const behind = await look();
      board.tell("lost", "away");
      board.tell("live", "");
      return [behind, await look(), board.marks.map((mark) => mark.revision)];
    }""")
    assert found == [1, 1, [5, 7]]


def test_what_is_heard_while_the_board_is_read_is_kept_and_an_older_answer_is_not(bare: Page) -> None:
    found = bare.evaluate("""async () => {
      const { Board } = await import("/board.js");
      const { model } = await import("/fold.js");
      let give = null;
      window.fetch = () => new Promise((done) => { give = (facts) => done(Response.json(facts)); });
      const at = "2026-01-01T10:00:00Z";
      const taken = { event: "lock.acquired", at, agent: "A", waited_s: null };
      const commit = (revision) => ({ revision, at, events: [{ ...taken, revision, name: `${revision}.py` }] });
      const board = new Board();
      board.live = model(answer(5));
      let reading = board.read();
      board.hear(commit(7));
      clearTimeout(board.settling);
      give(answer(6, { agents: { B: {} } }));
      await reading;
      const names = [...board.live.agents.keys(), ...[...board.live.locks.values()].map((lock) => lock.name)];
      reading = board.read();
      give(answer(4));
      await reading;
      board.hearPast([commit(4), commit(7)]);
      return { names, revision: board.live.revision, log: board.log.map((event) => event.revision) };
    }""")
    assert found == {"names": ["B", "A", "7.py"], "revision": 7, "log": [4, 7]}


def test_a_page_that_is_opened_while_the_store_is_away_blames_no_daemon_that_answers(bare: Page) -> None:
    found = bare.evaluate("""async () => {
      const { Board } = await import("/board.js");
      const later = [];
      window.setTimeout = (does) => later.push(does);
      const board = new Board();
      const seen = [];
      const away = { code: "store-unavailable", message: "etcd is away" };
      for (const [state, answers] of [
        ["trouble", async () => Response.json(away, { status: 503 })],
        ["failed", async () => { throw new TypeError("nobody there"); }],
        ["loading", async () => new Promise(() => {})],
      ]) {
        window.fetch = answers;
        if (later.length) later.pop()(); else board.start();
        await until(() => board.state === state);
        seen.push(`${board.state} ${board.why}`);
      }
      return seen;
    }""")
    assert found == ["trouble etcd is away", "failed the daemon does not answer", "loading "]


def test_time_is_the_daemons_not_that_of_whoever_looks(bare: Page) -> None:
    ahead_ms = bare.evaluate("""async () => {
      const { Board } = await import("/board.js");
      window.fetch = async () => Response.json(answer(5, { now: new Date(Date.now() + 3600e3).toISOString() }));
      const board = new Board();
      await board.read();
      return board.now() - Date.now();
    }""")
    assert ahead_ms == pytest.approx(3600e3, abs=60e3)


def test_of_moments_looked_at_in_haste_the_last_one_counts(bare: Page) -> None:
    found = bare.evaluate("""async () => {
      const { Board } = await import("/board.js");
      const { model } = await import("/fold.js");
      const given = [];
      const asked = (address) => Response.json(answer(Number(address.split("=")[1])));
      window.fetch = (address) => new Promise((done) => given.push(() => done(asked(address))));
      const board = new Board();
      board.live = model(answer(9));
      let looking = board.look(3);
      board.look(2);
      given[0]();
      await until(() => given.length > 1);
      given[1]?.();
      await looking;
      const hasty = board.was.revision, then = board.now();
      looking = board.look(4);
      board.look(null);
      given.at(-1)();
      await looking;
      return { hasty, then, was: board.was };
    }""")
    assert found == {"hasty": 2, "then": 1767261600000, "was": None}


# -- acting -----------------------------------------------------------------------------------------------------------

FORM = """async ({ what, given, fields, status, facts }) => {
  const acting = await import("/acting.js");
  const posts = [], said = [];
  let shown = null;
  window.fetch = async (address, { body }) => {
    posts.push([address, JSON.parse(body)]);
    return Response.json(facts, { status });
  };
  const drawer = { ask: (form) => { shown = form; document.body.replaceChildren(...(form ? [form] : [])); } };
  acting[what]({ drawer, board: { settle() {} }, say: (text) => said.push(text) }, ...given);
  const form = shown, go = form.querySelector("[type=submit]"), wrong = form.querySelector(".wrong");
  for (const [name, value] of Object.entries(fields)) {
    form.elements[name][value === true ? "checked" : "value"] = value;
  }
  go.click();
  go.click();
  await until(() => (said.length || wrong.textContent) && !go.disabled);
  return { posts, said: said.join(), wrong: wrong.textContent, isOver: !shown, isDead: go.disabled };
}"""


def give(page: Page, what: str, *given: Any, status: int = 200, facts: dict[str, Any], **fields: Any) -> Any:
    """Fill a form, press its button twice, and see what was posted and said."""
    asked = {"what": what, "given": given, "fields": fields, "status": status, "facts": facts}
    return page.evaluate(FORM, asked)


HELD = {"agent": "ada", "name": "src/a.py", "token": 7}


def test_a_release_names_the_very_hold_and_is_sent_once(bare: Page) -> None:
    found = give(bare, "release", HELD, facts={"released": ["src/a.py"]})

    assert found["posts"] == [["/api/release", {"agent": "ada", "paths": ["src/a.py"], "token": 7}]]
    assert (found["said"], found["isOver"]) == ("Released src/a.py", True)


def test_a_release_that_came_too_late_is_not_told_as_one(bare: Page) -> None:
    found = give(bare, "release", HELD, facts={"released": []})
    assert found["said"] == "ada did not hold src/a.py any more"


def test_a_refusal_is_shown_with_its_way_out_and_may_be_tried_again(bare: Page) -> None:
    refusal = {"message": "bo\u202e holds it", "hint": "Ask bo"}

    found = give(bare, "release", HELD, status=409, facts=refusal)

    assert found["wrong"] == "bo\\u{202e} holds it. Ask bo"
    assert (found["said"], found["isOver"], found["isDead"]) == ("", False, False)


def test_what_is_chosen_in_a_form_is_what_is_sent(bare: Page) -> None:
    wanted = give(
        bare, "askFor", "src/a.py", ["ada"], facts={"granted": True}, agent=" carla ", reason="r", wait="1800"
    )
    facts = {"to": "ada", "known": ["bo"]}
    sent = give(bare, "compose", facts, facts={}, to="bo", subject="Hello", body="b", ack=True, urgent=True)

    ((_, asked),) = wanted["posts"]
    assert asked == {"action": "request", "agent": "carla", "paths": ["src/a.py"], "reason": "r", "wait_s_max": 1800}
    assert wanted["said"] == "You hold src/a.py: it was free"
    ((_, letter),) = sent["posts"]
    assert letter == {"agent": "carla", "to": "bo", "subject": "Hello", "body": "b", "ack": True, "urgency": "urgent"}


NAME = """async ({ was, state, kind }) => {
  const { content } = await import("/details.js");
  const { model } = await import("/fold.js");
  const { parse } = await import("/board.js");
  const since = new Date().toISOString();
  const shown = model(answer(5, {
    agents: { ada: { status: "", files: [] } },
    active_locks: [{ name: "a.py", agent: "ada", mode: "exclusive", bound: "agent", token: 7, reason: "", since }],
    waiters: [{ request: "r", agent: "bo", names: ["a.py"], handoff: "asked", blocked_by: ["ada"], since }],
  }));
  const group = { holds: [], ended: [], waits: [] };
  const grouped = { groups: new Map([["ada", group]]) };
  const board = { shown, was: was ? shown : null, state, now: () => Date.now(), filter: parse(""), grouped };
  const what = kind === "name" ? { kind, name: "a.py" } : { kind, agent: "ada" };
  const found = content({ board }, what);
  document.body.replaceChildren(...[found.draw(), found.acts()].flat(2).filter(Boolean));
  return [...document.querySelectorAll("button:not(.link)")].map((one) => one.textContent);
}"""


@pytest.mark.parametrize(("was", "state"), [(True, "live"), (False, "lost"), (False, "trouble")])
def test_nothing_can_be_done_to_the_past_or_without_a_daemon(bare: Page, was: bool, state: str) -> None:
    assert bare.evaluate(NAME, {"was": was, "state": state, "kind": "name"}) == []
    assert bare.evaluate(NAME, {"was": was, "state": state, "kind": "agent"}) == ["Show only this agent"]


def test_on_a_live_board_everything_can_be_done(bare: Page) -> None:
    every = ["Hand over", "Decline", "Message ada", "Ask for it", "Release", "Break"]
    assert bare.evaluate(NAME, {"was": False, "state": "live", "kind": "name"}) == every


def test_a_form_that_is_being_filled_stays_while_the_board_changes(bare: Page) -> None:
    found = bare.evaluate("""async () => {
      const { Drawer } = await import("/drawer.js");
      const drawer = new Drawer(document.querySelector("dialog"), {});
      let version = 1;
      const acts = () => [`acts ${version}`];
      drawer.open({ key: () => version, title: () => "T", draw: () => [`at ${version}`], acts });
      const form = document.createElement("form");
      form.append(document.createElement("textarea"));
      drawer.ask(form);
      form.firstChild.value = "typed with care";
      version = 2;
      drawer.draw();
      return [drawer.body.textContent, drawer.acts.querySelector("textarea")?.value, document.activeElement.tagName];
    }""")
    assert found == ["at 2", "typed with care", "TEXTAREA"]


# -- what is told -----------------------------------------------------------------------------------------------------


def test_a_card_tells_of_its_lease_and_its_next_attempt_and_the_head_of_what_is_not_known(bare: Page) -> None:
    found = bare.evaluate("""async () => {
      const { view } = await import("/queue.js");
      const { parse } = await import("/board.js");
      const now = Date.now(), iso = (ms) => new Date(ms).toISOString();
      const job = {
        title: "", role: "builder", owner: null, since: iso(now), remaining_s: null, waits_for: [], ready_at: null,
        attempts_count: 1, attempts_max: 3, error: "", priority: 5, status: "ready",
      };
      const late = { ...job, id: "late", remaining_s: -1 };
      const [soon, due] = [330e3, -1e3].map((ms) => ({ ...job, id: `${ms}`, ready_at: iso(now + ms) }));
      const columns = [{ status: "ready", is_work: false, count: 3, jobs: [late, soon, due] }];
      const total = { limit: 3, in_progress: 3 };
      const facts = { revision: 1, now: iso(now), jobs_count: 3, roles: {}, total, stuck: [], damaged: [], columns };
      const answers = [Response.json(facts), Response.json({ message: "damaged" }, { status: 500 })];
      window.fetch = async () => answers.shift();
      const at_once = window.setTimeout;
      window.setTimeout = (act) => at_once(act, 0);
      const place = document.querySelector("#place"), meta = place.querySelector(".meta");
      const board = { shown: {}, was: null, state: "live", filter: parse("") };
      const drawn = view.mount(place, { board });
      const read = () => new Promise((done) => { board.changed = done; drawn.draw(board); });
      await read();
      drawn.draw(board);
      const notes = [...place.querySelectorAll(".card-note")].map((one) => one.textContent);
      const full = place.querySelector(".wip li").textContent;
      board.was = {};
      drawn.draw(board);
      const then = meta.textContent;
      drawn.hear({ events: [{ event: "job.claimed" }] });
      await read();
      drawn.draw(board);
      return { notes, full, then, why: meta.textContent, cards: place.querySelectorAll(".card").length };
    }""")
    assert found == {
        "notes": ["its lease has run out", "again in 5 min", "about to be ready"],
        "full": "all3 of 3, full",
        "then": "3 jobs, as it is now, not as it was",
        "why": "cannot be read just now: damaged",
        "cards": 3,
    }


def test_mail_and_events_after_the_moment_looked_at_are_not_shown(bare: Page) -> None:
    found = bare.evaluate("""async () => {
      const { parse } = await import("/board.js");
      const counts = { messages_count: 1, waiting_count: 2, unacked_count: 1 };
      const one = { agents: ["ada"], subject: "", newest: { excerpt: "" }, ...counts };
      const thread = (at) => ({ ...one, thread: at, newest_at: at, first_at: at });
      const [early, late] = ["2026-01-01T10:00:00Z", "2026-01-01T12:00:00Z"];
      let reads = 0;
      window.fetch = async () => { reads++; return Response.json({ threads: [thread(late), thread(early)] }); };
      const later = window.setTimeout;
      window.setTimeout = (act) => later(act, 0);
      const log = [early, late].map((at, i) => ({ event: "agent.left", agent: `a${i}`, revision: i + 1, at }));
      const board = { shown: {}, was: null, state: "live", filter: parse(""), log, version: 0, changed() {} };
      const texts = async (name) => {
        const place = document.querySelector("#place").cloneNode(true);
        document.body.append(place);
        const { view } = await import(`/${name}.js`);
        const drawn = view.mount(place, { board });
        const rows = () => place.querySelectorAll(".row").length;
        const look = async (was, count) => {
          Object.assign(board, { was, version: board.version + 1, now: () => Date.parse(was ? early : late) });
          drawn.draw(board);
          await until(() => rows() === count || (drawn.draw(board), rows() === count));
          return rows();
        };
        const found = [await look(null, 2), await look({ revision: 1 }, 1)];
        drawn.hear?.({ events: [{ event: "message.sent" }] });
        drawn.draw(board);
        await until(() => reads > 1);
        return [...found, place.querySelector(".thread-facts")?.textContent ?? ""];
      };
      return { mail: await texts("conversations"), reads, events: await texts("activity") };
    }""")
    assert found == {"mail": [2, 1, "2 not read, 1 to acknowledge"], "reads": 2, "events": [2, 1, ""]}


def test_a_conflict_of_which_the_diff_is_kept_is_told_once_and_put_back_no_more_an_alarm(bare: Page) -> None:
    found = bare.evaluate("""async () => {
      const { view } = await import("/conflicts.js");
      const { parse } = await import("/board.js");
      const at = "2026-01-01T10:00:00Z";
      const change = { id: "1", by: "bo", holder: "ada", files: [{ name: "f" }], restored: [], found_at: at };
      const back = { ...change, id: "2", files: [{ name: "g" }], restored: [{ name: "g" }] };
      window.fetch = async () => Response.json({ conflicts: [change, back] });
      const met = { at, asked_by: "bo", held_by: [{ agent: "ada" }], names: ["f"] };
      const conflicts = [{ ...met, kind: "foreign-change", revision: 5 }, { ...met, kind: "refused", revision: 4 }];
      const board = { shown: { conflicts }, state: "live", filter: parse(""), version: 1, now: () => Date.parse(at) };
      const place = document.querySelector("#place"), tallies = [];
      let isRead = false;
      board.changed = () => { isRead = true; };
      const drawn = view.mount(place, { board, tally: (_, n) => tallies.push(n) });
      drawn.draw(board);
      await until(() => isRead);
      board.version++;
      drawn.draw(board);
      const texts = [...place.querySelectorAll(".row .sentence")].map((one) => one.title);
      return [texts.sort(), tallies, place.querySelector(".meta").textContent];
    }""")
    told = [f"bo changed {name}, held by ada ({what})" for name, what in (("f", "diff kept"), ("g", "put back"))]
    assert found == [[*told, "bo was refused f, held by ada"], [1, 1], "3 of late, 1 to look at"]


def test_the_row_that_is_meant_stays_meant_wherever_it_goes(bare: Page) -> None:
    found = bare.evaluate("""async () => {
      const { List } = await import("/list.js");
      const opened = [];
      const list = new List(document.querySelector(".body"), {
        role: "listbox", itemRole: "option", label: "L", id: (row) => row.id, open: (row) => opened.push(row.id),
        draw: (row, element) => { element.textContent = row.id; },
      });
      const rows = (...ids) => list.set(ids.map((id) => ({ id })));
      const press = (key) => list.scroller.dispatchEvent(new KeyboardEvent("keydown", { key }));
      rows("a", "b", "c");
      list.go(1);
      rows("new", "a", "b", "c");
      press("Enter");
      const meant = document.getElementById(list.scroller.getAttribute("aria-activedescendant")).textContent;
      rows("new", "a", "c");
      press("Enter");
      return { opened, meant, left: list.scroller.getAttribute("aria-activedescendant") };
    }""")
    assert found == {"opened": ["b"], "meant": "b", "left": None}


def test_a_hold_is_told_with_what_ends_it(bare: Page) -> None:
    found = bare.evaluate("""async () => {
      const { content } = await import("/details.js");
      const { model } = await import("/fold.js");
      const now = Date.now(), iso = (s) => new Date(now + s * 1000).toISOString();
      const lock = { name: "f", agent: "ada", mode: "exclusive", token: 7, reason: "", since: iso(-60), pid: 12 };
      const shown = model(answer(5, {
        agents: { ada: { status: "", files: [] } },
        active_locks: [
          { ...lock, bound: "process", expires_at: iso(90) },
          { ...lock, agent: "bo", bound: "agent", mode: "shared", expires_at: iso(-1) },
        ],
        ended_locks: [{ ...lock, agent: "cy", why: "dead" }],
        waiters: [{ request: "r", agent: "di", names: ["f"], blocked_by: ["ada"], since: iso(-61) }],
      }));
      const group = { holds: [], ended: [], waits: [...shown.waiters.values()] };
      const grouped = { groups: new Map([["di", group]]) };
      const board = { shown, was: null, state: "live", now: () => now, grouped };
      const told = (what) => {
        document.body.replaceChildren(...content({ board }, what).draw().flat().filter(Boolean));
        return (of) => [...document.querySelectorAll(of)].map((one) => one.textContent);
      };
      const name = told({ kind: "name", name: "f" });
      const facts = [name("h3"), name("dd").filter((_, i) => i % 5 === 1 || i % 5 === 2), name(".part > p:not(.hold)")];
      return [...facts, told({ kind: "agent", agent: "di" })("li .hint")];
    }""")
    assert found == [
        ["Held", "Held, shared", "Over, and free to take", "In line (1)"],
        [
            "1 min left, if it is not renewed",
            "its process: free when that ends",
            "ends just now",
            "the agent: kept when its process ends",
        ],
        ["CYcy had it until its process ended"],
        ["behind ada, for 1 min"],
    ]


def test_letters_say_who_read_them_and_how_many_there_are_before(bare: Page) -> None:
    found = bare.evaluate("""async () => {
      const { content } = await import("/details.js");
      const deliveries = ["waiting", "delivered", "acked", "dead"].map((state, i) => ({ agent: `a${i}`, state }));
      const letter = { from: "ada", to: null, sent_at: new Date().toISOString(), body: "zero\\u200bwidth\\nline" };
      const messages = [{ ...letter, deliveries, ack: "none", urgency: "normal" }];
      window.fetch = async () => Response.json({ messages, left_count: 3 });
      let isRead = false;
      const drawer = { draw: () => { isRead = true; } };
      const app = { board: { log: [], now: () => Date.now(), state: "live" }, drawer };
      const found = content(app, { kind: "thread", thread: "t", agents: ["ada"], subject: "" });
      await until(() => isRead);
      document.body.replaceChildren(...found.draw().filter(Boolean));
      const text = (of) => document.querySelector(of).textContent;
      return [text(".hint"), text(".letter-head").includes("to everybody"), text(".letter"), text("li .hint")];
    }""")
    states = "a0: not read yet, a1: read, a2: acknowledged, a3: never read"
    assert found == ["3 earlier messages not shown", True, "zero\\u{200b}width\nline", states]


def test_a_change_that_nobody_saw_being_made_is_told_as_a_guess(bare: Page) -> None:
    said = bare.evaluate("""async () => {
      const { content } = await import("/details.js");
      window.fetch = () => new Promise(() => {});
      const found_at = new Date().toISOString();
      const conflict = { id: "c", by: "bo", certain: false, holder: "ada", files: [], restored: [], found_at };
      const found = content({ board: { now: () => Date.now() } }, { kind: "kept", id: "c", conflict });
      return found.draw()[0].textContent;
    }""")
    assert "bo (not certain) changed" in said


LANES = """async (isPast) => {
  const { view } = await import("/timeline.js");
  const { parse } = await import("/board.js");
  const { agentOrder, byAgent, model } = await import("/fold.js");
  const now = Date.now(), iso = (s) => new Date(now - s * 1000).toISOString();
  const lock = (name, s) => ({ agent: "ada", name, mode: "exclusive", token: 7, reason: "", since: iso(s) });
  const waiter = (agent, ...blocked_by) => ({ request: agent, agent, names: ["a.py"], blocked_by, since: iso(60) });
  const shown = model(answer(5, {
    active_locks: [lock("b.py", 300), lock("a.py", 200)], waiters: [waiter("bo", "ada"), waiter("cy", "ada", "bo")],
  }));
  const later = { kind: "hold", agent: "ada", name: "a.py", start: now - 200e3, end: now + 60e3, how: "released" };
  const groups = byAgent(shown), grouped = { groups, order: agentOrder(shown, groups) };
  const past = { closed: [later] }, was = isPast ? shown : null;
  const board = { shown, grouped, past, was, filter: parse(""), version: 1, now: () => now };
  const place = document.querySelector("#place");
  view.mount(place, { board }).draw(board);
  await until(() => place.querySelector(".bar"));
  const number = (one, name) => Number(one.getAttribute(name));
  const held = [...place.querySelectorAll(".bar.hold")].filter((one) => one.textContent === "a.py");
  const [top, high] = ["y", "height"].map((name) => number(held[0].querySelector("rect"), name));
  const ends = [...place.querySelectorAll(".link-end")].map((one) => number(one, "cy"));
  return { held: held.length, links: ends.length, areAtIt: ends.every((y) => y > top && y < top + high) };
}"""


def test_waits_are_drawn_to_who_holds_and_not_to_who_waits_too(bare: Page) -> None:
    assert bare.evaluate(LANES, True) == {"held": 1, "links": 2, "areAtIt": True}


def test_the_slider_says_what_is_looked_at_and_its_right_end_is_now(bare: Page) -> None:
    found = bare.evaluate("""async () => {
      const { mount } = await import("/past.js");
      const place = document.querySelector("#place"), looked = [];
      const at = Date.now() - 120e3;
      const marks = [1, 5, 9].map((revision) => ({ revision, at }));
      const board = { live: { revision: 9 }, was: null, marks, offset: 0, look: (revision) => looked.push(revision) };
      const drawn = mount(place, { board });
      const slider = place.querySelector("input"), on = place.querySelector("[title='One commit on']");
      const said = () => slider.getAttribute("aria-valuetext");
      const pull = (value) => {
        slider.value = value;
        for (const kind of ["input", "change"]) slider.dispatchEvent(new Event(kind));
      };
      drawn.draw(board);
      const first = [slider.value, said()];
      pull(1);
      board.wanted = looked.at(-1);
      drawn.draw(board);
      const asked = [slider.value, said()];
      pull(2);
      board.was = { revision: 5, asked: 5, at: new Date(at).toISOString() };
      drawn.draw(board);
      const then = [slider.value, said().endsWith("2 min ago"), document.body.hasAttribute("data-past")];
      for (const commits of [[{ revision: 7 }], [{ revision: 9 }], []]) {
        window.fetch = async () => Response.json({ commits });
        const before = looked.length;
        on.click();
        await until(() => looked.length > before);
      }
      return { first, asked, looked, then };
    }""")
    assert found == {
        "first": ["2", "now, live"],
        "asked": ["1", "now, live"],
        "looked": [5, None, 7, None, None],
        "then": ["1", True, True],
    }


BOARD = """async (name) => {
  const { view } = await import(`/${name}.js`);
  const { parse } = await import("/board.js");
  const { agentOrder, byAgent, model } = await import("/fold.js");
  const now = Date.now(), since = new Date(now - 125e3).toISOString();
  const lock = { agent: "ada", mode: "exclusive", bound: "agent", token: 7, reason: "", since };
  const shown = model(answer(5, {
    agents: { ada: { status: "", heartbeat_at: since }, cy: { status: "", heartbeat_at: since, quiet: true } },
    active_locks: [{ ...lock, name: "src/a.py" }],
    ended_locks: [{ ...lock, name: "old.py", agent: "cy", why: "dead" }],
    waiters: [{ request: "r", agent: "bo", names: ["src/a.py"], blocked_by: ["ada"], since }],
  }));
  const groups = byAgent(shown);
  const grouped = { groups, order: agentOrder(shown, groups) };
  const board = { shown, grouped, was: null, state: "live", filter: parse(""), version: 1, now: () => now };
  const place = document.querySelector("#place");
  view.mount(place, { board }).draw(board);
  if (name === "files") place.querySelector("button:nth-of-type(2)").click(); // close all
  const rows = () => [...place.querySelectorAll(".row")].sort((a, b) => a.index - b.index);
  await until(() => rows().length);
  return rows().map((row) => [row.textContent, row.hasAttribute("data-over")]);
}"""


def test_what_is_over_is_told_as_free_and_a_closed_folder_tells_of_who_waits(bare: Page) -> None:
    over = ["old.pyover (dead), free to take", True]
    assert bare.evaluate(BOARD, "files") == [["src/ADada1 held1 waiting", False], over]


def test_an_agent_is_told_by_what_it_waits_for_and_whom_and_by_whether_it_is_heard(bare: Page) -> None:
    none = "says nothing of what it does"
    assert [text for text, _ in bare.evaluate(BOARD, "agents")] == [
        f"ADada2 min{none}holds src/a.py",
        f"BObonever heard{none}waits for a.py, behind ada",
        f"CYcyquiet, 2 min{none}1 hold over",
    ]
