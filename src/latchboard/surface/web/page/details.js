// Details: what the drawer shows of a name, an agent, a stretch of time, a kept conflict, a conversation.

import { get } from "./api.js";
import * as acting from "./acting.js";
import { sentence } from "./activity.js";
import { only } from "./board.js";
import { button, h, path, who } from "./dom.js";
import { ago, at, count, listing, moment, shown, shownBlock, span } from "./text.js";
import { ofConflict } from "./words.js";

const LINES_MAX = 2000;

/** The content of the drawer for what was chosen. */
export function content(app, what) {
  return KINDS[what.kind](app, what);
}

const KINDS = { name: nameOf, agent: agentOf, span: spanOf, kept: keptOf, thread: threadOf, message: messageOf, compose: composing };

function facts(...pairs) {
  return h("dl", { class: "facts" }, ...pairs.filter((pair) => pair && pair[1] !== "" && pair[1] !== null && pair[1] !== undefined)
    .map(([term, value]) => h("div", {}, h("dt", {}, term), h("dd", {}, value))));
}

function part(title, ...children) {
  return h("section", { class: "part" }, h("h3", {}, title), ...children);
}

/** Buttons that change something; none while the past is looked at or nobody is there to change it. */
function acts(app, ...buttons) {
  if (app.board.was) return [h("p", { class: "hint" }, "This is the past: nothing can be changed in it.")];
  if (app.board.state !== "live") return [h("p", { class: "hint" }, "The daemon is not reached just now: nothing can be changed from here.")];
  return [h("div", { class: "buttons" }, ...buttons)];
}

const versionOf = (app) => `${app.board.version}:${app.board.state}:${Boolean(app.board.was)}`;

function nameOf(app, { name }) {
  const found = () => {
    const known = app.board.shown;
    return {
      locks: [...known.locks.values()].filter((one) => one.name === name),
      ended: [...known.ended.values()].filter((one) => one.name === name),
      waiters: [...known.waiters.values()].filter((one) => one.names.includes(name)),
    };
  };
  return {
    key: () => versionOf(app),
    title: () => path(name),
    draw() {
      const { locks, ended, waiters } = found();
      const now = app.board.now();
      const met = app.board.shown.conflicts.filter((one) => one.names.includes(name)).slice(-5).reverse();
      return [
        !locks.length && !ended.length ? h("p", { class: "free" }, "Nobody holds this.") : null,
        ...locks.map((lock) => holdOf(lock, now)),
        ...ended.map((lock) => part("Over, and free to take", h("p", {}, who(lock.agent), ` ${WHY[lock.why] ?? shown(lock.why)}`))),
        waiters.length ? part(`In line (${waiters.length})`, h("ol", { class: "line-up" }, ...waiters.map((one) => waiterOf(app, one, name, now)))) : null,
        met.length ? part("Of late", h("ul", { class: "plain" }, ...met.map((one) => {
          const said = ofConflict(one);
          return h("li", {}, h("span", { class: "sentence" }, sentence(said.parts)), h("span", { class: "when" }, ago(at(one.at), now)));
        }))) : null,
      ];
    },
    acts() {
      const { locks } = found();
      const holders = locks.map((one) => one.agent);
      const first = locks[0];
      if (!first) return acts(app, button("Only this in the board", { class: "quiet", onclick: () => app.filterBy(name) }, "find"));
      return acts(app,
        button(`Message ${shown(first.agent)}`, { onclick: () => acting.compose(app, { to: first.agent, known: holders, subject: name }) }, "mail"),
        button("Ask for it", { onclick: () => acting.askFor(app, name, holders) }, "hand"),
        ...locks.slice(0, 6).flatMap((lock) => [
          button(locks.length > 1 ? `Release for ${shown(lock.agent)}` : "Release", { onclick: () => acting.release(app, lock) }, "done"),
          button(locks.length > 1 ? `Break the hold of ${shown(lock.agent)}` : "Break", { class: "danger-quiet", onclick: () => acting.breakHold(app, lock) }, "clash"),
        ]));
    },
  };
}

const WHY = { expired: "had it until its lease ended", dead: "had it until its process ended", recycled: "had it until its process ended" };

function holdOf(lock, now) {
  const until = at(lock.expires_at);
  return part(lock.mode === "shared" ? "Held, shared" : "Held", h("p", { class: "hold" }, who(lock.agent), lock.reason ? h("q", {}, shown(lock.reason)) : null), facts(
    ["Since", `${moment(at(lock.since), now)}, ${span((now - at(lock.since)) / 1000)}`],
    ["Lease", Number.isFinite(until) ? (until > now ? `${span((until - now) / 1000)} left, if it is not renewed` : "ends just now") : "as long as it is renewed"],
    ["Bound to", lock.bound === "process" ? "its process: free when that ends" : "the agent: kept when its process ends"],
    ["Process", lock.pid ? `${lock.pid}${lock.host_name ? ` on ${shown(lock.host_name)}` : ""}` : ""],
    ["Token", h("code", {}, String(lock.token))],
  ));
}

function waiterOf(app, one, name, now) {
  const isAsked = one.handoff === "asked" && !app.board.was && app.board.state === "live";
  const holder = [...app.board.shown.locks.values()].find((lock) => lock.name === name)?.agent ?? one.blocked_by[0];
  return h("li", {}, h("span", { class: "waiting" }, who(one.agent), h("span", { class: "when" }, `${span((now - at(one.since)) / 1000)}`)),
    one.reason ? h("q", {}, shown(one.reason)) : null,
    h("span", { class: "hint" }, [one.names.length > 1 ? `wants ${count(one.names.length, "name")} together` : "", one.handoff ? HANDOFFS[one.handoff] ?? shown(one.handoff) : ""].filter(Boolean).join("; ")),
    isAsked && holder ? h("span", { class: "buttons" }, button("Hand over", { class: "small", onclick: () => acting.answerRequest(app, one, holder, true) }), button("Decline", { class: "small quiet", onclick: () => acting.answerRequest(app, one, holder, false) })) : null);
}

const HANDOFFS = { asked: "has asked the holder for it", declined: "was declined, and stays in line" };

function agentOf(app, { agent }) {
  return {
    key: () => versionOf(app),
    title: () => who(agent),
    draw() {
      const known = app.board.shown;
      const entry = known.agents.get(agent);
      const group = app.board.grouped.groups.get(agent) ?? { holds: [], ended: [], waits: [] };
      const now = app.board.now();
      if (!entry && !group.holds.length && !group.waits.length) return [h("p", { class: "free" }, "This agent is not on the board.")];
      const open = (name) => h("button", { type: "button", class: "link", onclick: () => app.open({ kind: "name", name }) }, path(name));
      return [
        entry?.status ? h("p", { class: "status" }, shownBlock(entry.status)) : h("p", { class: "free" }, "It says nothing of what it does."),
        facts(
          ["Heard", entry?.heartbeat_at ? `${ago(at(entry.heartbeat_at), now)}${entry.quiet ? ": quiet" : ""}` : "never"],
          ["Here since", entry?.started_at ? moment(at(entry.started_at), now) : ""],
          ["Process", entry?.pid ? String(entry.pid) : ""],
          ["Works on", entry?.files?.length ? listing(entry.files, 12) : ""],
        ),
        group.waits.length ? part("Waits for", h("ul", { class: "plain" }, ...group.waits.map((one) => h("li", {}, ...one.names.slice(0, 20).map(open), h("span", { class: "hint" }, `behind ${listing(one.blocked_by, 4)}, for ${span((now - at(one.since)) / 1000)}`))))) : null,
        group.holds.length ? part(`Holds (${group.holds.length})`, h("ul", { class: "plain" }, ...group.holds.slice(0, 100).map((lock) => h("li", {}, open(lock.name), h("span", { class: "hint" }, shown(lock.reason)))), group.holds.length > 100 ? h("li", { class: "hint" }, `and ${group.holds.length - 100} more: show only this agent to see them`) : null)) : null,
        group.ended.length ? part("Over", h("p", {}, listing(group.ended.map((lock) => lock.name), 12))) : null,
      ];
    },
    acts: () => [
      ...acts(app, button("Message", { onclick: () => acting.compose(app, { to: agent }) }, "mail")),
      h("div", { class: "buttons" }, button(app.board.filter.agent === agent ? "Show everybody" : "Show only this agent", { class: "quiet", onclick: () => app.filterBy(app.board.filter.agent === agent ? "" : only(agent)) }, "find")),
    ],
  };
}

function spanOf(app, { agent, span: one }) {
  return {
    key: () => "",
    title: () => path(one.name),
    draw: () => [
      h("p", { class: "hold" }, who(agent), one.kind === "wait" ? " waited" : " held it"),
      facts(["From", moment(one.start, app.board.now())], ["Until", moment(one.end, app.board.now())], ["For", span((one.end - one.start) / 1000)],
        ["Ended", one.how], ["By", one.by ? who(one.by) : ""], ["Behind", one.blockedBy?.length ? listing(one.blockedBy, 6) : ""]),
    ],
    acts: () => [h("div", { class: "buttons" }, button("How it is now", { class: "quiet", onclick: () => app.open({ kind: "name", name: one.name }) }))],
  };
}

function keptOf(app, { id, conflict }) {
  let found = null;
  let why = "";
  get("conflicts", { id }).then((answer) => (found = answer), (error) => (why = error.message)).finally(() => app.drawer.draw());
  return {
    key: () => `${Boolean(found)}${why}`,
    title: () => "Changed under a lock",
    draw() {
      const one = found ?? conflict;
      const now = app.board.now();
      return [
        h("p", { class: "hold" }, one.by ? who(one.by) : "Somebody", one.by && !one.certain ? " (not certain) " : " ", `changed ${count(one.files.length, "file")} of `, who(one.holder)),
        facts(["Found", `${moment(at(one.found_at), now)}, ${ago(at(one.found_at), now)}`], ["Put back", one.restored.length ? listing(one.restored.map((r) => r.name), 4) : "not yet"],
          ["Put it back", h("code", {}, `latchboard conflict restore ${one.id}`)]),
        why ? h("p", { class: "wrong" }, `What changed cannot be read: ${shown(why)}`) : null,
        ...(found?.files ?? []).map((file) => part(shown(file.name), h("p", { class: "hint" }, file.what), file.diff_text ? diff(file.diff_text) : h("p", { class: "hint" }, "No text of it was kept."))),
        !found && !why ? h("p", { class: "hint" }, "Reading what changed") : null,
      ];
    },
    acts: () => acts(app, button(`Message ${shown(conflict.holder)}`, { onclick: () => acting.compose(app, { to: conflict.holder, known: conflict.by ? [conflict.by] : [] }) }, "mail")),
  };
}

function diff(text) {
  const lines = text.replace(/\n$/, "").split("\n");
  const kind = (line) => (/^(\+\+\+|---)/.test(line) ? "file" : line[0] === "+" ? "in" : line[0] === "-" ? "out" : line[0] === "@" ? "at" : "");
  const drawn = lines.slice(0, LINES_MAX).map((line) => h("span", { class: `diff-${kind(line) || "same"}` }, `${shownBlock(line)}\n`));
  return h("pre", { class: "diff", tabindex: "0", role: "group", "aria-label": "What changed: lines with minus went, lines with plus came" }, drawn, lines.length > LINES_MAX ? `and ${lines.length - LINES_MAX} more lines\n` : null);
}

function threadOf(app, { thread, agents, subject }) {
  let found = null;
  let why = "";
  const read = () => get("messages", { thread }).then((answer) => (found = answer), (error) => (why = error.message)).finally(() => app.drawer.draw());
  read();
  let seen = 0;
  return {
    key() {
      const heard = app.board.log.findLast((event) => event.event === "message.sent" && event.thread === thread)?.revision ?? 0;
      if (heard > seen) {
        if (seen) read();
        seen = heard;
      }
      return `${found?.messages.length}${why}${app.board.state}`;
    },
    title: () => shown(subject) || listing(agents, 3),
    draw() {
      const now = app.board.now();
      if (why) return [h("p", { class: "wrong" }, `It cannot be read: ${shown(why)}`)];
      if (!found) return [h("p", { class: "hint" }, "Reading")];
      return [
        found.left_count ? h("p", { class: "hint" }, `${count(found.left_count, "earlier message")} not shown`) : null,
        h("ol", { class: "letters" }, ...found.messages.map((one) => h("li", {},
          h("p", { class: "letter-head" }, who(one.from), " to ", one.to === null ? "everybody" : who(one.to), h("span", { class: "when" }, moment(at(one.sent_at), now))),
          h("p", { class: "letter" }, shownBlock(one.body)),
          h("p", { class: "hint" }, delivery(one))))),
      ];
    },
    acts: () => acts(app, button("Write on", { onclick: () => acting.compose(app, { to: agents.find((id) => id !== acting.operator()) ?? agents[0], thread, known: agents }) }, "mail")),
  };
}

const STATES = { waiting: "not read yet", delivered: "read", acked: "acknowledged", taken: "read", dead: "never read" };

function delivery(message) {
  const said = message.deliveries.map((one) => `${message.to === null ? `${shown(one.agent)}: ` : ""}${STATES[one.state] ?? shown(one.state)}`);
  const wants = message.ack !== "none" ? "wants an acknowledgement" : "";
  return [message.urgency !== "normal" ? shown(message.urgency) : "", wants, listing(said, 6)].filter(Boolean).join("; ");
}

function messageOf(app, { event }) {
  if (event.thread) return threadOf(app, { thread: event.thread, agents: [event.from, event.to].filter(Boolean), subject: event.subject });
  return agentOf(app, { agent: event.to });
}

function composing() {
  return { key: () => "", title: () => "Message", draw: () => [], acts: () => [] };
}
