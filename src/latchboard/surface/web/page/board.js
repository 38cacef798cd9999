// Board: what the page knows, live or as it was, and when it is drawn.
//
// Law 1. The live board goes on while the past is looked at; nothing that is heard is thrown away for it.
// Law 2. Commits are folded in as they come; what they do not say is read again soon after, never more often than
//        costs a twentieth of the time.
// Law 3. Any number of changes make one drawing, and a drawing that is dear waits for longer until the next.

import { Refusal, get } from "./api.js";
import { agentOrder, byAgent, fold, model } from "./fold.js";
import { Past } from "./spans.js";
import { Stream } from "./stream.js";
import { at, hue } from "./text.js";

const SETTLE_MS = 400;
const LATEST_MS = 3000;
const REFRESH_MS = 30000;
const RETRY_MS = 2000;
const SHARE = 20;
const LOG_MAX = 2000;
const HISTORY_COUNT = 1000;
const MARKS_COUNT = 400;

export class Board {
  constructor() {
    this.live = null;
    this.was = null; // the board of an earlier revision, while it is looked at
    this.past = new Past();
    this.recent = []; // commits since the last reading
    this.log = []; // events, oldest first
    this.marks = []; // revisions over which the slider goes
    this.heardSince = []; // marks since the past was asked for last
    this.state = "loading"; // loading, live, lost, trouble, refused, failed
    this.why = "";
    this.lostAt = null;
    this.offset = 0;
    this.filter = parse("");
    this.version = 0;
    this.views = [];
    this.costs = 0;
    this.stream = new Stream({
      onCommit: (commit) => this.hear(commit),
      onGap: () => {
        this.recent = [];
        if (this.live) this.live.revision = 0; // whatever comes next is right, an older revision of another store too
        this.read();
        this.readPastSoon(); // what lies in the gap is heard no more
      },
      onState: (state, why) => this.tell(state, why),
    });
  }

  /** The board that is looked at. */
  get shown() {
    return this.was ?? this.live;
  }

  /** The time of the board that is looked at, milliseconds, by the daemon's clock. */
  now() {
    return this.was ? at(this.was.at) : Date.now() + this.offset;
  }

  // -- reading --------------------------------------------------------------------------------------------------------

  /** Begin: read the board, then listen behind it; what was before comes when that is drawn. */
  async start() {
    this.tell("loading", "");
    if (!(await this.read())) return;
    this.stream.run(this.live.revision);
    requestAnimationFrame(() => setTimeout(() => this.readPast(), 0));
    clearInterval(this.beat);
    this.beat = setInterval(() => this.tick(), 1000);
  }

  /** Read the whole board; true when there is one. Of two readings at once, the second begins behind the first. */
  async read() {
    if (this.reading) {
      this.again = true;
      return this.reading;
    }
    clearTimeout(this.settling);
    this.settling = null;
    this.dirtySince = null;
    this.reading = this.readOnce();
    const done = await this.reading;
    this.reading = null;
    if (this.again) {
      this.again = false;
      return this.read();
    }
    return done;
  }

  async readOnce() {
    const started = performance.now();
    try {
      const answer = await get("board");
      this.offset = at(answer.now) - Date.now();
      const known = model(answer);
      for (const commit of this.recent) fold(known, commit); // what was heard meanwhile may be newer than the answer
      this.recent = [];
      if (known.revision >= (this.live?.revision ?? 0)) this.live = known;
      for (const event of known.writes) this.past.hear(event);
      this.lastRead = performance.now();
      this.readCost = this.lastRead - started;
      this.changed();
      if (this.cannotRead) {
        this.cannotRead = false;
        if (this.state === "trouble") this.tell("live", "");
      }
      return true;
    } catch (error) {
      this.failed(error);
      return false;
    }
  }

  failed(error) {
    if (error instanceof Refusal && error.status === 401) this.tell("refused", error);
    else if (!this.live) {
      const state = error instanceof Refusal ? "trouble" : "failed"; // who refuses is there, and cannot read the store
      this.tell(state, state === "trouble" ? error.message : "the daemon does not answer");
      setTimeout(() => this.state === state && !this.live && this.start(), RETRY_MS);
    } else if (error instanceof Refusal) {
      this.cannotRead = true;
      this.tell("trouble", error.message);
      setTimeout(() => this.read(), RETRY_MS);
    }
  }

  /** Read the past again, when it has not cost more than its share of the time. */
  readPastSoon() {
    const earliest = (this.lastPastRead ?? -Infinity) + (this.pastCost ?? 0) * SHARE;
    this.pastWaiting ??= setTimeout(() => {
      this.pastWaiting = null;
      this.readPast();
    }, Math.max(0, earliest - performance.now()));
  }

  /** The events that were not heard live, and the slider's marks. Of two readings at once, the second begins behind the first. */
  async readPast() {
    if (this.isReadingPast) {
      this.isPastWanted = true;
      return;
    }
    this.isReadingPast = true;
    const started = performance.now();
    await this.readPastOnce();
    this.lastPastRead = performance.now();
    this.pastCost = this.lastPastRead - started;
    this.isReadingPast = false;
    if (this.isPastWanted) {
      this.isPastWanted = false;
      this.readPastSoon();
    }
  }

  async readPastOnce() {
    this.heardSince = [];
    try {
      const { commits: marks } = await get("timeline", { count: MARKS_COUNT });
      const known = marks.map((one) => ({ revision: one.revision, at: at(one.at) }));
      const last = known.at(-1)?.revision ?? 0;
      this.marks = [...known, ...this.heardSince.filter((one) => one.revision > last)];
      this.isPastRead = true;
      this.isPastMissed = false;
      this.changed();
      if (marks.length) this.hearPast(await this.commitsOfLate());
      this.changed();
    } catch (error) {
      this.isPastMissed = true;
      if (!(error instanceof Refusal)) return; // the stream tells when the daemon is gone
      this.pastWhy = error.message;
      this.changed();
    }
  }

  /** About the last HISTORY_COUNT commits: how many lie between two marks is seen between the last two. */
  async commitsOfLate() {
    const behind = (back) => this.marks[Math.max(0, this.marks.length - 1 - back)].revision;
    const last = await get("history", { after: behind(1), limit: HISTORY_COUNT });
    const back = Math.floor(HISTORY_COUNT / Math.max(1, last.commits.length));
    if (back <= 1) return last.commits;
    return (await get("history", { after: behind(back), limit: HISTORY_COUNT })).commits;
  }

  hearPast(commits) {
    const known = new Set(this.log.map((event) => event.revision));
    const found = [];
    for (const commit of commits) {
      if (known.has(commit.revision)) continue;
      for (const event of commit.events) {
        this.past.hear(event);
        found.push(event);
      }
    }
    this.log = [...found, ...this.log].sort((a, b) => a.revision - b.revision).slice(-LOG_MAX);
  }

  // -- live -----------------------------------------------------------------------------------------------------------

  hear(commit) {
    this.recent.push(commit);
    for (const event of commit.events) {
      this.past.hear(event);
      this.log.push(event);
    }
    if (this.log.length > LOG_MAX * 1.2) this.log = this.log.slice(-LOG_MAX);
    const mark = { revision: commit.revision, at: at(commit.at) };
    if (this.isReadingPast) this.heardSince.push(mark);
    if (this.marks.length && mark.revision > this.marks.at(-1).revision) {
      if (this.marks.length > 2 * MARKS_COUNT) this.marks = this.marks.filter((_, i) => i % 2 === 0);
      this.marks.push(mark);
    }
    if (fold(this.live, commit)) {
      for (const view of this.views) view.hear?.(commit);
      this.changed();
    }
    this.settle();
  }

  /** Read again when it is quiet, at the latest after a while, and never for more than a share of the time. */
  settle() {
    const now = performance.now();
    this.dirtySince ??= now;
    clearTimeout(this.settling);
    const earliest = (this.lastRead ?? 0) + (this.readCost ?? 0) * SHARE;
    const wanted = Math.min(now + SETTLE_MS, this.dirtySince + LATEST_MS);
    this.settling = setTimeout(() => this.read(), Math.max(0, Math.max(earliest, wanted) - now));
  }

  tick() {
    if (document.hidden) return;
    if (this.state === "live" && performance.now() - (this.lastRead ?? 0) > REFRESH_MS) this.read();
    if (!this.was) this.changed(true);
  }

  tell(state, why) {
    const before = this.state;
    this.state = state;
    this.why = why;
    if (state === "lost") this.lostAt ??= Date.now();
    if (state === "live") {
      this.lostAt = null;
      if (before === "lost" || before === "trouble") this.read();
      if (this.isPastMissed) this.readPastSoon();
    }
    this.changed();
  }

  // -- the past -------------------------------------------------------------------------------------------------------

  /** Look at the board as it was; null: at the live one. */
  async look(revision) {
    this.wanted = revision;
    if (revision === null) {
      this.was = null;
      this.changed();
      return;
    }
    if (this.looking) return; // the one that is under way looks at what is wanted when it has come
    this.looking = true;
    try {
      while (this.wanted !== null && this.wanted !== this.was?.asked) {
        const asked = this.wanted;
        const known = model(await get("board", { at: asked }));
        if (this.wanted === null) break;
        known.asked = asked;
        this.was = known;
        this.changed();
      }
    } catch (error) {
      this.wanted = this.was?.asked ?? null;
      if (error instanceof Refusal && error.status === 410) this.readPast(); // it was cut away since it was read
      for (const view of this.views) view.trouble?.(error instanceof Refusal ? error : new Error("the daemon does not answer"));
    } finally {
      this.looking = false;
    }
  }

  // -- drawing --------------------------------------------------------------------------------------------------------

  /** Something is to be drawn; `quietly`: only time has passed. */
  changed(quietly = false) {
    if (!quietly) this.version++;
    if (this.drawing) return;
    if (this.live && !this.isDrawn) {
      this.draw(); // the first one waits for no frame
      return;
    }
    this.drawing = true;
    const wait = Math.min(1000, this.costs * 4);
    const draw = () => requestAnimationFrame(() => this.draw());
    if (wait > 16) setTimeout(draw, wait);
    else draw();
  }

  draw() {
    this.drawing = false;
    if (this.live && !this.views.length) return; // faster than the views are made: show() draws
    const started = performance.now();
    const known = this.shown;
    if (known && (this.grouped?.known !== known || this.grouped.version !== this.version)) {
      const groups = byAgent(known);
      for (const id of [...groups.keys()].sort()) hue(id); // in one order, so that colours are the same on every page
      this.grouped = { known, version: this.version, groups, order: agentOrder(known, groups) };
    }
    for (const view of this.views) view.draw(this);
    this.costs = performance.now() - started;
    if (known && !this.isDrawn) {
      this.isDrawn = true;
      document.body.dataset.drawn = "";
      performance.mark("board-drawn");
    }
  }

  setFilter(text) {
    this.filter = parse(text);
    this.changed();
  }
}

/** The filter that shows one agent alone, whatever it is called. */
export function only(agent) {
  return `agent:${/[\s"\\]/.test(agent) ? `"${agent.replace(/["\\]/g, "\\$&")}"` : agent}`;
}

/** What a filter says: words that must all be there, and `agent:NAME` for one agent alone. */
export function parse(text) {
  let agent = null;
  const rest = text.replace(/(?:^|\s)agent:(?:"((?:[^"\\]|\\.)*)"|(\S+))/gs, (_, quoted, plain) => {
    agent = quoted?.replace(/\\(.)/gs, "$1") ?? plain;
    return " ";
  });
  const words = rest.toLowerCase().split(/\s+/).filter(Boolean);
  const has = (...texts) => {
    if (!words.length) return true;
    const whole = texts.join("\n").toLowerCase();
    return words.every((word) => whole.includes(word));
  };
  return { text, agent, has, isEmpty: agent === null && !words.length, wants: (id) => agent === null || agent === id };
}
