// Conflicts: who met whom, and the held files that somebody else changed, with what changed kept.

import { get } from "./api.js";
import { drawSentence } from "./activity.js";
import { say } from "./dom.js";
import { List } from "./list.js";
import { at, count } from "./text.js";
import { ofConflict, plain } from "./words.js";

export const view = { name: "conflicts", title: "Conflicts", icon: "clash", side: true, mount };

const REREAD = new Set(["file.conflict"]);

function mount(section, app) {
  const meta = section.querySelector(".meta");
  let kept = [];
  let version = -1;
  let isStale = true;
  const list = new List(section.querySelector(".body"), {
    role: "listbox", itemRole: "option", label: "Conflicts, the newest first",
    id: (row) => row.id,
    open: (row) => app.open(row.kept ? { kind: "kept", id: row.kept.id, conflict: row.kept } : { kind: "name", name: row.conflict.names[0] }),
    attributes: (row, index) => ({ "aria-selected": "false", "aria-posinset": index + 1, "aria-setsize": list.rows.length, "data-alert": row.said.alert ? "" : null, "data-kept": row.kept ? "" : null }),
    draw: (row, element) => drawSentence(row, element, app.board.now()),
  });
  list.scroller.classList.add("sentences");

  async function reread() {
    isStale = false;
    try {
      kept = (await get("conflicts")).conflicts;
      app.board.changed();
    } catch {
      isStale = true; // asked again when something changes
    }
  }

  return {
    hear(commit) {
      if (commit.events.some((event) => REREAD.has(event.event))) isStale = true;
    },
    draw(board) {
      const known = board.shown;
      if (!known || version === board.version) return;
      version = board.version;
      if (isStale && board.state === "live") reread();
      const now = board.now();
      const rows = [
        ...kept.filter((one) => at(one.found_at) <= now + 5000).map((one) => ({ id: `kept:${one.id}`, at: at(one.found_at), kept: one, said: ofKept(one) })),
        ...known.conflicts.filter((one) => !isKept(one, kept)).map((one, i) => ({ id: `${one.revision}:${one.kind}:${i}`, at: at(one.at), conflict: one, said: ofConflict(one) })),
      ].filter((row) => board.filter.isEmpty || (board.filter.has(plain(row.said.parts)) && wantsAgent(board.filter, row.said)));
      rows.sort((a, b) => b.at - a.at);
      const alerts = rows.filter((row) => row.said.alert).length;
      say(meta, rows.length ? `${rows.length} of late${alerts ? `, ${alerts} to look at` : ""}` : "");
      app.tally("conflicts", alerts);
      list.set(rows, { empty: "No two have met. Refusals, waits, takeovers, breaks and changes past a lock show up here." });
    },
  };
}

/** Whether a conflict of the board is told by one with a diff already. */
function isKept(one, kept) {
  return one.kind === "foreign-change" && kept.some((other) => Math.abs(at(other.found_at) - at(one.at)) < 2000 && other.files.some((file) => one.names.includes(file.name)));
}

function wantsAgent(filter, said) {
  return filter.agent === null || said.parts.some((part) => part.agent === filter.agent);
}

function ofKept(one) {
  const first = one.files[0]?.name ?? "";
  const what = one.files.length > 1 ? count(one.files.length, "file") : { name: first };
  const who = one.by ? { agent: one.by } : "somebody";
  return { icon: "clash", alert: !one.restored.length, parts: [who, " changed ", what, ", held by ", { agent: one.holder }, one.restored.length ? " (put back)" : " (diff kept)"] };
}
