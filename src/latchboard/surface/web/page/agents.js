// Agents: who is there, and what each is doing now.

import { who, fill, h, icon, say } from "./dom.js";
import { List } from "./list.js";
import { age, at, count, listing, shown } from "./text.js";

export const view = { name: "agents", title: "Agents", icon: "people", mount };

function mount(section, app) {
  const meta = section.querySelector(".meta");
  const list = new List(section.querySelector(".body"), {
    role: "listbox", itemRole: "option", label: "Agents",
    id: (row) => row.id,
    open: (row) => app.open({ kind: "agent", agent: row.id }),
    attributes: (row, index) => ({
      "aria-selected": String(app.board.filter.agent === row.id),
      "aria-posinset": index + 1, "aria-setsize": list.rows.length, "data-quiet": row.entry.quiet ? "" : null,
    }),
    draw: (row, element) => draw(row, element, app.board.now()),
  });
  list.scroller.classList.add("agents-list");
  let version = -1;
  return {
    draw(board) {
      const known = board.shown;
      if (!known) return;
      if (version === board.version) {
        list.refresh();
        return;
      }
      version = board.version;
      const { groups, order } = board.grouped;
      const rows = order.map((id) => ({ id, entry: known.agents.get(id) ?? NOBODY, group: groups.get(id) }))
        .filter((row) => board.filter.has(row.id, row.entry.status, ...row.group.holds.slice(0, 50).map((lock) => lock.name)) || row.group.holds.some((lock) => board.filter.has(lock.name, lock.agent, lock.reason)));
      const quiet = rows.filter((row) => row.entry.quiet).length;
      say(meta, quiet ? `${rows.length - quiet} active, ${quiet} quiet` : order.length ? `${order.length}` : "");
      list.set(rows, { empty: order.length ? "No agent matches the filter." : "Nobody is here yet. Whoever says what it does, takes a lock or waits for one shows up." });
    },
  };
}

const NOBODY = { status: "", files: [], heartbeat_at: null, started_at: null, pid: null, quiet: false };

function draw(row, element, now) {
  const { entry, group } = row;
  const parts = element.parts ?? make(element);
  if (parts.id !== row.id) {
    parts.id = row.id;
    fill(parts.who, who(row.id));
  }
  const heard = at(entry.heartbeat_at);
  say(parts.heard, Number.isFinite(heard) ? (entry.quiet ? `quiet, ${age(heard, now)}` : age(heard, now)) : "never heard");
  say(parts.status, shown(entry.status) || "says nothing of what it does");
  parts.status.classList.toggle("none", !entry.status);
  const blockers = [...new Set(group.waits.flatMap((one) => one.blocked_by))];
  const isWaiting = group.waits.length > 0;
  if (parts.isWaiting !== isWaiting) {
    parts.isWaiting = isWaiting;
    fill(parts.icon, icon(isWaiting ? "wait" : "lock"));
    element.toggleAttribute("data-waiting", isWaiting);
  }
  const waits = group.waits.flatMap((one) => one.names);
  const holds = group.holds.map((lock) => lock.name);
  const over = group.ended.length ? `${count(group.ended.length, "hold")} over` : "";
  const held = holds.length === 0 ? (over || "holds nothing") : holds.length === 1 ? `holds ${shown(holds[0])}` : `holds ${count(holds.length, "name")}`;
  say(parts.what, isWaiting ? `waits for ${listing(waits.map(last), 1)}${blockers.length ? `, behind ${listing(blockers, 2)}` : ""}` : held);
  parts.what.title = isWaiting ? `waits for ${listing(waits, 12)}` : listing(holds, 12);
}

/** The last part of a name: the whole of it is a click away. */
function last(name) {
  return name.slice(name.lastIndexOf("/", name.length - 2) + 1);
}

function make(element) {
  const parts = {
    who: h("span", { class: "agent-who" }), heard: h("span", { class: "agent-heard" }), status: h("span", { class: "agent-status" }),
    icon: h("span", { class: "agent-icon" }), what: h("span", { class: "agent-what" }),
  };
  fill(element, h("span", { class: "agent-line" }, parts.who, parts.heard), parts.status, h("span", { class: "agent-line agent-does" }, parts.icon, parts.what));
  element.parts = parts;
  return parts;
}
