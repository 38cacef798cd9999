// Activity: what happened, the newest first.

import { badge, fill, h, icon, say } from "./dom.js";
import { List } from "./list.js";
import { age, at, moment, number, shown } from "./text.js";
import { ofEvent, plain } from "./words.js";

export const view = { name: "activity", title: "Activity", icon: "pulse", side: true, mount };

function mount(section, app) {
  const meta = section.querySelector(".meta");
  let version = -1;
  const list = new List(section.querySelector(".body"), {
    role: "listbox", itemRole: "option", label: "What happened, the newest first",
    id: (row) => row.id,
    open: (row) => openEvent(app, row.event),
    attributes: (row, index) => ({ "aria-selected": "false", "aria-posinset": index + 1, "aria-setsize": list.rows.length, "data-alert": row.said.alert ? "" : null }),
    draw: (row, element) => drawSentence(row, element, app.board.now()),
  });
  list.scroller.classList.add("sentences");
  return {
    draw(board) {
      if (!section.checkVisibility() || version === board.version) return;
      version = board.version;
      const until = board.was ? board.was.revision : Infinity;
      const rows = [];
      for (let i = board.log.length - 1; i >= 0; i--) {
        const event = board.log[i];
        if (event.revision > until) continue;
        const said = ofEvent(event);
        if (said && matches(board.filter, event, said)) rows.push({ id: `${event.revision}:${i}`, at: at(event.at), event, said });
      }
      say(meta, rows.length ? `${number(rows.length)} of late` : "");
      list.set(rows, { empty: board.pastWhy ? `What was before is not known: ${board.pastWhy}` : "Nothing has happened yet." });
    },
  };
}

function matches(filter, event, said) {
  if (filter.isEmpty) return true;
  const agents = said.parts.map((part) => part.agent).filter(Boolean);
  return (filter.agent === null || agents.includes(filter.agent)) && filter.has(plain(said.parts));
}

function openEvent(app, event) {
  if (event.event.startsWith("message.")) app.open({ kind: "message", event });
  else if (event.name) app.open({ kind: "name", name: event.name });
  else if (event.names?.length) app.open({ kind: "name", name: event.names[0] });
  else if (event.agent) app.open({ kind: "agent", agent: event.agent });
}

/** A row of two lines: the sentence, and when it was. Used for conflicts as well. */
export function drawSentence(row, element, now) {
  const parts = element.parts ?? (element.parts = { id: null });
  if (parts.id !== row.id) {
    parts.id = row.id;
    parts.when = h("span", { class: "when" });
    fill(element, h("span", { class: "mark" }, icon(row.said.icon)), h("span", { class: "sentence", title: plain(row.said.parts) }, sentence(row.said.parts)), parts.when);
  }
  say(parts.when, age(row.at, now));
  parts.when.title = moment(row.at, now);
}

/** The parts of a sentence as elements. */
export function sentence(parts) {
  return parts.map((part) => {
    if (typeof part === "string") return part;
    if (part.agent !== undefined) return h("span", { class: "who" }, badge(part.agent), h("span", { class: "who-name" }, shown(part.agent)));
    return h("span", { class: "path" }, shown(part.name));
  });
}
