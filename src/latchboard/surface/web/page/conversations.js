// Conversations: everybody's mail by threads, the newest first.

import { get } from "./api.js";
import { badge, fill, h, say } from "./dom.js";
import { List } from "./list.js";
import { age, at, count, listing, shown } from "./text.js";

export const view = { name: "conversations", title: "Conversations", icon: "mail", side: true, mount };

const REREAD_MS = 500;

function mount(section, app) {
  const meta = section.querySelector(".meta");
  let threads = [];
  let left = 0;
  let why = "";
  let isStale = true;
  let timer = null;
  const list = new List(section.querySelector(".body"), {
    role: "listbox", itemRole: "option", label: "Conversations, the newest first",
    id: (row) => row.thread,
    open: (row) => app.open({ kind: "thread", thread: row.thread, agents: row.agents, subject: row.subject }),
    attributes: (row, index) => ({ "aria-selected": "false", "aria-posinset": index + 1, "aria-setsize": list.rows.length, "data-unread": row.waiting_count ? "" : null }),
    draw: (row, element) => draw(row, element, app.board.now()),
  });
  list.scroller.classList.add("threads");

  async function reread() {
    timer = null;
    isStale = false;
    try {
      const answer = await get("messages");
      threads = answer.threads;
      left = answer.left_count ?? 0;
      why = "";
    } catch (error) {
      isStale = true;
      why = error.message;
    }
    app.board.changed();
  }

  return {
    hear(commit) {
      if (commit.events.some((event) => event.event.startsWith("message."))) isStale = true;
    },
    draw(board) {
      if (!board.shown || !section.checkVisibility()) return;
      if (isStale && !timer && board.state === "live") timer = setTimeout(reread, threads.length ? REREAD_MS : 0);
      const now = board.now();
      const rows = threads.filter((one) => !board.was || at(one.first_at) <= now)
        .filter((one) => (board.filter.agent === null || one.agents.includes(board.filter.agent)) && board.filter.has(one.subject, one.newest.excerpt ?? "", ...one.agents));
      say(meta, rows.length ? count(rows.length + left, "conversation") : "");
      list.set(rows, { empty: why ? `Mail cannot be read: ${why}` : "Nobody has written to anybody." });
    },
  };
}

function draw(row, element, now) {
  const parts = element.parts ?? make(element);
  const key = row.agents.join("\n");
  if (parts.key !== key) {
    parts.key = key;
    fill(parts.agents, row.agents.slice(0, 3).map(badge), h("span", { class: "thread-names" }, listing(row.agents, 3)));
  }
  say(parts.when, age(at(row.newest_at), now));
  say(parts.subject, shown(row.subject));
  say(parts.excerpt, shown(row.newest.excerpt ?? ""));
  const facts = [row.messages_count > 1 ? count(row.messages_count, "message") : "", row.waiting_count ? `${row.waiting_count} not read` : "", row.unacked_count ? `${row.unacked_count} to acknowledge` : ""];
  say(parts.facts, facts.filter(Boolean).join(", "));
}

function make(element) {
  const parts = {
    agents: h("span", { class: "thread-agents" }), when: h("span", { class: "when" }), subject: h("strong", { class: "thread-subject" }),
    excerpt: h("span", { class: "thread-excerpt" }), facts: h("span", { class: "thread-facts" }),
  };
  fill(element, h("span", { class: "thread-line" }, parts.agents, parts.when), h("span", { class: "thread-text" }, parts.subject, parts.excerpt), parts.facts);
  element.parts = parts;
  return parts;
}
