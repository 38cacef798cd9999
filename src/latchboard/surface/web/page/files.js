// Files: who holds what, as the tree of the project.

import { badge, button, fill, h, icon, say, who } from "./dom.js";
import { List } from "./list.js";
import { ago, at, count, number, shown, span } from "./text.js";
import { build, rows } from "./tree.js";

export const view = { name: "files", title: "Files", icon: "tree", mount };

function mount(section, app) {
  const meta = section.querySelector(".meta");
  const opened = new Map();
  let tree = null;
  let version = -1;
  const turn = (row, isOpen, list) => {
    if (isOpen === false && !row.open) {
      const above = list.rows.findLastIndex((one, i) => i < list.active && one.level < row.level);
      if (above >= 0) list.go(above);
      return;
    }
    if (isOpen === true && row.open) return list.go(list.active + 1);
    if (!row.has) return;
    opened.set(row.id, !row.open);
    list.set(rows(tree, opened));
  };
  const all = button("Open all", { class: "quiet small", onclick: () => setAll(true) });
  const none = button("Close all", { class: "quiet small", onclick: () => setAll(false) });
  section.querySelector("header").append(h("span", { class: "tools" }, all, none));
  const list = new List(section.querySelector(".body"), {
    role: "tree", itemRole: "treeitem", label: "Locks by folder", turn,
    id: (row) => row.id,
    open: (row) => (row.node.entry ? app.open({ kind: "name", name: row.node.entry.name }) : turn(row, null, list)),
    attributes: (row) => ({
      "aria-level": row.level, "aria-posinset": row.place, "aria-setsize": row.of, "aria-selected": "false",
      "aria-expanded": row.has ? String(row.open) : null, "data-kind": row.node.kind,
    }),
    draw: (row, element) => draw(row, element, app.board.now()),
  });
  list.scroller.classList.add("files-list");

  function setAll(isOpen) {
    opened.clear();
    opened.everything = isOpen;
    if (tree) list.set(rows(tree, opened));
  }

  return {
    draw(board) {
      const known = board.shown;
      if (!known) return;
      if (version === board.version) {
        list.refresh();
        return;
      }
      version = board.version;
      const filter = board.filter;
      const reason = (name, agent) => known.locks.get(`${name}\0${agent}`)?.reason ?? "";
      tree = build(known, filter.isEmpty ? undefined : (name, agent) => filter.wants(agent) && filter.has(name, agent, reason(name, agent)));
      const held = tree.count;
      const all = known.locks.size;
      say(meta, held === all ? (all ? `${number(all)} held` : "") : `${number(held)} of ${number(all)} held`);
      list.set(rows(tree, opened), {
        empty: board.filter.isEmpty ? "Nothing is held, and nobody waits." : "Nothing that is held or waited for matches the filter.",
      });
    },
  };
}

function draw(row, element, now) {
  const { node } = row;
  const parts = element.parts ?? make(element);
  element.style.setProperty("--level", row.level - 1);
  parts.turn.toggleAttribute("data-open", row.open);
  parts.turn.hidden = !row.has;
  const kind = node.kind === "file" && node.entry?.locks[0]?.mode === "shared" ? "shared" : KIND_ICONS[node.kind];
  if (parts.kind !== kind) {
    parts.kind = kind;
    fill(parts.icon, icon(kind));
  }
  say(parts.label, shown(node.label));
  parts.label.title = shown(node.entry?.name ?? node.id);
  const entry = node.entry;
  const lock = entry?.locks[0];
  const counted = row.has && !(entry && row.open) ? node : null;
  const holders = entry?.locks.length ? entry.locks.map((one) => one.agent) : counted && !row.open ? [...node.holders.keys()] : [];
  setHolders(parts, holders, lock?.mode === "shared");
  say(parts.note, note(entry, row, node));
  const waits = entry ? entry.waiters.length : row.open ? 0 : node.waits;
  parts.waits.hidden = !waits;
  say(parts.waitsText, waits ? `${number(waits)} waiting` : "");
  const since = at(lock?.since);
  say(parts.age, lock && Number.isFinite(since) ? span((now - since) / 1000) : "");
  parts.age.title = lock ? `since ${ago(since, now)}` : "";
  element.toggleAttribute("data-over", Boolean(entry && !entry.locks.length && entry.ended.length));
}

function note(entry, row, node) {
  if (entry?.locks.length) return shown(entry.locks[0].reason);
  if (entry?.ended.length) return `over (${entry.ended[0].why}), free to take`;
  if (entry?.waiters.length) return "wanted";
  return row.open ? "" : count(node.count, "held", "held");
}

const KIND_ICONS = { folder: "tree", file: "file", glob: "find", link: "file", group: "tree" };
const SHOWN_HOLDERS = 4;

function setHolders(parts, holders, isShared) {
  const key = `${isShared}\n${holders.slice(0, SHOWN_HOLDERS).join("\n")}\n${holders.length}`;
  if (parts.holdersKey === key) return;
  parts.holdersKey = key;
  if (holders.length === 1) fill(parts.holders, who(holders[0]), isShared ? h("span", { class: "tag" }, "shared") : null);
  else {
    const most = holders.length > SHOWN_HOLDERS ? SHOWN_HOLDERS - 1 : SHOWN_HOLDERS; // the number needs room, too
    const more = holders.length - most;
    fill(parts.holders, holders.slice(0, most).map(badge), holders.length ? h("span", { class: "unseen" }, holders.slice(0, most).map(shown).join(", ")) : null,
      more > 0 ? h("span", { class: "more" }, `+${number(more)}`) : null, isShared ? h("span", { class: "tag" }, "shared") : null);
  }
}

function make(element) {
  const parts = {
    turn: h("span", { class: "turn", "data-turn": "", "aria-hidden": "true" }, icon("turn")), icon: h("span", { class: "kind" }),
    label: h("span", { class: "label" }), holders: h("span", { class: "holders" }), note: h("span", { class: "note" }),
    waitsText: h("span", {}), age: h("span", { class: "age" }),
  };
  parts.waits = h("span", { class: "waits" }, icon("wait"), parts.waitsText);
  fill(element, h("span", { class: "where" }, parts.turn, parts.icon, parts.label), parts.holders, parts.note, parts.waits, parts.age);
  element.parts = parts;
  return parts;
}
