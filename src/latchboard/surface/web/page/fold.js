// Folding: the board behind a commit, from the board before it and the commit's events (protocol/watch.md, "Events").
//
// What events do not say (expiry, renewals, who is quiet) comes with the next reading of the board; until then what is
// known stays. Nothing here touches the page or the network.

const LIST_MAX = 400;

/** What a page knows of a board: the answer of /api/board, with what has to be found quickly by its key. */
export function model(answer) {
  const known = {
    revision: answer.revision,
    at: answer.last_updated,
    root: answer.root ?? "",
    locks: new Map(),
    ended: new Map(),
    agents: new Map(Object.entries(answer.agents)),
    waiters: new Map(answer.waiters.map((one) => [one.request, one])),
    conflicts: answer.conflicts ?? [],
    writes: answer.file_modification_history ?? [],
    messages: answer.messages ?? [],
    damaged: answer.damaged ?? [],
  };
  for (const one of answer.active_locks) known.locks.set(key(one.name, one.agent), one);
  for (const one of answer.ended_locks) known.ended.set(key(one.name, one.agent), one);
  return known;
}

/** What tells one holding of a board from every other. */
export function key(name, agent) {
  return `${name}\0${agent}`;
}

/** Fold one commit into a model; true when it changed anything that is shown. */
export function fold(known, commit) {
  if (commit.revision <= known.revision) return false;
  known.revision = commit.revision;
  known.at = commit.at;
  for (const event of commit.events) FOLDS[event.event]?.(known, event);
  return commit.events.length > 0;
}

const FOLDS = {
  "lock.acquired": (known, e) => {
    known.ended.delete(key(e.name, e.agent));
    known.locks.set(key(e.name, e.agent), {
      name: e.name, agent: e.agent, mode: e.mode, bound: e.bound, token: e.token, since: e.at, expires_at: null,
      reason: e.reason, pid: e.pid, host_name: e.host_name, waiters_count: 0,
    });
    if (e.waited_s !== null) dropGranted(known, e.agent);
    agent(known, e.agent, e.at);
  },
  "lock.upgraded": (known, e) => {
    const lock = known.locks.get(key(e.name, e.agent));
    if (lock) known.locks.set(key(e.name, e.agent), { ...lock, mode: e.mode, token: e.token });
  },
  "lock.released": ending(null),
  "lock.taken_over": ending("taken_over"),
  "lock.broken": ending("broken"),
  "lock.ended": ending(null),
  "lock.waiting": (known, e) => {
    known.waiters.set(e.request, {
      request: e.request, agent: e.agent, names: e.names, mode: "exclusive", since: e.at, blocked_by: agents(e.blocked_by),
      handoff: null, reason: e.reason,
    });
    met(known, "waiting", e, e.blocked_by);
    agent(known, e.agent, e.at);
  },
  "lock.wait_ended": (known, e) => {
    dropWaiter(known, (one) => one.agent === e.agent && String(one.names) === String(e.names));
    if (e.held_by.length) met(known, "wait_ended", e, e.held_by); // else it was given up: nobody was met
  },
  "lock.refused": (known, e) => met(known, "refused", e, e.held_by),
  "lock.deadlock": (known, e) => met(known, "deadlock", e, e.held_by),
  "file.conflict": (known, e) => met(known, e.kind, e, e.held_by),
  "handoff.asked": handoff("asked"),
  "handoff.declined": handoff("declined"),
  "file.written": (known, e) => push(known, "writes", e),
  "agent.status": (known, e) => {
    const entry = agent(known, e.agent, e.at);
    known.agents.set(e.agent, { ...entry, status: e.status, files: e.files, heartbeat_at: e.at, quiet: false });
  },
  "agent.left": (known, e) => known.agents.delete(e.agent),
  "message.sent": (known, e) => push(known, "messages", { ...e, message: e.excerpt }),
};

function ending(kind) {
  return (known, e) => {
    known.locks.delete(key(e.name, e.agent));
    known.ended.delete(key(e.name, e.agent));
    push(known, "writes", e);
    if (kind) {
      push(known, "conflicts", {
        kind, revision: e.revision, at: e.at, names: [e.name], asked_by: e.by, held_by: [{ agent: e.agent }], why: e.why,
      });
    }
  };
}

function handoff(state) {
  return (known, e) => {
    const waiter = known.waiters.get(e.request);
    if (waiter) known.waiters.set(e.request, { ...waiter, handoff: state });
  };
}

function met(known, kind, e, heldBy) {
  const held_by = heldBy.map((one) => (typeof one === "string" ? { agent: one } : one));
  push(known, "conflicts", {
    kind, revision: e.revision, at: e.at, names: e.names, asked_by: e.agent, held_by, why: e.reason,
  });
}

function push(known, list, entry) {
  known[list] = [...known[list].slice(1 - LIST_MAX), entry];
}

function dropWaiter(known, isIt) {
  for (const [request, one] of known.waiters) {
    if (isIt(one)) {
      known.waiters.delete(request);
      return;
    }
  }
}

/** A request is granted when all of its names are held; several requests for one name may be granted at once. */
function dropGranted(known, agent) {
  for (const [request, one] of known.waiters) {
    if (one.agent === agent && one.names.every((name) => known.locks.has(key(name, agent)))) known.waiters.delete(request);
  }
}

/** The agents of a list that names them, or their holdings. */
function agents(blockers) {
  return [...new Set(blockers.map((one) => (typeof one === "string" ? one : one.agent)).filter(Boolean))];
}

function agent(known, id, at) {
  if (!known.agents.has(id)) {
    known.agents.set(id, { status: "", files: [], heartbeat_at: null, started_at: at, pid: null, quiet: false });
  }
  return known.agents.get(id);
}

/** Per agent: what it holds, what it waits for. Made anew for each state that is drawn. */
export function byAgent(known) {
  const found = new Map();
  const of = (id) => {
    if (!found.has(id)) found.set(id, { holds: [], ended: [], waits: [] });
    return found.get(id);
  };
  for (const id of known.agents.keys()) of(id);
  for (const lock of known.locks.values()) of(lock.agent).holds.push(lock);
  for (const lock of known.ended.values()) of(lock.agent).ended.push(lock);
  for (const waiter of known.waiters.values()) of(waiter.agent).waits.push(waiter);
  return found;
}

/** The ids of all agents: those that are heard of first, the quiet ones behind them, each group by name. */
export function agentOrder(known, groups) {
  const isQuiet = (id) => Boolean(known.agents.get(id)?.quiet && !groups.get(id).holds.length && !groups.get(id).waits.length);
  return [...groups.keys()].sort((a, b) => isQuiet(a) - isQuiet(b) || (a < b ? -1 : a > b ? 1 : 0));
}
