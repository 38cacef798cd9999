// Words: what happened, as sentences made of parts: an agent, a name of a lock, plain text.

import { listing, shown, span } from "./text.js";

const A = (id) => ({ agent: id });
const N = (name) => ({ name });
const names = (given) => (given.length === 1 ? N(given[0]) : listing(given, 2));
const holders = (held) => held.map((one) => (typeof one === "string" ? one : one.agent)).filter(Boolean);
const whose = (held) => {
  const found = [...new Set(holders(held))];
  return found.length === 1 ? [A(found[0])] : [found.length ? listing(found, 2) : "somebody else"];
};
const quoted = (text) => (text ? [`: ${shown(text)}`] : []);
const others = (e) => (e.waited_s > 0 ? [`, after ${span(e.waited_s)}`] : []);
const held = (e) => (e.held_s === null || e.held_s === undefined ? [] : [`, held for ${span(e.held_s)}`]);
const worked = (e) => (e.worked_s === null ? [] : [`, after ${span(e.worked_s)}`]);
const because = { expired: "its lease had ended", dead: "its process had ended", recycled: "its process had ended", absent: "its process was cut off" };

/** icon, parts and whether it is one of what people look out for, for each kind of event. */
const EVENTS = {
  "lock.acquired": (e) => ["lock", [A(e.agent), e.mode === "shared" ? " reads " : " took ", N(e.name), ...others(e), ...quoted(e.reason)]],
  "lock.upgraded": (e) => ["lock", [A(e.agent), " has ", N(e.name), " alone now"]],
  "lock.released": (e) => ["done", [A(e.agent), " released ", N(e.name), ...held(e)]],
  "lock.taken_over": (e) => ["clash", [A(e.by), " took ", N(e.name), " over from ", A(e.agent), `: ${because[e.why] ?? shown(e.why)}`], true],
  "lock.broken": (e) => ["clash", [A(e.by), " broke the hold of ", A(e.agent), " on ", N(e.name), ...quoted(e.why)], true],
  "lock.ended": (e) => ["done", ["the hold of ", A(e.agent), " on ", N(e.name), ` is over${because[e.why] ? `: ${because[e.why]}` : ""}`]],
  "hold.lost": (e) => ["clash", [A(e.agent), " lost ", N(e.name), ": the store heard nothing of its process"], true],
  "lock.waiting": (e) => ["wait", [A(e.agent), " waits for ", names(e.names), ", behind ", ...whose(e.blocked_by)]],
  "lock.wait_ended": (e) => ["wait", [A(e.agent), " no longer waits for ", names(e.names), ...(e.waited_s ? [`, after ${span(e.waited_s)}`] : [])]],
  "lock.refused": (e) => ["clash", [A(e.agent), " was refused ", names(e.names), ": ", ...whose(e.held_by), " has it"], true],
  "lock.deadlock": (e) => ["clash", [A(e.agent), " was refused ", names(e.names), ": it would wait for ", ...whose(e.held_by), ", who waits for it"], true],
  "file.conflict": (e) => ["clash", [A(e.agent), " changed ", names(e.names), ", held by ", ...whose(e.held_by), e.kind === "foreign-change" ? "" : ` (${shown(e.kind)})`], true],
  "handoff.asked": (e) => ["hand", [A(e.agent), " asked ", listing(e.of.filter(Boolean), 2), " for ", names(e.names), ...quoted(e.reason)]],
  "handoff.declined": (e) => ["hand", [A(e.by), " declined to hand ", names(e.names), " to ", A(e.agent), ...quoted(e.why)]],
  "file.written": (e) => ["pen", [A(e.agent), " wrote ", N(e.name)]],
  "job.submitted": (e) => ["pulse", [A(e.agent), ` submitted ${shown(e.job)} for a ${shown(e.role)}`, ...quoted(e.title)]],
  "job.ready": (e) => ["pulse", [`${shown(e.job)} is ready for a ${shown(e.role)}`, ...quoted(e.title)]],
  "job.claimed": (e) => ["pulse", [A(e.agent), ` claimed ${shown(e.job)}`, ...quoted(e.title)]],
  "job.completed": (e) => ["done", [A(e.agent), ` completed ${shown(e.job)}`, ...worked(e), ...quoted(e.title)]],
  "job.failed": (e) => ["clash", [A(e.agent), ` failed ${shown(e.job)}`, ...quoted(e.error)], true],
  "job.expired": (e) => ["clash", ["the claim of ", A(e.agent), ` on ${shown(e.job)} ran out`], true],
  "job.released": (e) => ["done", [A(e.agent), ` gave ${shown(e.job)} back`]],
  "job.blocked": (e) => ["wait", [A(e.agent), ` blocked ${shown(e.job)}`, ...quoted(e.reason)]],
  "job.cancelled": (e) => ["wait", [A(e.agent), ` cancelled ${shown(e.job)}`, ...quoted(e.reason)]],
  "agent.status": (e) => ["people", [A(e.agent), e.status ? `: ${shown(e.status)}` : " says nothing of what it does"]],
  "agent.left": (e) => ["people", [A(e.agent), " is gone"]],
  "message.sent": (e) => ["mail", [A(e.from), e.to === null ? " to everybody" : " to ", ...(e.to === null ? [] : [A(e.to)]), `: ${shown(e.subject || e.excerpt)}`]],
  "message.taken": (e) => ["mail", [A(e.to), " has read mail of ", A(e.from)]],
  "message.acked": (e) => ["mail", [A(e.to), " has acknowledged mail of ", A(e.from)]],
  "message.dead": (e) => ["mail", ["mail of ", A(e.from), " to ", A(e.to), " was not delivered"], true],
};

const CONFLICTS = {
  refused: (c) => ["lock", [A(c.asked_by), " was refused ", names(c.names), ", held by ", ...whose(c.held_by)]],
  deadlock: (c) => ["clash", [A(c.asked_by), " and ", ...whose(c.held_by), " would have waited for each other over ", names(c.names)]],
  waiting: (c) => ["wait", [A(c.asked_by), " waited for ", names(c.names), ", behind ", ...whose(c.held_by)]],
  wait_ended: (c) => ["wait", [A(c.asked_by), " waited in vain for ", names(c.names), ", behind ", ...whose(c.held_by)]],
  taken_over: (c) => ["hand", [A(c.asked_by), " took ", names(c.names), " over from ", ...whose(c.held_by)]],
  broken: (c) => ["clash", [A(c.asked_by), " broke the hold of ", ...whose(c.held_by), " on ", names(c.names)]],
  "foreign-change": (c) => ["clash", [A(c.asked_by), " changed ", names(c.names), ", held by ", ...whose(c.held_by)]],
  bypass: (c) => ["clash", [A(c.asked_by), " went past the lock of ", ...whose(c.held_by), " on ", names(c.names)]],
  overwritten: (c) => ["clash", ["git changed ", names(c.names), " under ", ...whose(c.held_by)]],
};

/** `{icon, parts, alert}` of an event; null for a kind that is not known. */
export function ofEvent(event) {
  const made = EVENTS[event.event]?.(event);
  return made ? { icon: made[0], parts: made[1], alert: Boolean(made[2]) } : null;
}

/** The same of a conflict of the board. */
export function ofConflict(conflict) {
  const other = (c) => ["clash", [A(c.asked_by), ` (${shown(c.kind)}): `, names(c.names), ", held by ", ...whose(c.held_by)]];
  const made = (CONFLICTS[conflict.kind] ?? other)(conflict);
  const why = because[conflict.why] ?? conflict.why;
  return { icon: made[0], parts: made[1], why, alert: made[0] === "clash" };
}

/** A sentence's text alone: for filters, and for those who cannot see it. */
export function plain(parts) {
  return parts.map((part) => shown(typeof part === "string" ? part : part.agent ?? part.name)).join("");
}
