// Main: joins the views, the line to the daemon and the drawer. A further view is one more module in VIEWS, and its
// section in index.html.

import { keepToken, takeToken, token } from "./api.js";
import { compose } from "./acting.js";
import { Board } from "./board.js";
import { content } from "./details.js";
import { button, fill, h, icon, say } from "./dom.js";
import { Drawer } from "./drawer.js";
import { mount as mountPast } from "./past.js";
import { clock, count, moment, number, shown } from "./text.js";
import { view as activity } from "./activity.js";
import { view as agents } from "./agents.js";
import { view as conflicts } from "./conflicts.js";
import { view as conversations } from "./conversations.js";
import { view as files } from "./files.js";
import { view as queue } from "./queue.js";
import { view as timeline } from "./timeline.js";

const VIEWS = [agents, files, timeline, conflicts, conversations, activity, queue];
const SAID_MS = 6000;

const by = (id) => document.getElementById(id);
const board = new Board();
takeToken();
board.start(); // asked for first: it is on its way while the views are made
const app = { board, open, show, say: announce, filterBy, tally, drawer: null };
app.drawer = new Drawer(by("drawer"), app);

// -- views --------------------------------------------------------------------------------------------------------------

const tabs = new Map();

for (const [i, view] of VIEWS.entries()) {
  const tally = h("span", { class: "tally", hidden: true });
  const tab = h("button", { type: "button", "aria-keyshortcuts": `Alt+${i + 1}`, data: { view: view.name, side: view.side || view.whole ? "yes" : "no" }, onclick: () => show(view.name) }, icon(view.icon), h("span", {}, view.title), tally);
  tabs.set(view.name, { tab, tally, view });
  by("views").append(tab);
}

function show(name) {
  document.body.dataset.view = name;
  const chosen = tabs.get(name).view;
  if (chosen.side) document.body.dataset.side = name;
  else document.body.dataset.whole = chosen.whole ? name : ""; // a view that takes the place of agents, files and timeline
  for (const { tab, view } of tabs.values()) {
    const isShown = view.name === name || view.name === document.body.dataset.side || view.name === document.body.dataset.whole;
    // Which of the two counts depends on the width: on a wide page the side's views alone are chosen from.
    tab.setAttribute("aria-current", view.name === name ? "page" : String(isShown && isWide.matches && Boolean(view.side || view.whole)));
  }
  board.changed();
}

const isWide = matchMedia("(min-width: 1100px)");
isWide.addEventListener("change", () => show(document.body.dataset.view));

function tally(name, n) {
  const { tally: shownTally } = tabs.get(name);
  shownTally.hidden = !n;
  say(shownTally, n ? number(n) : "");
}

board.views = VIEWS.map((view) => view.mount(by(view.name), app));
board.views.push(mountPast(by("past"), app), { draw: drawFrame });
show("files");

// -- the frame ----------------------------------------------------------------------------------------------------------

function drawFrame() {
  const known = board.live;
  document.body.dataset.state = board.state;
  const lines = { loading: known ? "Connecting" : "Reading the board", live: "Live", lost: "Reconnecting", trouble: "Store in trouble", refused: "No access", failed: "No daemon" };
  say(by("line-text"), board.was ? "Looking back" : lines[board.state]);
  by("line").dataset.state = board.was ? "past" : board.state;
  if (known) {
    const name = known.root.split("/").filter(Boolean).at(-1) ?? "/";
    if (by("project").textContent !== shown(name)) {
      say(by("project"), shown(name));
      by("project").title = shown(known.root);
    }
    drawCounts(board.shown);
    const waiting = known.waiters.size;
    const title = `${waiting ? `(${waiting}) ` : ""}${shown(name)}: Latchboard`;
    if (document.title !== title) document.title = title;
  }
  drawNotice();
  app.drawer.draw();
}

function drawCounts(known) {
  const damaged = known.damaged.length;
  const pieces = [count(known.agents.size, "agent"), `${number(known.locks.size)} held`, `${number(known.waiters.size)} waiting`];
  if (damaged) pieces.push(`${count(damaged, "record")} damaged`);
  const key = pieces.join();
  if (by("counts").dataset.key === key) return;
  by("counts").dataset.key = key;
  fill(by("counts"), pieces.map((text, i) => h("span", { class: i === 2 && known.waiters.size ? "is-waiting" : i === 3 ? "is-damaged" : null }, text)));
}

function drawNotice() {
  const [key, kind, make] = noticed();
  const place = by("notice");
  place.hidden = !key;
  if (place.dataset.key === key) return;
  place.dataset.key = key;
  place.dataset.kind = kind ?? "";
  fill(place, key ? make() : []);
}

function noticed() {
  if (board.state === "refused") return [`refused:${token() ? "wrong" : "none"}`, "refused", askToken];
  if (board.state === "failed") return [`failed:${board.why}`, "lost", () => [h("p", {}, `The board cannot be read: ${shown(board.why)}. `, h("span", {}, "It is tried again every two seconds; "), h("code", {}, "latchboard daemon start"), " starts the daemon.")]];
  if (board.was) {
    const now = Date.now() + board.offset;
    return [`past:${board.was.revision}`, "past", () => [
      h("p", {}, "The board as it was ", h("strong", {}, moment(board.now(), now)), h("span", { class: "hint" }, ` revision ${board.was.revision}`)), button("Back to now", { class: "small", onclick: () => board.look(null) })]];
  }
  if (board.state === "lost") {
    const since = clock(board.lostAt, true);
    return [`lost:${since}`, "lost", () => [h("p", {}, `No line to the daemon since ${since}: ${shown(board.why)}. `, "This is the board of then; the page goes on by itself when the daemon is back."), button("Try now", { class: "small", onclick: () => board.stream.hurry() })]];
  }
  if (board.state === "trouble") return [`trouble:${board.why}`, "lost", () => [h("p", {}, `The store cannot be read just now: ${shown(board.why)}`)]];
  return ["", "", () => []];
}

function askToken() {
  const input = h("input", { type: "password", name: "token", autocomplete: "off", required: true, spellcheck: "false" });
  const form = h("form", { class: "token" }, h("p", {}, token() ? "The daemon does not know this token any more. " : "The board is shown to those who have the daemon's token. ", h("code", {}, "latchboard daemon open"), " opens it; or give the token here."),
    h("label", { class: "field" }, h("span", { class: "field-name" }, "Token"), input), h("button", { type: "submit", class: "primary" }, "Open the board"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    keepToken(input.value.trim());
    board.start();
  });
  return [form];
}

/** Say that something was done; it goes away by itself. */
function announce(text) {
  const one = h("p", {}, text);
  by("said").append(one);
  setTimeout(() => one.remove(), SAID_MS);
}

// -- choosing -----------------------------------------------------------------------------------------------------------

function open(what) {
  app.drawer.open(content(app, what));
}

function filterBy(text) {
  by("filter").value = text;
  board.setFilter(text);
  app.drawer.close();
}

by("filter").addEventListener("input", () => board.setFilter(by("filter").value));
by("filter").addEventListener("keydown", (event) => {
  if (event.key === "Escape" && by("filter").value) filterBy("");
});
by("compose").addEventListener("click", () => {
  open({ kind: "compose" });
  compose(app, { known: board.grouped?.order.slice(0, 500) ?? [] });
});

addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
    by("filter").focus();
    by("filter").select();
    event.preventDefault();
  } else if (event.altKey && /^[1-9]$/.test(event.key) && VIEWS[event.key - 1]) {
    const { name } = VIEWS[event.key - 1];
    show(name);
    (by(name).querySelector("[tabindex='0']:not([hidden])") ?? by(name)).focus();
    event.preventDefault();
  } else if (event.key === "Escape" && board.was && !by("drawer").open) board.look(null);
});

// -- colours ------------------------------------------------------------------------------------------------------------

const THEMES = ["auto", "light", "dark"];
const THEME_WORDS = { auto: "as the system", light: "light", dark: "dark" };

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  by("theme").querySelector(".unseen").textContent = `Colours: ${THEME_WORDS[theme]}`;
  by("theme").title = `Colours: ${THEME_WORDS[theme]}`;
}

setTheme(THEMES.includes(document.documentElement.dataset.theme) ? document.documentElement.dataset.theme : "auto"); // theme.js has looked
by("theme").addEventListener("click", () => {
  const next = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length];
  setTheme(next);
  try {
    localStorage.setItem("latchboard.theme", next);
  } catch {
    // a browser that keeps nothing: for as long as the page is open
  }
});

// -- another token ------------------------------------------------------------------------------------------------------

addEventListener("hashchange", () => {
  const before = token();
  if (takeToken() !== before) board.start();
});
