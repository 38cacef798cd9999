// Spans: holds and waits as stretches of time, from a board and the events before it. Nothing here touches the page.

import { at } from "./text.js";

const CLOSED_MAX = 5000;

/** What is over, as far back as it was heard of. */
export class Past {
  constructor() {
    this.closed = [];
    this.version = 0;
    this.heard = new Set();
    this.blockers = new Map();
  }

  /** Add what an event ends; hearing one twice (in the history and live) changes nothing. */
  hear(event) {
    if (event.event === "lock.waiting") {
      if (this.blockers.size > CLOSED_MAX) this.blockers.clear();
      for (const name of event.names) this.blockers.set(`${name}\0${event.agent}`, agents(event.blocked_by));
      return;
    }
    const one = ended(event);
    if (!one) return;
    const id = `${event.revision}\0${event.event}\0${event.agent}\0${one.name}`;
    if (this.heard.has(id)) return;
    this.heard.add(id);
    if (one.kind === "wait") {
      one.blockedBy = this.blockers.get(`${one.name}\0${one.agent}`) ?? [];
      this.blockers.delete(`${one.name}\0${one.agent}`);
    }
    this.closed.push({ ...one, id });
    this.version++;
    if (this.closed.length > CLOSED_MAX * 1.2) {
      this.closed = this.closed.sort((a, b) => a.end - b.end).slice(-CLOSED_MAX);
      this.heard = new Set(this.closed.map((kept) => kept.id));
    }
  }
}

const ENDS = {
  "lock.released": "released", "lock.taken_over": "taken over", "lock.broken": "broken", "lock.ended": "ended",
};

function ended(event) {
  const end = at(event.at);
  if (ENDS[event.event]) {
    const start = event.held_s === null || event.held_s === undefined ? end : end - event.held_s * 1000;
    return { kind: "hold", agent: event.agent, name: event.name, start, end, how: ENDS[event.event], mode: event.mode, by: event.by };
  }
  if (event.event === "lock.acquired" && event.waited_s > 0) {
    return { kind: "wait", agent: event.agent, name: event.name, start: end - event.waited_s * 1000, end, how: "granted" };
  }
  if (event.event === "lock.wait_ended" && event.waited_s !== null) {
    const name = event.names[0] ?? "";
    return { kind: "wait", agent: event.agent, name, start: end - event.waited_s * 1000, end, how: "in vain" };
  }
  return null;
}

/** What a board shows as going on: spans without an end. */
export function open(known) {
  const found = [];
  for (const lock of known.locks.values()) {
    found.push({ kind: "hold", agent: lock.agent, name: lock.name, start: at(lock.since), end: null, mode: lock.mode, lock });
  }
  for (const one of known.waiters.values()) {
    found.push({
      kind: "wait", agent: one.agent, name: one.names[0] ?? "", more: one.names.length - 1, start: at(one.since), end: null,
      blockedBy: agents(one.blocked_by), waiter: one,
    });
  }
  return found;
}

/** Lanes: for each agent, rows in which no two spans overlap; what does not fit into `most` rows is counted. */
export function lanes(order, spans, since, until, most) {
  const byAgent = new Map(order.map((id) => [id, []]));
  for (const one of spans) {
    if ((one.end ?? until) >= since && one.start <= until) {
      if (!byAgent.has(one.agent)) byAgent.set(one.agent, []);
      byAgent.get(one.agent).push(one);
    }
  }
  return [...byAgent].map(([agent, found]) => ({ agent, ...rows(found, until, most) }));
}

function rows(found, until, most) {
  // Waits are placed first: they are what one looks for. Holds follow by their start, so that a row need only remember
  // its waits and where its last hold ends.
  found.sort((a, b) => (b.kind === "wait") - (a.kind === "wait") || a.start - b.start);
  const taken = Array.from({ length: most }, () => ({ waits: [], until: -Infinity }));
  const placed = [];
  const rest = [];
  let used = 0;
  for (const one of found) {
    const end = one.end ?? until;
    const fits = (row) => one.start >= row.until && row.waits.every((wait) => end <= wait.start || one.start >= (wait.end ?? until));
    const row = taken.findIndex(fits);
    if (row < 0) {
      rest.push(one);
      continue;
    }
    if (one.kind === "wait") taken[row].waits.push(one);
    else taken[row].until = end;
    used = Math.max(used, row + 1);
    placed.push({ ...one, row });
  }
  placed.sort((a, b) => a.start - b.start);
  return { placed, rest, count: Math.max(1, used) };
}

/** The moments at which an axis is marked, and whether they need seconds. */
export function ticks(since, until, most) {
  const steps = [1, 5, 10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400].map((s) => s * 1000);
  const step = steps.find((one) => (until - since) / one <= most) ?? steps.at(-1);
  const zone = new Date(until).getTimezoneOffset() * 60000;
  const found = [];
  for (let t = Math.ceil((since - zone) / step) * step + zone; t <= until; t += step) found.push(t);
  return { at: found, fine: step < 60000 };
}

function agents(blockers) {
  return (blockers ?? []).map((one) => (typeof one === "string" ? one : one.agent)).filter(Boolean);
}
