// Queue: the jobs by status, who works on what, and what the limits leave. Read while it is seen; nothing here changes it.

import { get } from "./api.js";
import { badge, button, fill, h, icon, say } from "./dom.js";
import { age, at, count, listing, number, shown, span } from "./text.js";

export const view = { name: "queue", title: "Queue", icon: "cards", whole: true, mount };

const REREAD_MS = 500;
const REFRESH_MS = 15000; // a limit that is set, and a lease that runs out, are no commits of a job
const SHARE = 20;
const SEARCHED = 1000; // cards of each column that a filter looks through; more are not to be had
const TITLES = {
  needs_plan: "Needs a plan", planning: "Planning", planning_complete: "Planned", ready: "Ready", in_progress: "In progress",
  awaiting_test: "Awaits a test", testing: "Testing", needs_adapt: "Needs adapting", adapting: "Adapting",
  ready_for_integrator: "To integrate", integrating: "Integrating", blocked: "Blocked", done: "Done", cancelled: "Cancelled", dead: "Dead",
};

function mount(section, app) {
  const meta = section.querySelector(".meta");
  const limits = h("ul", { class: "wip", "aria-label": "Work in progress, by role" });
  const notes = h("ul", { class: "queue-notes", "aria-label": "What is stuck" });
  const kanban = h("div", { class: "kanban", role: "group", "aria-label": "Jobs by status", tabindex: "0" });
  section.querySelector("header").append(h("div", { class: "tools" }, button("Files", { class: "small queue-back", onclick: () => app.show("files") }, "back")));
  fill(section.querySelector(".body"), limits, notes, kanban);
  let found = null;
  let why = "";
  let isStale = true;
  let isFiltered = false;
  let isSearched = false;
  let timer = null;
  let cost = 0;
  let readAt = 0;
  let drawn = "";
  let ticking = [];

  async function reread() {
    isStale = false;
    const started = performance.now();
    const searches = isFiltered;
    try {
      found = await get("queue", { limit: searches ? SEARCHED : null });
      isSearched = searches;
      found.offset = at(found.now) - Date.now();
      why = "";
    } catch (error) {
      isStale = true;
      why = error.message;
    }
    readAt = performance.now();
    cost = readAt - started;
    timer = null;
    app.board.changed();
  }

  return {
    hear(commit) {
      if (commit.events.some((event) => event.event.startsWith("job."))) isStale = true;
    },
    draw(board) {
      if (!board.shown || !section.checkVisibility()) return;
      isFiltered = !board.filter.isEmpty;
      const isUnsearched = isFiltered && !isSearched && !why;
      const isDue = isStale || isUnsearched || performance.now() - readAt > REFRESH_MS;
      if (isDue && !timer && board.state === "live") timer = setTimeout(reread, readAt ? Math.max(REREAD_MS, isUnsearched ? 0 : cost * SHARE) : 0);
      if (!found) {
        say(meta, why ? "" : "reading");
        if (why) fill(kanban, h("p", { class: "empty" }, `The queue cannot be read: ${shown(why)}`));
        return;
      }
      const now = Date.now() + found.offset;
      const key = JSON.stringify([found.revision, readAt, board.filter, Boolean(board.was), why]);
      if (key !== drawn) {
        drawn = key;
        say(meta, said(found, board, why));
        drawLimits(limits, found);
        drawNotes(notes, found);
        ticking = drawColumns(kanban, found, board.filter);
      }
      for (const tick of ticking) tick(now);
    },
  };
}

function said(found, board, why) {
  if (why) return `cannot be read just now: ${shown(why)}`;
  const jobs = found.jobs_count ? count(found.jobs_count, "job") : "";
  return board.was ? `${jobs}${jobs ? ", " : ""}as it is now, not as it was` : jobs;
}

function drawLimits(place, found) {
  const roles = Object.entries(found.roles).map(([role, one]) => [role, one.in_progress, one.limit, one.ready]);
  if (found.total.limit !== null) roles.push(["all", found.total.in_progress, found.total.limit, null]);
  place.hidden = !roles.length;
  fill(place, roles.map(([role, n, limit, ready]) => {
    const isFull = n >= limit;
    const bar = h("span", { class: "wip-bar", "aria-hidden": "true" }, h("span", {}));
    bar.firstChild.style.setProperty("width", `${limit ? Math.min(100, (100 * n) / limit) : 100}%`);
    return h("li", { data: { full: isFull ? "yes" : "no" } },
      h("span", { class: "wip-role" }, shown(role)), bar,
      h("span", { class: "wip-count" }, `${number(n)} of ${number(limit)}${isFull ? ", full" : ""}`), ready ? h("span", { class: "wip-ready" }, `${number(ready)} ready`) : null);
  }));
}

function drawNotes(place, found) {
  const notes = found.stuck.slice(0, 5).map((one) => `${shown(one.job)} is stuck: ${shown(one.waits_for)} is ${one.status}`);
  if (found.stuck.length > 5) notes.push(`${number(found.stuck.length - 5)} more are stuck`);
  notes.push(...found.damaged.map((key) => `${shown(key)} cannot be read`));
  place.hidden = !notes.length;
  fill(place, notes.map((text) => h("li", {}, icon("clash"), h("span", {}, text))));
}

/** The columns; what is to be done for each second that passes is given back. */
function drawColumns(place, found, filter) {
  const ticking = [];
  const columns = found.columns.map((column) => {
    const jobs = column.jobs.filter((job) => matches(job, filter));
    const left = column.count - column.jobs.length;
    if (!jobs.length && !left) return null;
    const title = TITLES[column.status] ?? shown(column.status);
    return h("section", { class: "column", "aria-label": `${title}, ${count(column.count, "job")}`, data: { work: column.is_work ? "yes" : "no", status: column.status } },
      h("h3", {}, h("span", {}, title), h("span", { class: "column-count" }, number(column.count))),
      h("ul", {}, jobs.map((job) => card(job, ticking)), left > 0 ? h("li", { class: "column-left" }, filter.isEmpty ? `and ${number(left)} more` : `${number(left)} more, not searched`) : null));
  }).filter(Boolean);
  fill(place, columns.length ? columns : h("p", { class: "empty" }, found.columns.length ? "No job matches the filter." : "The queue is empty. `latchboard queue add` puts a job into it."));
  return ticking;
}

function matches(job, filter) {
  return (filter.agent === null || job.owner === filter.agent) && filter.has(job.id, job.title, job.role, job.owner ?? "", job.status);
}

function card(job, ticking) {
  const facts = h("p", { class: "card-facts" });
  const owner = job.owner === null ? null : h("span", { class: "who" }, badge(job.owner), h("span", { class: "who-name" }, shown(job.owner)));
  const when = h("span", { class: "when" });
  ticking.push((now) => say(when, age(at(job.since), now)));
  if (owner) facts.append(owner);
  facts.append(when);
  const notes = [];
  if (job.remaining_s !== null && job.remaining_s <= 0) notes.push(["alert", "its lease has run out"]);
  if (job.waits_for.length) notes.push(["wait", `waits for ${listing(job.waits_for, 3)}`]);
  if (job.ready_at !== null) {
    const note = h("p", { class: "card-note", data: { kind: "wait" } });
    ticking.push((now) => say(note, at(job.ready_at) > now ? `again in ${span((at(job.ready_at) - now) / 1000)}` : "about to be ready"));
    notes.push(note);
  }
  if (job.attempts_count > 1 || job.error) notes.push([job.status === "dead" ? "alert" : "wait", attempts(job)]);
  return h("li", { class: "card", data: { dead: job.status === "dead" ? "yes" : "no" } },
    h("p", { class: "card-line" }, h("span", { class: "card-id" }, shown(job.id)), h("span", { class: "card-role" }, `priority ${number(job.priority)}, ${shown(job.role)}`)),
    h("p", { class: "card-title", title: shown(job.title) }, shown(job.title)), facts,
    notes.map((note) => (Array.isArray(note) ? h("p", { class: "card-note", data: { kind: note[0] } }, note[1]) : note)));
}

function attempts(job) {
  const tries = `attempt ${number(job.attempts_count)} of ${number(job.attempts_max)}`;
  const last = shown(job.error.trim().split("\n").at(-1) ?? "");
  return last ? `${tries}: ${last}` : tries;
}
